"""The verdict on a protocol; what a failure needs of the host; which operations a right protocol needs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.machine import Kind
from bench.machine.caches import Features
from bench.protocols.document import ProtocolCase
from bench.protocols.host import ProtocolHost, troubles, without
from bench.protocols.lowering import Lowering
from bench.protocols.omission import Omission, omitted_in_turn
from bench.protocols.operations import ProtocolOperation
from bench.protocols.protocol import Protocol, Thread
from bench.search.outcome import KeptOutcome, Outcome
from bench.search.question import Question
from bench.search.walk import holds, walk
from bench.support.kept import Shelf

MOST_STATES = 2_000_000

_MAINTENANCE = (
    "clean",
    "invalidate",
    "invalidate-all",
    "dsb",
    "fence",
    "isb",
    "fence.i",
    "ipi",
    "membarrier",
    "defer",
    "mmu-on",
    "tlbi",
)
"""Operations that can be left out by themselves."""

_TOGETHER = (("lock", "unlock"), ("irq-off", "irq-on"), ("stop-others", "stop-anywhere", "resume-others"))
"""Those that make sense only together."""


@dataclass(frozen=True)
class Verified:
    """The outcome of a search, with what it was a search of."""

    protocol: Protocol
    lowering: Lowering
    outcome: Outcome

    @property
    def verdict(self) -> str:
        """``holds``, ``fails`` or ``bounded``."""
        return self.outcome.verdict


_KEPT: Shelf[KeptOutcome] = Shelf("verdicts of protocols", KeptOutcome, __file__)
_RIGHT: Shelf[bool] = Shelf("protocols that hold or do not", bool, __file__)


def verify(protocol: Protocol, *, max_states: int = MOST_STATES) -> Verified:
    """Search every interleaving of a protocol's threads and its host, unless that was done before."""
    lowering, key = Lowering(protocol), (_without_lines(protocol), max_states)
    found = _KEPT.find(key)
    again = found.on(lowering.model) if found is not None else None
    if again is not None:
        return Verified(protocol, lowering, again)
    outcome = walk(lowering.model, _question(protocol), max_states=max_states)
    _KEPT.keep(key, KeptOutcome.of(outcome))
    return Verified(protocol, lowering, outcome)


def is_right(protocol: Protocol) -> bool:
    """Whether ``verify`` would find that a protocol holds, which takes less time where it does not."""
    return _RIGHT.kept(
        _without_lines(protocol), lambda: holds(Lowering(protocol).model, _question(protocol), max_states=MOST_STATES)
    )


def _question(protocol: Protocol) -> Question:
    return Question("wrong fetch", None, absent_steps(protocol.host))


def _without_lines(protocol: Protocol) -> Protocol:
    """The same, wherever in its file an operation stands: a comment more changes no verdict."""
    return replace(
        protocol,
        threads=tuple(
            replace(thread, operations=tuple(replace(one, line=0) for one in thread.operations))
            for thread in protocol.threads
        ),
    )


def absent_steps(host: ProtocolHost) -> frozenset[Kind]:
    """The steps of the environment that a host does not take."""
    takes = (
        (Kind.FILL, host.prefetches),
        (Kind.WRITE_BACK, host.evicts),
        (Kind.AHEAD, not isinstance(host.rules, Features) or host.rules.fetches_ahead),
    )
    return frozenset(kind for kind, may in takes if not may)


def needed_features(protocol: Protocol) -> tuple[tuple[str, ...], ...]:
    """What a protocol that fails on its host needs of it: of each group at least one.

    A feature by itself is a group of one: without it the protocol holds.  Where there is none, the pairs without both
    of which it holds.  Empty: it fails without any two.
    """
    names = troubles(protocol.host)

    def cures(left: tuple[str, ...]) -> bool:
        return is_right(replace(protocol, host=without(protocol.host, left)))

    alone = tuple((name,) for name in names if cures((name,)))
    return alone or tuple(pair for pair in itertools.combinations(names, 2) if cures(pair))


def necessities(case: ProtocolCase) -> tuple[Omission, ...]:
    """Each operation of a case that holds, if it only orders or maintains, left out in turn."""
    protocol = case.protocol
    without = (
        (_omission(thread, sorted(some)), protocol.omitting(number, some))
        for number, thread in enumerate(protocol.threads)
        for some in _removable(thread.operations)
    )
    return omitted_in_turn(without, (case.name,), lambda left, name: is_right(left))


def _omission(thread: Thread, some: Sequence[int]) -> Omission:
    left_out = [thread.operations[at] for at in some]
    return Omission(thread.name, tuple(one.text for one in left_out), tuple(one.line for one in left_out))


def _removable(operations: Sequence[ProtocolOperation]) -> list[frozenset[int]]:
    found = [frozenset({at}) for at, operation in enumerate(operations) if operation.verb in _MAINTENANCE]
    for verbs in _TOGETHER:
        paired = [(at, operation.names) for at, operation in enumerate(operations) if operation.verb in verbs]
        found += [frozenset(at for at, other in paired if other == names) for names in {names for _, names in paired}]
    return sorted(found, key=min)


def on(protocol: Protocol, host: ProtocolHost) -> Protocol | None:
    """The same protocol on another host, or None where that has fewer cores."""
    if host.cores < protocol.host.cores:
        return None
    return replace(protocol, host=replace(host, cores=protocol.host.cores))
