"""Simulating several variants of one execution, which differ by their events."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np

from bench.hosts.profile import Cache, Host
from bench.replay.accesses import Accesses, Halves, Piece
from bench.replay.counts import Counts
from bench.replay.events import Events, check_range
from bench.replay.kernel import COLUMNS, COUNTERS, NO_LINE, NOWHERE, REPLACEMENTS, CacheArrays, Geometry, Shape, advance
from bench.replay.layout import PAGE, MemoryMap, line_spans
from bench.replay.parameters import CacheParameters
from bench.replay.variants import MOST_VARIANTS, Variants
from bench.support.errors import InputError
from bench.traces.trace import I64, U32, U64

MOST_WAYS = {"lru": 16, "plru": 64, "round-robin": 64, "random": 64}
"""The order of a set's ways is one 64-bit word, and so is the mask of its invalid ways."""
_AHEAD = 3
"""The number of pieces that may wait for a simulation."""


def simulate(
    host: Host, addresses: I64, sizes: I64, chunks: Iterable[U32], events: Sequence[Events], parameters: CacheParameters
) -> list[Counts]:
    """Replay an execution on ``host``, once with each of ``events``, the caches empty at the start.

    ``addresses`` and ``sizes``: the place of each TB in the code buffer (bytes, one row per TB id, from ``lay_out``).
    ``chunks``: the execution words in order (``Accesses.pieces``), read once and one chunk at a time: memory use
    depends on the length of the code buffer, not on that of the execution.

    Raises ``InputError`` for a TB outside 0 .. 1 GiB, a word that names no TB, events that are out of order, outside
    0 .. 1 GiB or after the end, and for caches with more ways than ``MOST_WAYS``.
    """
    check_range("TB", addresses, sizes)
    code_bytes = max([int((addresses + sizes).max(initial=0)), *(some.end_on(host) for some in events)])
    core = _Core(host, code_bytes, parameters)
    groups = [Variants.of(events[first : first + MOST_VARIANTS]) for first in range(0, len(events), MOST_VARIANTS)]
    replays = [[_Replay(core, group, half) for half in range(core.halves.mask + 1)] for group in groups]

    spans = line_spans(addresses, sizes, host.icache.line).astype(np.uint32)
    stops = np.unique(np.concatenate([np.empty(0, np.int64), *(group.position for group in groups)]))
    accesses = Accesses(
        spans, host.icache.sets, stops, core.halves, parameters.guest_data_lines, core.most_fresh - core.fresh
    )
    # The kernels release the interpreter's lock: the next pieces are filtered while others are simulated.
    with ExitStack() as threads:
        pools = [[threads.enter_context(ThreadPoolExecutor(1)) for _ in halves] for halves in replays]
        pending: deque[Future[None]] = deque()
        for pieces in accesses.pieces(chunks):
            for halves, pool in zip(replays, pools, strict=True):
                for half, thread, piece in zip(halves, pool, pieces, strict=True):
                    pending.append(thread.submit(half.advance, piece))
            while len(pending) > _AHEAD * len(groups) * len(pieces):
                pending.popleft().result()
        for future in pending:
            future.result()
    for some in events:
        some.check_before(accesses.length)

    whole = {
        "executions": accesses.executions,
        "stopped": accesses.stopped,
        "unknown": accesses.unknown,
        "code_lines": accesses.lines,
    }
    rows = [sum((replay.counted() for replay in halves[1:]), halves[0].counted()) for halves in replays]
    return [
        Counts(**(dict(zip(COUNTERS, row.tolist(), strict=True)) | whole))
        for group, variants in zip(groups, rows, strict=True)
        for row in variants[np.argsort(group.order)]
    ]


class _Replay:
    """The simulation of one half of several variants: caches, and the position in the events."""

    def __init__(self, core: _Core, variants: Variants, half: int) -> None:
        self._variants = variants
        self._caches = core.caches(len(variants.order), half)
        self._translator = core.translator(half)
        self._carried = np.array([0, core.fresh + (half << core.halves.data_shift)])

    def advance(self, piece: Piece) -> None:
        """Simulate a piece of the stream."""
        variants = self._variants
        advance(
            self._caches,
            self._translator,
            piece.accesses,
            piece.when,
            piece.stops,
            piece.bounds,
            piece.stopped,
            variants.position,
            variants.kind,
            variants.address,
            variants.count,
            variants.variants,
            self._carried,
        )

    def counted(self) -> I64:
        """The counts of each variant."""
        counts = self._caches.counts.reshape(-1, COLUMNS)[:, : len(COUNTERS)]
        return np.add(counts[:-1], counts[-1:])


class _Core:
    """The shape of a core's caches, and the addresses of translator and guest data behind ``code_bytes`` of code."""

    def __init__(self, host: Host, code_bytes: int, parameters: CacheParameters) -> None:
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
        self.halves = _halves(self._levels)
        memory = MemoryMap.behind(code_bytes, host, parameters)
        self._translator_code = memory.translator_code // host.icache.line, parameters.translator_code_lines
        self._translator_data = memory.translator_data // host.dcache.line, parameters.translator_data_lines
        self._dense = [memory.guest_data // cache.line for cache in self._levels]
        # A bit generator's raw stream does not depend on numpy's version.
        self._seeds = (np.random.PCG64(parameters.seed).random_raw(len(self._levels)) >> np.uint64(1)).tolist()
        self.fresh = memory.guest_data // host.dcache.line
        # Line numbers of all caches must stay below ``NO_LINE``.
        self.most_fresh = int(NO_LINE) * min(cache.line for cache in self._levels) // host.dcache.line

    def caches(self, variants: int, half: int) -> CacheArrays:
        """Empty caches for ``variants`` simulations of one half."""
        geometries: list[int] = []
        directory = row = frame = 0
        words = []
        for cache, dense, seed in zip(self._levels, self._dense, self._seeds, strict=True):
            geometries += Geometry(
                directory,
                dense,
                row,
                frame,
                cache.sets - 1,
                cache.ways,
                REPLACEMENTS.index(cache.replacement),
                cache.ways.bit_length() - 1,
                cache.line.bit_length() - 1,
                seed,
            )
            words.append(_set_words(cache))
            directory += dense + 1
            row += cache.sets
            frame += cache.sets * cache.ways
        host = self._host
        shape = Shape(
            variants,
            row,
            frame,
            len(self._levels),
            host.dcache.write == "back",
            host.dcache.write_allocate,
            host.coherence.snoop.value == "all",
            *self._translator_data,
            self.halves.mask,
            half,
            self.halves.code_shift,
            self.halves.data_shift,
        )
        return CacheArrays(
            sets=np.tile(np.concatenate(words), (variants, 1)).ravel(),
            tags=np.full(variants * frame, NO_LINE, np.uint32),
            ways_of=np.full(directory, NOWHERE, np.uint8),
            counts=np.zeros((variants + 1) * COLUMNS, np.int64),
            numbers=np.array([*shape, *geometries], np.int64),
        )

    def translator(self, half: int) -> U32:
        """The translator's instruction lines in one half."""
        first, count = self._translator_code
        lines: U32 = np.arange(first, first + count, dtype=np.uint32)
        return np.compress((lines >> self.halves.code_shift) & self.halves.mask == half, lines)


def _set_words(cache: Cache) -> U64:
    """The words of a cache's sets: way n is n-th in the order, every way is invalid, none is dirty."""
    order = sum(way << 4 * way for way in range(cache.ways)) if cache.replacement == "lru" else 0
    return np.tile(np.array([order, (1 << cache.ways) - 1, 0, 0], np.uint64), (cache.sets, 1))


def _halves(levels: Sequence[Cache]) -> Halves:
    """Two halves by the highest address bit in the index of every cache, or one if there is no such bit."""
    longest = max(cache.line for cache in levels)
    # A page is at least as long as both halves together.
    ways = min(PAGE, *(cache.size // cache.ways for cache in levels))
    if ways < 2 * longest:
        return Halves(0, 0, 0)
    bit = ways.bit_length() - 2
    code, data = (cache.line.bit_length() - 1 for cache in levels[:2])
    return Halves(1, bit - code, bit - data)
