"""Compiling kernels: numba with its cache on disk, or without one where no folder can be written.

numba knows a cached kernel by the file of its function alone, but a kernel also holds constants and callees that this
file imports.  So each file with kernels has a cache folder of its own, named by a hash of all the sources that it can
depend on: itself, and every module of the project that it imports, directly or not.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numba
from numba.core.caching import FunctionCache
from numba.core.event import Event, Listener, register

from bench.support.processors import beside, forks
from bench.support.versions import kernels_of

P = ParamSpec("P")
R = TypeVar("R")

# Its settings, which have no annotations.
_config: Any = numba.config


class _Announcement(Listener):
    """Says that kernels are being compiled."""

    def on_start(self, event: Event) -> None:
        _say_that_it_compiles()

    def on_end(self, event: Event) -> None:
        """Nothing is said."""


@cache
def _say_that_it_compiles() -> None:
    """Once, on a terminal: why nothing happens."""
    if multiprocessing.parent_process() is None and sys.stderr is not None and sys.stderr.isatty():
        print("staleline: compiling, once on this machine, for about half a minute", file=sys.stderr, flush=True)


# numba's own annotations are missing there.
cast("Callable[[str, Listener], None]", register)("numba:compile", _Announcement())


def compiled(function: Callable[P, R], *, cached: bool, apart: bool = False, **options: Any) -> Callable[P, R]:
    """numba's dispatcher of ``function``; if ``cached``, what it compiles is kept on disk.

    ``apart``: another process compiles, where one can be forked, and this one loads what that kept.
    """
    if _config.DISABLE_JIT:
        return function
    # The dispatcher has no annotations.
    found: Any = numba.njit(**options)(function)
    if not cached:
        return cast("Callable[P, R]", found)
    folder = _cache_folder(function.__code__.co_filename)
    kept = None
    if folder is not None:
        with _caching_in(folder), contextlib.suppress(RuntimeError):  # numba finds no folder that can be written
            kept = _Kept(function)
    # numba would take __pycache__ where the folder cannot be written after all.
    if folder is not None and kept is not None and Path(kept.cache_path).is_relative_to(folder):
        found._cache = kept
        kept.compile_apart = found.compile if apart else None
    else:
        _say_that_nothing_is_kept()
    return cast("Callable[P, R]", found)


@cache
def _say_that_nothing_is_kept() -> None:
    """Once.  Not a warning, which a setting of Python's may turn into an error."""
    if sys.stderr is not None:
        text = "no folder for compiled kernels can be written: compiling anew in every run"
        print(f"staleline: {text}", file=sys.stderr, flush=True)


class _NamedFile:
    """numba's file of a function's kernels, where each says which it is: two processes may save two by one name."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.flush = file.flush

    def save(self, key: Any, data: Any) -> None:
        self._file.save(key, (key, data))

    def load(self, key: Any) -> Any:
        kept = self._file.load(key)
        return kept[1] if kept is not None and kept[0] == key else None


class _Kept(cast("type[Any]", FunctionCache)):  # type: ignore[misc]
    """numba's cache, which is only that: what is damaged is compiled anew, what there is no room for is not kept.

    ``compile_apart``: what the first signature that is not there is compiled by, in another process.
    """

    compile_apart: Callable[[Any], object] | None = None

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file: Any = _NamedFile(self._cache_file)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        found = self._loaded(sig, target_context)
        compile_it, self.compile_apart = self.compile_apart, None  # that other process compiles it itself
        if found is None and compile_it is not None and forks():
            _say_that_it_compiles()
            with contextlib.suppress(Exception):  # as it would be raised here
                beside(partial(_compile, compile_it, sig), yields=False)()
            found = self._loaded(sig, target_context)
        return found

    def _loaded(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # a file that was cut raises whatever unpickling it does
            with contextlib.suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError:
            _say_that_nothing_is_kept()


def _compile(compile_it: Callable[[Any], object], sig: Any) -> None:
    """Compile, and say nothing: what cannot be kept is compiled here too, and that is said then."""
    with contextlib.redirect_stderr(None):
        compile_it(sig)


# --- where compiled kernels are kept ---

KEPT = 4
"""Folders of one file's kernels that are kept in any case: the newest."""

UNUSED = 7 * 24 * 3600.0
"""Seconds without use after which an older folder is removed: longer than a process that may still load from it."""

_locator = threading.Lock()


@contextlib.contextmanager
def _caching_in(folder: Path) -> Iterator[None]:
    """numba puts what is decorated inside into ``folder``."""
    with _locator:
        before, _config.CACHE_DIR = _config.CACHE_DIR, str(folder)
        try:
            yield
        finally:
            _config.CACHE_DIR = before


@cache
def _cache_folder(file: str) -> Path | None:
    """The folder for the kernels of a source file, made and marked as used, or None where that cannot be."""
    try:
        folder = kernels_of(file, _config.CACHE_DIR)
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
    except OSError:
        return None
    _remove_unused(folder.parent, folder.name.rpartition("-")[0])
    return folder


def _remove_unused(parent: Path, name: str) -> None:
    """Remove what earlier versions of one file's kernels left, but for the newest and those used of late."""
    with contextlib.suppress(OSError):  # another process removes the same
        used = {path: path.stat().st_mtime for path in parent.glob(f"{name}-*")}
        for path in sorted(used, key=used.__getitem__, reverse=True)[KEPT:]:
            if time.time() - used[path] > UNUSED:
                shutil.rmtree(path, ignore_errors=True)
