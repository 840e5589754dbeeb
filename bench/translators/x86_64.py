"""The x86-64 backend: displacement bytes are skipped until they are known.

Source: the 64-bit part of QEMU's ``tcg/i386/tcg-target.c`` at 497aebb99e07, early January 2011.  Both
short branches of an access are begun by storing the opcode byte and skipping
the displacement byte, so that no temporary value reaches memory.
Encodings: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
"""

from __future__ import annotations

from typing import ClassVar

from bench.translators.emitter import Emitter
from bench.translators.instruction import Holds
from bench.translators.softmmu import HOST_64
from bench.translators.x86 import EAX, EBP, EBX, EDI, EDX, ESI, X86, encode, signed
from strategies.writes import Phase

BUFFER = 0x4000_0000
"""The address of the code buffer: typical, the lowest that Linux gives for MAP_32BIT (``code_gen_alloc`` in exec.c)."""

HELPERS = {"load": 0x0050_0000, "store": 0x0050_1000}
"""Addresses of ``__ldl_mmu`` and ``__stl_mmu``: typical of a program linked at 0x400000."""

EPILOGUE = 0x0100_0000
"""The address of ``tb_ret_addr``: typical; in the same program's data."""

BLOCK_POINTER = 0x7F00_0000_0010
"""The result of the exit, a pointer to the TranslationBlock: typical of a large ``malloc``."""

_REX_W, _REX_WB = 0x48, 0x49


class X86_64(X86):
    """QEMU's backend of early January 2011, and until the slow path moved in v1.3."""

    name = "x86-64"
    version = "2010"
    isa = "x86-64"
    patched = 4
    buffer = BUFFER
    host_bits = 64
    tlb = HOST_64
    registers: ClassVar[dict[str, Holds]] = {"ebp": Holds.ADDRESS, "ebx": Holds.VALUE, "r14": Holds.STATE}

    # Fixed by the backend: r14 points to CPUState, the first two argument registers are scratch.
    arguments = (EDI, ESI, EDX)
    address, data = EBP, EBX  # typical: the first two registers that the allocator gives
    env = 14
    wide, wide_env = bytes((_REX_W,)), bytes((_REX_WB,))
    helpers = HELPERS

    def _exit(self, out: Emitter) -> None:
        out.put(Phase.EXIT, encode(_REX_W, 0xB8 | EAX, signed(BLOCK_POINTER, 8)).leaving(eax=Holds.BLOCK))
        out.put(Phase.EXIT, self.relative(0xE9, EPILOGUE, out.here).exit())
