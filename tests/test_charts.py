"""Axes on which nothing is lost, and the picture of a run."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from conftest import Staleline
from hypothesis import given
from hypothesis import strategies as st

from bench.report.charts.drawing import write
from bench.report.charts.marks import ChartAxis

DOCS = Path(__file__).parents[1] / "docs"
SIZES = st.one_of(st.just(0.0), st.floats(1e-9, 1e12), st.floats(-1e12, -1e-9))


@given(st.lists(SIZES, min_size=1, max_size=8))
def test_an_axis_shows_0_and_all_values_in_their_order(values: list[float]) -> None:
    axis = ChartAxis.over(values, 400)
    places = [axis.pixel(value) for value in sorted({*values, 0.0})]
    assert all(-0.01 <= place <= 400.01 for place in places)
    assert all(one <= other for one, other in itertools.pairwise(places))


@given(st.lists(SIZES, min_size=1, max_size=8))
def test_numbers_on_an_axis_do_not_touch(values: list[float]) -> None:
    axis = ChartAxis.over(values, 400)
    ticks = axis.ticks(46) if axis.unit else [0.0]
    assert 0.0 in ticks
    assert all(axis.pixel(other) - axis.pixel(one) >= 45.9 for one, other in itertools.pairwise(ticks))
    decades = [round(math.log10(other / one)) for one, other in itertools.pairwise(ticks) if one * other > 0]
    assert len({*map(abs, decades)}) <= 1


def test_a_decade_makes_an_axis_logarithmic() -> None:
    assert ChartAxis.over((1.0, 9.0), 400).unit == 0
    assert ChartAxis.over((1.0, 11.0), 400).unit == 1
    assert ChartAxis.over((-50.0, 0.0, 0.002, 15.0), 400).unit == 0.001


def test_a_run_is_drawn(tmp_path: Path, staleline: Staleline) -> None:
    pytest.importorskip("vl_convert", reason="vl-convert-python is not installed (pip install 'staleline[plot]')")
    file = tmp_path / "run.svg"
    ran = staleline("explain flush-on-retranslation --scenario user --plot", str(file))
    assert (ran.status, ran.err) == (1, "")
    texts = [one.text for one in ElementTree.parse(file).iterfind(".//{*}text")]
    assert [text for text in texts if text in ("T1", "T2", "env")] == ["T1", "T2", "env"]
    assert [text for text in texts if text in ("icache0", "icache1", "dcache", "mem/L2")] == [*texts_of(ran.out)]
    assert texts.count("\u2717 wrong") == len(re.findall(r"\bwrong\b", ran.out))
    assert "branch is written with a temporary target" in texts
    assert texts == [one.text for one in ElementTree.parse(DOCS / "run.svg").iterfind(".//{*}text")], "make record"
    nothing = "--plot: no run; expected a cell with a counterexample, or events that happen"
    staleline("explain idempotent --scenario system --plot", str(file)).is_refused(nothing)


def test_a_picture_has_the_same_bytes_each_time(tmp_path: Path) -> None:
    pytest.importorskip("vl_convert", reason="vl-convert-python is not installed (pip install 'staleline[plot]')")
    bars = {"values": [{"a": name, "b": size} for size, name in enumerate("xyz", 1)]}
    encoding = {"x": {"field": "a", "type": "nominal"}, "y": {"field": "b", "type": "quantitative"}}
    chart = {"title": "three", "data": bars, "mark": {"type": "bar", "clip": True}, "encoding": encoding}
    # A PDF is not asked: vl-convert orders its fonts anew each time.
    for suffix in (".svg", ".png"):
        drawn = []
        for number in range(2):
            file = tmp_path / f"{number}{suffix}"
            write([chart, chart], file)
            drawn.append(file.read_bytes())
        assert drawn[0] == drawn[1], suffix


def texts_of(table: str) -> list[str]:
    """The caches in the heading of a table."""
    return next(line for line in table.splitlines() if "icache0" in line).split()[2:]
