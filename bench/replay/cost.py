"""Costs with a range and a tag."""

from __future__ import annotations

from typing import get_args

from msgspec import Struct

from bench.hosts.profile import Figure, Tag
from bench.replay.quantity import Quantity

_STRONGEST_FIRST: tuple[Tag, ...] = get_args(Tag)


def weakest(*tags: Tag) -> Tag:
    """The weakest of ``tags`` (measured > documented > estimate > assumed); measured for none."""
    return max(tags, key=_STRONGEST_FIRST.index, default=_STRONGEST_FIRST[0])


class Cost(Struct, frozen=True):
    """Cycles of the host's clock: ``nominal`` within ``low`` .. ``high``; ``tag``: the weakest tag of its figures.

    ``low`` and ``high`` take every factor at the same end of its range.  They bound the cost as far as it is a sum of
    products; the uncertainty of counts of lines and refills enters by the approximation in ``price.py``.  A cost
    without figures (a count of zero) is ``measured``.
    """

    low: float
    nominal: float
    high: float
    tag: Tag

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.low + other.low, self.nominal + other.nominal, self.high + other.high, weakest(self.tag, other.tag)
        )

    def times(self, count: float) -> Cost:
        """``count`` times this cost, ``NOTHING`` for 0; a negative count (a saving) reverses the range."""
        if not count:
            return NOTHING
        low, high = sorted((self.low * count, self.high * count))
        return Cost(low, self.nominal * count, high, self.tag)

    def spread(self, low: float, high: float) -> Cost:
        """The same nominal cost, for a count that is ``low`` (<= 1) to ``high`` (>= 1) times as large."""
        ends = (end * factor for end in (self.low, self.high) for factor in (low, high))
        least, *_, most = sorted(ends)
        return Cost(least, self.nominal, most, self.tag)

    def widened(self, by: Cost) -> Cost:
        """The same nominal cost with the range extended by ``by`` on either side."""
        return Cost(self.low - by.high, self.nominal, self.high + by.high, weakest(self.tag, by.tag))

    def tagged(self, *tags: Tag) -> Cost:
        """The same cost with the weakest of its tag and ``tags``."""
        return Cost(self.low, self.nominal, self.high, weakest(self.tag, *tags))


NOTHING = Cost(0.0, 0.0, 0.0, _STRONGEST_FIRST[0])


def of_figure(figure: Figure, clock_ghz: float, clock_tag: Tag) -> Cost:
    """A host's figure in cycles; one in nanoseconds has no better tag than the clock."""
    low, nominal, high = figure.in_cycles(clock_ghz)
    return Cost(low, nominal, high, weakest(figure.tag, clock_tag) if figure.unit == "ns" and high else figure.tag)


def of_quantity(quantity: Quantity) -> Cost:
    """The cost of one unit, from a quantity in cycles per unit."""
    return Cost(quantity.low, quantity.value, quantity.high, quantity.tag)
