"""What a unit means as an instruction, by capstone."""

from __future__ import annotations

from collections.abc import Callable

from bench.errors import InputError
from bench.translators.translator import Code, Translator
from strategies.writes import Unit


def disassembler(translator: Translator, code: Code) -> Callable[[Unit, int], str]:
    """What the value of a unit means as an instruction; what the translator marks as data is data.

    Raises ``InputError`` if there is no disassembler for the translator's instruction set.
    """
    # Imported here because it is heavy; it has no type information.
    import capstone  # type: ignore[import-untyped]

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
    if translator.isa not in known:
        raise InputError(f"no disassembler for {translator.isa}", expected=f"one of {', '.join(known)}")
    engine = capstone.Cs(*known[translator.isa])
    data = {placed.offset for placed in code.placed if placed.instruction.does == "data"}

    def disassemble(unit: Unit, value: int) -> str:
        if unit.offset in data:
            return f".word {value:#0{2 + 2 * unit.size}x}"
        image = value.to_bytes(unit.size, translator.byteorder)
        for found in engine.disasm_lite(image, translator.buffer + unit.offset, 1):
            text = f"{found[2]} {found[3]}".strip()
            # capstone 5 leaves out the target of a conditional branch to itself
            return f"{text}, {translator.buffer + unit.offset:#x}" if text in ("beq cr7", "bne cr7") else text
        return "(no instruction)"

    return disassemble
