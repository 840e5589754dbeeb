"""Costs over the box of their quantities: corners against trying all, decided orders against drawing at random."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from bench.compare.order import pair
from bench.replay.cost import Cost, of_quantity, total
from bench.replay.quantity import Quantity

NAMES = "abcdefg"


@st.composite
def _boxes(draw: st.DrawFn) -> list[Quantity]:
    found = []
    for name in NAMES[: draw(st.integers(1, len(NAMES)))]:
        low, value, high = sorted(draw(st.tuples(*[st.integers(0, 40)] * 3)))
        found.append(Quantity.within(value, low, high, "cycles", "assumed", ("test",), name, "drawn so"))
    return found


def _cost(draw: st.DrawFn, box: list[Quantity]) -> Cost:
    products = st.lists(st.sampled_from(box), min_size=1, max_size=3, unique=True)
    parts = []
    for quantities in draw(st.lists(products, max_size=5)):
        cost = of_quantity(quantities[0])
        for quantity in quantities[1:]:
            cost = cost.by(quantity)
        parts.append(cost.times(draw(st.integers(-9, 30))))
    return total(parts)


@st.composite
def _two(draw: st.DrawFn) -> tuple[list[Quantity], Cost, Cost]:
    """A box, and two costs on it, which often have most in common."""
    box = draw(_boxes())
    one, more = _cost(draw, box), _cost(draw, box)
    return box, one, draw(st.sampled_from((more, one + more)))


def _values(draw: st.DataObject, box: list[Quantity]) -> Mapping[str, float]:
    return {one.name: draw.draw(st.floats(one.low, one.high), one.name) for one in box}


@given(_two())
def test_the_ends_of_a_cost_are_those_of_all_corners(two: tuple[list[Quantity], Cost, Cost]) -> None:
    box, one, _ = two
    corners = [
        one.at(dict(zip((q.name for q in box), ends, strict=True)))
        for ends in itertools.product(*((quantity.low, quantity.high) for quantity in box))
    ]
    assert (one.low, one.high) == (min(corners), max(corners))
    assert one.at(one.least.at) == one.low
    assert one.at(one.greatest.at) == one.high


@given(_two(), st.sampled_from(NAMES), st.data())
def test_a_cost_along_a_quantity_is_a_line(
    two: tuple[list[Quantity], Cost, Cost], name: str, data: st.DataObject
) -> None:
    box, one, _ = two
    rest, slope = one.along(name)
    values = _values(data, box)
    assert abs(rest.at(values) + slope.at(values) * values.get(name, 0.0) - one.at(values)) < 1e-6


@settings(max_examples=150)
@given(_two(), st.randoms(use_true_random=False))
def test_no_draw_contradicts_a_decided_order_and_both_orders_are_seen_of_one_that_is_not(
    two: tuple[list[Quantity], Cost, Cost], random: Random
) -> None:
    box, one, other = two
    by_name = {"one": one, "other": other}
    found = pair("one", "other", other - one)
    first, second = by_name[found.first], by_name[found.second]
    if found.order == "undecided":
        least, greatest = found.difference.least.at, found.difference.greatest.at
        assert second.at(least) < first.at(least)
        assert second.at(greatest) >= first.at(greatest)
        return
    assert (found.difference.high > 0) == (found.order == "cheaper")
    for _ in range(20):
        values = {quantity.name: random.uniform(quantity.low, quantity.high) for quantity in box}
        difference = second.at(values) - first.at(values)
        assert difference >= -1e-6 if found.order == "cheaper" else abs(difference) < 1e-6


@given(_two(), st.data())
def test_what_decides_decides(two: tuple[list[Quantity], Cost, Cost], data: st.DataObject) -> None:
    box, one, other = two
    by_name = {"one": one, "other": other}
    found = pair("one", "other", other - one)
    deciding = found.deciding
    if deciding is None:
        return
    first, second = by_name[found.first], by_name[found.second]
    name = deciding.quantity.name
    if deciding.flips_at is not None:
        at = {name: deciding.flips_at}
        assert abs(second.at(at) - first.at(at)) < 1e-6
    for settled, end, first_less in (
        (deciding.settled_below, deciding.quantity.low, deciding.first_below),
        (deciding.settled_above, deciding.quantity.high, not deciding.first_below),
    ):
        if settled is not None:
            values = {**_values(data, box), name: data.draw(st.floats(*sorted((settled, end))))}
            difference = second.at(values) - first.at(values)
            assert difference >= -1e-6 if first_less else difference <= 1e-6


def test_what_two_costs_share_does_not_count() -> None:
    shared = Quantity(50, 12, 200, "cycles per byte", "assumed", ("test",), "retranslation")
    lock = Quantity(10, 5, 40, "cycles", "estimate", ("test",), "lock")
    less = of_quantity(shared).times(1000)
    more = less + of_quantity(lock).times(3)
    assert less.high > more.low
    found = pair("more", "less", less - more)
    assert (found.first, found.order) == ("less", "cheaper")
    assert found.difference.ends == {"low": 15, "nominal": 30, "high": 120, "tag": "estimate"}
    assert pair("less", "same", less - less).order == "equal"


def test_a_pair_by_hand() -> None:
    encoding = Quantity(10, 3, 30, "cycles per byte", "assumed", ("test",), "encoding")
    work = Quantity(70, 40, 100, "cycles", "assumed", ("test",), "work")
    found = pair("table", "again", of_quantity(work) - of_quantity(encoding).times(4))
    assert (found.first, found.order) == ("table", "undecided")
    deciding = found.deciding
    assert (deciding.quantity.name, deciding.flips_at, deciding.first_below) == ("encoding", 17.5, True)
    assert abs(deciding.settled_below - 10) < 1e-6
    assert abs(deciding.settled_above - 25) < 1e-6
