"""What the benchmarks have measured, as one table of ratios."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tabulate import tabulate

OURS = "Staleline"


@dataclass(frozen=True, slots=True)
class Goal:
    """What is aimed at: so many times as ``fast`` as the peer; at most so many ``seconds``, or so many ``more``."""

    fast: float | None = None
    seconds: float | None = None
    more: float | None = None

    def __str__(self) -> str:
        if self.fast is not None:
            return f"at least {self.fast:g}x" if self.fast >= 1 else f"at most {1 / self.fast:g}x its time"
        if self.seconds is not None:
            return f"under {self.seconds:g} s"
        return f"at most {1000 * self.more:g} ms more" if self.more is not None else ""


@dataclass(frozen=True, slots=True)
class MeasuredTime:
    """The median time that ``tool`` took for the work that its ``group`` is about.

    ``seconds``; ``work``, so many of ``unit`` (0 where only the time counts: then all of a group did the same).
    ``goal``: at a peer, for ours against it; at ours, for itself.
    """

    group: str
    tool: str
    seconds: float
    work: int = 0
    unit: str = ""
    goal: Goal | None = None

    @property
    def rate(self) -> str:
        """Work per second."""
        return f"{_short(self.work / self.seconds)} {self.unit}/s" if self.work else ""

    @property
    def each(self) -> float:
        """Seconds for one of the unit, or for all of the work."""
        return self.seconds / (self.work or 1)


def ratio_table(measured: Sequence[MeasuredTime]) -> str:
    """A row for each: its time and rate, and how ours of that group compares with it; groups in their first order."""
    rows = []
    for group in dict.fromkeys(one.group for one in measured):
        members = [one for one in measured if one.group == group]
        ours = next((one for one in members if one.tool.startswith(OURS)), None)
        for number, one in enumerate(members):
            compared, reached = _compared(ours, one)
            rows.append(
                (group if not number else "", one.tool, _time(one.seconds), one.rate, compared, one.goal or "", reached)
            )
    headers = ("what", "tool", "median", "rate", f"{OURS} against it", "goal", "reached")
    return tabulate(rows, headers, disable_numparse=True, maxcolwidths=[34, 36, None, None, None, None, None])


def _compared(ours: MeasuredTime | None, one: MeasuredTime) -> tuple[str, str]:
    """How ours compares with one, in words, and whether its goal is reached."""
    goal, words, reached = one.goal, "", None
    if ours is None:
        return "", ""
    fast = one.each / ours.each
    if one is not ours:
        words = f"{fast:.3g}x as fast" if fast >= 1 else f"takes {1 / fast:.3g}x its time"
    if goal is not None and goal.fast is not None:
        reached = fast >= goal.fast
    elif goal is not None and goal.seconds is not None:
        reached = one.seconds < goal.seconds
    elif goal is not None and goal.more is not None:
        words = f"{1000 * (ours.seconds - one.seconds):.0f} ms more"
        reached = ours.seconds - one.seconds <= goal.more
    return words, "" if reached is None else "yes" if reached else "no"


def _time(seconds: float) -> str:
    if seconds < 0.1:
        return f"{1000 * seconds:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 100 else f"{seconds:.0f} s"


def _short(value: float) -> str:
    """Three digits, with k or M."""
    for least, letter in ((1e6, "M"), (1e3, "k")):
        if value >= least:
            return f"{value / least:.3g} {letter}"
    return f"{value:.3g}"
