"""The machine's transition relation in small integers, as far as a search has asked for it.

The values of every slot (``bench/machine/footprint.py``) are numbered as they are met; a state is the vector of those
numbers.  A part of a step is a table from the numbers that it reads to the numbers that it writes.  ``Relation.learn``
asks the machine for what is not known yet of the steps of one state, and writes down what it has learnt in
``news``, for whoever keeps a faster copy (``bench/search/packing.py``).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bench.machine import Event, Kind, Model, State, Transition, initial, step
from bench.machine.footprint import Cut, Local, NotCompiledError
from bench.machine.slots import Part, View
from bench.scenarios import Role
from bench.search.question import Question
from bench.search.symmetry import Symmetry

Numbers = tuple[int, ...]

DATA_WRONG, BUSY, UNFINISHED = 1, 2, 4
"""What a slot's value says of the state: a value that counts is wrong; somebody rewrites, or a store is buffered; a
retranslator has more to do."""


class Result(NamedTuple):
    """What is written: numbers, one for each slot; ``wrong``: a unit that counts is fetched wrong."""

    written: Numbers
    wrong: bool


@dataclass(eq=False, slots=True)
class _Table:
    """What is known of a part: by the numbers that it reads, its result, or None where the step cannot be taken."""

    part: Part
    results: dict[Numbers, Result | None] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class LocalStep:
    """A step that a value of a driver leads to: what decides on it, ``reads``, beside the driver; what it ``writes``.

    ``results``: by what is read, what is written, or None where the step cannot be taken.
    """

    event: Event
    guard: _Table | None
    tables: tuple[_Table, ...]
    reads: tuple[View, ...]
    writes: Numbers
    results: dict[Numbers, Result | None] = field(default_factory=dict)


class NewValue(NamedTuple):
    """Slot ``slot`` can hold value ``number``, one more than the last; ``says`` are flags."""

    slot: int
    number: int
    says: int


class NewImage(NamedTuple):
    """A swap, by its number, makes value ``image`` of the slot that corresponds to ``slot`` of its value ``number``."""

    swap: int
    slot: int
    number: int
    image: int


class NewSteps(NamedTuple):
    """The steps that the values ``numbers`` of a driver, by its number, lead to."""

    driver: int
    numbers: Numbers
    steps: tuple[LocalStep, ...]


class NewResult(NamedTuple):
    """A result of a step."""

    step: LocalStep
    read: Numbers
    result: Result | None


News = NewValue | NewImage | NewSteps | NewResult


class Relation:
    """The transition relation of a model, as far as somebody has asked for it.

    ``swaps``: symmetries to keep the images of, if any.  Raises ``AsymmetryError`` when one turns out to be none.
    ``drivers``: the slots that lead to steps; ``start``: the initial state; ``shown[view]``: what a view shows of each
    value of its slot, numbered.
    """

    def __init__(self, model: Model, question: Question, swaps: Symmetry | None = None) -> None:
        self.model = model
        self.swaps = swaps
        self.question = question
        self.cut = Cut(model)
        self.news: list[News] = []
        self.shown: dict[View, list[int]] = {}
        self._aspects: dict[View, dict[Hashable, int]] = {}
        self._views: list[list[View]] = [[] for _ in self.cut.slots]
        self._values: list[list[Any]] = [[] for _ in self.cut.slots]
        self._numbers: list[dict[Any, int]] = [{} for _ in self.cut.slots]
        self._tables: dict[Hashable, _Table] = {}
        self._steps: dict[tuple[int, Numbers], tuple[LocalStep, ...]] = {}
        self._counting = question.cells(model)
        self._without = question.without
        kinds = {"line": {Kind.WRITE_BACK, Kind.LOAD}, "icache": {Kind.DROP, Kind.FILL}, "ahead": {Kind.AHEAD}}
        self.drivers = tuple(
            driver
            for driver in self.cut.drivers
            if not kinds.get(self.cut.slots[driver[-1]].what, {Kind.PROGRAM}) <= question.without
        )
        self.start = self.numbers(initial(model))

    # - states

    def numbers(self, state: State) -> Numbers:
        """A state as numbers; values that were not met before are numbered."""
        return tuple(self._number(slot, value) for slot, value in enumerate(self.cut.values(state)))

    def state(self, numbers: Numbers) -> State:
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
            for swap in range(len(self.swaps.swaps) if self.swaps is not None else 0):
                self._image(swap, slot, number)
        return number

    def _image(self, swap: int, slot: int, number: int) -> None:
        """What a swap makes of a value, and the value of that."""
        assert self.swaps is not None
        there, image = self.swaps.image(swap, self.cut, slot, self._values[slot][number])
        self.news.append(NewImage(swap, slot, number, self._number(there, image)))

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
                held = zip(self.model.cells.dline_cells[at], value[2], strict=True)
                wrong = any(cell in self._counting and newest != self.model.final[cell] for cell, newest in held)
                return DATA_WRONG if wrong else 0
        return 0

    # - steps

    def steps(self, numbers: Numbers) -> Iterator[tuple[Event, Numbers]]:
        """Every step of a state, in no particular order: its event, and the state after it."""
        self.learn(numbers)
        for number, driver in enumerate(self.drivers):
            for known in self._steps[number, tuple(numbers[slot] for slot in driver)]:
                result = known.results[self._read(known.reads, numbers)]
                if result is not None:
                    after = list(numbers)
                    for slot, written in zip(known.writes, result.written, strict=True):
                        after[slot] = written
                    yield known.event, tuple(after)

    def learn(self, numbers: Numbers) -> None:
        """Ask the machine for what is not known yet of the steps of a state."""
        state: State | None = None
        for number, driver in enumerate(self.drivers):
            for known in self._steps_at(number, tuple(numbers[slot] for slot in driver)):
                read = self._read(known.reads, numbers)
                if read in known.results:
                    continue
                if not self._compose(known, read, numbers):
                    state = state or self.state(numbers)
                    self._ask(known, read, numbers, state)

    def _steps_at(self, driver: int, numbers: Numbers) -> tuple[LocalStep, ...]:
        steps = self._steps.get((driver, numbers))
        if steps is None:
            slots = self.drivers[driver]
            values = tuple(self._values[slot][number] for slot, number in zip(slots, numbers, strict=True))
            wanted = (local for local in self.cut.locals_at(slots, values) if local.event.kind not in self._without)
            steps = self._steps[driver, numbers] = tuple(self._local_step(local, slots) for local in wanted)
            self.news.append(NewSteps(driver, numbers, steps))
        return steps

    def _local_step(self, local: Local, driver: tuple[int, ...]) -> LocalStep:
        guard = self._table(local.guard) if local.guard is not None else None
        tables = tuple(self._table(part) for part in local.parts)
        every = (guard, *tables) if guard is not None else tables
        views = dict.fromkeys(view for table in every for view in table.part.reads if view.slot not in driver)
        # Of a slot that is read as a whole no view is needed.
        reads = tuple(view for view in views if not view.aspect or View(view.slot) not in views)
        writes = tuple(dict.fromkeys(slot for table in tables for slot in table.part.writes))
        return LocalStep(local.event, guard, tables, reads, writes)

    def _table(self, part: Part) -> _Table:
        table = self._tables.get(part.key)
        if table is None:
            for view in part.reads:
                if view not in self.shown:
                    self.shown[view], self._aspects[view] = [], {}
                    for value in self._values[view.slot]:
                        self._show(view, value)
                    self._views[view.slot].append(view)
            table = self._tables[part.key] = _Table(part)
        assert table.part == part, part.key
        return table

    def _show(self, view: View, value: Any) -> None:
        aspects = self._aspects[view]
        self.shown[view].append(aspects.setdefault(self.cut.seen(view, value), len(aspects)))

    def _read(self, views: tuple[View, ...], numbers: Numbers) -> Numbers:
        return tuple(self.shown[view][numbers[view.slot]] for view in views)

    def _compose(self, known: LocalStep, read: Numbers, numbers: Numbers) -> bool:
        """Whether the step's result follows from those of its parts; if so it is one of its results."""
        if known.guard is not None:
            guarded = self._read(known.guard.part.reads, numbers)
            if guarded not in known.guard.results:
                return False
            if known.guard.results[guarded] is None:
                self._result(known, read, None)
                return True
        written: dict[int, int] = {}
        wrong = False
        for table in known.tables:
            result = table.results.get(self._read(table.part.reads, numbers))
            if result is None:
                return False
            written.update(zip(table.part.writes, result.written, strict=True))
            wrong = wrong or result.wrong
        self._result(known, read, Result(tuple(written[slot] for slot in known.writes), wrong))
        return True

    def _result(self, known: LocalStep, read: Numbers, result: Result | None) -> None:
        known.results[read] = result
        self.news.append(NewResult(known, read, result))

    def _ask(self, known: LocalStep, read: Numbers, numbers: Numbers, state: State) -> None:
        taken = step(self.model, state, known.event)
        if known.guard is not None:
            self._learnt(known.guard, numbers, None if taken is None else Result((), False))
        assert taken is not None or known.guard is not None, f"{known.event} cannot be taken, and nothing says when"
        if taken is not None:
            self._note_origin(state, taken)
            after = self.numbers(taken.state)
            written = set(known.writes)
            if not all(slot in written or after[slot] == old for slot, old in enumerate(numbers)):
                raise NotCompiledError(f"{known.event} writes more than its footprint")
            wrong = self.question.failure == "wrong fetch" and self.question.fails(self.model, taken)
            for table in known.tables:
                part = table.part
                result = Result(tuple(after[slot] for slot in part.writes), part.fetches and wrong)
                self._learnt(table, numbers, result)
        composed = self._compose(known, read, numbers)
        assert composed

    def _note_origin(self, before: State, taken: Transition) -> None:
        """How a place is reached says what a swap makes of it."""
        event, thread = taken.event, taken.event.thread
        if self.swaps is not None and event.kind is Kind.PROGRAM:
            origin = before.places[thread], event.detail, taken.result
            self.swaps.reached(self.model.programs[thread], taken.state.places[thread], origin)

    def _learnt(self, table: _Table, numbers: Numbers, result: Result | None) -> None:
        known = table.results.setdefault(self._read(table.part.reads, numbers), result)
        if known != result:
            raise NotCompiledError(f"{table.part.key} reads more than its footprint")
