"""Words and numbers of the command line that stand for something."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, TypeVar

from bench.support.errors import InputError

_Known = TypeVar("_Known")


def names_in(values: Iterable[str] | None) -> list[str]:
    """The values of a repeatable option, comma lists taken apart, without repetition."""
    items = [item.strip() for value in values or () for item in value.split(",")]
    if any(not item for item in items):
        raise InputError("an empty name in a list", expected="names with commas between them")
    return list(dict.fromkeys(items))


def some_of(values: Iterable[str] | None) -> list[str] | None:
    """The same; None for ``all``, and where nothing is named."""
    names = names_in(values)
    return None if names in ([], ["all"]) else names


NamedKind = Literal["strategy", "trace", "site", "protocol"]


def kind_of(name: str, other: Literal["strategy", "trace"] = "strategy") -> NamedKind:
    """What an argument names: sites by a name of the library or by a file, a protocol by its file, else the ``other``.

    Raises ``InputError`` for what is no file, and nearer to the name of a site, or of a trace, than to a strategy's.
    """
    from bench.sites.reader import families, is_site, library, named
    from bench.support.toml import read

    if named(name):
        return "site"
    if name.endswith(".toml"):
        return "site" if is_site(read(name, "a site or a protocol")[0]) else "protocol"
    known = _known(other)
    near = difflib.get_close_matches(name, (*known, *families(), *library()), 1, _NEAR)
    if near and name not in known and not Path(name).exists() and (other == "trace" or near[0] not in known):
        raise InputError(f"no {other} and no site {name!r}", expected=near[0])
    return other


_NEAR = 0.8
"""How like (``difflib``) a name is to the one that is meant: with so many sites, some name is like any word."""


def _known(kind: Literal["strategy", "trace"]) -> tuple[str, ...]:
    """The names of that kind."""
    if kind == "trace":
        from bench.traces.shipped import SHIPPED

        return tuple(SHIPPED)
    from strategies import registry

    return registry.names()


def one_of(place: str, value: object, known: tuple[_Known, ...]) -> _Known:
    """The one of the ``known`` that ``value`` is."""
    for one in known:
        if one == value:
            return one
    raise InputError(repr(value), place=place, expected=" or ".join(map(str, known)))


def max_states_of(asked: int | None, most: int) -> int:
    """The states of a search, at most: ``most`` if nothing was asked."""
    if asked is not None and asked < 1:
        raise InputError(str(asked), place="--max-states", expected="at least 1")
    return most if asked is None else asked
