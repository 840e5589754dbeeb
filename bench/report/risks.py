"""The answers of ``staleline risk``, along a trace or under given probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from math import isfinite
from typing import Any

from bench.report.costs import number
from bench.report.report import Rows, settings_of
from bench.report.sensitivities import swing_table
from bench.report.tables import SCHEMA, Cell, fill, table
from bench.risk.risk import MultiThreaded, MultiThreadedGiven, Range, Risk, SingleThreaded, SingleThreadedGiven
from bench.risk.simulation import CONFIDENCE, Interval

THREAD = "less than 1 every few millions"
"""The thread's own figure (10 January 2011)."""

_LEGENDS = {
    SingleThreaded: "One thread, per retranslation. Window: temporary values at the point of unification when it ends. "
    "First: those that the next execution fetches, each retranslation from a clean start. Long run: wrong "
    "executions carried along the trace, where what is wrong in memory stays until something writes it. Once "
    "in: retranslations. Harm: long run, without the executions of a branch that goes the same way, in each unit.",
    MultiThreaded: "Several threads: the probability that one retranslation by each, from a clean start, ends in a "
    "wrong execution, under the scheduler that makes it least likely, one that goes by time slices, and the one that "
    "makes it most likely.",
}
_ALONG = (
    "In brackets: the least and the greatest with all quantities at their low ends, or all at their high ends; "
    "with --sensitivity also with each by itself, which can be further out: what pushes out also heals. "
    "The lines that are new in the window are measured on arm, mips and ppc (--window cold, --window warm: one end of "
    "them); everything else is assumed, or an estimate; vary it with --parameter. "
    f"Published: {THREAD} (the thread of 2011, which names no unit); the fix makes guests boot on ARM hosts (QEMU "
    "commit c69806ab): about one harmful run per boot, or more."
)
_GIVEN = (
    "Probabilities of a wrong fetch, of the units of one access. First: after one retranslation from a clean "
    "start, where the block runs again after one operation. Long run: per retranslation, when that is done "
    "again and again. Between two operations the environment tries everything once with the given probability."
)


@dataclass(frozen=True, slots=True)
class RiskReport:
    """The answer of ``risk``."""

    risks: Sequence[Risk]

    def document(self) -> dict[str, Any]:
        """One object for each strategy, host, translator and scenario."""
        kind = "chains" if self.risks[0].trace is None else "risks"
        return {"schema": SCHEMA, kind: [_object(risk) for risk in self.risks]}

    def rows(self) -> Rows:
        """One row for each of them."""
        along = self.risks[0].trace is not None
        paths = _ALONG_COLUMNS if along else _GIVEN_COLUMNS
        common = ("trace", "what_if") if along else ("what_if", "nodes")
        headers = ["strategy", "host", "translator", "scenario", *common, *(path.replace(".", "_") for path in paths)]
        rows = []
        for risk in self.risks:
            row: list[Cell] = [risk.strategy, risk.host.name, risk.translator, risk.scenario]
            row += [risk.trace, risk.what_if] if along else [risk.what_if, risk.nodes]
            rows.append([*row, *(_at(risk.figures, path) for path in paths)])
        return headers, rows

    def text(self, style: str) -> str:
        """For each host and translator a table of the scenarios with one thread, and one of those with several."""
        parts: list[str] = []
        for key in dict.fromkeys((risk.host.name, risk.translator) for risk in self.risks):
            parts += _on_host([risk for risk in self.risks if (risk.host.name, risk.translator) == key], style)
        kinds = {type(risk.figures) for risk in self.risks}
        parts += [fill(text) for kind, text in _LEGENDS.items() if kind in kinds]
        parts.append(fill(_ALONG if self.risks[0].trace else _GIVEN))
        return "\n".join(parts)


def probability(value: float) -> str:
    """One significant digit, which is all that assumed quantities carry: ``2e-07``, ``0.01``."""
    return "0" if not value else f"{value:.0e}".replace("e-0", "e-").replace("e+00", "")


def _range(figure: Range) -> str:
    middle = probability(figure.nominal)
    if figure.low == figure.high:
        return middle
    return f"{middle} ({probability(figure.low)}..{probability(figure.high)})"


def _one_in(figure: Range) -> str:
    """Once in how many retranslations, rarest last."""
    if not figure.high:
        return "never"
    ends = [f"{number(1 / value, 1)}" if value else "never" for value in (figure.nominal, figure.high, figure.low)]
    return ends[0] if figure.low == figure.high else f"{ends[0]} ({ends[1]}..{ends[2]})"


def decided(risk: Risk) -> float:
    """The figure that the swings are of, with all quantities at their values."""
    if isinstance(risk.figures, SingleThreaded):
        return risk.figures.long_run.nominal
    return risk.figures.slices.nominal if isinstance(risk.figures, MultiThreaded) else 0.0


def _exactly(value: float) -> str:
    """Five significant digits: what is given has no range."""
    return f"{value:.5g}"


def _figures(risk: Risk) -> dict[str, Cell]:
    match risk.figures:
        case SingleThreaded() as found:
            return {
                "window": _range(found.window),
                "first": _range(found.first),
                "long run": _range(found.long_run),
                "once in": _one_in(found.long_run),
            }
        case MultiThreaded() as found:
            return {
                "least": _range(found.least),
                "by time slices": _range(found.slices),
                "greatest": _range(found.greatest),
                "harm, by time slices": _range(found.harm),
            }
        case SingleThreadedGiven(first, long_run, residual, drawn):
            cells: dict[str, Cell] = {
                "first": _exactly(first),
                "long run": _exactly(long_run),
                "once in": number(1 / long_run) if long_run else "never",
                "residual": f"{residual:.0e}",
                "nodes": risk.nodes,
            }
            if drawn is not None:
                interval = f"{drawn.mean:.3g} ({drawn.low:.3g}..{drawn.high:.3g})"
                cells[f"first, drawn ({CONFIDENCE:.0%})"] = interval
            return cells
        case MultiThreadedGiven(least, slices, greatest):
            return {
                "least": _exactly(least),
                "by time slices": _exactly(slices),
                "greatest": _exactly(greatest),
                "nodes": risk.nodes,
            }
    return {}


def _harm(risk: Risk) -> list[dict[str, Cell]]:
    """The harm of a strategy with one thread in every unit, as a row of a table; none where nothing can go wrong."""
    found = risk.figures
    if not isinstance(found, SingleThreaded) or not found.harm.high:
        return []
    return [
        {
            "strategy": risk.strategy,
            "scenario": risk.scenario,
            "harm per retranslation": _range(found.harm),
            "per TB execution": _range(found.per_execution),
            f"per run of {risk.trace}": _range(found.per_run),
            "per hour": _range(found.per_hour),
        }
    ]


def _on_host(risks: Sequence[Risk], style: str) -> Iterator[str]:
    """What is said of one host with one translator."""
    first = risks[0]
    by = f", along {first.trace}" if first.trace else ", by given probabilities per operation"
    hypothetical = "; hypothetical: the host does not run what it emits" if first.what_if else ""
    yield f"{first.host.title}{settings_of(first.host)} with {first.translator}{by}{hypothetical}"
    yield ""
    tables = [
        [
            {"strategy": risk.strategy, "scenario": risk.scenario, **_figures(risk)}
            for risk in risks
            if isinstance(risk.figures, kind)
        ]
        for kind in (SingleThreaded, SingleThreadedGiven, MultiThreaded, MultiThreadedGiven)
    ]
    for rows in filter(None, (*tables, [row for risk in risks for row in _harm(risk)])):
        yield table(list(rows[0]), [list(row.values()) for row in rows], style)
        yield ""
    missing = [f"{risk.strategy} in {risk.scenario}" for risk in risks if risk.figures is None]
    if missing:
        yield fill(f"n/a on a host with one core: {', '.join(missing)}.")
        yield ""
    for risk in risks:
        if risk.swings:
            yield from (*_sensitivity(risk, style), "")


def _sensitivity(risk: Risk, style: str) -> list[str]:
    effect = ("changes it", lambda one: f"{number(one.factor, 2)}x" if isfinite(one.factor) else "decides")
    what = "long run" if isinstance(risk.figures, SingleThreaded) else "by time slices"
    title = f"What decides {what} of {risk.strategy} in {risk.scenario}:"
    return [title, "", swing_table(risk.swings, probability, effect, style)]


_RANGED = ("window", "first", "long_run", "harm", "per_execution", "per_run", "per_hour", "least", "slices", "greatest")
_ALONG_COLUMNS = (
    *(f"{name}.{end}" for name in _RANGED for end in ("low", "nominal", "high")),
    *("chain_first", "chain_long_run", "residual"),
)
_GIVEN_COLUMNS = (
    *("first", "long_run", "residual", "least", "slices", "greatest"),
    *(f"drawn.{field.name}" for field in fields(Interval)),
)


def _at(figures: Any, path: str) -> Cell:
    for name in path.split("."):
        figures = getattr(figures, name, None)
    found: Cell = figures
    return found


def _object(risk: Risk) -> dict[str, Any]:
    along = risk.trace is not None
    return {
        "strategy": risk.strategy,
        "host": risk.host.name,
        "settings": list(risk.host.derived),
        "translator": risk.translator,
        "scenario": risk.scenario,
        **({"trace": risk.trace} if along else {}),
        "what_if": risk.what_if,
        **({} if along else {"nodes": risk.nodes}),
        "figures": None if risk.figures is None else asdict(risk.figures),
        **({"sensitivity": [asdict(swing) for swing in risk.swings]} if along else {}),
    }
