"""The compiled search against the plain walk: same verdict, states, depth and counterexample; and what it builds on."""

from __future__ import annotations

import collections
import dataclasses
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from test_machine_reference import draw_case

from bench.hosts import load_host
from bench.machine import State, environment_steps, program_steps
from bench.machine.footprint import NotCompiledError
from bench.machine.model import Action, Model, Place, Taken
from bench.program.compiler import Compiler
from bench.protocols.document import bug_names, load_bug
from bench.protocols.lowering import Lowering
from bench.scenarios import scenario, scenario_names
from bench.search.explore import explore
from bench.search.outcome import Outcome
from bench.search.question import UNASKED, UNSEEN, Question
from bench.search.relation import Relation
from bench.search.walk import holds, walk
from bench.translators.registry import load_translator
from strategies import registry

QUESTIONS = (Question(), Question("lasting", without=UNSEEN), Question("lasting"), Question(without=UNASKED))
MOST = 400


def shipped(strategy: str, host: str, translator: str, name: str, **arguments: int) -> Model | None:
    """The model of a cell, None where it cannot be."""
    profile = load_host(host)
    instance = scenario(name, profile.cores.value, **arguments)
    if instance is None:
        return None
    return Compiler(registry.find(strategy), load_translator(translator), profile, instance).model


HOSTS = [
    *((host, "arm@2010") for host in ("cortex-a9", "arm926", "neoverse-v1")),
    *(("z10", "s390x@2010"), ("x86-skylake", "x86-64@2010"), ("mips-24kc", "mips@2010")),
    *(("ultrasparc-2", "sparc@2010"), ("ppc-g5", "ppc64@2010")),
]


@pytest.mark.parametrize(("host", "translator"), HOSTS)
def test_both_searches_find_the_same_in_every_shipped_cell(host: str, translator: str) -> None:
    # In turns: each of the two questions is asked of every strategy in every scenario, on two of the hosts.
    turn = HOSTS.index((host, translator))
    for row, strategy in enumerate(registry.names()):
        for number, name in enumerate(scenario_names(), turn + row):
            model = None
            if number % 2:
                model = shipped(strategy, host, translator, name, flushes=strategy == "flush-on-tb-flush")
            if model is not None:
                question = QUESTIONS[number // 2 % 2]
                found = explore(model, question, max_states=MOST, symmetric=False)
                assert found == walk(model, question, max_states=MOST), (strategy, name, question)


@pytest.mark.parametrize("first", range(5_000, 5_060, 15))
def test_both_searches_find_the_same_in_random_cases(first: int) -> None:
    found: collections.Counter[str] = collections.Counter()
    for seed in range(first, first + 15):
        model = Compiler(**draw_case(random.Random(seed)).arguments).model
        for question in QUESTIONS:
            plain = walk(model, question, max_states=MOST)
            assert explore(model, question, max_states=MOST, symmetric=False) == plain, (seed, question)
            assert holds(model, question, max_states=MOST) == (plain.verdict == "holds"), (seed, question)
            found[plain.failure or plain.verdict] += 1
    assert found["wrong fetch"] >= 3
    assert found["holds"] >= 12


def test_a_large_space_is_the_same_to_both() -> None:
    model = shipped("stop-the-world-flush", "cortex-a9", "arm@2010", "user-both")
    plain = walk(model, Question(), max_states=100_000)
    assert explore(model, Question(), max_states=100_000, symmetric=False) == plain
    assert plain.states > 20_000


@pytest.mark.parametrize("limit", [1, 2, 1000, 26_891])
def test_a_search_that_is_cut_short_has_seen_as_much_as_it_says(limit: int) -> None:
    model = shipped("stop-the-world-flush", "cortex-a9", "arm@2010", "user-both")
    found = explore(model, Question(), max_states=limit, symmetric=False)
    assert (found.verdict, found.states) == ("bounded", limit)
    if limit <= 1000:  # as far as the walk is quick; the whole space is the test above
        assert found == walk(model, Question(), max_states=limit)


@pytest.mark.parametrize("seed", range(5_200, 5_230))
def test_the_relation_has_the_steps_of_the_machine(seed: int) -> None:
    """Its tables, learnt in one state and used in all others, lead to the states that the machine leads to."""
    model = Compiler(**draw_case(random.Random(seed)).arguments).model
    relation = Relation(model, Question())
    seen, layer = {relation.start}, [relation.start]
    while layer and len(seen) < 400:
        following = []
        for numbers in layer:
            state = relation.state(numbers)
            every = (*environment_steps(model, state), *program_steps(model, state))
            expected = {(step.event, relation.numbers(step.state)) for step in every}
            assert set(relation.steps(numbers)) == expected
            following += [after for _, after in expected if after not in seen]
            seen.update(following)
        layer = following


# --- symmetry ---


def same(one: Outcome, other: Outcome) -> bool:
    """Verdict and counterexample; there may be fewer layers, where the start is not like what it is swapped to."""
    return (one.verdict, one.failure, one.run, one.witness) == (other.verdict, other.failure, other.run, other.witness)


SCALED = [
    ("stop-the-world-flush", "user-both", {}, 2),
    ("stop-the-world-flush", "user", {"cores": 3}, 2),
    ("stop-the-world-flush", "user", {"tbs": 2}, 2),
    ("flush-on-retranslation", "user-both", {"tbs": 2, "retranslations": 1}, 4),
    ("unfixed", "user", {"cores": 3, "tbs": 3}, 12),
    ("global-lock", "migrate", {"cores": 3, "tbs": 2}, 12),
    ("idempotent", "user-both", {"cores": 3, "tbs": 2}, 12),
]


@pytest.mark.parametrize(("strategy", "name", "arguments", "order"), SCALED)
def test_swapping_what_is_alike_changes_no_verdict_and_no_counterexample(
    strategy: str, name: str, arguments: dict[str, int], order: int
) -> None:
    model = shipped(strategy, "cortex-a72", "arm@2010", name, **arguments)
    every = explore(model, Question(), max_states=200_000, symmetric=False)
    fewer = explore(model, Question(), max_states=200_000)
    assert fewer.symmetry == order
    assert same(fewer, every)
    assert every.states / order <= fewer.states <= 0.75 * every.states


@pytest.mark.parametrize("seed", range(5_300, 5_330))
def test_in_random_cases_too(seed: int) -> None:
    case = draw_case(random.Random(seed))
    instance = case.arguments["scenario"]
    model = Compiler(**{**case.arguments, "scenario": dataclasses.replace(instance, tbs=2)}).model
    for question in QUESTIONS:
        every = explore(model, question, max_states=30_000, symmetric=False)
        fewer = explore(model, question, max_states=30_000)
        if every.verdict != "bounded":
            assert same(fewer, every)
            assert every.states <= fewer.states * fewer.symmetry


def test_blocks_that_a_strategy_takes_in_an_order_are_not_alike() -> None:
    """A flush of the whole buffer cleans its lines one after the other."""
    model = shipped("flush-on-tb-flush", "cortex-a72", "arm@2010", "user", tbs=2, flushes=1)
    assert explore(model, Question(), max_states=100_000).symmetry == 1


@pytest.mark.parametrize("name", bug_names())
def test_what_the_compiled_search_cannot_represent_is_refused(name: str) -> None:
    """A protocol has flags, interrupts, moves or values of its own: none of that has a slot or a footprint."""
    for case in load_bug(name).cases:
        with pytest.raises(NotCompiledError):
            explore(Lowering(case.protocol).model, Question(), max_states=100_000)


def test_an_action_without_a_footprint_is_refused_before_there_is_a_verdict() -> None:
    class Silent(Action):
        """Does nothing, and does not say what it reads."""

        def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
            yield state, 0, None

    model = shipped("idempotent", "cortex-a9", "arm@2010", "system")
    program = model.programs[0]

    class Replaced:
        role = program.role

        def place(self, number: int) -> Place:
            place = program.place(number)
            return replace(place, steps=tuple(replace(one, action=Silent()) for one in place.steps))

    for question in (Question(), Question("lasting")):
        with pytest.raises(NotCompiledError, match="Silent"):
            explore(replace(model, programs=(Replaced(),)), question, max_states=1000)
