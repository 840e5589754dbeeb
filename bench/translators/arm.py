"""The arm backend: a conditional fast path, then a branch over the slow path.

Source: QEMU's ``tcg/arm/tcg-target.c`` at 497aebb99e07 (arm@2010) and with the
fix c69806ab8276 of 8 January 2011 (arm@2011).  A 32-bit load is 13 words; its
branch at word 8 jumps 20 bytes ahead and is complete four words after it was begun.
Encodings: ARM Architecture Reference Manual, ARM DDI 0406, chapter A8.
"""

from __future__ import annotations

from typing import ClassVar

from bench.translators.backend import InLineBackend
from bench.translators.emitter import Emitter
from bench.translators.instruction import Holds, Instruction
from bench.translators.softmmu import ALIGNMENT_MASK, HOST_32, PAGE_BITS, TLB_BITS
from bench.translators.translator import Access
from strategies.writes import Form, Phase

BUFFER = 0x0100_0000
"""The address of the code buffer on ARM Linux (``code_gen_alloc`` in exec.c)."""

HELPERS = {"load": 0x000A_0000, "store": 0x000A_1000}
"""Addresses of ``__ldl_mmu`` and ``__stl_mmu``: typical of a program linked at 0x8000, within reach of ``bl``."""

EPILOGUE = 0x0020_0000
"""The address of ``tb_ret_addr``: typical; in the program's section ``.gen_code``, within reach of ``b``."""

BLOCK_POINTER = 0x4000_0008
"""What the exit returns, a pointer to the TranslationBlock: typical of a large ``malloc``."""

# Fixed by the backend: r7 points to CPUState, r8 and the first argument registers are scratch.
_R0, _R1, _R2, _ENV, _SCRATCH, _PC = 0, 1, 2, 7, 8, 15
_ADDRESS, _DATA = 4, 5  # typical: the first two registers that the allocator gives

_EQ, _ALWAYS = 0x0, 0xE
_AND, _ADD, _TST, _CMP, _MOV = 0x0, 0x4, 0x8, 0xA, 0xD

_OPCODE = 0xFF00_0000  # condition and opcode of a branch
_IMM24 = 0x00FF_FFFF  # its offset in words
_LOW_BYTE = 0x0000_00FF


def _data(opcode: int, rd: int, rn: int, operand: int, cond: int = _ALWAYS) -> Instruction:
    sets_flags = opcode in (_TST, _CMP)
    return Instruction(cond << 28 | opcode << 21 | sets_flags << 20 | rn << 16 | rd << 12 | operand, 4)


def _immediate(value: int) -> int:
    return 1 << 25 | value


def _lsl(rm: int, by: int) -> int:
    return by << 7 | rm


def _lsr(rm: int, by: int) -> int:
    return by << 7 | 1 << 5 | rm


def _ldr(rt: int, rn: int, offset: int, cond: int = _ALWAYS) -> Instruction:
    return Instruction(cond << 28 | 0x0590_0000 | rn << 16 | rt << 12 | offset, 4)


def _ldr_register(rt: int, rn: int, rm: int, cond: int) -> Instruction:
    return Instruction(cond << 28 | 0x0790_0000 | rn << 16 | rt << 12 | rm, 4)


def _str_register(rt: int, rn: int, rm: int, cond: int) -> Instruction:
    return Instruction(cond << 28 | 0x0780_0000 | rn << 16 | rt << 12 | rm, 4)


def _b(distance: int, cond: int = _ALWAYS) -> Instruction:
    """Branch ``distance`` bytes from its own address; the processor counts from two instructions on."""
    return Instruction(cond << 28 | 0x0A00_0000 | (distance - 8) >> 2 & _IMM24, 4)


def _bl(distance: int) -> Instruction:
    return Instruction(_b(distance).word | 1 << 24, 4)


class Arm2010(InLineBackend):
    """QEMU's backend of early January 2011: the branch is stored with a temporary target, then its offset is added."""

    name = "arm"
    version = "2010"
    isa = "arm"
    byteorder = "little"
    buffer = BUFFER
    shipped_form = Form.SKIP_BYTES
    exact = True
    tlb = HOST_32
    registers: ClassVar[dict[str, Holds]] = {"r4": Holds.ADDRESS, "r5": Holds.VALUE, "r7": Holds.STATE}

    _begun: ClassVar[Form] = Form.WHOLE
    _updated: ClassVar[Form] = Form.ADD_PATCH

    def _guard(self, out: Emitter) -> int:
        out.put(Phase.GUEST_BRANCH, _data(_CMP, 0, _DATA, _immediate(0)))
        return out.begin(Phase.GUEST_BRANCH, _b(8, _EQ).branch("skip"), known=_OPCODE, form=Form.SKIP_BYTES)

    def _bind_guard(self, out: Emitter, branch: int) -> None:
        # A label has read back since 2008; only the branch of a guest access was added to.
        out.patch(Phase.BRANCH_UPDATE, branch, _b(out.here - branch, _EQ).word, known=_IMM24, form=Form.READ_BACK)

    def _access(self, out: Emitter, access: Access) -> None:
        tlb = self.tlb
        out.put(
            Phase.TLB_ACCESS,
            _data(_MOV, _SCRATCH, 0, _lsr(_ADDRESS, PAGE_BITS)).leaving(r8=Holds.PAGE),
            _data(_AND, _R0, _SCRATCH, _immediate((1 << TLB_BITS) - 1)).leaving(r0=Holds.INDEX),
            _data(_ADD, _R0, _ENV, _lsl(_R0, tlb.entry_bits)).leaving(r0=Holds.ENTRY),
            _ldr(_R1, _R0, tlb.table + tlb.comparator(access)).leaving(r1=Holds.TAG),
            _data(_CMP, 0, _R1, _lsl(_SCRATCH, PAGE_BITS)),
            _data(_TST, 0, _ADDRESS, _immediate(ALIGNMENT_MASK), _EQ),  # absent for single bytes only
            _ldr(_R1, _R0, tlb.table + tlb.addend, _EQ).on("hit").leaving(r1=Holds.ADDEND),
        )
        move = _ldr_register if access == "load" else _str_register
        moved = move(_DATA, _ADDRESS, _R1, _EQ).on("hit").access()
        out.put(Phase.FAST_PATH, moved.leaving(r5=Holds.VALUE) if access == "load" else moved)
        # The temporary target is the second instruction ahead, just behind ``mov r0, address``.
        branch = out.begin(Phase.BRANCH, _b(8, _EQ).branch("hit"), known=_OPCODE, form=self._begun)
        index = _R2 if access == "store" else _R1
        out.put(Phase.SLOW_PATH, _data(_MOV, _R0, 0, _ADDRESS).leaving(r0="r4"))
        if access == "store":
            out.put(Phase.SLOW_PATH, _data(_MOV, _R1, 0, _DATA).leaving(r1="r5"))
        out.put(Phase.SLOW_PATH, _data(_MOV, index, 0, _immediate(0)).leaving(**{f"r{index}": Holds.MEMORY_INDEX}))
        call = _bl(HELPERS[access] - (BUFFER + out.here))
        if access == "load":
            # ``mov data, r0`` is there because the allocator rarely gives a load r0 as its result.
            out.put(Phase.SLOW_PATH, call.call("r0", r0=Holds.ADDRESS, r1=Holds.MEMORY_INDEX))
            out.put(Phase.SLOW_PATH, _data(_MOV, _DATA, 0, _R0).leaving(r5="r0"))
        else:
            out.put(Phase.SLOW_PATH, call.call(None, r0=Holds.ADDRESS, r1=Holds.VALUE, r2=Holds.MEMORY_INDEX))
        out.patch(Phase.BRANCH_UPDATE, branch, _b(out.here - branch, _EQ).word, known=_IMM24, form=self._updated)

    def _exit(self, out: Emitter) -> None:
        loaded = out.here
        out.put(Phase.EXIT, _ldr(_R0, _PC, 0).leaving(r0=Holds.BLOCK))
        out.put(Phase.EXIT, _b(EPILOGUE - (BUFFER + out.here)).exit())
        # The low byte of the load is stored again once the literal's place is known; it was right by luck.
        literal = _ldr(_R0, _PC, out.here - loaded - 8).word
        out.patch(Phase.EXIT, loaded, literal, known=_LOW_BYTE, form=Form.SKIP_BYTES)
        out.put(Phase.EXIT, Instruction(BLOCK_POINTER, 4).data())

    def destination(self, word: int) -> int | None:
        if (word >> 25) & 0b111 != 0b101:
            return None
        offset = word & _IMM24
        return 8 + 4 * (offset - (1 << 24) if offset >> 23 else offset)


class Arm2011(Arm2010):
    """QEMU's backend with the fix of 8 January 2011: the opcode byte first, the offset only when it is known."""

    version = "2011"

    _begun = Form.SKIP_BYTES
    _updated = Form.READ_BACK  # three bytes: no store writes just those
