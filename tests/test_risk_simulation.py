"""The simulation with importance sampling: it agrees with what is computed, and sees what is rare."""

from __future__ import annotations

import pytest
from cells import chain_cell as cell

from bench.hosts import load_host
from bench.risk.causes import AT_ONCE, Cause
from bench.risk.chain import Chain
from bench.risk.evictions import causes_on
from bench.risk.pressure import Pressure
from bench.risk.simulation import simulate
from bench.support.errors import InputError

SEEDS = 50


@pytest.mark.parametrize(
    ("host", "translator", "scenario", "given"),
    [
        ("cortex-a9", "arm@2010", "system", (1e-6, 1e-3)),
        ("cortex-a9", "arm@2010", "system", (0.25, 0.5)),
        ("cortex-a9", "arm@2010", "migrate", None),
        ("cortex-a8", "arm@2010", "system", (1e-12, 1e-9)),
        ("mips-24kc", "mips@2010", "system", (1e-30, 1e-30)),
        ("arm926", "arm@2010", "system", None),
    ],
)
def test_the_exact_figure_is_in_the_interval_as_often_as_it_says(
    host: str, translator: str, scenario: str, given: tuple[float, float] | None
) -> None:
    model, question = cell("unfixed", host, translator, scenario)
    if given is None:
        # At the high ends: rarer than one in a million by a single path, 20,000 samples are too few for a normal law.
        profile = load_host(host)
        high = {name: float(quantity.high) for name, quantity in Pressure().on(profile, "arm").items()}
        causes = causes_on(profile, high, model.scenario.cores, model.scenario.moves, gaps=3)
    else:
        causes = (Cause("evictions", 1.0, write_back=given[0], drop=given[1]), AT_ONCE)
    exact = Chain(model, question, causes).figures(causes).first
    drawn = [simulate(model, question, causes, samples=20_000, seed=seed) for seed in range(SEEDS)]
    assert sum(one.low <= exact <= one.high for one in drawn) >= 48
    # It is a check that can fail: a tenth of it, or ten times as much, is outside.
    assert all(not one.low <= exact * factor <= one.high for one in drawn for factor in (0.1, 10))
    assert len({one.mean for one in drawn}) > SEEDS // 2
    assert simulate(model, question, causes, samples=20_000, seed=7) == drawn[7]


def test_what_holds_is_never_drawn() -> None:
    model, question = cell("flush-on-retranslation")
    causes = (Cause("evictions", 1.0, write_back=0.5, drop=0.5, fill=0.5, drain=0.5, complete=0.5),)
    drawn = simulate(model, question, causes, samples=10_000, seed=1)
    assert (drawn.mean, drawn.low, drawn.high) == (0, 0, 0)


def test_what_is_certain_has_no_width() -> None:
    model, question = cell("unfixed")
    causes = (Cause("everything", 1.0, write_back=1.0, drop=1.0), AT_ONCE)
    drawn = simulate(model, question, causes, samples=10, seed=1)
    assert drawn.low == drawn.mean == drawn.high == Chain(model, question, causes).figures(causes).first


def test_several_threads_and_one_sample_are_refused() -> None:
    for name, samples in (("user", 100), ("system", 1)):
        model, question = cell("unfixed", name=name)
        with pytest.raises(InputError, match="expected one thread, and at least 2 samples"):
            simulate(model, question, (AT_ONCE,), samples=samples, seed=0)
