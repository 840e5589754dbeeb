"""What charts are made of: frames, axes, and marks for values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.report.charts.drawing import Chart

CHARACTER = 7.5
"""The width of a character in pixels, of a wide font."""

_LINE = 16  # the height of a line of text, in pixels
_DECADES = 6  # below its largest value, what a logarithmic axis tells apart from 0


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a chart goes.  ``width`` of its axis in pixels; rows are named ``beside`` it, or else above each row."""

    width: int
    beside: bool


WIDE = Frame(460, beside=True)
NARROW = Frame(312, beside=False)


@dataclass(frozen=True, slots=True)
class ChartAxis:
    """An axis from ``low`` to ``high`` over a ``width`` in pixels.

    Logarithmic on both sides of 0 from ``unit`` on, and linear up to there; linear as a whole where that is 0.
    """

    low: float
    high: float
    width: int
    unit: float = 0.0

    @classmethod
    def over(cls, values: Iterable[float], width: int) -> ChartAxis:
        """One that shows all values and 0, logarithmic if they span more than a power of ten."""
        known = [*values, 0.0]
        sizes = sorted(abs(value) for value in known if value) or [1.0]
        smallest = max(sizes[0], sizes[-1] / 10**_DECADES)
        unit = 10.0 ** math.floor(math.log10(smallest)) if sizes[-1] > 10 * smallest else 0.0
        whole = cls(min(known), max(known) or (0.0 if min(known) else 1.0), width, unit)
        low, high = whole._along(whole.low), whole._along(whole.high)
        room = (high - low) / 25
        return cls(whole._back(low - room if low else low), whole._back(high + room), width, unit)

    def _along(self, value: float) -> float:
        return math.copysign(math.log1p(abs(value) / self.unit), value) if self.unit else value

    def _back(self, along: float) -> float:
        return math.copysign(math.expm1(abs(along)) * self.unit, along) if self.unit else along

    def pixel(self, value: float) -> float:
        """Where a value is."""
        low, high = self._along(self.low), self._along(self.high)
        return self.width * (self._along(value) - low) / (high - low)

    def ticks(self, room: int) -> list[float]:
        """0, and powers of ten from there outwards, always as many decades apart, and at least ``room`` pixels."""
        found = [0.0]
        step = 10 ** math.ceil(room / (self.pixel(100 * self.unit) - self.pixel(10 * self.unit)))
        for sign, end in ((1, self.high), (-1, self.low)):
            power, zero = self.unit, self.pixel(0.0)
            while self._narrowest(power, step, zero) < room:
                power *= 10
            while power <= abs(end) and sign * end > 0:
                found.append(sign * power)
                power *= step
        return sorted(found)

    def _narrowest(self, power: float, step: float, zero: float) -> float:
        """The pixels from 0 to a first tick at ``power``, or from there to the next if that is less."""
        return min(self.pixel(power) - zero, self.pixel(power * step) - self.pixel(power))

    def channel(self, field: str, title: str, form: str, room: int = 42) -> dict[str, Any]:
        """The horizontal place of a field, its numbers in such a ``form``."""
        kind = {"type": "symlog", "constant": self.unit} if self.unit else {"type": "linear"}
        marked = {"values": self.ticks(room)} if self.unit else {"tickCount": 5}
        sides = ", to both sides of 0" if self.low < 0 < self.high else ""
        scaled = [f"logarithmic from {self.unit:,.12g} on{sides}"] if self.unit else []
        axis = {**marked, "labelExpr": f"format(datum.value, '{form}')", "labelFlush": False, "labelOverlap": False}
        scale = {**kind, "domain": [self.low, self.high], "nice": False, "zero": False}
        return of_number(field, title=[*title.split("\n"), *scaled], axis=axis, scale=scale)


def layer(mark: str, style: Chart, values: Iterable[Chart] | None = None, **channels: Any) -> Chart:
    """Marks for the chart's values or for its own; what has no description is hidden from screen readers."""
    own = {} if values is None else {"data": {"values": list(values)}}
    return {**own, "mark": {"type": mark, "aria": "description" in channels, **style}, "encoding": channels}


def of_number(field: str, **more: Any) -> dict[str, Any]:
    """A channel of numbers."""
    return {"field": field, "type": "quantitative", **more}


def of_name(field: str, **more: Any) -> dict[str, Any]:
    """A channel of names, in the order in which they come."""
    return {"field": field, "type": "nominal", "sort": None, "title": None, **more}


SAID = of_name("said")
"""What a mark says to a screen reader, and under the pointer."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A kind of marks: its colour, and its shape, which tells it from others without the colour."""

    colour: str
    shape: str


CROSS = "M-1,-0.6L-0.6,-1L0,-0.4L0.6,-1L1,-0.6L0.4,0L1,0.6L0.6,1L0,0.4L-0.6,1L-1,0.6L-0.4,0Z"


def kinds(of: Mapping[str, Mark]) -> dict[str, Any]:
    """The channels that tell kinds of marks apart, with their key above the chart."""
    key = {"columns": 3, "symbolOpacity": 1}
    return {
        "color": of_name("kind", legend=key, scale={"domain": [*of], "range": [kind.colour for kind in of.values()]}),
        "shape": of_name("kind", legend=key, scale={"domain": [*of], "range": [kind.shape for kind in of.values()]}),
    }


def row_chart(
    frame: Frame, named: Sequence[tuple[str, str]], layers: Callable[[Chart, Chart], Iterable[Chart]]
) -> Chart:
    """A chart of rows, each with its name and a note; not yet with a title.

    ``layers`` makes the marks, from the vertical channel of the field ``row`` (a row's number) and the style that puts
    a mark into the row's middle.
    """
    name: Chart
    note: Chart
    lines = 0 if frame.beside else 1 + any(note for _, note in named)
    below, step = lines * _LINE, 26 + lines * _LINE
    place = {"field": "row", "type": "ordinal", "axis": None, "scale": {"domain": [*range(len(named))], "padding": 0}}
    said = [{"row": row, "name": text, "note": note} for row, (text, note) in enumerate(named)]
    if frame.beside:
        name, note = {"x": -8, "align": "right"}, {"x": frame.width + 10, "align": "left"}
    else:
        top = -step / 2 + _LINE / 2 + 3
        name = {"x": 0, "align": "left", "yOffset": top, "fontWeight": "bold"}
        note = {"x": 0, "align": "left", "yOffset": top + _LINE}
    texts = [
        layer("text", {"baseline": "middle", **style}, said, y=place, text=of_name(field))
        for field, style in (("name", name), ("note", note))
    ]
    return {"width": frame.width, "height": {"step": step}, "layer": [*layers(place, {"yOffset": below / 2}), *texts]}
