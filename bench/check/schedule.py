"""The same environment schedule: other strategies under the evictions, fills and moves of one's counterexample.

The rows of the counterexample are taken in order.  What the environment does there happens to the other strategy too,
where it still can.  What a thread does there, the other strategy's thread does as well: the operations with the same
label, after those of its own that come before; a row that it has nothing for is skipped.  An operation that has to
wait for maintenance or for a store gets it.  In the end the thread of the last row goes on to the end of an execution.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.check.cell import Checked, compilation
from bench.check.units import concerned_by
from bench.explain.counterexample import explain
from bench.explain.explanation import RunRow
from bench.hosts import Architecture
from bench.machine import Event, Kind, State, Transition, environment_steps, initial, step
from bench.machine.actions import FetchUnit
from bench.machine.model import BranchTarget, Label, Model, Step
from bench.support.errors import InputError
from bench.translators.disassembly import disassembler
from bench.translators.translator import Translator
from strategies.strategy import Strategy

_FAR = 200
"""Operations of a thread that are looked at for one with the same label."""


@dataclass(frozen=True, slots=True)
class SameSchedule:
    """A strategy under the environment schedule of a counterexample.

    ``beside``: for each row of that what it did, possibly nothing, with the caches after it; then what came behind.
    ``survives``: nothing wrong was fetched.
    """

    strategy: str
    beside: tuple[tuple[RunRow, ...], ...]
    survives: bool


def same_schedule(failed: Checked, strategies: Sequence[Strategy], translator: Translator) -> tuple[SameSchedule, ...]:
    """What ``strategies`` do.  Raises ``InputError`` for a cell without a counterexample on a host."""
    run, found = failed.outcome, failed.explanation
    if failed.verdict != "fails" or run is None or found is None or isinstance(failed.host, Architecture):
        raise InputError(
            f"{failed.strategy} on {failed.host.name} in {failed.scenario}: {failed.verdict}",
            place="`against`",
            expected="a strategy that fails on a host",
        )
    events = (transition.event for transition in run.run)
    rows = [(row, tuple(itertools.islice(events, row.steps))) for row in found.rows]
    return tuple(_same_schedule(failed, rows, strategy, translator) for strategy in strategies)


def _same_schedule(
    failed: Checked, rows: Sequence[tuple[RunRow, tuple[Event, ...]]], strategy: Strategy, translator: Translator
) -> SameSchedule:
    build = compilation(strategy, translator, failed.host, failed.scenario, failed.options)
    assert build is not None
    compiler = build(None)
    watched = failed.explanation.watched if failed.explanation is not None else None
    concerned = concerned_by(compiler, failed.options.hazard)
    if watched is not None and watched.offset in concerned and compiler.live.independent:
        compiler = build(frozenset({watched.offset}))
    course = _Course(compiler.model)
    bounds = [0]
    followed, before = True, None
    for row, (event, *_) in rows:
        if isinstance(row.happened, str):
            course.environment(event)
        elif (now := (event.thread, _name(row.happened.label))) != before:
            # Rows of one thread with one label are one thing to do.
            followed, before = course.follow(event.thread, row.happened.label), now
        bounds.append(len(course.run))
    last = rows[-1][1][-1]
    if last.kind is Kind.PROGRAM and not followed:
        course.execute(last.thread)
    bounds.append(len(course.run))
    found = explain(compiler.model, course.run, "", disassembler(translator, compiler.codes[0])).rows
    return SameSchedule(strategy.name, _beside(found, bounds), all(one.wrong is None for one in course.run))


def _beside(rows: Sequence[RunRow], bounds: Sequence[int]) -> tuple[tuple[RunRow, ...], ...]:
    """The rows of a run, each with the part of it in which it ends."""
    found: list[list[RunRow]] = [[] for _ in bounds[1:]]
    end = 0
    for row in rows:
        end += row.steps
        part = next(number for number, bound in enumerate(bounds[1:]) if end <= bound)
        found[part].append(row)
    return tuple(map(tuple, found))


class _Course:
    """The other strategy's run so far."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.run: list[Transition] = []
        self._state: State = initial(model)

    def environment(self, event: Event) -> None:
        """The environment does the same, if it can; lines that are no state here do not matter."""
        cells = self._model.cells
        lines = cells.dline_cells if event.kind in (Kind.WRITE_BACK, Kind.LOAD) else cells.iline_cells[event.core]
        if event.kind in (Kind.WRITE_BACK, Kind.DROP, Kind.FILL, Kind.LOAD) and event.line >= len(lines):
            return
        if event.kind is Kind.AHEAD and event.detail >= len(self._model.units):
            return
        self._take(step(self._model, self._state, event))

    def follow(self, thread: int, label: Label) -> bool:
        """Whether the thread did what has that label, after what comes before; nothing if there is none."""
        ahead = self._ahead(thread, label)
        if ahead is None:
            return False
        if not (all(self._go_on(thread, None) for _ in range(ahead)) and self._go_on(thread, label)):
            return False
        while any(_name(one.label) == _name(label) and not _enters(one) for one in self._steps(thread)):
            if not self._go_on(thread, label):
                break
        return True

    def execute(self, thread: int) -> None:
        """The thread goes on to the end of an execution; the others do where it has to wait for them."""
        others = [other for other in range(len(self._model.programs)) if other != thread]
        for _ in range(_FAR):
            fetches = any(isinstance(one.action, FetchUnit) for one in self._steps(thread))
            if self._go_on(thread, None):
                if fetches and self._model.programs[thread].place(self._state.places[thread]).inside is None:
                    return
            elif not any(self._go_on(other, None) for other in others):
                return

    def _ahead(self, thread: int, label: Label) -> int | None:
        """How many operations come before one with that label; None if none does before the next execution."""
        trial = _Course(self._model)
        trial._state = self._state
        for count in range(_FAR):
            steps = trial._steps(thread)
            if any(_name(one.label) == _name(label) for one in steps):
                return count
            if not steps or (count and isinstance(steps[0].action, FetchUnit)) or not trial._go_on(thread, None):
                return None
        return None

    def _steps(self, thread: int) -> tuple[Step, ...]:
        return self._model.programs[thread].place(self._state.places[thread]).steps

    def _go_on(self, thread: int, label: Label | None) -> bool:
        """One operation of the thread, by that label if it has a choice; what it waits for happens first."""
        steps = self._steps(thread)
        numbers = [at for at, one in enumerate(steps) if label is None or _name(one.label) == _name(label)]
        if not numbers or thread not in self._state.running:
            return False
        event = Event(Kind.PROGRAM, self._state.running.index(thread), 0, thread, numbers[0])
        for _ in range(_FAR):
            taken = step(self._model, self._state, event)
            if taken is not None:
                return self._take(taken)
            core = event.core
            waited = (Kind.DRAIN, Kind.COMPLETE)
            due = (one for one in environment_steps(self._model, self._state, waited) if one.event.core == core)
            if not self._take(next(due, None)):
                return False
        return False

    def _take(self, taken: Transition | None) -> bool:
        if taken is None:
            return False
        self.run.append(taken)
        self._state = taken.state
        return True


def _enters(one: Step) -> bool:
    """Whether a step begins another execution."""
    return isinstance(one.action, FetchUnit) and one.action.expected == 0


def _name(label: Label) -> Label:
    """What a step does: to write with a temporary target, or without, is the same write."""
    target = BranchTarget.FINAL if label.target is not None else None
    return replace(label, detail="", target=target)
