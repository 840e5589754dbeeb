"""The x86-64 backend: displacement bytes are left out until they are known.

Source: QEMU's ``tcg/i386/tcg-target.c`` at 497aebb99e07, early January 2011.  Both
short branches of an access are begun by storing the opcode byte and stepping over
the displacement byte, so that no temporary ever reaches memory.
Encodings: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
"""

from __future__ import annotations

from typing import ClassVar

from bench.translators.backend import InLineBackend
from bench.translators.emitter import Emitter
from bench.translators.instruction import Holds, Instruction
from bench.translators.softmmu import COMPARED, HOST_64, PAGE_BITS
from bench.translators.translator import Access
from strategies.writes import Form, Phase

BUFFER = 0x4000_0000
"""The address of the code buffer: typical, the lowest that Linux gives for MAP_32BIT (``code_gen_alloc`` in exec.c)."""

HELPERS = {"load": 0x0050_0000, "store": 0x0050_1000}
"""Addresses of ``__ldl_mmu`` and ``__stl_mmu``: typical of a program linked at 0x400000."""

EPILOGUE = 0x0100_0000
"""The address of ``tb_ret_addr``: typical; in the same program's data."""

BLOCK_POINTER = 0x7F00_0000_0010
"""What the exit returns, a pointer to the TranslationBlock: typical of a large ``malloc``."""

# Fixed by the backend: r14 points to CPUState, the first two argument registers are scratch.
_EAX, _EDX, _ESI, _EDI, _ENV = 0, 2, 6, 7, 14
_ADDRESS, _DATA = 5, 3  # ebp and ebx: typical, the first two registers that the allocator gives

_ADD, _AND, _XOR, _CMP = 0, 4, 6, 7
_SHR = 5
_REX_W, _REX_WB = 0x48, 0x49
_DIRECT, _NO_OFFSET, _OFFSET_8, _OFFSET_32 = 3, 0, 1, 2
_SIB = 4  # in the place of a base register: a byte with base and index follows

_JNE, _JMP, _JE_LONG = 0x75, 0xEB, 0x84
_OPCODE, _DISPLACEMENT = 0x00FF, 0xFF00


def _encode(*parts: int | bytes) -> Instruction:
    code = b"".join(part if isinstance(part, bytes) else bytes((part,)) for part in parts)
    return Instruction(int.from_bytes(code, "little"), len(code))


def _signed(value: int, size: int = 4) -> bytes:
    return value.to_bytes(size, "little", signed=True)


def _from_signed(value: int, size: int) -> int:
    return int.from_bytes(value.to_bytes(size, "little"), "little", signed=True)


def _modrm(mode: int, register: int, operand: int) -> int:
    return mode << 6 | (register & 7) << 3 | operand & 7


def _mov(target: int, source: int) -> Instruction:
    return _encode(0x8B, _modrm(_DIRECT, target, source))


def _clear(register: int) -> Instruction:
    return _encode(_XOR << 3 | 3, _modrm(_DIRECT, register, register))


def _and(register: int, value: int) -> Instruction:
    return _encode(0x81, _modrm(_DIRECT, _AND, register), _signed(value))


def _relative(opcode: int, target: int, here: int) -> Instruction:
    """Call or jump to the address ``target`` from offset ``here``; the processor counts from the next instruction."""
    return _encode(opcode, _signed(target - (BUFFER + here + 5)))


def _short(opcode: int, distance: int = 2) -> Instruction:
    """Branch ``distance`` bytes from its own address."""
    return _encode(opcode, _signed(distance - 2, 1))


class X86_64(InLineBackend):
    """QEMU's backend of early January 2011, and until the slow path moved in v1.3."""

    name = "x86-64"
    version = "2010"
    isa = "x86-64"
    byteorder = "little"
    buffer = BUFFER
    host_bits = 64
    tlb = HOST_64
    shipped_form = Form.SKIP_BYTES
    registers: ClassVar[dict[str, Holds]] = {"ebp": Holds.ADDRESS, "ebx": Holds.VALUE, "r14": Holds.STATE}

    def _guard(self, out: Emitter) -> int:
        out.put(Phase.GUEST_BRANCH, _encode(0x85, _modrm(_DIRECT, _DATA, _DATA)))  # test ebx, ebx
        branch = _encode(0x0F, _JE_LONG, _signed(0)).branch("skip")
        return out.begin(Phase.GUEST_BRANCH, branch, known=0xFFFF, form=Form.SKIP_BYTES)

    def _bind_guard(self, out: Emitter, branch: int) -> None:
        word = _encode(0x0F, _JE_LONG, _signed(out.here - branch - 6)).word
        out.patch(Phase.BRANCH_UPDATE, branch, word, known=0xFFFF_FFFF_0000, form=Form.SKIP_BYTES)

    def _access(self, out: Emitter, access: Access) -> None:
        tlb, compared = self.tlb, self.tlb.comparator(access)
        out.put(
            Phase.TLB_ACCESS,
            _mov(_ESI, _ADDRESS).leaving(esi="ebp"),
            _mov(_EDI, _ADDRESS).leaving(edi="ebp"),
            _encode(0xC1, _modrm(_DIRECT, _SHR, _ESI), PAGE_BITS - tlb.entry_bits).leaving(esi=Holds.PAGE),
            _and(_EDI, COMPARED).leaving(edi=Holds.EXPECTED),
            _and(_ESI, tlb.index_mask).leaving(esi=Holds.INDEX),
            _encode(  # lea rsi, [r14 + rsi + offset]
                _REX_WB, 0x8D, _modrm(_OFFSET_32, _ESI, _SIB), _modrm(0, _ESI, _ENV), _signed(tlb.table + compared)
            ).leaving(esi=Holds.ENTRY),
            _encode(_CMP << 3 | 3, _modrm(_NO_OFFSET, _EDI, _ESI)),
            _mov(_EDI, _ADDRESS).leaving(edi="ebp"),
        )
        missed = out.begin(Phase.BRANCH, _short(_JNE).branch("miss"), known=_OPCODE, form=Form.SKIP_BYTES)
        moved = _encode(0x8B if access == "load" else 0x89, _modrm(_NO_OFFSET, _DATA, _EDI)).access()
        out.put(
            Phase.FAST_PATH,
            _encode(_REX_W, _ADD << 3 | 3, _modrm(_OFFSET_8, _EDI, _ESI), _signed(tlb.addend - compared, 1)).leaving(
                edi=Holds.HOST_ADDRESS
            ),
            moved.leaving(ebx=Holds.VALUE) if access == "load" else moved,
        )
        done = out.begin(Phase.BRANCH, _short(_JMP).branch("always"), known=_OPCODE, form=Form.SKIP_BYTES)
        self._bind(out, missed, _JNE)
        # The guest address is in edi already; esi or edx is the memory index.
        if access == "store":
            out.put(Phase.SLOW_PATH, _mov(_ESI, _DATA).leaving(esi="ebx"), _clear(_EDX).leaving(edx=Holds.MEMORY_INDEX))
        else:
            out.put(Phase.SLOW_PATH, _clear(_ESI).leaving(esi=Holds.MEMORY_INDEX))
        call = _relative(0xE8, HELPERS[access], out.here)
        if access == "load":
            out.put(Phase.SLOW_PATH, call.call("eax", edi=Holds.ADDRESS, esi=Holds.MEMORY_INDEX))
            out.put(Phase.SLOW_PATH, _mov(_DATA, _EAX).leaving(ebx="eax"))
        else:
            out.put(Phase.SLOW_PATH, call.call(None, edi=Holds.ADDRESS, esi=Holds.VALUE, edx=Holds.MEMORY_INDEX))
        self._bind(out, done, _JMP)

    @staticmethod
    def _bind(out: Emitter, branch: int, opcode: int) -> None:
        """The branch at offset ``branch`` leads here: store its displacement byte."""
        word = _short(opcode, out.here - branch).word
        out.patch(Phase.BRANCH_UPDATE, branch, word, known=_DISPLACEMENT, form=Form.SKIP_BYTES)

    def _exit(self, out: Emitter) -> None:
        out.put(Phase.EXIT, _encode(_REX_W, 0xB8 | _EAX, _signed(BLOCK_POINTER, 8)).leaving(eax=Holds.BLOCK))
        out.put(Phase.EXIT, _relative(0xE9, EPILOGUE, out.here).exit())

    def destination(self, word: int) -> int | None:
        if word & 0xFF in (_JNE, _JMP):
            return 2 + _from_signed(word >> 8, 1)
        if word & 0xFFFF == 0x0F | _JE_LONG << 8:
            return 6 + _from_signed(word >> 16, 4)
        return None
