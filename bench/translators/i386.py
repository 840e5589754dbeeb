"""The i386 backend: as on x86-64, with one more branch for a 64-bit guest address.

Source: the 32-bit part of QEMU's ``tcg/i386/tcg-target.c`` at 497aebb99e07, early January 2011.  An access
has a ``jne`` to the slow path and a ``jmp`` over it; the high half of a 64-bit guest address is
compared separately and has its own ``jne``.  All are begun by their opcode byte alone.  The helpers take their
first arguments in eax, edx and ecx (``regparm(3)``: REGPARM in osdep.h), and the others on the stack.
Encodings: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
"""

from __future__ import annotations

from typing import ClassVar

from bench.translators.emitter import Emitter
from bench.translators.instruction import Holds
from bench.translators.softmmu import HOST_I386, HOST_I386_GUEST_64, SoftTlb
from bench.translators.translator import GuestBits
from bench.translators.x86 import EAX, EBP, EBX, ECX, EDI, EDX, ESI, X86, encode
from strategies.writes import Phase

BUFFER = 0xB400_0000
"""The address of the code buffer: typical, what Linux gives a mapping below the libraries (``code_gen_alloc``)."""

HELPERS = {"load": 0x0810_0000, "store": 0x0810_1000}
"""Addresses of ``__ldl_mmu`` and ``__stl_mmu``: typical of a program linked at 0x8048000."""

EPILOGUE = 0x0880_0000
"""The address of ``tb_ret_addr``: typical; in the same program's data."""

BLOCK_POINTER = 0xB280_0008
"""The result of the exit, a pointer to the TranslationBlock: typical of a large ``malloc``."""


class I386(X86):
    """QEMU's backend of early January 2011, and until the slow path moved in v1.3.

    ebx, esi and edi are the first three registers that the allocator gives; edi is the high half of a 64-bit guest
    address, and not used for a 32-bit one.
    """

    name = "i386"
    version = "2010"
    isa = "i386"
    patched = 4
    buffer = BUFFER
    tlb = HOST_I386
    wide_guest = True
    registers: ClassVar[dict[str, Holds]] = {
        "ebx": Holds.ADDRESS,
        "edi": Holds.ADDRESS_HIGH,
        "esi": Holds.VALUE,
        "ebp": Holds.STATE,
    }

    # Fixed by the backend: ebp points to CPUState, the first two argument registers are scratch.
    arguments = (EAX, EDX, ECX)
    address, address_high, data = EBX, EDI, ESI
    env = EBP
    helpers = HELPERS

    def tlb_for(self, guest_bits: GuestBits) -> SoftTlb:
        return HOST_I386_GUEST_64 if guest_bits == 64 else self.tlb

    def _exit(self, out: Emitter) -> None:
        out.put(Phase.EXIT, encode(0xB8 | EAX, BLOCK_POINTER.to_bytes(4, "little")).leaving(eax=Holds.BLOCK))
        out.put(Phase.EXIT, self.relative(0xE9, EPILOGUE, out.here).exit())
