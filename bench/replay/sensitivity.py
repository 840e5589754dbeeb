"""What decides a figure: its values with one quantity at the ends of its range, and all others at theirs."""

from __future__ import annotations

from dataclasses import dataclass

from bench.replay.cost import Cost
from bench.replay.price import is_chance
from bench.replay.quantity import Quantity


@dataclass(frozen=True, slots=True)
class Swing:
    """The effect of one ``quantity`` from ``low`` to ``high``, in its ``unit``: the figure at either end."""

    quantity: str
    low: int | float  # both: an integer that was kept is read back as one
    high: int | float
    unit: str
    at_low: float
    at_high: float

    @classmethod
    def of(cls, name: str, quantity: Quantity, at_low: float, at_high: float) -> Swing:
        """The effect of a quantity."""
        return cls(name, quantity.low, quantity.high, quantity.unit, at_low, at_high)

    @property
    def width(self) -> float:
        """The larger without the smaller."""
        return abs(self.at_high - self.at_low)

    @property
    def factor(self) -> float:
        """The larger over the smaller."""
        small, large = sorted((self.at_low, self.at_high))
        return 1.0 if large == small else float("inf") if not small else large / small


def swings(cost: Cost) -> tuple[Swing, ...]:
    """The effect on a cost of each assumption that it depends on, the widest first; chance is none."""
    found = []
    for name, quantity in sorted(cost.quantities.items()):
        if quantity.low < quantity.high and not is_chance(quantity):
            found.append(Swing.of(name, quantity, cost.at({name: quantity.low}), cost.at({name: quantity.high})))
    return tuple(sorted((swing for swing in found if swing.width), key=lambda swing: -swing.width))
