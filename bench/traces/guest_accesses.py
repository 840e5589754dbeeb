"""The number of loads and stores of a guest instruction, from its disassembly.

The count is that of the memory operations that QEMU's front end emits inline for the instruction
(``target/arm/translate.c``, ``translate-neon.c``, ``target/mips/tcg/translate.c`` of QEMU 7.2): one per register that
``ldm``, ``stm``, ``ldrd``, ``strd`` and similar instructions move, two for a store-exclusive (the compare and the
store).  Accesses of a helper (MIPS ``swl``, ``swr``) are not generated code and do not count.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from bench.traces.trace import Guest

_INSTRUCTION = re.compile(
    rb"0x([0-9a-f]{8,16}):  (?:(?P<opcode>[0-9a-f]{8}|[0-9a-f]{4}(?: [0-9a-f]{4})?) +)?"
    rb"(?P<mnemonic>[.a-z][.\w]*)(?P<gap>[ \t]*)(?P<operands>[^\n]*)"
)
_CONDITION = rb"(?:eq|ne|hs|cs|lo|cc|mi|pl|vs|vc|hi|ls|ge|lt|gt|le|al)?(?:\.[nw])?"


@dataclass(frozen=True, slots=True)
class GuestInstruction:
    """A guest instruction of an ``IN`` block: ``size`` in bytes, ``accesses`` as counted here.

    ``text``: the line from the mnemonic on; ``mnemonic``: the length of the mnemonic.
    """

    guest: Guest
    address: int
    size: int
    accesses: int
    text: bytes
    mnemonic: int


def parse_instruction(line: bytes) -> GuestInstruction | None:
    """Parse a line of an ``IN`` block; ``None`` if it is not an instruction of 32-bit ARM or of MIPS.

    QEMU prints an ARM instruction with its opcode (one or two half-words, or a word), a MIPS one without an opcode and
    with a tab between mnemonic and operands.
    """
    match = _INSTRUCTION.fullmatch(line)
    if match is None:
        return None
    address, mnemonic, operands = int(match[1], 16), match["mnemonic"], match["operands"].strip()
    text = line[match.start("mnemonic") :]
    if opcode := match["opcode"]:
        if len(match[1]) > 8:
            return None
        size = len(opcode.replace(b" ", b"")) // 2
        return GuestInstruction("arm", address, size, arm_accesses(mnemonic, operands), text, len(mnemonic))
    if operands and b"\t" not in match["gap"]:
        return None
    return GuestInstruction("mips", address, 4, mips_accesses(mnemonic, operands), text, len(mnemonic))


def by_operands(guest: Guest, mnemonic: bytes) -> bool:
    """Whether the number of accesses of an instruction with this mnemonic depends on its operands."""
    return guest == "arm" and bool(_ARM_LIST.fullmatch(mnemonic) or _ARM_ELEMENTS.fullmatch(mnemonic))


def _arm(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern + _CONDITION)


_ARM_LIST = _arm(rb"(?:push|pop|v(?:push|pop)|v?(?:ldm|stm)(?:ia|ib|da|db|fd|ea|fa|ed)?|f(?:ld|st)m(?:ia|db)x)")
_ARM_ONE = _arm(
    rb"(?:ldr(?:s?[bh])?t?|str[bh]?t?|ldrex[bhd]?|lda(?:ex)?[bhd]?|stl[bh]?|vldr|vstr|tb[bh])"
    rb"(?:\.(?:8|16|32|64))?"
)
_ARM_TWO = _arm(rb"(?:ldrd|strd|strex[bhd]?|stlex[bhd]?|swpb?|rfe(?:ia|ib|da|db)?|srs(?:ia|ib|da|db)?)")
_ARM_ELEMENTS = re.compile(rb"v(?:ld|st)([1-4])[a-z]{0,2}\.(8|16|32|64)")
_ARM_REGISTER = re.compile(
    rb"(?:(?P<kind>[rsdq])(?P<first>\d+)|[a-z]{2})(?:\[\d*\])?(?:\s*-\s*(?:[rsdq](?P<last>\d+)|[a-z]{2}))?"
)
_MIPS_ONE = re.compile(
    rb"(?:l[bh]u?|lwu?|ld|l[wd][lr]|ll|lld|[ls][wd]c[123]|[ls][wd]xc1|[ls]uxc1|s[bhwd]|l[bh]e|l[bh]ue|lwe|lle|s[bhw]e)"
)
_MIPS_TWO = re.compile(rb"(?:scd?|sce)")


@functools.lru_cache(maxsize=1 << 14)
def arm_accesses(mnemonic: bytes, operands: bytes) -> int:
    """The number of accesses of an ARM or Thumb instruction, in capstone's syntax (``ldm``, ``{r0, r4}``)."""
    if _ARM_LIST.fullmatch(mnemonic):
        return sum(_registers(operands))
    if _ARM_ONE.fullmatch(mnemonic):
        return 1
    if _ARM_TWO.fullmatch(mnemonic):
        return 2
    if elements := _ARM_ELEMENTS.fullmatch(mnemonic):
        structure, bits = int(elements[1]), int(elements[2])
        if b"[" in operands[: operands.find(b"}")]:
            # One vector lane, or one element into all lanes: one access per member of the structure.
            return structure
        # Registers without interleaving move as whole 64-bit values.
        return sum(_registers(operands)) * (1 if structure == 1 else 64 // bits)
    return 0


def _registers(operands: bytes) -> list[int]:
    """The number of registers in each item of the register list ``{...}`` (``r4-r7``: 4)."""
    begin, end = operands.find(b"{"), operands.find(b"}")
    counts = []
    for item in operands[begin + 1 : end].split(b","):
        match = _ARM_REGISTER.fullmatch(item.strip())
        if match is None:
            counts.append(1)
        elif match["first"] and match["last"]:
            counts.append(int(match["last"]) - int(match["first"]) + 1)
        else:
            counts.append(1)
        if match is not None and match["kind"] == b"q":
            counts[-1] *= 2
    return counts


@functools.lru_cache(maxsize=1 << 14)
def mips_accesses(mnemonic: bytes, _operands: bytes) -> int:
    """The number of accesses of a MIPS instruction, in the syntax of binutils (``lw``, ``v0,0(a0)``)."""
    if _MIPS_ONE.fullmatch(mnemonic):
        return 1
    return 2 if _MIPS_TWO.fullmatch(mnemonic) else 0
