"""What the rows of a run say: each its own operation, and its own reason."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from cells import cell
from test_machine_rules import (
    AHEAD,
    BUFFER,
    NO_ALLOCATE,
    NOWHERE,
    WRONG,
    A,
    B,
    C,
    Machine,
    Told,
    machine,
    mend,
    spoil,
    told,
)
from test_verdicts import CrossedLocks

from bench.check.cell import Checked
from bench.explain.counterexample import explain
from bench.explain.explanation import Explanation, RunRow
from bench.explain.follow import load_events
from bench.machine import Kind, Transition
from bench.report.checks import CheckReport
from strategies import operations as op
from strategies import registry
from strategies.retranslation.flush_on_retranslation import FlushOnRetranslation
from strategies.strategy import Strategy
from strategies.writes import Region


def explanation(found: Checked) -> Explanation:
    """Its explanation, which there must be."""
    assert found.explanation is not None
    return found.explanation


Choice = int | tuple[Kind, dict[str, int]]
"""A step of the thread of that number, or one of the environment with such fields."""


def rows(start: Machine, *choices: Choice, failure: str = "") -> Explanation:
    """The run that takes these steps."""
    now = start
    run: list[Transition] = []
    for choice in choices:
        if isinstance(choice, int):
            now = now.after(Kind.PROGRAM, thread=choice, detail=0)
        else:
            now = now.after(choice[0], **choice[1])
        assert now.last is not None
        run.append(now.last)
    return explain(start.model, run, failure, lambda unit, value: f"word {value:x}")


def last(start: Machine, *choices: Choice) -> RunRow:
    """The last row of the run that takes these steps."""
    return rows(start, *choices).rows[-1]


# --- several live units ---


@pytest.fixture
def on_z10() -> Explanation:
    """The thread's sequence where a block has two branches."""
    return explanation(cell("unfixed", "user", "z10", "s390x", follow=load_events("thread"), follow_source="thread"))


def test_a_row_names_the_branch_that_it_writes_and_is_explained_by_it_where_a_block_has_two(
    on_z10: Explanation,
) -> None:
    assert on_z10.watched is not None
    assert on_z10.watched.name == "TB+36"
    rows = {row.operation: row.because for row in on_z10.rows if "branch" in row.operation}
    begun = "branch at TB+{} is written with a temporary target"
    assert [*rows] == [begun.format(36), begun.format(54), "target of the branch at TB+36 is updated"]
    other = rows[begun.format(54)]
    assert other.startswith("Another branch, at TB+54, is stored: the data cache writes through, so that memory")
    assert "a7f4" in other, "BRC 15, the jump over the fast path"
    assert "a784" not in other, "BRC 8, the watched one"
    assert other.endswith("; the watched one is as before.")
    dropped = "the store drops the line from the instruction cache of cores 0 and 1."
    assert rows[begun.format(36)].endswith(dropped)


def test_with_one_live_branch_no_place_is_named() -> None:
    found = explanation(cell("unfixed", "system", start="fault"))
    assert not any("TB+" in row.operation + row.because for row in found.rows)


def test_a_line_without_the_watched_unit_is_told_of_by_what_it_holds() -> None:
    start = told(spoil(A), spoil(B), mend(A), mend(B))
    row = last(start, 0, 0, (Kind.WRITE_BACK, {"line": 1}))
    assert row.operation == "cache line of TB+4 is flushed to memory"
    assert row.because.endswith(f"memory now holds {WRONG:08x} (word {WRONG:x}) at TB+4.")
    assert (row.dcache, row.memory) == ("wrong", "ok")


def test_a_store_to_a_neighbour_in_the_same_line_says_what_that_does_to_the_watched_unit() -> None:
    start = told(spoil(A), spoil(B), mend(A), mend(B), layout="packed", settings=("dcache.write=through",))
    row = last(start, 0, 0)
    assert row.operation == "retranslate stores at TB+0 and TB+4"
    alone = last(start, 0, 0, (Kind.FILL, {"core": 0}), 0, (Kind.DROP, {"core": 0}), 0)
    assert alone.operation == "retranslate stores at TB+4"
    assert alone.because.startswith("Another unit, at TB+4, is stored: ")
    assert alone.because.endswith("; the watched one is as before.")


# --- executed, or executed again ---


def test_a_thread_that_has_never_run_the_block_executes_it_for_the_first_time() -> None:
    found = explanation(cell("unfixed", "user")).rows
    runs = [(row.actor, row.operation) for row in found if "executed" in row.operation]
    assert runs == [("T1", "TB is executed; its access faults"), ("T2", "TB is executed")]


def test_a_thread_that_begins_at_the_fault_has_run_the_block() -> None:
    assert explanation(cell("unfixed", "system", start="fault")).rows[-1].operation == "TB is re-executed"
    assert explanation(cell("unfixed", "user", start="fault")).rows[-1].operation == "TB is executed", "by T2"


def test_each_block_is_executed_for_the_first_time() -> None:
    start = machine(Told(spoil(A), mend(A)), name="user", tbs=2, start="cold")
    one, two = (Kind.PROGRAM, {"thread": 1, "detail": 0}), (Kind.PROGRAM, {"thread": 1, "detail": 1})
    found = rows(start, one, two, one)
    assert [row.operation for row in found.rows] == ["TB 1 is executed", "TB 2 is executed", "TB 1 is re-executed"]


def test_an_execution_that_something_comes_between_goes_on_and_faults_at_its_end() -> None:
    start = machine(Told(spoil(A), spoil(B), mend(A), mend(B)), start="cold")
    found = rows(start, 0, (Kind.FILL, {"line": 1}), 0)
    assert [row.operation for row in found.rows] == [
        "TB is executed",
        "instruction line of TB+4 is filled",
        "execution of TB goes on; its access faults",
    ]


# --- read-modify-writes ---


def test_a_row_that_only_loads_does_not_say_that_it_updates() -> None:
    found = explanation(cell("unfixed", "user-both", hazard="lasting")).rows
    texts = [(row.actor, row.operation) for row in found if row.operation.startswith("branch")]
    assert texts == [
        ("T1", "branch is written with a temporary target"),
        ("T1", "branch is loaded to be updated"),
        ("T2", "branch is written with a temporary target"),
        ("T1", "branch target is updated"),
        ("T2", "branch target is updated"),
    ]
    loaded, stored = (row for row in found if row.actor == "T1" and "updated" in row.operation)
    assert loaded.because == "The load reads 0a000000 (beq #0x1000028)."
    assert stored.because.startswith("What was loaded before is changed and stored; ")
    assert found[-1].because.startswith("However, it has its final value already when it is loaded, changed and stored")


def test_a_hook_that_loads_says_no_more_than_that() -> None:
    row = last(told(spoil(A), op.Load(A), mend(A)), 0, (Kind.WRITE_BACK, {}), 0)
    assert row.operation == "retranslate loads"
    row = last(told(spoil(A), op.Load(A), mend(A), settings=NO_ALLOCATE), 0, (Kind.FILL, {"core": 0}), 0)
    assert row.dcache == "wrong"
    assert row.because.endswith(", and brings its line into the data cache.")
    start = told(spoil(A), op.Load(A), mend(A), settings=BUFFER)
    row = last(start, 0, (Kind.FILL, {"core": 0}), 0)
    assert start.after(Kind.PROGRAM, thread=0).memory.data == start.memory.data, "it has not drained"
    assert row.because == f"The load reads {WRONG:08x} (word {WRONG:x})."


# --- deadlock ---


class Upgrade(Strategy):
    """Executions share a lock; retranslations share one too, and want the first alone."""

    def enter(self, region: Region) -> op.Hook:
        return (op.Acquire("world", shared=True), op.Acquire("world 2"))

    def leave(self, region: Region) -> op.Hook:
        return (op.Release("world 2"), op.Release("world"))

    def begin(self, region: Region) -> op.Hook:
        return (op.Acquire("world 2"), op.Acquire("world"))

    def publish(self, region: Region) -> op.Hook:
        return (op.Release("world"), op.Release("world 2"))


CROSSED = CrossedLocks()


@pytest.mark.parametrize("host", ["cortex-a9", "arm926"])
def test_a_deadlock_says_who_waits_for_what(host: str) -> None:
    found = explanation(cell(CROSSED, "user", host, hazard="lasting"))
    assert found.closing == (
        "Nothing can go on, and no step of the environment helps: T1 waits for the lock 'A', which T2 holds; "
        "T2 waits for the lock 'B', which T1 holds."
    )
    taken = [row.because for row in found.rows if "is taken" in row.operation]
    assert set(taken) == {"Nobody else holds it."}


def test_a_deadlock_names_those_who_share_a_lock() -> None:
    found = explanation(cell(Upgrade(), "user", hazard="lasting"))
    assert found.closing.endswith(
        "T1 waits for the lock 'world', which T2 shares; T2 waits for the lock 'world 2', which T1 holds."
    )


@pytest.mark.parametrize(
    ("operations", "settings", "reason"),
    [
        ((spoil(A), mend(A), op.Clean(A), op.Barrier()), (), "its maintenance to complete, at a barrier"),
        ((spoil(A), mend(A), op.Barrier()), BUFFER, "its store buffer to be empty"),
    ],
    ids=["maintenance", "stores"],
)
def test_a_thread_may_wait_for_its_own_core(
    operations: tuple[op.Operation, ...], settings: tuple[str, ...], reason: str
) -> None:
    start = told(*operations, settings=settings)
    found = rows(start, *[0] * (len(operations) - 1), failure="deadlock")
    assert found.closing == f"Nothing can go on, and no step of the environment helps: T1 waits for {reason}."


def test_a_thread_may_wait_for_a_block_to_be_translated_anew() -> None:
    start = machine(Strategy(), name="user-both", flushes=1, start="cold")
    discarded = (Kind.PROGRAM, {"thread": 0, "detail": 2})
    claimed = (Kind.PROGRAM, {"thread": 0, "detail": 1})
    found = rows(start, discarded, claimed, failure="deadlock")
    assert "T2 waits for TB to be translated anew" in found.closing
    assert [row.because for row in found.rows] == [
        "Nobody executes or retranslates in it; no TB in it may run until it is translated anew.",
        "It was discarded, and nobody else is translating it.",
    ]


# --- a reason of its own ---


def shared_lock() -> Iterator[tuple[str, str]]:
    """The rows of a run in which two threads share a lock."""
    start = machine(registry.find("stop-the-world"), name="user", start="cold")
    for row in rows(start, 0, 1, 0, 0).rows:
        if "lock" in row.operation:
            yield f"{row.actor}: {row.operation}", row.because


def test_locks_say_who_else_holds_them() -> None:
    assert list(shared_lock()) == [
        ("T1: lock 'world' is taken, shared", "Nobody holds it alone."),
        ("T2: lock 'world' is taken, shared", "It may be shared, and T1 shares it too."),
        ("T1: lock 'world' is given back", "It is not needed any longer; T2 still shares it."),
    ]


WAITED = "The barrier has waited for this core's stores and maintenance"
PLAIN: dict[str, tuple[op.Operation, str]] = {
    "taken": (op.Acquire("x"), "Nobody else holds it."),
    "synchronised": (op.Sync(), "This core keeps nothing of what it has fetched ahead."),
    "all synchronised": (op.SyncCores(), "No core keeps what it has fetched ahead."),
    "looked up": (NOWHERE, "What is sought was stored beside the code at translation, and no code is written."),
    "barrier": (op.Barrier(), f"{WAITED}; memory holds the final value."),
    "cleaned": (op.Clean(A), "The clean is under way until a barrier waits for it."),
    "invalidated": (op.Invalidate(A), "The invalidation is under way until a barrier waits for it."),
}


@pytest.mark.parametrize("name", PLAIN)
def test_each_operation_has_its_own_reason(name: str) -> None:
    operation, reason = PLAIN[name]
    freed = (op.Release("x"),) if isinstance(operation, op.Acquire) else ()
    assert last(told(operation, *freed, spoil(A), mend(A)), 0).because == reason


def test_a_synchronisation_does_not_speak_of_maintenance_and_a_lock_given_back_may_be_taken() -> None:
    row = last(told(spoil(A), mend(A), op.Clean(A), op.Sync(), op.Barrier()), 0, 0, 0, 0)
    assert row.because == "This core keeps nothing of what it has fetched ahead."
    row = last(told(op.Acquire("x"), op.Release("x"), spoil(A), mend(A)), 0, 0)
    assert row.because == "It is not needed any longer; others may take it now."


def test_a_translation_that_is_complete_may_run_again() -> None:
    start = machine(Strategy(), name="system", flushes=1, start="cold")
    discarded, claimed = ((Kind.PROGRAM, {"thread": 0, "detail": n}) for n in (2, 1))
    now = start.after(discarded[0], **discarded[1]).after(claimed[0], **claimed[1])
    choices: list[Choice] = [discarded, claimed]
    while now.state.blocks != (1,):
        pending = now.possible(Kind.COMPLETE)
        choice: Choice = 0
        if pending:
            event = pending[0].event
            choice = Kind.COMPLETE, {"core": event.core, "line": event.line, "detail": event.detail}
            now = now.after(choice[0], **choice[1])
        else:
            now = now.steps()
        choices.append(choice)
    row = last(start, *choices)
    assert row.operation == "TB is translated anew"
    assert row.because == "Its translation is complete, and it may run again."


def test_nobody_executes_the_scratch_buffer() -> None:
    start = machine(registry.find("scratch-buffer"))
    row = last(start, 0)
    assert row.operation.endswith(", in the scratch buffer")
    assert row.because == "Nobody executes the scratch buffer, and the code stays as it is."


def test_what_a_core_fetches_ahead_is_the_unit_that_it_names() -> None:
    start = told(spoil(A), spoil(C), mend(A), mend(C), settings=AHEAD)
    found = rows(start, 0, (Kind.AHEAD, {"core": 0}), (Kind.AHEAD, {"core": 0}))
    assert "at TB+8" not in found.rows[-2].because
    assert "it now holds the final value at TB+8, and" in found.rows[-1].because


def test_a_switch_of_address_space_cleans_where_the_host_does() -> None:
    found = explanation(cell("unfixed", "user", "arm926")).rows
    (row,) = (row for row in found if "switches" in row.operation)
    assert row.because == (
        "Threads share the core by time slices; a switch of address space on this host cleans and invalidates its "
        "caches; memory now holds 0a000000 (beq #0x1000028)."
    )


def test_no_row_gives_a_reason_that_is_none() -> None:
    for strategy in (CROSSED, registry.find("stop-the-world"), FlushOnRetranslation()):
        for name in ("system", "user", "user-both"):
            found = cell(strategy, name, hazard="transient")
            for row in found.explanation.rows if found.explanation is not None else ():
                assert "stands in its way" not in row.because
                assert row.because[0].isupper()
                assert row.because.endswith(".")
                assert not row.because.endswith("..")


def test_adjacent_steps_with_one_label_are_one_row_on_an_architecture_too() -> None:
    found = explanation(cell("unfixed", "system", "armv8"))
    operations = [row.operation for row in found.rows]
    assert operations[-3:] == ["slow path code is written", "branch target is updated", "TB is re-executed"]
    assert all(one != other for one, other in itertools.pairwise(operations))
    assert "a buffered store drains" in operations, "as on a host"
    assert found.rows[-1].because == "However, it fetches a value that is not the final one."


# --- several blocks ---


def test_the_caption_names_the_block_where_there_are_several() -> None:
    two = CheckReport([cell("unfixed", "system", tbs=2)]).text("simple")
    assert "The caches as they hold TB 1+32, beq #0x1000034:" in two
    assert "branch is written with a temporary target, TB 1" in two
    assert "The caches as they hold TB+32, beq #0x1000034:" in CheckReport([cell("unfixed", "system")]).text("simple")


def test_the_block_is_named_once_where_the_branch_is_named_too() -> None:
    found = explanation(cell("unfixed", "user", "z10", "s390x", tbs=2, units="together"))
    written = [row.operation for row in found.rows if row.operation.startswith("branch")]
    assert written
    assert set(written) == {"branch at TB 1+36 is written with a temporary target"}
