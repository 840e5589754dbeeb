"""Who runs, faults and retranslates: the scenarios."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from bench.support.errors import InputError


class Role(enum.StrEnum):
    """What a thread does.

    A *retranslator* runs a block, faults in it, retranslates it and runs again,
    as often as the scenario asks; its last run completes.  An *executor* runs
    blocks, any number of times.
    """

    RETRANSLATOR = "retranslator"
    EXECUTOR = "executor"


@dataclass(frozen=True, slots=True)
class Scenario:
    """An instance: ``threads`` on ``cores``; ``moves`` if the kernel may move a thread to another core.

    More threads than cores share them by time slices.  ``tbs`` identical blocks
    to run; ``retranslations`` by each retranslator; ``flushes`` of the whole code
    buffer by each retranslator, at most.
    """

    name: str
    cores: int
    threads: tuple[Role, ...]
    moves: bool
    tbs: int
    retranslations: int
    flushes: int


SUMMARIES = {
    "system": "one thread: run the TB, fault, retranslate, run it again",
    "user": "T1 faults and retranslates while T2 runs the same TB; T1 runs it again",
    "user-both": "both threads fault and retranslate the same TB",
    "migrate": "one thread that the kernel may move to the other core at any time",
}
"""The scenarios by name, in the order of every table."""

ALONE = ("system", "migrate")
"""Those with one thread."""

LASTING_IN = "user-both"
"""The one in which unlocked retranslators can leave a wrong value behind."""

PARTIAL_IN = "system"
"""One that shows what a retranslation leaves unfinished; any does, since no second thread is needed."""


# Beyond these a program takes long to write down, and no search of it ends anyway.
MOST_CORES = 64
"""Cores, and threads, of a scenario; no host profile has more cores."""
MOST_TBS = 64
"""Translation blocks of a scenario."""
MOST_ROUNDS = 1000
"""Retranslations, and tb flushes, by each thread."""


def scenario_names() -> tuple[str, ...]:
    """The names of all scenarios."""
    return tuple(SUMMARIES)


def scenario(
    name: str, host_cores: int, *, cores: int = 2, tbs: int = 1, retranslations: int = 2, flushes: int = 0
) -> Scenario | None:
    """The scenario on a host with ``host_cores`` cores, or None where it cannot be (``migrate`` on one core).

    ``cores`` is what the scenario asks for: ``user`` and ``user-both`` have that
    many threads, and share the cores where the host has fewer; ``system`` has one.
    Raises ``InputError`` for an unknown name or a number out of range.
    """
    if name not in SUMMARIES:
        raise InputError(f"no scenario {name!r}", expected=f"one of {', '.join(SUMMARIES)}")
    for option, value, least, most in (
        ("`cores`", cores, 2, MOST_CORES),
        ("`tbs`", tbs, 1, MOST_TBS),
        ("`retranslations`", retranslations, 1, MOST_ROUNDS),
        ("`flushes`", flushes, 0, MOST_ROUNDS),
    ):
        if not least <= value <= most:
            expected = f"at least {least}" if value < least else f"at most {most}"
            raise InputError(f"{value}", place=option, expected=expected)
    present = min(cores, host_cores)
    if name == "migrate" and present < 2:
        return None
    casts = {
        "system": (1, (Role.RETRANSLATOR,)),
        "user": (present, (Role.RETRANSLATOR, *[Role.EXECUTOR] * (cores - 1))),
        "user-both": (present, (Role.RETRANSLATOR,) * cores),
        "migrate": (present, (Role.RETRANSLATOR,)),
    }
    used, threads = casts[name]
    return Scenario(name, used, threads, name == "migrate", tbs, retranslations, flushes)
