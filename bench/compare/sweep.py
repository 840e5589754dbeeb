"""Sweeps: a comparison at every point of some axes, on many processes or machines.

A *case* is what has to be simulated: a host as it is set, what competes there, a trace, parameters.  A *cell* is a case
at prices and rates, which costs are linear in (``bench/replay/cost.py``): it takes no simulation.  So a sweep of prices
costs as much as one comparison, and little for each cell.

The work is shared out in *tasks*: the verdicts on one strategy or site on a host, which are answers by themselves; the
simulation of a case; and some cells of a case of which both are known.  Cells go before all else, then the cases in
order, each with its verdicts first: answers come from the first second on, and those of one host together.  No more is
handed out than keeps everyone busy, so that a sweep that is stopped stops at once.

One interface runs all: an ``Executor`` of the standard library is a pool of processes here or, from
``dask.distributed``, a cluster (``Client.get_executor``).  What a task finds is kept on the machine that found it.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections import Counter, deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from bench.compare import axes
from bench.compare.axes import Axis
from bench.compare.contest import Contest, Group, PricedGroup
from bench.compare.order import pair
from bench.hosts import Host
from bench.replay.cost import Cost, Ends, Term
from bench.replay.parameters import Parameters
from bench.replay.quantity import Quantity
from bench.support.errors import InputError
from bench.support.kept import digest, joined
from bench.support.progress import Progress
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
    """A strategy or a site at a point: its overhead, and its ``share`` of the baseline."""

    name: str
    same: tuple[str, ...]
    right: bool
    overhead: Ends
    share: float


class Judged(Struct, frozen=True, tag_field="kind", tag="verdicts"):
    """The verdicts on a strategy or a site on a host, by what was asked; ``same``: others that do the same."""

    id: str
    host: str
    settings: tuple[str, ...]
    translator: str
    what_if: bool
    name: str
    same: tuple[str, ...]
    right: bool
    verdicts: dict[str, str]


class SweptCell(Struct, frozen=True, tag_field="kind", tag="cell"):
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


SweptLine = Judged | SweptCell
"""An answer."""


@dataclass(frozen=True)
class Planned:
    """A case, its ``points``, and who competes: each by the id of the verdicts on it."""

    case: Case
    groups: Mapping[str, Group]
    points: Sequence[Point]

    @property
    def ids(self) -> Iterator[str]:
        """The ids of all answers."""
        yield from self.groups
        yield from (point.id for point in self.points)

    def without(self, there: Container[str]) -> Planned:
        """What of it is left, where some cells are there."""
        return replace(self, points=[point for point in self.points if point.id not in there])


# --- the cells --------------------------------------------------------------------------------------------------------


def plan(
    asked: Asked,
    found: Sequence[Axis],
    hosts: Callable[[Sequence[str]], Host],
    contest: Contest,
    trace: str,
    parameters: Parameters,
    first: int,
) -> list[Planned]:
    """The cases of one host, their points numbered from ``first`` on.

    ``hosts`` is the host with some more settings.  Raises ``InputError`` for a value that cannot be.
    """
    plain = hosts(())
    isas = contest.isas(plain)
    named = {one.name: contest.quantities(one.name, plain) for one in found if one.name not in contest.rates}
    # A strategy whose sources are not known is another one in every run.
    content = [one if one is not None else time.time_ns() for one in contest.content()]
    question = replace(asked, fresh=False)
    of_verdicts, groups = digest((asked.sources, content, question, contest)), contest.groups()
    cases: dict[tuple[tuple[str, str], ...], tuple[Planned, list[Point]]] = {}
    names: dict[tuple[tuple[str, str], ...], bytes] = {}
    for number, at in enumerate(axes.points(found), first):
        key = tuple((name, value) for name, value in at.items() if name in named and not named[name])
        if key not in cases:
            rated = any(name in contest.rates for name in at)
            case, own = _case(dict(key), hosts, isas, contest, trace, parameters, rated=rated), list[Point]()
            judged = {_id(of_verdicts, case.host, group.names): group for group in groups}
            cases[key] = Planned(case, judged, own), own
            names[key] = digest((asked.sources, content, question, case))
        planned, points = cases[key]
        prices = {one: axes.number(name, at[name]) for name, several in named.items() for one in several}
        quantities = {**prices, **planned.case.contest.at_rates(at)}
        points.append(Point(number, _id(names[key], at), at, quantities))
    return [planned for planned, _ in cases.values()]


def _id(*content: object) -> str:
    return digest(content).hex()[:16]


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


def _timed(asked: Asked, work: Callable[..., Any], given: tuple[Any, ...]) -> tuple[Any, float]:
    """What some work finds, and its seconds.  Raises ``InputError`` where this is not the program that is meant."""
    if asked.sources != version(__file__):
        raise InputError("a worker has another version of this program", place="`scheduler`", expected="one version")
    begun = time.perf_counter()
    with joined(fresh=asked.fresh):
        found = work(*given)
    return found, time.perf_counter() - begun


def _judged(id: str, case: Case, group: Group) -> list[Judged]:
    """The verdicts on a group."""
    host, contest = case.host, case.contest
    verdicts, what_if = contest.verdicts(group, host), contest.hypothetical_on(host)
    right = {*verdicts.values()} <= {"holds", "n/a"}
    name, *same = group.names
    return [Judged(id, host.name, tuple(host.derived), contest.translator, what_if, name, tuple(same), right, verdicts)]


def _priced(case: Case) -> tuple[PricedGroup, ...]:
    """What each group costs.  Raises ``InputError`` where this is not the trace that is meant."""
    trace = _trace(case.trace, case.drawn) if case.contest.simulates else None
    if trace is not None and trace.content != case.content:
        raise InputError("is another trace on a worker", file=case.trace, expected="the same file on all machines")
    return case.contest.prices(case.host, trace, case.parameters)


def _cells(
    case: Case, priced: tuple[PricedGroup, ...], right: frozenset[str], points: Sequence[Point]
) -> list[SweptCell]:
    """The cells at some points; ``right``: the first names of those that are."""
    return [_cell(case, priced, right, point) for point in points]


def _cell(case: Case, priced: tuple[PricedGroup, ...], known_right: frozenset[str], point: Point) -> SweptCell:
    """The groups at a point, in order."""

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

    costs = {one.names[0]: at(one.cost) for one in priced}
    order = sorted(priced, key=lambda one: (one.names[0] not in known_right, costs[one.names[0]].nominal, one.names[0]))
    right = [one for one in order if one.names[0] in known_right]
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
        name, cost = one.names[0], costs[one.names[0]]
        share = cost.nominal / at(one.baseline).nominal
        rows.append(SweptRow(name, one.names[1:], name in known_right, cost.ends, share))
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

_Kind = Literal["verdicts", "simulations", "cells"]
_RECENT = 20
"""Tasks of a kind that say how long the next ones take: hosts differ, and what is kept takes no time."""
_TICK = 1.0
"""Seconds after which the estimate is shown anew."""


class _Task(NamedTuple):
    """``number``: that of the case that it is of; ``cells``: how many, or 1."""

    kind: _Kind
    number: int
    cells: int
    work: Callable[..., Any]
    given: tuple[Any, ...]


class _Estimate:
    """How long the rest takes, by what tasks of each kind took lately."""

    def __init__(self, counts: Mapping[_Kind, int], workers: Callable[[], int]) -> None:
        self.total, self.done = counts, Counter[_Kind]()
        self._workers = workers
        self._begun = time.monotonic()
        self._took: dict[_Kind, deque[float]] = {kind: deque(maxlen=_RECENT) for kind in counts}

    def add(self, task: _Task, seconds: float) -> None:
        self.done[task.kind] += task.cells
        self._took[task.kind].append(seconds / task.cells)

    def show(self, progress: Progress, running: Iterable[tuple[_Task, float]]) -> None:
        """Tell what is done, and how long the rest takes; ``running`` tasks and since when, those begun first first."""
        cells, verdicts = (f"{self.done[kind]:,} of {self.total[kind]:,} {kind}" for kind in ("cells", "verdicts"))
        now = time.monotonic()
        left, spent = self._left(running, now), now - self._begun
        words = "how long is not known yet" if left is None else f"about {_in_words(left)} left"
        progress(f"{cells}, {verdicts}; {words}", 0.0 if left is None else spent / max(spent + left, 1e-9))

    def _left(self, running: Iterable[tuple[_Task, float]], now: float) -> float | None:
        """Seconds; None while there are tasks of a kind of which none has ended."""
        left, workers = 0.0, max(self._workers(), 1)
        each = {kind: statistics.fmean(took) if took else None for kind, took in self._took.items()}
        for kind, total in self.total.items():
            if count := total - self.done[kind]:
                if (one := each[kind]) is None:
                    return None
                left += count * one
        for task, since in itertools.islice(running, workers):
            left -= min(now - since, task.cells * (each[task.kind] or 0.0))
        return left / workers


def _in_words(seconds: float) -> str:
    unit, name = next(
        (unit, name) for unit, name in ((3600, "h"), (60, "min"), (1, "s")) if seconds >= 2 * unit or unit == 1
    )
    return f"{seconds / unit:.0f} {name}"


def sweep(
    asked: Asked,
    planned: Sequence[Planned],
    there: Mapping[str, SweptLine],
    executor: Executor,
    workers: Callable[[], int],
    progress: Progress,
) -> Iterator[Sequence[SweptLine]]:
    """The answers as they come, in any order, but those that are ``there``.

    ``workers``: how many tasks are worked at, at a time.  Raises as ``Check.run`` and ``replay`` do.
    """
    planned = [one.without(there) for one in planned]
    judged = {one.id: one for one in there.values() if isinstance(one, Judged)}
    wanted = {id for one in planned for id in one.groups} - {*judged}
    cells = [len(one.points) for one in planned]
    counts: dict[_Kind, int] = {
        "verdicts": len(wanted),
        "simulations": len([*filter(None, cells)]),
        "cells": sum(cells),
    }
    estimate = _Estimate(counts, workers)
    priced: dict[int, tuple[PricedGroup, ...]] = {}
    ready: deque[_Task] = deque()
    others = _in_order(planned, wanted)
    running: dict[Future[tuple[Any, float]], tuple[_Task, float]] = {}
    while True:
        # The first task compiles the kernels of searches, if they are not yet; the others find them then.
        most = workers() if estimate.done else 0
        while len(running) <= most and (task := ready.popleft() if ready else next(others, None)):
            running[executor.submit(_timed, asked, task.work, task.given)] = task, time.monotonic()
        if not running:
            return
        ended, _ = wait(running, timeout=_TICK, return_when=FIRST_COMPLETED)
        for future in ended:
            task, _ = running.pop(future)
            found, seconds = future.result()
            estimate.add(task, seconds)
            if task.kind == "simulations":
                priced[task.number] = found
            else:
                judged.update((one.id, one) for one in found if isinstance(one, Judged))
                yield found
        for number in [number for number in priced if planned[number].groups.keys() <= judged.keys()]:
            ready += _of_cells(number, planned[number], priced.pop(number), judged)
        estimate.show(progress, running.values())


def _in_order(planned: Sequence[Planned], wanted: Container[str]) -> Iterator[_Task]:
    """The verdicts that are ``wanted`` and the simulation of each case."""
    begun: set[str] = set()
    for number, one in enumerate(planned):
        for id, group in one.groups.items():
            if id in wanted and id not in begun:
                begun.add(id)
                yield _Task("verdicts", number, 1, _judged, (id, one.case, group))
        if one.points:
            yield _Task("simulations", number, 1, _priced, (one.case,))


def _of_cells(
    number: int, planned: Planned, priced: tuple[PricedGroup, ...], judged: Mapping[str, Judged]
) -> Iterator[_Task]:
    """The cells of a case."""
    right = frozenset(judged[id].name for id in planned.groups if judged[id].right)
    for first in range(0, len(planned.points), AT_ONCE):
        points = planned.points[first : first + AT_ONCE]
        yield _Task("cells", number, len(points), _cells, (planned.case, priced, right, points))
