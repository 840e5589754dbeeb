"""The same weather: what becomes of other strategies under the evictions, fills and moves of one's counterexample.

The counterexample is gone through row by row.  What the environment does there happens to the other strategy too, where
it still can.  What a thread does there, the other strategy's thread does as well: the operations of the same name,
after those of its own that come before; a row that it has nothing for is skipped.  An operation that has to
wait for maintenance or for a store gets it.  In the end the thread of the last row goes on to the end of an execution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.check.cell import Checked, Options
from bench.check.units import concerned_by
from bench.explain.counterexample import Disassemble, Row, explain
from bench.hosts import Architecture, Target
from bench.machine import Event, Kind, State, Transition, environment_steps, initial, step
from bench.machine.actions import FetchUnit
from bench.machine.model import Label, Model, Step
from bench.program.compiler import Compiler
from bench.scenarios import scenario
from bench.support.errors import InputError
from bench.translators.disassembly import disassembler
from bench.translators.translator import Translator
from strategies import registry
from strategies.strategy import Strategy

_FAR = 200
"""Operations of a thread that are looked at for one of the same name."""


@dataclass(frozen=True, slots=True)
class Under:
    """A strategy under the weather of a counterexample.

    ``beside``: for each row of that what it did, possibly nothing, with the caches after it; then what came behind.
    ``survives``: nothing wrong was fetched.
    """

    strategy: str
    beside: tuple[tuple[Row, ...], ...]
    survives: bool


def under(failed: Checked, strategies: Sequence[Strategy], translator: Translator) -> tuple[Under, ...]:
    """What becomes of ``strategies``.  Raises ``InputError`` for a cell without a counterexample of its own machine."""
    if (
        failed.verdict != "fails"
        or failed.explanation is None
        or isinstance(failed.host, Architecture)
        or not failed.outcome
    ):
        raise InputError(
            f"{failed.strategy} on {failed.host.name} in {failed.scenario}: {failed.verdict}",
            place="--against",
            expected="a strategy that fails on a host",
        )
    rows: list[list[Transition]] = []
    run = list(failed.outcome.run)
    for row in failed.explanation.rows:
        rows.append(run[: row.steps])
        run = run[row.steps :]
    watched = failed.explanation.watched
    at = watched.offset if watched is not None else None
    labels = _labels(failed, translator)
    return tuple(_under(failed, rows, labels, strategy, translator, at) for strategy in strategies)


def _compiler(
    strategy: Strategy, translator: Translator, host: Target, name: str, options: Options, at: int | None
) -> Compiler:
    cast = scenario(
        name,
        host.cores.value,
        cores=options.cores,
        tbs=options.tbs,
        retranslations=options.retranslations,
        flushes=options.flushes,
    )
    assert cast is not None

    def build(units: frozenset[int] | None) -> Compiler:
        return Compiler(
            strategy,
            translator,
            host,
            cast,
            layout=options.layout,
            offset=options.offset,
            start_at_fault=options.start == "fault",
            accesses=options.accesses,
            guarded=options.hazard == "partial",
            guest_bits=options.guest_bits,
            followed=units,
        )

    everything = build(None)
    live = concerned_by(everything, options.hazard)
    return build(frozenset({at})) if at in live and everything.live.independent else everything


def _labels(failed: Checked, translator: Translator) -> dict[int, Label]:
    """What each thread's step of the counterexample was, by its number in the run."""
    strategy = registry.find(failed.reference)
    assert failed.explanation is not None
    watched = failed.explanation.watched
    offset = watched.offset if watched is not None else None
    model = _compiler(strategy, translator, failed.host, failed.scenario, failed.options, offset).model
    state, found = initial(model), {}
    assert failed.outcome is not None
    for number, transition in enumerate(failed.outcome.run):
        event = transition.event
        if event.kind is Kind.PROGRAM:
            found[number] = model.programs[event.thread].place(state.places[event.thread]).steps[event.detail].label
        # Not the transition's own state: places are numbered in the order in which they are asked for.
        taken = step(model, state, event)
        assert taken is not None
        state = taken.state
    return found


def _under(
    failed: Checked,
    rows: list[list[Transition]],
    labels: dict[int, Label],
    strategy: Strategy,
    translator: Translator,
    at: int | None,
) -> Under:
    compiler = _compiler(strategy, translator, failed.host, failed.scenario, failed.options, at)
    course = _Course(compiler.model)
    bounds = [0]
    number = 0
    followed, before = True, None
    for row in rows:
        for transition in row:
            if transition.event.kind is not Kind.PROGRAM:
                course.weather(transition.event)
            elif (now := (transition.event.thread, _name(labels[number]))) != before:
                # Adjacent steps of one name are one thing to do.
                followed, before = course.follow(transition.event.thread, labels[number]), now
            number += 1
        bounds.append(len(course.run))
    last = rows[-1][-1].event
    if last.kind is Kind.PROGRAM and not followed:
        course.execute(last.thread)
    bounds.append(len(course.run))
    reads: Disassemble = disassembler(translator, compiler.codes[0])
    told = explain(compiler.model, course.run, "", reads).rows
    return Under(strategy.name, _beside(told, bounds), all(one.wrong is None for one in course.run))


def _beside(told: Sequence[Row], bounds: Sequence[int]) -> tuple[tuple[Row, ...], ...]:
    """The rows of a run, each with the part of it in which it ends."""
    found: list[list[Row]] = [[] for _ in bounds[1:]]
    end = 0
    for row in told:
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

    def weather(self, event: Event) -> None:
        """The environment does the same, if it can; lines that are no state here do not matter."""
        lines = (
            self._model.cells.dline_cells
            if event.kind is Kind.WRITE_BACK
            else self._model.cells.iline_cells[event.core]
        )
        if event.kind in (Kind.WRITE_BACK, Kind.DROP, Kind.FILL) and event.line >= len(lines):
            return
        if event.kind is Kind.AHEAD and event.detail >= len(self._model.units):
            return
        self._take(step(self._model, self._state, event))

    def follow(self, thread: int, label: Label) -> bool:
        """Whether the thread did what has that name, and before it what comes before; nothing if it has none."""
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
        """How many operations come before one of that name; None if none does before the next execution."""
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


def _name(label: Label) -> tuple[int, str]:
    """What a step does: to write with a temporary target, or without, is the same write."""
    return label.tb, stem(label.what)


def stem(what: str) -> str:
    """The name of a write without what it makes of its target."""
    for ending in (" with a temporary target", " with its final target", " without its target"):
        what = what.removesuffix(ending)
    return what
