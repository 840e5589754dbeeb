"""``staleline litmus``."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands.names import max_states_of
from bench.commands.options import MaxStates, Output
from bench.commands.output import emitter, json_text, progress_bar, refuse
from bench.support.errors import InputError


def litmus(
    test: Annotated[
        list[str],
        typer.Argument(help="Tests of AArch64 in herd's format, folders of them, or lists (@FILE).", metavar="FILE"),
    ],
    host: Annotated[
        str | None,
        typer.Option("--host", help="armv8, armv8-idc or armv8-dic; default: what a test's CacheType says, or armv8."),
    ] = None,
    kinds: Annotated[
        str | None,
        typer.Option(
            "--kinds",
            help="Compare with a list: a name and Allowed, Forbidden or Required on each line.",
            metavar="FILE",
        ),
    ] = None,
    max_states: MaxStates = None,
    format: Annotated[
        str, typer.Option("--format", help="herd, json, csv, or any of tabulate's, one row for each test.")
    ] = "herd",
    output: Output = None,
) -> None:
    """Litmus tests of instruction fetching, on what the architecture allows.  Prints what herd prints.

    A test that cannot be read is named, the others are run, and the exit status is 2.  With --kinds it is 1 if one
    disagrees.

    \b
    Example: staleline litmus SM.litmus --host armv8-dic
    """
    from time import perf_counter

    from bench.architecture.hosts import armv8
    from bench.litmus.files import kinds_in, named, text_of
    from bench.litmus.reader import read_litmus
    from bench.litmus.run import MOST_STATES, run
    from bench.report import litmus as report

    emit = emitter("simple" if format == report.HERD else format, output)
    if host is not None:
        armv8(host)
    expected = kinds_in(kinds) if kinds is not None else {}
    found: list[report.Judged] = []
    refused = 0
    files = list(named(test))
    with progress_bar("testing", len(files)) as progress:
        for number, file in enumerate(files):
            progress(file, number)
            try:
                one = read_litmus(text_of(file), file)
                name = host or one.cache_type
                begun = perf_counter()
                result = run(one, armv8(name), max_states=max_states_of(max_states) or MOST_STATES)
                found.append(report.Judged(result, name, perf_counter() - begun))
            except InputError as error:
                refused = refuse(str(error))
    agrees = True
    if format == "json":
        emit(json_text(report.as_objects(found)))
    elif format == "csv":
        emit(report.as_csv(found))
    elif kinds is not None:
        text, agrees = report.agreement(found, expected, "simple" if format == report.HERD else format)
        emit(text)
    else:
        herd = format == report.HERD
        emit("\n".join(map(report.as_block, found)) if herd else report.as_table(found, format))
    if refused or not agrees:
        raise typer.Exit(refused or 1)
