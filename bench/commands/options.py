"""The options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.traces.shipped import SHIPPED

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


Format = Annotated[
    str, typer.Option("--format", help="simple, github, html, latex, ... (any of tabulate's), json or csv.")
]


Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write there and not to the terminal.")]


Cores = Annotated[int, typer.Option("--cores", help="Cores (and threads) that a scenario asks for.")]


Tbs = Annotated[int, typer.Option("--tbs", help="Translation blocks.")]


Retranslations = Annotated[int, typer.Option("--retranslations", help="Retranslations by each thread that faults.")]


Flushes = Annotated[int, typer.Option("--flushes", help="Tb flushes, at most, by each thread that faults.")]


MaxStates = Annotated[int | None, typer.Option("--max-states", help="States of a search, at most; then: bounded.")]


GuestBits = Annotated[int, typer.Option("--guest-bits", help="Width of a guest address: 32 or 64.")]


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
