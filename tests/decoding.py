"""What tests of one translator share: the block as capstone reads it, and its branches."""

from __future__ import annotations

from bench.translators.disassembly import disassembler
from bench.translators.translator import Code, Translator
from strategies.writes import Form, Phase


def decoded(translator: Translator, code: Code) -> list[str]:
    """Every unit of the complete block in memory order."""
    disassemble = disassembler(translator, code)
    return [disassemble(unit, unit.final) for unit in code.whole]


def target(translator: Translator, code: Code, offset: int, value: int) -> int:
    """Where the branch with this value at ``offset`` leads, in bytes from its own address, by capstone."""
    (unit,) = (unit for unit in code.whole if unit.offset == offset)
    operands = disassembler(translator, code)(unit, value).split()
    return int(operands[-1].lstrip("#"), 16) - (translator.buffer + offset)


def order(code: Code) -> list[int]:
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
