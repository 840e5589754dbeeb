"""Address layout: blocks in a code buffer, units of a check, and the cache lines that they touch.

``apart``   every unit in a line of its own, as in the thread's table
``packed``  blocks as the translator emits them, one after the other and aligned;
            ``offset`` shifts them by some bytes, so that a block starts anywhere in a line
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from bench.translators.translator import Code
from strategies.writes import Buffer, Region, Unit

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

LayoutName = Literal["apart", "packed"]
LAYOUTS: tuple[LayoutName, ...] = ("apart", "packed")

N = TypeVar("N", int, "npt.NDArray[np.int64]")
"""A number, or an array of numbers."""


def aligned(address: N, alignment: int) -> N:
    """``address`` rounded up to a multiple of ``alignment``."""
    return -(-address // alignment) * alignment


def packed(sizes: Iterable[int], alignment: int) -> Iterator[int]:
    """The addresses of aligned blocks of ``sizes`` bytes, one after the other from 0 on."""
    address = 0
    for size in sizes:
        yield address
        address = aligned(address + size, alignment)


def line_range(address: N, size: N, line: int | N) -> tuple[N, N]:
    """The first and the last line, of ``line`` bytes, that ``size`` >= 1 bytes at ``address`` touch."""
    return address // line, (address + size - 1) // line


@dataclass(frozen=True, slots=True)
class Span:
    """``size`` bytes at ``address``."""

    address: int
    size: int

    def lines(self, line: int) -> range:
        """The numbers of the lines of ``line`` bytes that the span touches."""
        first, last = line_range(self.address, self.size, line)
        return range(first, last + 1)


class CacheLines:
    """The lines of ``size`` bytes that hold the cells of a model, numbered in the order of their addresses.

    ``of``: the number of each cell's line; ``cells``: the cells of each line.
    """

    def __init__(self, addresses: Sequence[int], size: int) -> None:
        self.size = size
        self._numbers = {
            block: number for number, block in enumerate(sorted({address // size for address in addresses}))
        }
        self.of = tuple(map(self.number, addresses))
        self.cells = tuple(
            tuple(cell for cell, line in enumerate(self.of) if line == number) for number in range(len(self._numbers))
        )

    @property
    def all(self) -> tuple[int, ...]:
        """The numbers of all lines."""
        return tuple(range(len(self._numbers)))

    def number(self, address: int) -> int:
        """The number of the line that holds ``address``."""
        return self._numbers[address // self.size]

    def touched(self, spans: Iterable[Span]) -> tuple[int, ...]:
        """The numbers of the lines that ``spans`` touch."""
        blocks = {block for span in spans for block in span.lines(self.size)}
        return tuple(number for block, number in self._numbers.items() if block in blocks)


class Layout:
    """The address of every unit of ``blocks``; ``spacing``: the longest line of the host in bytes."""

    def __init__(
        self, name: LayoutName, blocks: Sequence[Code], *, alignment: int, spacing: int, offset: int = 0
    ) -> None:
        self._base: dict[int, int] = {}
        self._address: dict[tuple[int, int], int] = {}
        self._apart = name == "apart"
        for block, start in zip(blocks, packed((block.size for block in blocks), alignment), strict=True):
            base = self._base[block.tb] = start + offset
            for unit in block.whole:
                self._address[block.tb, unit.offset] = (
                    len(self._address) * spacing if self._apart else base + unit.offset
                )

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
