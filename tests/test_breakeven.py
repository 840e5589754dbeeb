"""Break-even prices: the lower envelope of lines, held against trying prices one by one."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from bench.compare.breakeven import Line, crossings, envelope

NUMBERS = st.integers(0, 1000).map(float)
LINES = st.lists(st.tuples(NUMBERS, st.integers(0, 40).map(float)), min_size=1, max_size=6).map(
    lambda found: [Line(f"s{number}", *one) for number, one in enumerate(found)]
)


@given(LINES, st.floats(0, 2000))
def test_the_cheapest_of_a_segment_is_the_cheapest_at_every_price_in_it(lines: list[Line], price: float) -> None:
    found = envelope(lines)
    (here,) = (s for s in found if s.low <= price and (s.high is None or price < s.high))
    least = min(line.at(price) for line in lines)
    by_name = {line.strategy: line for line in lines}
    for name in here.cheapest:
        assert by_name[name].at(price) <= least * (1 + 1e-6) + 1e-6


@given(LINES)
def test_segments_follow_on_each_other_from_nothing_to_no_end(lines: list[Line]) -> None:
    found = envelope(lines)
    assert found[0].low == 0
    assert found[-1].high is None
    for one, following in itertools.pairwise(found):
        assert one.high == following.low
        assert not {*one.cheapest} & {*following.cheapest}


@given(LINES)
def test_at_a_crossing_both_cost_the_same_and_behind_it_the_dearer_one_more(lines: list[Line]) -> None:
    by_name = {line.strategy: line for line in lines}
    for crossing in crossings(lines):
        dearer, cheaper = by_name[crossing.dearer], by_name[crossing.cheaper]
        assert abs(dearer.at(crossing.price) - cheaper.at(crossing.price)) <= 1e-6 * (1 + cheaper.at(crossing.price))
        assert dearer.at(crossing.price + 1) > cheaper.at(crossing.price + 1)
        assert dearer.at(0) < cheaper.at(0)


def test_two_lines_by_hand() -> None:
    flush, rewrite = Line("flush", 0, 10), Line("rewrite", 400, 0)
    assert [(s.low, s.high, s.cheapest) for s in envelope([flush, rewrite])] == [
        (0, 40, ("flush",)),
        (40, None, ("rewrite",)),
    ]
    assert [(c.price, c.dearer, c.cheaper) for c in crossings([flush, rewrite])] == [(40, "flush", "rewrite")]
