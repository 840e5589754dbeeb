"""``staleline compare``."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands.linking import scenarios_of_sites, sites_beside
from bench.commands.names import kind_of, max_states_of, names_in, one_of, some_of
from bench.commands.options import OfReplay, Scaled, SeenHere, Strategies, Written, given, refuse_idle, scenarios_on
from bench.commands.output import print_text, progress_bar, show_share
from bench.support.errors import InputError
from bench.traces.shipped import DEFAULT_TRACE, SHIPPED

if TYPE_CHECKING:
    from bench.compare.sites import SitesComparison
    from bench.hosts import Target
    from bench.protocols.document import Document
    from bench.report.protocols import ProtocolReport


def compare(
    context: typer.Context,
    *,
    what: Annotated[
        list[str] | None,
        typer.Argument(
            help=f"Sites, linking for all, or protocols. A .trace file, or one that is shipped: {', '.join(SHIPPED)}.",
            metavar="TRACE",
        ),
    ] = None,
    strategy: Strategies = None,
    cells: Scaled,
    assumed: OfReplay,
    over: Annotated[
        str, typer.Option("--over", help="The strategy that extra is counted from.", metavar="STRATEGY")
    ] = "unfixed",
    sensitivity: Annotated[
        bool,
        typer.Option("--sensitivity", help="What decides: each assumption by itself, and the rate of retranslations."),
    ] = False,
    wide: Annotated[
        bool,
        typer.Option(
            "--wide", help="Every scenario, and the parts of the cost; of sites every scenario and price, with ranges."
        ),
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Draw the trade-off, parts of costs and prices: svg, png or pdf.", metavar="FILE"),
    ] = None,
    charts: Annotated[
        list[str] | None,
        typer.Option("--charts", help="With --plot: only trade-off, parts or prices.", metavar="NAME,..."),
    ] = None,
    save: Annotated[
        str | None, typer.Option("--save", help="Keep this run by a name (in .staleline).", metavar="NAME")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            help="What has changed since a run that was kept; exit 1 if anything got worse or is gone.",
            metavar="NAME",
        ),
    ] = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="With --against: so many times dearer is still the same.")
    ] = 1.02,
    allow_missing: Annotated[bool, typer.Option("--allow-missing", help="With --against: rows may be gone.")] = False,
    seen: SeenHere = None,
    written: Written,
) -> None:
    """Compare strategies on a host: verdicts, and costs.

    Every scenario, and what each strategy costs more than doing nothing.

    Several hosts stand side by side; an architecture (armv8, riscv) has verdicts and no price. --format github is for a
    pull request: the table, three sentences, the rest folded. --format html writes one page for a browser: the table,
    counterexamples to step through, the trade-off, break-even.
    Exit status: 0 when the table is there, failing strategies included; 1 if --against finds something worse or gone; 2
    for bad input.

    \b
    Example: staleline compare --host cortex-a9,arm926 --format github
    Also: staleline compare --format html -o report.html
    Also: staleline compare linking --host cortex-a72,armv8
    Also: staleline compare my_protocol.toml --format html -o page.html
    """
    from bench.caches.simulate import compile_ahead
    from bench.check import asked
    from bench.compare import baseline
    from bench.compare.comparison import begin, price, verify
    from bench.hosts import Host
    from bench.report import overview
    from bench.report.baselines import Since
    from bench.report.charts import drawing
    from bench.report.comparisons import CompareReport
    from bench.report.provenance import command_line, commit, installed
    from bench.silicon.seen import load_seen
    from bench.traces.store import load_trace

    ran = load_seen(seen) if seen is not None else None
    named = names_in(what)
    kinds = {name: kind_of(name, "trace") for name in named}
    sites, protocols = ([name for name, kind in kinds.items() if kind == one] for one in ("site", "protocol"))
    if protocols:
        if len(protocols) < len(named):
            raise InputError("protocols beside other things", place="compare", expected="protocols alone")
        used = {"host", "settings", "max_states", "vcpus", "parameter", "what", "format", "output", "seen", "plot"}
        refuse_idle(context, set(given(context)) - used, "for protocols", "--host")
        emit = written.emitter(own=("html",))
        if plot is not None:
            drawing.refuse_undrawable(plot)
        found = replace(_protocols(protocols, cells, assumed, paged=written.format == "html"), seen=ran)
        if plot is not None:
            from bench.report.charts.protocols import of_protocols

            drawing.write(of_protocols(found), plot)
        emit(found)
        return
    traces = [name for name in named if name not in sites] or [DEFAULT_TRACE]
    if len(traces) > 1:
        raise InputError(f"{len(traces)} traces", place="compare", expected="one")
    (trace,) = traces
    if sites:
        used = {"host", "settings", "scenario", "cores", "max_states", "what_if", "vcpus", "parameter", "what", "wide"}
        used |= {"plot", "seen", "fresh", "verbose"}
        refuse_idle(context, set(given(context)) - used - {"format", "output"}, "for sites", "--host, --scenario")
        emit = written.emitter(own=("html",))
        if plot is not None:
            drawing.refuse_undrawable(plot)
        everywhere = cells.host == ["all"] or not (cells.host or cells.settings)
        whole = wide or written.format == "html"
        compared = _linking(sites, trace, cells, assumed, whole=whole, everywhere=everywhere)
        if plot is not None:
            from bench.report.charts.linking import of_sites

            drawing.write(of_sites(compared), plot)
        if written.format == "html":
            from bench.compare.sites import RATES
            from bench.report.page.linking import LinkingPage

            parameters = assumed.parameters(RATES)
            emit(LinkingPage(compared, seen=ran, trace=load_trace(trace), parameters=parameters))
        else:
            from bench.report.linking import LinkingReport

            emit(LinkingReport(compared, wide, seen=ran))
        return
    emit = written.emitter(own=("html",))
    if sensitivity and plot is None and written.format == "csv":
        refuse_idle(context, ("sensitivity",), "with --format csv", "tables of text, json, html or --plot")
    if against is None:
        refuse_idle(context, ("tolerance", "allow_missing"), "by itself", "--against")
    before = baseline.load(against) if against is not None else None
    if not 1 <= tolerance <= 1e6:
        raise InputError(f"{tolerance:g}", place="--tolerance", expected="a factor from 1 on")
    if save is not None:
        baseline.refuse_unkeepable(save)
    if plot is None:
        refuse_idle(context, ("charts",), "by itself", "--plot")
    else:
        from bench.report.charts.comparisons import CHARTS, of_comparisons

        drawing.refuse_undrawable(plot)
        drawn = [one_of("--charts", name, CHARTS) for name in some_of(charts) or CHARTS]
    options, parameters, pairs = cells.options(), assumed.parameters(), cells.target_pairs()
    names = scenarios_on(cells.scenario, [host for host, _ in pairs], options.cores)
    strategies, recorded = asked.strategies(some_of(strategy)), load_trace(trace)
    (base,) = asked.strategies([over])
    hosts = [(host, translator) for host, translator in pairs if isinstance(host, Host)]
    if hosts:
        compile_ahead(hosts[0][0], recorded.length)
    # What a replay needs before its simulation is done beside the checks, and beside the simulation on another host.
    begun = [begin(recorded, *one, strategies, parameters, base) for one in hosts[:1]]
    with progress_bar("checking", len(pairs)) as progress:
        verified = [
            verify(target, translator, strategies, names, options, partial(show_share, progress, target.name, number))
            for number, (target, translator) in enumerate(pairs)
        ]
    priced = [one for one in verified if isinstance(one.target, Host)]
    unpriced = [one for one in verified if not isinstance(one.target, Host)]
    if not priced:
        wanted = {"--plot": plot, "--save": save, "--against": against, "--format": written.format == "html" or None}
        for flag in (flag for flag, value in wanted.items() if value is not None):
            raise InputError(
                "nothing to show of an architecture, which has no price", place=flag, expected="a host too"
            )
    if priced and written.is_watched:
        print_text("\n\n".join(overview.verdicts(one, written.format) for one in verified) + "\n")
    with progress_bar("pricing", len(priced)) as progress:
        results = []
        for number, one in enumerate(priced):
            begun += [begin(recorded, *another, strategies, parameters, base) for another in hosts[number + 1 :][:1]]
            results.append(price(one, begun.pop(0), partial(show_share, progress, one.target.name, number)))
    if plot is not None:
        drawing.write(of_comparisons(results, drawn, sensitivity=sensitivity), plot)
    document = CompareReport(results, unpriced=unpriced).document()
    if save is not None:
        baseline.keep(save, document, version=installed(), commit=commit(), command=command_line())
    since = None
    if before is not None:
        changes = baseline.differences(before.results, baseline.rows_of(document), tolerance)
        others = baseline.other_assumptions(before.assumptions, baseline.assumptions_of(document))
        since = Since(before, str(against), changes, others)
    if written.format == "html":
        from bench.report.page.build import PageReport

        emit(PageReport(results, since, seen=ran, sensitivity=sensitivity, trace=recorded, parameters=parameters))
    else:
        asked_for = {"wide": wide, "chosen": bool(cells.translator), "sensitivity": sensitivity}
        emit(CompareReport(results, since, unpriced, seen=ran, **asked_for))
    if since is not None and (since.worse or (since.missing and not allow_missing)):
        raise typer.Exit(1)


def _linking(
    names: list[str], trace: str, cells: Scaled, assumed: OfReplay, *, whole: bool, everywhere: bool
) -> list[SitesComparison]:
    """Sites on each host that runs them, over the links of a trace; beside those in files stand those of the library.

    ``everywhere``: on all hosts and architectures.  ``whole``: all scenarios, be there several hosts.
    """
    from bench.check.sites import MOST_STATES, verify_sites
    from bench.compare.sites import RATES, Workload, compare_sites
    from bench.hosts import host_names, load_target
    from bench.hosts.loader import ARCHITECTURES
    from bench.traces.store import load_trace

    scenarios = scenarios_of_sites(cells)
    targets = [load_target(name) for name in (*host_names(), *ARCHITECTURES)] if everywhere else cells.targets()
    asked, own = sites_beside(names, targets, everywhere=everywhere, what_if=cells.what_if)
    several = len({target.name for _, target in asked}) > 1
    with progress_bar("checking", len(asked)) as progress:
        verified = verify_sites(
            asked,
            scenarios,
            executors=cells.cores - 1,
            max_states=max_states_of(cells.max_states, MOST_STATES),
            to_the_end=whole or not several,
            progress=progress,
        )
    parameters = assumed.parameters(RATES)
    workload = Workload.of(load_trace(trace)).at(assumed.settings_of(RATES))
    compared = []
    for target in targets:
        found = [one for one in verified if one[0].target is target]
        if found:
            compared.append(compare_sites(found, target, workload, parameters, own))
    return compared


def _protocols(files: list[str], cells: Scaled, assumed: OfReplay, *, paged: bool) -> ProtocolReport:
    """Protocols case by case on the hosts that are asked for; else on their own, and all that can run them."""
    from bench.check.protocols import everywhere, moved, verify_documents
    from bench.protocols.document import read_protocol
    from bench.protocols.verification import MOST_STATES
    from bench.report.page.verdicts import ProtocolPage
    from bench.report.protocols import ProtocolReport

    named = bool(cells.host or cells.settings) and cells.host != ["all"]
    asked: list[tuple[Document, Target | None]] = []
    for document in map(read_protocol, files):
        if named:
            asked += [(moved(document, one), one) for one in cells.targets()]
        else:
            asked += [(document, None), *everywhere(document)]
    most = max_states_of(cells.max_states, MOST_STATES)
    with progress_bar("checking", len(asked)) as progress:
        found = verify_documents(asked, explained=False, max_states=most, progress=progress)
    return (ProtocolPage if paged else ProtocolReport)(found, parameters=assumed.parameters())
