"""A counterexample of a protocol: what happens in each step, and what every place then holds."""

from __future__ import annotations

from dataclasses import dataclass

from bench.explain.explanation import ENVIRONMENT
from bench.explain.run import environment_text, line_cells
from bench.machine import Kind, State, Transition, initial
from bench.machine.actions import ObserveUnit
from bench.machine.architecture import Rules, fetchable
from bench.machine.cells import NEVER_FETCHED
from bench.protocols.lowering import Lowering
from bench.protocols.operations import ProtocolOperation
from bench.protocols.verification import Verified

ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class ProtocolRow:
    """One step: the ``actor`` (a thread's name, or ``environment``), ``what`` happens, and what units then are.

    ``data``: on the data side; ``memory``: at the point of unification; ``code``: in each core's instruction cache, or
    ``absent``; each as unit to value.  On an architecture: the newest that is visible, the memory floor, and what each
    core may fetch, with bars between.  ``wrong``: the step observed what it may not.  ``line``: of the file, where the
    operation stands (0: in none).  ``observed``: the values that the thread executed or loaded in it.
    """

    actor: str
    what: str
    data: dict[str, str]
    memory: dict[str, str]
    code: tuple[dict[str, str], ...]
    wrong: bool
    line: int = 0
    observed: tuple[str, ...] = ()


def counterexample(verified: Verified) -> tuple[ProtocolRow, ...]:
    """The rows of a counterexample, if there is one; a deadlock ends with a row for each thread that waits."""
    lowering = verified.lowering
    before = initial(lowering.model)
    rows = []
    for step in verified.outcome.run:
        rows.append(_row(lowering, before, step))
        before = step.state
    if verified.outcome.failure == "deadlock":
        for thread, program in zip(verified.protocol.threads, lowering.programs, strict=True):
            steps = program.place(before.places[program.number]).steps
            if steps:
                waits = f"waits for ever: {steps[0].label.name}"
                operation = program.operation(before.places[program.number])
                there = before.running[operation.number] if operation.verb == "migrate" else -1
                if there >= 0:
                    waits += f" (core {operation.number} runs {verified.protocol.threads[there].name})"
                contents = _contents(lowering, before)
                rows.append(ProtocolRow(thread.name, waits, *contents, wrong=True, line=operation.line))
    return tuple(rows)


def _row(lowering: Lowering, before: State, step: Transition) -> ProtocolRow:
    actor, line = lowering.protocol.threads[step.event.thread].name, 0
    observed: tuple[str, ...] = ()
    if step.event.kind is Kind.PROGRAM:
        operation = lowering.programs[step.event.thread].operation(before.places[step.event.thread])
        line, (what, observed) = operation.line, _thread_step(lowering, operation, before, step)
    else:
        what, actor = _environment_step(lowering, before, step, actor), ENVIRONMENT
    contents = _contents(lowering, step.state)
    return ProtocolRow(actor, what, *contents, wrong=step.wrong is not None, line=line, observed=observed)


def _thread_step(
    lowering: Lowering, operation: ProtocolOperation, before: State, step: Transition
) -> tuple[str, tuple[str, ...]]:
    """What a thread did, and what it has executed or loaded in whole by that."""
    if not operation.observes:
        return operation.text, ()
    program = lowering.programs[step.event.thread]
    place, after = before.places[step.event.thread], step.state.places[step.event.thread]
    observed = program.observed(after)[len(program.observed(place)) :]
    if observed:
        return f"{operation.text}: {', '.join(observed)}", observed
    action = program.place(place).steps[step.event.detail].action
    assert isinstance(action, ObserveUnit)
    (cell,) = action.part.cells
    return f"{operation.text}, of which {lowering.names[cell]}: {lowering.name(step.result)}", ()


def _environment_step(lowering: Lowering, before: State, step: Transition, thread: str) -> str:
    event, model, after = step.event, lowering.model, step.state
    cells = line_cells(model, event)
    observed: tuple[int, ...] = ()
    if event.kind is Kind.AHEAD:
        (block, position), observed = _fetched_ahead(lowering, after, event.core)
        cells = model.units[block][position]
    elif event.kind is Kind.DRAIN and not isinstance(model.rules, Rules):
        cells = tuple(put.cell for put in before.memory.buffers[event.core][0].puts)
    units = tuple(dict.fromkeys(lowering.names[cell] for cell in cells))
    values = tuple(map(lowering.name, observed))
    return environment_text(model, before, event, units, thread, values)


def _fetched_ahead(lowering: Lowering, state: State, core: int) -> tuple[tuple[int, int], tuple[int, ...]]:
    """The unit that a core fetched ahead last, and its values."""
    if isinstance(lowering.model.rules, Rules):
        unit, values = state.memory.ahead[core][-1]
        return unit, values
    block, first, held = state.memory.ahead[core]
    return (block, first + len(held) - 1), held[-1]


def _contents(lowering: Lowering, state: State) -> tuple[dict[str, str], dict[str, str], tuple[dict[str, str], ...]]:
    model, names = lowering.model, lowering.names
    newest = model.memory.newest(state.memory)
    if isinstance(model.rules, Rules):
        visible = state.memory
        memory = [history[at if at >= 0 else -1] for history, at in zip(visible.history, visible.clean, strict=True)]
    else:
        memory = state.memory.memory
    return (
        {name: lowering.content(cell, newest[cell]) for cell, name in enumerate(names)},
        {name: lowering.content(cell, memory[cell]) for cell, name in enumerate(names)},
        tuple(
            {name: _code(lowering, state, core, cell) for cell, name in enumerate(names)}
            for core in range(len(state.running))
        ),
    )


def _code(lowering: Lowering, state: State, core: int, cell: int) -> str:
    """What a core's instruction cache holds of a cell, or all that the core may fetch."""
    model = lowering.model
    if isinstance(model.rules, Rules):
        may = fetchable(state.memory, model.rules, core, cell)
        return "|".join(lowering.content(cell, value) for value in may)
    line = model.cells.iline_of[core][cell]
    if line == NEVER_FETCHED:
        return ABSENT
    held = state.memory.icache[core][line]
    return ABSENT if held is None else lowering.content(cell, held[model.cells.iline_cells[core][line].index(cell)])
