"""``staleline sweep``."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator, Sequence, Sized
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.commands.linking import scenarios_of_sites, sites_beside
from bench.commands.names import kind_of, max_states_of, names_in, one_of, some_of
from bench.commands.options import OfReplay, Scaled, Strategies, Written, given, refuse_idle, scenarios_on
from bench.commands.output import notice, progress_bar
from bench.support.errors import InputError
from bench.support.processors import end_with_parent, processors
from bench.traces.shipped import DEFAULT_TRACE, SHIPPED

if TYPE_CHECKING:
    from bench.compare.contest import Contest
    from bench.compare.sweep import Planned, SweptLine
    from bench.hosts import Host


def sweep(
    context: typer.Context,
    *,
    what: Annotated[
        list[str] | None,
        typer.Argument(
            help=f"Sites, linking for all. A .trace file, or one that is shipped: {', '.join(SHIPPED)}.",
            metavar="TRACE",
        ),
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            "--vary",
            help="An axis, repeatable: a parameter, a host's setting (costs.lock, costs.line of its flush, "
            "icache.ways), retranslations per million executions, a statistic of trace model, or trace; of sites: "
            "links per million executions, executions or unlinks for each link.",
            metavar="NAME=A..BxN[log]|A,B,..",
        ),
    ] = None,
    strategy: Strategies = None,
    cells: Scaled,
    hazard: Annotated[
        list[str] | None,
        typer.Option(
            "--hazard",
            help="transient, lasting, partial, or all in every scenario; default: as compare.",
            metavar="NAME",
        ),
    ] = None,
    assumed: OfReplay,
    results: Annotated[
        Path | None,
        typer.Option(
            "--results", help="Write answers as they come: JSON lines, and CSV beside it; goes on with what is there."
        ),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", help="On the Dask cluster with this scheduler.", metavar="ADDRESS")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            help="Curves over one axis, a map of winners over two, verdicts and costs without: svg, png or pdf.",
            metavar="FILE",
        ),
    ] = None,
    written: Written,
) -> None:
    """Find what would have to be true for another to win.

    Another strategy, or site: a comparison at every point of some axes.

    Prices and rates take no simulation: a sweep of them costs as much as one comparison. A stopped sweep goes on.
    --format html writes one page for a browser.

    \b
    Example: staleline sweep --vary costs.line=5..200x10log
    Also: staleline sweep --vary retranslations=0.1..1000x20log --vary costs.line=5..200x10log --results sweep.jsonl
    Also: staleline sweep linking --vary executions=1..1000000x20log --host cortex-a9,sifive-u74
    Also: staleline sweep --host all --strategy all --scenario all --hazard all
    """
    from bench.compare.axes import axes
    from bench.compare.sweep import Asked, Judged, SweptCell, plan
    from bench.compare.sweep import sweep as swept
    from bench.compare.swept import Swept, refuse_unfit
    from bench.report.charts import drawing
    from bench.report.charts.marks import WIDE
    from bench.report.charts.sweeps import of_sweep, refuse_undrawable_axes
    from bench.report.page.sweeps import SweepPage
    from bench.report.sweeps import SweepReport
    from bench.support.files import refuse_unwritable
    from bench.support.kept import is_fresh
    from bench.traces.store import load_trace

    emit = written.emitter(own=("html",))
    found = axes(vary or ())
    if plot is not None:
        drawing.refuse_undrawable(plot)
        refuse_undrawable_axes(found)
    if results is not None:
        refuse_unfit(results)
        refuse_unwritable(results, ordinary=True)
    kinds = {name: kind_of(name, "trace") for name in names_in(what)}
    sites = [name for name, kind in kinds.items() if kind == "site"]
    traces = [name for name, kind in kinds.items() if kind == "trace"] or [DEFAULT_TRACE]
    if "protocol" in kinds.values() or len(traces) > 1:
        named = ", ".join(name for name, kind in kinds.items() if kind != "site")
        raise InputError(named, place="sweep", expected="sites and a trace")
    (trace,) = traces
    if sites:
        used = {"what", "vary", "host", "settings", "scenario", "cores", "max_states", "what_if", "vcpus", "results"}
        used |= {"parameter", "scheduler", "plot", "format", "output", "fresh", "verbose"}
        refuse_idle(context, set(given(context)) - used, "for sites", "--host, --scenario")
        contests = _of_sites(sites, cells)
    else:
        contests = _of_strategies(some_of(strategy), cells, hazard)
    parameters, fresh = assumed.parameters(), is_fresh()
    ask = Asked(fresh)
    planned: list[Planned] = []
    for host, contest in contests:
        first = sum(len(one.points) for one in planned)
        derived = partial(_derived, host.file or host.name, [*(cells.settings or ())])
        planned += plan(ask, found, derived, contest, trace, parameters, first)
    ids = dict.fromkeys(id for one in planned for id in one.ids)
    answers: dict[str, SweptLine] = {}
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(Swept(results, ids, [one.name for one in found], fresh=fresh)) if results else None
        answers.update((one.id, one) for one in (file.lines if file is not None else ()))
        there = [one for one in answers.values() if isinstance(one, SweptCell)]
        if len(answers) < len(ids):
            executor, workers = stack.enter_context(_executor(scheduler, min(processors(), len(ids) - len(answers))))
            progress = stack.enter_context(progress_bar("sweeping", 1.0, estimated=False))
            stack.enter_context(_saying_where_it_stopped(results, answers, len(ids)))
            for some in swept(ask, planned, answers, executor, workers, progress):
                if file is not None:
                    file.add(some)
                answers.update((one.id, one) for one in some)
    ordered = [answers[id] for id in ids]
    judged = [one for one in ordered if isinstance(one, Judged)]
    all_cells = sorted((one for one in ordered if isinstance(one, SweptCell)), key=lambda one: one.number)
    if plot is not None:
        drawing.write(of_sweep(all_cells, judged, found, WIDE), plot)
    if written.format == "html":
        hosts, recorded = [host for host, _ in contests], load_trace(trace)
        emit(SweepPage(all_cells, judged, found, len(there), trace=recorded, parameters=parameters, hosts=hosts))
    else:
        emit(SweepReport(all_cells, judged, found, len(there)))


@contextlib.contextmanager
def _saying_where_it_stopped(results: Path | None, answers: Sized, total: int) -> Iterator[None]:
    """If it is interrupted, say how much is there, and where."""
    try:
        yield
    except KeyboardInterrupt:
        place = f"in {results}" if results is not None else "kept, if anything is"
        notice(f"stopped: {len(answers):,} of {total:,} answers are {place}; the same command goes on")
        raise


def _of_strategies(names: list[str] | None, cells: Scaled, hazard: list[str] | None) -> list[tuple[Host, Contest]]:
    """Strategies on each host, with each translator."""
    from bench.check import asked
    from bench.check.units import HAZARDS
    from bench.compare.comparison import questions
    from bench.compare.contest import OfStrategies
    from strategies import registry

    pairs = cells.pairs()
    scenarios = scenarios_on(cells.scenario, [host for host, _ in pairs], cells.cores)
    hazards = [one_of("--hazard", name, HAZARDS) for name in some_of(hazard) or HAZARDS] if names_in(hazard) else None
    strategies = tuple(registry.reference(one) for one in asked.strategies(names))
    question, options = questions(scenarios, hazards), cells.options()
    return [(host, OfStrategies(strategies, translator.full_name, question, options)) for host, translator in pairs]


def _of_sites(names: list[str], cells: Scaled) -> list[tuple[Host, Contest]]:
    """Sites on each host that runs some; if none is named, on all that do."""
    from bench.check.sites import MOST_STATES
    from bench.compare.contest import OfSites
    from bench.hosts import host_names, load_host

    scenarios = tuple(scenarios_of_sites(cells))
    everywhere = cells.host == ["all"] or not (cells.host or cells.settings)
    hosts = [load_host(name) for name in host_names()] if everywhere else cells.hosts()
    asked, _ = sites_beside(names, hosts, everywhere=everywhere, what_if=cells.what_if)
    most = max_states_of(cells.max_states, MOST_STATES)
    some = {host.name: tuple(site for site, target in asked if target is host) for host in hosts}
    return [(host, OfSites(some[host.name], scenarios, cells.cores - 1, most)) for host in hosts if some[host.name]]


def _derived(name: str, given: Sequence[str], more: Sequence[str]) -> Host:
    """A host with what was set, and some more settings."""
    from bench.hosts import load_host

    return load_host(name, [*given, *more])


@contextlib.contextmanager
def _executor(scheduler: str | None, most: int) -> Iterator[tuple[Executor, Callable[[], int]]]:
    """What runs tasks, and how many at a time: so many processes of this machine, or the workers of a cluster.

    Raises ``InputError`` without a cluster.
    """
    if scheduler is None:
        from bench.search.explore import load

        fork = multiprocessing.get_context("fork") if sys.platform == "linux" else None
        if fork is not None:
            load()
        others = multiprocessing.active_children()
        with ProcessPoolExecutor(most, fork, _begin) as pool:
            try:
                yield pool, lambda: most
            except BaseException:
                # What they are at is not waited for.
                for process in multiprocessing.active_children():
                    if process not in others:
                        process.terminate()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return
    try:
        import distributed
    except ImportError as error:
        raise InputError(
            "dask.distributed is not installed", place="`scheduler`", expected="pip install 'staleline[sweep]'"
        ) from error
    connect: Any = distributed.Client  # it has types in part
    try:
        client = connect(scheduler, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"no scheduler at {scheduler} ({error})", place="`scheduler`", expected="tcp://host:port"
        ) from error
    with client, client.get_executor(retries=_RETRIES) as executor:
        yield executor, lambda: sum(client.nthreads().values())


def _begin() -> None:
    """In a process of the pool: interrupted, end without a word; the parent says what there is to say."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    end_with_parent()


_PATIENCE = 10
"""Seconds that a scheduler is waited for."""
_RETRIES = 3
"""Tries of a task whose worker fails; one whose worker is lost is tried elsewhere by the scheduler itself."""
