"""``staleline check``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands.names import (
    accesses_in,
    guest_bits_of,
    host_translator_pairs,
    hosts_named,
    max_states_of,
    names_in,
    one_of,
    refuse_impossible,
    scenarios_named,
    strategies_named,
    with_threads,
)
from bench.commands.options import (
    Cores,
    Flushes,
    Format,
    GuestBits,
    Hosts,
    MaxStates,
    Output,
    Retranslations,
    Scenarios,
    Settings,
    Strategies,
    Tbs,
    Translators,
    WhatIf,
)
from bench.commands.output import emitter, json_text, progress_bar, show_states
from bench.support.errors import InputError

if TYPE_CHECKING:
    from bench.check.cell import Checked, Options
    from bench.hosts import Host
    from strategies.strategy import Strategy


def check_cells(
    found: list[Strategy],
    hosts: list[str] | None,
    settings: list[str] | None,
    translators: list[str] | None,
    scenarios: tuple[list[str], bool],
    options: Options,
) -> list[Checked]:
    from bench.check.cells import Check, check_all

    names, by_name = scenarios
    if options.follow and not by_name:
        names = with_threads(names, max(event.thread for event in options.follow) + 1, options)
    pairs = host_translator_pairs(hosts, settings, translators, options.what_if, architectures=True)
    if by_name:
        for host, _ in pairs:
            refuse_impossible(host, names, options)
    cells = [Check(s, translator, host, name, options) for host, translator in pairs for s in found for name in names]
    with progress_bar("checking", len(cells)) as progress:
        return check_all(cells, partial(show_states, progress))


def _schedules(results: list[Checked], others: list[Strategy], format: str) -> str:
    """The counterexamples' weather under other strategies."""
    from bench.explain.schedule import under
    from bench.report import schedule
    from bench.translators.registry import load_translator

    if format in ("json", "csv"):
        raise InputError(f"--format {format}", place="--against", expected="a format of tables")
    failing = [result for result in results if result.verdict == "fails"]
    if not failing:
        raise InputError("nothing that fails", place="--against", expected="a strategy with a counterexample")
    return "\n\n".join(
        schedule.as_text(one, under(one, others, load_translator(one.translator)), format) for one in failing
    )


def _write_litmus(results: list[Checked], folder: Path) -> None:
    """A litmus test of each strategy, translator and scenario; those that cannot be said are named on stderr."""
    from bench.check.export import as_litmus
    from bench.support.files import refuse_unwritable, replacing
    from bench.translators.registry import load_translator
    from strategies import registry

    if not folder.is_dir():
        raise InputError("is no folder", file=str(folder), expected="a folder to write litmus tests in")
    said = dict.fromkeys((result.reference, result.translator, result.scenario) for result in results)
    for reference, translator, scenario in said:
        strategy = registry.find(reference)
        try:
            text = as_litmus(strategy, load_translator(translator), scenario)
        except InputError as error:
            print(f"staleline: n/a: {error}", file=sys.stderr)
            continue
        file = folder / f"{strategy.name}.{scenario}.{translator}.litmus"
        refuse_unwritable(file)
        with replacing(file) as stream:
            stream.write(text.encode())


def _check_protocols(
    files: list[str], hosts: list[Host], max_states: int | None, format: str, emit: Callable[[str], None]
) -> None:
    """The protocols in files, on the hosts that they say or on others."""
    from bench.protocols.document import read_protocol
    from bench.protocols.survey import judged, moved
    from bench.protocols.verification import MOST_STATES
    from bench.report import protocols

    documents = [read_protocol(file) for file in files]
    if hosts:
        documents = [moved(document, host) for document in documents for host in hosts]
    found = [judged(one, explained=True, max_states=max_states or MOST_STATES) for one in documents]
    if format == "json":
        emit(json_text(protocols.as_objects(found)))
    else:
        emit(protocols.as_csv(found) if format == "csv" else protocols.as_text(found, format))
    if not all(case.as_expected for one in found for case in one.cases):
        raise typer.Exit(1)


def check(
    strategy: Annotated[
        list[str] | None,
        typer.Argument(help="Strategies, or protocols in .toml files; default: all strategies.", metavar="STRATEGY"),
    ] = None,
    strategies: Strategies = None,
    host: Hosts = None,
    translator: Translators = None,
    scenario: Scenarios = None,
    hazard: Annotated[
        str,
        typer.Option(
            "--hazard",
            help="transient: a wrong fetch; lasting: a wrong value stays; partial: a label is bound too late.",
        ),
    ] = "transient",
    layout: Annotated[
        str, typer.Option("--layout", help="apart: a line for every unit; packed: as emitted.")
    ] = "apart",
    offset: Annotated[int, typer.Option("--offset", help="Shift packed blocks by so many bytes.")] = 0,
    start: Annotated[
        str, typer.Option("--start", help="cold: at the first run; fault: at the retranslation.")
    ] = "cold",
    cores: Cores = 2,
    tbs: Tbs = 1,
    retranslations: Retranslations = 2,
    flushes: Flushes = 0,
    access: Annotated[
        str, typer.Option("--access", help="The guest accesses of each block: load, store or load,store.")
    ] = "load",
    guest_bits: GuestBits = 32,
    units: Annotated[
        str, typer.Option("--units", help="each: a search for each unit that can change; together: one for all.")
    ] = "each",
    speculation: Annotated[
        bool,
        typer.Option(
            "--speculation/--no-speculation", help="Whether cores fetch what they do not execute: fills, and ahead."
        ),
    ] = True,
    symmetry: Annotated[
        bool,
        typer.Option("--symmetry/--no-symmetry", help="Whether one state may stand for all with like blocks swapped."),
    ] = True,
    autopsy: Annotated[
        bool, typer.Option("--autopsy", help="Execute what a counterexample ends with (needs staleline[autopsy]).")
    ] = False,
    max_states: MaxStates = None,
    follow: Annotated[
        str | None, typer.Option("--follow", help="Find the shortest run with these events: a file, thread or hidden.")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            help="Replay the counterexample's evictions and moves under these strategies.",
            metavar="NAME,...",
        ),
    ] = None,
    litmus: Annotated[
        Path | None,
        typer.Option(
            "--litmus", help="Write litmus tests of what was checked, for herd7 and litmus7.", metavar="FOLDER"
        ),
    ] = None,
    settings: Settings = None,
    what_if: WhatIf = False,
    format: Format = "simple",
    output: Output = None,
) -> None:
    """Is it right?  Every behaviour the host allows, with the shortest counterexample.

    Exit status: 0 if all that was asked for holds, 1 if a strategy fails or the search was cut short, 2 for bad input.

    \b
    Example: staleline check unfixed --host cortex-a9 --scenario system --start fault
    Also: staleline check my_protocol.toml --host cortex-a72
    """
    from bench.check import cell
    from bench.check.units import HAZARDS, UNITS
    from bench.explain.follow import load_events
    from bench.program.layout import LAYOUTS
    from bench.protocols.document import is_protocol
    from bench.report import checks

    emit = emitter(format, output)
    named = names_in([*(strategy or []), *(strategies or [])])
    if any(map(is_protocol, named)):
        if translator or scenario or follow or not all(map(is_protocol, named)):
            raise InputError(
                "a protocol with something that only strategies have",
                place="check",
                expected="protocols alone, without --translator, --scenario and --follow",
            )
        hosts = hosts_named(host, settings, architectures=True) if host or settings else []
        _check_protocols(named, hosts, max_states_of(max_states), format, emit)
        return
    if offset and layout != "packed":
        raise InputError(
            f"--offset {offset} with --layout {layout}", expected="--layout packed, whose blocks it shifts"
        )
    if not 0 <= offset < 65536:
        raise InputError(str(offset), place="--offset", expected="0 to 65535 bytes")
    options = cell.Options(
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
    results = check_cells(strategies_named(named), host, settings, translator, scenarios_named(scenario), options)
    if litmus is not None:
        _write_litmus(results, litmus)
    if against:
        emit(_schedules(results, strategies_named(names_in(against)), format))
        raise typer.Exit(1 if any(result.verdict in ("fails", "bounded") for result in results) else 0)
    if format == "json":
        emit(json_text(checks.as_objects(results)))
    else:
        emit(checks.as_csv(results) if format == "csv" else checks.as_text(results, format))
    if any(result.verdict in ("fails", "bounded") for result in results):
        raise typer.Exit(1)
