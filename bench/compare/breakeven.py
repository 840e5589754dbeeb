"""For which prices of a line flush, and of a lock, another strategy becomes the cheapest that is right.

An overhead is linear in either price, all other quantities at their values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench.compare.comparison import Compared, Comparison
from bench.hosts.profile import Figure

What = Literal["line flush", "lock"]


@dataclass(frozen=True, slots=True)
class Line:
    """A strategy's overhead in cycles: ``at_nothing`` where that is free, and ``slope`` for each cycle of its price."""

    strategy: str
    at_nothing: float
    slope: float

    def at(self, price: float) -> float:
        """The overhead at a price in cycles."""
        return self.at_nothing + self.slope * price


@dataclass(frozen=True, slots=True)
class Segment:
    """From one price to another (None: no end), in cycles, these are the cheapest; several that cost the same."""

    low: float
    high: float | None
    cheapest: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Crossing:
    """At a ``price`` in cycles one strategy becomes dearer than another."""

    price: float
    dearer: str
    cheaper: str


@dataclass(frozen=True, slots=True)
class BreakEven:
    """How the order of the right strategies depends on a price.

    ``here``: low, nominal and high price on the host, in cycles.  ``lines`` of the right strategies; ``segments``: the
    cheapest, from 0 on; ``crossings``: where any two change places.  Both ascending.
    """

    what: What
    here: tuple[float, float, float]
    lines: tuple[Line, ...]
    segments: tuple[Segment, ...]
    crossings: tuple[Crossing, ...]


def break_evens(comparison: Comparison) -> tuple[BreakEven, ...]:
    """For one host: the price of a line flush and that of a lock, where it changes the order of the right ones."""
    host = comparison.host
    isa = comparison.isa if comparison.isa in host.isa else host.main_isa
    prices: dict[What, tuple[str, Figure]] = {
        "line flush": (f"isa.{isa}.flush.line", host.isa[isa].flush.line),
        "lock": ("costs.lock", host.costs.lock),
    }
    found = []
    for what, (name, figure) in prices.items():
        cycles = host.clock_ghz if figure.unit == "ns" else 1.0
        lines = tuple(_line(row, name, cycles) for row in comparison.rows if row.right)
        if crossing := crossings(lines):
            found.append(BreakEven(what, figure.in_cycles(host.clock_ghz), lines, envelope(lines), crossing))
    return tuple(found)


def _line(row: Compared, name: str, cycles: float) -> Line:
    """The nominal overhead along a quantity, one unit of which is so many cycles."""
    rest, slope = row.cost.overhead.along(name)
    return Line(row.strategy, rest.nominal, slope.nominal / cycles)


def envelope(lines: Sequence[Line]) -> tuple[Segment, ...]:
    """The lower envelope of the lines, from a price of 0 on."""
    found: list[Segment] = []
    price = 0.0
    while True:
        # At a crossing the one that rises least goes on.
        best = min(lines, key=lambda line: (_rounded(line.at(price)), line.slope))
        same = tuple(
            line.strategy
            for line in lines
            if line.slope == best.slope and _rounded(line.at(price)) == _rounded(best.at(price))
        )
        crossings = [
            (line.at_nothing - best.at_nothing) / (best.slope - line.slope) for line in lines if line.slope < best.slope
        ]
        after = min((crossing for crossing in crossings if crossing > price * (1 + 1e-12)), default=None)
        found.append(Segment(price, after, same))
        if after is None:
            return tuple(found)
        price = after


def crossings(lines: Sequence[Line]) -> tuple[Crossing, ...]:
    """Every price above 0 at which one of two lines rises above the other."""
    found = [
        Crossing((flat.at_nothing - steep.at_nothing) / (steep.slope - flat.slope), steep.strategy, flat.strategy)
        for steep in lines
        for flat in lines
        if steep.slope > flat.slope and _rounded(flat.at_nothing) > _rounded(steep.at_nothing)
    ]
    return tuple(sorted(found, key=lambda crossing: (crossing.price, crossing.dearer, crossing.cheaper)))


def _rounded(cycles: float) -> float:
    """What is told apart: nine digits, since sums are not exact."""
    return float(f"{cycles:.9g}")
