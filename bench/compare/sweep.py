"""Sweeps: a comparison at every point of some axes, on many processes or machines.

A *case* is what has to be searched and simulated: a host as it is set, what competes there, a trace, parameters.  A
*cell* is a case at prices and rates, which costs are linear in (``bench/replay/cost.py``): it takes no simulation.  So
a sweep of prices costs as much as one comparison, and little for each cell.

One interface runs both: an ``Executor`` of the standard library is a pool of processes here or, from
``dask.distributed``, a cluster (``Client.get_executor``).  What a case finds is kept on the machine that found it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, replace
from functools import cache, lru_cache

from msgspec import Struct

from bench.compare import axes
from bench.compare.axes import Axis
from bench.compare.contest import Contender, Contest
from bench.compare.order import pair
from bench.hosts import Host
from bench.replay.cost import Cost, Ends, Term
from bench.replay.parameters import Parameters
from bench.replay.quantity import Quantity
from bench.support.errors import InputError
from bench.support.kept import digest, joined
from bench.support.versions import version
from bench.traces.model import measured, model_trace, varied
from bench.traces.store import load_trace
from bench.traces.trace import Trace

AT_ONCE = 50
"""Cells of one case that one task prices."""


@dataclass(frozen=True)
class Asked:
    """``fresh``: nothing that is kept is looked at; ``sources``: those that ask."""

    fresh: bool = False
    sources: str = version(__file__)


@dataclass(frozen=True)
class Case:
    """A host as it is set, what competes on it, a trace by name and ``content``; ``drawn``: a model of it in its place.

    ``rated``: it is asked at other rates than those of the trace.
    """

    host: Host
    contest: Contest
    trace: str
    content: str
    parameters: Parameters
    drawn: tuple[tuple[str, str], ...] = ()
    rated: bool = False


@dataclass(frozen=True)
class Point:
    """A cell that is asked for: its ``number`` among all, its name by content, a value of each axis, and the
    ``quantities`` that have values of their own there."""

    number: int
    id: str
    at: Mapping[str, str]
    quantities: Mapping[str, float]


class SweptRow(Struct, frozen=True):
    """A strategy or a site at a point: its verdicts by what was asked, and its overhead; ``share`` of the baseline."""

    name: str
    same: tuple[str, ...]
    right: bool
    verdicts: dict[str, str]
    overhead: Ends
    share: float


class SweptCell(Struct, frozen=True):
    """The answer at a point: the rows, right ones by cost first, and who of the right ones is cheapest.

    ``winner``: several that cost the same whatever is assumed.  ``decided``: all other right ones cost more whatever
    the quantities are that are no axis.  ``translator``: empty for sites.
    """

    id: str
    number: int
    host: str
    settings: tuple[str, ...]
    translator: str
    trace: str
    what_if: bool
    at: dict[str, str]
    winner: tuple[str, ...]
    decided: bool
    rows: tuple[SweptRow, ...]


# --- the cells --------------------------------------------------------------------------------------------------------


def plan(
    asked: Asked,
    found: Sequence[Axis],
    hosts: Callable[[Sequence[str]], Host],
    contest: Contest,
    trace: str,
    parameters: Parameters,
    first: int,
) -> list[tuple[Case, list[Point]]]:
    """The cases of one host with their points, numbered from ``first`` on.

    ``hosts`` is the host with some more settings.  Raises ``InputError`` for a value that cannot be.
    """
    plain = hosts(())
    isas = contest.isas(plain)
    named = {one.name: contest.quantities(one.name, plain) for one in found if one.name not in contest.rates}
    # A strategy whose sources are not known is another one in every run.
    content = [one if one is not None else time.time_ns() for one in contest.content()]
    question = replace(asked, fresh=False)
    cases: dict[tuple[tuple[str, str], ...], tuple[Case, list[Point]]] = {}
    names: dict[tuple[tuple[str, str], ...], bytes] = {}
    for number, at in enumerate(axes.points(found), first):
        key = tuple((name, value) for name, value in at.items() if name in named and not named[name])
        if key not in cases:
            rated = any(name in contest.rates for name in at)
            cases[key] = _case(dict(key), hosts, isas, contest, trace, parameters, rated=rated), []
            names[key] = digest((asked.sources, content, question, cases[key][0]))
        case, points = cases[key]
        prices = {one: axes.number(name, at[name]) for name, several in named.items() for one in several}
        quantities = {**prices, **case.contest.at_rates(at)}
        points.append(Point(number, digest((names[key], at)).hex()[:16], at, quantities))
    return [*cases.values()]


def _case(
    changing: Mapping[str, str],
    hosts: Callable[[Sequence[str]], Host],
    isas: Sequence[str],
    contest: Contest,
    trace: str,
    parameters: Parameters,
    *,
    rated: bool,
) -> Case:
    name = changing.get(axes.TRACE, trace)
    if "vcpus" in changing:
        parameters = replace(parameters, vcpus=int(axes.number("vcpus", changing["vcpus"])))
    parameters = parameters.varied([f"{one}={text}" for one, text in changing.items() if axes.is_parameter(one)])
    drawn = tuple((one, text) for one, text in changing.items() if axes.is_of_model(one))
    found, host = _trace(name, drawn), hosts(axes.settings(changing, isas))
    return Case(host, contest.over(found, rated=rated), name, found.content, parameters, drawn, rated)


@lru_cache(maxsize=4)
def _trace(name: str, drawn: tuple[tuple[str, str], ...]) -> Trace:
    loaded = load_trace(name)
    return model_trace(varied(_measured(name), dict(drawn)), 0) if drawn else loaded


_measured = lru_cache(maxsize=4)(lambda name: measured(load_trace(name)))


# --- on some process or machine ---------------------------------------------------------------------------------------


def _evaluated(asked: Asked, case: Case) -> tuple[Contender, ...]:
    """Search and price a case.  Raises ``InputError`` where this is not the program, or the trace, that is meant."""
    if asked.sources != version(__file__):
        raise InputError("a worker has another version of this program", place="`scheduler`", expected="one version")
    trace = _trace(case.trace, case.drawn) if case.contest.simulates else None
    if trace is not None and trace.content != case.content:
        raise InputError("is another trace on a worker", file=case.trace, expected="the same file on all machines")
    with joined(fresh=asked.fresh):
        return case.contest.contenders(case.host, trace, case.parameters)


_Answered = tuple[tuple[Contender, ...], list[SweptCell], float, float]


def _answered(asked: Asked, case: Case, contenders: tuple[Contender, ...] | None, points: Sequence[Point]) -> _Answered:
    """The cells at some points of a case, evaluated if it is not yet; and the seconds that both took."""
    begun = time.perf_counter()
    found = _evaluated(asked, case) if contenders is None else contenders
    between = time.perf_counter()
    cells = [_cell(case, found, point) for point in points]
    return found, cells, between - begun, time.perf_counter() - between


def _cell(case: Case, contenders: tuple[Contender, ...], point: Point) -> SweptCell:
    """The contenders at a point, in order."""

    @cache
    def given(quantity: Quantity) -> Quantity:
        return replace(quantity.at(point.quantities[quantity.name]), tag="assumed")

    def given_in(term: Term) -> Term:
        if all(one.name not in point.quantities for one in term.quantities):
            return term
        found = tuple(given(one) if one.name in point.quantities else one for one in term.quantities)
        return Term(term.coefficient, found, term.counted)

    def at(cost: Cost) -> Cost:
        """A cost with the quantities of the point."""
        return Cost(tuple(map(given_in, cost.terms)))

    costs = {one.names[0]: at(one.cost) for one in contenders}
    order = sorted(contenders, key=lambda one: (not one.right, costs[one.names[0]].nominal, one.names[0]))
    right = [one for one in order if one.right]
    winner: list[str] = [*right[0].names] if right else []
    decided = bool(right)
    for one in right[1:]:
        known = pair(right[0].names[0], one.names[0], at(one.more_than(right[0], rated=case.rated)))
        if known.order == "equal":
            winner += one.names
        else:
            decided = decided and known.order == "cheaper" and known.first == right[0].names[0]
    rows = []
    for one in order:
        cost = costs[one.names[0]]
        share = cost.nominal / at(one.baseline).nominal
        rows.append(SweptRow(one.names[0], one.names[1:], one.right, one.verdicts, cost.ends, share))
    host, contest = case.host, case.contest
    return SweptCell(
        point.id,
        point.number,
        host.name,
        tuple(host.derived),
        contest.translator,
        case.trace,
        contest.hypothetical_on(host),
        dict(point.at),
        tuple(winner),
        decided,
        tuple(rows),
    )


# --- all of them ------------------------------------------------------------------------------------------------------

Progress = Callable[[str, float], None]
"""Told what is done and how much of the whole, from 0 to 1."""


class _Estimate:
    """How much of the work is done, by what cases and cells took so far."""

    def __init__(self, cases: int, cells: int) -> None:
        self._left, self._done, self._seconds = [cases, cells], [0, 0], [0.0, 0.0]

    def add(self, cases: int, cells: int, *seconds: float) -> None:
        for kind, count in enumerate((cases, cells)):
            self._left[kind] -= count
            self._done[kind] += count
            self._seconds[kind] += seconds[kind]

    @property
    def share(self) -> float:
        """Of all work; what was not measured yet counts as nothing done."""
        if not self._done[0]:
            return 0.0
        left = sum(
            count * seconds / max(done, 1)
            for count, seconds, done in zip(self._left, self._seconds, self._done, strict=True)
        )
        spent = sum(self._seconds)
        return spent / (spent + left) if spent + left else 1.0


def sweep(
    asked: Asked, cases: Sequence[tuple[Case, Sequence[Point]]], executor: Executor, progress: Progress
) -> Iterator[list[SweptCell]]:
    """The cells as they come, in any order.  Raises as ``check`` and ``replay`` do."""
    total = sum(len(points) for _, points in cases)
    estimate, done = _Estimate(len(cases), total), 0
    running: dict[Future[_Answered], tuple[Case, bool, Sequence[Point]]] = {}

    def submit(case: Case, contenders: tuple[Contender, ...] | None, points: Sequence[Point]) -> None:
        some = points[:AT_ONCE] if contenders is None else points
        running[executor.submit(_answered, asked, case, contenders, some)] = (
            *(case, contenders is None),
            points[len(some) :],
        )

    for case, points in cases:
        submit(case, None, points)
    while running:
        ended, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in ended:
            case, evaluated, left = running.pop(future)
            contenders, cells, *seconds = future.result()
            for first in range(0, len(left), AT_ONCE):
                submit(case, contenders, left[first : first + AT_ONCE])
            done += len(cells)
            estimate.add(evaluated, len(cells), *seconds)
            progress(f"{done:,} of {total:,} cells", estimate.share)
            yield cells
