"""A recorded execution's exposure, and what is carried along it: against the replay, and against plain matrices."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from risk_cells import cell

from bench.hosts import load_host
from bench.replay.context import ReplayContext
from bench.replay.parameters import Parameters
from bench.risk.along import along
from bench.risk.evictions import causes_on, rates_on
from bench.risk.exposure import Exposure, expose
from bench.risk.pressure import Pressure
from bench.risk.quiescent import Rest
from bench.risk.risk import Alone, Bench, Several
from bench.risk.solve import FETCHED, harmful
from bench.risk.walk import always
from bench.traces.store import load_trace
from bench.traces.trace import Trace
from bench.translators.registry import load_translator
from strategies.registry import find, shipped

F64 = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def trace(tiny_trace: Path) -> Trace:
    return load_trace(str(tiny_trace))


def ground(trace: Trace, replacement: str, **parameters: int) -> ReplayContext:
    """The trace on a Cortex-A9 with that replacement in both caches."""
    host = load_host("cortex-a9", (f"icache.replacement={replacement}", f"dcache.replacement={replacement}"))
    settings = [f"{name}={value}" for name, value in parameters.items()]
    return ReplayContext(trace, host, load_translator("arm"), Parameters().varied(settings))


# ------------------------------------------------------------------------------------------------ exposure


@pytest.mark.parametrize("replacement", ["lru", "plru", "round-robin"])
def test_the_caches_are_those_of_the_replay(trace: Trace, replacement: str) -> None:
    on = ground(trace, replacement)
    (counts,) = on.simulated([on.as_emitted], trace.executions())
    assert expose(on).misses == counts.code_misses


def test_random_replacement_misses_about_as_often_as_in_the_replay(trace: Trace) -> None:
    on = ground(trace, "random")
    (counts,) = on.simulated([on.as_emitted], trace.executions())
    assert expose(on).misses == pytest.approx(counts.code_misses, rel=0.02)


@pytest.mark.parametrize("replacement", ["lru", "random"])
def test_every_retranslation_and_every_execution_of_its_block_is_a_row(trace: Trace, replacement: str) -> None:
    on = ground(trace, replacement)
    found = expose(on)
    for unit in range(found.firsts.size - 1):
        rows = slice(found.firsts[unit], found.firsts[unit + 1])
        assert (np.diff(found.time[rows]) >= 0).all()
    assert ((found.code >= 0) & (found.code <= 1)).all()
    assert ((found.data >= 0) & (found.data <= 1)).all()
    rewritten, counts = np.unique(found.rewritten[found.rewritten >= 0], return_counts=True)
    units = [
        sum(access < accesses and offset < on.layout.sizes[tb] for access, offset in on.temporaries(int(accesses)))
        for tb, accesses in zip(on.tb, on.accesses, strict=True)
    ]
    assert dict(zip(rewritten.tolist(), counts.tolist(), strict=True)) == {
        row: count for row, count in enumerate(units) if count
    }


def test_without_anything_else_in_the_caches_lines_stay(trace: Trace) -> None:
    on = ground(trace, "lru", guest_data_lines=0, translator_code_lines=0, translator_data_lines=0)
    large = msgspec.structs.replace(on.host.icache, size=1 << 24)
    whole = msgspec.structs.replace(on.host, icache=large, dcache=msgspec.structs.replace(on.host.dcache, size=1 << 24))
    found = expose(ReplayContext(trace, whole, on.translator, on.parameters))
    rewrites = found.rewritten >= 0
    assert (found.code[rewrites] == 1).all()


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


def moved(targets: npt.NDArray[np.int64], chance: float = 1.0) -> F64:
    """The matrix of a map that is made with that probability."""
    size = targets.size
    found = np.eye(size) * (1 - chance)
    found[np.arange(size), targets] += chance
    return found


def plainly(exposure: Exposure, rest: Rest, matrix: F64, rates: F64, harms: F64) -> tuple[float, float, float]:
    """What ``along`` is to find, by products of whole matrices."""
    maps, states = rest.maps, np.arange(rest.size)
    drop, evict = maps.drop[maps.here, states], maps.evict[maps.here, states]
    chance = np.array([harms[harm] if harm >= 0 else 0.0 for harm in maps.harm])
    whole = single = window = 0.0
    for unit in range(exposure.firsts.size - 1):
        vector, other, before = np.eye(rest.size)[0], np.zeros(rest.size), 0.0
        for row in range(exposure.firsts[unit], exposure.firsts[unit + 1]):
            gap = moved(drop, 1 - exposure.code[row]) @ moved(evict, 1 - exposure.data[row])
            gap = gap @ exponential(rates, exposure.time[row] - before)
            before = exposure.time[row]
            vector, other = vector @ gap, other @ gap
            if exposure.rewritten[row] >= 0:
                vector, other = vector @ matrix, matrix[maps.run[0]]
                window += other[maps.wrong].sum()
            elif exposure.run[row]:
                whole += vector @ chance
                single += other @ chance
                failed = vector @ chance
                vector = (vector * (1 - chance)) @ moved(maps.run)
                vector[0] += failed
                other = np.zeros(rest.size)
            else:
                vector, other = vector @ moved(maps.fill), other @ moved(maps.fill)
    return whole, single, window


@pytest.mark.parametrize(
    ("host", "name", "changes"),
    [
        ("cortex-a9", "system", {}),
        ("cortex-a9", "system", {"interrupts": 1e7, "slices": 1e5}),
        ("cortex-a9", "migrate", {"moves": 1e5}),
        ("cortex-a8", "system", {}),
        ("arm926", "system", {"slices": 1000.0}),
    ],
)
def test_it_is_what_plain_matrices_come_to(host: str, name: str, changes: Mapping[str, float]) -> None:
    profile = load_host(host)
    values = {**Pressure().values, **changes}
    model, question = cell("unfixed", host, name=name)
    causes = causes_on(profile, values, model.scenario.cores, model.scenario.moves)
    rest = Rest(model, question, causes, always)
    matrix, rates = rest.rewritten(causes), rates_on(profile, values, rest.maps, moves=rest.moves)
    draw = np.random.default_rng(7)
    rows = 60
    exposure = Exposure(
        part=np.zeros(2, np.int64),
        firsts=np.array([0, 35, rows]),
        run=draw.random(rows) < 0.5,
        rewritten=np.where(draw.random(rows) < 0.2, np.arange(rows), -1),
        time=np.concatenate((np.cumsum(draw.exponential(1e5, 35)), np.cumsum(draw.exponential(1e3, rows - 35)))),
        code=draw.choice([0.0, 0.5, 1.0], rows),
        data=draw.choice([0.0, 0.9, 1.0], rows),
        retranslations=rows,
        executions=rows,
        cycles=1.0,
        misses=0,
    )
    for harms in (FETCHED, harmful(0.25), np.full(4, 0.3)):
        found = along(exposure, rest.maps, matrix, rates, harms)
        assert (found.whole, found.single, found.window) == pytest.approx(
            plainly(exposure, rest, matrix, rates, harms), rel=1e-6, abs=0
        )


# ------------------------------------------------------------------------------------------------ whole cells


@pytest.mark.parametrize("name", ["system", "user"])
def test_what_check_proves_never_happens(trace: Trace, name: str) -> None:
    bench = Bench(load_host("cortex-a9"), load_translator("arm"), trace)
    for strategy in ("idempotent", "stop-the-world-flush", "scratch-buffer", "side-table"):
        figures = bench.ask(find(strategy), name).figures
        assert figures is not None
        shown = figures.long_run if isinstance(figures, Alone) else figures.greatest
        assert (shown.low, shown.nominal, shown.high) == (0, 0, 0)


def test_schedulers_are_in_order_and_none_is_rarer_than_the_least(trace: Trace) -> None:
    bench = Bench(load_host("cortex-a9"), load_translator("arm"), trace)
    for strategy in shipped():
        figures = bench.ask(find(strategy), "user").figures
        assert isinstance(figures, Several)
        assert 0 <= figures.least.nominal <= figures.slices.nominal <= figures.greatest.nominal <= 1
        assert figures.harm.nominal <= figures.slices.nominal


def test_harm_needs_a_hit_on_arm(trace: Trace) -> None:
    found = []
    for hit in ("0", "1"):
        pressure = Pressure().varied([f"tlb_hit={hit}"])
        figures = Bench(load_host("cortex-a9"), load_translator("arm"), trace, pressure).ask(find("unfixed"), "system")
        assert isinstance(figures.figures, Alone)
        found.append(figures.figures)
    assert found[0].harm.nominal == 0
    assert found[1].harm.nominal == pytest.approx(found[1].long_run.nominal)
    assert found[0].long_run.nominal == pytest.approx(found[1].long_run.nominal)


def test_the_rate_sets_the_clock(trace: Trace) -> None:
    one = Bench(load_host("cortex-a9"), load_translator("arm"), trace, rate=10.0)
    figures = one.ask(find("unfixed"), "system").figures
    assert isinstance(figures, Alone)
    assert figures.per_hour.nominal == pytest.approx(figures.harm.nominal * 10 * 3600)


def test_along_a_trace_without_retranslations_nothing_happens() -> None:
    quiet = load_trace("user-wc")
    figures = Bench(load_host("cortex-a9"), load_translator("arm"), quiet).ask(find("unfixed"), "system").figures
    assert isinstance(figures, Alone)
    assert figures.long_run.high == figures.window.high == 0
    assert figures.chain_first > 0


def test_the_range_holds_what_each_quantity_does_by_itself(trace: Trace) -> None:
    bench = Bench(load_host("cortex-a9"), load_translator("arm"), trace)
    found = bench.ask(find("unfixed"), "system", sensitivity=True)
    assert isinstance(found.figures, Alone)
    assert {swing.quantity for swing in found.swings} == set(Pressure().quantities)
    for swing in found.swings:
        for end in (swing.at_low, swing.at_high):
            assert found.figures.long_run.low <= end <= found.figures.long_run.high
