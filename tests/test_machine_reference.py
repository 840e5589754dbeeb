"""The checker against a brute-force reading of the same rules (``reference.py``), on random small cases.

Every case is a random strategy on a random host with a random tiny translator in
a random scenario: verdict, kind of failure and shortest length must be the same.
Cases are drawn from a ``random.Random``, seeded for the counted runs, and led by
hypothesis for those that it shrinks.
"""

from __future__ import annotations

import collections
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from brute_force import Answer, TooLarge, explore
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import Reference, View
from tiny import QUARTER, TARGET, Branch, Tiny, Way

from bench.hosts import load_host
from bench.machine import State, environment_steps, initial, program_steps
from bench.machine.model import Model
from bench.program.compiler import Compiler
from bench.program.layout import LayoutName
from bench.scenarios import Scenario, scenario
from bench.search.outcome import Outcome
from bench.search.question import Question
from bench.search.search import search
from strategies import operations as op
from strategies.strategy import Strategy
from strategies.writes import Buffer, Form, Region, Write

STATES = 1_000
"""A case with more states is not compared."""

Where = Region | Buffer
Hazard = Literal["wrong fetch", "lasting"]

# --- random blocks ---


def draw_translator(rng: random.Random) -> Tiny:
    size = rng.choice((2, 3, 3, 4))
    branches = {}
    for number in rng.sample(range(size), rng.choice((0,) + (1,) * 12 + (2,) * 3)):
        opcode, begun, updated = rng.choice(
            (
                *((0xFF00_0000, Form.WHOLE, Form.ADD_PATCH), (0xFF00_0000, Form.WHOLE, Form.READ_BACK)) * 3,
                *((0xFF00_0000, Form.WHOLE, Form.WHOLE), (0xFF00_FFFF, Form.WHOLE, Form.SKIP_BYTES)) * 2,
                (0xFF00_0000, rng.choice((Form.SKIP_BYTES, Form.READ_BACK)), Form.READ_BACK),
            )
        )
        temporary = rng.choice((*(QUARTER, 0) * 4, TARGET))
        branches[number] = Branch(opcode, temporary, begun, updated, rng.randrange(number, size))
    everything = tuple(range(size))
    skipping = tuple(n for n in everything if n in (0, size - 1) or n in branches or rng.random() < 0.4)
    stop = rng.randint(1, size)
    paths: tuple[Way, ...] = (("miss", everything), ("hit", skipping), ("fault", everything[:stop]))
    if rng.random() < 0.3:
        paths = paths[1:]
    order, rewritten = rng.choice(("little", "big")), rng.choice((size, size, max(stop, size - 1)))
    return Tiny(order, size, branches, rewritten, paths, rng.choice((Form.SKIP_BYTES, Form.READ_BACK)))


# --- random strategies ---

Body = tuple[str, ...]
"""The operations of a hook, by name; ``clean 1`` is one unit's, ``clean`` the whole region's."""


@dataclass(frozen=True)
class Plan:
    """A strategy in words; hooks not named are those of the base class."""

    bodies: dict[str, Body]
    generators: frozenset[str]
    """The hooks that are generators."""
    emit: str
    retranslate: str


def operation(words: str, where: Where) -> op.Operation:
    """The operation of that name on ``where``, or on one of its units."""
    verb, *rest = words.split()
    units = list(where)
    part = units[int(rest[0]) % len(units)] if rest and rest[0].isdigit() else where
    scope = op.Scope.LOCAL if "local" in rest else op.Scope.BROADCAST
    match verb:
        case "clean":
            return op.Clean(part)
        case "invalidate":
            return op.Invalidate(part, scope)
        case "load" | "mend":
            return op.Load(part)
        case "acquire":
            return op.Acquire(rest[0], shared="shared" in rest)
        case "release":
            return op.Release(rest[0])
    plain: dict[str, op.Operation] = {"barrier": op.Barrier(), "sync": op.Sync(), "sync-cores": op.SyncCores()}
    plain |= {"flush": op.Flush(where), "lookup": op.Lookup(where) if isinstance(where, Region) else op.Sync()}
    return plain[verb]


def hook(body: Body, asks: bool) -> Callable[[Strategy, Where], Any]:
    """A hook with these operations; one that asks is a generator, and ``mend`` stores what it found wrong."""

    def answer(self: Strategy, where: Where) -> tuple[op.Operation, ...]:
        return tuple(operation(words, where) for words in body)

    def ask(self: Strategy, where: Where) -> Iterator[op.Operation]:
        for words in body:
            result = yield operation(words, where)
            if words.startswith("mend"):
                unit = list(where)[int(words.split()[1]) % len(list(where))]
                if result != unit.final:
                    yield op.Store(unit, unit.mask, unit.final)
                    yield op.Clean(unit)

    return ask if asks else answer


def emit_hook(how: str) -> Callable[[Strategy, Write], Any]:
    """An ``emit`` hook: one of those below, or the form of that name."""

    def in_form(self: Strategy, write: Write) -> Any:
        return Strategy.emit(self, write.in_form(Form(how)))

    def shipped(self: Strategy, write: Write) -> Any:
        return Strategy.emit(self, write.in_form(write.unit.shipped_form))

    def final(self: Strategy, write: Write) -> Any:
        return (op.Store(write.unit, write.unit.mask, write.unit.final),)

    def if_different(self: Strategy, write: Write) -> Any:
        held = yield op.Load(write.unit)
        if write.unit.in_scratch or held != write.unit.final:
            yield from Strategy.emit(self, write)

    def cleaned(self: Strategy, write: Write) -> Any:
        yield from Strategy.emit(self, write)
        yield op.Clean(write.unit)

    def bytewise(self: Strategy, write: Write) -> Any:
        lanes = [0xFF << shift for shift in range(0, 8 * write.unit.size, 8)]
        return tuple(op.Store(write.unit, lane, (write.value | write.temporary) & lane) for lane in lanes)

    hooks = {"shipped": shipped, "final": final, "if-different": if_different, "cleaned": cleaned, "bytewise": bytewise}
    return hooks.get(how, in_form)


def build(plan: Plan) -> Strategy:
    members: dict[str, Any] = {name: hook(body, name in plan.generators) for name, body in plan.bodies.items()}
    if plan.emit != "as emitted":
        members["emit"] = emit_hook(plan.emit)
    if plan.retranslate == "scratch":
        members["retranslate"] = lambda self, region: tuple(
            op.Do("emit", write) for write in region.in_scratch().writes
        )
    elif plan.retranslate == "lookup":
        members["retranslate"] = lambda self, region: (op.Lookup(region),)
    made = type("Random", (Strategy,), members)()
    assert isinstance(made, Strategy)
    return made


LOOSE = (
    "clean; invalidate; invalidate local; barrier; sync; sync-cores; flush; lookup; clean 0; clean 1; invalidate 0; "
    "invalidate 1 local; load 0; load 1; mend 0; mend 1; mend 2"
).split("; ")
PUBLISHED: tuple[Body, ...] = (
    *((), (), ()),
    ("flush",),
    ("clean", "barrier", "invalidate", "barrier", "sync"),
    ("clean", "barrier", "invalidate local", "barrier", "sync"),
    ("clean", "invalidate", "barrier", "sync-cores"),
    ("invalidate", "barrier", "clean", "barrier", "sync"),
    ("clean", "barrier", "sync"),
    ("invalidate", "barrier", "sync"),
)


def draw_strategy(rng: random.Random, flushes: int) -> Plan:
    bodies: dict[str, list[str]] = {"begin": [], "publish": list(rng.choice(PUBLISHED)), "enter": [], "leave": []}
    for name in (*rng.sample(("begin", "enter", "leave"), rng.choice((0, 0, 1))), *rng.choice(((), ("publish",)))):
        for words in rng.sample(LOOSE, rng.choice((1, 1, 2))):
            bodies[name].insert(rng.randint(0, len(bodies[name])), words)
    if rng.random() < 0.3 and len(bodies["publish"]) > 1:
        bodies["publish"].remove(rng.choice(bodies["publish"]))
    none: list[str] = []
    outside, inside = rng.choice(
        (
            *((none, none),) * 5,
            *((["a"], none), (["a"], ["a shared"]), (["a"], ["a shared"]), (["a"], ["a"])),
            (["a", "b"], ["b", "a"]),
            (["b", "a shared"], ["a", "b"]),
        )
    )
    for taking, giving, locks in (("begin", "publish", outside), ("enter", "leave", inside)):
        if locks:
            bodies[taking][:0] = [f"acquire {lock}" for lock in locks]
            if rng.random() < 0.7:
                bodies[giving] += rng.choice(([], ["sync-cores"]))
                bodies[giving] += [f"release {lock.split()[0]}" for lock in locks]
            else:
                place = rng.randint(0, len(bodies[giving]))
                bodies[giving][place:place] = [f"release {lock.split()[0]}" for lock in locks]
    if flushes and rng.random() < 0.5:
        bodies["flush_buffer"] = list(rng.choice((*PUBLISHED, ("sync-cores",))))
    made = {name: tuple(body) for name, body in bodies.items() if body}
    generators = {name for name, body in made.items() if any(w.split()[0] in ("load", "mend") for w in body)}
    generators |= {name for name in made if rng.random() < 0.3}
    idempotent = rng.choice(("shipped", "read-back", "skip-bytes", "final"))
    emit = rng.choice(
        (*("as emitted",) * 9, *("cleaned",) * 2, "whole", "if-different", "bytewise", *(idempotent,) * 2)
    )
    retranslate = rng.choice(("rewrite",) * 18 + ("scratch", "lookup"))
    return Plan(made, frozenset(generators), emit, retranslate)


# --- random hosts ---


def draw_settings(rng: random.Random) -> tuple[str, ...]:
    """What the host has otherwise than a Cortex-A9, as ``--set`` takes it."""
    ahead, checks = rng.choice(((False, False), (False, False), (True, False), (False, True)))
    invalidate = rng.choice(("none", "local", "broadcast", "broadcast"))
    settings: dict[str, Any] = {
        "fill": rng.choice(("pou", "pou", "pou", "coherent")),
        "snoop": rng.choice(("none", "none", "none", "others", "all")),
        "dirty_transfer": rng.choice(("cache", "memory")),
        "fetches_ahead": ahead,
        "checks_pipeline": checks,
        "switch_cleans_all": rng.random() < 0.25,
        "store_buffer": rng.choice((0, 0, 0, 1, 2)),
        **{f"{cache}.line": rng.choice((8, 16, 16)) for cache in ("icache", "dcache")},
        "write": rng.choice(("back",) * 5 + ("through",)),
        "write_allocate": rng.random() < 0.65,
        "flush.clean": rng.random() < 0.6,
        "flush.invalidate": invalidate,
        "flush.sync": rng.random() < 0.7,
        "flush.whole_icache": invalidate != "none" and rng.random() < 0.3,
        "flush.remote_sync": rng.random() < 0.3,
        "flush.deferred_to_move": invalidate != "none" and rng.random() < 0.3,
    }
    return tuple(f"{key}={str(value).lower()}" for key, value in settings.items())


# --- cases ---


@dataclass(frozen=True)
class Case:
    """All that the checker and the reference are given."""

    plan: Plan
    translator: Tiny
    settings: tuple[str, ...]
    scenario: Scenario
    hazard: Hazard
    layout: LayoutName
    offset: int
    start_at_fault: bool

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments that the compiler and the reference share."""
        same = {name: getattr(self, name) for name in ("translator", "scenario", "layout", "offset", "start_at_fault")}
        return {"strategy": build(self.plan), "host": load_host("cortex-a9", self.settings), **same}

    @property
    def features(self) -> set[str]:
        """What a case varies, by name and value."""
        instance = self.scenario
        words = [f"{name}={getattr(instance, name)}" for name in ("name", "cores", "tbs", "flushes", "retranslations")]
        words += [f"{name}={getattr(self, name)}" for name in ("hazard", "layout", "start_at_fault")]
        return {*self.settings, *words}


def draw_case(rng: random.Random) -> Case:
    hazard: Hazard = "lasting" if rng.random() < 0.2 else "wrong fetch"
    name = rng.choice(("system", "system", "user", "user", "user-both", "migrate"))
    if hazard == "lasting":
        name = rng.choice((name, "user-both"))
    small = name in ("system", "migrate")
    flushes = int(rng.random() < 0.2)
    instance = scenario(
        name,
        2 if name == "migrate" else rng.choice((1, 2, 2)),
        cores=3 if name == "user" and rng.random() < 0.1 else 2,
        tbs=2 if small and rng.random() < 0.1 else 1,
        retranslations=rng.choice((1, 1, 2)) if small else 1,
        flushes=flushes,
    )
    layout: LayoutName = rng.choice(("apart", "packed"))
    plan, translator, settings = draw_strategy(rng, flushes), draw_translator(rng), draw_settings(rng)
    offset = rng.choice((0, 4, 8, 12, 2, 6)) if layout == "packed" else 0
    return Case(plan, translator, settings, instance, hazard, layout, offset, rng.random() < 0.4)


def check(case: Case, arguments: dict[str, Any]) -> Outcome:
    """The checker's answer."""
    model = Compiler(**arguments).model
    return search(model, Question("lasting" if case.hazard == "lasting" else "wrong fetch"), max_states=STATES)


def disagreement(case: Case, outcome: Outcome, answer: Answer, *, lengths: bool = True) -> str:
    """What differs between the two answers, with all that is needed to look at it; empty if nothing does."""
    found: list[Any] = [outcome.verdict, outcome.failure]
    expected: list[Any] = [answer.verdict, answer.failure]
    if lengths and answer.failure in ("wrong fetch", "lasting", "deadlock"):
        found.append(outcome.depth)
        expected.append(answer.length)
    if found == expected:
        return ""
    runs = (*(str(step.event) for step in outcome.run), "reference:", *answer.run)
    return f"the checker says {found}, the reference {expected}\n{case}\n" + "\n".join(runs)


# --- the comparisons ---


def test_the_checker_and_the_reference_agree() -> None:
    """Verdict, kind of failure and shortest length; and the cases are worth comparing."""
    verdicts: collections.Counter[str] = collections.Counter()
    kinds: set[str] = set()
    covered: dict[str, set[str]] = {"holds": set(), "fails": set()}
    for seed in range(240):
        case = draw_case(random.Random(seed))
        arguments = case.arguments
        outcome = check(case, arguments)
        if outcome.verdict == "bounded":
            continue
        answer = explore(Reference(**arguments), 100_000, case.hazard)
        assert not (text := disagreement(case, outcome, answer)), f"seed {seed}: {text}"
        verdicts[outcome.verdict] += 1
        kinds.add(outcome.failure)
        covered[outcome.verdict] |= case.features
    compared = verdicts.total()
    assert compared >= 180
    assert verdicts["fails"] >= 0.3 * compared
    assert verdicts["holds"] >= 0.3 * compared
    assert kinds >= {"wrong fetch", "lasting", "deadlock"}
    assert covered["fails"] == covered["holds"]  # no feature decides the verdict by itself


def view(model: Model, state: State, byteorder: Literal["little", "big"]) -> View:
    """What can be seen of a state of the checker, where every cell is a whole unit of four bytes."""

    def raw(values: Iterable[int]) -> bytes:
        return b"".join(value.to_bytes(4, byteorder) for value in values)

    return View(
        raw(state.memory.data),
        raw(state.memory.memory),
        tuple(tuple(None if line is None else raw(line) for line in lines) for lines in state.memory.icache),
        tuple(() if queue is None else tuple(raw(unit) for unit in queue[2]) for queue in state.memory.ahead),
        tuple(len(buffer) for buffer in state.memory.buffers),
        state.memory.owner,
        tuple(frozenset((item.target, item.line, item.waits) for item in pending) for pending in state.memory.pending),
        state.running,
        tuple({1: "valid", 0: "discarded", -1: "translating"}[block] for block in state.blocks),
    )


def views(model: Model, byteorder: Literal["little", "big"]) -> dict[View, int] | None:
    """What can be seen of every state that the checker reaches, and after how many steps first; None if too many."""
    seen = {initial(model)}
    layer, depth = [initial(model)], 0
    found: dict[View, int] = {}
    while layer:
        following = []
        for state in layer:
            found.setdefault(view(model, state, byteorder), depth)
            for step in (*environment_steps(model, state), *program_steps(model, state)):
                if step.state not in seen:
                    seen.add(step.state)
                    following.append(step.state)
        if len(seen) > STATES:
            return None
        layer, depth = following, depth + 1
    return found


def test_the_same_states_are_reached_after_the_same_number_of_steps() -> None:
    """More than verdicts: all that can be seen of every reachable state, and how soon."""
    compared = states = 0
    for seed in range(2_000, 2_150):
        case = draw_case(random.Random(seed))
        arguments = case.arguments
        found = views(Compiler(**arguments).model, case.translator.byteorder) if case.offset % 4 == 0 else None
        if found is None:
            continue
        expected = Reference(**arguments).views(20 * STATES)
        wrong = {seen for seen, _ in found.items() ^ expected.items()}
        assert not wrong, f"seed {seed}: {case}\n" + "\n".join(
            f"checker after {found.get(seen)}, reference after {expected.get(seen)} steps: {seen}"
            for seen in sorted(wrong, key=lambda seen: min(found.get(seen, 999), expected.get(seen, 999)))[:4]
        )
        compared += 1
        states += len(found)
    assert compared >= 80
    assert states >= 2_500


def test_units_and_lines_that_no_store_changes_change_no_verdict() -> None:
    """Against the reference in which every unit of every block is state.

    Lengths are compared where units lie apart.  In a packed block a fetch of a
    unit that no store changes may fill the line of one that some store does,
    in a step that the projection does not have.
    """
    verdicts: collections.Counter[str] = collections.Counter()
    for seed in range(1_000, 1_120):
        case = draw_case(random.Random(seed))
        arguments = case.arguments
        everything = Reference(**arguments, every_unit=True)
        if len(everything.tracked) == len(everything.live):
            continue
        try:
            answer = explore(everything, 400, case.hazard)
        except TooLarge:
            continue
        outcome = check(case, arguments)
        if outcome.verdict == "bounded":
            continue
        text = disagreement(case, outcome, answer, lengths=case.layout == "apart")
        assert not text, f"seed {seed}: {text}"
        verdicts[outcome.verdict] += 1
    assert verdicts.total() >= 24
    assert min(verdicts["fails"], verdicts["holds"]) >= 0.3 * verdicts.total()


@settings(max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
def test_hypothesis_finds_no_smaller_disagreement(rng: random.Random) -> None:
    """The same comparison, led by hypothesis: a disagreement is reduced to a small case."""
    case = draw_case(rng)
    arguments = case.arguments
    outcome = check(case, arguments)
    if outcome.verdict != "bounded":
        answer = explore(Reference(**arguments), 100_000, case.hazard)
        assert not (text := disagreement(case, outcome, answer)), text
