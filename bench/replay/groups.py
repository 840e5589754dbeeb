"""Groups of like blocks and of like retranslations of a trace on a host: for each the hooks are evaluated once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import overload

import numpy as np

from bench.replay.layout import CodeBuffer
from bench.replay.plan import Extent
from bench.traces.trace import I64, Guest, Trace
from bench.translators.translator import Access, Code, Translator
from strategies.writes import Block, Buffer, Phase, Region, Unit, Write

START_WORDS: dict[Guest, int] = {
    "arm": 2,
    "aarch64": 2,
    "riscv64": 2,
    "x86-64": 2,
    "ppc64": 1,
    "s390x": 2,
    "mips": 3,
    "mips64": 3,
}
"""Values per guest instruction: 1 + TARGET_INSN_START_EXTRA_WORDS (QEMU commit fca8a500d519, target-*/cpu.h; riscv64:
QEMU 7.2, target/riscv/cpu.h)."""


_MANY = 1000
"""Guest accesses in all groups."""


@dataclass(frozen=True)
class BlockGroup:
    """Blocks or retranslations of ``accesses`` guest accesses: their numbers, ``rows``, in ascending order.

    ``region``: in place of each of them, what the hooks are asked with; its ``size``: of a retranslation the bytes
    that it rewrites, of blocks their mean.
    """

    rows: I64
    accesses: int
    size: int
    _region: Callable[[int, int], Region]

    @cached_property
    def region(self) -> Region:
        """Made when it is asked for: that takes as long as the evaluation of a hook."""
        return self._region(self.accesses, self.size)


class _SizedRegion(Region):
    """A block in a code buffer that is discarded: its length is known, its units are not."""

    def __iter__(self) -> Iterator[Unit]:
        raise TypeError("replay does not know the units of a block in a buffer; use the buffer or its regions")


class _SizedRegions(Sequence[Region]):
    """The blocks ``rows`` of a code buffer, each made when it is asked for: there may be hundreds of thousands."""

    def __init__(self, rows: I64, sizes: I64) -> None:
        self._rows, self._sizes = rows, sizes

    def __len__(self) -> int:
        return self._rows.size

    @overload
    def __getitem__(self, index: int) -> Region: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Region]: ...

    def __getitem__(self, index: int | slice) -> Region | Sequence[Region]:
        if isinstance(index, slice):
            return _SizedRegions(self._rows[index], self._sizes)
        row = int(self._rows[index])
        return _SizedRegion(row, int(self._sizes[row]), ())


class Groups:
    """The groups of a trace that is laid out, and what is known of each retranslation and block.

    Of retranslations: ``tb``, the bytes ``rewritten``, the guest instructions ``decoded`` and ``accesses`` up to the
    faulting one, ``unknown_accesses`` how many were not recorded.  Of blocks: their guest ``instructions``;
    ``translated``: the numbers of those whose translation is in the trace.
    """

    def __init__(self, trace: Trace, layout: CodeBuffer, translator: Translator, instruction_bytes: int) -> None:
        self._trace, self._layout, self._translator = trace, layout, translator
        self._instruction_bytes = instruction_bytes
        self._codes: dict[int, Code] = {}
        self._writes: dict[Write, Write] = {}
        blocks, faults = trace.blocks, trace.retranslations
        self.tb = faults.tb.astype(np.int64)
        self.instructions = blocks.instructions.astype(np.int64)
        # The faulting operation has at least one byte and one access, even where none was recorded.
        self.rewritten = np.maximum(layout.rewritten, 1)
        share = self.rewritten / layout.sizes[self.tb]
        self.decoded = np.maximum(np.ceil(self.instructions[self.tb] * share), 1).astype(np.int64)
        known = faults.accesses >= 0
        guessed = np.rint(blocks.accesses[self.tb] * share)
        self.accesses = np.maximum(np.where(known, faults.accesses, guessed), 1).astype(np.int64)
        self.unknown_accesses = int(np.count_nonzero(~known))
        self.translated = np.flatnonzero(blocks.born >= 0)

    def _code(self, accesses: int) -> Code | None:
        """A block with that many guest loads; None for a block without any."""
        if accesses and accesses not in self._codes:
            loads: list[Access] = ["load"] * accesses
            self._codes[accesses] = self._translator.block(0, loads, followed=False)
        return self._codes.get(accesses)

    def temporaries(self, accesses: int) -> list[tuple[int, int]]:
        """The access number and offset of each unit that holds a temporary value, in a block with that many loads."""
        code = self._code(accesses)
        if code is None:
            return []
        offsets = sorted({write.unit.offset for write in code.retranslated.writes if not write.complete})
        # All accesses have the same code and follow each other.
        return [(number * accesses // len(offsets), offset) for number, offset in enumerate(offsets)]

    def _rewritten(self, accesses: int, size: int) -> Region:
        """The region that a retranslation of ``size`` bytes writes."""
        code = self._code(accesses)
        assert code is not None
        width = self._instruction_bytes
        others = (_stored(offset, min(width, size - offset)) for offset in range(code.rewritten, size, width))
        return self._region(size, (*code.retranslated.writes, *others))

    def _whole(self, accesses: int, size: int) -> Region:
        """The region that the translation of a block writes."""
        code = self._code(accesses)
        return self._region(size, code.writes if code else ())

    def _region(self, size: int, writes: Iterable[Write]) -> Region:
        """A region in which a write is the same object as its like in any other: its hooks are found sooner."""
        return Region(0, size, tuple(self._writes.setdefault(write, write) for write in writes))

    @cached_property
    def retranslated(self) -> tuple[BlockGroup, ...]:
        """The groups of retranslations, by number of guest accesses and rewritten length."""
        keys, kind = np.unique(np.stack((self.accesses, self.rewritten)), axis=1, return_inverse=True)
        return tuple(
            BlockGroup(np.flatnonzero(kind.ravel() == number), accesses, size, self._rewritten)
            for number, (accesses, size) in enumerate(keys.T.tolist())
        )

    @cached_property
    def blocks(self) -> tuple[BlockGroup, ...]:
        """The groups of TBs, by number of guest accesses."""
        keys, kind = np.unique(self._trace.blocks.accesses, return_inverse=True)
        every = [np.flatnonzero(kind == number) for number in range(keys.size)]
        sizes = [round(float(self._layout.sizes[rows].mean())) for rows in every]
        return tuple(
            BlockGroup(rows, accesses, size, self._whole)
            for rows, accesses, size in zip(every, keys.tolist(), sizes, strict=True)
        )

    @property
    def are_large(self) -> bool:
        """Whether there is so much to evaluate that it is worth other processes."""
        return sum(kind.accesses for kind in (*self.retranslated, *self.blocks)) > _MANY

    @cached_property
    def sizes(self) -> tuple[list[Block], I64]:
        """The distinct TBs as ``side_bytes`` sees them, and the index of each TB among them."""
        # Each pair is one number: sorting pairs takes ten times as long.
        room = int(self._layout.sizes.max(initial=0)) + 1
        keys, kind = np.unique(self.instructions * room + self._layout.sizes, return_inverse=True)
        start_words = START_WORDS[self._trace.guest]
        return [Block(int(key) // room, int(key) % room, start_words) for key in keys], kind

    @cached_property
    def buffers(self) -> tuple[Buffer, ...]:
        """The code buffer at each tb flush of the trace."""
        layout, epoch = self._layout, self._trace.blocks.epoch
        buffers = []
        for number in range(self._trace.flushes.size):
            rows = np.flatnonzero(epoch == number)
            used = int((layout.addresses[rows] + layout.sizes[rows]).max(initial=0))
            buffers.append(Buffer(used, _SizedRegions(rows, layout.sizes)))
        return tuple(buffers)

    def where(self, where: Unit | Region | Buffer) -> Extent | None:
        """The extent that maintenance in ``flush_buffer`` covers."""
        if isinstance(where, Buffer):
            return Extent(0, where.size) if where.size else None
        tb, start, size = (where.tb, where.offset, where.size) if isinstance(where, Unit) else (where.tb, 0, where.size)
        address = int(self._layout.addresses[tb]) + start
        return Extent(address, address + size)


def _stored(offset: int, size: int) -> Write:
    """A write of a whole unit."""
    unit = Unit(0, offset, size, final=0)
    return Write(unit, Phase.FAST_PATH, known=unit.mask, value=0)
