"""Compiled kernels: numba with its cache on disk, or without one where no folder can be written."""

from __future__ import annotations

import multiprocessing
import sys
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numba
from numba.core.event import Event, Listener, register

P = ParamSpec("P")
R = TypeVar("R")

# numba's name for compiling without its runtime, which is what counts references.
_LEAN: dict[str, Any] = {"_nrt": False}
# And for making nothing that Python could call.
_PART: dict[str, Any] = {**_LEAN, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """``function`` compiled in nopython mode at its first call.

    numba's cache is keyed by the file of ``function`` alone: whatever a kernel
    calls must stand in the same file, or the cache would serve stale code.
    """
    return _compiled(function)


def lean_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """A ``kernel`` that makes no arrays, and so does not count references to them.

    For kernels whose inner loop calls ``inlined`` functions or a ``part``: each
    call would count, atomically, and take several times as long as the rest of it.
    """
    return _compiled(function, **_LEAN)


def part(function: Callable[P, R]) -> Callable[P, R]:
    """``function``, which makes no arrays, as a callee of the lean kernels of its file; Python must not call it.

    Compiled once for all of them, where each call of an ``inlined`` one is
    compiled anew; LLVM inlines the small ones all the same.  What would make it
    callable from Python takes a fifth of a kernel's time to compile.
    """
    return cast("Callable[P, R]", numba.njit(**_PART)(function))


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """``function``, which makes no arrays, as a part of every kernel of its file that calls it."""
    return cast("Callable[P, R]", numba.njit(inline="always", **_LEAN)(function))


class _Announcement(Listener):
    """Says, on a terminal, why nothing happens: kernels that are not in the cache are being compiled."""

    said = False

    def on_start(self, event: Event) -> None:
        first = not self.said and multiprocessing.parent_process() is None
        self.said = True
        if first and sys.stderr is not None and sys.stderr.isatty():
            print("staleline: compiling, once on this machine, for about half a minute", file=sys.stderr, flush=True)

    def on_end(self, event: Event) -> None:
        """Nothing is said."""


# numba's own annotations are missing there.
cast("Callable[[str, Listener], None]", register)("numba:compile", _Announcement())


def _compiled(function: Callable[P, R], **options: Any) -> Callable[P, R]:
    try:
        return cast("Callable[P, R]", numba.njit(cache=True, nogil=True, **options)(function))
    except RuntimeError:
        # numba refuses at once when neither __pycache__ nor the user's cache folder can be written.
        message = "no folder for compiled kernels can be written: compiling anew in every run"
        warnings.warn(message, RuntimeWarning, stacklevel=3)
        return cast("Callable[P, R]", numba.njit(nogil=True, **options)(function))
