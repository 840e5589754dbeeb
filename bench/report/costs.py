"""Costs as text: as many digits as their figures carry."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, floor, log10

from bench.replay.cost import Cost
from bench.support.errors import InputError

PARTS = ("flush", "refill", "lock", "stop", "lookup", "translate", "store_into_code")
"""What an overhead is the sum of."""

_DIGITS = {"measured": 3, "documented": 2, "estimate": 1, "assumed": 1}
_NOTHING = 1e-9  # of a cycle
_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def number(value: float, digits: int = 2, rounded: Callable[[float], int] = round) -> str:
    """``value`` with that many significant digits and a unit prefix: ``3.4M``; ``rounded`` rounds to an integer."""
    if abs(value) < _NOTHING:
        return "0"
    scale = 10.0 ** (digits - 1 - floor(log10(abs(value))))
    value = float(f"{rounded(round(value * scale, 6)) / scale:.{digits}g}")
    for factor, prefix in _UNITS:
        if abs(value) >= factor:
            return _plain(value / factor, digits) + prefix
    return _plain(value, digits)


def _plain(value: float, digits: int) -> str:
    return f"{value:.{max(0, digits - 1 - floor(log10(abs(value))))}f}" if value else "0"


def cycles(cost: Cost, per: float = 1.0) -> str:
    """A cost, or its share ``per`` something, with its range: ``3k (0.9k..9k)``; one number where there is no range.

    The ends of the range are rounded away from the middle, so that it holds what it held.
    """
    low, nominal, high = cost.low / per, cost.nominal / per, cost.high / per
    digits = _DIGITS[cost.tag]
    middle = number(nominal, digits)
    if low == high:
        return middle
    return f"{middle} ({number(low, digits, floor)}..{number(high, digits, ceil)})"


def percents(whole: Cost) -> float:
    """The percents of ``whole`` in a cycle.  Raises ``InputError`` where it is nothing."""
    if not whole.nominal:
        raise InputError("a baseline of 0 cycles", expected="a trace in which something runs, and prices above 0")
    return 100 / whole.nominal


def middle(cost: Cost) -> str:
    """The nominal value of a cost."""
    return number(cost.nominal, _DIGITS[cost.tag])


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
