"""The picture of a run: who does what, row by row, and what the caches then hold."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from bench.check.cell import Checked
from bench.explain.explanation import ENVIRONMENT, RunRow
from bench.report.charts.drawing import Chart
from bench.report.charts.marks import CHARACTER, CROSS, SAID, layer, of_name, of_number
from bench.report.checks import cell_title, place_names, places, verdict, watched_text
from bench.support.errors import InputError

_ROW, _LANE, _CELL, _HEAD = 30, 34, 96, 64  # pixels
_SHOWN = {"ok": "ok", "wrong": "\u2717 wrong", "absent": "absent"}


def of_runs(results: Sequence[Checked]) -> list[Chart]:
    """One for each cell that has a run.  Raises ``InputError`` where none has."""
    charts = [run(result, result.rows) for result in results if result.rows]
    if not charts:
        raise InputError("no run", place="`plot`", expected="a cell with a counterexample, or events that happen")
    return charts


def run(result: Checked, rows: Sequence[RunRow]) -> Chart:
    """Time goes down: lanes of threads and the environment, what happens, and a column for each cache."""
    actors = sorted({row.actor for row in rows}, key=lambda actor: (actor == ENVIRONMENT, actor))
    text = 30 + _LANE * len(actors)
    cells = text + 14 + round(max(len(row.operation) for row in rows) * CHARACTER)
    held = [*zip(place_names(rows), (words for _, _, words in places(rows)), strict=True)]
    width, bottom = cells + _CELL * len(held), _HEAD + _ROW * len(rows)
    lanes = {actor: 30 + _LANE * (at + 0.5) for at, actor in enumerate(actors)}
    ends = len(rows) - 1 if result.verdict == "fails" else len(rows)
    steps = [
        {
            "x": lanes[row.actor],
            "y": _HEAD + _ROW * (at + 0.5),
            "number": str(at + 1),
            "text": row.operation,
            "shape": CROSS if at == ends else "diamond" if row.of_environment else "circle",
            "colour": "var(--e)" if at == ends else "var(--mark)" if row.of_environment else "var(--a)",
            "said": f"{at + 1}, {row.actor}: {row.operation}. {row.because}",
        }
        for at, row in enumerate(rows)
    ]
    boxes = [
        {
            "x": cells + _CELL * column + 2,
            "x2": cells + _CELL * (column + 1) - 2,
            "middle": cells + _CELL * (column + 0.5),
            "y": _HEAD + _ROW * at + 2,
            "y2": _HEAD + _ROW * (at + 1) - 2,
            "line": _HEAD + _ROW * (at + 0.5),
            "text": _SHOWN[word],
            "fill": f"var(--{word})",
            "ink": "var(--soft)" if word == "absent" else f"var(--{word}-text)",
            "edge": "var(--mark)" if at and word != words[at - 1] else f"var(--{word})",
            "said": f"{at + 1}, {name}: {word}",
        }
        for column, (name, words) in enumerate(held)
        for at, word in enumerate(words)
    ]
    heads = [
        *({"x": x, "text": "env" if actor == ENVIRONMENT else actor} for actor, x in lanes.items()),
        *({"x": cells + _CELL * (column + 0.5), "text": name} for column, (name, _) in enumerate(held)),
    ]
    said = textwrap.wrap(rows[-1].because, round(width / (CHARACTER * 0.9)))
    told = [{"y": bottom + 20 + 17 * at, "text": line} for at, line in enumerate(said)]
    about = [{"y": 0, "text": watched_text(result.explanation)}]
    x, y = of_number("x", scale=None, axis=None), of_number("y", scale=None, axis=None)
    middle = {"baseline": "middle"}
    return {
        "title": f"{cell_title(result)}: {verdict(result)}",
        "width": width,
        "height": bottom + 20 + 17 * len(told),
        "layer": [
            layer(
                "rule",
                {"color": "var(--line)"},
                [{"x": at} for at in lanes.values()],
                x=x,
                y={"value": _HEAD},
                y2={"value": bottom},
            ),
            layer("line", {"color": "var(--soft)", "opacity": 0.5}, steps, x=x, y=y, order=of_number("y")),
            layer(
                "point",
                {"filled": True, "size": 130, "opacity": 1},
                steps,
                x=x,
                y=y,
                shape=of_name("shape", scale=None),
                color=of_name("colour", scale=None),
                description=SAID,
            ),
            layer(
                "text",
                {**middle, "align": "right", "x": 20, "color": "var(--soft)"},
                steps,
                y=y,
                text=of_name("number"),
            ),
            layer("text", {**middle, "align": "left", "x": text + 4}, steps, y=y, text=of_name("text")),
            layer(
                "rect",
                {"strokeWidth": 2},
                boxes,
                x=x,
                x2={"field": "x2"},
                y=y,
                y2={"field": "y2"},
                fill=of_name("fill", scale=None),
                stroke=of_name("edge", scale=None),
                description=SAID,
            ),
            layer(
                "text",
                middle,
                boxes,
                x=of_number("middle", scale=None, axis=None),
                y=of_number("line", scale=None, axis=None),
                text=of_name("text"),
                color=of_name("ink", scale=None),
            ),
            layer("text", {**middle, "fontWeight": "bold", "y": _HEAD - 14}, heads, x=x, text=of_name("text")),
            layer("text", {**middle, "align": "left", "x": 10}, [*about, *told], y=y, text=of_name("text")),
        ],
    }
