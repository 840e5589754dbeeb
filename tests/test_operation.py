"""A new operation has a verdict and a price by what stands below: its class, and the action that it becomes.

CONTRIBUTING says which places these are: ``strategies/operations.py`` and ``bench/machine/actions.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from cells import cell
from test_replay import one

from bench.check.cell import Options
from bench.check.minimality import omissions
from bench.hosts import load_host
from bench.machine.actions import DataBarrier, SyncAllCores, UnitPlacement, lowered
from bench.machine.footprint import CompiledAction, Cut, Taking
from bench.machine.model import Model, Taken
from bench.machine.slots import ActionFootprint
from bench.machine.state import State
from bench.replay.parameters import Parameters
from bench.support.errors import InputError
from bench.translators.registry import load_translator
from strategies.operations import Barrier, Clean, Hook, Invalidate, Operation, Price
from strategies.strategy import Strategy, StrategyError
from strategies.writes import Region


@dataclass(frozen=True, slots=True)
class Complete(Operation):
    """Wait for this core's maintenance, and synchronise all cores, in one call."""

    price = Price("stop", "stop", per="other vCPU")


@dataclass(frozen=True, slots=True)
class CompleteEverywhere(CompiledAction):
    """``DataBarrier`` and ``SyncAllCores`` at once."""

    name = "everything is complete"

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        for waited, _, _ in DataBarrier().taken(model, state, core, thread):
            yield from SyncAllCores().taken(model, waited, core, thread)

    def footprint(self, cut: Cut, taking: Taking) -> ActionFootprint:
        waits, syncs = DataBarrier().footprint(cut, taking), SyncAllCores().footprint(cut, taking)
        return ActionFootprint(guards=waits.guards, parts=syncs.parts)


@lowered.register
def _(operation: Complete, at: UnitPlacement) -> Iterator[CompleteEverywhere]:
    yield CompleteEverywhere()


class Maintains(Strategy):
    """``last``: what stands behind the maintenance."""

    last: tuple[Operation, ...] = ()

    def publish(self, region: Region) -> Hook:
        return (Clean(region), Barrier(), Invalidate(region), *self.last)


class Completes(Maintains):
    last = (Complete(),)


@pytest.mark.parametrize(("strategy", "verdict"), [(Maintains(), "fails"), (Completes(), "holds")])
def test_its_verdict_is_that_of_what_its_action_does(strategy: Strategy, verdict: str) -> None:
    assert cell(strategy).verdict == verdict


def test_an_explanation_calls_it_as_its_action_is_called() -> None:
    class TooEarly(Strategy):
        def begin(self, region: Region) -> Hook:
            return (Complete(),)

    explanation = cell(TooEarly()).explanation
    assert "everything is complete" in [row.operation for row in explanation.rows]


def test_its_price_is_the_figure_that_it_names_for_each_other_vcpu() -> None:
    host = load_host("cortex-a9")
    stop = host.costs.stop.value * host.clock_ghz  # from nanoseconds
    found, without = one(Completes()), one(Maintains())
    assert found.stop.nominal == pytest.approx(stop)
    assert without.stop.nominal == 0
    assert found.flush == without.flush
    assert one(Completes(), parameters=Parameters(vcpus=4)).stop.nominal == pytest.approx(3 * stop)


def test_it_is_left_out_in_turn_like_any_other() -> None:
    translator, host = load_translator("arm@2010"), load_host("cortex-a9")
    found = omissions(Completes(), translator, host, ["system"], Options())
    assert {left.operations[0]: left.breaks for left in found}["Complete in publish"] == ("system",)


def test_without_an_action_or_a_figure_it_is_refused_by_name() -> None:
    @dataclass(frozen=True, slots=True)
    class Unsaid(Operation):
        price = Price("unheard", "flush")

    class Asks(Strategy):
        def publish(self, region: Region) -> Hook:
            return (Unsaid(),)

    with pytest.raises(StrategyError, match="Unsaid: no action says what it does"):
        cell(Asks())
    with pytest.raises(InputError, match=r"costs\.unheard"):
        one(Asks())
