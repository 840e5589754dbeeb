"""Recording what a backend stores: its code pointer, and every store in time order."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.translators.instruction import Instruction, Placed
from bench.translators.translator import GuestBits
from strategies.writes import Form, Phase, Unit, Write


@dataclass(frozen=True, slots=True)
class _Stored:
    """A write before the final value of its unit is known."""

    offset: int
    phase: Phase
    known: int
    value: int
    temporary: int
    form: Form


class Emitter:
    """One block under construction: ``here`` is the code pointer, in bytes from the block's start.

    A backend builds an instruction from several stores (``tcg_out8``,
    ``tcg_out16``, ``tcg_out32``).  Where all its bytes are final they are recorded as one
    write: nobody can see them apart in a retranslation, which stores the bytes
    that are there already.

    ``access`` is the number of the guest access that instructions emitted now belong to, ``guest_bits``
    the width of a guest address.
    """

    def __init__(self, tb: int, shipped_form: Form, guest_bits: GuestBits) -> None:
        self.here = 0
        self.access = 0
        self.guest_bits = guest_bits
        self._tb = tb
        self._shipped_form = shipped_form
        self._stored: list[_Stored] = []
        self._placed: dict[int, Placed] = {}
        self._known: dict[int, int] = {}

    @property
    def stores(self) -> int:
        """How many stores were made so far."""
        return len(self._stored)

    def put(self, phase: Phase, *instructions: Instruction) -> None:
        """Emit complete instructions, one after the other."""
        for instruction in instructions:
            self.begin(phase, instruction, known=instruction.mask, form=Form.WHOLE)

    def begin(self, phase: Phase, instruction: Instruction, *, known: int, form: Form) -> int:
        """Emit an instruction that will be patched: of its bits only those under ``known`` are final; its offset."""
        offset, word = self.here, instruction.word
        self._placed[offset] = Placed(offset, instruction, self.access)
        self._known[offset] = known
        self._stored.append(_Stored(offset, phase, known, word & known, word & ~known, form))
        self.here += instruction.size
        return offset

    def patch(self, phase: Phase, offset: int, word: int, *, known: int, form: Form) -> None:
        """Store the bits under ``known`` of the instruction at ``offset``, which is now ``word``.

        An ``add-patch`` adds them: right because the only one (arm) patches a temporary of 0.
        """
        placed = self._placed[offset]
        self._placed[offset] = replace(placed, instruction=replace(placed.instruction, word=word))
        self._known[offset] |= known
        self._stored.append(_Stored(offset, phase, known, word & known, 0, form))

    def placed(self) -> tuple[Placed, ...]:
        """The complete instructions in memory order."""
        return tuple(self._placed[offset] for offset in sorted(self._placed))

    def writes(self) -> tuple[Write, ...]:
        """All stores so far in time order; every instruction must be complete by now."""
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
