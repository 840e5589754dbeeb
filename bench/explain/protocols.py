"""A counterexample of a protocol, step by step, in words and with what every place then holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bench.machine import Event, Kind, Transition, initial
from bench.machine.actions import ExecuteUnits, ObserveUnit, digits
from bench.machine.architecture import Rules, fetchable
from bench.protocols.lowering import Lowering
from bench.protocols.operations import Operation
from bench.protocols.verification import Judged

ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Row:
    """One step: who takes it (a thread's name, or ``core N``), what it is, and what units then are.

    ``data``: on the data side; ``memory``: at the point of unification; ``code``: in each core's instruction cache, or
    ``absent``; each as unit to value.  On an architecture: the newest that is visible, the memory floor, and what each
    core may fetch, with bars between.  ``wrong``: the step observed what it may not.
    """

    actor: str
    what: str
    data: dict[str, str]
    memory: dict[str, str]
    code: tuple[dict[str, str], ...]
    wrong: bool


def story(judged: Judged) -> tuple[Row, ...]:
    """The rows of a counterexample, if there is one; a deadlock ends with a row for each thread that waits."""
    lowering = judged.lowering
    before = initial(lowering.model)
    rows = []
    for step in judged.outcome.run:
        rows.append(_row(lowering, before, step))
        before = step.state
    if judged.outcome.failure == "deadlock":
        for thread, program in zip(judged.protocol.threads, lowering.programs, strict=True):
            steps = program.place(before.places[program.number]).steps
            if steps:
                what = f"waits for ever: {steps[0].label.what}"
                rows.append(Row(thread.name, what, *_held(lowering, before), wrong=True))
    return tuple(rows)


def _row(lowering: Lowering, before: Any, step: Transition) -> Row:
    event = step.event
    if event.kind is Kind.PROGRAM:
        actor, what = lowering.protocol.threads[event.thread].name, _done(lowering, before, step)
    else:
        actor, what = f"core {event.core}", _happens(lowering, before, step)
    return Row(actor, what, *_held(lowering, step.state), wrong=step.wrong is not None)


def _done(lowering: Lowering, before: Any, step: Transition) -> str:
    program = lowering.programs[step.event.thread]
    taken = program.place(before.places[step.event.thread]).steps[0]
    if not isinstance(taken.action, ExecuteUnits | ObserveUnit):
        return taken.label.what
    operation: Operation = program.operation(before.places[step.event.thread])
    values = ", ".join(lowering.values[value] for value in digits(step.result, len(operation.names)))
    return f"{taken.label.what}: {values}"


def _happens(lowering: Lowering, before: Any, step: Transition) -> str:
    event, model = step.event, lowering.model
    if isinstance(model.rules, Rules):
        return _allowed(lowering, step)
    match event.kind:
        case Kind.WRITE_BACK:
            return (
                f"the data line of {_units(lowering, model.cells.dline_cells[event.line])} is written back and dropped"
            )
        case Kind.DROP:
            return f"the instruction line of {_code(lowering, event)} is dropped"
        case Kind.FILL:
            return f"the instruction line of {_code(lowering, event)} is filled"
        case Kind.AHEAD:
            queue = step.state.memory.ahead[event.core]
            assert queue is not None
            (*_, values), position = queue[2], queue[1] + len(queue[2]) - 1
            cells = model.units[queue[0]][position]
            said = ", ".join(lowering.values[value] for value in values)
            return f"{_units(lowering, cells)} is fetched ahead: {said}"
        case Kind.DRAIN:
            return "the oldest buffered store reaches the data side"
        case Kind.COMPLETE if event.detail == 0:
            return f"the cleaning of {_units(lowering, model.cells.dline_cells[event.line])} completes"
        case Kind.COMPLETE:
            there = event.detail - 1
            line = model.cells.iline_cells[there][event.line]
            return f"the invalidation of {_units(lowering, line)} completes on core {there}"
        case Kind.SWITCH:
            return f"goes on with {lowering.protocol.threads[event.thread].name}"
    raise AssertionError(f"no protocol has {event.kind}")


def _allowed(lowering: Lowering, step: Transition) -> str:
    """What happens by itself on an architecture, where lines are cells."""
    event = step.event
    match event.kind:
        case Kind.AHEAD:
            after: Any = step.state
            (thread, position), values = after.memory.ahead[event.core][-1]
            cells = lowering.model.units[thread][position]
            said = ", ".join(lowering.values[value] for value in values)
            return f"{_units(lowering, cells)} is fetched ahead: {said}"
        case Kind.DRAIN:
            return f"the store to {lowering.names[event.line]} becomes visible"
        case Kind.COMPLETE if event.detail == 0:
            return f"the cleaning of {lowering.names[event.line]} completes"
        case Kind.COMPLETE:
            return f"the invalidation of {lowering.names[event.line]} completes on core {event.detail - 1}"
        case Kind.SWITCH:
            return f"goes on with {lowering.protocol.threads[event.thread].name}"
    raise AssertionError(f"no protocol has {event.kind}")


def _code(lowering: Lowering, event: Event) -> str:
    return _units(lowering, lowering.model.cells.iline_cells[event.core][event.line])


def _units(lowering: Lowering, cells: tuple[int, ...]) -> str:
    return ", ".join(lowering.names[cell] for cell in cells)


def _held(lowering: Lowering, state: Any) -> tuple[dict[str, str], dict[str, str], tuple[dict[str, str], ...]]:
    model = lowering.model
    names, values = lowering.names, lowering.values
    if isinstance(model.rules, Rules):
        host, visible = model.rules, state.memory

        def may(core: int, cell: int) -> str:
            found: Iterable[Any] = fetchable(visible, host, core, cell)
            return "|".join(values[value] for value in found)

        cells = list(enumerate(names))
        newest = model.memory.newest(state.memory)
        floor = [history[max(at, 0)] for history, at in zip(visible.history, visible.clean, strict=True)]
        return (
            {name: values[newest[cell]] for cell, name in cells},
            {name: values[floor[cell]] for cell, name in cells},
            tuple({name: may(core, cell) for cell, name in cells} for core in range(len(state.running))),
        )
    code = []
    for core, lines in enumerate(state.memory.icache):
        here = {}
        for cell, name in enumerate(names):
            number = model.cells.iline_of[core][cell]
            held = lines[number]
            here[name] = ABSENT if held is None else values[held[model.cells.iline_cells[core][number].index(cell)]]
        code.append(here)
    data, memory = (
        {name: values[side[cell]] for cell, name in enumerate(names)}
        for side in (state.memory.data, state.memory.memory)
    )
    return data, memory, tuple(code)
