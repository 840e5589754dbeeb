"""The architectures that can be asked instead of a host, by name."""

from __future__ import annotations

from bench.architecture.memory import Rules
from bench.support.errors import InputError

ARMV8 = {"armv8": Rules(), "armv8-idc": Rules(idc=True), "armv8-dic": Rules(idc=True, dic=True)}
"""AArch64, with what CTR_EL0 may say: nothing; IDC; IDC and DIC."""

RISCV = {"riscv": Rules(idc=True)}
"""RISC-V: what a hart has stored is what its ``fence.i`` makes its fetches see; there is no cleaning."""


def rules(name: str) -> Rules:
    """The rules of an architecture."""
    return {**ARMV8, **RISCV}[name]


def armv8(name: str) -> Rules:
    """The rules of that name.  Raises ``InputError`` for another."""
    if name not in ARMV8:
        raise InputError(f"{name!r}", place="--host", expected=f"one of {', '.join(ARMV8)}")
    return ARMV8[name]
