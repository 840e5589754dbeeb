"""The part of a replay that all strategies share: the layout of a trace on a host, and its groups of blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np

from bench.caches.counts import Counts
from bench.caches.events import EventKind, Events
from bench.caches.simulate import Simulation, simulate
from bench.hosts.profile import Host, Isa, Tag
from bench.program.layout import aligned
from bench.replay.cost import NOTHING, Cost, weakest
from bench.replay.layout import CodeBuffer, host_scale, lay_out
from bench.replay.occurrences import Occurrences, in_order
from bench.replay.parameters import Parameters
from bench.replay.plan import WHOLE, Extent, LineStep, Plan, patch, plan
from bench.replay.price import Prices
from bench.traces.links import EXIT_BYTES, Linker, linked
from bench.traces.trace import I64, U32, Guest, Links, Trace
from bench.translators.translator import Access, Code, Translator
from strategies.evaluation import answers_as_base
from strategies.strategy import Strategy
from strategies.writes import Block, Buffer, Phase, Region, Unit, Write

_Steps: TypeAlias = tuple[tuple[LineStep, ...], ...]

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


@dataclass(frozen=True, slots=True)
class BlockGroup:
    """Blocks for which the hooks are evaluated once, with ``region`` in place of each; ``rows``: their numbers."""

    region: Region
    rows: I64


class _SizedRegion(Region):
    """A block in a code buffer that is discarded: its length is known, its units are not."""

    def __iter__(self) -> Iterator[Unit]:
        raise TypeError("replay does not know the units of a block in a buffer; use the buffer or its regions")


@dataclass(frozen=True, slots=True)
class Simulated:
    """What a simulation counted, and what tells chance in two of them on one host.

    ``more``      the counts beyond the baseline's
    ``prices``, ``counted``  the prices of refills, and the tag of their counts
    ``replacement``  whether it is random in the L1, and there or in the L2
    ``allocates``    whether a store that misses brings its line in, as a load does
    """

    more: Counts
    prices: Prices
    counted: Tag
    replacement: tuple[bool, bool]
    allocates: bool

    def chance(self, other: Simulated) -> Cost:
        """The sampling noise in the difference to another simulation, in either direction: 3 sigma.

        Both draw the same victims until they differ: nothing where both miss as often.  Else it grows with the lines
        that only one of them fills, cleans or drops: over eight seeds of the default trace on a Cortex-A9, the standard
        deviations were at most 1.05 times the square root of their number for the L1, and 3.3 times for the L2.  All
        108 differences of three seeds that had no part in this (21 to 23) lie within 3 sigma of the means before.
        """
        one, two = self.more, other.more
        if (one.code_misses, one.code_memory) == (two.code_misses, two.code_memory):
            return NOTHING
        # Whether a line is brought in by a load or a store, the caches hold the same: a strategy that reads back first
        # is not apart from one that does not.
        by_events = ("load_misses", "store_misses")
        differ = one - two
        brought = [getattr(differ, name) for name in by_events]
        lines = [*([sum(brought)] if self.allocates else brought), *(getattr(differ, name) for name in _APART)]
        apart = math.sqrt(sum(map(abs, lines)))
        random, below = self.replacement
        return self.prices.chance(3.2 * apart * random, 10 * apart * below, self.counted, "difference")


_APART = (
    *("code_misses", "code_memory", "translator_code_misses", "translator_data_misses", "guest_data_misses"),
    *("cleaned", "invalidated", "snooped"),
)
"""What two simulations differ in, in lines, besides those that loads and stores bring in."""


class Pricing:
    """What prices on a host depend on, whatever is executed there; ``counted``: the tag of counts of refills."""

    def __init__(self, host: Host, translator: Translator, parameters: Parameters) -> None:
        # Its kernel is as old as the translator, unless its flush is set otherwise.
        self.host = host = host.as_of(int(translator.version))
        self.translator = translator
        self.parameters = parameters
        scale = host_scale("x86-64" if parameters.as_recorded else translator.isa)
        lengths: Tag = "measured" if parameters.as_recorded else weakest("estimate", scale.tag)
        self.prices = Prices.on(host, translator.isa, parameters, lengths, scale)
        self.counted = weakest(
            lengths,
            host.icache.tag,
            host.icache.replacement_tag,
            parameters.translator_code_lines.tag,
            *((host.l2.tag, host.l2.replacement_tag, parameters.guest_data_lines.tag) if host.l2 else ()),
        )

    @property
    def replacement(self) -> tuple[bool, bool]:
        """Whether replacement is random in the L1 instruction cache, and there or in the L2."""
        host = self.host
        random = host.icache.replacement == "random"
        return random, random or (host.l2 is not None and host.l2.replacement == "random")

    def sampling_noise(self, more: Counts) -> tuple[float, float]:
        """The sampling noise of random replacement in the additional L1 misses, and in those that miss the L2: 3 sigma.

        Both replays draw the same victims in every set that does not differ.  Over eight seeds the default trace on a
        Cortex-A9 has a standard deviation of up to 1.1 times the square root of the additional L1 misses, about as if
        they alone were drawn, and of 2.7 times the square root of those in the L2, where sets differ for longer.  All
        36 figures of three seeds that had no part in this (21 to 23) lie within 3 sigma of the means before.
        """
        random, below = self.replacement
        return 3.3 * math.sqrt(abs(more.code_misses)) * random, 9 * math.sqrt(abs(more.code_memory)) * below


class ReplayContext(Pricing):
    """A trace on a host: everything that does not depend on the strategy."""

    def __init__(self, trace: Trace, host: Host, translator: Translator, parameters: Parameters) -> None:
        super().__init__(host, translator, parameters)
        self.trace = trace
        self.isa: Isa = self.host.runs_as(translator.isa)
        self.layout: CodeBuffer = lay_out(
            trace.blocks, trace.retranslations, translator.isa, as_recorded=parameters.as_recorded
        )
        self._codes: dict[int, Code] = {}
        self._writes: dict[Write, Write] = {}
        self._cached_events: list[tuple[tuple[_Steps, ...], Events]] = []

        blocks, faults = trace.blocks, trace.retranslations
        self.tb = faults.tb.astype(np.int64)
        self.instructions = blocks.instructions.astype(np.int64)
        # The faulting operation has at least one byte and one access, even where none was recorded.
        self.rewritten = np.maximum(self.layout.rewritten, 1)
        share = self.rewritten / self.layout.sizes[self.tb]
        self.decoded = np.maximum(np.ceil(self.instructions[self.tb] * share), 1).astype(np.int64)
        known = faults.accesses >= 0
        guessed = np.rint(blocks.accesses[self.tb] * share)
        self.accesses = np.maximum(np.where(known, faults.accesses, guessed), 1).astype(np.int64)
        self.unknown_accesses = int(np.count_nonzero(~known))
        self.translated = np.flatnonzero(blocks.born >= 0)
        self.scratch = aligned(self.layout.used, max(host.dcache.line, host.icache.line))

    def _code(self, accesses: int) -> Code | None:
        """A block with that many guest loads; None for a block without any."""
        if accesses and accesses not in self._codes:
            loads: list[Access] = ["load"] * accesses
            self._codes[accesses] = self.translator.block(0, loads, followed=False)
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
        width = max(1, round(self.isa.instruction_bytes.value))
        others = (_stored(offset, min(width, size - offset)) for offset in range(code.rewritten, size, width))
        return self._region(size, (*code.retranslated.writes, *others))

    def _region(self, size: int, writes: Iterable[Write]) -> Region:
        """A region in which a write is the same object as its like in any other: its hooks are found sooner."""
        return Region(0, size, tuple(self._writes.setdefault(write, write) for write in writes))

    @cached_property
    def retranslated(self) -> tuple[BlockGroup, ...]:
        """The groups of retranslations, by number of guest accesses and rewritten length."""
        keys, kind = np.unique(np.stack((self.accesses, self.rewritten)), axis=1, return_inverse=True)
        return tuple(
            BlockGroup(self._rewritten(int(accesses), int(size)), np.flatnonzero(kind.ravel() == number))
            for number, (accesses, size) in enumerate(keys.T)
        )

    @cached_property
    def blocks(self) -> tuple[BlockGroup, ...]:
        """The groups of TBs, by number of guest accesses."""
        keys, kind = np.unique(self.trace.blocks.accesses, return_inverse=True)
        kinds = []
        for number, accesses in enumerate(keys):
            rows = np.flatnonzero(kind == number)
            code = self._code(int(accesses))
            size = round(float(self.layout.sizes[rows].mean()))
            kinds.append(BlockGroup(self._region(size, code.writes if code else ()), rows))
        return tuple(kinds)

    @cached_property
    def sizes(self) -> tuple[list[Block], I64]:
        """The distinct TBs as ``side_bytes`` sees them, and the index of each TB among them."""
        # Each pair is one number: sorting pairs takes ten times as long.
        room = int(self.layout.sizes.max(initial=0)) + 1
        keys, kind = np.unique(self.instructions * room + self.layout.sizes, return_inverse=True)
        start_words = START_WORDS[self.trace.guest]
        return [Block(int(key) // room, int(key) % room, start_words) for key in keys], kind

    @cached_property
    def buffers(self) -> tuple[Buffer, ...]:
        """The code buffer at each tb flush of the trace."""
        layout, epoch = self.layout, self.trace.blocks.epoch
        buffers = []
        for number in range(self.trace.flushes.size):
            rows = np.flatnonzero(epoch == number)
            used = int((layout.addresses[rows] + layout.sizes[rows]).max(initial=0))
            regions = tuple(_SizedRegion(int(row), int(layout.sizes[row]), ()) for row in rows)
            buffers.append(Buffer(used, regions))
        return tuple(buffers)

    def where(self, where: Unit | Region | Buffer) -> Extent | None:
        """The extent that maintenance in ``flush_buffer`` covers."""
        if isinstance(where, Buffer):
            return Extent(0, where.size) if where.size else None
        tb, start, size = (where.tb, where.offset, where.size) if isinstance(where, Unit) else (where.tb, 0, where.size)
        address = int(self.layout.addresses[tb]) + start
        return Extent(address, address + size)

    def translation_plans(self, strategy: Strategy) -> tuple[Plan, ...] | None:
        """The plan of ``translate`` for each group of TBs, the rest of the block stored before it; None: the base's."""
        if answers_as_base(strategy, "translate", "emit"):
            return None
        return self._translation_plans(strategy)

    def execution_plans(self, strategy: Strategy) -> tuple[Plan, ...]:
        """The plan of ``enter`` and ``leave`` together for each group of TBs."""
        if answers_as_base(strategy, "enter", "leave"):
            return (Plan(),) * len(self.blocks)
        around = ((("enter", kind.region), ("leave", kind.region)) for kind in self.blocks)
        return tuple(plan(strategy, calls, self.isa.flush) for calls in around)

    def _translation_plans(self, strategy: Strategy) -> tuple[Plan, ...]:
        plans = []
        for kind in self.blocks:
            one = plan(strategy, (("translate", kind.region),), self.isa.flush)
            modelled = max((write.unit.offset + write.unit.size for write in kind.region.writes), default=0)
            plans.append(Plan((LineStep(EventKind.STORE, Extent(modelled, None)), *one.steps), one.fixed))
        return tuple(plans)

    def retranslation_plans(self, strategy: Strategy, executors: Mapping[str, bool]) -> tuple[Plan, ...] | None:
        """The plan of ``retranslate`` for each group of retranslations; None: the base's.

        ``executors``: locks of executing threads.
        """
        if answers_as_base(strategy, "retranslate", "begin", "emit", "publish"):
            return None
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
        """The translation plans of the base class, part of every replay."""
        return self._translation_plans(Strategy())

    @cached_property
    def baseline(self) -> CacheEffects:
        """Translations only: the cache effects of a strategy that neither rewrites nor maintains."""
        return CacheEffects.of(
            [Plan()] * len(self.retranslated), self.base_translations, [Plan()] * self.trace.flushes.size
        )

    @cached_property
    def as_emitted(self) -> CacheEffects:
        """The cache effects of the base class: retranslations as the backend emits them, with nothing added."""
        return CacheEffects.of(self.base_retranslations, self.base_translations, [Plan()] * self.trace.flushes.size)

    def events(self, cache_effects: CacheEffects) -> Simulation:
        """The events of a replay in time order: those of retranslations, and all others.

        A retranslation follows the execution that faulted at once.  A translation precedes the first execution after
        its TB was translated, between the tb flushes of its epoch.
        """
        retranslations, *others = cache_effects.retranslations, cache_effects.translations, cache_effects.flushes
        return self._cached(self._retranslation_events, retranslations), self._cached(self._other_events, *others)

    def _cached(self, made: Callable[..., Iterable[Occurrences]], *steps: _Steps) -> Events:
        """The events of some steps, which most strategies have in common: the same object for all of them."""
        # Compared and not hashed: most steps are the same objects.
        for known, events in self._cached_events:
            if known == steps:
                return events
        events = in_order(made(*steps), self.host, self.layout.used, self.scratch)
        self._cached_events.append((steps, events))
        return events

    def _retranslation_events(self, retranslations: _Steps) -> Iterator[Occurrences]:
        faults = self.trace.retranslations
        for kind, steps in zip(self.retranslated, retranslations, strict=True):
            rows, tb = kind.rows, self.tb[kind.rows]
            when = faults.position[rows], np.zeros_like(rows), rows
            yield Occurrences(steps, *when, self.layout.addresses[tb], self.rewritten[rows])

    def _other_events(self, translations: _Steps, flushes: _Steps) -> Iterator[Occurrences]:
        yield from self._unlinked_events(translations, flushes)
        if self._links_are_patched:
            yield from self._link_events(self.linker.links if self.trace.links is None else self.trace.links)

    def _unlinked_events(self, translations: _Steps, flushes: _Steps) -> Iterator[Occurrences]:
        blocks, layout = self.trace.blocks, self.layout
        for kind, steps in zip(self.blocks, translations, strict=True):
            rows = kind.rows[blocks.born[kind.rows] >= 0]
            when = blocks.born[rows] - 1, 2 * blocks.epoch[rows].astype(np.int64) + 1, rows
            yield Occurrences(steps, *when, layout.addresses[rows], layout.sizes[rows])
        for number in (number for number, steps in enumerate(flushes) if steps):
            row = np.array([number])
            when = self.trace.flushes[row] - 1, 2 * row + 2, row
            size = np.full_like(row, max(self.buffers[number].size, 1))
            yield Occurrences(flushes[number], *when, np.zeros_like(row), size)

    @property
    def derives_links(self) -> bool:
        """Whether links are patched that only a pass over the execution tells."""
        return self._links_are_patched and self.trace.links is None

    def unlinked(self, cache_effects: CacheEffects) -> Simulation:
        """As ``events``, but for those of links: ``patches`` has them."""
        parts = (
            self._retranslation_events(cache_effects.retranslations),
            self._unlinked_events(cache_effects.translations, cache_effects.flushes),
        )
        return tuple(in_order(part, self.host, self.layout.used, self.scratch) for part in parts)

    def patches(self, links: Links) -> Events:
        """The events of some links, which come after all others at their place."""
        return in_order(self._link_events(links), self.host, self.layout.used, self.scratch)

    @cached_property
    def linker(self) -> Linker:
        """The links of the execution, derived in a pass of its own."""
        return linked(self.trace)

    @property
    def _links_are_patched(self) -> bool:
        return bool(self.translator.patched and self.parameters.linked.value)

    def _link_events(self, links: Links) -> Iterator[Occurrences]:
        """Linking: the source's exit is patched and flushed before the target runs, after all else at its place."""
        layout = self.layout
        source = links.source.astype(np.int64)
        from_end = np.minimum(EXIT_BYTES * (2 - links.slot.astype(np.int64)), layout.sizes[source])
        at = layout.addresses[source] + layout.sizes[source] - from_end
        last = np.full_like(source, 2 * self.trace.flushes.size + 3)
        when = links.position - 1, last, np.arange(source.size)
        steps = patch(self.translator.patched, self.isa.flush).steps
        yield Occurrences(steps, *when, at, np.full_like(source, self.translator.patched))

    def simulated(self, cache_effects: Iterable[CacheEffects], chunks: Iterable[U32]) -> list[Counts]:
        """The counts under each of the effects, from one pass over the execution."""
        layout = self.layout
        events = [self.events(one) for one in cache_effects]
        return simulate(self.host, layout.addresses, layout.sizes, chunks, events, self.parameters.caches)


def _stored(offset: int, size: int) -> Write:
    """A write of a whole unit."""
    unit = Unit(0, offset, size, final=0)
    return Write(unit, Phase.FAST_PATH, known=unit.mask, value=0)


@dataclass(frozen=True, slots=True)
class CacheEffects:
    """The cache effects of a strategy: steps for each group of retranslations and of TBs, and for each tb flush."""

    retranslations: _Steps
    translations: _Steps
    flushes: _Steps

    @classmethod
    def of(cls, retranslations: Iterable[Plan], translations: Iterable[Plan], flushes: Iterable[Plan]) -> CacheEffects:
        """The cache effects of plans; the translator runs before a translation and a retranslation that stores."""
        run = LineStep(EventKind.TRANSLATE, WHOLE)
        return cls(
            tuple((run, *one.steps) if one.stores else one.steps for one in retranslations),
            tuple((run, *one.steps) for one in translations),
            tuple(one.steps for one in flushes),
        )

    def __hash__(self) -> int:
        # Hashing all steps would be slow, and their numbers distinguish most strategies.
        return hash(tuple(sum(map(len, steps)) for steps in (self.retranslations, self.translations, self.flushes)))
