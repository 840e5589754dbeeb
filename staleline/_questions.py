"""The questions of the command line as functions: names or objects in, results and rows of plain values out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypedDict, TypeVar, Unpack

from bench.support.errors import InputError
from strategies.strategy import Strategy

if TYPE_CHECKING:
    from bench.check.cell import Checked
    from bench.compare.comparison import Comparison
    from bench.hosts import Host, Target
    from bench.replay.parameters import Parameters
    from bench.replay.replay import Replayed
    from bench.risk.risk import Risk
    from bench.traces.trace import Trace
    from bench.translators.translator import Translator

    Strategies: TypeAlias = str | Strategy | type[Strategy] | Iterable[str | Strategy | type[Strategy]]
    Hosts: TypeAlias = str | Host | Iterable[str | Host]
    Targets: TypeAlias = str | Target | Iterable[str | Target]
    Translators: TypeAlias = str | Translator | Iterable[str | Translator]

T = TypeVar("T")
AnyTarget = TypeVar("AnyTarget", bound="Target")
T_co = TypeVar("T_co", covariant=True)

HOST = "cortex-a9"
TRACE = "linux-boot"
"""What is asked about where nothing else is named; as on the command line."""


class Scale(TypedDict, total=False):
    """Options of a search: ``cores``, ``tbs``, ``retranslations`` and ``flushes`` scale the scenarios."""

    cores: int
    tbs: int
    retranslations: int
    flushes: int
    max_states: int
    what_if: bool


class CheckOptions(Scale, total=False):
    """Options of ``check``: those of ``staleline check`` of the same name."""

    hazard: Literal["transient", "lasting", "partial"]
    layout: Literal["apart", "packed"]
    offset: int
    start: Literal["cold", "fault"]
    accesses: tuple[Literal["load", "store"], ...]
    guest_bits: Literal[32, 64]
    units: Literal["each", "together"]
    speculation: bool
    symmetry: bool


class Results(Generic[T_co]):
    """The answers to a question, in the order of its table.

    Iterating, ``len`` and ``[number]`` give them as objects; ``rows()`` as dicts of plain values with the same keys,
    which every data frame takes.  ``units`` has the unit of those columns that have one.
    """

    def __init__(self, answers: Iterable[T_co], rows: Iterable[Mapping[str, Any]], units: Mapping[str, str]) -> None:
        self._answers = tuple(answers)
        found = list(rows)
        self._columns = tuple(dict.fromkeys(itertools.chain.from_iterable(found)))
        self._rows = found
        self.units = {column: units[column] for column in self._columns if column in units}

    def __iter__(self) -> Iterator[T_co]:
        return iter(self._answers)

    def __len__(self) -> int:
        return len(self._answers)

    def __getitem__(self, number: int) -> T_co:
        return self._answers[number]

    def __repr__(self) -> str:
        return f"<{len(self)} answers, {len(self._rows)} rows of {', '.join(self._columns)}>"

    def rows(self) -> list[dict[str, Any]]:
        """One dict for each row, None where it has no value.

        A figure with a range has a column for each of its ends and, where it has one, its tag: ``overhead_low``,
        ``overhead_nominal``, ``overhead_high``, ``overhead_tag``.
        """
        return [{column: row.get(column) for column in self._columns} for row in self._rows]


def check(
    strategies: Strategies | None = None,
    *,
    host: Targets = HOST,
    translator: Translators | None = None,
    scenario: str | Iterable[str] | None = None,
    **options: Unpack[CheckOptions],
) -> Results[Checked]:
    """Is it right?  Every behaviour that the host, or an architecture, allows, as ``staleline check``.

    By default all strategies in all scenarios, with the host's own translator.  A row has the ``verdict`` (``holds``,
    ``fails``, ``bounded``, or ``n/a`` where the scenario cannot be on the host), the ``rows`` and the ``depth`` in
    steps of the shortest counterexample, which is the answer's ``explanation``, and the ``states`` that were visited.

    >>> check("unfixed", host="cortex-a9", scenario="system", start="fault")[0].verdict
    'fails'

    Raises ``InputError`` for what is not there, cannot be or is out of range, ``StrategyError`` for a strategy that
    cannot mean anything.
    """
    from bench.check.cell import Options
    from bench.check.cells import Check, check_all

    chosen = Options(**options)
    found = check_all(
        Check(strategy, backend, one, name, chosen)
        for one, backend in _pairs(_targets(host), translator, chosen.what_if)
        for strategy in _strategies(strategies)
        for name in _scenarios(scenario)
    )
    return Results(found, map(_check_row, found), _CHECK_UNITS)


def compare(
    strategies: Strategies | None = None,
    *,
    host: Hosts = HOST,
    translator: Translators | None = None,
    scenario: str | Iterable[str] | None = None,
    trace: str | Trace = TRACE,
    vcpus: int | None = None,
    as_recorded: bool = False,
    parameters: Mapping[str, float] | None = None,
    over: str | Strategy | type[Strategy] = "unfixed",
    **options: Unpack[Scale],
) -> Results[Comparison]:
    """Every strategy's verdicts and costs on each host, as ``staleline compare``.

    An answer is one ``Comparison`` for each host and translator; a row is one strategy there: its ``rank`` (1 for the
    cheapest that is right, 0 if it is not known to be right), a verdict for each scenario, ``lasting`` and ``partial``
    for the other hazards, ``extra`` (what it costs more than ``over``) and the columns of ``replay``.  The answer's
    ``pairs`` say which of two right ones is cheaper whatever is assumed, or what it is up to.

    >>> best = compare(host="arm926", trace="user-wc", scenario="system").rows()[0]
    >>> best["rank"], best["system"]
    (1, 'holds')

    Raises as ``check`` and ``replay``.
    """
    from bench.check.cell import Options
    from bench.compare.comparison import compare as compare_on

    chosen = Options(**options)
    assumed = _parameters(vcpus, as_recorded, parameters)
    asked, names, recorded = _strategies(strategies), _scenarios(scenario), _trace(trace)
    (base,) = _strategies(over)
    found = [
        compare_on(recorded, one, backend, asked, names, chosen, assumed, over=base)
        for one, backend in _pairs(_hosts(host), translator, chosen.what_if)
    ]
    rows = [
        {
            **_cell(row.strategy, one.host, one.what_if),
            "same": list(row.same),
            "rank": row.rank,
            "right": row.right,
            **{result.scenario: result.verdict for result in row.checks},
            "lasting": row.lasting.verdict if row.lasting else None,
            "partial": row.partial.verdict,
            **_flat({"extra": row.extra.ends}),
            **_cost_row(row.cost, one.host, one.what_if),
        }
        for one in found
        for row in one.rows
    ]
    return Results(found, rows, _COST_UNITS)


def replay(
    strategies: Strategies | None = None,
    *,
    host: Hosts = HOST,
    translator: Translators | None = None,
    trace: str | Trace = TRACE,
    vcpus: int | None = None,
    as_recorded: bool = False,
    parameters: Mapping[str, float] | None = None,
    what_if: bool = False,
) -> Results[Replayed]:
    """What does it cost?  Operations, cache misses and cycles on a recorded execution, as ``staleline replay``.

    ``parameters`` set assumptions of the replay, as ``{"lookup": 40}``; ``staleline list`` has them all.

    >>> cost = replay("side-table", host="cortex-a9", trace="user-threads")
    >>> cost.rows()[0]["retranslations"], cost.units["overhead_nominal"]
    (256, 'cycles')

    Raises ``InputError`` for what is not there, cannot be replayed or is out of range, ``StrategyError`` for a strategy
    whose hooks cannot be asked.
    """
    from bench.replay.replay import replay as replay_on

    assumed = _parameters(vcpus, as_recorded, parameters)
    asked, recorded = _strategies(strategies), _trace(trace)
    found: list[Replayed] = []
    rows = []
    for one, backend in _pairs(_hosts(host), translator, what_if):
        costs = replay_on(recorded, one, backend, asked, assumed)
        found += costs
        rows += [_cost_row(cost, one, backend.isa not in one.isa) for cost in costs]
    return Results(found, rows, _COST_UNITS)


def risk(
    strategies: Strategies | None = None,
    *,
    host: Hosts = HOST,
    translator: Translators | None = None,
    scenario: str | Iterable[str] = ("system", "user"),
    trace: str | Trace = TRACE,
    rate: float | None = None,
    sensitivity: bool = False,
    as_recorded: bool = False,
    parameters: Mapping[str, float] | None = None,
    what_if: bool = False,
) -> Results[Risk]:
    """How often does it bite?  Probabilities of running a wrong unit, per retranslation, as ``staleline risk``.

    ``rate``: retranslations per second in place of what the trace's cycles come to.  ``parameters`` set assumptions, as
    ``{"interrupts": 1000}``.  Columns of one thread and of several differ: a row has None in those of the others.

    >>> found = risk("idempotent", host="cortex-a9", scenario="system", trace="user-threads").rows()[0]
    >>> found["long_run_nominal"]
    0.0

    Raises ``InputError`` for what is not there, cannot be or is out of range, ``StrategyError`` for a strategy that
    cannot mean anything.
    """
    from bench.risk.pressure import Pressure
    from bench.risk.recorded import RecordedRisk

    if rate is not None and not 0 < rate <= 1e9:
        raise InputError(f"{rate:g}", place="rate", expected="retranslations per second, above 0 and up to 1e9")
    pressure = Pressure().varied(_settings(parameters))
    asked, names, recorded = _strategies(strategies), _scenarios(scenario), _trace(trace)
    assumed = _parameters(None, as_recorded, None)
    models = [
        RecordedRisk(*pair, recorded, pressure, assumed, rate, sensitivity)
        for pair in _pairs(_hosts(host), translator, what_if)
    ]
    found = [model.evaluate(strategy, name) for model in models for strategy in asked for name in names]
    return Results(found, map(_risk_row, found), _RISK_UNITS)


# --- names and objects ------------------------------------------------------------------------------------------------


def _named(given: Any, kind: Any, load: Callable[[str], T]) -> list[T]:
    """What was given, one or several of ``kind`` or of their names."""
    several = given if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    found = [load(one) if isinstance(one, str) else one for one in several]
    for one in found:
        if not isinstance(one, kind):
            raise TypeError(f"{one!r}: expected a {kind.__name__} or its name")
    return found


def _strategies(given: Strategies | None) -> list[Strategy]:
    """The strategies, all of them by default; a class stands for what it makes."""
    from strategies import registry

    if given is None:
        given = registry.names()
    several = [given] if isinstance(given, str | type | Strategy) else given
    made = [one() if isinstance(one, type) and issubclass(one, Strategy) else one for one in several]
    return _named(made, Strategy, registry.find)


def _hosts(given: Hosts) -> list[Host]:
    from bench.hosts import Host, load_host

    return _named(given, Host, load_host)


def _targets(given: Targets) -> list[Target]:
    from bench.hosts import Target, load_target

    return _named(given, Target, load_target)


def _pairs(
    targets: Iterable[AnyTarget], translators: Translators | None, what_if: bool
) -> list[tuple[AnyTarget, Translator]]:
    """The hosts and, for each, the translators, by default its own.

    Raises ``InputError`` where the host does not run what a translator emits, unless ``what_if``.
    """
    from bench.check.cell import refuse_hypothetical
    from bench.translators.registry import default_translator, load_translator
    from bench.translators.translator import Translator

    pairs = []
    for target in targets:
        own = translators if translators is not None else default_translator(target, what_if=what_if)
        for translator in _named(own, Translator, load_translator):
            refuse_hypothetical(translator, target, what_if)
            pairs.append((target, translator))
    return pairs


def _scenarios(given: str | Iterable[str] | None) -> list[str]:
    """The names of the scenarios, all of them by default."""
    from bench.scenarios import scenario_names

    names = scenario_names() if given is None else [given] if isinstance(given, str) else list(given)
    for name in names:
        if name not in scenario_names():
            raise InputError(f"no scenario {name!r}", expected=f"one of {', '.join(scenario_names())}")
    return list(names)


def _trace(given: str | Trace) -> Trace:
    from bench.traces.store import load_trace

    return load_trace(given) if isinstance(given, str) else given


def _parameters(vcpus: int | None, as_recorded: bool, parameters: Mapping[str, float] | None) -> Parameters:
    from bench.replay.parameters import Parameters

    return Parameters(vcpus=vcpus, as_recorded=as_recorded).varied(_settings(parameters))


def _settings(parameters: Mapping[str, float] | None) -> list[str]:
    return [f"{name}={value}" for name, value in (parameters or {}).items()]


# --- rows -------------------------------------------------------------------------------------------------------------

_ENDS = ("low", "nominal", "high")
_COSTS = ("flush", "refill", "lock", "stop", "lookup", "translate", "store_into_code", "overhead", "baseline", "extra")
_COST_UNITS = {
    **{f"{cost}_{end}": "cycles" for cost in _COSTS for end in _ENDS},
    "writes": "stores",
    "lines_cleaned": "lines",
    "lines_invalidated": "lines",
    "refills": "lines",
    "line_flushes": "lines",
    "side_bytes": "bytes",
}
_CHECK_UNITS = {"rows": "rows", "depth": "steps", "states": "states"}
_RISK_UNITS = {
    **{f"{figure}_{end}": "per retranslation" for figure in ("window", "first", "long_run", "harm") for end in _ENDS},
    **{f"{figure}_{end}": "probability" for figure in ("least", "slices", "greatest") for end in _ENDS},
    **{f"per_hour_{end}": "per hour" for end in _ENDS},
}


def _check_row(one: Checked) -> dict[str, Any]:
    outcome = one.outcome
    return {
        **_cell(one.strategy, one.host, one.what_if),
        "translator": one.translator,
        "scenario": one.scenario,
        "hazard": one.options.hazard,
        "verdict": one.verdict,
        "reason": outcome.failure if outcome else one.reason,
        "rows": len(one.explanation.rows) if one.explanation and one.verdict == "fails" else None,
        "depth": outcome.depth if outcome else None,
        "states": outcome.states if outcome else None,
        "witness": outcome.witness if outcome else None,
    }


def _cost_row(cost: Replayed, host: Host, what_if: bool) -> dict[str, Any]:
    from msgspec.structs import asdict as fields_of

    from bench.replay.cost import Cost

    found = {name: value for name, value in fields_of(cost).items() if name != "simulated"}
    parts = {name: part.ends if isinstance(part, Cost) else part for name, part in found.items()}
    return {**_cell(cost.strategy, host, what_if), **_flat(parts), "notes": list(cost.notes)}


def _risk_row(one: Risk) -> dict[str, Any]:
    return {
        **_cell(one.strategy, one.host, one.what_if),
        "translator": one.translator,
        "scenario": one.scenario,
        "trace": one.trace,
        **_flat(asdict(one.figures) if one.figures else {}),
    }


def _cell(strategy: str, host: Target, what_if: bool) -> dict[str, Any]:
    return {"strategy": strategy, "host": host.name, "settings": list(host.derived), "what_if": what_if}


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """A column for each value, and of what has a range for each of its ends."""
    found: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            found |= {f"{name}_{end}": part for end, part in value.items()}
        else:
            found[name] = value
    return found
