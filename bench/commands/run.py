"""``staleline run``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from bench.commands.names import kind_of, names_in, one_of, some_of
from bench.commands.options import Output
from bench.commands.output import emitter, progress_bar, show_done
from bench.support.errors import InputError

if TYPE_CHECKING:
    from bench.hosts import Host
    from bench.silicon.functions import Placement
    from bench.silicon.instructions import InstructionSet
    from bench.silicon.threads import Instances
    from bench.sites.site import Site


def run(
    what: Annotated[
        list[str],
        typer.Argument(help="Protocols and sites (.toml), strategies; linking: all sites.", metavar="WHAT,..."),
    ],
    *,
    scenario: Annotated[
        str | None,
        typer.Option("--scenario", help="Of strategies: system or user (default); of sites: link, ...; default: all."),
    ] = None,
    translator: Annotated[
        str, typer.Option("--translator", help="Of strategies: whose temporary branch is stored.")
    ] = "arm@2010",
    host: Annotated[
        list[str] | None,
        typer.Option(
            "--host",
            help="What is seen is set against these; default: the nearest to this machine.",
            metavar="NAME,...",
        ),
    ] = None,
    seconds: Annotated[float, typer.Option("--seconds", help="How long each protocol runs.", min=0.1)] = 10.0,
    instances_of_each: Annotated[
        int | None, typer.Option("--instances", help="Instances of each, at most.", min=1)
    ] = None,
    place: Annotated[
        str | None,
        typer.Option(
            "--place",
            help="What is patched: aligned, unaligned, or split over two lines; default: as a site says, or aligned.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of delays and pressure.", min=0)] = 1,
    save: Annotated[
        Path | None, typer.Option("--save", help="Write what was seen, for check --seen.", metavar="FILE")
    ] = None,
    format: Annotated[
        str, typer.Option("--format", help="simple, json, csv, litmus, ... (any of tabulate's).")
    ] = "simple",
    output: Output = None,
) -> None:
    """What happens here? Execute protocols and strategies. On this machine, in threads that are pinned to cores.

    Each outcome stands beside what the model of the host, and the architecture, allow. Exits with 1 if one was seen
    that they forbid. A strategy's writes are those of --translator, in the instructions of this machine.

    \b
    Example: staleline run unfixed,global-lock --seconds 20
    """
    from bench.hosts import load_target
    from bench.report.report import rendered
    from bench.report.runs import LITMUS, ExecutedProtocol, RunReport
    from bench.silicon.functions import PLACEMENTS
    from bench.silicon.geometry import this_machine
    from bench.silicon.instructions import this_instruction_set
    from bench.silicon.native import cores
    from bench.silicon.outcomes import allowed
    from bench.silicon.running import RunEffort
    from bench.silicon.running import run as execute
    from bench.support.files import refuse_unwritable, replacing

    emit = emitter(format, output, own=(LITMUS,))
    if save is not None:
        refuse_unwritable(save, ordinary=True)
    placement = PLACEMENTS[one_of("--place", place, tuple(PLACEMENTS))] if place is not None else None
    instructions, machine = this_instruction_set(), this_machine(cores()[0])
    targets = [load_target(name) for name in some_of(host) or instructions.targets(machine.processor)]
    asked = _asked(names_in(what), scenario, translator, instructions, placement)
    executed: list[ExecutedProtocol] = []
    refused: dict[str, str] = {}
    with progress_bar("running", seconds * len(asked)) as progress:
        for number, (name, made, writes) in enumerate(asked):
            shown = partial(show_done, progress, name, seconds * number)
            try:
                instances = made()
                seen = execute(instances, RunEffort(seconds, instances_of_each, seed), shown)
            except InputError as error:
                if len(asked) == 1:
                    raise
                refused[name] = str(error)
                continue
            may = (allowed(instances, target) for target in targets)
            allowing = tuple(each for each in may if each is not None)
            executed.append(ExecutedProtocol(name, instances.asked, seen, allowing, writes))
    report = RunReport(machine, executed, refused)
    if save is not None:
        with replacing(save, ordinary=True) as file:
            file.write(f"{rendered(report, 'json')}\n".encode())
    emit(report)
    if any(each.contradicted for each in executed):
        raise typer.Exit(1)


Made: TypeAlias = "Callable[[], Instances]"
"""Makes what is executed, or raises ``InputError``."""


def _asked(
    names: list[str], scenario: str | None, translator: str, instructions: InstructionSet, placement: Placement | None
) -> list[tuple[str, Made, str]]:
    """Cases of files, strategies, and scenarios of sites, each with a name of its own, and whose writes it has."""
    from bench.check import asked
    from bench.check.export import as_protocol
    from bench.check.sites import fitting
    from bench.hosts import load_host
    from bench.protocols.document import document_from, read_protocol
    from bench.silicon.functions import ALIGNED, Functions
    from bench.sites.reader import load_sites
    from bench.translators.registry import load_translator

    host = load_host(instructions.profile)
    placed = f", {placement.name}" if placement is not None else ""
    found: list[tuple[str, Made, str]] = []
    for name in names:
        kind = kind_of(name)
        if kind == "site":
            for site in fitting(load_sites(name), host):
                found += _trials(site, host, scenario, instructions, placement)
            continue
        if kind == "protocol":
            document = read_protocol(name)
        else:
            (strategy,) = asked.strategies(name)
            text = as_protocol(strategy, load_translator(translator), host, scenario or "user")
            document = document_from(text, f"{strategy.name}, {scenario or 'user'}")
        found += [
            (
                f"{document.name}{f', {case.name}' if case.name else ''}{placed}",
                partial(Functions, case.protocol, instructions, placement or ALIGNED),
                "" if kind == "protocol" else load_translator(translator).full_name,
            )
            for case in document.cases
        ]
    return found


def _trials(
    site: Site, host: Host, scenario: str | None, instructions: InstructionSet, placement: Placement | None
) -> Iterator[tuple[str, Made, str]]:
    """What executes a site's scenarios, with the maintenance of ``host``."""
    from bench.silicon.sites import SiteInstances
    from bench.sites.scenarios import SCENARIOS, refuse_unknown_scenario, trials

    if scenario is not None:
        refuse_unknown_scenario(scenario)
    placed = f", {placement.name}" if placement is not None else ""
    for one in (scenario,) if scenario is not None else SCENARIOS:
        try:
            found = trials(site, host, one, synchronised=False)
        except InputError as error:
            yield f"{site.name}, {one}{placed}", partial(_refuse, error), ""
            continue
        for trial in found:
            yield f"{site.name}, {one}, {trial.of}{placed}", partial(SiteInstances, trial, instructions, placement), ""


def _refuse(error: InputError) -> Instances:
    raise error
