"""Words and numbers of the command line that stand for something."""

from __future__ import annotations

from collections.abc import Iterable
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


def kind_of(name: str) -> Literal["strategy", "site", "protocol"]:
    """What an argument names: a site by its name or its file, a protocol by its file, else a strategy."""
    from bench.sites.reader import is_site, library
    from bench.support.toml import read

    if name in library():
        return "site"
    if not name.endswith(".toml"):
        return "strategy"
    return "site" if is_site(read(name, "a site or a protocol")[0]) else "protocol"


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
