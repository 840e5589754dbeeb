"""The axes of a sweep: ``costs.line=5..200x10log``, and what of a host or a parameter a name is."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

import msgspec

from bench.caches.footprint import Footprint
from bench.hosts.profile import FlushRecipe, Host
from bench.replay.parameters import Parameters
from bench.replay.quantity import parsed
from bench.support.errors import InputError
from bench.traces.model import ModelParameters

RATE = "retranslations"
"""The axis of retranslations per million executions: the recorded mix, or of sites: targets translated again."""
TRACE = "trace"
MOST_CELLS = 1_000_000
_MOST_VALUES = 10_000
_FORM = "NAME=A..BxN, NAME=A..BxNlog or NAME=A,B,..."
_RANGE = re.compile(r"(?P<low>[^,]+?)\.\.(?P<high>[^,]+?)x(?P<count>\d+)(?P<log>log)?")
_FLUSH = ("call", "line", "remote")


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis: its values as they are set, ``numbers`` if all of them are; ``log``: spaced by a factor."""

    name: str
    values: tuple[str, ...]
    log: bool = False

    @property
    def numbers(self) -> tuple[float, ...] | None:
        """The values as numbers, if they are ascending ones."""
        try:
            found = tuple(map(float, self.values))
        except ValueError:
            return None
        return found if all(one < other for one, other in itertools.pairwise(found)) else None


def axis(text: str) -> Axis:
    """The axis that a text describes.  Raises ``InputError`` for one of another form."""
    name, _, values = (part.strip() for part in text.partition("="))
    if not (name and values):
        raise InputError(repr(text), place="`vary`", expected=_FORM)
    if found := _RANGE.fullmatch(values):
        return Axis(name, tuple(_spaced(text, found)), found["log"] is not None)
    items = [item.strip() for item in values.split(",")]
    if "" in items or ".." in values:
        raise InputError(repr(text), place="`vary`", expected=_FORM)
    if len({*items}) < len(items):
        raise InputError(f"{text!r}: a value twice", place="`vary`", expected="each once")
    return Axis(name, tuple(items))


def _spaced(text: str, found: re.Match[str]) -> Iterator[str]:
    try:
        low, high, count = float(found["low"]), float(found["high"]), int(found["count"])
    except ValueError as error:
        raise InputError(repr(text), place="`vary`", expected=_FORM) from error
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(repr(text), place="`vary`", expected="a low end below the high one")
    if not 2 <= count <= _MOST_VALUES:
        raise InputError(repr(text), place="`vary`", expected=f"2 to {_MOST_VALUES:,} values")
    if found["log"] and low <= 0:
        raise InputError(repr(text), place="`vary`", expected="a low end above 0 for a logarithmic axis")
    for number in range(count):
        share = number / (count - 1)
        value = low * (high / low) ** share if found["log"] else low + (high - low) * share
        yield f"{value:.6g}"


def axes(texts: Sequence[str]) -> tuple[Axis, ...]:
    """The axes of several texts.  Raises ``InputError`` as ``axis``, for one named twice and for too many cells."""
    found = tuple(map(axis, texts))
    names = [one.name for one in found]
    if len({*names}) < len(names):
        raise InputError(f"an axis twice: {', '.join(names)}", place="`vary`", expected="each once")
    cells = math.prod(len(one.values) for one in found)
    if cells > MOST_CELLS:
        raise InputError(f"{cells:,} cells on each host", place="`vary`", expected=f"at most {MOST_CELLS:,}")
    return found


At = Mapping[str, str]
"""A value of each axis, by name."""


def points(found: Sequence[Axis]) -> Iterator[dict[str, str]]:
    """Every combination of values, the last axis fastest."""
    names = [one.name for one in found]
    for values in itertools.product(*(one.values for one in found)):
        yield dict(zip(names, values, strict=True))


# --- what a name is ---------------------------------------------------------------------------------------------------

_MODEL = {one.name for one in msgspec.structs.fields(ModelParameters)}
_COUNTS = {one.name for one in fields(Footprint)}  # the simulation takes them; "seed" too
_PARAMETERS = {*Parameters().quantities, "seed"}


def is_of_model(name: str) -> bool:
    """Whether a name is that of a statistic of a modelled trace."""
    return name in _MODEL


def is_parameter(name: str) -> bool:
    """Whether a name is that of a parameter of the replay."""
    return name in _PARAMETERS


def settings(at: At, isas: Sequence[str]) -> list[str]:
    """The values that are settings of a host (``load_host``); ``costs.line`` is that of its own flush."""
    others = {TRACE, "vcpus"}
    return [
        f"{own}={value}"
        for name, value in at.items()
        if name not in others and not is_of_model(name) and not is_parameter(name)
        for own in _own(name, isas)
    ]


def _own(name: str, isas: Sequence[str]) -> tuple[str, ...]:
    first, _, last = name.partition(".")
    of_flush = first == "costs" and last in _FLUSH and last in FlushRecipe.__struct_fields__
    return tuple(f"isa.{isa}.flush.{last}" for isa in isas) if of_flush else (name,)


def price_of(name: str, host: Host, isas: Sequence[str]) -> tuple[str, ...]:
    """The quantities (``Cost``) that an axis is a price of; none: its values change more than a price.

    ``isas``: the instruction sets of the host that are flushed.  Costs are sums of products of quantities, so that
    nothing is simulated for another price.
    """
    if name in Parameters().quantities and name not in _COUNTS:
        # One that the host has measured is another quantity there.
        return () if getattr(host.costs, name, None) is not None else (name,)
    own = _own(name, isas)
    if all(one.startswith("isa.") and one.rpartition(".")[2] in _FLUSH for one in own):
        return own
    figure = getattr(host.costs, name.removeprefix("costs."), None) if name.startswith("costs.") else None
    return own if figure is not None else ()


def number(name: str, text: str) -> float:
    """A rate or a price.  Raises ``InputError`` for what is none."""
    return parsed(name, text, 1e6 if name == RATE else 1e12)
