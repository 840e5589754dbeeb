"""Machine code: compiled from LLVM's language by llvmlite, or stored byte by byte; and threads that are pinned."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import mmap
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from bench.silicon.instructions import InstructionSet
from bench.support.errors import InputError

Native = Callable[..., int]
"""A compiled function: it takes integers and addresses and returns an integer; others run while it does."""


@functools.cache
def _machine() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(opt=2, jit=True)


_KEPT: list[Any] = []
"""What code lives in, kept until the process ends."""


def compiled(text: str, names: Iterable[str], arguments: int) -> dict[str, Native]:
    """Functions of a module in LLVM's language, by name; each takes so many 64-bit integers and returns one."""
    import llvmlite.binding as llvm

    machine = _machine()
    module = llvm.parse_assembly(text)
    module.triple = machine.triple
    module.verify()
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    _KEPT.append(engine)
    of_kind = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * arguments)
    return {name: of_kind(engine.get_function_address(name)) for name in names}


def address_of(function: Native) -> int:
    """Where a compiled function is."""
    address = ctypes.cast(cast("Any", function), ctypes.c_void_p).value
    assert address is not None
    return address


class Memory:
    """Memory of this process, from a page's start; with ``execute`` it can be executed while it can be written.

    ``bytes``: all of it.

    Raises ``InputError`` where the kernel refuses memory that is both.
    """

    def __init__(self, size: int, *, execute: bool = False) -> None:
        access = mmap.PROT_READ | mmap.PROT_WRITE | (mmap.PROT_EXEC if execute else 0)
        try:
            self._map = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, access)
        except PermissionError as error:
            raise InputError(
                "this kernel refuses memory that can be written and executed", expected="a kernel that grants it"
            ) from error
        self.bytes: npt.NDArray[np.uint8] = np.frombuffer(self._map, np.uint8)
        self.address = self.bytes.ctypes.data
        self.size = size

    def put(self, offset: int, code: bytes) -> None:
        """Store bytes at an offset."""
        self._map[offset : offset + len(code)] = code

    def word(self, offset: int) -> int:
        """The 64-bit word at an offset."""
        return ctypes.c_int64.from_address(self.address + offset).value

    def set_word(self, offset: int, value: int) -> None:
        """Store a 64-bit word at an offset."""
        ctypes.c_int64.from_address(self.address + offset).value = value


def mapped_twice(size: int, code: bytes) -> tuple[int, int]:
    """Memory that holds ``code`` and is mapped twice: where it can be executed, and where it can be written."""
    file = os.memfd_create("code")
    try:
        os.ftruncate(file, size)
        os.pwrite(file, code, 0)
        executed, written = (
            mmap.mmap(file, size, prot=mmap.PROT_READ | access) for access in (mmap.PROT_EXEC, mmap.PROT_WRITE)
        )
    finally:
        os.close(file)
    _KEPT.extend((executed, written))
    addresses = (np.frombuffer(one, np.uint8).ctypes.data for one in (executed, written))
    return next(addresses), next(addresses)


def cores() -> tuple[int, ...]:
    """The cores that this process may run on."""
    return tuple(sorted(os.sched_getaffinity(0)))


def pinned(core: int) -> None:
    """Keep the calling thread on a core."""
    os.sched_setaffinity(0, {core})


@contextlib.contextmanager
def kept_on(core: int) -> Iterator[None]:
    """Keep the calling thread on a core, until the block ends."""
    before = os.sched_getaffinity(0)
    pinned(core)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Other:
    """A second thread, pinned to a core, that runs ``work`` from entering to leaving; ``stop`` makes it return.

    ``native_id``: its number for the kernel.
    """

    def __init__(self, core: int, work: Callable[[], object], stop: Callable[[], object]) -> None:
        def run() -> None:
            pinned(core)
            self.native_id = threading.get_native_id()
            self._ready.set()
            work()

        self.native_id = 0
        self._ready = threading.Event()
        self._stop = stop
        self._thread = threading.Thread(target=run, daemon=True)

    def __enter__(self) -> Other:
        self._thread.start()
        self._ready.wait()
        return self

    def ran(self) -> int:
        """The nanoseconds for which it has had a core."""
        assert self._thread.ident is not None
        return time.clock_gettime_ns(time.pthread_getcpuclockid(self._thread.ident))

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._thread.join()


def chain(instructions: InstructionSet, count: int, distance: int, *, shuffled: bool) -> Memory:
    """Code of ``count`` branches, ``distance`` bytes apart, each to the next in order; the last one returns."""
    return chains(instructions, count, distance, 1, shuffled=shuffled)[0]


def chains(
    instructions: InstructionSet, count: int, distance: int, parts: int, *, shuffled: bool
) -> tuple[Memory, list[int]]:
    """The same in so many parts, each of which returns, and the address at which each begins."""
    code = Memory(count * distance, execute=True)
    order = np.arange(count)
    if shuffled:
        np.random.default_rng(1).shuffle(order[1:])
    jumps = instructions.jumps(np.diff(order) * distance)
    places = code.bytes[: count * distance].reshape(count, distance)
    places[order[:-1], : jumps.shape[1]] = jumps
    split = np.array_split(order, parts)
    for part in split:
        code.put(int(part[-1]) * distance, instructions.back)
    fetchable(instructions, code)
    return code, [code.address + int(part[0]) * distance for part in split]


def fetchable(instructions: InstructionSet, code: Memory) -> None:
    """Make fetched what was stored."""
    _flush(instructions)(code.address, code.address + code.size)


@functools.cache
def _flush(instructions: InstructionSet) -> Native:
    return compiled(instructions.flush, ("flush_lines",), 2)["flush_lines"]
