"""Charts drawn: an element for the page, or a file."""

from __future__ import annotations

import importlib.resources
import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from bench.support.errors import InputError
from bench.support.files import refuse_unwritable, replacing

Chart = dict[str, Any]
"""A unit, layered or concatenated view of Vega-Lite with a ``title``; its colours are the page's CSS variables."""

SUFFIXES = (".svg", ".png", ".pdf")
INSTALL = "pip install 'staleline[plot]'"

SIZE = 12
"""Of text, in pixels."""

_SVG = "http://www.w3.org/2000/svg"
_TEXT = {"labelColor": "var(--text)", "labelFontSize": SIZE, "labelLimit": 0, "titleColor": "var(--text)"}
_CONFIG = {
    "font": "monospace",  # laid out in it, since a reader's own font is hardly wider
    "background": None,
    "axis": {**_TEXT, "titleFontSize": SIZE, "titleFontWeight": "normal", "gridColor": "var(--line)"},
    "legend": {**_TEXT, "orient": "top"},
    "title": {"color": "var(--text)", "fontSize": 15, "anchor": "start", "frame": "group", "offset": 12},
    "text": {"color": "var(--text)", "fontSize": SIZE},
    "view": {"stroke": None},
    "concat": {"spacing": 40},
}


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

    independent = {"scale": dict.fromkeys(("fill", "color", "shape", "x", "y"), "independent")}
    whole = {"vconcat": list(charts), "resolve": independent}
    drawn = _drawn(whole, "; ".join(chart["title"] for chart in charts))
    css = importlib.resources.files("bench.report.page").joinpath("page.css").read_text(encoding="utf-8")
    day = dict(re.findall(r"--([\w-]+): (#\w+)", css.split("@media")[0]))
    drawn.insert(0, ElementTree.Element(f"{{{_SVG}}}rect", {"width": "100%", "height": "100%", "fill": day["back"]}))
    svg = ElementTree.tostring(drawn, encoding="unicode")
    svg = re.sub(r"var\(--([\w-]+)\)", lambda name: day.get(name[1], name[0]), svg)
    # Vega counts ids over all that a process draws; in a file they begin at 0.
    ids: dict[str, int] = {}
    svg = re.sub(r'(id="|url\(#)([a-z_]+\d+)', lambda id_: f"{id_[1]}id{ids.setdefault(id_[2], len(ids))}", svg)
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
