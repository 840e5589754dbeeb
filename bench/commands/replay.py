"""``staleline replay``."""

from __future__ import annotations

from functools import partial

from bench.commands.names import host_translator_pairs, names_in, strategies_named
from bench.commands.options import (
    AsRecorded,
    Format,
    Hosts,
    Output,
    Settings,
    Strategies,
    Trace,
    Translators,
    Varied,
    Vcpus,
    WhatIf,
)
from bench.commands.output import emitter, progress_bar, show_count
from bench.traces.shipped import DEFAULT_TRACE


def replay(
    trace: Trace = DEFAULT_TRACE,
    strategy: Strategies = None,
    host: Hosts = None,
    translator: Translators = None,
    vcpus: Vcpus = None,
    as_recorded: AsRecorded = False,
    parameter: Varied = None,
    settings: Settings = None,
    what_if: WhatIf = False,
    format: Format = "simple",
    output: Output = None,
) -> None:
    """What does it cost? Count operations, cache misses and cycles on a recorded execution.

    \b
    Example: staleline replay linux-boot --strategy flush-on-retranslation,side-table --host mips-24kc --what-if
    """
    from bench.replay.parameters import Parameters
    from bench.replay.replay import replay as replay_on
    from bench.report.comparisons import Costs, ReplayReport
    from bench.traces.store import load_trace

    emit = emitter(format, output)
    parameters = Parameters(vcpus=vcpus, as_recorded=as_recorded).varied(parameter or ())
    pairs = host_translator_pairs(host, settings, translator, what_if)
    strategies = strategies_named(names_in(strategy))
    recorded = load_trace(trace)
    results: list[Costs] = []
    with progress_bar(f"replaying {recorded.name}", len(pairs)) as progress:
        for number, (found, backend) in enumerate(pairs):
            shown = partial(show_count, progress, found.name, number)
            rows = replay_on(recorded, found, backend, strategies, parameters, shown)
            results.append(Costs(found, backend, rows, parameters))
    emit(ReplayReport(results))
