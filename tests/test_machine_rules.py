"""The rules at the top of ``bench/machine.py``, sentence by sentence, by stepping the machine.

Most tests give T1 a list of operations in the place of a retranslation, and
look at the state between its steps.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec
import pytest
from tiny import QUARTER, TARGET, Branch, Tiny, Way

from bench.hosts import load_host
from bench.machine import Kind, State, Transition, environment_steps, initial, lasting, program_steps
from bench.machine.model import Model
from bench.program.compiler import Compiler
from bench.program.layout import LayoutName
from bench.scenarios import scenario
from bench.search.question import Question
from bench.search.search import search
from bench.translators.registry import load_translator
from strategies import operations as op
from strategies.registry import find
from strategies.strategy import Strategy
from strategies.writes import Form, Region, Unit

MASK = 0xFFFF_FFFF

# --- a block, a thread that does what it is told, and a machine to step ---


def block(*paths: Way) -> Tiny:
    """Three units, ``A``, ``B`` and ``C``; every path fetches all of them unless ``paths`` says otherwise."""
    branch = Branch(0xFF00_0000, QUARTER, Form.WHOLE, Form.WHOLE, 2)
    return Tiny("little", 3, {0: branch}, 3, paths or (("hit", (0, 1, 2)), ("fault", (0, 1, 2))), Form.READ_BACK)


A, B, C = block().block(0).whole
WHOLE = Region(0, 12, block().block(0).writes)
NOWHERE = op.Lookup(Region(0, 12, ()))
WRONG = A.final - TARGET + QUARTER
"""The temporary value of ``A``, the unit that most tests are about."""


def spoil(unit: Unit) -> op.Store:
    """Store a wrong value."""
    return op.Store(unit, MASK, WRONG)


def mend(unit: Unit) -> op.Store:
    """Store the final value."""
    return op.Store(unit, MASK, unit.final)


class Told(Strategy):
    """Does the given operations in the place of a retranslation."""

    def __init__(self, *operations: op.Operation) -> None:
        self._operations = operations

    def retranslate(self, region: Region) -> op.Hook:
        return self._operations


@dataclass(frozen=True)
class Machine:
    """A model in a state; ``last`` is the step that led there."""

    model: Model
    state: State
    last: Transition | None = None

    def possible(self, kind: Kind, **fields: int) -> list[Transition]:
        """The steps of that kind, and of those fields, that are possible now."""
        every = (*environment_steps(self.model, self.state), *program_steps(self.model, self.state))
        return [
            step
            for step in every
            if step.event.kind is kind and all(getattr(step.event, name) == value for name, value in fields.items())
        ]

    def after(self, kind: Kind, **fields: int) -> Machine:
        """After the one such step."""
        (step,) = self.possible(kind, **fields)
        return replace(self, state=step.state, last=step)

    def steps(self, number: int = 1, thread: int = 0) -> Machine:
        """After that many steps of a thread, of which there must be one at a time."""
        machine = self
        for _ in range(number):
            machine = machine.after(Kind.PROGRAM, thread=thread)
        return machine

    @property
    def memory(self) -> Any:
        """The memory of the state."""
        return self.state.memory

    @property
    def where(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Which core owns each data line, or -1, and what memory holds."""
        return self.memory.owner, self.memory.memory

    def waits(self, thread: int = 0) -> bool:
        """The thread cannot step now."""
        return not self.possible(Kind.PROGRAM, thread=thread)

    @property
    def wrong(self) -> bool:
        """The step that led here fetched a wrong unit."""
        return self.last is not None and self.last.wrong is not None


def machine(
    strategy: Strategy,
    *settings: str,
    name: str = "system",
    translator: Tiny | None = None,
    cores: int = 2,
    layout: LayoutName = "apart",
    start: Literal["fault", "cold"] = "fault",
    **instance: Any,
) -> Machine:
    """A machine that starts at T1's retranslation; a Cortex-A9 that does not fetch ahead, but for ``settings``."""
    host = load_host("cortex-a9", ("fetches_ahead=false", *settings))
    scene = scenario(name, cores, **{"retranslations": 1, **instance})
    code = translator or block()
    model = Compiler(strategy, code, host, scene, layout=layout, start_at_fault=start == "fault").model
    return Machine(model, initial(model))


def told(*operations: op.Operation, settings: tuple[str, ...] = (), **options: Any) -> Machine:
    """A machine whose T1 does ``operations`` in the place of its first retranslation."""
    return machine(Told(*operations), *settings, **options)


NO_ALLOCATE = ("write_allocate=false",)
AHEAD = ("fetches_ahead=true",)
COHERENT = ("fill=coherent",)


# --- rule 1: stores ---


MIGRATES = {"name": "migrate"}


@pytest.mark.parametrize(
    ("operations", "settings", "layout", "owner", "memory"),
    [
        pytest.param([spoil(A)], (), "apart", 0, A.final, id="a store takes ownership, memory does not see it"),
        pytest.param([spoil(A)], ("write=through",), "apart", -1, WRONG, id="write-through"),
        pytest.param([spoil(A)], NO_ALLOCATE, "apart", -1, WRONG, id="no allocation: one that misses goes to the PoU"),
        pytest.param([op.Load(A), spoil(A)], NO_ALLOCATE, "packed", 0, A.final, id="a load allocates the line"),
        # ``B`` is no state itself, but it lies in the line of ``A``.
        pytest.param([op.Load(B), spoil(A)], NO_ALLOCATE, "packed", 0, A.final, id="also that of a neighbour"),
        pytest.param([op.Load(B), spoil(A)], NO_ALLOCATE, "apart", -1, WRONG, id="and no other"),
    ],
)
def test_where_a_store_goes(
    operations: list[op.Operation], settings: tuple[str, ...], layout: LayoutName, owner: int, memory: int
) -> None:
    after = told(*operations, settings=settings, layout=layout).steps(len(operations))
    assert (after.where, after.memory.data) == (((owner,), (memory,)), (WRONG,))


def test_the_data_side_is_coherent_another_core_takes_the_line_over() -> None:
    after = told(spoil(A), op.Store(A, 0xFF, 1), **MIGRATES).steps().after(Kind.MOVE).steps()
    assert (after.memory.owner, after.memory.data) == ((1,), (WRONG | 1,))


@pytest.mark.parametrize(("transfer", "memory"), [("cache", A.final), ("memory", WRONG)])
@pytest.mark.parametrize("taking", [op.Load(A), op.Store(A, 0xFF, 1)])
def test_a_dirty_line_that_another_core_takes_reaches_memory_or_not(
    transfer: str, memory: int, taking: op.Operation
) -> None:
    moved = told(spoil(A), taking, settings=(f"dirty_transfer={transfer}",), **MIGRATES).steps().after(Kind.MOVE)
    assert moved.memory.memory == (A.final,)
    assert moved.steps().memory.memory == (memory,)


def test_a_store_that_does_not_allocate_pushes_another_core_s_dirty_line_to_memory() -> None:
    dirty = told(op.Load(A), spoil(A), op.Store(A, 0xFF, 1), settings=NO_ALLOCATE, **MIGRATES).steps(2)
    assert dirty.after(Kind.MOVE).steps().where == ((-1,), (WRONG | 1,))


def test_a_store_takes_the_line_from_the_other_cores_caches() -> None:
    """Both cores have loaded it; what T1 stores on core 1 leaves core 0 without it."""
    loads = (op.Load(A), op.Load(A), spoil(A), op.Store(A, 0xFF, 1))
    loaded = told(*loads, settings=NO_ALLOCATE, **MIGRATES).steps().after(Kind.MOVE).steps()
    stored = loaded.steps().after(Kind.WRITE_BACK).after(Kind.MOVE).steps()
    assert stored.where == ((-1,), (WRONG | 1,))


# --- rule 2: the environment ---


def test_any_data_line_may_be_loaded_where_stores_do_not_allocate_and_then_they_hit() -> None:
    start = told(spoil(A), settings=NO_ALLOCATE)
    assert start.after(Kind.LOAD).steps().where == ((0,), (A.final,))
    assert not start.after(Kind.LOAD).possible(Kind.LOAD)
    assert start.after(Kind.LOAD).after(Kind.WRITE_BACK).steps().where == ((-1,), (WRONG,))
    dirty = told(op.Load(A), spoil(A), settings=(*NO_ALLOCATE, "dirty_transfer=memory"), **MIGRATES).steps(2)
    assert dirty.after(Kind.LOAD, core=1).where == ((-1,), (WRONG,))
    for settings in ((), ("write_allocate=false", "write=through")):
        assert not told(spoil(A), settings=settings).possible(Kind.LOAD)


def test_the_environment_may_write_back_and_drop_a_dirty_line() -> None:
    dirty = told(spoil(A)).steps()
    assert dirty.after(Kind.WRITE_BACK).state.memory[3:7] == ((WRONG,), (-1,), (0,), (WRONG,))
    assert not told(spoil(A)).possible(Kind.WRITE_BACK)


def test_a_line_may_be_dropped_clean_or_dirty_which_matters_where_stores_do_not_allocate() -> None:
    loaded = told(op.Load(A), spoil(A), mend(A), settings=NO_ALLOCATE).steps()
    assert loaded.steps().memory.owner == (0,)
    assert loaded.after(Kind.WRITE_BACK).steps().memory.owner == (-1,)
    assert loaded.steps().after(Kind.WRITE_BACK).steps().where == ((-1,), (A.final,))


def test_the_environment_may_fill_and_drop_instruction_lines_of_any_core() -> None:
    start = told(spoil(A), name="user")
    for core in (0, 1):
        filled = start.after(Kind.FILL, core=core)
        assert filled.memory.icache[core] == ((A.final,),)
        assert filled.memory.icache[1 - core] == (None,)
        assert filled.after(Kind.DROP, core=core).state == start.state


def test_threads_switch_only_where_they_share_a_core_and_move_only_where_the_scenario_says_so() -> None:
    shared, own = told(spoil(A), name="user", cores=1), told(spoil(A), name="user")
    assert [step.event.thread for step in shared.possible(Kind.SWITCH)] == [1]
    assert shared.after(Kind.SWITCH).state.running == (1,)
    assert not own.possible(Kind.SWITCH)
    assert not own.possible(Kind.MOVE)
    moving = told(spoil(A), name="migrate")
    assert moving.after(Kind.MOVE).state.running == (-1, 0)


switched = pytest.mark.parametrize(("name", "kind", "cores"), [("user", Kind.SWITCH, 1), ("migrate", Kind.MOVE, 2)])


@switched
def test_a_switch_or_a_move_waits_for_the_old_core_s_maintenance_and_stores(name: str, kind: Kind, cores: int) -> None:
    stored = told(spoil(A), settings=("store_buffer=1",), name=name, cores=cores).steps()
    assert not stored.possible(kind)
    assert stored.after(Kind.DRAIN).possible(kind)
    cleaning = told(spoil(A), op.Clean(A), name=name, cores=cores).steps(2)
    assert not cleaning.possible(kind)
    assert cleaning.after(Kind.COMPLETE).possible(kind)


@switched
def test_a_switch_or_a_move_cleans_and_invalidates_everything_only_on_some_hosts(
    name: str, kind: Kind, cores: int
) -> None:
    for cleans, memory, line in (("true", WRONG, None), ("false", A.final, (A.final,))):
        filled = told(spoil(A), settings=(f"switch_cleans_all={cleans}",), name=name, cores=cores)
        after = filled.after(Kind.FILL, core=0).steps().after(kind)
        assert after.memory.memory == (memory,)
        assert after.memory.icache[0] == (line,)
        options: dict[str, Any] = {"settings": (f"switch_cleans_all={cleans}", *NO_ALLOCATE), "name": name}
        loaded = told(op.Load(A), spoil(A), cores=cores, **options).steps().after(kind).after(kind)
        assert loaded.steps().memory.owner == ((-1,) if line is None else (0,))  # whether the store hits


# --- rule 3: instruction fills and snoops ---


@pytest.mark.parametrize(("fill", "seen"), [("pou", A.final), ("coherent", WRONG)])
def test_an_instruction_fill_reads_the_pou_or_the_newest_data(fill: str, seen: int) -> None:
    filled = told(spoil(A), settings=(f"fill={fill}",)).steps().after(Kind.FILL)
    assert filled.memory.icache == (((seen,),),)


@pytest.mark.parametrize(("snoop", "dropped"), [("none", ()), ("others", (1,)), ("all", (0, 1))])
@pytest.mark.parametrize("stored", [A, B])
def test_a_store_drops_its_line_from_nobody_from_the_others_or_from_all(
    snoop: str, dropped: tuple[int, ...], stored: Unit
) -> None:
    """So does one to a neighbour in the line."""
    start = told(mend(stored), spoil(A), settings=(f"snoop={snoop}",), name="user", layout="packed")
    after = start.after(Kind.FILL, core=0).after(Kind.FILL, core=1).steps()
    assert tuple(core for core in (0, 1) if after.memory.icache[core] == (None,)) == dropped


def test_a_fill_takes_whatever_the_whole_line_holds() -> None:
    filled = told(spoil(A), spoil(B), layout="packed").after(Kind.FILL)
    assert filled.memory.icache == (((A.final, B.final),),)


# --- rule 4: units fetched ahead ---

RUNS = (Kind.AHEAD, Kind.AHEAD, Kind.AHEAD)


def ahead(*operations: op.Operation, units: int = 3, **options: Any) -> Machine:
    """A host that fetches ahead, after it fetched the first ``units`` units of the block ahead."""
    every = (spoil(A), spoil(B), spoil(C))
    found = told(*operations, *every, settings=(*AHEAD, *options.pop("settings", ())), **options)
    for _ in range(units):
        found = found.after(Kind.AHEAD, core=0)
    return found


def test_the_queue_is_a_run_of_units_from_the_first_on_inside_a_block_from_the_next() -> None:
    full = ahead()
    assert full.memory.ahead == ((0, 0, ((A.final,), (B.final,), (C.final,))),)
    assert not full.possible(Kind.AHEAD)
    entered = machine(Told(spoil(A), spoil(B), spoil(C)), *AHEAD, start="cold").steps()
    assert entered.after(Kind.AHEAD).memory.ahead == ((0, 1, ((B.final,),)),)
    assert not told(spoil(A), settings=("checks_pipeline=true",)).possible(Kind.AHEAD)  # no queue on such a host


def test_what_is_in_the_queue_is_what_is_fetched_in_order() -> None:
    """The first two units were fetched ahead while they were wrong; all have been mended since."""
    every = (spoil(A), spoil(B), spoil(C), mend(A), mend(B), mend(C))
    spoiled = told(*every, settings=(*AHEAD, *COHERENT)).steps(3)
    mended = spoiled.after(Kind.AHEAD).after(Kind.AHEAD).steps(3)
    first = mended.after(Kind.DROP, line=0).after(Kind.DROP, line=1).steps()
    assert (first.last and first.last.wrong, first.memory.ahead) == ((0, 0), ((0, 1, ((WRONG,),)),))
    assert first.steps().wrong
    assert not first.steps().steps().wrong


def test_neither_stores_nor_invalidations_empty_the_queue() -> None:
    full = ahead(mend(A), op.Invalidate(A), op.Barrier(), settings=("snoop=all",))
    after = full.steps(2).after(Kind.COMPLETE).steps()
    assert after.memory.ahead == full.memory.ahead


def test_sync_empties_the_own_queue_and_sync_cores_all() -> None:
    for operation, others in ((op.Sync(), 1), (op.SyncCores(), 0)):
        full = ahead(operation, name="user").after(Kind.AHEAD, core=1).steps()
        assert full.memory.ahead[0] is None
        assert (full.memory.ahead[1] is not None) == bool(others)


@switched
def test_a_switch_and_a_move_empty_the_queue(name: str, kind: Kind, cores: int) -> None:
    assert ahead(name=name, cores=cores).after(kind).memory.ahead[0] is None


def test_entering_another_block_empties_the_queue() -> None:
    """Two units of block 0 are in it when T1 may run either block."""
    stored = told(*(spoil(replace(unit, tb=tb)) for tb in (0, 1) for unit in (A, B)), settings=AHEAD, tbs=2).steps(4)
    full = stored.after(Kind.AHEAD, detail=0).after(Kind.AHEAD, detail=0)
    assert [step.state.memory.ahead for step in full.possible(Kind.PROGRAM)] == [((0, 1, ((B.final,),)),), (None,)]


def test_a_branch_that_leaves_the_run_or_the_block_empties_the_queue() -> None:
    """``A`` and ``B`` have been fetched ahead; the path goes from ``A`` to ``C``, which is fetched anew."""
    skipping = block(("hit", (0, 2)), ("fault", (0, 1, 2)))
    branching = ahead(translator=skipping, units=2).steps(4)
    assert branching.memory.ahead == ((0, 1, ((B.final,),)),)
    assert branching.memory.icache[0][2] is None
    after = branching.steps()
    assert after.memory.ahead == (None,)
    assert after.memory.icache[0][2] is not None
    short = block(("hit", (0, 1, 2)), ("fault", (0, 1)))
    entered = machine(Told(spoil(A), spoil(B), spoil(C)), *AHEAD, translator=short, start="cold").steps()
    assert entered.after(Kind.AHEAD).after(Kind.AHEAD).steps().memory.ahead == (None,)


# --- rule 5: maintenance ---


def test_maintenance_is_pending_until_a_barrier_of_the_same_core_waits_for_it() -> None:
    cleaning = told(spoil(A), op.Clean(A), op.Barrier()).steps(2)
    assert cleaning.memory.memory == (A.final,)
    assert cleaning.waits()
    completed = cleaning.after(Kind.COMPLETE)
    assert completed.memory.memory == (WRONG,)
    assert not completed.waits()
    assert not told(spoil(A), op.Clean(A), mend(A)).steps(2).waits()  # without a barrier nothing does


def test_a_clean_leaves_the_line_in_its_cache() -> None:
    """So that, where stores do not allocate, the next one hits."""
    cleaned = told(op.Load(A), spoil(A), op.Clean(A), mend(A), settings=NO_ALLOCATE).steps(3).after(Kind.COMPLETE)
    assert (cleaned.where, cleaned.steps().where) == (((-1,), (WRONG,)), ((0,), (WRONG,)))


def test_maintenance_may_complete_at_any_moment_and_in_any_order() -> None:
    both = told(spoil(A), op.Clean(A), op.Invalidate(A), mend(A), op.Barrier()).steps(3)
    orders = both.possible(Kind.COMPLETE)
    assert [step.event.detail for step in orders] == [0, 1]
    late = both.steps().after(Kind.COMPLETE, detail=0)
    assert late.memory.memory == (A.final,)  # the clean took what was newest when it completed


def test_another_core_s_barrier_does_not_wait() -> None:
    """T1's clean is pending; T2 runs, does the same, and passes its barrier when its own clean has completed."""
    one = told(spoil(A), op.Clean(A), op.Barrier(), name="user-both").steps(2)
    two = one.steps(3, thread=1).after(Kind.COMPLETE, core=1).steps(1, thread=1)
    assert two.memory.pending == (one.memory.pending[0], frozenset())
    assert two.waits(thread=0)


def test_a_broadcast_invalidation_completes_core_by_core_and_a_local_one_on_the_issuing_core_only() -> None:
    filled = told(op.Invalidate(A), spoil(A), name="user").after(Kind.FILL, core=0).after(Kind.FILL, core=1).steps()
    for target in (0, 1):
        after = filled.after(Kind.COMPLETE, detail=1 + target)
        assert (after.memory.icache[target], after.memory.icache[1 - target]) == ((None,), ((A.final,),))
    start = told(op.Invalidate(A, op.Scope.LOCAL), op.Barrier(), spoil(A), name="user")
    after = start.after(Kind.FILL, core=0).after(Kind.FILL, core=1).steps().after(Kind.COMPLETE).steps()
    assert after.memory.icache == ((None,), ((A.final,),))


def test_maintenance_covers_the_whole_line_of_a_unit() -> None:
    cleaned = told(spoil(A), spoil(B), op.Clean(B), layout="packed").steps(3).after(Kind.COMPLETE)
    assert cleaned.memory.memory == (WRONG, WRONG)


def test_a_flush_is_what_the_host_does_for_it() -> None:
    """A Cortex-A9: clean, barrier, invalidate everywhere, barrier, synchronise."""
    start = (
        told(spoil(A), op.Flush(WHOLE), settings=AHEAD, name="user").after(Kind.AHEAD, core=0).after(Kind.FILL, core=1)
    )
    cleaned = start.steps(2).after(Kind.COMPLETE).steps()
    assert cleaned.memory.memory == (WRONG,)
    invalidated = cleaned.steps().after(Kind.COMPLETE, detail=1).after(Kind.COMPLETE, detail=2).steps()
    assert invalidated.memory.icache == ((None,), (None,))
    assert invalidated.memory.ahead[0] is not None
    assert invalidated.steps().memory.ahead[0] is None


@pytest.mark.parametrize(
    ("key", "steps"), [("clean", 5), ("sync", 5), ("remote_sync", 7), ("whole_icache", 6), ("invalidate", 4)]
)
def test_a_flush_has_the_steps_of_its_recipe(key: str, steps: int) -> None:
    value = {"clean": "false", "sync": "false", "invalidate": "none"}.get(key, "true")
    found = told(op.Flush(WHOLE), spoil(A), settings=(f"flush.{key}={value}",))
    done = 0
    while found.memory.data == found.model.final:
        for _ in found.memory.pending[0]:
            found = found.after(Kind.COMPLETE)
        found, done = found.steps(), done + 1
    assert done == steps


def test_cores_left_out_of_a_flush_drop_their_instruction_cache_when_they_next_run_the_process() -> None:
    start = told(spoil(A), op.Flush(WHOLE), settings=("deferred_to_move=true",), name="migrate").after(
        Kind.FILL, core=1
    )
    cleaned = start.steps(2).after(Kind.COMPLETE).steps()
    flushed = cleaned.steps().after(Kind.COMPLETE).steps(2)  # one completion: the other core is left out
    assert flushed.memory.icache[1] == ((A.final,),)
    assert flushed.after(Kind.MOVE).memory.icache[1] == (None,)
    running = told(op.Flush(WHOLE), spoil(A), settings=("deferred_to_move=true", "clean=false"), name="user").steps(2)
    assert [step.event.detail for step in running.possible(Kind.COMPLETE)] == [1, 2]  # and those that run it at once


# --- rule 6: the store buffer ---

BUFFER = ("store_buffer=2",)


def test_the_store_buffer_is_first_in_first_out_and_a_store_waits_for_room() -> None:
    stored = told(spoil(A), mend(A), settings=BUFFER).steps(2)
    assert (stored.memory.data, stored.memory.owner) == ((A.final,), (-1,))
    first = stored.after(Kind.DRAIN)
    assert first.memory.data == (WRONG,)
    assert first.after(Kind.DRAIN).memory.data == (A.final,)
    full = told(spoil(A), mend(A), spoil(A), settings=BUFFER).steps(2)
    assert full.waits()
    assert not full.after(Kind.DRAIN).waits()


class Counts(Strategy):
    """Twice stores what it has loaded, one higher."""

    def retranslate(self, region: Region) -> Generator[op.Operation, int | None, None]:
        for _ in range(2):
            held = (yield op.Load(A)) or 0
            yield op.Store(A, 0xFF, (held + 1) & 0xFF)


def test_loads_of_its_core_see_the_store_buffer() -> None:
    stored = machine(Counts(), *BUFFER).steps(4)
    assert stored.memory.data == (A.final,)
    assert stored.after(Kind.DRAIN).after(Kind.DRAIN).memory.data == (A.final + 2,)


def test_a_store_snoops_when_it_drains() -> None:
    stored = told(spoil(A), settings=(*BUFFER, "snoop=all")).after(Kind.FILL).steps()
    assert stored.memory.icache == (((A.final,),),)
    assert stored.after(Kind.DRAIN).memory.icache == ((None,),)


def test_a_clean_completes_only_after_older_stores_to_its_line() -> None:
    cleaning = told(spoil(A), op.Clean(A), settings=BUFFER).steps(2)
    assert not cleaning.possible(Kind.COMPLETE)
    assert cleaning.after(Kind.DRAIN).after(Kind.COMPLETE).memory.memory == (WRONG,)
    behind_two = told(spoil(A), mend(A), op.Clean(A), settings=BUFFER).steps(3).after(Kind.DRAIN)
    assert not behind_two.possible(Kind.COMPLETE)
    assert behind_two.after(Kind.DRAIN).possible(Kind.COMPLETE)
    for younger_or_elsewhere in ((op.Clean(A), spoil(A)), (spoil(B), op.Clean(A))):
        assert told(*younger_or_elsewhere, spoil(A), settings=BUFFER).steps(2).possible(Kind.COMPLETE)


@pytest.mark.parametrize(
    ("operation", "waits"),
    [
        (op.Barrier(), True),
        (op.Acquire("lock"), True),
        (op.Sync(), False),
        (op.SyncCores(), True),
        (op.Invalidate(A), False),
    ],
)
def test_who_waits_until_the_store_buffer_is_empty(operation: op.Operation, waits: bool) -> None:
    end = (op.Release("lock"),) if isinstance(operation, op.Acquire) else ()
    stored = told(spoil(A), operation, *end, settings=BUFFER).steps()
    assert stored.waits() == waits
    assert not stored.after(Kind.DRAIN).waits()
    if end:  # so does giving it back
        stored = told(operation, spoil(A), *end, settings=BUFFER).steps(2)
        assert stored.waits()
        assert stored.after(Kind.DRAIN).steps().state.locks == ((-1, 0),)


@pytest.mark.parametrize(("checks", "waits"), [("true", True), ("false", False)])
def test_on_hosts_that_check_the_pipeline_a_fetch_waits_for_the_own_buffered_stores(checks: str, waits: bool) -> None:
    stored = told(spoil(A), settings=(*BUFFER, f"checks_pipeline={checks}"), name="user").steps()
    assert stored.waits() == waits
    assert not stored.waits(thread=1)
    assert not stored.after(Kind.DRAIN).waits()


@pytest.mark.parametrize(("shared", "waits"), [(False, True), (True, False)])
def test_a_lock_is_taken_alone_or_shared_with_sharers(shared: bool, waits: bool) -> None:
    lock = op.Acquire("lock", shared), op.Release("lock")
    held = told(*lock, name="user-both").steps().steps(1, thread=1)
    assert held.waits(thread=1) == waits
    assert not held.steps().waits(thread=1)


# --- rule 7: executions ---


def test_an_execution_fetches_its_path_in_order_and_fills_what_is_missing_in_the_same_step() -> None:
    running = machine(Told(spoil(A), spoil(B), spoil(C)), start="cold")
    held = []
    for _ in range(3):
        running = running.steps()
        held.append([line is not None for line in running.memory.icache[0]])
    assert held == [[True, False, False], [True, True, False], [True, True, True]]


def test_a_fetch_that_hits_reads_the_line_as_it_was_filled() -> None:
    stale = told(spoil(A), mend(A), settings=COHERENT).steps().after(Kind.FILL).steps()
    assert stale.steps().wrong
    assert not stale.after(Kind.DROP).steps().wrong


def test_a_unit_that_crosses_a_line_is_fetched_from_both() -> None:
    """Its first half is stale, its second is not."""
    host = load_host("cortex-a9", ("fetches_ahead=false", "icache.line=8", "dcache.line=8", *COHERENT))
    scene = scenario("system", 1, retranslations=1)
    model = Compiler(
        Told(spoil(A), mend(A)), block(), host, scene, layout="packed", offset=6, start_at_fault=True
    ).model
    start = Machine(model, initial(model))
    spoiled = start.steps(2)  # half by half
    filled = spoiled.after(Kind.FILL, line=0).after(Kind.FILL, line=1).steps(2)
    assert not filled.after(Kind.DROP, line=0).after(Kind.DROP, line=1).steps().wrong
    assert not filled.after(Kind.DROP, line=1).steps().wrong  # the low half is the same in both values
    assert filled.after(Kind.DROP, line=0).steps().wrong


def test_an_execution_that_meets_no_live_unit_is_one_step() -> None:
    running = machine(Told(NOWHERE), start="cold").steps()
    assert running.steps().steps().state == running.steps(2).state
    assert not running.possible(Kind.FILL)


# --- rule 8: discarded blocks, and what a verdict covers ---


def discarded(*settings: str) -> Machine:
    """T2 has thrown the code buffer away."""
    start = machine(Strategy(), *settings, name="user-both", flushes=1, start="cold")
    return start.after(Kind.PROGRAM, thread=1, detail=2)


def test_a_discarded_block_is_not_run_before_it_has_been_translated_anew() -> None:
    found = discarded()
    assert found.state.blocks == (0,)
    claims = found.possible(Kind.PROGRAM, thread=0)
    assert [step.state.blocks for step in claims if step.state.blocks != (0,)] == [(-1,)]
    translating = found.after(Kind.PROGRAM, thread=0, detail=1)
    assert translating.waits(thread=1)
    while translating.state.blocks != (1,):
        for core, pending in enumerate(translating.memory.pending):
            for item in pending:
                translating = translating.after(Kind.COMPLETE, core=core, line=item.line, detail=item.target + 1)
        translating = translating.steps()
    assert translating.possible(Kind.PROGRAM, thread=1, detail=0)


def test_a_discarded_block_is_not_fetched_ahead_and_the_queues_are_empty() -> None:
    start = machine(Strategy(), *AHEAD, name="user-both", flushes=1, start="cold")
    found = start.after(Kind.AHEAD, core=0).after(Kind.PROGRAM, thread=1, detail=2)
    assert found.memory.ahead == (None, None)
    assert not found.possible(Kind.AHEAD)


def test_the_buffer_is_not_discarded_while_somebody_executes_or_retranslates_in_it() -> None:
    now = machine(Told(spoil(A), mend(A)), name="user-both", flushes=1, start="cold")
    possible = []
    for _ in range(4):
        possible.append(bool(now.possible(Kind.PROGRAM, thread=1, detail=2)))
        now = now.after(Kind.PROGRAM, thread=0, detail=0)
    assert possible == [True, False, False, True]  # idle, faulted, between the stores, done


def test_a_lasting_value_is_one_that_is_there_when_nobody_rewrites_and_no_store_is_buffered() -> None:
    stored = told(spoil(A), NOWHERE, settings=BUFFER).steps()
    drained = stored.after(Kind.DRAIN)
    assert not lasting(drained.model, drained.state)  # T1 has still to look something up
    assert lasting(drained.model, drained.steps().state)
    assert not lasting(stored.model, stored.steps().state)


class Crossed(Told):
    """Runs the block with two locks held, taken in the other order than its retranslation takes them."""

    def enter(self, region: Region) -> op.Hook:
        return (op.Acquire("b"), op.Acquire("a"))

    def leave(self, region: Region) -> op.Hook:
        return (op.Release("a"), op.Release("b"))


def test_a_deadlock_one_step_nearer_than_a_wrong_fetch_is_the_counterexample() -> None:
    """The wrong fetch comes first in the order of runs, since a step of the environment is early in its run."""
    locks = op.Acquire("a"), op.Acquire("b"), op.Release("a"), op.Release("b")
    near = machine(Crossed(spoil(A), NOWHERE, *locks), name="user").model
    far = machine(Crossed(spoil(A), *(NOWHERE,) * 2, *locks), name="user").model
    found = [search(model, Question(), max_states=10_000) for model in (near, far)]
    assert [(outcome.failure, outcome.depth) for outcome in found] == [("deadlock", 4), ("wrong fetch", 5)]


# --- rule 5: line sizes ---


@pytest.mark.parametrize(("lines", "verdict"), [((32, 32), "holds"), ((32, 16), "fails")])
def test_a_loop_that_learned_the_longer_line_leaves_a_shorter_one(lines: tuple[int, ...], verdict: str) -> None:
    host = msgspec.structs.replace(load_host("cortex-a9", ["fetches_ahead=false"]), icache_lines=lines)
    scene = scenario("migrate", 2, retranslations=1)
    translator = load_translator("arm")  # its branch at 32 lies in the second half of a line, shifted by 16
    model = Compiler(find("flush-on-retranslation"), translator, host, scene, layout="packed", offset=16).model
    assert search(model, Question(), max_states=100_000).verdict == verdict
