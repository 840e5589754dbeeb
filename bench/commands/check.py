"""``staleline check``: verdicts on strategies, on sites, and on protocols in files."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands.cells import check_cells, right
from bench.commands.linking import scenarios_of_sites
from bench.commands.names import kind_of, max_states_of, names_in, some_of
from bench.commands.options import OfCells, SeenHere, Written, given, refuse_idle
from bench.commands.output import progress_bar
from bench.support.errors import InputError

if TYPE_CHECKING:
    from bench.hosts import Target
    from bench.protocols.document import Document
    from bench.report.protocols import ProtocolReport
    from bench.report.sites import SitesReport
    from bench.silicon.seen import Seen
    from bench.sites.site import Site


def check(
    context: typer.Context,
    *,
    strategy: Annotated[
        list[str] | None,
        typer.Argument(
            help="Strategies, or sites, or protocols in .toml files; default: all strategies.", metavar="STRATEGY"
        ),
    ] = None,
    strategies: Annotated[list[str] | None, typer.Option("--strategy", hidden=True)] = None,  # as elsewhere
    cells: OfCells,
    seen: SeenHere = None,
    written: Written,
) -> None:
    """Is it right? Search every behaviour that the host allows. Shows the shortest counterexample of what fails.

    Exit status: 0 if all that was asked for holds, 1 if a strategy fails or the search was cut short, 2 for bad input.

    \b
    Example: staleline check unfixed --host cortex-a9 --scenario system --start fault
    Also: staleline check my_protocol.toml --host cortex-a72
    Also: staleline check my_site.toml --scenario unlink
    Also: staleline check my_protocol.toml --format html -o page.html
    """
    from bench.check import asked
    from bench.report.checks import CheckReport
    from bench.silicon.seen import load_seen

    ran = load_seen(seen) if seen is not None else None
    if strategy and "strategies" not in given(context):
        strategies = None  # a project's default
    named = names_in([*(strategy or []), *(strategies or [])])
    kinds = {kind_of(name) for name in named}
    emit = written.emitter(own=("html",) if kinds in ({"protocol"}, {"site"}) else ())
    if len(kinds) > 1:
        raise InputError(f"a {sorted(kinds)[0]} beside a {sorted(kinds)[1]}", place="check", expected="one kind alone")
    if kinds in ({"protocol"}, {"site"}):
        (kind,) = kinds
        used = {"host", "settings", "max_states", *(("scenario", "cores", "what_if") if kind == "site" else ())}
        idle = {one.name for one in fields(cells)} - used - {"configured"}
        refuse_idle(context, idle, f"for a {kind}", f"{', '.join(f'`{name}`' for name in sorted(used))} at most")
        paged = written.format == "html"
        found = _sites(named, cells, ran, paged) if kind == "site" else _protocols(named, cells, ran, paged)
        emit(found)
        raise typer.Exit(0 if found.as_expected else 1)
    results = check_cells(asked.strategies(some_of(named)), cells, cells.options())
    emit(CheckReport(results, seen=ran))
    if not right(results):
        raise typer.Exit(1)


def _sites(names: list[str], cells: OfCells, seen: Seen | None, paged: bool) -> SitesReport:
    """Sites, on every host that runs their instructions, or on some."""
    from bench.check.sites import MOST_STATES, fitting, runs, targets_of, verify_sites
    from bench.report.page.verdicts import SitesPage
    from bench.report.sites import SitesReport
    from bench.sites.reader import load_sites

    scenarios = scenarios_of_sites(cells)
    most = max_states_of(cells.max_states, MOST_STATES)
    asked: list[tuple[Site, Target]] = []
    for sites in map(load_sites, names):
        if (cells.host and "host" not in cells.configured) or cells.settings:
            for target in cells.targets():
                some = [site for site in sites if runs(site, target)]
                if not some and cells.host != ["all"]:
                    some = sites if cells.what_if else fitting(sites, target)
                asked += [(site, target) for site in some]
            continue
        for site in sites:
            if not (found := targets_of(site)):
                expected = "`host` with `what_if`"
                raise InputError(f"no host runs {site.isa}", file=site.file, place="isa", expected=expected)
            asked += [(site, target) for target in found]
    with progress_bar("checking", len(asked)) as progress:
        verified = verify_sites(asked, scenarios, executors=cells.cores - 1, max_states=most, progress=progress)
    return (SitesPage if paged else SitesReport)([one for verdicts in verified for one in verdicts], seen)


def _protocols(files: list[str], cells: OfCells, seen: Seen | None, paged: bool) -> ProtocolReport:
    """The protocols in files, on the hosts that they say or on others."""
    from bench.check.protocols import moved, verify_documents
    from bench.protocols.document import read_protocol
    from bench.protocols.verification import MOST_STATES
    from bench.report.page.verdicts import ProtocolPage
    from bench.report.protocols import ProtocolReport

    # What the project sets is no other host than the file's.
    if cells.settings and (not cells.host or "host" in cells.configured):
        raise InputError("does nothing for the host of a protocol's own", place="`settings`", expected="`host` with it")
    hosts = cells.targets() if cells.host and "host" not in cells.configured else []
    asked: list[tuple[Document, Target | None]] = []
    for document in map(read_protocol, files):
        asked += [(moved(document, one), one) for one in hosts] or [(document, None)]
    most = max_states_of(cells.max_states, MOST_STATES)
    with progress_bar("checking", len(asked)) as progress:
        found = verify_documents(asked, explained=True, max_states=most, progress=progress)
    return (ProtocolPage if paged else ProtocolReport)(found, seen)
