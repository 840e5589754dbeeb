"""The hppa backend: branches keep the displacement in memory and nullify their delay slots.

Source: QEMU's ``tcg/hppa/tcg-target.c`` at 497aebb99e07, early January 2011.  Both branches
of an access go to labels within the operation: ``combf`` to the slow path, ``bl`` behind it
(``cmpb,<>`` and ``b,l`` in the listing, their names in PA-RISC 2.0).  Since April 2010
(2d097a83e223) a branch to an unbound label is stored with the displacement read back
from memory; before, with displacement 0, which is the second instruction ahead.
Binding the label stores the displacement and reads the other bits back.  The backend
was removed in 2013 (802b5081233a).

Both branches have ``,n``: if such a forward branch is taken, the instruction in its delay slot
is fetched and has no effect.  The call by ``ble`` and the exit by ``bv`` execute theirs.
Not modelled: the call of a store is the end of its operation, and a return address has the privilege
level, 3 in user mode, in its two low bits.  So the address that QEMU takes as the call's (``GETPC``,
the return address less one) is behind that operation, and a retranslation seems to continue to the end of
the next one.  Here it ends with the operation, as on other hosts.
Encodings: PA-RISC 1.1 Architecture and Instruction Set Reference Manual, HP 09740-90039.
"""

from __future__ import annotations

from typing import ClassVar

from bench.support.errors import InputError
from bench.translators.backend import InLineBackend
from bench.translators.emitter import Emitter
from bench.translators.instruction import Fact, Holds, Instruction
from bench.translators.softmmu import COMPARED, HOST_32, PAGE_BITS, TLB_BITS
from bench.translators.translator import Access
from strategies.writes import Form, Phase

BUFFER = 0x4100_0000
"""The address of the code buffer: typical; QEMU leaves it to Linux, which maps from 0x40000000 on."""

HELPERS = {"load": 0x0010_0230, "store": 0x0010_1230}
"""Addresses of ``__ldl_mmu`` and ``__stl_mmu``: typical of a program linked at 0x10000, out of reach of ``bl``."""

BLOCK_POINTER = 0x4200_0008
"""The result of the exit, a pointer to the TranslationBlock: typical of a large ``malloc``."""

# Fixed by the backend: r17 points to CPUState, r18 is the return address of the block; r20 and r31 are scratch.
_R0, _RP, _ENV, _RETURN, _R20, _R31 = 0, 2, 17, 18, 20, 31
_ARG0, _ARG1, _ARG2, _RET0 = 26, 25, 24, 28
_ADDRESS, _DATA = 4, 5  # typical: the first two registers that the allocator gives

_EQUAL = 1  # a condition
_NULLIFY = 2  # the bit of ",n" in a branch
_DISPLACEMENT_12, _DISPLACEMENT_17 = 0x0000_1FFD, 0x001F_1FFD


def _word(opcode: int, *fields: tuple[int, int]) -> Instruction:
    """An instruction from its major opcode and fields with their lowest bits (the manual counts from the other end)."""
    word = opcode << 26
    for value, lowest in fields:
        word |= value << lowest
    return Instruction(word, 4)


def _low_sign(value: int, width: int) -> int:
    """An immediate whose sign is its lowest bit."""
    return (value & (1 << width - 1) - 1) << 1 | value >> width - 1 & 1


def _split_12(value: int) -> int:
    """A displacement of 12 bits in a compare-and-branch: w1 and w."""
    return (value & 0x3FF) << 3 | (value >> 10 & 1) << 2 | value >> 11 & 1


def _split_17(value: int) -> int:
    """A displacement of 17 bits in a branch: w1, w2 and w."""
    return (value >> 11 & 0x1F) << 16 | (value & 0x3FF) << 3 | (value >> 10 & 1) << 2 | value >> 16 & 1


def _split_21(value: int) -> int:
    """An immediate of 21 bits, the upper ones of a register."""
    return (
        (value & 0x3) << 12
        | (value >> 2 & 0x1F) << 16
        | (value >> 7 & 0x3) << 14
        | (value >> 9 & 0x7FF) << 1
        | value >> 20 & 1
    )


def _copy(target: int, source: int) -> Instruction:
    """``or`` with r0, as PA-RISC 1.1 copies."""
    return _word(0x02, (_R0, 21), (source, 16), (0x09, 6), (target, 0))


def _addl(target: int, one: int, other: int) -> Instruction:
    return _word(0x02, (other, 21), (one, 16), (0x28, 6), (target, 0))


def _extru(target: int, source: int, last: int, length: int) -> Instruction:
    """Extract the ``length`` bits up to bit ``last``; bit 0 is the highest, as in all of these."""
    return _word(0x34, (source, 21), (target, 16), (6, 10), (last, 5), (32 - length, 0))


def _zdep(target: int, source: int, last: int, length: int) -> Instruction:
    return _word(0x35, (target, 21), (source, 16), (2, 10), (31 - last, 5), (32 - length, 0))


def _depi(target: int, value: int, last: int, length: int) -> Instruction:
    return _word(0x35, (target, 21), (_low_sign(value, 5), 16), (7, 10), (31 - last, 5), (32 - length, 0))


def _ldw(target: int, displacement: int, base: int) -> Instruction:
    return _word(0x12, (base, 21), (target, 16), (_low_sign(displacement, 14), 0))


def _stw(source: int, displacement: int, base: int) -> Instruction:
    return _word(0x1A, (base, 21), (source, 16), (_low_sign(displacement, 14), 0))


def _ldwx(target: int, index: int, base: int) -> Instruction:
    return _word(0x03, (base, 21), (index, 16), (2, 6), (target, 0))


def _ldo(target: int, displacement: int, base: int) -> Instruction:
    return _word(0x0D, (base, 21), (target, 16), (_low_sign(displacement, 14), 0))


def _ldil(target: int, value: int) -> Instruction:
    """Load the upper 21 bits of ``value``."""
    return _word(0x08, (target, 21), (_split_21(value >> 11), 0))


def _combf(one: int, other: int, distance: int = 8) -> Instruction:
    """Branch ``distance`` bytes from its own address if the registers differ; ``,n``."""
    words = distance - 8 >> 2
    return _word(0x22, (other, 21), (one, 16), (_EQUAL, 13), (_split_12(words) | _NULLIFY, 0))


def _comibt(value: int, register: int, distance: int = 8) -> Instruction:
    """Branch ``distance`` bytes from its own address if they are equal; ``,n``."""
    words = distance - 8 >> 2
    return _word(0x21, (register, 21), (_low_sign(value, 5), 16), (_EQUAL, 13), (_split_12(words) | _NULLIFY, 0))


def _bl(distance: int = 8) -> Instruction:
    """Branch ``distance`` bytes from its own address, the link into r0; ``,n``."""
    return _word(0x3A, (_R0, 21), (_split_17(distance - 8 >> 2) | _NULLIFY, 0))


def _ble(displacement: int, base: int) -> Instruction:
    """Call the address ``displacement`` from ``base`` in space 4, the link in r31."""
    return _word(0x39, (base, 21), (1, 13), (_split_17(displacement >> 2), 0))


def _bv(base: int) -> Instruction:
    return _word(0x3A, (base, 21), (_R0, 16), (6, 13))


def _bind(out: Emitter, offset: int, word: int, displacement: int) -> None:
    """Bind the branch at ``offset`` to here: store the bits of its displacement."""
    out.patch(Phase.BRANCH_UPDATE, offset, word, known=displacement, form=Form.READ_BACK)


class Hppa(InLineBackend):
    """QEMU's backend of early January 2011: a branch is stored with the displacement that is in memory."""

    name = "hppa"
    version = "2010"
    isa = "hppa"
    byteorder = "big"
    buffer = BUFFER
    tlb = HOST_32
    shipped_form = Form.READ_BACK
    registers: ClassVar[dict[str, Holds]] = {"r4": Holds.ADDRESS, "r5": Holds.VALUE, "r17": Holds.STATE}

    def _guard(self, out: Emitter) -> int:
        return self._begin(out, Phase.GUEST_BRANCH, _comibt(0, _DATA), "skip", _DISPLACEMENT_12)

    def _bind_guard(self, out: Emitter, branch: int) -> None:
        distance = out.here - branch
        if distance - 8 >> 2 >= 1 << 11:  # QEMU asserts that it is within reach
            raise InputError(f"a condition that skips {distance - 4} bytes of {self.isa}", expected="at most 8192")
        _bind(out, branch, _comibt(0, _DATA, distance).word, _DISPLACEMENT_12)

    @staticmethod
    def _begin(out: Emitter, phase: Phase, branch: Instruction, taken: Fact, displacement: int) -> int:
        """Emit a branch with the displacement that is in memory.  Returns its offset."""
        known = branch.mask & ~displacement
        return out.begin(phase, branch.branch(taken, nullifies=True), known=known, form=Form.READ_BACK)

    def _access(self, out: Emitter, access: Access) -> None:
        tlb = self.tlb
        clear = ~COMPARED  # the address bits that are not compared: one run
        lowest, length = (clear & -clear).bit_length() - 1, clear.bit_count()
        out.put(
            Phase.TLB_ACCESS,
            _extru(_ARG1, _ADDRESS, 31 - PAGE_BITS, TLB_BITS).leaving(r25=Holds.INDEX),
            _zdep(_ARG1, _ARG1, 31 - tlb.entry_bits, 32 - tlb.entry_bits).leaving(r25=Holds.INDEX),
            _addl(_ARG1, _ARG1, _ENV).leaving(r25=Holds.ENTRY),
            _ldw(_R20, tlb.table + tlb.comparator(access), _ARG1).leaving(r20=Holds.TAG),
            _copy(_ARG0, _ADDRESS).leaving(r26="r4"),
            _depi(_ARG0, 0, 31 - lowest, length).leaving(r26=Holds.EXPECTED),
        )
        missed = self._begin(out, Phase.BRANCH, _combf(_ARG0, _R20), "miss", _DISPLACEMENT_12)
        out.put(Phase.FAST_PATH, _ldw(_R20, tlb.table + tlb.addend, _ARG1).leaving(r20=Holds.ADDEND))
        if access == "load":
            out.put(Phase.FAST_PATH, _ldwx(_DATA, _R20, _ADDRESS).access().leaving(r5=Holds.VALUE))
        else:
            out.put(
                Phase.FAST_PATH,
                _addl(_R31, _ADDRESS, _R20).leaving(r31=Holds.HOST_ADDRESS),
                _stw(_DATA, 0, _R31).access(),
            )
        done = self._begin(out, Phase.BRANCH, _bl(), "always", _DISPLACEMENT_17)
        _bind(out, missed, _combf(_ARG0, _R20, out.here - missed).word, _DISPLACEMENT_12)
        out.put(Phase.SLOW_PATH, _copy(_ARG0, _ADDRESS).leaving(r26="r4"))
        if access == "store":
            out.put(Phase.SLOW_PATH, _copy(_ARG1, _DATA).leaving(r25="r5"))
        index = _ARG2 if access == "store" else _ARG1
        out.put(
            Phase.SLOW_PATH,
            _ldo(index, 0, _R0).leaving(**{f"r{index}": Holds.MEMORY_INDEX}),
            _ldil(_R20, HELPERS[access]).leaving(r20=Holds.CONSTANT),
        )
        call = _ble(HELPERS[access] & 0x7FF, _R20)
        if access == "load":
            call = call.call("ret0", delay_slot=True, r26=Holds.ADDRESS, r25=Holds.MEMORY_INDEX)
        else:
            call = call.call(None, delay_slot=True, r26=Holds.ADDRESS, r25=Holds.VALUE, r24=Holds.MEMORY_INDEX)
        # The link is in r31 when the delay slot executes.
        out.put(Phase.SLOW_PATH, call, _copy(_RP, _R31).leaving(rp=Holds.RETURN_ADDRESS))
        if access == "load":
            out.put(Phase.SLOW_PATH, _copy(_DATA, _RET0).leaving(r5="ret0"))
        _bind(out, done, _bl(out.here - done).word, _DISPLACEMENT_17)

    def _exit(self, out: Emitter) -> None:
        out.put(
            Phase.EXIT,
            _ldil(_RET0, BLOCK_POINTER).leaving(ret0=Holds.CONSTANT),
            _bv(_RETURN).exit(delay_slot=True),
            _ldo(_RET0, BLOCK_POINTER & 0x7FF, _RET0).leaving(ret0=Holds.BLOCK),
        )

    def destination(self, word: int) -> int | None:
        opcode = word >> 26
        value, sign = word >> 3 & 0x3FF | (word >> 2 & 1) << 10, word & 1
        if 0x20 <= opcode <= 0x23:  # compare and branch
            return 8 + 4 * (value - (sign << 11))
        if opcode == 0x3A and word >> 13 & 0b111 == 0:  # bl
            return 8 + 4 * (value + ((word >> 16 & 0x1F) << 11) - (sign << 16))
        return None
