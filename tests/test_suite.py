"""The parts of the benchmark suite: what is compared is the same model, and the table says what was measured."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.search.explore import explore
from bench.search.walk import walk
from bench.suite import spin
from bench.suite.promela import promela
from bench.suite.scaled import MIDDLE, RIGHT, SCALED, SMALL, ScaledCase
from bench.suite.table import OURS, Goal, MeasuredTime, ratio_table

QUICK = [case for case, (states, _) in SCALED.items() if states < 2_000_000]


@pytest.mark.parametrize("case", QUICK, ids=lambda case: case.name)
@pytest.mark.parametrize("symmetric", [False, True], ids=["all", "swapped"])
def test_scaled_cases_have_the_states_that_are_written_down(case: ScaledCase, symmetric: bool) -> None:
    model, question = case.asked()
    found = explore(model, question, max_states=10_000_000, symmetric=symmetric)
    assert (found.verdict, found.states) == ("holds", SCALED[case][symmetric])


def test_the_smallest_is_seen_whole_by_the_plain_walk_too() -> None:
    model, question = SMALL.asked()
    assert walk(model, question, max_states=10_000_000).states == SCALED[SMALL][0]


def test_cases_grow() -> None:
    assert SMALL in SCALED
    assert MIDDLE in SCALED
    assert all(swapped < whole for whole, swapped in SCALED.values())
    assert max(whole for whole, _ in SCALED.values()) > 10_000_000


def test_a_models_promela_has_a_process_for_every_step_and_asserts_what_is_asked() -> None:
    model, question = ScaledCase("unfixed", "system").asked()
    text = promela(model, question.cells(model))
    assert text.isascii()
    assert "assert" in text
    assert re.search(r"^\s*(active )?proctype|^init", text, re.MULTILINE)
    other, asked = ScaledCase(RIGHT, "system").asked()
    assert text != promela(other, asked.cells(other))


@pytest.mark.parametrize(
    "case",
    [ScaledCase("unfixed", "system"), ScaledCase("unfixed", "user"), ScaledCase("idempotent", "user-both")],
    ids=lambda c: c.name,
)
def test_spin_sees_the_same(case: ScaledCase, tmp_path: Path) -> None:
    spin.skip_without_spin()
    model, question = case.asked()
    ours = explore(model, question, max_states=1_000_000, symmetric=False)
    theirs = spin.verify(spin.compiled(promela(model, question.cells(model)), spin.BREADTH_FIRST, tmp_path), table=20)
    assert theirs.holds is (ours.verdict == "holds")
    assert (theirs.states == ours.states) if theirs.holds else (theirs.steps + 1 == len(ours.run))


def test_the_table_compares_rates_and_says_whether_goals_are_reached() -> None:
    table = ratio_table(
        [
            MeasuredTime("search", OURS, 2.0, 1000, "states"),
            MeasuredTime("search", "peer", 1.0, 100, "states", Goal(fast=4)),
            MeasuredTime("search", "limit", 1.0, 1000, "states", Goal(fast=1)),
            MeasuredTime("alone", OURS, 0.4, goal=Goal(seconds=0.5)),
        ]
    )
    rows = {line.split("  ")[0] or line.split()[0]: line for line in table.splitlines()}
    assert "500 states/s" in rows["search"]
    assert re.search(r"peer .*5x as fast +at least 4x +yes", table)
    assert re.search(r"limit .*takes 2x its time +at least 1x +no", table)
    assert re.search(rf"alone +{OURS} .*under 0.5 s +yes", table)


def test_goals_in_words() -> None:
    goals = (Goal(fast=8), Goal(fast=0.5), Goal(seconds=0.5), Goal(more=0.1), Goal())
    words = ["at least 8x", "at most 2x its time", "under 0.5 s", "at most 100 ms more", ""]
    assert [str(goal) for goal in goals] == words
