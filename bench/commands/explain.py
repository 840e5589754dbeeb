"""``staleline explain``: one run of a strategy in depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands.cells import check_cells, options_of, right
from bench.commands.names import names_in, strategies_named
from bench.commands.options import (
    Access,
    Cores,
    Flushes,
    Format,
    GuestBits,
    Hazard,
    Hosts,
    Layout,
    MaxStates,
    Offset,
    Output,
    Retranslations,
    Scenarios,
    Settings,
    Speculation,
    Start,
    Symmetry,
    Tbs,
    Translators,
    Units,
    WhatIf,
    refuse_idle,
)
from bench.commands.output import emitter
from bench.support.errors import InputError

if TYPE_CHECKING:
    from bench.check.cell import Checked
    from bench.report.schedule import ScheduleReport
    from strategies.strategy import Strategy


def explain(
    context: typer.Context,
    strategy: Annotated[list[str], typer.Argument(help="Strategies.", metavar="STRATEGY")],
    host: Hosts = None,
    translator: Translators = None,
    scenario: Scenarios = None,
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
    hazard: Hazard = "transient",
    layout: Layout = "apart",
    offset: Offset = 0,
    start: Start = "cold",
    cores: Cores = 2,
    tbs: Tbs = 1,
    retranslations: Retranslations = 2,
    flushes: Flushes = 0,
    access: Access = "load",
    guest_bits: GuestBits = 32,
    units: Units = "each",
    speculation: Speculation = True,
    symmetry: Symmetry = True,
    max_states: MaxStates = None,
    settings: Settings = None,
    what_if: WhatIf = False,
    format: Format = "simple",
    output: Output = None,
) -> None:
    """Show one run in depth: the counterexample, or the shortest run with given events.

    Exit status: as that of check.

    \b
    Example: staleline explain unfixed --scenario user --follow thread
    Also: staleline explain unfixed --scenario system --against side-table
    """
    from bench.report.checks import CheckReport

    emit = emitter(format, output)
    if against:
        refuse_idle(context, ("follow", "autopsy"), "with --against", "one of them")
    options = options_of(
        hazard=hazard,
        layout=layout,
        offset=offset,
        start=start,
        cores=cores,
        tbs=tbs,
        retranslations=retranslations,
        flushes=flushes,
        access=access,
        guest_bits=guest_bits,
        units=units,
        speculation=speculation,
        symmetry=symmetry,
        max_states=max_states,
        what_if=what_if,
        follow=follow,
        autopsy=autopsy,
    )
    others = strategies_named(names_in(against)) if against else []
    results = check_cells(strategies_named(names_in(strategy)), host, settings, translator, scenario, options)
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
