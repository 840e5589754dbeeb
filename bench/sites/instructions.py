"""What the instructions of which exits consist of do to where control goes: read from their encodings.

Not an emulator: branches, loads of addresses, the arithmetic that makes addresses, and what only goes on: barriers,
stores, no-operations.  A conditional branch is taken, since that is the exit, unless it tests a register that is known.
Any other encoding is not read: it may be undefined, a branch, or of any length, so an execution ends there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Value:
    """What a register gets: ``register`` (none: 0), ``shift``ed to the left, with ``bits`` set in it, ``plus`` a number
    and what ``index`` has; if ``loads``, what memory has there."""

    register: str = ""
    plus: int = 0
    bits: int = 0
    loads: bool = False
    shift: int = 0
    index: str = ""


@dataclass(frozen=True, slots=True)
class Effect:
    """An instruction of so many bytes.  It goes to an address ``to``, or to what a register has (``through``), or
    ``traps``, or is ``unread``, or else on with the next one.  ``sets``: registers and their values, None for what is
    not known.
    ``delayed``: the next instruction runs before a branch is taken.  ``zero``: a register that a branch is taken by if
    that is 0; ``nonzero``: if it is not.  If that is not known, it is taken."""

    length: int
    to: int | None = None
    through: str = ""
    traps: bool = False
    unread: bool = False
    sets: tuple[tuple[str, Value | None], ...] = ()
    delayed: bool = False
    zero: str = ""
    nonzero: str = ""

    @property
    def goes_on(self) -> bool:
        """Whether the next instruction comes next."""
        return self.to is None and not self.through and not self.traps and not self.unread


@dataclass(frozen=True, slots=True)
class InstructionSet:
    """``shortest``: bytes that tell how long an instruction is; ``hosts``: what host profiles call it; ``pointer``: the
    bytes of an address in data.

    Operations of protocols: by which a core ``synchronise``s its fetches, and what an exception return does to them.
    """

    effect: Callable[[bytes, int], Effect]
    byteorder: Literal["little", "big"]
    shortest: int
    hosts: tuple[str, ...]
    synchronise: str = "isb"
    returns: tuple[str, ...] = ("isb",)
    pointer: int = 8


RETURN_ADDRESS = "return address"
"""What a ``ret`` of x86 takes from the stack: whoever called the code, where an exit leads that is not linked."""


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _field(word: int, high: int, low: int) -> int:
    return word >> low & (1 << (high - low + 1)) - 1


_GOING_ON: Mapping[str, tuple[tuple[int, int], ...]] = {
    "aarch64": (
        (0xFFFFFFFF, 0xD503201F),  # nop
        (0xFFFFFF3F, 0xD503241F),  # bti
        (0xFFFFF01F, 0xD503301F),  # dsb, dmb, isb
        (0xBFC00000, 0xB9000000),  # str, unsigned offset
        (0x7FC00000, 0x29000000),  # stp, signed offset
    ),
    "arm": (
        (0xFFFFFFFF, 0xE320F000),  # nop
        (0xFFFFFFFF, 0xE1A00000),  # mov r0, r0
        (0xFFFFFF80, 0xF57FF000),  # dsb, dmb, isb, clrex
        (0xFF700000, 0xE5000000),  # str rt, [rn, #imm], no writeback
    ),
    "riscv64": (
        (0x0000007F, 0x0000000F),  # fence, fence.i
        (0x0000007F, 0x00000023),  # sb, sh, sw, sd
    ),
    "loongarch64": (
        (0xFFFFFFFF, 0x03400000),  # nop
        (0xFFFF0000, 0x38720000),  # dbar, ibar
        (0xFF000000, 0x29000000),  # st.b, st.h, st.w, st.d
    ),
    "ppc": (
        (0xFFFFFFFF, 0x4C00012C),  # isync
        (0xFC00FFFF, 0x7C0004AC),  # sync
        (0xFC000000, 0x90000000),  # stw
        (0xFC000003, 0xF8000000),  # std
    ),
    "mips": (
        (0xFFFFFFFF, 0x00000000),  # nop
        (0xFFFFF83F, 0x0000000F),  # sync
        (0xFC000000, 0xAC000000),  # sw
    ),
    "sparc": ((0xC1F82000, 0xC0202000), (0xC1F82000, 0xC0702000)),  # stw, stx
}
"""The masks and the bits of instructions that leave registers as they are; the no-operations that are arithmetic are
read as that."""


def _other(isa: str, word: int) -> Effect:
    """One that only goes on, or that is not read."""
    return Effect(4, unread=all(word & mask != bits for mask, bits in _GOING_ON[isa]))


def _aarch64(code: bytes, at: int) -> Effect:
    """Arm ARM (DDI 0487) C6.2."""
    word = int.from_bytes(code, "little")
    low, second = f"x{_field(word, 4, 0)}", f"x{_field(word, 9, 5)}"
    if word & 0xFC000000 == 0x14000000:  # b
        return Effect(4, to=at + 4 * _signed(word, 26))
    if word & 0xFC000000 == 0x94000000:  # bl
        return Effect(4, to=at + 4 * _signed(word, 26), sets=(("x30", Value(plus=at + 4)),))
    if word & 0xFFDFFC1F == 0xD61F0000:  # br, blr
        return Effect(4, through=second)
    if word & 0x7E000000 == 0x34000000:  # cbz, cbnz
        to = at + 4 * _signed(word >> 5, 19)
        return Effect(4, to=to, nonzero=low) if word >> 24 & 1 else Effect(4, to=to, zero=low)
    if word & 0xFF000010 == 0x54000000:  # b.cond
        return Effect(4, to=at + 4 * _signed(word >> 5, 19))
    if word & 0x7E000000 == 0x36000000:  # tbz, tbnz
        return Effect(4, to=at + 4 * _signed(word >> 5, 14))
    if word & 0xBFC00000 == 0xB9400000:  # ldr, unsigned offset
        offset = _field(word, 21, 10) << (word >> 30)
        return Effect(4, sets=((low, Value("" if second == "x31" else second, offset, loads=True)),))
    if word & 0xFF000000 == 0x58000000:  # ldr, literal
        return Effect(4, sets=((low, Value(plus=at + 4 * _signed(word >> 5, 19), loads=True)),))
    if word & 0x9F000000 == 0x90000000:  # adrp
        pages = _signed(_field(word, 23, 5) << 2 | _field(word, 30, 29), 21)
        return Effect(4, sets=((low, Value(plus=(at & ~0xFFF) + (pages << 12))),))
    if word & 0xFF800000 == 0x91000000:  # add, immediate
        shifted = _field(word, 21, 10) << 12 * _field(word, 22, 22)
        return Effect(4, sets=((low, Value(second, shifted)),))
    if word & 0xFFE0001F == 0xD4200000:  # brk
        return Effect(4, traps=True)
    return _other("aarch64", word)


def _arm(code: bytes, at: int) -> Effect:
    """ARM DDI 0406C A8.8; pc reads as the instruction's address plus 8."""
    word = int.from_bytes(code, "little")
    if word & 0xFF000000 == 0xEA000000:  # b
        return Effect(4, to=at + 8 + 4 * _signed(word, 24))
    if word & 0xFF7F0000 == 0xE51F0000:  # ldr rt, [pc, #imm]
        sign = 1 if word >> 23 & 1 else -1
        target = f"r{_field(word, 15, 12)}"
        loaded = Value(plus=at + 8 + sign * _field(word, 11, 0), loads=True)
        return Effect(4, sets=((target, loaded),), through="r15" if target == "r15" else "")
    if word & 0xFFFFFFF0 == 0xE12FFF10:  # bx
        return Effect(4, through=f"r{word & 15}")
    if word & 0xFFF000F0 == 0xE1200070:  # bkpt
        return Effect(4, traps=True)
    return _other("arm", word)


def _riscv(code: bytes, at: int) -> Effect:
    """The RISC-V unprivileged specification, RV32I and RV64I."""
    word = int.from_bytes(code, "little")
    rd, rs = f"x{_field(word, 11, 7)}", f"x{_field(word, 19, 15)}"
    base = "" if rs == "x0" else rs
    opcode = word & 0x7F
    if opcode == 0x6F:  # jal
        immediate = (
            word >> 31 << 20 | _field(word, 19, 12) << 12 | _field(word, 20, 20) << 11 | _field(word, 30, 21) << 1
        )
        return Effect(4, to=at + _signed(immediate, 21), sets=_unless_zero(rd, Value(plus=at + 4)))
    if opcode == 0x67:  # jalr
        offset = _signed(word >> 20, 12)
        return Effect(4, sets=(("target", Value(base, offset)),), through="target")
    if opcode == 0x17:  # auipc
        return Effect(4, sets=_unless_zero(rd, Value(plus=at + _signed(word & ~0xFFF, 32))))
    if opcode == 0x13 and _field(word, 14, 12) == 0:  # addi, nop
        return Effect(4, sets=_unless_zero(rd, Value(base, _signed(word >> 20, 12))))
    if opcode == 0x03 and _field(word, 14, 12) == 3:  # ld
        return Effect(4, sets=_unless_zero(rd, Value(base, _signed(word >> 20, 12), loads=True)))
    if word == 0x00100073:  # ebreak
        return Effect(4, traps=True)
    return _other("riscv64", word)


def _unless_zero(register: str, value: Value) -> tuple[tuple[str, Value], ...]:
    return () if register == "x0" else ((register, value),)


def _loongarch(code: bytes, at: int) -> Effect:
    """LoongArch reference manual, volume 1, 2.2."""
    word = int.from_bytes(code, "little")
    rd, rj = f"r{_field(word, 4, 0)}", f"r{_field(word, 9, 5)}"
    if word & 0xFC000000 == 0x50000000:  # b
        return Effect(4, to=at + 4 * _signed(_field(word, 9, 0) << 16 | _field(word, 25, 10), 26))
    if word & 0xFC000000 == 0x4C000000:  # jirl
        return Effect(4, sets=(("target", Value(rj, 4 * _signed(word >> 10, 16))),), through="target")
    if word & 0xFE000000 == 0x1E000000:  # pcaddu18i
        return Effect(4, sets=((rd, Value(plus=at + (_signed(word >> 5, 20) << 18))),))
    if word & 0xFE000000 == 0x18000000:  # pcaddi, 4 bytes a step
        return Effect(4, sets=((rd, Value(plus=at + 4 * _signed(word >> 5, 20))),))
    if word & 0xFFC00000 == 0x28C00000:  # ld.d
        return Effect(4, sets=((rd, Value(rj, _signed(word >> 10, 12), loads=True)),))
    if word & 0xFFFF8000 == 0x002A0000:  # break
        return Effect(4, traps=True)
    return _other("loongarch64", word)


def _power(code: bytes, at: int) -> Effect:
    """Power ISA, Book I 2.4 and 3.3."""
    word = int.from_bytes(code, "big")
    rt, ra = f"r{_field(word, 25, 21)}", f"r{_field(word, 20, 16)}"
    base = "" if ra == "r0" else ra
    opcode = word >> 26
    if opcode == 18:  # b, bl; aa: absolute
        return Effect(4, to=(0 if word & 2 else at) + _signed(word & 0x03FFFFFC, 26))
    if opcode in (14, 15):  # addi, addis
        return Effect(4, sets=((rt, Value(base, _signed(word, 16) << 16 * (opcode - 14))),))
    if opcode in (24, 25):  # ori, oris; ori 0,0,0 is the no-operation
        bits = (word & 0xFFFF) << 16 * (opcode - 24)
        return Effect(4, sets=((ra, Value(rt, bits=bits)),) if bits else ())
    if opcode == 58 and word & 3 == 0:  # ld
        return Effect(4, sets=((rt, Value(base, _signed(word & 0xFFFC, 16), loads=True)),))
    if opcode == 32:  # lwz
        return Effect(4, sets=((rt, Value(base, _signed(word, 16), loads=True)),))
    if word & 0xFC00FFFF == 0x780007C6:  # sldi by 32
        return Effect(4, sets=((ra, Value(rt, shift=32)),))
    if word & 0xFC1FFFFF == 0x7C0903A6:  # mtctr
        return Effect(4, sets=(("ctr", Value(rt)),))
    if word == 0x4E800420:  # bctr
        return Effect(4, through="ctr")
    if word == 0x7FE00008:  # trap
        return Effect(4, traps=True)
    return _other("ppc", word)


def _mips(code: bytes, at: int) -> Effect:
    """MIPS32 architecture, volume II."""
    word = int.from_bytes(code, "big")
    rs, rt = f"r{_field(word, 25, 21)}", f"r{_field(word, 20, 16)}"
    base = "" if rs == "r0" else rs
    opcode = word >> 26
    if opcode == 2:  # j
        return Effect(4, to=(at + 4) & ~0xFFFFFFF | (word & 0x03FFFFFF) << 2, delayed=True)
    if word & 0xFC1FFFFF == 0x00000008:  # jr
        return Effect(4, through=rs, delayed=True)
    if opcode == 15:  # lui
        return Effect(4, sets=((rt, Value(plus=(word & 0xFFFF) << 16)),))
    if opcode == 13:  # ori
        return Effect(4, sets=((rt, Value(base, bits=word & 0xFFFF)),))
    if opcode == 9:  # addiu
        return Effect(4, sets=((rt, Value(base, _signed(word, 16))),))
    if opcode in (35, 55):  # lw, ld
        return Effect(4, sets=((rt, Value(base, _signed(word, 16), loads=True)),))
    if word & 0xFC00003F == 0x0000000D:  # break
        return Effect(4, traps=True)
    return _other("mips", word)


def _sparc(code: bytes, at: int) -> Effect:
    """The SPARC Architecture Manual, version 9, A."""
    word = int.from_bytes(code, "big")
    rd, rs = f"r{_field(word, 29, 25)}", f"r{_field(word, 18, 14)}"
    base = "" if rs == "r0" else rs
    immediate = word >> 13 & 1
    if word >> 30 == 1:  # call
        return Effect(4, to=at + 4 * _signed(word, 30), delayed=True)
    if word & 0xFFC00000 == 0x10800000:  # ba
        return Effect(4, to=at + 4 * _signed(word, 22), delayed=True)
    if word & 0xFFC00000 == 0x10400000:  # ba,pt
        return Effect(4, to=at + 4 * _signed(word, 19), delayed=True)
    if word & 0xC1C00000 == 0x01000000:  # sethi; nop
        return Effect(4, sets=() if rd == "r0" else ((rd, Value(plus=(word & 0x3FFFFF) << 10)),))
    if word & 0xC1F80000 == 0x80100000 and immediate:  # or
        return Effect(4, sets=((rd, Value(base, bits=_signed(word, 13))),))
    offset = Value(base, _signed(word, 13)) if immediate else Value(base, index=f"r{_field(word, 4, 0)}")
    if word & 0xC1F80000 == 0x81C00000:  # jmpl
        return Effect(4, sets=(("target", offset),), through="target", delayed=True)
    if word & 0xC1F80000 == 0x80000000:  # add
        return Effect(4, sets=((rd, offset),))
    if word & 0xC1F80000 in (0xC0000000, 0xC0580000) and immediate:  # lduw, ldx
        return Effect(4, sets=((rd, Value(base, _signed(word, 13), loads=True)),))
    return _other("sparc", word)


_X86_NOPS: Mapping[bytes, int] = {
    b"\x90": 1,
    b"\x0f\x1f\x00": 3,
    b"\x0f\x1f\x40": 4,
    b"\x0f\x1f\x44": 5,
    b"\x0f\x1f\x80": 7,
    b"\x0f\x1f\x84": 8,
}
"""Intel SDM, volume 2, NOP: the lengths of the recommended forms, by their beginning; the others have a prefix 66."""


def _x86(code: bytes, at: int) -> Effect:
    """Intel SDM, volume 2.  A length that is more than the bytes at hand asks for more of them."""
    first = code[0]
    if first == 0xE9:  # jmp rel32
        return Effect(5, to=None if len(code) < 5 else at + 5 + int.from_bytes(code[1:5], "little", signed=True))
    if first == 0xEB:  # jmp rel8
        return Effect(2, to=None if len(code) < 2 else at + 2 + _signed(code[1], 8))
    if first == 0xCC:  # int3
        return Effect(1, traps=True)
    if first == 0xC3:  # ret
        return Effect(1, through=RETURN_ADDRESS)
    if first == 0xFF:  # jmp [rip + disp32]
        if len(code) < 6:
            return Effect(6)
        if code[1] == 0x25:
            address = at + 6 + int.from_bytes(code[2:6], "little", signed=True)
            return Effect(6, sets=(("target", Value(plus=address, loads=True)),), through="target")
    prefix = 1 if first == 0x66 else 0
    form = code[prefix : prefix + 3]
    for start, length in _X86_NOPS.items():
        if form.startswith(start):
            return Effect(prefix + length)
    if any(start.startswith(form) for start in _X86_NOPS):
        return Effect(len(code) + 1)
    return Effect(2 if first == 0x0F else 1, unread=True)  # as much of it as there is at least


def _s390x(code: bytes, at: int) -> Effect:
    """z/Architecture Principles of Operation, chapter 7; the first two bits of an instruction give its length."""
    length = (2, 4, 4, 6)[code[0] >> 6]
    if len(code) < length:
        return Effect(length)
    if code[0] == 0xC0 and code[1] & 0x0F == 4:  # brcl; mask 0: a no-operation
        if code[1] >> 4:
            return Effect(6, to=at + 2 * int.from_bytes(code[2:6], "big", signed=True))
        return Effect(6)
    if code[0] == 0xC4 and code[1] & 0x0F == 8:  # lgrl
        address = at + 2 * int.from_bytes(code[2:6], "big", signed=True)
        return Effect(6, sets=((f"r{code[1] >> 4}", Value(plus=address, loads=True)),))
    if code[0] == 0x07 and code[1] >> 4 == 15 and code[1] & 15:  # br
        return Effect(2, through=f"r{code[1] & 15}")
    if code[:2] == b"\x00\x01":  # an operation exception, by which debuggers stop
        return Effect(2, traps=True)
    return Effect(length, unread=code[0] != 0x07 or code[1] >> 4 != 0)  # bcr, mask 0: a no-operation, or serialises


INSTRUCTION_SETS: Mapping[str, InstructionSet] = {
    "aarch64": InstructionSet(_aarch64, "little", 4, ("aarch64",)),
    "arm": InstructionSet(_arm, "little", 4, ("arm",), pointer=4),
    "riscv64": InstructionSet(_riscv, "little", 4, ("riscv64",), "fence.i", ()),
    "loongarch64": InstructionSet(_loongarch, "little", 4, ("loongarch64",)),
    "mips": InstructionSet(_mips, "big", 4, ("mips",), pointer=4),
    "ppc": InstructionSet(_power, "big", 4, ("ppc", "ppc64"), pointer=4),
    "ppc64": InstructionSet(_power, "big", 4, ("ppc64",)),
    "s390x": InstructionSet(_s390x, "big", 2, ("s390x",)),
    "sparc": InstructionSet(_sparc, "big", 4, ("sparc",)),
    "sparc64": InstructionSet(_sparc, "big", 4, ("sparc",)),
    "x86": InstructionSet(_x86, "little", 1, ("i386", "x86-64")),
}
"""By the name that a site file gives."""
