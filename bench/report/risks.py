"""The answers of ``staleline risk`` as text, CSV and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from math import isfinite
from typing import Any

from bench.report.costs import number
from bench.report.tables import SCHEMA, Cell, comma_separated, fill, table
from bench.risk.pressure import Pressure
from bench.risk.risk import Alone, Range, Risk, Several

THREAD = "less than 1 every few millions"
"""The thread's own figure (10 January 2011)."""


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
    if isinstance(risk.figures, Alone):
        return risk.figures.long_run.nominal
    return risk.figures.slices.nominal if risk.figures is not None else 0.0


def as_text(risks: Sequence[Risk], pressure: Pressure, style: str) -> str:
    """For each host and translator a table of the scenarios with one thread, and one of those with several."""
    parts: list[str] = []
    for key in dict.fromkeys((risk.host.name, risk.translator) for risk in risks):
        here = [risk for risk in risks if (risk.host.name, risk.translator) == key]
        first = here[0]
        derived = f" ({', '.join(first.host.derived)})" if first.host.derived else ""
        title = f"{first.host.title}{derived} with {first.translator}, along {first.trace}"
        parts += [title + ("; hypothetical: the host does not run what it emits" if first.what_if else ""), ""]
        alone = [(risk, risk.figures) for risk in here if isinstance(risk.figures, Alone)]
        if alone:
            headers = ("strategy", "scenario", "window", "first", "long run", "once in", "harm", "harm per hour")
            rows = [
                (
                    risk.strategy,
                    risk.scenario,
                    *map(_range, (found.window, found.first, found.long_run)),
                    _one_in(found.long_run),
                    _range(found.harm),
                    _range(found.per_hour),
                )
                for risk, found in alone
            ]
            parts += [table(headers, rows, style), ""]
        several = [(risk, risk.figures) for risk in here if isinstance(risk.figures, Several)]
        if several:
            by = ("strategy", "scenario", "least", "by time slices", "greatest", "harm, by time slices")
            body = [
                (risk.strategy, risk.scenario, *map(_range, (f.least, f.slices, f.greatest, f.harm)))
                for risk, f in several
            ]
            parts += [table(by, body, style), ""]
        missing = [f"{risk.strategy} in {risk.scenario}" for risk in here if risk.figures is None]
        if missing:
            parts += [fill(f"n/a on a host with one core: {', '.join(missing)}."), ""]
        for risk in here:
            if risk.swings:
                parts += [*_tornado(risk, pressure, style), ""]
    parts += _legend(risks)
    return "\n".join(parts).rstrip()


def _tornado(risk: Risk, pressure: Pressure, style: str) -> list[str]:
    what = "long run" if isinstance(risk.figures, Alone) else "by time slices"
    quantities = pressure.quantities
    rows: list[Sequence[Cell]] = []
    for swing in risk.swings:
        quantity = quantities[swing.quantity]
        factor = f"{number(swing.factor, 2)}x" if isfinite(swing.factor) else "decides"
        rows.append(
            (
                swing.quantity,
                f"{quantity.low:g}..{quantity.high:g} {quantity.unit}",
                probability(swing.at_low),
                probability(swing.at_high),
                factor,
            )
        )
    headers = ("quantity", "range", "at its low end", "at its high end", "changes it")
    return [f"What decides {what} of {risk.strategy} in {risk.scenario}:", "", table(headers, rows, style)]


def _legend(risks: Sequence[Risk]) -> list[str]:
    lines = []
    if any(isinstance(risk.figures, Alone) for risk in risks):
        lines.append(
            "One thread, per retranslation. Window: temporary values at the point of unification when it ends. "
            "First: those that the next execution fetches, each retranslation from a clean start. Long run: wrong "
            "executions carried along the trace, where what is wrong in memory stays until something writes it. Once "
            "in: retranslations. Harm: wrong executions that do harm, not counting a branch that goes the same way."
        )
    if any(isinstance(risk.figures, Several) for risk in risks):
        lines.append(
            "Several threads: the probability that one retranslation by each, from a clean start, ends in a wrong "
            "execution, under the scheduler that makes it least likely, one that goes by time slices, and the one that "
            "makes it most likely."
        )
    lines.append(
        "In brackets: the least and the greatest with all quantities at their low ends, or all at their high ends; "
        "with --sensitivity also with each by itself, which can be further out: what pushes out also heals. "
        f"All of them are assumed; vary them with --parameter. The thread of 2011 says: {THREAD}."
    )
    return [fill(line) for line in lines]


def as_csv(risks: Sequence[Risk]) -> str:
    """One row per strategy, host, translator and scenario."""
    names = [field.name for kind in (Alone, Several) for field in fields(kind)]
    ranged = [name for name in dict.fromkeys(names) if name not in _PLAIN]
    headers = [
        "strategy",
        "host",
        "translator",
        "scenario",
        "trace",
        "what_if",
        *(f"{name}_{end}" for name in ranged for end in ("low", "nominal", "high")),
        *_PLAIN,
    ]
    rows = []
    for risk in risks:
        row: list[Cell] = [
            risk.strategy,
            risk.host.name,
            risk.translator,
            risk.scenario,
            risk.trace,
            str(risk.what_if).lower(),
        ]
        for name in ranged:
            figure = getattr(risk.figures, name, None)
            row += [figure.low, figure.nominal, figure.high] if figure is not None else [None] * 3
        rows.append([*row, *(getattr(risk.figures, name, None) for name in _PLAIN)])
    return comma_separated(headers, rows)


_PLAIN = ("chain_first", "chain_long_run", "residual")
"""Figures without a range."""


def as_objects(risks: Sequence[Risk]) -> dict[str, Any]:
    """The document of ``--format json``."""
    return {"schema": SCHEMA, "risks": [_object(risk) for risk in risks]}


def _object(risk: Risk) -> dict[str, Any]:
    return {
        "strategy": risk.strategy,
        "host": risk.host.name,
        "settings": list(risk.host.derived),
        "translator": risk.translator,
        "scenario": risk.scenario,
        "trace": risk.trace,
        "what_if": risk.what_if,
        "figures": None if risk.figures is None else asdict(risk.figures),
        "sensitivity": [asdict(swing) for swing in risk.swings],
    }
