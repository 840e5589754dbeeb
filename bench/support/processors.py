"""The processors that the work may be shared out to."""

from __future__ import annotations

import atexit
import contextlib
import gc
import multiprocessing
import os
import pickle
import signal
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from typing import Any, TypeVar, cast

_Asked = TypeVar("_Asked")
_Found = TypeVar("_Found")


def processors() -> int:
    """How many this process may run on, which may be fewer than there are (``taskset``, a container)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def forks() -> bool:
    """Whether another process can be forked for some work, and has a processor."""
    return sys.platform == "linux" and processors() > 1


def end_with_parent() -> None:
    """In a forked process: end when the parent does, however that ends; else it would wait for work for ever.

    Linux alone tells; elsewhere nothing is done.
    """
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


_PR_SET_PDEATHSIG = 1
"""Of ``linux/prctl.h``."""


def beside(work: Callable[[], _Found], *, pays: bool = True, yields: bool = True) -> Callable[[], _Found]:
    """Begin ``work`` in a forked process; what is returned waits for what it found, or raises what it raised.

    That process ends with this one, and ``yields`` to it until then.  Where none can be forked, or where that does not
    pay, the work is done here when it is asked for, once.
    """
    if not (pays and forks()):
        return cache(work)
    file = os.memfd_create("answer")
    process = multiprocessing.get_context("fork").Process(target=_beside, args=(work, file, _YIELDS if yields else 0))
    process.start()
    atexit.register(process.kill)  # or Python would wait for it

    here = os.getpid()

    @cache
    def outcome() -> tuple[_Found | None, Exception | None]:
        if os.getpid() != here:  # only the process that forked it can wait for it
            return _outcome(work)
        process.join()
        atexit.unregister(process.kill)
        if process.exitcode != 0:  # it was killed
            return _outcome(work)
        os.lseek(file, 0, os.SEEK_SET)
        with open(file, "rb", closefd=False) as answer:
            return cast("tuple[_Found | None, Exception | None]", pickle.load(answer))

    def found() -> _Found:
        answer, error = outcome()
        if error is not None:
            raise error
        return cast("_Found", answer)

    weakref.finalize(found, os.close, file)
    return found


def _beside(work: Callable[[], object], file: int, nice: int) -> None:
    _begin()
    os.nice(nice)
    with open(file, "wb", closefd=False) as answer:
        pickle.dump(_outcome(work), answer)


def _outcome(work: Callable[[], _Found]) -> tuple[_Found | None, Exception | None]:
    try:
        return work(), None
    except Exception as error:
        return None, error


_YIELDS = 5
"""Added to its nice value."""


def each(work: Callable[[_Asked], _Found], asked: Sequence[_Asked], *, at_once: int = 1) -> Iterator[_Found]:
    """What ``work`` makes of each, in order, on all of them; so many ``at_once`` go to one."""
    if not forks() or len(asked) <= at_once:
        yield from map(work, asked)
        return
    # A forked process has both already: they may be what only this process knows.
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(processors(), fork, _begin_asked, (work, asked)) as pool:
        yield from pool.map(_numbered, range(len(asked)), chunksize=at_once)


_begun: tuple[Callable[[Any], Any], Sequence[Any]]
"""In a forked process: what is to be done, and with what."""


def _begin_asked(work: Callable[[Any], Any], asked: Sequence[Any]) -> None:
    global _begun
    _begun = work, asked
    _begin()


def _begin() -> None:
    """Begin a forked process."""
    end_with_parent()
    gc.freeze()  # what was inherited is not gone through, which would copy every page of it
    gc.set_threshold(200_000)  # what is made lasts as long as the work does
    # Interrupted, end without a word: the parent says what there is to say.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _numbered(number: int) -> Any:
    work, asked = _begun
    return work(asked[number])
