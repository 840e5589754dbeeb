"""Other simulations of one instruction cache with LRU replacement: a loop in C, pycachesim, libCacheSim.

Each is given the executions of TBs, in order, and the first and last line of each TB, and says how many of the accesses
missed.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bench.caches.events import Events
from bench.caches.footprint import Footprint
from bench.caches.simulate import MemoryMap
from bench.hosts.profile import Cache, Host
from bench.traces.successor import STOPPED, UNKNOWN_TB
from bench.traces.trace import U32

_LOOP = Path(__file__).with_name("replay_loop.c")


@dataclass(frozen=True, slots=True)
class Misses:
    """``executions`` of TBs, the ``lines`` that they accessed, and how many of these ``missed``."""

    executions: int
    lines: int
    missed: int


class Loop:
    """The loop in C (``gcc -O3``), which is as little as can be done.  Skips the test where there is no gcc."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("gcc") is None:
            pytest.skip("gcc is not installed: no loop in C to compare with")
        library = folder / "replay_loop.so"
        subprocess.run(
            ["gcc", "-O3", "-march=native", "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, _LOOP], check=True
        )
        self._library = ctypes.CDLL(str(library))

    def __call__(self, shape: Cache, spans: U32, chunks: Iterable[U32]) -> Misses:
        assert shape.sets & (shape.sets - 1) == 0, "the loop finds sets by a mask"
        held = np.full(shape.sets * shape.ways, 0xFFFF_FFFF, np.uint32)
        counts = np.zeros(3, np.uint64)
        spans = np.ascontiguousarray(spans)
        for words in chunks:
            words = np.ascontiguousarray(words)
            self._library.replay(
                ctypes.c_void_p(words.ctypes.data),
                ctypes.c_size_t(words.size),
                ctypes.c_void_p(spans.ctypes.data),
                ctypes.c_void_p(held.ctypes.data),
                ctypes.c_uint32(shape.sets),
                ctypes.c_uint32(shape.ways),
                ctypes.c_void_p(counts.ctypes.data),
            )
        return Misses(*map(int, counts))

    def all_caches(
        self, host: Host, spans: U32, chunks: Iterable[U32], events: Events, memory: MemoryMap, footprint: Footprint
    ) -> tuple[int, ...]:
        """With a data cache and an L2, and events: code misses, those from memory, other misses, memory writes."""
        levels = (host.icache, host.dcache, host.l2)
        frames = [np.full(shape.sets * shape.ways, 0xFFFF_FFFF, np.uint32) for shape in levels if shape]
        line = host.icache.line
        assert all(shape and (shape.line, shape.replacement) == (line, "lru") for shape in levels)
        assert host.dcache.write == "back" and host.dcache.write_allocate and host.coherence.snoop.value != "all"
        shapes = (_Cache * 3)(
            *(
                _Cache(held.ctypes.data, shape.sets, shape.ways)
                for held, shape in zip(frames, levels, strict=True)
                if shape
            )
        )
        translator = np.array(
            [
                *(memory.translator_code // line, footprint.translator_code_lines),
                *(memory.translator_data // line, footprint.translator_data_lines),
            ],
            np.uint32,
        )
        carried, counts = np.array([0, 0, 0, memory.guest_data // line]), np.zeros(4, np.uint64)
        for words in chunks:
            self._library.replay_all(
                ctypes.c_void_p(words.ctypes.data),
                ctypes.c_size_t(words.size),
                ctypes.c_void_p(spans.ctypes.data),
                shapes,
                ctypes.c_uint32(line.bit_length() - 1),
                *(ctypes.c_void_p(getattr(events, name).ctypes.data) for name in Events.__slots__),
                ctypes.c_uint64(len(events)),
                ctypes.c_void_p(translator.ctypes.data),
                ctypes.c_uint64(footprint.guest_data_lines),
                ctypes.c_void_p(carried.ctypes.data),
                ctypes.c_void_p(counts.ctypes.data),
            )
        return tuple(map(int, counts))


class _Cache(ctypes.Structure):
    """``struct cache``."""

    _fields_ = (("frames", ctypes.c_void_p), ("sets", ctypes.c_uint32), ("ways", ctypes.c_uint32))


def pycachesim(shape: Cache, spans: U32, chunks: Iterable[U32]) -> Misses:
    """A load of each line.  Skips the test where it is not installed."""
    cachesim = pytest.importorskip("cachesim", reason="pycachesim is not installed: `make bench-peers` installs it")
    memory = cachesim.MainMemory()
    cache = cachesim.Cache("L1I", shape.sets, shape.ways, shape.line, "LRU")
    memory.load_to(cache)
    memory.store_from(cache)
    simulator = cachesim.CacheSimulator(cache, memory)
    executions = lines = 0
    for first, last in _runs(spans, chunks):
        executions += 1
        lines += last - first + 1
        for line in range(first, last + 1):
            simulator.load(line * shape.line)
    return Misses(executions, lines, int(cache.stats()["MISS_count"]))


def libcachesim(shape: Cache, spans: U32, chunks: Iterable[U32]) -> Misses:
    """Its caches are fully associative: one for each set.  Skips the test where it is not installed."""
    peer = pytest.importorskip("libcachesim", reason="libCacheSim is not installed: `make bench-peers` installs it")
    # A hash table of 2^8 entries each, instead of 2^24 at first.
    sets = [peer.LRU(shape.ways, hashpower=8) for _ in range(shape.sets)]
    executions = lines = hits = 0
    for first, last in _runs(spans, chunks):
        executions += 1
        lines += last - first + 1
        for line in range(first, last + 1):
            hits += sets[line % shape.sets].get(peer.Request(obj_id=line, obj_size=1))
    return Misses(executions, lines, lines - hits)


def _runs(spans: U32, chunks: Iterable[U32]) -> Iterator[tuple[int, int]]:
    """First and last line of each execution."""
    for words in chunks:
        ran = words[words < STOPPED] & UNKNOWN_TB
        yield from map(tuple, spans[ran].tolist())
