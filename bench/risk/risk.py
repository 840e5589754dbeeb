"""How often it bites: a strategy in a scenario -> probabilities.

With one thread a recorded execution says how long what was written is exposed; with several it says nothing
(``recorded.py``).  Without a trace the probabilities of the environment are given (``given.py``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.check.cell import hypothetical
from bench.check.units import concerned_by
from bench.hosts.profile import Host
from bench.machine import finished, initial, program_steps
from bench.machine.model import Model
from bench.program.compiler import Compiler
from bench.replay.sensitivity import Swing
from bench.risk.causes import Cause, Structure, structure
from bench.risk.chain import RUNS, Chain
from bench.risk.harm import Harms, harms_of
from bench.risk.quiescent import QuiescentStates, settled
from bench.risk.simulation import Interval
from bench.scenarios import Scenario, scenario
from bench.search.question import Question
from bench.translators.translator import Translator
from strategies.strategy import Strategy


@dataclass(frozen=True, slots=True)
class Range:
    """A figure with all quantities at their value, and the lowest and the highest that was found.

    Evaluated are all quantities at their low ends, all at their high ends and, for the sensitivity, each by itself.
    """

    low: float
    nominal: float
    high: float


@dataclass(frozen=True, slots=True)
class SingleThreaded:
    """One thread along a trace; probabilities per retranslation.

    ``window``: temporary values at the point of unification when the retranslation ends.  ``first``: those that the
    next execution fetches, each retranslation by itself from a clean start.  ``long_run``: wrong executions, propagated
    along the trace.  ``harm``: those that do harm; the same ``per_execution`` of a TB, ``per_run`` of the whole trace,
    and ``per_hour`` of it.  A retranslation rewrites several
    units: their figures are added, an upper bound of the probability that it goes wrong at all.
    ``chain_first``, ``chain_long_run``: the probabilities for one access, without a trace, where the block runs again
    after one operation; ``residual`` of the latter.
    """

    window: Range
    first: Range
    long_run: Range
    harm: Range
    per_execution: Range
    per_run: Range
    per_hour: Range
    chain_first: float
    chain_long_run: float
    residual: float


@dataclass(frozen=True, slots=True)
class MultiThreaded:
    """Several threads; the probability that one retranslation by each ends in a wrong execution, by scheduler."""

    least: Range
    slices: Range
    greatest: Range
    harm: Range


@dataclass(frozen=True, slots=True)
class SingleThreadedGiven:
    """One thread under given probabilities: as ``ChainFigures``; ``drawn``: ``first`` by simulation, if asked for."""

    first: float
    long_run: float
    residual: float
    drawn: Interval | None


@dataclass(frozen=True, slots=True)
class MultiThreadedGiven:
    """Several threads under given probabilities: the probability of a wrong fetch, by scheduler."""

    least: float
    slices: float
    greatest: float


@dataclass(frozen=True, slots=True)
class Risk:
    """The answer for one cell; ``figures`` is None where the scenario is impossible.

    ``trace``: None under given probabilities.  ``swings``: if asked for.  ``nodes`` of the chain that was solved.
    """

    strategy: str
    host: Host
    translator: str
    scenario: str
    trace: str | None
    what_if: bool
    figures: SingleThreaded | MultiThreaded | SingleThreadedGiven | MultiThreadedGiven | None = None
    swings: tuple[Swing, ...] = ()
    nodes: int = 0

    @property
    def backend(self) -> str:
        """The translator's name without its version."""
        return self.translator.partition("@")[0]


class RiskCell:
    """A strategy in a scenario, with the code packed as in the code buffer; compiled when it is asked about."""

    def __init__(self, strategy: Strategy, host: Host, translator: Translator, instance: Scenario) -> None:
        self.strategy, self.host, self.translator, self.scenario = strategy, host, translator, instance
        self._chains: dict[Structure, Chain] = {}
        self._quiescent: dict[tuple[int, Structure], QuiescentStates] = {}

    @property
    def single_threaded(self) -> bool:
        """Whether there is one thread."""
        return len(self.scenario.threads) == 1

    @cached_property
    def _everything(self) -> Compiler:
        return self._compiled(None)

    @cached_property
    def concerned(self) -> frozenset[int]:
        """The offsets of the units that get temporary values."""
        return concerned_by(self._everything, "transient")

    @cached_property
    def parts(self) -> tuple[Model, Question, Harms]:
        """The model of all units, whether one is fetched with a temporary value, and the harm of that."""
        return self._parts(self._everything)

    def chain(self, causes: Sequence[Cause]) -> Chain:
        """The chain of all units, built once for each structure of the causes."""
        key = structure(causes)
        if key not in self._chains:
            model, question, harms = self.parts
            self._chains[key] = Chain(model, question, causes, harms=harms, runs=RUNS)
        return self._chains[key]

    def quiescent(self, offset: int, causes: Sequence[Cause]) -> QuiescentStates:
        """The quiescent states of the unit at an offset, built once for each structure of the causes."""
        key = offset, structure(causes)
        if key not in self._quiescent:
            self._quiescent[key] = QuiescentStates(*self._parts(self._compiled(frozenset({offset}))), causes)
        return self._quiescent[key]

    def _compiled(self, followed: frozenset[int] | None) -> Compiler:
        """The program that follows the units at these offsets, or all."""
        return Compiler(self.strategy, self.translator, self.host, self.scenario, layout="packed", followed=followed)

    def _parts(self, compiler: Compiler) -> tuple[Model, Question, Harms]:
        """The model, whether a unit is fetched with a temporary value, and the harm of that."""
        question = Question("wrong fetch", concerned_by(compiler, "transient"))
        return compiler.model, question, harms_of(compiler, self.translator)


def window_gaps(host: Host, translator: Translator) -> dict[int | None, float]:
    """The gaps between operations in a window as the translator emits it, by the offset of the unit that is followed.

    None: a mean, where all units are followed.  1 without a window.
    """
    instance = scenario("system", 1, retranslations=1)
    assert instance is not None
    everything = Compiler(Strategy(), translator, host, instance, layout="packed")
    offsets = concerned_by(everything, "transient")
    found: dict[int | None, float] = {
        offset: _temporary(
            Compiler(Strategy(), translator, host, instance, layout="packed", followed=frozenset({offset})).model,
            frozenset({offset}),
        )
        for offset in offsets
    }
    return {**found, None: _temporary(everything.model, offsets) / len(offsets) if offsets else 1.0}


def _temporary(model: Model, offsets: frozenset[int]) -> int:
    """After how many operations of one thread each of these units has a temporary value, added up."""
    state, found = initial(model), 0
    while not finished(model, state):
        state = settled(model, next(program_steps(model, state)).state)
        found += sum(
            unit.offset in offsets and any(state.memory.data[cell] != model.final[cell] for cell in cells)
            for units, block in zip(model.unit_at, model.units, strict=True)
            for unit, cells in zip(units, block, strict=True)
        )
    return found


@dataclass
class RiskModel(ABC):
    """A host with a translator, and where the probabilities come from: evaluates strategies."""

    host: Host
    translator: Translator

    @abstractmethod
    def begin(self, strategies: Sequence[Strategy], names: Sequence[str]) -> None:
        """Begin what ``evaluate_all`` needs and another process can do."""

    def evaluate_all(self, strategies: Sequence[Strategy], names: Sequence[str]) -> Iterator[Risk]:
        """The risk of each strategy in each scenario.  Raises as ``evaluate``."""
        for strategy in strategies:
            for name in names:
                yield self.evaluate(strategy, name)

    def evaluate(self, strategy: Strategy, name: str) -> Risk:
        """The risk of a strategy in a scenario.  Raises ``InputError``, ``StrategyError`` for an impossible one."""
        what_if = hypothetical(self.translator, self.host)
        risk = Risk(strategy.name, self.host, self.translator.full_name, name, self.trace_name, what_if)
        cell = self._cell(strategy, name)
        if cell is None:
            return risk
        return self._single_threaded(cell, risk) if cell.single_threaded else self._multi_threaded(cell, risk)

    def _cell(self, strategy: Strategy, name: str) -> RiskCell | None:
        """A strategy in a scenario, if that can be."""
        instance = scenario(name, self.host.cores.value, retranslations=1)
        return None if instance is None else RiskCell(strategy, self.host, self.translator, instance)

    @property
    def trace_name(self) -> str | None:
        """The name of the recorded execution, if there is one."""
        return None

    @abstractmethod
    def _single_threaded(self, cell: RiskCell, risk: Risk) -> Risk:
        """``risk`` with its figures, for one thread."""

    @abstractmethod
    def _multi_threaded(self, cell: RiskCell, risk: Risk) -> Risk:
        """``risk`` with its figures, for several threads."""


def in_turn(models: Iterable[RiskModel], strategies: Sequence[Strategy], names: Sequence[str]) -> Iterator[RiskModel]:
    """Each of the models, whose next one has begun."""
    upcoming = iter(models)
    following = next(upcoming, None)
    while following is not None:
        model, following = following, next(upcoming, None)
        if following is not None:
            following.begin(strategies, names)
        yield model
