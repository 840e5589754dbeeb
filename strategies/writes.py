"""What a translator stores: units, writes and their forms, regions.

A *unit* is what one instruction fetch reads at once: one host instruction.  A
*write* is one store that a translator makes to a unit, in time order.  All
values and masks are integers as the host reads the instruction: the bytes of
the unit in the host's byte order, so ``0x0a000003`` is ARM's ``beq .+20``
whatever way round its bytes lie in memory.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache


class Form(enum.StrEnum):
    """How a backend puts a write into memory.

    The four ways found in QEMU's backends of 2008 to 2015:

    ``whole``
        one store of the whole unit; bits not yet known get a temporary value.
    ``skip-bytes``
        one store of the bytes whose every bit is known; the others stay.
    ``read-back``
        load the unit, keep the bits that are not known, store the whole unit.
    ``add-patch``
        load the unit, add the value, store the whole unit (ARM's
        ``*label_ptr += offset``): right only on top of the temporary value.
    """

    WHOLE = "whole"
    SKIP_BYTES = "skip-bytes"
    READ_BACK = "read-back"
    ADD_PATCH = "add-patch"


class Phase(enum.StrEnum):
    """The part of a guest memory access that a write belongs to (the thread's five steps), or what lies around it.

    ``guest branch`` is a branch of the guest's own, whose label a later operation binds.
    """

    TLB_ACCESS = "tlb access"
    FAST_PATH = "fast path"
    BRANCH = "branch"
    SLOW_PATH = "slow path"
    BRANCH_UPDATE = "branch update"
    GUEST_BRANCH = "guest branch"
    EXIT = "exit"


@dataclass(frozen=True, slots=True)
class Unit:
    """One host instruction in the code buffer.

    ``tb`` is the number of its translation block, ``offset`` its place in it
    and ``size`` its length, both in bytes; ``final`` is the value that it has
    when the block is complete.  ``shipped_form`` is the form in which this
    backend's fix wrote the unit.  A unit ``in_scratch`` lies in a private
    buffer that is never executed.
    """

    tb: int
    offset: int
    size: int
    final: int
    shipped_form: Form = Form.WHOLE
    in_scratch: bool = False

    def __hash__(self) -> int:
        return hash(
            (self.tb, self.offset, self.final)
        )  # enough to tell units apart, and hooks are asked by their units

    @property
    def mask(self) -> int:
        """All bits of the unit."""
        return (1 << 8 * self.size) - 1


@dataclass(frozen=True, slots=True)
class Write:
    """One store that the translator makes.

    ``known`` masks the bits whose final value is known when the write is made
    and ``value`` holds them; ``temporary`` is what a ``whole`` store puts into
    the others.  For an ``add-patch`` ``value`` is what is added, and the bits
    under ``known`` are those that the sum may change.
    """

    unit: Unit
    phase: Phase
    known: int
    value: int
    temporary: int = 0
    form: Form = Form.WHOLE

    def __hash__(self) -> int:
        return hash((self.unit.offset, self.known, self.value))

    def __post_init__(self) -> None:
        if self.known & ~self.unit.mask or self.value & ~self.known or self.temporary & self.known:
            raise ValueError(f"write to offset {self.unit.offset}: value outside known bits, or temporary inside them")

    @property
    def complete(self) -> bool:
        """True if every bit of the unit is known when the write is made."""
        return self.known == self.unit.mask

    @property
    def known_bytes(self) -> int:
        """The mask of the bytes of which every bit is known."""
        lanes = (0xFF << shift for shift in range(0, 8 * self.unit.size, 8))
        return sum(lane for lane in lanes if self.known & lane == lane)

    def in_form(self, form: Form) -> Write:
        """The same write in another form.

        A complete write is one plain store in any form.  Skipping bytes needs
        a store instruction that covers exactly the known ones: a run of 1, 2, 4
        or 8.  Where there is none (the three bytes of ARM's branch offset) the
        write reads back instead, as ``reloc_pc24`` did in QEMU's fix of
        January 2011 (commit c69806ab8276).
        """
        if self.complete:
            form = Form.WHOLE
        elif form is Form.SKIP_BYTES and not _one_store(self.known_bytes, self.known):
            form = Form.READ_BACK
        return self if form is self.form else replace(self, form=form)

    def in_scratch(self) -> Write:
        """The same write, into a private buffer that is never executed."""
        return _in_scratch(self)


@lru_cache(65536)
def _in_scratch(write: Write) -> Write:
    """One object for all that ask: a block is written there once for each of its retranslations."""
    return replace(write, unit=replace(write.unit, in_scratch=True))


def _one_store(lanes: int, known: int) -> bool:
    """True if ``lanes`` holds all known bits and one store instruction can write exactly it."""
    if lanes != known or not lanes:
        return False
    run = lanes // (lanes & -lanes)
    return run in (0xFF, 0xFFFF, 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF)


@dataclass(frozen=True, slots=True)
class Region:
    """A stretch of one translation block: what a translation or a retranslation writes.

    ``size`` is its length in bytes from the block's first byte; ``writes`` are
    the stores in time order.  Iterating gives its units in memory order.
    """

    tb: int
    size: int
    writes: tuple[Write, ...]

    def __hash__(self) -> int:
        return hash((self.tb, self.size, len(self.writes)))

    def __post_init__(self) -> None:
        for write in self.writes:
            if write.unit.tb != self.tb:
                raise ValueError(f"region of block {self.tb}: holds a write to block {write.unit.tb}")

    def __iter__(self) -> Iterator[Unit]:
        return iter(sorted({write.unit for write in self.writes}, key=lambda unit: unit.offset))

    def in_scratch(self) -> Region:
        """The same writes, into a private buffer that is never executed."""
        return replace(self, writes=tuple(write.in_scratch() for write in self.writes))


@dataclass(frozen=True, slots=True)
class Buffer:
    """The code buffer: ``size`` bytes (0 where it does not matter) holding the regions of every block."""

    size: int
    regions: Sequence[Region] = ()

    def __hash__(self) -> int:
        return hash((self.size, len(self.regions)))  # thousands of regions, and asked for often

    def __iter__(self) -> Iterator[Unit]:
        for region in self.regions:
            yield from region


@dataclass(frozen=True, slots=True)
class Block:
    """A translation block as a strategy sees it when asked what it keeps beside it.

    ``instructions`` is the number of guest instructions, ``host_bytes`` the
    length of the generated code, ``start_words`` the number of values that
    describe one guest instruction to the translator (its pc among them; QEMU's
    1 + TARGET_INSN_START_EXTRA_WORDS).
    """

    instructions: int
    host_bytes: int
    start_words: int
