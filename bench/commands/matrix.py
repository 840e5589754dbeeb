"""``staleline matrix``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands.names import max_states_of, names_in, one_of, some_of
from bench.commands.options import (
    Hosts,
    MaxStates,
    Retranslations,
    Scenarios,
    Settings,
    Strategies,
    Translators,
    Written,
)
from bench.commands.output import progress_bar
from bench.support.errors import InputError

if TYPE_CHECKING:
    from bench.hosts import Host
    from bench.translators.translator import Translator


def matrix(
    *,
    strategy: Strategies = None,
    host: Hosts = None,
    translator: Translators = None,
    scenario: Scenarios = None,
    hazard: Annotated[
        list[str] | None,
        typer.Option("--hazard", help="transient, lasting, partial; default: all.", metavar="NAME,..."),
    ] = None,
    retranslations: Retranslations = 2,
    max_states: MaxStates = None,
    settings: Settings = None,
    written: Written,
) -> None:
    """Check every translator on every host that it can run on. Says which were affected, and what cures them.

    Takes minutes: some thousand searches, on all cores. A translator named without its date is that of early January
    2011, or the first there was; --translator all takes every version.

    \b
    Example: staleline matrix --translator arm,mips --hazard transient
    """
    from bench.check import asked
    from bench.check.cell import MAX_STATES, Options
    from bench.check.matrix import matrix as check_matrix
    from bench.check.units import HAZARDS
    from bench.hosts import host_names
    from bench.report.matrices import MatrixReport

    emit = written.emitter()
    names = asked.scenarios(some_of(scenario))
    hazards = [one_of("--hazard", name, HAZARDS) for name in names_in(hazard)] or list(HAZARDS)
    hosts = asked.hosts(some_of(host) or host_names(), settings or ())
    pairs, without = _pairs(hosts, names_in(translator), by_name=some_of(host) is not None)
    strategies = asked.strategies(some_of(strategy))
    options = Options(retranslations=retranslations, max_states=max_states_of(max_states, MAX_STATES))
    with progress_bar("checking", 1.0) as progress:
        found = check_matrix(pairs, without, strategies, names, hazards, options, progress)
    emit(MatrixReport(found))


def _pairs(hosts: list[Host], named: list[str], *, by_name: bool) -> tuple[list[tuple[Host, Translator]], list[Host]]:
    """Every translator with every host that it can run on, and the hosts for which there is none."""
    from bench.translators.registry import first_versions, load_translator, translator_names

    every = translator_names() if named == ["all"] else named
    backends = [load_translator(name) for name in every] or list(first_versions())
    pairs = [(host, backend) for host in hosts for backend in backends if backend.isa in host.isa]
    without = [host for host in hosts if not any(backend.isa in host.isa for backend in backends)]
    if by_name and without:
        raise InputError(
            f"{without[0].name} runs {' or '.join(without[0].isa)}, which no translator here emits",
            place="--host",
            expected=f"a host for {', '.join(dict.fromkeys(backend.isa for backend in backends))}",
        )
    if not pairs:
        raise InputError(f"no host runs {', '.join(named)}", place="--translator", expected="another translator")
    return pairs, [] if named and named != ["all"] else without
