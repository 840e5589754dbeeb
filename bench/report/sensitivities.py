"""What decides: the effect of each quantity by itself, and of the rate of retranslations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from bench.compare.comparison import Comparison
from bench.compare.rate import MATTERS, Burden, RateTurns, rates
from bench.replay.cost import Cost
from bench.replay.sensitivity import Swing, swings
from bench.report.costs import number
from bench.report.tables import Cell, fill, table
from bench.support.text import listed

_SHOWN = 0.01
"""The share of the widest swing from which on another one is shown in a table of text."""


def swing_table(
    found: Sequence[Swing], end: Callable[[float], str], effect: tuple[str, Callable[[Swing], str]], style: str
) -> str:
    """The swings in their order: the figure at each ``end``, and their ``effect`` by a heading and in words."""
    heading, words = effect
    rows: list[Sequence[Cell]] = [
        (one.quantity, f"{one.low:g}..{one.high:g} {one.unit}", end(one.at_low), end(one.at_high), words(one))
        for one in found
    ]
    return table(("quantity", "range", "at its low end", "at its high end", heading), rows, style)


# --- of costs -------------------------------------------------------------------------------------------------------


def extra_swings(comparison: Comparison) -> Iterator[tuple[str, Cost, tuple[Swing, ...]]]:
    """What right strategies add, by name, and the effect on it of each assumption; who adds nothing is left out."""
    for rank in comparison.ranks:
        if found := swings(rank[0].extra):
            yield " = ".join(name for row in rank for name in row.names), rank[0].extra, found


def document(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """The keys that ``compare --sensitivity`` adds."""
    decide, depend = [], []
    for one in comparisons:
        of = {"host": one.host.name, "settings": one.host.derived, "translator": one.translator, "trace": one.trace}
        decide += [
            {**of, "strategy": rank[0].strategy, "swings": [asdict(swing) for swing in swings(rank[0].extra)]}
            for rank in one.ranks
        ]
        if found := rates(one):
            depend.append({**of, **asdict(found)})
    return {"sensitivity": decide, "rates": depend}


def text(comparison: Comparison, style: str) -> str:
    """The rate first, since it says whether anything of this matters; then what decides what each strategy adds."""
    parts = []
    if found := rates(comparison):
        parts += [fill(sentence) for sentence in rate_sentences(comparison.trace, found)]
    for names, _, effects in extra_swings(comparison):
        shown = [one for one in effects if one.width >= _SHOWN * effects[0].width]
        left_out = len(effects) - len(shown)
        more = f" (and {left_out} that change it by less than a hundredth of the first)" if left_out else ""
        title = f"What decides what {names} adds to {comparison.over}, each quantity by itself{more}:"
        effect = ("changes it by", lambda one: number(one.width))
        parts += ["", fill(title), "", swing_table(shown, number, effect, style)]
    return "\n".join(parts)


# --- of the rate ----------------------------------------------------------------------------------------------------


def rate_sentences(trace: str, found: RateTurns) -> Iterator[str]:
    """Whether the overheads matter, from which rate on, and where the order changes."""
    shares = [f"{number(100 * one.share, 1)} % of {_named(one.strategies)}" for one in found.burdens]
    yield (
        f"{trace} has {_rate(found.recorded)} retranslations per million executions. There the overhead is, in shares "
        f"of the baseline, {listed(shares)}."
    )
    yield f"It reaches {100 * MATTERS:g} % {listed([_from(one) for one in found.burdens])}."
    for turn in found.turns:
        settled = []
        if turn.settled_below:
            settled.append(f"below {_rate(turn.settled_below)}")
        if turn.settled_above is not None:
            settled.append(f"above {_rate(turn.settled_above)}")
        whatever = f"; {' and '.join(settled)} that holds whatever is assumed" if settled else ""
        yield (
            f"{_named(turn.below)} costs less than {_named(turn.above)} below {_rate(turn.at)} retranslations per "
            f"million executions, and more above{whatever}."
        )
    if not found.turns and len(found.burdens) > 1:
        yield "At no rate does the order of any two of them change."


def _from(one: Burden) -> str:
    if one.matters is None:
        return f"at no rate with {_named(one.strategies)}"
    if not one.matters:
        return f"at any rate with {_named(one.strategies)}"
    return f"from {_rate(one.matters)} on with {_named(one.strategies)}"


def _named(names: Sequence[str]) -> str:
    return " = ".join(names)


def _rate(value: float) -> str:
    return f"{float(f'{value:.2g}'):,g}"
