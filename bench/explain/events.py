"""What happens in a run.  ``bench/explain/wording.py`` has the words."""

from __future__ import annotations

from dataclasses import dataclass

from bench.machine.model import Label


@dataclass(frozen=True, slots=True)
class ThreadStep:
    """Steps of a thread with one label.

    ``block`` (``TB``, or ``TB 2`` of several), and the ``places`` (``TB+32``) of the live units stored or loaded where
    there are several to tell apart.
    ``loads``: they only load.  Of an execution: ``again``, ``continued`` after something came between, and whether it
    ``faults``.
    """

    label: Label
    block: str = "TB"
    places: tuple[str, ...] = ()
    loads: bool = False
    again: bool = False
    continued: bool = False
    faults: bool = False


Happened = ThreadStep | str
"""Steps of a thread, or what the environment did, in words."""
