"""A trace on a host, as all strategies find it: where its blocks lie, what is rewritten, and the kinds of both."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bench.hosts.profile import Host, Isa, Tag
from bench.replay.cost import weakest
from bench.replay.counts import Counts
from bench.replay.events import Events, Kind, lines_spanned
from bench.replay.layout import CodeBuffer, lay_out
from bench.replay.parameters import Parameters
from bench.replay.plan import WHOLE, Extent, LineStep, Plan, clipped, plan
from bench.replay.price import Prices
from bench.replay.simulate import simulate
from bench.traces.trace import Guest, Trace
from bench.translators.translator import Access, Code, Translator
from strategies.evaluation import answers_as_base
from strategies.strategy import Strategy
from strategies.writes import Block, Buffer, Phase, Region, Unit, Write

I64: TypeAlias = npt.NDArray[np.int64]
U32: TypeAlias = npt.NDArray[np.uint32]
_Steps: TypeAlias = tuple[tuple[LineStep, ...], ...]

START_WORDS: dict[Guest, int] = {"arm": 2, "mips": 3}
"""Values per guest instruction: 1 + TARGET_INSN_START_EXTRA_WORDS (QEMU commit fca8a500d519, target-*/cpu.h)."""


@dataclass(frozen=True, slots=True)
class KindOfBlock:
    """Blocks that the hooks are asked about once: ``region`` stands for them, ``rows`` are theirs."""

    region: Region
    rows: I64


class _Sized(Region):
    """A block in a code buffer that is thrown away: its length is known, its units are not."""

    def __iter__(self) -> Iterator[Unit]:
        raise TypeError("of a block in a buffer replay knows the length, not the units; use the buffer or its regions")


class Ground:
    """The trace on the host: everything that does not depend on the strategy."""

    def __init__(self, trace: Trace, host: Host, translator: Translator, parameters: Parameters) -> None:
        self.trace = trace
        self.host = host
        self.translator = translator
        self.parameters = parameters
        self.isa: Isa = host.runs_as(translator.isa)
        self.layout: CodeBuffer = lay_out(
            trace.blocks, trace.retranslations, translator.isa, as_recorded=parameters.as_recorded
        )
        lengths: Tag = "measured" if parameters.as_recorded else weakest("estimate", self.layout.scale.tag)
        self.prices = Prices.on(host, self.isa, parameters, lengths, self.layout.scale)
        self.counted = weakest(
            lengths,
            host.icache.tag,
            host.icache.replacement_tag,
            parameters.translator_code_lines.tag,
            *((host.l2.tag, host.l2.replacement_tag, parameters.guest_data_lines.tag) if host.l2 else ()),
        )
        self._codes: dict[int, Code] = {}
        self._apart: dict[tuple[_Steps, _Steps], Events] = {}

        blocks, faults = trace.blocks, trace.retranslations
        self.tb = faults.tb.astype(np.int64)
        self.instructions = blocks.instructions.astype(np.int64)
        # The faulting operation has at least a byte, and at least the faulting access, whatever was recorded.
        self.rewritten = np.maximum(self.layout.rewritten, 1)
        share = self.rewritten / self.layout.sizes[self.tb]
        self.decoded = np.maximum(np.ceil(self.instructions[self.tb] * share), 1).astype(np.int64)
        known = faults.accesses >= 0
        guessed = np.rint(blocks.accesses[self.tb] * share)
        self.accesses = np.maximum(np.where(known, faults.accesses, guessed), 1).astype(np.int64)
        self.unknown_accesses = int(np.count_nonzero(~known))
        self.translated = np.flatnonzero(blocks.born >= 0)
        line = max(host.dcache.line, host.icache.line)
        self.scratch = -(-self.layout.used // line) * line

    def _code(self, accesses: int) -> Code | None:
        """A block with ``accesses`` guest loads; None for a block without."""
        if accesses and accesses not in self._codes:
            loads: list[Access] = ["load"] * accesses
            self._codes[accesses] = self.translator.block(0, loads, followed=False)
        return self._codes.get(accesses)

    def temporaries(self, accesses: int) -> list[tuple[int, int]]:
        """Of a block with so many guest loads, the units that get temporary values: the access, and the offset."""
        code = self._code(accesses)
        if code is None:
            return []
        offsets = sorted({write.unit.offset for write in code.retranslated.writes if not write.complete})
        # All accesses are alike, and lie one behind the other.
        return [(number * accesses // len(offsets), offset) for number, offset in enumerate(offsets)]

    def _rewritten(self, accesses: int, size: int) -> Region:
        """What a retranslation writes, up to ``size`` bytes."""
        code = self._code(accesses)
        assert code is not None
        width = max(1, round(self.isa.instruction_bytes.value))
        others = []
        for offset in range(code.rewritten, size, width):
            unit = Unit(0, offset, min(width, size - offset), final=0)
            others.append(Write(unit, Phase.FAST_PATH, known=unit.mask, value=0))
        return Region(0, size, (*code.retranslated.writes, *others))

    @cached_property
    def retranslated(self) -> tuple[KindOfBlock, ...]:
        """The kinds of retranslations: guest accesses and rewritten length."""
        keys, kind = np.unique(np.stack((self.accesses, self.rewritten)), axis=1, return_inverse=True)
        return tuple(
            KindOfBlock(self._rewritten(int(accesses), int(size)), np.flatnonzero(kind.ravel() == number))
            for number, (accesses, size) in enumerate(keys.T)
        )

    @cached_property
    def blocks(self) -> tuple[KindOfBlock, ...]:
        """The kinds of TBs: guest accesses."""
        keys, kind = np.unique(self.trace.blocks.accesses, return_inverse=True)
        kinds = []
        for number, accesses in enumerate(keys):
            rows = np.flatnonzero(kind == number)
            code = self._code(int(accesses))
            size = round(float(self.layout.sizes[rows].mean()))
            kinds.append(KindOfBlock(Region(0, size, code.writes if code else ()), rows))
        return tuple(kinds)

    @cached_property
    def sizes(self) -> tuple[list[Block], I64]:
        """The TBs as ``side_bytes`` sees them, each that is another once, and which of them each TB is."""
        # As one number: to sort pairs takes ten times as long.
        room = int(self.layout.sizes.max(initial=0)) + 1
        keys, kind = np.unique(self.instructions * room + self.layout.sizes, return_inverse=True)
        words = START_WORDS[self.trace.guest]
        return [Block(int(key) // room, int(key) % room, words) for key in keys], kind

    @cached_property
    def buffers(self) -> tuple[Buffer, ...]:
        """The code buffer at each tb flush of the trace."""
        layout, epoch = self.layout, self.trace.blocks.epoch
        buffers = []
        for number in range(self.trace.flushes.size):
            rows = np.flatnonzero(epoch == number)
            used = int((layout.addresses[rows] + layout.sizes[rows]).max(initial=0))
            regions = tuple(_Sized(int(row), int(layout.sizes[row]), ()) for row in rows)
            buffers.append(Buffer(used, regions))
        return tuple(buffers)

    def where(self, where: Unit | Region | Buffer) -> Extent | None:
        """Where maintenance in ``flush_buffer`` acts."""
        if isinstance(where, Buffer):
            return Extent(0, where.size) if where.size else None
        tb, start, size = (where.tb, where.offset, where.size) if isinstance(where, Unit) else (where.tb, 0, where.size)
        address = int(self.layout.addresses[tb]) + start
        return Extent(address, address + size)

    def translation_plans(self, strategy: Strategy) -> tuple[Plan, ...]:
        """What ``translate`` does for each kind of TB; the rest of the block is stored first, plainly."""
        return (
            self.base_translations
            if answers_as_base(strategy, "translate", "emit")
            else self._translation_plans(strategy)
        )

    def _translation_plans(self, strategy: Strategy) -> tuple[Plan, ...]:
        plans = []
        for kind in self.blocks:
            one = plan(strategy, (("translate", kind.region),), self.isa.flush)
            modelled = max((write.unit.offset + write.unit.size for write in kind.region.writes), default=0)
            plans.append(Plan((LineStep(Kind.STORE, Extent(modelled, None)), *one.steps), one.fixed))
        return tuple(plans)

    def retranslation_plans(self, strategy: Strategy, executors: Mapping[str, bool]) -> tuple[Plan, ...]:
        """What ``retranslate`` does for each kind of retranslation, while others hold the locks ``executors``."""
        if answers_as_base(strategy, "retranslate", "begin", "emit", "publish"):
            return self.base_retranslations
        return self._retranslation_plans(strategy, executors)

    def _retranslation_plans(self, strategy: Strategy, executors: Mapping[str, bool]) -> tuple[Plan, ...]:
        return tuple(
            plan(strategy, (("retranslate", kind.region),), self.isa.flush, executors=executors)
            for kind in self.retranslated
        )

    @cached_property
    def base_retranslations(self) -> tuple[Plan, ...]:
        return self._retranslation_plans(Strategy(), {})

    @cached_property
    def base_translations(self) -> tuple[Plan, ...]:
        """The same for the base class: what runs anyway."""
        return self._translation_plans(Strategy())

    @cached_property
    def baseline(self) -> Doings:
        """Translations only: what any strategy does to the caches that neither rewrites nor maintains."""
        nothing: tuple[LineStep, ...] = ()
        return Doings(
            (nothing,) * len(self.retranslated),
            tuple(translation_by(one) for one in self.base_translations),
            (nothing,) * len(self.buffers),
        )

    @cached_property
    def as_emitted(self) -> Doings:
        """What the base class does to the caches: retranslations as the backend emits them, with nothing added."""
        plans = self._retranslation_plans(Strategy(), {})
        return Doings(
            tuple(translation_by(one) if one.stores else one.steps for one in plans),
            self.baseline.translations,
            self.baseline.flushes,
        )

    def events(self, doings: Doings) -> Events:
        """What happens to the caches, and when.

        A retranslation comes after the execution that faulted, before anything else; a translation before
        the execution that its TB was born at, between the right tb flushes.
        """
        faults, rest = self.trace.retranslations, self._elsewhere(doings.translations, doings.flushes)
        parts: list[I64] = []
        for kind, steps in zip(self.retranslated, doings.retranslations, strict=True):
            rows, tb = kind.rows, self.tb[kind.rows]
            when = faults.position[rows], np.zeros_like(rows), rows
            parts += self._happenings(steps, when, self.layout.addresses[tb], self.rewritten[rows])
        first = _in_order(parts)
        at = np.searchsorted(rest.position, first.position)
        columns = ("position", "kind", "address", "count")
        return Events(*(np.insert(getattr(rest, name), at, getattr(first, name)) for name in columns))

    def _elsewhere(self, translations: _Steps, flushes: _Steps) -> Events:
        """What happens apart from retranslations: mostly the same for all strategies, and most of what happens."""
        if (translations, flushes) not in self._apart:
            blocks, layout = self.trace.blocks, self.layout
            parts: list[I64] = []
            for kind, steps in zip(self.blocks, translations, strict=True):
                rows = kind.rows[blocks.born[kind.rows] >= 0]
                when = blocks.born[rows] - 1, 2 * blocks.epoch[rows].astype(np.int64) + 1, rows
                parts += self._happenings(steps, when, layout.addresses[rows], layout.sizes[rows])
            for number, (buffer, steps) in enumerate(zip(self.buffers, flushes, strict=True)):
                row = np.array([number])
                when = self.trace.flushes[row] - 1, 2 * row + 2, row
                parts += self._happenings(steps, when, np.zeros_like(row), np.full_like(row, max(buffer.size, 1)))
            self._apart[translations, flushes] = _in_order(parts)
        return self._apart[translations, flushes]

    def simulated(self, doings: Iterable[Doings], chunks: Iterable[U32]) -> list[Counts]:
        """The counts of each, from one pass over the execution."""
        layout = self.layout
        events = [self.events(one) for one in doings]
        return simulate(self.host, layout.addresses, layout.sizes, chunks, events, self.parameters.caches)

    def luck(self, more: Counts) -> tuple[float, float]:
        """By how many of the misses on top of the baseline's, and of those in the L2, chance may have missed.

        Random replacement draws the same for both where the difference does not reach.  Over five seeds the default
        trace on a Cortex-A9 shows a standard deviation of 1.0 times the square root of the L1 misses on top, as if
        they alone were drawn, and of 2.7 times that of the L2's, where sets differ longer: three of each.
        """
        host = self.host
        random = host.icache.replacement == "random"
        below = random or (host.l2 is not None and host.l2.replacement == "random")
        return 3 * math.sqrt(abs(more.code_misses)) * random, 9 * math.sqrt(abs(more.code_memory)) * below

    def _happenings(
        self, steps: Sequence[LineStep], when: tuple[I64, I64, I64], addresses: I64, sizes: I64
    ) -> Iterator[I64]:
        """``steps`` for blocks at ``addresses``, with the columns position, phase, row, step, kind, address, count."""
        if not steps:
            return
        # One row for each step, one column for each block.
        kinds, starts, ends, in_scratch = np.array(
            [(step.kind, step.extent.start, step.extent.last, step.extent.in_scratch) for step in steps], np.int64
        ).T[:, :, None]
        start, length = clipped(starts, ends, sizes)
        first = np.where(in_scratch, self.scratch, addresses) + start
        line = np.where(kinds == Kind.INVALIDATE, self.host.icache.line, self.host.dcache.line)
        count = lines_spanned(first, length, line)
        everywhere = np.isin(kinds, (Kind.TRANSLATE, Kind.INVALIDATE_ALL))
        first, count = np.where(everywhere, 0, first), np.where(everywhere, 1, count)
        columns = np.broadcast_arrays(*when, np.arange(len(steps))[:, None], kinds, first, count)
        yield np.stack([column.ravel() for column in columns])


def _in_order(parts: Iterable[I64]) -> Events:
    """Events from columns position, phase, row, step, kind, address, count."""
    position, phase, row, step, kind, address, count = np.concatenate([np.empty((7, 0), np.int64), *parts], axis=1)
    order = np.lexsort((step, row, phase, position))
    return Events(position[order], kind[order].astype(np.uint8), address[order], count[order])


@dataclass(frozen=True, slots=True)
class Doings:
    """What is done to the caches: the steps for each kind of retranslation and of TB, and for each tb flush."""

    retranslations: _Steps
    translations: _Steps
    flushes: _Steps

    def __hash__(self) -> int:
        # Enough to tell most of them apart: they are long.
        return hash(tuple(sum(map(len, steps)) for steps in (self.retranslations, self.translations, self.flushes)))


def translation_by(one: Plan) -> tuple[LineStep, ...]:
    """The steps of a plan, and the translator that takes them."""
    return (LineStep(Kind.TRANSLATE, WHOLE), *one.steps)
