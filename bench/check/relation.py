"""The machine's transition relation in small integers, as far as a search has asked for it.

The values of every slot (``bench/check/footprint.py``) are numbered as they are met; a state is the vector of those
numbers.  A part of a step is a table from the numbers that it reads to the numbers that it writes.  ``Relation.learn``
asks ``bench/machine.py`` for what is not known yet of the steps of one state, and writes down what it has learnt in
``news``, for whoever keeps a faster copy (``bench/check/packing.py``).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bench.check.footprint import Cut, Local, Part, View
from bench.check.question import Question
from bench.machine import Kind, State, initial, step
from bench.program import Model
from bench.scenarios import Role

Numbers = tuple[int, ...]

DATA_WRONG, BUSY, UNFINISHED = 1, 2, 4
"""What a slot's value says of the state: a value that counts is wrong; somebody rewrites, or a store is buffered; a
retranslator has more to do."""


class Result(NamedTuple):
    """What a part writes: numbers, one for each of its slots; ``wrong``: a unit that counts is fetched wrong."""

    written: Numbers
    wrong: bool


@dataclass(eq=False, slots=True)
class Table:
    """What is known of a part: by the numbers that it reads, its result, or None where the step cannot be taken."""

    part: Part
    results: dict[Numbers, Result | None] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class LocalStep:
    """A step: its ``tables``, the first of which is the ``guard`` if it has one, and what it writes without reading.

    ``constant`` is that, by slot; None until the step has been seen taken.
    """

    local: Local
    guard: Table | None
    tables: tuple[Table, ...]
    constant: dict[int, int] | None = None

    @property
    def by_thread(self) -> bool:
        """Whether it is a thread's step, not the environment's."""
        return self.local.event.kind is Kind.PROGRAM


class NewValue(NamedTuple):
    """Slot ``slot`` can hold value ``number``, one more than the last; ``says`` are flags."""

    slot: int
    number: int
    says: int


class NewView(NamedTuple):
    """What a view shows of the values known so far is kept in ``Relation.shown``, and that of later ones."""

    view: View


class NewTable(NamedTuple):
    """A part was met."""

    table: Table


class NewSteps(NamedTuple):
    """The steps that a value of a slot drives."""

    slot: int
    number: int
    steps: tuple[LocalStep, ...]


class NewConstant(NamedTuple):
    """What a step writes without reading is known."""

    step: LocalStep


class NewResult(NamedTuple):
    """An entry of a table."""

    table: Table
    read: Numbers
    result: Result | None


News = NewValue | NewView | NewTable | NewSteps | NewConstant | NewResult


class Relation:
    """The transition relation of a model, as far as somebody has asked for it.

    ``driving``: the slots that drive steps; ``start``: the initial state; ``shown[view]``: what a view shows of each value
    of its slot, numbered.
    """

    def __init__(self, model: Model, question: Question) -> None:
        self.model = model
        self.question = question
        self.cut = Cut(model)
        self.news: list[News] = []
        self.shown: dict[View, list[int]] = {}
        self._aspects: dict[View, dict[Hashable, int]] = {}
        self._views: list[list[View]] = [[] for _ in self.cut.slots]
        self._values: list[list[Any]] = [[] for _ in self.cut.slots]
        self._numbers: list[dict[Any, int]] = [{} for _ in self.cut.slots]
        self._tables: dict[Hashable, Table] = {}
        self._steps: dict[tuple[int, int], tuple[LocalStep, ...]] = {}
        self._counting = question.cells(model)
        evictions, instructions = {Kind.WRITE_BACK}, {Kind.DROP, Kind.FILL}
        unseen = {"line": evictions <= question.without, "icache": instructions <= question.without}
        drivers = ("place", "running", "buffer", "pending", "line", "icache")
        self.driving = tuple(
            number for number, slot in enumerate(self.cut.slots)
            if slot.what in drivers and not unseen.get(slot.what, False)
        )  # fmt: skip
        self.start = self.numbers(initial(model))

    # - states

    def numbers(self, state: State) -> Numbers:
        """A state as numbers; values that were not met before are numbered."""
        return tuple(self._number(slot, value) for slot, value in enumerate(self.cut.values(state)))

    def state(self, numbers: Sequence[int]) -> State:
        """The state with these numbers."""
        return self.cut.state([values[number] for values, number in zip(self._values, numbers, strict=True)])

    def _number(self, slot: int, value: Any) -> int:
        number = self._numbers[slot].get(value)
        if number is None:
            number = self._numbers[slot][value] = len(self._values[slot])
            self._values[slot].append(value)
            for view in self._views[slot]:
                self._show(view, value)
            self.news.append(NewValue(slot, number, self._says(slot, value)))
        return number

    def _says(self, slot: int, value: Any) -> int:
        what, at, _ = self.cut.slots[slot]
        match what:
            case "place":
                program = self.model.programs[at]
                place = program.place(value)
                unfinished = program.role is not Role.EXECUTOR and not place.finished
                return (BUSY if place.rewriting else 0) | (UNFINISHED if unfinished else 0)
            case "buffer":
                return BUSY if value else 0
            case "line":
                held = zip(self.model.dline_cells[at], value[2], strict=True)
                wrong = any(cell in self._counting and newest != self.model.final[cell] for cell, newest in held)
                return DATA_WRONG if wrong else 0
        return 0

    # - steps

    def learn(self, numbers: Sequence[int]) -> None:
        """Ask the machine for what is not known yet of the steps of a state."""
        state: State | None = None
        values: list[Any] = []
        for slot in self.driving:
            for known in self._steps_at(slot, numbers[slot]):
                if known.guard is not None:
                    read = self._read(known.guard, numbers)
                    if read in known.guard.results and known.guard.results[read] is None:
                        continue
                if known.constant is not None and all(self._read(t, numbers) in t.results for t in known.tables):
                    continue
                if state is None:
                    state = self.state(numbers)
                    values = self.cut.values(state)
                self._ask(known, numbers, state, values)

    def _steps_at(self, slot: int, number: int) -> tuple[LocalStep, ...]:
        steps = self._steps.get((slot, number))
        if steps is None:
            found = self.cut.locals_at(slot, self._values[slot][number])
            wanted = (local for local in found if local.event.kind not in self.question.without)
            steps = self._steps[slot, number] = tuple(self._local_step(local) for local in wanted)
            self.news.append(NewSteps(slot, number, steps))
        return steps

    def _local_step(self, local: Local) -> LocalStep:
        guard = self._table(local.guard) if local.guard is not None else None
        tables = tuple(self._table(part) for part in local.parts if part.reads)
        return LocalStep(local, guard, (guard, *tables) if guard is not None else tables)

    def _table(self, part: Part) -> Table:
        table = self._tables.get(part.key)
        if table is None:
            for view in part.reads:
                if view not in self.shown:
                    self.shown[view], self._aspects[view] = [], {}
                    for value in self._values[view.slot]:
                        self._show(view, value)
                    self._views[view.slot].append(view)
                    self.news.append(NewView(view))
            table = self._tables[part.key] = Table(part)
            self.news.append(NewTable(table))
        assert table.part == part, part.key
        return table

    def _show(self, view: View, value: Any) -> None:
        aspects = self._aspects[view]
        self.shown[view].append(aspects.setdefault(self.cut.seen(view, value), len(aspects)))

    def _read(self, table: Table, numbers: Sequence[int]) -> Numbers:
        return tuple(self.shown[view][numbers[view.slot]] for view in table.part.reads)

    def _ask(self, known: LocalStep, numbers: Sequence[int], state: State, values: list[Any]) -> None:
        local = known.local
        taken = step(self.model, state, local.event)
        if taken is None or (local.only_if is not None and not local.only_if(state)):
            assert known.guard is not None, f"{local.event} cannot be taken, and nothing says when"
            self._result(known.guard, numbers, None)
            return
        after = self.cut.values(taken.state)
        written = {slot for part in local.parts for slot in part.writes}
        assert all(slot in written or new == old for slot, (new, old) in enumerate(zip(after, values, strict=True))), (
            f"{local.event} writes more than its footprint"
        )
        wrong = self.question.failure == "wrong fetch" and self.question.fails(self.model, taken)
        for table in known.tables:
            part = table.part
            result = Result(tuple(self._number(slot, after[slot]) for slot in part.writes), part.fetches and wrong)
            self._result(table, numbers, result)
        if known.constant is None:
            known.constant = {
                slot: self._number(slot, after[slot])
                for part in local.parts if not part.reads for slot in part.writes
            }  # fmt: skip
            self.news.append(NewConstant(known))

    def _result(self, table: Table, numbers: Sequence[int], result: Result | None) -> None:
        read = self._read(table, numbers)
        if read not in table.results:
            table.results[read] = result
            self.news.append(NewResult(table, read, result))
        assert table.results[read] == result, f"{table.part.key} reads more than its footprint"
