"""A host instruction: its encoding, and what following the code needs to know of it."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import Literal

Fact = Literal["always", "hit", "miss", "low differs", "high differs", "skip"]
"""What decides whether a branch is taken, or a predicated instruction has an effect.

``hit``, ``miss``: of the software TLB, for the guest access that the instruction belongs to;
``low differs``, ``high differs``: which half of a 64-bit guest address is not the entry's, at a miss
on a 32-bit host; ``skip``: the guest's own condition, which skips the access.
"""


class Holds(enum.StrEnum):
    """What a register holds, in words."""

    ADDRESS = "the guest address"
    ADDRESS_HIGH = "the high half of the guest address"
    PAGE = "the guest address's page number"
    INDEX = "the place of an entry in the TLB"
    ENTRY = "a host pointer into the TLB"
    TAG = "the TLB entry's tag"
    EXPECTED = "the tag that the guest address needs"
    ADDEND = "the TLB entry's addend"
    HOST_ADDRESS = "the host address of the access"
    MEMORY_INDEX = "the memory index"
    STATE = "the pointer to the guest's state"
    RETURN_ADDRESS = "the host address to return to"
    VALUE = "the value"
    OTHER_VALUE = "what lies at another address"
    CONSTANT = "a constant"
    BLOCK = "the pointer that the block returns"
    UNKNOWN = "what was in it before"


@dataclass(frozen=True, slots=True)
class Instruction:
    """``word`` as the host reads it (``strategies/writes.py``), ``size`` in bytes.

    ``only``: it has an effect only then (conditional execution, predication).  ``taken``:
    it is a branch, and leaves the sequence then; where ``delay_slot``, after the next
    instruction, which is fetched but has no effect if the branch ``nullifies`` it.  ``links``: the register
    in which the branch, when taken, leaves the address behind itself.  ``sets``: what
    registers hold after it, in words or as the name of the register copied.  ``does``: ``access``,
    the guest access itself; ``call``, of the helper, which needs ``needs`` in registers, and sets
    its result; ``exit``, control leaves the block for good; ``data``, it is not executed.
    ``tail``: the helper returns to behind the last branch taken that ``links``; ``over``: how many bytes behind a
    call its return passes over.  ``slots``: it is a bundle, fetched as one, and does what these do, in order; one
    may make the access on a hit and the next call the helper on a miss.
    """

    word: int
    size: int
    only: Fact = "always"
    taken: Fact | None = None
    delay_slot: bool = False
    links: str | None = None
    sets: tuple[tuple[str, str], ...] = ()
    needs: tuple[tuple[str, str], ...] = ()
    does: Literal["", "access", "call", "exit", "data"] = ""
    tail: bool = False
    over: int = 0
    nullifies: bool = False
    slots: tuple[Instruction, ...] = ()

    @property
    def mask(self) -> int:
        """All its bits."""
        return (1 << 8 * self.size) - 1

    @property
    def parts(self) -> tuple[Instruction, ...]:
        """What it does, one after the other: its slots, or itself."""
        return self.slots or (self,)

    def on(self, fact: Fact) -> Instruction:
        """The same, with an effect only then."""
        return replace(self, only=fact)

    def branch(
        self, fact: Fact, *, delay_slot: bool = False, nullifies: bool = False, links: str | None = None
    ) -> Instruction:
        """The same, as a branch that is taken then; ``nullifies``: its delay slot has no effect when it is."""
        return replace(self, taken=fact, delay_slot=delay_slot or nullifies, nullifies=nullifies, links=links)

    def leaving(self, **registers: str) -> Instruction:
        """The same, and what registers hold after it: ``r0=Holds.ADDRESS``, or ``r0="r4"`` for a copy."""
        return replace(self, sets=(*self.sets, *registers.items()))

    def access(self) -> Instruction:
        """The same, as the guest access itself."""
        return replace(self, does="access")

    def call(self, result: str | None, *, delay_slot: bool = False, over: int = 0, **needs: str) -> Instruction:
        """The same, as the call of the helper: what it needs in registers, and the register of its result."""
        sets = ((result, Holds.VALUE),) if result is not None else ()
        return replace(self, does="call", sets=sets, needs=tuple(needs.items()), delay_slot=delay_slot, over=over)

    def tail_call(self, **needs: str) -> Instruction:
        """The same, as a jump to the helper, which has no result and returns to behind the last linking branch."""
        return replace(self, does="call", needs=tuple(needs.items()), tail=True)

    def exit(self, *, delay_slot: bool = False) -> Instruction:
        """The same, as the one by which control leaves the block."""
        return replace(self, does="exit", delay_slot=delay_slot)

    def data(self) -> Instruction:
        """The same, as data among the code."""
        return replace(self, does="data")


@dataclass(frozen=True, slots=True)
class Placed:
    """An instruction at its offset in the block, in bytes; ``access``: the number of the guest access it belongs to."""

    offset: int
    instruction: Instruction
    access: int
