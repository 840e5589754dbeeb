"""The command ``staleline``: its verbs, its exit status, its errors, and the defaults that a project sets."""

from __future__ import annotations

import os
import re
import sys
import tomllib
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.commands import (
    bugs,
    calibrate,
    catalogue,
    check,
    compare,
    explain,
    export,
    litmus,
    matrix,
    minimality,
    new,
    replay,
    risk,
    run,
    sweep,
    thread,
    trace,
    translator,
)
from bench.commands.options import Headed, with_options
from bench.commands.output import discard_output, notice, print_text, refuse
from bench.support.errors import InputError

app = typer.Typer(
    name="staleline",
    help="Compares fixes for code that is rewritten after it has run: is it right, what does it cost, how do you know?",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_KEEPING: tuple[Callable[..., None], ...] = (
    *(compare.compare, check.check, explain.explain, minimality.minimality, matrix.matrix),
    *(replay.replay, risk.risk, thread.thread, bugs.bugs, sweep.sweep),
)
_OTHERS: tuple[Callable[..., None], ...] = (
    export.export,
    new.new,
    calibrate.calibrate,
    run.run,
    litmus.litmus,
    translator.translator,
)
for verb in (*_KEEPING, *_OTHERS):
    app.command(cls=Headed)(with_options(verb, keeps=verb in _KEEPING))
app.command("list")(with_options(catalogue.catalogue))
app.add_typer(trace.app, name="trace")

# typer does not export the base class of its usage errors; BadParameter is the one subclass that it does.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]


UNEXPECTED = 70
"""Exit status if there is no answer for another reason than the input: EX_SOFTWARE of sysexits.h, and no verdict's."""

_TRACEBACK = "STALELINE_TRACEBACK"
"""The variable of the environment that asks for the traceback of an unexpected error."""


def main() -> None:
    """The command ``staleline``; exits with 0, 1 or 2 (see ``--help`` of the commands), or with ``UNEXPECTED``."""
    command = typer.main.get_command(app)
    try:
        code = command.main(standalone_mode=False, default_map=_defaults(command))
    except _bad_input() as error:
        code = refuse(_in_flags(str(error), command))
    except _UsageError as error:
        format_message: Callable[[], str] = getattr(error, "format_message", error.__str__)
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context is not None else ""
        code = refuse(format_message().rstrip(".") + hint)
    except (BrokenPipeError, SystemExit) as error:
        closed = error if isinstance(error, BrokenPipeError) else error.__context__
        if not isinstance(closed, BrokenPipeError):  # typer turns that one into an exit
            raise
        discard_output()
        code = 128 + 13
    except OSError as error:
        discard_output()
        code = refuse(f"{error.filename}: {error.strerror}" if error.filename else f"{error}")
    except (KeyboardInterrupt, typer.Abort) as error:
        # typer takes the end of a file, wherever it was met, for an interruption.
        code = _unexpected(error.__context__) if isinstance(error.__context__, EOFError) else 128 + 2
    except Exception as error:
        discard_output()
        code = _unexpected(error)
    sys.exit(code if isinstance(code, int) else 0)


def _unexpected(error: BaseException) -> int:
    """Say in one line what should not have happened, and how it can be reported."""
    from concurrent.futures.process import BrokenProcessPool

    if os.environ.get(_TRACEBACK):
        traceback.print_exception(error)
    if isinstance(error, MemoryError):
        notice("no memory is left; there is no answer (a smaller question, or --max-states)")
    elif isinstance(error, BrokenProcessPool):
        notice("a process of the search was ended from outside, as when no memory is left; there is no answer")
    else:
        *_, last = traceback.extract_tb(error.__traceback__)
        place = f"{Path(last.filename).name}, line {last.lineno}"
        notice(
            f"unexpected {type(error).__name__} ({place}): {error}; there is no answer; this is a defect of staleline: "
            f"please report it with the command, its input and what it prints with {_TRACEBACK}=1"
        )
    return UNEXPECTED


def _bad_input() -> tuple[type[Exception], ...]:
    """What bad input raises; asked for only when something was raised, since strategies take a while to load."""
    from strategies.strategy import StrategyError

    return InputError, StrategyError


def _in_flags(text: str, command: Any) -> str:
    """The text of an error with the flag of each parameter that it names in backquotes."""
    found = (command, *command.commands.values(), *command.commands["trace"].commands.values())
    flags = {
        parameter.name: max(parameter.opts, key=len)
        for one in found
        for parameter in one.params
        if parameter.param_type_name == "option"
    }
    return re.sub(r"`(\w+)`", lambda named: flags.get(named[1], named[0]), text)


# --- the defaults of a project ----------------------------------------------------------------------------------------

_CONFIGURED = ("compare", "check", "explain", "replay", "risk")
"""The commands whose defaults a project can set."""


def _may_configure(folder: Path) -> bool:
    """Whether a folder's pyproject.toml has settings, or cannot be read: what does so takes long to load."""
    file = folder / "pyproject.toml"
    if not file.is_file():
        return False
    try:
        tool = tomllib.loads(file.read_text(encoding="utf-8")).get("tool")
    except (OSError, ValueError, RecursionError):
        return True
    return isinstance(tool, dict) and "staleline" in tool


def _defaults(command: Any) -> dict[str, dict[str, Any]]:
    """The defaults of commands that ``[tool.staleline]`` of a pyproject.toml sets."""
    here = Path.cwd()
    if not any(map(_may_configure, (here, *here.parents))):
        return {}
    from bench.support.settings import nearest

    values = nearest(here)
    if "strategy" in values:
        values["strategies"] = values["strategy"]
    return {
        name: {
            parameter.name: values[parameter.name]
            for parameter in command.commands[name].params
            if parameter.name in values and parameter.param_type_name == "option"
        }
        for name in _CONFIGURED
    }


# --- options of the command itself ------------------------------------------------------------------------------------


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print_text(f"staleline {version('staleline')}")
        except PackageNotFoundError:
            print_text("staleline (not installed)")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version.")
    ] = False,
) -> None:
    pass
