"""How often it bites: a strategy, a host, a translator and a trace -> probabilities, with their range.

For one thread the recorded execution says how long what was written is exposed, and the figures are carried along it
(``along.py``).  Where two threads run the block the trace says nothing: the figures are those of one retranslation from
a clean start, for the scheduler that makes it least likely, one that goes by time slices, and the one that makes it
most likely (``chain.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bench.check.cell import hypothetical
from bench.check.units import concerned_by
from bench.hosts.profile import Host
from bench.program.compiler import Compiler
from bench.replay.context import ReplayContext
from bench.replay.parameters import Parameters
from bench.risk.along import Expected, along
from bench.risk.causes import Cause, structure
from bench.risk.chain import RUNS, Answer, Chain
from bench.risk.evictions import causes_on, happens, rates_on
from bench.risk.exposure import Exposure, expose
from bench.risk.harm import harms_of
from bench.risk.pressure import Pressure
from bench.risk.quiescent import Rest
from bench.risk.solve import FETCHED, harmful
from bench.scenarios import Scenario, scenario
from bench.search.question import Question
from bench.traces.trace import Trace
from bench.translators.translator import Translator
from strategies.strategy import Strategy

Values: TypeAlias = Mapping[str, float]
"""The quantities of ``Pressure`` by name."""
Tell: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Range:
    """A figure with all quantities at their value, and the least and the greatest that was found.

    Looked at are all quantities at their low ends, all at their high ends and, for the sensitivity, each by itself.
    """

    low: float
    nominal: float
    high: float


@dataclass(frozen=True, slots=True)
class Swing:
    """What one quantity does, the others at their value: the figure at its low and its high end."""

    quantity: str
    at_low: float
    at_high: float

    @property
    def factor(self) -> float:
        """How many times larger the larger is."""
        small, large = sorted((self.at_low, self.at_high))
        return 1.0 if large == small else float("inf") if not small else large / small


@dataclass(frozen=True, slots=True)
class Alone:
    """One thread; probabilities per retranslation.

    ``window``: temporary values at the point of unification when the retranslation ends.  ``first``: those that the
    next execution fetches, each retranslation by itself from a clean start.  ``long_run``: wrong executions, carried
    along the trace.  ``harm``: those that do harm; ``per_hour`` of the execution.  A retranslation rewrites several
    units: what they come to is added up, an upper bound of the probability that it goes wrong at all.
    ``chain_first``, ``chain_long_run``: the probabilities for one access, without a trace, where the block runs again
    after one operation; ``residual`` of the latter.
    """

    window: Range
    first: Range
    long_run: Range
    harm: Range
    per_hour: Range
    chain_first: float
    chain_long_run: float
    residual: float


@dataclass(frozen=True, slots=True)
class Several:
    """Several threads; the probability that one retranslation by each ends in a wrong execution, by scheduler."""

    least: Range
    slices: Range
    greatest: Range
    harm: Range


@dataclass(frozen=True, slots=True)
class Risk:
    """The answer for one cell; ``figures`` is None where the scenario cannot be.  ``swings``: if asked for."""

    strategy: str
    host: Host
    translator: str
    scenario: str
    trace: str
    what_if: bool
    figures: Alone | Several | None
    swings: tuple[Swing, ...] = ()


@dataclass
class Bench:
    """A host with a translator and a trace, on which strategies are asked about."""

    host: Host
    translator: Translator
    trace: Trace
    pressure: Pressure = field(default_factory=Pressure)
    parameters: Parameters = field(default_factory=Parameters)
    rate: float | None = None
    """Retranslations per second; None: what the cycles of the trace come to."""
    _known: dict[bytes, Expected] = field(default_factory=dict)

    @cached_property
    def _ground(self) -> ReplayContext:
        return ReplayContext(self.trace, self.host, self.translator, self.parameters)

    @property
    def temporaries(self) -> list[tuple[int, int]]:
        """The units of one guest access that get temporary values."""
        return self._ground.temporaries(1)

    @cached_property
    def exposure(self) -> Exposure:
        """Of the trace's units."""
        return expose(self._ground)

    def values(self, end: str = "value", changed: Values = MappingProxyType({})) -> dict[str, float]:
        """The quantities at their ``value``, ``low`` or ``high``, but for some."""
        found = {name: float(getattr(quantity, end)) for name, quantity in self.pressure.quantities.items()}
        found.update(changed)
        if self.rate is not None and len(self.trace.retranslations):
            counted = self.exposure.cycles / (self.host.clock_ghz * 1e9)
            found["slowdown"] = len(self.trace.retranslations) / self.rate / counted
        return found

    def seconds(self, values: Values) -> float:
        """How long the execution takes."""
        return self.exposure.cycles * values["slowdown"] / (self.host.clock_ghz * 1e9)

    def ask(self, strategy: Strategy, name: str, *, sensitivity: bool = False) -> Risk:
        """The risk of a strategy in a scenario.  Raises ``InputError``, ``StrategyError`` for what cannot be."""
        cast = scenario(name, self.host.cores.value, retranslations=1)
        what_if = hypothetical(self.translator, self.host)
        found = Risk(strategy.name, self.host, self.translator.full_name, name, self.trace.name, what_if, None)
        if cast is None:
            return found
        if len(cast.threads) == 1:
            alone = _OneThread(self, strategy, cast)
            ranges, swings = self._varied(alone.at, "long_run", sensitivity=sensitivity and alone.fails)
            chain = alone.without_trace()
            figures = Alone(**ranges, chain_first=chain.first, chain_long_run=chain.long_run, residual=chain.residual)
            return replace(found, figures=figures, swings=swings)
        several = _Threads(self, strategy, cast)
        ranges, swings = self._varied(several.at, "slices", sensitivity=sensitivity)
        return replace(found, figures=Several(**ranges), swings=swings)

    def _varied(
        self, at: Callable[[Values], Mapping[str, float]], shown: str, *, sensitivity: bool
    ) -> tuple[dict[str, Range], tuple[Swing, ...]]:
        """Each figure over all that was asked for: all quantities at their ends and, for ``sensitivity``, one by one.

        The swings are those of the figure ``shown``.
        """
        nominal = at(self.values())
        asked = [nominal, *(at(self.values(end)) for end in ("low", "high"))]
        swings = []
        for name, quantity in self.pressure.quantities.items() if sensitivity else ():
            if quantity.low < quantity.high and not (name == "slowdown" and self.rate is not None):
                ends = [at(self.values(changed={name: end})) for end in (quantity.low, quantity.high)]
                swings.append(Swing(name, *(end[shown] for end in ends)))
                asked += ends
        ranges = {
            name: Range(min(one[name] for one in asked), value, max(one[name] for one in asked))
            for name, value in nominal.items()
        }
        return ranges, tuple(sorted(swings, key=lambda swing: -swing.factor))

    def carried(
        self, rest: Rest, part: int, causes: Sequence[Cause], values: Values, harms: npt.NDArray[np.float64]
    ) -> Expected:
        """What the units that are number ``part`` of their access come to along the trace."""
        matrix = rest.rewritten(causes)
        rates = rates_on(self.host, values, rest.maps, moves=rest.moves)
        key = b"".join(some.tobytes() for some in (matrix, rates, harms, rest.maps.run, rest.maps.harm, np.array(part)))
        if key not in self._known:
            self._known[key] = along(self.exposure.only(part), rest.maps, matrix, rates, harms)
        return self._known[key]


class _Cell:
    """A strategy in a scenario, in the layout of the code buffer."""

    def __init__(self, bench: Bench, strategy: Strategy, cast: Scenario) -> None:
        self.bench, self.strategy, self.cast = bench, strategy, cast
        self.everything = self.compiler(None)

    def compiler(self, followed: frozenset[int] | None) -> Compiler:
        """The program that follows the units at these offsets, or all."""
        return Compiler(
            self.strategy, self.bench.translator, self.bench.host, self.cast, layout="packed", followed=followed
        )

    def causes(self, values: Values) -> tuple[Cause, ...]:
        """What happens between two operations."""
        return causes_on(self.bench.host, values, self.cast.cores, self.cast.moves)

    def question(self, compiler: Compiler) -> Question:
        """Is a unit fetched with a value that it has for a moment only?"""
        return Question("wrong fetch", concerned_by(compiler, "transient"))


class _OneThread(_Cell):
    """One thread, along the trace."""

    def __init__(self, bench: Bench, strategy: Strategy, cast: Scenario) -> None:
        super().__init__(bench, strategy, cast)
        offsets = [offset for _, offset in bench.temporaries]
        concerned = concerned_by(self.everything, "transient")
        self._parts = {part: self.compiler(frozenset({at})) for part, at in enumerate(offsets) if at in concerned}
        self._rests: dict[tuple[int, bytes], Rest] = {}

    @property
    def fails(self) -> bool:
        """Whether something wrong can be executed at all."""
        causes = self.causes(self.bench.values())
        return any(self._rest(part, causes).fails for part in self._parts)

    def without_trace(self) -> Answer:
        """What the chain alone says."""
        causes = self.causes(self.bench.values())
        compiler = self.everything
        return Chain(compiler.model, self.question(compiler), causes).answer(causes)

    def at(self, values: Values) -> dict[str, float]:
        """The figures for some values."""
        causes, bench = self.causes(values), self.bench
        found = dict.fromkeys(("window", "first", "long_run", "harm", "per_hour"), 0.0)
        rests = {part: self._rest(part, causes) for part in self._parts}
        if not any(rest.fails for rest in rests.values()) or not bench.exposure.retranslations:
            return found
        for part, rest in rests.items():
            fetched = bench.carried(rest, part, causes, values, FETCHED)
            harm = bench.carried(rest, part, causes, values, harmful(values["tlb_hit"]))
            found["window"] += fetched.window
            found["first"] += fetched.single
            found["long_run"] += fetched.whole
            found["harm"] += harm.whole
        hours = bench.seconds(values) / 3600
        per = {name: value / bench.exposure.retranslations for name, value in found.items()}
        return {**per, "per_hour": found["harm"] / hours}

    def _rest(self, part: int, causes: Sequence[Cause]) -> Rest:
        key = part, structure(causes)
        if key not in self._rests:
            compiler = self._parts[part]
            harms = harms_of(compiler, self.bench.translator)
            self._rests[key] = Rest(compiler.model, self.question(compiler), causes, harms)
        return self._rests[key]


class _Threads(_Cell):
    """Several threads, one retranslation by each that faults."""

    def __init__(self, bench: Bench, strategy: Strategy, cast: Scenario) -> None:
        super().__init__(bench, strategy, cast)
        self._chains: dict[bytes, Chain] = {}

    def at(self, values: Values) -> dict[str, float]:
        """The figures for some values."""
        causes = self.causes(values)
        key = structure(causes)
        if key not in self._chains:
            harms = harms_of(self.everything, self.bench.translator)
            self._chains[key] = Chain(
                self.everything.model, self.question(self.everything), causes, harms=harms, runs=RUNS
            )
        chain = self._chains[key]
        ends = happens(values["slices"] * values["operation"] / (self.bench.host.clock_ghz * 1e9))
        hit = harmful(values["tlb_hit"])
        return {
            "least": chain.probability(causes, FETCHED, "least"),
            "slices": chain.probability(causes, FETCHED, "slices", ends),
            "greatest": chain.probability(causes, FETCHED, "greatest"),
            "harm": chain.probability(causes, hit, "slices", ends),
        }
