"""What pages are made of: the file around them, tables, charts, and how to make them again."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.resources
import platform
import re
from collections.abc import Callable, Iterable
from html import escape
from typing import Any

import msgspec
import numpy as np

from bench.hosts import Host
from bench.report.charts import drawing
from bench.report.charts.drawing import Chart
from bench.report.charts.marks import NARROW, WIDE, Frame
from bench.report.provenance import command_line, commit, installed
from bench.support.text import encoded
from bench.traces.trace import Trace


def page(title: str, summary: str, results: str, sections: str, data: dict[str, Any]) -> str:
    """The whole file; all but the title and the data in HTML."""
    parts = {
        "title": escape(title),
        "css": _file("css"),
        "js": _file("js"),
        "summary": summary,
        "results": results,
        "sections": sections,
        # Nothing in the data can end the element that it is in.
        "data": encoded(data).decode().replace("<", "\\u003c"),
    }
    return re.sub(r"\[\[(\w+)\]\]", lambda name: parts[name[1]], _file("html")).rstrip("\n")


def _file(kind: str) -> str:
    return importlib.resources.files(__package__).joinpath(f"page.{kind}").read_text(encoding="utf-8")


def head(name: str, attributes: str = "") -> str:
    """A heading of a column; its attributes in HTML."""
    return f'<th scope="col"{attributes}>{escape(name)}</th>'


def line(name: object, *cells: str) -> str:
    """A row with its heading; ``cells`` in HTML."""
    return f'<tr><th scope="row">{escape(str(name))}</th>{"".join(cells)}</tr>'


def cell(text: str) -> str:
    """A cell of text."""
    return f"<td>{escape(text)}</td>"


def table(heads: Iterable[str], rows: Iterable[str], *, name: str, attributes: str = "", caption: str = "") -> str:
    """A table that scrolls by itself where it is wider than the page; ``heads`` and ``rows`` in HTML."""
    said = f"<caption>{escape(caption)}</caption>" if caption else ""
    inside = f"{said}<thead><tr>{''.join(heads)}</tr></thead><tbody>{''.join(rows)}</tbody>"
    around = f'class="scroll" tabindex="0" role="group" aria-label="{escape(name)}"'
    return f"<div {around}><table{attributes}>{inside}</table></div>"


def answers(title: str, heads: Iterable[str], rows: Iterable[str], *, caption: str, name: str = "") -> tuple[str, str]:
    """The heading of the main table with what filters it, and the table; ``heads`` and ``rows`` in HTML."""
    shown = table(heads, rows, name=name or title, attributes=' id="results" tabindex="-1"', caption=caption)
    return f'<h2>{title}</h2><div id="filters" class="filters"></div>', shown


def folded(summary: str, *inside: str) -> str:
    """What is shown only if it is opened; ``inside`` in HTML."""
    return f"<details><summary>{escape(summary)}</summary>{''.join(inside)}</details>"


def figure(draw: Callable[[Frame], Chart], *captions: str) -> str:
    """A chart for wide and for narrow screens, of which one is shown; what to install where it cannot be drawn."""
    said = f"<figcaption>{''.join(f'<p>{escape(text)}</p>' for text in captions)}</figcaption>" if captions else ""
    if not drawing.installed():
        return f'<figure><p class="soft">Not drawn: needs {drawing.INSTALL}.</p>{said}</figure>'
    drawn = "".join(
        f'<div class="chart {kind}">{drawing.as_svg(draw(frame))}</div>'
        for kind, frame in (("wide", WIDE), ("narrow", NARROW))
    )
    return f"<figure>{drawn}{said}</figure>"


NUMBER = ' class="number"'
"""The attributes of a cell with a number, or of its heading."""


def amount(value: float, text: str) -> str:
    """A cell of a number."""
    return f'<td{NUMBER} data-sort="{value}">{escape(text)}</td>'


def reproduce(hosts: Iterable[Host], trace: Trace | None = None, seed: int = 0) -> Iterable[str]:
    """All that makes a page again, and the figures of its hosts; ``trace`` and ``seed``: of a replay, if there was."""
    facts = {"command": command_line(), "version": installed(), "commit": commit(), "Python": platform.python_version()}
    if trace is not None:
        facts["trace"] = (
            f"{trace.name}, {trace.length:,} executions, {len(trace.retranslations):,} retranslations, "
            f"SHA-256 of its arrays {_digest(trace)}"
        )
        facts["seed of random replacement"] = str(seed)
    yield "<h2>To make it again</h2>"
    yield table(
        map(head, ("what", "which")),
        (line(name, f'<td class="code">{escape(value)}</td>') for name, value in facts.items()),
        name="To make it again",
    )
    for host in {one.name: one for one in hosts}.values():
        heads = map(head, ("figure", "value", "tag", "source"))
        rows = (line(name, *map(cell, texts)) for name, *texts in _figures(msgspec.to_builtins(host), ""))
        title = f"{host.name}: every figure with its tag and source"
        yield folded(title, table(heads, rows, name=title))


def _digest(trace: Trace) -> str:
    """What tells a trace from another of the same name."""
    found = hashlib.sha256()
    for part in (trace.blocks, trace.retranslations):
        for name in sorted(field.name for field in dataclasses.fields(part)):
            found.update(np.ascontiguousarray(getattr(part, name)).tobytes())
    return found.hexdigest()[:16]


def _figures(tree: dict[str, Any], path: str) -> Iterable[tuple[str, str, str, str]]:
    """Every table of a profile that has a tag: its name, what it says, the tag and the sources."""
    for key, value in tree.items():
        if not isinstance(value, dict):
            continue
        name = f"{path}.{key}" if path else key
        if "tag" in value:
            plain = {part: here for part, here in value.items() if not isinstance(here, dict | list)}
            said = (
                str(here) if part == "value" else f"{part} {here}"
                for part, here in plain.items()
                if not part.endswith(("tag", "note")) and here not in ("", None)
            )
            yield name, ", ".join(said), value["tag"], "; ".join(value.get("source", ()))
        yield from _figures(value, name)
