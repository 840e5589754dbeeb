"""The verdict on a protocol; what a failure needs of the host; which operations a right protocol needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from bench.machine import Kind
from bench.protocols.lowering import Lowering
from bench.protocols.operations import Operation
from bench.protocols.protocol import Features, Protocol, left_out
from bench.search.outcome import Outcome
from bench.search.question import Question
from bench.search.walk import walk

MOST_STATES = 2_000_000

_MAINTENANCE = (
    "clean", "invalidate", "invalidate-all", "dsb", "fence", "isb", "fence.i", "ipi", "membarrier", "defer", "mmu-on",
)  # fmt: skip
"""Operations that can be left out by themselves."""

_TOGETHER = (("lock", "unlock"), ("irq-off", "irq-on"), ("stop-others", "resume-others"))
"""Those that make sense only together."""


@dataclass(frozen=True)
class Judged:
    """The outcome of a search, with what it was a search of."""

    protocol: Protocol
    lowering: Lowering
    outcome: Outcome

    @property
    def verdict(self) -> str:
        """``holds``, ``fails`` or ``bounded``."""
        return self.outcome.verdict


def judge(protocol: Protocol, *, max_states: int = MOST_STATES) -> Judged:
    """Search every interleaving of a protocol's threads and its host."""
    lowering = Lowering(protocol)
    features = protocol.features
    without = {
        kind for kind, may in ((Kind.FILL, features.prefetches), (Kind.AHEAD, features.fetches_ahead)) if not may
    }
    if not features.evicts:
        without.add(Kind.WRITE_BACK)
    question = Question("wrong fetch", None, frozenset(without))
    return Judged(protocol, lowering, walk(lowering.model, question, max_states=max_states))


def needed_features(protocol: Protocol) -> tuple[str, ...]:
    """The features of the host without which a protocol that fails on it does not."""
    return tuple(
        name for name, features in left_out(protocol.features).items()
        if judge(replace(protocol, features=features)).verdict == "holds"
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Necessity:
    """Operations of a thread that were left out together, and whether the protocol then fails."""

    thread: str
    operations: tuple[str, ...]
    necessary: bool


def necessities(protocol: Protocol) -> tuple[Necessity, ...]:
    """Each operation of a right protocol that only orders or maintains, left out in turn."""
    return tuple(
        Necessity(
            thread.name, tuple(thread.operations[at].text for at in sorted(some)),
            judge(protocol.without(number, some)).verdict != "holds",
        )
        for number, thread in enumerate(protocol.threads)
        for some in _removable(thread.operations)
    )  # fmt: skip


def _removable(operations: Iterable[Operation]) -> list[frozenset[int]]:
    operations = tuple(operations)
    found = [frozenset({at}) for at, operation in enumerate(operations) if operation.verb in _MAINTENANCE]
    for verbs in _TOGETHER:
        for names in dict.fromkeys(operation.names for operation in operations if operation.verb in verbs):
            found.append(frozenset(at for at, one in enumerate(operations) if one.verb in verbs and one.names == names))
    return sorted(found, key=min)


def on(protocol: Protocol, features: Features) -> Protocol | None:
    """The same protocol on another host, or None where that has fewer cores."""
    if features.cores < protocol.features.cores:
        return None
    return replace(protocol, features=replace(features, cores=protocol.features.cores))
