"""How a benchmark of the suite is taken down, and the table at the end."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.suite.table import Goal, GoalRow, MeasuredTime, goal_table, ratio_table

T = TypeVar("T")

_MEASURED: pytest.StashKey[list[MeasuredTime]] = pytest.StashKey()
_SKIPPED: pytest.StashKey[list[str]] = pytest.StashKey()


class Measure:
    """Measures one tool with pytest-benchmark, and takes it down for the table."""

    def __init__(self, benchmark: BenchmarkFixture, measured: list[MeasuredTime]) -> None:
        self._benchmark = benchmark
        self._measured = measured

    def __call__(
        self,
        run: Callable[[], T],
        group: str,
        tool: str,
        *,
        work: Callable[[T], int] = lambda result: 0,
        unit: str = "",
        goal: Goal | None = None,
        rows: tuple[GoalRow, ...] = (),
        peak: Callable[[T], int] = lambda result: 0,
        rounds: int = 3,
        warmup: bool = True,
        **simulated: Callable[[T], Any],
    ) -> T:
        """What ``run`` returned.

        ``group``: what is compared; ``work``, in ``unit``, and ``simulated`` figures are made from the result and stand
        in ``extra_info``, since they are exact.  ``goal`` as in ``Measured``.  ``peak`` is found from the
        result; ``rows`` as in ``MeasuredTime``.
        """
        benchmark = self._benchmark
        benchmark.group = group
        result: T = benchmark.pedantic(run, rounds=rounds, warmup_rounds=int(warmup))
        done = work(result)
        benchmark.extra_info.update({"tool": tool, "goal": str(goal or "")})
        if unit:
            benchmark.extra_info.update({"work": done, "unit": unit})
        benchmark.extra_info.update({name: figure(result) for name, figure in simulated.items()})
        if benchmark.stats is not None:  # not with --benchmark-disable
            seconds = float(benchmark.stats.stats.median)
            self._measured.append(MeasuredTime(group, tool, seconds, done, unit, goal, peak(result), rows))
        return result


@pytest.fixture
def measure(benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> Measure:
    """Measures the one tool of a test."""
    return Measure(benchmark, request.config.stash.setdefault(_MEASURED, []))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note why a peer is not there."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = str(report.longrepr[2]).removeprefix("Skipped: ")
        item.config.stash.setdefault(_SKIPPED, []).append(f"{item.name}: {reason}")
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The table of goals, unless only these were measured that of ratios too, and what is missing in them."""
    measured = config.stash.get(_MEASURED, [])
    if any(one.rows for one in measured):
        terminalreporter.section("goals: medians of this run, and their ratios")
        terminalreporter.write_line(goal_table(measured))
    if measured and config.option.markexpr != "goal":
        terminalreporter.section("ratios of medians in this run")
        terminalreporter.write_line(ratio_table(measured))
    for reason in config.stash.get(_SKIPPED, []):
        terminalreporter.write_line(f"not measured: {reason}")
