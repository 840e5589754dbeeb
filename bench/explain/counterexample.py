"""A run of the machine as rows that a person can read: what happens, what the caches hold then, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from bench.machine import Event, Kind, State, Transition, initial
from bench.machine.actions import (
    AcquireLock,
    BeginTranslation,
    CleanLine,
    DataBarrier,
    DiscardBuffer,
    EndTranslation,
    FetchUnit,
    InvalidateLines,
    IssueStore,
    LoadUnit,
    NoEffect,
    ReleaseLock,
    SyncAllCores,
    SyncContext,
)
from bench.machine.memory import Put, Stored
from bench.machine.model import Action, Label, Model, Step
from bench.program.compiler import OTHER
from bench.support.text import listed
from strategies.writes import Unit

Word = str
"""``absent``, ``ok`` or ``wrong``: what a cache holds of the watched unit."""

Disassemble = Callable[[Unit, int], str]

At = tuple[int, int]
"""A live unit: its block, and its position among the live units of that block."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: one environment step, the adjacent steps of one thread in one phase, or one execution of a block.

    The words are those of the watched unit after the row: ``icache`` and ``ahead`` (units
    fetched ahead) for each core, ``buffer`` (store buffers) for each core, ``dcache`` and
    ``memory`` (the PoU).  ``steps`` is how many steps of the machine the row takes.  ``fetches``: what each core would
    fetch as the unit now, as an instruction; ``reads``: what a debugger reads there.
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
    fetches: tuple[str, ...] = ()
    reads: str = ""


@dataclass(frozen=True, slots=True)
class Watched:
    """The unit that the table follows: its name, block, offset in bytes, final value and what that means.

    The name is ``TB+32``, or ``TB 1+32`` where there are several blocks.  ``fetched``: the wrong value that a core
    fetched at the end of the run, None if none did; ``read``: the newest value then, on the data side.
    """

    name: str
    tb: int
    offset: int
    final: int
    instruction: str
    fetched: int | None = None
    read: int | None = None


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
    """A transition with the state before it and, for a thread's step, what the step and the thread's last one were."""

    before: State
    transition: Transition
    step: Step | None
    earlier: Step | None

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
        self.unit_of: dict[int, At] = {
            cell: (tb, position)
            for tb, units in enumerate(model.units)
            for position, cells in enumerate(units)
            for cell in cells
        }
        self.moves: list[_Move] = []
        before = initial(model)
        earlier: dict[int, Step] = {}
        for transition in run:
            step = self._step(before, transition.event)
            if step is None:
                self.moves.append(_Move(before, transition, None, None))
            else:
                self.moves.append(_Move(before, transition, step, earlier.get(transition.event.thread)))
                earlier[transition.event.thread] = step
            before = transition.state
        self.last = before
        self.at = self._watch()
        self.cells = self._cells(self.at) if self.at is not None else ()
        self.watched = self._name_watched()

    def explanation(self) -> Explanation:
        rows = []
        ran = set(self._begun())
        groups = self._groups()
        for number, group in enumerate(groups):
            rows.append(self._row(group, ran, final=number == len(groups) - 1))
            step = group[0].step
            if step is not None and isinstance(step.action, FetchUnit):
                ran.add((group[0].event.thread, step.label.tb))
        watched = None
        if self.at is not None:
            unit = self._unit(self.at)
            name = self._place(self.at)
            instruction = self.disassemble(unit, unit.final)
            newest = self._whole(self.last.memory.data, self.at)
            watched = Watched(name, unit.tb, unit.offset, unit.final, instruction, self._fetched_wrong(), newest)
        closing = ""
        if self.failure == "deadlock":
            closing = self._deadlock()
        elif self.failure == "vacuous":
            closing = "On no path does every retranslation complete and the TB run again: nothing is proved."
        return Explanation(tuple(rows), watched, closing)

    def _step(self, state: State, event: Event) -> Step | None:
        if event.kind is not Kind.PROGRAM:
            return None
        return self.model.programs[event.thread].place(state.places[event.thread]).steps[event.detail]

    def _begun(self) -> Iterator[tuple[int, int]]:
        """The threads that begin at a fault, with the block that they have run up to it."""
        for thread, (program, start) in enumerate(zip(self.model.programs, self.model.starts, strict=True)):
            place = program.place(start)
            if place.rewriting:
                yield thread, place.steps[0].label.tb

    def _watch(self) -> At | None:
        """The unit to follow: the first fetched wrong, else one with a lasting wrong value, else the first live one."""
        for move in self.moves:
            if move.transition.wrong is not None:
                return move.transition.wrong
        live = [(tb, position) for tb, units in enumerate(self.model.units) for position in range(len(units))]
        for at in live:
            if self._word(self.last.memory.data, self._cells(at)) == "wrong":
                return at
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
        entered = isinstance(move.step.action, FetchUnit) and move.step.action.expected == 0
        return not entered and _row_of(move.step.label) == _row_of(before.step.label)

    # - units and their names

    def _cells(self, at: At) -> tuple[int, ...]:
        return self.model.units[at[0]][at[1]]

    def _unit(self, at: At) -> Unit:
        return self.model.unit_at[at[0]][at[1]]

    def _block(self, tb: int) -> str:
        return f"TB {tb + 1}" if self.model.scenario.tbs > 1 else "TB"

    def _place(self, at: At) -> str:
        return f"{self._block(at[0])}+{self._unit(at).offset}"

    def _name_watched(self) -> str:
        """``the branch``, if a step of the run has it as one; else where it lies."""
        if self.at is None:
            return ""
        for move in self.moves:
            if move.step is not None and self.at in self._live([move]) and _is_branch(move.step.label):
                return "the branch"
        return self._place(self.at)

    def _live(self, group: Iterable[_Move]) -> list[At]:
        """The live units that the steps store or load, the watched one first, then in the order of the steps."""
        found: dict[At, None] = {}
        for move in group:
            match move.step.action if move.step is not None else None:
                case IssueStore(Stored((put,))):
                    found[self.unit_of[put.cell]] = None
                case LoadUnit(cells) if cells:
                    found[self.unit_of[cells[0]]] = None
        return sorted(found, key=lambda at: at != self.at)

    def _subject(self, cells: Sequence[int]) -> At:
        """The unit that a line with these cells is told of: the watched one, else the first."""
        units = [self.unit_of[cell] for cell in cells]
        return self.at if self.at is not None and self.at in units else units[0]

    # - what the caches hold

    def _word(self, values: Sequence[int], cells: Sequence[int]) -> Word:
        return "ok" if all(values[cell] == self.model.final[cell] for cell in cells) else "wrong"

    def _icache(self, state: State, core: int) -> Word:
        words = []
        for cell in self.cells:
            line = self.model.cells.iline_of[core][cell]
            held = state.memory.icache[core][line]
            if held is None:
                return "absent"
            value = held[self.model.cells.iline_cells[core][line].index(cell)]
            words.append(value == self.model.final[cell])
        return "absent" if not words else "ok" if all(words) else "wrong"

    def _ahead(self, state: State, core: int) -> Word:
        queue = state.memory.ahead[core]
        if queue is None or self.at is None or queue[0] != self.at[0]:
            return "absent"
        index = self.at[1] - queue[1]
        if not 0 <= index < len(queue[2]):
            return "absent"
        right = all(value == self.model.final[c] for value, c in zip(queue[2][index], self.cells, strict=True))
        return "ok" if right else "wrong"

    def _buffer(self, state: State, core: int) -> Word:
        if not _buffered(state, core, self.cells):
            return "absent"
        return self._word(_seen(state, core), self.cells)

    def _dcache(self, state: State) -> Word:
        lines = {self.model.cells.dline_of[cell] for cell in self.cells}
        held = lines and all(state.memory.owner[line] >= 0 or state.memory.copies[line] for line in lines)
        return self._word(state.memory.data, self.cells) if held else "absent"

    def _memory(self, state: State) -> Word:
        return self._word(state.memory.memory, self.cells)

    # - rows

    def _row(self, group: list[_Move], ran: set[tuple[int, int]], *, final: bool) -> Row:
        first, last = group[0], group[-1]
        cores = range(self.model.scenario.cores)
        environment = first.step is None
        because = self._environment_because(first) if environment else self._program_because(group)
        if final and self.failure in ("wrong fetch", "lasting"):
            because = f"However, {because}"
        return Row(
            actor="environment" if environment else f"T{first.event.thread + 1}",
            core=first.event.core,
            operation=self._environment_text(first) if environment else self._program_text(group, ran),
            icache=tuple(self._icache(last.after, core) for core in cores),
            ahead=tuple(self._ahead(last.after, core) for core in cores),
            buffer=tuple(self._buffer(last.after, core) for core in cores),
            dcache=self._dcache(last.after),
            memory=self._memory(last.after),
            because=f"{because[0].upper()}{because[1:]}.",
            steps=len(group),
            fetches=tuple(self._supplies(last.after, core) for core in cores),
            reads=self._instruction(last.after.memory.data, self.at) if self.at is not None else "",
        )

    def _supplies(self, state: State, core: int) -> str:
        """The watched unit as a core would fetch it, as an instruction."""
        return self._instruction(self._supplied(state, core, self.at)[0], self.at) if self.at is not None else ""

    def _program_text(self, group: list[_Move], ran: set[tuple[int, int]]) -> str:
        step = group[0].step
        assert step is not None
        what, block = step.label.what, self._block(step.label.tb)
        if isinstance(step.action, FetchUnit):
            return self._execution_text(group, step.action, block, again=(group[0].event.thread, step.label.tb) in ran)
        if isinstance(step.action, BeginTranslation | EndTranslation):
            return what.replace("TB", block, 1)
        if isinstance(step.action, DiscardBuffer):
            return what
        units = self._live(group)
        where = f" at {self._places(units)}" if units and len(self.model.units[step.label.tb]) > 1 else ""
        text = _located(what, where, loads=all(isinstance(action, LoadUnit) for action in _actions(group)))
        return text if where or block == "TB" else f"{text}, {block}"

    def _execution_text(self, group: list[_Move], fetch: FetchUnit, block: str, *, again: bool) -> str:
        last = group[-1]
        assert last.step is not None
        if fetch.expected:
            text = f"execution of {block} goes on"
        else:
            text = f"{block} is {'re-executed' if again else 'executed'}"
        thread = last.event.thread
        ended = self.model.programs[thread].place(last.after.places[thread]).inside is None
        faults = last.step.label.detail == "fault" and ended and last.transition.wrong is None
        return f"{text}; its access faults" if faults else text

    def _places(self, units: Sequence[At]) -> str:
        ordered = sorted(units)
        if len(ordered) > 3:
            return f"{len(ordered)} places from {self._place(ordered[0])} to {self._place(ordered[-1])}"
        return listed(self._place(at) for at in ordered)

    def _environment_text(self, move: _Move) -> str:
        event = move.event
        many = self.model.scenario.cores > 1
        on = f" of core {event.core}" if many else ""
        of = self._elsewhere(event)
        match event.kind:
            case Kind.WRITE_BACK if move.before.memory.owner[event.line] == event.core:
                return f"cache line{of} is flushed to memory"
            case Kind.WRITE_BACK:
                return f"clean data line{of}{on} is dropped"
            case Kind.DROP:
                return f"instruction line{of}{on} is dropped"
            case Kind.FILL:
                return f"instruction line{of}{on} is filled"
            case Kind.AHEAD:
                return f"core {event.core} fetches ahead" if many else "the core fetches ahead"
            case Kind.DRAIN:
                return f"a buffered store{on} drains"
            case Kind.COMPLETE if event.detail == 0:
                return f"the clean{of}{on} completes"
            case Kind.COMPLETE:
                return f"the invalidation{of} completes" + (f" on core {event.detail - 1}" if many else "")
            case Kind.SWITCH:
                return f"core {event.core} switches to T{event.thread + 1}"
        return f"T{event.thread + 1} moves to core {event.detail}"

    def _line_cells(self, event: Event) -> tuple[int, ...]:
        """The cells of the line that an environment step concerns."""
        match event.kind:
            case Kind.DROP | Kind.FILL:
                return self.model.cells.iline_cells[event.core][event.line]
            case Kind.COMPLETE if event.detail:
                return self.model.cells.iline_cells[event.detail - 1][event.line]
            case Kind.WRITE_BACK | Kind.COMPLETE:
                return self.model.cells.dline_cells[event.line]
        return ()

    def _elsewhere(self, event: Event) -> str:
        """`` of TB+54`` where the line that an environment step concerns does not hold the watched unit."""
        cells = self._line_cells(event)
        if not cells or (at := self._subject(cells)) == self.at:
            return ""
        return f" of {self._place(at)}"

    # - reasons: a clause each, without the full stop

    def _value(self, values: Sequence[int], at: At) -> str:
        """``the final value`` or the wrong one, as an instruction."""
        return "the final value" if self._word(values, self._cells(at)) == "ok" else self._instruction(values, at)

    def _holds(self, values: Sequence[int], at: At | None = None) -> str:
        """The value of a unit, and where it lies if it is not the watched one."""
        at = self.at if at is None else at
        if at is None:
            return "the final value"
        value = self._value(values, at)
        return value if at == self.at else f"{value} at {self._place(at)}"

    def _instruction(self, values: Sequence[int], at: At) -> str:
        unit, value = self._unit(at), self._whole(values, at)
        return f"{value:0{2 * unit.size}x} ({self.disassemble(unit, value)})"

    def _whole(self, values: Sequence[int], at: At) -> int:
        """The value of a unit, from those of its cells."""
        value = 0
        for cell in self._cells(at):
            value |= values[cell]
        return value

    def _source(self) -> tuple[str, Callable[[State], Sequence[int]]]:
        if self.model.features.fill == "coherent":
            return "the newest data", lambda state: state.memory.data
        return "memory", lambda state: state.memory.memory

    def _environment_because(self, move: _Move) -> str:
        name, values = self._source()
        after, event = move.after, move.event
        cells = self._line_cells(event)
        at = self._subject(cells) if cells else None
        match event.kind:
            case Kind.WRITE_BACK if move.before.memory.owner[event.line] == event.core:
                return (
                    f"a dirty line may be written back and dropped at any time (an interrupt, a task switch, another "
                    f"line that needs the place); memory now holds {self._holds(after.memory.memory, at)}"
                )
            case Kind.WRITE_BACK:
                return "a clean line may be dropped at any time; the next store there misses, and does not allocate"
            case Kind.DROP:
                return "an instruction line may be dropped at any time; the next fetch fills it anew"
            case Kind.FILL:
                held = self._holds(values(after), at)
                return f"an instruction line may be filled at any time, from {name}, which holds {held}"
            case Kind.AHEAD:
                queue = after.memory.ahead[event.core]
                assert queue is not None
                newest = queue[0], queue[1] + len(queue[2]) - 1
                held = self._holds(self._fetched(after, event.core), newest)
                return f"a core may fetch ahead; it now holds {held}, and no store or invalidation reaches it there"
            case Kind.DRAIN:
                return f"stores drain in order; {self._drained(move)}"
            case Kind.COMPLETE if event.detail == 0:
                held = self._holds(after.memory.memory, at)
                return f"maintenance may complete before its barrier; memory now holds {held}"
            case Kind.COMPLETE:
                return "maintenance may complete before its barrier; the next fetch there fills the line anew"
            case Kind.SWITCH:
                return f"threads share the core by time slices{self._cleaned(move)}"
        return f"the kernel may move a thread at any time{self._cleaned(move)}"

    def _cleaned(self, move: _Move) -> str:
        if not self.model.features.switch_cleans_all:
            return ", and it starts with nothing fetched ahead"
        return (
            f"; a switch of address space on this host cleans and invalidates its caches; memory now holds "
            f"{self._holds(move.after.memory.memory)}"
        )

    def _drained(self, move: _Move) -> str:
        oldest = move.before.memory.buffers[move.event.core][0]
        if not oldest.puts:
            return self._same_bytes(move, move)
        return self._stored(
            [move], [self.unit_of[oldest.puts[0].cell]], "branch" if self.watched == "the branch" else "unit"
        )

    def _fetched(self, state: State, core: int) -> Sequence[int]:
        """The values of all cells as ``core`` has fetched them ahead; final where it has not."""
        values = list(self.model.final)
        queue = state.memory.ahead[core]
        if queue is not None:
            tb, position, held = queue
            for index, unit in enumerate(held):
                for cell, value in zip(self.model.units[tb][position + index], unit, strict=True):
                    values[cell] = value
        return values

    def _program_because(self, group: list[_Move]) -> str:
        last = group[-1]
        actions = _actions(group)
        match actions[0]:
            case FetchUnit():
                return self._fetch_because(group)
            case AcquireLock() as take:
                return self._taken(last, take)
            case ReleaseLock(lock):
                return self._given(last, lock)
            case NoEffect():
                return "what is sought was stored beside the code at translation, and no code is written"
            case DiscardBuffer():
                return "nobody executes or retranslates in it; no TB in it may run until it is translated anew"
            case BeginTranslation() if len(actions) == 1:
                return "it was thrown away, and nobody else is translating it"
            case BeginTranslation() | EndTranslation():
                return "its translation is complete, and it may run again"
        if any(isinstance(action, IssueStore | LoadUnit) for action in actions):
            return self._access_because(group)
        return self._maintenance_because(last, actions)

    def _taken(self, move: _Move, take: AcquireLock) -> str:
        others = listed(f"T{thread + 1}" for thread in self._sharers(move.after, take.lock, move.event.thread))
        if not take.shared:
            return "nobody else holds it"
        return f"it may be shared, and {others} {_holds_too(others)}" if others else "nobody holds it alone"

    def _given(self, move: _Move, lock: int) -> str:
        others = listed(f"T{thread + 1}" for thread in self._sharers(move.after, lock, move.event.thread))
        rest = f"{others} still {_share(others)} it" if others else "others may take it now"
        return f"it is not needed any longer; {rest}"

    def _sharers(self, state: State, lock: int, without: int = -1) -> list[int]:
        sharers = state.locks[lock][1]
        return [thread for thread in range(len(self.model.programs)) if sharers >> thread & 1 and thread != without]

    def _maintenance_because(self, last: _Move, actions: Sequence[Action]) -> str:
        """Of cleans, invalidations, barriers and synchronisations, as far as the row has come."""
        clauses = []
        under_way = {item.target < 0 for item in last.after.memory.pending[last.event.core]}
        kinds = [name for name, clean in (("the clean", True), ("the invalidation", False)) if clean in under_way]
        issues = any(isinstance(action, CleanLine | InvalidateLines) for action in actions)
        if issues and kinds:
            them = (
                "is under way until a barrier waits for it"
                if len(kinds) == 1
                else ("are under way until a barrier waits for them")
            )
            clauses.append(f"{listed(kinds)} {them}")
        elif any(isinstance(action, DataBarrier) for action in actions):
            memory = self._holds(last.after.memory.memory)
            clauses.append(f"the barrier has waited for this core's stores and maintenance; memory holds {memory}")
        elif issues:
            clauses.append("no core that runs the process holds the line")
        if last.after.deferred and any(isinstance(action, InvalidateLines) for action in actions):
            clauses.append("the other cores drop their lines when they next run the process")
        if any(isinstance(action, SyncAllCores) for action in actions):
            clauses.append("no core keeps what it has fetched ahead")
        elif any(isinstance(action, SyncContext) for action in actions):
            clauses.append("this core keeps nothing of what it has fetched ahead")
        return "; ".join(clauses)

    # - reasons of stores and loads

    def _access_because(self, group: list[_Move]) -> str:
        first, last = group[0], group[-1]
        assert first.step is not None
        actions = _actions(group)
        stored = self._live([move for move in group if move.step is not None and _puts(move.step.action)])
        if first.step.label.what.startswith(OTHER):
            return f"another instruction, followed in a search of its own{self._line_changes(first, last)}"
        if stored:
            return self._stored(group, stored, "branch" if _is_branch(first.step.label) else "unit")
        if loaded := self._live(group):
            return self._loaded(first, last, loaded[0])
        if first.step.label.what.endswith("in the scratch buffer"):
            return "nobody executes the scratch buffer, and the code stays as it is"
        if all(isinstance(action, LoadUnit) for action in actions):
            return f"a load changes no code{self._line_changes(first, last)}"
        return self._same_bytes(first, last)

    def _same_bytes(self, first: _Move, last: _Move) -> str:
        core = last.event.core
        waits = len(last.after.memory.buffers[core]) > len(first.before.memory.buffers[core])
        if waits:
            return "the same bytes as before; the store waits in the store buffer"
        if changes := self._line_changes(first, last):
            return f"the same bytes as before{changes}"
        other = self.at is not None and not (last.step is not None and _is_branch(last.step.label))
        return f"the same bytes as before, and none of {self.watched}" if other else "the same bytes as before"

    def _line_changes(self, first: _Move, last: _Move) -> str:
        """What an access to its neighbours does to the line of the watched unit."""
        changed = [word(first.before) != word(last.after) for word in (self._memory, self._dcache)]
        text = ""
        if changed[0]:
            text = f"memory now holds {self._holds(last.after.memory.memory)}"
        elif changed[1] and self._dcache(last.after) == "absent":
            text = "the data cache no longer holds it"
        elif changed[1]:
            dirty = any(last.after.memory.owner[self.model.cells.dline_of[cell]] >= 0 for cell in self.cells)
            how = "dirty, " if dirty else ""
            text = f"the data cache now holds that, {how}with {self._holds(last.after.memory.data)}"
        dropped = self._dropped(first, last)
        if not text and not dropped:
            return ""
        return f", but in the line of {self.watched}{': ' if text else ''}{text}{dropped}"

    def _dropped(self, first: _Move, last: _Move) -> str:
        """A store that drops the line of the watched unit from instruction caches (rule 3)."""
        cores = [
            core
            for core in range(self.model.scenario.cores)
            if self._icache(first.before, core) != "absent" and self._icache(last.after, core) == "absent"
        ]
        if not cores:
            return ""
        which = ""
        if self.model.scenario.cores > 1:
            which = f" of core{'s' if len(cores) > 1 else ''} {listed(map(str, cores))}"
        return f"; the store drops the line from the instruction cache{which}"

    def _loaded(self, first: _Move, last: _Move, at: At) -> str:
        core = last.event.core
        text = f"the load reads {self._holds(_seen(first.before, core), at)}"
        if self._dcache(first.before) != self._dcache(last.after) != "absent":
            text += ", and brings its line into the data cache"
        if self._memory(first.before) != self._memory(last.after):
            text += f"; memory now holds {self._holds(last.after.memory.memory)}"
        return text

    def _stored(self, group: Sequence[_Move], units: Sequence[At], noun: str) -> str:
        """What the stores to live ``units`` of a row lead to, and of the watched one even if it is not among them."""
        first, last = group[0], group[-1]
        clauses = []
        for at in units:
            text = self._read_before(group, at) + self._kept(last, at)
            if at != self.at:
                text = f"another {noun}, at {self._place(at)}, is stored: {text}"
            clauses.append(text)
        if self.at is not None and self.at not in units:
            same = all(word(first.before) == word(last.after) for word in (self._memory, self._dcache))
            moved = f"the watched one is in its line: {self._kept(last, self.at)}"
            clauses.append("the watched one is as before" if same else moved)
        return "; ".join(clauses) + self._dropped(first, last)

    def _read_before(self, group: Sequence[_Move], at: At) -> str:
        """The load of a read-modify-write: in this row, or in an earlier one."""
        cells, last = self._cells(at), group[-1]
        core, line, cache = last.event.core, self.model.cells.dline_of[cells[0]], self.model.features
        actions = [(move, move.step.action) for move in group if move.step is not None]
        for move, action in actions:
            if isinstance(action, LoadUnit) and action.cells == cells:
                absent = move.before.memory.owner[line] < 0 and not move.before.memory.copies[line] >> core & 1
                if absent and not cache.write_allocate and last.after.memory.owner[line] == core:
                    return "its load brings the line into the data cache, and its store stays there; "
                final = self._word(_seen(move.before, core), cells) == "ok"
                if final and self._word(_seen(last.after, core), cells) == "wrong":
                    return "it has its final value already when it is loaded, changed and stored; "
                return "it is loaded, changed and stored; "
        for move, action in actions:
            if any(put.cell in cells for put in _puts(action)):
                earlier = move.earlier.action if move.earlier is not None else None
                if isinstance(earlier, LoadUnit) and earlier.cells == cells:
                    return "what was loaded before is changed and stored; "
        return ""

    def _kept(self, last: _Move, at: At) -> str:
        """Where the newest value of a unit is after a store."""
        after, core = last.after, last.event.core
        cells = self._cells(at)
        if _buffered(after, core, cells):
            return "the store waits in the store buffer, where only its own core sees it"
        data, memory = self._value(after.memory.data, at), self._value(after.memory.memory, at)
        if after.memory.owner[self.model.cells.dline_of[cells[0]]] < 0:
            through = self.model.features.write_through
            why = "the data cache writes through" if through else "a store that misses does not allocate"
            return f"{why}, so that memory now holds {memory}"
        if data == memory:
            return f"the data cache and memory now hold {data}"
        return f"the line is dirty in the data cache with {data}; memory keeps {memory}"

    # - reasons of executions

    def _fetch_because(self, group: list[_Move]) -> str:
        move = self._telling(group)
        step = move.step
        assert step is not None
        assert isinstance(step.action, FetchUnit)
        core, before = move.event.core, move.before
        if step.action.position is None:
            return "no instruction of it ever changes"
        at = step.action.tb, step.action.position
        held, how = self._supplied(before, core, at)
        runs = self._holds(held, at)
        if move.transition.wrong is None:
            return f"{how}: it runs {runs}"
        return f"{how}: it runs {runs} in place of {self._instruction(self.model.final, at)}"

    def _supplied(self, before: State, core: int, at: At) -> tuple[Sequence[int], str]:
        """The values that a fetch of ``core`` is given, and why those."""
        name, values = self._source()
        queue = before.memory.ahead[core]
        lines = [before.memory.icache[core][self.model.cells.iline_of[core][cell]] for cell in self._cells(at)]
        if queue is not None and queue[:2] == at:
            return self._fetched(before, core), "the core had fetched it ahead, and nothing made it fetch again"
        if None not in lines:
            return self._cached(before, core), "its instruction cache still holds the line"
        return values(before), f"the instruction line is absent, so that it is filled from {name}"

    def _fetched_wrong(self) -> int | None:
        """The value of the watched unit that the run ends with, if that is a wrong fetch of it."""
        if not self.moves or self.at is None or self.moves[-1].transition.wrong != self.at:
            return None
        last = self.moves[-1]
        return self._whole(self._supplied(last.before, last.event.core, self.at)[0], self.at)

    def _telling(self, group: list[_Move]) -> _Move:
        """The fetch of an execution to tell of: a wrong one, else that of the watched unit, else the last."""
        for move in group:
            if move.transition.wrong is not None:
                return move
        for move in group:
            match move.step.action if move.step is not None else None:
                case FetchUnit(tb, position) if (tb, position) == self.at:
                    return move
        return group[-1]

    def _cached(self, state: State, core: int) -> Sequence[int]:
        """The values of all cells as the instruction cache of ``core`` holds them; final where it does not."""
        values = list(self.model.final)
        for line, held in enumerate(state.memory.icache[core]):
            for cell, value in zip(self.model.cells.iline_cells[core][line], held or (), strict=False):
                values[cell] = value
        return values

    # - deadlock

    def _deadlock(self) -> str:
        waits = []
        for thread, program in enumerate(self.model.programs):
            place = program.place(self.last.places[thread])
            reasons = dict.fromkeys(filter(None, (self._awaits(thread, step) for step in place.steps)))
            if reasons:
                waits.append(f"T{thread + 1} waits for {' or '.join(reasons)}")
        return f"Nothing can go on, and no step of the environment helps: {'; '.join(waits)}."

    def _awaits(self, thread: int, step: Step) -> str:
        """What one step of a thread waits for; empty if for nothing, or if the thread could do without it."""
        state = self.last
        if step.needs_block is not None and state.blocks[step.needs_block] != 1:
            return f"{self._block(step.needs_block)} to be translated anew"
        match step.action:
            case AcquireLock(lock, shared):
                alone = state.locks[lock][0]
                holders = [alone] if alone >= 0 else [] if shared else self._sharers(state, lock)
                if holders:
                    names = listed("it" if holder == thread else f"T{holder + 1}" for holder in holders)
                    verb = "holds" if alone >= 0 else _share(names)
                    return f"the lock {self.model.locks[lock]!r}, which {names} {verb}"
            case BeginTranslation() | DiscardBuffer():
                return ""
        core = state.running.index(thread) if thread in state.running else self.model.home[thread]
        waits_for_stores = isinstance(step.action, AcquireLock | ReleaseLock | DataBarrier)
        if waits_for_stores and state.memory.buffers[core]:
            return "its store buffer to be empty"
        if isinstance(step.action, DataBarrier) and state.memory.pending[core]:
            return "its maintenance to complete, at a barrier"
        return ""


def _row_of(label: Label) -> tuple[str, int]:
    return label.what, label.tb


def _is_branch(label: Label) -> bool:
    return label.what.startswith("branch")


def _actions(group: Iterable[_Move]) -> list[Action]:
    return [move.step.action for move in group if move.step is not None]


def _puts(action: Action) -> tuple[Put[int], ...]:
    return action.stored.puts if isinstance(action, IssueStore) else ()


def _buffered(state: State, core: int, cells: Sequence[int]) -> bool:
    """Whether a store to some of the cells waits in the buffer of a core."""
    return any(put.cell in cells for stored in state.memory.buffers[core] for put in stored.puts)


def _seen(state: State, core: int) -> Sequence[int]:
    """The values of all cells as loads of ``core`` see them: its buffered stores over the newest data."""
    values = list(state.memory.data)
    for store in state.memory.buffers[core]:
        for put in store.puts:
            values[put.cell] = put.onto(values[put.cell])
    return values


def _located(what: str, where: str, *, loads: bool) -> str:
    """The text of a row with the place of its unit, and as a load if the row has come no further."""
    subject, verb, rest = what.partition(" is ")
    if not verb:
        return f"{what.removesuffix(' stores')} loads{where}" if loads else f"{what}{where}"
    if loads:
        return f"{subject.removesuffix(' target')}{where} is loaded to be {rest}"
    if where and subject == "branch target":
        subject = "target of the branch"
    return f"{subject}{where} is {rest}"


def _share(names: str) -> str:
    return "share" if " and " in names else "shares"


def _holds_too(names: str) -> str:
    return f"{_share(names)} it too"
