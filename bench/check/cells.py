"""Many cells, checked on all cores, and while something else is done."""

from __future__ import annotations

import contextlib
import gc
import itertools
import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing.synchronize import Lock
from typing import Any, Self

from bench.check.cell import Check, Checked
from bench.support.processors import processors

_FEW = 8
"""Cells that are checked sooner than another process has begun."""
_WARM_UP = 100
"""States: enough for the kernels to be called."""


Progress = Callable[[Check, int, int], None]
"""Told what is being waited for, how many answers are there, and the states of this cell, if they are known."""


def _silent(cell: Check, done: int, states: int) -> None:
    pass


class Checking:
    """Cells that are being checked.

    Entered as a context, so that nothing goes on behind it.  Where processes cannot be forked, and for a few cells,
    the work is done when its results are asked for.
    """

    def __init__(self, cells: Iterable[Check]) -> None:
        self.cells = tuple(cells)
        self._found = [cell.recalled() for cell in self.cells]
        self._pool: ProcessPoolExecutor | None = None
        self._pending: list[Future[list[Checked]]] = []

    def __enter__(self) -> Self:
        workers = processors()
        left = [number for number, found in enumerate(self._found) if found is None]
        if sys.platform == "linux" and workers > 1 and len(left) > _FEW:
            from bench.search.explore import load  # numba takes a while to load

            load()
            # A forked process has the cells already, with strategies that only this one may know.
            fork = multiprocessing.get_context("fork")
            cells = tuple(self.cells[number] for number in left)
            self._pool = ProcessPoolExecutor(workers, fork, _begin, (cells, fork.Lock()))
            for _, batch in itertools.groupby(range(len(cells)), key=lambda number: cells[number].batch_key):
                self._pending.append(self._pool.submit(_searched, list(batch)))
        return self

    def __exit__(self, *_: Any) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def results(self, progress: Progress = _silent) -> list[Checked]:
        """The answers, in order.  Raises as ``check`` does, for the first cell for which it does."""
        found: list[Checked] = []
        ready: list[Checked] = []
        for cell, recalled in zip(self.cells, self._found, strict=True):
            progress(cell, len(found), 0)
            if recalled is not None:
                found.append(recalled)
                continue
            if self._pending and not ready:
                ready = self._pending.pop(0).result()
            found.append(ready.pop(0) if ready else cell.searched(partial(progress, cell, len(found))))
        return found


def check_all(cells: Iterable[Check], progress: Progress = _silent) -> list[Checked]:
    """Check cells on all cores; the rest as ``Checking.results``."""
    with Checking(cells) as checking:
        return checking.results(progress)


_cells: tuple[Check, ...] = ()
"""In a process that was forked to check them: the cells."""


def _begin(cells: tuple[Check, ...], one: Lock) -> None:
    """Begin in a process of the pool, ``one`` after the other: the first compiles what the others find in the cache."""
    global _cells
    gc.freeze()  # what was inherited is not gone through, which would copy every page of it
    gc.set_threshold(200_000)  # a cell makes many small objects that last as long as it does
    signal.signal(
        signal.SIGINT, signal.SIG_DFL
    )  # interrupted, end without a word: the parent says what there is to say
    _cells = cells
    first = replace(cells[0], options=replace(cells[0].options, max_states=_WARM_UP))
    with one, contextlib.suppress(Exception):  # what is wrong with the cell is said when it is its turn
        first.searched()


def _searched(numbers: Sequence[int]) -> list[Checked]:
    return [_cells[number].searched() for number in numbers]
