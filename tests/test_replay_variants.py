"""Merged events: each simulation keeps its own in order, and a common prefix of several is merged."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.replay.events import EventKind, Events
from bench.replay.variants import Variants

Row = tuple[int, int, int, int]


def events_of(rows: list[Row]) -> Events:
    """Events from rows of position, kind, address, count."""
    position, kind, address, count = (list(column) for column in zip(*rows, strict=True)) if rows else ([],) * 4
    return Events(
        np.array(position, np.int64), np.array(kind, np.uint8), np.array(address, np.int64), np.array(count, np.int64)
    )


def rows_of(variants: Variants, variant: int) -> list[Row]:
    """The events of one variant."""
    here = variants.variants >> np.uint64(variant) & np.uint64(1) == 1
    columns = (variants.position, variants.kind, variants.address, variants.count)
    return list(zip(*(column[here].tolist() for column in columns), strict=True))


few = st.tuples(
    st.integers(-1, 3), st.sampled_from([EventKind.STORE, EventKind.CLEAN]), st.integers(0, 1), st.integers(0, 1)
)
simulations = st.lists(
    st.lists(few, max_size=12).map(lambda rows: sorted(rows, key=lambda row: row[0])), min_size=1, max_size=5
)


@settings(deadline=None)  # the first example may compile the kernel
@given(simulations)
def test_every_simulation_keeps_its_events_and_their_order(rows: list[list[Row]]) -> None:
    variants = Variants.of([events_of(one) for one in rows])
    assert sorted(variants.order) == list(range(len(rows)))
    for variant, simulation in enumerate(variants.order):
        assert rows_of(variants, variant) == rows[simulation]
    assert (np.diff(variants.position) >= 0).all()


@settings(deadline=None)
@given(simulations)
def test_a_common_prefix_of_several_simulations_is_one_row(rows: list[list[Row]]) -> None:
    variants = Variants.of([events_of(one) for one in rows])
    prefixes = set()
    for one in rows:
        for number, row in enumerate(one):
            first = next(place for place, other in enumerate(one) if other[0] == row[0])
            prefixes.add(tuple(one[first : number + 1]))
    assert variants.position.size == len(prefixes)


def test_variant_0_has_most_events_in_common() -> None:
    alike = [(0, EventKind.STORE, 0, 1), (1, EventKind.STORE, 0, 1)]
    variants = Variants.of([events_of(rows) for rows in ([(0, EventKind.CLEAN, 0, 1)], alike, alike)])
    assert variants.order == (1, 2, 0)
    assert variants.variants.tolist().count(0b011) == 2
