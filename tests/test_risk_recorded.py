"""A recorded execution's exposure, and what is propagated along it: against the replay, and against plain matrices."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from cache_reference import Reference
from cells import chain_cell as cell

import bench.risk.exposure as exposure_module
from bench.caches.events import EventKind
from bench.hosts import host_names, load_host
from bench.replay.context import ReplayContext
from bench.replay.parameters import Parameters
from bench.risk.evictions import Arrivals, arrivals_on, causes_on
from bench.risk.exposure import Exposure, expose
from bench.risk.harm import F64, FETCHED, always, harmful
from bench.risk.pressure import Pressure
from bench.risk.propagation import propagate
from bench.risk.quiescent import QuiescentMaps, QuiescentStates
from bench.risk.recorded import RecordedRisk
from bench.risk.risk import MultiThreaded, Range, Risk, RiskCell, SingleThreaded
from bench.risk.rows import UnitRows
from bench.scenarios import scenario
from bench.traces.model import measured, model_trace, varied
from bench.traces.store import load_trace, save_trace
from bench.traces.successor import STOPPED
from bench.traces.trace import I64, Trace
from bench.translators.registry import load_translator
from strategies.registry import find, shipped


@pytest.fixture(scope="module")
def trace(tiny_trace: Path) -> Trace:
    return load_trace(str(tiny_trace))


@pytest.fixture(scope="module")
def short_trace(trace: Trace, tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """A modelled execution of 3,000 TBs with some 20 retranslations."""
    shape = {"tbs": "200", "tb_bytes": "64,200,600,1200", "rewritten_bytes": "16,100,300,600"}
    changes = {"executions": "3000", **shape, "faults_per_million": "7000", "faulting_tbs": "6", "flushes": "1"}
    path = tmp_path_factory.mktemp("traces") / "short.trace"
    save_trace(model_trace(varied(measured(trace), changes), seed=3), path)
    return load_trace(str(path))


def context(trace: Trace, replacement: str, **parameters: int) -> ReplayContext:
    """The trace on a Cortex-A9 with that replacement in both caches."""
    host = load_host("cortex-a9", (f"icache.replacement={replacement}", f"dcache.replacement={replacement}"))
    settings = [f"{name}={value}" for name, value in parameters.items()]
    return ReplayContext(trace, host, load_translator("arm"), Parameters().varied(settings))


# ------------------------------------------------------------------------------------------------ exposure


@pytest.mark.parametrize("replacement", ["lru", "plru", "nru", "round-robin", "random"])
def test_the_caches_are_those_of_the_replay(trace: Trace, replacement: str) -> None:
    on = context(trace, replacement)
    (counts,) = on.simulated([on.as_emitted], trace.executions())
    assert expose(on).misses == counts.code_misses


@pytest.mark.parametrize("replacement", ["lru", "random"])
def test_every_retranslation_and_every_execution_of_its_block_is_a_row(trace: Trace, replacement: str) -> None:
    on = context(trace, replacement)
    found = expose(on).rows
    for unit in range(found.firsts.size - 1):
        rows = slice(found.firsts[unit], found.firsts[unit + 1])
        assert (found.gap[rows] >= 0).all()
    assert ((found.code >= 0) & (found.code <= 1)).all()
    assert ((found.data >= 0) & (found.data <= 1)).all()
    rewritten, counts = np.unique(found.rewritten[found.rewritten >= 0], return_counts=True)
    units = [
        sum(
            access < accesses and offset < on.layout.sizes[tb]
            for access, offset in on.groups.temporaries(int(accesses))
        )
        for tb, accesses in zip(on.groups.tb, on.groups.accesses, strict=True)
    ]
    assert dict(zip(rewritten.tolist(), counts.tolist(), strict=True)) == {
        row: count for row, count in enumerate(units) if count
    }


def test_without_anything_else_in_the_caches_lines_stay(trace: Trace) -> None:
    on = context(trace, "lru", guest_data_lines=0, translator_code_lines=0, translator_data_lines=0)
    large = msgspec.structs.replace(on.host.icache, size=1 << 24)
    whole = msgspec.structs.replace(on.host, icache=large, dcache=msgspec.structs.replace(on.host.dcache, size=1 << 24))
    found = expose(ReplayContext(trace, whole, on.translator, on.parameters)).rows
    rewrites = found.rewritten >= 0
    assert (found.code[rewrites] == 1).all()


def plain_rows(on: ReplayContext) -> dict[tuple[int, int, int], list[tuple[int, float, float]]]:
    """For each unit (TB, instruction line, data line) its rows: who, and whether the lines stayed.

    A line stays as long as it is found in its cache after everything that happens.  Under random replacement: the
    expectation, from the lines that the reference replaced in the set.
    """
    layout, host = (
        on.layout,
        msgspec.structs.replace(on.host, l2=None, costs=msgspec.structs.replace(on.host.costs, refill_l2=None)),
    )
    core = Reference(host, layout.used, on.parameters.caches)
    caches = core.icache, core.dcache
    random = host.icache.replacement == "random"
    units = {
        (int(tb), *((int(layout.addresses[tb]) + offset) // cache.line for cache in (host.icache, host.dcache)))
        for tb, accesses in zip(on.groups.tb, on.groups.accesses, strict=True)
        for _, offset in on.groups.temporaries(int(on.groups.accesses[on.groups.tb == tb].max()))
        if offset < layout.sizes[tb]
    }
    rows: dict[tuple[int, int, int], list[tuple[int, float, float]]] = {unit: [] for unit in units}
    stays = {unit: [1.0, 1.0] for unit in units}
    victims = {unit: [0, 0] for unit in units}

    def seen(unit: tuple[int, int, int], number: int) -> int:
        return caches[number].where(unit[1 + number])[0].victims

    def restart(unit: tuple[int, int, int]) -> None:
        stays[unit], victims[unit] = [1.0, 1.0], [seen(unit, 0), seen(unit, 1)]

    def row(unit: tuple[int, int, int], who: int) -> None:
        chance = [
            stay * ((1 - 1 / shape.ways) ** (seen(unit, number) - victims[unit][number]) if random else 1.0)
            for number, (stay, shape) in enumerate(zip(stays[unit], (host.icache, host.dcache), strict=True))
        ]
        rows[unit].append((who, *chance))
        restart(unit)

    def look() -> None:
        for unit in () if random else units:
            for number, cache in enumerate(caches):
                if cache.where(unit[1 + number])[1] is None:
                    stays[unit][number] = 0.0

    def happens(kind: EventKind, address: int, count: int) -> None:
        core.event(kind, address, count)
        look()
        for unit in units:
            if kind is EventKind.CLEAN and 0 <= unit[2] - address // host.dcache.line < count:
                stays[unit][1] = 0.0
            if kind is EventKind.INVALIDATE and 0 <= unit[1] - address // host.icache.line < count:
                stays[unit][0] = 0.0

    columns = [
        [*zip(some.position.tolist(), some.kind.tolist(), some.address.tolist(), some.count.tolist(), strict=True)]
        for some in (layer.between(-1, on.trace.length) for layer in on.events(on.as_emitted))
    ]
    events = sorted(itertools.chain.from_iterable(columns), key=lambda event: event[0])
    faults = on.trace.retranslations.position.tolist()
    words = np.concatenate([*on.trace.executions()]).tolist()
    for position, word in enumerate([-1, *words], start=-1):
        if position >= 0 and word < STOPPED:
            tb = word & 0xFFFFFF
            start, end = int(layout.addresses[tb]), int(layout.addresses[tb] + layout.sizes[tb])
            here = [u for u in units if start // host.icache.line <= u[1] <= (end - 1) // host.icache.line]
            for unit in here:
                row(unit, tb)
            core.execute(start, end - start)
            for unit in here:
                stays[unit][0], victims[unit][0] = 1.0, seen(unit, 0)
            look()
        marks = [number for number, fault in enumerate(faults) if fault == position]
        now = []
        while events and events[0][0] == position:
            now.append(events.pop(0)[1:])
        pairs = {mark: {unit[1:] for unit in units if unit[0] == on.groups.tb[mark]} for mark in marks}
        own = {mark: [unit for unit in units if unit[1:] in some] for mark, some in pairs.items()}
        stores = [number for number, (kind, _, _) in enumerate(now) if kind != EventKind.TRANSLATE]
        for number in range(len(now) + 1):
            if number == (stores[0] if stores else len(now)):
                for mark, some in own.items():
                    for unit in some:
                        row(unit, -1 - mark)
            if number < len(now):
                happens(EventKind(now[number][0]), *now[number][1:])
        for some in own.values():
            for unit in some:
                restart(unit)
    return rows


@pytest.mark.parametrize("replacement", ["lru", "round-robin", "random"])
def test_lines_stay_as_a_plain_simulation_has_it(short_trace: Trace, replacement: str) -> None:
    on = context(short_trace, replacement)
    found = expose(on).rows
    units = {}
    for unit in range(found.firsts.size - 1):
        rows = slice(found.firsts[unit], found.firsts[unit + 1])
        chances = zip(found.run[rows].tolist(), found.code[rows].tolist(), found.data[rows].tolist(), strict=True)
        units[unit] = [*chances]
    plain = [[(who == unit[0], code, data) for who, code, data in rows] for unit, rows in plain_rows(on).items()]
    assert units
    for rows in units.values():
        assert any(
            len(rows) == len(other) and all(one == pytest.approx(two) for one, two in zip(rows, other, strict=True))
            for other in plain
        )


# ------------------------------------------------------------------------------------------------ along it


def exponential(rates: F64, time: float) -> F64:
    """exp of a generator, by squaring a short series."""
    generator = (rates - np.diag(rates.sum(axis=1))) * time
    halvings = max(0, int(np.ceil(np.log2(max(1e-300, np.abs(generator).sum())))) + 8)
    small = generator / 2.0**halvings
    whole = np.eye(len(rates)) + small + small @ small / 2 + small @ small @ small / 6
    for _ in range(halvings):
        whole = whole @ whole
    return whole


def rates_of(maps: QuiescentMaps, arrivals: Arrivals) -> F64:
    """The transitions per cycle from each quiescent state to each other."""
    found = np.zeros((maps.run.size, maps.run.size))
    for state, here in enumerate(maps.here):
        for core, (drop, evict, move) in enumerate(zip(maps.drop, maps.evict, maps.move, strict=True)):
            found[state, evict[state]] += arrivals.data
            found[state, drop[state]] += arrivals.code
            found[state, evict[drop[state]]] += arrivals.both
            if core != here:
                found[state, move[state]] += arrivals.move / (len(maps.move) - 1)
    return found


def moved(targets: I64, chance: float = 1.0) -> F64:
    """The matrix of a map that is made with that probability."""
    size = targets.size
    found = np.eye(size) * (1 - chance)
    found[np.arange(size), targets] += chance
    return found


def gaps(rows: UnitRows, quiescent: QuiescentStates, arrivals: Arrivals) -> Iterator[F64]:
    """What happens before each row."""
    maps, states = quiescent.maps, np.arange(quiescent.size)
    rates = rates_of(maps, arrivals)
    drop, evict = maps.drop[maps.here, states], maps.evict[maps.here, states]
    for code, data, gap in zip(rows.code, rows.data, rows.gap, strict=True):
        yield moved(drop, 1 - code) @ moved(evict, 1 - data) @ exponential(rates, gap)


def plainly(
    rows: UnitRows, quiescent: QuiescentStates, matrix: F64, before: Iterable[F64], harms: F64
) -> tuple[float, ...]:
    """What ``propagate`` is to find, by products of whole matrices."""
    maps, size = quiescent.maps, quiescent.size
    chance = np.array([harms[harm] if harm >= 0 else 0.0 for harm in maps.harm])
    steps = iter(before)
    whole = single = window = 0.0
    for unit in range(rows.firsts.size - 1):
        vector, other = np.eye(size)[0], np.zeros(size)
        for row in range(rows.firsts[unit], rows.firsts[unit + 1]):
            gap = next(steps)
            vector, other = vector @ gap, other @ gap
            if rows.rewritten[row] >= 0:
                vector, other = vector @ matrix, matrix[maps.run[0]]
                window += other[maps.wrong].sum()
            elif rows.run[row]:
                whole += vector @ chance
                single += other @ chance
                failed = vector @ chance
                vector = (vector * (1 - chance)) @ moved(maps.run)
                vector[0] += failed
                other = np.zeros(size)
            else:
                vector, other = vector @ moved(maps.fill), other @ moved(maps.fill)
    return whole, single, window


@pytest.mark.parametrize(
    ("host", "name", "changes"),
    [
        ("cortex-a9", "system", {}),
        ("cortex-a9", "system", {"interrupts": 1e7, "slices": 1e5}),
        ("cortex-a9", "migrate", {"moves": 1e5}),
        ("cortex-a9", "migrate", {"moves": 1e6, "interrupts": 1e5}),
        ("cortex-a8", "system", {}),
        ("arm926", "system", {"slices": 1000.0}),
    ],
)
def test_it_is_what_plain_matrices_come_to(host: str, name: str, changes: Mapping[str, float]) -> None:
    profile = load_host(host)
    values = {**Pressure().values(profile, "arm"), **changes}
    model, question = cell("unfixed", host, name=name)
    causes = causes_on(profile, values, model.scenario.cores, model.scenario.moves, gaps=3)
    states = QuiescentStates(model, question, always, causes)
    matrix, arrivals = states.retranslated(causes), arrivals_on(profile, values, moves=states.moves)
    draw = np.random.default_rng(7)
    count = 60
    rows = UnitRows(
        firsts=np.array([0, 35, count]),
        run=draw.random(count) < 0.5,
        rewritten=np.where(draw.random(count) < 0.2, np.arange(count), -1),
        gap=np.concatenate((draw.exponential(1e5, 35), draw.exponential(1e3, count - 35))),
        code=draw.choice([0.0, 0.5, 1.0], count),
        data=draw.choice([0.0, 0.9, 1.0], count),
    )
    exposure = Exposure(np.zeros(2, np.int64), rows, count, 1.0, 0)
    variants = [(matrix, harms) for harms in (FETCHED, harmful(0.25), np.full(4, 0.3))]
    variants.append((np.full_like(matrix, 1 / len(matrix)), FETCHED))  # side by side, whatever they have in common
    before = [*gaps(rows, states, arrivals)]
    for (one, harms), found in zip(variants, propagate(exposure, states.maps, arrivals, variants), strict=True):
        assert (found.whole, found.single, found.window) == pytest.approx(
            plainly(rows, states, one, before, harms), rel=1e-6, abs=0
        )


@pytest.mark.parametrize("settings", [(), ("coherence.switch_cleans_all=true",)])
@pytest.mark.parametrize("name", ["system", "migrate"])
@pytest.mark.parametrize("host", host_names())
def test_lines_leave_once_and_in_any_order(host: str, name: str, settings: tuple[str, ...]) -> None:
    """Which is why it is enough to know what left, and how often the thread moved."""
    profile, translator = load_host(host, settings), load_translator("arm")
    values, instance = Pressure().values(profile, "arm"), scenario(name, profile.cores.value, retranslations=1)
    if instance is None:
        return
    cell_of = RiskCell(find("unfixed"), profile, translator, instance)
    causes = causes_on(profile, values, instance.cores, instance.moves, gaps=3)
    for offset in cell_of.concerned:
        maps = cell_of.quiescent(offset, causes).maps
        assert len(maps.drop) == instance.cores <= 2
        leave = [*maps.drop, *maps.evict]
        moves = [maps.move[1 - maps.here, np.arange(maps.run.size)]] if instance.moves else []
        assert all((once[once] == once).all() for once in [*leave, maps.fill])
        assert all((a[b] == b[a]).all() for a, b in itertools.combinations([*leave, *moves], 2))


def test_what_is_forgotten_between_retranslations_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = load_host("cortex-a9")
    values = Pressure().values(profile, "arm")
    model, question = cell("unfixed", "cortex-a9", name="system")
    causes = causes_on(profile, values, 1, False, gaps=3)
    states = QuiescentStates(model, question, always, causes)
    matrix, arrivals = states.retranslated(causes), arrivals_on(profile, values, moves=False)
    draw = np.random.default_rng(11)
    count = 3000
    rows = UnitRows(
        firsts=np.array([0, 1400, count]),
        run=draw.random(count) < 0.5,
        rewritten=np.where(draw.random(count) < 0.002, np.arange(count), -1),
        gap=draw.exponential(1e4, count),
        code=draw.choice([0.05, 0.3, 1.0], count),
        data=draw.choice([0.02, 0.3, 1.0], count),
    )
    exposure = Exposure(np.zeros(2, np.int64), rows, count, 1.0, 0)
    assert len(rows.gap) > 1.5 * len(exposure.episodes.gap)
    assert len(exposure.episodes.firsts) > 4
    monkeypatch.setattr(exposure_module, "_AT_ONCE", 1)  # a unit at a time
    for one, all_at_once in zip(replace(exposure).episodes, exposure.episodes, strict=True):
        assert np.array_equal(one, all_at_once)
    (found,) = propagate(exposure, states.maps, arrivals, [(matrix, FETCHED)])
    plain = plainly(rows, states, matrix, gaps(rows, states, arrivals), FETCHED)
    assert (found.whole, found.single, found.window) == pytest.approx(plain, rel=1e-6, abs=0)


# ------------------------------------------------------------------------------------------------ whole cells


def on_a9(trace: Trace, strategy: str, name: str = "system", **options: Any) -> Risk:
    """The answer for a strategy on a Cortex-A9."""
    return RecordedRisk(load_host("cortex-a9"), load_translator("arm"), trace, **options).evaluate(find(strategy), name)


def single(risk: Risk) -> SingleThreaded:
    """Its figures, with one thread."""
    assert isinstance(risk.figures, SingleThreaded)
    return risk.figures


@pytest.mark.parametrize("strategy", ["idempotent", "stop-the-world-flush", "scratch-buffer", "side-table"])
def test_what_check_proves_never_happens(trace: Trace, strategy: str) -> None:
    several = on_a9(trace, strategy, "user").figures
    assert isinstance(several, MultiThreaded)
    assert single(on_a9(trace, strategy)).long_run == several.greatest == Range(0, 0, 0)


def test_schedulers_are_in_order_and_none_is_rarer_than_the_least(trace: Trace) -> None:
    for strategy in shipped():
        figures = on_a9(trace, strategy, "user").figures
        assert isinstance(figures, MultiThreaded)
        assert 0 <= figures.least.nominal <= figures.slices.nominal <= figures.greatest.nominal <= 1
        assert figures.harm.nominal <= figures.slices.nominal


def test_harm_needs_a_hit_on_arm(trace: Trace) -> None:
    missed, hit = (
        single(on_a9(trace, "unfixed", pressure=Pressure().varied([f"tlb_hit={hit}"]))) for hit in ("0", "1")
    )
    assert missed.harm.nominal == 0
    assert hit.harm.nominal == pytest.approx(hit.long_run.nominal)
    assert missed.long_run.nominal == pytest.approx(hit.long_run.nominal)


def test_the_rate_sets_the_clock(trace: Trace) -> None:
    figures = single(on_a9(trace, "unfixed", rate=10.0))
    assert figures.per_hour.nominal == pytest.approx(figures.harm.nominal * 10 * 3600)


def test_harm_is_the_same_in_every_unit(trace: Trace) -> None:
    figures = single(on_a9(trace, "unfixed"))
    for end in ("low", "nominal", "high"):
        harm, per_execution, per_run = (
            getattr(one, end) for one in (figures.harm, figures.per_execution, figures.per_run)
        )
        assert per_run == pytest.approx(harm * len(trace.retranslations))
        assert per_execution == pytest.approx(per_run / (trace.length - trace.stopped.size))


def test_along_a_trace_without_retranslations_nothing_happens() -> None:
    figures = single(on_a9(load_trace("user-wc"), "unfixed"))
    assert figures.long_run.high == figures.window.high == 0
    assert figures.chain_first > 0


def test_the_range_holds_what_each_quantity_does_by_itself(trace: Trace) -> None:
    found = on_a9(trace, "unfixed", sensitivity=True)
    whole = single(found).long_run
    assert {swing.quantity for swing in found.swings} == {
        "guest_data_lines",
        *(name for name, one in Pressure().on(load_host("cortex-a9"), "arm").items() if one.low < one.high),
    }
    for swing in found.swings:
        for end in (swing.at_low, swing.at_high):
            assert whole.low <= end <= whole.high


def test_all_at_once_are_those_one_by_one(short_trace: Trace, capfd: pytest.CaptureFixture[str]) -> None:
    together, alone = (
        RecordedRisk(load_host("cortex-a9"), load_translator("arm"), short_trace, sensitivity=True) for _ in range(2)
    )
    strategies, names = [find("unfixed"), find("flush-on-retranslation")], ["system", "user"]
    found = [*together.evaluate_all(strategies, names)]
    assert found == [alone.evaluate(strategy, name) for strategy in strategies for name in names]
    assert not capfd.readouterr().err  # of another process
