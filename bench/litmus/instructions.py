"""The AArch64 instructions that litmus tests of instruction fetching use: parsing, decoding and encoding.

An instruction word that a test stores is disassembled by Capstone and parsed.  A word that a test loads or compares is
encoded here, where the instruction has a form without a label.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from bench.support.errors import InputError

CONDITIONS = ("eq", "ne", "cs", "cc", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le", "al")
_SAME = {"hs": "cs", "lo": "cc"}


@dataclass(frozen=True, slots=True)
class Register:
    """A register: ``number`` 0 to 30, or 31 for the zero register; ``wide``: 64 bits."""

    number: int
    wide: bool


@dataclass(frozen=True, slots=True)
class LabelOperand:
    """The target of a branch: a ``label``, or a ``distance`` in instructions from the branch (``label`` empty)."""

    label: str
    distance: int = 0


@dataclass(frozen=True, slots=True)
class MemoryOperand:
    """A ``base`` register and an ``offset``: bytes, or a register (extended by its width, not shifted)."""

    base: Register
    offset: int | Register


Operand = Register | LabelOperand | MemoryOperand | int | str


@dataclass(frozen=True, slots=True)
class LitmusInstruction:
    """An instruction: lower-case mnemonic (``b.cond`` for any condition) and operands in order."""

    name: str
    operands: tuple[Operand, ...] = ()


UNDEFINED = LitmusInstruction("udf", (0,))
"""A word that encodes no instruction."""


class UnknownInstructionError(Exception):
    """An unsupported instruction; the argument is its text."""


# --- parsing ------------------------------------------------------------------------------------------------------

_REGISTER = re.compile(r"([wx])(\d{1,2}|zr)", re.IGNORECASE)
_NUMBER = re.compile(r"#?(-?(?:0x[0-9a-f]+|\d+))", re.IGNORECASE)
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DOTTED = re.compile(r"\.([+-]\d+)")
_EXTENDS = ("", "sxtw", "uxtw", "lsl #0")
_PART = re.compile(r"\[[^\]]*\]|[^,\[\]]+")


def _register(text: str) -> Register:
    if text.lower() == "lr":
        return Register(30, True)
    found = _REGISTER.fullmatch(text)
    if not found or (found[2].isdigit() and int(found[2]) > 30):
        raise UnknownInstructionError(text)
    return Register(31 if found[2].lower() == "zr" else int(found[2]), found[1].lower() == "x")


def _wide(text: str) -> Register:
    register = _register(text)
    if not register.wide:
        raise UnknownInstructionError(text)
    return register


def _number(text: str) -> int:
    found = _NUMBER.fullmatch(text)
    if not found or len(text) > 24:  # no number of 64 bits is longer
        raise UnknownInstructionError(text)
    try:
        return int(found[1], 0)
    except ValueError:  # a leading zero, which is octal to some
        raise UnknownInstructionError(text) from None


def _register_or_number(text: str) -> Operand:
    return _number(text) if _NUMBER.fullmatch(text) else _register(text)


def _target(text: str) -> LabelOperand:
    if len(text) <= 24 and (found := _DOTTED.fullmatch(text)):
        return _distance(int(found[1]), text)
    if _NUMBER.fullmatch(text):
        return _distance(_number(text), text)
    if not _LABEL.fullmatch(text):
        raise UnknownInstructionError(text)
    return LabelOperand(text)


def _distance(size: int, text: str) -> LabelOperand:
    if size % 4:
        raise UnknownInstructionError(text)
    return LabelOperand("", size // 4)


def _address(text: str) -> MemoryOperand:
    if not (text.startswith("[") and text.endswith("]")):
        raise UnknownInstructionError(text)
    base, *offset = (part.strip() for part in text[1:-1].split(","))
    if not offset:
        return MemoryOperand(_wide(base), 0)
    if len(offset) == 1 and _NUMBER.fullmatch(offset[0]):
        return MemoryOperand(_wide(base), _number(offset[0]))
    register = _register(offset[0])
    if " ".join(offset[1:]).lower() not in _EXTENDS:
        raise UnknownInstructionError(text)
    return MemoryOperand(_wide(base), register)


def _condition(text: str) -> str:
    name = _SAME.get(text.lower(), text.lower())
    if name not in CONDITIONS:
        raise UnknownInstructionError(text)
    return name


def _word(*known: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in known:
            raise UnknownInstructionError(text)
        return text.lower()

    return parse


_BARRIERS = (*(domain + kind for domain in ("ish", "osh", "nsh") for kind in ("", "st", "ld")), "sy", "st", "ld")

FORMS: dict[str, tuple[tuple[Callable[[str], Any], ...], ...]] = {
    "nop": ((),),
    "mov": ((_register, _register_or_number),),
    "movz": ((_register, _number),),
    **dict.fromkeys(("add", "sub", "eor", "and", "orr"), ((_register, _register, _register_or_number),)),
    "cmp": ((_register, _register_or_number),),
    "cset": ((_register, _condition),),
    "csel": ((_register, _register, _register, _condition),),
    **dict.fromkeys(("ldr", "str", "ldar", "ldapr", "stlr"), ((_register, _address),)),
    "adr": ((_wide, _target),),
    "b": ((_target,),),
    "b.cond": ((_condition, _target),),
    "bl": ((_target,),),
    **dict.fromkeys(("cbz", "cbnz"), ((_register, _target),)),
    **dict.fromkeys(("br", "blr"), ((_wide,),)),
    "ret": ((), (_wide,)),
    "dc": ((_word("cvau", "civac", "cvac", "cvap"), _wide),),
    "ic": ((_word("ivau"), _wide), (_word("iallu", "ialluis"),)),
    **dict.fromkeys(("dmb", "dsb"), ((_word(*_BARRIERS),),)),
    "isb": ((), (_word("sy"),)),
    "msr": ((_word("elr_el1"), _wide),),
    "mrs": ((_wide, _word("elr_el1")),),
    "eret": ((),),
    "udf": ((_number,),),
}
"""The supported forms: the parsers of the operands in order, for each mnemonic."""


def parse(text: str) -> LitmusInstruction:
    """Parse an instruction.  Raises ``UnknownInstructionError`` for a form that is not in ``FORMS``."""
    name, _, rest = text.strip().partition(" ")
    name = name.lower()
    parts = [part.strip() for part in _PART.findall(rest) if part.strip()]
    if name.startswith("b.") and len(name) > 2:
        name, parts = "b.cond", [name[2:], *parts]
    for form in FORMS.get(name, ()):
        if len(form) == len(parts):
            operands = tuple(operand(part) for operand, part in zip(form, parts, strict=True))
            if _fit(name, operands):
                return LitmusInstruction(name, operands)
    raise UnknownInstructionError(text.strip())


def _fit(name: str, operands: tuple[Operand, ...]) -> bool:
    """Whether the numbers among the operands fit into what the instruction has room for, or into its register."""
    bits = 64 if operands and isinstance(operands[0], Register) and operands[0].wide else 32
    least, most = (0, 0xFFFF) if name in ("movz", "udf") else (-1 << bits - 1, (1 << bits) - 1)
    return all(least <= operand <= most for operand in operands if isinstance(operand, int))


# --- encoding -----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _capstone() -> Any:
    import capstone

    return capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)


@lru_cache(maxsize=4096)
def decode(word: int) -> LitmusInstruction:
    """Decode a word.  Raises ``UnknownInstructionError`` for an instruction that is not in ``FORMS``."""
    if not word >> 16:
        return LitmusInstruction("udf", (word,))
    for instruction in _capstone().disasm(word.to_bytes(4, "little"), 0, 1):
        text = f"{instruction.mnemonic} {instruction.op_str}".strip()
        # Capstone prints distances as addresses; this instruction is at address 0.
        return parse(re.sub(r"#?0xffff[0-9a-f]{12}", lambda found: str(int(found[0].lstrip("#"), 0) - (1 << 64)), text))
    return UNDEFINED


def encode(instruction: LitmusInstruction) -> int | None:
    """Encode an instruction without a label; None for one that no test is expected to load."""
    match instruction:
        case LitmusInstruction("nop"):
            return 0xD503201F
        case LitmusInstruction("isb"):
            return 0xD5033FDF
        case LitmusInstruction("eret"):
            return 0xD69F03E0
        case LitmusInstruction("ret", operands):
            register = operands[0] if operands else Register(30, True)
            return 0xD65F0000 | register.number << 5 if isinstance(register, Register) else None
        case LitmusInstruction("b", (LabelOperand("", distance),)):
            return 0x14000000 | distance & 0x3FFFFFF
        case LitmusInstruction("bl", (LabelOperand("", distance),)):
            return 0x94000000 | distance & 0x3FFFFFF
        case LitmusInstruction("b.cond", (str() as condition, LabelOperand("", distance))):
            return 0x54000000 | (distance & 0x7FFFF) << 5 | CONDITIONS.index(condition)
        case LitmusInstruction("cbz" | "cbnz" as name, (Register(number, wide), LabelOperand("", distance))):
            return 0x34000000 | wide << 31 | (name == "cbnz") << 24 | (distance & 0x7FFFF) << 5 | number
        case LitmusInstruction("br" | "blr" as name, (Register(number),)):
            return 0xD61F0000 | (name == "blr") << 21 | number << 5
        case LitmusInstruction("mov" | "movz", (Register(number, wide), int() as value)) if 0 <= value < 1 << 16:
            return 0x52800000 | wide << 31 | value << 5 | number
        case LitmusInstruction("add" | "sub" as name, (Register(to, wide), Register(one), int() as value)) if (
            0 <= value < 4096
        ):
            return 0x11000000 | wide << 31 | (name == "sub") << 30 | value << 10 | one << 5 | to
        case LitmusInstruction("adr", (Register(number), LabelOperand("", distance))):
            return 0x10000000 | (distance & 0x7FFFF) << 5 | number
        case LitmusInstruction("udf", (int() as value,)):
            return value
    return None


def instruction_text(word: int) -> str | None:
    """A word as herd prints an instruction: ``NOP`` or ``instr:"B .+12"``; None if it is not an instruction."""
    if word >> 32:  # a 64-bit value
        return None
    try:
        instruction = decode(word)
    except UnknownInstructionError:
        return None
    if instruction.name == "udf" or encode(instruction) != word:
        return None
    if instruction.name == "nop":
        return "NOP"
    operands = [_operand_text(operand) for operand in instruction.operands]
    name = instruction.name.upper()
    if instruction.name == "b.cond":
        name = f"B.{operands.pop(0).upper()}"
    return f'instr:"{" ".join([name, ",".join(operands)]).strip()}"'


def _operand_text(operand: Operand) -> str:
    match operand:
        case LabelOperand("", distance):
            return f".{4 * distance:+d}"
        case Register(number, wide):
            return f"{'X' if wide else 'W'}{'ZR' if number == 31 else number}"
        case int():
            return f"#{operand}"
    return str(operand)


def assemble(text: str) -> int:
    """The word of an instruction text.  Raises ``InputError`` for an instruction that is not encoded here."""
    try:
        word = encode(parse(text))
    except UnknownInstructionError as error:
        raise InputError(f"no instruction {error}", expected="one of " + ", ".join(sorted(FORMS))) from None
    if word is None:
        raise InputError(f"instr:{text!r}", expected="an instruction whose word is known here")
    return word
