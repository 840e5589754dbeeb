"""What an architecture allows to be fetched and to be visible, in the rows of any other run."""

from __future__ import annotations

from collections.abc import Sequence

from bench.explain.explanation import Residency
from bench.explain.run import KERNEL_MOVES, TIME_SLICES, At, Explainer, Move, Reason, Residencies, actions_of
from bench.machine import Kind, State
from bench.machine.actions import FetchUnit
from bench.machine.allowed import Allowed
from bench.machine.architecture import fetchable
from bench.machine.memory import Put

_ENVIRONMENT = {
    Kind.AHEAD: "a core may fetch what comes next at any time, and any store at or above its floor",
    Kind.DRAIN: "stores become visible at any time",
    Kind.SWITCH: TIME_SLICES,
    Kind.MOVE: KERNEL_MOVES,
}

_NOTE = (
    "No caches are meant. icache: ok where a fetch of that core can return the final value alone, absent where it "
    "can return\nanother store too. dcache: the newest store that is visible. mem/L2: the oldest that an "
    "invalidation lets be fetched."
)
"""How to read the words."""


class AllowedExplainer(Explainer):
    """There are no caches: the words say what may be fetched, and what an invalidation lets be fetched."""

    note = _NOTE

    def words(self, state: State) -> Residencies:
        """What may be fetched as the watched unit, and what is visible of it."""
        memory: Allowed = state.memory
        cores = range(len(state.running))
        newest = self.newest(state)
        floor = [history[clean] for history, clean in zip(memory.history, memory.clean, strict=True)]
        return Residencies(
            tuple(self._icache(memory, core) for core in cores),
            tuple(self._ahead(memory, core) for core in cores),
            tuple(self._buffer(memory, core, newest) for core in cores),
            self.word(newest, self.cells),
            self.word(newest if self.model.architecture.idc else floor, self.cells),
        )

    def _icache(self, memory: Allowed, core: int) -> Residency:
        may = (fetchable(memory, self.model.architecture, core, cell) for cell in self.cells)
        final = all({*some} == {self.model.final[cell]} for some, cell in zip(may, self.cells, strict=True))
        return "ok" if final else "absent"

    def _ahead(self, memory: Allowed, core: int) -> Residency:
        for unit, values in memory.ahead[core]:
            if unit == self.at:
                return "ok" if values == tuple(self.model.final[cell] for cell in self.cells) else "wrong"
        return "absent"

    def _buffer(self, memory: Allowed, core: int, newest: Sequence[int]) -> Residency:
        stores = [entry for entry in memory.buffers[core] if isinstance(entry, Put) and entry.cell in self.cells]
        values = list(newest)
        for put in stores:
            values[put.cell] = put.onto(values[put.cell])
        return self.word(values, self.cells) if stores else "absent"

    def fetched(self, last: Move, at: At) -> int | None:
        """The wrong value that the last step fetched: that of the queue before it, or the one that its event names."""
        memory: Allowed = last.before.memory
        event = last.event
        queue, cells = memory.ahead[event.core], self.cells_of(at)
        if queue and queue[0][0] == at:
            return sum(queue[0][1])
        if len(cells) > 1:
            return None
        return fetchable(memory, self.model.architecture, event.core, cells[0])[event.line]

    def environment_reason(self, move: Move) -> Reason:
        """Why it may happen now."""
        if move.event.kind is Kind.COMPLETE:
            if not move.event.detail:
                return ("a clean may complete before its barrier",)
            return ("an invalidation reaches one core after the other, at any time before its barrier",)
        return (_ENVIRONMENT[move.event.kind],)

    def program_reason(self, group: Sequence[Move]) -> Reason:
        """Whether what is fetched is final."""
        if not any(isinstance(action, FetchUnit) for action in actions_of(group)):
            return ("the program goes on",)
        wrong = any(move.transition.wrong is not None for move in group)
        return (f"it fetches {'a value that is not the final one' if wrong else 'the final value'}",)
