"""What pushes lines out, against scipy's distributions where it is there, simulation, and cases reasoned out."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from bench.hosts import host_names, load_host
from bench.hosts.profile import Cache
from bench.risk.causes import AT_ONCE
from bench.risk.evictions import causes_on, gone, happens
from bench.risk.pressure import Pressure

SHAPE = load_host("cortex-a9").icache


def cache(replacement: str, ways: int = 4, sets: int = 64) -> Cache:
    """A cache of that shape."""
    return msgspec.structs.replace(SHAPE, replacement=replacement, ways=ways, size=ways * sets * SHAPE.line)


@pytest.mark.parametrize("replacement", ["lru", "plru", "round-robin", "random"])
@pytest.mark.parametrize("lines", [20, 200, 1000])
def test_as_often_as_in_a_simulation(replacement: str, lines: int) -> None:
    random = np.random.default_rng(5)
    ways, sets, runs = 4, 64, 20_000
    came = random.poisson(lines / sets, runs)
    if replacement in ("lru", "plru"):
        left = came >= ways
    elif replacement == "round-robin":
        left = came > random.integers(0, ways, runs)
    else:
        left = np.array([(random.integers(0, ways, count) == 0).any() for count in came])
    expected = gone(cache(replacement), lines)
    assert left.mean() == pytest.approx(expected, abs=4 * math.sqrt(0.25 / runs))


def test_small_probabilities_keep_their_digits() -> None:
    # One line in 2^20 sets: the tail is its first term.
    mean = 1 / (1 << 20)
    assert gone(cache("lru", sets=1 << 20), 1) == pytest.approx(mean**4 / 24, rel=1e-5)
    assert gone(cache("random", sets=1 << 20), 1) == pytest.approx(mean / 4, rel=1e-6)
    assert happens(1e-30) == 1e-30


@pytest.mark.parametrize("replacement", ["lru", "plru", "round-robin", "random"])
def test_no_other_line_pushes_none_out_and_very_many_all(replacement: str) -> None:
    assert gone(cache(replacement), 0) == 0
    assert gone(cache(replacement), 1e5) == pytest.approx(1)
    chances = [gone(cache(replacement), lines) for lines in (1, 10, 100, 1000)]
    assert chances == sorted(chances)


def test_one_way_and_any_replacement_are_the_same() -> None:
    assert len({round(gone(cache(name, ways=1), 30), 12) for name in ("lru", "plru", "round-robin", "random")}) == 1


@pytest.mark.parametrize("name", host_names())
def test_every_shipped_host_has_causes_over_the_whole_range(name: str) -> None:
    pressure = Pressure()
    for end in ("low", "value", "high"):
        values = {name: getattr(quantity, end) for name, quantity in pressure.quantities.items()}
        causes = causes_on(load_host(name), values)
        assert [cause.name for cause in causes] == ["interrupt", "time slice", "translator", AT_ONCE.name]
        assert 0 < causes[0].probability < 1


def test_quantities_are_named_sourced_and_within_their_range() -> None:
    pressure = Pressure()
    for quantity in pressure.quantities.values():
        assert quantity.low <= quantity.value <= quantity.high
        assert quantity.source
        assert quantity.tag == "assumed"
