"""For which rate of retranslations the order of the right strategies changes.

What is done at a retranslation is in proportion to their number; what is done at a translation or at an execution is
not.  A rate is in retranslations per million executions, and has the recorded mix of blocks and faults.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from bench.compare.comparison import Compared, Comparison
from bench.compare.order import Deciding, along
from bench.replay.quantity import Quantity

MATTERS = 0.05
"""The share of the baseline from which on an overhead is said to matter."""

_MOST = 1e6  # a retranslation at every execution


@dataclass(frozen=True, slots=True)
class Burden:
    """A right strategy, and those that cost the same: its ``share`` of the baseline as recorded, and the rate at which
    that ``matters``; 0 where it does at any rate, None where it does at none."""

    strategies: tuple[str, ...]
    share: float
    matters: float | None


@dataclass(frozen=True, slots=True)
class Turn:
    """At a rate the order of two changes: one is cheaper ``below`` it, the other ``above``.

    ``at``: the rate with all assumptions at their values.  Up to ``settled_below``, and from ``settled_above`` on, that
    is so whatever they are; None: nowhere.
    """

    below: tuple[str, ...]
    above: tuple[str, ...]
    at: float
    settled_below: float | None
    settled_above: float | None


@dataclass(frozen=True, slots=True)
class RateTurns:
    """How the right strategies of a comparison depend on the rate; ``recorded``: that of the trace."""

    recorded: float
    burdens: tuple[Burden, ...]
    turns: tuple[Turn, ...]


def rates(comparison: Comparison) -> RateTurns | None:
    """The rates that matter for a comparison; None without a right strategy or a retranslation."""
    ranks = [tuple(rows) for rows in comparison.ranks]
    if not ranks or not ranks[0][0].cost.retranslations:
        return None
    recorded = ranks[0][0].cost.rate
    source = (f"counted in {comparison.trace}: one at every execution at most",)
    rate = Quantity(recorded, 0, _MOST, "retranslations per million executions", "measured", source, name="rate")
    return RateTurns(recorded, tuple(_burden(rows) for rows in ranks), tuple(_turns(ranks, rate)))


def _burden(rows: tuple[Compared, ...]) -> Burden:
    cost = rows[0].cost
    share = cost.overhead.nominal / cost.baseline.nominal
    at_them = cost.per_retranslation.nominal / cost.baseline.nominal
    fixed = share - at_them
    matters = None if at_them <= 0 else cost.rate * max(0.0, MATTERS - fixed) / at_them
    if fixed >= MATTERS:
        matters = 0.0
    return Burden(_names(rows), share, matters if matters is None or matters <= _MOST else None)


def _turns(ranks: list[tuple[Compared, ...]], rate: Quantity) -> Iterator[Turn]:
    for one, other in combinations(ranks, 2):
        found: Deciding = along(other[0].cost.more_at_rate(one[0].cost, rate), rate)
        if found.flips_at:
            below, above = (one, other) if found.first_below else (other, one)
            yield Turn(_names(below), _names(above), found.flips_at, found.settled_below, found.settled_above)


def _names(rows: tuple[Compared, ...]) -> tuple[str, ...]:
    return tuple(name for row in rows for name in row.names)
