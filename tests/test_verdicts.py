"""Which strategy is right where: the verdicts, with pinned numbers of states, and why they are what they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from functools import cache
from typing import Any

import pytest
from cells import Publishes, cell, compiled
from conftest import Pinned

from bench.check.cell import Checked
from bench.machine import Kind
from bench.program.compiler import _Idle
from bench.report.checks import CheckReport, verdict
from bench.scenarios import scenario_names
from bench.search.question import Question
from bench.search.search import search
from bench.support.errors import InputError
from strategies import operations as op
from strategies.retranslation.flush_on_retranslation import FlushOnRetranslation
from strategies.retranslation.global_lock import GlobalLock
from strategies.retranslation.stop_the_world import StopTheWorld
from strategies.strategy import Strategy
from strategies.writes import Region

STATES = "states.txt"

# --- the matrix: transient hazard, two retranslations ---

MATRIX = (
    "cortex-a9 arm@2010",
    "cortex-a9 arm@2011",  # the fix that shipped
    "arm926 arm@2010",
    "z10 s390x@2010",
    "x86-skylake x86-64@2010",
    "cortex-a8 arm@2010",
    "cortex-a72 arm@2010",
    "cortex-a53 arm@2010",
    # What if: arm's code on hosts where it never ran; but for the first, one retranslation of each to be quick.
    *(
        f"{host} arm@2010"
        for host in "neoverse-v1 ultrasparc-3 ultrasparc-2 mips-24kc loongson-3a ppc-g4 ppc-g5 sifive-u74 itanium2 "
        "pa-8600".split()
    ),
    # Two branches in an access, on the hosts that such code ran on.
    "mips-24kc mips@2010",
    "ppc-g4 ppc@2010",
    "ultrasparc-2 sparc@2010",
)
"""Hosts with translators; the verdicts, lengths and numbers of states are in ``states.txt``."""

STRATEGIES = (
    "unfixed flush-on-retranslation flush-on-tb-flush global-lock idempotent idempotent-read-back scratch-buffer "
    "side-table stop-the-world stop-the-world-flush"
).split()
WHAT_IF = {*"neoverse-v1 ultrasparc-3 ultrasparc-2 mips-24kc loongson-3a ppc-g4 ppc-g5 sifive-u74 itanium2".split()}
WHAT_IF |= {"pa-8600"}


@cache
def cells(where: str) -> dict[tuple[str, str], Checked]:
    """Every cell of a host with a translator, by strategy and scenario."""
    host, translator = where.split()
    retranslations = 1 if host in WHAT_IF and host != "neoverse-v1" else 2
    return {
        (strategy, name): cell(strategy, name, host, translator, what_if=host in WHAT_IF, retranslations=retranslations)
        for strategy in STRATEGIES
        for name in scenario_names()
    }


@pytest.mark.parametrize("where", MATRIX)
def test_the_verdicts_something_happens_in_every_cell_and_the_number_of_states_is_pinned(
    where: str, pinned: Pinned
) -> None:
    lines = [f"{'strategy':24}{'scenario':11}{'verdict':9}{'steps':>5}{'states':>8}"]
    for key, found in cells(where).items():
        if found.outcome is None:
            assert (key[1], found.reason) == ("migrate", f"{where.split()[0]} has one core")
        else:
            outcome = found.outcome
            assert outcome.witness, key
            assert outcome.failure == ("wrong fetch" if found.verdict == "fails" else "")
            lines.append(f"{key[0]:24}{key[1]:11}{outcome.verdict:9}{outcome.depth:5}{outcome.states:8}")
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
    assert found.explanation.rows[-1].because.startswith("However, the core had fetched it ahead")
    assert "the core fetches ahead" in [row.operation for row in found.explanation.rows]


def test_a_flush_that_reaches_only_the_issuing_core_fails_in_migrate() -> None:
    own = ("isa.arm.flush.invalidate=local",)
    assert cell("flush-on-retranslation", "system", settings=own).verdict == "holds"
    assert cell("flush-on-retranslation", "migrate", settings=own).verdict == "fails"
    assert cell("flush-on-retranslation", "migrate").verdict == "holds"


INVALIDATE_ONLY, CLEAN_ONLY = Publishes("invalidate", "barrier", "sync"), Publishes("clean", "barrier", "sync")
NO_SYNC = Publishes("clean", "barrier", "invalidate", "barrier")  # what was fetched ahead stays
OWN_CORE_ONLY = Publishes("clean", "barrier", "invalidate own", "barrier", "sync")


@pytest.mark.parametrize(
    ("strategy", "system", "migrate"),
    [
        (INVALIDATE_ONLY, "fails", "fails"),
        (CLEAN_ONLY, "fails", "fails"),
        (Publishes("invalidate", "barrier", "clean", "barrier", "sync"), "fails", "fails"),
        (Publishes("clean", "invalidate", "barrier", "sync"), "fails", "fails"),
        (NO_SYNC, "fails", "fails"),
        (OWN_CORE_ONLY, "holds", "fails"),
        (Publishes("clean", "barrier", "invalidate", "barrier", "sync"), "holds", "holds"),
    ],
    ids=lambda value: ", ".join(value.operations) if isinstance(value, Publishes) else value,
)
def test_every_part_of_a_flush_is_needed(strategy: Strategy, system: str, migrate: str) -> None:
    assert cell(strategy, "system").verdict == system
    assert cell(strategy, "migrate").verdict == migrate


def test_a_write_through_cache_needs_no_clean_and_a_host_that_does_not_fetch_ahead_no_sync() -> None:
    through = ("dcache.write=through",)
    assert cell(INVALIDATE_ONLY, settings=through).verdict == "holds"
    assert cell(CLEAN_ONLY, settings=through).verdict == "fails"
    assert cell(NO_SYNC, settings=("coherence.fetches_ahead=false",)).verdict == "holds"


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


@pytest.mark.parametrize(
    ("host", "settings"),
    [("cortex-a9", ()), ("cortex-a9", COHERENT), ("neoverse-v1", ()), ("arm926", ())],
    ids=["cortex-a9", "coherent", "neoverse-v1", "arm926"],
)
@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        *((name, "fails") for name in ("unfixed", "flush-on-tb-flush")),
        *((name, "holds") for name in "global-lock idempotent idempotent-read-back scratch-buffer side-table".split()),
    ],
)
def test_two_unlocked_retranslators_leave_a_wrong_branch_and_a_lock_cures_it(
    strategy: str, expected: str, host: str, settings: tuple[str, ...]
) -> None:
    found = cell(strategy, "user-both", host, settings=settings, hazard="lasting", what_if=True)
    assert found.outcome.verdict == expected
    assert found.outcome.failure == ("lasting" if expected == "fails" else "")
    assert found.outcome.witness


def test_the_branch_has_twice_the_displacement() -> None:
    found = cell("unfixed", "user-both", hazard="lasting")
    watched = found.explanation.watched
    once = watched.final & 0xFFFFFF
    assert f"{watched.final + once:08x}" in found.explanation.rows[-1].because


@pytest.mark.parametrize("strategy", ["flush-on-retranslation", "stop-the-world"])
def test_of_the_other_two_only_the_one_with_a_lock_cures_it(strategy: str) -> None:
    found = cell(strategy, "user-both", "neoverse-v1", hazard="lasting", what_if=True)
    assert found.verdict == ("holds" if strategy == "stop-the-world" else "fails")


def test_one_retranslator_and_a_backend_that_stores_and_does_not_add_leave_nothing_wrong() -> None:
    for name in ("system", "user", "migrate"):
        assert cell("unfixed", name, hazard="lasting").verdict == "holds"
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
    assert (found.outcome.verdict, found.outcome.failure) == ("fails", "deadlock")
    assert verdict(found) == "fails (deadlock)"
    taken = [row.operation for row in found.explanation.rows[-2:]]
    assert sorted(taken) == ["lock 'A' is taken", "lock 'B' is taken"]
    assert {row.actor for row in found.explanation.rows[-2:]} == {"T1", "T2"}
    assert found.explanation.closing.startswith("Nothing can go on")
    assert cell(strategy, "system", hazard="lasting").verdict == "holds"  # a single thread does not, on its own


def test_a_search_in_which_no_retranslator_ever_finishes_proves_nothing() -> None:
    model = compiled("idempotent").model
    for_ever = dataclasses.replace(model, starts=(model.programs[0].number((_Idle(None, 0),)),))
    outcome = search(for_ever, Question(), max_states=1000)
    assert (outcome.verdict, outcome.failure, outcome.witness) == ("fails", "vacuous", False)
    assert search(model, Question(), max_states=1000).verdict == "holds"


# --- how far, from where, how much ---


@pytest.mark.parametrize("limit", [1, 50, 320])
def test_a_search_cut_short_is_neither_right_nor_wrong(limit: int) -> None:
    found = cell("stop-the-world-flush", "system", max_states=limit)
    assert found.outcome.verdict == "bounded"
    assert found.outcome.states >= limit
    assert found.outcome.failure == ""
    assert found.explanation is None
    assert cell("stop-the-world-flush", "system", max_states=323).verdict == "holds"


def test_a_search_cut_short_before_the_failure_is_bounded_and_a_wrong_run_found_at_the_limit_is_wrong() -> None:
    assert cell("unfixed", max_states=20).verdict == "bounded"
    states = cell("unfixed").outcome
    assert cell("unfixed", max_states=states.states + 1).verdict == "fails"


@pytest.mark.parametrize("name", scenario_names())
@pytest.mark.parametrize(
    "strategy", ["unfixed", "flush-on-retranslation", "idempotent", "side-table", "stop-the-world"]
)
def test_starting_at_the_fault_changes_no_verdict(strategy: str, name: str) -> None:
    cold, fault = cell(strategy, name), cell(strategy, name, start="fault")
    assert fault.verdict == cold.verdict
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
        *(("unfixed", name) for name in scenario_names()),
        *(("flush-on-retranslation", name) for name in ("system", "user")),
        *(("idempotent", name) for name in ("user", "user-both")),
        *(("stop-the-world", "user"), ("stop-the-world-flush", "system")),
        *(("side-table", "user-both"), ("scratch-buffer", "user")),
    ],
)
def test_a_larger_scenario_changes_no_verdict(strategy: str, name: str, scaled: str) -> None:
    host = "cortex-a72"
    found = cell(strategy, name, host, **SCALED[scaled])
    assert found.verdict == cells(f"{host} arm@2010")[strategy, name].verdict
    assert found.outcome.witness


def test_more_cores_than_the_host_has_are_shared() -> None:
    found = cell("unfixed", "user", cores=3)
    assert len(found.outcome.run[-1].state.running) == 2
    assert len(found.outcome.run[-1].state.places) == 3


# --- tb flushes ---


@pytest.mark.parametrize("name", scenario_names())
def test_without_tb_flushes_flushing_at_them_is_as_emitted(name: str) -> None:
    found = cells("cortex-a9 arm@2010")
    assert found["flush-on-tb-flush", name].outcome == found["unfixed", name].outcome


@pytest.mark.parametrize("name", ["system", "user", "migrate"])
def test_flushing_at_tb_flushes_does_not_help_a_retranslation_without_one(name: str) -> None:
    found = cell("flush-on-tb-flush", name, flushes=1)
    assert found.verdict == "fails"
    assert "the code buffer is discarded" not in [row.operation for row in found.explanation.rows]


@pytest.mark.parametrize("name", ["system", "user", "migrate"])
@pytest.mark.parametrize(
    "strategy", ["idempotent", "idempotent-read-back", "side-table", "scratch-buffer", "stop-the-world-flush"]
)
def test_the_right_ones_stay_right_with_tb_flushes(strategy: str, name: str) -> None:
    found = cell(strategy, name, flushes=1)
    assert found.verdict == "holds"
    without = cells("cortex-a9 arm@2010")[strategy, name].outcome
    assert found.outcome.states > without.states, "the buffer is discarded, and blocks are translated anew"
