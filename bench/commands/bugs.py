"""``staleline bugs``."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands.names import names_in
from bench.commands.options import Written
from bench.commands.output import progress_bar


def bugs(
    *,
    name: Annotated[
        list[str] | None, typer.Argument(help="Published bugs, told in detail; default: a table of all.", metavar="BUG")
    ] = None,
    written: Written,
) -> None:
    """Check published bugs in patching code, and their fixes. Does each fail as published, and does its fix hold?

    Says which feature of the host each bug needs, and which operations its fix does without. Takes some 10 seconds.
    Exit status: 0 if all verdicts are as published, else 1.

    \b
    Example: staleline bugs qemu-2011-arm-retrans
    """
    from bench.check.protocols import verify_documents
    from bench.protocols.document import bug_names, load_bug
    from bench.report.page.verdicts import ProtocolPage
    from bench.report.protocols import BugsReport, ProtocolReport

    named = names_in(name)
    emit = written.emitter(own=("html",) if named else ())
    asked = [(load_bug(one), None) for one in named or bug_names()]
    with progress_bar("checking", len(asked)) as progress:
        found = verify_documents(asked, explained=True, progress=progress)
    told = ProtocolPage if written.format == "html" else ProtocolReport
    report = told(found) if named else BugsReport(found)
    emit(report)
    if not report.as_expected:
        raise typer.Exit(1)
