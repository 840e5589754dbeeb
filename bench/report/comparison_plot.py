"""A comparison as a plot: the trade-off, the parts of each cost, and who is cheapest at which price."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.compare.breakeven import WHATS, BreakEven, break_even
from bench.compare.comparison import Comparison
from bench.report.plots import drawn
from bench.report.tradeoff import PARTS, Point, frontier, points

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABELS = 7
_HATCHES = ("", "//", "\\\\", "..", "xx", "++", "--")


def as_plot(comparisons: Sequence[Comparison], suffix: str) -> bytes:
    """The file: the trade-off over all hosts on top, and below it, for each host, parts of costs and prices."""
    from matplotlib.figure import Figure

    compared = [comparison for comparison in comparisons if comparison.rows]
    figure = Figure(figsize=(11, 5 + 4.5 * len(compared)), layout="constrained")
    grid = figure.add_gridspec(1 + len(compared), 2)
    _tradeoff(figure.add_subplot(grid[0, :]), points(compared))
    for number, comparison in enumerate(compared, 1):
        _parts(figure.add_subplot(grid[number, 0]), comparison)
        _prices(figure.add_subplot(grid[number, 1]), comparison)
    return drawn(figure, suffix)


def _tradeoff(axes: Axes, found: Sequence[Point]) -> None:
    best = frontier(found)
    least = min((point.nominal for point in found if point.nominal > 0), default=1e-6) / 3
    for point in found:
        share, low, high = (max(value, least) for value in (point.nominal, point.low, point.high))
        axes.hlines(point.right, low, high, color="grey", linewidth=1)
        filled = point in best
        axes.plot(share, point.right, "o", color="#3b6fb6", fillstyle="full" if filled else "none", markersize=8)
    named = [*best, *sorted((p for p in found if p not in best), key=lambda p: (-p.right, p.nominal))][:_LABELS]
    for place, point in enumerate(named):
        axes.annotate(
            point.strategy,
            (max(point.nominal, least), point.right),
            xytext=(6, 8 + 11 * (place % 3)),
            textcoords="offset points",
            fontsize=8,
        )
    axes.plot([max(p.nominal, least) for p in best], [p.right for p in best], "--", color="#3b6fb6", linewidth=1)
    axes.set_xscale("log")
    axes.invert_xaxis()
    axes.set_ylim(-0.5, max(point.of for point in found) * 1.25 + 0.5)
    axes.set_xlabel("overhead, share of the baseline (mean over the hosts): cheaper to the right")
    axes.set_ylabel("cells where it is right")
    axes.set_title("Where it is right against what it costs: up and to the right is better")


def _parts(axes: Axes, comparison: Comparison) -> None:
    rows = comparison.rows[::-1]
    left = [0.0] * len(rows)
    for part, hatch in zip(PARTS, _HATCHES, strict=True):
        values = [max(getattr(row.cost, part).nominal, 0.0) for row in rows]
        if any(values):
            axes.barh(
                [row.strategy for row in rows],
                values,
                left=left,
                label=part.replace("_", " "),
                hatch=hatch,
                edgecolor="white",
            )
            left = [before + value for before, value in zip(left, values, strict=True)]
    axes.tick_params(axis="y", labelsize=8)
    axes.set_xlabel("cycles, nominal")
    axes.set_title(f"Overhead on {comparison.host.name} with {comparison.translator}", fontsize=10)
    if any(left):
        axes.legend(fontsize=7)


def _prices(axes: Axes, comparison: Comparison) -> None:
    found = [one for what in WHATS if (one := break_even(comparison, what)) is not None]
    for height, one in enumerate(found):
        _price(axes, height, one)
    axes.set_yticks(range(len(found)), [one.what for one in found])
    axes.set_ylim(-0.6, max(len(found), 1) - 0.2)
    axes.set_xscale("log")
    axes.set_xlabel("price in cycles; thick: this host's range")
    axes.set_title("Cheapest that is right, by price", fontsize=10)


def _price(axes: Axes, height: int, found: BreakEven) -> None:
    low, nominal, high = (max(value, 0.1) for value in found.here)
    edges = [stretch.high for stretch in found.stretches if stretch.high is not None]
    least, most = min([low, *edges]) / 10, max([high, *edges]) * 10
    axes.hlines(height, least, most, color="grey", linewidth=1)
    axes.hlines(height, low, high, color="#8a5a00", linewidth=6, alpha=0.5)
    axes.plot(nominal, height, "|", color="#8a5a00", markersize=16)
    for stretch in found.stretches:
        end = most if stretch.high is None else stretch.high
        middle = (max(stretch.low, least) * end) ** 0.5
        axes.annotate(" = ".join(stretch.cheapest), (middle, height + 0.12), fontsize=7, ha="center")
        if stretch.high is not None:
            axes.plot(stretch.high, height, "k|", markersize=10)
