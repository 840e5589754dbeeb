"""The search in plain Python, state by state: the reference for the compiled one, and as good for small spaces.

Among runs of one length it returns the one whose environment steps come
earliest, then the least by ``Event``.  To that end each layer is kept in that
order: a list of groups, one for every pattern of environment and program steps
that leads to it, patterns in order; within a group nodes are in the order of the
events that lead to them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from bench.machine import Kind, Model, State, Transition, environment_steps, finished, initial, program_steps
from bench.search.outcome import Outcome, is_alive, witness
from bench.search.question import Question

Node = TypeVar("Node", bound=Hashable)
Steps = Callable[[Node], Iterable[tuple[Transition, Node]]]

_SHORT_LOOK = 1000
"""States that are seen depth first before all are breadth first."""


@dataclass
class Walk(Generic[Node]):
    """A breadth-first walk from ``start``; ``environment`` and ``program`` give the steps of a node in order.

    ``parents`` holds every node seen, with the step that led to it, ``most`` of them at most.  ``depth`` is the layer
    being left, ``known[depth]`` the number of nodes in the layers up to it, ``cut`` the layer where a node was first
    not kept.
    """

    start: Node
    environment: Steps[Node]
    program: Steps[Node]
    most: int
    depth: int = 0
    cut: int | None = None
    known: list[int] = field(default_factory=list)
    parents: dict[Node, tuple[Node, Transition] | None] = field(default_factory=dict)

    def visits(self) -> Iterator[tuple[Node, Transition | None, Node]]:
        """Every step of every node, in order: (node, transition, where it leads).

        A node without program steps is visited once more, without a transition.
        """
        self.parents[self.start] = None
        groups = [[self.start]]
        while groups:
            self.known.append(len(self.parents))
            following: list[list[Node]] = []
            for group in groups:
                for steps in (self.environment, self.program):
                    found: list[Node] = []
                    for node in group:
                        transition = None
                        for transition, target in steps(node):
                            yield node, transition, target
                            if target in self.parents:
                                continue
                            if len(self.parents) == self.most:
                                self.cut = self.depth if self.cut is None else self.cut
                                continue
                            self.parents[target] = (node, transition)
                            found.append(target)
                        if transition is None and steps is self.program:
                            yield node, None, node
                    if found:
                        following.append(found)
            groups = following
            self.depth += bool(groups)

    def run(self, node: Node) -> tuple[Transition, ...]:
        """The steps from the start to ``node``."""
        run: list[Transition] = []
        while (step := self.parents[node]) is not None:
            node, transition = step
            run.append(transition)
        return tuple(reversed(run))


def walk(
    model: Model,
    question: Question,
    *,
    max_states: int,
    max_depth: int | None = None,
    progress: Callable[[int], None] = lambda states: None,
) -> Outcome:
    """``search`` (``bench/search/search.py``) without compiled code."""

    def environment(state: State) -> list[tuple[Transition, State]]:
        return [(step, step.state) for step in environment_steps(model, state, wanted)]

    wanted = frozenset(Kind) - question.without
    way = Walk(
        initial(model),
        environment,
        lambda state: [(step, step.state) for step in program_steps(model, state)],
        max_states,
    )
    alive: set[State] = set()
    last_told = 0
    found: Outcome | None = None
    for state, transition, _ in way.visits():
        depth, states = way.depth, len(way.parents)
        if (found is not None and depth == found.depth) or (way.cut is not None and depth > way.cut):
            break
        if max_depth is not None and depth >= max_depth:
            return Outcome("bounded", states, depth, any(finished(model, seen) for seen in way.parents))
        if transition is None:
            if not finished(model, state) and not is_alive(model, state, alive):
                run = way.run(state)
                return Outcome("fails", way.known[max(depth - 1, 0)], depth, witness(model), run, "deadlock")
        elif found is None and question.fails(model, transition):
            run = (*way.run(state), transition)
            found = Outcome("fails", way.known[depth], len(run), witness(model), run, question.failure)
            if not model.locks:  # with locks a node of this very layer may be stuck, one step nearer
                break
        if states - last_told >= 10_000:
            last_told = states
            progress(states)
    if found is not None:
        return found
    if way.cut is not None:
        # Which states of the layer after it were kept is chance.
        finishes = any(finished(model, seen) for seen in itertools.islice(way.parents, way.known[way.cut]))
        return Outcome("bounded", len(way.parents), way.cut + 1, finishes)
    if any(finished(model, seen) for seen in way.parents):
        return Outcome("holds", len(way.parents), way.depth, True)
    return Outcome("fails", len(way.parents), way.depth, False, (), "vacuous")


def holds(model: Model, question: Question, *, max_states: int) -> bool:
    """Whether ``walk`` would find that it holds.

    Where it does not, a failure is often found sooner depth first, though not a shortest one; so that is tried before.
    """
    found = _deep(model, question, min(_SHORT_LOOK, max_states))
    return walk(model, question, max_states=max_states).verdict == "holds" if found is None else found


def _deep(model: Model, question: Question, most: int) -> bool | None:
    """Depth first, programs before the environment: whether it holds; None if ``most`` states do not say so."""
    wanted = frozenset(Kind) - question.without
    pending = [initial(model)]
    seen, alive = {*pending}, set[State]()
    witnessed = False
    while pending:
        state = pending.pop()
        steps = [*environment_steps(model, state, wanted), *program_steps(model, state)]
        done = finished(model, state)
        stuck = not done and (not steps or steps[-1].event.kind is not Kind.PROGRAM)
        if any(question.fails(model, step) for step in steps) or (stuck and not is_alive(model, state, alive)):
            return False
        witnessed = witnessed or done
        new = {step.state: None for step in steps if step.state not in seen}
        seen.update(new)
        pending += new
        if len(seen) > most:
            return None
    return witnessed
