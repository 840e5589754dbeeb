"""The common part of the i386 and x86-64 backends: encodings, and the guest access.

Source: QEMU's ``tcg/i386/tcg-target.c`` at 497aebb99e07, early January 2011, one file for i386 and x86-64.  The
short branches of an access are begun by storing the opcode byte and skipping
the displacement byte, so that no temporary value reaches memory; a label behind the operation gets a displacement of
four bytes in the same way.
Encodings: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from bench.translators.backend import InLineBackend
from bench.translators.emitter import Emitter
from bench.translators.instruction import Holds, Instruction
from bench.translators.softmmu import COMPARED, PAGE_BITS
from bench.translators.translator import Access
from strategies.writes import Form, Phase

EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI = range(8)
NAMES = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")
"""The registers' names, by their number."""

STACK = "[esp]"
"""An argument on the stack, in place of a register's name."""

_ADD, _AND, _XOR, _CMP = 0, 4, 6, 7
_SHR = 5
_DIRECT, _NO_OFFSET, _OFFSET_8, _OFFSET_32 = 3, 0, 1, 2
_SIB = 4  # in the place of a base register: a byte with base and index follows

_JNE, _JMP, _JE_LONG = 0x75, 0xEB, 0x84
_OPCODE, _DISPLACEMENT = 0x00FF, 0xFF00


def encode(*parts: int | bytes) -> Instruction:
    """The instruction with these bytes."""
    code = b"".join(part if isinstance(part, bytes) else bytes((part,)) for part in parts)
    return Instruction(int.from_bytes(code, "little"), len(code))


def signed(value: int, size: int = 4) -> bytes:
    """``value`` in ``size`` bytes."""
    return value.to_bytes(size, "little", signed=True)


def _from_signed(value: int, size: int) -> int:
    return int.from_bytes(value.to_bytes(size, "little"), "little", signed=True)


def _modrm(mode: int, register: int, operand: int) -> int:
    return mode << 6 | (register & 7) << 3 | operand & 7


def _mov(target: int, source: int) -> Instruction:
    return encode(0x8B, _modrm(_DIRECT, target, source)).leaving(**{NAMES[target]: NAMES[source]})


def _clear(register: int) -> Instruction:
    return encode(_XOR << 3 | 3, _modrm(_DIRECT, register, register))


def _and(register: int, value: int) -> Instruction:
    return encode(0x81, _modrm(_DIRECT, _AND, register), signed(value))


def _compare(register: int, base: int, offset: int) -> Instruction:
    """Compare a register with memory."""
    if offset == 0:
        return encode(_CMP << 3 | 3, _modrm(_NO_OFFSET, register, base))
    return encode(_CMP << 3 | 3, _modrm(_OFFSET_8, register, base), signed(offset, 1))


def _short(opcode: int, distance: int = 2) -> Instruction:
    """Branch ``distance`` bytes from its own address."""
    return encode(opcode, signed(distance - 2, 1))


class X86(InLineBackend):
    """The backend of early January 2011, and until the slow path moved in v1.3 (b76f0d8c2e3e).

    ``arguments``: the registers of a helper's arguments, in order; ``address``, ``address_high``, ``data``: the
    registers of the access; ``env``: the register that points to CPUState; ``wide``, ``wide_env``: the prefix of an
    instruction on pointers, and of one with ``env``; ``helpers``: the addresses of the helpers.
    """

    byteorder = "little"
    shipped_form = Form.SKIP_BYTES

    arguments: ClassVar[tuple[int, int, int]]
    address: ClassVar[int]
    address_high: ClassVar[int | None] = None
    data: ClassVar[int]
    env: ClassVar[int]
    wide: ClassVar[bytes] = b""
    wide_env: ClassVar[bytes] = b""
    helpers: ClassVar[Mapping[str, int]]

    def relative(self, opcode: int, target: int, here: int) -> Instruction:
        """Call or jump to the address ``target`` from offset ``here``; the displacement is relative to the next one.

        On a 32-bit host it wraps around the address space.
        """
        distance = target - (self.buffer + here + 5)
        if self.host_bits == 32:
            distance = _from_signed(distance & 0xFFFF_FFFF, 4)
        return encode(opcode, signed(distance))

    def _guard(self, out: Emitter) -> int:
        out.put(Phase.GUEST_BRANCH, encode(0x85, _modrm(_DIRECT, self.data, self.data)))  # test
        branch = encode(0x0F, _JE_LONG, signed(0)).branch("skip")
        return out.begin(Phase.GUEST_BRANCH, branch, known=0xFFFF, form=Form.SKIP_BYTES)

    def _bind_guard(self, out: Emitter, branch: int) -> None:
        word = encode(0x0F, _JE_LONG, signed(out.here - branch - 6)).word
        out.patch(Phase.BRANCH_UPDATE, branch, word, known=0xFFFF_FFFF_0000, form=Form.SKIP_BYTES)

    def _access(self, out: Emitter, access: Access) -> None:
        missed = self._look_up(out, access)
        first = self.arguments[0]
        moved = encode(0x8B if access == "load" else 0x89, _modrm(_NO_OFFSET, self.data, first)).access()
        out.put(Phase.FAST_PATH, moved.leaving(**{NAMES[self.data]: Holds.VALUE}) if access == "load" else moved)
        done = out.begin(Phase.BRANCH, _short(_JMP).branch("always"), known=_OPCODE, form=Form.SKIP_BYTES)
        for branch in missed:
            self._bind(out, branch, _JNE)
        self._call(out, access)
        self._bind(out, done, _JMP)

    def _look_up(self, out: Emitter, access: Access) -> list[int]:
        """Emit the TLB look-up (``tcg_out_tlb_load``).  Returns the offsets of the branches to the slow path."""
        tlb = self.tlb_for(out.guest_bits)
        compared = tlb.comparator(access)
        first, second, _ = self.arguments
        wide_guest = out.guest_bits > self.host_bits
        out.put(
            Phase.TLB_ACCESS,
            _mov(second, self.address),
            _mov(first, self.address),
            encode(0xC1, _modrm(_DIRECT, _SHR, second), PAGE_BITS - tlb.entry_bits).leaving(
                **{NAMES[second]: Holds.PAGE}
            ),
            _and(first, COMPARED).leaving(**{NAMES[first]: Holds.EXPECTED}),
            _and(second, tlb.index_mask).leaving(**{NAMES[second]: Holds.INDEX}),
            encode(
                self.wide_env,
                0x8D,
                _modrm(_OFFSET_32, second, _SIB),
                _modrm(0, second, self.env),
                signed(tlb.table + compared),
            ).leaving(**{NAMES[second]: Holds.ENTRY}),  # lea second, [env + second + offset]
            _compare(first, second, 0),
            _mov(first, self.address),
        )
        branch = _short(_JNE).branch("low differs" if wide_guest else "miss")
        missed = [out.begin(Phase.BRANCH, branch, known=_OPCODE, form=Form.SKIP_BYTES)]
        if wide_guest:
            assert self.address_high is not None
            out.put(Phase.TLB_ACCESS, _compare(self.address_high, second, 4))
            branch = _short(_JNE).branch("high differs")
            missed.append(out.begin(Phase.BRANCH, branch, known=_OPCODE, form=Form.SKIP_BYTES))
        added = encode(
            self.wide, _ADD << 3 | 3, _modrm(_OFFSET_8, first, second), signed(tlb.addend - compared, 1)
        ).leaving(**{NAMES[first]: Holds.HOST_ADDRESS})
        out.put(Phase.FAST_PATH, added)
        return missed

    def _call(self, out: Emitter, access: Access) -> None:
        """Emit the slow path; the guest address, or its low half, is in its register already."""
        needs = {NAMES[self.arguments[0]]: Holds.ADDRESS}
        free = list(self.arguments[1:])
        if out.guest_bits > self.host_bits:
            assert self.address_high is not None
            target = free.pop(0)
            out.put(Phase.SLOW_PATH, _mov(target, self.address_high))
            needs[NAMES[target]] = Holds.ADDRESS_HIGH
        if access == "store":
            target = free.pop(0)
            out.put(Phase.SLOW_PATH, _mov(target, self.data))
            needs[NAMES[target]] = Holds.VALUE
        index = NAMES[free[0]] if free else STACK
        set_index = _clear(free[0]) if free else encode(0x6A, 0)  # push
        out.put(Phase.SLOW_PATH, set_index.leaving(**{index: Holds.MEMORY_INDEX}))
        needs[index] = Holds.MEMORY_INDEX
        call = self.relative(0xE8, self.helpers[access], out.here)
        out.put(Phase.SLOW_PATH, call.call(NAMES[EAX] if access == "load" else None, delay_slot=False, over=0, **needs))
        if access == "load":
            out.put(Phase.SLOW_PATH, _mov(self.data, EAX))
        if not free:
            # Pop the stack by ``pop ecx``, which is shorter than an addition to esp.
            out.put(Phase.SLOW_PATH, encode(0x58 | ECX).leaving(ecx=STACK))

    @staticmethod
    def _bind(out: Emitter, branch: int, opcode: int) -> None:
        """Bind the branch at offset ``branch`` to here: store its displacement byte."""
        word = _short(opcode, out.here - branch).word
        out.patch(Phase.BRANCH_UPDATE, branch, word, known=_DISPLACEMENT, form=Form.SKIP_BYTES)

    def destination(self, word: int) -> int | None:
        if word & 0xFF in (_JNE, _JMP):
            return 2 + _from_signed(word >> 8, 1)
        if word & 0xFFFF == 0x0F | _JE_LONG << 8:
            return 6 + _from_signed(word >> 16, 4)
        return None
