"""What the measurements need of an instruction set: encodings, and inline assembly for LLVM."""

from __future__ import annotations

import platform
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.support.errors import InputError

Distances = npt.NDArray[np.int64]
Encoded = npt.NDArray[np.uint8]


# What a program does that has stored code: @flush_lines(first byte, end).
_X86_FLUSH = """
define void @flush_lines(i64 %first, i64 %end) {
  ret void
}
"""
# As AArch64 wants it (Arm ARM B2.4.4): clean the data lines unless CTR_EL0.IDC, invalidate the instruction lines unless
# CTR_EL0.DIC.
_A64_FLUSH = """
define void @flush_lines(i64 %first, i64 %end) {
entry:
  %ctr = call i64 asm sideeffect "mrs $0, ctr_el0", "=r"()
  %d = lshr i64 %ctr, 16
  %dlog = and i64 %d, 15
  %dline = shl i64 4, %dlog
  %ilog = and i64 %ctr, 15
  %iline = shl i64 4, %ilog
  %ib = and i64 %ctr, 268435456
  %idc = icmp ne i64 %ib, 0
  br i1 %idc, label %cleaned, label %clean
clean:
  %c = phi i64 [ %first, %entry ], [ %cn, %clean ]
  call void asm sideeffect "dc cvau, $0", "r,~{memory}"(i64 %c)
  %cn = add i64 %c, %dline
  %cm = icmp ult i64 %cn, %end
  br i1 %cm, label %clean, label %cleaned
cleaned:
  call void asm sideeffect "dsb ish", "~{memory}"()
  %db = and i64 %ctr, 536870912
  %dic = icmp ne i64 %db, 0
  br i1 %dic, label %done, label %invalidate
invalidate:
  %v = phi i64 [ %first, %cleaned ], [ %vn, %invalidate ]
  call void asm sideeffect "ic ivau, $0", "r,~{memory}"(i64 %v)
  %vn = add i64 %v, %iline
  %vm = icmp ult i64 %vn, %end
  br i1 %vm, label %invalidate, label %invalidated
invalidated:
  call void asm sideeffect "dsb ish", "~{memory}"()
  br label %done
done:
  call void asm sideeffect "isb", "~{memory}"()
  ret void
}
"""


@dataclass(frozen=True, slots=True)
class InstructionSet:
    """An instruction set that machine code can be made for.

    ``name``: as in host profiles.  ``number(value)``: a function that returns ``value`` (``number_of``) as bytes; the
    ``patched`` bytes from ``operand`` on are what differs from another ``number``.  ``jumps(distances)``: branches over
    so many bytes, each counted from its own address: rows of bytes.  ``back``: the return instruction.  ``chain``:
    inline assembly of an instruction of one cycle that depends on the one before.  ``sync``: inline assembly that
    synchronises the context of its core, and ``sync_changes`` the registers that it changes.  ``barrier``, ``clean``,
    ``invalidate``: inline assembly, the last two of the line of an address, or empty where the hardware does it.
    ``flush``: the function ``@flush_lines`` of LLVM's language, which makes stored code fetched.
    ``repeats``: what ``number`` is made of, so that each half of it tells it from others; ``shift``, ``mask``: where it
    lies in the operand.  ``membarrier``, ``tgkill``: numbers of Linux's system calls.  ``profile``: the shipped profile
    that is nearest to a machine that nothing more is known of.
    """

    name: str
    number: Callable[[int], bytes]
    operand: int
    patched: int
    jumps: Callable[[Distances], Encoded]
    back: bytes
    chain: str
    sync: str
    sync_changes: str
    barrier: str
    clean: str
    invalidate: str
    flush: str
    pause: str
    repeats: int
    shift: int
    mask: int
    membarrier: int
    tgkill: int
    profile: str

    def targets(self, processor: str) -> tuple[str, ...]:
        """The shipped profile and the architecture that are nearest to a ``processor``, as it calls itself."""
        vendor = "x86-amd" if "AMD" in processor else "x86-intel"
        return self.profile, vendor if self.name == "x86-64" else "armv8"

    def number_of(self, value: int) -> int:
        """The number that a function returns for a value, 0 to 32767."""
        return value * self.repeats

    def operand_of(self, number: int) -> int:
        """The operand of a function that returns a number, as the integer that a store puts there."""
        code = self.number(number)[self.operand : self.operand + self.patched]
        return int.from_bytes(code, "little")


def _x86_number(value: int) -> bytes:
    return b"\xb8" + struct.pack("<I", value) + b"\xc3"  # mov eax, value; ret


def _x86_jumps(distances: Distances) -> Encoded:
    operands = (distances - 5).astype("<i4").view(np.uint8).reshape(-1, 4)
    return np.insert(operands, 0, 0xE9, axis=1)  # jmp rel32


def _a64_number(value: int) -> bytes:
    return struct.pack("<II", 0x52800000 | value << 5, 0xD65F03C0)  # movz w0, #value; ret


def _a64_jumps(distances: Distances) -> Encoded:
    words = 0x14000000 | (distances >> 2) & 0x3FFFFFF  # b
    return words.astype("<u4").view(np.uint8).reshape(-1, 4)


_ALL = {
    "x86_64": InstructionSet(
        "x86-64",
        number=_x86_number,
        operand=1,
        patched=4,
        jumps=_x86_jumps,
        back=b"\xc3",
        chain="xorq $2, $0",
        sync="xorl %eax, %eax; xorl %ecx, %ecx; cpuid",
        sync_changes="~{eax},~{ebx},~{ecx},~{edx}",
        barrier="mfence",
        clean="",
        invalidate="",
        flush=_X86_FLUSH,
        pause="pause",
        repeats=0x10001,
        shift=0,
        mask=0xFFFFFFFF,
        membarrier=324,
        tgkill=234,
        profile="x86-skylake",
    ),
    "aarch64": InstructionSet(
        "aarch64",
        number=_a64_number,
        operand=0,
        patched=4,
        jumps=_a64_jumps,
        back=struct.pack("<I", 0xD65F03C0),
        chain="eor $0, $0, $2",
        sync="isb",
        sync_changes="~{memory}",
        barrier="dsb ish",
        clean="dc cvau, $0",
        invalidate="ic ivau, $0",
        flush=_A64_FLUSH,
        pause="yield",
        repeats=1,
        shift=5,
        mask=0xFFFF,
        membarrier=283,
        tgkill=131,
        profile="cortex-a72",
    ),
}
_ALIASES = {"amd64": "x86_64", "AMD64": "x86_64", "arm64": "aarch64"}


def this_instruction_set() -> InstructionSet:
    """The instruction set of this machine; raises ``InputError`` where no machine code can be made for it."""
    machine = platform.machine()
    found = _ALL.get(_ALIASES.get(machine, machine))
    if found is None:
        known = " or ".join(one.name for one in _ALL.values())
        raise InputError(f"this machine is {machine or 'of an unknown kind'}", expected=known)
    return found
