"""A site in words: its values as a protocol names them, and its instructions disassembled."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from bench.sites.paths import SitePath
from bench.sites.site import CODE, Site

_VALUE = re.compile(r"\b(?P<word>[A-Za-z_][A-Za-z0-9_'-]*)\.(?P<value>[A-Za-z0-9_'-]+)\b")
_SKIP = re.compile(r" [A-Za-z0-9_.+'-]+:[0-9]+(?= |:|$)")


@cache
def _engine(isa: str) -> Any:
    """A disassembler, or None for an instruction set that there is none for."""
    # Imported here because it is heavy; it has no type information.
    import capstone

    known = {
        "aarch64": (capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM),
        "arm": (capstone.CS_ARCH_ARM, capstone.CS_MODE_ARM),
        "mips": (capstone.CS_ARCH_MIPS, capstone.CS_MODE_MIPS32 | capstone.CS_MODE_BIG_ENDIAN),
        "ppc": (capstone.CS_ARCH_PPC, capstone.CS_MODE_32 | capstone.CS_MODE_BIG_ENDIAN),
        "ppc64": (capstone.CS_ARCH_PPC, capstone.CS_MODE_64 | capstone.CS_MODE_BIG_ENDIAN),
        "riscv64": (capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV64 | capstone.CS_MODE_RISCVC),
        "s390x": (capstone.CS_ARCH_SYSZ, capstone.CS_MODE_BIG_ENDIAN),
        "sparc": (capstone.CS_ARCH_SPARC, capstone.CS_MODE_BIG_ENDIAN | capstone.CS_MODE_V9),
        "x86": (capstone.CS_ARCH_X86, capstone.CS_MODE_64),
    }
    return capstone.Cs(*known[isa]) if isa in known else None


def disassembled(site: Site, code: bytes, at: int) -> str:
    """An instruction at an address as text; its bytes where there is no disassembler, or where it is none."""
    engine = _engine(site.isa)
    for found in engine.disasm_lite(code, at, 1) if engine is not None else ():
        if found[1] == len(code):
            return f"{found[2]} {found[3]}".strip()
    return (code[::-1] if site.instructions.byteorder == "little" and len(code) == 4 else code).hex()


def way(site: Site, path: SitePath) -> str:
    """The instructions of a path, and where it leads."""
    return f"{'; '.join(disassembled(site, code, at) for at, code in path.executed)}: {path.outcome}"


def told(site: Site, text: str, *, disassemble: bool) -> str:
    """An operation, or what a place holds, with the values of the site's words as the file names them."""

    def value(found: re.Match[str]) -> str:
        word = next((word for word in site.words if word.name == found["word"]), None)
        if word is None or found["value"] not in word.values:
            return found["value"] if found["word"] == CODE else found[0]
        if word.is_data or not disassemble:
            return found["value"]
        return f"{found['value']} ({disassembled(site, word.values[found['value']], word.at)})"

    return _VALUE.sub(value, _SKIP.sub("", text))
