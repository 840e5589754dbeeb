"""Code as objdump of binutils reads it, for the instruction sets that capstone does not know."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

TOOLS = {isa: f"{isa}-linux-gnu-objdump" for isa in ("hppa", "ia64")}
MACHINES = {"hppa": "hppa1.1", "ia64": "ia64-elf64"}


def is_installed(isa: str) -> bool:
    return shutil.which(TOOLS[isa]) is not None


def objdump(isa: str, image: bytes, address: int, folder: Path) -> list[str]:
    """The instructions of code at that address, without their addresses."""
    file = folder / "block"
    file.write_bytes(image)
    options = ["-D", "-b", "binary", "-m", MACHINES[isa], f"--adjust-vma={address:#x}"]
    command = [TOOLS[isa], *options, "--no-show-raw-insn", str(file)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return re.findall(r"^\s*[0-9a-f]+:[ \t]+(.*\S)", shown, re.MULTILINE)
