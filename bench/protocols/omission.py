"""Operations left out in turn, of a protocol or of a strategy: what no longer holds without them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Omission:
    """``operations`` of a strategy, or of a thread of a protocol (in those ``lines`` of its file), left out together.

    ``breaks``: the scenarios, or cases, that hold with them and not without.
    """

    of: str
    operations: tuple[str, ...]
    lines: tuple[int, ...] = ()
    breaks: tuple[str, ...] = ()


def omitted_in_turn(
    without: Iterable[tuple[Omission, T]], holding: Sequence[str], holds: Callable[[T, str], bool]
) -> tuple[Omission, ...]:
    """What breaks of what is ``holding``: ``without`` gives what is left out, and what is left without it."""
    return tuple(
        replace(omission, breaks=tuple(name for name in holding if not holds(left, name))) for omission, left in without
    )
