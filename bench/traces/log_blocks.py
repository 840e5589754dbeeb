"""The translations in a QEMU log: ``IN`` blocks (guest code) and ``OUT`` blocks (host code)."""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Final, NamedTuple

import numpy as np

from bench.traces import log_kernel as k
from bench.traces.guests import GuestInstruction, guests_of, parse_instruction
from bench.traces.trace import Guest

_SIZE = re.compile(rb"\w+: \[size=(\d{1,9})\]")
_GUEST_LINES = re.compile(rb"\n0x([0-9a-f]{8,16}):  (.*)")
_GUEST_LINE = re.compile(rb"0x([0-9a-f]{8,16}):  (.*)", re.DOTALL)
_NOTES = re.compile(rb"(?:Priv|Function): .*")  # of RISC-V
_FOREIGN = re.compile(rb"\n(?!0x|(?:Priv|Function): ).")
_MOST_KNOWN: Final = 1 << 16
_INSTRUCTION: Final = "an instruction of the guest, as -d in_asm prints it"
_NEXT: Final = "the next line of an OUT block, with an ascending address inside the block"

ANY_ADDRESS: Final = -1
"""The address of an instruction that an EXECUTE of s390x runs: QEMU prints the instruction, not where it is."""
# Left-aligned; the length follows from the first two bits.
_EXECUTE = re.compile(rb"IN: EXECUTE ([0-9a-f]{16})")


class BlockError(Exception):
    """Line ``line`` of a block (from 0) is not what it should be; an empty ``found`` stands for the line itself."""

    def __init__(self, line: int, expected: str, found: str = "") -> None:
        super().__init__(expected)
        self.line = line
        self.expected = expected
        self.found = found


# --- host code ------------------------------------------------------------------------------------------------------


class HostCode(NamedTuple):
    """An ``OUT`` block.

    ``start``, ``size``  host address and bytes of the code, slow paths and constants included
    ``fast``             bytes before them
    ``marked``, ``offsets``  for each guest instruction with host code its address as printed, and where that code is
    """

    start: int
    size: int
    fast: int
    marked: list[int]
    offsets: list[int]


def block_size(text: bytes) -> int:
    """The bytes of the ``OUT`` block or the prologue whose first line begins ``text``.  Raises ``BlockError``."""
    line = text.partition(b"\n")[0]
    match = _SIZE.fullmatch(line)
    if match is None:
        raise BlockError(0, f"{line[: line.find(b':')].decode()}: [size=BYTES]")
    if not int(match[1]):
        raise BlockError(0, "its length in bytes", "a block of 0 bytes")
    return int(match[1])


def check_open(text: bytes) -> None:
    """Check that guest code at the end of a log, which breaks off, has no foreign line.  Raises ``BlockError``."""
    if foreign := _FOREIGN.search(text):
        raise BlockError(text.count(b"\n", 0, foreign.start() + 1), _INSTRUCTION)


class HostReader:
    """Parses ``OUT`` blocks."""

    def __init__(self) -> None:
        self._marked = np.zeros(k.MOST_MARKS, np.uint64)
        self._offsets = np.zeros(k.MOST_MARKS, np.int64)
        self._found = np.zeros(k.LINES + 1, np.int64)

    def read(self, text: bytearray, at: int, end: int) -> HostCode:
        """Parse the block that begins at ``text[at]``; ``text[:end]`` are complete lines.  Raises ``BlockError``."""
        begin = text.index(b"\n", at) + 1
        size = block_size(bytes(text[at:begin]))
        data = np.frombuffer(text, np.uint8)
        good = k.host_lines(data, begin, end, size, self._marked, self._offsets, self._found)
        count, start, fast, lines = self._found.tolist()
        if not good:
            raise BlockError(lines + 1, _NEXT)
        return HostCode(start, size, fast, self._marked[:count].tolist(), self._offsets[:count].tolist())


# --- guest code -----------------------------------------------------------------------------------------------------


class GuestCode(NamedTuple):
    """An ``IN`` block: the guest address of each instruction, the accesses so far at its end, and the bytes of all.

    ``last``  the text of the last instruction, spaces squeezed
    """

    addresses: list[int]
    so_far: list[int]
    size: int
    last: bytes


class GuestReader:
    """Parses ``IN`` blocks, and finds out which guest they are of."""

    def __init__(self, guest: Guest | None = None) -> None:
        """``guest``: what the instructions are of, if that is known."""
        self._guest = guest
        self._candidates: set[Guest] | None = None
        self._wide = False
        self._known: dict[bytes, GuestInstruction] = {}

    @property
    def guest(self) -> Guest | None:
        """The guest, as far as its instructions show it; the first of several that have all of them."""
        if self._guest == "mips" and self._wide:
            return "mips64"
        return self._guest or (min(self._candidates) if self._candidates else None)

    def read(self, text: bytes) -> GuestCode:
        """Parse an ``IN`` block, without its blank line, from the line ``IN:`` on.  Raises ``BlockError``."""
        quick = self._read_known(text)
        if quick is not None:
            return quick
        head, *lines = text.split(b"\n")
        if not lines and (execute := _EXECUTE.match(head)):
            return GuestCode([ANY_ADDRESS], [0], (2, 4, 4, 6)[int(execute[1][:1], 16) >> 2], b"")
        addresses: list[int] = []
        so_far: list[int] = []
        accesses = size = 0
        first = -1
        last = b""
        for number, line in enumerate(lines, 1):
            address_text, _, code = line.partition(b":  ")
            instruction = self._known.get(code)
            if instruction is None:
                match = _GUEST_LINE.fullmatch(line)
                if match is None:
                    if _NOTES.fullmatch(line):
                        continue
                    raise BlockError(number, _INSTRUCTION)
                instruction = self._learn(match[2], number)
                if len(match[1]) > 8 and int(match[1], 16) >> 32:
                    self._wide = True
            try:
                address = int(address_text, 16)
            except ValueError:
                raise BlockError(number, _INSTRUCTION) from None
            if first < 0:
                first = address
            if address != first + size:
                raise BlockError(number, f"the guest address {first + size:#x}")
            size += instruction.size
            if instruction.text:
                accesses += instruction.accesses
                addresses.append(address)
                so_far.append(accesses)
                last = instruction.text
        if not addresses:
            raise BlockError(1, "a guest instruction", "an IN block without instructions")
        return GuestCode(addresses, so_far, size, last)

    def _read_known(self, text: bytes) -> GuestCode | None:
        """The same for lines of a guest that is known, one for each instruction; ``None`` if some are not."""
        lines = _GUEST_LINES.findall(text)
        if not lines or len(lines) != text.count(b"\n") or self._guest is None:
            return None
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        known = []
        for _, code in lines:
            instruction = self._known.get(code) or parse_instruction(code, self._guest)
            if instruction is None:
                return None
            self._known[code] = instruction
            known.append(instruction)
        addresses = [int(address, 16) for address, _ in lines]
        self._wide = self._wide or bool(addresses[0] >> 32)
        ends = list(accumulate([instruction.size for instruction in known], initial=addresses[0]))
        last = known[-1].text
        if addresses != ends[:-1] or not all(instruction.text for instruction in known):
            return None
        so_far = list(accumulate([instruction.accesses for instruction in known]))
        return GuestCode(addresses, so_far, ends[-1] - ends[0], last)

    def _learn(self, code: bytes, number: int) -> GuestInstruction:
        """Parse an instruction, and narrow down the guest by it."""
        found = self._guest
        if found is None:
            possible = dict(guests_of(code))
            if "mips" in possible:
                possible.pop("mips64")
            candidates = set(possible) if self._candidates is None else self._candidates & set(possible)
            if not candidates:
                raise BlockError(number, _INSTRUCTION)
            own = [guest for guest in candidates if possible[guest]]
            self._candidates = candidates
            if len(candidates) == 1 or len(own) == 1:
                self._guest = found = own[0] if len(own) == 1 else candidates.pop()
            else:
                found = min(candidates)
        instruction = parse_instruction(code, found)
        if instruction is None:
            expected = (
                f"a guest instruction of {self._guest}, as before" if self._guest and self._known else _INSTRUCTION
            )
            raise BlockError(number, expected)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        if self._guest is not None:
            self._known[code] = instruction
        return instruction
