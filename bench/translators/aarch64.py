"""The aarch64 backend: since its first version, a branch to an unbound label keeps the offset that is in memory.

Source: QEMU's ``tcg/aarch64/tcg-target.c`` at c6d8ed24b446, July 2013.  The backend was added in June 2013
(4a136e0a6b4c) with ``tcg_out_goto_noaddr``; it called the helper for every access, without a branch to patch.
c6d8ed24b446 added the comparison with the TLB, and a ``b.ne`` to a slow path behind the block.  Both are in the first
release with the backend, v1.6 (August 2013), which aarch64@2013 models.  The backend reads the word of the branch,
replaces everything but its offset, and stores it whole; it binds the label in the same way.  There was nothing to fix.

As in v1.6, the TLB index is extracted with one bit too many (``ubfm`` up to bit 20: nine bits).
Encodings: ARM Architecture Reference Manual for A-profile, ARM DDI 0487, chapter C6.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from bench.translators.backend import OutOfLineBackend, SlowPath
from bench.translators.emitter import Emitter
from bench.translators.instruction import Holds, Instruction
from bench.translators.softmmu import HOST_64_2013, PAGE_BITS, TLB_BITS
from bench.translators.translator import Access
from strategies.writes import Form, Phase

BUFFER = 0x7F_8000_0000
"""The address of the code buffer: typical, what Linux gives a mapping with addresses of 39 bits."""

HELPERS = {"load": 0x0058_C2A4, "store": 0x0058_C6D0}
"""Addresses of ``helper_ldl_mmu`` and ``helper_stl_mmu``: typical of a program linked at 0x400000."""

EPILOGUE = BUFFER + (32 << 20) - 1024 + 40
"""The address of ``tb_ret_addr``: behind the prologue's ten words, in the last 1024 bytes of the buffer.

The buffer is a quarter of 128 MiB of guest memory, and so within reach of ``b``.
"""

BLOCK_POINTER = 0x7F_7C00_0010
"""The result of the exit, a pointer to the TranslationBlock: typical of a large ``malloc``."""

# Fixed by the backend: x19 points to CPUState, x0 to x3 and x8 are scratch.
_X0, _X1, _X2, _X3, _SCRATCH, _ENV, _ZERO = 0, 1, 2, 3, 8, 19, 31
_ADDRESS, _DATA, _THIRD = 20, 21, 22  # typical: the first registers that the allocator gives

_EQ, _NE = 0x0, 0x1

_IMM19 = 0x7_FFFF << 5
_OPCODE = 0xFFFF_FFFF & ~_IMM19  # of a conditional branch, with its condition


def _mov(target: int, source: int, *, wide: bool) -> Instruction:
    moved = Instruction(wide << 31 | 0x2A00_03E0 | source << 16 | target, 4)
    return moved.leaving(**{f"x{target}": f"x{source}"})


def _movz(target: int, half: int, *, wide: bool = False) -> Instruction:
    """Set the lowest halfword and clear the others."""
    return Instruction(wide << 31 | 0x5280_0000 | half << 5 | target, 4)


def _movk(target: int, half: int, number: int, *, wide: bool = False) -> Instruction:
    """Set halfword ``number`` and keep the others."""
    return Instruction(wide << 31 | 0x7280_0000 | number << 21 | half << 5 | target, 4)


def _ubfm(target: int, source: int, first: int, last: int) -> Instruction:
    """Extract the bits ``first`` to ``last``."""
    return Instruction(0x5300_0000 | first << 16 | last << 10 | source << 5 | target, 4)


def _and(target: int, source: int, ones: int, rotate: int) -> Instruction:
    """And with a mask of ``ones`` ones, rotated right."""
    return Instruction(0x1200_0000 | rotate << 16 | (ones - 1) << 10 | source << 5 | target, 4)


def _add_immediate(target: int, source: int, value: int) -> Instruction:
    return Instruction(0x9100_0000 | value << 10 | source << 5 | target, 4)


def _add(target: int, source: int, other: int, shift: int) -> Instruction:
    return Instruction(0x8B00_0000 | other << 16 | shift << 10 | source << 5 | target, 4)


def _cmp(one: int, other: int) -> Instruction:
    return Instruction(0x6B00_0000 | other << 16 | one << 5 | _ZERO, 4)


def _ldr(target: int, base: int, offset: int, *, wide: bool) -> Instruction:
    """Load; the encoded offset is in units of the access size."""
    return Instruction(wide << 30 | 0xB940_0000 | (offset >> 2 + wide) << 10 | base << 5 | target, 4)


def _move(access: Access) -> Instruction:
    """The access itself, at the guest address plus the addend."""
    word = 0xB860_6800 if access == "load" else 0xB820_6800
    moved = Instruction(word | _X1 << 16 | _ADDRESS << 5 | _DATA, 4).access()
    return moved.leaving(x21=Holds.VALUE) if access == "load" else moved


def _b_cond(condition: int, distance: int = 0) -> Instruction:
    """Branch ``distance`` bytes from its own address."""
    return Instruction(0x5400_0000 | distance << 3 & _IMM19 | condition, 4)


def _b(distance: int) -> Instruction:
    return Instruction(0x1400_0000 | distance >> 2 & 0x03FF_FFFF, 4)


def _blr(register: int) -> Instruction:
    return Instruction(0xD63F_0000 | register << 5, 4)


_NOP = Instruction(0xD503_201F, 4)


def _bind(out: Emitter, branch: int, condition: int) -> None:
    """Bind the branch at offset ``branch`` to here."""
    word = _b_cond(condition, out.here - branch).word
    out.patch(Phase.BRANCH_UPDATE, branch, word, known=_IMM19, form=Form.READ_BACK)


class Aarch64(OutOfLineBackend):
    """QEMU's backend of July 2013, the first with a fast path."""

    name = "aarch64"
    version = "2013"
    isa = "aarch64"
    patched = 4
    byteorder = "little"
    host_bits = 64
    buffer = BUFFER
    tlb = HOST_64_2013
    shipped_form = Form.READ_BACK
    registers: ClassVar[dict[str, Holds]] = {"x20": Holds.ADDRESS, "x21": Holds.VALUE, "x19": Holds.STATE}

    def _guard(self, out: Emitter) -> int:
        # The backend only compares registers, so it loads the constant first.
        out.put(Phase.GUEST_BRANCH, _movz(_THIRD, 0).leaving(x22=Holds.CONSTANT), _cmp(_DATA, _THIRD))
        return out.begin(Phase.GUEST_BRANCH, _b_cond(_EQ).branch("skip"), known=_OPCODE, form=Form.READ_BACK)

    def _bind_guard(self, out: Emitter, branch: int) -> None:
        _bind(out, branch, _EQ)

    def _begin(self, out: Emitter, access: Access) -> SlowPath:
        tlb = self.tlb
        page_number = 32 - PAGE_BITS
        out.put(
            Phase.TLB_ACCESS,
            _ubfm(_X0, _ADDRESS, PAGE_BITS, PAGE_BITS + TLB_BITS).leaving(x0=Holds.INDEX),
            # the page and the two alignment bits
            _and(_X3, _ADDRESS, page_number + 2, page_number).leaving(x3=Holds.EXPECTED),
            _add_immediate(_X2, _ENV, 0).leaving(x2="x19"),  # the bits of the table's offset beyond the reach of loads
            _add(_X2, _X2, _X0, tlb.entry_bits).leaving(x2=Holds.ENTRY),
            _ldr(_X0, _X2, tlb.table + tlb.comparator(access), wide=False).leaving(x0=Holds.TAG),
            _ldr(_X1, _X2, tlb.table + tlb.addend, wide=True).leaving(x1=Holds.ADDEND),
            _cmp(_X0, _X3),
        )
        missed = out.begin(Phase.BRANCH, _b_cond(_NE).branch("miss"), known=_OPCODE, form=Form.READ_BACK)
        out.put(Phase.FAST_PATH, _move(access))
        return partial(self._finish, out, access, missed, out.here)

    @staticmethod
    def _finish(out: Emitter, access: Access, missed: int, back: int) -> None:
        """Emit the slow path of an access whose branch is at ``missed`` and whose operation ends at ``back``."""
        _bind(out, missed, _NE)
        index = _X3 if access == "store" else _X2
        helper = HELPERS[access]
        out.put(Phase.SLOW_PATH, _mov(_X0, _ENV, wide=True), _mov(_X1, _ADDRESS, wide=False))
        if access == "store":
            out.put(Phase.SLOW_PATH, _mov(_X2, _DATA, wide=True))
        out.put(
            Phase.SLOW_PATH,
            _movz(index, 0).leaving(**{f"x{index}": Holds.MEMORY_INDEX}),
            _movz(_SCRATCH, helper & 0xFFFF).leaving(x8=Holds.CONSTANT),
            _movk(_SCRATCH, helper >> 16, 1).leaving(x8=Holds.CONSTANT),
        )
        # A helper finds the ``b`` one word after its return address, and from it the operation.
        if access == "load":
            call = _blr(_SCRATCH).call("x0", x0=Holds.STATE, x1=Holds.ADDRESS, x2=Holds.MEMORY_INDEX)
            out.put(Phase.SLOW_PATH, call, _mov(_DATA, _X0, wide=True))
        else:
            call = _blr(_SCRATCH).call(None, x0=Holds.STATE, x1=Holds.ADDRESS, x2=Holds.VALUE, x3=Holds.MEMORY_INDEX)
            out.put(Phase.SLOW_PATH, call, _NOP)
        out.put(Phase.SLOW_PATH, _b(back - out.here).branch("always"))

    def _exit(self, out: Emitter) -> None:
        out.put(
            Phase.EXIT,
            _movz(_X0, BLOCK_POINTER & 0xFFFF, wide=True).leaving(x0=Holds.CONSTANT),
            _movk(_X0, BLOCK_POINTER >> 16 & 0xFFFF, 1, wide=True).leaving(x0=Holds.CONSTANT),
            _movk(_X0, BLOCK_POINTER >> 32, 2, wide=True).leaving(x0=Holds.BLOCK),
        )
        out.put(Phase.EXIT, _b(EPILOGUE - (BUFFER + out.here)).exit())

    def destination(self, word: int) -> int | None:
        if word & 0xFF00_0010 == 0x5400_0000:
            words = (word & _IMM19) >> 5
            return 4 * (words - (1 << 19) if words >> 18 else words)
        if word >> 26 == 0b000101:
            words = word & 0x03FF_FFFF
            return 4 * (words - (1 << 26) if words >> 25 else words)
        return None
