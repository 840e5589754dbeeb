"""Kernels: functions that numba compiles when they are first called.

numba takes longer to import than most answers that are kept take to find, so what decorates a kernel does not import it
(``bench/support/compilation.py`` does).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from bench.support.versions import kernels_of

P = ParamSpec("P")
R = TypeVar("R")

# numba's name for compiling without its runtime, which is what counts references.
_LEAN: dict[str, Any] = {"_nrt": False}
# And for making nothing that Python could call.
_PART: dict[str, Any] = {**_LEAN, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_CALLED: dict[str, Any] = {"cached": True, "nogil": True}

_making = threading.RLock()


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """``function`` compiled in nopython mode at its first call."""
    return _deferred(function, **_CALLED)


def lean_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """A ``kernel`` that makes no arrays, and so does not count references to them.

    For kernels whose inner loop calls a ``part``: each call would count,
    atomically, and take several times as long as the rest of it.
    """
    return _deferred(function, **_CALLED, **_LEAN)


def large_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """A ``lean_kernel`` that another process compiles where it can: what that takes of memory is not given back."""
    return _deferred(function, **_CALLED, **_LEAN, apart=True)


def part(function: Callable[P, R]) -> Callable[P, R]:
    """``function``, which makes no arrays, as a callee of lean kernels; Python must not call it.

    Compiled once for all kernels of a file; LLVM inlines the small ones.  What would make
    it callable from Python takes a fifth of a kernel's time to compile.
    """
    return _deferred(function, cached=False, **_PART)


def expanded(function: Callable[P, R]) -> Callable[P, R]:
    """A ``part`` that LLVM inlines wherever it is called, so that constant arguments are constants inside."""
    return _deferred(function, cached=False, forceinline=True, **_PART)


def were_compiled(file: str) -> bool:
    """Whether any kernel of a source file, as that is now, was compiled on this machine."""
    return any(kernels_of(file, os.environ.get("NUMBA_CACHE_DIR", "")).rglob("*.nbi"))


def _deferred(function: Callable[P, R], **options: Any) -> Callable[P, R]:
    return cast("Callable[P, R]", _Kernel(function, options))


class _Kernel:
    """Stands for numba's dispatcher of a function, and makes it when something of it is needed."""

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        self._function, self._options = function, options
        self._made: Any = None

    def __call__(self, *values: Any) -> Any:
        return (self._made or self.make())(*values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.make(), name)

    def make(self) -> Any:
        """The dispatcher.  Those that the function calls are put in their places: numba does not know what defers."""
        from bench.support.compilation import compiled

        with _making:
            if self._made is None:
                names = self._function.__globals__
                for name in self._function.__code__.co_names:
                    if isinstance(names.get(name), _Kernel):
                        names[name] = names[name].make()
                self._made = compiled(self._function, **self._options)
        return self._made
