"""``staleline compare``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands.names import (
    host_translator_pairs,
    max_states_of,
    names_in,
    refuse_impossible,
    scenarios_named,
    strategies_named,
)
from bench.commands.options import (
    AsRecorded,
    Cores,
    Flushes,
    Format,
    Hosts,
    MaxStates,
    Output,
    Retranslations,
    Scenarios,
    Settings,
    Strategies,
    Tbs,
    Trace,
    Translators,
    Varied,
    Vcpus,
    WhatIf,
    refuse_idle,
)
from bench.commands.output import emitter, progress_bar, show_share
from bench.support.errors import InputError
from bench.traces.shipped import DEFAULT_TRACE

if TYPE_CHECKING:
    from bench.compare.comparison import Comparison


def compare(
    context: typer.Context,
    trace: Trace = DEFAULT_TRACE,
    strategy: Strategies = None,
    host: Hosts = None,
    translator: Translators = None,
    scenario: Scenarios = None,
    cores: Cores = 2,
    tbs: Tbs = 1,
    retranslations: Retranslations = 2,
    flushes: Flushes = 0,
    max_states: MaxStates = None,
    vcpus: Vcpus = None,
    as_recorded: AsRecorded = False,
    parameter: Varied = None,
    over: Annotated[
        str, typer.Option("--over", help="The strategy that extra is counted from.", metavar="STRATEGY")
    ] = "unfixed",
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Draw the trade-off, parts of costs and prices: svg, png or pdf.", metavar="FILE"),
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
    settings: Settings = None,
    what_if: WhatIf = False,
    format: Format = "simple",
    output: Output = None,
) -> None:
    """Compare every strategy and scenario on a host: verdicts, cost and memory in one table.

    --format html writes one page for a browser: the table, counterexamples to step through, the trade-off, break-even.
    Exit status: 0 when the table is there, failing strategies included; 1 if --against finds something worse or gone; 2
    for bad input.

    \b
    Example: staleline compare --host cortex-a9,arm926 --format github
    Also: staleline compare --format html -o report.html
    """
    from bench.check.cell import Options
    from bench.compare import baseline
    from bench.compare.comparison import compare as compare_on
    from bench.replay.parameters import Parameters
    from bench.report import charts
    from bench.report.baselines import Since
    from bench.report.comparisons import CompareReport
    from bench.report.provenance import command_line, commit, installed
    from bench.traces.store import load_trace

    emit = emitter(format, output)
    if against is None:
        refuse_idle(context, ("tolerance", "allow_missing"), "by itself", "--against")
    before = baseline.load(against) if against is not None else None
    if not 1 <= tolerance <= 1e6:
        raise InputError(f"{tolerance:g}", place="--tolerance", expected="a factor from 1 on")
    if save is not None:
        baseline.refuse_unkeepable(save)
    if plot is not None:
        charts.refuse_undrawable(plot)
    names, by_name = scenarios_named(scenario)
    options = Options(
        cores=cores,
        tbs=tbs,
        retranslations=retranslations,
        flushes=flushes,
        max_states=max_states_of(max_states),
        what_if=what_if,
    )
    parameters = Parameters(vcpus=vcpus, as_recorded=as_recorded).varied(parameter or ())
    pairs = host_translator_pairs(host, settings, translator, what_if)
    if by_name:
        for found, _ in pairs:
            refuse_impossible(found, names, options)
    strategies = strategies_named(names_in(strategy))
    (base,) = strategies_named([over])
    recorded = load_trace(trace)
    results: list[Comparison] = []
    with progress_bar("comparing", len(pairs)) as progress:
        for number, (found, backend) in enumerate(pairs):
            shown = partial(show_share, progress, found.name, number)
            results.append(compare_on(recorded, found, backend, strategies, names, options, parameters, shown, base))
    if plot is not None:
        charts.write(charts.of_comparisons(results), plot)
    document = CompareReport(results).document()
    if save is not None:
        baseline.keep(save, document, version=installed(), commit=commit(), command=command_line())
    since = None
    if before is not None:
        changes = baseline.differences(before.results, baseline.rows_of(document), tolerance)
        assumed = baseline.other_assumptions(before.assumptions, baseline.assumptions_of(document))
        since = Since(before, str(against), changes, assumed)
    if format == "html":
        from bench.report.page.build import PageReport

        emit(PageReport(results, since, trace=recorded, parameters=parameters))
    else:
        emit(CompareReport(results, since))
    if since is not None and (since.worse or (since.missing and not allow_missing)):
        raise typer.Exit(1)
