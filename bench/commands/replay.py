"""``staleline replay``."""

from __future__ import annotations

from functools import partial

from bench.commands.names import some_of
from bench.commands.options import OfReplay, OnHosts, Strategies, Trace, Written
from bench.commands.output import progress_bar, show_done
from bench.traces.shipped import DEFAULT_TRACE


def replay(
    *, trace: Trace = DEFAULT_TRACE, strategy: Strategies = None, hosts: OnHosts, assumed: OfReplay, written: Written
) -> None:
    """What does it cost? Replay a recorded execution. Counts operations, cache misses and cycles.

    \b
    Example: staleline replay linux-boot --strategy flush-on-retranslation,side-table --host mips-24kc --what-if
    """
    from bench.check import asked
    from bench.replay.replay import replay as replay_on
    from bench.report.comparisons import Costs, ReplayReport
    from bench.traces.store import load_trace

    emit = written.emitter()
    parameters, pairs = assumed.parameters(), hosts.pairs()
    strategies, recorded = asked.strategies(some_of(strategy)), load_trace(trace)
    results: list[Costs] = []
    with progress_bar(f"replaying {recorded.name}", len(pairs)) as progress:
        for number, (host, translator) in enumerate(pairs):
            shown = partial(show_done, progress, host.name, number)
            costs = replay_on(recorded, host, translator, strategies, parameters, shown)
            results.append(Costs(host, translator, costs, parameters))
    emit(ReplayReport(results))
