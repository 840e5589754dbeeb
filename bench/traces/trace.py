"""The contents of a trace: a recorded or modelled execution of translated code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from bench.traces.successor import STOPPED, Words

Guest = Literal["arm", "aarch64", "riscv64", "x86-64", "ppc64", "s390x", "mips", "mips64"]
GUEST_NAMES: tuple[Guest, ...] = ("arm", "aarch64", "riscv64", "x86-64", "ppc64", "s390x", "mips", "mips64")
Mode = Literal["system", "user"]
MODES: tuple[Mode, ...] = ("system", "user")
AccessTag = Literal["measured", "estimate", "assumed"]

U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]

CHUNK = 1 << 20
"""The number of executions in each array that ``Trace.executions`` yields (fewer in the last)."""


class Executions(Protocol):
    """The source of a trace's executions; each call of ``words`` starts at the first one."""

    def words(self) -> Iterator[Words]:
        """The executions in order, with clear stopped bits, in arrays of at most ``CHUNK`` words."""
        ...


@dataclass(frozen=True, slots=True)
class Blocks:
    """The translation blocks in the order of translation: arrays of equal length, one row per TB.

    ``host_bytes``    length of the host code in bytes, slow paths included, as recorded
    ``fast_bytes``    length of the host code up to the slow paths
    ``guest_pc``      guest address of the first instruction
    ``guest_bytes``   length of the guest code in bytes
    ``instructions``  guest instructions
    ``accesses``      guest loads and stores, one per value moved (``ldm`` of 4 registers: 4)
    ``epoch``         number of tb flushes before the translation
    ``born``          execution index at the translation; -1 before the first recorded execution
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
    """The state restores (retranslations in the QEMU of 2011) in time order: arrays of equal length.

    ``position``         index of the execution that faulted
    ``tb``, ``thread``   its TB and thread
    ``rewritten_bytes``  host bytes, as recorded, from the TB's start to the end of the faulting operation; -1: unknown
    ``accesses``         guest loads and stores in these bytes, the faulting one included; -1: unknown
    """

    position: I64
    tb: U32
    thread: U32
    rewritten_bytes: I32
    accesses: I32

    def __len__(self) -> int:
        return self.position.size


@dataclass(frozen=True, slots=True)
class Links:
    """Links in the order in which they were made: arrays of equal length.

    ``position``  index of the execution of ``target`` that made the link (it came through the main loop)
    ``source``, ``slot``, ``target``  the exit and the block that it was linked to
    ``thread``    the thread that made it
    ``uses``      executions that were entered through it; -1: not known
    """

    position: I64
    source: U32
    slot: U8
    target: U32
    thread: U8
    uses: I64

    @classmethod
    def of_rows(cls, rows: I64, uses: I64) -> Links:
        """Of rows of position, source, slot, target and thread."""
        position, source, slot, target, thread = rows.reshape(-1, 5).T
        ends = source.astype(np.uint32), slot.astype(np.uint8), target.astype(np.uint32)
        return cls(position, *ends, thread.astype(np.uint8), uses)

    def __len__(self) -> int:
        return self.position.size


@dataclass(frozen=True, slots=True)
class Trace:
    """A recorded (or modelled) execution of translated code.

    Positions are indices of executions, from 0.  An event "at" a position precedes the execution of that index;
    retranslations and I/O recompilations happen within it.

    ``name``            short name, for tables
    ``description``     the origin of the recording
    ``guest``, ``mode`` the guest's instruction set; system or user emulation
    ``access_tag``      the tag of ``blocks.accesses``
    ``length``          number of executions, the stopped ones included
    ``threads``         number of guest threads (CPUs in system emulation) that executed
    ``stopped``         positions of executions that were announced and did not run, ascending
    ``flushes``         positions of tb flushes, which discard the whole code buffer, ascending
    ``discarded``       positions at which a TB that was translated twice was discarded, ascending
    ``io_recompiles``   positions of executions that were abandoned for a recompilation at an I/O access, ascending
    ``exceptions``      number of guest exceptions by kind
    ``interruptions``   positions of exceptions and returns from them, ascending
    ``exits``           two columns, a row per TB: the guest address that its exit 0 and 1 leads to
                        (``bench.traces.links``); ``None`` if the recording has no text of the instructions
    ``links``           the links as recorded, if linking was on: then the executions entered through one are missing
    ``unread``          lines of the log that the import did not need, by name
    ``content``         a digest of all of this, or of what it is drawn from; empty if nobody knows
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
    interruptions: I64 = field(default_factory=lambda: np.empty(0, np.int64))
    exits: U64 | None = None
    links: Links | None = None
    unread: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    content: str = ""

    @property
    def ran(self) -> int:
        """Number of executions that were not stopped."""
        return self.length - self.stopped.size

    def executions(self) -> Iterator[Words]:
        """The executions in order, in new arrays of at most ``CHUNK`` little-endian u32 words.

        Bits 0-23: TB id, the row of ``blocks`` (0xffffff: translated before the recording); 24-30: thread; 31: stopped
        at entry, not run.  Raises ``InputError`` where the file is damaged.
        """
        base = 0
        for words in self.source.words():
            first, end = np.searchsorted(self.stopped, (base, base + words.size))
            words[self.stopped[first:end] - base] |= np.uint32(STOPPED)
            base += words.size
            yield words
