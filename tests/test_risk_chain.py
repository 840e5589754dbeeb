"""The Markov chain over the machine: closed forms, exact fractions, and cases that can be reasoned out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import pytest
from cells import chain_cell as cell
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.machine import Kind, State, environment_steps, finished, initial, program_steps, step
from bench.machine.model import Model
from bench.risk.causes import AT_ONCE, RANDOM_KINDS, Cause
from bench.risk.chain import Chain, ChainFigures
from bench.search.question import Question
from bench.search.search import search
from bench.support.errors import InputError
from strategies.registry import shipped


def evictions(write_back: float = 0.0, drop: float = 0.0) -> tuple[Cause, ...]:
    """Lines leave the caches, each by itself; stores and maintenance are done with at once."""
    return Cause("evictions", write_back=write_back, drop=drop), AT_ONCE


def asked(causes: tuple[Cause, ...], *arguments: str, **named: str) -> ChainFigures:
    """The answer for a shipped cell."""
    return Chain(*cell(*arguments, **named), causes).figures(causes)


# ------------------------------------------------------------------------------------------------ closed forms


def test_in_the_long_run_what_is_wrong_in_memory_waits_for_the_instruction_line() -> None:
    # With 3 d the wrong value gets to memory; then 7 i of each retranslation show it, and 4 d heal it.
    data, instruction = 1e-6, 1e-3
    shown = 7 * instruction / (7 * instruction + 4 * data)
    answer = asked(evictions(data, instruction), "unfixed")
    assert answer.long_run == pytest.approx(3 * data * shown, rel=1e-3)
    assert answer.long_run / answer.first == pytest.approx(143, rel=0.01)


def test_where_stores_do_not_allocate_no_eviction_is_needed() -> None:
    answer = asked(evictions(drop=1e-3), "unfixed", "cortex-a8")
    assert answer.first > 1e-3
    assert asked(evictions(drop=1e-3), "unfixed", "cortex-a9").first == 0


# ------------------------------------------------------------------------------------------------ exact fractions


def ways(model: Model, state: State, causes: tuple[Cause, ...]) -> Iterator[tuple[State, Fraction]]:
    """The states after the environment step, by trying one event after the other on every branch by itself."""
    branches = [(state, Fraction(1))]
    for cause in causes:
        following = []
        for start, weight in branches:
            if cause.probability < 1:
                following.append((start, weight * (1 - Fraction(cause.probability))))
            following += happened(model, start, weight * Fraction(cause.probability), cause)
        branches = following
    yield from branches


def happened(model: Model, state: State, weight: Fraction, cause: Cause) -> list[tuple[State, Fraction]]:
    """The states after a cause has happened."""
    branches = [(state, weight)]
    for kind in RANDOM_KINDS:
        chance = Fraction(cause.of(kind))
        if not chance:
            continue
        following = []
        for start, share_of_start in branches:
            now = {start: share_of_start}
            for event in [found.event for found in environment_steps(model, start) if found.event.kind is kind]:
                after: dict[State, Fraction] = {}
                pending = list(now.items())
                while pending:
                    before, share = pending.pop()
                    taken = step(model, before, event)
                    if taken is None:
                        after[before] = after.get(before, Fraction(0)) + share
                        continue
                    yes, no = share * chance, share * (1 - chance)
                    if no:
                        after[before] = after.get(before, Fraction(0)) + no
                    if kind is Kind.DRAIN:
                        pending.append((taken.state, yes))
                    else:
                        after[taken.state] = after.get(taken.state, Fraction(0)) + yes
                now = after
            following += now.items()
        branches = following
    return branches


def exactly(model: Model, question: Question, causes: tuple[Cause, ...]) -> tuple[Fraction, Fraction | None]:
    """Both figures by Gaussian elimination of all states in fractions; None for a failure that never comes."""
    states = [initial(model)]
    numbers = {states[0]: 0}
    rows: list[dict[int, Fraction]] = []
    failing: list[Fraction] = []
    ending: list[dict[int, Fraction]] = []
    for state in states:  # grows
        row: dict[int, Fraction] = {}
        ends: dict[int, Fraction] = {}
        fails = Fraction(0)
        possible = list(program_steps(model, state))
        for way in possible or [None]:
            share = Fraction(1, max(1, len(possible)))
            if way is not None and question.fails(model, way):
                fails += share
                continue
            for after, weight in ways(model, state if way is None else way.state, causes):
                over = finished(model, after)
                goal = after._replace(places=model.starts) if over else after
                if goal not in numbers:
                    numbers[goal] = len(states)
                    states.append(goal)
                into = ends if over else row
                into[numbers[goal]] = into.get(numbers[goal], Fraction(0)) + share * weight
        rows.append(row)
        failing.append(fails)
        ending.append(ends)

    def solved(with_ends: bool, right: list[Fraction]) -> Fraction | None:
        """x of state 0, where x = right + rows x (+ ending x)."""
        size = len(states)
        matrix = [[Fraction(int(a == b)) for b in range(size)] for a in range(size)]
        for a in range(size):
            for b, weight in itertools.chain(rows[a].items(), ending[a].items() if with_ends else ()):
                matrix[a][b] -= weight
        right = list(right)
        for at in reversed(range(size)):
            if not matrix[at][at]:
                return None
            for other in range(at):
                factor = matrix[other][at] / matrix[at][at]
                if factor:
                    matrix[other] = [x - factor * y for x, y in zip(matrix[other][: at + 1], matrix[at], strict=False)]
                    right[other] -= factor * right[at]
        return right[0] / matrix[0][0]

    first = solved(False, failing)
    assert first is not None
    return first, solved(
        True, [sum(ends.values(), Fraction(0)) + fails for ends, fails in zip(ending, failing, strict=True)]
    )


@pytest.mark.parametrize(
    ("strategy", "host", "translator", "name"),
    [
        ("unfixed", "cortex-a9", "arm@2010", "system"),
        ("unfixed", "cortex-a8", "arm@2010", "system"),
        ("global-lock", "arm926", "arm@2010", "system"),
        ("unfixed", "cortex-a53", "arm@2010", "system"),
        ("flush-on-retranslation", "cortex-a9", "arm@2010", "system"),
    ],
)
@pytest.mark.parametrize(
    "causes",
    [
        evictions(0.25, 0.5),
        evictions(1e-6, 1e-3),
        (Cause("evictions", write_back=0.1, drop=0.2, drain=0.5, complete=0.5),),
        (Cause("interrupt", 0.01, write_back=0.5, drop=0.25), Cause("slice", 0.001, write_back=1, drop=1), AT_ONCE),
    ],
    ids=lambda causes: "+".join(cause.name for cause in causes),
)
def test_both_figures_are_those_of_exact_fractions(
    strategy: str, host: str, translator: str, name: str, causes: tuple[Cause, ...]
) -> None:
    model, question = cell(strategy, host, translator, name)
    answer = Chain(model, question, causes).figures(causes)
    first, rounds = exactly(model, question, causes)
    assert answer.first == pytest.approx(float(first), rel=1e-11, abs=0)
    if first:
        assert rounds is not None
        assert answer.rounds == pytest.approx(float(rounds), rel=1e-11, abs=0)
    assert answer.residual < 1e-9


# ------------------------------------------------------------------------------------------------ limits

EVERYTHING = (Cause("everything", 1.0, 0.01, 0.02, 0.03, 0.5, 0.5, 0.06),)


@pytest.mark.parametrize("strategy", shipped())
@pytest.mark.parametrize("name", ["system", "migrate"])
def test_it_is_possible_exactly_where_check_finds_a_failure(strategy: str, name: str) -> None:
    model, question = cell(strategy, "cortex-a9", name=name)
    answer = Chain(model, question, EVERYTHING).figures(EVERYTHING)
    by_chance = replace(question, without=frozenset({Kind.AHEAD}))
    fails = search(model, by_chance, max_states=1_000_000).verdict != "holds"
    assert (answer.first > 0) is fails
    assert math.isfinite(answer.rounds) is fails


def test_what_is_certain_happens_at_once_and_no_chance_is_no_failure() -> None:
    # Every line leaves in every gap: the temporary value is in memory, then the final one is.
    answer = asked(evictions(1, 1), "unfixed")
    assert (answer.first, answer.rounds) == (0, math.inf)
    # Where a write-through store shows it, the instruction line must only leave in time.
    assert asked(evictions(0, 1), "unfixed").first == 0
    never = asked(evictions(), "unfixed")
    assert (never.first, never.rounds, never.long_run) == (0, math.inf, 0)


@given(st.floats(1e-9, 0.2), st.floats(1e-9, 0.2), st.floats(1.01, 2))
@settings(max_examples=30, deadline=None)
def test_more_evictions_of_instruction_lines_do_not_make_the_first_rarer(
    data: float, instruction: float, more: float
) -> None:
    model, question = cell("unfixed")
    chain = Chain(model, question, evictions(data, instruction))
    often, seldom = chain.figures(evictions(data, instruction * more)), chain.figures(evictions(data, instruction))
    assert often.first >= seldom.first


def test_one_cause_that_pushes_both_out_is_not_two_that_have_nothing_to_do_with_each_other() -> None:
    # Where a time slice leaves nothing of either cache, one of them in the window is enough.
    one = (Cause("slice", 1e-6, write_back=1, drop=1), AT_ONCE)
    two = (Cause("data", 1e-6, write_back=1), Cause("instructions", 1e-6, drop=1), AT_ONCE)
    assert asked(one, "unfixed").first == pytest.approx(3e-6, rel=1e-4)
    assert asked(two, "unfixed").first == pytest.approx(21e-12, rel=1e-4)


# ------------------------------------------------------------------------------------------------ bad input


def test_what_is_no_probability_several_retranslations_and_other_causes_are_refused() -> None:
    for name, value in (("drop", 1.5), ("write_back", -0.1), ("probability", math.nan)):
        with pytest.raises(InputError, match=f"interrupt.{name}: {value}; expected a probability"):
            Cause("interrupt", **{name: value})
    with pytest.raises(InputError, match="expected one retranslation by each thread"):
        Chain(*cell("unfixed", retranslations=2), evictions())
    chain = Chain(*cell("unfixed"), evictions(drop=0.1))
    with pytest.raises(InputError, match="other causes"):  # they need another structure
        chain.figures(evictions(write_back=0.1))
