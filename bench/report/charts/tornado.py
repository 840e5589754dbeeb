"""The picture of what decides a figure: the effect of each quantity by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from bench.replay.sensitivity import Swing
from bench.report.charts.drawing import Chart
from bench.report.charts.marks import SAID, ChartAxis, Frame, layer, of_name, row_chart

_RISES, _FALLS = "more with a larger quantity", "less with a larger quantity"
_COLOURS = {_RISES: "var(--a)", _FALLS: "var(--b)"}


def tornado(
    title: str,
    what: str,
    swings: Sequence[Swing],
    nominal: float,
    frame: Frame,
    changes: Callable[[Swing], str],
    *,
    form: str = ",~r",
    per: float = 1.0,
) -> Chart:
    """A bar for each quantity from its low to its high end, those that decide on top, and what each ``changes``.

    ``what`` is along the axis, with ticks in such a ``form``; figures are times ``per``.
    """
    values, named, ends = [], [], [nominal * per]
    for place, swing in enumerate(swings):
        low, high = sorted((swing.at_low * per, swing.at_high * per))
        said = f"{swing.quantity}: {swing.at_low * per:.2g} to {swing.at_high * per:.2g} {what}"
        kind = _RISES if swing.at_high >= swing.at_low else _FALLS
        ends += (low, high)
        values.append({"row": place, "low": low, "high": high, "kind": kind, "said": said})
        named.append((f"{swing.quantity}, {swing.low:.4g}..{swing.high:.4g}", changes(swing)))
    axis = ChartAxis.over(ends, frame.width)
    x = axis.channel("low", f"{what}\nthe line: all quantities at their values", form, 60)
    scale = {"domain": [*_COLOURS], "range": [*_COLOURS.values()]}

    def layers(y: Chart, middle: Chart) -> Iterable[Chart]:
        colour = of_name("kind", scale=scale, legend={"columns": 2})
        bar = {"height": 12, **middle}
        yield layer("bar", bar, values, x=x, x2={"field": "high"}, y=y, fill=colour, description=SAID)
        yield layer("rule", {"color": "var(--text)"}, [{"low": nominal * per}], x=x)

    return {"title": title, **row_chart(frame, named, layers)}
