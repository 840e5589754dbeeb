"""``staleline litmus``."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands.names import max_states_of
from bench.commands.options import MaxStates, Output
from bench.commands.output import emitter, progress_bar, refuse
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
    """Run AArch64 litmus tests of instruction fetching. On what the architecture allows; prints what herd prints.

    A test that cannot be read is named, the others are run, and the exit status is 2.  With --kinds it is 1 if one
    disagrees.

    \b
    Example: staleline litmus SM.litmus --host armv8-dic
    """
    from time import perf_counter

    from bench.litmus.files import kinds_in, named, text_of
    from bench.litmus.reader import read_litmus
    from bench.litmus.run import MOST_STATES, run
    from bench.machine.architecture import armv8
    from bench.report.litmus import HERD, LitmusReport, TimedResult
    from bench.support.files import refuse_overwriting

    emit = emitter(format, output, own=(HERD,))
    if host is not None:
        armv8(host)
    expected = kinds_in(kinds) if kinds is not None else None
    most = max_states_of(max_states, MOST_STATES)
    found: list[TimedResult] = []
    refused = 0
    files = list(named(test))
    if not files:
        raise InputError("no tests", place="FILE", expected="a test of AArch64, a folder of them, or a list of them")
    refuse_overwriting([output] if output is not None else [], files)
    with progress_bar("testing", len(files)) as progress:
        for number, file in enumerate(files):
            progress(file, number)
            try:
                one = read_litmus(text_of(file), file)
                name = host or one.cache_type
                begun = perf_counter()
                result = run(one, armv8(name), max_states=most)
                found.append(TimedResult(result, name, perf_counter() - begun))
            except InputError as error:
                refused = refuse(str(error))
    report = LitmusReport(found, expected)
    emit(report)
    if refused or report.differing:
        raise typer.Exit(refused or 1)
