"""What the instructions of which exits consist of do to where control goes: read from their encodings.

Not an emulator: branches, loads of addresses, the arithmetic that makes addresses, and what only goes on: barriers,
stores, no-operations.  A conditional branch is taken, since that is the exit, unless it tests a register that is known.
Any other encoding is not read: it may be undefined, a branch, or of any length, so an execution ends there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Value:
    """What a register gets: ``register`` (none: 0), ``shift``ed to the left, with ``bits`` set in it, ``plus`` a number
    and what ``index`` has, the lowest ``width`` bits of it (0: all); if ``loads``, what memory has there."""

    register: str = ""
    plus: int = 0
    bits: int = 0
    loads: bool = False
    shift: int = 0
    index: str = ""
    width: int = 0


@dataclass(frozen=True, slots=True)
class Effect:
    """An instruction of so many bytes.  It goes to an address ``to``, or to what a register has (``through``), or
    ``traps``, or is ``unread``, or else on with the next one.  ``sets``: registers and their values, None for what is
    not known.
    ``delayed``: the next instruction runs before a branch is taken.  ``zero``: a register that a branch is taken by if
    that is 0; ``nonzero``: if it is not.  If that is not known, it is taken.  ``condition``: the number of that
    of a branch which flags decide.  ``touches``: addresses, and how many bytes there it accesses in a way that
    ``sets`` does not say."""

    length: int
    to: int | None = None
    through: str = ""
    traps: bool = False
    unread: bool = False
    sets: tuple[tuple[str, Value | None], ...] = ()
    delayed: bool = False
    zero: str = ""
    nonzero: str = ""
    condition: int | None = None
    touches: tuple[tuple[Value, int], ...] = ()

    @property
    def goes_on(self) -> bool:
        """Whether the next instruction comes next."""
        return self.to is None and not self.through and not self.traps and not self.unread


@dataclass(frozen=True, slots=True)
class SiteInstructionSet:
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


FLAGS = "flags"
"""The register of x86's condition codes: what it has is 0 if ZF is set."""


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


_X86_GOING_ON = re.compile(
    "mov|movabs|lea|cmp|test|add|sub|inc|dec|and|or|xor|not|neg|shl|shr|sar|rol|ror|imul|adc|sbb|movzx|movsx|movsxd|"
    "cdqe|cdq|cqo|bswap|nop|endbr64|endbr32|pause|lfence|sfence|mfence|xchg|xadd|cmpxchg|push|pop|(set|cmov)[a-z]+"
)


@cache
def _x86_engine() -> tuple[Any, Any]:
    # Imported here because it is heavy; it has no type information.
    import capstone

    engine = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    engine.detail = True
    return engine, capstone.x86_const


@cache
def _x86(code: bytes, at: int) -> Effect:
    """Intel SDM, volume 2, as capstone decodes it.  A length that is more than the bytes at hand asks for more of them.

    Branches, calls and returns; what JITs have beside them in a call site, a guard and an inline cache: moves,
    addresses, comparisons, integer arithmetic, the stack.  Nothing else is read: floating point, strings, the system.
    """
    engine, _ = _x86_engine()
    found = next(engine.disasm(code, at, 1), None)
    if found is not None:
        return _X86(found, at).effect()
    more = next(engine.disasm(code + bytes(_X86_LONGEST), at, 1), None)  # no instruction, or the beginning of one
    if len(code) >= _X86_LONGEST or more is None or more.size <= len(code):
        return Effect(1, unread=True)
    return Effect(len(code) + 1)


_X86_LONGEST = 15


class _X86:
    """An instruction that capstone has decoded."""

    def __init__(self, found: Any, at: int) -> None:
        self.found, self.at, self.size = found, at, found.size
        _, self.names = _x86_engine()
        self.operands = found.operands
        self.name = found.mnemonic.rpartition(" ")[2]  # behind a prefix

    def effect(self) -> Effect:
        found = self.found
        first, far = found.opcode[0], found.opcode[0] == 0xFF and found.modrm >> 3 & 7 in (3, 5)
        groups = {found.group_name(group) for group in found.groups}
        if self.name == "int3":
            return Effect(self.size, traps=True)
        if groups & {"jump", "call", "ret"}:
            # AMD and Intel do not agree on what a prefix 66 does to a near branch.
            return Effect(self.size, unread=True) if far or 0x66 in found.prefix else self._leaves(groups, first)
        locks = 0xF0 in found.prefix and not (self.operands and self.operands[0].type == self.names.X86_OP_MEM)
        if locks or not _X86_GOING_ON.fullmatch(self.name):
            return Effect(self.size, unread=True)
        sets = self._arithmetic()
        _, written = found.regs_access()
        changed = {*map(found.reg_name, written)}
        known = {name for name, _ in sets}
        sets += tuple((self._whole(name), None) for name in sorted(changed) if self._whole(name) not in known)
        if self.name != "push" and ("rsp" in changed or self._into_stack()):
            sets += ((RETURN_ADDRESS, None),)
        loaded = [value for _, value in sets if value is not None and value.loads]
        touches = tuple((value, size) for value, size in self._accessed() if value not in loaded)
        return Effect(self.size, sets=sets, touches=touches)

    def _leaves(self, groups: set[str], first: int) -> Effect:
        if "ret" in groups:
            return (
                Effect(self.size, through=RETURN_ADDRESS) if first in (0xC3, 0xC2) else Effect(self.size, unread=True)
            )
        back = ((RETURN_ADDRESS, Value(plus=self.at + self.size)),) if "call" in groups else ()
        (operand,) = self.operands
        if operand.type == self.names.X86_OP_IMM:
            if "call" in groups or self.name == "jmp":
                return Effect(self.size, to=operand.imm, sets=back)
            if first in range(0xE0, 0xE4):  # loop, jrcxz
                known = self.name == "jrcxz"
                return Effect(self.size, to=operand.imm, zero="rcx") if known else Effect(self.size, unread=True)
            condition = (self.found.opcode[1] if first == 0x0F else first) & 15
            return Effect(
                self.size,
                to=operand.imm,
                zero=FLAGS if condition == 4 else "",
                nonzero=FLAGS if condition == 5 else "",
                condition=condition,
            )
        if operand.type == self.names.X86_OP_REG:
            return Effect(self.size, through=self._register(operand), sets=back)
        return Effect(self.size, through="target", sets=(("target", self._memory(operand)), *back))

    def _arithmetic(self) -> tuple[tuple[str, Value | None], ...]:
        """What is known of the result."""
        if not self.operands:
            return ()
        to, *others = self.operands
        by = others[0] if others else None
        register = self._register(to) if to.type == self.names.X86_OP_REG else ""
        bits = 8 * to.size
        whole = bool(register) and bits in (32, 64)  # a part of a register leaves the rest as it is
        if self.name == "push":
            return ((RETURN_ADDRESS, self._value(to, 64)),)
        if self.name in ("mov", "movabs") and whole and by is not None:
            return ((register, self._value(by, bits)),)
        if self.name == "lea" and whole and by is not None:
            address = self._memory(by)
            return ((register, None if address is None else replace(address, loads=False, width=bits)),)
        if self.name == "test" and by is not None and by.type == to.type and by.reg == to.reg and register:
            return ((FLAGS, Value(register, width=bits)),)
        if self.name == "xor" and whole and by is not None and by.type == to.type and by.reg == to.reg:
            return ((register, Value()), (FLAGS, Value()))
        number = by.imm if by is not None and by.type == self.names.X86_OP_IMM else None
        if self.name == "cmp" and number is not None:
            held = self._value(to, bits)
            return (("compared", held), (FLAGS, Value("compared", plus=-number, width=bits)))
        signs = {"add": 1, "sub": -1}
        if self.name in signs and whole and number is not None:
            result = Value(register, plus=signs[self.name] * number, width=bits)
            return ((register, result), (FLAGS, Value(register)))
        return ()

    def _value(self, operand: Any, bits: int) -> Value | None:
        """What an operand has of so many bits, or None."""
        if operand.type == self.names.X86_OP_IMM:
            return Value(plus=operand.imm, width=bits)
        if operand.type == self.names.X86_OP_REG:
            register = self._register(operand)
            return Value(register, width=bits) if register else None
        return self._memory(operand) if bits == 64 else None

    def _memory(self, operand: Any) -> Value | None:
        """What memory has at the address of an operand, or None for one that cannot be known."""
        base, index = (
            self.found.reg_name(number) if number else "" for number in (operand.mem.base, operand.mem.index)
        )
        if operand.mem.segment or "rsp" in (base, index) or (index and operand.mem.scale != 1):
            return None
        if base == "rip":
            return Value(plus=self.at + self.size + operand.mem.disp, loads=True)
        return Value(base, plus=operand.mem.disp, loads=True, index=index)

    def _accessed(self) -> Iterator[tuple[Value, int]]:
        """The memory that it accesses, as what that has, and the bytes."""
        for operand in self.operands if self.name not in ("lea", "nop") else ():
            if operand.type == self.names.X86_OP_MEM and (value := self._memory(operand)) is not None:
                yield value, operand.size

    def _into_stack(self) -> bool:
        """Whether it may store to the stack."""
        return any(
            operand.type == self.names.X86_OP_MEM
            and operand.access & 2
            and "rsp" in map(self.found.reg_name, (operand.mem.base, operand.mem.index))
            for operand in self.operands
        )

    def _register(self, operand: Any) -> str:
        """The 64-bit register of one of 32 or 64 bits or of the low part of it, or nothing."""
        return self._whole(self.found.reg_name(operand.reg)) if operand.size >= 4 else ""

    @staticmethod
    def _whole(name: str) -> str:
        """The register that one of that name is a part of, as 64-bit code calls it."""
        return FLAGS if name == "rflags" else _X86_PARTS.get(name, name)


_X86_PARTS = {
    part: whole
    for letter in "abcd"
    for whole in (f"r{letter}x",)
    for part in (f"e{letter}x", f"{letter}x", f"{letter}l", f"{letter}h")
}
_X86_PARTS |= {part: f"r{one}" for one in ("si", "di", "bp", "sp") for part in (f"e{one}", one, f"{one}l")}
_X86_PARTS |= {f"r{number}{part}": f"r{number}" for number in range(8, 16) for part in "dwb"}


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


INSTRUCTION_SETS: Mapping[str, SiteInstructionSet] = {
    "aarch64": SiteInstructionSet(_aarch64, "little", 4, ("aarch64",)),
    "arm": SiteInstructionSet(_arm, "little", 4, ("arm",), pointer=4),
    "riscv64": SiteInstructionSet(_riscv, "little", 4, ("riscv64",), "fence.i", ()),
    "loongarch64": SiteInstructionSet(_loongarch, "little", 4, ("loongarch64",)),
    "mips": SiteInstructionSet(_mips, "big", 4, ("mips",), pointer=4),
    "ppc": SiteInstructionSet(_power, "big", 4, ("ppc", "ppc64"), pointer=4),
    "ppc64": SiteInstructionSet(_power, "big", 4, ("ppc64",)),
    "s390x": SiteInstructionSet(_s390x, "big", 2, ("s390x",)),
    "sparc": SiteInstructionSet(_sparc, "big", 4, ("sparc",)),
    "sparc64": SiteInstructionSet(_sparc, "big", 4, ("sparc",)),
    "x86": SiteInstructionSet(_x86, "little", 1, ("i386", "x86-64")),
}
"""By the name that a site file gives."""
