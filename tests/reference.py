"""A second reading of the rules at the top of ``bench/machine.py``: brute force, to compare the checker with.

It shares with the checker only what both are given (strategy, translator, host
and scenario) and is as plain as it can be.  A state is one flat dictionary of
facts.  Code is bytes.  A hook is replayed from its beginning with all results
of its operations so far, inner hooks included.  Two ways to look at it:

``every_unit=False``
    only units that some store can change, and lines that hold one, are state:
    the projection of the rules, so that lengths must equal the checker's;
``every_unit=True``
    every unit of every block is state.  What touches no changeable unit or
    line costs no step, so that lengths can still be compared; verdicts must
    agree because the projection is claimed to lose nothing.

A *live* unit is one that some store of the scenario can change, a live line
one that holds a byte of a live unit.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Generator, Iterator
from typing import Any, Literal, NamedTuple

from brute_force import Move, TooLarge, World, frozen, steps
from cache_bytes import CacheBytes, Rules, Stored

from bench.hosts.profile import Host
from bench.scenarios import Role, Scenario
from bench.translators.translator import Translator
from strategies import operations as op
from strategies.strategy import Strategy
from strategies.writes import Buffer, Form, Phase, Region, Unit, Write

# The facts of a world, besides those of its caches (``cache_bytes``).  ``("lock", name)``: (thread, shared) of each
# holder.  ``("on", core)``: the thread that runs there.  ``("behind", core)``: it must drop its instruction cache
# before it runs a thread again.  ``("block", tb)``: only with tb flushes.  ``("at", thread)``: its place.

Activity = tuple[Any, ...]
"""``("hook", name, tb)``, ``("run", tb, path number)``, ``("claim", tb)``, ``("install", tb)`` or ``("discard",)``."""


class Place(NamedTuple):
    """Where a thread is: what is left of what it does (empty: idle), and what it has to do after that.

    ``history``: the results of the operations that the hook under way has done;
    ``part``: how much of the next operation, or of the run, is done; ``left``:
    retranslations to do (None: an executor; -1: finished); ``flushes``: tb flushes it may make.
    """

    todo: tuple[Activity, ...]
    history: tuple[int | None, ...]
    part: int
    left: int | None
    flushes: int


class Action(NamedTuple):
    """One step of a thread in a hook: its kind, what it concerns, and how many steps it counts for."""

    kind: str
    what: Any = None
    cost: int = 1


class View(NamedTuple):
    """What can be seen of a state without knowing how it is represented; by core or by live line, in order.

    ``lines``: the live bytes of each instruction line; ``ahead``: of each unit fetched ahead;
    ``waiting``: the number of stores in each buffer; ``owner``: the core that
    holds each data line dirty, or -1; ``pending``: (core that is invalidated, or -1
    for a clean; line; stores that it waits for); ``running``: the thread, or -1.
    """

    newest: bytes
    pou: bytes
    lines: tuple[tuple[bytes | None, ...], ...]
    ahead: tuple[tuple[bytes, ...], ...]
    waiting: tuple[int, ...]
    owner: tuple[int, ...]
    pending: tuple[frozenset[tuple[int, int, int]], ...]
    running: tuple[int, ...]
    blocks: tuple[str, ...]


class Reference(CacheBytes):
    """The rules for one strategy, translator, host and scenario; arguments as for ``Compiler``."""

    def __init__(
        self,
        strategy: Strategy,
        translator: Translator,
        host: Host,
        scenario: Scenario,
        *,
        layout: Literal["apart", "packed"] = "apart",
        offset: int = 0,
        start_at_fault: bool = False,
        every_unit: bool = False,
    ) -> None:
        self.strategy, self.host, self.scenario = strategy, host, scenario
        self.start_at_fault = start_at_fault
        self.recipe = host.isa[translator.isa].flush
        self.byteorder = translator.byteorder
        self.cores = range(scenario.cores)
        self.rules = Rules(
            fill=host.coherence.fill.value,
            snoop=host.coherence.snoop.value,
            dirty_transfer=host.coherence.dirty_transfer.value,
            store_buffer=host.coherence.store_buffer.value,
            write_through=host.dcache.write != "back",
            write_allocate=host.dcache.write_allocate,
            switch_cleans_all=host.coherence.switch_cleans_all.value,
        )
        self.codes = [translator.block(tb) for tb in range(scenario.tbs)]
        self.buffer = Buffer(sum(code.size for code in self.codes), tuple(code.whole for code in self.codes))
        self._lay_out(layout, offset, translator.alignment)
        self.live = self._changeable()
        self._track(every_unit)

    # --- what is where ---

    def _lay_out(self, layout: str, offset: int, alignment: int) -> None:
        spacing = max(self.host.icache.line, self.host.dcache.line)
        self.apart = layout == "apart"
        self.base: dict[int, int] = {}
        self.address: dict[tuple[int, int], int] = {}
        self.units: dict[tuple[int, int], Unit] = {}
        end = 0
        for code in self.codes:
            while end % alignment:
                end += 1
            self.base[code.tb] = offset + end
            end += code.size
            for unit in code.whole:
                key = (unit.tb, unit.offset)
                self.address[key] = len(self.units) * spacing if self.apart else self.base[code.tb] + unit.offset
                self.units[key] = unit

    def _addresses(self, where: Unit | Region | Buffer) -> list[int]:
        """The bytes that an operation on ``where`` covers."""
        if isinstance(where, Unit):
            start = self.address[where.tb, where.offset]
            return [] if where.in_scratch else list(range(start, start + where.size))
        if isinstance(where, Buffer):
            return [address for region in where.regions for address in self._addresses(region)]
        units = [unit for unit in where if not unit.in_scratch]
        if self.apart or not units:
            return [address for unit in units for address in self._addresses(unit)]
        return list(range(self.base[where.tb], self.base[where.tb] + where.size))

    def _changeable(self) -> set[tuple[int, int]]:
        """The units that a store can change: try every hook with every result until no unit gets a new value."""
        values = {key: {unit.final} for key, unit in self.units.items()}
        names = ["enter", "leave", "retranslate", *(["translate"] if self.scenario.flushes else [])]
        hooks: list[Activity] = [("hook", name, code.tb) for code in self.codes for name in names]
        if self.scenario.flushes:
            hooks.append(("hook", "flush_buffer"))
        while True:
            before = sum(len(held) for held in values.values())
            for hook in hooks:
                histories: list[tuple[int | None, ...]] = [()]
                while histories:
                    history = histories.pop()
                    asked = self._ask(hook, history)
                    if asked is None:
                        continue
                    _, operation = asked
                    results: set[int | None] = {None}
                    if isinstance(operation, op.Load):
                        unit = operation.unit
                        results = {unit.final} if unit.in_scratch else set(values[unit.tb, unit.offset])
                    elif isinstance(operation, op.Store) and not operation.unit.in_scratch:
                        held = values[operation.unit.tb, operation.unit.offset]
                        held |= {old & ~operation.mask | operation.value & operation.mask for old in held}
                    histories += [(*history, result) for result in results]
            if sum(len(held) for held in values.values()) == before:
                return {key for key, held in values.items() if len(held) > 1}

    def _track(self, every_unit: bool) -> None:
        """Choose the bytes that are state, and number them."""
        self.tracked = [key for key in self.units if every_unit or key in self.live]
        placed = sorted(
            (address, byte)
            for key in self.tracked
            for address, byte in zip(
                self._addresses(self.units[key]), self._bytes(self.units[key], self.units[key].final), strict=True
            )
        )
        self.final = bytes(byte for _, byte in placed)
        self.index = {address: number for number, (address, _) in enumerate(placed)}
        self.dbytes = {}
        self.ilines: dict[int, list[int]] = {}
        for address, number in self.index.items():
            self.dbytes.setdefault(address // self.host.dcache.line, []).append(number)
            self.ilines.setdefault(address // self.host.icache.line, []).append(number)
        self.ibytes = dict.fromkeys(self.cores, self.ilines)
        alive = [address for key in self.live for address in self._addresses(self.units[key])]
        self.live_dlines = {address // self.host.dcache.line for address in alive}
        self.live_ilines = {address // self.host.icache.line for address in alive}
        self.order = [[key for key in self.tracked if key[0] == code.tb] for code in self.codes]
        self.fetches = [[self._fetches(code.tb, path.offsets) for path in code.paths] for code in self.codes]

    def _fetches(self, tb: int, offsets: tuple[int, ...]) -> list[list[tuple[int, int]]]:
        """The steps of a run: each fetches units up to the next live one; the last, all that is left."""
        steps: list[list[tuple[int, int]]] = [[]]
        for key in ((tb, offset) for offset in offsets):
            if key in self.tracked:
                if steps[-1] and steps[-1][-1] in self.live:
                    steps.append([])
                steps[-1].append(key)
        if len(steps) > 1 and steps[-1][-1] not in self.live:
            last = steps.pop()
            steps[-1] += last
        return steps

    def _bytes(self, unit: Unit, value: int) -> bytes:
        return value.to_bytes(unit.size, self.byteorder)

    # --- what a thread does: hooks ---

    def _argument(self, hook: Activity) -> Region | Buffer:
        if hook[1] == "flush_buffer":
            return self.buffer
        code = self.codes[hook[2]]
        return code.retranslated if hook[1] == "retranslate" else code.whole

    def _operations(self, hook: str, argument: Any) -> Generator[tuple[Any, op.Operation], int | None, None]:
        """The operations of a hook, those of inner hooks in their places, each with the row that it belongs to."""
        answer = getattr(self.strategy, hook)(argument)
        if isinstance(answer, tuple):
            for operation in answer:
                if isinstance(operation, op.Do):
                    yield from self._operations(operation.hook, operation.argument)
                else:
                    yield _row(hook, argument), operation
            return
        result: int | None = None
        while True:
            try:
                operation = answer.send(result)
            except StopIteration:
                return
            result = None
            if isinstance(operation, op.Do):
                yield from self._operations(operation.hook, operation.argument)
            else:
                result = yield _row(hook, argument), operation

    @functools.cache  # noqa: B019 (one instance per case)
    def _ask(self, hook: Activity, history: tuple[int | None, ...]) -> tuple[Any, op.Operation] | None:
        """The next operation and its row, after ``history``; None at the end."""
        operations = self._operations(hook[1], self._argument(hook))
        try:
            asked = next(operations)
            for result in history:
                asked = operations.send(result)
        except StopIteration:
            return None
        return asked

    def _is_quiet(self, operation: op.Operation) -> bool:
        """A store of a unit that no store can change, or of scratch memory, or a load that no live line notices."""
        if not isinstance(operation, op.Store | op.Load):
            return False
        unit = operation.unit
        if isinstance(operation, op.Load):
            return not {address // self.host.dcache.line for address in self._addresses(unit)} & self.live_dlines
        return unit.in_scratch or (unit.tb, unit.offset) not in self.live

    @functools.cache  # noqa: B019 (one instance per case)
    def _plan(
        self, hook: Activity, history: tuple[int | None, ...]
    ) -> tuple[tuple[Action, ...], tuple[int | None, ...]] | None:
        """The steps that come next, and what they add to the history; None at the end."""
        asked = self._ask(hook, history)
        if asked is None:
            return None
        row, operation = asked
        if not self._is_quiet(operation):
            return self._lower(operation), (None,)
        group: list[op.Store | op.Load] = []
        results: list[int | None] = []
        while asked is not None:
            other, operation = asked
            if self._is_quiet(operation):
                if other != row:
                    break
                group.append(operation)
                results.append(operation.unit.final if isinstance(operation, op.Load) else None)
            elif self._lower(operation):
                break
            else:
                results.append(None)
            asked = self._ask(hook, (*history, *results))
        return (Action("quiet", tuple(group), 0 if self._row_goes_on(hook, history, row) else 1),), tuple(results)

    def _row_goes_on(self, hook: Activity, history: tuple[int | None, ...], row: Any) -> bool:
        """Whether only steps that cost nothing lie between quiet operations of this row and the end of ``history``."""
        last = None
        for done in range(len(history)):
            asked = self._ask(hook, history[:done])
            if self._is_quiet(asked[1]):
                last = asked[0]
            elif any(action.cost for action in self._lower(asked[1])):
                last = None
        return last is not None and last == row

    def _lower(self, operation: op.Operation) -> tuple[Action, ...]:
        """What the host does for an operation that is not quiet, step by step."""
        match operation:
            case op.Store():
                return tuple(Action("store", stored) for stored in self._stored_by_line(operation) if stored.bytes)
            case op.Load(unit):
                return (Action("load", unit),)
            case op.Clean(where):
                return self._cleans(where)
            case op.Invalidate(where, scope):
                return self._invalidates(where, scope, deferred=False)
            case op.Flush(where):
                return self._flush(where)
            case op.Acquire(name, shared):
                return (Action("acquire", (name, shared)),)
            case op.Release(name):
                return (Action("release", name),)
            case op.Barrier():
                return (Action("barrier"),)
            case op.Sync():
                return (Action("sync"),)
            case op.SyncCores():
                return (Action("sync cores"),)
            case op.Lookup():
                return (Action("lookup"),)
        raise AssertionError(operation)

    def _cleans(self, where: Unit | Region | Buffer) -> tuple[Action, ...]:
        lines = sorted({address // self.host.dcache.line for address in self._addresses(where)} & set(self.dbytes))
        return tuple(Action("clean", line, int(line in self.live_dlines)) for line in lines)

    def _invalidates(self, where: Unit | Region | Buffer, scope: op.Scope, *, deferred: bool) -> tuple[Action, ...]:
        lines = sorted({address // self.host.icache.line for address in self._addresses(where)} & set(self.ilines))
        return tuple(Action("invalidate", ((line,), scope, deferred), int(line in self.live_ilines)) for line in lines)

    def _flush(self, where: Region | Buffer) -> tuple[Action, ...]:
        recipe, actions = self.recipe, []
        if recipe.by == "nobody":
            return ()
        if recipe.clean:
            actions += self._cleans(where)
        actions.append(Action("barrier"))
        if recipe.invalidate != "none":
            scope = op.Scope.LOCAL if recipe.invalidate == "local" else op.Scope.BROADCAST
            if recipe.whole_icache:
                actions.append(Action("invalidate", (tuple(sorted(self.ilines)), scope, recipe.deferred_to_move)))
            else:
                actions += self._invalidates(where, scope, deferred=recipe.deferred_to_move)
            actions.append(Action("barrier"))
        if recipe.sync:
            actions.append(Action("sync"))
        if recipe.remote_sync:
            actions.append(Action("sync cores"))
        return tuple(actions)

    def _stored(self, store: op.Store, addresses: list[int]) -> Stored:
        """What ``store`` does to those bytes of its unit that lie at ``addresses``."""
        unit = store.unit
        masks, values = self._bytes(unit, store.mask), self._bytes(unit, store.value & store.mask)
        written = [
            (self.index[address], mask, value)
            for address, mask, value in zip(self._addresses(unit), masks, values, strict=True)
            if address in addresses and address in self.index and mask
        ]
        dlines = {address // self.host.dcache.line for address in addresses} & set(self.dbytes)
        ilines = {address // self.host.icache.line for address in addresses} & set(self.ilines)
        return Stored(tuple(written), tuple(sorted(dlines)), tuple(itertools.product(self.cores, sorted(ilines))))

    def _stored_by_line(self, store: op.Store) -> list[Stored]:
        """A unit that crosses a line is stored line by line."""
        shortest = min(self.host.dcache.line, self.host.icache.line)
        parts = itertools.groupby(self._addresses(store.unit), lambda address: address // shortest)
        return [self._stored(store, list(part)) for _, part in parts]

    # --- what a thread does: places ---

    def _settled(self, place: Place) -> Place:
        """Go past hooks that have ended and operations that are no step."""
        while place.todo and place.todo[0][0] == "hook":
            plan = self._plan(place.todo[0], place.history)
            if plan is None:
                place = place._replace(todo=place.todo[1:], history=())
            elif not plan[0]:
                place = place._replace(history=(*place.history, *plan[1]))
            else:
                break
        return place

    def _after(self, place: Place, result: int | None) -> Place:
        """The place after the step that is next there."""
        activity, part = place.todo[0], place.part + 1
        if activity[0] == "hook":
            plan = self._plan(activity, place.history)
            actions, results = plan
            if part < len(actions):
                return place._replace(part=part)
            if actions[-1].kind == "load":
                results = (result,)
            return self._settled(place._replace(history=(*place.history, *results), part=0))
        if activity[0] == "run" and part < len(self.fetches[activity[1]][activity[2]]):
            return place._replace(part=part)
        return self._settled(place._replace(todo=place.todo[1:], part=0))

    def _is_rewriting(self, place: Place) -> bool:
        return bool(place.todo) and place.todo[0][:2] in (("hook", "retranslate"), ("hook", "translate"))

    def _occupies(self, place: Place) -> bool:
        return bool(place.todo) and (place.todo[0][0] == "run" or place.todo[0][1] in ("enter", "leave", "retranslate"))

    def is_finished(self, world: World) -> bool:
        """Every retranslator has done all that it had to do."""
        return all(
            world["at", thread].left == -1 and not world["at", thread].todo
            for thread, role in enumerate(self.scenario.threads)
            if role is Role.RETRANSLATOR
        )

    def is_lasting(self, world: World) -> bool:
        """All is quiet and the data side holds a wrong value."""
        threads = range(len(self.scenario.threads))
        return (
            world["newest",] != self.final
            and not any(("buffer", core) in world for core in self.cores)
            and not any(self._is_rewriting(world["at", thread]) for thread in threads)
        )

    def start(self) -> World:
        """Every block published, all caches empty, every thread at its start."""
        world: World = {("newest",): self.final, ("pou",): self.final}
        for thread, role in enumerate(self.scenario.threads):
            world.setdefault(("on", thread % self.scenario.cores), thread)
            place = Place((), (), 0, None, 0)
            if role is Role.RETRANSLATOR:
                place = place._replace(left=self.scenario.retranslations, flushes=self.scenario.flushes)
                if self.start_at_fault and thread == 0:
                    place = place._replace(left=place.left - 1, todo=(("hook", "retranslate", 0),))
            world["at", thread] = self._settled(place)
        if self.scenario.flushes:
            world |= {("block", code.tb): "valid" for code in self.codes}
        return world

    # --- steps of threads ---

    def thread_steps(self, world: World) -> Iterator[Move]:
        """Every step that a running thread can take."""
        for core in self.cores:
            thread = world.get(("on", core))
            if thread is None:
                continue
            place = world["at", thread]
            begun = [(world, place)] if place.todo else self._beginnings(world, thread, place)
            for before, now in begun:
                for move in self._step(before, core, thread, now):
                    yield move._replace(what=f"T{thread + 1} on {core}: {move.what}", by_thread=True)

    def _beginnings(self, world: World, thread: int, idle: Place) -> Iterator[tuple[World, Place]]:
        """What an idle thread may begin: the world and the place in which it takes its first step."""
        if idle.left == -1:
            return
        for code in self.codes:
            if world.get(("block", code.tb), "valid") == "valid":
                for number, path in enumerate(code.paths):
                    faults = bool(idle.left)
                    if (path.name == "fault") == faults:
                        todo: tuple[Activity, ...] = (
                            ("hook", "enter", code.tb),
                            ("run", code.tb, number),
                            ("hook", "leave", code.tb),
                        )
                        left = idle.left
                        if left is not None:
                            left -= 1
                        if faults:
                            todo = (*todo, ("hook", "retranslate", code.tb))
                        yield world, self._settled(idle._replace(todo=todo, left=left))
            elif world["block", code.tb] == "discarded":
                claimed = (("claim", code.tb), ("hook", "translate", code.tb), ("install", code.tb))
                yield world, idle._replace(todo=claimed)
        if idle.flushes:
            discarding = (("discard",), ("hook", "flush_buffer"))
            yield world, idle._replace(todo=discarding, flushes=idle.flushes - 1)

    def _step(self, world: World, core: int, thread: int, place: Place) -> Iterator[Move]:
        """The step that is next at ``place``, if it need not wait."""
        activity = place.todo[0]
        after = dict(world)
        result: int | None = None
        cost, what, wrong = 1, str(activity), False
        if activity[0] == "run":
            if self.host.coherence.checks_pipeline.value and ("buffer", core) in world:
                return
            steps = self.fetches[activity[1]][activity[2]]
            wrong = self._fetch(after, core, activity[1], steps[place.part])
            what = f"fetches {steps[place.part]}"
            if place.part + 1 == len(steps):
                after.pop(("ahead", core), None)
        elif activity[0] == "claim":
            after["block", activity[1]] = "translating"
        elif activity[0] == "install":
            after["block", activity[1]] = "valid"
        elif activity[0] == "discard":
            others = [world["at", other] for other in range(len(self.scenario.threads)) if other != thread]
            blocks = [("block", code.tb) for code in self.codes]
            if any(self._occupies(other) for other in others) or any(world[b] == "translating" for b in blocks):
                return
            after |= dict.fromkeys(blocks, "discarded")
            for other in self.cores:
                after.pop(("ahead", other), None)
        else:
            plan = self._plan(activity, place.history)
            action = plan[0][place.part]
            cost, what = action.cost, f"{activity[1]}: {action.kind} {action.what}"
            if action.kind == "load":
                result = self._load(after, core, action.what)
            elif not self._act(after, core, thread, action):
                return
        after["at", thread] = self._after(place, result)
        yield Move(after, what, wrong=wrong, cost=cost)

    def _act(self, world: World, core: int, thread: int, action: Action) -> bool:
        """Do a step of a hook that has no result; False if it must wait."""
        settled = ("buffer", core) not in world
        match action:
            case Action("store", stored):
                return self.store(world, core, stored)
            case Action("quiet", operations):
                for operation in operations:
                    if isinstance(operation, op.Load):
                        self._load(world, core, operation.unit)
                parts = [
                    self._stored(operation, self._addresses(operation.unit))
                    for operation in operations
                    if isinstance(operation, op.Store) and not operation.unit.in_scratch
                ]
                joined = Stored(
                    tuple(itertools.chain.from_iterable(part.bytes for part in parts)),
                    tuple(sorted({line for part in parts for line in part.dlines})),
                    tuple(sorted({line for part in parts for line in part.ilines})),
                )
                return self.store(world, core, joined)
            case Action("clean", line):
                self.clean(world, core, line)
            case Action("invalidate", (lines, scope, deferred)):
                for other in self.cores:
                    if other == core or scope is op.Scope.BROADCAST:
                        if other != core and deferred and ("on", other) not in world:
                            world["behind", other] = True
                        else:
                            for line in lines:
                                self.drop(world, core, other, line)
            case Action("barrier"):
                return settled and ("pending", core) not in world
            case Action("sync"):
                world.pop(("ahead", core), None)
            case Action("sync cores"):
                if not settled:
                    return False
                for other in self.cores:
                    world.pop(("ahead", other), None)
            case Action("acquire", (name, shared)):
                holders = world.get(("lock", name), frozenset())
                if not settled or (holders and not (shared and all(also for _, also in holders))):
                    return False
                world["lock", name] = holders | {(thread, shared)}
            case Action("release", name):
                kept = frozenset(held for held in world[("lock", name)] if held[0] != thread)
                del world["lock", name]
                if kept:
                    world["lock", name] = kept
                return settled
        return True

    def _load(self, world: World, core: int, unit: Unit) -> int:
        if unit.in_scratch or not any(address in self.index for address in self._addresses(unit)):
            value = unit.final
        else:
            held = self.loaded(world, core, [self.index[address] for address in self._addresses(unit)])
            value = int.from_bytes(held, self.byteorder)
        for line in sorted({address // self.host.dcache.line for address in self._addresses(unit)} & set(self.dbytes)):
            self.take(world, core, line)
        return value

    # --- fetches (rules 3, 4, 7) ---

    def _read(self, world: World, core: int, key: tuple[int, int]) -> bytes:
        """What a core fetches as a unit, missing lines filled."""
        line = self.host.icache.line
        return bytes(
            self.fetched(world, core, address // line, self.index[address])
            for address in self._addresses(self.units[key])
        )

    def _fetch(self, world: World, core: int, tb: int, keys: list[tuple[int, int]]) -> bool:
        """Fetch units in order; True if one is wrong."""
        wrong = False
        if not keys and world.get(("ahead", core)):
            del world["ahead", core]
        for key in keys:
            ahead = world.pop(("ahead", core), ())
            if ahead and ahead[0][0] == key:
                fetched = ahead[0][1]
                if ahead[1:]:
                    world["ahead", core] = ahead[1:]
            else:
                fetched = self._read(world, core, key)
            right = fetched == self._bytes(self.units[key], self.units[key].final)
            assert right or key in self.live, f"unit {key} changes, though no store can change it"
            wrong = wrong or not right
        return wrong

    # --- steps of the environment (rule 2) ---

    def environment_steps(self, world: World) -> Iterator[Move]:
        """Every step that the environment can take; those that something may wait for come last."""
        yield from self.cache_steps(world)
        if self.host.coherence.fetches_ahead.value:
            yield from self._fetches_ahead(world)
        yield from self._switches(world)

    def _fetches_ahead(self, world: World) -> Iterator[Move]:
        for core in self.cores:
            thread = world.get(("on", core))
            if thread is None or (world["at", thread].left == -1 and not world["at", thread].todo):
                continue
            queue = world.get(("ahead", core), ())
            place = world["at", thread]
            starts = [(code.tb, 0) for code in self.codes]
            if place.todo and place.todo[0][0] == "run" and place.part:
                _, tb, path = place.todo[0]
                starts = [(tb, self.order[tb].index(self.fetches[tb][path][place.part - 1][-1]) + 1)]
            for tb, position in starts:
                if (queue and queue[0][0][0] != tb) or world.get(("block", tb), "valid") != "valid":
                    continue
                coming = self.order[tb][position + len(queue) :]
                dead = list(itertools.takewhile(lambda key: key not in self.live, coming))
                if len(dead) == len(coming):
                    continue  # no live unit is ahead
                after = dict(world)
                for key in coming[: len(dead) + 1]:
                    after["ahead", core] = (*after.get(("ahead", core), ()), (key, self._read(after, core, key)))
                yield Move(after, f"fetch {coming[len(dead)]} ahead on {core}")

    def _switches(self, world: World) -> Iterator[Move]:
        threads = range(len(self.scenario.threads))
        for core in self.cores:
            current = world.get(("on", core))
            if current is None or ("buffer", core) in world or ("pending", core) in world:
                continue
            if self.scenario.moves:
                for other in self.cores:
                    if ("on", other) not in world:
                        after = dict(world)
                        self.switch(after, core)
                        self.switch(after, other)
                        if after.pop(("behind", other), False):
                            self.forget(after, other)
                        del after["on", core]
                        after["on", other] = current
                        yield Move(after, f"move T{current + 1} from {core} to {other}")
            else:
                for thread in threads:
                    place = world["at", thread]
                    finished = place.left == -1 and not place.todo
                    if thread % self.scenario.cores == core and thread != current and not finished:
                        after = dict(world)
                        self.switch(after, core)
                        after["on", core] = thread
                        yield Move(after, f"switch {core} to T{thread + 1}")

    # --- the search ---

    def views(self, most: int) -> dict[View, int]:
        """What can be seen of every reachable state, and after how many steps first; wrong fetches stop nothing."""
        start = self.start()
        seen = {frozen(start)}
        found: dict[View, int] = {}
        layer, depth = [start], 0
        while layer:
            following = []
            for world in layer:
                found.setdefault(self._view(world), depth)
                for move in steps(self, world):
                    if frozen(move.world) not in seen:
                        seen.add(frozen(move.world))
                        following.append(move.world)
            if len(seen) > most:
                raise TooLarge
            layer, depth = following, depth + 1
        return found

    def _view(self, world: World) -> View:
        dlines, ilines = sorted(self.dbytes), sorted(self.ilines)
        return View(
            world["newest",],
            world["pou",],
            tuple(tuple(world.get(("fetched", core, line)) for line in ilines) for core in self.cores),
            tuple(tuple(fetched for _, fetched in world.get(("ahead", core), ())) for core in self.cores),
            tuple(len(world.get(("buffer", core), ())) for core in self.cores),
            tuple(world.get(("dirty", line), -1) for line in dlines),
            tuple(
                frozenset(
                    (-1, dlines.index(line), number) if kind == "clean" else (number, ilines.index(line), 0)
                    for kind, line, number in world.get(("pending", core), ())
                )
                for core in self.cores
            ),
            tuple(world.get(("on", core), -1) for core in self.cores),
            tuple(world[fact] for fact in sorted(fact for fact in world if fact[0] == "block")),
        )


def _row(hook: str, argument: Any) -> Any:
    """What distinguishes the rows that stores and loads belong to."""
    if not isinstance(argument, Write):
        return hook, getattr(argument, "tb", 0)
    begun = argument.phase is Phase.BRANCH and not argument.complete
    return argument.phase, begun, begun and argument.form is Form.WHOLE, argument.unit.in_scratch, argument.unit.tb
