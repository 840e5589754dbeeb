"""The architecture's machine: what a host of it can do, it allows; and what it guarantees."""

from __future__ import annotations

from functools import cache

import pytest
from cells import Publishes, cell
from conftest import Staleline
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.check.units import Hazard
from bench.hosts.loader import ARCHITECTURES
from bench.machine import architecture
from bench.machine.architecture import Histories, Order, Rules, completions, fetchable, issue, load
from bench.machine.memory import Put
from bench.scenarios import LASTING_IN, scenario_names
from staleline import Strategy
from strategies import registry

HOSTS = {
    "cortex-a53": "armv8-idc",
    "cortex-a72": "armv8",
    "neoverse-v1": "armv8-dic",
    "sifive-u74": "riscv-ziccif",
    "ppc-g4": "power",
    "ppc-g5": "power",
    "x86-skylake": "x86-amd",
    "z10": "s390",
}
"""Shipped hosts, and the strongest architecture that each is one of."""

STRONGER = (("armv8", "armv8-idc", "armv8-dic"), ("riscv", "riscv-ziccif"), ("x86-intel", "x86-amd"))
"""Architectures of one instruction set, the weakest first."""


@cache  # a test asks what another one has asked
def verdict(
    strategy: Strategy | str, host: str, scenario: str, settings: tuple[str, ...] = (), hazard: Hazard = "transient"
) -> str:
    options = {"what_if": True, "hazard": hazard, "max_states": 400_000}
    return cell(strategy, scenario, host, settings=settings, **options).verdict


@pytest.mark.parametrize("name", registry.shipped())
def test_what_fails_on_a_host_fails_on_its_architecture(name: str) -> None:
    for host, stronger in HOSTS.items():
        for scenario in scenario_names():
            if verdict(name, host, scenario) == "fails":
                assert verdict(name, stronger, scenario) == "fails", (host, scenario)


@pytest.mark.parametrize("name", registry.shipped())
def test_what_holds_on_an_architecture_holds_on_a_stronger_one(name: str) -> None:
    for scenario in scenario_names():
        for family in STRONGER:
            found = [verdict(name, host, scenario) for host in family]
            assert found == sorted(found), (scenario, family)  # "fails" before "holds"


FEATURES = st.fixed_dictionaries(
    {
        "coherence.fill": st.sampled_from(["pou", "coherent"]),
        "coherence.snoop": st.sampled_from(["none", "others", "all"]),
        "coherence.fetches_ahead": st.sampled_from(["true", "false"]),
        "write_allocate": st.sampled_from(["true", "false"]),
        "store_buffer": st.sampled_from(["0", "1"]),
    }
)


WORDS = st.lists(st.sampled_from(["clean", "barrier", "invalidate", "sync", "sync cores"]), max_size=5).map(tuple)


@settings(max_examples=60, deadline=None)
@given(features=FEATURES, operations=WORDS, scenario=st.sampled_from(["system", "migrate", "user"]))
def test_a_random_host_does_nothing_that_armv8_does_not_allow(
    features: dict[str, str], operations: tuple[str, ...], scenario: str
) -> None:
    setting = tuple(f"{key}={value}" for key, value in features.items())
    if verdict(Publishes(*operations), "cortex-a72", scenario, setting) == "fails":
        assert verdict(Publishes(*operations), "armv8", scenario) == "fails"


def test_the_full_sequence_is_what_armv8_asks_for() -> None:
    full = ("clean", "barrier", "invalidate", "barrier", "sync")
    assert verdict(Publishes(*full), "armv8", "system") == "holds"
    for number in range(len(full)):
        assert verdict(Publishes(*full[:number], *full[number + 1 :]), "armv8", "system") == "fails", full[number]
    assert verdict(Publishes("barrier", "sync"), "armv8-dic", "system") == "holds"
    assert verdict(Publishes("barrier", "sync"), "armv8-idc", "system") == "fails"


def test_two_retranslators_can_add_twice_there_too() -> None:
    assert verdict("unfixed", "armv8", LASTING_IN, hazard="lasting") == "fails"
    assert verdict("global-lock", "armv8", LASTING_IN, hazard="lasting") == "holds"


# ----------------------------------------------------------------------------------------------------------- the rules


Letters = Histories[int, str]


def settled(memory: Letters) -> set[Letters]:
    """Every memory in which nothing is pending any more."""
    found: set[Letters] = set()
    seen, pending = {memory}, [memory]
    while pending:
        now = pending.pop()
        following = [after for _, _, after in completions(now, Rules())]
        if not following:
            found.add(now)
        for after in following:
            if after not in seen:
                seen.add(after)
                pending.append(after)
    return found


def test_stores_to_one_place_are_in_order_and_to_two_in_any() -> None:
    start: Letters = architecture.at_start(("a", "b"), 1, (0, 1))
    ordered = settled(issue(start, 0, Put(0, "c"), Put(0, "d")))
    assert {memory.history[0] for memory in ordered} == {("a", "c", "d")}
    memory = issue(start, 0, Put(0, "c"), Put(1, "d"))
    assert {entry for _, entry, _ in completions(memory, Rules())} == {Put(0, "c"), Put(1, "d")}
    memory = issue(start, 0, Put(0, "c"), Order.STORES, Put(1, "d"))
    assert {entry for _, entry, _ in completions(memory, Rules())} == {Put(0, "c")}
    assert load(memory, 0, 1) == "d"
    assert load(issue(start, 0, Put(0, "c"), Order.FULL), 0, 1) is None


def test_a_fetch_returns_any_store_from_its_floor_on() -> None:
    memory: Letters = architecture.at_start(("a",), 2, (0,))
    for value in ("b", "c"):
        (memory,) = settled(issue(memory, 0, Put(0, value)))
    assert fetchable(memory, Rules(), 1, 0) == ("c", "b", "a")
    assert fetchable(memory, Rules(dic=True), 1, 0) == ("c",)
    (uncleaned,) = settled(issue(memory, 0, architecture.InvalidateCell(0, frozenset({0, 1}))))
    assert fetchable(uncleaned, Rules(), 1, 0) == ("c", "b", "a")
    (cleaned,) = settled(issue(memory, 0, architecture.CleanCell(0)))
    (dropped,) = settled(issue(cleaned, 0, architecture.InvalidateCell(0, frozenset({1}))))
    assert [fetchable(dropped, Rules(), core, 0) for core in (0, 1)] == [("c", "b", "a"), ("c",)]
    together = settled(issue(memory, 0, architecture.CleanCell(0), architecture.InvalidateCell(0, frozenset({1}))))
    assert {fetchable(one, Rules(), 1, 0) for one in together} == {("c",), ("c", "b", "a")}


# ---------------------------------------------------------------------------------------------------- the command line


def test_architectures_are_checked_and_listed_and_nothing_else(staleline: Staleline) -> None:
    ran = staleline("check unfixed --host armv8 --translator arm --scenario system")
    assert ran.status == 1
    assert "No caches are meant." in ran.out
    assert "Show it again: staleline check unfixed --host armv8" in ran.out
    listed = staleline("list").out
    assert all(name in listed for name in ARCHITECTURES)
    for command in ("replay --what-if", "risk --what-if", "matrix"):
        staleline(f"{command} --host riscv").is_refused()
    only = "expected cores=N: an architecture has no other features to set"
    staleline("check --host armv8 --set dcache.write=through").is_refused(only)
    line = "explain unfixed --host armv8 --translator arm --scenario user --follow thread"
    staleline(line).is_refused("--follow on an architecture")
