"""The replay kernel counts what a plain reference and two published cache simulators count: equal, not similar."""

from __future__ import annotations

import dataclasses
import itertools
import lzma
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from cache_reference import Reference
from hypothesis import given, settings
from hypothesis import strategies as st

import bench.caches.simulate as simulate_module
from bench.caches.counts import Counts
from bench.caches.events import EventKind, Events, lines_spanned
from bench.caches.footprint import Footprint
from bench.caches.kernel import advance_with
from bench.caches.policies import MOST_WAYS
from bench.caches.simulate import MOST_VARIANTS, Probing, simulate
from bench.hosts import host_names, load_host
from bench.hosts.profile import Cache, DataCache, Host
from bench.support.errors import InputError

MIB = 1 << 20
NOTHING_ELSE = Footprint(guest_data_lines=0, translator_code_lines=0, translator_data_lines=0)


# ------------------------------------------------------------------------------------------------ hosts and streams


def cache(size: int, ways: int, line: int, replacement: str, **more: Any) -> Cache:
    """A cache of that shape."""
    kind = DataCache if more else Cache
    if more:
        more |= {"write_tag": "assumed", "write_source": ("test",)}
    more |= {"tag": "assumed", "source": ("test",), "replacement_tag": "assumed", "replacement_source": ("test",)}
    return kind(size=size, ways=ways, line=line, replacement=replacement, **more)


def machine(icache: Cache, dcache: Cache, l2: Cache | None, snoop: str = "none") -> Host:
    """A host with those caches; everything else is that of a shipped one with or without an L2."""
    base = load_host("cortex-a9" if l2 else "arm926")
    snoops = msgspec.structs.replace(base.coherence.snoop, value=snoop)
    coherence = msgspec.structs.replace(base.coherence, snoop=snoops)
    return msgspec.structs.replace(base, icache=icache, dcache=dcache, l2=l2, coherence=coherence)


def packed(sizes: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Addresses and sizes of TBs, one behind the other at 16-byte boundaries."""
    lengths = np.array(sizes, np.int64)
    room = -(-lengths // 16) * 16
    return np.cumsum(room) - room, lengths


Row = tuple[int, EventKind, int, int]


def events_of(rows: Iterable[Row]) -> Events:
    """Events from rows of position, kind, address, count, put in order."""
    ordered = sorted(rows, key=lambda row: row[0])
    position, kind, address, count = (list(column) for column in zip(*ordered, strict=True)) if ordered else ([],) * 4
    return Events(
        np.array(position, np.int64), np.array(kind, np.uint8), np.array(address, np.int64), np.array(count, np.int64)
    )


def run(host: Host, sizes: Sequence[int], words: Sequence[int], events: Events, parameters: Footprint) -> Counts:
    """A replay in one chunk."""
    return alone(host, *packed(sizes), [np.array(words, np.uint32)], events, parameters)


def alone(
    host: Host, addresses: Any, sizes: Any, chunks: Iterable[Any], events: Events, parameters: Footprint
) -> Counts:
    """One simulation by itself."""
    (counts,) = simulate(host, addresses, sizes, chunks, [(events,)], parameters)
    return counts


# ------------------------------------------------------------------------------------------------ the reference


def reference(host: Host, sizes: Sequence[int], words: Sequence[int], rows: list[Row], what: Footprint) -> Counts:
    """The counts of ``simulate``, the slow way."""
    return Counts(**replayed(host, sizes, words, rows, what).counts)


def replayed(host: Host, sizes: Sequence[int], words: Sequence[int], rows: list[Row], what: Footprint) -> Reference:
    """The reference after a replay."""
    addresses, lengths = packed(sizes)
    ends = [int(addresses[-1] + lengths[-1])]
    for _, kind, address, count in rows:
        line = host.icache.line if kind is EventKind.INVALIDATE else host.dcache.line
        ends.append((address // line + count) * line if kind < EventKind.INVALIDATE_ALL and count else 0)
    core = Reference(host, max(ends), what)
    pending = sorted(rows, key=lambda row: row[0])
    for position, word in enumerate([-1, *words], start=-1):
        if position >= 0:
            tb = word & 0xFFFFFF
            if word >> 31:
                core.counts["stopped"] += 1
            elif tb == 0xFFFFFF:
                core.counts["unknown"] += 1
            else:
                core.execute(int(addresses[tb]), int(lengths[tb]))
        while pending and pending[0][0] == position:
            core.event(*pending.pop(0)[1:])
    return core


@st.composite
def shapes(draw: st.DrawFn, lines: Sequence[int], data: bool = False) -> Cache:
    """A small cache of any shape and policy.  Words of 64 lines have sets of their own where there are as many."""
    replacement = draw(st.sampled_from(sorted(MOST_WAYS)))
    line, sets = draw(st.sampled_from(lines)), draw(st.sampled_from([1, 2, 4, 8, 64, 128]))
    most = 16 if sets < 64 else 2
    ways = draw(st.sampled_from([1, 2, 4, 8, 16][:most]) if replacement == "plru" else st.integers(1, most))
    more = {"write": draw(st.sampled_from(["back", "through"])), "write_allocate": draw(st.booleans())} if data else {}
    return cache(ways * line * sets, ways, line, replacement, **more)


@st.composite
def replays(draw: st.DrawFn) -> tuple[Host, list[int], list[int], list[Row], Footprint]:
    """A small host, TBs, executions, events and parameters."""
    lines = [16, 32, 64]
    host = machine(
        draw(shapes(lines)),
        draw(shapes(lines, data=True)),
        draw(st.none() | shapes([16, 32, 128])),
        draw(st.sampled_from(["none", "others", "all"])),
    )
    sizes = draw(st.lists(st.integers(1, 400), min_size=1, max_size=12))
    tb = st.integers(0, len(sizes) - 1)
    words = draw(st.lists(tb | tb.map(lambda t: t | 3 << 24) | st.sampled_from([0xFFFFFF, 1 << 31]), max_size=120))
    row = st.tuples(
        st.integers(-1, len(words) - 1), st.sampled_from(EventKind), st.integers(0, 3000), st.integers(0, 12)
    )
    rows = draw(st.lists(row, max_size=40 if words else 0))
    parameters = Footprint(
        guest_data_lines=draw(st.sampled_from([0, 50, 999, 2500])),
        translator_code_lines=draw(st.integers(0, 9)),
        translator_data_lines=draw(st.integers(0, 9)),
        seed=draw(st.integers(0, 5)),
    )
    return host, sizes, words, rows, parameters


@given(replays(), st.lists(st.integers(0, 120), max_size=6))
@settings(max_examples=400, deadline=None)
def test_every_count_is_that_of_the_plain_reference_in_any_chunks(replay: Any, cuts: list[int]) -> None:
    host, sizes, words, rows, parameters = replay
    chunks = np.split(np.array(words, np.uint32), sorted(min(cut, len(words)) for cut in cuts))
    # The order of events at one position is theirs: sorting keeps it, in both.
    assert alone(host, *packed(sizes), chunks, events_of(rows), parameters) == reference(*replay)


def dense_rows(random: np.random.Generator, count: int, end: int, room: int, shares: list[float] | None) -> list[Row]:
    """Events of kinds in those shares, on so many bytes."""
    kinds = random.choice(EventKind, count, p=shares)
    where = random.integers(-1, end, count), random.integers(0, room, count), random.integers(0, 6, count)
    return [(int(p), EventKind(k), int(a), int(c)) for p, k, a, c in zip(where[0], kinds, *where[1:], strict=True)]


@given(replays(), st.integers(0, 1 << 32), st.sets(st.integers(1, 149), max_size=3))
@settings(max_examples=200, deadline=None)
def test_probes_find_what_the_plain_reference_holds(replay: Any, seed: int, cuts: set[int]) -> None:
    host, sizes, _, _, parameters = replay
    random = np.random.default_rng(seed)
    words = random.integers(0, len(sizes), 150)
    drawn = dense_rows(random, 150, 150, 600, [0.2, 0.1, 0.1, 0.15, 0.05, 0.05, 0.35])
    drawn.sort(key=lambda row: row[0])
    probes = itertools.count()
    rows = [(*row[:3], next(probes) if row[1] is EventKind.PROBE else row[3]) for row in drawn]
    # Events that follow the last execution of a piece come with the next one, probes in it are numbered from 0.
    pieces, so_far = [], 0
    for chunk in np.split(words.astype(np.uint32), sorted(cuts)):
        so_far += len(chunk)
        here = [row for row in rows if so_far - len(chunk) - 1 <= row[0] < so_far - 1 + (so_far == 150)]
        first = min((row[3] for row in here if row[1] is EventKind.PROBE), default=0)
        numbered = [(*row[:3], row[3] - first * (row[1] is EventKind.PROBE)) for row in here]
        pieces.append((chunk, events_of(numbered)))
    addresses, lengths = packed(sizes)
    end = max(int((addresses + lengths).max()), events_of(rows).end_on(host))
    probing = Probing(host, addresses, lengths, end, parameters, len(words))
    found = np.concatenate([*probing.finds(pieces)])
    core = replayed(host, sizes, words.tolist(), rows, parameters)
    assert probing.counts == Counts(**core.counts)
    assert len(found) == len(core.probes)
    for number, expected in core.probes.items():
        for cache, (held, full, victims) in enumerate(expected):
            assert tuple(found[number, cache, :2]) == (held, full)
            if (host.icache, host.dcache)[cache].replacement == "random":
                assert found[number, cache, 2] == victims


@given(replays(), st.integers(0, 1 << 32))
@settings(max_examples=100, deadline=None)
def test_every_count_is_that_of_the_reference_in_dense_streams(replay: Any, seed: int) -> None:
    # Lists that hypothesis draws are short: here the same lines are stored, cleaned and dropped again and again.
    host, sizes, _, _, parameters = replay
    random = np.random.default_rng(seed)
    words = random.integers(0, len(sizes), 150).tolist()
    rows = dense_rows(random, 150, 150, 600, [0.3, 0.1, 0.3, 0.15, 0.05, 0.05, 0.05])
    assert run(host, sizes, words, events_of(rows), parameters) == reference(host, sizes, words, rows, parameters)


@given(replays(), st.data())
@settings(max_examples=100, deadline=None)
def test_simulations_side_by_side_that_share_layers_are_those_one_by_one(replay: Any, data: st.DataObject) -> None:
    host, sizes, words, rows, parameters = replay
    some = [data.draw(st.lists(st.sampled_from(rows), unique=True)) if rows else [] for _ in range(3)]
    kept = [[], rows, *some]
    layers = [events_of(each) for each in kept]
    asked = data.draw(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=2), min_size=1, max_size=5))
    shared = [tuple(layers[number] for number in numbers) for numbers in asked]
    together = simulate(host, *packed(sizes), [np.array(words, np.uint32)], shared, parameters)
    for numbers, counts in zip(asked, together, strict=True):
        every = events_of([row for number in numbers for row in kept[number]])
        assert counts == run(host, sizes, words, every, parameters)


@pytest.mark.parametrize("replacement", sorted(MOST_WAYS))
def test_a_line_that_one_simulation_drops_and_brings_back_is_held_by_all(replacement: str) -> None:
    host, parameters = with_policy(SIMPLE, replacement), Footprint(translator_code_lines=1, translator_data_lines=1)
    both = events_of([(-1, EventKind.TRANSLATE, 0, 1), (1, EventKind.TRANSLATE, 0, 1)])
    own = events_of([(0, EventKind.INVALIDATE_ALL, 0, 0), (0, EventKind.TRANSLATE, 0, 1)])
    ran = [np.zeros(2, np.uint32)]
    kept, dropped = simulate(host, *packed([64]), ran, [(Events.none(), both), (own, both)], parameters)
    assert kept.translator_code_misses == 1
    assert dropped.translator_code_misses == 2
    # The translator's data are held by both, and each looks at them as often as it runs.
    assert (kept.translator_data_lines, dropped.translator_data_lines) == (2, 3)


@pytest.mark.parametrize("sets", [8, 64])
@pytest.mark.parametrize("replacement", sorted(MOST_WAYS))
def test_what_one_simulation_brings_in_others_miss(replacement: str, sets: int) -> None:
    shape = cache(2 * 32 * sets, 2, 32, replacement)
    host, parameters = msgspec.structs.replace(SIMPLE, icache=shape), Footprint(translator_code_lines=3)
    both, own = (events_of([(position, EventKind.TRANSLATE, 0, 1)]) for position in (1, 0))
    ran = [np.zeros(2, np.uint32)]
    early, late = simulate(host, *packed([64]), ran, [(own, both), (Events.none(), both)], parameters)
    assert (early.translator_code_lines, late.translator_code_lines) == (6, 3)
    assert early.translator_code_misses == late.translator_code_misses == 3


def dense(host: Host, seed: int) -> tuple[list[int], list[int], list[Row]]:
    """TBs, executions, and events that store, clean and drop the same lines again and again."""
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 300, 20).tolist()
    words = random.integers(0, 20, 400).tolist()
    return sizes, words, dense_rows(random, 200, 400, 6000, None)


@pytest.mark.parametrize("replacement", sorted(MOST_WAYS))
def test_any_number_of_parts_counts_what_one_does(replacement: str, monkeypatch: pytest.MonkeyPatch) -> None:
    host = with_policy(SIMPLE, replacement)
    sizes, words, rows = dense(host, 3)
    parameters = Footprint(guest_data_lines=900, translator_code_lines=30, translator_data_lines=20)
    found = set()
    for processors in (1, 2, 8):
        monkeypatch.setattr(simulate_module, "processors", lambda here=processors: here)
        found.add(run(host, sizes, words, events_of(rows), parameters))
    assert len(found) == 1


@pytest.mark.slow  # a kernel is compiled for each
@pytest.mark.parametrize(
    ("icache", "dcache", "l2"), [("lru", "plru", "random"), ("round-robin", "lru", "lru"), ("plru", "random", None)]
)
def test_a_kernel_for_these_caches_counts_what_the_one_for_any_does(
    icache: str, dcache: str, l2: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = machine(
        cache(1024, 2, 32, icache),
        cache(2048, 4, 32, dcache, write="back", write_allocate=True),
        cache(8192, 8, 64, l2) if l2 else None,
    )
    sizes, words, rows = dense(host, 5)
    parameters = Footprint(guest_data_lines=900, translator_code_lines=30, translator_data_lines=20)
    simulations = [(events_of(rows[:count]),) for count in (0, 30, 200)]
    arguments = host, *packed(sizes), [np.array(words, np.uint32)], simulations, parameters
    general = simulate(*arguments)
    monkeypatch.setattr(simulate_module, "FEW", 0)
    assert simulate(*arguments) == general


def test_more_simulations_than_share_a_word_are_each_as_by_itself() -> None:
    sizes, words, rows = dense(SIMPLE, 4)
    events = [(events_of(rows[: 5 * number]),) for number in range(MOST_VARIANTS + 3)]
    together = simulate(SIMPLE, *packed(sizes), [np.array(words, np.uint32)], events, NOTHING_ELSE)
    assert together == [run(SIMPLE, sizes, words, one, NOTHING_ELSE) for (one,) in events]


@pytest.mark.parametrize("replacement", sorted(MOST_WAYS))
def test_the_most_ways_are_right_too(replacement: str) -> None:
    ways = MOST_WAYS[replacement]
    shape = cache(ways * 32, ways, 32, replacement)
    host = machine(shape, cache(2048, 2, 32, "lru", write="back", write_allocate=True), None)
    random = np.random.default_rng(7)
    sizes, words = [32] * 2 * ways, random.integers(0, 2 * ways, 2000).tolist()
    rows = [(int(position), EventKind.INVALIDATE, 32 * int(position % ways), 3) for position in range(0, 2000, 50)]
    counts = run(host, sizes, words, events_of(rows), NOTHING_ELSE)
    assert counts == reference(host, sizes, words, rows, NOTHING_ELSE)
    assert counts.invalidated > 0
    assert 0 < counts.code_misses < counts.code_lines


# ------------------------------------------------------------------------------------------------ two peers

PEER_POLICIES = {"lru": "LRU", "round-robin": "FIFO"}


def with_policy(host: Host, replacement: str) -> Host:
    """A host with that replacement in all caches."""
    caches = {"icache": host.icache, "dcache": host.dcache} | ({"l2": host.l2} if host.l2 else {})
    changed = {name: msgspec.structs.replace(shape, replacement=replacement) for name, shape in caches.items()}
    return msgspec.structs.replace(host, **changed)


def modelled(executions: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Addresses, sizes and executions of a stream with loops and a working set beyond every L1 cache."""
    random = np.random.default_rng(11)
    addresses, sizes = packed(random.integers(20, 900, 4000).tolist())
    loops = [np.tile(random.integers(0, 4000, 12) // random.choice([1, 20]), 5) for _ in range(executions // 60)]
    return addresses, sizes, np.concatenate(loops).astype(np.uint32)


@pytest.fixture(scope="module")
def recorded(shared_traces: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same of a recorded boot: its first 20,000 executions."""
    with lzma.open(shared_traces / "sys_arm_virt_user.exec.u32.xz") as file:
        words = np.frombuffer(file.read(80_000), "<u4")
    with np.load(shared_traces / "sys_arm_virt_user.npz") as file:
        sizes = file["tb_host_size"].tolist()
    return *packed(sizes), words.astype(np.uint32)


def by_pycachesim(
    host: Host,
    addresses: np.ndarray,
    sizes: np.ndarray,
    words: np.ndarray,
    loads: dict[int, tuple[int, int]],
    parameters: Footprint,
) -> tuple[int, int, int]:
    """Misses of the L1 caches and of the L2, counted by pycachesim."""
    cachesim = pytest.importorskip("cachesim", reason="pycachesim is not installed: no peer to compare with")

    def level(name: str, shape: Cache, below: Any) -> Any:
        policy = PEER_POLICIES[shape.replacement]
        return cachesim.Cache(name, shape.sets, shape.ways, shape.line, policy, load_from=below, store_to=below)

    l2 = level("L2", host.l2, None) if host.l2 else None
    icache, dcache = level("L1I", host.icache, l2), level("L1D", host.dcache, l2)
    # Behind the code buffer lie the translator's code and its data, one line each and 1 MiB of room.
    fresh = 2 * MIB + Reference.page(int((addresses + sizes).max()))
    touched = ran = 0
    for position, word in enumerate(words.tolist()):
        tb = word & 0xFFFFFF
        if not word >> 31 and tb != 0xFFFFFF:
            icache.backend.load(int(addresses[tb]), int(sizes[tb]))
            ran += 1
            while touched < ran * parameters.guest_data_lines // 1000:
                dcache.backend.load(fresh + touched * host.dcache.line, 1)
                touched += 1
        if position in loads:
            dcache.backend.load(*loads[position])
    return icache.backend.MISS_count, dcache.backend.MISS_count, l2.backend.MISS_count if l2 else 0


@pytest.mark.parametrize("replacement", PEER_POLICIES)
@pytest.mark.parametrize("name", host_names())
@pytest.mark.parametrize("source", ["modelled", "recorded"])
def test_misses_of_every_shipped_geometry_equal_those_of_pycachesim(
    name: str, replacement: str, source: str, request: pytest.FixtureRequest
) -> None:
    # Loads only: in pycachesim a store that hits does not make its line the most recent one.
    host = with_policy(load_host(name), replacement)
    addresses, sizes, words = modelled(20_000) if source == "modelled" else request.getfixturevalue("recorded")
    parameters = Footprint(guest_data_lines=300, translator_code_lines=1, translator_data_lines=1)
    places = np.arange(10, words.size, 25)
    tbs = words[places] & 0xFFFFFF
    places, tbs = places[tbs < addresses.size], tbs[tbs < addresses.size]
    spanned = lines_spanned(addresses[tbs], sizes[tbs], host.dcache.line)
    events = Events(places, np.full(places.size, EventKind.LOAD, np.uint8), addresses[tbs], spanned)
    counts = alone(host, addresses, sizes, [words], events, parameters)
    loads = {int(p): (int(addresses[t]), int(sizes[t])) for p, t in zip(places, tbs, strict=True)}
    below = counts.code_memory + counts.load_memory + counts.guest_data_memory if host.l2 else 0
    ours = counts.code_misses, counts.load_misses + counts.guest_data_misses, below
    assert ours == by_pycachesim(host, addresses, sizes, words, loads, parameters)
    assert counts.code_misses < counts.code_lines


@pytest.mark.parametrize("replacement", PEER_POLICIES)
@pytest.mark.parametrize("name", host_names())
def test_misses_of_every_shipped_instruction_cache_equal_those_of_libcachesim(name: str, replacement: str) -> None:
    # libCacheSim's caches are fully associative: a set-associative one is as many of them as it has sets.
    peer = pytest.importorskip("libcachesim", reason="libcachesim is not installed: no peer to compare with")
    host = with_policy(load_host(name), replacement)
    shape = host.icache
    addresses, sizes, words = modelled(2_000)
    # A hash table of 2^8 entries each, instead of 2^24 at first.
    sets = [getattr(peer, PEER_POLICIES[replacement])(shape.ways, hashpower=8) for _ in range(shape.sets)]
    lines = [
        line
        for tb in words.tolist()
        for line in range(addresses[tb] // shape.line, (addresses[tb] + sizes[tb] - 1) // shape.line + 1)
    ]
    hits = sum(sets[line % shape.sets].get(peer.Request(obj_id=line, obj_size=1)) for line in map(int, lines))
    counts = alone(host, addresses, sizes, [words], Events.none(), NOTHING_ELSE)
    assert (counts.code_lines, counts.code_misses) == (len(lines), len(lines) - hits)
    assert 0 < hits < len(lines)


# ------------------------------------------------------------------------------------------------ what events do

SIMPLE = machine(
    cache(1024, 2, 32, "lru"), cache(1024, 2, 32, "lru", write="back", write_allocate=True), cache(8192, 4, 32, "lru")
)


def test_what_events_do_is_counted_once_and_the_first_and_the_last_happen() -> None:
    stores = [(0, EventKind.STORE, 0, 4), (0, EventKind.STORE, 0, 2), *[(0, EventKind.CLEAN, 0, 8)] * 2]
    counts = run(SIMPLE, [128], [0], events_of(stores), NOTHING_ELSE)
    assert (counts.store_lines, counts.store_misses, counts.cleaned, counts.written_back) == (6, 4, 4, 0)
    words = [0, 0, 0]
    baseline = run(SIMPLE, [128], words, Events.none(), NOTHING_ELSE)
    counts = run(SIMPLE, [128], words, events_of([(1, EventKind.INVALIDATE, 32, 2)]), NOTHING_ELSE)
    difference = counts - baseline  # invalidated lines are refilled
    assert (difference.code_misses, difference.code_memory, difference.invalidated) == (2, 0, 2)
    assert difference.executions == difference.code_lines == 0
    ends = [(-1, EventKind.LOAD, 0, 1), (0, EventKind.INVALIDATE_ALL, 0, 0)]
    counts = run(SIMPLE, [64], [0], events_of(ends), NOTHING_ELSE)
    assert (counts.load_misses, counts.code_memory, counts.invalidated) == (1, 1, 2)


def test_random_replacement_depends_on_its_seed_alone() -> None:
    host = with_policy(SIMPLE, "random")
    addresses, sizes, words = modelled(2_000)
    first, again, other = (
        alone(host, addresses, sizes, [words], Events.none(), Footprint(seed=seed)) for seed in (1, 1, 2)
    )
    assert first == again != other


# ------------------------------------------------------------------------------------------------ bad input


def test_the_end_of_events_is_that_of_the_farthest() -> None:
    rows = [(0, EventKind.STORE, 0x9010, 2), (1, EventKind.INVALIDATE, 0x40, 1), (2, EventKind.TRANSLATE, 1 << 29, 1)]
    host = load_host("cortex-a9")  # lines of 32 bytes
    assert [events_of(rows[:count]).end_on(host) for count in range(4)] == [0, 0x9040, 0x9040, 0x9040]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"words": [2]}, "execution 0: TB 2; expected a TB below 2, or 16777215 for an unknown one"),
        ({"words": [0, 1, 0xFFFFFE]}, "execution 2: TB 16777214"),
        ({"sizes": [16, 0]}, "TB 1: 0 bytes at 16; expected at least one byte"),
        ({"sizes": [16, 1 << 31]}, f"TB 1: {1 << 31} bytes at 16"),
        ({"rows": [(2, EventKind.LOAD, 0, 1)]}, "event 0: position 2; expected one below 2"),
        ({"rows": [(-2, EventKind.LOAD, 0, 1)]}, "event 0: -2; expected ascending positions"),
        ({"rows": [(0, EventKind.CLEAN, -64, 1)]}, "CLEAN event 0: 32 bytes at -64"),
        ({"rows": [(0, EventKind.INVALIDATE, 0, 1 << 29)]}, "INVALIDATE event 0"),
        ({"rows": [(0, EventKind.STORE, 0, -1)]}, "event 0: -1; expected a count"),
        ({"rows": [(0, 7, 0, 1)]}, "event 0: 7; expected a kind below 7"),
    ],
)
def test_bad_input_is_one_line_that_names_the_place(change: dict[str, Any], message: str) -> None:
    what = {"sizes": [16, 16], "words": [0, 1], "rows": []} | change
    with pytest.raises(InputError) as caught:
        run(SIMPLE, what["sizes"], what["words"], events_of(what["rows"]), NOTHING_ELSE)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    events = Events(np.array([1, 0]), np.zeros(2, np.uint8), np.zeros(2, np.int64), np.ones(2, np.int64))
    with pytest.raises(InputError, match="event 1: 0; expected ascending positions"):
        run(SIMPLE, [16], [0, 0], events, NOTHING_ELSE)


def test_more_ways_than_a_word_orders_and_parameters_out_of_range_are_refused() -> None:
    host = msgspec.structs.replace(SIMPLE, icache=cache(65 * 32, 65, 32, "lru"))
    with pytest.raises(InputError, match=r"icache.ways: 65 ways, lru; expected at most 64"):
        run(host, [16], [0], Events.none(), NOTHING_ELSE)
    for parameter in dataclasses.fields(Footprint):
        for value in (-1, 1 << 64):
            with pytest.raises(InputError, match=f"{parameter.name}: {value}; expected 0 .. "):
                Footprint(**{parameter.name: value})


def test_a_sweep_that_would_come_round_is_refused() -> None:
    tiny = cache(64, 1, 8, "lru", write="back", write_allocate=True)
    host = msgspec.structs.replace(SIMPLE, dcache=tiny)
    # One million lines per 1000 executions: the line numbers end within 4.3 million executions.
    addresses, sizes = packed([16])
    endless = (np.broadcast_to(np.uint32(0), 1 << 23) for _ in range(1))
    with pytest.raises(InputError, match="guest data lines; expected a shorter execution"):
        alone(host, addresses, sizes, endless, Events.none(), Footprint(guest_data_lines=1_000_000))


def test_what_is_compiled_ahead_is_what_a_simulation_calls() -> None:
    host, ran = load_host("cortex-a9"), np.zeros(1, np.uint32)
    simulate_module.load(host, ran.size)
    compiled: Any = advance_with(0, 0, 0, 0, 0, 0)
    ahead = compiled.signatures
    alone(host, *packed([64]), [ran], Events.none(), Footprint())
    assert len(ahead) == 1
    assert compiled.signatures == ahead
