"""The answers of ``staleline risk --per-operation`` as text, CSV and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from bench.report.costs import number
from bench.report.tables import SCHEMA, Cell, comma_separated, fill, table
from bench.risk.given import Given, OneThread, Threads
from bench.risk.sample import CONFIDENCE, Interval


def _exactly(value: float) -> str:
    """Five significant digits: what is given has no range."""
    return f"{value:.5g}"


def _drawn(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.mean:.3g} ({interval.low:.3g}..{interval.high:.3g})"


def as_text(answers: Sequence[Given], style: str) -> str:
    """For each host and translator a table of the scenarios with one thread, and one of those with several."""
    parts: list[str] = []
    for key in dict.fromkeys((one.host.name, one.translator) for one in answers):
        here = [one for one in answers if (one.host.name, one.translator) == key]
        first = here[0]
        what_if = "; hypothetical: the host does not run what it emits" if first.what_if else ""
        parts += [f"{first.host.title} with {first.translator}, by given probabilities per operation{what_if}", ""]
        alone = [(one, one.figures) for one in here if isinstance(one.figures, OneThread)]
        if alone:
            drawn = any(found.drawn for _, found in alone)
            headers = ["strategy", "scenario", "first", "long run", "once in", "residual", "nodes"]
            rows: list[list[Cell]] = [
                [
                    one.strategy,
                    one.scenario,
                    _exactly(found.first),
                    _exactly(found.long_run),
                    number(1 / found.long_run) if found.long_run else "never",
                    f"{found.residual:.0e}",
                    one.nodes,
                    *([_drawn(found.drawn)] if drawn else []),
                ]
                for one, found in alone
            ]
            if drawn:
                headers.append(f"first, drawn ({CONFIDENCE:.0%})")
            parts += [table(headers, rows, style), ""]
        several = [(one, one.figures) for one in here if isinstance(one.figures, Threads)]
        if several:
            by = ("strategy", "scenario", "least", "by time slices", "greatest", "nodes")
            body = [
                (one.strategy, one.scenario, _exactly(f.least), _exactly(f.slices), _exactly(f.greatest), one.nodes)
                for one, f in several
            ]
            parts += [table(by, body, style), ""]
        missing = [f"{one.strategy} in {one.scenario}" for one in here if one.figures is None]
        if missing:
            parts += [fill(f"n/a on a host with one core: {', '.join(missing)}."), ""]
    parts.append(
        fill(
            "Probabilities of a wrong fetch, of the units of one access. First: after one retranslation from a clean "
            "start, where the block runs again after one operation. Long run: per retranslation, when that is done "
            "again and again. Between two operations the environment tries everything once with the given probability."
        )
    )
    return "\n".join(parts)


_FIGURES = ("first", "long_run", "residual", "least", "slices", "greatest")
_DRAWN = tuple(field.name for field in fields(Interval))


def as_csv(answers: Sequence[Given]) -> str:
    """One row per strategy, host, translator and scenario."""
    headers = [
        "strategy",
        "host",
        "translator",
        "scenario",
        "what_if",
        "nodes",
        *_FIGURES,
        *(f"drawn_{name}" for name in _DRAWN),
    ]
    rows: list[list[Cell]] = []
    for one in answers:
        drawn = getattr(one.figures, "drawn", None)
        rows.append(
            [
                one.strategy,
                one.host.name,
                one.translator,
                one.scenario,
                str(one.what_if).lower(),
                one.nodes,
                *(getattr(one.figures, name, None) for name in _FIGURES),
                *(getattr(drawn, name, None) for name in _DRAWN),
            ]
        )
    return comma_separated(headers, rows)


def as_objects(answers: Sequence[Given]) -> dict[str, Any]:
    """The document of ``--format json``."""
    return {"schema": SCHEMA, "chains": [_object(one) for one in answers]}


def _object(one: Given) -> dict[str, Any]:
    return {
        "strategy": one.strategy,
        "host": one.host.name,
        "settings": list(one.host.derived),
        "translator": one.translator,
        "scenario": one.scenario,
        "what_if": one.what_if,
        "nodes": one.nodes,
        "figures": None if one.figures is None else asdict(one.figures),
    }
