"""``staleline calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands.output import emitter, progress_bar


def calibrate(
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The host profile to write: my.toml.", metavar="FILE")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="The name of the profile.")] = "this-machine",
    quick: Annotated[bool, typer.Option("--quick", help="Fewer and shorter rounds: about ten seconds.")] = False,
    check: Annotated[
        str | None, typer.Option("--check", help="A profile of this machine: what has changed since?", metavar="FILE")
    ] = None,
    format: Annotated[str, typer.Option("--format", help="Of what is printed: simple, json, csv, ...")] = "simple",
) -> None:
    """What do the operations cost here? Measure this machine. Writes a host profile of it.

    Exits with 1 if --check finds a figure whose range does not meet that of the file.

    \b
    Example: staleline calibrate -o my.toml; staleline compare --host my.toml
    """
    from bench.hosts import load_host
    from bench.report.calibrations import CalibrationReport
    from bench.silicon.calibration import calibrate as measure
    from bench.silicon.calibration import changes, save
    from bench.silicon.measurements import COUNT
    from bench.silicon.timing import QUICK, THOROUGH
    from bench.support.files import refuse_unwritable

    emit = emitter(format, None)
    before = load_host(check) if check is not None else None
    if output is not None:
        refuse_unwritable(output, ordinary=True)
    with progress_bar("measuring", COUNT) as progress:
        found = measure(QUICK if quick else THOROUGH, progress)
    if output is not None:
        save(found, name, output)
    compared = changes(found, before or found.base)
    emit(CalibrationReport(found, check or found.base.name, compared))
    if before is not None and any(change.apart for change in compared):
        raise typer.Exit(1)
