"""Which strategy is right where: the verdicts, with pinned numbers of states, and why they are what they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from functools import cache
from typing import Any

import pytest
from conftest import Pinned

from bench.check.cell import Checked, Options, check
from bench.hosts import load_host
from bench.machine import Kind
from bench.program.compiler import Compiler, _Idle
from bench.report.checks import CheckReport, verdict
from bench.scenarios import scenario, scenario_names
from bench.search.question import Question
from bench.search.search import search
from bench.support.errors import InputError
from bench.translators.registry import load_translator
from strategies import operations as op
from strategies import registry
from strategies.retranslation.flush_on_retranslation import FlushOnRetranslation
from strategies.retranslation.global_lock import GlobalLock
from strategies.retranslation.stop_the_world import StopTheWorld
from strategies.strategy import Strategy
from strategies.writes import Region

STATES = "states.txt"

# --- the matrix: transient hazard, two retranslations ---

INCOHERENT = """
    strategy                system  user   user-both  migrate
    unfixed                 fails   fails  fails      fails
    global-lock             fails   fails  fails      fails
    stop-the-world          fails   fails  fails      fails
    flush-on-tb-flush       fails   fails  fails      fails
    flush-on-retranslation  holds   fails  fails      holds
    stop-the-world-flush    holds   holds  holds      holds
    idempotent              holds   holds  holds      holds
    idempotent-read-back    holds   holds  holds      holds
    scratch-buffer          holds   holds  holds      holds
    side-table              holds   holds  holds      holds
"""
"""Stale instruction lines stay until somebody invalidates them: a flush is needed, and nobody else meanwhile."""

ONE_CORE = """
    strategy                system  user   user-both  migrate
    unfixed                 fails   fails  fails      n/a
    global-lock             fails   fails  fails      n/a
    stop-the-world          fails   fails  fails      n/a
    flush-on-tb-flush       fails   fails  fails      n/a
    flush-on-retranslation  holds   fails  fails      n/a
    stop-the-world-flush    holds   holds  holds      n/a
    idempotent              holds   holds  holds      n/a
    idempotent-read-back    holds   holds  holds      n/a
    scratch-buffer          holds   holds  holds      n/a
    side-table              holds   holds  holds      n/a
"""
"""The same; threads share the core by time slices."""

OWN_CORE = """
    strategy                system  user   user-both  migrate
    unfixed                 fails   fails  fails      fails
    global-lock             fails   fails  fails      fails
    stop-the-world          fails   fails  fails      fails
    flush-on-tb-flush       fails   fails  fails      fails
    flush-on-retranslation  holds   fails  fails      fails
    stop-the-world-flush    holds   holds  holds      fails
    idempotent              holds   holds  holds      holds
    idempotent-read-back    holds   holds  holds      holds
    scratch-buffer          holds   holds  holds      holds
    side-table              holds   holds  holds      holds
"""
"""Stores reach the other cores and a flush reaches the own one: not a thread that moves between store and flush."""

FETCHES_AHEAD = """
    strategy                system  user   user-both  migrate
    unfixed                 fails   fails  fails      fails
    global-lock             fails   fails  fails      fails
    flush-on-tb-flush       fails   fails  fails      fails
    flush-on-retranslation  holds   fails  fails      holds
    stop-the-world          holds   holds  holds      holds
    stop-the-world-flush    holds   holds  holds      holds
    idempotent              holds   holds  holds      holds
    idempotent-read-back    holds   holds  holds      holds
    scratch-buffer          holds   holds  holds      holds
    side-table              holds   holds  holds      holds
"""
"""No line is stale, but units fetched ahead are: they need the synchronisation that a flush and stopping end in."""

CHECKS_PIPELINE = """
    strategy                system  user   user-both  migrate
    unfixed                 holds   fails  fails      holds
    global-lock             holds   fails  fails      holds
    flush-on-tb-flush       holds   fails  fails      holds
    flush-on-retranslation  holds   fails  fails      holds
    stop-the-world          holds   holds  holds      holds
    stop-the-world-flush    holds   holds  holds      holds
    idempotent              holds   holds  holds      holds
    idempotent-read-back    holds   holds  holds      holds
    scratch-buffer          holds   holds  holds      holds
    side-table              holds   holds  holds      holds
"""
"""Nothing is ever stale: what is wrong is that another thread runs the temporary value itself."""

NO_TEMPORARY = """
    strategy                system  user   user-both  migrate
    unfixed                 holds   holds  holds      holds
    global-lock             holds   holds  holds      holds
    flush-on-tb-flush       holds   holds  holds      holds
    flush-on-retranslation  holds   holds  holds      holds
    stop-the-world          holds   holds  holds      holds
    stop-the-world-flush    holds   holds  holds      holds
    idempotent              holds   holds  holds      holds
    idempotent-read-back    holds   holds  holds      holds
    scratch-buffer          holds   holds  holds      holds
    side-table              holds   holds  holds      holds
"""
"""The backend never stored a temporary value."""

MATRIX = {
    "cortex-a9 arm@2010": INCOHERENT,
    "cortex-a9 arm@2011": NO_TEMPORARY,  # the fix that shipped
    "arm926 arm@2010": ONE_CORE,
    "z10 s390x@2010": CHECKS_PIPELINE,
    "x86-skylake x86-64@2010": NO_TEMPORARY,
    "cortex-a8 arm@2010": ONE_CORE,
    "cortex-a72 arm@2010": INCOHERENT,
    "cortex-a53 arm@2010": INCOHERENT,  # although its fills read the newest data: see below
    # What if: arm's code on hosts where it never ran; but for the first, one retranslation of each to be quick.
    "neoverse-v1 arm@2010": FETCHES_AHEAD,
    "ultrasparc-3 arm@2010": FETCHES_AHEAD,
    "ultrasparc-2 arm@2010": OWN_CORE,
    "mips-24kc arm@2010": ONE_CORE,
    "loongson-3a arm@2010": INCOHERENT,
    "ppc-g4 arm@2010": INCOHERENT,
    "ppc-g5 arm@2010": INCOHERENT,
    "sifive-u74 arm@2010": INCOHERENT,
    "itanium2 arm@2010": INCOHERENT,
    "pa-8600 arm@2010": INCOHERENT,
    # Two branches in an access, on the hosts that such code ran on.
    "mips-24kc mips@2010": ONE_CORE,
    "ppc-g4 ppc@2010": INCOHERENT,
    "ultrasparc-2 sparc@2010": OWN_CORE,
}
WHAT_IF = {
    "neoverse-v1",
    "ultrasparc-3",
    "ultrasparc-2",
    "mips-24kc",
    "loongson-3a",
    "ppc-g4",
    "ppc-g5",
    "sifive-u74",
    "itanium2",
    "pa-8600",
}

every_host = pytest.mark.parametrize("where", MATRIX)


def cell(
    strategy: Strategy | str,
    name: str = "system",
    host: str = "cortex-a9",
    translator: str = "arm@2010",
    *,
    settings: tuple[str, ...] = (),
    **options: Any,
) -> Checked:
    """One cell; ``settings`` are those of ``--set``."""
    found = registry.find(strategy) if isinstance(strategy, str) else strategy
    return check(found, load_translator(translator), load_host(host, settings), name, Options(**options))


@cache
def cells(where: str) -> dict[tuple[str, str], Checked]:
    """Every cell of a host with a translator, by strategy and scenario."""
    host, translator = where.split()
    retranslations = 1 if host in WHAT_IF and host != "neoverse-v1" else 2
    return {
        (strategy, name): cell(strategy, name, host, translator, what_if=host in WHAT_IF, retranslations=retranslations)
        for strategy in registry.shipped()
        for name in scenario_names()
        if (strategy, name) in matrix(MATRIX[where])
    }


def matrix(table: str) -> dict[tuple[str, str], str]:
    """A table of verdicts by strategy and scenario."""
    header, *rows = (line.split() for line in table.strip().splitlines())
    return {(row[0], name): word for row in rows for name, word in zip(header[1:], row[1:], strict=True)}


@every_host
def test_the_verdicts(where: str) -> None:
    assert {key: found.verdict for key, found in cells(where).items()} == matrix(MATRIX[where])


@every_host
def test_something_happens_in_every_cell(where: str) -> None:
    for key, found in cells(where).items():
        if found.outcome is None:
            assert (key[1], found.reason) == ("migrate", f"{where.split()[0]} has one core")
        else:
            assert found.outcome.witness, key
            assert found.outcome.failure == ("wrong fetch" if found.verdict == "fails" else "")


@every_host
def test_the_number_of_states_is_pinned(where: str, pinned: Pinned) -> None:
    lines = [f"{'strategy':24}{'scenario':11}{'verdict':9}{'steps':>5}{'states':>8}"]
    for (strategy, name), found in cells(where).items():
        if found.outcome is not None:
            outcome = found.outcome
            lines.append(f"{strategy:24}{name:11}{outcome.verdict:9}{outcome.depth:5}{outcome.states:8}")
    pinned.compare_section(STATES, where, "\n".join(lines))


def test_every_pinned_section_is_checked(pinned: Pinned) -> None:
    if not pinned.record:
        assert set(pinned.sections(STATES)) == set(MATRIX)


@pytest.mark.parametrize("where", [where for where in MATRIX if where.split()[0] in WHAT_IF and "arm@" in where])
def test_a_translator_that_never_ran_there_needs_what_if_and_says_so(where: str) -> None:
    host, translator = where.split()
    with pytest.raises(InputError, match=f"translator {translator} .* which {host} does not run.*`what_if`"):
        cell("unfixed", "system", host, translator)
    found = cell("unfixed", "system", host, translator, what_if=True)
    assert found.what_if
    assert verdict(found) == "fails, what if"
    assert f"Hypothetical: {host} does not run what {translator} emits." in CheckReport([found]).text("simple")


# --- why: one feature of a host at a time ---


def test_a_coherent_fill_changes_no_verdict_only_the_way_there() -> None:
    """A cortex-a53 fills from the newest data, but stores do not reach lines filled before: those stay stale."""
    a9, a53 = cells("cortex-a9 arm@2010"), cells("cortex-a53 arm@2010")
    assert {key for key in a9 if a9[key].verdict != a53[key].verdict} == set()
    first, second = a9["unfixed", "user"].outcome, a53["unfixed", "user"].outcome
    assert first is not None
    assert second is not None
    assert first.depth == second.depth + 1, "no write-back is needed for the other thread to see the temporary value"


@pytest.mark.parametrize("name", ["system", "user", "migrate"])
def test_on_a_host_without_any_incoherence_only_other_threads_see_the_temporary_value(name: str) -> None:
    coherent = ("coherence.fill=coherent", "coherence.snoop=all", "coherence.fetches_ahead=false")
    found = cell("unfixed", name, settings=coherent)
    assert found.verdict == ("fails" if name == "user" else "holds")
    if found.explanation is not None:
        assert {row.actor for row in found.explanation.rows} == {"T1", "T2"}, "no cache event at all"


@pytest.mark.parametrize("strategy", ["unfixed", "global-lock", "flush-on-tb-flush"])
@pytest.mark.parametrize("name", ["system", "migrate"])
def test_with_coherent_caches_it_is_what_was_fetched_ahead_that_decides(strategy: str, name: str) -> None:
    assert cell(strategy, name, "neoverse-v1", what_if=True).verdict == "fails"
    never = ("coherence.fetches_ahead=false",)
    assert cell(strategy, name, "neoverse-v1", what_if=True, settings=never).verdict == "holds"


def test_a_failure_by_what_was_fetched_ahead_says_so() -> None:
    found = cell("unfixed", "system", "neoverse-v1", what_if=True)
    assert found.explanation is not None
    assert found.explanation.rows[-1].because.startswith("However, the core had fetched it ahead")
    assert "the core fetches ahead" in [row.operation for row in found.explanation.rows]


def test_a_flush_that_reaches_only_the_issuing_core_fails_in_migrate() -> None:
    own = ("isa.arm.flush.invalidate=local",)
    assert cell("flush-on-retranslation", "system", settings=own).verdict == "holds"
    assert cell("flush-on-retranslation", "migrate", settings=own).verdict == "fails"
    assert cell("flush-on-retranslation", "migrate").verdict == "holds"


class InvalidateOnly(Strategy):
    """Invalidate without clean."""

    def publish(self, region: Region) -> op.Hook:
        return (*super().publish(region), op.Invalidate(region), op.Barrier(), op.Sync())


class CleanOnly(Strategy):
    """Clean without invalidate."""

    def publish(self, region: Region) -> op.Hook:
        return (*super().publish(region), op.Clean(region), op.Barrier(), op.Sync())


class InvalidateFirst(Strategy):
    """Invalidate before clean."""

    def publish(self, region: Region) -> op.Hook:
        return (
            *super().publish(region),
            op.Invalidate(region),
            op.Barrier(),
            op.Clean(region),
            op.Barrier(),
            op.Sync(),
        )


class Unordered(Strategy):
    """No barrier between clean and invalidate."""

    def publish(self, region: Region) -> op.Hook:
        return (*super().publish(region), op.Clean(region), op.Invalidate(region), op.Barrier(), op.Sync())


class NoSync(Strategy):
    """What was fetched ahead stays."""

    def publish(self, region: Region) -> op.Hook:
        return (*super().publish(region), op.Clean(region), op.Barrier(), op.Invalidate(region), op.Barrier())


class OwnCore(Strategy):
    """Invalidate on the own core only."""

    def publish(self, region: Region) -> op.Hook:
        own = op.Invalidate(region, op.Scope.LOCAL)
        return (*super().publish(region), op.Clean(region), op.Barrier(), own, op.Barrier(), op.Sync())


class Complete(Strategy):
    """All of it, in order."""

    def publish(self, region: Region) -> op.Hook:
        return (
            *super().publish(region),
            op.Clean(region),
            op.Barrier(),
            op.Invalidate(region),
            op.Barrier(),
            op.Sync(),
        )


@pytest.mark.parametrize(
    ("strategy", "system", "migrate"),
    [
        (InvalidateOnly(), "fails", "fails"),
        (CleanOnly(), "fails", "fails"),
        (InvalidateFirst(), "fails", "fails"),
        (Unordered(), "fails", "fails"),
        (NoSync(), "fails", "fails"),
        (OwnCore(), "holds", "fails"),
        (Complete(), "holds", "holds"),
    ],
    ids=lambda value: value.name if isinstance(value, Strategy) else value,
)
def test_every_part_of_a_flush_is_needed(strategy: Strategy, system: str, migrate: str) -> None:
    assert cell(strategy, "system").verdict == system
    assert cell(strategy, "migrate").verdict == migrate


def test_a_write_through_cache_needs_no_clean() -> None:
    through = ("dcache.write=through",)
    assert cell(InvalidateOnly(), "system", settings=through).verdict == "holds"
    assert cell(CleanOnly(), "system", settings=through).verdict == "fails"


def test_a_host_that_does_not_fetch_ahead_needs_no_sync() -> None:
    assert cell(NoSync(), "system", settings=("coherence.fetches_ahead=false",)).verdict == "holds"


class LockedFlush(GlobalLock, FlushOnRetranslation):
    """Only one thread retranslates at a time, and flushes before the next one does."""


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [("unfixed", "holds"), ("flush-on-retranslation", "fails"), (LockedFlush(), "holds")],
    ids=["unfixed", "flush-on-retranslation", "locked-flush"],
)
def test_a_flush_can_itself_be_the_leak(
    strategy: Strategy | str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If no line were ever written back by itself, one thread's clean would still push out the other's temporary."""
    monkeypatch.setattr("bench.check.units.UNASKED", frozenset({Kind.WRITE_BACK}))
    found = cell(strategy, "user-both", retranslations=1, speculation=False)
    assert found.verdict == expected
    if found.explanation is not None:
        operations = [row.operation for row in found.explanation.rows]
        assert "the code is flushed" in operations
        assert "cache line is flushed to memory" not in operations


class StopOnly(StopTheWorld):
    """Stop the world, and let it go on without synchronising it."""

    def publish(self, region: Region) -> op.Hook:
        return tuple(each for each in super().publish(region) if each != op.SyncCores())


class StopOnlyFlush(StopOnly, FlushOnRetranslation):
    """The same, with a flush."""


@pytest.mark.parametrize(
    ("strategy", "host"),
    [(StopOnly(), "neoverse-v1"), (StopOnlyFlush(), "neoverse-v1"), (StopOnlyFlush(), "cortex-a9")],
    ids=["neoverse-v1", "neoverse-v1, flush", "cortex-a9, flush"],
)
def test_cores_that_fetch_ahead_must_be_synchronised_before_they_go_on(strategy: Strategy, host: str) -> None:
    never = ("coherence.fetches_ahead=false",)
    assert cell(strategy, "user", host, what_if=True).verdict == "fails"
    assert cell(strategy, "user", host, what_if=True, settings=never).verdict == "holds"


# --- the lasting hazard ---

COHERENT = ("coherence.fill=coherent", "coherence.snoop=all")
TWO_THREADS = [
    ("cortex-a9", "arm@2010", ()),
    ("cortex-a9", "arm@2010", COHERENT),
    ("neoverse-v1", "arm@2010", ()),
    ("arm926", "arm@2010", ()),
]


@pytest.mark.parametrize(
    ("host", "translator", "settings"), TWO_THREADS, ids=["cortex-a9", "coherent", "neoverse-v1", "arm926"]
)
@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("unfixed", "fails"),
        ("flush-on-tb-flush", "fails"),
        ("global-lock", "holds"),
        ("idempotent", "holds"),
        ("idempotent-read-back", "holds"),
        ("scratch-buffer", "holds"),
        ("side-table", "holds"),
    ],
)
def test_two_unlocked_retranslators_leave_a_wrong_branch_and_a_lock_cures_it(
    strategy: str, expected: str, host: str, translator: str, settings: tuple[str, ...]
) -> None:
    found = cell(strategy, "user-both", host, translator, settings=settings, hazard="lasting", what_if=True)
    assert found.outcome is not None
    assert found.outcome.verdict == expected
    assert found.outcome.failure == ("lasting" if expected == "fails" else "")
    assert found.outcome.witness


def test_the_branch_has_twice_the_displacement() -> None:
    found = cell("unfixed", "user-both", hazard="lasting")
    assert found.explanation is not None
    watched = found.explanation.watched
    assert watched is not None
    once = watched.final & 0xFFFFFF
    assert f"{watched.final + once:08x}" in found.explanation.rows[-1].because


@pytest.mark.parametrize("strategy", ["flush-on-retranslation", "stop-the-world"])
def test_of_the_other_two_only_the_one_with_a_lock_cures_it(strategy: str) -> None:
    found = cell(strategy, "user-both", "neoverse-v1", hazard="lasting", what_if=True)
    assert found.verdict == ("holds" if strategy == "stop-the-world" else "fails")


@pytest.mark.parametrize("name", ["system", "user", "migrate"])
def test_one_retranslator_leaves_nothing_wrong(name: str) -> None:
    assert cell("unfixed", name, hazard="lasting").verdict == "holds"


def test_a_backend_that_stores_and_does_not_add_leaves_nothing_wrong() -> None:
    assert cell("unfixed", "user-both", "z10", "s390x@2010", hazard="lasting").verdict == "holds"


# --- deadlock, and nothing proved ---


class CrossedLocks(Strategy):
    """Executions take A before B, retranslations B before A."""

    def enter(self, region: Region) -> op.Hook:
        return (op.Acquire("A"), op.Acquire("B"), *super().enter(region))

    def leave(self, region: Region) -> op.Hook:
        return (*super().leave(region), op.Release("B"), op.Release("A"))

    def begin(self, region: Region) -> op.Hook:
        return (op.Acquire("B"), op.Acquire("A"), *super().begin(region))

    def publish(self, region: Region) -> op.Hook:
        return (*super().publish(region), op.Release("A"), op.Release("B"))


class OrderByValue(Strategy):
    """Two locks, in an order that depends on what the branch holds."""

    def begin(self, region: Region) -> Generator[op.Operation, int | None, None]:
        branch = next(write.unit for write in region.writes if write.temporary or not write.complete)
        first, second = ("A", "B") if (yield op.Load(branch)) == branch.final else ("B", "A")
        yield op.Acquire(first)
        yield op.Acquire(second)
        yield from super().begin(region)

    def publish(self, region: Region) -> op.Hook:
        return (*super().publish(region), op.Release("A"), op.Release("B"))


@pytest.mark.parametrize(("strategy", "name"), [(CrossedLocks(), "user"), (OrderByValue(), "user-both")])
def test_a_deadlock_is_a_failure_with_a_counterexample(strategy: Strategy, name: str) -> None:
    found = cell(strategy, name, hazard="lasting")
    assert found.outcome is not None
    assert found.explanation is not None
    assert (found.outcome.verdict, found.outcome.failure) == ("fails", "deadlock")
    assert verdict(found) == "fails (deadlock)"
    taken = [row.operation for row in found.explanation.rows[-2:]]
    assert sorted(taken) == ["lock 'A' is taken", "lock 'B' is taken"]
    assert {row.actor for row in found.explanation.rows[-2:]} == {"T1", "T2"}
    assert found.explanation.closing.startswith("Nothing can go on")


@pytest.mark.parametrize("strategy", [CrossedLocks(), OrderByValue()])
def test_a_single_thread_does_not_deadlock_on_its_own(strategy: Strategy) -> None:
    assert cell(strategy, "system", hazard="lasting").verdict == "holds"


def test_a_search_in_which_no_retranslator_ever_finishes_proves_nothing() -> None:
    cast = scenario("system", 1)
    assert cast is not None
    model = Compiler(registry.find("idempotent"), load_translator("arm"), load_host("cortex-a9"), cast).model
    for_ever = dataclasses.replace(model, starts=(model.programs[0].number((_Idle(None, 0),)),))
    outcome = search(for_ever, Question(), max_states=1000)
    assert (outcome.verdict, outcome.failure, outcome.witness) == ("fails", "vacuous", False)
    assert search(model, Question(), max_states=1000).verdict == "holds"


# --- how far, from where, how much ---


@pytest.mark.parametrize("limit", [1, 50, 320])
def test_a_search_cut_short_is_neither_right_nor_wrong(limit: int) -> None:
    found = cell("stop-the-world-flush", "system", max_states=limit)
    assert found.outcome is not None
    assert found.outcome.verdict == "bounded"
    assert found.outcome.states >= limit
    assert found.outcome.failure == ""
    assert found.explanation is None
    assert cell("stop-the-world-flush", "system", max_states=323).verdict == "holds"


def test_a_search_cut_short_before_the_failure_is_bounded_too() -> None:
    assert cell("unfixed", "system", max_states=20).verdict == "bounded"


def test_a_wrong_run_found_at_the_limit_is_wrong() -> None:
    states = cell("unfixed", "system").outcome
    assert states is not None
    assert cell("unfixed", "system", max_states=states.states + 1).verdict == "fails"


@pytest.mark.parametrize("name", scenario_names())
@pytest.mark.parametrize(
    "strategy", ["unfixed", "flush-on-retranslation", "idempotent", "side-table", "stop-the-world"]
)
def test_starting_at_the_fault_changes_no_verdict(strategy: str, name: str) -> None:
    cold, fault = cell(strategy, name), cell(strategy, name, start="fault")
    assert fault.verdict == cold.verdict
    assert cold.outcome is not None
    assert fault.outcome is not None
    assert fault.outcome.depth < cold.outcome.depth
    assert fault.outcome.witness


SCALED: dict[str, dict[str, Any]] = {
    "three cores": {"cores": 3},
    "two blocks": {"tbs": 2},
    "three retranslations": {"retranslations": 3},
    "one retranslation": {"retranslations": 1},
}


@pytest.mark.parametrize("scaled", SCALED)
@pytest.mark.parametrize(
    ("strategy", "name"),
    [
        ("unfixed", "system"),
        ("unfixed", "user"),
        ("unfixed", "user-both"),
        ("unfixed", "migrate"),
        ("flush-on-retranslation", "system"),
        ("flush-on-retranslation", "user"),
        ("stop-the-world", "user"),
        ("stop-the-world-flush", "system"),
        ("idempotent", "user"),
        ("idempotent", "user-both"),
        ("side-table", "user-both"),
        ("scratch-buffer", "user"),
    ],
)
def test_a_larger_scenario_changes_no_verdict(strategy: str, name: str, scaled: str) -> None:
    host = "cortex-a72"
    found = cell(strategy, name, host, **SCALED[scaled])
    assert found.verdict == cells(f"{host} arm@2010")[strategy, name].verdict
    assert found.outcome is not None
    assert found.outcome.witness


def test_more_cores_than_the_host_has_are_shared() -> None:
    found = cell("unfixed", "user", cores=3)
    assert found.outcome is not None
    assert len(found.outcome.run[-1].state.running) == 2
    assert len(found.outcome.run[-1].state.places) == 3


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("cores", 1, "`cores`: 1; expected at least 2"),
        ("tbs", 0, "`tbs`: 0; expected at least 1"),
        ("retranslations", 0, "`retranslations`: 0; expected at least 1"),
        ("flushes", -1, "`flushes`: -1; expected at least 0"),
    ],
)
def test_an_impossible_scale_is_refused(option: str, value: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        cell("unfixed", **dict[str, Any]({option: value}))


# --- tb flushes ---


@pytest.mark.parametrize("name", scenario_names())
def test_without_tb_flushes_flushing_at_them_is_as_emitted(name: str) -> None:
    found = cells("cortex-a9 arm@2010")
    assert found["flush-on-tb-flush", name].outcome == found["unfixed", name].outcome


@pytest.mark.parametrize("name", ["system", "user", "migrate"])
def test_flushing_at_tb_flushes_does_not_help_a_retranslation_without_one(name: str) -> None:
    found = cell("flush-on-tb-flush", name, flushes=1)
    assert found.verdict == "fails"
    assert found.explanation is not None
    assert "the code buffer is discarded" not in [row.operation for row in found.explanation.rows]


@pytest.mark.parametrize("name", ["system", "user", "migrate"])
@pytest.mark.parametrize(
    "strategy", ["idempotent", "idempotent-read-back", "side-table", "scratch-buffer", "stop-the-world-flush"]
)
def test_the_right_ones_stay_right_with_tb_flushes(strategy: str, name: str) -> None:
    found = cell(strategy, name, flushes=1)
    assert found.verdict == "holds"
    assert found.outcome is not None
    without = cells("cortex-a9 arm@2010")[strategy, name].outcome
    assert without is not None
    assert found.outcome.states > without.states, "the buffer is discarded, and blocks are translated anew"
