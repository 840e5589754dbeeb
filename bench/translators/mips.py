"""The mips backend: a branch should keep the offset in memory, but for nine months got part of its own address.

Source: QEMU's ``tcg/mips/tcg-target.c`` at 497aebb99e07 (mips@2010) and with the fix d43ffce14023
of 6 January 2011 (the same as ab100edee710; mips@2011).  6d8ff4d85ce2 of March 2010 was to store a branch with the
offset that was in memory already; by a typo the 16 bits came from the code pointer, not from the word it points to.
All branches to unbound labels use that function, those of guest conditions too.  A 32-bit load or store is 20 words;
its branches at words 6 and 15 jump 44 and 20 bytes ahead.  A 64-bit guest address needs a third branch.  Each branch
has a delay slot.
Encodings: MIPS32 Architecture for Programmers, volume II, MD00086.

Blocks are those of a big-endian host.  A little-endian one (Loongson's usual Linux) has the same words, except that the
halves of a 64-bit guest address are swapped.
"""

from __future__ import annotations

from typing import ClassVar

from bench.translators.backend import InLineBackend
from bench.translators.emitter import Emitter
from bench.translators.instruction import Fact, Holds, Instruction
from bench.translators.softmmu import COMPARED, HOST_32, HOST_32_GUEST_64, PAGE_BITS, SoftTlb
from bench.translators.translator import Access, GuestBits
from strategies.writes import Form, Phase

BUFFER = 0x2B7C_1000
"""The address of the code buffer: typical of ``mmap`` without a hint (``code_gen_alloc`` in exec.c), behind libraries.

Linux maps those from 0x2aaa8000 on, a third of a 32-bit address space.  mips@2010 stores the low half of this address
in branches: it is not zero, so that the temporary targets are 16 KiB ahead, in another block.  At other addresses of
the buffer they are up to 128 KiB away in either direction.
"""

HELPERS = {"load": 0x0047_2000, "store": 0x0047_3000}
"""Addresses of ``__ldl_mmu`` and ``__stl_mmu``: typical of a program linked at 0x400000."""

EPILOGUE = 0x00A3_4060
"""The address of ``tb_ret_addr``: typical; in the same program's data."""

BLOCK_POINTER = 0x2D7C_2008
"""The result of the exit, a pointer to the TranslationBlock: typical of a large ``malloc``."""

# Fixed by the backend: s0 points to CPUState; at, t0, v0, the argument registers and t9 are scratch.
_ZERO, _AT, _V0, _A0, _T0, _S0, _T9, _RA = 0, 1, 2, 4, 8, 16, 25, 31
_ADDRESS, _DATA, _HIGH = 17, 18, 19  # s1 to s3: typical, the first that the allocator gives

_BEQ, _BNE = 0x04, 0x05
_ADDIU, _ANDI, _ORI, _LUI, _LW, _SW = 0x09, 0x0C, 0x0D, 0x0F, 0x23, 0x2B
_SRL, _JR, _JALR, _ADDU, _AND = 0x02, 0x08, 0x09, 0x21, 0x24

_OPCODE, _OFFSET = 0xFFFF_0000, 0x0000_FFFF

_NOP = Instruction(0, 4)


def _immediate(opcode: int, rt: int, rs: int, value: int) -> Instruction:
    return Instruction(opcode << 26 | rs << 21 | rt << 16 | value & 0xFFFF, 4)


def _register(function: int, rd: int, rs: int, rt: int) -> Instruction:
    return Instruction(rs << 21 | rt << 16 | rd << 11 | function, 4)


def _shift_right(rd: int, rt: int, by: int) -> Instruction:
    return Instruction(rt << 16 | rd << 11 | by << 6 | _SRL, 4)


def _move(rd: int, rs: int) -> Instruction:
    return _register(_ADDU, rd, rs, _ZERO)


def _constant(rt: int, value: int) -> tuple[Instruction, Instruction]:
    """Load a constant of 32 bits: the high half, then the low half."""
    return _immediate(_LUI, rt, 0, value >> 16), _immediate(_ORI, rt, rt, value)


class Mips2010(InLineBackend):
    """QEMU's backend of early January 2011: a branch is begun with the low half of its own address as its offset."""

    name = "mips"
    version = "2010"
    isa = "mips"
    byteorder = "big"
    buffer = BUFFER
    shipped_form = Form.READ_BACK
    exact = True
    wide_guest = True
    tlb = HOST_32
    registers: ClassVar[dict[str, Holds]] = {
        "s1": Holds.ADDRESS,
        "s2": Holds.VALUE,
        "s3": Holds.ADDRESS_HIGH,
        "s0": Holds.STATE,
    }

    _begun: ClassVar[Form] = Form.WHOLE

    def tlb_for(self, guest_bits: GuestBits) -> SoftTlb:
        return HOST_32_GUEST_64 if guest_bits == 64 else self.tlb

    @staticmethod
    def _temporary(out: Emitter) -> int:
        """The temporary offset of a branch."""
        return BUFFER + out.here & _OFFSET

    def _branch(self, out: Emitter, phase: Phase, opcode: int, rt: int, rs: int, fact: Fact) -> int:
        branch = _immediate(opcode, rt, rs, self._temporary(out)).branch(fact, delay_slot=True)
        return out.begin(phase, branch, known=_OPCODE, form=self._begun)

    @staticmethod
    def _bind(out: Emitter, branch: int, opcode: int, rt: int, rs: int) -> None:
        """Bind the branch at offset ``branch`` to here; the encoded offset is relative to its delay slot."""
        word = _immediate(opcode, rt, rs, (out.here - branch - 4) >> 2).word
        out.patch(Phase.BRANCH_UPDATE, branch, word, known=_OFFSET, form=Form.READ_BACK)

    def _guard(self, out: Emitter) -> int:
        branch = self._branch(out, Phase.GUEST_BRANCH, _BEQ, _DATA, _ZERO, "skip")
        out.put(Phase.GUEST_BRANCH, _NOP)
        return branch

    def _bind_guard(self, out: Emitter, branch: int) -> None:
        self._bind(out, branch, _BEQ, _DATA, _ZERO)

    def _access(self, out: Emitter, access: Access) -> None:
        wide = out.guest_bits == 64
        tlb = self.tlb_for(out.guest_bits)
        # Big-endian: the high half of an entry's address is first.
        high = tlb.table + tlb.comparator(access)
        low = high + 4 if wide else high
        out.put(
            Phase.TLB_ACCESS,
            _shift_right(_A0, _ADDRESS, PAGE_BITS - tlb.entry_bits).leaving(a0=Holds.PAGE),
            _immediate(_ANDI, _A0, _A0, tlb.index_mask).leaving(a0=Holds.INDEX),
            _register(_ADDU, _A0, _A0, _S0).leaving(a0=Holds.ENTRY),
            _immediate(_LW, _AT, _A0, low).leaving(at=Holds.TAG),
            _immediate(_ADDIU, _T0, _ZERO, COMPARED).leaving(t0=Holds.CONSTANT),
            _register(_AND, _T0, _T0, _ADDRESS).leaving(t0=Holds.EXPECTED),
        )
        if wide:
            differs = self._branch(out, Phase.BRANCH, _BNE, _T0, _AT, "low differs")
            out.put(Phase.TLB_ACCESS, _NOP, _immediate(_LW, _AT, _A0, high).leaving(at=Holds.TAG))
            hit = self._branch(out, Phase.BRANCH, _BEQ, _HIGH, _AT, "hit")
            out.put(Phase.TLB_ACCESS, _NOP)
            self._bind(out, differs, _BNE, _T0, _AT)
        else:
            hit = self._branch(out, Phase.BRANCH, _BEQ, _T0, _AT, "hit")
            out.put(Phase.TLB_ACCESS, _NOP)
        self._slow_path(out, access, wide)
        done = self._branch(out, Phase.BRANCH, _BEQ, _ZERO, _ZERO, "always")
        out.put(Phase.SLOW_PATH, _NOP)
        self._bind(out, hit, _BEQ, _HIGH if wide else _T0, _AT)
        # The host address is in v0 for a load, in a0 for a store.
        target, name = (_V0, "v0") if access == "load" else (_A0, "a0")
        moved = _immediate(_LW if access == "load" else _SW, _DATA, target, 0).access()
        out.put(
            Phase.FAST_PATH,
            _immediate(_LW, _A0, _A0, tlb.table + tlb.addend).leaving(a0=Holds.ADDEND),
            _register(_ADDU, target, _A0, _ADDRESS).leaving(**{name: Holds.HOST_ADDRESS}),
            moved.leaving(s2=Holds.VALUE) if access == "load" else moved,
        )
        self._bind(out, done, _BEQ, _ZERO, _ZERO)

    @staticmethod
    def _slow_path(out: Emitter, access: Access, wide: bool) -> None:
        """Emit the arguments from a0 on, the call, and the result of a load."""
        arguments = [(_ADDRESS, Holds.ADDRESS)]
        if wide:
            arguments.insert(0, (_HIGH, Holds.ADDRESS_HIGH))
        if access == "store":
            arguments.append((_DATA, Holds.VALUE))
        needs: dict[str, str] = {}
        for number, (source, meaning) in enumerate(arguments):
            move = _move(_A0 + number, source)
            out.put(Phase.SLOW_PATH, move.leaving(**{f"a{number}": f"s{source - _S0}"}))
            needs[f"a{number}"] = meaning
        last = len(arguments)
        index = _immediate(_ADDIU, _A0 + last, _ZERO, 0)
        out.put(Phase.SLOW_PATH, index.leaving(**{f"a{last}": Holds.MEMORY_INDEX}))
        needs[f"a{last}"] = Holds.MEMORY_INDEX
        helper = (instruction.leaving(t9=Holds.CONSTANT) for instruction in _constant(_T9, HELPERS[access]))
        call = _register(_JALR, _RA, _T9, 0).call("v0" if access == "load" else None, delay_slot=True, over=0, **needs)
        out.put(Phase.SLOW_PATH, *helper, call, _NOP)
        if access == "load":
            out.put(Phase.SLOW_PATH, _move(_DATA, _V0).leaving(s2="v0"))

    def _exit(self, out: Emitter) -> None:
        high, low = _constant(_V0, BLOCK_POINTER)
        out.put(Phase.EXIT, high.leaving(v0=Holds.CONSTANT), low.leaving(v0=Holds.BLOCK))
        out.put(Phase.EXIT, *(word.leaving(at=Holds.CONSTANT) for word in _constant(_AT, EPILOGUE)))
        out.put(Phase.EXIT, _register(_JR, 0, _AT, 0).exit(delay_slot=True), _NOP)

    def destination(self, word: int) -> int | None:
        if word >> 26 not in (_BEQ, _BNE):
            return None
        words = word & _OFFSET
        return 4 + 4 * (words - (1 << 16) if words >> 15 else words)


class Mips2011(Mips2010):
    """QEMU's backend with the fix of January 2011: the offset in memory is read and stored again."""

    version = "2011"

    _begun = Form.READ_BACK

    @staticmethod
    def _temporary(out: Emitter) -> int:
        """No temporary offset: the one in memory stays."""
        return 0
