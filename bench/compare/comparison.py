"""The main job: every strategy's verdicts and costs, joined and put in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, groupby, pairwise

from bench.check.cell import Check, Checked, Options, hypothetical
from bench.check.cells import check_all
from bench.check.units import Hazard
from bench.compare.order import Pair, pair
from bench.hosts import Host, Target
from bench.program.effects import meaning
from bench.replay.cost import Cost
from bench.replay.parameters import Parameters
from bench.replay.replay import Replayed, Replaying
from bench.scenarios import ALONE, LASTING_IN, PARTIAL_IN
from bench.support.progress import Progress, silent
from bench.traces.trace import Trace
from bench.translators.translator import Translator
from strategies import registry
from strategies.strategy import Strategy

OVER = "unfixed"
"""What strategies are compared with where nothing else is named."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What is right of one strategy on one host or architecture.

    ``same``: other strategies whose operations are the same with this translator.  ``checks``: the transient
    hazard, one per scenario; ``lasting``: the lasting hazard in ``user-both``, None if that was not asked for;
    ``partial``: the partial hazard, in ``system`` or the first scenario asked for.
    """

    strategy: str
    same: tuple[str, ...]
    checks: tuple[Checked, ...]
    lasting: Checked | None
    partial: Checked

    @property
    def names(self) -> tuple[str, ...]:
        """The strategy, and those that do the same."""
        return self.strategy, *self.same

    @property
    def right(self) -> bool:
        """No check failed or was cut short."""
        return all(result.verdict in ("holds", "n/a") for result in self.every)

    @property
    def wrong(self) -> bool:
        """Some check failed."""
        return any(result.verdict == "fails" for result in self.every)

    @property
    def alone(self) -> tuple[str, ...]:
        """The scenarios with one thread that were checked and hold, if none of them does not."""
        checked = [result for result in self.checks if result.scenario in ALONE and result.verdict != "n/a"]
        return tuple(r.scenario for r in checked) if all(r.verdict == "holds" for r in checked) else ()

    @property
    def every(self) -> tuple[Checked, ...]:
        """All checks, those of the lasting and the partial hazard last."""
        return (*self.checks, *((self.lasting,) if self.lasting else ()), self.partial)

    @property
    def worst(self) -> Checked | None:
        """The first check that failed, or else was cut short: with the fewest threads, transient before the others."""
        order = {verdict: number for number, verdict in enumerate(("fails", "bounded"))}
        found = [result for result in self.every if result.verdict in order]
        return min(found, key=lambda result: (order[result.verdict], result.scenario not in ALONE), default=None)


@dataclass(frozen=True, slots=True)
class Compared(Verdicts):
    """The same on a host, with what it costs.

    ``extra``: its overhead without that of the strategy that all are compared with.  ``rank``: 1 for the cheapest that
    is right with every assumption at its value, the same for those that cost the same whatever is assumed; 0 if not
    known to be right.
    """

    cost: Replayed
    extra: Cost
    rank: int = 0


@dataclass(frozen=True, slots=True)
class Unpriced:
    """The verdicts of all strategies on one host or architecture, those that do the same together.

    ``leaders``: the strategies that ``rows`` are named after.
    """

    target: Target
    translator: Translator
    what_if: bool
    leaders: tuple[Strategy, ...]
    rows: tuple[Verdicts, ...]

    @property
    def ordered(self) -> list[Verdicts]:
        """The rows, right ones first."""
        return sorted(self.rows, key=_rightness)


@dataclass(frozen=True, slots=True)
class Comparison:
    """All strategies on one host, in the order of the table: right ones by cost, undecided ones, wrong ones.

    ``isa``: the instruction set that the translator emits.  ``over``: the strategy that ``extra`` is counted from.
    ``parameters``: those of the replay.  ``pairs``: any two of the right ones, in the order of the table.
    """

    host: Host
    translator: str
    isa: str
    what_if: bool
    trace: str
    vcpus: int
    over: str
    parameters: Parameters
    rows: tuple[Compared, ...]
    pairs: tuple[Pair, ...]

    @property
    def ranks(self) -> list[list[Compared]]:
        """The right ones, those of one rank together."""
        return [list(group) for rank, group in groupby(self.rows, key=lambda row: row.rank) if rank]

    def order(self, one: Compared, other: Compared) -> Pair:
        """What is known of two of the right ones."""
        return next(pair for pair in self.pairs if {pair.first, pair.second} == {one.strategy, other.strategy})

    @property
    def undecided(self) -> list[tuple[list[Compared], list[Compared], Pair]]:
        """The ranks that follow on each other and whose order is not decided."""
        found = [(one, other, self.order(one[0], other[0])) for one, other in pairwise(self.ranks)]
        return [one for one in found if one[2].order == "undecided"]


def questions(scenarios: Sequence[str], hazards: Sequence[Hazard] | None = None) -> tuple[tuple[Hazard, str], ...]:
    """Hazard and scenario of each verdict on a strategy.

    Of these ``hazards`` in every scenario; by default the transient one in every scenario, and the others each in one
    that shows it.  A lasting value takes two retranslators.
    """
    lasting = tuple(name for name in scenarios if name == LASTING_IN)
    partial = tuple(scenarios) if hazards else (PARTIAL_IN if PARTIAL_IN in scenarios else scenarios[0],)
    of: dict[Hazard, tuple[str, ...]] = {"transient": tuple(scenarios), "lasting": lasting, "partial": partial}
    return tuple((hazard, name) for hazard, names in of.items() for name in names if hazard in (hazards or of))


def _alike(strategies: Iterable[Strategy], translator: Translator) -> list[list[Strategy]]:
    """The strategies whose operations are the same with a translator, together."""
    groups: dict[object, list[Strategy]] = {}
    for strategy in strategies:
        groups.setdefault(meaning(strategy, translator), []).append(strategy)
    return list(groups.values())


def verify(
    target: Target,
    translator: Translator,
    strategies: Sequence[Strategy],
    scenarios: Sequence[str],
    options: Options,
    progress: Progress = silent,
) -> Unpriced:
    """Check every strategy.  Raises as ``Check.run`` does."""
    groups = _alike(strategies, translator)
    leaders = tuple(group[0] for group in groups)
    asked = questions(scenarios)
    cells = [
        Check(strategy, translator, target, name, options.with_hazard(hazard))
        for strategy in leaders
        for hazard, name in asked
    ]
    found = check_all(
        cells, lambda cell, done, states: progress(f"checking {cell.strategy.name}, {cell.scenario}", done / len(cells))
    )
    rows = []
    for number, group in enumerate(groups):
        checked = found[number * len(asked) : (number + 1) * len(asked)]
        transient, lasting, partial = checked[: len(scenarios)], checked[len(scenarios) : -1], checked[-1]
        names = tuple(strategy.name for strategy in group)
        rows.append(Verdicts(names[0], names[1:], tuple(transient), lasting[0] if lasting else None, partial))
    return Unpriced(target, translator, hypothetical(translator, target), leaders, tuple(rows))


def compare(
    trace: Trace,
    host: Host,
    translator: Translator,
    strategies: Sequence[Strategy],
    scenarios: Sequence[str],
    options: Options,
    parameters: Parameters,
    over: Strategy | None = None,
) -> Comparison:
    """Check and replay every strategy; ``over``, by default ``unfixed``, is what their ``extra`` is counted from.

    Raises as ``Check.run`` and ``replay`` do.
    """
    replaying = begin(trace, host, translator, strategies, parameters, over)
    return price(verify(host, translator, strategies, scenarios, options), replaying)


def begin(
    trace: Trace,
    host: Host,
    translator: Translator,
    strategies: Sequence[Strategy],
    parameters: Parameters,
    over: Strategy | None = None,
) -> Replaying:
    """Begin the replay of what ``verify`` finds to differ, and of ``over``: ``price`` is sooner done then."""
    leaders = (group[0] for group in _alike(strategies, translator))
    return Replaying(trace, host, translator, (*leaders, over or registry.find(OVER)), parameters)


def price(verified: Unpriced, replaying: Replaying, progress: Progress = silent) -> Comparison:
    """What was verified on a host, with what it costs there (``begin``).  Raises as ``replay`` does."""
    trace, parameters, host = replaying.trace, replaying.pricing.parameters, verified.target
    assert isinstance(host, Host)
    base, translator = replaying.strategies[-1], verified.translator

    def replayed(done: int, total: int) -> None:
        progress(f"replaying {trace.name} with {len(verified.leaders)} strategies", done / max(total, 1))

    progress(f"laying out {trace.name}, compiling at the first run", 0.0)
    *costs, counted_from = replaying.costs(replayed)
    rows = [
        Compared(row.strategy, row.same, row.checks, row.lasting, row.partial, cost, cost.more_than(counted_from))
        for row, cost in zip(verified.rows, costs, strict=True)
    ]
    ranked = _ranked(rows)
    vcpus = parameters.vcpus if parameters.vcpus is not None else host.cores.value
    return Comparison(
        host,
        translator.full_name,
        translator.isa,
        verified.what_if,
        trace.name,
        vcpus,
        base.name,
        parameters,
        tuple(ranked),
        tuple(_pairs(ranked)),
    )


def _rightness(row: Verdicts) -> tuple[bool, bool, bool]:
    return not row.right, row.wrong, not row.alone


def _ranked(rows: Sequence[Compared]) -> list[Compared]:
    """Right ones first, by nominal overhead; those that cost the same whatever is assumed share a rank."""
    order = sorted(rows, key=lambda row: (*_rightness(row), row.cost.overhead.nominal, row.strategy))
    ranked: list[Compared] = []
    for number, row in enumerate(order, 1):
        same = ranked and _order(ranked[-1], row).order == "equal"
        ranked.append(replace(row, rank=(ranked[-1].rank if same else number) if row.right else 0))
    return ranked


def _pairs(rows: Sequence[Compared]) -> list[Pair]:
    return [_order(one, other) for one, other in combinations([row for row in rows if row.right], 2)]


def _order(one: Compared, other: Compared) -> Pair:
    return pair(one.strategy, other.strategy, other.cost.more_than(one.cost))
