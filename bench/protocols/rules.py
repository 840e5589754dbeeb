"""What only protocols do: the rules that their actions bring to the machine.

An *interrupt* of other cores waits until they take it: a core that has interrupts off does not, and if it waits for
the sender neither gets on.  Taking it synchronises the core's context.  Who has *stopped* all others lets nobody pass a
poll; what they go on with is fetched anew, since they return from an exception.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.machine import State, Taken, arrived, fetched, take
from bench.program import Model
from bench.steps import Fetch, Get, Rule

Verdict = Callable[[int], bool]
"""Whether what a thread has observed is wrong, given the number that stands for the values of this operation."""

RADIX = 1 << 16
"""Values of a protocol are numbers below it; those of two units fetched together are the digits of one."""


def digits(result: int, count: int) -> tuple[int, ...]:
    """The values of so many units that ``result`` stands for."""
    return tuple(result // RADIX**number % RADIX for number in range(count))


@dataclass(frozen=True)
class Execute(Rule):
    """Fetch a unit, or two together; the result is what was fetched."""

    fetch: Fetch
    wrong: Verdict

    def take(self, model: Model, state: State, core: int, thread: int) -> Taken | None:
        found = fetched(model, state, core, self.fetch)
        if found is None:
            return None
        after, values = found
        result = sum(value * RADIX**number for number, value in enumerate(values))
        return after, result, (self.fetch.tb, self.fetch.expected) if self.wrong(result) else None


@dataclass(frozen=True)
class Look(Rule):
    """Load a unit; the result is its value.  ``at``: thread and operation, which names it if it is wrong."""

    get: Get
    at: tuple[int, int]
    wrong: Verdict

    def take(self, model: Model, state: State, core: int, thread: int) -> Taken | None:
        found = take(model, state, core, thread, self.get)
        assert found is not None  # a load never waits
        after, result, _ = found
        return after, result, self.at if self.wrong(result) else None


@dataclass(frozen=True)
class SetFlag(Rule):
    """Publish a flag: nobody sees it before the stores that come before it."""

    flag: int
    value: int

    def take(self, model: Model, state: State, core: int, thread: int) -> Taken | None:
        if state.buffers[core]:
            return None
        flags = (*state.flags[: self.flag], self.value, *state.flags[self.flag + 1 :])
        return state._replace(flags=flags), 0, None


@dataclass(frozen=True)
class WaitFlag(Rule):
    """Wait until a flag has that value."""

    flag: int
    value: int

    def take(self, model: Model, state: State, core: int, thread: int) -> Taken | None:
        return (state, 0, None) if state.flags[self.flag] == self.value else None


@dataclass(frozen=True)
class Fence(Rule):
    """Wait for the stores of this core."""

    def take(self, model: Model, state: State, core: int, thread: int) -> Taken | None:
        return None if state.buffers[core] else (state, 0, None)


@dataclass(frozen=True)
class FenceI(Rule):
    """RISC-V: fetches after it see what this core's stores before it made; nobody else's do."""

    def take(self, model: Model, state: State, core: int, thread: int) -> Taken | None:
        return None if state.buffers[core] else (_fetches_anew(state, core, lines=True), 0, None)


@dataclass(frozen=True)
class Interrupt(Rule):
    """Every other core, or with ``own`` every core, synchronises; with ``lines`` it drops its instruction cache too."""

    lines: bool
    own: bool

    def take(self, model: Model, state: State, core: int, thread: int) -> Taken | None:
        if state.masked & ~(1 << core):
            return None
        for other in range(len(state.running)):
            if self.own or other != core:
                state = _fetches_anew(state, other, lines=self.lines)
        return state, 0, None


@dataclass(frozen=True)
class Defer(Rule):
    """Every other core drops its instruction cache when a thread next moves to it."""

    def take(self, model: Model, state: State, core: int, thread: int) -> Taken | None:
        others = (1 << len(state.running)) - 1 & ~(1 << core)
        return state._replace(deferred=state.deferred | others), 0, None


@dataclass(frozen=True)
class Migrate(Rule):
    """The kernel moves the thread to a core that runs nothing, or nothing any more."""

    core: int

    def take(self, model: Model, state: State, core: int, thread: int) -> Taken | None:
        there = state.running[self.core]
        if there == thread:
            return state, 0, None
        if there >= 0 and not model.programs[there].place(state.places[there]).finished:
            return None
        after = arrived(model, state, core, thread, self.core)
        return None if after is None else (after, 0, None)


@dataclass(frozen=True)
class Mask(Rule):
    """Interrupts off, or on again, on this core."""

    off: bool

    def take(self, model: Model, state: State, core: int, thread: int) -> Taken | None:
        bit = 1 << core
        return state._replace(masked=state.masked | bit if self.off else state.masked & ~bit), 0, None


@dataclass(frozen=True)
class Poll(Rule):
    """Where a thread may be stopped."""

    def take(self, model: Model, state: State, core: int, thread: int) -> Taken | None:
        return (state, 0, None) if state.stopper in (-1, thread) else None


@dataclass(frozen=True)
class StopOthers(Rule):
    """All other threads are at a poll, or done, and stay there."""

    def take(self, model: Model, state: State, core: int, thread: int) -> Taken | None:
        if state.stopper >= 0:
            return None
        for other, program in enumerate(model.programs):
            place = program.place(state.places[other])
            if other != thread and place.steps and not isinstance(place.steps[0].action, Poll):
                return None
        return state._replace(stopper=thread), 0, None


@dataclass(frozen=True)
class ResumeOthers(Rule):
    """They go on."""

    def take(self, model: Model, state: State, core: int, thread: int) -> Taken | None:
        if state.stopper != thread:
            return None
        for other in range(len(state.running)):
            if other != core:
                state = _fetches_anew(state, other, lines=False)
        return state._replace(stopper=-1), 0, None


@dataclass(frozen=True)
class MmuOn(Rule):
    """Fetches of this core go through the point of unification; lines that it has already stay."""

    def take(self, model: Model, state: State, core: int, thread: int) -> Taken | None:
        return state._replace(physical=state.physical & ~(1 << core)), 0, None


def _fetches_anew(state: State, core: int, *, lines: bool) -> State:
    """A core forgets what it has fetched ahead, and with ``lines`` its instruction cache."""
    state = state._replace(ahead=(*state.ahead[:core], None, *state.ahead[core + 1 :]))
    if lines:
        empty = (None,) * len(state.icache[core])
        state = state._replace(icache=(*state.icache[:core], empty, *state.icache[core + 1 :]))
    return state
