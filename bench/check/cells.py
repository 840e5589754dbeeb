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
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.synchronize import Lock
from typing import Any, Self

from bench.check.cell import Checked, Options, check
from bench.hosts import Target
from bench.support.processors import processors
from bench.translators.translator import Translator
from strategies import registry
from strategies.strategy import Strategy

_FEW = 8
"""Cells that are checked sooner than another process has begun."""
_WARM_UP = 100
"""States: enough for the kernels to be called."""


@dataclass(frozen=True)
class Check:
    """What ``check`` is told."""

    strategy: Strategy
    translator: Translator
    host: Target
    scenario: str
    options: Options

    def run(self, progress: Callable[[int], None] = lambda states: None) -> Checked:
        """The answer.  Raises as ``check`` does."""
        return check(self.strategy, self.translator, self.host, self.scenario, self.options, progress=progress)

    @property
    def batch_key(self) -> tuple[str, str, str]:
        """The same for cells that have much in common; checked one after the other they take less time."""
        return registry.reference(self.strategy), self.translator.full_name, self.host.name


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
        self._pool: ProcessPoolExecutor | None = None
        self._pending: list[Future[list[Checked]]] = []

    def __enter__(self) -> Self:
        workers = processors()
        if sys.platform == "linux" and workers > 1 and len(self.cells) > _FEW:
            from bench.search.explore import load  # numba takes a while to load

            load()
            # A forked process has the cells already, with strategies that only this one may know.
            fork = multiprocessing.get_context("fork")
            self._pool = ProcessPoolExecutor(workers, fork, _begin, (self.cells, fork.Lock()))
            for _, batch in itertools.groupby(range(len(self.cells)), key=lambda number: self.cells[number].batch_key):
                self._pending.append(self._pool.submit(_checked, list(batch)))
        return self

    def __exit__(self, *_: Any) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def results(self, progress: Progress = _silent) -> list[Checked]:
        """The answers, in order.  Raises as ``check`` does, for the first cell for which it does."""
        found: list[Checked] = []
        while len(found) < len(self.cells):
            cell, done = self.cells[len(found)], len(found)
            progress(cell, done, 0)
            if self._pending:
                found += self._pending.pop(0).result()
            else:
                found.append(cell.run(partial(progress, cell, done)))
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
        first.run()


def _checked(numbers: Sequence[int]) -> list[Checked]:
    return [_cells[number].run() for number in numbers]
