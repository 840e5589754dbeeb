"""Where output goes: standard output or a file, progress and refusals to standard error."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bench.support.errors import InputError
from bench.support.progress import Progress, silent
from bench.support.text import printable

if TYPE_CHECKING:
    from bench.check.cell import Check
    from bench.report.report import Report


def show_share(progress: Progress, name: str, before: int, text: str, share: float) -> None:
    progress(f"{name}: {text}", before + share)


def show_done(progress: Progress, name: str, before: float, done: float, total: float = 1) -> None:
    progress(name, before + done / max(total, 1))


def show_states(progress: Progress, cell: Check, before: int, states: int) -> None:
    text = f"{cell.strategy.name}, {cell.scenario}"
    progress(f"{text}: {states:,} states" if states else text, before)


@contextlib.contextmanager
def progress_bar(what: str, total: float, *, estimated: bool = True) -> Iterator[Progress]:
    """A progress bar on stderr, only on a terminal; yields ``progress(text, done)``, with ``done`` of ``total``.

    ``estimated``: how long it takes yet is taken from how fast it went; if not, the text says it.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield silent
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn(what),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        *([progress.TimeRemainingColumn()] if estimated else []),
        progress.TextColumn("{task.description}", markup=False),
    )
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        # The end is shown, however soon it comes.
        yield lambda text, done: bar.update(task, description=printable(text), completed=done, refresh=done >= total)


def emitter(format: str, output: Path | None, *, own: tuple[str, ...] = ()) -> Callable[[Report], None]:
    """What writes a report.  That it cannot be written, or has no such format, is found out before the work.

    ``own``: the formats that the report has beside those of every report.
    """
    from bench.report.report import rendered
    from bench.report.tables import FORMATS
    from bench.support.files import refuse_unwritable, replacing

    if format not in (*own, *FORMATS):
        raise InputError(f"no format {format!r}", place="--format", expected=f"one of {', '.join((*FORMATS, *own))}")
    if output is None:
        if sys.stdout is None:
            raise InputError("is not open", file="standard output", expected="a place to write, or --output FILE")
        return lambda report: print_text(rendered(report, format))
    refuse_unwritable(output)

    def write(report: Report) -> None:
        text = rendered(report, format)
        with replacing(output) as file:
            file.write(f"{printable(text)}\n".encode())

    return write


def print_text(text: str) -> None:
    """The text on standard output.  Raises ``InputError`` if it cannot be written."""
    try:
        print(printable(text), flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_output()
        raise InputError(f"{error.strerror}", file="standard output", expected="a place to write") from error
    except UnicodeEncodeError as error:
        raise InputError(
            f"{error.object[error.start]!a} cannot be written as {error.encoding}",
            file="standard output",
            expected="UTF-8 (PYTHONIOENCODING=utf-8), or --output FILE",
        ) from error


def notice(text: str) -> None:
    """One line on standard error."""
    with contextlib.suppress(OSError):
        if sys.stderr is not None:
            print(printable(f"staleline: {' '.join(text.split())}"), file=sys.stderr, flush=True)


def refuse(message: str) -> int:
    """One line that says what is wrong; the exit status of bad usage and bad input."""
    notice(message)
    return 2


def discard_output() -> None:
    """Let what is still buffered for standard output go nowhere: the interpreter would try it again at its end."""
    with contextlib.suppress(OSError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
