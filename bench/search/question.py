"""What a search looks for, and what it leaves out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.machine import Kind, Model, Transition, lasting

Failure = Literal["wrong fetch", "lasting"]

UNSEEN = frozenset({Kind.WRITE_BACK, Kind.DROP, Kind.FILL, Kind.LOAD, Kind.AHEAD})
"""The steps of the environment that neither the data side nor a waiting thread can notice.

They move values from the data side to the point of unification and to instruction caches and queues.  Loads read the
data side alone, and what is fetched never decides which step of a program comes next; so nothing that comes of them is
ever stored, and the other steps are enough to know what the data side can come to hold.
"""

UNASKED = frozenset({Kind.FILL, Kind.AHEAD})
"""The steps by which something is fetched that nobody executes."""


@dataclass(frozen=True, slots=True)
class Question:
    """``wrong fetch``: is a unit fetched that is not what it should be?  ``lasting``: is the data side wrong in quiet?

    ``concerned``: only units at these offsets (bytes from the start of their block) count; None: all do.  ``without``:
    steps that the environment is not to take.
    """

    failure: Failure = "wrong fetch"
    concerned: frozenset[int] | None = None
    without: frozenset[Kind] = frozenset()

    def concerns(self, model: Model, tb: int, position: int) -> bool:
        """Whether a live unit counts."""
        return self.concerned is None or model.unit_at[tb][position].offset in self.concerned

    def cells(self, model: Model) -> frozenset[int]:
        """The cells of the units that count."""
        return frozenset(
            cell
            for tb, units in enumerate(model.units)
            for position, cells in enumerate(units)
            if self.concerns(model, tb, position)
            for cell in cells
        )

    def fails(self, model: Model, transition: Transition) -> bool:
        """Whether a step is the last of a counterexample."""
        if self.failure == "wrong fetch":
            return transition.wrong is not None and self.concerns(model, *transition.wrong)
        if not lasting(model, transition.state):
            return False
        data = model.memory.newest(transition.state.memory)
        return any(data[cell] != model.final[cell] for cell in self.cells(model))
