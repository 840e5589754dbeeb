"""The partial hazard: a label that a later operation binds, and a retranslation that stops before it."""

from __future__ import annotations

from typing import Any

import pytest
from cells import cell, compiled
from conftest import Staleline

from bench.check.cell import Checked
from bench.explain.follow import load_events
from bench.machine import Kind
from bench.search.question import Question
from bench.search.search import search
from bench.translators.registry import load_translator, translator_names
from strategies import registry

HOSTS = {"arm": "cortex-a9", "aarch64": "neoverse-v1", "mips": "mips-24kc", "ppc": "ppc-g4", "ppc64": "ppc-g5"}
HOSTS |= {"s390x": "z10", "sparc": "ultrasparc-3", "hppa": "pa-8600", "ia64": "itanium2"}
HOSTS |= dict.fromkeys(("i386", "x86-64"), "x86-skylake")
"""A host for every instruction set."""

LOSES = {"mips@2010", "sparc@2010", "s390x@2014"}
"""Those that leave a label lost: by a typo, by displacement 0, and by a patch moved out of the operation."""

CURES = {"idempotent", "idempotent-read-back", "scratch-buffer", "side-table"}


def one(translator: str, host: str, strategy: str = "unfixed", where: str = "system", **options: Any) -> Checked:
    return cell(strategy, where, host, translator, hazard="partial", **options)


@pytest.mark.parametrize("name", translator_names())
def test_only_these_versions_lose_a_label_and_one_thread_is_enough(name: str) -> None:
    host = HOSTS[load_translator(name).isa]
    assert one(name, host).verdict == ("fails" if name in LOSES else "holds")


@pytest.mark.parametrize("host", ["cortex-a9", "arm926", "cortex-a53", "ultrasparc-2", "ultrasparc-3", "z10"])
@pytest.mark.parametrize("name", sorted(LOSES))
def test_it_is_wrong_on_every_host(name: str, host: str) -> None:
    assert one(name, host, what_if=True).verdict == "fails"


@pytest.mark.parametrize("strategy", registry.names())
@pytest.mark.parametrize("name", sorted(LOSES))
def test_it_is_cured_by_not_storing_what_is_not_known_and_by_nothing_else(name: str, strategy: str) -> None:
    """No flush and no lock helps: what is published, or guarded, is the wrong value."""
    found = one(name, HOSTS[load_translator(name).isa], strategy)
    assert found.verdict == ("holds" if strategy in CURES else "fails")


def test_the_transient_and_the_partial_hazard_are_told_apart_by_the_unit() -> None:
    """s390x: in 2010 both branches are repaired in the operation; in 2014 the only one is left."""
    for name, transient, partial in (("s390x@2010", "fails", "holds"), ("s390x@2014", "holds", "fails")):
        found = cell("unfixed", "user", "z10", name)
        assert (found.verdict, one(name, "z10", where="user").verdict) == (transient, partial)


def test_the_regression_of_2014_made_a_harmless_transient_permanent_and_2015_cured_it() -> None:
    found = {name: one(name, "z10") for name in ("s390x@2010", "s390x@2014", "s390x@2015")}
    assert [each.verdict for each in found.values()] == ["holds", "fails", "holds"]
    explanation = found["s390x@2014"].explanation
    assert explanation.watched.read == explanation.watched.fetched  # the data side is wrong too, for good
    assert {each.when: each.harm for each in found["s390x@2014"].consequences}["miss"] == "loop"
    assert not any(row.actor == "environment" for row in explanation.rows)  # no cache has to do anything


def test_a_resident_instruction_line_hides_it_on_an_incoherent_host() -> None:
    """The data side is wrong at once; the core runs the old, right word until its instruction line goes."""
    found = one("mips@2010", "mips-24kc", follow=load_events("hidden"))
    assert found.followed.reached == 3
    rows = found.explanation.rows
    written = next(number for number, row in enumerate(rows) if row.operation.startswith("guest branch"))
    assert (rows[written].icache, rows[written].dcache) == (("ok",), "wrong")
    ran = [number for number, row in enumerate(rows) if "executed" in row.operation]
    assert (rows[ran[-2]].icache, rows[ran[-2]].memory) == (("ok",), "wrong")  # hidden
    assert rows[ran[-1]].icache == ("wrong",)
    dropped = [number for number, row in enumerate(rows) if row.operation == "instruction line is dropped"]
    assert ran[-2] < dropped[-1] < ran[-1]
    coherent = one("mips@2010", "z10", what_if=True, follow=load_events("hidden")).followed
    assert (coherent.reached, coherent.complete) == (1, True)  # nothing can hide it there


def test_while_the_instruction_line_stays_nothing_goes_wrong_there() -> None:
    """The same search in which the environment never drops an instruction line: hidden for ever."""
    guard = next(iter(load_translator("mips@2010").block(0, guarded=True).unfinished))
    for host, verdict in (("mips-24kc", "holds"), ("z10", "fails")):
        model = compiled("unfixed", "system", host, "mips@2010", guarded=True, followed=frozenset({guard})).model
        kept = search(model, Question(without=frozenset({Kind.DROP})), max_states=100_000)
        assert kept.verdict == verdict, host


def test_the_counterexample_names_the_guests_branch(staleline: Staleline) -> None:
    out = staleline("check unfixed --host ultrasparc-3 --scenario system --hazard partial").out
    assert "guest branch is written with a temporary target" in out
    assert "Where the guest's condition skips the access `be" in " ".join(out.split())
    assert "--hazard partial" in out.splitlines()[-1]


def test_compare_has_a_column_for_it_where_some_strategy_loses_a_label(staleline: Staleline, tiny_trace: Any) -> None:
    arguments = ("compare", str(tiny_trace), "--scenario", "system", "--strategy", "unfixed,idempotent")
    assert "partial" not in staleline(*arguments, "--wide").out
    out = staleline(*arguments, "--wide", "--host", "mips-24kc").out
    assert "partial" in out.splitlines()[2].split()
    assert "With unfixed a label that is bound behind the fault is lost, on any host (--hazard partial)." in out
