"""Recording what a backend stores: its code pointer, and every store in time order."""

from __future__ import annotations

from dataclasses import dataclass

from strategies.writes import Form, Phase, Unit, Write


@dataclass(frozen=True, slots=True)
class Instruction:
    """A host instruction: ``word`` as the host reads it (``strategies/writes.py``), ``size`` in bytes."""

    word: int
    size: int

    @property
    def mask(self) -> int:
        """All its bits."""
        return (1 << 8 * self.size) - 1


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
    """

    def __init__(self, tb: int, shipped_form: Form) -> None:
        self.here = 0
        self._tb = tb
        self._shipped_form = shipped_form
        self._stored: list[_Stored] = []
        self._final: dict[int, Instruction] = {}

    def put(self, phase: Phase, *instructions: Instruction) -> tuple[int, ...]:
        """Emit complete instructions, one after the other; their offsets."""
        offsets = []
        for instruction in instructions:
            self._final[self.here] = instruction
            offsets.append(self.begin(phase, instruction, known=instruction.mask, form=Form.WHOLE))
        return tuple(offsets)

    def begin(self, phase: Phase, instruction: Instruction, *, known: int, form: Form) -> int:
        """Emit an instruction that will be patched: of its bits only those under ``known`` are final; its offset."""
        offset, word = self.here, instruction.word
        self._stored.append(_Stored(offset, phase, known, word & known, word & ~known, form))
        self.here += instruction.size
        return offset

    def patch(self, phase: Phase, offset: int, final: Instruction, *, known: int, form: Form) -> None:
        """Store the bits under ``known`` of the instruction at ``offset``, which is now ``final``.

        An ``add-patch`` adds them: right because the only one (arm) patches a temporary of 0.
        """
        self._final[offset] = final
        self._stored.append(_Stored(offset, phase, known, final.word & known, 0, form))

    def writes(self) -> tuple[Write, ...]:
        """All stores so far in time order; every instruction must be complete by now."""
        units = {
            offset: Unit(self._tb, offset, final.size, final.word, self._shipped_form)
            for offset, final in self._final.items()
        }
        return tuple(
            Write(units[stored.offset], stored.phase, stored.known, stored.value, stored.temporary, stored.form)
            for stored in self._stored
        )
