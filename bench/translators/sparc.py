"""The sparc backend: in 2010 an illegal word until the branch is complete, later a branch to itself.

Sources: QEMU's ``tcg/sparc/tcg-target.c`` at 497aebb99e07, early January 2011 (sparc@2010), and in release v1.3.0,
December 2012 (sparc@2012).  In 2010 both branches of an access were stored as the word 0, and
later in the same operation as a whole; a guest's own branch was stored with displacement 0.  a0ce341aac61 (March
2012) moved the fast path into the delay slot of one branch, which is annulled when the branch is
not taken; f4bf0b912e78 (September 2012) kept the displacement in memory for a guest's own branch.  The branch of an
access was stored with displacement 0, a branch to itself, as long as QEMU retranslated (until v2.5).
Encodings: The SPARC Architecture Manual, version 9, appendix A.

The host is the 64-bit one (``--sparc_cpu=v9`` in 2010, a compiler for 64 bits later): both UltraSPARCs are 64-bit
processors, and until a0ce341aac61 the 32-bit backend, which ``configure`` chose on a 32-bit userland, had no 64-bit
accesses.  In that backend an access of 2010 is three words shorter, since constants have fewer bits, and its
second branch jumps 28 bytes ahead instead of 32.
"""

from __future__ import annotations

import abc
from typing import ClassVar

from bench.translators.backend import InLineBackend
from bench.translators.emitter import Emitter
from bench.translators.instruction import Holds, Instruction
from bench.translators.softmmu import COMPARED, HOST_64, HOST_64_2012, PAGE_BITS
from bench.translators.translator import Access
from strategies.writes import Form, Phase

BUFFER = 0x6000_0000
"""The address of the code buffer on 64-bit SPARC in 2010 (``code_gen_alloc`` in exec.c)."""

BUFFER_2012 = 0x4000_0000
"""The address that QEMU asks for in v1.3.0 (``alloc_code_gen_buffer`` in exec.c)."""

HELPERS = {"load": 0x0024_0000, "store": 0x0024_1000}
"""Addresses of the load and store helpers: typical of a program linked at 0x100000, within reach of ``call``."""

BLOCK_POINTER = 0xFFFF_F801_0C00_2010
"""The result of the exit, a pointer to the TranslationBlock: typical of a large ``malloc`` of a 64-bit process."""

_G0, _G1, _G5, _O0, _O1, _O2, _O3, _O7, _I0, _I4, _I5, _FP, _I7 = 0, 1, 5, 8, 9, 10, 11, 15, 24, 28, 29, 30, 31
_ADDRESS, _DATA = 16, 17  # l0 and l1: typical, the first two registers that the allocator gives

SAVED_STATE = 1895
"""The stack offset at which a call saves the pointer to CPUState: 2047 (the stack's bias) less 16, 128 and 8 bytes."""

_ADD, _AND, _OR, _SUBCC, _SLLX, _SRL, _JMPL, _RESTORE = 0x00, 0x01, 0x02, 0x14, 0x25, 0x26, 0x38, 0x3D
_LDUW, _STW, _LDX, _STX = 0x00, 0x04, 0x0B, 0x0E
_BPCC, _BICC, _SETHI = 1, 2, 4
_EQUAL, _ALWAYS = 0x1, 0x8
_ANNUL, _PREDICT_TAKEN = 1 << 29, 1 << 19
_EXTENDED = 1 << 12  # a shift of 64 bits

_ALL = 0xFFFF_FFFF
_DISPLACEMENT_22, _DISPLACEMENT_19 = 0x003F_FFFF, 0x0007_FFFF

_UNKNOWN_BRANCH = Instruction(0, 4)
"""The placeholder of a branch: ``unimp``, which is illegal even where the branch would not be taken."""


def _three(op: int, op3: int, rd: int, rs1: int, operand: int) -> Instruction:
    return Instruction(op << 30 | rd << 25 | op3 << 19 | rs1 << 14 | operand, 4)


def _arithmetic(op3: int, rd: int, rs1: int, operand: int) -> Instruction:
    """An arithmetic instruction; ``operand``: a register, or the result of ``_immediate``."""
    return _three(2, op3, rd, rs1, operand)


def _memory(op3: int, rd: int, rs1: int, operand: int) -> Instruction:
    return _three(3, op3, rd, rs1, operand)


def _immediate(value: int) -> int:
    return 1 << 13 | value & 0x1FFF


def _mov(rd: int, rs: int) -> Instruction:
    return _arithmetic(_OR, rd, rs, _G0)


def _small(rd: int, value: int) -> Instruction:
    """Load a constant of 13 bits."""
    return _arithmetic(_OR, rd, _G0, _immediate(value))


def _constant(rd: int, value: int) -> tuple[Instruction, Instruction]:
    """Load a constant of 32 bits: the upper 22, then the lower 10."""
    return _sethi(rd, value), _arithmetic(_OR, rd, rd, _immediate(value & 0x3FF))


def _sethi(rd: int, value: int) -> Instruction:
    return Instruction(rd << 25 | _SETHI << 22 | (value & _ALL) >> 10, 4)


_NOP = _sethi(_G0, 0)


def _bicc(condition: int, distance: int = 0) -> Instruction:
    """Branch ``distance`` bytes from its own address, by the 32-bit condition codes."""
    return Instruction(condition << 25 | _BICC << 22 | distance >> 2 & _DISPLACEMENT_22, 4)


def _bpcc(condition: int, distance: int = 0, flags: int = 0) -> Instruction:
    """The same branch with prediction and a displacement of 19 bits."""
    return Instruction(condition << 25 | _BPCC << 22 | _PREDICT_TAKEN | flags | distance >> 2 & _DISPLACEMENT_19, 4)


class _Sparc(InLineBackend):
    """The common part of both versions."""

    name = "sparc"
    isa = "sparc"
    byteorder = "big"
    host_bits = 64
    shipped_form = Form.READ_BACK

    _displacement: ClassVar[int]
    _guard_form: ClassVar[Form]

    @staticmethod
    @abc.abstractmethod
    def _branch(distance: int = 0) -> Instruction:
        """Branch ``distance`` bytes from its own address if the result is zero."""

    def _guard(self, out: Emitter) -> int:
        out.put(Phase.GUEST_BRANCH, _arithmetic(_SUBCC, _G0, _DATA, _immediate(0)))
        branch = self._branch().branch("skip", delay_slot=True)
        at = out.begin(Phase.GUEST_BRANCH, branch, known=_ALL & ~self._displacement, form=self._guard_form)
        out.put(Phase.GUEST_BRANCH, _NOP)
        return at

    def _bind_guard(self, out: Emitter, branch: int) -> None:
        word = self._branch(out.here - branch).word
        out.patch(Phase.BRANCH_UPDATE, branch, word, known=self._displacement, form=Form.READ_BACK)

    @staticmethod
    def _index(out: Emitter, mask: int, scratch: int, name: str) -> None:
        """Emit computing the entry's offset in o1 and the expected tag in o0; the mask is too wide for an immediate."""
        out.put(
            Phase.TLB_ACCESS,
            _arithmetic(_SRL, _O1, _ADDRESS, _immediate(PAGE_BITS - HOST_64.entry_bits)).leaving(o1=Holds.PAGE),
            _arithmetic(_AND, _O0, _ADDRESS, _immediate(COMPARED)).leaving(o0=Holds.EXPECTED),
            *(word.leaving(**{name: Holds.CONSTANT}) for word in _constant(scratch, mask)),
            _arithmetic(_AND, _O1, _O1, scratch).leaving(o1=Holds.INDEX),
        )

    def _call(self, out: Emitter, access: Access) -> Instruction:
        """Call the helper from here; the displacement is relative to the call."""
        return Instruction(1 << 30 | (HELPERS[access] - (self.buffer + out.here)) >> 2 & 0x3FFF_FFFF, 4)

    @staticmethod
    def _return(out: Emitter, upper: int, lower: int) -> None:
        """Emit returning the block's pointer, with its upper half in register ``upper`` and its lower in ``lower``."""
        names = {_I0: "i0", _I4: "i4", _O7: "o7"}
        high = (*_constant(upper, BLOCK_POINTER >> 32), _arithmetic(_SLLX, upper, upper, _EXTENDED | _immediate(32)))
        out.put(Phase.EXIT, *(word.leaving(**{names[upper]: Holds.CONSTANT}) for word in high))
        low = _constant(lower, BLOCK_POINTER)
        out.put(Phase.EXIT, *(word.leaving(**{names[lower]: Holds.CONSTANT}) for word in low))
        other = lower if upper == _I0 else upper
        out.put(
            Phase.EXIT,
            _arithmetic(_OR, _I0, _I0, other).leaving(i0=Holds.BLOCK),
            _arithmetic(_JMPL, _G0, _I7, _immediate(8)).exit(delay_slot=True),
            _arithmetic(_RESTORE, _G0, _G0, _G0),
        )

    def destination(self, word: int) -> int | None:
        kind = word >> 22 & 0b111
        if word >> 30 or kind not in (_BPCC, _BICC):
            return None
        bits = 22 if kind == _BICC else 19
        words = word & (1 << bits) - 1
        return 4 * (words - (1 << bits) if words >> bits - 1 else words)


class Sparc2010(_Sparc):
    """QEMU's backend of early January 2011: the placeholder of an access's branch is the word 0."""

    version = "2010"
    buffer = BUFFER
    tlb = HOST_64
    registers: ClassVar[dict[str, Holds]] = {"l0": Holds.ADDRESS, "l1": Holds.VALUE, "g5": Holds.STATE}

    _displacement = _DISPLACEMENT_22
    _guard_form = Form.WHOLE

    @staticmethod
    def _branch(distance: int = 0) -> Instruction:
        return _bicc(_EQUAL, distance)

    @staticmethod
    def _bind(out: Emitter, branch: int, condition: int) -> None:
        """Bind the branch at offset ``branch`` to here: store the whole branch."""
        out.patch(Phase.BRANCH_UPDATE, branch, _bicc(condition, out.here - branch).word, known=_ALL, form=Form.WHOLE)

    def _access(self, out: Emitter, access: Access) -> None:
        tlb, compared = self.tlb, self.tlb.comparator(access)
        self._index(out, tlb.index_mask, _I5, "i5")
        out.put(
            Phase.TLB_ACCESS,
            _arithmetic(_ADD, _O1, _O1, _immediate(tlb.table + compared)).leaving(o1=Holds.INDEX),
            _arithmetic(_ADD, _O1, _G5, _O1).leaving(o1=Holds.ENTRY),
            _memory(_LDUW, _O2, _O1, _G0).leaving(o2=Holds.TAG),
            _arithmetic(_SUBCC, _G0, _O0, _O2),
        )
        hit = out.begin(Phase.BRANCH, _UNKNOWN_BRANCH.branch("hit", delay_slot=True), known=0, form=Form.WHOLE)
        out.put(Phase.TLB_ACCESS, _mov(_O0, _ADDRESS).leaving(o0="l0"))
        self._slow_path(out, access)
        done = out.begin(Phase.BRANCH, _UNKNOWN_BRANCH.branch("always", delay_slot=True), known=0, form=Form.WHOLE)
        out.put(Phase.SLOW_PATH, _NOP)
        self._bind(out, hit, _EQUAL)
        moved = _memory(_LDUW if access == "load" else _STW, _DATA, _O0, _immediate(0)).access()
        out.put(
            Phase.FAST_PATH,
            _memory(_LDX, _O1, _O1, _immediate(tlb.addend - compared)).leaving(o1=Holds.ADDEND),
            *(word.leaving(i5=Holds.CONSTANT) for word in _constant(_I5, _ALL)),
            _arithmetic(_AND, _O0, _ADDRESS, _I5).leaving(o0="l0"),  # zero-extended
            _arithmetic(_ADD, _O0, _O0, _O1).leaving(o0=Holds.HOST_ADDRESS),
            moved.leaving(l1=Holds.VALUE) if access == "load" else moved,
        )
        self._bind(out, done, _ALWAYS)

    def _slow_path(self, out: Emitter, access: Access) -> None:
        """Emit the slow path, with the guest address in o0.  The stack saves g5, which the C library did not keep."""
        if access == "store":
            out.put(Phase.SLOW_PATH, _mov(_O1, _DATA).leaving(o1="l1"), _small(_O2, 0).leaving(o2=Holds.MEMORY_INDEX))
        else:
            out.put(Phase.SLOW_PATH, _small(_O1, 0).leaving(o1=Holds.MEMORY_INDEX))
        call = self._call(out, access)
        if access == "load":
            call = call.call("o0", delay_slot=True, o0=Holds.ADDRESS, o1=Holds.MEMORY_INDEX)
        else:
            call = call.call(None, delay_slot=True, o0=Holds.ADDRESS, o1=Holds.VALUE, o2=Holds.MEMORY_INDEX)
        out.put(
            Phase.SLOW_PATH,
            call,
            _memory(_STX, _G5, _FP, _immediate(SAVED_STATE)),
            _memory(_LDX, _G5, _FP, _immediate(SAVED_STATE)).leaving(g5=Holds.STATE),
        )
        if access == "load":
            out.put(Phase.SLOW_PATH, _mov(_DATA, _O0).leaving(l1="o0"))

    def _exit(self, out: Emitter) -> None:
        self._return(out, _I4, _I0)


class Sparc2012(_Sparc):
    """QEMU's backend in v1.3.0: one branch, begun as a branch to itself, with the fast path in its delay slot."""

    version = "2012"
    patched = 4
    buffer = BUFFER_2012
    tlb = HOST_64_2012
    registers: ClassVar[dict[str, Holds]] = {"l0": Holds.ADDRESS, "l1": Holds.VALUE, "i0": Holds.STATE}

    _displacement = _DISPLACEMENT_19
    _guard_form = Form.READ_BACK

    @staticmethod
    def _branch(distance: int = 0) -> Instruction:
        return _bpcc(_EQUAL, distance)

    def _access(self, out: Emitter, access: Access) -> None:
        tlb = self.tlb
        self._index(out, tlb.index_mask, _G1, "g1")
        out.put(
            Phase.TLB_ACCESS,
            _arithmetic(_ADD, _O1, _I0, _O1).leaving(o1=Holds.ENTRY),
            _memory(_LDUW, _O2, _O1, _immediate(tlb.table + tlb.comparator(access))).leaving(o2=Holds.TAG),
            _memory(_LDX, _O1, _O1, _immediate(tlb.table + tlb.addend)).leaving(o1=Holds.ADDEND),
            _arithmetic(_SUBCC, _G0, _O0, _O2),
            _arithmetic(_SRL, _O0, _ADDRESS, _immediate(0)).leaving(o0="l0"),  # zero-extended
        )
        branch = _bpcc(_EQUAL, flags=_ANNUL).branch("hit", delay_slot=True)
        hit = out.begin(Phase.BRANCH, branch, known=_ALL & ~_DISPLACEMENT_19, form=Form.WHOLE)
        moved = _memory(_LDUW if access == "load" else _STW, _DATA, _O0, _O1).on("hit").access()
        out.put(Phase.FAST_PATH, moved.leaving(l1=Holds.VALUE) if access == "load" else moved)
        out.put(Phase.SLOW_PATH, _mov(_O0, _I0).leaving(o0="i0"), _mov(_O1, _ADDRESS).leaving(o1="l0"))
        if access == "store":
            out.put(Phase.SLOW_PATH, _mov(_O2, _DATA).leaving(o2="l1"))
        call = self._call(out, access)
        if access == "load":
            call = call.call("o0", delay_slot=True, o0=Holds.STATE, o1=Holds.ADDRESS, o2=Holds.MEMORY_INDEX)
            out.put(Phase.SLOW_PATH, call, _small(_O2, 0).leaving(o2=Holds.MEMORY_INDEX))
            out.put(Phase.SLOW_PATH, _mov(_DATA, _O0).leaving(l1="o0"))
        else:
            call = call.call(
                None, delay_slot=True, o0=Holds.STATE, o1=Holds.ADDRESS, o2=Holds.VALUE, o3=Holds.MEMORY_INDEX
            )
            out.put(Phase.SLOW_PATH, call, _small(_O3, 0).leaving(o3=Holds.MEMORY_INDEX))
        # The displacement is or-ed to the old one, with the same result as replacing it: that is 0 or equal.
        word = _bpcc(_EQUAL, out.here - hit, _ANNUL).word
        out.patch(Phase.BRANCH_UPDATE, hit, word, known=_DISPLACEMENT_19, form=Form.READ_BACK)

    def _exit(self, out: Emitter) -> None:
        self._return(out, _I0, _O7)
