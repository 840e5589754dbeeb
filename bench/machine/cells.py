"""The cells of a model: what a memory system is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.machine.opcodes import EncodedInstruction

ANYTHING = (1 << 16) - 1
"""The value of an instruction that an architecture lets be anything; no value of a protocol has that number."""

NEVER_FETCHED = -1
"""The instruction line of a cell on a core that never fetches it."""

TORN = ANYTHING - 1
"""The value of an instruction of which parts are those of different ones."""

FAULT = ANYTHING - 2
"""What comes of an instruction whose page may not be executed."""

EXECUTABLE, PROTECTED, ABSENT = range(3)
"""What a page is: its cell holds one of these."""

Lines = tuple[tuple[int, ...], ...]
"""The cells of each line, by the number of the line."""


@dataclass(frozen=True)
class Cells:
    """The cells, the lines that they lie in, and the units that are made of them.

    ``final``: the final value of each cell, which it has at the start.  ``dline_of``, ``iline_of[core]``: the line of
    each cell, or ``NEVER_FETCHED``; ``dline_cells``, ``iline_cells[core]``: the cells of each line.  ``units[tb]``: the
    cells of each live unit in memory order.

    Of a protocol: ``warm``, if instruction lines are present at the start; ``mmu_off``, cores with their MMU off, as
    bits, which fetch ``coherency``, the value of each cell at the point of coherency.  ``places``: address and size in
    bytes of the instruction that each cell is of; ``instructions``: what the values are, as far as it is known.
    ``pages``: the cells that are entries of the page table, each in lines of its own; the instruction line is a core's
    translation of it.
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
    places: tuple[tuple[int, int], ...] = ()
    pages: frozenset[int] = frozenset()
    instructions: Mapping[int, EncodedInstruction] = field(default_factory=dict)

    def ilines_of(self, cell: int) -> tuple[tuple[int, ...], ...]:
        """The instruction line of a cell on each core, if any."""
        return tuple((of[cell],) if of[cell] != NEVER_FETCHED else () for of in self.iline_of)

    def faults(self, cells: tuple[int, ...], values: tuple[int, ...]) -> bool:
        """Whether a fetch of ``cells`` that found those values is of a page that may not be executed."""
        return any(cell in self.pages and value != EXECUTABLE for cell, value in zip(cells, values, strict=True))
