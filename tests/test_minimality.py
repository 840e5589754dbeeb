"""Operations left out, and the weakest host: known results, and that both lists are what they say they are."""

from __future__ import annotations

import pytest
from conftest import Staleline

from bench.check.cell import Options, check
from bench.check.minimality import WEAKNESSES, omissions, weakest
from bench.hosts import load_host
from bench.scenarios import scenario_names
from bench.translators.registry import load_translator
from strategies import Barrier, Clean, Hook, Invalidate, Region, Strategy, Sync, registry
from strategies.operations import Scope

ARM = load_translator("arm@2010")


def test_no_operation_of_a_shipped_fix_can_be_left_out() -> None:
    found = omissions(registry.find("stop-the-world-flush"), ARM, load_host("cortex-a9"), scenario_names(), Options())
    assert {one.operation: one.breaks for one in found} == {
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
    needed = dict.fromkeys(("Clean", "Barrier", "Invalidate", "Sync"), True)
    breaks = {f"{name} in publish": breaks for name, breaks in needed.items()}
    breaks |= {"Barrier in publish (2)": False, "Barrier in publish (3)": False}
    assert {one.operation: bool(one.breaks) for one in found} == breaks
    # What holds nowhere has nothing to leave out.
    assert omissions(registry.find("global-lock"), ARM, load_host("cortex-a9"), ["system"], Options()) == ()


@pytest.mark.parametrize("name", ["unfixed", "flush-on-retranslation", "stop-the-world"])
def test_the_weakest_hosts_are_what_they_are_said_to_be(name: str) -> None:
    strategy = registry.find(name)
    (found,) = weakest([strategy], ARM, load_host("cortex-a9"), ["system"], Options(), lambda cell, done, states: None)

    def verdict(weak: set[str]) -> str:
        settings = [f"{key}={bad if one in weak else good}" for one, (key, good, bad) in WEAKNESSES.items()]
        return check(strategy, ARM, load_host("cortex-a9", settings), "system", Options()).verdict

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
