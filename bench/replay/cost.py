"""Costs: sums of a coefficient times named quantities, and what holds for them whatever the quantities are.

A coefficient is counted; the quantities are uncertain, each by itself, and together span a box.  A cost is linear in
each of them, so that its least and its greatest value over the box are at corners of it.  They are found exactly:
both ends are tried of each quantity that is multiplied with another one, and what is left is a plain sum.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from math import prod
from typing import TypedDict, get_args

from bench.hosts.profile import Figure, Tag
from bench.replay.quantity import Quantity

_STRONGEST_FIRST: tuple[Tag, ...] = get_args(Tag)


def weakest(*tags: Tag) -> Tag:
    """The weakest of ``tags`` (measured > documented > estimate > assumed); measured for none."""
    return max(tags, key=_STRONGEST_FIRST.index, default=_STRONGEST_FIRST[0])


@dataclass(frozen=True, slots=True)
class Term:
    """``coefficient`` times the product of ``quantities``, in order of their names and each at most once.

    ``counted``: the tag of what the coefficient is counted from.
    """

    coefficient: float
    quantities: tuple[Quantity, ...]
    counted: Tag = "measured"

    def at(self, values: Mapping[str, float]) -> float:
        """The term where the quantities have these values by name; their own where none is given."""
        return self.coefficient * prod(values.get(quantity.name, quantity.value) for quantity in self.quantities)


@dataclass(frozen=True, slots=True)
class Corner:
    """The ``cost`` at a corner of the box: ``at`` has the end of each quantity that it depends on, by name."""

    cost: float
    at: Mapping[str, float]


class Ends(TypedDict):
    """A cost as numbers: nominal within its range, and its tag."""

    low: float
    nominal: float
    high: float
    tag: Tag


@dataclass(frozen=True)
class Cost:
    """Cycles of the host's clock, as a sum of ``terms``, one for each product of quantities.

    ``nominal`` has every quantity at its value; ``low`` and ``high`` are the ends over the box of all quantities.  The
    ``tag`` is the weakest of the terms'.  A cost without terms (a count of zero) is ``measured``.  The uncertainty of
    counts of lines and refills enters by the approximation in ``price.py``.
    """

    terms: tuple[Term, ...] = ()

    @cached_property
    def nominal(self) -> float:
        """The cost with every quantity at its value."""
        return self.at({})

    @cached_property
    def least(self) -> Corner:
        """Where in the box the cost is least."""
        return _extreme(self.terms, -1)

    @cached_property
    def greatest(self) -> Corner:
        """Where in the box the cost is greatest."""
        return _extreme(self.terms, 1)

    @property
    def low(self) -> float:
        """The least cost over the box."""
        return self.least.cost

    @property
    def high(self) -> float:
        """The greatest cost over the box."""
        return self.greatest.cost

    @cached_property
    def tag(self) -> Tag:
        """The weakest tag of the terms."""
        return weakest(*(tag for term in self.terms for tag in (term.counted, *(q.tag for q in term.quantities))))

    @property
    def ends(self) -> Ends:
        """The cost as numbers."""
        return {"low": self.low, "nominal": self.nominal, "high": self.high, "tag": self.tag}

    @property
    def quantities(self) -> dict[str, Quantity]:
        """What the cost depends on, by name."""
        return {quantity.name: quantity for term in self.terms for quantity in term.quantities}

    def at(self, values: Mapping[str, float]) -> float:
        """The cost where quantities have these values by name, and all others their own."""
        return sum((term.at(values) for term in self.terms), 0.0)

    def __add__(self, other: Cost) -> Cost:
        merged: dict[tuple[Quantity, ...], Term] = {}
        for term in (*self.terms, *other.terms):
            if before := merged.get(term.quantities):
                both = before.coefficient + term.coefficient
                term = Term(both, term.quantities, weakest(before.counted, term.counted))
            merged[term.quantities] = term
        return Cost(tuple(term for term in merged.values() if term.coefficient))

    def __sub__(self, other: Cost) -> Cost:
        return self + other.times(-1)

    def times(self, count: float, counted: Tag = "measured") -> Cost:
        """``count`` times this cost, ``NOTHING`` for 0; ``counted``: the tag of what is counted from."""
        if not count:
            return NOTHING
        return Cost(
            tuple(
                Term(term.coefficient * count, term.quantities, weakest(term.counted, counted)) for term in self.terms
            )
        )

    def by(self, quantity: Quantity) -> Cost:
        """The product with a quantity that the cost does not depend on yet."""
        return Cost(tuple(replace(one, quantities=_product((*one.quantities, quantity))) for one in self.terms))

    def in_proportion(self, quantity: Quantity) -> Cost:
        """The same nominal cost, where it is in proportion to a quantity; itself if that has no range."""
        if quantity.low == quantity.high or not quantity.value:
            return self
        return self.by(quantity).times(1 / quantity.value)

    def along(self, name: str) -> tuple[Cost, Cost]:
        """The cost as a linear function of a quantity: what does not depend on it, and the slope."""
        rest, slope = [], []
        for term in self.terms:
            others = tuple(quantity for quantity in term.quantities if quantity.name != name)
            if len(others) == len(term.quantities):
                rest.append(term)
            else:
                slope.append(Cost((replace(term, quantities=others),)))
        return Cost(tuple(rest)), total(slope)


NOTHING = Cost()


def total(costs: Iterable[Cost]) -> Cost:
    """The sum of ``costs``."""
    return reduce(Cost.__add__, costs, NOTHING)


def of_quantity(quantity: Quantity) -> Cost:
    """The cost of one unit, from a quantity in cycles per unit."""
    return Cost((Term(1.0, (quantity,)),))


def of_figure(name: str, figure: Figure, clock_ghz: float, clock_tag: Tag) -> Cost:
    """A host's figure in cycles; one in nanoseconds, but nothing, has no better tag than the clock."""
    quantity = Quantity.within(
        figure.value,
        figure.low,
        figure.high,
        figure.unit,
        figure.tag,
        figure.source,
        name,
        figure.note or "as its profile has it",
    )
    if figure.unit == "cycles":
        return of_quantity(quantity)
    return of_quantity(quantity).times(clock_ghz, clock_tag if figure.high else "measured")


def _product(quantities: Iterable[Quantity]) -> tuple[Quantity, ...]:
    return tuple(sorted(quantities, key=lambda quantity: quantity.name))


def _extreme(terms: Iterable[Term], sign: int) -> Corner:
    """The corner with the greatest cost, or with ``sign`` -1 the least."""
    ends = {q.name: (q.low, q.high) for term in terms for q in term.quantities if q.low < q.high}
    products: dict[frozenset[str], float] = {}
    for term in terms:
        key = frozenset(quantity.name for quantity in term.quantities if quantity.name in ends)
        constant = prod(quantity.value for quantity in term.quantities if quantity.name not in ends)
        products[key] = products.get(key, 0.0) + term.coefficient * constant
    cost, at = _search(products, ends, sign)
    return Corner(cost, at)


def _search(
    products: Mapping[frozenset[str], float], ends: Mapping[str, tuple[float, float]], sign: int
) -> tuple[float, dict[str, float]]:
    shared = Counter(name for names in products if len(names) > 1 for name in names)
    if not shared:
        at: dict[str, float] = {}
        cost = 0.0
        for names, coefficient in products.items():
            for name in names:
                at[name] = ends[name][coefficient * sign > 0]
            cost += coefficient * prod(at[name] for name in names)
        return cost, at
    # The one in most products, so that little is left to try; by name, so that it is always the same.
    name = max(sorted(shared), key=shared.__getitem__)
    found = []
    for end in ends[name]:
        fixed: dict[frozenset[str], float] = {}
        for names, coefficient in products.items():
            left = names - {name}
            fixed[left] = fixed.get(left, 0.0) + coefficient * (end if name in names else 1.0)
        cost, at = _search(fixed, ends, sign)
        found.append((cost, {**at, name: end}))
    return max(found, key=lambda one: one[0] * sign)
