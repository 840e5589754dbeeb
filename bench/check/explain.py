"""A run of the machine as rows that a person can read: what happens, what the caches hold then, and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.machine import Event, Kind, State, Transition, initial
from bench.program import Model
from bench.steps import CleanLine, DropLines, Fetch, Get, Label, Put, Step, Touch
from strategies.operations import Barrier
from strategies.writes import Unit

Word = str
"""``absent``, ``ok`` or ``wrong``: what a cache holds of the watched unit."""

Disassemble = Callable[[Unit, int], str]


@dataclass(frozen=True, slots=True)
class Row:
    """One row: one environment step, the adjacent steps of one thread in one phase, or one execution of a block.

    The words are those of the watched unit after the row: ``icache`` and ``ahead`` (units
    fetched ahead) for each core, ``buffer`` (store buffers) for each core, ``dcache`` and
    ``memory`` (the PoU).  ``steps`` is how many steps of the machine the row takes.
    """

    actor: str
    core: int
    operation: str
    icache: tuple[Word, ...]
    ahead: tuple[Word, ...]
    buffer: tuple[Word, ...]
    dcache: Word
    memory: Word
    because: str
    steps: int


@dataclass(frozen=True, slots=True)
class Watched:
    """The unit that the table follows: its block, offset in bytes, final value and what that means."""

    tb: int
    offset: int
    final: int
    instruction: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """The rows of a run, the unit they follow (None if no unit is live) and a closing sentence, if one is due."""

    rows: tuple[Row, ...]
    watched: Watched | None
    closing: str


def explain(model: Model, run: Sequence[Transition], failure: str, disassemble: Disassemble) -> Explanation:
    """The explanation of a run that starts in the initial state."""
    return _Explainer(model, run, failure, disassemble).explanation()


@dataclass(frozen=True, slots=True)
class _Move:
    """A transition with the state before it and, for a thread's step, what the step was."""

    before: State
    transition: Transition
    step: Step | None

    @property
    def event(self) -> Event:
        return self.transition.event

    @property
    def after(self) -> State:
        return self.transition.state


class _Explainer:
    def __init__(self, model: Model, run: Sequence[Transition], failure: str, disassemble: Disassemble) -> None:
        self.model = model
        self.failure = failure
        self.disassemble = disassemble
        self.moves: list[_Move] = []
        before = initial(model)
        for transition in run:
            self.moves.append(_Move(before, transition, self._step(before, transition.event)))
            before = transition.state
        self.last = before
        self.at = self._watch()
        self.cells = self.model.units[self.at[0]][self.at[1]] if self.at is not None else ()
        self.unit = self.model.unit_at[self.at[0]][self.at[1]] if self.at is not None else None

    def explanation(self) -> Explanation:
        rows = []
        rewritten: set[int] = set()
        groups = self._groups()
        for number, group in enumerate(groups):
            rows.append(self._row(group, rewritten, final=number == len(groups) - 1))
            if (step := group[0].step) is not None and self._rewriting(group[0]):
                rewritten.add(step.label.tb)
        watched = None
        if self.unit is not None:
            unit = self.unit
            watched = Watched(unit.tb, unit.offset, unit.final, self.disassemble(unit, unit.final))
        closing = {
            "deadlock": "Nothing can go on: a thread is unfinished, and no step of the environment helps it.",
            "vacuous": "On no path does every retranslation complete and the TB run again: nothing is proved.",
        }.get(self.failure, "")
        return Explanation(tuple(rows), watched, closing)

    def _step(self, state: State, event: Event) -> Step | None:
        if event.kind is not Kind.PROGRAM:
            return None
        return self.model.programs[event.thread].place(state.places[event.thread]).steps[event.detail]

    def _watch(self) -> tuple[int, int] | None:
        """The unit to follow: the first fetched wrong, else one with a lasting wrong value, else the first live one."""
        for move in self.moves:
            if move.transition.wrong is not None:
                return move.transition.wrong
        live = [(tb, position) for tb, units in enumerate(self.model.units) for position in range(len(units))]
        for tb, position in live:
            if self._word(self.last.data, self.model.units[tb][position]) == "wrong":
                return tb, position
        return live[0] if live else None

    def _groups(self) -> list[list[_Move]]:
        groups: list[list[_Move]] = []
        for move in self.moves:
            if groups and self._continues(groups[-1][-1], move):
                groups[-1].append(move)
            else:
                groups.append([move])
        return groups

    @staticmethod
    def _continues(before: _Move, move: _Move) -> bool:
        if move.step is None or before.step is None or move.event.thread != before.event.thread:
            return False
        entered = isinstance(move.step.action, Fetch) and move.step.action.expected == 0
        return not entered and _row_of(move.step.label) == _row_of(before.step.label)

    # - what the caches hold

    def _word(self, values: Sequence[int], cells: Sequence[int]) -> Word:
        return "ok" if all(values[cell] == self.model.final[cell] for cell in cells) else "wrong"

    def _icache(self, state: State, core: int) -> Word:
        words = []
        for cell in self.cells:
            line = self.model.iline_of[core][cell]
            held = state.icache[core][line]
            if held is None:
                return "absent"
            value = held[self.model.iline_cells[core][line].index(cell)]
            words.append(value == self.model.final[cell])
        return "absent" if not words else "ok" if all(words) else "wrong"

    def _ahead(self, state: State, core: int) -> Word:
        queue = state.ahead[core]
        if queue is None or self.at is None or queue[0] != self.at[0]:
            return "absent"
        index = self.at[1] - queue[1]
        if not 0 <= index < len(queue[2]):
            return "absent"
        right = all(value == self.model.final[c] for value, c in zip(queue[2][index], self.cells, strict=True))
        return "ok" if right else "wrong"

    def _buffer(self, state: State, core: int) -> Word:
        stores = [s for s in state.buffers[core] if isinstance(s, Put) and s.cell in self.cells]
        if not stores:
            return "absent"
        values = dict(zip(self.cells, (state.data[cell] for cell in self.cells), strict=True))
        for store in stores:
            values[store.cell] = (values[store.cell] & ~store.mask) | store.value
        return "ok" if all(values[cell] == self.model.final[cell] for cell in self.cells) else "wrong"

    def _dcache(self, state: State) -> Word:
        lines = {self.model.dline_of[cell] for cell in self.cells}
        held = lines and all(state.owner[line] >= 0 or state.copies[line] for line in lines)
        return self._word(state.data, self.cells) if held else "absent"

    # - rows

    def _row(self, group: list[_Move], rewritten: set[int], *, final: bool) -> Row:
        first, last = group[0], group[-1]
        cores = range(self.model.scenario.cores)
        environment = first.step is None
        because = self._environment_because(first) if environment else self._program_because(group)
        if final and self.failure in ("wrong fetch", "lasting"):
            because = f"However, {because}"
        return Row(
            actor="environment" if environment else f"T{first.event.thread + 1}",
            core=first.event.core,
            operation=self._environment_text(first) if environment else self._program_text(group, rewritten),
            icache=tuple(self._icache(last.after, core) for core in cores),
            ahead=tuple(self._ahead(last.after, core) for core in cores),
            buffer=tuple(self._buffer(last.after, core) for core in cores),
            dcache=self._dcache(last.after),
            memory=self._word(last.after.memory, self.cells) if self.cells else "ok",
            because=because[0].upper() + because[1:],
            steps=len(group),
        )

    def _program_text(self, group: list[_Move], rewritten: set[int]) -> str:
        step = group[0].step
        assert step is not None
        text = step.label.what
        if isinstance(step.action, Fetch):
            if step.label.tb in rewritten:
                text = "TB is re-executed"
            if step.label.detail == "fault" and group[-1].transition.wrong is None:
                text += "; its access faults"
        if self.model.scenario.tbs > 1:
            block = f"TB {step.label.tb + 1}"
            text = text.replace("TB", block, 1) if "TB" in text else f"{text}, {block}"
        return text

    def _rewriting(self, move: _Move) -> bool:
        return self.model.programs[move.event.thread].place(move.before.places[move.event.thread]).rewriting

    def _environment_text(self, move: _Move) -> str:
        event = move.event
        many = self.model.scenario.cores > 1
        on = f" of core {event.core}" if many else ""
        match event.kind:
            case Kind.WRITE_BACK if move.before.owner[event.line] == event.core:
                return "cache line is flushed to memory"
            case Kind.WRITE_BACK:
                return f"clean data line{on} is dropped"
            case Kind.DROP:
                return f"instruction line{on} is dropped"
            case Kind.FILL:
                return f"instruction line{on} is filled"
            case Kind.AHEAD:
                return f"core {event.core} fetches ahead" if many else "the core fetches ahead"
            case Kind.DRAIN:
                return f"a buffered store{on} drains"
            case Kind.COMPLETE if event.detail == 0:
                return f"the clean{on} completes"
            case Kind.COMPLETE:
                return "the invalidation completes" + (f" on core {event.detail - 1}" if many else "")
            case Kind.SWITCH:
                return f"core {event.core} switches to T{event.thread + 1}"
        return f"T{event.thread + 1} moves to core {event.detail}"

    # - reasons

    def _holds(self, values: Sequence[int]) -> str:
        """``the final value`` or the wrong one, as an instruction."""
        if not self.cells or self._word(values, self.cells) == "ok":
            return "the final value"
        return self._instruction(values)

    def _instruction(self, values: Sequence[int]) -> str:
        assert self.unit is not None
        value = 0
        for cell in self.cells:
            value |= values[cell]
        return f"{value:0{2 * self.unit.size}x} ({self.disassemble(self.unit, value)})"

    def _source(self) -> tuple[str, Callable[[State], Sequence[int]]]:
        if self.model.host.coherence.fill.value == "coherent":
            return "the newest data", lambda state: state.data
        return "memory", lambda state: state.memory

    def _environment_because(self, move: _Move) -> str:
        name, values = self._source()
        after, event = move.after, move.event
        match event.kind:
            case Kind.WRITE_BACK if move.before.owner[event.line] == event.core:
                return (
                    f"a dirty line may be written back and dropped at any time (an interrupt, a task switch, another "
                    f"line that needs the place); memory now holds {self._holds(after.memory)}."
                )
            case Kind.WRITE_BACK:
                return "a clean line may be dropped at any time; the next store there misses, and does not allocate."
            case Kind.DROP:
                return "an instruction line may be dropped at any time; the next fetch fills it anew."
            case Kind.FILL:
                held = self._holds(values(after))
                return f"an instruction line may be filled at any time, from {name}, which holds {held}."
            case Kind.AHEAD:
                held = self._holds(self._fetched(after, event.core))
                return f"a core may fetch ahead; it now holds {held}, and no store or invalidation reaches it there."
            case Kind.DRAIN:
                return f"stores drain in order; the data side now holds {self._holds(after.data)}."
            case Kind.COMPLETE if event.detail == 0:
                return f"maintenance may complete before its barrier; memory now holds {self._holds(after.memory)}."
            case Kind.COMPLETE:
                return "maintenance may complete before its barrier; the next fetch there fills the line anew."
            case Kind.SWITCH:
                return f"threads share the core by time slices{self._cleaned(move)}."
        return f"the kernel may move a thread at any time{self._cleaned(move)}."

    def _cleaned(self, move: _Move) -> str:
        if not self.model.host.coherence.switch_cleans_all.value:
            return ", and it starts with nothing fetched ahead"
        memory = self._holds(move.after.memory)
        return f"; this host then cleans and invalidates its caches, so that memory now holds {memory}"

    def _fetched(self, state: State, core: int) -> Sequence[int]:
        """The values of all cells as ``core`` has fetched them ahead; final where it has not."""
        values = list(self.model.final)
        queue = state.ahead[core]
        if queue is not None:
            tb, position, held = queue
            for index, unit in enumerate(held):
                for cell, value in zip(self.model.units[tb][position + index], unit, strict=True):
                    values[cell] = value
        return values

    def _program_because(self, group: list[_Move]) -> str:
        first, last = group[0], group[-1]
        actions = [move.step.action for move in group if move.step is not None]
        if any(isinstance(action, Fetch) for action in actions):
            return self._fetch_because(group)
        if all(isinstance(action, Touch) or (isinstance(action, Get) and not action.cells) for action in actions):
            return self._touch_because(first, last)
        if any(isinstance(action, Put) for action in actions):
            return self._store_because(first, last, any(isinstance(action, Get) for action in actions))
        if all(isinstance(action, Get) for action in actions):
            return f"the load reads {self._holds(first.before.data)}."
        if any(isinstance(action, CleanLine | DropLines | Barrier) for action in actions):
            left = any(last.after.pending)
            return (
                "clean and invalidate are under way; the barrier has still to wait for them."
                if left
                else f"the barrier has waited for the maintenance; memory holds {self._holds(last.after.memory)}."
            )
        return f"nothing stands in its way; memory holds {self._holds(last.after.memory)}."

    def _touch_because(self, first: _Move, last: _Move) -> str:
        if self._dcache(first.before) == self._dcache(last.after):
            return "the same bytes as before, and none of the branch."
        holds = self._holds(last.after.data)
        return (
            f"the same bytes as before, but in the branch's line: the data cache now holds that, dirty, with {holds}."
        )

    def _store_because(self, first: _Move, last: _Move, loaded: bool) -> str:
        after, core = last.after, last.event.core
        if after.buffers[core]:
            return "the store waits in the store buffer, where only its own core sees it."
        line = self.model.dline_of[self.cells[0]]
        read = "it is loaded, changed and stored; " if loaded else ""
        data, memory = self._holds(after.data), self._holds(after.memory)
        if after.owner[line] < 0:
            through = self.model.host.dcache.write == "through"
            why = "the data cache writes through" if through else "a store that misses does not allocate"
            return f"{read}{why}, so that memory now holds {memory}."
        if loaded and not self.model.host.dcache.write_allocate and not first.before.copies[line]:
            read = "its load brings the line into the data cache, and its store stays there; "
        if data == memory:
            return f"{read}the data cache and memory now hold {data}."
        return f"{read}the line is dirty in the data cache with {data}; memory keeps {memory}."

    def _fetch_because(self, group: list[_Move]) -> str:
        move = next((m for m in group if m.transition.wrong is not None), group[-1])
        core, before = move.event.core, move.before
        step = move.step
        assert step is not None
        if not isinstance(step.action, Fetch) or step.action.position is None or not self.cells:
            return "no instruction of it ever changes."
        cells = self.model.units[step.action.tb][step.action.position]
        name, values = self._source()
        queue = before.ahead[core]
        ahead = queue is not None and queue[:2] == (step.action.tb, step.action.position)
        lines = [before.icache[core][self.model.iline_of[core][cell]] for cell in cells]
        if ahead:
            held, how = self._fetched(before, core), "the core had fetched it ahead, and nothing made it fetch again"
        elif None not in lines:
            held = self._cached(before, core)
            how = "its instruction cache still holds the line"
        else:
            held, how = values(before), f"the instruction line is absent, so that it is filled from {name}"
        if move.transition.wrong is None:
            return f"{how}: it runs the final value."
        assert self.unit is not None
        return f"{how}: it runs {self._instruction(held)} in place of {self._instruction(self.model.final)}."

    def _cached(self, state: State, core: int) -> Sequence[int]:
        """The values of all cells as the instruction cache of ``core`` holds them; final where it does not."""
        values = list(self.model.final)
        for line, held in enumerate(state.icache[core]):
            for cell, value in zip(self.model.iline_cells[core][line], held or (), strict=False):
                values[cell] = value
        return values


def _row_of(label: Label) -> tuple[str, int]:
    return label.what, label.tb
