"""One search for each unit that a hazard is about, where the units go their own ways.

Hazards are told apart by the unit.  One that the retranslation itself completes is *transient* (and two
retranslators may leave it with a *lasting* wrong value); one that it leaves to a later operation is *partial*.
That is the backend's doing, and a strategy that completes such a unit after all does not move it.

Where what a unit is loaded as decides nothing but what is stored to that unit (``bench/program/effects.py``), no unit
can notice what another holds, and some unit is wrong on some run exactly if it is on a run that follows this unit
alone.  Such a space is the sum of small ones, where one space for all of them is their product.  Given up
are three things that tie units together in the machine: a core that fetches a unit ahead must have fetched the live
units before it as well; a branch that is another unit empties the queue when it leaves the run; a store to another live
unit takes an entry of a store buffer.  All of them forbid runs; so nothing that fails is missed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from bench.program.compiler import Compiler
from bench.search.outcome import Outcome
from bench.search.question import UNASKED, UNSEEN, Question
from bench.search.search import search

Hazard = Literal["transient", "lasting", "partial"]
HAZARDS: tuple[Hazard, ...] = ("transient", "lasting", "partial")

Units = Literal["each", "together"]
UNITS: tuple[Units, ...] = ("each", "together")

_SHORT_LOOK = 2000
"""States; where one unit fails within so many, the others are asked for nothing but a shorter failure."""

Build = Callable[[frozenset[int] | None], Compiler]
"""Builds the program that follows the units at these offsets, or all."""

Progress = Callable[[int], None]


def search_units(
    build: Build,
    hazard: Hazard,
    units: Units,
    *,
    max_states: int,
    progress: Progress,
    speculation: bool = True,
    symmetric: bool = True,
) -> tuple[Outcome, Compiler]:
    """The outcome for the units that the hazard is about, and the program it was found in.

    Of several units the one with the shortest counterexample decides; ``states`` are those of all searches.  Without
    ``speculation`` instruction lines are filled by executions alone, and nothing is fetched ahead.
    ``symmetric`` as in ``search``.
    """
    everything = build(None)
    live = frozenset(offset for _, offset in everything.live.at)
    concerned = concerned_by(everything, hazard)
    groups = [live]
    if units == "each" and everything.live.independent:
        groups = [frozenset({offset}) for offset in sorted(concerned)] or [frozenset()]
    compilers = [everything if group == live else build(group) for group in groups]
    lasting = hazard == "lasting"
    without = UNSEEN if lasting else frozenset() if speculation else UNASKED
    question = Question("lasting" if lasting else "wrong fetch", concerned, without)
    seen = 0

    def look(compiler: Compiler, limit: int, depth: int | None) -> Outcome:
        return search(
            compiler.model,
            question,
            max_states=limit,
            max_depth=depth,
            symmetric=symmetric,
            progress=lambda states: progress(seen + states),
        )

    found: list[Outcome] = []
    limit = min(_SHORT_LOOK, max_states) if len(groups) > 1 else max_states
    for compiler in compilers:
        found.append(look(compiler, limit, _least_depth(found)))
        seen = sum(outcome.states for outcome in found)
    for number, compiler in enumerate(compilers):
        if found[number].verdict == "bounded" and limit < max_states:
            left = max(max_states - seen + found[number].states, 1)
            found[number] = look(compiler, left, _least_depth(found))
            seen = sum(outcome.states for outcome in found)
    for verdict, choose in (("fails", min), ("bounded", min), ("holds", max)):
        if some := [n for n, outcome in enumerate(found) if outcome.verdict == verdict]:
            chosen = choose(some, key=lambda n: found[n].depth)
            return replace(found[chosen], states=seen), compilers[chosen]
    raise AssertionError("a search has an outcome")


def concerned_by(everything: Compiler, hazard: Hazard) -> frozenset[int]:
    """The offsets of the live units that a hazard is about."""
    live = frozenset(offset for _, offset in everything.live.at)
    unfinished = everything.codes[0].unfinished
    return live & unfinished if hazard == "partial" else live - unfinished


def _least_depth(found: list[Outcome]) -> int | None:
    """The length of the shortest counterexample so far."""
    return min((outcome.depth for outcome in found if outcome.verdict == "fails"), default=None)
