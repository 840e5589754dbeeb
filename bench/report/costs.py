"""Costs as text: as many digits as their figures carry."""

from __future__ import annotations

from math import floor, log10

from bench.replay.cost import Cost

_DIGITS = {"measured": 3, "documented": 2, "estimate": 1, "assumed": 1}
_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def number(value: float, digits: int = 2) -> str:
    """``value`` with that many significant digits and a unit prefix: ``3.4 M``."""
    if not value:
        return "0"
    places = digits - 1 - floor(log10(abs(value)))
    rounded = round(value, places)
    for factor, prefix in _UNITS:
        if abs(rounded) >= factor:
            shown = rounded / factor
            return f"{shown:.{max(0, digits - 1 - floor(log10(abs(shown))))}f}{prefix}"
    return f"{rounded:.{max(0, places)}f}"


def cycles(cost: Cost, per: float = 1.0) -> str:
    """A cost, or its share ``per`` something, with its range: ``3k (0.9k..9k)``; one number where the range is none."""
    low, nominal, high = cost.low / per, cost.nominal / per, cost.high / per
    digits = _DIGITS[cost.tag]
    middle = number(nominal, digits)
    if low == high:
        return middle
    return f"{middle} ({number(low, digits)}..{number(high, digits)})"


def share(cost: Cost, whole: Cost) -> str:
    """A cost as a percentage of ``whole``, both at their nominal value."""
    if not whole.nominal:
        return ""
    percent = 100 * cost.nominal / whole.nominal
    return "0 %" if not percent else "< 0.01 %" if abs(percent) < 0.01 else f"{number(percent, 1)} %"


def memory(size: int) -> str:
    """Bytes: ``1.2 MiB``."""
    for factor, unit in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} B" if size else "0"
