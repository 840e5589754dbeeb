"""The scenarios that a site is tried in, each as protocols.

An executor runs the site while the linker works, and once more after *quiescence*: the linker's flag, and with it or
without it a context synchronisation.  Correct means:

X   never a mixture: an execution arrives at a target of the scenario, with the registers that the target relies on
U2  after quiescence never the old target
U3  never reused memory: whoever was led to the old target finds its old code there
L2  whoever is led to a new target finds its new code there

A stub that is still fetched after a link is right, only slow; one that the site leads to for ever is a link that does
nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bench.hosts import Target
from bench.hosts.profile import FlushRecipe
from bench.machine.opcodes import EncodedInstruction, family, instruction
from bench.protocols.host import ProtocolHost, protocol_host
from bench.protocols.operations import parsed
from bench.protocols.protocol import Address, Protocol, Thread
from bench.protocols.refusals import refuse_impossible
from bench.sites.executions import Execution, execution
from bench.sites.paths import SitePath, at_rest, leads, on_into, paths, value_name
from bench.sites.site import CODE, FAR, FAR2, NEAR, NEAR2, NEW, OLD, STUB, TRAP, Site, SiteLine
from bench.support.errors import InputError

SCENARIOS = ("link", "unlink", "relink", "far", "publish", "reuse", "interrupted", "twice")

_CODE_AT = 0x10000
_QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Run:
    """One execution: the targets that it ``accepts``, and the code there that it accepts to find, where it looks."""

    execution: Execution
    accepts: frozenset[str]
    finds: frozenset[str] = frozenset()

    def failure(self, path: SitePath) -> str:
        """What is wrong with a way through it, or an empty string."""
        if path.arrives is None:
            return "X"
        if path.arrives not in self.accepts:
            return "U2" if path.arrives in (NEAR, FAR) else "X"
        if path.code and path.code not in self.finds:
            return "L2" if path.code == OLD else "U3"
        return ""


@dataclass(frozen=True)
class Trial:
    """A protocol of a scenario: ``of``: which case of it; ``runs``: those of each executor.

    ``synchronised``: with a context synchronisation at quiescence; None where quiescence has no part in it.
    ``never``: the way through the site when all stores of a link are visible, if it leads to the stub or a trap.
    ``writes``: the target whose code ``CODE`` is.  ``can_be_right``: something that is right can be executed.
    """

    site: Site
    scenario: str
    of: str
    protocol: Protocol
    runs: tuple[Run, ...]
    synchronised: bool | None
    never: SitePath | None = None
    writes: str = NEAR
    can_be_right: bool = True


def trials(site: Site, target: Target, scenario: str, *, synchronised: bool, executors: int = 1) -> tuple[Trial, ...]:
    """The protocols of a scenario on a host or an architecture; none where the site has not the states for it."""
    if site.in_handler and scenario != "interrupted":
        return ()
    return tuple(_SCENARIOS[scenario](_Setting(site, target, scenario, synchronised, executors)))


@dataclass(frozen=True)
class _Setting:
    """A site on a target, in a scenario."""

    site: Site
    target: Target
    scenario: str
    synchronised: bool
    executors: int

    def has(self, *states: str) -> bool:
        return all(state in self.site.states for state in states)

    def begins_in(self, state: str) -> bool:
        """Whether the site has the state and leads to its target then (all links of patch-or lead to the stub)."""
        return self.has(state) and at_rest(self.site, state).arrives == state

    # --- what threads do ------------------------------------------------------------------------------------------

    def patched(self, lines: Iterable[SiteLine], state: str) -> list[SiteLine]:
        """The operations that take the site to a state, as operations of protocols."""
        return [SiteLine(done, line.number) for line in lines for done in self._lowered(line.text, state)]

    def linked(self, state: str) -> list[SiteLine]:
        return self.patched(self.site.does.link, state)

    def unlinked(self) -> list[SiteLine]:
        return self.patched(self.site.does.unlink, STUB)

    def written(self) -> list[SiteLine]:
        """New code at the target, published."""
        return [SiteLine(f"store {CODE} {value_name(CODE, NEW)}"), *self.patched(self.site.does.publish, NEAR)]

    def _lowered(self, line: str, state: str) -> Iterator[str]:
        verb, _, rest = line.partition(" ")
        if verb == "flush":
            yield from flush(self.target, self.site, rest.strip())
        elif verb == "store":
            yield "store " + ", ".join(self._stored(part.split(), state) for part in rest.split(","))
        elif len(rest.split()) != 1 or rest.strip() in self.changing or rest.strip() not in self._words:
            yield line  # and nothing at all for the maintenance of what never changes

    @property
    def _words(self) -> set[str]:
        return {word.name for word in self.site.words}

    @property
    def changing(self) -> set[str]:
        return {*(word.name for word in self.site.words if not word.is_constant), CODE}

    def _stored(self, part: Sequence[str], state: str) -> str:
        name, value = part[0], part[1] if len(part) > 1 else state
        return f"{name} {value_name(name, self.site.word(name).value(value))}"

    # --- what executors may come to -------------------------------------------------------------------------------

    def execution(self, *states: str, into: str = "") -> Execution:
        """An execution of the site while it is in any of the states, and in between, and on ``into`` a target."""
        stored = [text for text, _ in (*self.site.does.link, *self.site.does.unlink) if text.startswith("store ")]
        named = [part.split() for text in stored for part in text.removeprefix("store ").split(",")]
        values = {
            word.name: tuple(
                dict.fromkeys(
                    word.value(value)
                    for value in (*states, *(part[1] for part in named if len(part) > 1 and part[0] == word.name))
                )
            )
            for word in self.site.words
            if not word.is_constant
        }
        ways = paths(self.site, values)
        return execution(self.site, on_into(ways, into, _CODE_AT) if into else ways)

    def accepting(self, execution: Execution, *targets: str, finds: Iterable[str] = ()) -> Run:
        return Run(execution, frozenset({*targets, TRAP}), frozenset(finds))

    # --- protocols ------------------------------------------------------------------------------------------------

    def waited(self, flags: Sequence[str] = (_QUIET,)) -> list[SiteLine]:
        """Quiescence, as an executor sees it."""
        synchronise = [self.site.instructions.synchronise] if self.synchronised else []
        return [SiteLine(text) for text in (*(f"wait {flag} 1" for flag in flags), *synchronise)]

    def _possible(self, runs: Sequence[Run], start: str, patching: Iterable[SiteLine]) -> list[Run]:
        """The same runs without the ways for which there is a value that nothing stores."""
        values = {value_name(word.name, word.value(start)) for word in self.site.words} | {value_name(CODE, OLD)}
        for text, _ in patching:
            if text.startswith("store "):
                values |= {part.split()[1] for part in text.removeprefix("store ").split(",")}
        return [
            replace(
                run,
                execution=execution(
                    self.site, [path for path in run.execution.paths if values.issuperset(path.values)]
                ),
            )
            for run in runs
        ]

    def _instructions(self, values: Iterable[str]) -> dict[str, EncodedInstruction]:
        """What the values of words are as instructions."""
        isa = family(self.site.isa)
        return {
            value_name(word.name, value): instruction(isa, code)
            for word in self.site.words
            if not word.is_data and isa
            for value, code in word.values.items()
            if value_name(word.name, value) in values
        }

    def trial(
        self,
        of: str,
        start: str,
        linkers: Sequence[Sequence[SiteLine]],
        runs: Sequence[Run],
        *,
        inside: Mapping[int, Sequence[SiteLine]] | None = None,
        between: Sequence[SiteLine] | None = None,
        allows: Callable[[Sequence[SitePath]], bool] = lambda run: True,
        quiescent: bool = True,
        late: bool = False,
        links: bool = False,
        writes: str = NEAR,
    ) -> Trial:
        """A trial that begins in a state.  ``inside``: what interrupts the first run, before the observation of that
        number.  ``between``: what comes between the runs.  ``allows``: whether ways through them go together.
        ``late``: the first run comes after quiescence.  ``links``: the linkers lead the site to a target in the end.
        ``writes``: the target whose code they write."""
        flags = [f"{_QUIET}{number or ''}" for number in range(len(linkers))]
        does = [[*lines, SiteLine(f"set {flag} 1")] for lines, flag in zip(linkers, flags, strict=True)]
        any_runs, runs = (
            runs,
            self._possible(runs, start, [*itertools.chain(*linkers), *itertools.chain(*(inside or {}).values())]),
        )
        executed = self.waited(flags) if late else []
        for number, run in enumerate(runs):
            if number:
                executed += self.waited(flags) if between is None else between
            executed += run.execution.lines(dict(inside or {}) if not number else None)
        right = _right(runs, allows)
        # Where nothing right can be observed, what would be says how far all is well.
        allowed = right or _right(any_runs, allows)

        def refuse(found: str, steps: object = (), expected: str = "", line: int = 0) -> InputError:
            place = f"{self.scenario}, {of}"
            return InputError(found, file=self.site.file, place=place, expected=expected)

        names = [
            f"{who}{number + 1 if number else ''}"
            for who, many in (("linker", len(linkers)), ("executor", self.executors))
            for number in range(many)
        ]
        cores = min(self.target.cores.value, len(names))

        def thread(number: int, name: str) -> Thread:
            lines = does[number] if number < len(linkers) else executed
            operations = parsed(
                "\n".join(line.text for line in lines),
                lambda line: lines[line - 1].number,
                lambda found, line, expected: refuse(found, expected=expected),
            )
            return Thread(name, number % cores, operations, None if number < len(linkers) else allowed)

        threads = tuple(itertools.starmap(thread, enumerate(names)))
        used = {name for thread in threads for operation in thread.operations for name in operation.names}
        units = [word for word in self.site.words if not word.is_constant and word.name in used]
        addresses = {word.name: Address(word.at, word.at) for word in units}
        initial = {word.name: value_name(word.name, word.value(start)) for word in units}
        if CODE in used:
            addresses[CODE] = Address(_CODE_AT, _CODE_AT)
            initial[CODE] = value_name(CODE, OLD)
        protocol = Protocol(
            host=with_cores(protocol_host(self.target), cores).buffering(
                [operation.verb for operation in thread.operations] for thread in threads
            ),
            addresses=addresses,
            initial=initial,
            threads=threads,
            flags=dict.fromkeys(flags, 0),
        )
        protocol = replace(protocol, instructions=self._instructions(protocol.values))
        never = self._never(start, threads[: len(linkers)]) if links else None
        if right and never is None:
            refuse_impossible(protocol, protocol.values, refuse)
        quiet = self.synchronised if quiescent else None
        return Trial(self.site, self.scenario, of, protocol, tuple(runs), quiet, never, writes, bool(right))

    def _never(self, start: str, linkers: Sequence[Thread]) -> SitePath | None:
        """Where the site leads after all that the linkers do, one after the other, if that is to no target.

        Every store becomes visible, and what an instruction cache holds can be evicted: what memory has in the end can
        be executed, and nothing else needs to be.
        """
        held = {word.name: value_name(word.name, word.value(start)) for word in self.site.words}
        for operations in (linker.operations for linker in linkers):
            at = 0
            while at < len(operations):
                operation = operations[at]
                if operation.verb.startswith("store"):
                    held.update(zip(operation.names, operation.values, strict=True))
                at += 1 + operation.skip(tuple(held.get(name, "") for name in operation.names))
        path = leads(self.site, {word.name: held[word.name].removeprefix(f"{word.name}.") for word in self.site.words})
        return path if path.arrives in (STUB, TRAP) else None  # anywhere else it is wrong, and found by the search


def _right(runs: Sequence[Run], allows: Callable[[Sequence[SitePath]], bool]) -> tuple[tuple[str, ...], ...]:
    """What may be observed."""
    return tuple(
        dict.fromkeys(
            tuple(itertools.chain.from_iterable(path.values for path in ways))
            for ways in itertools.product(*(run.execution.paths for run in runs))
            if allows(ways) and not any(run.failure(path) for run, path in zip(runs, ways, strict=True))
        )
    )


def with_cores(host: ProtocolHost, cores: int) -> ProtocolHost:
    """So many of its cores."""
    return replace(host, cores=cores, instruction_lines=host.instruction_lines[:cores])


def flush_recipe(target: Target, site: Site) -> FlushRecipe:
    """How a target flushes the code of a site."""
    return target.runs_as(next((isa for isa in site.instructions.hosts if isa in target.isa), site.isa)).flush


def flush(target: Target, site: Site, unit: str) -> list[str]:
    """What the flush of a unit is on a target, as operations of a protocol."""
    recipe = flush_recipe(target, site)
    if recipe.by == "nobody" or (unit != CODE and site.word(unit).is_constant):
        return []
    if site.isa == "riscv64":
        return ["fence.i", *(["fence", "ipi fence.i"] if recipe.invalidate == "broadcast" else [])]
    found = [f"clean {unit}"] if recipe.clean else []
    found.append("dsb")
    if recipe.invalidate != "none":
        scope = " local" if recipe.invalidate == "local" else ""
        found += [f"invalidate-all{scope}" if recipe.whole_icache else f"invalidate {unit}{scope}", "dsb"]
    found += ["isb"] if recipe.sync else []
    return [*found, "ipi isb"] if recipe.remote_sync else found


def _link(setting: _Setting) -> Iterator[Trial]:
    if setting.has(NEAR):
        ways = setting.execution(STUB, NEAR)
        run = setting.accepting(ways, STUB, NEAR)
        yield setting.trial("stub to near", STUB, [setting.linked(NEAR)], [run, run], links=True)


def _unlink(setting: _Setting) -> Iterator[Trial]:
    if setting.begins_in(NEAR):
        ways = setting.execution(STUB, NEAR)
        runs = [setting.accepting(ways, STUB, NEAR), setting.accepting(ways, STUB)]
        yield setting.trial("near to stub", NEAR, [setting.unlinked()], runs)


def _changed(setting: _Setting, old: str, new: str) -> Iterator[Trial]:
    """From one target to another: unlinked, and linked."""
    if setting.begins_in(old) and setting.has(new):
        ways = setting.execution(old, STUB, new)
        runs = [setting.accepting(ways, old, STUB, new), setting.accepting(ways, STUB, new)]
        linker = [*setting.unlinked(), *setting.linked(new)]
        yield setting.trial(f"{old} to {new}", old, [linker], runs, links=True)


def _relink(setting: _Setting) -> Iterator[Trial]:
    yield from _changed(setting, NEAR, NEAR2)


_FAR_CHANGES = ((NEAR, FAR), (FAR, NEAR), (FAR, FAR2))


def _far(setting: _Setting) -> Iterator[Trial]:
    if not setting.has(FAR):
        return
    ways = setting.execution(STUB, FAR)
    run = setting.accepting(ways, STUB, FAR)
    yield setting.trial("stub to far", STUB, [setting.linked(FAR)], [run, run], links=True)
    if setting.begins_in(FAR):
        yield setting.trial("far to stub", FAR, [setting.unlinked()], [run, setting.accepting(ways, STUB)])
    for old, new in _FAR_CHANGES:
        yield from _changed(setting, old, new)


def _publish(setting: _Setting) -> Iterator[Trial]:
    """New code at a target is led to, from the stub or from another target."""
    for old, new in ((STUB, NEAR), (NEAR, NEAR2), (STUB, FAR), *_FAR_CHANGES):
        if not setting.has(new) or not setting.begins_in(old):
            continue
        states = tuple(dict.fromkeys((old, STUB, new)))
        run = setting.accepting(setting.execution(*states, into=new), *states, finds={NEW})
        unlinked = setting.unlinked() if old != STUB else []
        linker = [*setting.written(), *unlinked, *setting.linked(new)]
        of = f"{old} to new code at {new}"
        yield setting.trial(of, old, [linker], [run], quiescent=False, links=True, writes=new)


def _reuse(setting: _Setting) -> Iterator[Trial]:
    if not setting.begins_in(NEAR) or not setting.site.reuses:
        return
    ways = setting.execution(STUB, NEAR, into=NEAR)
    retired = [*setting.unlinked(), *setting.site.does.retire, *setting.written()]
    led = setting.accepting(ways, STUB, NEAR, finds={OLD})
    yield setting.trial("new code where the target was", NEAR, [retired], [led], quiescent=False)
    either, anew = replace(led, finds=frozenset({OLD, NEW})), replace(led, finds=frozenset({NEW}))
    linker = [*retired, *setting.linked(NEAR)]
    yield setting.trial("and linked again", NEAR, [linker], [either, anew], links=True)


def _interrupted(setting: _Setting) -> Iterator[Trial]:
    """Stopped before an observation: a handler of the same thread, or another thread, patches meanwhile.

    Not where whoever patches first waits for all others.
    """
    if {"stop-others", "stop-anywhere"} & {line.text for line in (*setting.site.does.link, *setting.site.does.unlink)}:
        return
    changes = [
        ("unlink", NEAR, (STUB,)),
        ("relink", NEAR, (STUB, NEAR2)),
        ("far unlink", FAR, (STUB,)),
        ("far relink", FAR, (STUB, FAR2)),
    ]
    returns = [SiteLine(text) for text in setting.site.instructions.returns]
    for name, old, states in changes:
        if not setting.begins_in(old) or not setting.has(*states) or (setting.site.in_handler and len(states) > 1):
            continue
        ways = setting.execution(old, *states)
        patching = [*setting.unlinked(), *(setting.linked(states[-1]) if len(states) > 1 else [])]
        first, last = setting.accepting(ways, old, *states), setting.accepting(ways, *{STUB, states[-1]})
        for number in range(len(ways.observations)):
            at = f"stopped {'at' if not number else 'inside'} {'+'.join(ways.observations[number].words)}"

            def stopped_there(
                run: Sequence[SitePath], number: int = number, ways: Execution = ways, old: str = old
            ) -> bool:
                """Who was not stopped, since the site was left before, may still be led to the old target."""
                seen = {observation for observation, _ in run[0].observed}
                return ways.observations[number] not in seen or run[1].arrives != old

            if number and not setting.site.in_handler:
                inside = {number: [SiteLine(f"wait {_QUIET} 1"), *returns]}
                yield setting.trial(f"{name}, {at}", old, [patching], [first], inside=inside, quiescent=False)
            after = replace(last, accepts=last.accepts | ({old} if number else frozenset()))
            yield setting.trial(
                f"{name} by a handler, {at}",
                old,
                [],
                [first, after],
                inside={number: [*patching, *returns]},
                between=[],
                allows=stopped_there,
                quiescent=False,
            )


def _twice(setting: _Setting) -> Iterator[Trial]:
    """Executors run the site afterwards: what they meet meanwhile they meet in the other scenarios too."""
    if setting.has(NEAR, NEAR2):
        run = setting.accepting(setting.execution(STUB, NEAR, NEAR2), STUB, NEAR, NEAR2)
        linkers = [setting.linked(NEAR), setting.linked(NEAR2)]
        yield setting.trial("near and near2", STUB, linkers, [run], late=True, links=True)


_SCENARIOS: Mapping[str, Callable[[_Setting], Iterator[Trial]]] = dict(
    zip(SCENARIOS, (_link, _unlink, _relink, _far, _publish, _reuse, _interrupted, _twice), strict=True)
)


def refuse_unknown_scenario(name: str) -> None:
    """Raise ``InputError`` for a name that is no scenario's."""
    if name not in SCENARIOS:
        raise InputError(repr(name), place="`scenario`", expected=" or ".join(SCENARIOS))
