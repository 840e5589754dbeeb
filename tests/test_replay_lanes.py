"""Merged events: each simulation finds its own, in their order, and what several begin with alike is there once."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bench.replay.events import Events, Kind
from bench.replay.variants import Lanes

Row = tuple[int, int, int, int]


def events_of(rows: list[Row]) -> Events:
    """Events from rows of position, kind, address, count."""
    position, kind, address, count = (list(column) for column in zip(*rows, strict=True)) if rows else ([],) * 4
    return Events(
        np.array(position, np.int64), np.array(kind, np.uint8), np.array(address, np.int64), np.array(count, np.int64)
    )


def rows_of(lanes: Lanes, lane: int) -> list[Row]:
    """What is left for one lane."""
    here = lanes.lanes >> np.uint64(lane) & np.uint64(1) == 1
    columns = (lanes.position, lanes.kind, lanes.address, lanes.count)
    return list(zip(*(column[here].tolist() for column in columns), strict=True))


few = st.tuples(st.integers(-1, 3), st.sampled_from([Kind.STORE, Kind.CLEAN]), st.integers(0, 1), st.integers(0, 1))
simulations = st.lists(
    st.lists(few, max_size=12).map(lambda rows: sorted(rows, key=lambda row: row[0])), min_size=1, max_size=5
)


@given(simulations)
def test_every_simulation_keeps_its_events_and_their_order(rows: list[list[Row]]) -> None:
    lanes = Lanes.of([events_of(one) for one in rows])
    assert sorted(lanes.order) == list(range(len(rows)))
    for lane, simulation in enumerate(lanes.order):
        assert rows_of(lanes, lane) == rows[simulation]
    assert (np.diff(lanes.position) >= 0).all()


@given(simulations)
def test_what_several_begin_with_alike_is_one_row(rows: list[list[Row]]) -> None:
    lanes = Lanes.of([events_of(one) for one in rows])
    prefixes = set()
    for one in rows:
        for number, row in enumerate(one):
            first = next(place for place, other in enumerate(one) if other[0] == row[0])
            prefixes.add(tuple(one[first : number + 1]))
    assert lanes.position.size == len(prefixes)


def test_lane_0_is_the_one_that_has_most_in_common() -> None:
    alike = [(0, Kind.STORE, 0, 1), (1, Kind.STORE, 0, 1)]
    lanes = Lanes.of([events_of(rows) for rows in ([(0, Kind.CLEAN, 0, 1)], alike, alike)])
    assert lanes.order == (1, 2, 0)
    assert lanes.lanes.tolist().count(0b011) == 2
