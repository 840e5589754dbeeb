"""Results show themselves in a notebook, and keep their units and tags."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from staleline._notebook import table

PAGE = Path(__file__).resolve().parents[1] / "docs" / "notebook.md"


def test_the_page_on_notebooks_runs() -> None:
    pytest.importorskip("pandas", reason="pandas is not installed: the page on notebooks is not run")
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    shown = names["costs"]._repr_html_()
    assert "extra, cycles" in shown
    assert re.search(r'<td title="(assumed|estimate)">[^<]+ \([^<]+\.\.[^<]+\)</td>', shown)


class Cells(HTMLParser):
    """The texts of an HTML table, tag by tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1], data))


def test_a_figure_is_one_cell_and_what_all_rows_share_is_said_once() -> None:
    figure = {"cost_low": 1.0, "cost_nominal": 2.0, "cost_high": 3.5, "cost_tag": "assumed"}
    rows = [{"name": "<a>", "host": "h", "empty": None, **figure}, {"name": "b", "host": "h", "empty": None}]
    rows[1] |= {**figure, "cost_nominal": 3.0}
    texts = Cells(table(rows, {"cost_nominal": "cycles"})).texts
    assert texts == [
        ("caption", "host: h"),
        *[("th", "name"), ("th", "cost, cycles")],
        *[("td", "<a>"), ("td", "2 (1..3.5)"), ("td", "b"), ("td", "3 (1..3.5)")],
    ]


def test_one_row_is_shown_whole() -> None:
    assert Cells(table([{"a": 1, "b": ["x", "y"]}], {})).texts == [
        ("th", "a"),
        ("th", "b"),
        ("td", "1"),
        ("td", "x, y"),
    ]
