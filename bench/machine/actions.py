"""What threads do: one class for each action, and all that is to be said of it.

``taken``      what it does: the states after it
``footprint``  what it reads and writes, for the compiled search, which refuses an action that does not say so
``renamed``    the same action with blocks, cells and lines that a symmetry exchanges
``name``       what an explanation calls it (``called``, if that depends on a lock), and its ``reason``

Those of protocols (``bench/protocols/operations.py``) are lowered to these in ``bench/protocols/lowering.py``, portable
operations (``strategies/operations.py``) by what is registered with ``lowered`` at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Protocol

from bench.hosts.profile import FlushRecipe
from bench.machine.footprint import CompiledAction, Cut, Taking
from bench.machine.memory import Put, Stored
from bench.machine.model import Action, Model, Taken
from bench.machine.renaming import Swap
from bench.machine.scheduling import arrived
from bench.machine.slots import ActionFootprint
from bench.machine.state import State, replaced, with_memory
from strategies import operations
from strategies.operations import Operation, Scope
from strategies.strategy import StrategyError
from strategies.writes import Buffer, Region, Unit

# --- Stores, loads and fetches --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IssueStore(CompiledAction):
    """One single-copy atomic store; ``release``: after all stores and cleans of this core before it."""

    stored: Stored
    release: bool = False

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        memory = model.memory.store(state.memory, core, self.stored, release=self.release)
        if memory is not None:
            yield with_memory(state, memory), 0, None

    def footprint(self, cut: Cut, taking: Taking) -> ActionFootprint:
        return cut.store(taking.core, self.stored)

    def renamed(self, swap: Swap) -> CompiledAction:
        return replace(self, stored=swap.stored(self.stored))


@dataclass(frozen=True, slots=True)
class LoadUnit(CompiledAction):
    """Load the ``cells`` of a unit, none if it is not live; ``lines`` are the data lines that it lies in."""

    cells: tuple[int, ...]
    lines: tuple[int, ...]

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        memory, value = model.memory.load(state.memory, core, self.cells, self.lines)
        yield with_memory(state, memory), value, None

    def footprint(self, cut: Cut, taking: Taking) -> ActionFootprint:
        return cut.load(taking, self.cells, self.lines)

    def renamed(self, swap: Swap) -> CompiledAction:
        return LoadUnit(tuple(swap.cells[cell] for cell in self.cells), swap.data_lines(self.lines))


@dataclass(frozen=True, slots=True)
class FetchUnit(CompiledAction):
    """Fetch live unit number ``position`` of block ``tb``, of which unit ``expected`` would come next in order.

    ``expected`` is 0 when the block is entered.  ``position`` is None if the path meets no live unit at all.
    """

    tb: int
    position: int | None
    expected: int

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        final = () if self.position is None else tuple(model.final[at] for at in model.units[self.tb][self.position])
        for memory, values in model.memory.fetch(state.memory, core, self.tb, self.position):
            wrong = None if self.position is None or values == final else (self.tb, self.position)
            yield with_memory(state, memory), 0, wrong

    def footprint(self, cut: Cut, taking: Taking) -> ActionFootprint:
        return cut.fetch(taking, self.tb, self.position)

    def renamed(self, swap: Swap) -> CompiledAction:
        return replace(self, tb=swap.tbs[self.tb])


Verdict = Callable[[int], bool]
"""Whether what a thread has observed is wrong, given the number that stands for the values of this operation."""

RADIX = 1 << 16
"""Values of a protocol are numbers below it; those of two units fetched together are the digits of one."""


def composed(values: Mapping[int, int]) -> int:
    """The number that has those values as digits, by place."""
    return sum(value * RADIX**place for place, value in values.items())


def digits(result: int, count: int) -> tuple[int, ...]:
    """The values of so many units that ``result`` stands for."""
    return tuple(result // RADIX**number % RADIX for number in range(count))


@dataclass(frozen=True, slots=True)
class ExecuteUnits(Action):
    """Fetch a unit of a protocol, or two together; the result is what was fetched."""

    tb: int
    position: int
    wrong: Verdict

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        cells = model.units[self.tb][self.position]
        for memory, values in model.memory.fetch(state.memory, core, self.tb, self.position):
            if model.cells.faults(cells, values):  # an exception synchronises the context
                memory = model.memory.synchronise(memory, core)
            result = composed(dict(enumerate(values)))
            yield with_memory(state, memory), result, (self.tb, self.position) if self.wrong(result) else None


@dataclass(frozen=True, slots=True)
class ObserveUnit(Action):
    """Load a part of a unit of a protocol; the result is its value.  ``at``: thread and operation, which names a wrong
    one."""

    part: LoadUnit
    at: tuple[int, int]
    wrong: Verdict

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        for after, value, _ in self.part.taken(model, state, core, thread):
            yield after, value, self.at if self.wrong(value) else None


# --- Maintenance and barriers ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CleanLine(CompiledAction):
    """Clean a data line."""

    line: int

    name = "data lines are cleaned"

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        yield with_memory(state, model.memory.clean(state.memory, core, self.line)), 0, None

    def footprint(self, cut: Cut, taking: Taking) -> ActionFootprint:
        return cut.clean(taking.core, self.line)

    def renamed(self, swap: Swap) -> CompiledAction:
        return CleanLine(swap.dlines[self.line])


@dataclass(frozen=True, slots=True)
class InvalidateLines(CompiledAction):
    """Invalidate instruction lines: ``ilines`` for each core; if ``deferred``, idle cores do so when they next run."""

    ilines: tuple[tuple[int, ...], ...]
    scope: Scope
    deferred: bool

    name = "instruction lines are invalidated"

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        deferred, reached = state.deferred, []
        for target, lines in enumerate(self.ilines):
            if target != core and self.scope is Scope.LOCAL:
                continue
            if target != core and self.deferred and state.running[target] < 0:
                deferred |= 1 << target
            else:
                reached.append((target, lines))
        memory = model.memory.invalidate(state.memory, core, reached)
        yield state._replace(memory=memory, deferred=deferred), 0, None

    def footprint(self, cut: Cut, taking: Taking) -> ActionFootprint:
        return cut.invalidate(taking.core, self, deferred=self.deferred)

    def renamed(self, swap: Swap) -> CompiledAction:
        return replace(self, ilines=tuple(swap.instruction_lines(hit) for hit in self.ilines))


@dataclass(frozen=True, slots=True)
class DataBarrier(CompiledAction):
    """Wait for this core's stores and maintenance."""

    name = "barrier"

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        if model.memory.is_settled(state.memory, core):
            yield state, 0, None

    def footprint(self, cut: Cut, taking: Taking) -> ActionFootprint:
        return ActionFootprint(
            guards=(*cut.empty_buffer(taking.core), cut.view("pending", taking.core, aspect="empty"))
        )


@dataclass(frozen=True, slots=True)
class StoreBarrier(CompiledAction):
    """Wait for the stores of this core."""

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        if not model.memory.stores_wait(state.memory, core):
            yield state, 0, None

    def footprint(self, cut: Cut, taking: Taking) -> ActionFootprint:
        return ActionFootprint(guards=cut.empty_buffer(taking.core))


@dataclass(frozen=True, slots=True)
class SyncContext(CompiledAction):
    """Synchronise the context of this core: drop what it has fetched ahead."""

    name = "this core is synchronised"

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        if model.serialises and model.memory.stores_wait(state.memory, core):
            return
        yield with_memory(state, model.memory.synchronise(state.memory, core)), 0, None

    def footprint(self, cut: Cut, taking: Taking) -> ActionFootprint:
        return ActionFootprint(parts=(cut.emptied(taking.core),))


@dataclass(frozen=True, slots=True)
class SyncAllCores(CompiledAction):
    """Synchronise the context of every core, after the stores before it."""

    name = "all cores are synchronised"

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        if not model.memory.stores_wait(state.memory, core):
            yield _synchronised(model, state, range(len(state.running))), 0, None

    def footprint(self, cut: Cut, taking: Taking) -> ActionFootprint:
        return ActionFootprint(guards=cut.empty_buffer(taking.core), parts=tuple(map(cut.emptied, cut.cores)))


@dataclass(frozen=True, slots=True)
class FenceI(Action):
    """RISC-V: fetches after it see what this core's stores before it made; nobody else's do."""

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        if not model.memory.stores_wait(state.memory, core):
            yield with_memory(state, model.memory.refetch(state.memory, core)), 0, None


@dataclass(frozen=True, slots=True)
class TranslateAnew(Action):
    """This core drops its translation of a page, after its stores: INVLPG, SFENCE.VMA, or TLBI with its DSB NSH."""

    page: int

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        if not model.memory.stores_wait(state.memory, core):
            yield with_memory(state, model.memory.translate_anew(state.memory, core, (self.page,))), 0, None


@dataclass(frozen=True, slots=True)
class NoEffect(CompiledAction):
    """A step that touches nothing the machine keeps."""

    name = "the fault is looked up in the side table"
    reason = "what is sought was stored beside the code at translation, and no code is written"

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        yield state, 0, None

    def footprint(self, cut: Cut, taking: Taking) -> ActionFootprint:
        return ActionFootprint()


@dataclass(frozen=True, slots=True)
class EnableMmu(Action):
    """Fetches of this core go through the point of unification; lines that it has already stay."""

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        yield with_memory(state, model.memory.enable_mmu(state.memory, core)), 0, None


# --- Locks and flags ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AcquireLock(CompiledAction):
    """Acquire lock number ``lock``, exclusively or shared."""

    lock: int
    shared: bool

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        holder, sharers = state.locks[self.lock]
        if model.memory.stores_wait(state.memory, core) or holder >= 0 or (sharers and not self.shared):
            return
        now = (-1, sharers | 1 << thread) if self.shared else (thread, 0)
        yield state._replace(locks=replaced(state.locks, self.lock, now)), 0, None

    def footprint(self, cut: Cut, taking: Taking) -> ActionFootprint:
        return cut.lock(self, self.lock, taking)

    def called(self, locks: Sequence[str]) -> str:
        return f"lock {locks[self.lock]!r} is taken{', shared' if self.shared else ''}"


@dataclass(frozen=True, slots=True)
class ReleaseLock(CompiledAction):
    """Release lock number ``lock``."""

    lock: int

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        if not model.memory.stores_wait(state.memory, core):
            now = (-1, state.locks[self.lock][1] & ~(1 << thread))
            yield state._replace(locks=replaced(state.locks, self.lock, now)), 0, None

    def footprint(self, cut: Cut, taking: Taking) -> ActionFootprint:
        return cut.lock(self, self.lock, taking)

    def called(self, locks: Sequence[str]) -> str:
        return f"lock {locks[self.lock]!r} is given back"


@dataclass(frozen=True, slots=True)
class SetFlag(Action):
    """Publish a flag: nobody sees it before the stores that come before it."""

    flag: int
    value: int

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        if not model.memory.stores_wait(state.memory, core):
            yield state._replace(flags=replaced(state.flags, self.flag, self.value)), 0, None


@dataclass(frozen=True, slots=True)
class WaitFlag(Action):
    """Wait until a flag has that value."""

    flag: int
    value: int

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        if state.flags[self.flag] == self.value and state.stopper in (-1, thread):
            yield state, 0, None


# --- The code buffer (rule 8) ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DiscardBuffer(CompiledAction):
    """Discard the whole code buffer, while nobody is in it."""

    reason = "nobody executes or retranslates in it; no TB in it may run until it is translated anew"

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        places = (program.place(at) for program, at in zip(model.programs, state.places, strict=True))
        if -1 in state.blocks or any(place.occupies for other, place in enumerate(places) if other != thread):
            return
        memory = state.memory
        for other in range(len(state.running)):
            memory = model.memory.leave(memory, other)
        yield state._replace(blocks=(0,) * len(state.blocks), memory=memory), 0, None

    def footprint(self, cut: Cut, taking: Taking) -> ActionFootprint:
        return cut.discard(taking.thread)


@dataclass(frozen=True, slots=True)
class BeginTranslation(CompiledAction):
    """Begin to translate a discarded block anew."""

    tb: int

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        if state.blocks[self.tb] == 0:
            yield state._replace(blocks=replaced(state.blocks, self.tb, -1)), 0, None

    def footprint(self, cut: Cut, taking: Taking) -> ActionFootprint:
        return ActionFootprint(guards=(cut.view("block", self.tb),), parts=(cut.block(self, self.tb),))

    def renamed(self, swap: Swap) -> CompiledAction:
        return BeginTranslation(swap.tbs[self.tb])


@dataclass(frozen=True, slots=True)
class EndTranslation(CompiledAction):
    """The block has been translated anew and may be run."""

    tb: int

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        yield state._replace(blocks=replaced(state.blocks, self.tb, 1)), 0, None

    def footprint(self, cut: Cut, taking: Taking) -> ActionFootprint:
        return ActionFootprint(parts=(cut.block(self, self.tb),))

    def renamed(self, swap: Swap) -> CompiledAction:
        return EndTranslation(swap.tbs[self.tb])


# --- Other cores (rule 10) ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class InterruptCores(Action):
    """Every other core synchronises; with ``lines`` it drops its instruction cache too, or its ``pages``.

    ``own``: so does this core, and it waits for its stores, as membarrier has it (a full barrier on every core).
    """

    lines: bool
    own: bool
    pages: frozenset[int] = frozenset()

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        waits = self.own or model.interrupts_wait
        if state.masked & ~(1 << core) or (waits and model.memory.stores_wait(state.memory, core)):
            return
        reached = (other for other in range(len(state.running)) if self.own or other != core)
        after = _synchronised(model, state, reached, lines=self.lines)
        memory = after.memory
        for other in range(len(state.running)) if self.pages else ():
            memory = model.memory.translate_anew(memory, other, self.pages) if other != core else memory
        yield after._replace(memory=memory), 0, None


@dataclass(frozen=True, slots=True)
class DeferToMove(Action):
    """Every other core drops its instruction cache when a thread next moves to it."""

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        others = (1 << len(state.running)) - 1 & ~(1 << core)
        yield state._replace(deferred=state.deferred | others), 0, None


@dataclass(frozen=True, slots=True)
class MoveTo(Action):
    """The kernel moves the thread to a core that runs nothing, or nothing any more."""

    core: int

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        there = state.running[self.core]
        if there == thread:
            yield state, 0, None
        elif there < 0 or model.programs[there].place(state.places[there]).finished:
            after = arrived(model, state, core, thread, self.core)
            if after is not None:
                yield after, 0, None


@dataclass(frozen=True, slots=True)
class MaskInterrupts(Action):
    """Turn interrupts off, or on again, on this core."""

    off: bool

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        bit = 1 << core
        yield state._replace(masked=state.masked | bit if self.off else state.masked & ~bit), 0, None


@dataclass(frozen=True, slots=True)
class PollStop(Action):
    """A place where a thread may be stopped."""

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        if state.stopper in (-1, thread):
            yield state, 0, None


@dataclass(frozen=True, slots=True)
class StopOthers(Action):
    """Wait until all other threads are at a poll, wait for a flag or to stop others, or are done; they stay there."""

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        places = (program.place(at) for program, at in zip(model.programs, state.places, strict=True))
        others = [place.steps[0].action for other, place in enumerate(places) if other != thread and place.steps]
        waits = model.memory.stores_wait(state.memory, core)
        stopped = all(isinstance(action, PollStop | WaitFlag | StopOthers) for action in others)
        if state.stopper < 0 and not waits and stopped:
            yield state._replace(stopper=thread), 0, None


@dataclass(frozen=True, slots=True)
class StopAnywhere(Action):
    """All other threads stop where they are, between any two steps: a signal, preemption, the kernel's stop_machine."""

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        if state.stopper < 0 and not state.masked & ~(1 << core) and not model.memory.stores_wait(state.memory, core):
            yield state._replace(stopper=thread), 0, None


@dataclass(frozen=True, slots=True)
class ResumeOthers(Action):
    """The threads that were stopped go on; unless ``synchronised`` is False, with their context synchronised."""

    synchronised: bool = True

    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        if state.stopper == thread and not model.memory.stores_wait(state.memory, core):
            others = (other for other in range(len(state.running)) if other != core)
            after = _synchronised(model, state, others) if self.synchronised else state
            yield after._replace(stopper=-1), 0, None


def _synchronised(model: Model, state: State, cores: Iterable[int], *, lines: bool = False) -> State:
    """The context of these cores is synchronised; with ``lines`` they fetch their lines anew too."""
    memory = state.memory
    for core in cores:
        memory = model.memory.refetch(memory, core) if lines else model.memory.synchronise(memory, core)
    return state._replace(memory=memory)


# --- What portable operations become --------------------------------------------------------------------------------


class UnitPlacement(Protocol):
    """Where a program has what operations name: live cells, lines and locks (``bench/program/compiler.py``)."""

    recipe: FlushRecipe

    def lock(self, name: str) -> int:
        """The number of a lock."""

    def puts(self, unit: Unit, mask: int, value: int) -> tuple[Put[int], ...]:
        """A store as one to each cell of a live unit."""

    def loaded(self, unit: Unit) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The cells of a unit, and the data lines that it lies in."""

    def touched(self, where: Unit | None) -> Stored:
        """A store to a unit that is not live, or beside all of them."""

    def data_lines(self, where: Unit | Region | Buffer) -> tuple[int, ...]:
        """The data lines that maintenance covers."""

    def instruction_lines(self, where: Unit | Region | Buffer) -> Iterator[tuple[tuple[int, ...], ...]]:
        """For each line of core 0 that maintenance covers: the lines at its address, by core."""

    def all_instruction_lines(self) -> tuple[tuple[int, ...], ...]:
        """All lines, by core."""


@singledispatch
def lowered(operation: Operation, at: UnitPlacement) -> Iterable[Action]:
    """What the host does for an operation, on live cells and lines only."""
    raise StrategyError(f"{type(operation).__name__}: no action says what it does; register one with lowered")


@lowered.register
def _(operation: operations.Store, at: UnitPlacement) -> Iterable[Action]:
    cells, _ = at.loaded(operation.unit)
    if not cells:
        return (IssueStore(at.touched(operation.unit)),)
    return (IssueStore(Stored((put,))) for put in at.puts(operation.unit, operation.mask, operation.value))


@lowered.register
def _(operation: operations.Load, at: UnitPlacement) -> Iterable[Action]:
    # A line that holds a live unit notices the load of any other unit in it (rule 1).
    load = LoadUnit(*at.loaded(operation.unit))
    return (load if load.lines else IssueStore(at.touched(None)),)


@lowered.register
def _(operation: operations.Flush, at: UnitPlacement) -> Iterable[Action]:
    """The host's own sequence (``bench.hosts.profile.FlushRecipe``)."""
    recipe = at.recipe
    if recipe.by == "nobody":
        return
    if recipe.clean:
        yield from map(CleanLine, at.data_lines(operation.where))
    yield DataBarrier()
    if recipe.invalidate != "none":
        covered = (at.all_instruction_lines(),) if recipe.whole_icache else at.instruction_lines(operation.where)
        for lines in covered:
            yield InvalidateLines(lines, Scope(recipe.invalidate), recipe.deferred_to_move)
        yield DataBarrier()
    if recipe.sync:
        yield SyncContext()
    if recipe.remote_sync:
        yield SyncAllCores()


lowered.register(operations.Clean, lambda clean, at: map(CleanLine, at.data_lines(clean.where)))
lowered.register(
    operations.Invalidate,
    lambda one, at: (InvalidateLines(lines, one.scope, deferred=False) for lines in at.instruction_lines(one.where)),
)
lowered.register(operations.Acquire, lambda lock, at: (AcquireLock(at.lock(lock.name), lock.shared),))
lowered.register(operations.Release, lambda lock, at: (ReleaseLock(at.lock(lock.name)),))
lowered.register(operations.Barrier, lambda _, at: (DataBarrier(),))
lowered.register(operations.Sync, lambda _, at: (SyncContext(),))
lowered.register(operations.SyncCores, lambda _, at: (SyncAllCores(),))
lowered.register(operations.Lookup, lambda _, at: (NoEffect(),))
