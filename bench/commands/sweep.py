"""``staleline sweep``."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.commands.names import kind_of, names_in, one_of, some_of
from bench.commands.options import OfReplay, Scaled, Strategies, Written, scenarios_on
from bench.commands.output import progress_bar
from bench.support.errors import InputError
from bench.support.processors import processors
from bench.traces.shipped import DEFAULT_TRACE, SHIPPED

if TYPE_CHECKING:
    from bench.compare.sweep import Case, Point
    from bench.hosts import Host


def sweep(
    *,
    trace: Annotated[
        str, typer.Argument(help=f"A .trace file, or one that is shipped: {', '.join(SHIPPED)}.", metavar="TRACE")
    ] = DEFAULT_TRACE,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            "--vary",
            help="An axis, repeatable: a parameter, a host's setting (costs.lock, costs.line of its flush, "
            "icache.ways), retranslations per million executions, a statistic of trace model, or trace.",
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
            "--results", help="Write cells as they come: JSON lines, and CSV beside it; goes on with what is there."
        ),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", help="On the Dask cluster with this scheduler.", metavar="ADDRESS")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot", help="Curves over one axis, a map of winners over two: svg, png or pdf.", metavar="FILE"
        ),
    ] = None,
    written: Written,
) -> None:
    """Find what would have to be true for another strategy to win: a comparison at every point of some axes.

    Prices and rates take no simulation: a sweep of them costs as much as one comparison. A stopped sweep goes on.

    \b
    Example: staleline sweep --vary costs.line=5..200x10log
    Also: staleline sweep --vary retranslations=0.1..1000x20log --vary costs.line=5..200x10log --results sweep.jsonl
    Also: staleline sweep --host all --strategy all --scenario all --hazard all
    """
    from bench.check import asked
    from bench.check.units import HAZARDS
    from bench.compare.axes import axes
    from bench.compare.comparison import questions
    from bench.compare.sweep import Asked, plan
    from bench.compare.sweep import sweep as swept
    from bench.compare.swept import Swept, refuse_unfit
    from bench.report.charts import drawing
    from bench.report.charts.sweeps import of_sweep, refuse_undrawable_axes
    from bench.report.sweeps import SweepReport
    from bench.support.files import refuse_unwritable
    from bench.support.kept import is_fresh
    from strategies import registry

    if kind_of(trace, "trace") != "trace":
        raise InputError(
            f"{trace!r}: sweeps are of strategies", place="sweep", expected=f"a trace, or staleline compare {trace}"
        )
    emit = written.emitter()
    found = axes(vary or ())
    if plot is not None:
        drawing.refuse_undrawable(plot)
        refuse_undrawable_axes(found)
    if results is not None:
        refuse_unfit(results)
        refuse_unwritable(results, ordinary=True)
    parameters, pairs = assumed.parameters(), cells.pairs()
    scenarios = scenarios_on(cells.scenario, [host for host, _ in pairs], cells.cores)
    hazards = [one_of("--hazard", name, HAZARDS) for name in some_of(hazard) or HAZARDS] if names_in(hazard) else None
    strategies = tuple(registry.reference(one) for one in asked.strategies(some_of(strategy)))
    ask, fresh = Asked(strategies, questions(scenarios, hazards), cells.options(), is_fresh()), is_fresh()
    cases: list[tuple[Case, list[Point]]] = []
    for host, translator in pairs:
        name, given = host.file or host.name, list(cells.settings or ())
        first = sum(len(points) for _, points in cases)

        derived = partial(_derived, name, given)
        cases += plan(ask, found, derived, translator.full_name, trace, parameters, first)
    ids = {point.id for _, points in cases for point in points}
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(Swept(results, ids, [one.name for one in found], fresh=fresh)) if results else None
        answers = list(file.cells) if file is not None else []
        there = {cell.id for cell in answers}
        left = [(case, [point for point in points if point.id not in there]) for case, points in cases]
        left = [(case, points) for case, points in left if points]
        if left:
            executor = stack.enter_context(_executor(scheduler))
            progress = stack.enter_context(progress_bar("sweeping", 1.0))
            for some in swept(ask, left, executor, progress):
                if file is not None:
                    file.add(some)
                answers += some
    answers.sort(key=lambda cell: cell.number)
    if plot is not None:
        drawing.write(of_sweep(answers, found), plot)
    emit(SweepReport(answers, found, reused=len(there)))


def _derived(name: str, given: Sequence[str], more: Sequence[str]) -> Host:
    """A host with what was set, and some more settings."""
    from bench.hosts import load_host

    return load_host(name, [*given, *more])


@contextlib.contextmanager
def _executor(scheduler: str | None) -> Iterator[Executor]:
    """What runs tasks: processes of this machine, or the workers of a cluster.  Raises ``InputError`` without one."""
    if scheduler is None:
        fork = multiprocessing.get_context("fork") if sys.platform == "linux" else None
        with ProcessPoolExecutor(processors(), fork, signal.signal, (signal.SIGINT, signal.SIG_DFL)) as pool:
            try:
                yield pool
            except BaseException:
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
        yield executor


_PATIENCE = 10
"""Seconds that a scheduler is waited for."""
_RETRIES = 3
"""Tries of a task whose worker fails; one whose worker is lost is tried elsewhere by the scheduler itself."""
