"""A host instruction: its encoding, and its effects for the abstract interpretation of a block."""

from __future__ import annotations

import enum
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

Fact = Literal["always", "hit", "miss", "low differs", "high differs", "skip"]
"""The condition of a branch or of a predicated instruction.

``hit``, ``miss``: in the software TLB, of the guest access that the instruction belongs to; ``low differs``, ``high
differs``: the half of a 64-bit guest address that differs from the TLB entry on a miss, on a 32-bit host; ``skip``: the
guest's own condition, which skips the access.
"""


class Holds(enum.StrEnum):
    """The abstract contents of a register, as text."""

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


class Instruction(Struct, frozen=True):
    """A host instruction: ``word`` as the host reads it (``strategies/writes.py``), ``size`` in bytes.

    ``only``: the condition of its effect (conditional execution, predication).  ``taken``: the condition of a branch;
    None for other instructions.  ``delay_slot``: the branch takes effect after the next instruction, which is fetched
    but has no effect if the branch ``nullifies`` it.  ``links``: the register that gets the return address of a taken
    branch.  ``sets``: the contents of registers after it, or the name of the register that is copied. ``does``:
    ``access``, it is the guest access; ``call``, it calls the helper, whose arguments are ``needs``; ``exit``, it
    leaves the block; ``data``, it is not executed.  ``tail``: the helper returns to the address that the last taken
    branch with ``links`` saved.  ``over``: the number of bytes after a call that its return skips.  ``slots``: the
    instructions of a bundle, which is fetched as one; a slot may access on a hit and the next one call the helper on a
    miss.
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
        """The mask of all its bits."""
        return (1 << 8 * self.size) - 1

    @property
    def parts(self) -> tuple[Instruction, ...]:
        """Its slots, or the instruction itself."""
        return self.slots or (self,)

    def on(self, fact: Fact) -> Instruction:
        """The same, with an effect only under the condition ``fact``."""
        return replace(self, only=fact)

    def branch(
        self, fact: Fact, *, delay_slot: bool = False, nullifies: bool = False, links: str | None = None
    ) -> Instruction:
        """The same, as a branch that is taken under ``fact``; ``nullifies``: its delay slot then has no effect."""
        return replace(self, taken=fact, delay_slot=delay_slot or nullifies, nullifies=nullifies, links=links)

    def leaving(self, **registers: str) -> Instruction:
        """The same, with the contents of registers after it: ``r0=Holds.ADDRESS``, or ``r0="r4"`` for a copy."""
        return replace(self, sets=(*self.sets, *registers.items()))

    def access(self) -> Instruction:
        """The same, as the guest access itself."""
        return replace(self, does="access")

    def call(self, result: str | None, *, delay_slot: bool = False, over: int = 0, **needs: str) -> Instruction:
        """The same, as a call of the helper, with its arguments ``needs`` and the register of its ``result``."""
        sets = ((result, Holds.VALUE),) if result is not None else ()
        return replace(self, does="call", sets=sets, needs=tuple(needs.items()), delay_slot=delay_slot, over=over)

    def tail_call(self, **needs: str) -> Instruction:
        """The same, as a jump to a helper without result, which returns to the address of the last branch with link."""
        return replace(self, does="call", needs=tuple(needs.items()), tail=True)

    def exit(self, *, delay_slot: bool = False) -> Instruction:
        """The same, as the exit of the block."""
        return replace(self, does="exit", delay_slot=delay_slot)

    def data(self) -> Instruction:
        """The same, as data among the code."""
        return replace(self, does="data")


class Placed(Struct, frozen=True):
    """An instruction at its offset in the block, in bytes; ``access``: the number of its guest access."""

    offset: int
    instruction: Instruction
    access: int
