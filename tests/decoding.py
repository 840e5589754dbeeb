"""What tests of translators share: instructions by a disassembler, and a block followed."""

from __future__ import annotations

import re

import pytest

from bench.translators.disassembly import capstone_engine, disassembler
from bench.translators.flow import ControlFlow
from bench.translators.instruction import Fact
from bench.translators.translator import ACCESSES, Code, Translator
from strategies.writes import Unit

every_access = pytest.mark.parametrize("access", ACCESSES)


def disassemble(translator: Translator, image: bytes, offset: int = 0) -> str:
    """The one instruction that these bytes are at ``offset``, by capstone."""
    (found,) = capstone_engine(translator.isa).disasm_lite(image, translator.buffer + offset)
    assert found[1] == len(image)
    return f"{found[2]} {found[3]}".strip()


def decoded(translator: Translator, code: Code) -> list[str]:
    """Every unit of the complete block in memory order."""
    show = disassembler(translator, code)
    return [show(unit, unit.final) for unit in code.whole]


def target(translator: Translator, code: Code, unit: Unit) -> int:
    """Where a branch leads, in bytes from its own address, by the disassembler: an address in its last words."""
    (*_, address) = re.findall(r"0x[0-9a-f]+", disassembler(translator, code)(unit, unit.final))
    return int(address, 16) - (translator.buffer + unit.offset)


def follow(
    translator: Translator, code: Code, *facts: Fact, wrong: dict[int, int] | None = None, faults: bool = False
) -> ControlFlow:
    """A block of one access followed, with wrong words in the place of some."""
    return translator.follower(code).follow([frozenset(facts)], wrong=wrong, faults=faults)
