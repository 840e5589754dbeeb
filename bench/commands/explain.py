"""``staleline explain``: one run of a strategy in depth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands.cells import check_cells, right
from bench.commands.names import kind_of, names_in, some_of
from bench.commands.options import OfCells, Written, refuse_idle
from bench.support.errors import InputError

if TYPE_CHECKING:
    from bench.check.cell import Checked
    from bench.report.schedule import ScheduleReport
    from strategies.strategy import Strategy


def explain(
    context: typer.Context,
    *,
    strategy: Annotated[list[str], typer.Argument(help="Strategies.", metavar="STRATEGY")],
    follow: Annotated[
        str | None, typer.Option("--follow", help="Find the shortest run with these events: a file, thread or hidden.")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            help="Replay the counterexample's environment schedule under these strategies.",
            metavar="NAME,...",
        ),
    ] = None,
    autopsy: Annotated[
        bool, typer.Option("--autopsy", help="Execute what the run ends with (needs staleline[autopsy]).")
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Draw the run, with what the caches hold: svg, png or pdf.", metavar="FILE"),
    ] = None,
    cells: OfCells,
    written: Written,
) -> None:
    """Show one run in depth: a counterexample, or given events. The run is the shortest that there is.

    Exit status: as that of check.

    \b
    Example: staleline explain unfixed --scenario user --follow thread
    Also: staleline explain unfixed --scenario system --against side-table
    Also: staleline explain flush-on-retranslation --scenario user --plot run.svg
    """
    from bench.check import asked
    from bench.explain.follow import load_events
    from bench.report.charts import drawing
    from bench.report.charts.runs import of_runs
    from bench.report.checks import CheckReport

    emit = written.emitter()
    for name in names_in(strategy):
        if (kind := kind_of(name)) != "strategy":
            shown = f"a strategy; staleline check {name} shows counterexamples"
            raise InputError(f"{name!r} is a {kind}", place="explain", expected=shown)
    if against:
        refuse_idle(context, ("follow", "autopsy", "plot"), "with --against", "one of them")
    if plot is not None:
        drawing.refuse_undrawable(plot)
    events = load_events(follow) if follow is not None else ()
    options = cells.options(follow=events, follow_source=follow or "", autopsy=autopsy)
    others = asked.strategies(some_of(against)) if against else []
    results = check_cells(asked.strategies(some_of(strategy)), cells, options)
    if plot is not None:
        drawing.write(of_runs(results), plot)
    emit(_schedules(results, others) if against else CheckReport(results, in_depth=True))
    if not right(results):
        raise typer.Exit(1)


def _schedules(results: list[Checked], others: list[Strategy]) -> ScheduleReport:
    """The environment schedules of the counterexamples under other strategies."""
    from bench.check.schedule import same_schedule
    from bench.report.schedule import ScheduleReport
    from bench.translators.registry import load_translator

    failing = [result for result in results if result.verdict == "fails"]
    if not failing:
        raise InputError("nothing that fails", place="--against", expected="a strategy with a counterexample")
    return ScheduleReport([(one, same_schedule(one, others, load_translator(one.translator))) for one in failing])
