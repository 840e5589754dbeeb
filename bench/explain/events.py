"""What happens in a run, as values.  ``bench/explain/wording.py`` has the words."""

from __future__ import annotations

from dataclasses import dataclass

from bench.machine import Kind
from bench.machine.model import Label


@dataclass(frozen=True, slots=True)
class ThreadStep:
    """Steps of a thread with one label.

    ``block`` (``TB``, or ``TB 2`` of several), and the ``places`` (``TB+32``) of the live units stored or loaded where
    there are several to tell apart.
    ``loads``: they only load.  Of an execution: ``again``, ``continued`` after something came between, and whether it
    ``faults``.  Of a protocol: the values ``observed``, and whether the thread waits for it for ever (``stuck``).
    """

    label: Label
    block: str = "TB"
    places: tuple[str, ...] = ()
    loads: bool = False
    again: bool = False
    continued: bool = False
    faults: bool = False
    observed: tuple[str, ...] = ()
    stuck: bool = False


@dataclass(frozen=True, slots=True)
class EnvironmentAction:
    """A step of the environment.

    ``core``: where, None if there is one only; ``units``: those that it concerns, if they are to be named;
    ``dirty``: of a line that is written back; ``cleans``: of maintenance that completes; ``thread``: the one that
    the core switches to, or that moves there; ``observed``: the values fetched ahead.
    """

    kind: Kind
    core: int | None = None
    units: tuple[str, ...] = ()
    dirty: bool = False
    cleans: bool = False
    thread: str = ""
    observed: tuple[str, ...] = ()


Happened = ThreadStep | EnvironmentAction
