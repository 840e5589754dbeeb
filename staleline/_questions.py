"""The questions of the command line as functions: names or objects in, results and rows of plain values out."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, Literal, TypedDict, TypeVar, Unpack

if TYPE_CHECKING:
    from bench.check.asked import Hosts, Strategies, Targets, Translators
    from bench.check.cell import Checked
    from bench.compare.comparison import Comparison
    from bench.replay.parameters import Parameters
    from bench.replay.replay import Replayed
    from bench.report.report import Report
    from bench.risk.risk import Risk
    from bench.traces.trace import Trace
    from strategies.strategy import Strategy

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

    def __init__(self, answers: Iterable[T_co], report: Report) -> None:
        self._answers = tuple(answers)
        self._rows = _rows(report)
        self._columns = tuple(dict.fromkeys(itertools.chain.from_iterable(self._rows)))
        self.units = {column: unit for column in self._columns if (unit := _unit(column))}

    def __iter__(self) -> Iterator[T_co]:
        return iter(self._answers)

    def __len__(self) -> int:
        return len(self._answers)

    def __getitem__(self, number: int) -> T_co:
        return self._answers[number]

    def __repr__(self) -> str:
        return f"<{len(self)} answers, {len(self._rows)} rows of {', '.join(self._columns)}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the rows as a table, with units, ranges and tags."""
        from staleline._notebook import table

        return table(self.rows(), self.units)

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
    from bench.check import asked
    from bench.check.cell import Check, Options
    from bench.check.cells import check_all
    from bench.report.checks import CheckReport

    chosen = Options(**options)
    found = check_all(
        Check(strategy, backend, one, name, chosen)
        for one, backend in asked.pairs(asked.targets(host), translator, chosen.what_if)
        for strategy in asked.strategies(strategies)
        for name in asked.scenarios(scenario)
    )
    return Results(found, CheckReport(found))


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
    from bench.check import asked
    from bench.check.cell import Options
    from bench.compare.comparison import compare as compare_on
    from bench.report.comparisons import CompareReport

    chosen, assumed = Options(**options), _parameters(vcpus, as_recorded, parameters)
    compared, names, recorded = asked.strategies(strategies), asked.scenarios(scenario), _trace(trace)
    (base,) = asked.strategies(over)
    found = [
        compare_on(recorded, one, backend, compared, names, chosen, assumed, over=base)
        for one, backend in asked.pairs(asked.hosts(host), translator, chosen.what_if)
    ]
    return Results(found, CompareReport(found))


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
    from bench.check import asked
    from bench.replay.replay import replay as replay_on
    from bench.report.comparisons import Costs, ReplayReport

    assumed = _parameters(vcpus, as_recorded, parameters)
    replayed, recorded = asked.strategies(strategies), _trace(trace)
    found = [
        Costs(one, backend, replay_on(recorded, one, backend, replayed, assumed), assumed)
        for one, backend in asked.pairs(asked.hosts(host), translator, what_if)
    ]
    return Results((cost for costs in found for cost in costs.rows), ReplayReport(found))


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
    window: str = "between",
    parameters: Mapping[str, float] | None = None,
    what_if: bool = False,
) -> Results[Risk]:
    """How often does it bite?  Probabilities of running a wrong unit, per retranslation, as ``staleline risk``.

    ``rate``: retranslations per second in place of what the trace's cycles come to.  ``parameters`` set assumptions, as
    ``{"interrupts": 1000}``.  ``window``: ``cold`` or ``warm`` in place of both as the range.  Columns of one thread
    and of several differ: a row has None in those of the others.

    >>> found = risk("idempotent", host="cortex-a9", scenario="system", trace="user-threads").rows()[0]
    >>> found["long_run_nominal"]
    0.0

    Raises ``InputError`` for what is not there, cannot be or is out of range, ``StrategyError`` for a strategy that
    cannot mean anything.
    """
    from bench.check import asked
    from bench.report.risks import RiskReport
    from bench.risk.pressure import Pressure, separated
    from bench.risk.recorded import RecordedRisk
    from bench.risk.window import reading_named

    of_pressure, of_replay = separated(_settings(parameters))
    pressure = Pressure(window=reading_named(window)).varied(of_pressure)
    evaluated, names, recorded = asked.strategies(strategies), asked.scenarios(scenario), _trace(trace)
    assumed = _parameters(None, as_recorded, None).varied(of_replay)
    models = [
        RecordedRisk(*pair, recorded, pressure, assumed, rate, sensitivity)
        for pair in asked.pairs(asked.hosts(host), translator, what_if)
    ]
    found = [one for model in models for one in model.evaluate_all(evaluated, names)]
    return Results(found, RiskReport(found))


def _trace(given: str | Trace) -> Trace:
    from bench.traces.store import load_trace

    return load_trace(given) if isinstance(given, str) else given


def _parameters(vcpus: int | None, as_recorded: bool, parameters: Mapping[str, float] | None) -> Parameters:
    from bench.replay.parameters import Parameters

    return Parameters(vcpus=vcpus, as_recorded=as_recorded).varied(_settings(parameters))


def _settings(parameters: Mapping[str, float] | None) -> list[str]:
    return [f"{name}={value}" for name, value in (parameters or {}).items()]


# --- rows -------------------------------------------------------------------------------------------------------------


def _rows(report: Report) -> list[dict[str, Any]]:
    """The objects of the report's JSON, its first list, as rows."""
    from msgspec import to_builtins

    objects = next(value for value in to_builtins(report.document()).values() if isinstance(value, list))
    return [dict(_columns(one)) for one in objects]


def _columns(record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """A column for each plain value and each list of them, and one for each part of what has parts."""
    for name, value in record.items():
        if name in ("verdicts", "figures"):  # whose parts have names of their own
            yield from _columns(value or {})
        elif name == "counterexample":
            yield "rows", len(value) or None
        elif name in _TOLD:
            continue
        elif isinstance(value, Mapping):
            yield from ((f"{name}_{part}", here) for part, here in value.items())
        else:
            yield name, list(value) if isinstance(value, tuple) else value


_TOLD = ("watched", "consequences", "autopsy", "followed", "sensitivity", "terms")
"""What an answer tells beside its figures."""

_UNITS = {
    **dict.fromkeys(("window", "first", "long_run", "harm"), "per retranslation"),
    **dict.fromkeys(("least", "slices", "greatest"), "probability"),
    **dict.fromkeys(("lines_cleaned", "lines_invalidated", "refills", "line_flushes"), "lines"),
    "per_execution": "per TB execution",
    "per_run": "per run of the trace",
    "per_hour": "per hour",
    "writes": "stores",
    "side_bytes": "bytes",
    "rows": "rows",
    "depth": "steps",
    "states": "states",
}
"""Of columns, and of figures with a range: of those that are not here it is the cycle."""


def _unit(column: str) -> str:
    """The unit of a column; empty if it has none."""
    figure, _, end = column.rpartition("_")
    return _UNITS.get(figure, "cycles") if end in ("low", "nominal", "high") else _UNITS.get(column, "")
