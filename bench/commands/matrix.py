"""``staleline matrix``."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands.names import every_pair, max_states_of, names_in, one_of, scenarios_named, strategies_named
from bench.commands.options import (
    Format,
    Hosts,
    MaxStates,
    Output,
    Retranslations,
    Scenarios,
    Settings,
    Strategies,
    Translators,
)
from bench.commands.output import emitter, progress_bar


def matrix(
    strategy: Strategies = None,
    host: Hosts = None,
    translator: Translators = None,
    scenario: Scenarios = None,
    hazard: Annotated[
        list[str] | None,
        typer.Option("--hazard", help="transient, lasting, partial; default: all.", metavar="NAME,..."),
    ] = None,
    retranslations: Retranslations = 2,
    max_states: MaxStates = None,
    settings: Settings = None,
    format: Format = "simple",
    output: Output = None,
) -> None:
    """Check every translator on every host that it can run on: which were affected, and what cures them.

    Takes minutes: some thousand searches, on all cores. A translator named without its date is that of early January
    2011, or the first there was; --translator all takes every version.

    \b
    Example: staleline matrix --translator arm,mips --hazard transient
    """
    from bench.check.cell import Options
    from bench.check.matrix import matrix as check_matrix
    from bench.check.units import HAZARDS
    from bench.report.matrices import MatrixReport

    emit = emitter(format, output)
    names, _ = scenarios_named(scenario)
    hazards = [one_of("--hazard", name, HAZARDS) for name in names_in(hazard)] or list(HAZARDS)
    pairs, without = every_pair(host, settings, translator)
    strategies = strategies_named(names_in(strategy))
    options = Options(retranslations=retranslations, max_states=max_states_of(max_states))
    with progress_bar("checking", 1.0) as progress:
        found = check_matrix(pairs, without, strategies, names, hazards, options, progress)
    emit(MatrixReport(found))
