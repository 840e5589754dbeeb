"""The ppc backend: two branches to themselves in 2010, one that reads its displacement back in 2012.

Sources: QEMU's ``tcg/ppc/tcg-target.c`` at 497aebb99e07, early January 2011 (ppc@2010),
and in release v1.3 (ppc@2012).  In 2010 both branches of an access were stored with displacement 0, which on
this host is a branch to itself: a core that executes a stale one hangs.  ed224a56b3b3 of
November 2012 moved the slow path behind the block; its only branch is begun with the
displacement that is in memory already.  Two days later (c878da3b27ce, in the same release) the helpers
were called through trampolines behind the epilogue, since they are out of reach of ``bl``.
The ABI is that of Linux (SysV); encodings: Power ISA, Book I.
"""

from __future__ import annotations

from functools import partial

from bench.translators import powerpc
from bench.translators.backend import OutOfLineBackend, SlowPath
from bench.translators.emitter import Emitter
from bench.translators.instruction import Holds, Instruction
from bench.translators.powerpc import ADDRESS, DATA, ENV, R0, R3, R4, R5, R6
from bench.translators.softmmu import HOST_32, HOST_32_2012
from bench.translators.translator import Access
from strategies.writes import Form, Phase

BUFFER = 0x4900_0000
"""The address of the code buffer: typical, behind the libraries that Linux maps from 0x48000000 on.

QEMU requests no address (``code_gen_alloc`` in exec.c), so that the program is out of reach of a branch.
"""

HELPERS = {"load": 0x1010_0420, "store": 0x1010_0780}
"""Addresses of ``__ldl_mmu`` and ``__stl_mmu``: typical of a program linked at 0x10000000."""

EPILOGUE = 0x1080_00B8
"""The address of ``tb_ret_addr`` in 2010: typical; in the same program's data."""

EPILOGUE_2012 = BUFFER + 0x0200_0000 - 1024 + 24 * 4
"""The address of ``tb_ret_addr`` in 2012, behind the 24 words of the prologue: within reach of ``b``.

The prologue is in the last KiB of the code buffer, which has 32 MiB for a guest with 128 MiB of
memory, the default (``code_gen_alloc`` in exec.c).
"""

TRAMPOLINES = {"load": EPILOGUE_2012 + (22 + 4 * 8) * 4, "store": EPILOGUE_2012 + (22 + 5 * 8) * 4}
"""Addresses of the trampolines for words: the epilogue has 22 words, each trampoline 8, loads and stores alternate."""

BLOCK_POINTER = 0x4B00_0008
"""The result of the exit, a pointer to the TranslationBlock: typical of a large ``malloc``."""


class _Ppc(powerpc.PowerPC):
    """The common part of all versions."""

    name = "ppc"
    isa = "ppc"
    patched = 4
    buffer = BUFFER
    block_pointer = BLOCK_POINTER


class Ppc2010(_Ppc, powerpc.InLinePowerPC):
    """QEMU's backend of early January 2011: both branches of an access are stored as branches to themselves."""

    version = "2010"
    epilogue = EPILOGUE
    tlb = HOST_32

    def _extend(self, out: Emitter) -> None:
        pass

    def _argument(self, target: int, source: int) -> Instruction:
        return powerpc.mr(target, source)

    def _load_pointer(self, target: int, base: int, displacement: int) -> Instruction:
        return powerpc.lwz(target, base, displacement)

    def _call(self, here: int, access: Access) -> tuple[Instruction, ...]:
        return powerpc.jump(here, HELPERS[access], powerpc.LINK)


class Ppc2012(_Ppc, OutOfLineBackend):
    """QEMU's backend of release v1.3: the slow path is behind the block, its branch is begun by reading back.

    A word follows the call of a trampoline: the address that the helper takes as its return address.  The trampoline
    sets the first argument and lets the helper return behind that word.
    """

    version = "2012"
    epilogue = EPILOGUE_2012
    tlb = HOST_32_2012

    def _begin(self, out: Emitter, access: Access) -> SlowPath:
        tlb, comparator = self.tlb, self.tlb.comparator(access)
        out.put(
            Phase.TLB_ACCESS,
            powerpc.entry_offset(R3, ADDRESS, tlb).leaving(r3=Holds.INDEX),
            powerpc.add(R3, R3, ENV).leaving(r3=Holds.ENTRY),
            powerpc.lwzu(R4, R3, tlb.table + comparator).leaving(r4=Holds.TAG, r3=Holds.ENTRY),
            powerpc.compared(R0, ADDRESS).leaving(r0=Holds.EXPECTED),
            powerpc.cmpw(R0, R4),
        )
        missed = powerpc.begin(out, Phase.BRANCH, powerpc.BNE, "miss", Form.READ_BACK)
        out.put(
            Phase.FAST_PATH,
            powerpc.lwz(R3, R3, tlb.addend - comparator).leaving(r3=Holds.ADDEND),
            powerpc.add(R3, R3, ADDRESS).leaving(r3=Holds.HOST_ADDRESS),
            powerpc.move(access, 0, R3),
        )
        return partial(self._finish, out, access, missed, out.here)

    @staticmethod
    def _finish(out: Emitter, access: Access, missed: int, back: int) -> None:
        """Emit the slow path of an access whose branch is at ``missed`` and whose operation ends at ``back``."""
        powerpc.bind(out, missed, powerpc.BNE)
        out.put(Phase.SLOW_PATH, powerpc.mr(R4, ADDRESS).leaving(r4="r14"))
        if access == "store":
            out.put(Phase.SLOW_PATH, powerpc.mr(R5, DATA).leaving(r5="r15"))
            out.put(Phase.SLOW_PATH, powerpc.li(R6, 0).leaving(r6=Holds.MEMORY_INDEX))
        else:
            out.put(Phase.SLOW_PATH, powerpc.li(R5, 0).leaving(r5=Holds.MEMORY_INDEX))
        (call,) = powerpc.jump(BUFFER + out.here, TRAMPOLINES[access], powerpc.LINK)
        if access == "load":
            call = call.call("r3", over=4, r27=Holds.STATE, r4=Holds.ADDRESS, r5=Holds.MEMORY_INDEX)
        else:
            call = call.call(None, over=4, r27=Holds.STATE, r4=Holds.ADDRESS, r5=Holds.VALUE, r6=Holds.MEMORY_INDEX)
        out.put(Phase.SLOW_PATH, call, Instruction(BUFFER + back, 4).data())
        if access == "load":
            out.put(Phase.SLOW_PATH, powerpc.mr(DATA, R3).leaving(r15="r3"))
        out.put(Phase.SLOW_PATH, Instruction(powerpc.to(powerpc.B, back - out.here), 4).branch("always"))
