"""``staleline export``: what other tools read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands.names import kind_of, names_in, one_of, some_of
from bench.commands.options import Hosts, OnHosts, Translators, refuse_idle
from bench.commands.output import notice, print_text
from bench.support.errors import InputError


def export(
    context: typer.Context,
    strategy: Annotated[list[str], typer.Argument(help="Strategies, or one site.", metavar="STRATEGY")],
    litmus: Annotated[
        Path | None,
        typer.Option("--litmus", help="Write litmus tests for herd7 and litmus7 to this folder.", metavar="FOLDER"),
    ] = None,
    protocol: Annotated[bool, typer.Option("--protocol", help="Print the scenarios of a site as a protocol.")] = False,
    host: Hosts = None,
    translator: Translators = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            "--scenario",
            help="system, user, user-both; link, unlink, relink, ... of a site; default: all.",
            metavar="NAME,...",
        ),
    ] = None,
) -> None:
    """Write what other tools read: litmus tests, protocols.

    A litmus test of each strategy, translator and scenario; a site as a protocol.

    --litmus prints the files. What cannot be said in a litmus test is named on stderr; if nothing can, the exit status
    is 2.

    \b
    Example: staleline export unfixed,idempotent --litmus .
    Also: staleline export --protocol word-or-slot-aarch64 --scenario far
    """
    from bench.check import asked
    from bench.check.export import SCENARIOS, as_litmus
    from bench.support.files import refuse_unwritable, replacing

    if protocol:
        refuse_idle(context, ("litmus", "translator"), "with --protocol", "a site, --host and --scenario")
        print_text(_protocol(names_in(strategy), names_in(host), names_in(scenario)))
        return
    if litmus is None:
        raise InputError("nothing to write", place="export", expected="--litmus FOLDER or --protocol")
    if not litmus.is_dir():
        raise InputError("is no folder", file=str(litmus), expected="a folder to write litmus tests in")
    for given in names_in(strategy):
        if (kind := kind_of(given)) != "strategy":
            raise InputError(f"{given!r} is a {kind}", place="--litmus", expected="a strategy, or --protocol")
    strategies = asked.strategies(some_of(strategy))
    names = [one_of("--scenario", name, SCENARIOS) for name in names_in(scenario)] or list(SCENARIOS)
    if translator:
        refuse_idle(context, ("host",), "with --translator", "one of them")
    backends = {one.full_name: one for _, one in OnHosts(host, translator, what_if=bool(translator)).target_pairs()}
    files: dict[Path, str] = {}
    refused: list[InputError] = []
    for one in strategies:
        for full_name, backend in backends.items():
            for name in names:
                try:
                    text = as_litmus(one, backend, name)
                except InputError as error:
                    refused.append(error)
                else:
                    files[litmus / f"{one.name}.{name}.{full_name}.litmus"] = text
    if not files:
        raise refused[0]
    for reason in refused:
        notice(f"n/a: {reason}")
    for file in files:
        refuse_unwritable(file)
    for file, text in files.items():
        with replacing(file) as stream:
            stream.write(text.encode())
    print_text("\n".join(map(str, files)))


def _protocol(sites: list[str], hosts: list[str], scenarios: list[str]) -> str:
    """The scenarios of one site on one host, as a protocol."""
    from bench.check.sites import fitting, targets_of
    from bench.hosts import load_target
    from bench.sites.export import as_protocol
    from bench.sites.reader import load_sites
    from bench.sites.scenarios import SCENARIOS, refuse_unknown_scenario

    if len(sites) != 1 or len(hosts) > 1:
        raise InputError("several", place="export --protocol", expected="one site, on one host")
    for name in scenarios:
        refuse_unknown_scenario(name)
    found = load_sites(sites[0])
    if hosts:
        found = fitting(found, load_target(hosts[0]))
    if len(found) > 1:
        names = " or ".join(one.name for one in found)
        raise InputError(f"{sites[0]} stands for several sites", place="export --protocol", expected=names)
    (site,) = found
    host = load_target(hosts[0]) if hosts else next(iter(targets_of(site)), None)
    if host is None:
        raise InputError(f"no host runs {site.isa}", file=site.file, place="isa", expected="`host`")
    return as_protocol(site, host, scenarios or SCENARIOS)
