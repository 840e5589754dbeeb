"""Strategy x translator x host x scenario -> one finite program per thread.

A program is an automaton.  Its places are what is left to do; they are built as
they are reached and numbered.  The hooks of the strategy are asked for their
operations (``strategies/evaluation.py``) and lowered here to the steps that
the machine gives a meaning to: portable operations become what the host
does, units become *cells*, and what nobody can see is left out.

The projection.  A unit is *live* if some store of the scenario can change it.
A line is live if it holds a live unit.  Only live units and lines are state.  The
stores of one phase that touch no live unit are one step.  The fetch of a unit that
is not live is none: what it does to a live line, the environment can do too.

Where what a unit is loaded as decides nothing but what is stored to that unit, each live unit goes its own
way: a program may follow one of them (``followed``), and the others count as not live.  Their stores
still touch the lines that they lie in.

A cell is the part of a live unit that lies in one line of every cache: the whole
unit, but for a unit that crosses a line.  Such a unit is stored cell by cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple

from bench.hosts.profile import FlushRecipe, Target
from bench.machine import actions
from bench.machine.cells import Cells
from bench.machine.memory import Put, Stored
from bench.machine.model import Action, BranchTarget, Does, Label, Model, Place, Step, rules_of
from bench.program.effects import HookCall, LiveUnits, live_units, lock_names, refuse_unbalanced_locks
from bench.program.layout import CacheLines, Layout, LayoutName, Span
from bench.scenarios import Role, Scenario
from bench.translators.translator import Access, Code, GuestBits, Translator
from strategies import operations
from strategies.evaluation import Stretch, ask
from strategies.strategy import Strategy
from strategies.writes import Buffer, Form, Phase, Region, Unit, Write

# --- What does not depend on the host -----------------------------------------------------------------------------


class _Surveyed(NamedTuple):
    """The code buffer, the locks that the hooks take, and the units that they can change."""

    buffer: Buffer
    locks: tuple[str, ...]
    live: LiveUnits


@lru_cache(maxsize=64)
def _codes(
    translator: Translator, tbs: int, accesses: tuple[Access, ...], guarded: bool, guest_bits: GuestBits
) -> tuple[Code, ...]:
    """The blocks of a scenario."""
    return tuple(translator.block(tb, accesses, guarded=guarded, guest_bits=guest_bits) for tb in range(tbs))


@lru_cache(maxsize=256)
def _survey(strategy: Strategy, codes: tuple[Code, ...], flushes: bool) -> _Surveyed:
    """What the hooks of a strategy can do to these blocks; with ``flushes`` also those of a flush of the buffer."""
    buffer = Buffer(sum(code.size for code in codes), tuple(code.whole for code in codes))
    asked: list[HookCall] = []
    for code in codes:
        asked += ("retranslate", code.retranslated), ("enter", code.whole), ("leave", code.whole)
        if flushes:
            asked.append(("translate", code.whole))
    if flushes:
        asked.append(("flush_buffer", buffer))
    locks = lock_names(strategy, asked)
    refuse_unbalanced_locks(strategy, codes[0], buffer)
    return _Surveyed(buffer, locks, live_units(strategy, codes, asked))


# --- Places as continuations --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Frame:
    """A hook under way: its results so far and the operations done since the last of them."""

    hook: str
    argument: Any
    history: tuple[int, ...] = ()
    done: int = 0

    def after(self, stretch: Stretch, result: int) -> _Frame:
        """The same hook after the operation that was next."""
        if not stretch.ended and self.done + 1 == len(stretch.operations):
            return replace(self, history=(*self.history, result), done=0)
        return replace(self, done=self.done + 1)


@dataclass(frozen=True, slots=True)
class _Actions:
    """What an operation was lowered to, as far as it is still to be done."""

    actions: tuple[Action, ...]
    label: Label


@dataclass(frozen=True, slots=True)
class _Run:
    """What is left of an execution: the live units still to fetch."""

    tb: int
    path: str
    positions: tuple[int, ...]
    expected: int = 0
    started: bool = False


@dataclass(frozen=True, slots=True)
class _Translating:
    """After the translation of a discarded block."""

    tb: int


@dataclass(frozen=True, slots=True)
class _Idle:
    """Between executions: ``left`` retranslations to do (None: an executor), ``flushes`` allowed."""

    left: int | None
    flushes: int


_Item = _Frame | _Actions | _Run | _Translating | _Idle
_Stack = tuple[_Item, ...]


@dataclass
class Program:
    """The automaton of the threads of one role.  ``place(n)`` is place number n, built when it is first asked for."""

    compiler: Compiler
    role: Role
    _stacks: list[_Stack] = field(default_factory=list)
    _numbers: dict[_Stack, int] = field(default_factory=dict)
    _places: dict[int, Place] = field(default_factory=dict)

    def number(self, stack: _Stack) -> int:
        """The number of a place."""
        stack = self.compiler.settle(stack)
        if stack not in self._numbers:
            self._numbers[stack] = len(self._stacks)
            self._stacks.append(stack)
        return self._numbers[stack]

    def place(self, number: int) -> Place:
        """Place number ``number``."""
        place = self._places.get(number)
        if place is None:
            place = self._places[number] = self._build(self._stacks[number])
        return place

    def _build(self, stack: _Stack) -> Place:
        top = stack[0] if stack else None
        inside = (top.tb, top.expected) if isinstance(top, _Run) and top.started else None
        using = ("enter", "leave", "retranslate")
        occupies = any(isinstance(item, _Run) or (isinstance(item, _Frame) and item.hook in using) for item in stack)
        rewriting = False
        for item in stack:
            if isinstance(item, _Actions):
                continue
            if not isinstance(item, _Frame) or item.hook in ("enter", "leave", "flush_buffer"):
                break
            rewriting = rewriting or item.hook in ("translate", "retranslate")
        return Place(tuple(self.compiler.steps(self, stack)), inside, occupies, rewriting, not stack)


class Compiler:
    """Builds the model of one cell; ``Compiler(...).model`` is what the machine runs.

    ``followed``: the offsets of the live units that are state, None for all; ``live``: all of them.
    """

    def __init__(
        self,
        strategy: Strategy,
        translator: Translator,
        host: Target,
        scenario: Scenario,
        *,
        layout: LayoutName = "apart",
        offset: int = 0,
        start_at_fault: bool = False,
        accesses: Sequence[Access] = ("load",),
        guarded: bool = False,
        guest_bits: GuestBits = 32,
        followed: frozenset[int] | None = None,
    ) -> None:
        self.strategy = strategy
        self.scenario = scenario
        self.followed = followed
        self.recipe: FlushRecipe = host.runs_as(translator.isa).flush
        self.codes = _codes(translator, scenario.tbs, tuple(accesses), guarded, guest_bits)
        surveyed = _survey(strategy, self.codes, scenario.flushes > 0)
        self.buffer, self._locks, self.live = surveyed.buffer, surveyed.locks, surveyed.live
        ilines = [host.icache_line(core) for core in range(scenario.cores)]
        lines = {host.dcache_line, *ilines}
        self._layout = Layout(layout, self.codes, alignment=translator.alignment, spacing=max(lines), offset=offset)
        live = {at for at in self.live.at if followed is None or at[1] in followed}
        self._cells: dict[tuple[int, int], tuple[int, ...]] = {}
        self._cell_masks: list[int] = []
        finals: list[int] = []
        addresses: list[int] = []
        for code in self.codes:
            for unit in code.whole:
                if (unit.tb, unit.offset) in live:
                    numbers = []
                    for span, mask in self._split(unit, min(lines), translator.byteorder):
                        numbers.append(len(finals))
                        finals.append(unit.final & mask)
                        self._cell_masks.append(mask)
                        addresses.append(span.address)
                    self._cells[unit.tb, unit.offset] = tuple(numbers)
        self._dlines = CacheLines(addresses, host.dcache_line)
        self._ilines = tuple(CacheLines(addresses, line) for line in ilines)
        kept = tuple(tuple(unit for unit in code.whole if (unit.tb, unit.offset) in live) for code in self.codes)
        self._positions = tuple({unit.offset: n for n, unit in enumerate(units)} for units in kept)
        roles = {role: Program(self, role) for role in scenario.threads}
        programs = tuple(roles[role] for role in scenario.threads)
        self.model = Model(
            cells=Cells(
                final=tuple(finals),
                dline_of=self._dlines.of,
                dline_cells=self._dlines.cells,
                iline_of=tuple(known.of for known in self._ilines),
                iline_cells=tuple(known.cells for known in self._ilines),
                units=tuple(tuple(self._cells[u.tb, u.offset] for u in units) for units in kept),
            ),
            rules=rules_of(host),
            scenario=scenario,
            unit_at=kept,
            home=tuple(thread % scenario.cores for thread in range(len(programs))),
            locks=self._locks,
            programs=programs,
            starts=tuple(self._start(program, start_at_fault and not n) for n, program in enumerate(programs)),
        )

    # - projection

    def _split(self, unit: Unit, line: int, byteorder: str) -> Iterator[tuple[Span, int]]:
        """The cells of a unit: the parts of it that lie in one line, with the bits of the unit that they hold."""
        whole = self._layout.unit(unit)
        for block in whole.lines(line):
            first = max(whole.address, block * line)
            last = min(whole.address + whole.size, (block + 1) * line)
            low = first - whole.address if byteorder == "little" else whole.address + whole.size - last
            yield Span(first, last - first), ((1 << 8 * (last - first)) - 1) << 8 * low

    # - continuations

    def _start(self, program: Program, at_fault: bool) -> int:
        if program.role is Role.EXECUTOR:
            return program.number((_Idle(None, 0),))
        idle = _Idle(self.scenario.retranslations, self.scenario.flushes)
        if at_fault:
            idle = _Idle(self.scenario.retranslations - 1, self.scenario.flushes)
            return program.number((_Frame("retranslate", self.codes[0].retranslated), idle))
        return program.number((idle,))

    def settle(self, stack: _Stack) -> _Stack:
        """The same place in its one normal form: finished hooks gone, the next thing to do on top."""
        while stack and isinstance(stack[0], _Frame):
            frame = stack[0]
            stretch = ask(self.strategy, frame.hook, frame.argument, frame.history)
            if frame.done == len(stretch.operations):
                stack = stack[1:]
                continue
            operation = stretch.operations[frame.done]
            if isinstance(operation, operations.Load) and self._cells_of(operation.unit):
                return stack
            result = operation.unit.final if isinstance(operation, operations.Load) else 0
            rest = (frame.after(stretch, result), *stack[1:])
            if isinstance(operation, operations.Do):
                stack = (_Frame(operation.hook, operation.argument), *rest)
                continue
            found = tuple(actions.lowered(operation, self))
            if found:
                return self._merge_touches(_Actions(found, self._label(frame, operation, found[0])), rest)
            stack = rest
        return stack

    def _merge_touches(self, first: _Actions, rest: _Stack) -> _Stack:
        """Adjacent stores of one phase that touch no live unit are one step."""
        match first.actions:
            case (actions.IssueStore(Stored((), lines, ilines)),):
                settled = self.settle(rest)
                match settled[0] if settled else None:
                    case _Actions((actions.IssueStore(Stored((), more, imore)),), label) if label == first.label:
                        both = Stored(
                            (), _union(lines, more), tuple(_union(a, b) for a, b in zip(ilines, imore, strict=True))
                        )
                        return (_Actions((actions.IssueStore(both),), label), *settled[1:])
        return (first, *rest)

    def steps(self, program: Program, stack: _Stack) -> Iterator[Step]:
        """The steps possible at a place."""
        if not stack:
            return
        top, rest = stack[0], stack[1:]
        if isinstance(top, _Frame):
            yield self._load_step(program, stack)
        elif isinstance(top, _Actions):
            left = (_Actions(top.actions[1:], top.label), *rest) if top.actions[1:] else rest
            yield Step(top.actions[0], top.label, program.number(left))
        elif isinstance(top, _Run):
            yield self._run_step(program, top, rest)
        elif isinstance(top, _Translating):
            yield Step(actions.EndTranslation(top.tb), Label(Does.TRANSLATE, top.tb), program.number(rest))
        else:
            yield from self._choices(program, top)

    def _choices(self, program: Program, idle: _Idle) -> Iterator[Step]:
        """What a thread may do between executions: run a block; throw the buffer away; translate a block anew."""
        faults = idle.left is not None and idle.left > 0
        for code in self.codes:
            needs = code.tb if self.scenario.flushes else None
            seen: set[tuple[int, ...]] = set()
            for path in code.paths:
                if (path.name == "fault") is not faults:
                    continue
                positions = self._positions[code.tb]
                live = tuple(positions[offset] for offset in path.offsets if offset in positions)
                if live in seen:
                    continue
                seen.add(live)
                after: _Stack = (idle,)
                if faults:
                    assert idle.left is not None
                    after = (_Frame("retranslate", code.retranslated), _Idle(idle.left - 1, idle.flushes))
                elif idle.left is not None:
                    after = ()
                run = (_Frame("enter", code.whole), _Run(code.tb, path.name, live), _Frame("leave", code.whole), *after)
                for step in self.steps(program, self.settle(run)):
                    yield Step(step.action, step.label, step.then, needs)
            if self.scenario.flushes:
                anew = (_Frame("translate", code.whole), _Translating(code.tb), idle)
                yield Step(actions.BeginTranslation(code.tb), Label(Does.TRANSLATE, code.tb), program.number(anew))
        if idle.flushes:
            rest = (_Frame("flush_buffer", self.buffer), _Idle(idle.left, idle.flushes - 1))
            yield Step(actions.DiscardBuffer(), Label(Does.DISCARD), program.number(rest))

    def _run_step(self, program: Program, run: _Run, rest: _Stack) -> Step:
        label = Label(Does.EXECUTE, run.tb, run.path)
        if not run.positions:
            return Step(actions.FetchUnit(run.tb, None, run.expected), label, program.number(rest))
        position, left = run.positions[0], run.positions[1:]
        after = (_Run(run.tb, run.path, left, position + 1, True), *rest) if left else rest
        return Step(actions.FetchUnit(run.tb, position, run.expected), label, program.number(after))

    def _load_step(self, program: Program, stack: _Stack) -> Step:
        """The load of a live unit: the one operation whose result decides how the hook goes on."""
        frame, rest = stack[0], stack[1:]
        assert isinstance(frame, _Frame)
        stretch = ask(self.strategy, frame.hook, frame.argument, frame.history)
        operation = stretch.operations[frame.done]
        assert isinstance(operation, operations.Load)
        load = actions.LoadUnit(*self.loaded(operation.unit))
        return Step(
            load,
            self._label(frame, operation, load),
            lambda result: program.number((frame.after(stretch, result), *rest)),
        )

    def _label(self, frame: _Frame, operation: operations.Operation, action: Action) -> Label:
        """The label of an operation, of which the ``action`` is the first; a live unit may not be followed."""
        tb = frame.argument.tb if isinstance(frame.argument, Region) else 0
        if isinstance(frame.argument, Write):
            label = _label_of_write(frame.argument)
        elif isinstance(operation, operations.Flush):
            label = Label(Does.FLUSH, tb)
        elif isinstance(operation, operations.Store | operations.Load):
            label = Label(Does.STORE, tb, name=frame.hook)
        else:
            label = Label(Does.OPERATION, tb, name=action.called(self._locks))
        match operation:
            case operations.Store(unit) | operations.Load(unit) if not unit.in_scratch:
                at = unit.tb, unit.offset
                return replace(label, followed=at in self._cells or at not in self.live.at)
        return label

    # - placement (``actions.UnitPlacement``)

    def _cells_of(self, unit: Unit) -> tuple[int, ...]:
        """The cells of a unit, none if it is not live."""
        return () if unit.in_scratch else self._cells.get((unit.tb, unit.offset), ())

    def lock(self, name: str) -> int:
        """The number of a lock."""
        return self._locks.index(name)

    def puts(self, unit: Unit, mask: int, value: int) -> tuple[Put[int], ...]:
        """A store as one to each cell of a live unit."""
        parts = ((cell, mask & self._cell_masks[cell]) for cell in self._cells_of(unit))
        return tuple(Put(cell, value & part, part) for cell, part in parts if part)

    def loaded(self, unit: Unit) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The cells of a unit, and the data lines that it lies in."""
        return self._cells_of(unit), self._dlines.touched(self._layout.spans(unit))

    def touched(self, where: Unit | None) -> Stored:
        """A store to a unit that is not live, or beside all of them."""
        spans = self._layout.spans(where) if where is not None else ()
        return Stored((), self._dlines.touched(spans), tuple(known.touched(spans) for known in self._ilines))

    def data_lines(self, where: Unit | Region | Buffer) -> tuple[int, ...]:
        """The data lines that maintenance covers."""
        return self._dlines.touched(self._layout.spans(where))

    def instruction_lines(self, where: Unit | Region | Buffer) -> Iterator[tuple[tuple[int, ...], ...]]:
        """For each line of core 0 that maintenance covers: the lines at its address, by core.

        That is a loop that learned its line size once. A core with shorter lines keeps what lies between.
        """
        size = self._ilines[0].size
        for block in sorted({block for span in self._layout.spans(where) for block in span.lines(size)}):
            lines = tuple(known.touched((Span(block * size, 1),)) for known in self._ilines)
            if any(lines):
                yield lines

    def all_instruction_lines(self) -> tuple[tuple[int, ...], ...]:
        """All lines, by core."""
        return tuple(known.all for known in self._ilines)


def _label_of_write(write: Write) -> Label:
    target = None
    if write.phase is Phase.BRANCH or (write.phase is Phase.GUEST_BRANCH and not write.complete):
        whole = BranchTarget.TEMPORARY if write.form is Form.WHOLE else BranchTarget.KEPT
        target = BranchTarget.FINAL if write.complete else whole
    return Label(Does.WRITE, write.unit.tb, phase=write.phase, target=target, in_scratch=write.unit.in_scratch)


def _union(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted({*one, *other}))
