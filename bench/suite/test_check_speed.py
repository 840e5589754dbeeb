"""The exhaustive search against SPIN's verifier and checkers written in Python, and the verdicts of the main table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.check.cell import Check, Options
from bench.check.cells import check_all
from bench.check.units import Hazard
from bench.hosts import load_host
from bench.scenarios import LASTING_IN, PARTIAL_IN, scenario_names
from bench.search.explore import explore
from bench.search.outcome import Outcome
from bench.search.walk import walk
from bench.silicon.native import cores, kept_on
from bench.suite import checkers, spin
from bench.suite.conftest import Measure
from bench.suite.promela import promela
from bench.suite.scaled import LARGEST, MIDDLE, RIGHT, SCALED, SMALL, ScaledCase
from bench.suite.table import OURS, Goal, GoalRow
from bench.translators.registry import load_translator
from strategies.registry import find, shipped

MOST = 200_000_000
"""States: more than any case has."""

AGREED = [
    *(
        ScaledCase(strategy, "system")
        for strategy in ("unfixed", "global-lock", "stop-the-world", "flush-on-retranslation")
    ),
    *(ScaledCase(strategy, "user-both") for strategy in ("unfixed", "flush-on-retranslation", "idempotent")),
    *(ScaledCase(strategy, "user", cores=3) for strategy in ("unfixed", "stop-the-world", RIGHT)),
]
"""Small enough that SPIN's compiler runs are most of the time."""

ONE_CORE = f"search, one core: {MIDDLE.name}"
SMALLER = f"search, one core: {SMALL.name}"
SPIN = "SPIN, breadth first, every state"
VERDICT = f"time to verdict: {LARGEST.name}"


@pytest.fixture
def one_core() -> Iterator[None]:
    """The test and what it starts stay on one core."""
    with kept_on(cores()[-1]):
        yield


def explored(case: ScaledCase, *, symmetric: bool) -> Outcome:
    """The compiled search of a case."""
    model, question = case.asked()
    return explore(model, question, max_states=MOST, symmetric=symmetric)


def states(found: Outcome | checkers.Found) -> int:
    """How many were seen."""
    return found.states


@pytest.mark.goal
@pytest.mark.usefixtures("one_core")
def test_one_core(measure: Measure) -> None:
    """Ours, breadth first, every state."""
    rows = (GoalRow("search, one core, breadth first", Goal(fast=6), SPIN),)
    measure(lambda: explored(MIDDLE, symmetric=False), ONE_CORE, OURS, work=states, unit="states", rows=rows, rounds=9)


@pytest.mark.usefixtures("one_core")
@pytest.mark.parametrize(
    ("name", "flags", "goal"),
    [
        pytest.param(SPIN, spin.BREADTH_FIRST, Goal(fast=6), marks=pytest.mark.goal),
        ("SPIN, breadth first, partial-order reduction", spin.BREADTH_FIRST_REDUCED, None),
        ("SPIN, depth first, partial-order reduction", spin.DEPTH_FIRST, None),
    ],
)
def test_spin_on_one_core(
    measure: Measure, name: str, flags: tuple[str, ...], goal: Goal | None, tmp_path: Path
) -> None:
    """The same model, and the same order first."""
    spin.skip_without_spin()
    model, question = MIDDLE.asked()
    pan = spin.compiled(promela(model, question.cells(model)), flags, tmp_path)
    found = measure(
        lambda: spin.verify(pan, table=22), ONE_CORE, name, work=states, unit="states", goal=goal, warmup=False
    )
    assert found.holds
    if "-DNOREDUCE" in flags:
        assert found.states == explored(MIDDLE, symmetric=False).states


@pytest.mark.usefixtures("one_core")
def test_one_core_small(measure: Measure) -> None:
    """Ours, on what the checkers in Python can see through."""
    measure(lambda: explored(SMALL, symmetric=False), SMALLER, OURS, work=states, unit="states", rounds=9)


@pytest.mark.usefixtures("one_core")
@pytest.mark.parametrize("name", ["minicheck", "musil", "plain Python (the reference)"])
def test_in_python(measure: Measure, name: str) -> None:
    """Checkers in Python, and our own plain search, on the same steps."""
    model, question = SMALL.asked()

    def run() -> checkers.Found:
        if name == "minicheck":
            return checkers.minicheck(model, question)
        if name == "musil":
            return checkers.musil(model, question)
        outcome = walk(model, question, max_states=MOST)
        return checkers.Found(outcome.verdict == "holds", 0, outcome.states)

    found = measure(run, SMALLER, name, work=states, unit="states", warmup=False)
    assert found.holds
    assert found.states == explored(SMALL, symmetric=False).states


@pytest.mark.parametrize("case", SCALED, ids=lambda case: case.name)
def test_scaled(measure: Measure, case: ScaledCase) -> None:
    """Ours, both cores, like blocks and cores swapped: how it grows."""
    found = measure(
        lambda: explored(case, symmetric=True),
        "search, both cores, like blocks and cores swapped",
        case.name,
        work=states,
        unit="states",
        all_states=lambda _: SCALED[case][0],
    )
    assert (found.verdict, found.states) == ("holds", SCALED[case][1])


@pytest.mark.parametrize("case", AGREED, ids=lambda case: case.name)
def test_spin_agrees(case: ScaledCase, tmp_path: Path) -> None:
    """Verdict, length of the shortest counterexample, and the number of states where all are seen."""
    spin.skip_without_spin()
    model, question = case.asked()
    ours = explore(model, question, max_states=MOST, symmetric=False)
    theirs = spin.verify(spin.compiled(promela(model, question.cells(model)), spin.BREADTH_FIRST, tmp_path), table=20)
    assert theirs.holds is (ours.verdict == "holds")
    if theirs.holds:
        assert theirs.states == ours.states
    else:
        # SPIN counts the steps before the one that fails.
        assert theirs.steps + 1 == len(ours.run)


def test_verdict(measure: Measure) -> None:
    """Ours, both cores, like blocks and cores swapped."""
    found = measure(lambda: explored(LARGEST, symmetric=True), VERDICT, OURS, seen=states)
    assert found.verdict == "holds"


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("SPIN, depth first, partial-order reduction", spin.DEPTH_FIRST),
        ("SPIN, the same, collapse compression", spin.COMPRESSED),
    ],
)
def test_spins_verdict(measure: Measure, name: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    """SPIN's fastest ways."""
    spin.skip_without_spin()
    model, question = LARGEST.asked()
    pan = spin.compiled(promela(model, question.cells(model)), flags, tmp_path)
    found = measure(
        lambda: spin.verify(pan, table=26), VERDICT, name, goal=Goal(fast=100), rounds=1, warmup=False, seen=states
    )
    assert found.holds


def checks() -> list[Check]:
    """The cells of a default ``compare``."""
    host, translator = load_host("cortex-a9"), load_translator("arm@2010")
    asked: list[tuple[Hazard, str]] = [("transient", name) for name in scenario_names()]
    asked += [("lasting", LASTING_IN), ("partial", PARTIAL_IN)]
    return [
        Check(find(strategy), translator, host, name, Options().with_hazard(hazard))
        for strategy in shipped()
        for hazard, name in asked
    ]


def test_every_verdict(measure: Measure) -> None:
    """All cells of the main table, on both cores."""
    cells = checks()
    found = measure(
        lambda: check_all(cells),
        "every verdict of the default compare",
        OURS,
        goal=Goal(seconds=0.5),
        rounds=9,
        cells=len,
        states=lambda all: sum(one.outcome.states for one in all if one.outcome is not None),
    )
    assert len(found) == 60
