"""The risk along a recorded execution, with its range over the quantities of ``Pressure``.

For one thread the trace says how long what was written is exposed, and the figures are propagated along it
(``propagation.py``).  Where two threads run the block the trace says nothing: the figures are those of one
retranslation from a clean start, for the scheduler that makes it least likely, one that goes by time slices, and the
one that makes it most likely (``chain.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from types import MappingProxyType
from typing import NamedTuple, TypeAlias, TypeVar, cast

from bench.program.identity import identity
from bench.replay.context import ReplayContext
from bench.replay.parameters import Parameters
from bench.replay.quantity import Quantity
from bench.replay.sensitivity import Swing
from bench.risk.causes import Cause
from bench.risk.evictions import Arrivals, arrivals_on, causes_on, happens
from bench.risk.exposure import Exposure, expose
from bench.risk.harm import F64, FETCHED, harmful
from bench.risk.pressure import Pressure
from bench.risk.propagation import ExpectedFailures, propagate
from bench.risk.quiescent import QuiescentMaps, QuiescentStates
from bench.risk.risk import MultiThreaded, Range, Risk, RiskCell, RiskModel, SingleThreaded, window_gaps
from bench.support.errors import InputError
from bench.support.kept import Shelf, digest, is_keeping
from bench.support.processors import beside
from bench.traces.trace import Trace
from strategies.strategy import Strategy

_GUEST = "guest_data_lines"
"""The parameter of the replay that decides how soon lines are written back, and so heal."""

Values: TypeAlias = Mapping[str, float]
"""The quantities of ``Pressure`` by name."""


class _Propagation(NamedTuple):
    """The units that are number ``part`` of their access, and what is propagated along them.

    ``matrix`` of a retranslation; ``harms``: the probability of each.
    """

    part: int
    maps: QuiescentMaps
    arrivals: Arrivals
    matrix: F64
    harms: F64

    @property
    def shared(self) -> bytes:
        """What those have in common that can be propagated side by side."""
        return digest((self.part, self.maps, self.arrivals))

    @property
    def key(self) -> bytes:
        """All of it."""
        return digest((self.shared, self.matrix, self.harms))


_Found = TypeVar("_Found")
_ALONE: Shelf[tuple[SingleThreaded, tuple[Swing, ...]]] = Shelf(
    "risks", tuple[SingleThreaded, tuple[Swing, ...]], __file__
)
_TOGETHER: Shelf[tuple[MultiThreaded, tuple[Swing, ...]]] = Shelf(
    "risks", tuple[MultiThreaded, tuple[Swing, ...]], __file__
)


@dataclass
class RecordedRisk(RiskModel):
    """Evaluates along a trace.

    ``rate``: retranslations per second; None: as the cycles of the trace have it.  ``sensitivity``: also vary each
    quantity by itself, with one thread the guest's data lines too, for which the trace is gone through at either end of
    their range.  Raises ``InputError`` for a rate that cannot be.
    """

    trace: Trace
    pressure: Pressure = field(default_factory=Pressure)
    parameters: Parameters = field(default_factory=Parameters)
    rate: float | None = None
    sensitivity: bool = False
    _known: dict[bytes, ExpectedFailures] = field(default_factory=dict)
    _parts: dict[int, Exposure] = field(default_factory=dict)
    _others: dict[float, RecordedRisk] = field(default_factory=dict)
    _cells: dict[tuple[Strategy, str], RiskCell | None] = field(default_factory=dict)
    _recalled: dict[RiskCell, object] = field(default_factory=dict)
    _begun: Callable[[], dict[RiskCell, tuple[MultiThreaded, tuple[Swing, ...]]]] = dict
    _awaited: dict[bytes, dict[bytes, _Propagation]] | None = None

    def __post_init__(self) -> None:
        if not self.trace.length or not len(self.trace.blocks):
            raise InputError("no executions", file=self.trace.name, expected="a trace in which translated code runs")
        if self.rate is not None and not 0 < self.rate <= 1e9:
            expected = "retranslations per second, above 0 and up to 1e9"
            raise InputError(f"{self.rate:g}", place="`rate`", expected=expected)

    @property
    def trace_name(self) -> str:
        """The name of the trace."""
        return self.trace.name

    @cached_property
    def _context(self) -> ReplayContext:
        return ReplayContext(self.trace, self.host, self.translator, self.parameters)

    @cached_property
    def exposure(self) -> Exposure:
        """Of the trace's units."""
        return expose(self._context)

    def _values(self, end: str = "value", changed: Values = MappingProxyType({})) -> dict[str, float]:
        """The quantities at their ``value``, ``low`` or ``high``, except those ``changed``."""
        found = {name: float(getattr(quantity, end)) for name, quantity in self._quantities.items()}
        found.update(changed)
        if self.rate is not None and len(self.trace.retranslations):
            counted = self.exposure.cycles / self._hertz
            found["slowdown"] = len(self.trace.retranslations) / self.rate / counted
        return found

    @property
    def _hertz(self) -> float:
        return self.host.clock_ghz * 1e9

    @cached_property
    def _quantities(self) -> Mapping[str, Quantity]:
        return self.pressure.on(self.host, self.translator.name)

    @cached_property
    def _gaps(self) -> Mapping[int | None, float]:
        return window_gaps(self.host, self.translator)

    def _causes(self, cell: RiskCell, values: Values, offset: int | None = None) -> tuple[Cause, ...]:
        """The causes between two operations, of the program that follows the unit at ``offset``, or all."""
        return causes_on(self.host, values, cell.scenario.cores, cell.scenario.moves, gaps=self._gaps[offset])

    def _varied(
        self, at: Callable[[Values], Mapping[str, float]], varied: str, *, sensitivity: bool
    ) -> tuple[dict[str, Range], tuple[Swing, ...]]:
        """The range of each figure over all evaluations, and the swings of the figure ``varied``."""
        nominal = at(self._values())
        evaluated = [nominal, *(at(self._values(end)) for end in ("low", "high"))]
        swings = []
        single = {_GUEST: self.parameters.guest_data_lines} if varied == "long_run" else {}
        for name, quantity in {**self._quantities, **single}.items() if sensitivity else ():
            if quantity.low < quantity.high and not (name == "slowdown" and self.rate is not None):
                ends = [at(self._values(changed={name: end})) for end in (quantity.low, quantity.high)]
                swings.append(Swing.of(name, quantity, *(end[varied] for end in ends)))
                evaluated += ends
        ranges = {
            name: Range(min(one[name] for one in evaluated), value, max(one[name] for one in evaluated))
            for name, value in nominal.items()
        }
        return ranges, tuple(sorted(swings, key=lambda swing: -swing.factor))

    def begin(self, strategies: Sequence[Strategy], names: Sequence[str]) -> None:
        """Begin to evaluate the hooks, if figures of one thread are to be found."""
        if self._sought(strategies, names, alone=True):
            _ = self._context

    def evaluate_all(self, strategies: Sequence[Strategy], names: Sequence[str]) -> Iterator[Risk]:
        self.begin(strategies, names)
        several = self._sought(strategies, names, alone=False)
        # A rate is one of the trace, which this process goes through.
        if self.rate is None:
            found = beside(lambda: [self._together(cell) for cell in several], pays=bool(several))
            self._begun = lambda: dict(zip(several, found(), strict=True))
        self._propagate_ahead(self._sought(strategies, names, alone=True))
        yield from super().evaluate_all(strategies, names)
        self._begun = dict

    def _sought(self, strategies: Sequence[Strategy], names: Sequence[str], *, alone: bool) -> list[RiskCell]:
        """The cells, of one thread or of several, that were not found before."""
        cells = (self._cell(one, name) for one in strategies for name in names)
        return [
            cell
            for cell in cells
            if cell is not None
            and cell.single_threaded == alone
            and (self._found(_ALONE, cell) if alone else self._found(_TOGETHER, cell)) is None
        ]

    def _cell(self, strategy: Strategy, name: str) -> RiskCell | None:
        key = strategy, name
        if key not in self._cells:
            self._cells[key] = super()._cell(strategy, name)
        return self._cells[key]

    def _propagate_ahead(self, cells: Sequence[RiskCell]) -> None:
        """Propagate the distributions of several cells side by side, which takes less time than one by one."""
        self._awaited = {}
        for cell in cells:
            self._ranges(cell)
        awaited, self._awaited = self._awaited, None
        for propagations in awaited.values():
            one, *_ = propagations.values()
            variants = [(other.matrix, other.harms) for other in propagations.values()]
            found = propagate(self._part(one.part), one.maps, one.arrivals, variants)
            self._known.update(zip(propagations, found, strict=True))

    def _single_threaded(self, cell: RiskCell, risk: Risk) -> Risk:
        figures, swings = self._kept(_ALONE, cell, partial(self._alone, cell))
        return replace(risk, figures=figures, swings=swings)

    def _multi_threaded(self, cell: RiskCell, risk: Risk) -> Risk:
        figures, swings = self._kept(_TOGETHER, cell, lambda: self._begun().get(cell) or self._together(cell))
        return replace(risk, figures=figures, swings=swings)

    def _kept(self, shelf: Shelf[_Found], cell: RiskCell, compute: Callable[[], _Found]) -> _Found:
        """What was found of a cell before, or else now."""
        found = self._found(shelf, cell)
        if found is None:
            found, key = compute(), self._key(cell)
            if key is not None:
                shelf.keep(key, found)
        return found

    def _found(self, shelf: Shelf[_Found], cell: RiskCell) -> _Found | None:
        """What was found of a cell before; looked for once."""
        if cell not in self._recalled:
            key = self._key(cell)
            self._recalled[cell] = None if key is None else shelf.find(key)
        return cast("_Found | None", self._recalled[cell])

    def _key(self, cell: RiskCell) -> tuple[object, ...] | None:
        """All that figures depend on beside the sources; None where nothing is kept, or that is not known."""
        known = identity(cell.strategy, self.translator) if self.trace.content and is_keeping() else None
        if known is None:
            return None
        asked = cell.scenario, self.rate, self.sensitivity
        return known, self.host, self.trace.content, self._quantities, self.parameters, asked

    def _alone(self, cell: RiskCell) -> tuple[SingleThreaded, tuple[Swing, ...]]:
        """One thread's."""
        ranges, swings = self._ranges(cell)
        causes = self._causes(cell, self._values())
        chain = cell.chain(causes).figures(causes)
        figures = SingleThreaded(
            **ranges, chain_first=chain.first, chain_long_run=chain.long_run, residual=chain.residual
        )
        return figures, swings

    def _ranges(self, cell: RiskCell) -> tuple[dict[str, Range], tuple[Swing, ...]]:
        """Those along the trace."""
        parts, values = self._concerned(cell), self._values()
        fails = any(cell.quiescent(offset, self._causes(cell, values, offset)).fails for offset in parts.values())
        along = partial(self._along_trace, cell, parts)
        return self._varied(along, "long_run", sensitivity=self.sensitivity and fails)

    def _concerned(self, cell: RiskCell) -> dict[int, int]:
        """The offset of each unit that gets a temporary value, by its number within its access."""
        offsets = [offset for _, offset in self._context.groups.temporaries(1)]
        return {part: offset for part, offset in enumerate(offsets) if offset in cell.concerned}

    def _along_trace(self, cell: RiskCell, parts: Mapping[int, int], values: Values) -> dict[str, float]:
        """The figures of the units at ``parts``: number within their access, and offset."""
        if _GUEST in values:
            rest = {name: value for name, value in values.items() if name != _GUEST}
            return self._with_guest(values[_GUEST])._along_trace(cell, parts, rest)
        causes = {part: self._causes(cell, values, offset) for part, offset in parts.items()}
        quiescent = {part: cell.quiescent(offset, causes[part]) for part, offset in parts.items()}
        found = dict.fromkeys(("window", "first", "long_run", "harm"), 0.0)
        if any(states.fails for states in quiescent.values()) and len(self.trace.retranslations):
            for part, states in quiescent.items():
                fetched = self._propagated(states, part, causes[part], values, FETCHED)
                found["window"] += fetched.window
                found["first"] += fetched.single
                found["long_run"] += fetched.whole
                found["harm"] += self._propagated(states, part, causes[part], values, harmful(values["tlb_hit"])).whole
        harm, hours = found["harm"], 1.0
        if harm:
            hours = self.exposure.cycles * values["slowdown"] / self._hertz / 3600
        return {
            **{name: value / max(1, len(self.trace.retranslations)) for name, value in found.items()},
            "per_execution": harm / max(1, self.trace.ran),
            "per_run": harm,
            "per_hour": harm / hours,
        }

    def _with_guest(self, lines: float) -> RecordedRisk:
        """The same with so many of the guest's data lines, and so with another exposure."""
        if lines not in self._others:
            given = replace(self.parameters, guest_data_lines=self.parameters.guest_data_lines.at(lines))
            self._others[lines] = replace(
                self,
                parameters=given,
                _known={},
                _parts={},
                _others={},
                _cells={},
                _recalled={},
                _begun=dict,
                _awaited=None,
            )
        return self._others[lines]

    def _propagated(
        self, states: QuiescentStates, part: int, causes: Sequence[Cause], values: Values, harms: F64
    ) -> ExpectedFailures:
        """The expected numbers for the units that are number ``part`` of their access, each computed once."""
        arrivals = arrivals_on(self.host, values, moves=states.moves)
        asked = _Propagation(part, states.maps, arrivals, states.retranslated(causes), harms)
        if asked.key not in self._known:
            if self._awaited is not None:
                self._awaited.setdefault(asked.shared, {})[asked.key] = asked
                return ExpectedFailures(0.0, 0.0, 0.0)
            (self._known[asked.key],) = propagate(self._part(part), asked.maps, arrivals, [(asked.matrix, harms)])
        return self._known[asked.key]

    def _part(self, part: int) -> Exposure:
        """The units that are number ``part`` of their access."""
        if part not in self._parts:
            self._parts[part] = self.exposure.only(part)
        return self._parts[part]

    def _together(self, cell: RiskCell) -> tuple[MultiThreaded, tuple[Swing, ...]]:
        """Those of several threads."""
        ranges, swings = self._varied(partial(self._by_scheduler, cell), "slices", sensitivity=self.sensitivity)
        return MultiThreaded(**ranges), swings

    def _by_scheduler(self, cell: RiskCell, values: Values) -> dict[str, float]:
        causes = self._causes(cell, values)
        chain = cell.chain(causes)
        slice_ends = happens(values["slices"] * values["window_cycles"] / self._gaps[None] / self._hertz)
        harm = chain.probability(causes, harmful(values["tlb_hit"]), "slices", slice_ends)
        return {**chain.schedulers(causes, slice_ends), "harm": harm}
