"""The pictures of a comparison: right or wrong against cost, the parts of costs, prices at which the order changes."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

from bench.compare.breakeven import BreakEven, break_evens
from bench.compare.comparison import Compared, Comparison
from bench.replay.cost import Cost
from bench.replay.sensitivity import Swing
from bench.report.charts.drawing import Chart
from bench.report.charts.marks import (
    CROSS,
    SAID,
    WIDE,
    ChartAxis,
    Frame,
    Mark,
    kinds,
    layer,
    of_name,
    of_number,
    row_chart,
)
from bench.report.charts.tornado import tornado
from bench.report.costs import PARTS, cycles, number, percents
from bench.report.sensitivities import extra_swings
from bench.support.errors import InputError

CHARTS = ("trade-off", "parts", "prices")


def of_comparisons(
    comparisons: Sequence[Comparison], wanted: Collection[str] = CHARTS, *, sensitivity: bool = False
) -> list[Chart]:
    """For each host the wanted ones of ``CHARTS``, and with ``sensitivity`` what decides what right strategies add.

    Raises ``InputError`` where nothing can be drawn.
    """
    charts = []
    for comparison in comparisons:
        if "trade-off" in wanted:
            charts.append(tradeoff(comparison, WIDE))
        if "parts" in wanted:
            charts.append(parts(comparison, WIDE))
        if "prices" in wanted:
            charts += [prices(found, comparison, WIDE) for found in changing(comparison)]
        if sensitivity:
            charts += [deciding(comparison, *one, WIDE) for one in extra_swings(comparison)]
    if not charts:
        raise InputError("no price at which the cheapest changes", place="`plot`", expected="another chart")
    return charts


def deciding(comparison: Comparison, names: str, extra: Cost, swings: Sequence[Swing], frame: Frame) -> Chart:
    """What each quantity does to what right strategies of these ``names`` add."""
    title = f"{names} over {comparison.over} on {_where(comparison)}"
    return tornado(title, "cycles more", swings, extra.nominal, frame, lambda one: number(one.width), form="~s")


def _where(comparison: Comparison) -> str:
    what_if = ", hypothetical" if comparison.what_if else ""
    return f"{comparison.host.name} with {comparison.translator}{what_if}"


# --- right or wrong, against cost -------------------------------------------------------------------------------------

HOLDS, FAILS, OPEN = "holds everywhere", "fails", "not decided"

VERDICTS = {HOLDS: Mark("var(--a)", "circle"), FAILS: Mark("var(--e)", CROSS), OPEN: Mark("var(--f)", "diamond")}
"""How a verdict is marked."""


def failing(row: Compared) -> str:
    """Where a strategy fails, or is not decided; empty if it holds everywhere."""
    verdict = "fails" if row.wrong else "bounded"
    transient = [result.scenario for result in row.checks if result.verdict == verdict]
    if len(transient) > 1 and len(transient) == sum(result.verdict != "n/a" for result in row.checks):
        transient = ["every scenario"]
    hazards = {"lasting": row.lasting, "partial": row.partial}
    others = [name for name, result in hazards.items() if result is not None and result.verdict == verdict]
    return ", ".join((*transient, *others))


Priced = tuple[str, str, str, tuple[float, float, float], str]
"""A row: its name and a note; its kind, as ``HOLDS``, ``FAILS`` or ``OPEN``; the low, nominal and high cost; what it
says."""


def tradeoff(comparison: Comparison, frame: Frame) -> Chart:
    """What each strategy costs more than the one that is compared with, and whether it is right."""
    rows: list[Priced] = []
    for row in comparison.rows:
        percent = percents(row.cost.baseline)
        kind = HOLDS if row.right else FAILS if row.wrong else OPEN
        said = f"{' = '.join(row.names)}: {kind} {failing(row)}".rstrip()
        ends = row.extra.low * percent, row.extra.nominal * percent, row.extra.high * percent
        said = f"{said}; {cycles(row.extra)} cycles more than {comparison.over}"
        rows.append((" = ".join(row.names), _note(row), kind, ends, said))
    title = f"Right or wrong, and what it costs: {_where(comparison)}"
    return against_cost(title, f"extra cycles over {comparison.over}, in % of the baseline", rows, frame)


def against_cost(
    title: str, what: str, rows: Sequence[Priced], frame: Frame, of: Mapping[str, Mark] = VERDICTS
) -> Chart:
    """A row for each thing compared: ``what`` it costs, with its range, and its kind: whether it is right."""
    values = [
        {"row": place, "low": low, "nominal": nominal, "high": high, "kind": kind, "said": said}
        for place, (_, _, kind, (low, nominal, high), said) in enumerate(rows)
    ]
    axis = ChartAxis.over([end for *_, ends, _ in rows for end in ends], frame.width)
    x = axis.channel("nominal", what, "~r")
    shown = {kind: style for kind, style in of.items() if any(value["kind"] == kind for value in values)}

    def layers(y: Chart, middle: Chart) -> Iterable[Chart]:
        yield layer("rule", {"color": "var(--soft)", "opacity": 0.6}, [{"nominal": 0}], x=x)
        range_ = {"strokeWidth": 3, "opacity": 0.45, "strokeCap": "round", **middle}
        colour = kinds(shown)["color"]
        yield layer("rule", range_, values, x={**x, "field": "low"}, x2={"field": "high"}, y=y, color=colour)
        yield layer(
            "point",
            {"filled": True, "size": 110, "opacity": 1, **middle},
            values,
            x=x,
            y=y,
            description=SAID,
            **kinds(shown),
        )

    return {"title": title, **row_chart(frame, [(name, note) for name, note, *_ in rows], layers)}


def _note(row: Compared) -> str:
    where = failing(row)
    return "holds" if not where else f"fails: {where}" if row.wrong else f"not decided: {where}"


# --- the parts of costs -----------------------------------------------------------------------------------------------


def parts(comparison: Comparison, frame: Frame) -> Chart:
    """A cell for each part of each overhead, with its cycles, the darker the more."""
    rows = comparison.rows
    shown = [part for part in (*PARTS, "overhead") if any(getattr(row.cost, part).nominal for row in rows)]
    sizes = [abs(size) for row in rows for part in shown if (size := getattr(row.cost, part).nominal)] or [1.0]
    least, most = math.log10(max(min(sizes), max(sizes) / 1e6)), math.log10(max(sizes))
    values = []
    for place, row in enumerate(rows):
        for part in shown:
            cost = getattr(row.cost, part)
            shade = (math.log10(max(abs(cost.nominal), 10**least)) - least) / (most - least or 1) if cost.nominal else 0
            values.append(
                {
                    "row": place,
                    "part": _part(part),
                    "shade": 0.06 + 0.4 * shade if cost.nominal else 0,
                    "text": number(cost.nominal, 1) if cost.nominal else "0",
                    "said": f"{row.strategy}, {_part(part)}: {cycles(cost)} cycles",
                }
            )
    head = {
        "orient": "top",
        "labelAngle": 0 if frame.beside else -90,
        "domain": False,
        "ticks": False,
        "labelOverlap": False,
    }
    x = of_name(
        "part",
        axis={**head, "title": "cycles over the whole trace, nominal"},
        scale={"paddingInner": 0.04, "paddingOuter": 0},
    )

    def layers(y: Chart, middle: Chart) -> Iterable[Chart]:
        shade = of_number("shade", scale=None, legend=None)
        yield layer(
            "rect", {"color": "var(--a)", "height": 22, **middle}, values, x=x, y=y, opacity=shade, description=SAID
        )
        yield layer("text", {"baseline": "middle", **middle}, values, x=x, y=y, text=of_name("text"))

    named = [(" = ".join(row.names), "") for row in rows]
    return {"title": f"What the overhead is made of: {_where(comparison)}", **row_chart(frame, named, layers)}


def _part(name: str) -> str:
    return "sum" if name == "overhead" else name.replace("_", " ")


# --- prices at which the order changes --------------------------------------------------------------------------------


def changing(comparison: Comparison) -> tuple[BreakEven, ...]:
    """The prices that change which of the right strategies is the cheapest."""
    return tuple(found for found in break_evens(comparison) if len(found.segments) > 1)


def prices(found: BreakEven, comparison: Comparison, frame: Frame) -> Chart:
    """For each segment of a price who is the cheapest that is right; behind them, the host's own price."""
    low, nominal, high = found.here
    last = found.segments[-1].low
    axis = ChartAxis.over((low, high, 3 * last, *(segment.low for segment in found.segments)), frame.width)
    values, named = [], []
    for place, segment in enumerate(found.segments):
        name, end = " = ".join(segment.cheapest), "on" if segment.high is None else f"to {number(segment.high)}"
        note = f"from {number(segment.low)} {end}"
        high_end = axis.high if segment.high is None else segment.high
        values.append({"row": place, "low": segment.low, "high": high_end, "said": f"{name}: {note} cycles"})
        named.append((name, note))
    x = axis.channel("low", f"price of a {found.what} in cycles\nshaded: here, {_range(found)}", ",~r")
    to = {"field": "high"}

    def layers(y: Chart, middle: Chart) -> Iterable[Chart]:
        here = [{"low": low, "high": high, "nominal": nominal}]
        yield layer("rect", {"color": "var(--mark)", "opacity": 0.2}, here, x=x, x2=to)
        yield layer("rule", {"color": "var(--mark)", "strokeWidth": 2}, here, x={**x, "field": "nominal"})
        bar = {"color": "var(--a)", "height": 12, **middle}
        yield layer("bar", bar, values, x=x, x2=to, y=y, description=SAID)

    return {
        "title": f"The cheapest that is right, by the price of a {found.what}: {_where(comparison)}",
        **row_chart(frame, named, layers),
    }


def _range(found: BreakEven) -> str:
    low, nominal, high = found.here
    return f"{number(nominal)} ({number(low)}..{number(high)})" if low < high else number(nominal)
