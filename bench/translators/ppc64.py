"""The ppc64 backend: two branches to themselves in 2010, one that reads its displacement back in 2013.

Sources: QEMU's ``tcg/ppc64/tcg-target.c`` at 497aebb99e07, early January 2011 (ppc64@2010),
and in release v1.7 (ppc64@2013).  In 2010 both branches of an access were stored with displacement 0, which on
this host is a branch to itself: a core that executes a stale one hangs.  In September 2013 7f12d6497f9c moved the
slow path behind the block; tcg_out_bc_noaddr (c7ca6a2b75f3) begins its conditional branch and link with the
displacement that is in memory already.
The ABI is that of Linux (ELF v1): a pointer to a function points to a descriptor, three
doublewords of which the first two are its address and its table of contents (r2).
Encodings: Power ISA, Book I.
"""

from __future__ import annotations

from functools import partial

from bench.translators import powerpc
from bench.translators.backend import OutOfLineBackend, SlowPath
from bench.translators.emitter import Emitter
from bench.translators.instruction import Holds, Instruction
from bench.translators.powerpc import ADDRESS, DATA, ENV, LINK, R0, R2, R3, R4, R5, R6, R7, R11
from bench.translators.softmmu import HOST_64, HOST_64_2013
from bench.translators.translator import Access
from strategies.writes import Form, Phase

BUFFER = 0x0FFF_B000_0000
"""The address of the code buffer: typical, high in the 44 bits of address space that Linux had until v3.7.

QEMU requests no address (``code_gen_alloc`` in exec.c), so that the program is out of reach of a branch.
"""

DESCRIPTORS = {"load": 0x1065_0AB0, "store": 0x1065_0AF8}
"""Addresses of the helpers' descriptors: typical of a program linked at 0x10000000."""

EPILOGUE = 0x1090_00B8
"""The address of ``tb_ret_addr`` in 2010: typical; in the same program's data."""

EPILOGUE_2013 = BUFFER + 0x0200_0000 - 1024 + 24 + 24 * 4
"""The address of ``tb_ret_addr`` in 2013, behind a descriptor and the 24 words of the prologue: within reach of ``b``.

The prologue is in the last KiB of the code buffer, which has 32 MiB for a guest with 128 MiB of
memory, the default (``code_gen_alloc`` in translate-all.c).
"""

BLOCK_POINTER = 0x0FFF_A800_0010
"""The result of the exit, a pointer to the TranslationBlock: typical of a large ``malloc``."""


class _Ppc64(powerpc.PowerPC):
    """The common part of all versions."""

    name = "ppc64"
    isa = "ppc64"
    patched = 4
    host_bits = 64
    buffer = BUFFER
    block_pointer = BLOCK_POINTER


class Ppc64_2010(_Ppc64, powerpc.InLinePowerPC):
    """QEMU's backend of early January 2011: both branches of an access are stored as branches to themselves.

    The guest address is extended in its own register.
    """

    version = "2010"
    epilogue = EPILOGUE
    tlb = HOST_64

    def _extend(self, out: Emitter) -> None:
        out.put(Phase.TLB_ACCESS, powerpc.clear_high(ADDRESS, ADDRESS).leaving(r14="r14"))

    def _argument(self, target: int, source: int) -> Instruction:
        return powerpc.clear_high(target, source)

    def _load_pointer(self, target: int, base: int, displacement: int) -> Instruction:
        return powerpc.ld(target, base, displacement)

    def _call(self, here: int, access: Access) -> tuple[Instruction, ...]:
        return (
            *powerpc.constant(R2, DESCRIPTORS[access]),
            powerpc.ld(R0, R2, 0).leaving(r0=Holds.CONSTANT),
            powerpc.mtctr(R0),
            powerpc.ld(R11, R2, 16).leaving(r11=Holds.CONSTANT),
            powerpc.ld(R2, R2, 8).leaving(r2=Holds.CONSTANT),
            powerpc.bctr(LINK),
        )


class Ppc64_2013(_Ppc64, OutOfLineBackend):
    """QEMU's backend of release v1.7: the slow path is behind the block, its branch is begun by reading back.

    That branch saves the address of the fast path's access in the link register, which the helper gets as its return
    address.
    """

    version = "2013"
    epilogue = EPILOGUE_2013
    tlb = HOST_64_2013

    def _begin(self, out: Emitter, access: Access) -> SlowPath:
        tlb = self.tlb
        out.put(
            Phase.TLB_ACCESS,
            powerpc.clear_high(R4, ADDRESS).leaving(r4="r14"),
            powerpc.entry_offset(R3, R4, tlb).leaving(r3=Holds.INDEX),
            powerpc.add(R3, R3, ENV).leaving(r3=Holds.ENTRY),
            powerpc.lwz(R2, R3, tlb.table + tlb.comparator(access)).leaving(r2=Holds.TAG),
            powerpc.ld(R3, R3, tlb.table + tlb.addend).leaving(r3=Holds.ADDEND),
            powerpc.compared(R0, R4).leaving(r0=Holds.EXPECTED),
            powerpc.cmpw(R0, R2),
        )
        missed = powerpc.begin(out, Phase.BRANCH, powerpc.BNE | LINK, "miss", Form.READ_BACK)
        out.put(Phase.FAST_PATH, powerpc.move(access, R3, R4))
        return partial(self._finish, out, access, missed, out.here)

    @staticmethod
    def _finish(out: Emitter, access: Access, missed: int, back: int) -> None:
        """Emit the slow path of an access whose branch is at ``missed`` and whose operation ends at ``back``."""
        powerpc.bind(out, missed, powerpc.BNE | LINK)
        # The guest address is in r4 already.
        out.put(Phase.SLOW_PATH, powerpc.mr(R3, ENV).leaving(r3="r27"))
        index, link = (R6, R7) if access == "store" else (R5, R6)
        if access == "store":
            out.put(Phase.SLOW_PATH, powerpc.clear_high(R5, DATA).leaving(r5="r15"))
        out.put(
            Phase.SLOW_PATH,
            powerpc.li(index, 0).leaving(**{f"r{index}": Holds.MEMORY_INDEX}),
            powerpc.mflr(link).leaving(**{f"r{link}": Holds.RETURN_ADDRESS}),
        )
        # The displacements hold the low half of the descriptor's address.
        descriptor = DESCRIPTORS[access]
        low = (descriptor & 0xFFFF ^ 0x8000) - 0x8000
        out.put(
            Phase.SLOW_PATH,
            *powerpc.constant(R2, descriptor - low),
            powerpc.ld(R0, R2, low).leaving(r0=Holds.CONSTANT),
            powerpc.mtctr(R0),
            powerpc.ld(R2, R2, low + 8).leaving(r2=Holds.CONSTANT),
        )
        call = powerpc.bctr(LINK)
        if access == "load":
            call = call.call("r3", r3=Holds.STATE, r4=Holds.ADDRESS, r5=Holds.MEMORY_INDEX, r6=Holds.RETURN_ADDRESS)
            out.put(Phase.SLOW_PATH, call, powerpc.mr(DATA, R3).leaving(r15="r3"))
        else:
            call = call.call(
                None, r3=Holds.STATE, r4=Holds.ADDRESS, r5=Holds.VALUE, r6=Holds.MEMORY_INDEX, r7=Holds.RETURN_ADDRESS
            )
            out.put(Phase.SLOW_PATH, call)
        out.put(Phase.SLOW_PATH, Instruction(powerpc.to(powerpc.B, back - out.here), 4).branch("always"))
