"""The arm backend: a conditional fast path, then a branch over the slow path.

Source: QEMU's ``tcg/arm/tcg-target.c`` at 497aebb99e07 (arm@2010) and with the
fix c69806ab8276 of 8 January 2011 (arm@2011).  A 32-bit load is 13 words; its
branch at word 8 jumps 20 bytes ahead and is complete four words after it was begun.
Encodings: ARM Architecture Reference Manual, ARM DDI 0406, chapter A8.
"""

from __future__ import annotations

from typing import ClassVar

from bench.translators.backend import InLineBackend, Ways
from bench.translators.emitter import Emitter, Instruction
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

    _begun: ClassVar[Form] = Form.WHOLE
    _updated: ClassVar[Form] = Form.ADD_PATCH

    def _access(self, out: Emitter, access: Access) -> Ways:
        tlb = HOST_32
        looked_up = out.put(
            Phase.TLB_ACCESS,
            _data(_MOV, _SCRATCH, 0, _lsr(_ADDRESS, PAGE_BITS)),
            _data(_AND, _R0, _SCRATCH, _immediate((1 << TLB_BITS) - 1)),
            _data(_ADD, _R0, _ENV, _lsl(_R0, tlb.entry_bits)),
            _ldr(_R1, _R0, tlb.table + tlb.comparator(access)),
            _data(_CMP, 0, _R1, _lsl(_SCRATCH, PAGE_BITS)),
            _data(_TST, 0, _ADDRESS, _immediate(ALIGNMENT_MASK), _EQ),  # absent for single bytes only
            _ldr(_R1, _R0, tlb.table + tlb.addend, _EQ),
        )
        move = _ldr_register if access == "load" else _str_register
        fast = out.put(Phase.FAST_PATH, move(_DATA, _ADDRESS, _R1, _EQ))
        # The temporary target is the second instruction ahead, just behind ``mov r0, address``.
        branch = out.begin(Phase.BRANCH, _b(8, _EQ), known=_OPCODE, form=self._begun)
        arguments = [_data(_MOV, _R0, 0, _ADDRESS)]
        if access == "store":
            arguments.append(_data(_MOV, _R1, 0, _DATA))
        arguments.append(_data(_MOV, _R2 if access == "store" else _R1, 0, _immediate(0)))  # the memory index
        prepared = out.put(Phase.SLOW_PATH, *arguments)
        called = out.put(Phase.SLOW_PATH, _bl(HELPERS[access] - (BUFFER + out.here)))
        # ``mov data, r0`` is there because the allocator rarely gives a load r0 as its result.
        returned = out.put(Phase.SLOW_PATH, _data(_MOV, _DATA, 0, _R0)) if access == "load" else ()
        out.patch(Phase.BRANCH_UPDATE, branch, _b(out.here - branch, _EQ), known=_IMM24, form=self._updated)
        hit = (*looked_up, *fast, branch)
        fault = (*hit, *prepared, *called)
        return Ways(hit, (*fault, *returned), fault)

    def _exit(self, out: Emitter) -> tuple[int, ...]:
        loaded = out.put(Phase.EXIT, _ldr(_R0, _PC, 0))
        left = out.put(Phase.EXIT, _b(EPILOGUE - (BUFFER + out.here)))
        # The low byte of the load is stored again once the literal's place is known; it was right by luck.
        literal = _ldr(_R0, _PC, out.here - loaded[0] - 8)
        out.patch(Phase.EXIT, loaded[0], literal, known=_LOW_BYTE, form=Form.SKIP_BYTES)
        out.put(Phase.EXIT, Instruction(BLOCK_POINTER, 4))
        return (*loaded, *left)


class Arm2011(Arm2010):
    """QEMU's backend with the fix of 8 January 2011: the opcode byte first, the offset only when it is known."""

    version = "2011"

    _begun = Form.SKIP_BYTES
    _updated = Form.READ_BACK  # three bytes: no store writes just those
