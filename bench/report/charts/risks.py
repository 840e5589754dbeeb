"""The picture of a risk: which quantities decide it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite

from bench.report.charts.drawing import Chart
from bench.report.charts.marks import SAID, WIDE, Axis, Frame, layer, of_name, row_chart
from bench.report.risks import decided
from bench.risk.pressure import Pressure
from bench.risk.risk import Risk
from bench.support.errors import InputError


def of_risks(risks: Sequence[Risk], pressure: Pressure) -> list[Chart]:
    """A tornado for each cell that has swings.  Raises ``InputError`` where nothing has any."""
    charts = [tornado(risk, pressure, WIDE) for risk in risks if risk.swings]
    if not charts:
        raise InputError("no cell in which something can go wrong", place="`plot`", expected="one, with `sensitivity`")
    return charts


_RISES, _FALLS = "more with a larger quantity", "less with a larger quantity"
_COLOURS = {_RISES: "var(--a)", _FALLS: "var(--b)"}


def tornado(risk: Risk, pressure: Pressure, frame: Frame) -> Chart:
    """A bar for each quantity from its low to its high end, those that decide on top."""
    nominal, quantities = decided(risk) * 1e6, pressure.on(risk.host, risk.backend)
    values, named, ends = [], [], [nominal]
    for place, swing in enumerate(risk.swings):
        quantity = quantities[swing.quantity]
        low, high = sorted((swing.at_low * 1e6, swing.at_high * 1e6))
        said = f"{swing.quantity}: {swing.at_low * 1e6:.2g} to {swing.at_high * 1e6:.2g} per million"
        kind = _RISES if swing.at_high >= swing.at_low else _FALLS
        ends += (low, high)
        values.append({"row": place, "low": low, "high": high, "kind": kind, "said": said})
        changes = f"{swing.factor:.2g} times" if isfinite(swing.factor) else "from 0"
        named.append((f"{swing.quantity}, {quantity.low:g}..{quantity.high:g}", changes))
    axis = Axis.over(ends, frame.width)
    x = axis.channel(
        "low", "wrong executions per million retranslations\nthe line: all quantities at their values", ",~r", 60
    )
    scale = {"domain": [*_COLOURS], "range": [*_COLOURS.values()]}

    def layers(y: Chart, middle: Chart) -> Iterable[Chart]:
        colour = of_name("kind", scale=scale, legend={"columns": 2})
        bar = {"height": 12, **middle}
        yield layer("bar", bar, values, x=x, x2={"field": "high"}, y=y, fill=colour, description=SAID)
        yield layer("rule", {"color": "var(--text)"}, [{"low": nominal}], x=x)

    return {
        "title": f"{risk.strategy} in {risk.scenario} on {risk.host.name} with {risk.translator}, {risk.trace}",
        **row_chart(frame, named, layers),
    }
