"""Instructions by their encodings, and what an architecture says of changing one while it may be executed.

*Concurrent modification and execution* is defined for few instructions, before the change and after it alike.  What an
architecture does not define may do anything (``bench/machine/architecture.py``, rule 8).

AArch64, AArch32   both instructions are on a list: Arm ARM B2.2.5 and E2.6.5.  That of issue A.a has neither ISB (a
                   later one does, quoted in HotSpot's macroAssembler_aarch64.hpp) nor conditional branches (herd's
                   AArch64Arch_herd.ml has them since 1d445e92, 2023-04-26).  T32: the 16-bit forms alone.
POWER              both are of the patch class: I-form branches and ``ori 0,0,0`` (Book II 1.8.1)
x86, AMD           one store inside an aligned quadword (APM volume 2, 7.6.1)
x86, Intel         nothing without a serialising instruction on the executing core (SDM volume 3, 8.1.3)
s390               a change may be seen in part (GA22-7000-4, p. 24), but for a change of one byte, which cannot
RISC-V             nothing; with Ziccif the fetch of an aligned instruction of 2 or 4 bytes is atomic
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from typing import NamedTuple

OTHER = "other"
"""The kind of an instruction that is on no list."""

DEFAULT_SIZE = 4
"""Bytes of an instruction of which only the class is known."""


class EncodedInstruction(NamedTuple):
    """An instruction of an instruction set ``isa`` (a key of ``FAMILIES``).

    ``kind``: the class that a list names it by, or ``other``.  ``code``: its bytes as they lie in memory; empty if only
    the class is known.
    """

    isa: str
    kind: str
    code: bytes = b""

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.code) or DEFAULT_SIZE


class Concurrent(enum.Enum):
    """When an architecture says what a fetch may return that is not synchronised with a store."""

    LISTED = "both instructions are on the architecture's list"
    QUADWORD = "all changed bytes lie inside one aligned quadword"
    BYTE = "at most one byte changes"
    ALIGNED = "the instruction is aligned to its size of 2 or 4 bytes"
    NEVER = "never"


class _Class(NamedTuple):
    kind: str
    mask: int
    value: int


_A64 = (
    _Class("b", 0xFC000000, 0x14000000),
    _Class("bl", 0xFC000000, 0x94000000),
    _Class("b.cond", 0xFF000010, 0x54000000),
    _Class("cbz", 0x7F000000, 0x34000000),
    _Class("cbnz", 0x7F000000, 0x35000000),
    _Class("tbz", 0x7F000000, 0x36000000),
    _Class("tbnz", 0x7F000000, 0x37000000),
    _Class("nop", 0xFFFFFFFF, 0xD503201F),
    _Class("isb", 0xFFFFF0FF, 0xD50330DF),
    _Class("brk", 0xFFE0001F, 0xD4200000),
    _Class("svc", 0xFFE0001F, 0xD4000001),
    _Class("hvc", 0xFFE0001F, 0xD4000002),
    _Class("smc", 0xFFE0001F, 0xD4000003),
)
_A32 = (
    _Class("blx", 0xFE000000, 0xFA000000),
    _Class(OTHER, 0xF0000000, 0xF0000000),  # the other unconditional instructions
    _Class("b", 0x0F000000, 0x0A000000),
    _Class("bl", 0x0F000000, 0x0B000000),
    _Class("nop", 0x0FFFFFFF, 0x0320F000),
    _Class("bkpt", 0xFFF000F0, 0xE1200070),
    _Class("svc", 0x0F000000, 0x0F000000),
    _Class("hvc", 0xFFF000F0, 0xE1400070),
    _Class("smc", 0x0FF000F0, 0x01600070),
)
_T16 = (
    _Class("svc", 0xFF00, 0xDF00),
    _Class(OTHER, 0xFF00, 0xDE00),  # UDF
    _Class("b", 0xF000, 0xD000),
    _Class("b", 0xF800, 0xE000),
    _Class("nop", 0xFFFF, 0xBF00),
    _Class("bkpt", 0xFF00, 0xBE00),
)
_ONE_BYTE = (b"\xcc", b"\xc3", b"\x90", b"\xf4")
"""INT3, RET, NOP and HLT of x86."""

_PPC = (_Class("b", 0xFC000000, 0x48000000), _Class("nop", 0xFFFFFFFF, 0x60000000))

_CLASSES = {"aarch64": _A64, "arm": _A32, "thumb": _T16, "ppc": _PPC, "riscv": (), "x86": (), "s390": ()}

FAMILIES = {
    "aarch64": r"aarch64|arm64",
    "thumb": r"thumb|arm.*thumb",
    "arm": r"arm",
    "ppc": r"ppc|power",
    "riscv": r"riscv",
    "x86": r"x86|i386|amd64",
    "s390": r"s390",
}
"""The instruction sets whose rules are known, and how a description of one begins."""

KINDS = {
    isa: (*dict.fromkeys(one.kind for one in classes if one.kind != OTHER), OTHER) for isa, classes in _CLASSES.items()
}
"""The classes of each instruction set by which an instruction can be named instead of encoded."""


def family(isa: str) -> str:
    """The instruction set that a description is one of, or an empty string."""
    return next((name for name, begins in FAMILIES.items() if re.match(begins, isa, re.IGNORECASE)), "")


def instruction(isa: str, code: bytes) -> EncodedInstruction:
    """An instruction from its bytes as they lie in memory, little-endian where the instruction set has both orders."""
    if isa == "thumb" and len(code) != 2:
        return EncodedInstruction(isa, OTHER, code)
    word = int.from_bytes(code, "big" if isa in ("ppc", "s390") else "little")
    kind = next((one.kind for one in _CLASSES[isa] if word & one.mask == one.value), OTHER)
    return EncodedInstruction(isa, kind, code)


def executed(isa: str, code: bytes) -> bytes:
    """The bytes that are executed of code in which an instruction begins: what lies behind a breakpoint is not."""
    return code[:1] if isa == "x86" and code[:1] in _ONE_BYTE else code


def is_alone(one: EncodedInstruction | None) -> bool:
    """Whether an instruction is known to be of one byte: what is fetched behind it is no part of it."""
    return one is not None and one.isa == "x86" and one.code[:1] in _ONE_BYTE


def read_instruction(isa: str, text: str) -> EncodedInstruction | None:
    """An instruction as a manual writes it: hexadecimal, a word where instructions are words and bytes where they are
    not (x86, s390); or the name of its class.  None if it is neither."""
    if text in KINDS[isa]:
        return EncodedInstruction(isa, text)
    digits = text.replace(" ", "")
    lengths = {"x86": range(2, 31, 2), "s390": (4, 8, 12), "thumb": (4, 8), "riscv": (4, 8)}.get(isa, (8,))
    if not re.fullmatch(r"[0-9a-f]+", digits) or len(digits) not in lengths:
        return None
    code = bytes.fromhex(digits)
    if isa in ("x86", "s390", "ppc"):
        return instruction(isa, code)
    halves = [code[:2], code[2:]] if isa == "thumb" else [code]  # halfwords in order, each little-endian
    return instruction(isa, b"".join(half[::-1] for half in halves))


def written(one: EncodedInstruction) -> str:
    """An instruction as ``read_instruction`` reads it."""
    if not one.code:
        return one.kind
    words = one.isa in ("aarch64", "arm", "riscv") or (one.isa == "thumb" and len(one.code) == 2)
    return (one.code[::-1] if words else one.code).hex()


def is_defined(concurrent: Concurrent, values: Iterable[EncodedInstruction | None], address: int, size: int) -> bool:
    """Whether the architecture says that what is fetched is one of the ``values`` between which an instruction changes.

    ``values``: None for one of which nothing is known.  ``address`` and ``size`` in bytes: where the instruction lies,
    and how long it is where its encoding is not known.
    """
    known = list(values)
    instructions = [value for value in known if value is not None]
    unknown = len(instructions) < len(known)
    changed = _changed(instructions, size) if not unknown else (0, size)
    if changed[0] == changed[1]:
        return True
    first, past = address + changed[0], address + changed[1]
    match concurrent:
        case Concurrent.LISTED:
            return not unknown and all(one.kind != OTHER for one in instructions) and address % size == 0
        case Concurrent.QUADWORD:
            return first // 8 == (past - 1) // 8
        case Concurrent.BYTE:
            return past - first <= 1
        case Concurrent.ALIGNED:
            sizes = {one.size for one in instructions} or {size}
            return sizes <= {2, 4} and len(sizes) == 1 and address % max(sizes) == 0
    return False


def _changed(instructions: list[EncodedInstruction], size: int) -> tuple[int, int]:
    """The bytes in which the instructions differ: the first, and the one behind the last."""
    codes = {one.code for one in instructions}
    if b"" not in codes and len({executed(one.isa, one.code) for one in instructions}) == 1:
        return 0, 0
    if b"" in codes or len({*map(len, codes)}) > 1:
        return 0, max((size, *map(len, codes)))
    differ = [at for at, held in enumerate(zip(*codes, strict=True)) if len({*held}) > 1]
    return (differ[0], differ[-1] + 1) if differ else (0, 0)
