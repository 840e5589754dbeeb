"""All final states of a litmus test."""

from __future__ import annotations

from dataclasses import dataclass

from bench.litmus.condition import Condition, Where, holds, order_of, spoken_of
from bench.litmus.machine import Machine, StoredError
from bench.litmus.reader import Test
from bench.litmus.values import Code, Value
from bench.machine.architecture import Rules
from bench.support.errors import InputError

MOST_STATES = 2_000_000


@dataclass(frozen=True)
class Result:
    """``finals``: each distinct final state, as far as the condition speaks of it, sorted; ``states`` explored."""

    test: Test
    shown: tuple[Where, ...]
    finals: tuple[tuple[Value, ...], ...]
    states: int

    @property
    def positive(self) -> int:
        """Final states in which the proposition holds."""
        return sum(self._holds(final) for final in self.finals)

    @property
    def negative(self) -> int:
        """The others."""
        return len(self.finals) - self.positive

    @property
    def validated(self) -> bool:
        """Whether the condition is as the test has it: ``Ok``."""
        match self.test.condition.quantifier:
            case "exists":
                return self.positive > 0
            case "~exists":
                return self.positive == 0
        return self.negative == 0

    def _holds(self, final: tuple[Value, ...]) -> bool:
        return holds(self.test.condition.proposition, dict(zip(self.shown, final, strict=True)))


def shown_by(condition: Condition) -> tuple[Where, ...]:
    """What the states of a test show."""
    return tuple(sorted({*spoken_of(condition.proposition), *condition.shown}, key=order_of))


def run(test: Test, rules: Rules, *, max_states: int = MOST_STATES) -> Result:
    """Explore a test.  Raises ``InputError`` for what it does that is not known here, and for too many states."""
    shown = shown_by(test.condition)
    units: frozenset[Code] = frozenset()
    while True:
        machine = Machine(test, rules, units)
        try:
            finals, states = _explored(machine, shown, max_states)
        except StoredError as error:
            units |= {error.args[0]}
            continue
        return Result(test, shown, finals, states)


def _explored(machine: Machine, shown: tuple[Where, ...], max_states: int) -> tuple[tuple[tuple[Value, ...], ...], int]:
    start = machine.start()
    seen = {start}
    pending = [start]
    finals: set[tuple[Value, ...]] = set()
    while pending:
        state = pending.pop()
        if machine.ended(state):
            finals.add(tuple(machine.seen(state, where) for where in shown))
            continue
        for following in machine.after(state):
            if following not in seen:
                if len(seen) == max_states:
                    raise InputError(
                        f"more than {max_states} states", file=machine.test.file, expected="a smaller test"
                    )
                seen.add(following)
                pending.append(following)
    return tuple(sorted(finals, key=repr)), len(seen)
