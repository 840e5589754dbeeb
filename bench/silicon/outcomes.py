"""What the model of a host, or an architecture, allows threads to observe, and what of it was seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from bench.hosts import Target
from bench.machine import Kind, State, Transition, environment_steps, finished, initial, program_steps
from bench.protocols.host import protocol_host
from bench.protocols.lowering import UNDEFINED, Lowering
from bench.protocols.protocol import Protocol
from bench.protocols.verification import MOST_STATES, absent_steps, on
from bench.search.outcome import is_alive
from bench.search.walk import Walk
from bench.silicon.running import Histogram
from bench.silicon.threads import STUCK_TEXT, Instances, Observed


@dataclass(frozen=True, slots=True)
class AllowedOutcomes:
    """The outcomes that a ``target`` allows, None where the search was cut short.

    ``anything``: it defines nothing for some change, so that every outcome is allowed.
    """

    target: str
    outcomes: frozenset[Observed] | None
    anything: bool

    def allows(self, outcome: Observed) -> bool | None:
        """Whether an outcome is allowed; None: it is not known."""
        if self.anything:
            return True
        return None if self.outcomes is None else outcome in self.outcomes


def allowed(instances: Instances, target: Target, *, max_states: int = MOST_STATES) -> AllowedOutcomes | None:
    """All that the threads of instances may observe on a target; None where that has too few cores."""
    moved = on(instances.placed, protocol_host(target))
    if moved is None:
        return None
    # Nothing is wrong where everything is allowed, and so no run ends early.
    lowering = Lowering(replace(moved, threads=tuple(replace(thread, allowed=None) for thread in moved.threads)))
    model, wanted = lowering.model, frozenset(Kind) - absent_steps(moved.host)

    def environment(state: State) -> Iterator[tuple[Transition, State]]:
        return ((step, step.state) for step in environment_steps(model, state, wanted))

    def program(state: State) -> Iterator[tuple[Transition, State]]:
        return ((step, step.state) for step in program_steps(model, state))

    way = Walk(initial(model), environment, program, max_states)
    ended: set[Observed] = set()
    alive: set[State] = set()
    for state, transition, _ in way.visits():
        if transition is None and (finished(model, state) or not is_alive(model, state, alive)):
            ended.add(
                tuple(
                    thread.observed(place) if thread.place(place).finished else (STUCK_TEXT,)
                    for thread, place in zip(lowering.programs, state.places, strict=True)
                )
            )
    anything = any(UNDEFINED in values for outcome in ended for values in outcome)
    seen = frozenset() if anything else frozenset(one for observed in ended for one in instances.executed(observed))
    return AllowedOutcomes(target.name, None if way.cut is not None else seen, anything)


@dataclass(frozen=True, slots=True)
class SeenOutcome:
    """An outcome with how often it was ``seen``, and what each target allows.

    ``right``: whether the protocol says that it may be; None where it says nothing of it (a crash is not right).
    """

    observed: Observed
    seen: int
    right: bool
    allowed: tuple[bool | None, ...]

    @property
    def conclusion(self) -> str:
        """*seen, forbidden* if any target forbids what was seen."""
        if self.seen:
            return "seen, forbidden" if False in self.allowed else "seen, allowed"
        return "not seen, allowed" if True in self.allowed else "not seen"


def outcomes(protocol: Protocol, histogram: Histogram, targets: tuple[AllowedOutcomes, ...]) -> list[SeenOutcome]:
    """Every outcome that was seen or is allowed, the most frequent first."""
    known = {*histogram.outcomes}.union(*(each.outcomes or () for each in targets if not each.anything))
    found = [
        SeenOutcome(one, histogram.outcomes[one], _is_right(protocol, one), tuple(each.allows(one) for each in targets))
        for one in known
    ]
    return sorted(found, key=lambda each: (-each.seen, each.observed))


def _is_right(protocol: Protocol, observed: Observed) -> bool:
    return all(
        thread.allowed is None or values in thread.allowed
        for thread, values in zip(protocol.threads, observed, strict=True)
    )
