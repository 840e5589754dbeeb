"""Lists in running text."""

from __future__ import annotations

from collections.abc import Iterable


def listed(names: Iterable[str]) -> str:
    """``T1``, ``T1 and T2``, ``T1, T2 and T3``; empty for none."""
    *rest, last = [*names] or [""]
    return f"{', '.join(rest)} and {last}" if rest else last
