"""What is told while something takes long."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, float], None]
"""Told what is being done, and how much of it is: a share (0 to 1), or a count where the teller says so."""


def silent(text: str, done: float) -> None:
    """Tells nobody."""
