"""The cells of a model: what a memory system is made of."""

from __future__ import annotations

from dataclasses import dataclass

Lines = tuple[tuple[int, ...], ...]
"""The cells of each line, by the number of the line."""


@dataclass(frozen=True)
class Cells:
    """The cells, the lines that they lie in, and the units that are made of them.

    ``final``: the final value of each cell, which it has at the start.  ``dline_of``, ``iline_of[core]``: the line of
    each cell; ``dline_cells``, ``iline_cells[core]``: the cells of each line.  ``units[tb]``: the cells of each live
    unit in memory order.

    Of a protocol: ``warm``, if instruction lines are present at the start; ``mmu_off``, cores with their MMU off, as
    bits, which fetch ``coherency``, the value of each cell at the point of coherency.
    """

    final: tuple[int, ...]
    dline_of: tuple[int, ...]
    dline_cells: Lines
    iline_of: tuple[tuple[int, ...], ...]
    iline_cells: tuple[Lines, ...]
    units: tuple[tuple[tuple[int, ...], ...], ...]
    warm: bool = False
    mmu_off: int = 0
    coherency: tuple[int, ...] = ()
