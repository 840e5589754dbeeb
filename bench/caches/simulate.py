"""Simulating several variants of one execution, which differ by their events."""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np

from bench.caches import kernel
from bench.caches.counts import Counts
from bench.caches.events import EventKind, Events, Timeline, check_range
from bench.caches.footprint import Footprint
from bench.caches.kernel import COUNTERS, FREE, Advance, CacheState, Carried, Level, Shape, Streams, advance_with
from bench.caches.policies import MOST_LINES, MOST_WAYS, NOTHING, POLICIES, UNMOVED
from bench.hosts.profile import Host
from bench.program.layout import aligned, line_range
from bench.support.errors import InputError
from bench.support.kernels import were_compiled
from bench.support.processors import beside, processors
from bench.traces.successor import UNKNOWN_TB
from bench.traces.trace import I64, U32

PAGE = 1 << 20
"""Bytes; the code buffer, the translator and the guest's data begin at multiples of it."""
MOST_VARIANTS = 32
"""The maximum number of simulations that share cache sets."""
MOST_PARTS = 8
"""The maximum number of threads: each reads all executions."""
FEW = 1 << 20
"""Fewer executions are simulated by the kernel for any caches: it is slower, and compiled once."""
_AHEAD = 2
"""Chunks that a part may be ahead of another."""
_PER_THOUSAND = 1000

Simulation: TypeAlias = tuple[Timeline, ...]
"""Events in layers: of those after one execution the first layer's come first.  Equal layers of two are one object."""


@dataclass(frozen=True, slots=True)
class MemoryMap:
    """The addresses behind the code buffer, in bytes: the translator's code, its data, and the guest's data."""

    translator_code: int
    translator_data: int
    guest_data: int

    @classmethod
    def behind(cls, code_bytes: int, host: Host, footprint: Footprint) -> MemoryMap:
        """The memory map of ``host`` with ``code_bytes`` of code buffer."""
        code = aligned(code_bytes, PAGE)
        data = aligned(code + footprint.translator_code_lines * host.icache.line, PAGE)
        return cls(code, data, aligned(data + footprint.translator_data_lines * host.dcache.line, PAGE))


def load(host: Host, executions: int) -> None:
    """Have the kernels for that many executions on ``host`` loaded, or compiled; those begun ahead are waited for."""
    Events.none().end_on(host)
    if _ahead is not None:
        _ahead()
    _load(host, executions)


def _load(host: Host, executions: int) -> None:
    core = _Core(host, 1, Footprint())
    nothing = np.zeros(0, np.uint32)
    variants = _Variants([()])
    part = _Part(core, nothing.reshape(0, 2), variants.order, 0)
    core.advance(executions)(*part.arguments(nothing, nothing, variants.until(0)))


_ahead: Callable[[], None] | None = None


def compile_ahead(host: Host, executions: int) -> None:
    """Have those that take longest compiled in another process, if none ever was here."""
    global _ahead
    if not were_compiled(kernel.__file__):
        _ahead = beside(partial(_load, host, executions), yields=False)


def line_spans(addresses: I64, sizes: I64, line: int) -> I64:
    """The first and the last line of each TB, one row per TB."""
    return np.stack(line_range(addresses, sizes, line), axis=1)


def simulate(
    host: Host,
    addresses: I64,
    sizes: I64,
    chunks: Iterable[U32],
    simulations: Sequence[Simulation],
    footprint: Footprint,
) -> list[Counts]:
    """Replay an execution on ``host``, once with the events of each of ``simulations``, the caches empty at the start.

    ``addresses`` and ``sizes``: the place of each TB in the code buffer (bytes, one row per TB id, from ``lay_out``).
    ``chunks``: the execution words in order (``kernel.py``), read once and one chunk at a time: memory use
    depends on the length of the code buffer, not on that of the execution.

    Raises ``InputError`` for a TB outside 0 .. 1 GiB, a word that names no TB, events that are out of order, outside
    0 .. 1 GiB or after the end, too many guest data lines, and for caches with more ways than ``MOST_WAYS``.
    """
    check_range("TB", addresses, sizes)
    events = {id(some): some for layers in simulations for some in layers}.values()
    code_bytes = max([int((addresses + sizes).max(initial=0)), *(some.end_on(host) for some in events)])
    core = _Core(host, code_bytes, footprint)
    spans = line_spans(addresses, sizes, host.icache.line).astype(np.uint32)
    groups = [
        _Variants(simulations[first : first + MOST_VARIANTS]) for first in range(0, len(simulations), MOST_VARIANTS)
    ]
    parts = [[_Part(core, spans, variants.order, number) for number in range(core.parts)] for variants in groups]
    length = 0
    # The kernels release the interpreter's lock: chunks are read while others are simulated.
    with contextlib.ExitStack() as stack:
        threads = [stack.enter_context(ThreadPoolExecutor(1)) for _ in range(core.parts)]
        running: deque[list[Future[None]]] = deque()

        def wait_for(chunk: list[Future[None]]) -> None:
            for future in chunk:
                future.result()

        for words in chunks:
            # Of the events only those of a few chunks are there.
            pieces = [variants.until(length + words.size) for variants in groups]
            running.append(
                [
                    thread.submit(one.advance, length, words, _UNSEEN, streams)
                    for streams, group in zip(pieces, parts, strict=True)
                    for thread, one in zip(threads, group, strict=True)
                ]
            )
            length += words.size
            if len(running) > _AHEAD:
                wait_for(running.popleft())
        for chunk in running:
            wait_for(chunk)
    for some in events:
        some.check_before(length)
    return [Counts(*row) for group in parts for row in np.sum([one.counts for one in group], axis=0).tolist()]


_UNSEEN = np.zeros(0, np.uint32)
"""What probes find where there are none."""


class Probing:
    """One simulation as in ``simulate``, whose events come with the executions and have probes among them.

    ``end`` of what executions and events access of the code buffer, in bytes.  ``executions``: how many there will be.
    ``counts``: so far.
    """

    def __init__(self, host: Host, addresses: I64, sizes: I64, end: int, footprint: Footprint, executions: int) -> None:
        check_range("TB", addresses, sizes)
        core = _Core(host, end, footprint)
        spans = line_spans(addresses, sizes, host.icache.line).astype(np.uint32)
        advance = core.advance(executions)
        self._parts = [_Part(core, spans, [0], number, advance) for number in range(core.parts)]

    @property
    def counts(self) -> Counts:
        (row,) = np.sum([part.counts for part in self._parts], axis=0).tolist()
        return Counts(*row)

    def finds(self, pieces: Iterable[tuple[U32, Events]]) -> Iterator[U32]:
        """What the probes of each piece find; the next piece is read, and this is used, while one is simulated.

        A piece: executions, and the events between two of them; those before its first one are also the last's.  Found
        is (probe, cache, what), of the instruction and the data cache: whether the line is held, whether no frame of
        its set is free, and, under random replacement alone, how many lines were replaced in it so far, modulo 2^32.
        Raises as ``simulate`` for a word that names no TB, and for too many guest data lines.
        """
        length = 0
        with contextlib.ExitStack() as stack:
            threads = [stack.enter_context(ThreadPoolExecutor(1)) for _ in self._parts]
            running: deque[tuple[U32, list[Future[None]]]] = deque()

            def found_first() -> U32:
                seen, parts = running.popleft()
                for future in parts:
                    future.result()
                return seen

            for words, events in pieces:
                seen = np.zeros((int(np.count_nonzero(events.kind == EventKind.PROBE)), 2, 3), np.uint32)
                pairs = zip(threads, self._parts, strict=True)
                asked = length, words, seen.ravel(), events
                running.append((seen, [thread.submit(part.advance_own, *asked) for thread, part in pairs]))
                length += words.size
                if len(running) > _AHEAD:
                    yield found_first()
            while running:
                yield found_first()


class _Variants:
    """Simulations as variants, in their ``order``, whose events are taken in pieces."""

    def __init__(self, simulations: Sequence[Simulation]) -> None:
        # Variant 0 is the one that has most streams in common with others.
        shared = Counter(id(some) for layers in simulations for some in layers)
        self.order = sorted(range(len(simulations)), key=lambda one: -sum(shared[id(x)] for x in simulations[one]))
        # Each object once, in the order of layers.
        members: dict[tuple[int, int], int] = {}
        events = {}
        for variant, one in enumerate(self.order):
            for layer, some in enumerate(simulations[one]):
                members[layer, id(some)] = members.get((layer, id(some)), 0) | 1 << variant
                events[id(some)] = some
        streams = sorted(members)
        self._streams = [events[which] for _, which in streams]
        self._taken = -1
        self._variants = np.array([members[one] for one in streams], np.uint64)
        self._layers = np.array([layer for layer, _ in streams], np.int64)

    def until(self, position: int) -> Streams:
        """The events before a position that were not taken before."""
        pieces = [some.between(self._taken, position) for some in self._streams]
        self._taken = position
        every = Events.joined(pieces)
        columns = every.position, every.kind, every.address, every.count
        return Streams(*columns, np.cumsum([*map(len, pieces)], dtype=np.int64), self._variants, self._layers)


class _Part:
    """The simulation of one part of the lines in several variants, of which ``order`` is the order."""

    def __init__(
        self, core: _Core, spans: U32, order: Sequence[int], number: int, advance: Advance | None = None
    ) -> None:
        self._order = order
        self._core, self._number = core, number
        self._advance = advance
        self._spans = spans
        self._state = core.state(len(order), number)
        self._carried = np.array(Carried(0, 0, 0, core.fresh))

    def _own(self, events: Events) -> Events:
        """The events of which something is on lines of this part."""
        kind, core = events.kind, self._core
        last = events.address + np.where(kind == EventKind.PROBE, 0, (events.count - 1) * core.line)
        own = (kind == EventKind.TRANSLATE) | (kind == EventKind.INVALIDATE_ALL)
        for end in (events.address, last):
            own |= core.part_of(end) == self._number
        own |= last - events.address >= core.share
        return events[own]

    def advance_own(self, length: int, words: U32, seen: U32, events: Events) -> None:
        """Simulate a chunk with the events of the one variant."""
        own = self._own(events)
        self.advance(length, words, seen, _Variants([(own,)]).until(length + words.size))

    def advance(self, length: int, words: U32, seen: U32, streams: Streams) -> None:
        """Simulate a chunk of executions, after ``length`` others, with the events until its end.

        Probes write to ``seen``.  Raises ``InputError`` for a word that names no TB, and for too many guest data lines.
        """
        core = self._core
        if Carried(*self._carried.tolist()).fresh + words.size * core.guest // _PER_THOUSAND >= core.most_fresh:
            raise InputError(
                f"more than {core.most_fresh - core.fresh} guest data lines",
                place=f"execution {length}",
                expected="a shorter execution or fewer guest_data_lines",
            )
        if self._advance is None:
            self._advance = core.advance(words.size)
        bad = self._advance(*self.arguments(words, seen, streams))
        if bad >= 0:
            raise InputError(
                f"TB {int(words[bad]) & UNKNOWN_TB}",
                place=f"execution {length + bad}",
                expected=f"a TB below {len(self._spans)}, or {UNKNOWN_TB} for an unknown one",
            )

    def arguments(self, words: U32, seen: U32, streams: Streams) -> tuple[CacheState, Streams, U32, U32, I64, I64, U32]:
        """What the kernel takes."""
        ends = streams.ends
        next_event = np.concatenate((np.zeros(1, np.int64), ends[:-1], ends))[-2 * ends.size :]
        return self._state, streams, self._spans, words, self._carried, next_event, seen

    @property
    def counts(self) -> I64:
        """The counts of each simulation."""
        counts = self._state.counts.reshape(-1, len(COUNTERS))
        return np.add(counts[:-1], counts[-1:])[np.argsort(self._order)]


class _Core:
    """The shape of a core's caches, and the addresses of translator and guest data behind ``code_bytes`` of code."""

    def __init__(self, host: Host, code_bytes: int, footprint: Footprint) -> None:
        named = {"icache": host.icache, "dcache": host.dcache} | ({"l2": host.l2} if host.l2 else {})
        for name, cache in named.items():
            if cache.ways > MOST_WAYS[cache.replacement]:
                raise InputError(
                    f"{cache.ways} ways, {cache.replacement}",
                    file=host.name,
                    place=f"{name}.ways",
                    expected=f"at most {MOST_WAYS[cache.replacement]}",
                )
        self._host = host
        self._levels = list(named.values())
        memory = MemoryMap.behind(code_bytes, host, footprint)
        self._translator = (
            *(memory.translator_code // host.icache.line, footprint.translator_code_lines),
            *(memory.translator_data // host.dcache.line, footprint.translator_data_lines),
        )
        # A bit generator's raw stream does not depend on numpy's version.
        self._seeds = (np.random.PCG64(footprint.seed).random_raw(len(self._levels)) >> np.uint64(1)).tolist()
        self._tracked = memory.guest_data
        self.guest = footprint.guest_data_lines
        self.fresh = memory.guest_data // host.dcache.line
        # The sweep must not wrap: no line is accessed for the first time twice.
        self.most_fresh = MOST_LINES * min(cache.line for cache in self._levels) // host.dcache.line
        # Sets are independent: the lines are shared out by the highest address bits in the index of every cache.  So
        # most TBs are of one part.
        shortest_way = min(PAGE, *(cache.sets * cache.line for cache in self._levels))
        most = min(shortest_way // max(cache.line for cache in self._levels), processors(), MOST_PARTS)
        self.parts = 1 << max(most.bit_length() - 1, 0)
        self.share = shortest_way // self.parts
        self.line = max(host.icache.line, host.dcache.line)

    def part_of(self, address: I64) -> I64:
        """The part that the line at each address is of, whatever cache it is in."""
        part: I64 = address // self.share & (self.parts - 1)
        return part

    def advance(self, executions: int) -> Advance:
        """The kernel for an execution whose first chunk has so many: one for these caches is not compiled for a few."""
        kinds = [0] * 6
        if executions >= FEW:
            for number, cache in enumerate(self._levels):
                kinds[2 * number : 2 * number + 2] = POLICIES.index(cache.replacement), cache.ways
        return advance_with(*kinds)

    def state(self, variants: int, part: int) -> CacheState:
        """Empty caches for ``variants`` simulations of one part."""
        host = self._host
        levels: list[int] = []
        differs = []
        sets = frames = 0
        for cache, seed in zip(self._levels, self._seeds, strict=True):
            policy, line_bits = POLICIES.index(cache.replacement), cache.line.bit_length() - 1
            tracked = self._tracked // cache.line if policy in UNMOVED else 0
            levels += Level(frames, sets, cache.sets - 1, cache.ways, policy, line_bits, seed, tracked)
            differs.append(np.full(cache.sets, FREE if policy in UNMOVED else 0, np.uint64))
            sets += cache.sets
            frames += cache.sets * cache.ways
        code_shift, data_shift = (self.share.bit_length() - cache.line.bit_length() for cache in self._levels[:2])
        shape = Shape(
            *(variants, sets, frames, len(self._levels)),
            *(host.dcache.write == "back", host.dcache.write_allocate, host.coherence.snoop.value == "all"),
            *self._translator,
            *(self.parts - 1, part, code_shift, data_shift, self.guest),
        )
        return CacheState(
            frames=np.full(variants * frames, NOTHING, np.uint32),
            words=np.zeros(variants * sets, np.uint64),
            differs=np.concatenate(differs),
            taken=np.zeros(variants, np.uint32),
            evicted=np.zeros(variants, np.uint32),
            settled=np.zeros(3 * (1 + self._tracked // (min(cache.line for cache in self._levels) * 64)), np.uint64),
            counts=np.zeros((variants + 1) * len(COUNTERS), np.int64),
            numbers=np.array([*shape, *levels, *[0] * (3 - len(self._levels)) * len(Level._fields)], np.int64),
        )
