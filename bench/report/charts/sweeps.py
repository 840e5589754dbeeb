"""The pictures of a sweep: curves over one axis with the winner's part shaded, a map of winners over two."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise
from typing import Any

from bench.compare.axes import RATE, Axis
from bench.compare.sweep import Cell
from bench.report.charts.drawing import Chart
from bench.report.charts.marks import SAID, layer, of_name, of_number
from bench.report.sweeps import NOBODY, where, winner
from bench.support.errors import InputError

_COLOURS = tuple(f"var(--{letter})" for letter in "abcdeg")
_WIDTH, _HEIGHT = 520, 320
_OPEN = 0.55
"""Opacity of a cell of a map whose winner is not decided."""


def refuse_undrawable_axes(axes: Sequence[Axis]) -> None:
    """Raise ``InputError`` unless there are one or two axes, of ascending numbers."""
    if len(axes) not in (1, 2):
        raise InputError(f"{len(axes)} axes", place="`plot`", expected="one for curves, two for a map")
    for axis in axes:
        if axis.numbers is None:
            raise InputError(f"{axis.name}: no ascending numbers", place="`plot`", expected="an axis of numbers")


def of_sweep(cells: Sequence[Cell], axes: Sequence[Axis]) -> list[Chart]:
    """A chart for each host and translator, colours by winner the same in all."""
    colours = _colours(cells)
    draw = _curves if len(axes) == 1 else _map
    return [draw(list(some), axes, colours) for _, some in groupby(cells, where)]


def _colours(cells: Iterable[Cell]) -> dict[str, str]:
    """A colour for everyone who wins somewhere, by how often."""
    names = [winner(cell) for cell in cells]
    often = sorted({*names} - {NOBODY}, key=lambda name: (-names.count(name), name))
    found = {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(often)}
    return {**found, **({NOBODY: "var(--f)"} if NOBODY in names else {})}


def _edges(axis: Axis) -> list[float]:
    """Where the cells of an axis end: half-way between neighbours, and at the ends as far out."""
    values = axis.numbers or ()
    along = [math.log(value) for value in values] if axis.log else list(values)
    if len(along) == 1:
        along = [along[0] - 0.5, *along, along[0] + 0.5]
        inner = [along[0], along[2]]
    else:
        inner = [(one + other) / 2 for one, other in pairwise(along)]
        inner = [along[0], *inner, along[-1]]
    return [math.exp(value) for value in inner] if axis.log else inner


def _channel(field: str, axis: Axis) -> dict[str, Any]:
    edges = _edges(axis)
    scale = {"type": "log" if axis.log else "linear", "domain": [edges[0], edges[-1]], "nice": False, "zero": False}
    title = "retranslations per million executions" if axis.name == RATE else axis.name
    return of_number(
        field, title=title, scale=scale, axis={"format": "~g", "labelOverlap": True, "tickCount": 6, "grid": False}
    )


def _key(colours: dict[str, str], name: str) -> dict[str, Any]:
    legend = {
        "columns": 2,
        "symbolOpacity": 1,
        "symbolType": "square",
        "title": name,
        "titleLimit": 0,
        "titleColor": "var(--text)",
    }
    return of_name("winner", legend=legend, scale={"domain": [*colours], "range": [*colours.values()]})


# --- one axis ---------------------------------------------------------------------------------------------------------


def _curves(cells: Sequence[Cell], axes: Sequence[Axis], colours: dict[str, str]) -> Chart:
    """What each right strategy costs, in shares of the baseline; behind it, who is cheapest."""
    (axis,) = axes
    numbers, edges = axis.numbers or (), _edges(axis)
    at = {value: number for number, value in enumerate(axis.values)}
    bands = []
    for name, group in groupby(cells, winner):
        some = [at[cell.at[axis.name]] for cell in group]
        low, high = edges[some[0]], edges[some[-1] + 1]
        said = f"{name} is cheapest from {numbers[some[0]]:g} to {numbers[some[-1]]:g}"
        bands.append({"low": low, "high": high, "winner": name, "said": said})
    shown = {row.strategy for cell in cells for row in cell.rows if row.right}
    values: list[dict[str, Any]] = [
        {"x": numbers[at[cell.at[axis.name]]], "y": 100 * row.share, "strategy": " = ".join((row.strategy, *row.same))}
        for cell in cells
        for row in cell.rows
        if row.strategy in shown and row.right
    ]
    x = _channel("x", axis)
    sizes = [abs(value["y"]) for value in values if value["y"]] or [1.0]
    unit = 10.0 ** math.floor(math.log10(max(min(sizes), max(sizes) / 1e6)))
    scaled = max(sizes) > 30 * min(sizes)
    scale = {"type": "symlog", "constant": unit} if scaled else {"type": "linear", "zero": True}
    title = ["overhead in % of the baseline", *([f"logarithmic from {unit:g} on"] if scaled else [])]
    form = {"format": "~r", "labelOverlap": True}
    y = of_number("y", title=title, scale=scale, axis={**form, **({"values": _ticks(values, unit)} if scaled else {})})
    names = list(dict.fromkeys(value["strategy"] for value in values))
    dashes = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [12, 4], [4, 1]]
    legend = {
        "columns": 2,
        "symbolSize": 1500,
        "symbolStrokeColor": "var(--text)",
        "orient": "bottom",
        "title": "overhead of",
        "titleColor": "var(--text)",
    }
    dash = of_name(
        "strategy",
        legend=legend,
        scale={"domain": names, "range": [dashes[number % len(dashes)] for number in range(len(names))]},
    )
    layers = [
        layer(
            "rect",
            {"opacity": 0.22},
            bands,
            x={**x, "field": "low"},
            x2={"field": "high"},
            color=_key(colours, "cheapest that is right"),
            description=SAID,
        ),
        layer("line", {"color": "var(--text)", "strokeWidth": 1.8}, values, x=x, y=y, strokeDash=dash),
    ]
    return {"title": f"What each right strategy costs: {where(cells[0])}", **_frame(layers)}


def _ticks(values: Sequence[dict[str, Any]], unit: float) -> list[float]:
    """0 and powers of ten on both sides."""
    found = [0.0]
    for sign in (1, -1):
        most = max((sign * value["y"] for value in values), default=0.0)
        power = unit
        while power <= most:
            found.append(sign * power)
            power *= 10
    return sorted(found)


# --- two axes ---------------------------------------------------------------------------------------------------------


def _map(cells: Sequence[Cell], axes: Sequence[Axis], colours: dict[str, str]) -> Chart:
    """Who is cheapest at each point; pale where that is not decided."""
    across, up = axes
    xs, ys = _edges(across), _edges(up)
    values = []
    for cell in cells:
        x, y = across.values.index(cell.at[across.name]), up.values.index(cell.at[up.name])
        at = ", ".join(f"{name} {value}" for name, value in cell.at.items())
        name, shade = winner(cell), 1.0 if cell.decided else _OPEN
        said = f"{at}: {name}{'' if cell.decided else ', not decided'}"
        place = {"x": xs[x], "x2": xs[x + 1], "y": ys[y], "y2": ys[y + 1]}
        values.append({**place, "winner": name, "shade": shade, "said": said})
    mark = layer(
        "rect",
        {"stroke": None},
        values,
        x=_channel("x", across),
        x2={"field": "x2"},
        y=_channel("y", up),
        y2={"field": "y2"},
        color=_key(colours, "cheapest that is right; pale: not decided"),
        opacity=of_number("shade", scale=None, legend=None),
        description=SAID,
    )
    return {"title": f"Who is cheapest: {where(cells[0])}", **_frame([mark])}


def _frame(layers: Sequence[Chart]) -> Chart:
    return {"width": _WIDTH, "height": _HEIGHT, "layer": list(layers)}
