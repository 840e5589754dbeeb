"""Runs that are kept: what has changed since, and which changes are for the worse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Staleline
from hypothesis import given
from hypothesis import strategies as st

from bench.compare.baseline import Kept, Row, differences
from bench.replay.cost import Ends
from bench.report.baselines import Since


def row(nominal: float = 100.0, strategy: str = "unfixed", partial: Any = "holds", **verdicts: Any) -> Row:
    cost = Ends(low=nominal, nominal=nominal, high=nominal, tag="assumed")
    return Row(strategy, "cortex-a9", "arm@2010", "tiny", (), {"system": "holds", **verdicts}, None, partial, cost)


@pytest.mark.parametrize(
    ("before", "now", "change", "words"),
    [
        (row(), row(), "same", "same"),
        (row(), row(101), "same", "same"),
        (row(), row(3100), "worse", "31x dearer"),
        (row(), row(50), "better", "2x cheaper"),
        (row(0), row(5), "worse", "dearer, from nothing"),
        (row(5), row(0), "better", "cheaper, down to nothing"),
        (row(0), row(0), "same", "same"),
        (row(), row(50, system="fails"), "worse", "2x cheaper"),
        (row(system="fails"), row(3100), "better", "31x dearer"),
        (row(system="bounded"), row(system="fails"), "worse", "same"),
        (row(), row(partial="bounded"), "worse", "same"),
        (row(user="n/a"), row(user="holds"), "same", "same"),
        (row(system="fails", user="holds"), row(user="fails"), "worse", "same"),
        (row(), row(user="fails"), "new", "same"),
        (row(), row(50, user="fails"), "better", "2x cheaper"),
        (row(user="fails"), row(), "gone", "same"),
        (row(user="fails"), row(system="fails"), "worse", "same"),
    ],
)
def test_a_verdict_counts_before_any_price(before: Row, now: Row, change: str, words: str) -> None:
    (found,) = differences((before,), (now,))
    assert (found.change, found.words) == (change, words)


def test_rows_come_and_go() -> None:
    found = differences((row(), row(strategy="old")), (row(strategy="new"), row()))
    assert [(one.row.strategy, one.change) for one in found] == [("new", "new"), ("unfixed", "same"), ("old", "gone")]


@given(st.floats(1, 1e9), st.floats(1, 1e9))
def test_forth_and_back_are_opposite(one: float, other: float) -> None:
    (there,), (back,) = differences((row(one),), (row(other),)), differences((row(other),), (row(one),))
    assert {there.change, back.change} in ({"same"}, {"worse", "better"})


def test_a_run_is_kept_and_compared_with(
    tiny_trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, staleline: Staleline
) -> None:
    monkeypatch.chdir(tmp_path)
    line = f"compare {tiny_trace} --strategy unfixed,idempotent --scenario system"
    assert staleline(f"{line} --save first").status == 0
    again = staleline(f"{line} --against first")
    assert (again.status, again.err) == (0, "")
    assert "Against first (version " in again.out
    assert ": all 2 rows are the same." in " ".join(again.out.split())
    file = tmp_path / ".staleline" / "first.json"
    before = file.read_bytes()
    staleline(f"{line} --against first -o .staleline/first.json").is_refused("is read, and would be lost")
    assert file.read_bytes() == before
    assert staleline(f"{line} --against first --save first").status == 0
    kept = json.loads(file.read_text("utf-8"))
    assert {"version", "commit", "command", "schema", "results", "pairs", "unpriced", "assumptions"} == {*kept}
    for one in kept["results"]:
        one["verdicts"]["system"] = "holds"
        one["overhead"]["nominal"] /= 10
    (tmp_path / "better.json").write_text(json.dumps(kept), encoding="utf-8")
    ran = staleline(f"{line} --against better.json --format json")
    assert ran.status == 1
    found = {one["strategy"]: one for one in ran.valid["against"]}
    assert found["unfixed"]["verdicts"]["system"] == {"before": "holds", "now": "fails"}
    assert {one["cost"] for one in found.values()} == {"10x dearer"}


def test_a_row_that_is_gone_is_a_failure_unless_it_may_be(
    tiny_trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, staleline: Staleline
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["compare", str(tiny_trace), "--strategy", "unfixed", "--scenario", "system"]
    assert staleline(*words, "--host", "cortex-a9", "--save", "first").status == 0
    other = [*words, "--host", "arm926", "--against", "first"]
    assert staleline(*other).status == 1
    assert staleline(*other, "--allow-missing").status == 0
    alone = staleline(*words, "--allow-missing")
    assert (alone.status, alone.out) == (2, "")
    # A host on which something is set is still that host; what was set, and what else was assumed, is said.
    changed = ["--set", "icache.line=64", "--parameter", "retranslation=40", "--vcpus", "4"]
    ran = staleline(*words, "--host", "cortex-a9", *changed, "--against", "first", "--tolerance", "100")
    assert ran.status == 0
    text = " ".join(ran.out.split())
    assert (
        "Assumed otherwise on cortex-a9 with arm@2010: icache.line=64 is set; vcpus 2 -> 4; "
        "retranslation 32.7 (12..52) -> 40." in text
    )
    assert "gone" not in text


def test_other_scenarios_and_sizes_are_told(
    tiny_trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, staleline: Staleline
) -> None:
    monkeypatch.chdir(tmp_path)
    line = f"compare {tiny_trace} --strategy unfixed --scenario"
    assert staleline(f"{line} system --save first").status == 0
    ran = staleline(f"{line} system,user --retranslations 1 --against first --format json")
    assert ran.status == 0
    (found,) = ran.valid["against"]
    assert (found["change"], found["verdicts"]["user"]) == ("new", {"before": "absent", "now": "fails"})
    assert ran.document["assumed_otherwise"] == {"cortex-a9 with arm@2010": ["retranslations 2 -> 1"]}
    gone = staleline(f"{line} user --against first")
    assert gone.status == 1
    assert "system fails -> absent" in gone.out
    kept = Path(".staleline/first.json")
    kept.write_text(kept.read_text("utf-8").replace('"fails"', '"fials"', 1), encoding="utf-8")
    staleline(f"{line} system --against first").is_refused("Invalid enum value 'fials'")


def test_what_changed_is_told_worst_first() -> None:
    kept = Kept(1, "0.1", "abc", "staleline compare", (row(), row(strategy="old"), row(50, strategy="cheap")))
    now = (row(system="fails"), row(25, strategy="cheap"))
    text = Since(kept, "first", differences(kept.results, now)).text("simple")
    assert text.startswith("Against first (version 0.1, commit abc: staleline compare):")
    lines = text.splitlines()
    order = [line.split()[0] for line in lines if line.startswith(("worse", "gone", "better"))]
    assert order == ["worse", "gone", "better"]
    assert "system holds -> fails" in text
    assert "2x cheaper" in text
