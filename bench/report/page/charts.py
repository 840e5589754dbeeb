"""The drawings of the page, as SVG: the trade-off, the parts of each cost, and break-even prices."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from bench.compare.breakeven import BreakEven
from bench.compare.comparison import Comparison
from bench.report.costs import cycles, number
from bench.report.tradeoff import PARTS, Point, frontier

_WIDTH, _LEFT, _RIGHT = 900, 70, 30
MOST_LABELS = 7

_COLOURS = dict(zip(PARTS, ("pa", "pb", "pc", "pd", "pe", "pf", "pg"), strict=True))


def _svg(height: int, label: str, inside: Iterator[str]) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(label)}">{"".join(inside)}</svg>'


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle"{more}>{escape(text)}</text>'


def tradeoff(found: Sequence[Point]) -> str:
    """Cost on a logarithmic axis that ends at the cheapest, cells in which it is right upwards."""
    known = [value for point in found for value in (point.low, point.nominal, point.high) if value > 0]
    if not known:
        known = [1e-6, 1e-5]
    least, most = 10 ** math.floor(math.log10(min(known))), 10 ** math.ceil(math.log10(max(known)) + 1e-9)
    least = max(least, most / 1e8)
    height, top, bottom = 450, 90, 90
    cells = max(point.of for point in found)

    def x(share: float) -> float:
        place = math.log10(min(max(share, least), most) / least) / max(math.log10(most / least), 1)
        return _WIDTH - _RIGHT - place * (_WIDTH - _LEFT - _RIGHT)

    def y(right: int) -> float:
        return height - bottom - right / max(cells, 1) * (height - top - bottom)

    best = frontier(found)
    together: dict[tuple[int, int], list[Point]] = {}
    for point in (*best, *sorted(found, key=lambda one: (-one.right, one.nominal))):
        group = together.setdefault((round(x(point.nominal) / 12), point.right), [])
        if point not in group:
            group.append(point)

    def inside() -> Iterator[str]:
        for exponent in range(round(math.log10(least)), round(math.log10(most)) + 1):
            at = x(10.0**exponent)
            yield f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{height - bottom}"/>'
            share = f"{100 * 10.0**exponent:g} %"
            yield f'<text x="{at:.1f}" y="{height - bottom + 18}" text-anchor="middle">{share}</text>'
        for right in range(0, cells + 1, max(1, cells // 6)):
            yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(right):.1f}" y2="{y(right):.1f}"/>'
            yield f'<text x="{_LEFT - 8}" y="{y(right) + 4:.1f}" text-anchor="end">{right}</text>'
        yield _text(_WIDTH / 2, height - 44, "overhead, share of the baseline: cheaper to the right")
        turned = f' transform="rotate(-90 16 {height / 2})"'
        yield _text(16, height / 2, "cells where it is right", turned)
        line = " ".join(f"{x(point.nominal):.1f},{y(point.right):.1f}" for point in best)
        yield f'<polyline class="frontier" points="{line}"/>'
        for point in found:
            at, up = x(point.nominal), y(point.right)
            yield f'<line class="range" x1="{x(point.high):.1f}" x2="{x(point.low):.1f}" y1="{up:.1f}" y2="{up:.1f}"/>'
            kind = "mark" if point in best else "mark off"
            yield (
                f'<circle class="{kind}" cx="{at:.1f}" cy="{up:.1f}" r="7"><title>{escape(point.strategy)}: '
                f"{_share(point)}, right in {point.right} of {point.of}</title></circle>"
            )
        for group in list(together.values())[:MOST_LABELS]:
            at, up = x(group[0].nominal), y(group[0].right)
            anchor = "end" if at > _WIDTH * 0.7 else "start" if at < _WIDTH * 0.3 else "middle"
            above = group[0] in best
            for at_line, point in enumerate(group):
                height_of = up - 14 - 16 * (len(group) - 1 - at_line) if above else up + 24 + 16 * at_line
                yield f'<text x="{at:.1f}" y="{height_of:.1f}" text-anchor="{anchor}">{escape(point.strategy)}</text>'

    return _svg(height, "Where strategies are right against their cost; the table below has the same figures", inside())


def _share(point: Point) -> str:
    return f"{100 * point.nominal:.1g} % ({100 * point.low:.1g}..{100 * point.high:.1g})"


def parts(comparison: Comparison) -> str:
    """A bar for each strategy, of the parts of its nominal overhead; a part that saves something is left out."""
    rows = comparison.rows
    most = max((sum(max(getattr(row.cost, part).nominal, 0) for part in PARTS) for row in rows), default=0) or 1
    step, top = 34, 34
    height = top + step * len(rows) + 10
    left = 260

    def inside() -> Iterator[str]:
        at = float(left)
        for part in PARTS:
            yield f'<rect class="{_COLOURS[part]}" x="{at}" y="6" width="12" height="12"/>'
            name = part.replace("_", " ")
            yield f'<text x="{at + 16}" y="17">{name}</text>'
            at += 30 + 7.5 * len(name)
        for number_of, row in enumerate(rows):
            y = top + step * number_of
            yield f'<text x="{left - 8}" y="{y + 16}" text-anchor="end">{escape(row.strategy)}</text>'
            x = float(left)
            for part in PARTS:
                value = getattr(row.cost, part).nominal
                if value > 0:
                    width = value / most * (_WIDTH - left - 120)
                    said = f"{part.replace('_', ' ')}: {cycles(getattr(row.cost, part))} cycles"
                    yield (
                        f'<rect class="{_COLOURS[part]}" x="{x:.1f}" y="{y}" width="{max(width, 0.5):.1f}" height="22">'
                        f"<title>{escape(said)}</title></rect>"
                    )
                    x += width
            yield f'<text x="{x + 6:.1f}" y="{y + 16}">{escape(number(row.cost.overhead.nominal))}</text>'

    return _svg(height, f"The parts of each overhead on {comparison.host.name}, in cycles", inside())


def prices(found: BreakEven) -> str:
    """The axis of a price, with who is cheapest where, and the host's own price on it."""
    edges = [stretch.high for stretch in found.stretches if stretch.high is not None]
    most = max([found.here[2] * 3, *(edge * 2 for edge in edges), 10.0])
    least = min([value for value in (*found.here, *edges) if value > 0] or [1.0]) / 5

    def x(price: float) -> float:
        place = math.log(min(max(price, least), most) / least) / math.log(most / least)
        return 20 + place * (_WIDTH - 40)

    def inside() -> Iterator[str]:
        low, nominal, high = map(x, found.here)
        yield f'<rect class="here" x="{low:.1f}" y="36" width="{max(high - low, 2):.1f}" height="34"/>'
        yield f'<line class="nominal" x1="{nominal:.1f}" x2="{nominal:.1f}" y1="36" y2="70"/>'
        yield '<line class="axis" x1="20" x2="880" y1="70" y2="70"/>'
        for edge in edges:
            yield f'<line class="axis" x1="{x(edge):.1f}" x2="{x(edge):.1f}" y1="32" y2="78"/>'
            yield _text(x(edge), 94, number(edge))
        for stretch in found.stretches:
            end = most if stretch.high is None else stretch.high
            yield _text((x(stretch.low) + x(end)) / 2, 26, " = ".join(stretch.cheapest))
        yield _text(nominal, 112, f"this host: {number(found.here[1])} cycles")

    return _svg(122, f"Who is cheapest for which price of a {found.what}", inside())
