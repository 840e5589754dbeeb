"""``staleline new``: a commented file to start from, that passes as it is."""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import Annotated

import typer

from bench.commands.names import one_of
from bench.commands.output import print_text
from bench.support.errors import InputError

_FILES = {"site": "my_site.toml", "protocol": "my_protocol.toml", "strategy": "my_strategy.py", "host": "my_host.toml"}


def new(
    *,
    kind: Annotated[str, typer.Argument(help="site, protocol, strategy or host.", metavar="KIND")],
    file: Annotated[
        Path | None, typer.Argument(help="Where to write it; default: my_site.toml, ...", metavar="FILE")
    ] = None,
) -> None:
    """Write a commented file to start from, that passes as it is. A file that is there already is left alone.

    \b
    Example: staleline new site
    """
    known = one_of("new", kind, tuple(_FILES))
    path = file if file is not None else Path(_FILES[known])
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(_text(known))
    except FileExistsError:
        raise InputError("is there already", file=str(path), expected="another name") from None
    reference = f"{path}:MyStrategy" if known == "strategy" else str(path)
    how = {"strategy": f"check {reference}", "host": f"check idempotent --host {path}"}.get(known, f"check {path}")
    print_text(f"{path}\nTry: staleline {how}")


def _text(kind: str) -> str:
    if kind == "host":
        from bench import hosts

        shipped = (importlib.resources.files(hosts) / "cortex-a9.toml").read_text("utf-8")
        return (
            "# A host of your own: a copy of the Cortex-A9 to change. Every figure has its tag and its source.\n"
            + shipped.partition("\n")[2].replace('name = "cortex-a9"', 'name = "my-host"', 1)
        )
    from bench import templates

    # A strategy is no module of this program, and so no .py file of it.
    file = _FILES[kind].replace(".py", ".py.txt")
    return (importlib.resources.files(templates) / file).read_text("utf-8")
