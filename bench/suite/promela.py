"""A model in Promela, SPIN's language: the rules of ``bench/machine.py`` written down once more, for SPIN's verifier.

Each thread is a process whose control states are the places of its program; the environment is one more.  A step of the
machine is one ``d_step``, so that states and steps are the same as ours: SPIN has to find as many states, and a
shortest counterexample of the same length.  The values of a cell are numbered, and 0 is the final one.

Not every model can be written so (``refuse_unwritable``).
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.machine.actions import (
    AcquireLock,
    CleanLine,
    DataBarrier,
    FetchUnit,
    InvalidateLines,
    IssueStore,
    LoadUnit,
    NoEffect,
    ReleaseLock,
    SyncAllCores,
    SyncContext,
)
from bench.machine.memory import Stored
from bench.machine.model import Action, Model
from bench.scenarios import Role
from strategies.operations import Scope


class UnwritableError(Exception):
    """The model has something that is not written down in Promela here; the message says what."""


def refuse_unwritable(model: Model) -> None:
    """Raise ``UnwritableError`` for what SPIN is not told of.

    That is: store buffers, caches in which a clean data line makes a difference, flushes of the code buffer, threads
    that share cores or move, and more than one live unit in a block, or in pieces (so that a queue holds one cell).
    """
    for what, there in (
        ("a store buffer", model.features.store_buffer > 0),
        ("clean data lines", model.features.keeps_copies),
        ("flushes of the code buffer", model.scenario.flushes > 0),
        ("threads that move", model.scenario.moves),
        ("threads that share a core", len(model.programs) != model.scenario.cores),
        ("several live units in a block", any(len(units) > 1 for units in model.units)),
        ("a unit in several lines", any(len(cells) > 1 for units in model.units for cells in units)),
    ):
        if there:
            raise UnwritableError(f"{what}: not written down in Promela")


def promela(model: Model, concerned: frozenset[int]) -> str:
    """The model, with an assertion at each fetch of a cell of ``concerned``.  Raises ``UnwritableError``."""
    refuse_unwritable(model)
    return "\n".join(_Text(model, concerned).lines()) + "\n"


class _Text:
    """``values``: what each cell can hold, the final value first; ``places``: the places of each thread, from its
    start."""

    def __init__(self, model: Model, concerned: frozenset[int]) -> None:
        self.model = model
        self.concerned = concerned
        self.values, self.places = _reachable(model)
        self.most = max(map(len, self.values), default=1)
        self.dlines = range(len(model.cells.dline_cells))
        self.cores = range(model.scenario.cores)
        self.fetches_ahead = model.features.fetches_ahead

    def lines(self) -> Iterator[str]:
        """The text, line by line."""
        yield "/* d, m: the newest value of a cell, and what memory holds; o: the owner of a dirty data line; i: a cell"
        yield "   of an instruction line, a: a unit fetched ahead (both 0: absent); c, x: a clean and an invalidation"
        yield "   that are pending; l, s: who has a lock alone, or shares it; f: a thread has finished. */"
        for cell in range(len(self.model.final)):
            yield f"byte d{cell}, m{cell};"
        for line in self.dlines:
            yield f"byte o{line};"
        for core in self.cores:
            for cell in range(len(self.model.final)):
                yield f"byte i{core}_{cell};"
            if self.fetches_ahead:
                yield f"byte a{core};"
            for line in self.dlines:
                yield f"bit c{core}_{line};"
            for target in self.cores:
                for line in range(len(self.model.cells.iline_cells[target])):
                    yield f"bit x{core}_{target}_{line};"
        for lock in range(len(self.model.locks)):
            yield f"byte l{lock};"
            for thread in range(len(self.model.programs)):
                yield f"bit s{lock}_{thread};"
        for thread in range(len(self.model.programs)):
            yield f"bit f{thread};"
        for thread in range(len(self.model.programs)):
            yield from self._thread(thread)
        steps = [f"  :: d_step {{ {guard} -> {effect} }}" for guard, effect in self._environment()]
        if steps:
            yield from ("active proctype environment()", "{", "  do", *steps, "  od", "}")

    # - threads

    def _thread(self, thread: int) -> Iterator[str]:
        program, core = self.model.programs[thread], self.model.home[thread]
        yield f"active proctype thread{thread}()"
        yield "{"
        for number in self.places[thread]:
            steps = program.place(number).steps
            if not steps:
                yield f"end{number}: P{number}: false;"
                continue
            yield f"P{number}: if"
            for step in steps:
                action = step.action
                ways = [("true", step.after(0))]
                if isinstance(action, LoadUnit) and action.cells:
                    (cell,) = action.cells
                    found = [(f"d{cell} == {n}", step.after(value)) for n, value in enumerate(self.values[cell])]
                    ways = [way for way in found if way[1] in self.places[thread]]
                for condition, after in ways:
                    guard = " && ".join([condition, *self._guard(core, thread, action)])
                    effect = [*self._effect(core, thread, action)]
                    if program.place(after).finished:
                        effect.append(f"f{thread} = 1")
                    yield f"  :: d_step {{ {guard} -> {'; '.join(effect) or 'skip'} }}; goto P{after}"
            yield "  fi;"
        yield "}"

    def _guard(self, core: int, thread: int, action: Action) -> Iterator[str]:
        """What a thread's step waits for."""
        match action:
            case DataBarrier():
                yield from (f"!c{core}_{line}" for line in self.dlines)
                for target in self.cores:
                    lines = range(len(self.model.cells.iline_cells[target]))
                    yield from (f"!x{core}_{target}_{line}" for line in lines)
            case AcquireLock(lock, shared):
                yield f"l{lock} == 0"
                if not shared:
                    yield from (f"!s{lock}_{other}" for other in range(len(self.model.programs)))

    def _effect(self, core: int, thread: int, action: Action) -> Iterator[str]:
        """The statements of a thread's step."""
        match action:
            case FetchUnit(tb, position):
                yield from self._fetch(core, tb, position)
            case IssueStore(Stored((put,))):
                cell, cells = put.cell, self.model.cells
                line = cells.dline_of[cell]
                new = [self.values[cell].index(put.onto(old)) for old in self.values[cell]]
                yield from self._taken_over(core, line)
                yield f"d{cell} = {_chosen(f'd{cell}', new)}"
                yield from self._owned(core, line)
                yield from self._snooped(core, [(other, cells.iline_of[other][cell]) for other in self.cores])
            case IssueStore(Stored((), lines, ilines)):
                for line in lines:
                    yield from self._taken_over(core, line)
                    yield from self._owned(core, line)
                hit = [(other, line) for other, held in enumerate(ilines) for line in held]
                yield from self._snooped(core, hit)
            case LoadUnit(_, lines):
                for line in lines:
                    yield from self._taken_over(core, line)
            case CleanLine(line):
                yield f"c{core}_{line} = 1"
            case InvalidateLines(ilines, scope):
                # Deferred or not: every core runs a thread.
                for target, held in enumerate(ilines):
                    if target == core or scope is not Scope.LOCAL:
                        yield from (f"x{core}_{target}_{line} = 1" for line in held)
            case SyncContext():
                yield from self._emptied(core)
            case SyncAllCores():
                for other in self.cores:
                    yield from self._emptied(other)
            case AcquireLock(lock, shared):
                yield f"s{lock}_{thread} = 1" if shared else f"l{lock} = {thread + 1}"
            case ReleaseLock(lock):
                yield f"l{lock} = 0"
                yield f"s{lock}_{thread} = 0"
            case DataBarrier() | NoEffect():
                pass
            case _:
                raise UnwritableError(f"{type(action).__name__}: not written down in Promela")

    def _fetch(self, core: int, tb: int, position: int | None) -> Iterator[str]:
        if position is not None:
            ((cell,),) = self.model.units[tb]
            check = "assert({})" if cell in self.concerned else "skip"
            through = f"{self._filled_if_absent(core, cell)}; {check.format(f'i{core}_{cell} == 1')}"
            if self.fetches_ahead:
                first, last = tb * self.most + 1, (tb + 1) * self.most
                queued = f"a{core} >= {first} && a{core} <= {last} -> {check.format(f'a{core} == {first}')}"
                yield f"if :: {queued} :: else -> {through} fi"
            else:
                yield through
        yield from self._emptied(core)

    def _emptied(self, core: int) -> Iterator[str]:
        if self.fetches_ahead:
            yield f"a{core} = 0"

    # - caches

    def _taken_over(self, core: int, line: int) -> Iterator[str]:
        """A line that another core owns goes from there: with ``dirty_transfer`` memory, by way of it."""
        if self.model.features.dirty_transfer == "memory" and not self.model.features.write_through:
            other = f"o{line} != 0 && o{line} != {core + 1}"
            yield f"if :: {other} -> {self._written_back(line)}; o{line} = 0 :: else fi"

    def _owned(self, core: int, line: int) -> Iterator[str]:
        """After a store."""
        yield self._written_back(line) if self.model.features.write_through else f"o{line} = {core + 1}"

    def _written_back(self, line: int) -> str:
        return "; ".join(f"m{cell} = d{cell}" for cell in self.model.cells.dline_cells[line])

    def _snooped(self, core: int, hit: list[tuple[int, int]]) -> Iterator[str]:
        snoop = self.model.features.snoop
        for other, line in hit:
            if snoop == "all" or (snoop == "others" and other != core):
                yield self._dropped(other, line)

    def _dropped(self, core: int, line: int) -> str:
        return "; ".join(f"i{core}_{cell} = 0" for cell in self.model.cells.iline_cells[core][line])

    def _filled(self, core: int, line: int) -> str:
        source = "d" if self.model.features.fill == "coherent" else "m"
        return "; ".join(f"i{core}_{cell} = {source}{cell} + 1" for cell in self.model.cells.iline_cells[core][line])

    def _filled_if_absent(self, core: int, cell: int) -> str:
        return f"if :: i{core}_{cell} == 0 -> {self._filled(core, self.model.cells.iline_of[core][cell])} :: else fi"

    # - the environment

    def _environment(self) -> Iterator[tuple[str, str]]:
        """What may happen at any time: when, and what it does."""
        for line in self.dlines:
            yield f"o{line} != 0", f"{self._written_back(line)}; o{line} = 0"
        for core in self.cores:
            for line, cells in enumerate(self.model.cells.iline_cells[core]):
                yield f"i{core}_{cells[0]} != 0", self._dropped(core, line)
                yield f"i{core}_{cells[0]} == 0", self._filled(core, line)
            for line in self.dlines:
                cleaned = f"if :: o{line} != 0 -> {self._written_back(line)}; o{line} = 0 :: else fi"
                yield f"c{core}_{line}", f"c{core}_{line} = 0; {cleaned}"
            for target in self.cores:
                for line in range(len(self.model.cells.iline_cells[target])):
                    yield f"x{core}_{target}_{line}", f"x{core}_{target}_{line} = 0; {self._dropped(target, line)}"
        if self.fetches_ahead:
            for thread, core in enumerate(self.model.home):
                for tb, units in enumerate(self.model.units):
                    for (cell,) in units:
                        fetched = f"a{core} = i{core}_{cell} + {tb * self.most}"
                        yield f"a{core} == 0 && !f{thread}", f"{self._filled_if_absent(core, cell)}; {fetched}"


def _reachable(model: Model) -> tuple[list[list[int]], list[list[int]]]:
    """The values that each cell can come to hold, and the places of each thread, both from the start on.

    By the stores and loads of the threads, in any order; what else they do and wait for is left out, so that it may be
    more than can be reached.  Raises ``UnwritableError`` for an executor that stores or loads.
    """
    values = [dict.fromkeys([value]) for value in model.final]
    places = [dict.fromkeys([start]) for start in model.starts]
    seen = {(model.starts, model.final)}
    pending = list(seen)
    while pending:
        at, data = pending.pop()
        for thread, program in enumerate(model.programs):
            alone = program.role is Role.EXECUTOR
            for step in program.place(at[thread]).steps:
                action, held, loaded = step.action, data, 0
                puts = action.stored.puts if isinstance(action, IssueStore) else ()
                if alone and (puts or (isinstance(action, LoadUnit) and action.cells)):
                    raise UnwritableError("an executor that stores or loads")
                for put in puts:
                    held = (*held[: put.cell], put.onto(held[put.cell]), *held[put.cell + 1 :])
                    values[put.cell][held[put.cell]] = None
                if isinstance(action, LoadUnit) and action.cells:
                    loaded = data[action.cells[0]]
                after = step.after(loaded)
                # Where executors are makes no difference to the others: one after the other is enough.
                if alone and after in places[thread]:
                    continue
                places[thread][after] = None
                state = (*at[:thread], after, *at[thread + 1 :]), held
                if state not in seen:
                    seen.add(state)
                    pending.append(state)
    return [list(held) for held in values], [list(known) for known in places]


def _chosen(name: str, by_value: list[int]) -> str:
    """An expression: ``by_value[name]``."""
    first, *others = by_value
    if all(other == first for other in others):
        return str(first)
    last = str(by_value[-1])
    for value in range(len(by_value) - 2, -1, -1):
        last = f"({name} == {value} -> {by_value[value]} : {last})"
    return last
