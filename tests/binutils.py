"""The complete block as objdump of binutils reads it, for the instruction sets that capstone does not know."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from bench.translators.translator import Code, Translator

TOOLS = {isa: f"{isa}-linux-gnu-objdump" for isa in ("hppa", "ia64")}
MACHINES = {"hppa": "hppa1.1", "ia64": "ia64-elf64"}


def is_installed(isa: str) -> bool:
    return shutil.which(TOOLS[isa]) is not None


def objdump(translator: Translator, code: Code, folder: Path) -> list[str]:
    """The instructions, without their addresses."""
    image = folder / "block"
    image.write_bytes(b"".join(unit.final.to_bytes(unit.size, translator.byteorder) for unit in code.whole))
    options = ["-D", "-b", "binary", "-m", MACHINES[translator.isa], f"--adjust-vma={translator.buffer:#x}"]
    command = [TOOLS[translator.isa], *options, "--no-show-raw-insn", str(image)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return re.findall(r"^\s*[0-9a-f]+:[ \t]+(.*\S)", shown, re.MULTILINE)
