"""What only protocols do: the rules that their actions bring to the machine.

An *interrupt* of other cores waits until they take it: a core that has interrupts off does not, and if it waits for
the sender neither gets on.  Taking it synchronises the core's context.  Who has *stopped* all others lets nobody pass a
poll; what they go on with is fetched anew, since they return from an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from bench.program.compiler import Model
from bench.search.machines import Taken, machine_of
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

    def taken(self, model: Model, state: Any, core: int, thread: int) -> Iterator[Taken]:
        for after, values in machine_of(model).fetches(model, state, core, self.fetch):
            result = sum(value * RADIX**number for number, value in enumerate(values))
            yield after, result, (self.fetch.tb, self.fetch.expected) if self.wrong(result) else None


@dataclass(frozen=True)
class Look(Rule):
    """Load a unit; the result is its value.  ``at``: thread and operation, which names it if it is wrong."""

    get: Get
    at: tuple[int, int]
    wrong: Verdict

    def taken(self, model: Model, state: Any, core: int, thread: int) -> Iterator[Taken]:
        after, result = machine_of(model).loads(model, state, core, self.get)
        yield after, result, self.at if self.wrong(result) else None


@dataclass(frozen=True)
class SetFlag(Rule):
    """Publish a flag: nobody sees it before the stores that come before it."""

    flag: int
    value: int

    def taken(self, model: Model, state: Any, core: int, thread: int) -> Iterator[Taken]:
        if not machine_of(model).stores_wait(state, core):
            flags = (*state.flags[: self.flag], self.value, *state.flags[self.flag + 1 :])
            yield state._replace(flags=flags), 0, None


@dataclass(frozen=True)
class WaitFlag(Rule):
    """Wait until a flag has that value."""

    flag: int
    value: int

    def taken(self, model: Model, state: Any, core: int, thread: int) -> Iterator[Taken]:
        if state.flags[self.flag] == self.value:
            yield state, 0, None


@dataclass(frozen=True)
class Fence(Rule):
    """Wait for the stores of this core."""

    def taken(self, model: Model, state: Any, core: int, thread: int) -> Iterator[Taken]:
        if not machine_of(model).stores_wait(state, core):
            yield state, 0, None


@dataclass(frozen=True)
class FenceI(Rule):
    """RISC-V: fetches after it see what this core's stores before it made; nobody else's do."""

    def taken(self, model: Model, state: Any, core: int, thread: int) -> Iterator[Taken]:
        machine = machine_of(model)
        if not machine.stores_wait(state, core):
            yield machine.fetches_anew(model, state, core, lines=True), 0, None


@dataclass(frozen=True)
class Interrupt(Rule):
    """Every other core, or with ``own`` every core, synchronises; with ``lines`` it drops its instruction cache too."""

    lines: bool
    own: bool

    def taken(self, model: Model, state: Any, core: int, thread: int) -> Iterator[Taken]:
        machine = machine_of(model)
        if state.masked & ~(1 << core) or machine.stores_wait(state, core):
            return
        for other in range(len(state.running)):
            if self.own or other != core:
                state = machine.fetches_anew(model, state, other, lines=self.lines)
        yield state, 0, None


@dataclass(frozen=True)
class Defer(Rule):
    """Every other core drops its instruction cache when a thread next moves to it."""

    def taken(self, model: Model, state: Any, core: int, thread: int) -> Iterator[Taken]:
        others = (1 << len(state.running)) - 1 & ~(1 << core)
        yield state._replace(deferred=state.deferred | others), 0, None


@dataclass(frozen=True)
class Migrate(Rule):
    """The kernel moves the thread to a core that runs nothing, or nothing any more."""

    core: int

    def taken(self, model: Model, state: Any, core: int, thread: int) -> Iterator[Taken]:
        there = state.running[self.core]
        if there == thread:
            yield state, 0, None
        elif there < 0 or model.programs[there].place(state.places[there]).finished:
            after = machine_of(model).arrived(model, state, core, thread, self.core)
            if after is not None:
                yield after, 0, None


@dataclass(frozen=True)
class Mask(Rule):
    """Interrupts off, or on again, on this core."""

    off: bool

    def taken(self, model: Model, state: Any, core: int, thread: int) -> Iterator[Taken]:
        bit = 1 << core
        yield state._replace(masked=state.masked | bit if self.off else state.masked & ~bit), 0, None


@dataclass(frozen=True)
class Poll(Rule):
    """Where a thread may be stopped."""

    def taken(self, model: Model, state: Any, core: int, thread: int) -> Iterator[Taken]:
        if state.stopper in (-1, thread):
            yield state, 0, None


@dataclass(frozen=True)
class StopOthers(Rule):
    """All other threads are at a poll, or done, and stay there."""

    def taken(self, model: Model, state: Any, core: int, thread: int) -> Iterator[Taken]:
        places = (program.place(at) for program, at in zip(model.programs, state.places, strict=True))
        others = [place.steps[0].action for other, place in enumerate(places) if other != thread and place.steps]
        if state.stopper < 0 and all(isinstance(action, Poll) for action in others):
            yield state._replace(stopper=thread), 0, None


@dataclass(frozen=True)
class ResumeOthers(Rule):
    """They go on."""

    def taken(self, model: Model, state: Any, core: int, thread: int) -> Iterator[Taken]:
        if state.stopper == thread:
            for other in range(len(state.running)):
                if other != core:
                    state = machine_of(model).fetches_anew(model, state, other, lines=False)
            yield state._replace(stopper=-1), 0, None


@dataclass(frozen=True)
class MmuOn(Rule):
    """Fetches of this core go through the point of unification; lines that it has already stay."""

    def taken(self, model: Model, state: Any, core: int, thread: int) -> Iterator[Taken]:
        yield state._replace(physical=state.physical & ~(1 << core)), 0, None
