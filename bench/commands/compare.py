"""``staleline compare``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands.names import one_of, some_of
from bench.commands.options import OfReplay, Scaled, Strategies, Trace, Written, refuse_idle, scenarios_on
from bench.commands.output import progress_bar, show_share
from bench.support.errors import InputError
from bench.traces.shipped import DEFAULT_TRACE

if TYPE_CHECKING:
    from bench.compare.comparison import Comparison


def compare(
    context: typer.Context,
    *,
    trace: Trace = DEFAULT_TRACE,
    strategy: Strategies = None,
    cells: Scaled,
    assumed: OfReplay,
    over: Annotated[
        str, typer.Option("--over", help="The strategy that extra is counted from.", metavar="STRATEGY")
    ] = "unfixed",
    sensitivity: Annotated[
        bool,
        typer.Option("--sensitivity", help="What decides: each assumption by itself, and the rate of retranslations."),
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Draw the trade-off, parts of costs and prices: svg, png or pdf.", metavar="FILE"),
    ] = None,
    charts: Annotated[
        list[str] | None,
        typer.Option("--charts", help="With --plot: only trade-off, parts or prices.", metavar="NAME,..."),
    ] = None,
    save: Annotated[
        str | None, typer.Option("--save", help="Keep this run by a name (in .staleline).", metavar="NAME")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            help="What has changed since a run that was kept; exit 1 if anything got worse or is gone.",
            metavar="NAME",
        ),
    ] = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="With --against: so many times dearer is still the same.")
    ] = 1.02,
    allow_missing: Annotated[bool, typer.Option("--allow-missing", help="With --against: rows may be gone.")] = False,
    written: Written,
) -> None:
    """Compare every strategy and scenario on a host: verdicts, cost and memory in one table.

    --format html writes one page for a browser: the table, counterexamples to step through, the trade-off, break-even.
    Exit status: 0 when the table is there, failing strategies included; 1 if --against finds something worse or gone; 2
    for bad input.

    \b
    Example: staleline compare --host cortex-a9,arm926 --format github
    Also: staleline compare --format html -o report.html
    """
    from bench.check import asked
    from bench.compare import baseline
    from bench.compare.comparison import compare as compare_on
    from bench.report.baselines import Since
    from bench.report.charts import drawing
    from bench.report.charts.comparisons import CHARTS, of_comparisons
    from bench.report.comparisons import CompareReport
    from bench.report.provenance import command_line, commit, installed
    from bench.traces.store import load_trace

    emit = written.emitter(own=("html",))
    if sensitivity and plot is None and written.format in ("html", "csv"):
        refuse_idle(context, ("sensitivity",), f"with --format {written.format}", "tables of text, json or --plot")
    if against is None:
        refuse_idle(context, ("tolerance", "allow_missing"), "by itself", "--against")
    before = baseline.load(against) if against is not None else None
    if not 1 <= tolerance <= 1e6:
        raise InputError(f"{tolerance:g}", place="--tolerance", expected="a factor from 1 on")
    if save is not None:
        baseline.refuse_unkeepable(save)
    if plot is None:
        refuse_idle(context, ("charts",), "by itself", "--plot")
    else:
        drawing.refuse_undrawable(plot)
    drawn = [one_of("--charts", name, CHARTS) for name in some_of(charts) or CHARTS]
    options, parameters, pairs = cells.options(), assumed.parameters(), cells.pairs()
    names = scenarios_on(cells.scenario, [host for host, _ in pairs], options.cores)
    strategies, recorded = asked.strategies(some_of(strategy)), load_trace(trace)
    (base,) = asked.strategies([over])
    results: list[Comparison] = []
    with progress_bar("comparing", len(pairs)) as progress:
        for number, (host, translator) in enumerate(pairs):
            shown = partial(show_share, progress, host.name, number)
            results.append(compare_on(recorded, host, translator, strategies, names, options, parameters, shown, base))
    if plot is not None:
        drawing.write(of_comparisons(results, drawn, sensitivity=sensitivity), plot)
    document = CompareReport(results).document()
    if save is not None:
        baseline.keep(save, document, version=installed(), commit=commit(), command=command_line())
    since = None
    if before is not None:
        changes = baseline.differences(before.results, baseline.rows_of(document), tolerance)
        others = baseline.other_assumptions(before.assumptions, baseline.assumptions_of(document))
        since = Since(before, str(against), changes, others)
    if written.format == "html":
        from bench.report.page.build import PageReport

        emit(PageReport(results, since, trace=recorded, parameters=parameters))
    else:
        emit(CompareReport(results, since, sensitivity))
    if since is not None and (since.worse or (since.missing and not allow_missing)):
        raise typer.Exit(1)
