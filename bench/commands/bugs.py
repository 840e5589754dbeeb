"""``staleline bugs``."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands.names import names_in
from bench.commands.options import Format, Output
from bench.commands.output import emitter, json_text, progress_bar


def bugs(
    name: Annotated[
        list[str] | None, typer.Argument(help="Published bugs, told in detail; default: a table of all.", metavar="BUG")
    ] = None,
    format: Format = "simple",
    output: Output = None,
) -> None:
    """Published bugs in patching code, and their fixes: is every bug convicted, and every fix acquitted?

    Says for each which feature of the host it needs, and which operations its fix does without.  Takes some 20 seconds.
    Exit status: 0 if all verdicts are as published, else 1.

    \b
    Example: staleline bugs qemu-2011-arm-retrans
    """
    from bench.protocols.document import bug_names, load_bug
    from bench.protocols.survey import all_judged
    from bench.report import protocols

    emit = emitter(format, output)
    named = names_in(name)
    documents = [load_bug(one) for one in named or bug_names()]
    with progress_bar("judging", len(documents)) as progress:
        found = all_judged(documents, explained=True, progress=progress)
    if format == "json":
        emit(json_text(protocols.as_objects(found)))
    elif format == "csv":
        emit(protocols.as_csv(found))
    else:
        emit(protocols.as_text(found, format) if named else protocols.bugs_text(found, format))
    if not all(case.as_expected for one in found for case in one.cases):
        raise typer.Exit(1)
