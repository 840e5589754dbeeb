"""Address layout: blocks in a code buffer, units of a check, and the cache lines that they touch.

``apart``   every unit in a line of its own, as in the thread's table
``packed``  blocks as the translator emits them, one after the other and aligned;
            ``offset`` shifts them by some bytes, so that a block starts anywhere in a line
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench.translators.translator import Code
from strategies.writes import Buffer, Region, Unit

LayoutName = Literal["apart", "packed"]
LAYOUTS: tuple[LayoutName, ...] = ("apart", "packed")


@dataclass(frozen=True, slots=True)
class Span:
    """``size`` bytes at ``address``."""

    address: int
    size: int

    def blocks(self, size: int) -> range:
        """The numbers of the lines of ``size`` bytes that the span touches."""
        return range(self.address // size, (self.address + self.size - 1) // size + 1)


class Layout:
    """The address of every unit of ``blocks``; ``spacing``: the longest line of the host in bytes."""

    def __init__(
        self, name: LayoutName, blocks: Sequence[Code], *, alignment: int, spacing: int, offset: int = 0
    ) -> None:
        self._base: dict[int, int] = {}
        self._address: dict[tuple[int, int], int] = {}
        self._apart = name == "apart"
        free = offset
        for block in blocks:
            base = -(-(free - offset) // alignment) * alignment + offset
            self._base[block.tb] = base
            for unit in block.whole:
                self._address[block.tb, unit.offset] = (
                    len(self._address) * spacing if self._apart else base + unit.offset
                )
            free = base + block.size

    def unit(self, unit: Unit) -> Span:
        """The bytes of a unit."""
        return Span(self._address[unit.tb, unit.offset], unit.size)

    def spans(self, where: Unit | Region | Buffer) -> tuple[Span, ...]:
        """The bytes that maintenance on ``where`` covers, without scratch memory."""
        if isinstance(where, Unit):
            return () if where.in_scratch else (self.unit(where),)
        if isinstance(where, Region):
            units = [unit for unit in where if not unit.in_scratch]
            if self._apart or not units:
                return tuple(self.unit(unit) for unit in units)
            return (Span(self._base[where.tb], where.size),)
        return tuple(span for region in where.regions for span in self.spans(region))
