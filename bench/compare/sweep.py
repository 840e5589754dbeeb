"""Sweeps: a comparison at every point of some axes, on many processes or machines.

A *case* is what has to be searched and simulated: a host as it is set, a translator, a trace, parameters.  A *cell* is
a case at prices and a rate of retranslations, which costs are linear in (``bench/replay/cost.py``): it takes no
simulation.  So a sweep of prices costs as much as one comparison, and little for each cell.

One interface runs both: an ``Executor`` of the standard library is a pool of processes here or, from
``dask.distributed``, a cluster (``Client.get_executor``).  What a case finds is kept on the machine that found it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, replace
from functools import lru_cache

from msgspec import Struct

from bench.check.cell import Check, Options
from bench.check.units import Hazard
from bench.compare import axes
from bench.compare.axes import RATE, Axis
from bench.compare.order import pair
from bench.hosts import Host
from bench.program.effects import meaning
from bench.program.identity import identity
from bench.replay.cost import Cost, Ends
from bench.replay.parameters import Parameters
from bench.replay.quantity import Quantity
from bench.replay.replay import Replayed, replay
from bench.support.errors import InputError
from bench.support.kept import digest, joined
from bench.support.versions import version
from bench.traces.model import measured, model_trace, varied
from bench.traces.store import load_trace
from bench.traces.trace import Trace
from bench.translators.registry import load_translator
from strategies import registry
from strategies.strategy import Strategy

_AT_ONCE = 50
"""Cells of one case that one task prices."""


@dataclass(frozen=True)
class Asked:
    """What is asked of every case; ``strategies`` by what finds them (``registry.find``), ``questions``: hazard and
    scenario of each verdict.  ``fresh``: nothing that is kept is looked at; ``sources``: those that ask.
    """

    strategies: tuple[str, ...]
    questions: tuple[tuple[Hazard, str], ...]
    options: Options
    fresh: bool = False
    sources: str = version(__file__)


@dataclass(frozen=True)
class Case:
    """A host as it is set, a translator and a trace, by name and ``content``; ``drawn``: a model of it in its place."""

    host: Host
    translator: str
    trace: str
    content: str
    parameters: Parameters
    drawn: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Point:
    """A cell that is asked for: its ``number`` among all, its name by content, and a value of each axis.

    ``prices``: the axes that are prices, by name of the quantity; ``rate`` of retranslations, None: as recorded.
    """

    number: int
    id: str
    at: Mapping[str, str]
    prices: Mapping[str, float]
    rate: float | None


class SweptRow(Struct, frozen=True):
    """A strategy at a point: its verdicts as ``hazard scenario``, and its overhead; ``share`` of the baseline."""

    strategy: str
    same: tuple[str, ...]
    right: bool
    verdicts: dict[str, str]
    overhead: Ends
    share: float


class Cell(Struct, frozen=True):
    """The answer at a point: the rows, right ones by cost first, and who of the right ones is cheapest.

    ``winner``: several that cost the same whatever is assumed.  ``decided``: all other right ones cost more whatever
    the quantities are that are no axis.
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


@dataclass(frozen=True)
class _Contender:
    """Strategies that do the same in a case, with what is known of them there."""

    names: tuple[str, ...]
    right: bool
    verdicts: dict[str, str]
    cost: Replayed


# --- the cells --------------------------------------------------------------------------------------------------------


def plan(
    asked: Asked,
    found: Sequence[Axis],
    hosts: Callable[[Sequence[str]], Host],
    translator: str,
    trace: str,
    parameters: Parameters,
    first: int,
) -> list[tuple[Case, list[Point]]]:
    """The cases of one host and translator with their points, numbered from ``first`` on.

    ``hosts`` is the host with some more settings.  Raises ``InputError`` for a value that cannot be.
    """
    plain, isa = hosts(()), load_translator(translator).isa
    prices = {one.name: name for one in found if (name := axes.priced(one.name, plain, isa)) is not None}
    known = [identity(registry.find(name), load_translator(translator)) for name in asked.strategies]
    # A strategy whose sources are not known is another one in every run.
    content = [one if one is not None else time.time_ns() for one in known]
    question = replace(asked, fresh=False)
    cases: dict[tuple[tuple[str, str], ...], tuple[Case, list[Point]]] = {}
    names: dict[tuple[tuple[str, str], ...], bytes] = {}
    for number, at in enumerate(axes.points(found), first):
        changing = {name: value for name, value in at.items() if name not in prices and name != RATE}
        key = tuple(changing.items())
        if key not in cases:
            cases[key] = _case(changing, hosts, plain, isa, translator, trace, parameters, rated=RATE in at), []
            names[key] = digest((asked.sources, content, question, cases[key][0]))
        points = cases[key][1]
        given = {prices[name]: axes.number(name, at[name]) for name in prices}
        rate = axes.number(RATE, at[RATE]) if RATE in at else None
        name = digest((names[key], at)).hex()[:16]
        points.append(Point(number, name, at, given, rate))
    return [*cases.values()]


def _case(
    changing: Mapping[str, str],
    hosts: Callable[[Sequence[str]], Host],
    plain: Host,
    isa: str,
    translator: str,
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
    found = _trace(name, drawn)
    if rated and not len(found.retranslations):
        raise InputError(f"{name} has no retranslation", place="`vary`", expected="a trace with some")
    return Case(hosts(axes.settings(changing, plain, isa)), translator, name, found.content, parameters, drawn)


@lru_cache(maxsize=4)
def _trace(name: str, drawn: tuple[tuple[str, str], ...]) -> Trace:
    loaded = load_trace(name)
    return model_trace(varied(_measured(name), dict(drawn)), 0) if drawn else loaded


_measured = lru_cache(maxsize=4)(lambda name: measured(load_trace(name)))


# --- on some process or machine ---------------------------------------------------------------------------------------


def _evaluated(asked: Asked, case: Case) -> tuple[_Contender, ...]:
    """Search and replay a case.  Raises ``InputError`` where this is not the program, or the trace, that is meant."""
    if asked.sources != version(__file__):
        raise InputError("a worker has another version of this program", place="`scheduler`", expected="one version")
    trace, translator = _trace(case.trace, case.drawn), load_translator(case.translator)
    if trace.content != case.content:
        raise InputError("is another trace on a worker", file=case.trace, expected="the same file on all machines")
    groups: dict[object, list[str]] = {}
    strategies: dict[str, Strategy] = {}
    for name in asked.strategies:
        strategy = registry.find(name)
        group = groups.setdefault(meaning(strategy, translator), [])
        group.append(strategy.name)
        strategies.setdefault(group[0], strategy)
    with joined(fresh=asked.fresh):
        verdicts = {
            name: {
                f"{hazard} {scenario}": Check(
                    strategy, translator, case.host, scenario, asked.options.with_hazard(hazard)
                )
                .run()
                .verdict
                for hazard, scenario in asked.questions
            }
            for name, strategy in strategies.items()
        }
        costs = replay(trace, case.host, translator, strategies.values(), case.parameters)
    return tuple(
        _Contender(tuple(group), {*found.values()} <= {"holds", "n/a"}, found, cost)
        for group, found, cost in zip(groups.values(), verdicts.values(), costs, strict=True)
    )


_Answered = tuple[tuple[_Contender, ...], list[Cell], float, float]


def _answered(
    asked: Asked, case: Case, contenders: tuple[_Contender, ...] | None, points: Sequence[Point]
) -> _Answered:
    """The cells at some points of a case, evaluated if it is not yet; and the seconds that both took."""
    begun = time.perf_counter()
    found = _evaluated(asked, case) if contenders is None else contenders
    between = time.perf_counter()
    cells = [_cell(case, found, point) for point in points]
    return found, cells, between - begun, time.perf_counter() - between


def _cell(case: Case, contenders: tuple[_Contender, ...], point: Point) -> Cell:
    """The contenders at a point, in order."""

    def priced(quantity: Quantity) -> Quantity:
        price = point.prices.get(quantity.name)
        return quantity if price is None else replace(quantity.at(price), tag="assumed")

    def at(cost: Cost) -> Cost:
        """A cost at the prices of the point."""
        return Cost(tuple(replace(term, quantities=tuple(map(priced, term.quantities))) for term in cost.terms))

    def overhead(one: Replayed) -> Cost:
        whole = one.overhead
        if point.rate is not None:
            whole = whole + one.per_retranslation.times(point.rate / one.rate - 1)
        return at(whole)

    def more(one: Replayed, other: Replayed) -> Cost:
        if point.rate is None:
            return at(one.more_than(other))
        source = ("an axis of the sweep",)
        rate = Quantity(point.rate, point.rate, point.rate, "retranslations per million executions", "assumed", source)
        return at(one.more_at_rate(other, rate.named("rate")))

    costs = {one.names[0]: overhead(one.cost) for one in contenders}
    order = sorted(contenders, key=lambda one: (not one.right, costs[one.names[0]].nominal, one.names[0]))
    right = [one for one in order if one.right]
    winner: list[str] = [*right[0].names] if right else []
    decided = bool(right)
    for one in right[1:]:
        known = pair(right[0].names[0], one.names[0], more(one.cost, right[0].cost))
        if known.order == "equal":
            winner += one.names
        else:
            decided = decided and known.order == "cheaper" and known.first == right[0].names[0]
    rows = []
    for one in order:
        cost = costs[one.names[0]]
        share = cost.nominal / at(one.cost.baseline).nominal
        rows.append(SweptRow(one.names[0], one.names[1:], one.right, one.verdicts, cost.ends, share))
    host = case.host
    what_if = load_translator(case.translator).isa not in host.isa
    return Cell(
        point.id,
        point.number,
        host.name,
        tuple(host.derived),
        case.translator,
        case.trace,
        what_if,
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
) -> Iterator[list[Cell]]:
    """The cells as they come, in any order.  Raises as ``check`` and ``replay`` do."""
    total = sum(len(points) for _, points in cases)
    estimate, done = _Estimate(len(cases), total), 0
    running: dict[Future[_Answered], tuple[Case, bool, Sequence[Point]]] = {}

    def submit(case: Case, contenders: tuple[_Contender, ...] | None, points: Sequence[Point]) -> None:
        some = points[:_AT_ONCE] if contenders is None else points
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
            for first in range(0, len(left), _AT_ONCE):
                submit(case, contenders, left[first : first + _AT_ONCE])
            done += len(cells)
            estimate.add(evaluated, len(cells), *seconds)
            progress(f"{done:,} of {total:,} cells", estimate.share)
            yield cells
