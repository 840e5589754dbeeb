"""The exhaustive exploration of a litmus test."""

from __future__ import annotations

from dataclasses import dataclass

from bench.litmus.condition import Observable, holds, observables, sort_key
from bench.litmus.machine import LitmusMachine, ModifiedCodeError
from bench.litmus.reader import LitmusTest
from bench.litmus.values import CodeAddress, LitmusValue
from bench.machine.architecture import Rules
from bench.support.errors import InputError

MOST_STATES = 2_000_000


@dataclass(frozen=True)
class LitmusResult:
    """``finals``: the distinct final states, sorted, as values of ``shown``; ``states``: the number explored."""

    test: LitmusTest
    shown: tuple[Observable, ...]
    finals: tuple[tuple[LitmusValue, ...], ...]
    states: int

    @property
    def positive(self) -> int:
        """The number of final states in which the proposition holds."""
        return sum(self._holds(final) for final in self.finals)

    @property
    def negative(self) -> int:
        """The number of the other final states."""
        return len(self.finals) - self.positive

    @property
    def validated(self) -> bool:
        """Whether the condition of the test holds (``Ok``)."""
        match self.test.condition.quantifier:
            case "exists":
                return self.positive > 0
            case "~exists":
                return self.positive == 0
        return self.negative == 0

    def _holds(self, final: tuple[LitmusValue, ...]) -> bool:
        return holds(self.test.condition.proposition, dict(zip(self.shown, final, strict=True)))


def run(test: LitmusTest, rules: Rules, *, max_states: int = MOST_STATES) -> LitmusResult:
    """Explore a test.  Raises ``InputError`` for unsupported instructions, and for too many states."""
    shown = tuple(sorted({*observables(test.condition.proposition), *test.condition.shown}, key=sort_key))
    units: frozenset[CodeAddress] = frozenset()
    while True:
        machine = LitmusMachine(test, rules, units)
        try:
            finals, states = _explore(machine, shown, max_states)
        except ModifiedCodeError as error:
            units |= {error.args[0]}
            continue
        return LitmusResult(test, shown, finals, states)


def _explore(
    machine: LitmusMachine, shown: tuple[Observable, ...], max_states: int
) -> tuple[tuple[tuple[LitmusValue, ...], ...], int]:
    start = machine.start()
    seen = {start}
    pending = [start]
    finals: set[tuple[LitmusValue, ...]] = set()
    while pending:
        state = pending.pop()
        if machine.ended(state):
            finals.add(tuple(machine.observed(state, where) for where in shown))
            continue
        for following in machine.successors(state):
            if following not in seen:
                if len(seen) == max_states:
                    raise InputError(
                        f"more than {max_states} states", file=machine.test.file, expected="a smaller test"
                    )
                seen.add(following)
                pending.append(following)
    return tuple(sorted(finals, key=repr)), len(seen)
