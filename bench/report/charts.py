"""The pictures of a comparison and of a risk: a Vega-Lite description each, drawn for the page and for files."""

from __future__ import annotations

import importlib.resources
import importlib.util
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from bench.compare.breakeven import BreakEven, break_evens
from bench.compare.comparison import Comparison
from bench.report.costs import cycles, number
from bench.report.risks import decided
from bench.report.tradeoff import PARTS, Point, frontier, points
from bench.risk.pressure import Pressure
from bench.risk.risk import Risk
from bench.support.errors import InputError
from bench.support.files import refuse_unwritable, replacing

Chart = dict[str, Any]
"""A unit, layered or concatenated view of Vega-Lite with a ``title``; its colours are the page's CSS variables."""

SUFFIXES = (".svg", ".png", ".pdf")
INSTALL = "pip install 'staleline[plot]'"

_SVG = "http://www.w3.org/2000/svg"
_WIDTH, _NARROW, _STEP = 640, 480, 130
_SIZE, _LINE, _CHARACTER = 12, 15, 7.5  # of text, in pixels; a character's width is that of a wide font
_TEXT = {"labelColor": "var(--text)", "labelFontSize": _SIZE, "labelLimit": 0, "titleColor": "var(--text)"}
_CONFIG = {
    "font": "monospace",  # laid out in it, since a reader's own font is hardly wider
    "background": None,
    "axis": {**_TEXT, "titleFontSize": _SIZE, "titleFontWeight": "normal", "gridColor": "var(--line)"},
    "legend": {**_TEXT, "orient": "top"},
    "title": {"color": "var(--text)", "fontSize": 15, "anchor": "start"},
    "text": {"color": "var(--text)", "fontSize": _SIZE},
    "view": {"stroke": None},
}


# --- drawn ----------------------------------------------------------------------------------------------------------


def installed() -> bool:
    """Whether charts can be drawn."""
    return importlib.util.find_spec("vl_convert") is not None


def refuse_undrawable(path: Path) -> None:
    """Raise ``InputError`` for a file that cannot be written or of no known kind, and where charts cannot be drawn."""
    if path.suffix not in SUFFIXES:
        raise InputError(repr(path.name), place="`plot`", expected=f"a name that ends in {', '.join(SUFFIXES)}")
    if not installed():
        raise InputError("vl-convert-python is not installed", place="`plot`", expected=INSTALL)
    refuse_unwritable(path)


def as_svg(chart: Chart) -> str:
    """The element for the page; its title is its name, not a text in it."""
    drawn = _drawn({**chart, "title": ""}, chart["title"])
    return ElementTree.tostring(drawn, encoding="unicode")


def write(charts: Sequence[Chart], path: Path) -> None:
    """One file with these charts, one below the other, in the colours of the page by day.  Raises ``InputError``."""
    import vl_convert

    whole = {"vconcat": list(charts), "resolve": {"scale": {"fill": "independent", "stroke": "independent"}}}
    drawn = _drawn(whole, "; ".join(chart["title"] for chart in charts))
    css = importlib.resources.files("bench.report.page").joinpath("page.css").read_text(encoding="utf-8")
    day = dict(re.findall(r"--([\w-]+): (#\w+)", css.split("@media")[0]))
    drawn.insert(0, ElementTree.Element(f"{{{_SVG}}}rect", {"width": "100%", "height": "100%", "fill": day["back"]}))
    svg = re.sub(r"var\(--([\w-]+)\)", lambda name: day[name[1]], ElementTree.tostring(drawn, encoding="unicode"))
    with replacing(path) as file:
        if path.suffix == ".svg":
            file.write(svg.encode())
        else:
            file.write(vl_convert.svg_to_pdf(svg) if path.suffix == ".pdf" else vl_convert.svg_to_png(svg, scale=2))


def _drawn(view: Chart, name: str) -> ElementTree.Element:
    """The picture, named for screen readers; what a mark says is its title, which browsers show under the pointer."""
    import vl_convert

    ElementTree.register_namespace("", _SVG)
    svg = vl_convert.vegalite_to_svg({**view, "config": _CONFIG}, allowed_base_urls=[])
    root = ElementTree.fromstring(svg.replace('font-family="monospace"', 'font-family="sans-serif"'))
    root.attrib |= {"role": "graphics-document", "aria-roledescription": "chart", "aria-label": name}
    for mark in root.iterfind(".//*[@role='graphics-symbol']"):
        if mark.tag != f"{{{_SVG}}}g":
            ElementTree.SubElement(mark, f"{{{_SVG}}}title").text = mark.attrib.pop("aria-label")
    return root


# --- what they are made of --------------------------------------------------------------------------------------------


def _layer(mark: str, style: Chart, values: Iterable[Chart] | None = None, **channels: Any) -> Chart:
    """Marks for the chart's values or for its own; what has no description is hidden from screen readers."""
    own = {} if values is None else {"data": {"values": list(values)}}
    return {**own, "mark": {"type": mark, "aria": "description" in channels, **style}, "encoding": channels}


def _number(field: str, **more: Any) -> dict[str, Any]:
    return {"field": field, "type": "quantitative", **more}


def _name(field: str, **more: Any) -> dict[str, Any]:
    """A channel of names, in the order in which they come."""
    return {"field": field, "type": "nominal", "sort": None, "title": None, **more}


def _kinds(filled: str, hollow: str) -> dict[str, Any]:
    """The channels that tell two kinds of marks apart, by colour and by being filled or hollow."""
    return {
        "fill": _name("kind", scale={"domain": [filled, hollow], "range": ["var(--a)", "var(--back)"]}),
        "stroke": _name("kind", scale={"domain": [filled, hollow], "range": ["var(--a)", "var(--e)"]}),
    }


_SAID = _name("said")


@dataclass(frozen=True, slots=True)
class _Axis:
    """A logarithmic axis from ``low`` to ``high`` over a ``width`` in pixels; what is outside is drawn at the end."""

    low: float
    high: float
    width: int
    reverse: bool = False

    @classmethod
    def over(cls, values: Iterable[float], width: int, *, reverse: bool = False) -> _Axis:
        """One that shows all values above 0, and at least one power of ten."""
        known = [value for value in values if value > 0] or [1.0]
        return cls(max(min(known), max(known) / 1e8) / 4, max(known) * 4, width, reverse)

    def pixel(self, value: float) -> float:
        """Where a value is."""
        share = math.log(min(max(value, self.low), self.high) / self.low) / math.log(self.high / self.low)
        return self.width * (1 - share if self.reverse else share)

    def channel(self, field: str, title: str, form: str) -> dict[str, Any]:
        """The horizontal place of a field, with a tick in such a ``form`` at each power of ten."""
        powers = range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)
        axis = {"values": [10.0**power for power in powers], "format": form, "labelFlush": False}
        scale = {"type": "log", "domain": [self.low, self.high], "reverse": self.reverse, "clamp": True}
        return _number(field, title=title, axis=axis, scale=scale)


def _labels(wanted: Iterable[tuple[float, float, str, int]], width: float) -> Chart:
    """Texts, each as near to where it is wanted as it can be without covering another; left out if that is too far.

    ``wanted``: pixels from the left and the top, the text, and the direction in which it gives way: -1 up, 1 down.
    """
    placed: list[tuple[float, float, str]] = []
    for x, y, text, way in wanted:
        half = len(text) * _CHARACTER / 2
        x = max(min(x, width - half), half)
        near = [top for left, top, other in placed if abs(x - left) < half + len(other) * _CHARACTER / 2]
        tops = (y + way * moved for moved in range(3 * _LINE))
        free = next((y for y in tops if all(abs(y - top) >= _LINE for top in near)), None)
        if free is not None:
            placed.append((x, free, text))
    values = ({"x": x, "y": y, "text": text} for x, y, text in placed)
    x_channel, y_channel = (_number(field, scale=None, axis=None) for field in "xy")
    return _layer("text", {"baseline": "middle"}, values, x=x_channel, y=y_channel, text=_name("text"))


# --- charts of a comparison -------------------------------------------------------------------------------------------


def of_comparisons(comparisons: Sequence[Comparison]) -> list[Chart]:
    """The trade-off over all hosts, and for each host the parts of costs and the prices."""
    compared = [comparison for comparison in comparisons if comparison.rows]
    charts = [tradeoff(points(compared))]
    for comparison in compared:
        charts.append(parts(comparison))
        if found := break_evens(comparison):
            charts.append(prices(found, comparison.host.name))
    return charts


def tradeoff(found: Sequence[Point]) -> Chart:
    """Cost on a logarithmic axis that ends at the cheapest, cells in which it is right upwards."""
    axis = _Axis.over((value for p in found for value in (p.low, p.nominal, p.high)), _WIDTH, reverse=True)
    x = axis.channel("nominal", "overhead, share of the baseline: cheaper to the right", "~%")
    height, cells = 300, max(point.of for point in found) or 1
    ticks = list(range(0, cells + 1, max(1, cells // 6)))
    scale = {"domain": [-0.1 * cells, cells]}
    y = _number("right", title="cells where it is right", axis={"values": ticks}, scale=scale)
    best = frontier(found)

    def label(point: Point) -> tuple[float, float, str, int]:
        way = -1 if point in best else 1
        return axis.pixel(point.nominal), height * (1 - point.right / cells) / 1.1 + 17 * way, point.strategy, way

    values = [
        {
            **asdict(point),
            "kind": "on the frontier" if point in best else "not on it",
            "said": f"{point.strategy}: {100 * point.nominal:.1g} % ({100 * point.low:.1g}..{100 * point.high:.1g}), "
            f"right in {point.right} of {point.of}",
        }
        for point in found
    ]
    named = sorted(found, key=lambda point: (point not in best, -point.right, point.nominal))
    return {
        "title": "Where strategies are right against their cost: up and to the right is better",
        "width": _WIDTH,
        "height": height,
        "data": {"values": values},
        "encoding": {"x": x, "y": y},
        "layer": [
            _layer("rule", {"color": "var(--soft)"}, x={**x, "field": "low"}, x2={"field": "high"}),
            _layer("line", {"color": "var(--link)", "strokeDash": [6, 4]}, map(asdict, best)),
            _layer("point", {"size": 120, "opacity": 1}, description=_SAID, **_kinds("on the frontier", "not on it")),
            _labels(map(label, named), _WIDTH),
        ],
    }


def parts(comparison: Comparison) -> Chart:
    """A bar for each strategy, of the parts of its nominal overhead; a part that saves something is left out."""
    rows = [
        (row, [(part.replace("_", " "), cost) for part in PARTS if (cost := getattr(row.cost, part)).nominal > 0])
        for row in comparison.rows
    ]
    sums = [sum(cost.nominal for _, cost in costs) for _, costs in rows]
    pixel = (max(sums) or 1) / _NARROW
    values = [
        {
            "strategy": row.strategy,
            "part": name,
            "place": place,
            "value": cost.nominal,
            "inside": name if cost.nominal / pixel > len(name) * _CHARACTER else "",
            "said": f"{row.strategy}, {name}: {cycles(cost)} cycles",
        }
        for row, costs in rows
        for place, (name, cost) in enumerate(costs)
    ]
    ends = [
        {"strategy": row.strategy, "value": end, "text": number(row.cost.overhead.nominal)}
        for (row, _), end in zip(rows, sums, strict=True)
    ]
    colours = {part.replace("_", " "): f"var(--{letter})" for part, letter in zip(PARTS, "abcdefg", strict=True)}
    fill = _name("part", scale={"domain": [*colours], "range": [*colours.values()]})
    x = _number("value", title="cycles, nominal", axis={"labelExpr": "format(datum.value, '~s')", "tickCount": 6})
    stacked = {**x, "stack": "zero"}
    return {
        "title": f"Overhead on {comparison.host.name} with {comparison.translator}",
        "width": _NARROW,
        "height": {"step": 30},
        "data": {"values": values},
        "encoding": {"y": _name("strategy", scale={"padding": 0.15}), "order": _number("place")},
        "layer": [
            _layer("bar", {}, x=stacked, fill=fill, description=_SAID),
            _layer("text", {"color": "var(--back)"}, x={**stacked, "bandPosition": 0.5}, text=_name("inside")),
            _layer("text", {"align": "left", "dx": 6}, ends, x=x, text=_name("text")),
        ],
    }


def prices(found: Sequence[BreakEven], host: str) -> Chart:
    """For each price an axis with who is cheapest where, and the host's own price on it."""
    axis = _Axis.over((price for one in found for price in (*one.here, *_edges(one))), _WIDTH)
    here, stretches, edges, labels = [], [], [], []
    for row, one in enumerate(found):
        low, nominal, high = one.here
        said = f"{one.what} on this host: {number(nominal)} cycles ({number(low)}..{number(high)})"
        here.append({"what": one.what, "low": low, "nominal": nominal, "high": high, "said": said})
        middle = (row + 0.5) * _STEP
        for stretch in one.stretches:
            end = axis.high if stretch.high is None else stretch.high
            cheapest = " = ".join(stretch.cheapest)
            said = f"{one.what} from {number(stretch.low)} cycles: {cheapest}"
            stretches.append({"what": one.what, "low": stretch.low, "high": end, "said": said})
            labels.append(((axis.pixel(stretch.low) + axis.pixel(end)) / 2, middle - 26, cheapest, -1))
        for edge in _edges(one):
            edges.append({"what": one.what, "low": edge})
            labels.append((axis.pixel(edge), middle + 24, number(edge), 1))
        labels.append((axis.pixel(nominal), middle + 40, f"this host: {number(nominal)} cycles", 1))
    x = axis.channel("low", "price in cycles", "~s")
    to = {"field": "high"}
    return {
        "title": f"Who is cheapest on {host} of those that are right, for which price",
        "width": _WIDTH,
        "height": _STEP * len(found),
        "data": {"values": here},
        "encoding": {"x": x, "y": _name("what", scale={"type": "band", "padding": 0})},
        "layer": [
            _layer("bar", {"color": "var(--mark)", "opacity": 0.3, "size": 34}, x2=to, description=_SAID),
            _layer("tick", {"color": "var(--mark)", "size": 34, "thickness": 2}, x={**x, "field": "nominal"}),
            _layer("rule", {"color": "var(--soft)"}, stretches, x2=to, description=_SAID),
            _layer("tick", {"color": "var(--text)", "size": 30}, edges),
            _labels(labels, _WIDTH),
        ],
    }


def _edges(found: BreakEven) -> list[float]:
    return [stretch.high for stretch in found.stretches if stretch.high is not None]


# --- the chart of a risk ----------------------------------------------------------------------------------------------


def of_risks(risks: Sequence[Risk], pressure: Pressure) -> list[Chart]:
    """A tornado for each cell that has swings.  Raises ``InputError`` where nothing has any."""
    charts = [tornado(risk, pressure) for risk in risks if risk.swings]
    if not charts:
        raise InputError("no cell in which something can go wrong", place="`plot`", expected="one, with `sensitivity`")
    return charts


def tornado(risk: Risk, pressure: Pressure) -> Chart:
    """A bar for each quantity, those that decide on top; one that begins at the left edge begins at 0."""
    nominal, quantities = decided(risk), pressure.on(risk.host, risk.backend)
    axis = _Axis.over((nominal, *(end for swing in risk.swings for end in (swing.at_low, swing.at_high))), _NARROW)
    x = axis.channel("low", "wrong executions per retranslation; the line: all quantities at their values", ".0e")
    rises, falls = "rises with the quantity", "falls with the quantity"
    values = []
    for swing in risk.swings:
        quantity = quantities[swing.quantity]
        values.append(
            {
                "quantity": f"{swing.quantity} ({quantity.low:g}..{quantity.high:g})",
                "low": min(swing.at_low, swing.at_high),
                "high": max(swing.at_low, swing.at_high),
                "kind": rises if swing.at_high >= swing.at_low else falls,
                "said": f"{swing.quantity}: {swing.at_low:.2g} to {swing.at_high:.2g}",
            }
        )
    bars = {"x2": {"field": "high"}, "y": _name("quantity"), "description": _SAID, **_kinds(rises, falls)}
    line = _layer("rule", {"color": "var(--text)"}, [{"low": nominal}])
    return {
        "title": f"{risk.strategy} in {risk.scenario} on {risk.host.name} with {risk.translator}, {risk.trace}",
        "width": _NARROW,
        "height": {"step": 24},
        "data": {"values": values},
        "encoding": {"x": x},
        "layer": [_layer("bar", {"strokeWidth": 1.5}, **bars), *([line] if nominal else [])],
    }
