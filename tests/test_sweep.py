"""Sweeps: what an axis is, that a price needs no simulation, that nothing is lost and nothing twice; of sites too."""

from __future__ import annotations

import asyncio
import csv
import itertools
import json
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from conftest import Staleline
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.commands.application import main
from bench.compare.axes import axes, axis
from bench.compare.contest import Group, PricedGroup
from bench.compare.sweep import Asked, Case, Planned, Point, SweptCell, sweep
from bench.hosts import Host, load_host
from bench.replay.cost import of_figure
from bench.replay.parameters import Parameters
from bench.search.explore import load
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
        ("--vary vcpus=1,2 --vary cores=1,2 --vary costs.lock=1,2 --plot x.svg", ("--plot", "3 axes")),
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


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, which has the kernels: those of the pool, and of a cluster, have tests of their own."""
    monkeypatch.setattr("bench.commands.sweep.ProcessPoolExecutor", lambda *_: ThreadPoolExecutor(1))


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
        right = {row["name"]: row["right"] for row in cell["rows"]}
        assert (right["patch-unflushed-arm"], right["slot-arm"]) == (False, True)
    judged = {(one["name"], tuple(one["settings"])): one for one in ran.document["verdicts"]}
    assert len(judged) == len(ran.document["verdicts"]) == 3
    verdicts = {name: (one["right"], one["verdicts"]["unlink"]) for (name, _), one in judged.items()}
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
    found = cells_in(results)
    assert {"mine", "slot-ppc", "patch-flush-ppc"} <= {row["name"] for row in found[0]["rows"]}
    for cell in found:
        # The same words and operations: neither is dearer.
        assert ("mine" in cell["winner"]) is ("slot-ppc" in cell["winner"])
    results.write_bytes(beginning(whole, 2))
    moved = mine.rename(tmp_path / "elsewhere.toml").rename(mine)  # where a file lies is nothing to the answer
    assert "2 of them were there" in staleline(command).out
    assert sorted(results.read_bytes().splitlines()) == sorted(whole.splitlines())
    mine.write_text(moved.read_text("utf-8").replace('link = "', 'link = "isb; '), encoding="utf-8")
    staleline(command).is_refused("another sweep", "--fresh")


# --- results as they come ---------------------------------------------------------------------------------------------


def cells_in(path: Path) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, path.read_bytes().splitlines()) if line["kind"] == "cell"]


def beginning(text: bytes, cells: int) -> bytes:
    """The lines up to so many cells."""
    found = list[bytes]()
    for line in text.splitlines(keepends=True):
        cells -= json.loads(line)["kind"] == "cell"
        found += [line] if cells >= 0 else []
    return b"".join(found)


def test_a_stopped_sweep_goes_on_and_repairs_its_end(staleline: Staleline, tiny_trace: Path, tmp_path: Path) -> None:
    results = tmp_path / "sweep.jsonl"
    command = f"sweep {FEW} --vary retranslations=1..1000x8log --results {results}"
    assert staleline(command, str(tiny_trace)).status == 0
    whole, table = results.read_bytes(), results.with_suffix(".csv").read_bytes()
    kept = beginning(whole, 3)
    for cut in (0, 40):
        results.write_bytes(kept + whole[len(kept) : len(kept) + cut])
        ran = staleline(command, str(tiny_trace))
        assert "3 of them were there" in ran.out
        assert sorted(results.read_bytes().splitlines()) == sorted(whole.splitlines())
        assert sorted(results.with_suffix(".csv").read_bytes().splitlines()) == sorted(table.splitlines())
        assert sorted(cell["number"] for cell in cells_in(results)) == list(range(8))
    with results.with_suffix(".csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted((row["kind"], row["number"], row["name"]) for row in rows) == sorted(
        (line["kind"], str(line.get("number", "")), row["name"])
        for line in map(json.loads, whole.splitlines())
        for row in line.get("rows", [line])
    )


def test_results_of_another_sweep_are_not_mixed_in(staleline: Staleline, tiny_trace: Path, tmp_path: Path) -> None:
    results = tmp_path / "sweep.jsonl"
    command = f"sweep {FEW} --results {results}"
    staleline(f"{command} --vary retranslations=1,2", str(tiny_trace))
    before = results.read_bytes()
    other = f"{command} --vary retranslations=1,3"
    staleline(other, str(tiny_trace)).is_refused("line ", "another sweep", "--fresh")
    assert results.read_bytes() == before
    assert staleline(f"{other} --fresh", str(tiny_trace)).status == 0
    assert [cell["at"]["retranslations"] for cell in cells_in(results)] == ["1", "3"]
    results.write_text('{"no": "cell"}\n')
    staleline(other, str(tiny_trace)).is_refused("line 1", "no line of a sweep")


def test_pictures(staleline: Staleline, tiny_trace: Path, tmp_path: Path) -> None:
    """All verdicts and costs without an axis, curves over one, a map over two."""
    pytest.importorskip("vl_convert")
    words = ("tiles from left to right: system", "side-table on cortex-a9 with arm@2010, transient system: holds")
    for number, expected in enumerate((words, ("is cheapest from",), ("retranslations 0.1, costs.line 1",))):
        picture = tmp_path / f"{number}.svg"
        vary = ("--vary retranslations=0.1..100000x3log", "--vary costs.line=1..500x2log")[:number]
        assert staleline(f"sweep {FEW} --plot {picture}", *" ".join(vary).split(), str(tiny_trace)).status == 0
        text = picture.read_text(encoding="utf-8")
        for word in (*expected, *(["cheapest that is right", "retranslations per million executions"] if vary else [])):
            assert word in text


# --- in which order, and what a stop leaves ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Plain:
    """A contest of two, of whom the second is right."""

    translator: str = "none"
    rates: tuple[str, ...] = ()
    simulates: bool = False

    def groups(self) -> tuple[Group, ...]:
        return Group("one", ("one",)), Group("other", ("other",))

    def verdicts(self, group: Group, host: Host) -> dict[str, str]:
        return {"asked": "holds" if group.found_by == "other" else "fails"}

    def prices(self, host: Host, trace: object, parameters: Parameters) -> tuple[PricedGroup, ...]:
        one = of_figure("costs.cpi", host.costs.cpi, host.clock_ghz, host.clock_tag)
        return PricedGroup(("one",), one, one), PricedGroup(("other",), one.times(2), one)

    def hypothetical_on(self, host: Host) -> bool:
        return False


def planned_on(name: str, points: list[Point]) -> Planned:
    """That contest on a host, at some points."""
    contest: Any = Plain()
    groups = {f"{name}/{group.found_by}": group for group in contest.groups()}
    return Planned(Case(load_host(name), contest, "", "", Parameters()), groups, points)


class Later(Executor):
    """Tasks in a list, until they are asked for one by one."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.waiting: list[tuple[Future[Any], Callable[[], Any]]] = []
        self.most = 0

    def submit(self, work: Any, /, *given: Any, **_: Any) -> Future[Any]:
        future = Future[Any]()
        self.begun.append(given[1].__name__)
        self.waiting.append((future, partial(work, *given)))
        self.most = max(self.most, len(self.waiting))
        return future

    def end_one(self, number: int) -> None:
        future, work = self.waiting.pop(number % len(self.waiting))
        future.set_result(work())


@settings(max_examples=40)
@given(st.lists(st.integers(0, 8), min_size=1, max_size=5), st.integers(1, 4), st.data())
def test_each_answer_comes_once_and_cells_go_before_all_else(
    sizes: list[int], workers: int, data: st.DataObject
) -> None:
    """In whatever order tasks end.  Two cases of a host share its verdicts; those that are there are not asked for."""
    planned, number = [], 0
    for one, size in enumerate(sizes):
        points = [Point(number + n, f"{one}/{n}", {}, {}) for n in range(size)]
        planned.append(planned_on(("cortex-a9", "z10", "arm926")[one % 3], points))
        number += size
    every = {id for one in planned for id in one.ids}
    executor, answers = Later(), dict[str, Any]()

    def wait(running: Any, **_: Any) -> tuple[list[Any], None]:
        executor.end_one(data.draw(st.integers(0, 50)))
        return [future for future in running if future.done()], None

    told: list[tuple[str, float]] = []

    def answer(stop: int) -> None:
        before = {*answers}
        for lines in sweep(Asked(), planned, dict(answers), executor, lambda: workers, lambda *one: told.append(one)):
            assert not before & {line.id for line in lines}
            before |= {line.id for line in lines}
            answers.update((line.id, line) for line in lines)
            if len(answers) >= stop:
                return

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.compare.sweep.wait", wait)
        patch.setattr("bench.compare.sweep.AT_ONCE", 3)
        answer(data.draw(st.integers(1, len(every))))  # as if it were stopped there
        executor = Later()
        answer(len(every) + 1)
    assert answers.keys() == every
    assert executor.most <= workers + 1
    assert {line.winner for line in answers.values() if isinstance(line, SweptCell)} <= {("other",)}
    assert all(0 <= share <= 1 for _, share in told)


def test_cells_go_before_other_cases_and_the_estimate_counts_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, each in a second: the words are what is left of them."""
    planned = [planned_on(name, [Point(0, f"{name}/cell", {}, {})]) for name in ("cortex-a9", "z10")]
    executor, told, clock = Later(), list[str](), itertools.count()

    def wait(running: Any, **_: Any) -> tuple[list[Any], None]:
        executor.end_one(0)
        return [future for future in running if future.done()], None

    monkeypatch.setattr("bench.compare.sweep.wait", wait)
    monkeypatch.setattr("bench.compare.sweep.time.perf_counter", lambda: float(next(clock)))
    monkeypatch.setattr("bench.compare.sweep.time.monotonic", lambda: 0.0)
    found = [*sweep(Asked(), planned, {}, executor, lambda: 1, lambda text, share: told.append(text))]
    # One is handed out beforehand, so that nobody waits.
    works = ["_judged", "_judged", "_priced", "_judged", "_cells", "_judged", "_priced", "_cells"]
    assert executor.begun == works
    assert [line.id for lines in found for line in lines] == [
        *("cortex-a9/one", "cortex-a9/other", "z10/one", "cortex-a9/cell", "z10/other", "z10/cell")
    ]
    assert told[0] == "0 of 2 cells, 1 of 4 verdicts; how long is not known yet"
    assert told[4:] == [
        "1 of 2 cells, 3 of 4 verdicts; about 3 s left",
        "1 of 2 cells, 4 of 4 verdicts; about 2 s left",
        "1 of 2 cells, 4 of 4 verdicts; about 1 s left",
        "2 of 2 cells, 4 of 4 verdicts; about 0 s left",
    ]


@pytest.mark.slow
def test_a_sweep_that_is_killed_leaves_no_process_and_goes_on(
    staleline: Staleline, tiny_trace: Path, tmp_path: Path
) -> None:
    """Killed, and then interrupted, while a strategy is waited for."""
    if sys.platform != "linux":
        pytest.skip("elsewhere nobody tells a process that its parent was killed")
    waits, gate, results = (tmp_path / name for name in ("waits", "gate", "sweep.jsonl"))
    mine = tmp_path / "mine.py"
    mine.write_text(
        "import multiprocessing, time\nfrom pathlib import Path\n"
        "from strategies.retranslation.flush_on_retranslation import FlushOnRetranslation as Flush\n"
        "class Slow(Flush):\n    name = 'slow'\n    def retranslate(self, tb):\n"
        f"        if ':' in multiprocessing.current_process().name and not Path({str(gate)!r}).exists():\n"
        f"            Path({str(waits)!r}).touch()\n            time.sleep(3600)\n"
        "        yield from super().retranslate(tb)\n"
    )
    command = f"sweep {tiny_trace} --strategy idempotent,side-table,{mine}:Slow --scenario system --results {results}"

    def stopped(by: signal.Signals) -> tuple[int | None, str]:
        said = tmp_path / "said"
        process = multiprocessing.get_context("fork").Process(target=run, args=(command, said))
        process.start()
        while not (waits.exists() and results.read_bytes().count(b"\n") >= 2):
            assert process.is_alive()
            time.sleep(0.02)
        assert process.pid is not None
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert children
        os.kill(process.pid, by)
        process.join()
        while any(is_running(int(child)) for child in children):
            time.sleep(0.02)
        waits.unlink()
        return process.exitcode, said.read_text()

    assert stopped(signal.SIGKILL)[0] == -signal.SIGKILL
    status, said = stopped(signal.SIGINT)
    assert (status, said.rpartition(";")[0]) == (130, f"staleline: stopped: 2 of 4 answers are in {results}")
    before = results.read_bytes()
    gate.touch()
    assert staleline(command).status == 0
    assert results.read_bytes().startswith(before)
    assert sorted(line["kind"] for line in map(json.loads, results.read_bytes().splitlines())) == [
        "cell",
        *["verdicts"] * 3,
    ]


def run(command: str, said: Path) -> None:
    """The command with a pool of processes, its errors in a file; for a process of its own."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has what runs in the background ignore it
    pytest.MonkeyPatch().setattr("bench.commands.sweep.ProcessPoolExecutor", ProcessPoolExecutor)
    sys.argv, sys.stderr = ["staleline", *command.split()], said.open("w", buffering=1)
    main()


def is_running(process: int) -> bool:
    """Whether a process has not ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# --- a cluster --------------------------------------------------------------------------------------------------------


def serve(part: str, place: Path) -> None:
    """In a process of its own: the scheduler, whose address goes to a file, or a worker of it."""
    import dask
    import distributed

    os.environ["STALELINE_RESULTS"] = ""
    logging.disable()
    dask.config.set({"distributed.scheduler.worker-ttl": None})  # one that compiles says nothing for long

    async def served() -> None:
        if part == "scheduler":
            async with distributed.Scheduler(dashboard=False, host="127.0.0.1", scheduler_file=str(place)) as one:
                await one.finished()
        else:
            async with distributed.Worker(scheduler_file=str(place), nthreads=1, host="127.0.0.1") as one:
                await one.finished()

    asyncio.run(served())


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[str, list[BaseProcess]]]:
    """A scheduler and two workers, each a process of its own, which has loaded what this one has."""
    pytest.importorskip("distributed", reason="dask.distributed is not installed: pip install 'staleline[sweep]'")
    if sys.platform != "linux":
        pytest.skip("processes are not forked here")
    load()
    place, fork = tmp_path / "scheduler.json", multiprocessing.get_context("fork")
    started = [fork.Process(target=serve, args=(part, place)) for part in ("scheduler", "worker", "worker")]
    try:
        for process in started:
            process.start()
            while not (place.exists() and place.read_text()):
                time.sleep(0.02)
                assert process.is_alive()
        yield json.loads(place.read_text())["address"], [*started[1:]]
    finally:
        for process in started:
            process.kill()
            process.join()


def test_on_a_cluster_a_worker_is_killed_and_nothing_is_lost_or_twice(
    scheduler: tuple[str, list[BaseProcess]], staleline: Staleline, tiny_trace: Path, tmp_path: Path
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
                victim.kill()
                return

    killer = Thread(target=kill_when_some_are_there)
    killer.start()
    try:
        ran = staleline(f"{command} --scheduler {address} --results {results}")
    finally:
        ended.set()
        killer.join()
    assert ran.status == 0, ran.err
    victim.join()
    assert victim.exitcode == -signal.SIGKILL
    assert "12 cells" in ran.out
    found = cells_in(results)
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
