"""``staleline check``: verdicts on strategies, and on protocols in files."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands.cells import check_cells, right
from bench.commands.names import max_states_of, names_in, some_of
from bench.commands.options import OfCells, Strategies, Written, given, refuse_idle
from bench.support.errors import InputError

if TYPE_CHECKING:
    from bench.report.protocols import ProtocolReport


def check(
    context: typer.Context,
    *,
    strategy: Annotated[
        list[str] | None,
        typer.Argument(help="Strategies, or protocols in .toml files; default: all strategies.", metavar="STRATEGY"),
    ] = None,
    strategies: Strategies = None,
    cells: OfCells,
    written: Written,
) -> None:
    """Is it right? Search every behaviour that the host allows, and show the shortest counterexample.

    Exit status: 0 if all that was asked for holds, 1 if a strategy fails or the search was cut short, 2 for bad input.

    \b
    Example: staleline check unfixed --host cortex-a9 --scenario system --start fault
    Also: staleline check my_protocol.toml --host cortex-a72
    """
    from bench.check import asked
    from bench.protocols.document import is_protocol
    from bench.report.checks import CheckReport

    emit = written.emitter()
    if strategy and "strategies" not in given(context):
        strategies = None  # a project's default
    named = names_in([*(strategy or []), *(strategies or [])])
    if any(map(is_protocol, named)):
        if not all(map(is_protocol, named)):
            raise InputError("a protocol beside a strategy", place="check", expected="protocols alone")
        idle = {one.name for one in fields(cells)} - {"host", "settings", "max_states", "configured"}
        refuse_idle(context, idle, "for a protocol", "--host, --set and --max-states at most")
        found = _protocols(named, cells)
        emit(found)
        raise typer.Exit(0 if found.as_expected else 1)
    results = check_cells(asked.strategies(some_of(named)), cells, cells.options())
    emit(CheckReport(results))
    if not right(results):
        raise typer.Exit(1)


def _protocols(files: list[str], cells: OfCells) -> ProtocolReport:
    """The protocols in files, on the hosts that they say or on others."""
    from bench.check.protocols import moved, verify_document
    from bench.protocols.document import read_protocol
    from bench.protocols.verification import MOST_STATES
    from bench.report.protocols import ProtocolReport

    asked = (cells.host and "host" not in cells.configured) or cells.settings
    hosts = cells.targets() if asked else []  # what the project sets is no other host than the file's
    documents = [read_protocol(file) for file in files]
    if hosts:
        documents = [moved(document, one) for document in documents for one in hosts]
    most = max_states_of(cells.max_states, MOST_STATES)
    return ProtocolReport([verify_document(one, explained=True, max_states=most) for one in documents])
