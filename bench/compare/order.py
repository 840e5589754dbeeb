"""Which of two costs is less, whatever the quantities are that both are sums of; if that is open, what decides it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.replay.cost import Cost
from bench.replay.price import is_chance
from bench.replay.quantity import Quantity

CostOrder = Literal["cheaper", "equal", "undecided"]

_ROUNDING = 1e-9
"""Of the width of a difference: what sums of floating-point numbers may be off."""
_HALVINGS = 30


@dataclass(frozen=True, slots=True)
class Deciding:
    """The ``quantity`` that decides between two costs: the first is less on one side of ``flips_at``.

    ``flips_at``       the value at which both cost the same, all other quantities at theirs; None if there is none in
                       the quantity's range: then it takes several quantities to turn the order, this one most of all
    ``first_below``    the first is less below that value, else above it
    ``settled_below``  below this value the order holds whatever the others are; None if there is no such part
    ``settled_above``  the same above a value
    """

    quantity: Quantity
    flips_at: float | None
    first_below: bool
    settled_below: float | None
    settled_above: float | None

    @property
    def alone(self) -> bool:
        """Whether the order is decided wherever in its range the quantity is known to be."""
        below, above = self.settled_below, self.settled_above
        if below is None or above is None:
            return False
        return above - below <= _ROUNDING * (self.quantity.high - self.quantity.low)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two strategies, the ``first`` of which is not dearer with all quantities at their values.

    ``difference``: what the ``second`` costs more.  ``order``: the first is ``cheaper`` or both cost the same
    (``equal``), whatever the quantities are within their ranges; else ``undecided``, and ``deciding`` says what it is
    up to.
    """

    first: str
    second: str
    difference: Cost
    order: CostOrder
    deciding: Deciding | None


def pair(first: str, second: str, difference: Cost) -> Pair:
    """The order of two strategies, the second of which costs so much more; exchanged if that is negative."""
    if difference.nominal < 0:
        first, second, difference = second, first, difference.times(-1)
    slack = _ROUNDING * max(abs(difference.low), abs(difference.high))
    order: CostOrder = "equal" if not slack else "cheaper" if difference.low >= -slack else "undecided"
    return Pair(first, second, difference, order, _deciding(difference) if order == "undecided" else None)


def _deciding(difference: Cost) -> Deciding:
    """The quantity that changes a difference most, among those that turn it by themselves if there is any."""
    found = []
    for _, quantity in sorted(difference.quantities.items()):
        flips_at, steep = _flip(difference, quantity)
        swing = abs(steep) * (quantity.high - quantity.low)
        # Nobody can set what chance is.
        found.append((not is_chance(quantity), flips_at is not None, swing, quantity))
    return along(difference, max(found, key=lambda one: one[:3])[-1])


def along(difference: Cost, quantity: Quantity) -> Deciding:
    """How the order of two costs depends on one quantity."""
    flips_at, steep = _flip(difference, quantity)
    # What the second costs more falls with the quantity: at first the first is less.
    first_below = steep < 0
    return Deciding(
        quantity,
        flips_at,
        first_below,
        _settled(difference, quantity, quantity.low, quantity.high, first_less=first_below),
        _settled(difference, quantity, quantity.high, quantity.low, first_less=not first_below),
    )


def _flip(difference: Cost, quantity: Quantity) -> tuple[float | None, float]:
    """Where a difference is nothing along a quantity, None if not in its range; and its slope; others at values."""
    rest, slope = difference.along(quantity.name)
    steep = slope.nominal
    at = -rest.nominal / steep if steep else None
    return at if at is not None and quantity.low <= at <= quantity.high else None, steep


def _settled(difference: Cost, quantity: Quantity, end: float, other: float, *, first_less: bool) -> float | None:
    """How far from one ``end`` of a quantity a difference keeps its sign, whatever the others are; None: not at all."""
    rest, slope = difference.along(quantity.name)

    def keeps(value: float) -> bool:
        there = rest + slope.times(value)
        return there.low >= 0 if first_less else there.high <= 0

    if not keeps(end):
        return None
    # The worst difference over the others is bent one way in this quantity: where it keeps its sign is in one piece.
    for _ in range(_HALVINGS):
        middle = (end + other) / 2
        if keeps(middle):
            end = middle
        else:
            other = middle
    return end
