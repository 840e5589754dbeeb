"""The picture of a risk: which quantities decide it."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from bench.replay.sensitivity import Swing
from bench.report.charts.drawing import Chart
from bench.report.charts.marks import WIDE
from bench.report.charts.tornado import tornado
from bench.report.risks import decided
from bench.risk.risk import Risk
from bench.support.errors import InputError


def of_risks(risks: Sequence[Risk]) -> list[Chart]:
    """A tornado for each cell that has swings.  Raises ``InputError`` where nothing has any."""
    charts = [_deciding(risk) for risk in risks if risk.swings]
    if not charts:
        raise InputError("no cell in which something can go wrong", place="`plot`", expected="one, with `sensitivity`")
    return charts


def _deciding(risk: Risk) -> Chart:
    title = f"{risk.strategy} in {risk.scenario} on {risk.host.name} with {risk.translator}, {risk.trace}"
    what = "wrong executions per million retranslations"
    return tornado(title, what, risk.swings, decided(risk), WIDE, _changes, per=1e6)


def _changes(swing: Swing) -> str:
    return f"{swing.factor:.2g}x" if isfinite(swing.factor) else "from 0"
