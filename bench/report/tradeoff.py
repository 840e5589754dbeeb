"""Where strategies are right against what they cost, over all that was compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.compare.comparison import Compared, Comparison

PARTS = ("flush", "refill", "lock", "stop", "lookup", "translate", "store_into_code")
"""What an overhead is the sum of."""


@dataclass(frozen=True, slots=True)
class Point:
    """A strategy, or several that do the same.

    ``low``, ``nominal``, ``high``: the share of the baseline that it costs, the mean over all hosts.  It is ``right``
    in so many ``of`` the cells that can be: a cell is a host and translator with a scenario or a hazard.
    """

    strategy: str
    low: float
    nominal: float
    high: float
    right: int
    of: int


def points(comparisons: Sequence[Comparison]) -> tuple[Point, ...]:
    """One for each strategy, in the order of the first table; one for those that do the same everywhere."""
    names: dict[str, list[Compared]] = {}
    for comparison in comparisons:
        for row in comparison.rows:
            for name in (row.strategy, *row.same):
                names.setdefault(name, []).append(row)
    alike: dict[tuple[int, ...], list[str]] = {}
    for name, rows in names.items():
        alike.setdefault(tuple(map(id, rows)), []).append(name)
    return tuple(_point(" = ".join(group), names[group[0]]) for group in alike.values())


def _point(name: str, rows: Sequence[Compared]) -> Point:
    low, nominal, high = (
        sum(getattr(row.cost.overhead, end) / row.cost.baseline.nominal for row in rows) / len(rows)
        for end in ("low", "nominal", "high")
    )
    verdicts = [result.verdict for row in rows for result in row.every if result.verdict != "n/a"]
    return Point(name, low, nominal, high, sum(verdict == "holds" for verdict in verdicts), len(verdicts))


def frontier(found: Sequence[Point]) -> tuple[Point, ...]:
    """The points of which no other is both right in as many cells and as cheap, and better in one; cheapest first."""

    def better(one: Point, other: Point) -> bool:
        same = (one.right, one.nominal) == (other.right, other.nominal)
        return not same and one.right >= other.right and one.nominal <= other.nominal

    best = (point for point in found if not any(better(other, point) for other in found))
    return tuple(sorted(best, key=lambda point: point.nominal))
