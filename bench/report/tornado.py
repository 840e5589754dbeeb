"""The sensitivity of ``staleline risk`` as a plot: a bar for each quantity, those that decide on top."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report.plots import drawn
from bench.report.risks import decided
from bench.risk.pressure import Pressure
from bench.risk.risk import Risk
from bench.support.errors import InputError


def tornado(risks: Sequence[Risk], pressure: Pressure, suffix: str) -> bytes:
    """One plot for each cell that has swings; the figure on a logarithmic axis.

    A bar that begins at the left edge begins at 0.  Raises ``InputError`` where nothing has any.
    """
    from matplotlib.figure import Figure

    shown = [risk for risk in risks if risk.swings]
    if not shown:
        raise InputError("no cell in which something can go wrong", place="--plot", expected="one, with --sensitivity")
    figure = Figure(figsize=(9, 1.2 + sum(1 + 0.32 * len(risk.swings) for risk in shown)), layout="constrained")
    grid = figure.subplots(len(shown), 1, squeeze=False, height_ratios=[3 + len(risk.swings) for risk in shown])
    for axes, risk in zip(grid[:, 0], shown, strict=True):
        nominal = decided(risk)
        swings = risk.swings[::-1]
        known = [end for swing in swings for end in (swing.at_low, swing.at_high) if end] or [1.0]
        edge = min(*known, nominal or 1.0) / 3
        for row, swing in enumerate(swings):
            low, high = sorted((max(swing.at_low, edge), max(swing.at_high, edge)))
            rises = swing.at_high >= swing.at_low
            axes.barh(
                row,
                high - low,
                left=low,
                color="#4477aa" if rises else "#ee6677",
                hatch="" if rises else "//",
                edgecolor="white",
            )
        if nominal:
            axes.axvline(nominal, color="black", linewidth=1)
        axes.set_xscale("log")
        axes.set_xlim(edge, max(*known, nominal) * 3)
        names = [f"{swing.quantity} ({_ends(pressure, swing.quantity)})" for swing in swings]
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.set_xlabel("wrong executions per retranslation; the line: all quantities at their values", fontsize=8)
        axes.set_title(
            f"{risk.strategy} in {risk.scenario} on {risk.host.name} with {risk.translator}, {risk.trace}", fontsize=10
        )
    figure.text(0.01, 0.005, "plain: rises with the quantity; hatched: falls", fontsize=7)
    return drawn(figure, suffix)


def _ends(pressure: Pressure, name: str) -> str:
    quantity = pressure.quantities[name]
    return f"{quantity.low:g}..{quantity.high:g}"
