"""Cells of strategies, hosts, translators and scenarios: what ``check`` and ``explain`` ask about."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench.commands.names import (
    accesses_in,
    guest_bits_of,
    max_states_of,
    one_of,
    paired,
    refuse_impossible,
    scenarios_named,
    targets_named,
    with_threads,
)
from bench.commands.output import progress_bar, show_states
from bench.support.errors import InputError

if TYPE_CHECKING:
    from bench.check.cell import Checked, Options
    from strategies.strategy import Strategy


def options_of(
    *,
    hazard: str,
    layout: str,
    offset: int,
    start: str,
    cores: int,
    tbs: int,
    retranslations: int,
    flushes: int,
    access: str,
    guest_bits: int,
    units: str,
    speculation: bool,
    symmetry: bool,
    max_states: int | None,
    what_if: bool,
    follow: str | None = None,
    autopsy: bool = False,
) -> Options:
    """How a cell is checked, from the words of the command line."""
    from bench.check import cell
    from bench.check.units import HAZARDS, UNITS
    from bench.explain.follow import load_events
    from bench.program.layout import LAYOUTS

    if offset and layout != "packed":
        raise InputError(
            f"--offset {offset} with --layout {layout}", expected="--layout packed, whose blocks it shifts"
        )
    if not 0 <= offset < 65536:
        raise InputError(str(offset), place="--offset", expected="0 to 65535 bytes")
    return cell.Options(
        hazard=one_of("--hazard", hazard, HAZARDS),
        layout=one_of("--layout", layout, LAYOUTS),
        offset=offset,
        start=one_of("--start", start, cell.STARTS),
        cores=cores,
        tbs=tbs,
        retranslations=retranslations,
        flushes=flushes,
        max_states=max_states_of(max_states),
        accesses=accesses_in(access),
        guest_bits=guest_bits_of(guest_bits),
        units=one_of("--units", units, UNITS),
        speculation=speculation,
        symmetry=symmetry,
        autopsy=autopsy,
        what_if=what_if,
        follow=load_events(follow) if follow is not None else (),
        follow_source=follow or "",
    )


def check_cells(
    strategies: list[Strategy],
    hosts: list[str] | None,
    settings: list[str] | None,
    translators: list[str] | None,
    scenarios: list[str] | None,
    options: Options,
) -> list[Checked]:
    """Check every cell.  Raises ``InputError`` for one that was asked for by name and cannot be."""
    from bench.check.cells import Check, check_all

    names, by_name = scenarios_named(scenarios)
    if options.follow and not by_name:
        names = with_threads(names, max(event.thread for event in options.follow) + 1, options)
    pairs = paired(targets_named(hosts, settings), hosts, translators, options.what_if)
    if by_name:
        for host, _ in pairs:
            refuse_impossible(host, names, options)
    cells = [
        Check(one, translator, host, name, options)
        for host, translator in pairs
        for one in strategies
        for name in names
    ]
    with progress_bar("checking", len(cells)) as progress:
        return check_all(cells, partial(show_states, progress))


def right(results: list[Checked]) -> bool:
    """Whether no cell fails, and no search was cut short."""
    return all(result.verdict in ("holds", "n/a") for result in results)
