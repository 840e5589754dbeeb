"""``staleline trace``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from bench.commands.names import one_of
from bench.commands.options import Trace, Written, with_options
from bench.commands.output import print_text
from bench.traces.shipped import DEFAULT_TRACE

app = typer.Typer(help="Import a QEMU log, show a trace, draw a model of one.", rich_markup_mode=None)

_N = "N or xFACTOR"
_QUANTILES = "MIN,MEDIAN,P90,MAX"


@app.command("import")
@with_options
def import_trace(
    log: Annotated[str, typer.Argument(help="A QEMU log, plain, .gz, .xz or .zst, or - for standard input.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .trace file to write.")],
    name: Annotated[str | None, typer.Option("--name", help="The trace's name; default: the log's.")] = None,
    mode: Annotated[str | None, typer.Option("--mode", help="system or user; default: what the log shows.")] = None,
    guest: Annotated[
        str | None, typer.Option("--guest", help="The guest; default: what its instructions show.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse lines that are not needed.")] = False,
) -> None:
    """Read a log of QEMU, and write a compact trace.

    \b
    The log is what QEMU printed with -d exec,nochain,in_asm,out_asm,...

    \b
    Lines of other options are counted by name. Without nochain there are links in place of what runs through them.

    \b
    Example: staleline trace import boot.log.zst -o boot.trace
    """
    from bench.report.traces import TraceReport
    from bench.support.files import refuse_unwritable
    from bench.traces.info import info
    from bench.traces.qemu_log import import_log
    from bench.traces.trace import GUEST_NAMES, MODES

    refuse_unwritable(output, ordinary=True)
    emulation = one_of("--mode", mode, MODES) if mode is not None else None
    kind = one_of("--guest", guest, GUEST_NAMES) if guest is not None else None
    trace = import_log(log, output, name=name, mode=emulation, guest=kind, strict=strict)
    print_text(TraceReport(info(trace), trace).text("simple"))


@app.command("info")
@with_options
def trace_info(trace: Trace = DEFAULT_TRACE, *, written: Written) -> None:
    """Show what a trace holds.

    Executions, blocks, faults, and how soon a faulting block runs again.

    \b
    Example: staleline trace info mine.trace --format json
    """
    from bench.report.traces import TraceReport
    from bench.traces.info import info
    from bench.traces.store import load_trace

    emit = written.emitter()
    found = load_trace(trace)
    emit(TraceReport(info(found), found))


@dataclass(frozen=True)
class Measures:
    """What may differ from the other trace."""

    executions: Annotated[str | None, typer.Option(help="TB executions.", metavar=_N)] = None
    tbs: Annotated[str | None, typer.Option(help="TBs translated.", metavar=_N)] = None
    tb_bytes: Annotated[str | None, typer.Option(help="Host bytes per TB.", metavar=_QUANTILES)] = None
    working_set: Annotated[str | None, typer.Option(help="Different TBs per million executions.", metavar=_N)] = None
    faults_per_million: Annotated[
        str | None, typer.Option(help="Retranslations per million executions.", metavar=_N)
    ] = None
    faulting_tbs: Annotated[str | None, typer.Option(help="Different TBs that fault.", metavar=_N)] = None
    concentration: Annotated[
        str | None, typer.Option(help="Share of the faults on the ten TBs that fault most.", metavar=_N)
    ] = None
    rewritten_bytes: Annotated[
        str | None, typer.Option(help="Host bytes rewritten per retranslation.", metavar=_QUANTILES)
    ] = None
    reexecution_tbs: Annotated[
        str | None, typer.Option(help="Executions until a retranslated TB runs again.", metavar=_QUANTILES)
    ] = None
    threads: Annotated[str | None, typer.Option(help="Guest threads.", metavar=_N)] = None
    flushes: Annotated[str | None, typer.Option(help="Tb flushes.", metavar=_N)] = None
    linked_share: Annotated[str | None, typer.Option(help="Share of executions entered by a link.", metavar=_N)] = None


@app.command("model")
@with_options
def model(
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="The .trace file to write.")],
    like: Annotated[str, typer.Option("--like", help="The trace whose measures are the defaults.")] = DEFAULT_TRACE,
    seed: Annotated[int, typer.Option("--seed", help="The same seed draws the same trace.", min=0)] = 0,
    changed: Measures,
) -> None:
    """Draw an execution with given statistics.

    Each defaults to what the default trace measures.

    \b
    Example, retranslation a hundred times as frequent: staleline trace model --faults-per-million x100 -o often.trace
    """
    from bench.report.traces import TraceReport
    from bench.support.files import refuse_unwritable
    from bench.traces.info import info
    from bench.traces.model import measured, model_trace, varied
    from bench.traces.store import load_trace, save_trace

    refuse_unwritable(output, ordinary=True)
    changes = {key: value for key, value in asdict(changed).items() if value is not None}
    trace = model_trace(varied(measured(load_trace(like)), changes), seed)
    save_trace(trace, output)
    print_text(TraceReport(info(trace), trace).text("simple"))
