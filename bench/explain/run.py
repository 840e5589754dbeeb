"""A run cut into rows: who does what.  What memory holds then, and why it may, is for each kind of memory to say."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bench.explain import wording
from bench.explain.events import ThreadStep
from bench.explain.explanation import ENVIRONMENT, Explanation, Residency, RunRow, Watched, WatchedValue
from bench.machine import Event, Kind, Model, State, Transition, actions, initial
from bench.machine.architecture import Rules
from bench.machine.memory import Put
from bench.machine.model import Action, Step
from bench.support.text import listed
from strategies.writes import Unit

Disassemble = Callable[[Unit, int], str]

At = tuple[int, int]
"""A live unit: its block, and its position among the live units of that block."""

Reason = tuple[str, ...]
"""Clauses of a sentence (``wording.reason``)."""

TIME_SLICES = "threads share the core by time slices"
KERNEL_MOVES = "the kernel may move a thread at any time"


@dataclass(frozen=True, slots=True)
class Move:
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


class Residencies(NamedTuple):
    """What is held of the watched unit, as a row has it."""

    icache: tuple[Residency, ...]
    ahead: tuple[Residency, ...]
    buffer: tuple[Residency, ...]
    dcache: Residency
    memory: Residency


def actions_of(group: Iterable[Move]) -> list[Action]:
    """The actions of a thread's steps."""
    return [move.step.action for move in group if move.step is not None]


def puts_of(action: Action) -> tuple[Put[int], ...]:
    """The stores of an action to cells."""
    return action.stored.puts if isinstance(action, actions.IssueStore) else ()


def cells_of(action: Action) -> tuple[int, ...]:
    """The cells that an action stores or loads."""
    return action.cells if isinstance(action, actions.LoadUnit) else tuple(put.cell for put in puts_of(action))


def thread_name(thread: int) -> str:
    """``T1`` for thread 0."""
    return f"T{thread + 1}"


def share(threads: Sequence[str]) -> str:
    """The verb after their names."""
    return "share" if len(threads) > 1 else "shares"


def line_cells(model: Model, event: Event) -> tuple[int, ...]:
    """The cells of the line that an environment step concerns; of the cell itself where lines are no state."""
    if isinstance(model.rules, Rules):
        return (event.line,) if event.kind in (Kind.COMPLETE, Kind.DRAIN) else ()
    match event.kind:
        case Kind.DROP | Kind.FILL:
            return model.cells.iline_cells[event.core][event.line]
        case Kind.COMPLETE if event.detail:
            return model.cells.iline_cells[event.detail - 1][event.line]
        case Kind.WRITE_BACK | Kind.LOAD | Kind.COMPLETE:
            return model.cells.dline_cells[event.line]
    return ()


def environment_text(
    model: Model, before: State, event: Event, units: Sequence[str], thread: str, observed: Sequence[str] = ()
) -> str:
    """What the environment does by an event; ``units``, ``thread`` and what is ``observed`` as they are to be named."""
    number = event.core
    if event.kind is Kind.MOVE:
        number = event.detail
    elif event.kind is Kind.COMPLETE and event.detail:
        number = event.detail - 1
    several = model.scenario.cores > 1 or event.kind is Kind.SWITCH
    core = f"core {number}" if several else "the core"
    named = ", ".join(units)
    of = f" of {named}" if named else ""
    on = "" if not several else f" on {core}" if named else f" of {core}"
    cells = line_cells(model, event)
    line = "translation" if cells and model.cells.pages.issuperset(cells) else "instruction line"
    match event.kind:
        case Kind.WRITE_BACK if before.memory.owner[event.line] == event.core:
            return f"cache line{of} is flushed to memory"
        case Kind.WRITE_BACK:
            return f"clean data line{of}{on} is dropped"
        case Kind.DROP:
            return f"{line}{of}{on} is dropped"
        case Kind.FILL:
            return f"{line}{of}{on} is filled"
        case Kind.LOAD:
            return f"{core} loads the data line{of}" if named else f"{core} loads a data line"
        case Kind.AHEAD:
            values = f": {', '.join(observed)}" if observed else ""
            return f"{core} fetches{' ' * bool(named)}{named} ahead{values}"
        case Kind.DRAIN:
            return f"a buffered store{' to ' if named else ''}{named}{on} drains"
        case Kind.COMPLETE if event.detail == 0:
            return f"the clean{of}{on} completes"
        case Kind.COMPLETE:
            return f"the invalidation{of} completes{f' on {core}' if several else ''}"
        case Kind.SWITCH:
            return f"{core} switches to {thread}"
    return f"{thread} moves to {core}"


class Explainer(abc.ABC):
    """Explains a run that starts in the initial state; ``at``: the unit to follow, with its ``cells``."""

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
        self.moves: list[Move] = []
        before = initial(model)
        earlier: dict[int, Step] = {}
        for transition in run:
            step = self._step(before, transition.event)
            self.moves.append(Move(before, transition, step, earlier.get(transition.event.thread)))
            if step is not None:
                earlier[transition.event.thread] = step
            before = transition.state
        self.last: State = before
        self.at = self._watch()
        self.cells = self.cells_of(self.at) if self.at is not None else ()

    def explanation(self) -> Explanation:
        """The rows, the watched unit and what is to be said of the run as a whole."""
        rows = []
        ran = set(self._begun())
        groups = self._groups()
        for number, group in enumerate(groups):
            rows.append(self._row(group, ran, final=number == len(groups) - 1))
            step = group[0].step
            if step is not None and isinstance(step.action, actions.FetchUnit):
                ran.add((group[0].event.thread, step.label.tb))
        return Explanation(tuple(rows), self._watched(), self._closing())

    # - what memory holds, and why

    @abc.abstractmethod
    def words(self, state: State) -> Residencies:
        """What is held of the watched unit."""

    @abc.abstractmethod
    def environment_reason(self, move: Move) -> Reason:
        """Why the environment may do this."""

    @abc.abstractmethod
    def program_reason(self, group: Sequence[Move]) -> Reason:
        """Why a thread may, and what comes of it."""

    @abc.abstractmethod
    def fetched(self, last: Move, at: At) -> int | None:
        """The wrong value of a unit that the last step fetched, None if it is not known."""

    def newest(self, state: State) -> tuple[int, ...]:
        """The newest value of each cell on the data side."""
        return self.model.memory.newest(state.memory)

    def supplied(self, state: State) -> tuple[tuple[WatchedValue, ...], WatchedValue | None]:
        """What each core would fetch as the watched unit, and the newest value of it; if memory says."""
        return (), None

    note = ""
    """What is to be said of any run."""

    # - the run

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
        newest = self.newest(self.last)
        return next((at for at in live if not self.is_final(newest, self.cells_of(at))), live[0] if live else None)

    def _watched(self) -> Watched | None:
        if self.at is None:
            return None
        unit = self.unit(self.at)
        fetched = None
        if self.moves and self.moves[-1].transition.wrong == self.at:
            fetched = self.fetched(self.moves[-1], self.at)
        newest = self.whole(self.newest(self.last), self.at)
        meaning = self.disassemble(unit, unit.final)
        return Watched(self.place(self.at), unit.tb, unit.offset, unit.final, meaning, fetched, newest)

    def _groups(self) -> list[list[Move]]:
        groups: list[list[Move]] = []
        for move in self.moves:
            if groups and self._continues(groups[-1][-1], move):
                groups[-1].append(move)
            else:
                groups.append([move])
        return groups

    @staticmethod
    def _continues(before: Move, move: Move) -> bool:
        if move.step is None or before.step is None or move.event.thread != before.event.thread:
            return False
        entered = isinstance(move.step.action, actions.FetchUnit) and move.step.action.expected == 0
        return not entered and move.step.label == before.step.label

    def _row(self, group: Sequence[Move], ran: set[tuple[int, int]], *, final: bool) -> RunRow:
        first, last = group[0], group[-1]
        reason = self.environment_reason(first) if first.step is None else self.program_reason(group)
        if final and self.failure in ("wrong fetch", "lasting"):
            reason = ("however, ", *reason)
        fetches, reads = self.supplied(last.after)
        return RunRow(
            ENVIRONMENT if first.step is None else thread_name(first.event.thread),
            first.event.core,
            self._environment_text(first) if first.step is None else self._thread_step(group, first.step, ran),
            wording.reason(reason),
            *self.words(last.after),
            len(group),
            fetches,
            reads,
        )

    def _thread_step(self, group: Sequence[Move], step: Step, ran: set[tuple[int, int]]) -> ThreadStep:
        label, block = step.label, self._block(step.label.tb)
        last = group[-1]
        if isinstance(step.action, actions.FetchUnit):
            thread = last.event.thread
            ended = self.model.programs[thread].place(last.after.places[thread]).inside is None
            return ThreadStep(
                label,
                block,
                again=(thread, label.tb) in ran,
                continued=step.action.expected > 0,
                faults=label.detail == "fault" and ended and last.transition.wrong is None,
            )
        units = sorted(self.live(group)) if len(self.model.units[label.tb]) > 1 else ()
        loads = all(isinstance(action, actions.LoadUnit) for action in actions_of(group))
        return ThreadStep(label, block, tuple(map(self.place, units)), loads)

    def _environment_text(self, move: Move) -> str:
        cells = line_cells(self.model, move.event)
        elsewhere = bool(cells) and self.subject(cells) != self.at
        units = (self.place(self.subject(cells)),) if elsewhere else ()
        return environment_text(self.model, move.before, move.event, units, thread_name(move.event.thread))

    # - units, their names and values

    def cells_of(self, at: At) -> tuple[int, ...]:
        """The cells of a unit."""
        return self.model.units[at[0]][at[1]]

    def unit(self, at: At) -> Unit:
        """The unit itself."""
        return self.model.unit_at[at[0]][at[1]]

    def _block(self, tb: int) -> str:
        return f"TB {tb + 1}" if self.model.scenario.tbs > 1 else "TB"

    def place(self, at: At) -> str:
        """Where a unit lies: ``TB+32``."""
        return f"{self._block(at[0])}+{self.unit(at).offset}"

    def live(self, group: Iterable[Move]) -> list[At]:
        """The live units that the steps store or load, the watched one first, then in the order of the steps."""
        found: dict[At, None] = {}
        for action in actions_of(group):
            for cell in cells_of(action):
                found[self.unit_of[cell]] = None
        return sorted(found, key=lambda at: at != self.at)

    def subject(self, cells: Sequence[int]) -> At:
        """The unit that a line with these cells is named by: the watched one, else the first."""
        units = [self.unit_of[cell] for cell in cells]
        return self.at if self.at is not None and self.at in units else units[0]

    def whole(self, values: Sequence[int], at: At) -> int:
        """The value of a unit, from those of its cells."""
        value = 0
        for cell in self.cells_of(at):
            value |= values[cell]
        return value

    def is_final(self, values: Sequence[int], cells: Iterable[int]) -> bool:
        """Whether cells have their final values."""
        return all(values[cell] == self.model.final[cell] for cell in cells)

    def word(self, values: Sequence[int], cells: Iterable[int]) -> Residency:
        """``ok`` or ``wrong``."""
        return "ok" if self.is_final(values, cells) else "wrong"

    def instruction(self, values: Sequence[int], at: At) -> str:
        """The value of a unit as an instruction: ``0a000000 (beq #0x1000028)``."""
        unit, number = self.unit(at), self.whole(values, at)
        return f"{number:0{2 * unit.size}x} ({self.disassemble(unit, number)})"

    def value(self, values: Sequence[int], at: At) -> str:
        """The same, or that it is the final value."""
        return "the final value" if self.is_final(values, self.cells_of(at)) else self.instruction(values, at)

    # - the end

    def _closing(self) -> str:
        if self.failure == "deadlock":
            waits = "; ".join(self._waits())
            return f"Nothing can go on, and no step of the environment helps: {waits}."
        if self.failure == "vacuous":
            return "On no path does every retranslation complete and the TB run again: nothing is proved."
        return self.note

    def _waits(self) -> Iterator[str]:
        for thread, program in enumerate(self.model.programs):
            steps = program.place(self.last.places[thread]).steps
            waits = dict.fromkeys(filter(None, (self._awaits(thread, step) for step in steps)))
            if waits:
                yield f"{thread_name(thread)} waits for {' or '.join(waits)}"

    def _awaits(self, thread: int, step: Step) -> str:
        """What one step of a thread waits for; empty if for nothing, or if the thread could do without it."""
        state = self.last
        if step.needs_block is not None and state.blocks[step.needs_block] != 1:
            return f"{self._block(step.needs_block)} to be translated anew"
        match step.action:
            case actions.AcquireLock(lock, shared):
                alone = state.locks[lock][0]
                holders = [alone] if alone >= 0 else [] if shared else self.sharers(state, lock)
                if holders:
                    names = ["it" if holder == thread else thread_name(holder) for holder in holders]
                    holds = "holds" if alone >= 0 else share(names)
                    return f"the lock {self.model.locks[lock]!r}, which {listed(names)} {holds}"
            case actions.BeginTranslation() | actions.DiscardBuffer():
                return ""
        core = state.running.index(thread) if thread in state.running else self.model.home[thread]
        memory, barrier = self.model.memory, isinstance(step.action, actions.DataBarrier)
        waits = barrier or isinstance(step.action, actions.AcquireLock | actions.ReleaseLock)
        if waits and memory.stores_wait(state.memory, core):
            return "its store buffer to be empty"
        if barrier and not memory.is_settled(state.memory, core):
            return "its maintenance to complete, at a barrier"
        return ""

    def sharers(self, state: State, lock: int) -> list[int]:
        """The threads that share a lock."""
        return [thread for thread in range(len(self.model.programs)) if state.locks[lock][1] >> thread & 1]
