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
