"""A run explained: on a host by its caches, on an architecture by what it allows."""

from __future__ import annotations

from collections.abc import Sequence

from bench.explain.allowed import AllowedExplainer
from bench.explain.explanation import Explanation, Residency, WatchedValue
from bench.explain.run import (
    KERNEL_MOVES,
    TIME_SLICES,
    At,
    Disassemble,
    Explainer,
    Move,
    Reason,
    Residencies,
    actions_of,
    cells_of,
    line_cells,
    puts_of,
    share,
    thread_name,
)
from bench.machine import Kind, Model, State, Transition, actions
from bench.machine.caches import Caches, Features
from bench.machine.model import Action
from bench.support.text import listed
from strategies.writes import Phase


def explain(model: Model, run: Sequence[Transition], failure: str, disassemble: Disassemble) -> Explanation:
    """The explanation of a run that starts in the initial state."""
    kind = CacheExplainer if isinstance(model.rules, Features) else AllowedExplainer
    return kind(model, run, failure, disassemble).explanation()


class CacheExplainer(Explainer):
    """What the caches of a host hold, and why."""

    def __init__(self, model: Model, run: Sequence[Transition], failure: str, disassemble: Disassemble) -> None:
        super().__init__(model, run, failure, disassemble)
        self.coherent = model.features.fill == "coherent"
        self.source = "the newest data" if self.coherent else "memory"
        written = (move.step for move in self.moves if move.step is not None and move.step.label.phase in _BRANCHES)
        cells = {cell for step in written for cell in cells_of(step.action)}
        self.branch = bool(cells & {*self.cells})
        """Whether the run writes the watched unit as a branch."""
        self.watched = "the branch" if self.branch or self.at is None else self.place(self.at)

    # - what the caches hold

    def words(self, state: State) -> Residencies:
        """What the caches hold of the watched unit."""
        cores = range(self.model.scenario.cores)
        return Residencies(
            tuple(self._icache(state, core) for core in cores),
            tuple(self._ahead(state, core) for core in cores),
            tuple(self._buffer(state, core) for core in cores),
            self._dcache(state),
            self.word(state.memory.memory, self.cells),
        )

    def _icache(self, state: State, core: int) -> Residency:
        lines = [state.memory.icache[core][self.model.cells.iline_of[core][cell]] for cell in self.cells]
        if not lines or None in lines:
            return "absent"
        return self.word(self._cached(state, core), self.cells)

    def _ahead(self, state: State, core: int) -> Residency:
        queue = state.memory.ahead[core]
        if queue is None or self.at is None or queue[0] != self.at[0]:
            return "absent"
        if not 0 <= self.at[1] - queue[1] < len(queue[2]):
            return "absent"
        return self.word(self._fetched_ahead(state, core), self.cells)

    def _buffer(self, state: State, core: int) -> Residency:
        return self.word(_seen(state, core), self.cells) if _buffered(state, core, self.cells) else "absent"

    def _dcache(self, state: State) -> Residency:
        lines = {self.model.cells.dline_of[cell] for cell in self.cells}
        held = lines and all(state.memory.owner[line] >= 0 or state.memory.copies[line] for line in lines)
        return self.word(state.memory.data, self.cells) if held else "absent"

    def _cached(self, state: State, core: int) -> Sequence[int]:
        """The values of all cells as the instruction cache of ``core`` holds them; final where it does not."""
        values = list(self.model.final)
        for line, held in enumerate(state.memory.icache[core]):
            for cell, value in zip(self.model.cells.iline_cells[core][line], held or (), strict=False):
                values[cell] = value
        return values

    def _fetched_ahead(self, state: State, core: int) -> Sequence[int]:
        """The values of all cells as ``core`` has fetched them ahead; final where it has not."""
        values = list(self.model.final)
        queue = state.memory.ahead[core]
        if queue is not None:
            tb, position, held = queue
            for index, unit in enumerate(held):
                for cell, value in zip(self.model.units[tb][position + index], unit, strict=True):
                    values[cell] = value
        return values

    def _fills(self, state: State) -> Sequence[int]:
        """What instruction lines are filled from."""
        caches: Caches = state.memory
        return caches.data if self.coherent else caches.memory

    def _supplies(self, state: State, core: int, at: At) -> tuple[Sequence[int], str]:
        """The values that a fetch of ``core`` is given, and why those."""
        queue = state.memory.ahead[core]
        if queue is not None and queue[:2] == at:
            return self._fetched_ahead(state, core), "the core had fetched it ahead, and nothing made it fetch again"
        if None not in [state.memory.icache[core][self.model.cells.iline_of[core][cell]] for cell in self.cells_of(at)]:
            return self._cached(state, core), "its instruction cache still holds the line"
        return self._fills(state), f"the instruction line is absent, so that it is filled from {self.source}"

    def supplied(self, state: State) -> tuple[tuple[WatchedValue, ...], WatchedValue | None]:
        """What each core would fetch as the watched unit, and the newest value of it."""
        if self.at is None:
            return (), None
        supplies = (self._supplies(state, core, self.at)[0] for core in range(self.model.scenario.cores))
        *fetched, newest = (
            WatchedValue(self.instruction(values, self.at), self.is_final(values, self.cells))
            for values in (*supplies, state.memory.data)
        )
        return tuple(fetched), newest

    def fetched(self, last: Move, at: At) -> int | None:
        """The wrong value of a unit that the last step fetched."""
        return self.whole(self._supplies(last.before, last.event.core, at)[0], at)

    def _holds(self, values: Sequence[int], at: At | None = None) -> str:
        """The value of a unit, and where it lies if it is not the watched one."""
        at = self.at if at is None else at
        if at is None:
            return "the final value"
        return self.value(values, at) if at == self.at else f"{self.value(values, at)} at {self.place(at)}"

    def _memory_holds(self, state: State, at: At | None = None) -> str:
        return f"memory now holds {self._holds(state.memory.memory, at)}"

    # - the environment

    def environment_reason(self, move: Move) -> Reason:
        """Why the environment may do this, and what comes of it."""
        after, event = move.after, move.event
        cells = line_cells(self.model, event)
        at = self.subject(cells) if cells else None
        memory = self._memory_holds(after, at)
        match event.kind:
            case Kind.WRITE_BACK if move.before.memory.owner[event.line] == event.core:
                causes = "an interrupt, a task switch, another line that needs the place"
                return f"a dirty line may be written back and dropped at any time ({causes})", memory
            case Kind.WRITE_BACK:
                return ("a clean line may be dropped at any time; the next store there misses, and does not allocate",)
            case Kind.DROP:
                return ("an instruction line may be dropped at any time; the next fetch fills it anew",)
            case Kind.FILL:
                holds = self._holds(self._fills(after), at)
                return (f"an instruction line may be filled at any time, from {self.source}, which holds {holds}",)
            case Kind.LOAD:
                causes = "other code, a neighbour of the line, speculation"
                return (
                    f"any data line may be loaded at any time ({causes}); the next store hits, and stays there",
                    memory,
                )
            case Kind.AHEAD:
                queue = after.memory.ahead[event.core]
                assert queue is not None
                newest = queue[0], queue[1] + len(queue[2]) - 1
                holds = self._holds(self._fetched_ahead(after, event.core), newest)
                return (f"a core may fetch ahead; it now holds {holds}, and no store or invalidation reaches it there",)
            case Kind.DRAIN:
                return "stores drain in order", *self._drained(move)
            case Kind.COMPLETE:
                return (
                    "maintenance may complete before its barrier",
                    memory if event.detail == 0 else "the next fetch there fills the line anew",
                )
        moved = TIME_SLICES if event.kind is Kind.SWITCH else KERNEL_MOVES
        if self.model.features.switch_cleans_all:
            return moved, "a switch of address space on this host cleans and invalidates its caches", memory
        return moved, ", and it starts with nothing fetched ahead"

    def _drained(self, move: Move) -> Reason:
        oldest = move.before.memory.buffers[move.event.core][0]
        if not oldest.puts:
            return self._same_bytes(move, move)
        return self._stored([move], [self.unit_of[oldest.puts[0].cell]], branches=self.branch)

    # - threads

    def program_reason(self, group: Sequence[Move]) -> Reason:
        """Why a thread may, and what comes of it."""
        last = group[-1]
        does = actions_of(group)
        match does[0]:
            case actions.FetchUnit():
                return self._fetch_reason(group)
            case actions.AcquireLock() as take:
                return self._taken(last, take)
            case actions.ReleaseLock(lock):
                others = self._other_sharers(last, lock)
                rest = f"{listed(others)} still {share(others)} it" if others else "others may take it now"
                return "it is not needed any longer", rest
            case action if action.reason:
                return (action.reason,)
            case actions.BeginTranslation() if len(does) == 1:
                return ("it was discarded, and nobody else is translating it",)
            case actions.BeginTranslation() | actions.EndTranslation():
                return ("its translation is complete, and it may run again",)
        if any(isinstance(action, actions.IssueStore | actions.LoadUnit) for action in does):
            return self._access_reason(group)
        return tuple(self._maintenance_reason(last, does))

    def _taken(self, move: Move, take: actions.AcquireLock) -> Reason:
        if not take.shared:
            return ("nobody else holds it",)
        others = self._other_sharers(move, take.lock)
        return (
            f"it may be shared, and {listed(others)} {share(others)} it too" if others else "nobody holds it alone",
        )

    def _other_sharers(self, move: Move, lock: int) -> tuple[str, ...]:
        sharers = self.sharers(move.after, lock)
        return tuple(thread_name(thread) for thread in sharers if thread != move.event.thread)

    def _maintenance_reason(self, last: Move, does: Sequence[Action]) -> Reason:
        """Of cleans, invalidations, barriers and synchronisations, as far as the row has come."""
        clauses = []
        pending = {item.target < 0 for item in last.after.memory.pending[last.event.core]}
        issues = any(isinstance(action, actions.CleanLine | actions.InvalidateLines) for action in does)
        if issues and pending:
            if len(pending) == 2:
                clauses.append("the clean and the invalidation are under way until a barrier waits for them")
            else:
                what = "clean" if True in pending else "invalidation"
                clauses.append(f"the {what} is under way until a barrier waits for it")
        elif any(isinstance(action, actions.DataBarrier) for action in does):
            holds = self._holds(last.after.memory.memory)
            clauses.append(f"the barrier has waited for this core's stores and maintenance; memory holds {holds}")
        elif issues:
            clauses.append("no core that runs the process holds the line")
        if last.after.deferred and any(isinstance(action, actions.InvalidateLines) for action in does):
            clauses.append("the other cores drop their lines when they next run the process")
        if any(isinstance(action, actions.SyncAllCores) for action in does):
            clauses.append("no core keeps what it has fetched ahead")
        elif any(isinstance(action, actions.SyncContext) for action in does):
            clauses.append("this core keeps nothing of what it has fetched ahead")
        return tuple(clauses) or (f"memory holds {self._holds(last.after.memory.memory)}",)

    # - stores and loads

    def _access_reason(self, group: Sequence[Move]) -> Reason:
        first, last = group[0], group[-1]
        assert first.step is not None
        label = first.step.label
        stores = [move for move in group if move.step is not None and isinstance(move.step.action, actions.IssueStore)]
        if not label.followed:
            return "another instruction, followed in a search of its own", *self._line_changes(first, last)
        if stored := self.live(stores):
            return self._stored(group, stored, branches=label.phase in _BRANCHES)
        if loaded := self.live(group):
            return self._loaded(first, last, loaded[0])
        if label.in_scratch:
            return ("nobody executes the scratch buffer, and the code stays as it is",)
        if all(isinstance(action, actions.LoadUnit) for action in actions_of(group)):
            return "a load changes no code", *self._line_changes(first, last)
        return self._same_bytes(first, last)

    def _same_bytes(self, first: Move, last: Move) -> Reason:
        same, core = "the same bytes as before", last.event.core
        if len(last.after.memory.buffers[core]) > len(first.before.memory.buffers[core]):
            return same, "the store waits in the store buffer"
        if changes := self._line_changes(first, last):
            return same, *changes
        if self.at is None or (last.step is not None and last.step.label.phase in _BRANCHES):
            return (same,)
        return same, f", and none of {self.watched}"

    def _memory_changes(self, first: Move, last: Move) -> bool:
        return self.word(first.before.memory.memory, self.cells) != self.word(last.after.memory.memory, self.cells)

    def _line_changes(self, first: Move, last: Move) -> Reason:
        """What an access to its neighbours does to the line of the watched unit."""
        changes: Reason = ()
        now = self._dcache(last.after)
        if self._memory_changes(first, last):
            changes = (self._memory_holds(last.after),)
        elif self._dcache(first.before) != now == "absent":
            changes = ("the data cache no longer holds it",)
        elif self._dcache(first.before) != now:
            dirty = any(last.after.memory.owner[self.model.cells.dline_of[cell]] >= 0 for cell in self.cells)
            holds = self._holds(last.after.memory.data)
            changes = (f"the data cache now holds that,{' dirty,' * dirty} with {holds}",)
        changes += self._dropped(first, last)
        return (f", but in the line of {self.watched}: ", *changes) if changes else ()

    def _dropped(self, first: Move, last: Move) -> Reason:
        """A store that drops the line of the watched unit from instruction caches (rule 3)."""
        cores = tuple(
            core
            for core in range(self.model.scenario.cores)
            if self._icache(first.before, core) != "absent" and self._icache(last.after, core) == "absent"
        )
        if not cores:
            return ()
        several = self.model.scenario.cores > 1
        of = f" of core{'s' if len(cores) > 1 else ''} {listed(map(str, cores))}" if several else ""
        return (f"the store drops the line from the instruction cache{of}",)

    def _loaded(self, first: Move, last: Move, at: At) -> Reason:
        clauses = [f"the load reads {self._holds(_seen(first.before, last.event.core), at)}"]
        if self._dcache(first.before) != self._dcache(last.after) != "absent":
            clauses.append(", and brings its line into the data cache")
        if self._memory_changes(first, last):
            clauses.append(self._memory_holds(last.after))
        return tuple(clauses)

    def _stored(self, group: Sequence[Move], units: Sequence[At], *, branches: bool) -> Reason:
        """What the stores to live ``units`` of a row lead to, and of the watched one even if it is not among them."""
        first, last = group[0], group[-1]
        clauses: list[str] = []
        for at in units:
            if at != self.at:
                clauses.append(f"another {'branch' if branches else 'unit'}, at {self.place(at)}, is stored: ")
            clauses += (*self._read_before(group, at), self._kept(last, at))
        if self.at is not None and self.at not in units:
            same = self._dcache(first.before) == self._dcache(last.after) and not self._memory_changes(first, last)
            line = ("the watched one is in its line: ", self._kept(last, self.at))
            clauses += ("the watched one is as before",) if same else line
        return *clauses, *self._dropped(first, last)

    def _read_before(self, group: Sequence[Move], at: At) -> Reason:
        """The load of a read-modify-write: in this row, or in an earlier one."""
        cells, last = self.cells_of(at), group[-1]
        core, line = last.event.core, self.model.cells.dline_of[cells[0]]
        does = [(move, move.step.action) for move in group if move.step is not None]
        for move, action in does:
            if isinstance(action, actions.LoadUnit) and action.cells == cells:
                absent = move.before.memory.owner[line] < 0 and not move.before.memory.copies[line] >> core & 1
                if absent and not self.model.features.write_allocate and last.after.memory.owner[line] == core:
                    return ("its load brings the line into the data cache, and its store stays there",)
                was_final = self.is_final(_seen(move.before, core), cells)
                spoilt = was_final and not self.is_final(_seen(last.after, core), cells)
                already = "it has its final value already when it is" if spoilt else "it is"
                return (f"{already} loaded, changed and stored",)
        for move, action in does:
            if any(put.cell in cells for put in puts_of(action)):
                earlier = move.earlier.action if move.earlier is not None else None
                if isinstance(earlier, actions.LoadUnit) and earlier.cells == cells:
                    return ("what was loaded before is changed and stored",)
        return ()

    def _kept(self, last: Move, at: At) -> str:
        """Where the newest value of a unit is after a store."""
        after, cells = last.after, self.cells_of(at)
        if _buffered(after, last.event.core, cells):
            return "the store waits in the store buffer, where only its own core sees it"
        data, memory = self.value(after.memory.data, at), self.value(after.memory.memory, at)
        if after.memory.owner[self.model.cells.dline_of[cells[0]]] < 0:
            through = self.model.features.write_through
            why = "the data cache writes through" if through else "a store that misses does not allocate"
            return f"{why}, so that memory now holds {memory}"
        if data == memory:
            return f"the data cache and memory now hold {data}"
        return f"the line is dirty in the data cache with {data}; memory keeps {memory}"

    # - executions

    def _fetch_reason(self, group: Sequence[Move]) -> Reason:
        move = self._decisive(group)
        assert move.step is not None
        assert isinstance(move.step.action, actions.FetchUnit)
        if move.step.action.position is None:
            return ("no instruction of it ever changes",)
        at = move.step.action.tb, move.step.action.position
        values, why = self._supplies(move.before, move.event.core, at)
        runs = f": it runs {self._holds(values, at)}"
        if move.transition.wrong is None:
            return why, runs
        return why, f"{runs} in place of {self.instruction(self.model.final, at)}"

    def _decisive(self, group: Sequence[Move]) -> Move:
        """The fetch that an execution is explained by: a wrong one, else that of the watched unit, else the last."""
        for move in group:
            if move.transition.wrong is not None:
                return move
        for move in group:
            match move.step.action if move.step is not None else None:
                case actions.FetchUnit(tb, position) if (tb, position) == self.at:
                    return move
        return group[-1]


_BRANCHES = (Phase.BRANCH, Phase.BRANCH_UPDATE)


def _buffered(state: State, core: int, cells: Sequence[int]) -> bool:
    """Whether a store to some of the cells waits in the buffer of a core."""
    return any(put.cell in cells for stored in state.memory.buffers[core] for put in stored.puts)


def _seen(state: State, core: int) -> Sequence[int]:
    """The values of all cells as loads of ``core`` see them: its buffered stores over the newest data."""
    values = list(state.memory.data)
    for stored in state.memory.buffers[core]:
        for put in stored.puts:
            values[put.cell] = put.onto(values[put.cell])
    return values
