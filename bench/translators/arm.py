"""The arm backend: a conditional fast path and a branch over the slow path, which is behind the block since 2013.

Source: QEMU's ``tcg/arm/tcg-target.c`` at 497aebb99e07 (arm@2010) and with the
fix c69806ab8276 of 8 January 2011 (arm@2011).  A 32-bit load is 13 words; its
branch at word 8 jumps 20 bytes ahead and is complete four words after it was begun.
arm@2014 is 267c931985cf, April 2014 (v2.1), for a host with ARMv7, which has ``movw`` and ``movt``.  The slow path
moved behind the block in v1.5 (df5e0ef711cd).  Since v1.7 (d9f4dde4a6d3) ``blne`` branches to it, so that lr holds the
return address.  An operation is ten words; the branch at word 8 (a store: 9) is begun by a word that keeps the offset
that is in memory.
Encodings: ARM Architecture Reference Manual, ARM DDI 0406, chapter A8.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from bench.translators.backend import Backend, InLineBackend, OutOfLineBackend, SlowPath
from bench.translators.emitter import Emitter
from bench.translators.instruction import Holds, Instruction
from bench.translators.softmmu import ALIGNMENT_MASK, HOST_32, HOST_32_2014, PAGE_BITS, TLB_BITS
from bench.translators.translator import Access
from strategies.writes import Form, Phase

BUFFER = 0x0100_0000
"""The address of the code buffer on ARM Linux (``code_gen_alloc`` in exec.c)."""

HELPERS = {"load": 0x000A_0000, "store": 0x000A_1000}
"""Addresses of ``__ldl_mmu`` and ``__stl_mmu``: typical of a program linked at 0x8000, within reach of ``bl``."""

EPILOGUE = 0x0020_0000
"""The address of ``tb_ret_addr``: typical; in the program's section ``.gen_code``, within reach of ``b``."""

BLOCK_POINTER = 0x4000_0008
"""The result of the exit, a pointer to the TranslationBlock: typical of a large ``malloc``."""

BUFFER_2014 = 0xB400_0000
"""The address of the code buffer by 2014: typical, what Linux gives a mapping below the libraries."""

HELPERS_2014 = {"load": 0x0021_4E58, "store": 0x0021_5374}
"""Addresses of ``helper_le_ldul_mmu`` and ``helper_le_stl_mmu``: typical of a program linked at 0x10000.

They are out of reach of ``bl`` and fit no rotated immediate, so that loading one takes two words.
"""

EPILOGUE_2014 = BUFFER_2014 + (16 << 20) - 1024 + 16
"""The address of ``tb_ret_addr`` by 2014: behind the prologue's four words, in the last 1024 bytes of the buffer."""

BLOCK_POINTER_2014 = 0xB300_0008
"""The result of the exit in 2014: typical of a large ``malloc``; it fits no rotated immediate either."""

# Fixed by the backend: r7 points to CPUState, r8 and the first argument registers are scratch.
_R0, _R1, _R2, _R3, _ENV, _SCRATCH, _SP, _LR, _PC = 0, 1, 2, 3, 7, 8, 13, 14, 15
_ENV_2014, _SCRATCH_2014 = 6, 12
_ADDRESS, _DATA = 4, 5  # typical: the first two registers that the allocator gives

_EQ, _NE, _ALWAYS = 0x0, 0x1, 0xE
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
    """Branch ``distance`` bytes from its own address; the encoded offset is relative to two instructions later."""
    return Instruction(cond << 28 | 0x0A00_0000 | (distance - 8) >> 2 & _IMM24, 4)


def _bl(distance: int, cond: int = _ALWAYS) -> Instruction:
    return Instruction(_b(distance, cond).word | 1 << 24, 4)


def _str(rt: int, rn: int, offset: int) -> Instruction:
    return Instruction(_ALWAYS << 28 | 0x0580_0000 | rn << 16 | rt << 12 | offset, 4)


def _mov(rd: int, rm: int) -> Instruction:
    return _data(_MOV, rd, 0, rm)


def _movw(rd: int, value: int) -> Instruction:
    """Set the low half of ``value`` and clear the high half."""
    return Instruction(_ALWAYS << 28 | 0x0300_0000 | (value >> 12 & 0xF) << 16 | rd << 12 | value & 0xFFF, 4)


def _movt(rd: int, value: int) -> Instruction:
    """Set the high half of ``value`` and keep the low half."""
    return Instruction(_movw(rd, value >> 16).word | 1 << 22, 4)


def _through_register(rm: int, *, link: bool) -> Instruction:
    """Branch to the address in a register (``blx`` or ``bx``)."""
    return Instruction(_ALWAYS << 28 | (0x012F_FF30 if link else 0x012F_FF10) | rm, 4)


class _Arm(Backend):
    """The common part of all versions."""

    name = "arm"
    isa = "arm"
    patched = 4
    byteorder = "little"

    _label_begun: ClassVar[Form] = Form.SKIP_BYTES

    def _guard(self, out: Emitter) -> int:
        out.put(Phase.GUEST_BRANCH, _data(_CMP, 0, _DATA, _immediate(0)))
        return out.begin(Phase.GUEST_BRANCH, _b(8, _EQ).branch("skip"), known=_OPCODE, form=self._label_begun)

    def _bind_guard(self, out: Emitter, branch: int) -> None:
        # Labels read the offset back since 2008; only the branch of a guest access was added to.
        out.patch(Phase.BRANCH_UPDATE, branch, _b(out.here - branch, _EQ).word, known=_IMM24, form=Form.READ_BACK)

    def destination(self, word: int) -> int | None:
        if (word >> 25) & 0b111 != 0b101:
            return None
        offset = word & _IMM24
        return 8 + 4 * (offset - (1 << 24) if offset >> 23 else offset)


class Arm2010(_Arm, InLineBackend):
    """QEMU's backend of early January 2011: the branch is stored with a temporary target, then its offset is added."""

    version = "2010"
    buffer = BUFFER
    shipped_form = Form.SKIP_BYTES
    exact = True
    tlb = HOST_32
    registers: ClassVar[dict[str, Holds]] = {"r4": Holds.ADDRESS, "r5": Holds.VALUE, "r7": Holds.STATE}

    _begun: ClassVar[Form] = Form.WHOLE
    _updated: ClassVar[Form] = Form.ADD_PATCH

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
        # The temporary target is the second instruction ahead, after ``mov r0, address``.
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
        # The low byte of the load is stored again when the literal's address is known; it happens to be right before.
        literal = _ldr(_R0, _PC, out.here - loaded - 8).word
        out.patch(Phase.EXIT, loaded, literal, known=_LOW_BYTE, form=Form.SKIP_BYTES)
        out.put(Phase.EXIT, Instruction(BLOCK_POINTER, 4).data())


class Arm2011(Arm2010):
    """QEMU's backend with the fix of 8 January 2011: the opcode byte first, the offset only when it is known."""

    version = "2011"

    _begun = Form.SKIP_BYTES
    _updated = Form.READ_BACK  # three bytes: no store writes just those


class Arm2014(_Arm, OutOfLineBackend):
    """QEMU's backend of April 2014: the slow path is behind the block, its branch is begun with the offset read back.

    The return address that a helper gets is that after the branch, one word before the operation's end for a load.
    """

    version = "2014"
    buffer = BUFFER_2014
    tlb = HOST_32_2014
    shipped_form = Form.READ_BACK
    registers: ClassVar[dict[str, Holds]] = {"r4": Holds.ADDRESS, "r5": Holds.VALUE, "r6": Holds.STATE}

    _label_begun = Form.READ_BACK

    def _begin(self, out: Emitter, access: Access) -> SlowPath:
        tlb = self.tlb
        comparator = tlb.table + tlb.comparator(access)
        # ``ldrd``, which a 64-bit guest needs, reaches 255 bytes: the offset's high byte is added first.
        high = comparator & 0xFF00
        out.put(
            Phase.TLB_ACCESS,
            _data(_MOV, _SCRATCH_2014, 0, _lsr(_ADDRESS, PAGE_BITS)).leaving(r12=Holds.PAGE),
            # an immediate of eight bits, rotated right by twice 12
            _data(_ADD, _R2, _ENV_2014, _immediate(12 << 8 | high >> 8)).leaving(r2=Holds.ENTRY),
            _data(_AND, _R0, _SCRATCH_2014, _immediate((1 << TLB_BITS) - 1)).leaving(r0=Holds.INDEX),
            _data(_ADD, _R2, _R2, _lsl(_R0, tlb.entry_bits)).leaving(r2=Holds.ENTRY),
            _ldr(_R0, _R2, comparator - high).leaving(r0=Holds.TAG),
            _data(_TST, 0, _ADDRESS, _immediate(ALIGNMENT_MASK)),
            _ldr(_R2, _R2, tlb.table + tlb.addend - high).leaving(r2=Holds.ADDEND),
            _data(_CMP, 0, _R0, _lsl(_SCRATCH_2014, PAGE_BITS), _EQ),
        )
        branch = _bl(8, _NE).branch("miss", links="lr")
        if access == "load":
            missed = out.begin(Phase.BRANCH, branch, known=_OPCODE, form=Form.READ_BACK)
            moved = _ldr_register(_DATA, _ADDRESS, _R2, _ALWAYS).access().leaving(r5=Holds.VALUE)
            out.put(Phase.FAST_PATH, moved)
            return partial(self._load, out, missed, out.here)
        # The helper of a store returns to the address after the branch, so the branch is last.
        out.put(Phase.FAST_PATH, _str_register(_DATA, _ADDRESS, _R2, _EQ).on("hit").access())
        missed = out.begin(Phase.BRANCH, branch, known=_OPCODE, form=Form.READ_BACK)
        return partial(self._store, out, missed)

    @staticmethod
    def _bind(out: Emitter, missed: int) -> None:
        """Bind the branch at offset ``missed`` to here, and emit the arguments common to both helpers."""
        word = _bl(out.here - missed, _NE).word
        out.patch(Phase.BRANCH_UPDATE, missed, word, known=_IMM24, form=Form.READ_BACK)
        out.put(Phase.SLOW_PATH, _mov(_R0, _ENV_2014).leaving(r0="r6"), _mov(_R1, _ADDRESS).leaving(r1="r4"))

    @staticmethod
    def _helper(out: Emitter, access: Access) -> None:
        """Emit loading the helper's address."""
        out.put(
            Phase.SLOW_PATH,
            _movw(_SCRATCH_2014, HELPERS_2014[access]).leaving(r12=Holds.CONSTANT),
            _movt(_SCRATCH_2014, HELPERS_2014[access]).leaving(r12=Holds.CONSTANT),
        )

    def _load(self, out: Emitter, missed: int, back: int) -> None:
        """Emit the slow path of a load whose branch is at ``missed`` and whose operation ends at ``back``."""
        self._bind(out, missed)
        out.put(Phase.SLOW_PATH, _movw(_R2, 0).leaving(r2=Holds.MEMORY_INDEX), _mov(_R3, _LR).leaving(r3="lr"))
        self._helper(out, "load")
        call = _through_register(_SCRATCH_2014, link=True)
        out.put(
            Phase.SLOW_PATH,
            call.call("r0", r0=Holds.STATE, r1=Holds.ADDRESS, r2=Holds.MEMORY_INDEX, r3=Holds.RETURN_ADDRESS),
            _mov(_DATA, _R0).leaving(r5="r0"),
        )
        out.put(Phase.SLOW_PATH, _b(back - out.here).branch("always"))

    def _store(self, out: Emitter, missed: int) -> None:
        """Emit the slow path of a store whose branch is at ``missed``; the helper returns by itself."""
        self._bind(out, missed)
        out.put(
            Phase.SLOW_PATH,
            _mov(_R2, _DATA).leaving(r2="r5"),
            _movw(_R3, 0).leaving(r3=Holds.MEMORY_INDEX),
            _str(_LR, _SP, 0).leaving(**{"[sp]": "lr"}),  # the fifth argument
        )
        self._helper(out, "store")
        call = _through_register(_SCRATCH_2014, link=False).tail_call(
            r0=Holds.STATE, r1=Holds.ADDRESS, r2=Holds.VALUE, r3=Holds.MEMORY_INDEX, **{"[sp]": Holds.RETURN_ADDRESS}
        )
        out.put(Phase.SLOW_PATH, call)

    def _exit(self, out: Emitter) -> None:
        out.put(
            Phase.EXIT,
            _movw(_R0, BLOCK_POINTER_2014).leaving(r0=Holds.CONSTANT),
            _movt(_R0, BLOCK_POINTER_2014).leaving(r0=Holds.BLOCK),
        )
        out.put(Phase.EXIT, _b(EPILOGUE_2014 - (BUFFER_2014 + out.here)).exit())
