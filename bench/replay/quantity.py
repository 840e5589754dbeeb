"""Numbers of the replay that are not counted but taken from somewhere, with their range, tag and source."""

from __future__ import annotations

from dataclasses import dataclass

from bench.hosts.profile import Tag


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
