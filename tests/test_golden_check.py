"""The four cases that the project began with, row for row.

The thread is qemu-devel, 10 January 2011: Aurelien Jarno's table of one way in which
the bug happens, and Alexander Graf's sequence of two threads.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cells import cell
from conftest import Pinned, Ran, Staleline

from bench.check.cell import Checked
from bench.check.command import command
from bench.explain.follow import load_events
from bench.report.checks import CheckReport
from bench.translators.registry import load_translator

Table = list[tuple[str, str, str, str]]

THREAD: Table = [
    ("tlb access code is written", "absent", "absent", "ok"),
    ("conditional fast path code is written", "absent", "absent", "ok"),
    ("branch is written with a temporary target", "absent", "wrong", "ok"),
    ("cache line is flushed to memory", "absent", "absent", "wrong"),
    ("slow path code is written", "absent", "absent", "wrong"),
    ("branch target is updated", "absent", "ok", "wrong"),
    ("TB is re-executed", "wrong", "ok", "wrong"),
]
"""Operation, icache, dcache, mem/L2."""

READ_ALLOCATE: Table = [
    *THREAD[:2],
    ("branch is written with a temporary target", "absent", "absent", "wrong"),
    *THREAD[4:],
]
"""The same where stores do not allocate."""

SEQUENCE = ["T1 faults", "T2 runs ok", "T1 writes branch is written", "T2 runs wrong", "T1 writes branch target"]
SEQUENCE += ["T2 holds wrong"]


@cache
def case(name: str, host: str = "cortex-a9", strategy: str = "unfixed", follow: str = "", **options: Any) -> Checked:
    """One cell."""
    events = load_events(follow) if follow else ()
    return cell(strategy, name, host, options.pop("translator", "arm"), follow=events, follow_source=follow, **options)


def answer(found: Checked) -> dict[str, Any]:
    """A cell as JSON has it."""
    (result,) = CheckReport([found]).document()["results"]
    return result


def table(rows: list[dict[str, Any]]) -> Table:
    """The rows of a counterexample as the thread has them."""
    return [(row["operation"], row["icache"], row["dcache"], row["memory"]) for row in rows]


# --- the thread's table ---


def test_the_thread_s_table_row_for_row(shared: Path) -> None:
    mail = (shared / "seed" / "thread.txt").read_text()
    word = r"(absent|ok|wrong)"
    in_mail = re.findall(rf"> > ([A-Za-z][^|>]*?) *\| {word} *\| {word} *\| {word} *\|", mail)
    assert in_mail == THREAD
    assert table(answer(case("system", start="fault"))["counterexample"]) == in_mail


def test_cortex_a9_seven_rows() -> None:
    found = answer(case("system", start="fault"))
    assert table(found["counterexample"]) == THREAD
    expected = {"verdict": "fails", "reason": "wrong fetch", "witness": True, "hazard": "transient", "what_if": False}
    assert expected.items() <= found.items()
    assert found["translator"] == "arm@2010"
    assert found["depth"] == sum(row["steps"] for row in found["counterexample"])
    actors = [row["actor"] for row in found["counterexample"]]
    assert actors == ["T1", "T1", "T1", "environment", "T1", "T1", "T1"]


def test_the_watched_unit_is_the_branch() -> None:
    watched = answer(case("system", start="fault"))["watched"]
    fetched = {"final": "0xa000003", "instruction": "beq #0x1000034", "fetched": "0xa000000"}
    assert watched == {"tb": 0, "offset": 32, **fetched}
    branch = [write for write in load_translator("arm").block(0).writes if write.unit.offset == watched["offset"]]
    assert len(branch) == 2, "written, then updated"


def test_arm926_six_rows_and_no_eviction_at_all() -> None:
    found = answer(case("system", "arm926", start="fault"))
    assert table(found["counterexample"]) == READ_ALLOCATE
    assert {row["actor"] for row in found["counterexample"]} == {"T1"}


def test_from_a_cold_start_the_first_execution_comes_before_the_same_rows() -> None:
    rows = table(answer(case("system"))["counterexample"])
    assert rows == [
        ("TB is executed; its access faults", "ok", "absent", "ok"),
        ("instruction line is dropped", "absent", "absent", "ok"),
        *THREAD,
    ]


# --- the thread's sequence ---


def test_the_thread_s_sequence_is_six_events_in_order() -> None:
    found = answer(case("user", follow="thread"))
    followed = found["followed"]
    assert [event["event"] for event in followed["events"]] == SEQUENCE
    rows = [event["row"] for event in followed["events"]]
    assert rows == sorted(rows)
    assert (followed["found"], followed["complete"]) == (True, True)
    run = followed["run"]
    assert run[rows[0] - 1]["operation"] == "TB is executed; its access faults"
    assert [run[row - 1]["actor"] for row in rows[:5]] == ["T1", "T2", "T1", "T2", "T1"]
    assert run[rows[2] - 1]["operation"] == "branch is written with a temporary target"
    assert run[rows[4] - 1]["operation"] == "branch target is updated"
    assert (run[-1]["icache1"], run[-1]["dcache"]) == ("wrong", "ok"), "what T2 has, and what it should have"


def test_the_sequence_is_no_shortest_counterexample() -> None:
    found = case("user", follow="thread")
    assert len(found.followed.run) > found.outcome.depth
    assert answer(found)["counterexample"] == [], "the run is shown in its place"


def test_on_z10_the_last_event_cannot_happen_and_the_text_says_so() -> None:
    found = case("user", "z10", translator="s390x", follow="thread")
    followed = answer(found)["followed"]
    assert [event["event"] for event in followed["events"]] == SEQUENCE
    assert [event["row"] is not None for event in followed["events"]] == [True] * 5 + [False]
    assert (followed["found"], followed["complete"]) == (False, True)
    text = CheckReport([found]).text("simple")
    assert "event 6: T2 holds wrong               not reached" in text
    assert "Event 6 of 6 (T2 holds wrong) cannot happen after the events before it" in text


def test_a_search_that_is_cut_short_does_not_say_cannot_and_a_right_strategy_has_no_such_sequence() -> None:
    found = case("user", "z10", translator="s390x", follow="thread", max_states=200)
    assert not found.followed.complete
    assert "was not found before the limit" in CheckReport([found]).text("simple")
    found = case("user", follow="thread", strategy="idempotent")
    assert found.verdict == "holds"
    assert found.followed.reached < 4, "nothing is ever fetched wrong"
    assert found.followed.complete


# --- two retranslators ---


@pytest.mark.parametrize("host", ["cortex-a9", "neoverse-v1"])
def test_an_add_patch_applied_twice_leaves_a_wrong_branch(host: str) -> None:
    found = answer(case("user-both", host, hazard="lasting", what_if=host == "neoverse-v1"))
    assert (found["verdict"], found["reason"]) == ("fails", "lasting")
    rows = found["counterexample"]
    assert {row["actor"] for row in rows} == {"T1", "T2"}, "no step of the environment: coherence does not help"
    assert rows[-1]["operation"] == "branch target is updated"
    assert rows[-1]["dcache"] == "wrong"
    writers = [row["actor"] for row in rows if row["operation"].startswith("branch")]
    assert writers == ["T1", "T1", "T2", "T1", "T2"], "T1 has loaded when T2 stores its temporary; both add"


# --- text, pinned ---

TEXTS: dict[str, dict[str, Any]] = {
    "thread-table": {"name": "system", "start": "fault"},
    "thread-table-arm926": {"name": "system", "host": "arm926", "start": "fault"},
    "thread-sequence": {"name": "user", "follow": "thread"},
    "thread-sequence-z10": {"name": "user", "host": "z10", "translator": "s390x", "follow": "thread"},
    "two-retranslators": {"name": "user-both", "hazard": "lasting"},
    "holds": {"name": "migrate", "strategy": "stop-the-world-flush"},
    "bounded": {"name": "user", "strategy": "stop-the-world-flush", "max_states": 500},
}


@pytest.mark.parametrize("name", TEXTS)
def test_the_text_is_pinned(name: str, pinned: Pinned) -> None:
    pinned.compare(f"{name}.txt", CheckReport([case(**TEXTS[name])]).text("simple") + "\n")


def test_several_cells_are_pinned(pinned: Pinned) -> None:
    some = [case(name, host) for host in ("cortex-a9", "arm926") for name in ("system", "migrate")]
    pinned.compare("several.txt", CheckReport(some).text("simple") + "\n")


def test_the_command_under_a_failing_verdict_shows_it_again(staleline: Staleline) -> None:
    found = case("user", follow="thread")
    program, _, line = command(found).partition(" ")
    assert program == "staleline"
    assert staleline(line) == Ran(1, CheckReport([found]).text("simple") + "\n")


# --- files of events ---

BAD_EVENTS = {
    "T1 sleeps": "line 2: 'T1 sleeps'; expected T<n> faults | runs ok | runs wrong | holds wrong | writes TEXT",
    "T0 faults": "line 2: 'T0 faults'; expected",
    "faults": "line 2: 'faults'; expected",
    "T1 writes": "line 2: 'T1 writes'; expected",
    "T1 faults twice": "line 2: 'T1 faults twice'; expected",
    "t1 faults": "line 2: 't1 faults'; expected",
}


def test_a_bad_event_is_refused_with_file_and_line(tmp_path: Path, staleline: Staleline) -> None:
    path = tmp_path / "my.events"
    for line, message in BAD_EVENTS.items():
        path.write_text(f"T1 faults  # a comment\n{line}\n")
        staleline("explain unfixed --scenario user --follow", str(path)).is_refused(f"staleline: {path}: {message}")


def test_events_of_one_s_own(tmp_path: Path) -> None:
    path = tmp_path / "my.events"
    path.write_text("T1 faults\n\n  T1 writes slow path   # the fourth of five\nT1 runs ok\n")
    found = answer(case("system", follow=str(path)))["followed"]
    assert [event["event"] for event in found["events"]] == ["T1 faults", "T1 writes slow path", "T1 runs ok"]
    assert found["found"]
    assert found["run"][found["events"][1]["row"] - 1]["operation"] == "slow path code is written"
