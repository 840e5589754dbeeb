"""Options that several verbs have, and which options were given."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import Annotated

import typer

from bench.support.errors import InputError
from bench.traces.shipped import SHIPPED

# --- what is asked about ----------------------------------------------------------------------------------------------

Strategies = Annotated[
    list[str] | None,
    typer.Option("--strategy", help="Strategies: names, or path/to/file.py:Class.", metavar="NAME,..."),
]
Hosts = Annotated[
    list[str] | None, typer.Option("--host", help="Host profiles: names, or my.toml.", metavar="NAME,...")
]
Translators = Annotated[
    list[str] | None,
    typer.Option("--translator", help="Translators, dated: arm, arm@2011; default: the host's.", metavar="NAME,..."),
]
Scenarios = Annotated[
    list[str] | None,
    typer.Option("--scenario", help="system, user, user-both, migrate; default: all.", metavar="NAME,..."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Derive a host profile: dcache.write_allocate=false.", metavar="KEY=VALUE"),
]
WhatIf = Annotated[
    bool, typer.Option("--what-if", help="Allow a translator on a host that does not run what it emits.")
]
GuestBits = Annotated[int, typer.Option("--guest-bits", help="Width of a guest address: 32 or 64.")]

# --- how it is searched -----------------------------------------------------------------------------------------------

Hazard = Annotated[
    str,
    typer.Option(
        "--hazard", help="transient: a wrong fetch; lasting: a wrong value stays; partial: a label is bound too late."
    ),
]
Layout = Annotated[str, typer.Option("--layout", help="apart: a line for every unit; packed: as emitted.")]
Offset = Annotated[int, typer.Option("--offset", help="Shift packed blocks by so many bytes.")]
Start = Annotated[str, typer.Option("--start", help="cold: at the first run; fault: at the retranslation.")]
Cores = Annotated[int, typer.Option("--cores", help="Cores (and threads) that a scenario asks for.")]
Tbs = Annotated[int, typer.Option("--tbs", help="Translation blocks.")]
Retranslations = Annotated[int, typer.Option("--retranslations", help="Retranslations by each thread that faults.")]
Flushes = Annotated[int, typer.Option("--flushes", help="Tb flushes, at most, by each thread that faults.")]
Access = Annotated[str, typer.Option("--access", help="The guest accesses of each block: load, store or load,store.")]
Units = Annotated[
    str, typer.Option("--units", help="each: a search for each unit that can change; together: one for all.")
]
Speculation = Annotated[
    bool, typer.Option("--speculation/--no-speculation", help="Let cores fetch what they do not execute.")
]
Symmetry = Annotated[
    bool, typer.Option("--symmetry/--no-symmetry", help="Let one state stand for all with like blocks swapped.")
]
MaxStates = Annotated[int | None, typer.Option("--max-states", help="States of a search, at most; then: bounded.")]

# --- recorded executions ----------------------------------------------------------------------------------------------

Trace = Annotated[
    str, typer.Argument(help=f"A .trace file, or one that is shipped: {', '.join(SHIPPED)}.", metavar="TRACE")
]
AsRecorded = Annotated[bool, typer.Option("--as-recorded", help="Do not scale the recorded x86-64 TBs to the host.")]
Vcpus = Annotated[
    int | None, typer.Option("--vcpus", help="Guest CPUs, for what stopping others costs; default: the host's cores.")
]
Varied = Annotated[
    list[str] | None,
    typer.Option("--parameter", help="Vary an assumption of the replay: lookup=40, seed=2.", metavar="NAME=VALUE"),
]

# --- where it goes ----------------------------------------------------------------------------------------------------

Format = Annotated[
    str, typer.Option("--format", help="simple, github, html, latex, ... (any of tabulate's), json or csv.")
]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write there and not to the terminal.")]


def given(context: typer.Context) -> dict[str, str]:
    """The parameters that were given on the command line, each with its flag, or in capitals."""
    return {
        parameter.name: max(parameter.opts, key=len)
        if parameter.param_type_name == "option"
        else parameter.name.upper()
        for parameter in context.command.params
        if parameter.name is not None and _is_given(context, parameter.name)
    }


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def refuse_idle(context: typer.Context, idle: Container[str], where: str, expected: str) -> None:
    """Raise ``InputError`` for the first parameter given that does nothing ``where`` the others say."""
    for name, flag in given(context).items():
        if name in idle:
            raise InputError(f"does nothing {where}", place=flag, expected=expected)
