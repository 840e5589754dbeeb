"""The order of the main table, ties, folded rows, and costs as text."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from conftest import SHAPE, Staleline
from hypothesis import given
from hypothesis import strategies as st

from bench.check.cell import Options
from bench.compare.comparison import Comparison, _ranked, compare
from bench.compare.rate import MATTERS, rates
from bench.hosts import load_host
from bench.replay.cost import NOTHING, Cost, of_quantity
from bench.replay.parameters import Parameters
from bench.replay.price import is_chance
from bench.replay.quantity import Quantity
from bench.replay.replay import Replayed
from bench.report.comparisons import CompareReport
from bench.report.costs import cycles, memory, number
from bench.report.sensitivities import extra_swings, rate_sentences
from bench.scenarios import scenario_names
from bench.traces.model import model_trace, varied
from bench.traces.trace import Trace
from bench.translators.registry import load_translator
from strategies import registry


@pytest.fixture(scope="module")
def trace() -> Trace:
    """A short modelled workload with many retranslations."""
    changes = {"executions": "20000", "tbs": "300", "working_set": "200", "faulting_tbs": "20", "flushes": "1"}
    changes |= {"faults_per_million": "5000", "reexecution_tbs": "2,20,100,1000"}
    return model_trace(varied(SHAPE, changes), seed=1)


def compared(
    trace: Trace,
    *names: str,
    translator: str = "arm",
    scenarios: Sequence[str] = scenario_names(),
    parameters: Parameters = Parameters(),
    **options: int,
) -> Comparison:
    """All strategies, or some, on the default host."""
    found = [registry.find(name) for name in names or registry.names()]
    host, asked = load_host("cortex-a9"), Options(**options)
    return compare(trace, host, load_translator(translator), found, scenarios, asked, parameters)


@pytest.fixture(scope="module")
def cortex_a9(trace: Trace) -> Comparison:
    """The default host."""
    return compared(trace, retranslations=1)


def test_right_strategies_stand_above_wrong_ones_and_in_the_order_of_their_cost(cortex_a9: Comparison) -> None:
    rows = cortex_a9.rows
    right = [row.right for row in rows]
    assert right == sorted(right, reverse=True)
    assert [row.rank > 0 for row in rows] == right
    costs = [row.cost.overhead.nominal for row in rows if row.right]
    assert costs == sorted(costs)
    expected = "idempotent idempotent-read-back scratch-buffer side-table stop-the-world-flush"
    assert sorted(row.strategy for row in rows if row.right) == expected.split()


def test_a_rank_is_shared_by_those_that_cost_the_same_whatever_is_assumed(cortex_a9: Comparison) -> None:
    right = [row for row in cortex_a9.rows if row.right]
    for one, other in itertools.combinations(right, 2):
        assert (one.rank == other.rank) == (cortex_a9.order(one, other).order == "equal")
    assert [rank[0].rank for rank in cortex_a9.ranks] == sorted({row.rank for row in right})


def test_extra_is_counted_from_another_strategy(trace: Trace) -> None:
    found = [registry.find(name) for name in ("idempotent", "stop-the-world")]
    host, translator = load_host("cortex-a72", ["costs.lock=10"]), load_translator("aarch64")
    for over in (None, registry.find("idempotent")):
        comparison = compare(trace, host, translator, found, ["system"], Options(), Parameters(), over=over)
        idempotent, stop = comparison.rows
        assert comparison.over == ("unfixed" if over is None else "idempotent")
        assert idempotent.extra.ends == {"low": 0, "nominal": 0, "high": 0, "tag": "measured"}
        assert stop.extra == stop.cost.overhead - idempotent.cost.overhead
        # Their ranges overlap, by what both do.
        assert stop.cost.overhead.low < idempotent.cost.overhead.high
        assert [(pair.first, pair.second, pair.order) for pair in comparison.pairs] == [
            ("idempotent", "stop-the-world", "cheaper")
        ]


def test_a_flush_is_dearer_than_none_whatever_is_assumed(trace: Trace) -> None:
    found = [registry.find(name) for name in ("idempotent", "flush-on-retranslation")]
    settled = [f"{cache}.replacement=lru" for cache in ("icache", "dcache", "l2")]  # no sampling noise
    host, translator = load_host("cortex-a9", settled), load_translator("arm")
    comparison = compare(trace, host, translator, found, ["system"], Options(), Parameters())
    assert [row.rank for row in comparison.rows] == [1, 2]
    text = CompareReport([comparison]).text("simple")
    assert "Cheapest on this trace, whatever is assumed: idempotent." in " ".join(text.split())
    assert "Undecided" not in text


def test_what_an_order_is_up_to_is_said(trace: Trace) -> None:
    encoding = Quantity(20, 1, 4000, "cycles per side-table byte", "assumed", ("test",))
    open_order = dataclasses.replace(Parameters(), encoding=encoding)
    found = compared(trace, "idempotent", "side-table", scenarios=["system"], parameters=open_order)
    (one, other, pair) = found.undecided[0]
    assert (one[0].strategy, other[0].strategy, pair.order) == ("side-table", "idempotent", "undecided")
    text = " ".join(CompareReport([found]).text("simple").split())
    assert "Undecided between side-table and idempotent: " in text
    assert pair.deciding is not None
    # No value of it alone decides everywhere in its range.
    assert not pair.deciding.alone
    assert f"--parameter {pair.deciding.quantity.name}=.. narrows it." in text


def test_the_rate_of_retranslations_at_which_an_order_changes(cortex_a9: Comparison) -> None:
    found = rates(cortex_a9)
    assert found is not None
    assert found.recorded == pytest.approx(1e6 * cortex_a9.rows[0].cost.retranslations / 20_000, rel=0.01)
    costs = {name: row.cost for row in cortex_a9.rows for name in row.names}
    # A table is written at every translation, and saves work at a retranslation.
    assert any("idempotent" in turn.below and turn.above == ("side-table",) for turn in found.turns)
    for turn in found.turns:
        one, other = costs[turn.below[0]], costs[turn.above[0]]

        def more(rate: float, one: Replayed = one, other: Replayed = other) -> Cost:
            """What the one that is cheaper above costs more at a rate."""
            part = other.per_retranslation - one.per_retranslation
            whole = other.overhead - one.overhead
            chance = [term for term in whole.terms if any(map(is_chance, term.quantities))]
            return whole - Cost(tuple(chance)) + part.times(rate / one.rate - 1)

        assert more(turn.at / 2).nominal > 0 > more(turn.at * 2).nominal
        if turn.settled_below:
            assert more(turn.settled_below).low >= 0
        if turn.settled_above is not None:
            assert more(turn.settled_above).high <= 0
    for burden in found.burdens:
        cost = costs[burden.strategies[0]]
        if burden.matters:
            grown = cost.overhead + cost.per_retranslation.times(burden.matters / cost.rate - 1)
            assert grown.nominal == pytest.approx(MATTERS * cost.baseline.nominal, rel=1e-3)


def test_what_decides_an_extra_is_what_moves_it_within_its_range(cortex_a9: Comparison) -> None:
    shown = [*extra_swings(cortex_a9)]
    assert not any(names.startswith("idempotent") for names, _, _ in shown)  # it adds nothing
    assert any(names == "side-table" for names, _, _ in shown)
    for _, extra, effects in shown:
        assert [one.width for one in effects] == sorted((one.width for one in effects), reverse=True)
        for one in effects:
            assert {one.at_low, one.at_high} == {extra.at({one.quantity: end}) for end in (one.low, one.high)}
            assert extra.low <= min(one.at_low, one.at_high) <= max(one.at_low, one.at_high) <= extra.high
    text = " ".join(CompareReport([cortex_a9], sensitivity=True).text("simple").split())
    assert "What decides what side-table adds to unfixed, each quantity by itself" in text
    assert re.search(r"idempotent.*? costs less than side-table below", text)


def test_where_nothing_crosses_nothing_is_said_to(trace: Trace) -> None:
    found = rates(compared(trace, "idempotent", "flush-on-retranslation", scenarios=["system"]))
    assert found is not None
    assert found.turns == ()
    assert "At no rate does the order of any two of them change." in rate_sentences("here", found)


def test_a_cheap_wrong_strategy_is_never_ranked(cortex_a9: Comparison) -> None:
    cheap = [
        dataclasses.replace(row, cost=msgspec.structs.replace(row.cost, overhead=NOTHING)) if not row.right else row
        for row in cortex_a9.rows
    ]
    ranked = _ranked(cheap)
    assert [row.right for row in ranked] == sorted((row.right for row in ranked), reverse=True)
    assert all(row.rank == 0 for row in ranked if not row.right)


def test_a_search_that_was_cut_short_is_not_right(trace: Trace) -> None:
    (row,) = compared(trace, "stop-the-world-flush", scenarios=["system"], max_states=50).rows
    assert row.checks[0].verdict == "bounded"
    assert not row.right
    assert not row.wrong


def test_what_was_not_checked_is_not_said(trace: Trace) -> None:
    text = CompareReport([compared(trace, "unfixed", "idempotent", scenarios=["user"])]).text("simple")
    assert "idempotent holds in user." in text
    assert "unfixed fails." in text
    assert "one thread" not in text
    assert "lasting" not in text


def test_strategies_that_do_the_same_with_a_translator_are_one_row(trace: Trace) -> None:
    names = ("unfixed", "idempotent", "side-table")
    rows = compared(trace, *names, translator="arm@2011", retranslations=1).rows
    assert {(row.strategy, row.same) for row in rows} == {("unfixed", ("idempotent",)), ("side-table", ())}
    assert all(not row.same for row in compared(trace, *names, retranslations=1).rows)


def test_the_lasting_hazard_is_cured_by_the_global_lock(cortex_a9: Comparison) -> None:
    lasting = {row.strategy: row.lasting.verdict for row in cortex_a9.rows if row.lasting}
    assert lasting["unfixed"] == lasting["flush-on-retranslation"] == "fails"
    assert lasting["global-lock"] == "holds"


def test_the_table_marks_wrong_ones_and_says_what_it_shows(cortex_a9: Comparison) -> None:
    text = CompareReport([cortex_a9]).text("simple")
    assert re.search(r"^wrong +unfixed +FAILS", text, re.MULTILINE)
    assert "flush-on-retranslation holds while one thread executes (system and migrate), and not beyond." in " ".join(
        text.split()
    )
    assert "staleline check " in text


def test_stopping_others_is_free_only_where_there_are_none(trace: Trace) -> None:
    stops = []
    for vcpus in (1, 2, 4):
        found = compared(trace, "stop-the-world", scenarios=["system"], parameters=Parameters(vcpus=vcpus))
        stops.append(found.rows[0].cost.stop.nominal)
    assert stops[0] == 0
    assert 0 < stops[1] < stops[2]


@given(st.floats(1e-3, 1e14), st.integers(1, 3))
def test_a_number_is_as_long_as_its_digits(value: float, digits: int) -> None:
    text = number(value, digits)
    factor = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}.get(text[-1], 1.0)
    shown = float(text.rstrip("kMGT")) * factor
    assert shown == pytest.approx(value, rel=0.51 * 10 ** (1 - digits))
    assert len(text.rstrip("kMGT").replace(".", "").strip("0")) <= digits


@given(st.floats(1, 1e12), st.floats(0, 1), st.floats(1, 50))
def test_a_printed_range_holds_the_range(nominal: float, low: float, high: float) -> None:
    cost = of_quantity(
        Quantity.within(nominal, nominal * low, nominal * high, "cycles", "estimate", ("test",), "cost", "drawn so")
    )
    found = re.fullmatch(r"\S+ \((\S+)\.\.(\S+)\)", cycles(cost))
    if found is None:
        assert cost.low == cost.high
        return
    ends = [
        float(text.rstrip("kMGT")) * {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}.get(text[-1], 1.0)
        for text in found.groups()
    ]
    assert ends[0] <= cost.low * (1 + 1e-9)
    assert ends[1] >= cost.high * (1 - 1e-9)


def test_memory_has_a_unit() -> None:
    assert [memory(size) for size in (0, 5, 2048, 3 << 20)] == ["0", "5 B", "2.0 KiB", "3.0 MiB"]


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_a_comparison_is_drawn(suffix: str, tiny_trace: Path, tmp_path: Path, staleline: Staleline) -> None:
    pytest.importorskip("vl_convert", reason="vl-convert-python is not installed (pip install 'staleline[plot]')")
    file = tmp_path / f"plot.{suffix}"
    line = f"compare {tiny_trace} --host cortex-a9,arm926 --strategy unfixed,idempotent,side-table"
    ran = staleline(f"{line} --scenario system --sensitivity --format json --plot", str(file))
    assert {"sensitivity", "rates"} <= ran.valid.keys()
    assert (ran.status, ran.err) == (0, "")
    assert file.read_bytes().startswith({"svg": b"<svg", "png": b"\x89PNG", "pdf": b"%PDF"}[suffix])
    if suffix == "svg":
        texts = [one.text for one in ElementTree.parse(file).iterfind(".//{*}text")]
        assert {"side-table", "unfixed", "holds everywhere", "fails: system", "less with a larger quantity"} <= {*texts}
        assert "line flush" not in texts  # where its price changes nothing
        assert "var(" not in file.read_text("utf-8")
    staleline(f"{line} --plot", str(tmp_path / "plot.gif")).is_refused()


def test_where_charts_cannot_be_drawn_the_extra_is_named(
    tiny_trace: Path, tmp_path: Path, staleline: Staleline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.report.charts.drawing.installed", lambda: False)
    line = f"compare {tiny_trace} --host arm926 --strategy unfixed --scenario system"
    missing = "vl-convert-python is not installed; expected pip install 'staleline[plot]'"
    staleline(f"{line} --plot", str(tmp_path / "plot.svg")).is_refused(missing)
    page = staleline(f"{line} --format html")
    assert page.status == 0
    assert "<svg" not in page.out
    assert page.out.count("Not drawn: needs pip install 'staleline[plot]'.") >= 2
