"""The exhaustive search: breadth first, with the shortest counterexample."""

from __future__ import annotations

import sys
from collections.abc import Callable

from bench.machine import Model
from bench.machine.caches import Features
from bench.search.outcome import Outcome
from bench.search.question import Question
from bench.search.symmetry import symmetry
from bench.search.walk import walk

_SMALL = 1500
"""States that plain Python has seen before the compiled search would have been loaded."""

_FEW = 250
"""States that plain Python has seen before the compiled search, once loaded, has made its tables."""

_WORTHWHILE = 2
"""Permutations that are not yet worth it: half of the states, for the time that it takes to tell which half."""


def search(
    model: Model,
    question: Question,
    *,
    max_states: int,
    max_depth: int | None = None,
    symmetric: bool = True,
    progress: Callable[[int], None] = lambda states: None,
) -> Outcome:
    """Explore every interleaving until a failure is found, all states are seen, or there are more than ``max_states``.

    With ``max_depth`` it is cut short as well, when no failure has so few steps.  Of the layer in which it is cut
    short all steps are looked at.  ``symmetric``: where more than two permutations of blocks and cores make no
    difference to anybody, one state stands for all that they make of it.  ``progress`` is told the number of states
    now and then.
    """
    if not isinstance(model.rules, Features):
        return walk(model, question, max_states=max_states, max_depth=max_depth, progress=progress)
    symmetric = symmetric and symmetry(model).order > _WORTHWHILE
    if not symmetric:
        most = _FEW if "bench.search.explore" in sys.modules else _SMALL
        small = walk(model, question, max_states=min(most, max_states), max_depth=max_depth, progress=progress)
        if small.verdict != "bounded" or small.states < most or max_states <= most:
            return small
    from bench.search.explore import NotCompiledError, TooWideError, explore  # numba takes a while to load

    try:
        return explore(
            model, question, max_states=max_states, max_depth=max_depth, symmetric=symmetric, progress=progress
        )
    except (NotCompiledError, TooWideError):
        return walk(model, question, max_states=max_states, max_depth=max_depth, progress=progress)
