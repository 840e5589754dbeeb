"""The pictures of a sweep: without an axis each verdict and what the right ones cost, over one axis curves with the
winner's part shaded, over two a map of winners."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise
from typing import Any

from bench.compare.axes import RATE, Axis
from bench.compare.sweep import Judged, SweptCell
from bench.report.charts.drawing import Chart
from bench.report.charts.marks import SAID, Frame, layer, of_name, of_number
from bench.report.sweeps import NOBODY, where, winner
from bench.support.errors import InputError

_COLOURS = tuple(f"var(--{letter})" for letter in "abcdeg")
_HEIGHT = 320
_OPEN = 0.55
"""Opacity of a cell of a map whose winner is not decided."""


def refuse_undrawable_axes(axes: Sequence[Axis]) -> None:
    """Raise ``InputError`` unless there are at most two axes, of ascending numbers."""
    if len(axes) > 2:
        raise InputError(f"{len(axes)} axes", place="`plot`", expected="none, one for curves, two for a map")
    for axis in axes:
        if axis.numbers is None:
            raise InputError(f"{axis.name}: no ascending numbers", place="`plot`", expected="an axis of numbers")


def is_drawable(axes: Sequence[Axis]) -> bool:
    """Whether there are one or two axes, of ascending numbers: each host has a chart of its own."""
    return len(axes) in (1, 2) and all(axis.numbers is not None for axis in axes)


def of_sweep(cells: Sequence[SweptCell], judged: Sequence[Judged], axes: Sequence[Axis], frame: Frame) -> list[Chart]:
    """A chart for each host and translator, colours by winner the same in all; without an axis one of all."""
    if not axes:
        return [_matrix(cells, judged)]
    colours = colours_of(cells)
    return [of_host(list(some), axes, colours, frame) for _, some in groupby(cells, where)]


def of_host(cells: Sequence[SweptCell], axes: Sequence[Axis], colours: dict[str, str], frame: Frame) -> Chart:
    """The chart of one host and translator; its key has those who win there."""
    won = {*map(winner, cells)}
    colours = {name: colour for name, colour in colours.items() if name in won}
    return {
        "width": frame.width,
        "height": _HEIGHT,
        **(_curves if len(axes) == 1 else _map)(cells, axes, colours, frame),
    }


def colours_of(cells: Iterable[SweptCell]) -> dict[str, str]:
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
    short = "datum.value < 1000 ? format(datum.value, '~g') : format(datum.value, '~s')"
    ticks = {"labelExpr": short, "labelOverlap": True, "labelSeparation": 8, "grid": False, **_decades(axis, edges)}
    return of_number(field, title=TITLES.get(axis.name, axis.name), scale=scale, axis=ticks)


def _decades(axis: Axis, edges: Sequence[float]) -> dict[str, Any]:
    """Ticks at powers of ten, as many decades apart as leaves some six of them, where an axis has so many."""
    if axis.log:
        first, last = math.ceil(math.log10(edges[0]) - 1e-9), math.floor(math.log10(edges[-1]) + 1e-9)
        if last - first >= 2:
            return {"values": [10.0**power for power in range(first, last + 1, 1 + (last - first) // 6)]}
    return {"tickCount": 6}


TITLES = {
    RATE: "retranslations per million executions",
    "links": "links per million executions",
    "unlinks": "unlinks for each link",
    "executions": "executions for each link",
}
"""What an axis of a rate is called."""


def _key(colours: dict[str, str], name: str, frame: Frame) -> dict[str, Any]:
    legend = {
        "columns": 2 if frame.beside else 1,
        "symbolOpacity": 1,
        "symbolType": "square",
        "title": name,
        "titleLimit": 0,
        "titleColor": "var(--text)",
    }
    return of_name("winner", legend=legend, scale={"domain": [*colours], "range": [*colours.values()]})


# --- no axis ----------------------------------------------------------------------------------------------------------

_TILE = (15, 11)
"""Of a verdict: width and height in pixels."""
_GAP = 8
"""Between those of two strategies, or hosts, in pixels; below them there is a line of text."""
_LINE = 13
_OF_VERDICTS = {
    "holds": ("var(--c)", 3),
    "fails": ("var(--e)", 0),
    "bounded": ("var(--mark)", 1),
    "n/a": ("var(--line)", 4),
}
"""The colour, and how much less high the tile is above and below: told apart without the colour, too."""


def _matrix(cells: Sequence[SweptCell], judged: Sequence[Judged]) -> Chart:
    """For each host and strategy, or site, a tile for each verdict, and below them what it costs if it is right.

    Scenarios lie beside each other, hazards below.
    """
    asked = [name.rpartition(" ")[::2] for name in dict.fromkeys(name for one in judged for name in one.verdicts)]
    hazards, scenarios = (list(dict.fromkeys(parts)) for parts in zip(*asked, strict=True))
    names = list(dict.fromkeys(name for one in judged for name in (one.name, *one.same)))
    across = max(len(scenarios) * _TILE[0], _LONGEST) + _GAP
    down = len(hazards) * _TILE[1] + _LINE + _GAP
    of = {(one.host, one.settings, one.translator, one.name): one.verdicts for one in judged}
    tiles: list[Chart] = []
    texts: list[Chart] = []
    for number, cell in enumerate(cells):
        top = number * down
        texts.append({"x": -10, "y": top + down / 2 - _GAP, "text": where(cell), "style": "host"})
        for row in cell.rows:
            cost = {"text": f"{100 * row.share:.2g}%" if row.right else ""}
            cost["style"] = "cheapest" if row.name in cell.winner else "cost"
            for name in (row.name, *row.same):
                left = names.index(name) * across
                texts.append({"x": left, "y": top + len(hazards) * _TILE[1] + _LINE / 2, **cost})
                for asked_for, verdict in of[cell.host, cell.settings, cell.translator, row.name].items():
                    hazard, _, scenario = asked_for.rpartition(" ")
                    at = left + scenarios.index(scenario) * _TILE[0], top + hazards.index(hazard) * _TILE[1]
                    less = _OF_VERDICTS[verdict][1]
                    place = {"x": at[0], "x2": at[0] + _TILE[0] - 1}
                    place |= {"y": at[1] + less, "y2": at[1] + _TILE[1] - 1 - less}
                    said = f"{name} on {where(cell)}, {asked_for}: {verdict}"
                    tiles.append({**place, "verdict": verdict, "said": said})
    texts += [
        {"x": number * across + across / 2 - _GAP, "y": -8, "text": name, "style": "name"}
        for number, name in enumerate(names)
    ]
    width, height = len(names) * across, len(cells) * down
    x = of_number("x", scale={"domain": [0, width], "nice": False, "zero": False}, axis=None)
    y = of_number("y", scale={"domain": [height, 0], "nice": False, "zero": False}, axis=None)
    there = {tile["verdict"] for tile in tiles}
    shown = {verdict: colour for verdict, (colour, _) in _OF_VERDICTS.items() if verdict in there}
    lie = [f"tiles from left to right: {', '.join(scenarios)}"]
    lie += [f"from top to bottom: {', '.join(hazards)}"] if len(hazards) > 1 else []
    legend = {"title": lie, "symbolType": "square", "titleLimit": 0, "titleColor": "var(--text)"}
    legend["offset"] = 5 * max(map(len, names))  # the names of the columns are above them
    mark = layer(
        "rect",
        {"stroke": None},
        tiles,
        x=x,
        x2={"field": "x2"},
        y=y,
        y2={"field": "y2"},
        color=of_name("verdict", legend=legend, scale={"domain": [*shown], "range": [*shown.values()]}),
        description=SAID,
    )
    styles: dict[str, Chart] = {
        "host": {"align": "right"},
        "name": {"align": "left", "angle": -45},
        "cost": {"align": "left"},
        "cheapest": {"align": "left", "fontWeight": "bold"},
    }
    written = [
        layer(
            "text",
            {"fontSize": 11, "baseline": "middle", **style},
            [text for text in texts if text["style"] == name],
            x=x,
            y=y,
            text=of_name("text"),
        )
        for name, style in styles.items()
    ]
    title = "Verdicts, and what the right ones cost in % of the baseline; bold: the cheapest"
    return {"title": title, "width": width, "height": height, "layer": [mark, *written]}


_LONGEST = 56
"""Pixels of a cost."""


# --- one axis ---------------------------------------------------------------------------------------------------------


def _curves(cells: Sequence[SweptCell], axes: Sequence[Axis], colours: dict[str, str], frame: Frame) -> Chart:
    """What each right one costs, in shares of the baseline; behind it, who is cheapest.

    As many as there are dashes to tell them apart: those that come nearest to the first place.
    """
    (axis,) = axes
    numbers, edges = axis.numbers or (), _edges(axis)
    at = {value: number for number, value in enumerate(axis.values)}
    bands = []
    for name, group in groupby(cells, winner):
        some = [at[cell.at[axis.name]] for cell in group]
        low, high = edges[some[0]], edges[some[-1] + 1]
        said = f"{name} is cheapest from {numbers[some[0]]:g} to {numbers[some[-1]]:g}"
        bands.append({"low": low, "high": high, "winner": name, "said": said})
    places: dict[str, int] = {}
    for cell in cells:
        for place, row in enumerate(row for row in cell.rows if row.right):
            places[row.name] = min(place, places.get(row.name, place))
    shown = sorted(places, key=lambda name: places[name])[: len(_DASHES)]
    values: list[dict[str, Any]] = [
        {"x": numbers[at[cell.at[axis.name]]], "y": 100 * row.share, "name": " = ".join((row.name, *row.same))}
        for cell in cells
        for row in cell.rows
        if row.name in shown and row.right
    ]
    x = _channel("x", axis)
    sizes = [abs(value["y"]) for value in values if value["y"]] or [1.0]
    unit = 10.0 ** math.floor(math.log10(max(min(sizes), max(sizes) / 1e6)))
    scaled = max(sizes) > 30 * min(sizes)
    scale = {"type": "symlog", "constant": unit} if scaled else {"type": "linear", "zero": True}
    title = ["overhead in % of the baseline", *([f"logarithmic from {unit:g} on"] if scaled else [])]
    fewer = [f"{len(shown)} of the {len(places)} that are right"] if len(shown) < len(places) else []
    form = {"format": "~r", "labelOverlap": True}
    y = of_number("y", title=title, scale=scale, axis={**form, **({"values": _ticks(values, unit)} if scaled else {})})
    names = list(dict.fromkeys(value["name"] for value in values))
    legend = {
        "columns": 2 if frame.beside else 1,
        "symbolSize": 1500,
        "symbolStrokeColor": "var(--text)",
        "orient": "bottom",
        "title": ["overhead of", *fewer],
        "titleColor": "var(--text)",
    }
    dash = of_name("name", legend=legend, scale={"domain": names, "range": _DASHES[: len(names)]})
    layers = [
        layer(
            "rect",
            {"opacity": 0.22},
            bands,
            x={**x, "field": "low"},
            x2={"field": "high"},
            color=_key(colours, "cheapest that is right", frame),
            description=SAID,
        ),
        layer("line", {"color": "var(--text)", "strokeWidth": 1.8}, values, x=x, y=y, strokeDash=dash),
    ]
    apart = {"resolve": {"legend": {"color": "independent", "strokeDash": "independent"}}}
    return {"title": f"What each that is right costs: {where(cells[0])}", "layer": layers, **apart}


_DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [12, 4], [4, 1], [14, 3, 2, 3, 2, 3], [1, 5]]


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


def _map(cells: Sequence[SweptCell], axes: Sequence[Axis], colours: dict[str, str], frame: Frame) -> Chart:
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
        color=_key(colours, "cheapest that is right; pale: not decided", frame),
        opacity=of_number("shade", scale=None, legend=None),
        description=SAID,
    )
    return {"title": f"Who is cheapest: {where(cells[0])}", "layer": [mark]}
