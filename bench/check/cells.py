"""Many cells, checked on all cores."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from bench.check.cell import Check, Checked
from bench.support.processors import each, processors

_FEW = 8
"""Cells that are checked sooner than another process has begun."""

Progress = Callable[[Check, int, int], None]
"""Told what is being waited for, how many answers are there, and the states of this cell, if they are known."""


def check_all(cells: Iterable[Check], progress: Progress = lambda cell, done, states: None) -> list[Checked]:
    """Check cells on all cores: the answers, in order.  Raises as ``Check.run``, for the first for which it does.

    For a few cells no other process is begun.
    """
    cells = tuple(cells)
    recalled = [cell.recalled() for cell in cells]
    left = [cell for cell, known in zip(cells, recalled, strict=True) if known is None]
    batches: Iterable[list[Checked]] = ()
    if len(left) > _FEW and processors() > 1:
        large = next((cell for cell in left if cell.is_large), None)
        if large is not None:
            with contextlib.suppress(Exception):  # what is wrong with the cell is said when it is its turn
                large.warm_up()
        batches = each(_searched, [list(batch) for _, batch in itertools.groupby(left, lambda cell: cell.batch_key)])
    answers = itertools.chain.from_iterable(batches)
    found: list[Checked] = []
    for cell, known in zip(cells, recalled, strict=True):
        progress(cell, len(found), 0)
        if known is None:
            known = next(answers, None) or cell.searched(partial(progress, cell, len(found)))
        found.append(known)
    return found


def _searched(cells: Sequence[Check]) -> list[Checked]:
    return [cell.searched() for cell in cells]
