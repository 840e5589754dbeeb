"""``staleline check``: verdicts on strategies, and on protocols in files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands.cells import check_cells, options_of, right
from bench.commands.names import max_states_of, names_in, strategies_named, targets_named
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
    Strategies,
    Symmetry,
    Tbs,
    Translators,
    Units,
    WhatIf,
    given,
    refuse_idle,
)
from bench.commands.output import emitter
from bench.support.errors import InputError

if TYPE_CHECKING:
    from bench.report.protocols import ProtocolReport


def check(
    context: typer.Context,
    strategy: Annotated[
        list[str] | None,
        typer.Argument(help="Strategies, or protocols in .toml files; default: all strategies.", metavar="STRATEGY"),
    ] = None,
    strategies: Strategies = None,
    host: Hosts = None,
    translator: Translators = None,
    scenario: Scenarios = None,
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
    """Is it right? Search every behaviour that the host allows, and show the shortest counterexample.

    Exit status: 0 if all that was asked for holds, 1 if a strategy fails or the search was cut short, 2 for bad input.

    \b
    Example: staleline check unfixed --host cortex-a9 --scenario system --start fault
    Also: staleline check my_protocol.toml --host cortex-a72
    """
    from bench.protocols.document import is_protocol
    from bench.report.checks import CheckReport

    emit = emitter(format, output)
    if strategy and "strategies" not in given(context):
        strategies = None  # a project's default
    named = names_in([*(strategy or []), *(strategies or [])])
    if any(map(is_protocol, named)):
        if not all(map(is_protocol, named)):
            raise InputError("a protocol beside a strategy", place="check", expected="protocols alone")
        refuse_idle(context, _OF_STRATEGIES, "for a protocol", "--host, --set and --max-states at most")
        found = _protocols(named, host, settings, max_states)
        emit(found)
        if not found.as_expected:
            raise typer.Exit(1)
        return
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
    )
    results = check_cells(strategies_named(named), host, settings, translator, scenario, options)
    emit(CheckReport(results))
    if not right(results):
        raise typer.Exit(1)


_OF_STRATEGIES = (
    "translator",
    "scenario",
    "hazard",
    "layout",
    "offset",
    "start",
    "cores",
    "tbs",
    "retranslations",
    "flushes",
    "access",
    "guest_bits",
    "units",
    "speculation",
    "symmetry",
    "what_if",
)


def _protocols(
    files: list[str], host: list[str] | None, settings: list[str] | None, max_states: int | None
) -> ProtocolReport:
    """The protocols in files, on the hosts that they say or on others."""
    from bench.check.protocols import moved, verify_document
    from bench.protocols.document import read_protocol
    from bench.protocols.verification import MOST_STATES
    from bench.report.protocols import ProtocolReport

    hosts = targets_named(host, settings) if host or settings else []
    documents = [read_protocol(file) for file in files]
    if hosts:
        documents = [moved(document, one) for document in documents for one in hosts]
    most = max_states_of(max_states) if max_states is not None else MOST_STATES
    return ProtocolReport([verify_document(one, explained=True, max_states=most) for one in documents])
