"""The ia64 backend: a guest access has no branch, since both paths are predicated.

Source: QEMU's ``tcg/ia64/tcg-target.c`` at 497aebb99e07, early January 2011.  The TLB
comparison sets p6 on a hit and p7 on a miss.  Instructions of the fast path under p6
and of the slow path under p7 share bundles, up to the call of the helper, which is
predicated too.  So a retranslation never stores a temporary in an access.
A branch of the guest (``br``, ``brcond``) has kept its displacement since
the backend was added in March 2010 (477ba620018d, ``get_reloc_pcrel21b``): it is read back
and stored again.  A comment of January 2011 explains it (567790345309).  The slow path moved
out of line in 2013 (3bf16cb31a32), and the backend was removed in 2017 (a46c1244a0c5).

A unit is a bundle: 16 bytes, a template and three slots.  QEMU stores it in two halves of
eight bytes, which are one write here: a retranslation stores the bytes that are in memory
already, so that the halves are not observable.  The relocation stores only the half with the
third slot.
Encodings: Intel Itanium Architecture Software Developer's Manual, volume 3, chapter 4.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec.structs import replace

from bench.translators.backend import InLineBackend
from bench.translators.emitter import Emitter
from bench.translators.instruction import Holds, Instruction
from bench.translators.softmmu import COMPARED, HOST_64, PAGE_BITS, TLB_BITS
from bench.translators.translator import Access
from strategies.writes import Form, Phase

BUFFER = 0x2000_0000_0200_0000
"""The address of the code buffer: typical; QEMU leaves it to Linux, which maps from 0x2000000000000000 on."""

HELPERS = {"load": 0x6000_0000_0000_1230, "store": 0x6000_0000_0000_1240}
"""Addresses of the function descriptors of ``__ldl_mmu`` and ``__stl_mmu``: typical; in the program's data."""

EPILOGUE = 0x6000_0000_0002_0060
"""The address of ``tb_ret_addr``: typical; in the same program's data."""

BLOCK_POINTER = 0x2000_0000_0400_0010
"""The result of the exit, a pointer to the TranslationBlock: typical of a large ``malloc``."""

# Fixed by the backend: r7 points to CPUState, r2 and r3 are scratch; r56 to r58 are arguments, r8 is the result.
_R0, _R1, _R2, _R3, _ENV, _R8, _R56, _R57, _R58 = 0, 1, 2, 3, 7, 8, 56, 57, 58
_ADDRESS, _DATA = 34, 35  # typical: the first two registers that the allocator gives
_B0, _B6 = 0, 6
_P6, _P7 = 6, 7

# Templates: the units of the three slots, "_" where a group of instructions ends.
_MII_, _MI_I_, _MLX_, _MMI_, _M_MI_, _MIB_, _MMB_ = 0x01, 0x03, 0x05, 0x09, 0x0B, 0x11, 0x19
_BRANCHES_LAST = (0x10, 0x11, 0x12, 0x13, 0x16, 0x17, 0x18, 0x19, 0x1C, 0x1D)  # a branch unit in the third slot

_SLOT = (1 << 41) - 1
_DISPLACEMENT = 0xF_FFFF << 100 | 1 << 123  # of a branch in the third slot: imm20b and s

_LD4, _LD8, _ST4 = 0x02, 0x03, 0x32


def _slot(opcode: int, *fields: tuple[int, int]) -> Instruction:
    """One slot, from its major opcode and fields with their lowest bits; its size is 0."""
    word = opcode << 37
    for value, lowest in fields:
        word |= value << lowest
    return Instruction(word, 0)


def _bundle(template: int, *slots: Instruction) -> Instruction:
    word = template
    for number, slot in enumerate(slots):
        word |= slot.word << 5 + 41 * number
    return Instruction(word, 16, slots=slots)


def _fast(slot: Instruction) -> Instruction:
    """The slot predicated on p6 (a hit)."""
    return replace(slot.on("hit"), word=slot.word | _P6)


def _slow(slot: Instruction) -> Instruction:
    """The slot predicated on p7 (a miss)."""
    return replace(slot.on("miss"), word=slot.word | _P7)


_NOP = _slot(0, (1, 27))  # the same encoding on the units M and I


def _adds(r1: int, value: int, r3: int) -> Instruction:
    return _slot(8, (value >> 13 & 1, 36), (2, 34), (value >> 7 & 0x3F, 27), (r3, 20), (value & 0x7F, 13), (r1, 6))


def _addl(r1: int, value: int, r3: int) -> Instruction:
    """Add an immediate to one of r0 to r3."""
    high = (value >> 21 & 1, 36), (value >> 7 & 0x1FF, 27), (value >> 16 & 0x1F, 22)
    return _slot(9, *high, (r3, 20), (value & 0x7F, 13), (r1, 6))


def _add(r1: int, r2: int, r3: int) -> Instruction:
    return _slot(8, (r3, 20), (r2, 13), (r1, 6))


def _and(r1: int, r2: int, r3: int) -> Instruction:
    return _slot(8, (3, 29), (r3, 20), (r2, 13), (r1, 6))


def _cmp_eq(r2: int, r3: int, *, words: bool = False) -> Instruction:
    """Set p6 if the registers are equal, else p7; ``words``: compare the low halves."""
    return _slot(0xE, (words, 34), (_P7, 27), (r3, 20), (r2, 13), (_P6, 6))


def _extr_u(r1: int, r3: int, position: int, length: int) -> Instruction:
    return _slot(5, (1, 34), (length - 1, 27), (r3, 20), (position, 14), (r1, 6))


def _dep_z(r1: int, r2: int, position: int, length: int) -> Instruction:
    return _slot(5, (1, 34), (1, 33), (length - 1, 27), (63 - position, 20), (r2, 13), (r1, 6))


def _zxt4(r1: int, r3: int) -> Instruction:
    return _slot(0, (0x12, 27), (r3, 20), (r1, 6))


def _mov_b6(r2: int) -> Instruction:
    return _slot(0, (7, 33), (1, 20), (r2, 13), (_B6, 6))


def _load(width: int, r1: int, r3: int) -> Instruction:
    return _slot(4, (width, 30), (r3, 20), (r1, 6))


def _load_and_add(width: int, r1: int, r3: int, value: int) -> Instruction:
    """Load from the address in r3, then add ``value`` to r3."""
    return _slot(5, (value >> 8 & 1, 36), (width, 30), (value >> 7 & 1, 27), (r3, 20), (value & 0x7F, 13), (r1, 6))


def _store(width: int, r2: int, r3: int) -> Instruction:
    return _slot(4, (width, 30), (r3, 20), (r2, 13))


def _br(distance: int) -> Instruction:
    """Branch ``distance`` bytes from its own bundle, with dynamic prediction."""
    bundles = distance >> 4
    return _slot(4, (bundles >> 20 & 1, 36), (2, 33), (bundles & 0xF_FFFF, 13))


def _call() -> Instruction:
    """Call the function at the address in b6, with the prefetch hint ``many``."""
    return _slot(1, (1, 32), (_B6, 13), (1, 12), (_B0, 6))


def _movl(r1: int, value: int) -> tuple[Instruction, Instruction]:
    """The two slots of ``movl``: 41 bits of the value, then the instruction with the others."""
    high = (value >> 63 & 1, 36), (value >> 7 & 0x1FF, 27), (value >> 16 & 0x1F, 22), (value >> 21 & 1, 21)
    return Instruction(value >> 22 & _SLOT, 0), _slot(6, *high, (value & 0x7F, 13), (r1, 6))


def _brl(distance: int) -> tuple[Instruction, Instruction]:
    """The two slots of ``brl``: 39 bits of the displacement, then the instruction with the others."""
    bundles = distance >> 4
    middle = bundles >> 20 & (1 << 39) - 1
    return Instruction(middle << 2, 0), _slot(0xC, (bundles >> 59 & 1, 36), (bundles & 0xF_FFFF, 13), (1, 12))


class Ia64(InLineBackend):
    """QEMU's backend of early January 2011: both paths of an access are predicated, without a branch."""

    name = "ia64"
    version = "2010"
    isa = "ia64"
    byteorder = "little"
    host_bits = 64
    buffer = BUFFER
    tlb = HOST_64
    shipped_form = Form.READ_BACK
    registers: ClassVar[dict[str, Holds]] = {"r34": Holds.ADDRESS, "r35": Holds.VALUE, "r7": Holds.STATE}

    def _guard(self, out: Emitter) -> int:
        out.put(Phase.GUEST_BRANCH, _bundle(_MI_I_, _NOP, _NOP, _cmp_eq(_DATA, _R0, words=True)))
        branch = self._skip(0)
        return out.begin(Phase.GUEST_BRANCH, branch, known=branch.mask & ~_DISPLACEMENT, form=Form.READ_BACK)

    def _bind_guard(self, out: Emitter, branch: int) -> None:
        word = self._skip(out.here - branch).word
        out.patch(Phase.BRANCH_UPDATE, branch, word, known=_DISPLACEMENT, form=Form.READ_BACK)

    @staticmethod
    def _skip(distance: int) -> Instruction:
        branch = _br(distance).branch("skip")
        return _bundle(_MMB_, _NOP, _NOP, replace(branch, word=branch.word | _P6))

    def _access(self, out: Emitter, access: Access) -> None:
        tlb, compared = self.tlb, self.tlb.table + self.tlb.comparator(access)
        out.put(
            Phase.TLB_ACCESS,
            _bundle(
                _MI_I_,
                _addl(_R3, COMPARED, _R0).leaving(r3=Holds.CONSTANT),
                _extr_u(_R2, _ADDRESS, PAGE_BITS, TLB_BITS).leaving(r2=Holds.INDEX),
                _dep_z(_R2, _R2, tlb.entry_bits, 64 - tlb.entry_bits).leaving(r2=Holds.INDEX),
            ),
            _bundle(
                _MI_I_,
                _addl(_R2, compared, _R2).leaving(r2=Holds.INDEX),
                _zxt4(_R56, _ADDRESS).leaving(r56="r34"),
                _add(_R2, _R2, _ENV).leaving(r2=Holds.ENTRY),
            ),
            _bundle(
                _MI_I_,
                # r2 advances to the addend.
                _load_and_add(_LD4, _R57, _R2, tlb.table + tlb.addend - compared).leaving(r57=Holds.TAG),
                _and(_R3, _R3, _R56).leaving(r3=Holds.EXPECTED),
                _cmp_eq(_R3, _R57),
            ),
        )
        second = (
            _adds(_R57, 0, _DATA).leaving(r57="r35")
            if access == "store"
            else _addl(_R57, 0, _R0).leaving(r57=Holds.MEMORY_INDEX)
        )
        low, high = _movl(_R2, HELPERS[access])
        out.put(Phase.SLOW_PATH, _bundle(_MLX_, _slow(second), low, _slow(high.leaving(r2=Holds.CONSTANT))))
        out.put(
            Phase.FAST_PATH,
            _bundle(
                _M_MI_,
                # On a hit r3 is the addend, which the next slot adds; on a miss, the address of the helper.
                _load_and_add(_LD8, _R3, _R2, 8).leaving(r3=Holds.CONSTANT),
                _fast(_add(_R3, _R3, _R56).leaving(r3=Holds.HOST_ADDRESS)),
                _slow(_mov_b6(_R3)),
            ),
        )
        # A helper has its own global pointer.
        pointer = _slow(_load(_LD8, _R1, _R2).leaving(r1=Holds.CONSTANT))
        if access == "load":
            moved = _fast(_load(_LD4, _R8, _R3).access().leaving(r8=Holds.VALUE))
            out.put(Phase.FAST_PATH, _bundle(_MMI_, moved, pointer, _NOP))
            call = _slow(_call().call("r8", r56=Holds.ADDRESS, r57=Holds.MEMORY_INDEX))
            out.put(Phase.SLOW_PATH, _bundle(_MIB_, _NOP, _NOP, call))
            out.put(Phase.FAST_PATH, _bundle(_MII_, _NOP, _NOP, _zxt4(_DATA, _R8).leaving(r35="r8")))
        else:
            out.put(Phase.SLOW_PATH, _bundle(_MI_I_, pointer, _NOP, _NOP))
            moved = _fast(_store(_ST4, _DATA, _R3).access())
            index = _slow(_addl(_R58, 0, _R0).leaving(r58=Holds.MEMORY_INDEX))
            call = _slow(_call().call(None, r56=Holds.ADDRESS, r57=Holds.VALUE, r58=Holds.MEMORY_INDEX))
            out.put(Phase.FAST_PATH, _bundle(_MIB_, moved, index, call))

    def _exit(self, out: Emitter) -> None:
        low, high = _movl(_R8, BLOCK_POINTER)
        out.put(Phase.EXIT, _bundle(_MLX_, _NOP, low, high.leaving(r8=Holds.BLOCK)))
        low, high = _brl(EPILOGUE - (BUFFER + out.here))
        out.put(Phase.EXIT, _bundle(_MLX_, _NOP, low, high.exit()))

    def destination(self, word: int) -> int | None:
        template, last = word & 0x1F, word >> 87
        sign, bundles = last >> 36 & 1, last >> 13 & 0xF_FFFF
        if template in _BRANCHES_LAST and last >> 37 == 4 and last >> 6 & 0b111 == 0:
            return (bundles - (sign << 20)) << 4
        if template >> 1 == _MLX_ >> 1 and last >> 37 == 0xC:
            middle = word >> 46 + 2 & (1 << 39) - 1
            return (bundles + (middle << 20) - (sign << 59)) << 4
        return None
