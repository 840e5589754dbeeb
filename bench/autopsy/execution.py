"""Executing one image of a block, with the guest's state, a software TLB and one guest page.

The code buffer around the block holds other blocks, since a wild branch lands in one: each has the same access
behind a branch of the guest's own.  A helper call behaves like the guest's MMU: one page of the guest is mapped, and
any other address faults.  A jump out of the buffer to an address that the complete code does not jump to is wild.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from bench.autopsy.processor import STACK, Processor
from bench.program.layout import aligned
from bench.translators.backend import Backend
from bench.translators.flow import outcomes
from bench.translators.instruction import Fact, Holds, Placed
from bench.translators.softmmu import PAGE_BITS
from bench.translators.translator import Access, Code, GuestBits

Ended = Literal["exit", "guest fault", "loop", "illegal instruction", "wild"]

GUEST_ADDRESS = 0x0040_1230
"""The guest address of the access: an aligned word in the only mapped page."""
LOADED = 0x1357_9BDF
"""The word at that address."""
STORED = 0x2468_ACE0
"""The value of a guest store."""
STATE = 0x2000_0000
"""The host address of the guest's state (CPUState), which contains the TLB."""
STATE_SIZE = 0x10000
"""Bytes."""
_IN_PAGE = GUEST_ADDRESS % (1 << PAGE_BITS)
_PAGE_AT = 0x3000_0000
"""The host address of the guest's page."""
_AROUND = 0x40000
"""Bytes of code buffer on either side of the block: more than the reach of a 16-bit branch offset in words."""
_LIMIT = 400
"""The instruction limit: a block has a few dozen, so that a longer execution is a loop."""
_HOST_PAGE = 0x10000
"""The mapping granularity in bytes, a multiple of every host's page."""


@dataclass(frozen=True, slots=True)
class HelperCall:
    """A helper call at ``offset``: the argument registers with their values, and the guest ``address`` in them."""

    offset: int
    registers: tuple[tuple[str, int], ...]
    address: int


@dataclass(frozen=True, slots=True)
class Executed:
    """The result of one execution.

    ``offsets``: of the executed instructions, in order, in bytes from the start of the block (in another block of the
    buffer they are negative or larger than its size).  ``ended``: at the block's exit; with a guest fault (the helper
    got an address that the guest has not mapped); in a loop; at an illegal instruction; or ``wild``, somewhere in the
    host.  ``at``: the offset of the end; ``address``: the same as a host address.  ``result``: the data register at the
    end.  ``page``: the word in the guest's page at the end.
    """

    offsets: tuple[int, ...]
    ended: Ended
    at: int
    calls: tuple[HelperCall, ...]
    result: int
    page: int
    address: int


@dataclass(frozen=True, slots=True)
class AccessPath:
    """One outcome of a block's guest access: ``name`` is ``hit``, ``miss`` or ``skip``."""

    name: str
    facts: frozenset[Fact]


def access_paths(backend: Backend, code: Code) -> Iterator[AccessPath]:
    """The outcomes of a block's guest access."""
    for name, facts, faults in outcomes(code.guest_bits, backend.host_bits, guarded=code.guarded):
        if not faults:
            yield AccessPath(name, facts)


def execute(backend: Backend, code: Code, image: bytes, access: Access, way: AccessPath) -> Executed:
    """Execute ``image`` as the block.  Raises ``InputError`` if Unicorn is missing or lacks the instruction set."""
    own = _targets(backend, access, code.guest_bits, guarded=code.guarded)
    others = _targets(backend, access, code.guest_bits, guarded=True)
    return _Execution(backend, code, image, access, way, (own, others)).run()


Targets = dict[int, int]
"""The addresses outside the buffer that the complete code of a block jumps to, by offset of the call or exit."""


@lru_cache(maxsize=256)
def _targets(backend: Backend, access: Access, guest_bits: GuestBits, *, guarded: bool) -> Targets:
    code = backend.block(0, (access,), guarded=guarded, guest_bits=guest_bits)
    found: Targets = {}
    for way in access_paths(backend, code):
        execution = _Execution(backend, code, image_of(backend, code), access, way, None)
        execution.run()
        found |= execution.targets
    return found


def image_of(backend: Backend, code: Code, wrong: Mapping[int, int] | None = None) -> bytes:
    """The bytes of a complete block, with ``wrong`` words at some offsets."""
    return b"".join(
        (wrong or {}).get(unit.offset, unit.final).to_bytes(unit.size, backend.byteorder) for unit in code.whole
    )


class _Execution:
    """One execution; ``known``: the targets of the block and of the blocks around it, None to learn the former."""

    def __init__(
        self,
        backend: Backend,
        code: Code,
        image: bytes,
        access: Access,
        way: AccessPath,
        known: tuple[Targets, Targets] | None,
    ) -> None:
        self.backend, self.code, self.access, self.way, self.known = backend, code, access, way, known
        self.targets: Targets = {}
        self.processor = Processor.of(backend)
        self.unicorn = self.processor.unicorn
        self.buffer = backend.buffer
        self.emulator: Any = self.processor.start()
        self.other = backend.block(0, (access,), guarded=True, guest_bits=code.guest_bits)
        self.placed = tuple({item.offset: item for item in each.placed} for each in (code, self.other))
        self.first, self.stride = (aligned(each.size, backend.alignment) for each in (code, self.other))
        self.executed: list[int] = []
        self.trapped = False
        self.left: list[int] = []
        self._map_code(image)
        self._map_data()
        self._set_registers()
        self.emulator.hook_add(self.unicorn.UC_HOOK_CODE, self._log)
        self.emulator.hook_add(self.unicorn.UC_HOOK_INTR, self._trap)
        self.emulator.hook_add(self.unicorn.UC_HOOK_MEM_UNMAPPED, self._map_on_demand)

    # - memory and registers

    def _map_code(self, image: bytes) -> None:
        buffer = self.buffer
        self.low = max(buffer - _AROUND, 0) // _HOST_PAGE * _HOST_PAGE
        self.high = (buffer + _AROUND) // _HOST_PAGE * _HOST_PAGE
        self.emulator.mem_map(self.low, self.high - self.low)
        other = image_of(self.backend, self.other).ljust(self.stride, b"\0")
        before = (buffer - self.low) // self.stride
        after = (self.high - buffer - self.first) // self.stride
        self.emulator.mem_write(buffer - before * self.stride, other * before)
        self.emulator.mem_write(buffer, image)
        self.emulator.mem_write(buffer + self.first, other * after)

    def _block(self, offset: int) -> tuple[int, int]:
        """The block that contains an offset: 0 for the block itself, 1 for another one; and its start."""
        if 0 <= offset < self.first:
            return 0, 0
        grid = self.first if offset > 0 else 0
        return 1, (offset - grid) // self.stride * self.stride + grid

    def _map_data(self) -> None:
        self.emulator.mem_map(STATE, STATE_SIZE)
        self.emulator.mem_map(_PAGE_AT, _HOST_PAGE)
        self.emulator.mem_map(STACK - _HOST_PAGE, 2 * _HOST_PAGE)
        order, host = self.backend.byteorder, self.backend.host_bits // 8
        tlb = self.backend.tlb_for(self.code.guest_bits)
        page = GUEST_ADDRESS >> PAGE_BITS << PAGE_BITS
        entry = STATE + tlb.table + ((GUEST_ADDRESS >> PAGE_BITS << tlb.entry_bits) & tlb.index_mask)
        wide = self.code.guest_bits // 8
        tag = page
        if "low differs" in self.way.facts:
            tag ^= 1 << PAGE_BITS
        elif "high differs" in self.way.facts:
            tag |= 1 << 32
        elif "miss" in self.way.facts:
            tag = (1 << 8 * wide) - 1  # the tag of an invalid entry
        addend = (_PAGE_AT - page) % (1 << 8 * host)
        self.emulator.mem_write(entry + tlb.comparator(self.access), tag.to_bytes(wide, order))
        self.emulator.mem_write(entry + tlb.addend, addend.to_bytes(host, order))
        self.emulator.mem_write(_PAGE_AT + _IN_PAGE, LOADED.to_bytes(4, order))

    def _set_registers(self) -> None:
        data = 0 if "skip" in self.way.facts else STORED
        values = {Holds.ADDRESS: GUEST_ADDRESS, Holds.ADDRESS_HIGH: 0, Holds.VALUE: data, Holds.STATE: STATE}
        for name, held in self.backend.registers.items():
            self.emulator.reg_write(self.processor.register(name), values[held])

    # - execution

    def _log(self, emulator: Any, address: int, size: int, data: Any) -> None:
        if self.low <= address < self.high:
            self.executed.append(address - self.buffer)
        else:
            self.left.append(address)
            emulator.emu_stop()

    def _trap(self, emulator: Any, number: int, data: Any) -> None:
        self.trapped = True
        emulator.emu_stop()

    def _map_on_demand(self, emulator: Any, kind: int, address: int, size: int, value: int, data: Any) -> bool:
        """Map other memory of the host (a function's descriptor, the code of helpers) as zeros."""
        emulator.mem_map(address // _HOST_PAGE * _HOST_PAGE, 2 * _HOST_PAGE)
        return True

    def run(self) -> Executed:
        calls: list[HelperCall] = []
        at = 0
        ended: Ended
        while True:
            left = _LIMIT - len(self.executed)
            stopped = self._emulate(self.buffer + at, max(left, 1))
            at = stopped - self.buffer
            # Some processors report a jump to unmapped memory as an exception.
            origin = self._came_from() if self.left or self.trapped else None
            if origin is None and self.trapped:
                ended = "illegal instruction"
                at = self.executed[-1]
                break
            if len(self.executed) >= _LIMIT:
                ended = "loop"
                break
            if origin is None or not self._meant(*origin, stopped):
                ended = "wild"
                break
            if origin[1].instruction.does == "exit":
                ended = "exit"
                break
            call = self._call(*origin)
            calls.append(call)
            if call.address != GUEST_ADDRESS:
                ended = "guest fault"
                break
            at = self._answer(*origin)
            self.trapped = False
        result = self._read(self.backend.data_register) & 0xFFFF_FFFF
        word = self.emulator.mem_read(_PAGE_AT + _IN_PAGE, 4)
        page = int.from_bytes(word, self.backend.byteorder)
        return Executed(tuple(self.executed), ended, at, tuple(calls), result, page, self.buffer + at)

    def _emulate(self, start: int, count: int) -> int:
        """Run until control leaves the buffer or the execution ends.  Returns the address."""
        self.left.clear()
        try:
            self.emulator.emu_start(start, (1 << self.backend.host_bits) - 4, count=count)
        except self.unicorn.UcError:
            self.trapped = not self.left
        return self.left[0] if self.left else int(self.emulator.reg_read(self.processor.program_counter))

    def _came_from(self) -> tuple[int, Placed] | None:
        """The call or exit that left the buffer, with its offset: the last instruction, or the one before its slot."""
        for offset in self.executed[:-3:-1]:
            kind, start = self._block(offset)
            item = self.placed[kind].get(offset - start)
            if item is not None and item.instruction.does in ("call", "exit"):
                return offset, item
        return None

    def _meant(self, offset: int, origin: Placed, address: int) -> bool:
        """Whether the target of the call or exit at ``offset`` is that of the complete code.

        The blocks around are encoded for the address of the block itself: a relative call is off by their distance.
        """
        if self.known is None:
            self.targets[origin.offset] = address
            return True
        kind, start = self._block(offset)
        return address - self.known[kind].get(origin.offset, -1) in (0, start)

    def _read(self, name: str) -> int:
        if name.startswith("["):  # an argument on the stack
            place = self.emulator.reg_read(self.processor.stack_pointer) + self.processor.pushed
            return int.from_bytes(self.emulator.mem_read(place, self.backend.host_bits // 8), self.backend.byteorder)
        return int(self.emulator.reg_read(self.processor.register(name)))

    def _call(self, offset: int, origin: Placed) -> HelperCall:
        registers = tuple((name, self._read(name)) for name, _ in origin.instruction.needs)
        held = {what: value for (_, what), (_, value) in zip(origin.instruction.needs, registers, strict=True)}
        address = held[Holds.ADDRESS] & 0xFFFF_FFFF | (held.get(Holds.ADDRESS_HIGH, 0) & 0xFFFF_FFFF) << 32
        return HelperCall(offset, registers, address)

    def _answer(self, offset: int, origin: Placed) -> int:
        """Make the access as the helper.  Returns the offset after the call, or that in the link register."""
        order, place = self.backend.byteorder, _PAGE_AT + _IN_PAGE
        if self.access == "store":
            held = dict(self._call(offset, origin).registers)
            needs = {what: name for name, what in origin.instruction.needs}
            self.emulator.mem_write(place, (held[needs[Holds.VALUE]] & 0xFFFF_FFFF).to_bytes(4, order))
        for name, _ in origin.instruction.sets:
            value = int.from_bytes(self.emulator.mem_read(place, 4), order)
            self.emulator.reg_write(self.processor.register(name), value)
        if origin.instruction.tail:
            links = {item.instruction.links for item in self.code.placed} - {None}
            return self._read(str(links.pop())) - self.buffer
        after = offset + origin.instruction.size + origin.instruction.over
        if origin.instruction.delay_slot:
            kind, _ = self._block(offset)
            after += self.placed[kind][origin.offset + origin.instruction.size].instruction.size
        return after
