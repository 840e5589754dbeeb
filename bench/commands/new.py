"""``staleline new``: a commented file to start from, that passes as it is."""

from __future__ import annotations

import difflib
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
    like: Annotated[
        str | None,
        typer.Option("--like", help="Copy a site of the library, a published bug, or a host.", metavar="NAME"),
    ] = None,
) -> None:
    """Write a commented file to start from. It passes as it is. A file that is there already is left alone.

    \b
    Example: staleline new site
    Also: staleline new site --like word-or-slot-aarch64
    """
    known = one_of("new", kind, tuple(_FILES))
    path = file if file is not None else Path(_FILES[known])
    text = _text(known) if like is None else _copied(known, like)
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise InputError("is there already", file=str(path), expected="another name") from None
    reference = f"{path}:MyStrategy" if known == "strategy" else str(path)
    how = {"strategy": f"check {reference}", "host": f"check idempotent --host {path}"}.get(known, f"check {path}")
    print_text(f"{path}\nTry: staleline {how}")


def _text(kind: str) -> str:
    if kind == "host":
        return _copied(kind, "cortex-a9")
    from bench import templates

    # A strategy is no module of this program, and so no .py file of it.
    file = _FILES[kind].replace(".py", ".py.txt")
    return (importlib.resources.files(templates) / file).read_text("utf-8")


def _copied(kind: str, name: str) -> str:
    """A file of that kind that is shipped.  Raises ``InputError`` for a name that it does not have."""
    from bench import hosts, known_bugs
    from bench.hosts import host_names
    from bench.protocols.document import bug_names
    from bench.sites.reader import library
    from strategies import linking

    shipped = {"host": (hosts, host_names), "protocol": (known_bugs, bug_names), "site": (linking, library)}
    if kind not in shipped:
        raise InputError("`like` copies no strategy", expected=" or ".join(shipped))
    package, names = shipped[kind]
    if name not in names():
        near = difflib.get_close_matches(name, names(), 1)
        raise InputError(repr(name), place="`like`", expected=near[0] if near else " or ".join(names()))
    text = (importlib.resources.files(package) / f"{name}.toml").read_text("utf-8")
    if kind == "host":  # its name would hide the one that is shipped
        text = text.replace(f'name = "{name}"', 'name = "my-host"', 1)
        text = f"# A host of your own: a copy of {name} to change.  Every figure has its tag and its source.\n{text}"
    return text
