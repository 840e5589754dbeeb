"""Disassembling units: by capstone, or by a reader of this project for instruction sets that capstone lacks."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from bench.support.errors import InputError
from bench.translators import hppa_disassembly, ia64_disassembly
from bench.translators.translator import Code, Translator
from strategies.writes import Unit

_READ_HERE = {"hppa": hppa_disassembly.disassemble, "ia64": ia64_disassembly.disassemble}


def disassembler(translator: Translator, code: Code) -> Callable[[Unit, int], str]:
    """A function from a unit and its value to the instruction's text; data are shown as ``.word``.

    Raises ``InputError`` if there is no disassembler for the translator's instruction set.
    """
    read = _reader(translator)
    data = {placed.offset for placed in code.placed if placed.instruction.does == "data"}

    def disassemble(unit: Unit, value: int) -> str:
        if unit.offset in data:
            return f".word {value:#0{2 + 2 * unit.size}x}"
        image = value.to_bytes(unit.size, translator.byteorder)
        return read(image, translator.buffer + unit.offset) or "(no instruction)"

    return disassemble


def _reader(translator: Translator) -> Callable[[bytes, int], str | None]:
    """A function from the bytes of an instruction and its address to its text, or None for an unknown instruction."""
    if (here := _READ_HERE.get(translator.isa)) is not None:
        return lambda image, address: here(int.from_bytes(image, translator.byteorder), address)
    engine = capstone_engine(translator.isa)

    def read(image: bytes, address: int) -> str | None:
        for found in engine.disasm_lite(image, address, 1):
            text = f"{found[2]} {found[3]}".strip()
            # capstone 5 leaves out the target of a conditional branch to itself
            return f"{text}, {address:#x}" if text in ("beq cr7", "bne cr7") else text
        return None

    return read


@cache
def capstone_engine(isa: str) -> Any:
    """capstone for an instruction set.

    Raises ``InputError`` if it does not have that one.
    """
    # Imported here because it is heavy; it has no type information.
    import capstone

    known = {
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
    if isa not in known:
        raise InputError(f"no disassembler for {isa}", expected=f"one of {', '.join((*known, *_READ_HERE))}")
    return capstone.Cs(*known[isa])
