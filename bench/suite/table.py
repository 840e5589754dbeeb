"""What the benchmarks have measured: a table of goals, and one of ratios."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tabulate import tabulate

OURS = "Staleline"


@dataclass(frozen=True, slots=True)
class Goal:
    """What is aimed at: so many times as ``fast`` as the peer; at most so many ``seconds``, or so many ``more``;
    at most so many bytes at the ``peak``."""

    fast: float | None = None
    seconds: float | None = None
    more: float | None = None
    peak: int | None = None

    def __str__(self) -> str:
        if self.fast is not None:
            return f"at least {self.fast:g}x" if self.fast >= 1 else f"at most {1 / self.fast:g}x its time"
        if self.seconds is not None:
            return f"under {self.seconds:g} s"
        if self.peak is not None:
            return f"under {self.peak >> 20} MiB"
        return f"at most {_time(self.more)} more" if self.more is not None else ""


@dataclass(frozen=True, slots=True)
class GoalRow:
    """A row of the table of goals: ``what`` is measured, and what is aimed at, ``against`` a tool of the same group."""

    what: str
    goal: Goal
    against: str = ""


@dataclass(frozen=True, slots=True)
class MeasuredTime:
    """The median time that ``tool`` took for the work that its ``group`` is about.

    ``seconds``; ``work``, so many of ``unit`` (0 where only the time counts: then all of a group did the same).
    ``goal``: at a peer, for ours against it; at ours, for itself.  ``peak``: bytes of memory, where that was looked at;
    ``rows``: those of the table of goals that it is for.
    """

    group: str
    tool: str
    seconds: float
    work: int = 0
    unit: str = ""
    goal: Goal | None = None
    peak: int = 0
    rows: tuple[GoalRow, ...] = ()

    @property
    def rate(self) -> str:
        """Work per second."""
        return f"{_short(self.work / self.seconds)} {self.unit}/s" if self.work else ""

    @property
    def each(self) -> float:
        """Seconds for one of the unit, or for all of the work."""
        return self.seconds / (self.work or 1)


def goal_table(measured: Sequence[MeasuredTime]) -> str:
    """A row for each goal: what was measured, what it was held against, and whether the goal is reached.

    A row whose peer was not measured, or whose memory was not looked at, is left out.
    """
    lines = []
    for one in measured:
        known = {other.tool: other for other in measured if other.group == one.group}
        for row in one.rows:
            other, goal = known.get(row.against), row.goal
            found, reached = _time(one.seconds), False
            if goal.seconds is not None:
                reached = one.seconds < goal.seconds
            elif goal.peak is not None and one.peak:
                found, reached = f"{one.peak >> 20} MiB", one.peak < goal.peak
            elif goal.fast is not None and other is not None:
                fast = other.each / one.each
                found, reached = f"{found}: {_ratio(fast)}", fast >= goal.fast
            elif goal.more is not None and other is not None:
                more = one.seconds - other.seconds
                found, reached = f"{found}: {_time(more)} more", more <= goal.more
            else:
                continue
            against = f"{row.against}, {_time(other.seconds)}" if other is not None else ""
            lines.append((row.what, found, against, goal, "yes" if reached else "no"))
    headers = ("what", OURS, "against", "goal", "reached")
    return tabulate(lines, headers, disable_numparse=True, maxcolwidths=[44, 36, 36, None, None])


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
        words = _ratio(fast)
    if goal is not None and goal.fast is not None:
        reached = fast >= goal.fast
    elif goal is not None and goal.seconds is not None:
        reached = one.seconds < goal.seconds
    elif goal is not None and goal.more is not None:
        words = f"{_time(ours.seconds - one.seconds)} more"
        reached = ours.seconds - one.seconds <= goal.more
    return words, "" if reached is None else "yes" if reached else "no"


def _ratio(fast: float) -> str:
    return f"{fast:.3g}x as fast" if fast >= 1 else f"takes {1 / fast:.3g}x its time"


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
