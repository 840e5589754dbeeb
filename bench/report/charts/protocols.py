"""The pictures of protocols: what each case costs in all and whether it is right, and what each line costs."""

from __future__ import annotations

from collections.abc import Sequence

from bench.check.protocols import VerifiedDocument
from bench.replay.cost import Cost
from bench.report.charts.comparisons import FAILS, HOLDS, OPEN, VERDICTS, Priced, against_cost
from bench.report.charts.drawing import Chart
from bench.report.charts.marks import WIDE, Frame, Mark
from bench.report.costs import cycles
from bench.report.protocols import PriceTable, ProtocolReport, called, file_of, verdict_text
from bench.support.errors import InputError

_KINDS = {"holds": VERDICTS[HOLDS], "fails": VERDICTS[FAILS], "bounded": VERDICTS[OPEN]}
_SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "stroke")
_COLOURS = "abcdefg"


def of_protocols(report: ProtocolReport) -> list[Chart]:
    """Both of each file on each host.  Raises ``InputError`` where there is none."""
    priced = [(group, report.prices(group)) for group in report.groups]
    charts = [
        draw(group, prices, at, WIDE)
        for group, prices in priced
        if prices.lines
        for at in range(len(prices.hosts))
        for draw in (by_case, by_line)
    ]
    if not charts:
        raise InputError("nothing that has a price", place="`plot`", expected="a host, and an operation that costs")
    return charts


def by_case(group: Sequence[VerifiedDocument], prices: PriceTable, at: int, frame: Frame) -> Chart:
    """What the operations of each case cost in all, and whether it is right."""
    host = prices.hosts[at]
    (verified,) = (one for one in group if one.target is host)
    rows = [
        _row(called(case), verdict_text(case), case.verdict, costs[at])
        for case, (_, costs) in zip(verified.cases, prices.cases, strict=True)
    ]
    title = f"Right or wrong, and what it costs: {file_of(group[0])} on {host.name}"
    return against_cost(title, "cycles of all operations, each once", rows, frame, _KINDS)


def by_line(group: Sequence[VerifiedDocument], prices: PriceTable, at: int, frame: Frame) -> Chart:
    """What each line costs, and whose it is."""
    threads = dict.fromkeys(one.thread for one in prices.lines)
    kinds = {name: Mark(f"var(--{_COLOURS[number % 7]})", _SHAPES[number % 7]) for number, name in enumerate(threads)}
    rows = [
        _row(one.operation, f"line {one.line}" if one.line else "", one.thread, one.costs[at]) for one in prices.lines
    ]
    title = f"What each line costs: {file_of(group[0])} on {prices.hosts[at].name}"
    return against_cost(title, "cycles", rows, frame, kinds)


def _row(name: str, note: str, kind: str, cost: Cost) -> Priced:
    ends = cost.low, cost.nominal, cost.high
    return name, note, kind, ends, f"{name}, {note}: {kind}; {cycles(cost)} cycles"
