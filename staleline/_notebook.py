"""Rows as a table of HTML, for notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_ENDS = ("low", "nominal", "high")


def table(rows: Sequence[Mapping[str, Any]], units: Mapping[str, str]) -> str:
    """The rows as a table whose headings have the units.

    A figure with its range is one cell, whose tag is shown when it is pointed at.  What is the same in all rows stands
    above the table, once; what is in none is left out.
    """
    if not rows:
        return "<p>no rows</p>"
    heads = {name: f"{name}, {unit}" if (unit := _unit(name, units)) else name for name in _names(rows[0])}
    cells = [{name: _cell(row, name) for name in heads} for row in rows]
    shared = {name for name in heads if len(rows) > 1 and len({line[name] for line in cells}) == 1}
    above = [f"{escape(name)}: {cells[0][name][0]}" for name in heads if name in shared and cells[0][name][0]]
    shown = [name for name in heads if name not in shared]
    head = "".join(f'<th scope="col">{escape(heads[name])}</th>' for name in shown)
    body = "".join(f"<tr>{''.join(_td(*line[name]) for name in shown)}</tr>" for line in cells)
    caption = f"<caption>{'; '.join(above)}</caption>" if above else ""
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _names(row: Mapping[str, Any]) -> list[str]:
    """The columns, the parts of a figure as one."""
    figures = {name.removesuffix("_nominal") for name in row if name.endswith("_nominal")}
    parts = {f"{figure}_{part}": figure for figure in figures for part in (*_ENDS, "tag")}
    return list(dict.fromkeys(parts.get(name, name) for name in row))


def _unit(name: str, units: Mapping[str, str]) -> str:
    return units.get(f"{name}_nominal", units.get(name, ""))


def _cell(row: Mapping[str, Any], name: str) -> tuple[str, str]:
    """The text of a cell, and the tag of the figure in it."""
    if f"{name}_nominal" not in row:
        value = row.get(name)
        several = ", ".join(map(str, value)) if isinstance(value, list) else value
        return "" if several is None else escape(_number(several)), ""
    low, nominal, high = (row[f"{name}_{end}"] for end in _ENDS)
    if nominal is None:
        return "", ""
    text = _number(nominal) if low == high else f"{_number(nominal)} ({_number(low)}..{_number(high)})"
    return escape(text), str(row.get(f"{name}_tag") or "")


def _number(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _td(text: str, tag: str) -> str:
    return f'<td title="{escape(tag)}">{text}</td>' if tag else f"<td>{text}</td>"
