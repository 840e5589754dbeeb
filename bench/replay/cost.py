"""Costs with their range and with how well they are known."""

from __future__ import annotations

from typing import get_args

from msgspec import Struct

from bench.hosts.profile import Figure, Tag
from bench.replay.quantity import Quantity

_STRONGEST_FIRST: tuple[Tag, ...] = get_args(Tag)


def weakest(*tags: Tag) -> Tag:
    """The tag of what depends on figures with these: measured > documented > estimate > assumed; measured if none."""
    return max(tags, key=_STRONGEST_FIRST.index, default=_STRONGEST_FIRST[0])


class Cost(Struct, frozen=True):
    """Cycles of the host's clock: ``nominal`` within ``low`` .. ``high``; ``tag`` is that of the weakest figure in it.

    The range takes every figure that is a factor of the cost at its end at once,
    and brackets as far as the cost is the sum of products that it is taken for;
    what a count of lines or refills depends on enters by the rule in
    ``price.py``, an approximation.  A cost into which no figure enters, a count
    of zero, is ``measured``.
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
        """``count`` times this cost, nothing at all for 0; a negative count, a saving, turns the range round."""
        if not count:
            return NOTHING
        low, high = sorted((self.low * count, self.high * count))
        return Cost(low, self.nominal * count, high, self.tag)

    def spread(self, low: float, high: float) -> Cost:
        """The same nominal cost of a count known to be ``low`` <= 1 to ``high`` >= 1 times as large."""
        ends = (end * factor for end in (self.low, self.high) for factor in (low, high))
        least, *_, most = sorted(ends)
        return Cost(least, self.nominal, most, self.tag)

    def widened(self, by: Cost) -> Cost:
        """The same nominal cost, known to within ``by`` more on either side."""
        return Cost(self.low - by.high, self.nominal, self.high + by.high, weakest(self.tag, by.tag))

    def tagged(self, *tags: Tag) -> Cost:
        """The same cost, known no better than ``tags``."""
        return Cost(self.low, self.nominal, self.high, weakest(self.tag, *tags))


NOTHING = Cost(0.0, 0.0, 0.0, _STRONGEST_FIRST[0])


def of_figure(figure: Figure, clock_ghz: float, clock_tag: Tag) -> Cost:
    """A host's figure in cycles; one in nanoseconds is known no better than the clock."""
    low, nominal, high = figure.in_cycles(clock_ghz)
    return Cost(low, nominal, high, weakest(figure.tag, clock_tag) if figure.unit == "ns" and high else figure.tag)


def of_quantity(quantity: Quantity) -> Cost:
    """A quantity in cycles per something, as the cost of one."""
    return Cost(quantity.low, quantity.value, quantity.high, quantity.tag)
