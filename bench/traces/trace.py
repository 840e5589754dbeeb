"""A recorded execution: what a trace holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from bench.traces.successor import STOPPED, Words

Guest = Literal["arm", "mips"]
Mode = Literal["system", "user"]
MODES: tuple[Mode, ...] = ("system", "user")
AccessTag = Literal["measured", "estimate", "assumed"]

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]

CHUNK = 1 << 20
"""Executions per array that ``Trace.executions`` yields (the last one is shorter)."""


class Executions(Protocol):
    """Where the executions of a trace come from; each call of ``words`` starts at the first."""

    def words(self) -> Iterator[Words]:
        """The executions in order, stopped bits clear, in arrays of at most ``CHUNK`` words."""
        ...


@dataclass(frozen=True, slots=True)
class Blocks:
    """The translation blocks in the order of translation: arrays of equal length, one row per TB.

    ``host_bytes``    length of the whole host code in bytes, slow paths included, as recorded
    ``fast_bytes``    the same up to the slow paths
    ``guest_pc``      guest address of the first instruction
    ``guest_bytes``   length of the guest code in bytes
    ``instructions``  guest instructions
    ``accesses``      guest loads and stores, one per value moved (``ldm`` of 4 registers: 4)
    ``epoch``         tb flushes before its translation
    ``born``          execution index at its translation; -1 before the first execution recorded
    """

    host_bytes: U32
    fast_bytes: U32
    guest_pc: U64
    guest_bytes: U32
    instructions: U32
    accesses: U32
    epoch: U32
    born: I64

    def __len__(self) -> int:
        return self.host_bytes.size


@dataclass(frozen=True, slots=True)
class Retranslations:
    """The state restores, each a retranslation in 2011, in time order: arrays of equal length.

    ``position``         index of the execution that faulted
    ``tb``, ``thread``   its TB and thread
    ``rewritten_bytes``  host bytes, as recorded, from the TB's first to the end of the faulting operation; -1 unknown
    ``accesses``         guest loads and stores in that part, the faulting one included; -1 unknown
    """

    position: I64
    tb: U32
    thread: U32
    rewritten_bytes: I32
    accesses: I32

    def __len__(self) -> int:
        return self.position.size


@dataclass(frozen=True, slots=True)
class Trace:
    """A recorded (or modelled) execution of translated code.

    Positions are indexes of executions, counted from 0; an event "at" a
    position comes before the execution of that index, but for retranslations
    and I/O recompilations, which happen in it.

    ``name``            short name, for tables
    ``description``     where the recording comes from
    ``guest``, ``mode`` the guest's instruction set; system or user emulation
    ``access_tag``      how well ``blocks.accesses`` is known
    ``length``          executions, the stopped ones included
    ``threads``         guest threads (CPUs in system emulation) that executed
    ``stopped``         positions of executions that were announced and did not run, ascending
    ``flushes``         positions at which the code buffer was thrown away, ascending
    ``discarded``       positions at which a TB was found to be translated twice and thrown away, ascending
    ``io_recompiles``   positions of executions abandoned to recompile at an I/O access, ascending
    ``exceptions``      guest exceptions: kind -> count
    """

    name: str
    description: str
    guest: Guest
    mode: Mode
    access_tag: AccessTag
    length: int
    threads: int
    blocks: Blocks
    retranslations: Retranslations
    stopped: I64
    flushes: I64
    discarded: I64
    io_recompiles: I64
    source: Executions = field(repr=False)
    exceptions: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def executions(self) -> Iterator[Words]:
        """The executions in order, in new arrays of at most ``CHUNK`` little-endian u32 words.

        Bits 0-23: TB id, the row of ``blocks`` (0xffffff: translated before
        recording began); 24-30: thread; 31: stopped at entry, not run.  Raises
        ``InputError`` where the file that holds them is damaged.
        """
        base = 0
        for words in self.source.words():
            first, end = np.searchsorted(self.stopped, (base, base + words.size))
            words[self.stopped[first:end] - base] |= np.uint32(STOPPED)
            base += words.size
            yield words
