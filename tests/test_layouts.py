"""Verdicts do not depend on where the code lies; what does is checked here too."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from typing import Any

import pytest
from cells import cell, compiled

from bench.check.cell import Checked
from bench.hosts import load_host
from bench.machine.model import Place
from bench.program.layout import Layout, LayoutName
from bench.translators.registry import load_translator
from bench.translators.translator import Code
from strategies.writes import Buffer, Region

STRATEGIES = ("unfixed", "flush-on-retranslation", "stop-the-world", "stop-the-world-flush", "idempotent")
HOSTS = {"cortex-a9": ("arm", 4), "arm926": ("arm", 4), "neoverse-v1": ("arm", 4), "z10": ("s390x", 2)}
"""The translator of each, and what its instructions are aligned to in bytes."""


@cache
def answer(strategy: str, host: str, name: str, layout: LayoutName = "apart", offset: int = 0) -> Checked:
    """One cell."""
    what_if = host == "neoverse-v1"
    return cell(strategy, name, host, HOSTS[host][0], layout=layout, offset=offset, what_if=what_if)


def code(host: str) -> Code:
    """The block that is laid out."""
    return load_translator(HOSTS[host][0]).block(0)


def offsets(host: str) -> range:
    """Every place in a line at which a block can begin."""
    return range(0, load_host(host).icache.line, HOSTS[host][1])


def telling(host: str) -> list[int]:
    """Offsets that bring a temporary's bytes to the end of a line, across it and past it, and a sample."""
    line, step = load_host(host).icache.line, HOSTS[host][1]
    found = {
        (line - write.unit.offset + move) % line
        for write in code(host).writes
        if not write.complete
        for move in range(-write.unit.size - step, step + 1, step)
    }
    return sorted(found | set(range(0, line, 16 * step)))


def every_place(program: Any) -> Iterator[Place]:
    """All places of a program, which builds them as they are asked for."""
    with suppress(IndexError):  # behind the last
        for number in itertools.count():
            yield program.place(number)


def distinct(host: str, strategy: str, name: str, places: Iterable[int]) -> list[int]:
    """One offset of all those of which the model is the same: the same cells in the same lines, the same actions."""
    found: dict[object, int] = {}
    for offset in places:
        model = compiled(strategy, name, host, HOSTS[host][0], layout="packed", offset=offset).model
        actions = [[place.steps for place in every_place(program)] for program in model.programs]
        found.setdefault(repr((model.cells, actions)), offset)
    return list(found.values())


@pytest.mark.parametrize("name", ["system", "user"])
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("host", HOSTS)
def test_the_verdict_of_one_thread_is_the_same_at_every_offset_that_of_two_at_every_telling_one(
    host: str, strategy: str, name: str
) -> None:
    places = distinct(host, strategy, name, offsets(host) if name == "system" else telling(host))
    found = {offset: answer(strategy, host, name, "packed", offset).verdict for offset in places}
    assert found == dict.fromkeys(places, answer(strategy, host, name).verdict)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_moving_thread_and_two_retranslators_do_not_mind_either(strategy: str) -> None:
    for name in ("migrate", "user-both"):
        if (strategy, name) == ("stop-the-world-flush", "user-both"):
            continue  # the largest space by far, and the same code
        apart = answer(strategy, "cortex-a9", name).verdict
        assert [answer(strategy, "cortex-a9", name, "packed", offset).verdict for offset in (0, 28)] == [apart] * 2


@pytest.mark.parametrize("host", HOSTS)
def test_the_offsets_tried_put_live_units_before_and_behind_the_end_of_a_line(host: str) -> None:
    line = load_host(host).icache.line
    live = [write.unit for write in code(host).writes if not write.complete]
    places = [(offset + unit.offset) % line for offset in telling(host) for unit in live]
    assert 0 in places
    assert any(place + live[0].size == line for place in places)


def test_a_live_unit_that_straddles_a_line_is_two_cells_and_the_verdicts_stay() -> None:
    line = load_host("z10").icache.line
    branch = next(write.unit for write in code("z10").writes if not write.complete)
    straddling = line - branch.offset - branch.size // 2
    one, two = (
        compiled("unfixed", "user", "z10", "s390x", layout="packed", offset=offset).model for offset in (0, straddling)
    )
    position = next(n for n, unit in enumerate(two.unit_at[0]) if unit.offset == branch.offset)
    assert (len(one.units[0][position]), len(two.units[0][position])) == (1, 2)
    first, second = two.units[0][position]
    assert two.cells.iline_of[0][first] != two.cells.iline_of[0][second]
    assert two.final[first] | two.final[second] == branch.final
    assert two.final[first] & two.final[second] == 0
    for strategy in STRATEGIES:
        for name in ("system", "user", "migrate"):
            packed = answer(strategy, "z10", name, "packed", straddling).verdict
            assert packed == answer(strategy, "z10", name).verdict


@pytest.mark.parametrize(("layout", "word"), [("apart", "absent"), ("packed", "wrong")])
def test_in_one_line_a_store_to_a_neighbour_brings_the_line_back(layout: LayoutName, word: str) -> None:
    """So the rows of a table depend on the layout, and the verdict does not."""
    explanation = answer("unfixed", "cortex-a9", "system", layout).explanation
    operations = [row.operation for row in explanation.rows]
    written_back = operations.index("cache line is flushed to memory")
    slow_path = operations.index("slow path code is written")
    assert slow_path == written_back + 1
    assert explanation.rows[written_back].dcache == "absent"
    assert explanation.rows[slow_path].dcache == word


# --- the layouts themselves ---


def laid_out(name: LayoutName, offset: int = 0) -> tuple[Layout, list[Code]]:
    """Two blocks of the arm backend with lines of 32 bytes."""
    blocks = [load_translator("arm").block(tb) for tb in range(2)]
    return Layout(name, blocks, alignment=16, spacing=32, offset=offset), blocks


def test_apart_every_unit_begins_a_line_and_packed_blocks_follow_one_another_aligned_and_shifted() -> None:
    layout, blocks = laid_out("apart")
    places = [layout.unit(unit).address for block in blocks for unit in block.whole]
    assert places == list(range(0, 32 * len(places), 32))
    for offset in (0, 4, 28):
        layout, blocks = laid_out("packed", offset)
        first, second = ([layout.unit(unit).address for unit in block.whole] for block in blocks)
        assert first == [offset + unit.offset for unit in blocks[0].whole]
        assert (second[0] - offset) % 16 == 0
        assert first[-1] < second[0] < first[0] + blocks[0].size + 16


def test_maintenance_covers_a_packed_region_as_one_stretch_and_apart_unit_by_unit() -> None:
    for name, count in (("packed", 1), ("apart", 13)):
        layout, (block, _) = laid_out(name)
        assert len(layout.spans(block.retranslated)) == count
    layout, blocks = laid_out("packed")
    whole = layout.spans(Buffer(0, tuple(block.whole for block in blocks)))
    assert [span.size for span in whole] == [block.size for block in blocks]


@pytest.mark.parametrize("name", ["packed", "apart"])
def test_scratch_memory_is_covered_by_no_maintenance(name: LayoutName) -> None:
    layout, (block, _) = laid_out(name)
    scratch: Region = block.retranslated.in_scratch()
    assert layout.spans(scratch) == ()
    assert layout.spans(next(iter(scratch))) == ()
