"""``staleline minimality``."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from bench.commands.names import max_states_of, some_of
from bench.commands.options import MaxStates, OnHosts, Scenarios, Written, scenarios_on
from bench.commands.output import progress_bar, show_states
from bench.support.errors import InputError


def minimality(
    *,
    strategy: Annotated[list[str] | None, typer.Argument(help="Strategies; default: all.", metavar="STRATEGY")] = None,
    hosts: OnHosts,
    scenario: Scenarios = None,
    max_states: MaxStates = None,
    written: Written,
) -> None:
    """Find which operations of a strategy cannot be left out. And the weakest host on which it holds.

    \b
    Example: staleline minimality unfixed flush-on-retranslation --scenario system
    """
    from bench.check import asked
    from bench.check.cell import MAX_STATES, Options
    from bench.check.minimality import omissions, weakest
    from bench.report.minimality import MinimalityReport

    emit = written.emitter()
    options = Options(what_if=hosts.what_if, max_states=max_states_of(max_states, MAX_STATES))
    (found, backend), *more = hosts.pairs()
    if more:
        raise InputError(f"{len(more) + 1} hosts or translators", place="minimality", expected="one")
    names = [name for name in scenarios_on(scenario, [found]) if name != "migrate" or found.cores.value > 1]
    strategies = asked.strategies(some_of(strategy))
    with progress_bar("checking", len(strategies) * len(names) * 32) as progress:
        omitted = {one.name: omissions(one, backend, found, names, options) for one in strategies}
        sets = weakest(strategies, backend, found, names, options, partial(show_states, progress))
    emit(MinimalityReport(found.name, backend.full_name, omitted, sets))
