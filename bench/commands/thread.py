"""``staleline thread``."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands.names import max_states_of, names_in
from bench.commands.options import MaxStates, Output, Settings
from bench.commands.output import emitter, progress_bar


def thread(
    claim: Annotated[list[str] | None, typer.Argument(help="Claims by name; default: all.", metavar="CLAIM")] = None,
    settings: Settings = None,
    max_states: MaxStates = None,
    format: Annotated[
        str, typer.Option("--format", help="simple, github, ... (any of tabulate's), page (Markdown), json or csv.")
    ] = "simple",
    output: Output = None,
) -> None:
    """Decide every claim of the thread of January 2011. By the models and the recordings.

    Takes some twenty seconds the first time. --set derives every host, so that a verdict can be seen to change.

    \b
    Example: staleline thread seven-steps flush-cures --set coherence.snoop=all
    """
    from bench.check.cell import MAX_STATES
    from bench.report.threads import PAGE, ThreadReport
    from bench.thread.findings import decide, find_claims
    from bench.thread.lab import Lab

    emit = emitter(format, output, own=(PAGE,))
    claims = find_claims(names_in(claim))
    with progress_bar("deciding", 1.0) as progress:
        found = decide(claims, Lab(settings or (), max_states_of(max_states, MAX_STATES)), progress)
    emit(ThreadReport(found))
