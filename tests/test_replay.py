"""Prices and results of a replay: counted and computed by hand, and properties that hold for any strategy."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec
import numpy as np
import pytest
from conftest import SHAPE
from given import blocks_of, given_trace
from hypothesis import given, settings
from hypothesis import strategies as st

import bench.replay.context as context_module
from bench.caches.counts import Counts
from bench.caches.events import EventKind, Events
from bench.caches.simulate import simulate
from bench.hosts import Host, load_host
from bench.hosts.profile import Tag
from bench.replay.context import ReplayContext, Simulated
from bench.replay.cost import NOTHING, Cost, of_quantity, weakest
from bench.replay.layout import host_scale
from bench.replay.parameters import Parameters, described
from bench.replay.plan import Extent, LineStep, Plan, Tally
from bench.replay.quantity import Quantity
from bench.replay.replay import Replayed, replay
from bench.support.errors import InputError
from bench.traces.model import model_trace
from bench.traces.model import varied as modelled
from bench.traces.store import default_trace
from bench.traces.successor import Words
from bench.traces.trace import Retranslations, Trace
from bench.translators.registry import load_translator
from staleline import Block, Buffer, Region, Strategy, StrategyError, Write
from strategies import operations as op
from strategies.registry import find, shipped

COSTS = ("flush", "refill", "lock", "stop", "lookup", "translate", "store_into_code")
# What is assumed of translator and guest would only hide what a test looks at.
PLAIN = Parameters(as_recorded=True).varied(
    ["guest_data_lines=0", "translator_code_lines=0", "translator_data_lines=0", "linked=0"]
)


@dataclasses.dataclass(frozen=True)
class Beginning:
    """The first chunks of another trace."""

    of: Trace
    chunks: int

    def words(self) -> Iterator[Words]:
        return itertools.islice(self.of.source.words(), self.chunks)


def trace_of(
    words: Sequence[int],
    faults: Sequence[int],
    *,
    sizes: Sequence[int] = (128, 64),
    rewritten: int = 104,
    accesses: int = 1,
    born: Sequence[int] | None = None,
    epoch: Sequence[int] | None = None,
    flushes: Sequence[int] = (),
) -> Trace:
    """TBs of ``sizes`` bytes, packed from address 0 on, of 4 guest instructions and one access each."""
    none, every = [0] * len(sizes), np.ones(len(sizes), np.int64)
    when = {"epoch": epoch or none, "born": born or -every}
    guest = {"guest_pc": np.arange(len(sizes)) * 16, "guest_bytes": 16 * every, "instructions": 4 * every}
    blocks = blocks_of(sizes, fast_bytes=sizes, **guest, accesses=every, **when)
    return given_trace(words, blocks, faults, rewritten, accesses, flushes=flushes)


LRU = tuple(f"{cache}.replacement=lru" for cache in ("icache", "dcache", "l2"))
A9_LRU = load_host("cortex-a9", [*LRU, "whole_pages=never"])
ONE_FAULT = trace_of([0, 1, 0, 1], [0])
LONGER = trace_of([0, 1, 0, 1, 0, 1, 0, 1, 0], [0])


def one(
    strategy: Strategy | str,
    trace: Trace = ONE_FAULT,
    host: Host = A9_LRU,
    parameters: Parameters = PLAIN,
    translator: str = "arm",
) -> Replayed:
    asked = find(strategy) if isinstance(strategy, str) else strategy
    return replay(trace, host, load_translator(translator), [asked], parameters)[0]


def triple(cost: Cost) -> tuple[float, float, float]:
    return cost.low, cost.nominal, cost.high


def about(*values: float) -> Any:
    return pytest.approx(values, rel=1e-12)


# --- by hand ------------------------------------------------------------------------------------------------------


def test_a_retranslation_makes_the_translators_writes_and_fills_the_rest_with_complete_ones() -> None:
    # A load on ARM is 13 words and one update of its branch; 52 of 104 bytes, 13 words, are left.
    found = [one(name).writes for name in ("unfixed", "scratch-buffer", "side-table")]
    assert found == [13 + 1 + 13, 13 + 1 + 13, 0]
    least = one("flush-on-retranslation", trace_of([0, 1], [0], rewritten=0, accesses=0))
    assert (least.writes, least.lines_cleaned) == (14, 1)  # a byte and an access at least


def test_a_flush_costs_call_and_lines_and_remote() -> None:
    found = one("flush-on-retranslation")
    assert (found.retranslations, found.lines_cleaned, found.lines_invalidated) == (1, 4, 4)
    # 104 bytes are 4 lines of 32; remote is 100 ns, 40 .. 150, at 1.2 GHz.
    assert triple(found.flush) == about(300 + 4 * 10 + 48, 800 + 4 * 17 + 120, 2400 + 4 * 45 + 180)
    assert found.flush.tag == "estimate"


def test_lines_are_counted_where_the_block_lies() -> None:
    # TB 1 begins at 128 + 16: 40 bytes from there touch the lines at 128 and 160.
    trace = trace_of([1, 0, 1], [0], sizes=(130, 64), rewritten=40)
    assert one("flush-on-retranslation", trace).lines_cleaned == 2


def test_flushed_lines_are_refilled_from_the_l2_that_they_were_cleaned_to_if_they_run_again() -> None:
    found = one("flush-on-retranslation")
    assert found.refills == 4
    assert triple(found.refill) == about(4 * 23, 4 * 23, 4 * 23)
    assert one("unfixed").refills == one("flush-on-retranslation", trace_of([0, 1, 1, 1], [0])).refills == 0


def test_the_baseline_is_instructions_and_cold_misses() -> None:
    found = one("flush-on-retranslation")
    instructions = 2 * (128 + 64) / 4
    misses = 6 * 140.8 * 1.2
    assert triple(found.baseline) == about(*(cpi * instructions + misses for cpi in (0.5, 1.0, 1.5)))
    assert found.baseline.tag == "assumed"


def translated(regenerated: float, whole: float, low: float = 1.0, high: float = 1.0) -> tuple[float, float, float]:
    """The translator's work for one retranslation: a constant, the back end's slope and the front end's."""
    return (
        930 + low * (12 * regenerated + 4.2 * whole),
        2276 + 32.7 * regenerated + 15.3 * whole,
        4150 + high * (52 * regenerated + 23 * whole),
    )


def test_retranslating_strategies_pay_the_back_end_for_what_is_rewritten_and_the_front_end_for_all() -> None:
    for name in ("unfixed", "scratch-buffer"):
        assert triple(one(name).translate) == about(*translated(104, 128))
        assert one(name).lookup == NOTHING


def test_a_side_table_pays_lookups_and_encoding_instead() -> None:
    trace = trace_of([0, 1, 0, 1], [0], born=[0, 1])
    found = one("side-table", trace)
    # 104 of 128 bytes of 4 guest instructions: all 4 decoded; 3 bytes for each of 8 instructions (4 for none).
    assert triple(found.lookup) == about(4 * 13.5, 4 * 74, 4 * 144)
    assert found.side_bytes == 2 * 4 * 3
    assert triple(found.translate) == about(24 * 3.4, 24 * 19, 24 * 29)
    assert one("side-table").translate == NOTHING  # translated before the recording
    fullest = trace_of([0, 1, 2], [], sizes=(128, 64, 64), born=[0, 1, 2], epoch=[0, 0, 1], flushes=[2])
    assert one("side-table", fullest).side_bytes == 24  # of the fullest code buffer


def test_kernels_of_the_time_flush_whole_pages() -> None:
    pages = load_host("cortex-a9", LRU)
    found = one("flush-on-retranslation", host=pages)
    assert (found.lines_cleaned, found.lines_invalidated, found.line_flushes) == (128, 128, 128)
    assert triple(found.flush) == about(300 + 128 * 10 + 48, 800 + 128 * 17 + 120, 2400 + 128 * 45 + 180)
    # The other TB, of two lines, is on the page too, and is fetched again.
    later = trace_of([0, 1, 0, 1], [2])
    assert one("flush-on-retranslation", later, pages).refills - one("flush-on-retranslation", later).refills == 2
    # A TB that reaches into the next page.
    crossing = trace_of([0, 1, 0, 1], [1], sizes=(4064, 64), rewritten=48)
    assert one("flush-on-retranslation", crossing, pages).lines_cleaned == 256
    # The kernel is as old as the backend, unless it is said which: Linux 3.10 did so, and one of 2014 does not.
    assert one("flush-on-retranslation", host=pages, translator="arm@2014").lines_cleaned == 4
    assert one("flush-on-retranslation", host=pages, translator="arm@2011").lines_cleaned == 128
    always = load_host("cortex-a9", [*LRU, "whole_pages=always"])
    assert one("flush-on-retranslation", host=always, translator="arm@2014").lines_cleaned == 128
    later_kernel = load_host("cortex-a9", [*LRU, "until=2009"])
    assert one("flush-on-retranslation", host=later_kernel).lines_cleaned == 4


def test_linking_an_exit_stores_to_it_and_flushes_it_in_the_baseline_too(monkeypatch: pytest.MonkeyPatch) -> None:
    # The fault of execution 0 leaves TB 0; TB 1 is linked to TB 0 before execution 2, which is to TB 1 before 3.
    linked = PLAIN.varied(["linked=1"])
    passes = watched(monkeypatch)
    found = one("unfixed", LONGER, parameters=linked)
    store, clean, drop = EventKind.STORE, EventKind.CLEAN, EventKind.INVALIDATE
    for events in passes:
        made = [*zip(events.position.tolist(), events.kind.tolist(), events.address.tolist(), strict=True)]
        # Exit 1 is the last 32 bytes of a block, exit 0 the 32 before: of 128 bytes at 0, of 64 at 128.
        exits = [(at, kind, address) for at, address in ((1, 128), (2, 96)) for kind in (store, clean, drop)]
        assert [each for each in made if each[0] > 0] == exits
    # Each drops a line that runs again.
    assert found.baseline.nominal - one("unfixed", LONGER).baseline.nominal == pytest.approx(2 * 23)
    assert (found.refills, found.flush) == (0, NOTHING)
    whole = one("unfixed", LONGER, load_host("cortex-a9", LRU), linked).baseline.nominal
    # Whole pages: each drops all lines of both TBs.
    assert whole - one("unfixed", LONGER).baseline.nominal > 2 * 23
    # Where an exit loads its target from memory, no code is stored to.
    mips = load_host("mips-24kc")
    assert one("unfixed", LONGER, mips, linked, "mips").baseline == one("unfixed", LONGER, mips, PLAIN, "mips").baseline


def test_a_lock_costs_each_retranslation_and_others_that_want_it_a_column_of_their_own() -> None:
    found = one("global-lock")
    assert triple(found.lock) == about(20, 50, 200)
    assert triple(found.stop) == about(0, 210, 1000)  # two vCPUs on this host, every acquisition contended or none
    three = one("global-lock", parameters=dataclasses.replace(PLAIN, vcpus=3))
    assert triple(three.stop) == about(0, 420, 2000)
    assert three.lock == found.lock


def test_a_shared_lock_costs_every_execution_and_its_exclusive_holder_stops_them_all() -> None:
    found = one("stop-the-world")
    assert triple(found.lock) == about(5 * 20, 5 * 50, 5 * 200)  # four executions and one retranslation
    assert triple(found.stop) == about(1.2 * (770 + 1000), 1.2 * (8700 + 3000), 1.2 * (28000 + 10000))
    # Entered by five executions of nine over the two links that the first three made: TB 1 lies behind TB 0.
    linked = one("stop-the-world", LONGER, parameters=PLAIN.varied(["linked=1"]))
    assert triple(linked.lock) == about(*(linked.locks * cycles for cycles in (20, 50, 200)))
    assert (linked.locks, one("stop-the-world", LONGER, parameters=PLAIN.varied(["linked=0"])).locks) == (5, 10)
    four = one("stop-the-world", parameters=dataclasses.replace(PLAIN, vcpus=4))
    # At the low end three others answer at once.
    assert triple(four.stop) == about(1.2 * (770 + 1000), 3 * 1.2 * (8700 + 3000), 3 * 1.2 * (28000 + 10000))


def test_one_vcpu_has_none_to_stop_and_in_system_emulation_a_lock_was_empty_and_both_are_said() -> None:
    alone, system = dataclasses.replace(PLAIN, vcpus=1), dataclasses.replace(ONE_FAULT, mode="system")
    for name, locks in (("global-lock", True), ("stop-the-world", True), ("unfixed", False), ("idempotent", False)):
        found, there = one(name, parameters=alone), one(name, system)
        assert not locks or found.stop == NOTHING
        assert any("one vCPU" in note for note in found.notes) is locks
        assert any("lock macro was empty" in note for note in there.notes) is locks
        assert not any("lock macro" in note for note in one(name).notes)


def test_a_store_into_code_costs_a_pipeline_clear_for_each_line_on_x86_for_right_strategies_too() -> None:
    host = load_host("x86-skylake")
    for name in ("unfixed", "idempotent", "flush-on-retranslation"):
        found = one(name, host=host, translator="x86-64")
        assert triple(found.store_into_code) == about(2 * 80, 2 * 150, 2 * 400)  # 104 bytes, lines of 64
        assert found.refills == 2  # the stores took them from the instruction cache
        assert triple(found.flush) == (0, 0, 0)
    for name in ("scratch-buffer", "side-table"):
        found = one(name, host=host, translator="x86-64")
        assert found.store_into_code == NOTHING
        assert found.refills == 0


def test_a_whole_instruction_cache_is_dropped_where_a_host_can_do_no_less() -> None:
    host = load_host("sifive-u74")
    found = one("flush-on-retranslation", host=host)
    assert (found.lines_cleaned, found.lines_invalidated) == (0, 32768 // 64)
    assert found.flush.nominal == pytest.approx(900 + 25_000 * 1.5)


def test_a_tb_flush_covers_the_used_part_of_the_code_buffer() -> None:
    trace = trace_of([0, 1, 2], [], sizes=(128, 64, 64), born=[-1, -1, 2], epoch=[0, 0, 1], flushes=[2])
    found = one("flush-on-tb-flush", trace)
    assert (found.lines_cleaned, found.lines_invalidated) == (6, 6)
    assert found.flush.nominal == pytest.approx(800 + 6 * 17 + 120)
    assert one("flush-on-retranslation", trace).flush == NOTHING


def test_the_translators_footprint_displaces_code() -> None:
    lines = A9_LRU.icache.size // A9_LRU.icache.line
    crowded = PLAIN.varied([f"translator_code_lines={lines}"])
    both_ran = trace_of([0, 1, 0, 1], [1], rewritten=40)
    assert one("unfixed", both_ran, parameters=crowded).refills == 4 + 2
    assert one("side-table", both_ran, parameters=crowded).refills == 0


def test_overhead_is_the_sum_of_the_seven() -> None:
    for name in shipped():
        found = one(name)
        total = sum((getattr(found, column) for column in COSTS), NOTHING)
        assert triple(found.overhead) == about(*triple(total))
        assert found.overhead.tag == weakest(*(getattr(found, column).tag for column in COSTS))


def test_recorded_blocks_are_scaled_to_the_host_unless_asked_not_to_be() -> None:
    scaled = dataclasses.replace(PLAIN, as_recorded=False)
    # 104 of 128 bytes, of which 0.98 are 126: 103 bytes.
    assert one("unfixed", parameters=scaled).translate.nominal == pytest.approx(translated(103, 126)[1])


def test_unknown_lengths_and_accesses_are_counted_and_said() -> None:
    trace = trace_of([0, 1, 0, 1], [0, 2], rewritten=-1, accesses=-1)
    notes = " / ".join(one("unfixed", trace).notes)
    assert "2 rewritten lengths" in notes
    assert "2 retranslations of unknown guest accesses" in notes


def test_what_is_drawn_by_chance_is_in_the_range_and_said() -> None:
    random = one("flush-on-retranslation", host=load_host("cortex-a9"))
    assert random.refill.low < random.refill.nominal < random.refill.high
    assert any("random" in note for note in random.notes)
    assert one("side-table", host=load_host("cortex-a9")).refill == NOTHING


def test_what_is_in_proportion_to_the_codes_length_has_the_range_of_the_scale() -> None:
    scaled = dataclasses.replace(PLAIN, as_recorded=False)
    low, high = host_scale("arm").ratios
    found = one("flush-on-retranslation", parameters=scaled)
    # 103 bytes are regenerated, on 4 lines, which are refilled; calls and broadcasts do not grow with the code.
    assert triple(found.translate) == about(*translated(103, 126, low, high))
    assert triple(found.flush) == about(300 + 4 * 10 * low + 48, 800 + 4 * 17 + 120, 2400 + 4 * 45 * high + 180)
    assert triple(found.refill) == about(4 * 23 * low, 4 * 23, 4 * 23 * high)
    instructions = 126 + 63  # of 128 and 64 bytes
    misses = 6 * 140.8 * 1.2
    ends = zip((0.5, 1.0, 1.5), (low, 1, high), strict=True)
    expected = [(cpi * 2 * instructions / 4 + misses) * end for cpi, end in ends]
    assert triple(found.baseline) == about(*expected)
    x86 = one("unfixed", host=load_host("x86-skylake"), translator="x86-64", parameters=scaled)
    assert triple(x86.store_into_code) == about(2 * 80, 2 * 150, 2 * 400)  # recorded there: no range


def test_refills_have_the_range_of_the_translators_footprint_unless_it_was_set() -> None:
    both_ran = trace_of([0, 1, 0, 1], [1], rewritten=40)
    free = dataclasses.replace(PLAIN, translator_code_lines=Quantity(1024, 256, 4096, "lines", "assumed", ("test",)))
    known = one("unfixed", both_ran, parameters=PLAIN.varied(["translator_code_lines=1024"])).refill
    assert known.low == known.nominal == known.high > 0
    assert triple(one("unfixed", both_ran, parameters=free).refill) == about(
        known.nominal / 4, known.nominal, known.nominal * 4
    )
    # Code set, data not: 1024 + 128 lines may be 1024 + 32 .. 1024 + 512, where they share an L2.
    known_code = PLAIN.varied(["translator_code_lines=1024"])
    data = Quantity(128, 32, 512, "lines", "assumed", ("test",))
    half = dataclasses.replace(known_code, translator_data_lines=data)
    low, nominal, high = triple(one("unfixed", both_ran, parameters=half).refill)
    assert (low / nominal, high / nominal) == about(1056 / 1152, 1536 / 1152)
    no_l2 = load_host("arm926", ["icache.replacement=lru"])
    found = one("unfixed", both_ran, host=no_l2, parameters=half).refill
    assert found.low == pytest.approx(found.nominal * no_l2.costs.refill_memory.low / no_l2.costs.refill_memory.value)


def many_faults(tbs: int, working_set: int, faults: int) -> Trace:
    """A modelled trace of 40,000 executions."""
    changes = {"executions": 40_000, "tbs": tbs, "working_set": working_set, "faulting_tbs": 20, "flushes": 1}
    changes |= {"faults_per_million": faults, "reexecution_tbs": "2,20,100,1000"}
    changes |= {"tb_bytes": "75,256,864,24688", "rewritten_bytes": "80,164,536,4405"}  # of the boot
    return model_trace(modelled(SHAPE, {key: str(value) for key, value in changes.items()}), seed=1)


def on_a9(trace: Trace, names: Sequence[str], *settings: str) -> list[Replayed]:
    asked = [find(name) for name in names]
    return replay(trace, load_host("cortex-a9"), load_translator("arm"), asked, Parameters().varied(settings))


def test_other_seeds_draw_refills_within_what_is_said_to_be_chance() -> None:
    trace = many_faults(400, 300, 20_000)
    refills = [on_a9(trace, ["unfixed"], f"seed={seed}")[0].refills for seed in range(1, 7)]
    mean = sum(refills) / len(refills)
    assert len(set(refills)) > 1
    assert all(abs(found - mean) <= 3 * mean**0.5 for found in refills)


def test_lines_that_loads_bring_in_instead_of_stores_are_no_difference_to_chance() -> None:
    # Reading back first (7 loads) leaves the same in the caches as not (7 stores that allocate).
    first = one("unfixed", host=load_host("cortex-a9")).simulated

    def counted(**more: int) -> Simulated:
        changes = {name: getattr(first.more, name) + lines for name, lines in more.items()}
        return dataclasses.replace(first, more=dataclasses.replace(first.more, **changes))

    stored, read_back, third = counted(store_misses=7), counted(load_misses=7), counted(code_misses=16)
    assert stored.chance(read_back) == NOTHING
    assert stored.chance(third) == read_back.chance(third) != NOTHING
    # A store that passes by a line that is not there leaves another cache than a load.
    near = counted(load_misses=7, code_misses=1)
    passing = dataclasses.replace(stored, allocates=False)
    assert passing.chance(near).high == pytest.approx(math.sqrt(15) * stored.chance(near).high)


def test_refills_with_the_footprint_at_its_ends_lie_in_the_range() -> None:
    trace = many_faults(120, 100, 5000)

    def refills(code: int | None = None, data: int | None = None) -> list[Cost]:
        settings = [f"translator_code_lines={code}", f"translator_data_lines={data}"] if code else []
        names = ("unfixed", "flush-on-retranslation", "flush-on-tb-flush")
        return [result.refill for result in on_a9(trace, names, *settings)]

    ranges = refills()
    for code, data in ((221, 90), (369, 293), (690, 293)):
        simulated = refills(code, data)
        for found, at in zip(ranges, simulated, strict=True):
            assert found.low <= at.nominal <= found.high, (code, data)
    # Chance alone would not have had room for the last of these.
    by_chance = refills(369, 157)
    assert [cost.nominal for cost in by_chance] == [cost.nominal for cost in ranges]
    assert all(known.high < at.nominal for known, at in zip(by_chance, simulated, strict=True))


def test_flushes_of_the_code_buffer_are_said_to_be_the_traces() -> None:
    trace = trace_of([0, 1, 2], [], sizes=(128, 64, 64), epoch=[0, 0, 1], flushes=[2])
    assert "its flushes are at the trace's 1 tb flush" in one("flush-on-tb-flush", trace).notes
    assert not any("tb flush" in note for note in one("flush-on-retranslation", trace).notes)
    assert not any("tb flush" in note for note in one("flush-on-tb-flush").notes)


# --- strategies of third parties ----------------------------------------------------------------------------------


def publishing(name: str, operations: Callable[[Region], op.Hook]) -> Strategy:
    """A strategy of that name that publishes by those operations alone."""
    found = type(name, (Strategy,), {"publish": lambda self, region: operations(region)})()
    assert isinstance(found, Strategy)
    return found


class OwnMaintenance(Strategy):
    """What FlushOnRetranslation does on a Cortex-A9, spelt out."""

    def publish(self, region: Region) -> op.Hook:
        own = op.Clean(region), op.Barrier(), op.Invalidate(region, op.Scope.BROADCAST), op.Barrier(), op.Sync()
        return (*super().publish(region), *own)


def test_own_maintenance_costs_what_a_flush_of_the_same_lines_does() -> None:
    own, portable = one(OwnMaintenance()), one("flush-on-retranslation")
    assert msgspec.structs.replace(own, strategy="") == msgspec.structs.replace(portable, strategy="")


def test_a_strategy_from_a_file_is_priced_by_what_it_does(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from staleline import Clean, Invalidate, Scope, Strategy\n\n"
        "class UnitByUnit(Strategy):\n"
        "    def publish(self, region):\n"
        "        return tuple(Invalidate(unit, Scope.LOCAL) for unit in region)\n"
    )
    found = one(f"{file}:UnitByUnit")
    assert found.strategy == "unit-by-unit"
    assert (found.lines_cleaned, found.lines_invalidated) == (0, 26)
    # One run of maintenance, each line half a pair, nothing broadcast.
    assert triple(found.flush) == about(300 + 13 * 10, 800 + 13 * 17, 2400 + 13 * 45)


def test_a_barrier_by_itself_is_priced_by_itself() -> None:
    fenced = publishing("Fenced", lambda region: (op.Barrier(), op.Sync()))
    assert triple(one(fenced).flush) == about(2 * 16, 2 * 50, 2 * 200)


def test_what_differs_from_the_first_translation_of_the_base_class_is_counted() -> None:
    class NeverFlushes(Strategy):
        def translate(self, region: Region) -> op.Hook:
            return tuple(op.Do("emit", write) for write in region.writes)

    trace = trace_of([0, 1, 0, 1], [], born=[0, 1])
    found = one(NeverFlushes(), trace)
    assert (found.lines_cleaned, found.lines_invalidated) == (-6, -6)
    assert found.flush.nominal == pytest.approx(-(2 * (800 + 120) + 6 * 17))
    assert found.flush.low < found.flush.nominal < found.flush.high
    assert one("unfixed", trace).flush == NOTHING


def test_what_is_done_around_every_execution_is_paid_every_time() -> None:
    class FlushesOnEntry(Strategy):
        def enter(self, region: Region) -> op.Hook:
            return (op.Flush(region),)

    found = one(FlushesOnEntry())
    assert found.lines_cleaned == 2 * (4 + 2)
    assert found.flush.nominal == pytest.approx(4 * (800 + 120) + 12 * 17)
    assert any("not simulated" in note for note in found.notes)


def test_a_lock_that_executions_hold_exclusively_is_said_to_be_priced_too_low() -> None:
    class Serial(Strategy):
        def enter(self, region: Region) -> op.Hook:
            return (op.Acquire("all"),)

        def leave(self, region: Region) -> op.Hook:
            return (op.Release("all"),)

        def begin(self, region: Region) -> op.Hook:
            return (op.Acquire("all", shared=True),)

        def publish(self, region: Region) -> op.Hook:
            return (op.Release("all"), op.SyncCores())

    found = one(Serial())
    assert any("exclusively" in note for note in found.notes)
    # A sharer waits for an exclusive holder too.
    assert found.stop.nominal == pytest.approx(4 * 210 + 1.2 * (8700 + 3000))


def test_a_hook_that_reads_back_gets_what_the_data_side_holds() -> None:
    seen: list[int] = []

    class Looks(Strategy):
        def emit(self, write: Write) -> Generator[op.Operation, int | None, None]:
            yield op.Store(write.unit, 0xFF, 0x5A)
            seen.append((yield op.Load(write.unit)) or 0)

    one(Looks())
    assert seen and all(value & 0xFF == 0x5A for value in seen)


def test_looking_up_and_storing_pays_for_both() -> None:
    class Both(Strategy):
        def retranslate(self, region: Region) -> op.Hook:
            return (op.Lookup(region), *super().retranslate(region))

    found = one(Both())
    assert found.lookup.nominal > 0
    assert found.translate == one("unfixed").translate


class _Held(Strategy):
    def begin(self, region: Region) -> op.Hook:
        return (op.Acquire("mine"),)


class _Twice(_Held):
    def publish(self, region: Region) -> op.Hook:
        return (op.Acquire("mine"), op.Release("mine"))


class _NotHeld(Strategy):
    def publish(self, region: Region) -> op.Hook:
        return (op.Release("mine"),)


class _Round(Strategy):
    def publish(self, region: Region) -> op.Hook:
        return (op.Do("publish", region),)


class _WalksUnits(Strategy):
    def flush_buffer(self, buffer: Buffer) -> op.Hook:
        return tuple(op.Clean(unit) for unit in buffer)


class _Elsewhere(Strategy):
    def publish(self, region: Region) -> op.Hook:
        return (op.Store(dataclasses.replace(next(iter(region)), offset=4096), 0xFF, 0),)


class _Owes(Strategy):
    def side_bytes(self, tb: Block) -> int:
        return -1


class _Breaks(Strategy):
    def side_bytes(self, tb: Block) -> int:
        return 1 // 0


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (_Held(), r"_Held\.begin, line \d+: takes the lock 'mine', and nothing releases it"),
        (_Twice(), r"_Twice\.publish, line \d+: takes the lock 'mine' a second time"),
        (_NotHeld(), r"_NotHeld\.publish, line \d+: releases the lock 'mine', which it does not hold"),
        (_Round(), r"_Round\.publish, line \d+: 64 hooks run one another"),
        (_WalksUnits(), r"_WalksUnits\.flush_buffer, line \d+: raised TypeError: replay does not know the units"),
        (_Elsewhere(), r"_Elsewhere\.publish, line \d+: Store of TB\+4096, where block \d has no unit"),
        (_Owes(), r"_Owes\.side_bytes, line \d+: returns -1"),
        (_Breaks(), r"_Breaks\.side_bytes, line \d+: raised ZeroDivisionError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Strategy) else "",
)
def test_a_strategy_that_cannot_be_priced_is_refused_with_its_place(strategy: Strategy, message: str) -> None:
    trace = trace_of([0, 1, 2], [0], sizes=(128, 64, 64), epoch=[0, 0, 1], flushes=[2])
    with pytest.raises(StrategyError, match=message):
        one(strategy, trace)


def test_regions_of_a_buffer_can_be_flushed_one_by_one() -> None:
    class RegionByRegion(Strategy):
        def flush_buffer(self, buffer: Buffer) -> op.Hook:
            return tuple(op.Flush(region) for region in buffer.regions)

    trace = trace_of([0, 1, 2], [], sizes=(128, 64, 64), epoch=[0, 0, 1], flushes=[2])
    found = one(RegionByRegion(), trace)
    assert found.lines_cleaned == 6
    assert found.flush.nominal == pytest.approx(2 * (800 + 120) + 6 * 17)


def test_a_parameter_out_of_range_is_refused() -> None:
    for vcpus in (0, -1, 2000):
        with pytest.raises(InputError, match="vcpus"):
            Parameters(vcpus=vcpus)
    for setting in ("contended_share=1.01", "translator_code_lines=1.5", "seed=-1", "lookup=1e13"):
        name, _, text = setting.partition("=")
        with pytest.raises(InputError, match=rf"`parameter` {name}: '{text}'; expected an? (number|integer), 0 \.\. "):
            Parameters().varied([setting])
    assert Parameters().varied(["contended_share=1"]).contended_share.high == 1


def test_every_parameter_is_described_with_value_unit_range_tag_and_source() -> None:
    texts = dict(described())
    for name, text in texts.items():
        other = 0.5 if name in ("contended_share", "linked") else 2
        assert Parameters().varied([f"{name}={other}"]) != Parameters()
        assert name == "seed" or re.match(
            r"\S+ [a-z].* \(\S+\.\.\S+\), (assumed: default of this project|(estimate|measured): .*)", text
        )
    assert texts["retranslation"].startswith("32.7 cycles per host byte regenerated (12..52), estimate: ")


def test_a_translation_is_asked_again_of_whoever_changes_what_it_runs() -> None:
    class Slow(Strategy):
        @staticmethod
        def _add_patch(write: Write) -> Generator[op.Operation, int | None, None]:
            yield op.Barrier()
            yield from Strategy._add_patch(write)

    trace = trace_of([0, 1, 0, 1], [], born=[0, 1])
    assert one(Slow(), trace).flush.nominal == pytest.approx(2 * 50)
    assert one("global-lock", trace).flush == NOTHING


# --- properties ---------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(st.sets(st.integers(0, 29)), st.integers(0, 29), st.sampled_from(sorted(shipped())))
def test_another_retranslation_never_makes_anything_cheaper(faults: set[int], more: int, name: str) -> None:
    words = [position % 3 % 2 for position in range(30)]
    few, many = (one(name, trace_of(words, sorted(at))) for at in (faults, faults | {more}))
    for column in ("flush", "lock", "stop", "lookup", "translate", "store_into_code"):
        assert getattr(few, column).nominal <= getattr(many, column).nominal
    for column in ("retranslations", "writes", "lines_cleaned", "lines_invalidated", "side_bytes"):
        assert getattr(few, column) <= getattr(many, column)
    assert few.baseline == many.baseline


@pytest.mark.parametrize("host", ["x86-skylake", "z10", "cortex-a9", "arm926"])
def test_a_fix_that_flushes_nothing_pays_no_flush(host: str) -> None:
    for name in ("idempotent", "idempotent-read-back", "scratch-buffer", "side-table", "global-lock", "unfixed"):
        assert one(name, host=load_host(host)).flush == NOTHING


LONGEST = 1 << 34
"""Executions."""


def watched(monkeypatch: pytest.MonkeyPatch) -> list[Events]:
    """The events of every pass from now on."""
    passes: list[Events] = []

    def watching(*arguments: Any) -> list[Counts]:
        for layers in arguments[4]:
            made = [some.between(-1, LONGEST) for some in layers]
            columns = [np.concatenate([getattr(some, name) for some in made]) for name in Events.__slots__]
            order = np.argsort(columns[0], kind="stable")
            passes.append(Events(*(column[order] for column in columns)))
        return simulate(*arguments)

    monkeypatch.setattr(context_module, "simulate", watching)
    return passes


def test_events_of_one_moment_are_the_fault_then_old_translations_then_the_tb_flush_then_new_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # TB 2 is translated and discarded before execution 2, for which TB 3 is translated, at address 0.
    trace = trace_of(
        [0, 1, 3], [1], sizes=(128, 64, 64, 96), rewritten=52, born=[-1, -1, 2, 2], epoch=[0, 0, 0, 1], flushes=[2]
    )
    passes = watched(monkeypatch)
    one("flush-on-tb-flush", trace)
    _, events = sorted(passes, key=len)
    maintained = [
        (EventKind(kind), address, count)
        for kind, address, count in zip(events.kind, events.address, events.count, strict=True)
        if kind in (EventKind.TRANSLATE, EventKind.CLEAN, EventKind.INVALIDATE)
    ]
    assert set(events.position) == {1}
    translated = (EventKind.TRANSLATE, 0, 1)

    def flushed(address: int, lines: int) -> list[tuple[EventKind, int, int]]:
        return [(kind, address, lines) for kind in (EventKind.CLEAN, EventKind.INVALIDATE)]

    old, everything, new = flushed(192, 2), flushed(0, 8), flushed(0, 3)
    assert maintained == [translated, translated, *old, *everything, translated, *new]
    stores = events.address[events.kind == EventKind.STORE]
    assert stores[0] // 32 * 32 == 128  # the fault's TB is rewritten first


def test_strategies_that_do_the_same_to_the_caches_share_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = watched(monkeypatch)
    asked = [find(name) for name in ("unfixed", "global-lock", "stop-the-world", "idempotent", "side-table")]
    found = replay(ONE_FAULT, A9_LRU, load_translator("arm"), asked, PLAIN)
    assert len(passes) == 2  # the baseline, which is the side table's too, and the others'
    assert len({result.refills for result in found[:4]}) == 1
    assert found[4].refills == 0


def test_progress_ends_at_the_executions_however_many_strategies() -> None:
    seen: list[tuple[int, int]] = []
    asked = [find("unfixed"), find("flush-on-retranslation")]
    replay(ONE_FAULT, A9_LRU, load_translator("arm"), asked, PLAIN, lambda done, total: seen.append((done, total)))
    assert seen == [(4, 4)]


def test_a_trace_without_executions_costs_nothing() -> None:
    found = one("flush-on-retranslation", trace_of([], [], sizes=()))
    assert (found.overhead, found.baseline, found.side_bytes) == (NOTHING, NOTHING, 0)


@st.composite
def _costs(draw: st.DrawFn) -> Cost:
    low, nominal, high = sorted(draw(st.lists(st.integers(0, 10**6), min_size=3, max_size=3)))
    tag = draw(st.sampled_from(get_args(Tag)))
    # Quantities of one name are one unknown.
    name = f"{tag} {low} {nominal} {high}"
    return of_quantity(Quantity.within(nominal, low, high, "cycles", tag, ("test",), name, "drawn so"))


costs = _costs()


@given(costs, costs, st.integers(-1000, 1000))
def test_costs_keep_their_order_and_their_weakest_tag(a: Cost, b: Cost, count: int) -> None:
    for cost in (a + b, a - b, a.times(count), (a + b).times(count)):
        assert cost.low <= cost.nominal <= cost.high
    assert (a + b).tag == (b + a).tag == weakest(a.tag, b.tag)
    assert a + NOTHING == a
    assert a.times(0) == a - a == NOTHING


def test_an_assumption_is_weaker_than_an_estimate_than_a_document_than_a_measurement() -> None:
    assert weakest() == "measured"
    assert weakest("measured", "documented") == "documented"
    assert weakest("documented", "estimate", "measured") == "estimate"
    assert weakest("estimate", "assumed", "documented") == "assumed"


extents = st.builds(
    lambda start, length, in_scratch: Extent(start, None if length is None else start + length, in_scratch),
    st.integers(0, 300),
    st.none() | st.integers(1, 200),
    st.booleans(),
)
kinds = st.sampled_from((EventKind.STORE, EventKind.LOAD, EventKind.CLEAN, EventKind.INVALIDATE))


@settings(deadline=None)
@given(
    st.lists(st.builds(LineStep, kinds, extents, st.just(1)), max_size=6),
    st.lists(st.tuples(st.integers(0, 4000), st.integers(1, 300), st.integers(0, 3)), min_size=1, max_size=4),
)
def test_lines_are_those_that_a_byte_by_byte_count_finds(
    steps: list[LineStep], blocks: list[tuple[int, int, int]]
) -> None:
    def lines(step: LineStep, address: int, size: int) -> set[int]:
        start = min(step.extent.start, size - 1)
        end = size if step.extent.end is None else max(min(step.extent.end, size), start + 1)
        return {byte // 32 for byte in range(address + start, address + end)}

    expected = Tally()
    for address, size, weight in blocks:
        maintained = {
            kind: sum(len(lines(step, address, size)) for step in steps if step.kind is kind)
            for kind in (EventKind.CLEAN, EventKind.INVALIDATE)
        }
        stored = [lines(s, address, size) for s in steps if s.kind is EventKind.STORE and not s.extent.in_scratch]
        expected += Tally(
            cleaned=maintained[EventKind.CLEAN],
            invalidated=maintained[EventKind.INVALIDATE],
            halves=sum(maintained.values()),
            code_lines=len(set().union(*stored)),
        ).times(weight)
    columns = [np.array(column, np.int64) for column in zip(*blocks, strict=True)]
    assert Plan(tuple(steps)).tally(A9_LRU, columns[0], columns[1], np.ones_like(columns[0]), columns[2]) == expected


# --- the recorded boot --------------------------------------------------------------------------------------------


def beginning(trace: Trace, chunks: int) -> Trace:
    """The first chunks of a trace; its later TBs stay in the table."""
    length = sum(words.size for words in Beginning(trace, chunks).words())
    faults = trace.retranslations
    early = faults.position < length
    blocks = dataclasses.replace(trace.blocks, born=np.where(trace.blocks.born < length, trace.blocks.born, -1))
    return dataclasses.replace(
        trace,
        length=length,
        blocks=blocks,
        retranslations=Retranslations(**{f.name: getattr(faults, f.name)[early] for f in dataclasses.fields(faults)}),
        stopped=trace.stopped[trace.stopped < length],
        flushes=trace.flushes[trace.flushes < length],
        discarded=trace.discarded[trace.discarded < length],
        io_recompiles=trace.io_recompiles[trace.io_recompiles < length],
        source=Beginning(trace, chunks),
    )


def test_the_beginning_of_the_recorded_boot() -> None:
    trace = beginning(default_trace(), 2)
    assert len(trace.retranslations) > 10
    names = ("unfixed", "idempotent", "flush-on-retranslation", "side-table", "stop-the-world-flush")
    found = dict(zip(names, replay(trace, A9_LRU, load_translator("arm"), map(find, names)), strict=True))
    for result in found.values():
        assert result.retranslations == len(trace.retranslations)
        assert 0 < result.overhead.low <= result.overhead.nominal <= result.overhead.high
        assert msgspec.json.decode(msgspec.json.encode(result), type=Replayed) == result
    # Dearer by what it adds, and by far: every run of linked TBs takes the lock.
    assert found["unfixed"].overhead == found["idempotent"].overhead
    assert found["idempotent"].overhead.nominal < found["flush-on-retranslation"].overhead.nominal
    assert found["stop-the-world-flush"].overhead.nominal > 4 * found["flush-on-retranslation"].overhead.nominal
    # A flush per retranslation, of at least a line each.
    flush = found["flush-on-retranslation"]
    assert flush.lines_cleaned == flush.lines_invalidated >= flush.retranslations
    assert found["side-table"].writes == 0 < found["side-table"].side_bytes


@settings(max_examples=20, deadline=None)
@given(cuts=st.sets(st.integers(0, 3), max_size=3))
def test_events_that_are_made_in_pieces_are_all_events_once(cuts: set[int]) -> None:
    trace = trace_of([0, 1, 1, 0], [0, 2])
    context = ReplayContext(trace, A9_LRU, load_translator("arm"), Parameters())
    layers = context.events(context.as_emitted)
    for layer in layers:
        ends = [-1, *sorted(cuts), trace.length]
        pieces = [layer.between(*pair) for pair in itertools.pairwise(ends)]
        for piece, (first, end) in zip(pieces, itertools.pairwise(ends), strict=True):
            assert all(first <= position < end for position in piece.position.tolist())
        assert sum(map(len, pieces)) == len(layer)
    runs = Events.merged(layers, -1, trace.length)
    runs = runs[runs.kind == EventKind.TRANSLATE]
    born = trace.blocks.born[trace.blocks.born >= 0] - 1
    assert sorted(runs.position.tolist()) == sorted([*born.tolist(), *trace.retranslations.position.tolist()])
