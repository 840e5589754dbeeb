"""What tests of one translator share: its instructions by a disassembler, its branches, the ways through a block."""

from __future__ import annotations

import functools

import capstone
import pytest

from bench.translators.disassembly import disassembler
from bench.translators.flow import ControlFlow
from bench.translators.instruction import Fact
from bench.translators.listing import listing
from bench.translators.registry import load_translator
from bench.translators.translator import ACCESSES, Code, Translator
from strategies.writes import Form, Phase, Region

ENGINES = {
    "aarch64": (capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM),
    "arm": (capstone.CS_ARCH_ARM, capstone.CS_MODE_ARM),
    "i386": (capstone.CS_ARCH_X86, capstone.CS_MODE_32),
    "mips": (capstone.CS_ARCH_MIPS, capstone.CS_MODE_MIPS32 | capstone.CS_MODE_BIG_ENDIAN),
    "ppc": (capstone.CS_ARCH_PPC, capstone.CS_MODE_32 | capstone.CS_MODE_BIG_ENDIAN),
    "ppc64": (capstone.CS_ARCH_PPC, capstone.CS_MODE_64 | capstone.CS_MODE_BIG_ENDIAN),
    "s390x": (capstone.CS_ARCH_SYSZ, capstone.CS_MODE_BIG_ENDIAN),
    "sparc": (capstone.CS_ARCH_SPARC, capstone.CS_MODE_BIG_ENDIAN | capstone.CS_MODE_V9),
    "x86-64": (capstone.CS_ARCH_X86, capstone.CS_MODE_64),
}
"""The instruction sets that capstone reads."""

every_access = pytest.mark.parametrize("access", ACCESSES)


def every(*names: str) -> pytest.MarkDecorator:
    """A test of each of these translators."""
    return pytest.mark.parametrize("translator", [load_translator(name) for name in names], ids=names)


@functools.cache
def engine(isa: str) -> capstone.Cs:
    return capstone.Cs(*ENGINES[isa])


def disassemble(translator: Translator, image: bytes, offset: int = 0) -> str:
    """The one instruction that these bytes are at ``offset``, by capstone."""
    (found,) = engine(translator.isa).disasm_lite(image, translator.buffer + offset)
    assert found[1] == len(image)
    return f"{found[2]} {found[3]}".strip()


def decoded(translator: Translator, code: Code) -> list[str]:
    """Every unit of the complete block in memory order."""
    show = disassembler(translator, code)
    return [show(unit, unit.final) for unit in code.whole]


def finals(code: Code) -> dict[int, int]:
    """The final value of every unit, by its offset."""
    return {unit.offset: unit.final for unit in code.whole}


def target(translator: Translator, code: Code, offset: int, value: int) -> int:
    """Where the branch with this value at ``offset`` leads, in bytes from its own address, by the disassembler."""
    (unit,) = (unit for unit in code.whole if unit.offset == offset)
    operands = disassembler(translator, code)(unit, value).split()
    return int(operands[-1].lstrip("#"), 16) - (translator.buffer + offset)


def order(code: Code | Region) -> list[int]:
    """The offset of every store, in time."""
    return [write.unit.offset for write in code.writes]


def branches(code: Code) -> list[tuple[Phase, int, Form, int, int, int]]:
    """The stores to units that take more than one: phase, offset, form, known bits, their value, temporary bits."""
    offsets = order(code)
    return [
        (write.phase, write.unit.offset, write.form, write.known, write.value, write.temporary)
        for write in code.writes
        if offsets.count(write.unit.offset) > 1
    ]


def windows(code: Code) -> dict[int, int]:
    """The stores between the two to a unit that takes two, by its offset."""
    offsets = order(code)
    return {
        offset: offsets[first + 1 :].index(offset)
        for first, offset in enumerate(offsets)
        if offset in offsets[first + 1 :]
    }


def temporaries(translator: Translator, code: Code) -> list[tuple[int, str, int | None]]:
    """What is wrong in memory for a while: its offset, what it means, the stores until it is right."""
    return [(row.offset, row.disassembly, row.window) for row in listing(translator, code).rows if row.temporary]


def ways(code: Code) -> list[tuple[str, tuple[int, ...]]]:
    """The paths through a block: their names, and the offsets fetched."""
    return [(path.name, path.offsets) for path in code.paths]


def words(*spans: tuple[int, int]) -> tuple[int, ...]:
    """The offsets of words of 4 bytes, from the first of each span to its last."""
    return tuple(4 * word for first, last in spans for word in range(first, last + 1))


def follow(
    translator: Translator, code: Code, *facts: Fact, wrong: dict[int, int] | None = None, faults: bool = False
) -> ControlFlow:
    """A block of one access followed, with wrong words in the place of some."""
    return translator.follower(code).follow([frozenset(facts)], wrong=wrong, faults=faults)
