"""``staleline risk``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands.names import names_in, some_of
from bench.commands.options import AsRecorded, OnHosts, Strategies, Trace, Written, refuse_idle, scenarios_on
from bench.commands.output import progress_bar
from bench.support.errors import InputError
from bench.traces.shipped import DEFAULT_TRACE

if TYPE_CHECKING:
    from bench.risk.risk import Risk


def risk(
    context: typer.Context,
    *,
    trace: Trace = DEFAULT_TRACE,
    strategy: Strategies = None,
    hosts: OnHosts,
    scenario: Annotated[
        list[str] | None,
        typer.Option("--scenario", help="system, user, user-both, migrate; default: system,user.", metavar="NAME,..."),
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", help="Retranslations per second; default: as the trace's cycles have it.")
    ] = None,
    sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="Vary each quantity over its range: which ones decide?")
    ] = False,
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", help="Set an assumption: interrupts=1000, tlb_hit=0.9.", metavar="NAME=VALUE"),
    ] = None,
    window: Annotated[
        str,
        typer.Option(
            "--window",
            help="What the translator finds in the caches when it begins: nothing (cold), what its run before left "
            "(warm), or between them, with both as the range.",
            metavar="between|cold|warm",
        ),
    ] = "between",
    plot: Annotated[
        Path | None, typer.Option("--plot", help="With --sensitivity: draw it as svg, png or pdf.", metavar="FILE")
    ] = None,
    per_operation: Annotated[
        list[str] | None,
        typer.Option(
            "--per-operation",
            help="Without a trace: the probability that, between two operations, a data line leaves (write_back), an "
            "instruction line leaves (drop) or comes (fill), the thread moves (move), ...",
            metavar="NAME=P,...",
        ),
    ] = None,
    simulate: Annotated[
        int, typer.Option("--simulate", help="With --per-operation: draw so many courses as a check.", metavar="N")
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", help="Of --simulate.")] = 0,
    as_recorded: AsRecorded = False,
    written: Written,
) -> None:
    """How often does it bite? Find the odds on a host.

    The probability that a retranslation ends in the execution of a wrong unit.

    Takes ten to twenty seconds per host on the default trace, the first time; --scenario migrate and --sensitivity
    several times as long.

    \b
    Example: staleline risk --strategy unfixed --host cortex-a9 --scenario system
    Also: staleline risk --strategy unfixed --per-operation write_back=1e-6,drop=1e-3
    """
    from bench.check import asked
    from bench.replay.parameters import Parameters
    from bench.report.charts import drawing
    from bench.report.charts.risks import of_risks
    from bench.report.risks import RiskReport
    from bench.risk.given import GivenRisk, Probabilities
    from bench.risk.pressure import Pressure, separated
    from bench.risk.recorded import RecordedRisk
    from bench.risk.risk import RiskModel, in_turn
    from bench.risk.window import reading_named
    from bench.traces.store import load_trace

    emit = written.emitter()
    if plot is not None:
        if not sensitivity:
            raise InputError("no sensitivity to draw", place="--plot", expected="--sensitivity")
        drawing.refuse_undrawable(plot)
    if simulate and not (per_operation and 2 <= simulate <= 10**8 and seed >= 0):
        raise InputError(
            f"{simulate}, seed {seed}",
            place="--simulate",
            expected="2 .. 100,000,000 courses with a seed from 0, and --per-operation",
        )
    if not simulate:
        refuse_idle(context, ("seed",), "by itself", "--simulate")
    if per_operation:
        refuse_idle(context, ("window",), "with --per-operation", "one of them")
        if sensitivity or rate is not None or parameter:
            raise InputError(
                "what is given per operation has no range, rate or parameter",
                place="--per-operation",
                expected="no --sensitivity, --rate or --parameter",
            )
        refuse_idle(context, ("as_recorded", "trace"), "with --per-operation", "one of them")
    settings_of_pressure, settings_of_replay = separated(parameter or ())
    pressure, pairs = Pressure(window=reading_named(window)).varied(settings_of_pressure), hosts.pairs()
    names = scenarios_on(scenario or ["system,user"], [host for host, _ in pairs])
    strategies = asked.strategies(some_of(strategy))
    if per_operation:
        probabilities = Probabilities.parsed(names_in(per_operation))
        models: Iterator[RiskModel] = (GivenRisk(*pair, probabilities, simulate, seed) for pair in pairs)
    else:
        recorded, parameters = load_trace(trace), Parameters(as_recorded=as_recorded).varied(settings_of_replay)
        models = (RecordedRisk(*pair, recorded, pressure, parameters, rate, sensitivity) for pair in pairs)
    results: list[Risk] = []
    with progress_bar("risk", len(pairs) * len(strategies) * len(names)) as progress:
        for model in in_turn(models, strategies, names):
            progress(model.host.name, len(results))
            for one in model.evaluate_all(strategies, names):
                results.append(one)
                progress(f"{one.host.name}: {one.strategy}, {one.scenario}", len(results))
    if plot is not None:
        drawing.write(of_risks(results), plot)
    emit(RiskReport(results))
