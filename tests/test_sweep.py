"""Sweeps: what an axis is, that a price needs no simulation, that nothing is lost and nothing twice; of sites too."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, Staleline
from hypothesis import given
from hypothesis import strategies as st

from bench.compare.axes import axes, axis
from bench.support.errors import InputError
from strategies import linking

FEW = "--strategy unfixed,idempotent,scratch-buffer,side-table --scenario system"


# --- axes -------------------------------------------------------------------------------------------------------------


@given(st.floats(1e-6, 1e6), st.floats(1.01, 1e6), st.integers(2, 60), st.booleans())
def test_a_range_has_its_ends_and_is_spaced_evenly(low: float, factor: float, count: int, log: bool) -> None:
    high = low * factor
    found = axis(f"costs.lock={low!r}..{high!r}x{count}{'log' if log else ''}")
    numbers = np.array(list(map(float, found.values)))
    expected = np.geomspace(low, high, count) if log else np.linspace(low, high, count)
    assert np.allclose(numbers, expected, rtol=1e-5)
    assert found.log is log


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "NAME="),
        ("costs.lock", "NAME="),
        ("costs.lock=", "NAME="),
        ("costs.lock=1,,2", "NAME="),
        ("costs.lock=1..2", "NAME="),
        ("costs.lock=1..2x", "NAME="),
        ("costs.lock=a..bx3", "NAME="),
        ("costs.lock=1..2x1", "2 to 10,000"),
        ("costs.lock=2..1x3", "low end below"),
        ("costs.lock=0..1x3log", "above 0"),
        ("costs.lock=1..infx3", "low end below"),
        ("costs.lock=1,1", "once"),
    ],
)
def test_what_is_no_axis_is_refused(text: str, word: str) -> None:
    with pytest.raises(InputError, match="vary") as error:
        axis(text)
    assert word in str(error.value)


def test_too_many_cells_and_an_axis_twice_are_refused() -> None:
    with pytest.raises(InputError, match="1,000,000"):
        axes(["a=1..2x2000", "b=1..2x2000"])
    with pytest.raises(InputError, match="twice"):
        axes(["a=1..2x2", "a=1..2x3"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--vary nonsense=1,2", ("nonsense",)),
        ("--vary costs.lok=1,2", ("costs.lok", "costs.lock")),
        ("--vary costs.lock=a,b", ("'a'", "a number")),
        ("--vary retranslations=-1,2", ("'-1'", "a number")),
        ("--vary trace=nothing,else", ("nothing",)),
        ("--vary tbs=-5,2", ("-5",)),
        ("--vary costs.lock=1,2 --results x.csv", ("--results", ".jsonl")),
        ("--vary costs.lock=1,2 --hazard none", ("--hazard", "transient")),
        ("--vary costs.lock=1,2 --plot x.txt", ("--plot",)),
        ("--plot x.svg", ("--plot", "0 axes")),
        ("--vary dcache.write=back,through --plot x.svg", ("--plot", "numbers")),
        ("slot-arm --vary lookup=1,2", ("--vary", "lookup does nothing for sites", "load")),
        ("slot-arm --vary executions=0,1", ("--vary executions", "0", "at least 1")),
        ("slot-arm --vary links=1,2 --vary executions=1,2", ("links and executions", "unlinks with one of them")),
        ("slot-arm --vary costs.line=1,2 --strategy unfixed", ("--strategy", "for sites")),
        ("slot-arm --vary costs.line=1,2 --host armv8", ("armv8",)),
        ("slot-arm --vary costs.line=1,2 --host z10", ("slot-arm is for arm", "z10")),
        ("user-wc --vary costs.line=1,2", ("sweep", "user-wc", "a trace")),
    ],
)
def test_bad_input_is_one_line(options: str, words: tuple[str, ...], staleline: Staleline, tiny_trace: Path) -> None:
    staleline(f"sweep {options}", str(tiny_trace)).is_refused(*words)


# --- cells ------------------------------------------------------------------------------------------------------------


def swept(staleline: Staleline, trace: Path, options: str) -> list[dict[str, Any]]:
    ran = staleline(f"sweep {FEW} --format json {options}", str(trace))
    assert ran.status == 0, ran.err
    return list(ran.valid["cells"])


def test_a_cell_is_what_a_comparison_finds_with_that_set(staleline: Staleline, tiny_trace: Path) -> None:
    """A price by substitution against a host that is set so, and a host's cache against one that is simulated."""
    flush = "isa.arm.flush.line"
    cells = swept(staleline, tiny_trace, "--vary costs.line=3,170 --vary icache.ways=2,4 --vary lookup=40,90")
    assert len(cells) == 8
    for cell in (cells[1], cells[6]):  # each value of each axis
        at = cell["at"]
        settings = f"--set {flush}={at['costs.line']} --set icache.ways={at['icache.ways']}"
        parameter = f"--parameter lookup={at['lookup']}"
        ran = staleline(f"compare {FEW} {settings} {parameter} --format json", str(tiny_trace))
        compared = {row["strategy"]: row["overhead"] for row in ran.document["results"]}
        assert_costs_are(cell, compared)


def assert_costs_are(cell: dict[str, Any], costs: dict[str, dict[str, float]]) -> None:
    for row in cell["rows"]:
        for end in ("low", "nominal", "high"):
            assert row["overhead"][end] == pytest.approx(costs[row["name"]][end], rel=1e-9, abs=1e-6)


def test_the_rate_scales_what_is_done_at_retranslations_alone(staleline: Staleline, tiny_trace: Path) -> None:
    """Tiny has 2000 per million: at that rate the cost is the recorded one, and it is linear in the rate."""
    document = staleline("trace info --format json", str(tiny_trace)).document
    rate = 1e6 * document["retranslations"] / document["executions"]
    (plain,) = swept(staleline, tiny_trace, "")
    zero, there, twice = swept(staleline, tiny_trace, f"--vary retranslations=0,{rate:.12g},{2 * rate:.12g}")

    def nominal(cell: dict[str, Any]) -> dict[str, float]:
        return {row["name"]: row["overhead"]["nominal"] for row in cell["rows"]}

    assert nominal(there) == pytest.approx(nominal(plain))
    for name, cost in nominal(twice).items():
        assert cost - nominal(there)[name] == pytest.approx(nominal(there)[name] - nominal(zero)[name])
    assert nominal(zero)["idempotent"] == 0
    assert nominal(zero)["side-table"] > 0


def test_the_winner_is_right_and_cheapest(staleline: Staleline, tiny_trace: Path) -> None:
    for cell in swept(staleline, tiny_trace, "--vary retranslations=0.1..100000x3log"):
        right = {row["name"]: row["overhead"]["nominal"] for row in cell["rows"] if row["right"]}
        assert "unfixed" not in right
        winners = [name for name in cell["winner"] if name in right]
        assert winners
        assert all(right[name] == pytest.approx(min(right.values())) for name in winners)


# --- sites ------------------------------------------------------------------------------------------------------------

SITES = "slot patch-flush --scenario link --host sifive-u74"
ON_ARM = "slot patch-flush patch-unflushed --scenario link,unlink --host cortex-a8"  # one of them fails


def compared_sites(staleline: Staleline, trace: Path, options: str) -> dict[str, dict[str, float]]:
    ran = staleline(f"compare {trace} {options} --format json")
    return {row["site"]: row["run"] for row in ran.document["linking"]}


def test_a_cell_of_sites_is_what_a_comparison_finds_with_that_set(staleline: Staleline, tiny_trace: Path) -> None:
    vary = "--vary costs.line=3,170 --vary costs.load=1,4 --vary costs.cpi=1,2"
    ran = staleline(f"sweep {ON_ARM} {tiny_trace} {vary} --format json")
    assert ran.status == 0, ran.err
    cells = ran.valid["cells"]
    assert len(cells) == 8
    for cell in (cells[1], cells[6]):
        at = cell["at"]
        settings = f"--set isa.arm.flush.line={at['costs.line']} --set costs.cpi={at['costs.cpi']}"
        options = f"{ON_ARM} {settings} --set costs.load={at['costs.load']}"
        assert_costs_are(cell, compared_sites(staleline, tiny_trace, options))
        assert cell["translator"] == ""
        verdicts = {row["name"]: (row["right"], row["verdicts"]["unlink"]) for row in cell["rows"]}
        assert verdicts["patch-unflushed-arm"] == (False, "fails")
        assert verdicts["slot-arm"] == (True, "holds")


def test_rates_of_sites_are_how_often_something_is_done(staleline: Staleline, tiny_trace: Path) -> None:
    """The prices of an execution, a link and an unlink, times how many the axes ask for."""
    document = staleline(f"compare {SITES} {tiny_trace} --format json").document
    work, prices = document["workload"], {row["site"]: row for row in document["linking"]}
    executions, through = work["executions"], work["through"]

    def expected(name: str, links: float, unlinks: float) -> float:
        execution, link, unlink = (prices[name][one]["nominal"] for one in ("execution", "link", "unlink"))
        return float(execution * through + link * links + unlink * unlinks)

    plain = compared_sites(staleline, tiny_trace, SITES)
    recorded = work["unlinks"] / work["links"]
    first = work["links"] - work["unlinks"]
    for vary, links, unlinks in (
        ("links=500", 500e-6 * executions, 500e-6 * executions * recorded),
        ("executions=4", through / 4, through / 4 * recorded),
        ("unlinks=0.5", work["links"], work["links"] / 2),
        ("retranslations=2000", first + 2000e-6 * executions, 2000e-6 * executions),
    ):
        (cell,) = staleline(f"sweep {SITES} {tiny_trace} --vary {vary} --format json").document["cells"]
        for row in cell["rows"]:
            # New targets, and uses of their memory again, go with the links.
            rest = plain[row["name"]]["nominal"] - expected(row["name"], work["links"], work["unlinks"])
            found = expected(row["name"], links, unlinks) + rest * links / work["links"]
            assert row["overhead"]["nominal"] == pytest.approx(found)


def test_a_site_of_ones_own_stands_beside_those_of_the_library_and_goes_on(
    staleline: Staleline, tiny_trace: Path, tmp_path: Path
) -> None:
    mine, results = tmp_path / "mine.toml", tmp_path / "sites.jsonl"
    mine.write_text((files(linking) / "slot-ppc.toml").read_text("utf-8"), encoding="utf-8")
    command = f"sweep {mine} {tiny_trace} --scenario link --host ppc-g4 --vary links=1..1000x4log --results {results}"
    assert staleline(command).status == 0
    whole = results.read_bytes()
    found = lines(results)
    assert {"mine", "slot-ppc", "patch-flush-ppc"} <= {row["name"] for row in found[0]["rows"]}
    for cell in found:
        # The same words and operations: neither is dearer.
        assert ("mine" in cell["winner"]) is ("slot-ppc" in cell["winner"])
    results.write_bytes(b"".join(whole.splitlines(keepends=True)[:2]))
    moved = mine.rename(tmp_path / "elsewhere.toml").rename(mine)  # where a file lies is nothing to the answer
    assert "2 of them were there" in staleline(command).out
    assert sorted(results.read_bytes().splitlines()) == sorted(whole.splitlines())
    mine.write_text(moved.read_text("utf-8").replace('link = "', 'link = "isb; '), encoding="utf-8")
    staleline(command).is_refused("another sweep", "--fresh")


# --- results as they come ---------------------------------------------------------------------------------------------


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_a_stopped_sweep_goes_on_and_repairs_its_end(staleline: Staleline, tiny_trace: Path, tmp_path: Path) -> None:
    results = tmp_path / "sweep.jsonl"
    command = f"sweep {FEW} --vary retranslations=1..1000x8log --results {results}"
    assert staleline(command, str(tiny_trace)).status == 0
    whole, table = results.read_bytes(), results.with_suffix(".csv").read_bytes()
    kept = b"".join(whole.splitlines(keepends=True)[:3])
    for cut in (0, 40):
        results.write_bytes(kept + whole[len(kept) : len(kept) + cut])
        ran = staleline(command, str(tiny_trace))
        assert "3 of them were there" in ran.out
        assert sorted(results.read_bytes().splitlines()) == sorted(whole.splitlines())
        assert sorted(results.with_suffix(".csv").read_bytes().splitlines()) == sorted(table.splitlines())
        assert sorted(line["number"] for line in lines(results)) == list(range(8))
    with results.with_suffix(".csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["number"], row["name"]) for row in rows} == {
        (str(cell["number"]), row["name"]) for cell in lines(results) for row in cell["rows"]
    }


def test_results_of_another_sweep_are_not_mixed_in(staleline: Staleline, tiny_trace: Path, tmp_path: Path) -> None:
    results = tmp_path / "sweep.jsonl"
    command = f"sweep {FEW} --results {results}"
    staleline(f"{command} --vary retranslations=1,2", str(tiny_trace))
    before = results.read_bytes()
    other = f"{command} --vary retranslations=1,3"
    staleline(other, str(tiny_trace)).is_refused("line 2", "another sweep", "--fresh")
    assert results.read_bytes() == before
    assert staleline(f"{other} --fresh", str(tiny_trace)).status == 0
    assert [line["at"]["retranslations"] for line in lines(results)] == ["1", "3"]
    results.write_text('{"no": "cell"}\n')
    staleline(other, str(tiny_trace)).is_refused("line 1", "no cell")


def test_pictures(staleline: Staleline, tiny_trace: Path, tmp_path: Path) -> None:
    pytest.importorskip("vl_convert")
    for name, vary in (("curves", ""), ("map", "--vary costs.line=1..500x2log")):
        picture = tmp_path / f"{name}.svg"
        options = f"--vary retranslations=0.1..100000x3log {vary} --plot {picture}"
        assert staleline(f"sweep {FEW} {options}", str(tiny_trace)).status == 0
        text = picture.read_text(encoding="utf-8")
        assert "cheapest that is right" in text
        assert "retranslations per million executions" in text


# --- a cluster --------------------------------------------------------------------------------------------------------


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[str]]]]:
    """A scheduler and two workers, each a process of its own."""
    pytest.importorskip("distributed", reason="dask.distributed is not installed: pip install 'staleline[sweep]'")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "STALELINE_RESULTS": "", "PYTHONUNBUFFERED": "1"}
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]],
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        started.append(process)
        return process

    place = tmp_path / "scheduler.json"
    quiet = ("--no-dashboard", "--scheduler-file", str(place))
    start("dask_scheduler", *quiet, "--port", "0", "--interface", "lo")
    while not place.exists() or not place.read_text():
        time.sleep(0.1)
        assert started[0].poll() is None
    workers = [start("dask_worker", *quiet, "--no-nanny", "--nthreads", "1", "--interface", "lo") for _ in range(2)]
    try:
        yield json.loads(place.read_text())["address"], workers
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_on_a_cluster_a_worker_is_killed_and_nothing_is_lost_or_twice(
    scheduler: tuple[str, list[subprocess.Popen[str]]], staleline: Staleline, tiny_trace: Path, tmp_path: Path
) -> None:
    """Of sites, whose cases take a moment each; and then of strategies, on the worker that is left."""
    address, (victim, _) = scheduler
    results = tmp_path / "sweep.jsonl"
    command = f"sweep slot patch-flush {tiny_trace} --host cortex-a9 --scenario link,unlink"
    command += " --vary vcpus=1..6x6 --vary costs.line=5,100"
    ended = Event()

    def kill_when_some_are_there() -> None:
        while not ended.wait(0.02):
            if results.exists() and results.read_bytes():
                victim.send_signal(signal.SIGKILL)
                return

    killer = Thread(target=kill_when_some_are_there)
    killer.start()
    try:
        ran = staleline(f"{command} --scheduler {address} --results {results}")
    finally:
        ended.set()
        killer.join()
    assert ran.status == 0, ran.err
    assert victim.wait() == -signal.SIGKILL
    assert "12 cells" in ran.out
    found = lines(results)
    assert sorted(cell["number"] for cell in found) == list(range(12))
    assert sorted(found, key=lambda cell: cell["number"]) == staleline(f"{command} --format json").document["cells"]
    vary = "--vary retranslations=1,1000"
    there = swept(staleline, tiny_trace, f"{vary} --scheduler {address}")
    assert there == swept(staleline, tiny_trace, vary)


def test_without_a_scheduler_it_is_said(
    staleline: Staleline, tiny_trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("bench.commands.sweep._PATIENCE", 1)
    options = "--vary retranslations=1,2 --scheduler tcp://127.0.0.1:9"
    staleline(f"sweep {FEW} {options}", str(tiny_trace)).is_refused("--scheduler", "127.0.0.1:9")


def test_without_distributed_it_is_said(
    staleline: Staleline, tiny_trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    options = "--vary retranslations=1,2 --scheduler tcp://127.0.0.1:9"
    staleline(f"sweep {FEW} {options}", str(tiny_trace)).is_refused("--scheduler", "staleline[sweep]")
