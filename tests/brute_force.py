"""The search of both reference machines: breadth first over every step, as plain as it can be."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, Protocol

World = dict[tuple[Any, ...], Any]
"""The facts that hold; an absent key is an absent line, an empty queue or buffer, a free lock."""


class Move(NamedTuple):
    """A step: the world after it, whether a thread took it, whether it is wrong, and how many steps it counts for."""

    world: World
    what: str
    by_thread: bool = False
    wrong: bool = False
    cost: int = 1


class Answer(NamedTuple):
    """``failure``: wrong fetch, lasting, deadlock or vacuous; ``length``: of the shortest ``run``, in steps."""

    verdict: Literal["holds", "fails"]
    failure: str = ""
    length: int = 0
    run: tuple[str, ...] = ()


class TooLarge(Exception):
    """The space has more states than the caller wanted to see."""


class Machine(Protocol):
    """What is searched."""

    def start(self) -> World: ...
    def is_finished(self, world: World) -> bool: ...
    def is_lasting(self, world: World) -> bool: ...
    def thread_steps(self, world: World) -> Iterator[Move]: ...
    def environment_steps(self, world: World) -> Iterator[Move]: ...


def frozen(world: World) -> frozenset[Any]:
    return frozenset(world.items())


def steps(machine: Machine, world: World) -> Iterator[Move]:
    return itertools.chain(machine.environment_steps(world), machine.thread_steps(world))


def explore(machine: Machine, most: int, hazard: Literal["wrong fetch", "lasting"] = "wrong fetch") -> Answer:
    """Breadth first over all interleavings; raises ``TooLarge`` beyond ``most`` states."""
    start = machine.start()
    at = {frozen(start): 0}
    parents: dict[frozenset[Any], tuple[frozenset[Any], str] | None] = {frozen(start): None}
    layers: dict[int, list[World]] = {0: [start]}
    depth, witness = 0, False
    while depth in layers:
        failures: list[tuple[int, str, frozenset[Any], str]] = []
        for world in layers[depth]:  # a step that costs nothing makes it grow
            here = frozen(world)
            if at[here] != depth:
                continue
            stuck = True
            for move in steps(machine, world):
                stuck = stuck and not move.by_thread
                if move.wrong if hazard == "wrong fetch" else machine.is_lasting(move.world):
                    failures.append((depth + move.cost, hazard, here, move.what))
                there = frozen(move.world)
                if at.get(there, depth + 2) > depth + move.cost:
                    at[there] = depth + move.cost
                    parents[there] = (here, move.what)
                    layers.setdefault(depth + move.cost, []).append(move.world)
            if machine.is_finished(world):
                witness = True
            elif stuck and all(length > depth for length, *_ in failures) and _is_dead(machine, world):
                failures.append((depth, "deadlock", here, "deadlock"))
            if len(at) > most:
                raise TooLarge
        if failures:
            length, failure, last, what = min(failures, key=lambda found: found[0])
            run = [what]
            while (step := parents[last]) is not None:
                last, what = step
                run.append(what)
            return Answer("fails", failure, length, tuple(reversed(run)))
        del layers[depth]
        depth += 1
    return Answer("holds") if witness else Answer("fails", "vacuous")


def _is_dead(machine: Machine, world: World) -> bool:
    """No steps of the environment lead to a step of a thread."""
    seen, reached = {frozen(world)}, [world]
    while reached:
        now = reached.pop()
        if next(machine.thread_steps(now), None) is not None:
            return False
        for move in machine.environment_steps(now):
            if frozen(move.world) not in seen:
                seen.add(frozen(move.world))
                reached.append(move.world)
    return True
