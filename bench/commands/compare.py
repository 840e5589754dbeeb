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
)
from bench.commands.output import emitter, json_text, progress_bar, show_share
from bench.support.errors import InputError
from bench.traces.shipped import DEFAULT_TRACE

if TYPE_CHECKING:
    from bench.compare.comparison import Comparison


def compare(
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
            help="What has changed since a run that was kept; exit 1 if anything got worse.",
            metavar="NAME",
        ),
    ] = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="With --against: so many times dearer is still the same.")
    ] = 1.02,
    settings: Settings = None,
    what_if: WhatIf = False,
    format: Format = "simple",
    output: Output = None,
) -> None:
    """The main job: every strategy and scenario on a host, one table: verdicts, cost, memory.

    --format html writes one page for a browser: the table, counterexamples to step through, the trade-off, break-even.
    Exit status: 0 when the table is there, failing strategies included; 2 for bad input.

    \b
    Example: staleline compare --host cortex-a9,arm926 --format github
    """
    from bench.check.cell import Options
    from bench.compare import baseline
    from bench.compare.comparison import compare as compare_on
    from bench.replay.parameters import Parameters
    from bench.report import baselines, comparisons
    from bench.report.provenance import command_line, commit, installed
    from bench.traces.store import load_trace

    emit = emitter(format, output)
    before = baseline.load(against) if against is not None else None
    if not 1 <= tolerance <= 1e6:
        raise InputError(f"{tolerance:g}", place="--tolerance", expected="a factor from 1 on")
    if save is not None:
        baseline.refuse_unkeepable(save)
    if plot is not None:
        from bench.report.plots import refuse_unplottable
        from bench.support.files import refuse_unwritable

        refuse_unplottable(plot)
        refuse_unwritable(plot)
    named, by_name = scenarios_named(scenario)
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
            refuse_impossible(found, named, options)
    strategies = strategies_named(names_in(strategy))
    recorded = load_trace(trace)
    results: list[Comparison] = []
    with progress_bar("comparing", len(pairs)) as progress:
        for number, (found, backend) in enumerate(pairs):
            results.append(
                compare_on(
                    recorded,
                    found,
                    backend,
                    strategies,
                    named,
                    options,
                    parameters,
                    partial(show_share, progress, found.name, number),
                )
            )
    if plot is not None:
        from bench.report.comparison_plot import as_plot
        from bench.support.files import replacing

        picture = as_plot(results, plot.suffix)
        with replacing(plot) as file:
            file.write(picture)
    document = comparisons.compared_objects(results)
    if save is not None:
        baseline.keep(save, document, version=installed(), commit=commit(), command=command_line())
    found_before = (
        baseline.differences(before.results, baseline.rows_of(document), tolerance) if before is not None else ()
    )
    if format == "html":
        from bench.report.page.build import as_page

        emit(as_page(results, recorded, parameters))
    elif format == "json":
        emit(json_text({**document, "against": baselines.as_objects(found_before)} if before is not None else document))
    elif format == "csv":
        emit(comparisons.compared_csv(results))
    else:
        text = comparisons.compared_text(results, format)
        if before is not None:
            text += f"\n\n{baselines.as_text(before, str(against), found_before, format)}"
        emit(text)
    if any(one.change == "worse" for one in found_before):
        raise typer.Exit(1)


def report(
    output: Annotated[Path, typer.Option("--output", "-o", help="The .html file to write.")],
    trace: Trace = DEFAULT_TRACE,
    strategy: Strategies = None,
    host: Hosts = None,
    translator: Translators = None,
    scenario: Scenarios = None,
    settings: Settings = None,
    what_if: WhatIf = False,
) -> None:
    """The same comparison as one HTML file, to be put in front of others: staleline compare --format html.

    \b
    Example: staleline report linux-boot -o report.html
    """
    compare(
        trace, strategy, host, translator, scenario, settings=settings, what_if=what_if, format="html", output=output
    )
