"""Recording the stores of a backend in time order."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from bench.translators.instruction import Instruction, Placed
from bench.translators.translator import GuestBits
from strategies.writes import Form, Phase, Unit, Write


class _PendingWrite(Struct, frozen=True):
    """A write whose unit has no final value yet."""

    offset: int
    phase: Phase
    known: int
    value: int
    temporary: int
    form: Form


class Emitter:
    """A block under construction; ``here``: the code pointer, in bytes from the block's start.

    A backend builds an instruction from several stores (``tcg_out8``, ``tcg_out16``, ``tcg_out32``).  If all its bytes
    are final, they are recorded as one write: a retranslation stores the bytes that are in memory already, so that the
    separate stores are not observable.

    ``access``: the number of the guest access that the next instructions belong to; ``guest_bits``: the width of a
    guest address.
    """

    def __init__(self, tb: int, shipped_form: Form, guest_bits: GuestBits) -> None:
        self.here = 0
        self.access = 0
        self.guest_bits = guest_bits
        self._tb = tb
        self._shipped_form = shipped_form
        self._stored: list[_PendingWrite] = []
        self._placed: dict[int, Placed] = {}
        self._known: dict[int, int] = {}

    @property
    def stores(self) -> int:
        """The number of stores so far."""
        return len(self._stored)

    def put(self, phase: Phase, *instructions: Instruction) -> None:
        """Emit complete instructions."""
        for instruction in instructions:
            self.begin(phase, instruction, known=instruction.mask, form=Form.WHOLE)

    def begin(self, phase: Phase, instruction: Instruction, *, known: int, form: Form) -> int:
        """Emit an instruction that will be patched; only its bits under ``known`` are final.  Returns its offset."""
        offset, word = self.here, instruction.word
        self._placed[offset] = Placed(offset, instruction, self.access)
        self._known[offset] = known
        self._stored.append(_PendingWrite(offset, phase, known, word & known, word & ~known, form))
        self.here += instruction.size
        return offset

    def patch(self, phase: Phase, offset: int, word: int, *, known: int, form: Form) -> None:
        """Store the bits under ``known`` of the instruction at ``offset``, whose value is now ``word``.

        An ``add-patch`` adds them, which is correct since the only one (arm) patches a temporary of 0.
        """
        placed = self._placed[offset]
        self._placed[offset] = replace(placed, instruction=replace(placed.instruction, word=word))
        self._known[offset] |= known
        self._stored.append(_PendingWrite(offset, phase, known, word & known, 0, form))

    def placed(self) -> tuple[Placed, ...]:
        """The complete instructions in memory order."""
        return tuple(self._placed[offset] for offset in sorted(self._placed))

    def writes(self) -> tuple[Write, ...]:
        """All stores in time order; every instruction must be complete."""
        units = {}
        for offset, placed in self._placed.items():
            final = placed.instruction
            if self._known[offset] != final.mask:
                raise ValueError(f"the instruction at offset {offset} was never completed")
            units[offset] = Unit(self._tb, offset, final.size, final.word, self._shipped_form)
        return tuple(
            Write(units[stored.offset], stored.phase, stored.known, stored.value, stored.temporary, stored.form)
            for stored in self._stored
        )
