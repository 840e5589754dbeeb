"""The instructions of AArch64 that tests of instruction fetching use: as text, and as words.

A word that a test stores is decoded by Capstone and read as text; one that a test loads or compares is encoded here, as
far as such instructions have a label-free form.
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
    """``number`` 0 to 30, or 31 for the zero register; ``wide``: 64 bits."""

    number: int
    wide: bool


@dataclass(frozen=True, slots=True)
class Target:
    """Where a branch goes: a ``label``, or so many instructions from its own (``label`` empty)."""

    label: str
    distance: int = 0


@dataclass(frozen=True, slots=True)
class Address:
    """A ``base`` register, and an ``offset``: bytes, or a register (extended as its width says, and not shifted)."""

    base: Register
    offset: int | Register


Operand = Register | Target | Address | int | str


@dataclass(frozen=True, slots=True)
class Instruction:
    """An operation by its lower-case ``name`` (``b.cond`` for any condition), and its operands in order."""

    name: str
    operands: tuple[Operand, ...] = ()


UNDEFINED = Instruction("udf", (0,))
"""What any word is that is no instruction."""


class UnknownError(Exception):
    """No form that is known; the argument says what it is, as it was written."""


# --- Reading -------------------------------------------------------------------------------------------------------

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
        raise UnknownError(text)
    return Register(31 if found[2].lower() == "zr" else int(found[2]), found[1].lower() == "x")


def _wide(text: str) -> Register:
    register = _register(text)
    if not register.wide:
        raise UnknownError(text)
    return register


def _number(text: str) -> int:
    found = _NUMBER.fullmatch(text)
    if not found:
        raise UnknownError(text)
    return int(found[1], 0)


def _register_or_number(text: str) -> Operand:
    return _number(text) if _NUMBER.fullmatch(text) else _register(text)


def _target(text: str) -> Target:
    if found := _DOTTED.fullmatch(text):
        return _distance(int(found[1]), text)
    if found := _NUMBER.fullmatch(text):
        return _distance(int(found[1], 0), text)
    if not _LABEL.fullmatch(text):
        raise UnknownError(text)
    return Target(text)


def _distance(size: int, text: str) -> Target:
    if size % 4:
        raise UnknownError(text)
    return Target("", size // 4)


def _address(text: str) -> Address:
    if not (text.startswith("[") and text.endswith("]")):
        raise UnknownError(text)
    base, *offset = (part.strip() for part in text[1:-1].split(","))
    if not offset:
        return Address(_wide(base), 0)
    if len(offset) == 1 and _NUMBER.fullmatch(offset[0]):
        return Address(_wide(base), _number(offset[0]))
    register = _register(offset[0])
    if " ".join(offset[1:]).lower() not in _EXTENDS:
        raise UnknownError(text)
    return Address(_wide(base), register)


def _condition(text: str) -> str:
    name = _SAME.get(text.lower(), text.lower())
    if name not in CONDITIONS:
        raise UnknownError(text)
    return name


def _word(*known: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text.lower() not in known:
            raise UnknownError(text)
        return text.lower()

    return read


_BARRIERS = (*(domain + kind for domain in ("ish", "osh", "nsh") for kind in ("", "st", "ld")), "sy", "st", "ld")

FORMS: dict[str, tuple[tuple[Callable[[str], Any], ...], ...]] = {
    "nop": ((),),
    "mov": ((_register, _register_or_number),),
    "movz": ((_register, _number),),
    "add": ((_register, _register, _register_or_number),),
    "sub": ((_register, _register, _register_or_number),),
    "eor": ((_register, _register, _register_or_number),),
    "and": ((_register, _register, _register_or_number),),
    "orr": ((_register, _register, _register_or_number),),
    "cmp": ((_register, _register_or_number),),
    "cset": ((_register, _condition),),
    "csel": ((_register, _register, _register, _condition),),
    "ldr": ((_register, _address),),
    "str": ((_register, _address),),
    "ldar": ((_register, _address),),
    "ldapr": ((_register, _address),),
    "stlr": ((_register, _address),),
    "adr": ((_wide, _target),),
    "b": ((_target,),),
    "b.cond": ((_condition, _target),),
    "bl": ((_target,),),
    "cbz": ((_register, _target),),
    "cbnz": ((_register, _target),),
    "br": ((_wide,),),
    "blr": ((_wide,),),
    "ret": ((), (_wide,)),
    "dc": ((_word("cvau", "civac", "cvac", "cvap"), _wide),),
    "ic": ((_word("ivau"), _wide), (_word("iallu", "ialluis"),)),
    "dmb": ((_word(*_BARRIERS),),),
    "dsb": ((_word(*_BARRIERS),),),
    "isb": ((), (_word("sy"),)),
    "msr": ((_word("elr_el1"), _wide),),
    "mrs": ((_wide, _word("elr_el1")),),
    "eret": ((),),
    "udf": ((_number,),),
}
"""Every form: of each name the operands, in order."""


def read(text: str) -> Instruction:
    """The instruction in a text.  Raises ``UnknownError`` for a form that is not in ``FORMS``."""
    name, _, rest = text.strip().partition(" ")
    name = name.lower()
    parts = [part.strip() for part in _PART.findall(rest) if part.strip()]
    if name.startswith("b.") and len(name) > 2:
        name, parts = "b.cond", [name[2:], *parts]
    for form in FORMS.get(name, ()):
        if len(form) == len(parts):
            return Instruction(name, tuple(operand(part) for operand, part in zip(form, parts, strict=True)))
    raise UnknownError(text.strip())


# --- Words ---------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _capstone() -> Any:
    import capstone  # type: ignore[import-untyped]

    return capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)


@lru_cache(maxsize=4096)
def decode(word: int) -> Instruction:
    """The instruction that a word is.  Raises ``UnknownError`` for one that is none of ``FORMS``."""
    if not word >> 16:
        return Instruction("udf", (word,))
    for instruction in _capstone().disasm(word.to_bytes(4, "little"), 0, 1):
        text = f"{instruction.mnemonic} {instruction.op_str}".strip()
        # Distances come as addresses, of which that of this instruction is 0.
        return read(re.sub(r"#?0xffff[0-9a-f]{12}", lambda found: str(int(found[0].lstrip("#"), 0) - (1 << 64)), text))
    return UNDEFINED


def encode(instruction: Instruction) -> int | None:
    """The word that an instruction without a label is; None for one that nobody is expected to load."""
    match instruction:
        case Instruction("nop"):
            return 0xD503201F
        case Instruction("isb"):
            return 0xD5033FDF
        case Instruction("eret"):
            return 0xD69F03E0
        case Instruction("ret", operands):
            register = operands[0] if operands else Register(30, True)
            return 0xD65F0000 | register.number << 5 if isinstance(register, Register) else None
        case Instruction("b", (Target("", distance),)):
            return 0x14000000 | distance & 0x3FFFFFF
        case Instruction("bl", (Target("", distance),)):
            return 0x94000000 | distance & 0x3FFFFFF
        case Instruction("b.cond", (str() as condition, Target("", distance))):
            return 0x54000000 | (distance & 0x7FFFF) << 5 | CONDITIONS.index(condition)
        case Instruction("cbz" | "cbnz" as name, (Register(number, wide), Target("", distance))):
            return 0x34000000 | wide << 31 | (name == "cbnz") << 24 | (distance & 0x7FFFF) << 5 | number
        case Instruction("br" | "blr" as name, (Register(number),)):
            return 0xD61F0000 | (name == "blr") << 21 | number << 5
        case Instruction("mov" | "movz", (Register(number, wide), int() as value)) if 0 <= value < 1 << 16:
            return 0x52800000 | wide << 31 | value << 5 | number
        case Instruction("add" | "sub" as name, (Register(to, wide), Register(one), int() as value)) if (
            0 <= value < 4096
        ):
            return 0x11000000 | wide << 31 | (name == "sub") << 30 | value << 10 | one << 5 | to
        case Instruction("adr", (Register(number), Target("", distance))):
            return 0x10000000 | (distance & 0x7FFFF) << 5 | number
        case Instruction("udf", (int() as value,)):
            return value
    return None


def spelled(word: int) -> str | None:
    """A word as herd prints an instruction: ``NOP``, or ``instr:"B .+12"``; None for one that is none."""
    try:
        instruction = decode(word)
    except UnknownError:
        return None
    if instruction.name == "udf" or encode(instruction) != word:
        return None
    if instruction.name == "nop":
        return "NOP"
    words = [_spelled(operand) for operand in instruction.operands]
    name = instruction.name.upper()
    if instruction.name == "b.cond":
        name = f"B.{words.pop(0).upper()}"
    return f'instr:"{" ".join([name, ",".join(words)]).strip()}"'


def _spelled(operand: Operand) -> str:
    match operand:
        case Target("", distance):
            return f".{4 * distance:+d}"
        case Register(number, wide):
            return f"{'X' if wide else 'W'}{'ZR' if number == 31 else number}"
        case int():
            return f"#{operand}"
    return str(operand)


def word_of(text: str) -> int:
    """The word of an instruction in a text.  Raises ``InputError`` for one that has none here."""
    try:
        word = encode(read(text))
    except UnknownError as error:
        raise InputError(f"no instruction {error}", expected="one of " + ", ".join(sorted(FORMS))) from None
    if word is None:
        raise InputError(f"instr:{text!r}", expected="an instruction whose word is known here")
    return word
