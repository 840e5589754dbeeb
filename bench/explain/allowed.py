"""A counterexample on an architecture, in the rows of any other: what may be fetched, and what is visible."""

from __future__ import annotations

from collections.abc import Sequence

from bench.explain.counterexample import Disassemble, Explanation, Row, Watched
from bench.machine import Kind, State, Transition, initial
from bench.machine.actions import FetchUnit
from bench.machine.architecture import fetchable, puts_of
from bench.machine.model import Label, Model

CLOSING = """\
No caches are meant. icache: ok where a fetch of that core can return the final value alone, absent where it can return
another store too. dcache: the newest store that is visible. mem/L2: the oldest that an invalidation lets be fetched."""


def tell(model: Model, run: Sequence[Transition], failure: str, disassemble: Disassemble) -> Explanation:
    """The explanation of a run from the initial state, step by step."""
    found = next((step.wrong for step in reversed(run) if step.wrong is not None), None)
    live = [(tb, position) for tb, units in enumerate(model.units) for position in range(len(units))]
    at = found or (live[0] if live else None)
    rows = []
    before = initial(model)
    for step in run:
        rows.append(_row(model, before, step, at))
        before = step.state
    closing = CLOSING
    if failure == "deadlock":
        closing = "Nobody can go on."
    elif failure == "vacuous":
        closing = "On no path does every retranslation complete and the TB run again: nothing is proved."
    if at is None:
        return Explanation(tuple(rows), None, closing)
    tb, position = at
    unit = model.unit_at[tb][position]
    name = f"TB{f' {tb}' if len(model.units) > 1 else ''}+{unit.offset}"
    read = _whole(model.memory.newest(before.memory), model, at)
    fetched = _fetched(model, run, at) if found else None
    instruction = disassemble(unit, unit.final)
    return Explanation(tuple(rows), Watched(name, tb, unit.offset, unit.final, instruction, fetched, read), closing)


def _whole(values: Sequence[int], model: Model, at: tuple[int, int]) -> int:
    return sum(values[cell] for cell in model.units[at[0]][at[1]])


def _fetched(model: Model, run: Sequence[Transition], at: tuple[int, int]) -> int | None:
    """The wrong value that the last step fetched: that of the queue before it, or the one that its event names."""
    before = run[-2].state if len(run) > 1 else initial(model)
    event = run[-1].event
    queue = before.memory.ahead[event.core]
    if queue and queue[0][0] == at:
        values = queue[0][1]
    else:
        host = model.architecture
        cells = model.units[at[0]][at[1]]
        if len(cells) > 1:
            return None
        values = (fetchable(before.memory, host, event.core, cells[0])[event.line],)
    return sum(value for value in values if isinstance(value, int))


def _row(model: Model, before: State, step: Transition, at: tuple[int, int] | None) -> Row:
    event, after = step.event, step.state
    actor, operation, because = _said(model, before, step)
    cores = range(len(after.running))
    cells = model.units[at[0]][at[1]] if at is not None else ()
    final = [model.final[cell] for cell in cells]
    host = model.architecture

    def word(values: Sequence[object]) -> str:
        return "ok" if list(values) == final else "wrong"

    def icache(core: int) -> str:
        may = [set(fetchable(after.memory, host, core, cell)) for cell in cells]
        return "ok" if all(some == {value} for some, value in zip(may, final, strict=True)) else "absent"

    def ahead(core: int) -> str:
        held = [values for unit, values in after.memory.ahead[core] if unit == at]
        return word(held[0]) if held else "absent"

    def buffer(core: int) -> str:
        stores = [entry for entry in after.memory.buffers[core] if any(put.cell in cells for put in puts_of(entry))]
        if not stores:
            return "absent"
        values = dict(zip(cells, (after.memory.history[cell][-1] for cell in cells), strict=True))
        for put in stores:
            values[put.cell] = put.onto(values[put.cell])
        return word(list(values.values()))

    memory = [after.memory.history[cell][-1 if host.idc else after.memory.clean[cell]] for cell in cells]
    return Row(
        actor,
        event.core,
        operation,
        tuple(map(icache, cores)),
        tuple(map(ahead, cores)),
        tuple(map(buffer, cores)),
        word([after.memory.history[cell][-1] for cell in cells]),
        word(memory),
        because,
        1,
    )


def _said(model: Model, before: State, step: Transition) -> tuple[str, str, str]:
    """Who, what, and why it may be."""
    event = step.event
    match event.kind:
        case Kind.PROGRAM:
            place = model.programs[event.thread].place(before.places[event.thread])
            label: Label = place.steps[event.detail].label
            why = "the program goes on"
            if isinstance(place.steps[event.detail].action, FetchUnit):
                why = "it fetches a value that is not the final one" if step.wrong else "it fetches the final value"
            return f"T{event.thread + 1}", label.what, f"T{event.thread + 1} on core {event.core}: {why}."
        case Kind.AHEAD:
            return (
                "environment",
                f"core {event.core} fetches ahead",
                ("A core may fetch what comes next at any time, and any store at or above its floor."),
            )
        case Kind.DRAIN:
            return "environment", f"a store of core {event.core} becomes visible", "Stores become visible at any time."
        case Kind.COMPLETE if event.detail == 0:
            return "environment", f"a clean of core {event.core} happens", "A clean may happen before its barrier."
        case Kind.COMPLETE:
            return (
                "environment",
                f"an invalidation reaches core {event.detail - 1}",
                ("An invalidation reaches one core after the other, at any time before its barrier."),
            )
        case Kind.SWITCH:
            return "environment", f"core {event.core} goes on with T{event.thread + 1}", "A time slice ends."
    return "environment", f"T{event.thread + 1} moves to core {event.detail}", "The kernel may move it at any time."
