"""The processors that the work may be shared out to."""

from __future__ import annotations

import os


def processors() -> int:
    """How many this process may run on, which may be fewer than there are (``taskset``, a container)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
