"""What pushes lines out, against scipy's distributions where it is there, simulation, and cases reasoned out."""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest

from bench.caches.policies import MOST_WAYS
from bench.hosts import host_names, load_host
from bench.hosts.profile import Cache, Figure, Length
from bench.replay.parameters import Parameters
from bench.replay.quantity import Quantity
from bench.risk.causes import AT_ONCE
from bench.risk.evictions import causes_on, gone, happens
from bench.risk.pressure import Pressure, separated
from bench.risk.risk import window_gaps
from bench.risk.window import READINGS, Reading
from bench.translators.registry import load_translator

POLICIES = tuple(MOST_WAYS)
SHAPE = load_host("cortex-a9").icache


def cache(replacement: str, ways: int = 4, sets: int = 64) -> Cache:
    """A cache of that shape."""
    return msgspec.structs.replace(SHAPE, replacement=replacement, ways=ways, size=ways * sets * SHAPE.line)


@pytest.mark.parametrize("replacement", POLICIES)
@pytest.mark.parametrize("lines", [20, 200, 1000])
def test_as_often_as_in_a_simulation(replacement: str, lines: int) -> None:
    random = np.random.default_rng(5)
    ways, sets, runs = 4, 64, 20_000
    came = random.poisson(lines / sets, runs)
    if replacement in ("lru", "plru"):
        left = came >= ways
    elif replacement == "round-robin":
        left = came > random.integers(0, ways, runs)
    elif replacement == "nru":
        left = np.array([_left_under_nru(random, ways, count) for count in came])
    else:
        left = np.array([(random.integers(0, ways, count) == 0).any() for count in came])
    expected = gone(cache(replacement), lines)
    assert left.mean() == pytest.approx(expected, abs=4 * math.sqrt(0.25 / runs))


def _left_under_nru(random: np.random.Generator, ways: int, count: int) -> bool:
    """Whether a line in any way is replaced by so many others, whichever ways were used before it."""
    line = int(random.integers(0, ways))
    free = random.permutation([way for way in range(ways) if way != line])[: random.integers(1, ways)]
    used = set(range(ways)) - set(free.tolist())
    for _ in range(count):
        victim = min(set(range(ways)) - used)
        if victim == line:
            return True
        used.add(victim)
        if len(used) == ways:
            used = {victim}
    return False


def test_small_probabilities_keep_their_digits() -> None:
    # One line in 2^20 sets: the tail is its first term.
    mean = 1 / (1 << 20)
    assert gone(cache("lru", sets=1 << 20), 1) == pytest.approx(mean**4 / 24, rel=1e-5)
    assert gone(cache("random", sets=1 << 20), 1) == pytest.approx(mean / 4, rel=1e-6)
    assert happens(1e-30) == 1e-30


@pytest.mark.parametrize("replacement", POLICIES)
def test_no_other_line_pushes_none_out_and_very_many_all(replacement: str) -> None:
    assert gone(cache(replacement), 0) == 0
    assert gone(cache(replacement), 1e5) == pytest.approx(1)
    chances = [gone(cache(replacement), lines) for lines in (1, 10, 100, 1000)]
    assert chances == sorted(chances)


def test_one_way_and_any_replacement_are_the_same() -> None:
    assert len({round(gone(cache(name, ways=1), 30), 12) for name in POLICIES}) == 1


@pytest.mark.parametrize("name", host_names())
def test_every_shipped_host_has_causes_over_the_whole_range(name: str) -> None:
    host = load_host(name)
    for end in ("low", "value", "high"):
        values = {name: getattr(quantity, end) for name, quantity in Pressure().on(host, "arm").items()}
        causes = causes_on(host, values, gaps=3)
        assert [cause.name for cause in causes] == ["interrupt", "time slice", "translator", AT_ONCE.name]
        assert 0 < causes[0].probability < 1


# ------------------------------------------------------------------------------------------------ quantities


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("backend", ["arm", "mips", "ppc", "s390x"])
@pytest.mark.parametrize("name", host_names())
def test_quantities_are_sourced_and_never_silently_at_an_end(name: str, backend: str, reading: Reading) -> None:
    of_risk = Pressure(window=reading).on(load_host(name), backend)
    for quantity in (*of_risk.values(), *Parameters().quantities.values()):
        assert quantity.low <= quantity.value <= quantity.high
        assert quantity.source
        if quantity.low < quantity.high:
            assert bool(quantity.at_end) is (quantity.value in (quantity.low, quantity.high))


def test_an_end_as_the_value_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="a reason for an end"):
        Quantity(1, 1, 2, "cycles", "assumed", ("test",))
    assert Quantity(1, 1, 2, "cycles", "assumed", ("test",), at_end="why").at_end == "why"
    with pytest.raises(ValueError, match="a reason for an end"):
        Quantity(1, 0, 2, "cycles", "assumed", ("test",), at_end="why")


def test_the_value_of_a_host_s_figure_is_an_end_only_with_a_note() -> None:
    silent = [f"{name}: {path}" for name in host_names() for path in silently_at_end(load_host(name))]
    assert silent == []


def silently_at_end(part: object, path: str = "") -> Iterator[str]:
    """The figures whose value is an end of their range without a note."""
    if isinstance(part, Figure | Length) and part.low < part.high and part.value in (part.low, part.high):
        if not part.note:
            yield path
    elif isinstance(part, msgspec.Struct):
        for name in part.__struct_fields__:
            yield from silently_at_end(getattr(part, name), f"{path}.{name}")
    elif isinstance(part, dict):
        for name, one in part.items():
            yield from silently_at_end(one, f"{path}.{name}")


@pytest.mark.parametrize(("backend", "host"), [("arm", "cortex-a9"), ("mips", "mips-24kc"), ("ppc", "ppc-g4")])
def test_the_window_lies_between_its_two_readings(backend: str, host: str) -> None:
    between, cold, warm = (Pressure(window=reading).on(load_host(host), backend) for reading in READINGS)
    for name in ("window_data_lines", "window_code_lines"):
        assert cold[name].tag == warm[name].tag == "measured"
        assert between[name].tag == ("estimate" if cold[name].value > warm[name].value else "measured")
        assert between[name].low == warm[name].value == warm[name].low == warm[name].high
        assert between[name].high == cold[name].value
    assert warm["window_cycles"].value < between["window_cycles"].value < cold["window_cycles"].value


def test_an_arm_window_brings_no_data_line_that_could_evict_the_branch() -> None:
    # What is new there are lines of the code buffer, next to the branch's own.
    assert Pressure().on(load_host("cortex-a9"), "arm")["window_data_lines"].high == 0


def test_new_lines_and_time_are_per_window_however_many_operations_it_has() -> None:
    host = load_host("cortex-a9")
    values = {**Pressure().values(host, "arm"), "window_data_lines": 1.0}
    (three,), (six,) = (
        [cause for cause in causes_on(host, values, gaps=gaps) if cause.name == "translator"] for gaps in (3, 6)
    )
    assert 1 - (1 - three.write_back) ** 3 == pytest.approx(1 - (1 - six.write_back) ** 6)


@pytest.mark.parametrize(
    ("host", "translator", "gaps"),
    [
        ("cortex-a9", "arm@2010", 3),
        ("mips-24kc", "mips@2010", 6),
        ("ppc-g4", "ppc@2010", 4.5),
        ("cortex-a9", "arm@2011", 1),
    ],
)
def test_the_gaps_of_a_window_are_counted_as_emitted(host: str, translator: str, gaps: float) -> None:
    assert window_gaps(load_host(host), load_translator(translator))[None] == gaps


def test_what_is_set_has_no_range_and_parameters_of_the_replay_are_told_apart() -> None:
    found = Pressure().varied(["window_data_lines=4"]).on(load_host("cortex-a9"), "arm")["window_data_lines"]
    assert (found.low, found.value, found.high, found.tag) == (4, 4, 4, "assumed")
    assert separated(["guest_data_lines=10", "interrupts=5"]) == (["interrupts=5"], ["guest_data_lines=10"])
