"""Uncertain numbers: named quantities with range, unit, tag and source."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.hosts.profile import Tag
from bench.support.errors import InputError


@dataclass(frozen=True, slots=True)
class Quantity:
    """``value`` within ``low`` .. ``high``, in ``unit``; ``tag`` and ``source`` as in a host profile.

    ``at_end``: why the value is an end of its range, where it is one.
    Quantities of one ``name`` are one unknown; what holds them by name gives it (``named``).
    """

    value: float
    low: float
    high: float
    unit: str
    tag: Tag
    source: tuple[str, ...]
    name: str = ""
    at_end: str = ""

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high or not self.source:
            raise ValueError(f"a sourced value within its range (found {self.low}, {self.value}, {self.high})")
        if (self.low < self.high and self.value in (self.low, self.high)) != bool(self.at_end):
            raise ValueError(f"a reason for an end as the value (found {self.low}, {self.value}, {self.high})")

    @classmethod
    def within(
        cls, value: float, low: float, high: float, unit: str, tag: Tag, source: tuple[str, ...], name: str, why: str
    ) -> Quantity:
        """A quantity that says ``why`` its value is an end of its range, if it is one."""
        at_end = why if low < high and value in (low, high) else ""
        return cls(value, low, high, unit, tag, source, name, at_end)

    def named(self, name: str) -> Quantity:
        """The same quantity under a name."""
        return replace(self, name=name)

    @property
    def ratios(self) -> tuple[float, float]:
        """``low`` and ``high`` relative to the value; both 1 for a value of 0."""
        return (self.low / self.value, self.high / self.value) if self.value else (1.0, 1.0)

    @property
    def described(self) -> str:
        """Value, unit, range, tag and source on one line."""
        why = f"; at an end of its range: {self.at_end}" if self.at_end else ""
        return f"{self.value:g} {self.unit} ({self.low:g}..{self.high:g}), {self.tag}: {'; '.join(self.source)}{why}"

    def given(self, name: str, text: str, most: float, *, whole: bool = False) -> Quantity:
        """The same quantity with the value ``text`` of the parameter ``name``, and no range.

        Raises ``InputError`` unless ``text`` is a number from 0 to ``most``, an integer if ``whole``.
        """
        return replace(self.at(parsed(name, text, most, whole=whole)), tag="assumed", source=("set by the user",))

    def at(self, value: float) -> Quantity:
        """The same quantity with a value and no range."""
        return replace(self, value=value, low=value, high=value, at_end="")


def parsed(name: str, text: str, most: float, *, whole: bool = False) -> float:
    """The value ``text`` of the parameter ``name``; raises as ``Quantity.given``."""
    try:
        value = int(text) if whole else float(text)
        if not 0 <= value <= most:
            raise ValueError(text)
    except ValueError as error:
        kind = "an integer" if whole else "a number"
        raise InputError(repr(text), place=f"`parameter` {name}", expected=f"{kind}, 0 .. {most}") from error
    return value
