"""Operations left out, and the weakest host: known results, and that both lists are what they say they are."""

from __future__ import annotations

import pytest
from conftest import Staleline

from bench.check.cell import Check, Options
from bench.check.minimality import WEAKNESSES, omissions, weakened, weakest
from bench.hosts import load_host
from bench.machine.caches import features_of
from bench.scenarios import scenario_names
from bench.support.errors import InputError
from bench.translators.registry import load_translator
from staleline import Barrier, Clean, Hook, Invalidate, Region, Scope, Strategy, Sync
from strategies import registry

ARM = load_translator("arm@2010")


def test_no_operation_of_a_shipped_fix_can_be_left_out() -> None:
    found = omissions(registry.find("stop-the-world-flush"), ARM, load_host("cortex-a9"), scenario_names(), Options())
    assert {one.operations[0]: one.breaks for one in found} == {
        "Flush in publish": ("system", "user", "user-both", "migrate"),
        "SyncCores in publish": ("user", "user-both"),
        "lock 'world' in begin and publish": ("user", "user-both"),
        "lock 'world' in enter and leave": ("user", "user-both"),
    }


class ByHand(Strategy):
    """A flush with one operation too many."""

    def publish(self, region: Region) -> Hook:
        own = Clean(region), Barrier(), Invalidate(region, Scope.BROADCAST), Barrier(), Barrier(), Sync()
        return (*super().publish(region), *own)


def test_an_operation_too_many_is_named() -> None:
    found = omissions(ByHand(), ARM, load_host("cortex-a9"), ["system"], Options())
    assert {one.operations[0]: bool(one.breaks) for one in found} == {
        "Clean in publish": True,
        "Barrier in publish": True,
        "Invalidate in publish": True,
        "Barrier in publish (2)": False,
        "Barrier in publish (3)": False,
        "Sync in publish": True,
    }


def test_what_holds_nowhere_has_nothing_to_leave_out() -> None:
    assert omissions(registry.find("global-lock"), ARM, load_host("cortex-a9"), ["system"], Options()) == ()


def test_a_host_is_weakened_as_its_profile_would_be_set() -> None:
    keys = ("coherence.fill=pou", "snoop=all", "fetches_ahead=true", "store_buffer=1", "write_allocate=true")
    weak = {"dirty data lines", "fetched-ahead queue", "store buffer"}
    assert features_of(weakened(load_host("arm926"), weak)) == features_of(load_host("arm926", keys))
    with pytest.raises(InputError, match="fetches_ahead and checks_pipeline"):
        weakened(load_host("x86-skylake"), weak)


@pytest.mark.parametrize("name", ["unfixed", "flush-on-retranslation", "stop-the-world"])
def test_the_weakest_hosts_are_what_they_are_said_to_be(name: str) -> None:
    strategy = registry.find(name)
    (found,) = weakest([strategy], ARM, load_host("cortex-a9"), ["system"], Options(), lambda cell, done, states: None)

    def verdict(weak: set[str]) -> str:
        return Check(strategy, ARM, weakened(load_host("cortex-a9"), weak), "system", Options()).run().verdict

    assert found.decided
    for some in found.holds:
        assert verdict(set(some)) == "holds"
        assert all(verdict({*some, more}) == "fails" for more in WEAKNESSES if more not in some)
    for some in found.fails:
        assert verdict(set(some)) == "fails"
        assert all(verdict({*some} - {less}) == "holds" for less in some)


def test_the_command(staleline: Staleline) -> None:
    line = "minimality flush-on-retranslation --scenario system"
    ran = staleline(line)
    assert (ran.status, ran.err) == (0, "")
    assert "Flush in publish" in ran.out
    assert "all of them" in ran.out
    assert staleline(f"{line} --format json").valid
    staleline("minimality --host armv8").is_refused()
