"""The common part of the ppc and ppc64 backends: encodings, and branches that are completed later.

Sources: QEMU's ``tcg/ppc/tcg-target.c`` and ``tcg/ppc64/tcg-target.c``, two files of the same structure
until 2013.  A displacement was always patched by loading the word and storing all of it
(reloc_pc14, reloc_pc24); the versions differ in how a branch is begun.  Since June 2008 (0a878c476071) the
guest's own branches are begun with the displacement bits in memory; those of a guest access were stored with
displacement 0, a branch to itself.
Encodings: Power ISA, Book I; comments use its extended mnemonics.
"""

from __future__ import annotations

import abc
from typing import ClassVar

from bench.translators.backend import Backend, InLineBackend
from bench.translators.emitter import Emitter
from bench.translators.instruction import Fact, Holds, Instruction
from bench.translators.softmmu import PAGE_BITS, TLB_BITS, SoftTlb
from bench.translators.translator import Access
from strategies.writes import Form, Phase

# Fixed by the backends: r27 points to CPUState; r0, r3 and r4 are scratch, arguments begin in r3.
R0, R2, R3, R4, R5, R6, R7, R11, ENV = 0, 2, 3, 4, 5, 6, 7, 11, 27
ADDRESS, DATA = 14, 15  # typical: the first two registers that the allocator gives

BEQ, BNE, B = 0x419E_0000, 0x409E_0000, 0x4800_0000  # beq cr7; bne cr7; b: with displacement 0
LINK = 1

ALIGNED_BITS = 2  # log2 of the size of an access: the number of address bits that must be clear

_ADDI, _ADDIS, _ORI, _ORIS = 14, 15, 24, 25
_LWZ, _LWZU, _LD = 32, 33, 58
_OR, _ADD, _LWZX, _STWX = 444, 266, 23, 151
_B, _BC, _ABSOLUTE = 18, 16, 2


def _d(opcode: int, target: int, base: int, displacement: int) -> Instruction:
    return Instruction(opcode << 26 | target << 21 | base << 16 | displacement & 0xFFFF, 4)


def _x(extended: int, target: int, first: int, second: int) -> Instruction:
    return Instruction(31 << 26 | target << 21 | first << 16 | second << 11 | extended << 1, 4)


def mr(target: int, source: int) -> Instruction:
    """Copy a register (``or`` with itself)."""
    return _x(_OR, source, target, source)


def add(target: int, first: int, second: int) -> Instruction:
    """Add two registers."""
    return _x(_ADD, target, first, second)


def li(target: int, value: int) -> Instruction:
    """Load a constant of 16 bits, sign extended."""
    return _d(_ADDI, target, 0, value)


def lwz(target: int, base: int, displacement: int) -> Instruction:
    """Load a word, zero extended."""
    return _d(_LWZ, target, base, displacement)


def lwzu(target: int, base: int, displacement: int) -> Instruction:
    """Load a word; the base register becomes its address."""
    return _d(_LWZU, target, base, displacement)


def ld(target: int, base: int, displacement: int) -> Instruction:
    """Load a doubleword; the displacement is a multiple of 4."""
    return _d(_LD, target, base, displacement)


def clear_high(target: int, source: int) -> Instruction:
    """Copy the low 32 bits, zero extended (clrldi, a ``rldicl`` whose mask begins at bit 32)."""
    return Instruction(30 << 26 | source << 21 | target << 16 | _mask_bit(32) << 5, 4)


def _sldi_32(target: int) -> Instruction:
    """Shift left by 32 bits (``rldicr`` with a mask that ends at bit 31; bit 5 of the shift is encoded separately)."""
    return Instruction(30 << 26 | target << 21 | target << 16 | _mask_bit(31) << 5 | 1 << 2 | 1 << 1, 4)


def _mask_bit(bit: int) -> int:
    """A bit number as ``rldicl`` and ``rldicr`` encode it: its highest bit is last."""
    return (bit & 31) << 1 | bit >> 5


def _rlwinm(target: int, source: int, rotate: int, first: int, last: int) -> Instruction:
    """Rotate left, keep the bits ``first`` to ``last`` (0 is the highest), clear the others."""
    return Instruction(21 << 26 | source << 21 | target << 16 | rotate << 11 | first << 6 | last << 1, 4)


def entry_offset(target: int, address: int, tlb: SoftTlb) -> Instruction:
    """Compute the offset of an address's TLB entry in the table."""
    first = 32 - (TLB_BITS + tlb.entry_bits)
    return _rlwinm(target, address, 32 - (PAGE_BITS - tlb.entry_bits), first, 31 - tlb.entry_bits)


def compared(target: int, address: int) -> Instruction:
    """Compute the expected tag of an address: the page and the alignment bits, by a mask that wraps around."""
    return _rlwinm(target, address, 0, 32 - ALIGNED_BITS, 31 - PAGE_BITS)


def cmpw(first: int, second: int) -> Instruction:
    """Compare words into cr7."""
    return _x(0, 7 << 2, first, second)


def mflr(target: int) -> Instruction:
    """Copy the link register."""
    return Instruction(0x7C08_02A6 | target << 21, 4)


def mtctr(source: int) -> Instruction:
    """Set the count register."""
    return Instruction(0x7C09_03A6 | source << 21, 4)


def bctr(link: int = 0) -> Instruction:
    """Branch to the count register."""
    return Instruction(0x4E80_0420 | link, 4)


def move(access: Access, base: int, index: int) -> Instruction:
    """The guest access (lwzx, stwx); base 0 is the value 0."""
    if access == "load":
        return _x(_LWZX, DATA, base, index).access().leaving(r15=Holds.VALUE)
    return _x(_STWX, DATA, base, index).access()


def constant(target: int, value: int, holds: Holds = Holds.CONSTANT) -> tuple[Instruction, ...]:
    """Load a constant in one to five instructions (``tcg_out_movi``)."""
    high, low = value >> 16 & 0xFFFF, value & 0xFFFF
    if -0x8000 <= value < 0x8000:
        parts = [li(target, value)]
    elif -(1 << 31) <= value < 1 << 31:
        parts = [_d(_ADDIS, target, 0, high)]
    else:
        parts = [*constant(target, value >> 32), _sldi_32(target)]
        if high:
            parts.append(_d(_ORIS, target, target, high))
    if low and not -0x8000 <= value < 0x8000:
        parts.append(_d(_ORI, target, target, low))
    register = f"r{target}"
    return (
        *(part.leaving(**{register: Holds.CONSTANT}) for part in parts[:-1]),
        parts[-1].leaving(**{register: holds}),
    )


def jump(here: int, target: int, link: int = 0) -> tuple[Instruction, ...]:
    """Branch from the address ``here`` to ``target`` (``tcg_out_b``), by the count register if it is out of reach.

    The last instruction is the branch.
    """
    distance = target - here
    if -(1 << 25) <= distance < 1 << 25:
        return (Instruction(to(B, distance) | link, 4),)
    return (*constant(R0, target), mtctr(R0), bctr(link))


def _field(word: int) -> int:
    """The displacement bits of a branch."""
    return 0x03FF_FFFC if word >> 26 == _B else 0x0000_FFFC


def to(opcode: int, distance: int) -> int:
    """The word of a branch to ``distance`` bytes from its own address."""
    return opcode | distance & _field(opcode)


def begin(out: Emitter, phase: Phase, opcode: int, fact: Fact, form: Form) -> int:
    """Emit a branch to an unbound label.  Returns its offset."""
    instruction = Instruction(opcode, 4).branch(fact)
    return out.begin(phase, instruction, known=instruction.mask & ~_field(opcode), form=form)


def bind(out: Emitter, branch: int, opcode: int) -> None:
    """Bind the branch at offset ``branch`` to here: load it and store it with its displacement."""
    word = to(opcode, out.here - branch)
    out.patch(Phase.BRANCH_UPDATE, branch, word, known=_field(opcode), form=Form.READ_BACK)


class PowerPC(Backend):
    """The common part of all versions of both backends.

    ``tlb``: the place of the guest's TLB; ``epilogue``: the address of ``tb_ret_addr``; ``block_pointer``: the result
    of the exit.
    """

    byteorder = "big"
    shipped_form = Form.READ_BACK
    registers: ClassVar[dict[str, Holds]] = {"r14": Holds.ADDRESS, "r15": Holds.VALUE, "r27": Holds.STATE}

    tlb: ClassVar[SoftTlb]
    epilogue: ClassVar[int]
    block_pointer: ClassVar[int]

    def _guard(self, out: Emitter) -> int:
        out.put(Phase.GUEST_BRANCH, _d(11, 7 << 2, DATA, 0))  # cmpwi cr7
        return begin(out, Phase.GUEST_BRANCH, BEQ, "skip", Form.READ_BACK)

    def _bind_guard(self, out: Emitter, branch: int) -> None:
        bind(out, branch, BEQ)

    def _exit(self, out: Emitter) -> None:
        out.put(Phase.EXIT, *constant(R3, self.block_pointer, Holds.BLOCK))
        *ahead, last = jump(self.buffer + out.here, self.epilogue)
        out.put(Phase.EXIT, *ahead, last.exit())

    def destination(self, word: int) -> int | None:
        if word >> 26 not in (_B, _BC) or word & _ABSOLUTE:  # no backend emits an absolute one
            return None
        field = _field(word)
        distance = word & field
        return distance - (field + 4) if distance > field >> 1 else distance


class InLinePowerPC(PowerPC, InLineBackend):
    """The backends of early January 2011: the slow path is first, both branches are stored with displacement 0."""

    def _access(self, out: Emitter, access: Access) -> None:
        tlb, comparator = self.tlb, self.tlb.comparator(access)
        self._extend(out)
        out.put(
            Phase.TLB_ACCESS,
            entry_offset(R3, ADDRESS, tlb).leaving(r3=Holds.INDEX),
            add(R3, R3, ENV).leaving(r3=Holds.ENTRY),
            lwzu(R4, R3, tlb.table + comparator).leaving(r4=Holds.TAG, r3=Holds.ENTRY),
            compared(R0, ADDRESS).leaving(r0=Holds.EXPECTED),
            cmpw(R0, R4),
        )
        hit = begin(out, Phase.BRANCH, BEQ, "hit", Form.WHOLE)
        out.put(Phase.SLOW_PATH, mr(R3, ADDRESS).leaving(r3="r14"))
        if access == "store":
            out.put(Phase.SLOW_PATH, self._argument(R4, DATA).leaving(r4="r15"))
            out.put(Phase.SLOW_PATH, li(R5, 0).leaving(r5=Holds.MEMORY_INDEX))
        else:
            out.put(Phase.SLOW_PATH, li(R4, 0).leaving(r4=Holds.MEMORY_INDEX))
        *ahead, last = self._call(self.buffer + out.here, access)
        if access == "load":
            last = last.call("r3", r3=Holds.ADDRESS, r4=Holds.MEMORY_INDEX)
            out.put(Phase.SLOW_PATH, *ahead, last, mr(DATA, R3).leaving(r15="r3"))
        else:
            last = last.call(None, r3=Holds.ADDRESS, r4=Holds.VALUE, r5=Holds.MEMORY_INDEX)
            out.put(Phase.SLOW_PATH, *ahead, last)
        done = begin(out, Phase.BRANCH, B, "always", Form.WHOLE)
        bind(out, hit, BEQ)
        out.put(
            Phase.FAST_PATH,
            self._load_pointer(R3, R3, tlb.addend - comparator).leaving(r3=Holds.ADDEND),
            add(R3, R3, ADDRESS).leaving(r3=Holds.HOST_ADDRESS),
            move(access, 0, R3),
        )
        bind(out, done, B)

    @abc.abstractmethod
    def _extend(self, out: Emitter) -> None:
        """Emit the extension of the guest address to the width of a register."""

    @abc.abstractmethod
    def _argument(self, target: int, source: int) -> Instruction:
        """Copy the value to be stored into the register of an argument."""

    @abc.abstractmethod
    def _load_pointer(self, target: int, base: int, displacement: int) -> Instruction:
        """Load a word of the width of a register."""

    @abc.abstractmethod
    def _call(self, here: int, access: Access) -> tuple[Instruction, ...]:
        """Call the helper from the address ``here``; the last instruction is the branch."""
