"""Where TBs lie in the code buffer of a host, and how much of them is rewritten."""

from __future__ import annotations

from typing import Any

import pytest
from given import blocks_of, retranslations_of
from hypothesis import given
from hypothesis import strategies as st

from bench.replay.layout import BLOCK_ALIGNMENT, host_scale, lay_out
from bench.support.errors import InputError
from bench.traces.trace import Blocks


def blocks(host: list[int], fast: list[int], epoch: list[int] | None = None) -> Blocks:
    """TBs of those lengths."""
    return blocks_of(host, fast_bytes=fast, **({"epoch": epoch} if epoch else {}))


NONE = retranslations_of([], [])


def test_blocks_follow_each_other_aligned_and_start_again_after_a_flush() -> None:
    layout = lay_out(blocks([100, 16, 33, 40, 8], [50] + [8] * 4, [0, 0, 0, 1, 1]), NONE, "x86-64")
    assert layout.addresses.tolist() == [0, 112, 128, 0, 48]
    assert layout.sizes.tolist() == [100, 16, 33, 40, 8]
    assert layout.used == 161


@given(st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 3)), max_size=40), st.sampled_from(["arm", "mips"]))
def test_blocks_of_one_epoch_are_aligned_in_order_and_as_close_as_that_allows(rows: Any, isa: str) -> None:
    rows.sort(key=lambda row: row[1])
    sizes, epochs = [size for size, _ in rows], [epoch for _, epoch in rows]
    layout = lay_out(blocks(sizes, sizes, epochs), NONE, isa)
    end, before = 0, -1
    for address, size, epoch in zip(layout.addresses.tolist(), layout.sizes.tolist(), epochs, strict=True):
        start = 0 if epoch != before else end
        assert address % BLOCK_ALIGNMENT == 0
        assert 0 <= address - start < BLOCK_ALIGNMENT
        end, before = address + size, epoch


def test_arm_blocks_are_scaled_by_the_measured_ratio_and_others_stay_as_long() -> None:
    table = blocks([1000], [500])
    assert lay_out(table, NONE, "arm").sizes.tolist() == [980]
    assert lay_out(table, NONE, "arm", as_recorded=True).sizes.tolist() == [1000]
    assert lay_out(table, NONE, "sparc").sizes.tolist() == [1000]
    assert (host_scale("arm").tag, host_scale("sparc").tag) == ("estimate", "assumed")
    assert host_scale("sparc").low < 1 < host_scale("sparc").high


def test_a_rewritten_length_is_that_share_of_the_whole_that_it_was_of_the_fast_part() -> None:
    table, half = blocks([1000], [400]), retranslations_of([0], [200])
    assert lay_out(table, half, "arm").rewritten.tolist() == [490]
    assert lay_out(table, half, "x86-64").rewritten.tolist() == [500]
    # As recorded: the slow paths stay where they were.
    assert lay_out(table, half, "arm", as_recorded=True).rewritten.tolist() == [200]


def test_an_unknown_rewritten_length_is_the_median_share_and_is_counted() -> None:
    table = blocks([100, 200, 300], [100, 100, 300])
    layout = lay_out(table, retranslations_of([0, 1, 2, 2, 1], [10, 60, 150, -1, -1]), "x86-64")
    assert (layout.unknown, layout.default_share) == (2, 0.5)
    assert layout.rewritten.tolist() == [10, 120, 150, 150, 100]


def test_without_any_known_length_the_whole_block_is_rewritten() -> None:
    layout = lay_out(blocks([100], [60]), retranslations_of([0], [-1]), "x86-64")
    assert (layout.rewritten.tolist(), layout.unknown, layout.default_share) == ([100], 1, 1.0)


@given(st.integers(1, 3000), st.integers(0, 2000), st.integers(1, 6000), st.sampled_from(["arm", "mips", "x86-64"]))
def test_no_more_than_the_block_is_ever_rewritten(fast: int, slow: int, rewritten: int, isa: str) -> None:
    layout = lay_out(blocks([fast + slow], [fast]), retranslations_of([0], [rewritten]), isa)
    assert 1 <= layout.rewritten[0] <= layout.sizes[0]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (blocks([10, 0], [10, 0]), "TB 1: a fast part of 0 in 0 bytes; expected 1 <= fast part <= whole"),
        (blocks([10], [11]), "TB 0: a fast part of 11 in 10 bytes"),
        (blocks([10, 10, 10], [9, 9, 9], [0, 1, 0]), "TB 2: epoch 0 after 1; expected ascending epochs"),
    ],
)
def test_blocks_that_cannot_be_are_refused(table: Blocks, message: str) -> None:
    with pytest.raises(InputError) as caught:
        lay_out(table, NONE, "arm")
    assert message in str(caught.value)
