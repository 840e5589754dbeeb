"""Numbers of the replay that are not counted but taken from somewhere, with their range, tag and source."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.hosts.profile import Tag
from bench.support.errors import InputError


@dataclass(frozen=True, slots=True)
class Quantity:
    """``value`` within ``low`` .. ``high``, in ``unit``; ``tag`` and ``source`` as in a host profile."""

    value: float
    low: float
    high: float
    unit: str
    tag: Tag
    source: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high or not self.source:
            raise ValueError(f"a sourced value within its range (found {self.low}, {self.value}, {self.high})")

    @property
    def ratios(self) -> tuple[float, float]:
        """``low`` and ``high`` in terms of the value; both 1 for a value of 0, which scales nothing."""
        return (self.low / self.value, self.high / self.value) if self.value else (1.0, 1.0)

    @property
    def described(self) -> str:
        """All of it on one line."""
        return f"{self.value:g} {self.unit} ({self.low:g}..{self.high:g}), {self.tag}: {'; '.join(self.source)}"

    def given(self, name: str, text: str, most: float, *, whole: bool = False) -> Quantity:
        """The same as ``--parameter name=text`` sets it, without a range.

        Raises ``InputError`` for text that is no number from 0 to ``most``, or no integer where it is to be ``whole``.
        """
        return replace(
            self,
            value=(value := parsed(name, text, most, whole=whole)),
            low=value,
            high=value,
            tag="assumed",
            source=("--parameter",),
        )


def parsed(name: str, text: str, most: float, *, whole: bool = False) -> float:
    """The value of ``--parameter name=text``; raises as ``Quantity.given``."""
    try:
        value = int(text) if whole else float(text)
        if not 0 <= value <= most:
            raise ValueError(text)
    except ValueError as error:
        kind = "an integer" if whole else "a number"
        raise InputError(repr(text), place=f"--parameter {name}", expected=f"{kind}, 0 .. {most}") from error
    return value
