"""The parts of the benchmark suite: what is compared is the same model, and the table says what was measured."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.search.explore import explore
from bench.suite import spin, test_import_speed
from bench.suite.promela import promela
from bench.suite.scaled import MIDDLE, RIGHT, SCALED, SMALL, ScaledCase
from bench.suite.table import OURS, Goal, GoalRow, MeasuredTime, goal_table, ratio_table
from bench.suite.test_command_speed import memory, tree
from bench.traces.qemu_log import import_log

QUICK = [case for case, (states, _) in SCALED.items() if states < 2_000_000]


@pytest.mark.parametrize("case", QUICK, ids=lambda case: case.name)
@pytest.mark.parametrize("symmetric", [False, True], ids=["all", "swapped"])
def test_scaled_cases_have_the_states_that_are_written_down(case: ScaledCase, symmetric: bool) -> None:
    model, question = case.asked()
    found = explore(model, question, max_states=10_000_000, symmetric=symmetric)
    assert (found.verdict, found.states) == ("holds", SCALED[case][symmetric])


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


def test_the_table_of_goals_has_a_row_for_each_that_can_be_judged() -> None:
    """A peer that was not measured leaves its row out; what is reached is said of each."""
    rows = (
        GoalRow("near the loop", Goal(fast=1 / 1.2), "loop"),
        GoalRow("faster than the peer", Goal(fast=6), "peer"),
        GoalRow("soon", Goal(seconds=2)),
        GoalRow("little", Goal(peak=1 << 30)),
        GoalRow("not much more", Goal(more=0.4), "loop"),
    )
    table = goal_table(
        [
            MeasuredTime("replay", OURS, 1.5, 300, "states", peak=2 << 30, rows=rows),
            MeasuredTime("replay", "loop", 1.0, 230),
        ]
    )
    assert re.search(r"near the loop +1.5 s: takes 1.15x its time +loop, 1 s +at most 1.2x its time +yes", table)
    assert re.search(r"soon +1.5 s +under 2 s +yes", table)
    assert re.search(r"little +2048 MiB +under 1024 MiB +no", table)
    assert re.search(r"not much more +1.5 s: 0.5 s more +loop, 1 s +at most 0.4 s more +no", table)
    assert "peer" not in table


def test_the_suite_needs_nothing_that_lies_beside_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long recordings are measured where they are; without them those of the tests are imported."""
    monkeypatch.setattr(test_import_speed, "LONG", tmp_path)
    for names in (test_import_speed.USER, test_import_speed.SYSTEM):
        log = test_import_speed.log_of(names)
        assert log.is_relative_to(test_import_speed.ROOT)
        assert import_log(str(log), tmp_path / "x.trace").length > 0
    suite = Path(test_import_speed.__file__).parent
    elsewhere = re.compile(r"shared.*data|parents\[[3-9]\]|ROOT\.parent")
    found = {file.name for file in suite.iterdir() if file.is_file() and elsewhere.search(file.read_text("utf-8"))}
    assert found == {"test_import_speed.py"}


def test_memory_is_that_of_a_process_and_of_those_below_it() -> None:
    """Of 64 MiB that a child of a child fills: between the smallest and twice what it asks for."""
    if not Path(f"/proc/{os.getpid()}/smaps_rollup").is_file():
        pytest.skip("no /proc here: the memory of commands is not looked at")
    fill = "import sys; held = b'x' * (64 << 20); print(flush=True); sys.stdin.read()"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {fill!r}])"
    with subprocess.Popen([sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert len([*tree(process.pid)]) == 2
        assert 64 << 20 < sum(map(memory, tree(process.pid))) < 128 << 20
        process.communicate()


def test_goals_in_words() -> None:
    goals = (Goal(fast=8), Goal(fast=0.5), Goal(seconds=0.5), Goal(more=0.1), Goal(more=15), Goal(peak=1 << 30), Goal())
    words = ["at least 8x", "at most 2x its time", "under 0.5 s", "at most 0.1 s more"]
    words += ["at most 15 s more", "under 1024 MiB", ""]
    assert [str(goal) for goal in goals] == words
