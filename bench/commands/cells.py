"""Cells of strategies, hosts, translators and scenarios: what ``check`` and ``explain`` ask about."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench.commands.names import some_of
from bench.commands.options import OfCells, scenarios_on
from bench.commands.output import progress_bar, show_states

if TYPE_CHECKING:
    from bench.check.cell import Checked, Options
    from strategies.strategy import Strategy


def check_cells(strategies: list[Strategy], cells: OfCells, options: Options) -> list[Checked]:
    """Check every cell.  Raises ``InputError`` for one that was asked for by name and cannot be."""
    from bench.check.cell import Check
    from bench.check.cells import check_all

    pairs = cells.target_pairs()
    names = scenarios_on(cells.scenario, [host for host, _ in pairs], options.cores)
    if options.follow and some_of(cells.scenario) is None:
        names = _with_threads(names, max(event.thread for event in options.follow) + 1, options)
    asked = [
        Check(one, translator, host, name, options)
        for host, translator in pairs
        for one in strategies
        for name in names
    ]
    with progress_bar("checking", len(asked)) as progress:
        return check_all(asked, partial(show_states, progress))


def _with_threads(names: list[str], threads: int, options: Options) -> list[str]:
    """The scenarios that have so many threads; all of them if none has, which is then refused where it is met."""
    from bench.scenarios import scenario

    found = {name: scenario(name, options.cores, cores=options.cores) for name in names}
    return [name for name, one in found.items() if one is not None and len(one.threads) >= threads] or names


def right(results: list[Checked]) -> bool:
    """Whether no cell fails, and no search was cut short."""
    return all(result.verdict in ("holds", "n/a") for result in results)
