"""Model checkers written in Python, on the steps of ``bench/machine.py`` as they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from bench.machine import State, Transition, environment_steps, initial, program_steps
from bench.machine.model import Model
from bench.search.question import Question


@dataclass(frozen=True, slots=True)
class Found:
    """``steps`` of the counterexample, 0 if there is none; ``states`` seen."""

    holds: bool
    steps: int
    states: int


@dataclass(frozen=True, slots=True)
class _Node:
    """A state, and whether the step to it failed: both checkers ask about states."""

    state: State
    failed: bool = False


def _steps(model: Model, state: State) -> Iterator[Transition]:
    yield from program_steps(model, state)
    yield from environment_steps(model, state)


def minicheck(model: Model, question: Question) -> Found:
    """``minicheck.check_safety``.  Skips the test where it is not installed."""
    package = pytest.importorskip("minicheck", reason="minicheck is not installed: `make bench-peers` installs it")

    def transitions(node: tuple[State, bool]) -> list[tuple[str, tuple[State, bool]]]:
        return [("", (step.state, question.fails(model, step))) for step in _steps(model, node[0])]

    protocol = package.Protocol(
        name="",
        candidate=False,
        fields=("state", "failed"),
        initial=(initial(model), False),
        transitions=transitions,
        invariants={"right": lambda fields: not fields["failed"]},
    )
    answer = package.check_safety(protocol, max_states=10_000_000)
    trace = answer["properties"]["right"]["counterexample"] or [None]
    return Found(bool(answer["properties"]["right"]["holds"]), len(trace) - 1, answer["reachable_states"])


def musil(model: Model, question: Question) -> Found:
    """``musil.check``.  Skips the test where it is not installed; it needs Python 3.12."""
    package = pytest.importorskip(
        "musil", reason="musil is not installed: `make bench-peers` installs it where there is a Python 3.12"
    )

    def actions(node: _Node) -> Iterator[object]:
        for step in _steps(model, node.state):
            after = _Node(step.state, question.fails(model, step))
            yield package.Action("", lambda _: True, lambda _, after=after: after)

    machine = package.Model(
        init=_Node(initial(model)), actions_fn=actions, invariants={"right": lambda node: not node.failed}
    )
    answer = package.check(machine, max_states=10_000_000)
    return Found(answer.ok, max(len(answer.trace) - 1, 0), answer.states_explored)
