"""What was measured on this machine, beside what the nearest shipped profile has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.report.report import Column, Rows, flat_rows, record, text_only, text_table
from bench.report.tables import SCHEMA, fill
from bench.silicon.calibration import Calibration, FigureChange, remark, rounded
from bench.silicon.measurements import METHODS
from bench.silicon.timing import Sample


def _range(low: float, high: float) -> str:
    return f"{_number(low)}..{_number(high)}"


def _number(value: float) -> str:
    return f"{rounded(value):,.0f}" if value >= 1000 else f"{rounded(value):g}"


@dataclass(frozen=True, slots=True)
class _CalibratedRow:
    name: str
    sample: Sample
    clock_ghz: float

    @property
    def cycles(self) -> float:
        return self.sample.median * self.clock_ghz


_COLUMNS: tuple[Column[_CalibratedRow], ...] = (
    Column("measurement", lambda r: r.name, "measurement"),
    Column("ns", lambda r: rounded(r.sample.median), "ns", lambda r: _number(r.sample.median), right=True),
    Column("low", lambda r: rounded(r.sample.low)),
    Column("high", lambda r: rounded(r.sample.high)),
    text_only("range", lambda r: _range(r.sample.low, r.sample.high)),
    Column("cycles", lambda r: rounded(r.cycles), "cycles", lambda r: _number(r.cycles), right=True),
    Column("rounds", lambda r: len(r.sample.values)),
    Column("outliers", lambda r: r.sample.outliers),
    Column("settled", lambda r: r.sample.settled),
    text_only("", lambda r: remark("", r.sample).strip()),
    Column("method", lambda r: METHODS[r.name]),
)
_CHANGES: tuple[Column[FigureChange], ...] = (
    Column("figure", lambda c: c.key, "figure"),
    Column("here", lambda c: c.now.value, "here, ns", lambda c: _number(c.now.value), right=True),
    text_only("range", lambda c: _range(c.now.low, c.now.high)),
    Column("there", lambda c: rounded(c.then.value), "there, ns", lambda c: _number(c.then.value), right=True),
    text_only("range", lambda c: _range(c.then.low, c.then.high)),
    Column("tag", lambda c: c.then.tag, "tag"),
    Column("apart", lambda c: c.apart),
    text_only("", lambda c: "ranges apart" if c.apart else ""),
)


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """The answer of ``calibrate``; ``against``: the name of the profile that ``compared`` are the figures of."""

    calibration: Calibration
    against: str
    compared: list[FigureChange]

    def _rows(self) -> list[_CalibratedRow]:
        samples = self.calibration.results.samples
        return [_CalibratedRow(name, samples[name], self.calibration.clock_ghz) for name in METHODS if name in samples]

    def document(self) -> dict[str, Any]:
        """The machine, all measurements, and the comparison."""
        calibration = self.calibration
        return {
            "schema": SCHEMA,
            "machine": {
                "processor": calibration.machine.processor,
                "microcode": calibration.machine.microcode,
                "kernel": calibration.machine.kernel,
                "cores": calibration.machine.cores,
                "clock_ghz": rounded(calibration.clock_ghz),
            },
            "date": calibration.date.isoformat(),
            "rounds": calibration.effort.rounds,
            "noise": calibration.noise,
            "measurements": [record(_COLUMNS, row) for row in self._rows()],
            "missing": calibration.results.missing,
            "against": self.against,
            "figures": [record(_CHANGES, change) for change in self.compared],
        }

    def rows(self) -> Rows:
        """One row for each measurement."""
        return flat_rows(_COLUMNS, self._rows())

    def text(self, style: str) -> str:
        """The machine, the measurements, and the figures beside those of a profile."""
        calibration = self.calibration
        apart = [change.key for change in self.compared if change.apart]
        parts = [
            fill(
                f"{calibration.machine.described}; {calibration.machine.cores} cores at "
                f"{rounded(calibration.clock_ghz):g} GHz; {calibration.date.isoformat()}, {calibration.effort.rounds} "
                "rounds each, more of what did not settle."
            ),
            text_table(_COLUMNS, self._rows(), style),
        ]
        if calibration.noise:
            parts.append(fill(f"This machine is noisy: {calibration.noise}. Measure again when it is idle."))
        parts += [fill(f"Not measured: {name} ({why}).") for name, why in calibration.results.missing.items()]
        if self.compared:
            parts.append(f"Against {self.against}:")
            parts.append(text_table(_CHANGES, self.compared, style))
            parts.append(
                fill(f"{len(apart)} of {len(self.compared)} figures have ranges apart: {', '.join(apart)}.")
                if apart
                else fill(f"The ranges of all {len(self.compared)} figures meet.")
            )
        return "\n\n".join(parts)
