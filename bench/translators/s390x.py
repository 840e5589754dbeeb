"""The s390x backend: halfword displacements, in line in 2010 and behind the block in 2014 and 2015.

Sources: QEMU's ``tcg/s390/tcg-target.c`` at 497aebb99e07, early January 2011
(s390x@2010), at fb5964152d96, March 2014 (s390x@2014, v2.1), and at cd3b29b745b0, June 2015 (s390x@2015, v2.4).
In 2010 both branches of an access were stored with displacement 0, a branch to itself, and got their
displacement halfword later in the same operation.  fb5964152d96 moved the slow path
behind the block and stored the branch to it as before; a retranslation stops before the slow path, so that the
temporary value stayed.  cd3b29b745b0 stores the opcode halfword alone.
Encodings: z/Architecture Principles of Operation, SA22-7832, for a machine with the
extended-immediate facility (2010: z9 on) and the general-instructions-extension
facility (2014 and 2015: z10 on), which has compare and branch in one instruction for the guest's condition.
"""

from __future__ import annotations

import abc
from functools import partial
from typing import ClassVar

from bench.translators.backend import Backend, InLineBackend, OutOfLineBackend, SlowPath
from bench.translators.emitter import Emitter
from bench.translators.instruction import Holds, Instruction
from bench.translators.softmmu import COMPARED, HOST_64, HOST_64_2014, HOST_64_2015, PAGE_BITS, TLB_BITS
from bench.translators.translator import Access
from strategies.writes import Form, Phase

BUFFER = 0x9000_0000
"""The address of the code buffer that QEMU asks for on s390x Linux (``code_gen_alloc`` in exec.c)."""

HELPERS = {"load": 0x8010_0000, "store": 0x8010_1000}
"""Addresses of the load and store helpers (``__ldl_mmu``, ``__stl_mmu``): typical of a program linked at 0x80000000."""

EPILOGUE = 0x8080_0000
"""The address of ``tb_ret_addr``: typical; in the same program's data."""

BLOCK_POINTER = 0x03FF_7C00_0010
"""The result of the exit, a pointer to the TranslationBlock: typical of a large ``malloc``."""

MEMORY_OPERATION = 0x20
"""The operation argument of a helper in 2015: a 32-bit access (2), memory index 0 (``make_memop_idx``: 2 << 4 | 0)."""

# Fixed by the backend: r10 points to CPUState; the argument registers and r14 are scratch.
_R2, _R3, _R4, _R5, _R6, _ENV, _R14 = 2, 3, 4, 5, 6, 10, 14
_ADDRESS, _DATA = 13, 12  # typical: the first two registers that the allocator gives

_EQUAL, _NOT_EQUAL, _ALWAYS = 0x8, 0x6, 0xF

_OPCODE, _DISPLACEMENT = 0xFFFF_0000, 0x0000_FFFF
_LONG_DISPLACEMENT = 0x0000_FFFF_0000  # of a branch of six bytes


def _rre(opcode: int, r1: int, r2: int) -> Instruction:
    return Instruction(opcode << 16 | r1 << 4 | r2, 4)


def _ri(opcode: int, r1: int, immediate: int) -> Instruction:
    """Format RI; ``opcode`` has three digits, of which the last follows r1."""
    return Instruction((opcode >> 4) << 24 | r1 << 20 | (opcode & 0xF) << 16 | immediate & 0xFFFF, 4)


def _ril(opcode: int, r1: int, immediate: int) -> Instruction:
    """Format RIL; ``opcode`` has three digits, of which the last follows r1."""
    return Instruction((opcode >> 4) << 40 | r1 << 36 | (opcode & 0xF) << 32 | immediate & 0xFFFF_FFFF, 6)


def _rx(opcode: int, r1: int, displacement: int, index: int, base: int) -> Instruction:
    return Instruction(opcode << 24 | r1 << 20 | index << 16 | base << 12 | displacement, 4)


def _rxy(opcode: int, r1: int, displacement: int, index: int, base: int) -> Instruction:
    """Format RXY; ``opcode`` has four digits, in the first and the last byte; displacements are below 4096 here."""
    return Instruction(
        (opcode >> 8) << 40 | r1 << 36 | index << 32 | base << 28 | displacement << 16 | opcode & 0xFF, 6
    )


def _risbg(r1: int, r2: int, first: int, last: int, rotate: int) -> Instruction:
    """Rotate left, keep the bits ``first`` to ``last`` (0 is the highest), clear the others."""
    return Instruction(0xEC << 40 | r1 << 36 | r2 << 32 | first << 24 | (1 << 7 | last) << 16 | rotate << 8 | 0x55, 6)


def _llgfr(target: int, source: int) -> Instruction:
    return _rre(0xB916, target, source)


def _lgr(target: int, source: int) -> Instruction:
    return _rre(0xB904, target, source)


def _lghi(target: int, value: int) -> Instruction:
    return _ri(0xA79, target, value)


def _brc(condition: int, distance: int = 0) -> Instruction:
    """Branch ``distance`` bytes from its own address."""
    return _ri(0xA74, condition, distance >> 1)


def _cij(condition: int, r1: int, value: int, distance: int = 0) -> Instruction:
    """Compare ``r1`` with ``value`` and branch ``distance`` bytes from its own address."""
    return Instruction(
        0xEC << 40 | r1 << 36 | condition << 32 | (distance >> 1 & 0xFFFF) << 16 | (value & 0xFF) << 8 | 0x7E, 6
    )


def _srlg(target: int, source: int, by: int) -> Instruction:
    return _rxy(0xEB0C, target, by, source, 0)  # RSY, laid out as RXY


def _brasl(target: int, here: int) -> Instruction:
    return _ril(0xC05, _R14, (target - (BUFFER + here)) >> 1)


def _move(access: Access, base: int, index: int) -> Instruction:
    """The guest access: load a register with zero extension, or store its low word."""
    if access == "load":
        return _rxy(0xE316, _DATA, 0, index, base).access().leaving(r12=Holds.VALUE)
    return _rx(0x50, _DATA, 0, index, base).access()


def _bind(out: Emitter, branch: int, condition: int) -> None:
    """Bind the branch at offset ``branch`` to here: store its displacement halfword."""
    word = _brc(condition, out.here - branch).word
    out.patch(Phase.BRANCH_UPDATE, branch, word, known=_DISPLACEMENT, form=Form.SKIP_BYTES)


class _S390x(Backend):
    """The common part of all versions."""

    name = "s390x"
    isa = "s390x"
    byteorder = "big"
    host_bits = 64
    buffer = BUFFER
    shipped_form = Form.SKIP_BYTES
    registers: ClassVar[dict[str, Holds]] = {"r13": Holds.ADDRESS, "r12": Holds.VALUE, "r10": Holds.STATE}

    def _exit(self, out: Emitter) -> None:
        """Emit the exit; the pointer is loaded in two halves, since it is out of reach of ``larl``."""
        out.put(
            Phase.EXIT,
            _ril(0xC01, _R2, BLOCK_POINTER).leaving(r2=Holds.CONSTANT),  # lgfi
            _ri(0xA51, _R2, BLOCK_POINTER >> 32).leaving(r2=Holds.BLOCK),  # iihl
        )
        out.put(Phase.EXIT, _ril(0xC04, _ALWAYS, (EPILOGUE - (BUFFER + out.here)) >> 1).exit())

    def destination(self, word: int) -> int | None:
        if word >> 40 == 0xEC and word & 0xFF == 0x7E:
            halfwords = (word & _LONG_DISPLACEMENT) >> 16
        elif word >> 24 == 0xA7 and (word >> 16) & 0xF == 0x4:
            halfwords = word & _DISPLACEMENT
        else:
            return None
        return 2 * (halfwords - (1 << 16) if halfwords >> 15 else halfwords)


class S390x2010(_S390x, InLineBackend):
    """QEMU's backend of early January 2011: the slow path is first, both branches are stored with displacement 0."""

    version = "2010"
    tlb = HOST_64

    def _guard(self, out: Emitter) -> int:
        out.put(Phase.GUEST_BRANCH, Instruction(0x1200 | _DATA << 4 | _DATA, 2))  # ltr
        branch = _brc(_EQUAL).branch("skip")
        return out.begin(Phase.GUEST_BRANCH, branch, known=_OPCODE, form=Form.SKIP_BYTES)

    def _bind_guard(self, out: Emitter, branch: int) -> None:
        _bind(out, branch, _EQUAL)

    def _access(self, out: Emitter, access: Access) -> None:
        tlb = self.tlb
        out.put(
            Phase.TLB_ACCESS,
            _llgfr(_R2, _ADDRESS).leaving(r2="r13"),
            _srlg(_R3, _ADDRESS, PAGE_BITS - tlb.entry_bits).leaving(r3=Holds.PAGE),
            _lghi(_R14, COMPARED).leaving(r14=Holds.CONSTANT),
            _rre(0xB980, _R2, _R14).leaving(r2=Holds.EXPECTED),  # ngr
            _ril(0xC0B, _R3, tlb.index_mask).leaving(r3=Holds.INDEX),  # nilf
            _llgfr(_R3, _R3).leaving(r3=Holds.INDEX),
            _rx(0x59, _R2, tlb.table + tlb.comparator(access), _ENV, _R3),  # c
            _llgfr(_R2, _ADDRESS).leaving(r2="r13"),
        )
        hit = out.begin(Phase.BRANCH, _brc(_EQUAL).branch("hit"), known=_OPCODE, form=Form.WHOLE)
        if access == "store":
            out.put(Phase.SLOW_PATH, _llgfr(_R3, _DATA).leaving(r3="r12"))
        index = _R4 if access == "store" else _R3
        out.put(Phase.SLOW_PATH, _lghi(index, 0).leaving(**{f"r{index}": Holds.MEMORY_INDEX}))
        call = _brasl(HELPERS[access], out.here)
        if access == "load":
            out.put(Phase.SLOW_PATH, call.call("r2", r2=Holds.ADDRESS, r3=Holds.MEMORY_INDEX))
            out.put(Phase.SLOW_PATH, _lgr(_DATA, _R2).leaving(r12="r2"))
        else:
            out.put(Phase.SLOW_PATH, call.call(None, r2=Holds.ADDRESS, r3=Holds.VALUE, r4=Holds.MEMORY_INDEX))
        done = out.begin(Phase.BRANCH, _brc(_ALWAYS).branch("always"), known=_OPCODE, form=Form.WHOLE)
        _bind(out, hit, _EQUAL)
        out.put(
            Phase.FAST_PATH,
            _rxy(0xE308, _R2, tlb.table + tlb.addend, _ENV, _R3).leaving(r2=Holds.HOST_ADDRESS),  # ag
            _move(access, _R2, 0),
        )
        _bind(out, done, _ALWAYS)


class _OutOfLine(_S390x, OutOfLineBackend):
    """The common part of the versions with the slow path behind the block.

    ``_begun``: the form in which its branch is begun; ``_operation``: the operation argument of the helper.
    """

    _begun: ClassVar[Form]
    _operation: ClassVar[int]

    def _guard(self, out: Emitter) -> int:
        # Three halfwords; the second one is read and stored again.
        branch = _cij(_EQUAL, _DATA, 0).branch("skip")
        known = branch.mask & ~_LONG_DISPLACEMENT
        return out.begin(Phase.GUEST_BRANCH, branch, known=known, form=Form.READ_BACK)

    def _bind_guard(self, out: Emitter, branch: int) -> None:
        word = _cij(_EQUAL, _DATA, 0, out.here - branch).word
        out.patch(Phase.BRANCH_UPDATE, branch, word, known=_LONG_DISPLACEMENT, form=Form.SKIP_BYTES)

    @abc.abstractmethod
    def _look_up(self, out: Emitter, access: Access) -> None:
        """Emit the TLB look-up (``tcg_out_tlb_read``), which leaves the addend in r2 and the guest address in r3."""

    def _compare(self, out: Emitter, access: Access) -> None:
        """Emit the end of the look-up, from the entry's place in r2 and the expected tag in r3."""
        tlb = self.tlb
        out.put(
            Phase.TLB_ACCESS,
            _rx(0x59, _R3, tlb.table + tlb.comparator(access), _ENV, _R2),  # c
            _rxy(0xE304, _R2, tlb.table + tlb.addend, _ENV, _R2).leaving(r2=Holds.ADDEND),  # lg
            _llgfr(_R3, _ADDRESS).leaving(r3="r13"),
        )

    def _begin(self, out: Emitter, access: Access) -> SlowPath:
        self._look_up(out, access)
        missed = out.begin(Phase.BRANCH, _brc(_NOT_EQUAL).branch("miss"), known=_OPCODE, form=self._begun)
        out.put(Phase.FAST_PATH, _move(access, _R3, _R2))
        return partial(self._finish, out, access, missed, out.here)

    def _finish(self, out: Emitter, access: Access, missed: int, back: int) -> None:
        """Emit the slow path of an access whose branch is at ``missed`` and whose operation ends at ``back``."""
        _bind(out, missed, _NOT_EQUAL)
        operation, address = (_R5, _R6) if access == "store" else (_R4, _R5)
        out.put(Phase.SLOW_PATH, _lgr(_R2, _ENV).leaving(r2="r10"))
        if access == "store":
            out.put(Phase.SLOW_PATH, _llgfr(_R4, _DATA).leaving(r4="r12"))
        out.put(
            Phase.SLOW_PATH,
            _lghi(operation, self._operation).leaving(**{f"r{operation}": Holds.MEMORY_INDEX}),
            _ril(0xC0F, address, BUFFER + back).leaving(**{f"r{address}": Holds.RETURN_ADDRESS}),  # llilf
        )
        call = _brasl(HELPERS[access], out.here)
        # The guest address is the second argument already.
        if access == "load":
            call = call.call("r2", r2=Holds.STATE, r3=Holds.ADDRESS, r4=Holds.MEMORY_INDEX, r5=Holds.RETURN_ADDRESS)
            out.put(Phase.SLOW_PATH, call)
            out.put(Phase.SLOW_PATH, _lgr(_DATA, _R2).leaving(r12="r2"))
        else:
            call = call.call(
                None, r2=Holds.STATE, r3=Holds.ADDRESS, r4=Holds.VALUE, r5=Holds.MEMORY_INDEX, r6=Holds.RETURN_ADDRESS
            )
            out.put(Phase.SLOW_PATH, call)
        out.put(Phase.SLOW_PATH, _brc(_ALWAYS, back - out.here).branch("always"))


class S390x2014(_OutOfLine):
    """QEMU's backend of March 2014: the slow path is behind the block, its branch is stored with displacement 0.

    Pending slow paths are in an array, the oldest first.
    """

    version = "2014"
    tlb = HOST_64_2014

    _begun = Form.WHOLE
    _operation = 0  # the memory index; the helper implies a 32-bit access

    def _look_up(self, out: Emitter, access: Access) -> None:
        tlb = self.tlb
        out.put(
            Phase.TLB_ACCESS,
            _srlg(_R2, _ADDRESS, PAGE_BITS - tlb.entry_bits).leaving(r2=Holds.PAGE),
            _llgfr(_R3, _ADDRESS).leaving(r3="r13"),
            _risbg(_R2, _R2, 64 - TLB_BITS - tlb.entry_bits, 63 - tlb.entry_bits, 0).leaving(r2=Holds.INDEX),
            _ri(0xA57, _R3, COMPARED).leaving(r3=Holds.EXPECTED),  # nill
        )
        self._compare(out, access)


class S390x2015(_OutOfLine):
    """QEMU's backend with the fix of June 2015: the branch to the slow path is begun with the opcode halfword.

    Pending slow paths are in a list, the newest first.
    """

    version = "2015"
    patched = 4
    tlb = HOST_64_2015
    newest_first = True

    _begun = Form.SKIP_BYTES
    _operation = MEMORY_OPERATION

    def _look_up(self, out: Emitter, access: Access) -> None:
        tlb = self.tlb
        first, last = 64 - TLB_BITS - tlb.entry_bits, 63 - tlb.entry_bits  # the bits of an entry's offset
        out.put(
            Phase.TLB_ACCESS,
            _risbg(_R2, _ADDRESS, first, last, 64 + tlb.entry_bits - PAGE_BITS).leaving(r2=Holds.INDEX),
            # the mask wraps around: the page and the two alignment bits
            _risbg(_R3, _ADDRESS, 62, 63 - PAGE_BITS, 0).leaving(r3=Holds.EXPECTED),
        )
        self._compare(out, access)
