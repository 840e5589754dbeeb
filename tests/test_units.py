"""A search for each unit finds what one search for all of them finds."""

from __future__ import annotations

import collections
import random
from typing import Any

import pytest
from cells import cell, compiled
from test_machine_reference import draw_case

from bench.check.cell import Checked
from bench.check.units import HAZARDS, Hazard, Units, search_units
from bench.program.compiler import Compiler
from bench.search.question import UNSEEN, Question
from bench.search.search import search
from bench.translators.registry import load_translator
from strategies.evaluation import ask
from strategies.operations import Flush, Hook, Load, Store
from strategies.strategy import Strategy, StrategyError
from strategies.writes import Form, Region, Write

MOST = 800
"""States of a random case, at most."""


def answer(arguments: dict[str, Any], hazard: Hazard, units: Units) -> tuple[str, int]:
    """Verdict, and the length of the counterexample (0 without one)."""

    def build(followed: Any) -> Compiler:
        return Compiler(**arguments, followed=followed)

    outcome, _ = search_units(build, hazard, units, max_states=MOST, progress=lambda states: None)
    return outcome.verdict, outcome.depth if outcome.verdict == "fails" else 0


def test_random_strategies_get_the_same_verdict_and_no_longer_counterexample() -> None:
    verdicts: collections.Counter[str] = collections.Counter()
    several = 0
    for seed in range(3_000, 3_028):
        case = draw_case(random.Random(seed))
        live = Compiler(**case.arguments).live
        for hazard in HAZARDS:
            apart, depth = answer(case.arguments, hazard, "each")
            together, length = answer(case.arguments, hazard, "together")
            if "bounded" in (apart, together):
                continue
            assert apart == together, f"seed {seed}, {hazard}: {case}"
            assert depth <= length, f"seed {seed}, {hazard}: {case}"
            verdicts[apart] += 1
            several += live.independent and len({offset for _, offset in live.at}) > 1
    assert verdicts.total() >= 60
    assert verdicts["fails"] >= 8
    assert several >= 4


def one(strategy: Strategy | str, translator: str, host: str, scenario: str, **options: Any) -> Checked:
    wide = {"what_if": True, "retranslations": 1, "max_states": 60_000}
    return cell(strategy, scenario, host, translator, **wide, **options)


@pytest.mark.parametrize("host", ["arm926", "cortex-a9", "cortex-a53", "neoverse-v1", "z10", "ultrasparc-2"])
@pytest.mark.parametrize("strategy", ["unfixed", "flush-on-retranslation", "global-lock", "idempotent"])
def test_a_backend_with_two_branches_gets_the_same_verdict(host: str, strategy: str) -> None:
    compared = 0
    for scenario in ("system", "user"):
        apart = one(strategy, "s390x", host, scenario)
        together = one(strategy, "s390x", host, scenario, units="together")
        if "bounded" in (apart.verdict, together.verdict):
            continue
        assert apart.verdict == together.verdict, (scenario, apart.outcome, together.outcome)
        assert apart.outcome.states <= together.outcome.states
        compared += 1
    assert compared


def test_what_the_environment_does_to_caches_changes_nothing_that_is_stored() -> None:
    """The lasting hazard, with all steps of the environment and with those that the data side can notice."""
    verdicts: collections.Counter[str] = collections.Counter()
    for seed in range(3_300, 3_360):
        case = draw_case(random.Random(seed))
        model = Compiler(**case.arguments).model
        everything = search(model, Question("lasting"), max_states=MOST)
        fewer = search(model, Question("lasting", without=UNSEEN), max_states=MOST)
        if "bounded" in (everything.verdict, fewer.verdict):
            continue
        assert (fewer.verdict, fewer.failure) == (everything.verdict, everything.failure), f"seed {seed}: {case}"
        if everything.failure == "lasting":
            assert fewer.run == everything.run
        assert fewer.states <= everything.states
        verdicts[fewer.failure] += 1
    assert verdicts["lasting"] >= 3
    assert verdicts[""] >= 20


class Cautious(Strategy):
    """Flush if any load finds a value that is not final."""

    def emit(self, write: Write) -> Hook:
        yield from super().emit(write)
        if (yield Load(write.unit)) != write.unit.final:
            yield Flush(Region(write.unit.tb, write.unit.offset + write.unit.size, (write,)))


class OnlyIfDifferent(Strategy):
    """Store only what differs: its own unit decides whether there is a store at all."""

    def emit(self, write: Write) -> Hook:
        old = yield Load(write.unit)
        value = write.value | write.temporary
        if old != value:
            yield Store(write.unit, write.unit.mask, value)


class Carries(Strategy):
    """What one unit is loaded as is stored to another, between two stores that leave both final."""

    def retranslate(self, region: Region) -> Hook:
        first, second = (write.unit for write in self._conditional(region))
        yield Load(first)
        yield Store(second, second.mask, 0)
        seen = yield Load(second)
        yield Store(first, first.mask, first.final if seen == second.final else 0)
        yield Store(first, first.mask, first.final)
        yield Store(second, second.mask, second.final)

    @staticmethod
    def _conditional(region: Region) -> list[Write]:
        return list({write.unit: write for write in region.writes if write.form is not Form.WHOLE}.values())[:2]


class LooksAside(Strategy):
    """Goes on by what it finds in the private buffer."""

    def retranslate(self, region: Region) -> Hook:
        first = region.writes[0]
        if (yield Load(first.in_scratch().unit)) == first.unit.final:
            yield Store(first.unit, first.unit.mask, first.unit.final)


class LooksAtAll(Strategy):
    """Goes over the whole block in one hook."""

    def publish(self, region: Region) -> Hook:
        for write in region.writes:
            if (yield Load(write.unit)) != write.unit.final:
                yield Flush(region)


def test_a_strategy_whose_results_cannot_all_be_tried_or_that_decides_by_what_is_not_kept_is_refused() -> None:
    with pytest.raises(StrategyError, match=r"LooksAtAll.publish, line \d+: more than 8 loads in one hook"):
        one(LooksAtAll(), "arm@2010", "cortex-a9", "system")
    with pytest.raises(StrategyError, match=r"LooksAside.*scratch memory"):
        one(LooksAside(), "arm@2010", "cortex-a9", "system")


@pytest.mark.parametrize("host", ["cortex-a9", "neoverse-v1"])
def test_a_strategy_that_carries_values_between_units_gets_the_same_verdict(host: str) -> None:
    for scenario in ("system", "user"):
        apart = one(Carries(), "s390x", host, scenario)
        together = one(Carries(), "s390x", host, scenario, units="together")
        assert apart.outcome == together.outcome
        assert apart.verdict == "fails"


def test_a_strategy_whose_loads_decide_more_is_searched_as_a_whole() -> None:
    for strategy in ("unfixed", "idempotent-read-back", Cautious(), OnlyIfDifferent(), Carries()):
        live = compiled(strategy, translator="s390x").live
        assert live.independent is isinstance(strategy, str), strategy
    assert ask(Cautious(), "emit", load_translator("s390x").block(0).writes[0]).operations
