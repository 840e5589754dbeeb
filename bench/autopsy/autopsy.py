"""The autopsy of a wrong fetch: the code as the core fetched it and as a debugger reads it, both executed.

A debugger reads code through the data side.  The two listings differ only in the instruction that a counterexample ends
with, and only while the data side holds another value than the core fetched.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.autopsy.execution import STATE, STATE_SIZE, AccessPath, Executed, access_paths, execute, image_of
from bench.support.errors import InputError
from bench.translators.backend import Backend
from bench.translators.disassembly import disassembler
from bench.translators.translator import Access, Code, Translator


@dataclass(frozen=True, slots=True)
class ListingLine:
    """One instruction at ``offset``: bytes (in memory order, hexadecimal) and text, as fetched and as read."""

    offset: int
    fetched: str
    fetched_text: str
    read: str
    read_text: str

    @property
    def differs(self) -> bool:
        """Whether the core fetched another value than a debugger reads."""
        return self.fetched != self.read


@dataclass(frozen=True, slots=True)
class ExecutionPair:
    """The block executed as fetched and as read, for one outcome of its access."""

    way: AccessPath
    fetched: Executed
    read: Executed


@dataclass(frozen=True, slots=True)
class Autopsy:
    """Both listings in memory order, and both executions for each outcome of the access.

    ``offset``: of the instruction that was fetched wrong; ``data_register``: the register that a guest load sets.
    """

    offset: int
    access: Access
    data_register: str
    lines: tuple[ListingLine, ...]
    runs: tuple[ExecutionPair, ...]


def autopsy(translator: Translator, code: Code, access: Access, offset: int, fetched: int, read: int) -> Autopsy:
    """The autopsy of a block in which a core fetched ``fetched`` at ``offset`` while the data side held ``read``.

    ``access``: the last access of the block.  Raises ``InputError`` if Unicorn is not installed or does not support the
    translator's instruction set.
    """
    if not isinstance(translator, Backend):
        raise InputError(f"{translator.full_name} is not a backend of QEMU", expected="a shipped translator")
    as_fetched = image_of(translator, code, {offset: fetched})
    as_read = image_of(translator, code, {offset: read})
    disassemble = disassembler(translator, code)
    order = translator.byteorder
    lines = []
    for unit in code.whole:
        place = slice(unit.offset, unit.offset + unit.size)
        one, other = as_fetched[place], as_read[place]
        lines.append(
            ListingLine(
                unit.offset,
                one.hex(" "),
                disassemble(unit, int.from_bytes(one, order)),
                other.hex(" "),
                disassemble(unit, int.from_bytes(other, order)),
            )
        )
    runs = tuple(
        ExecutionPair(
            way, execute(translator, code, as_fetched, access, way), execute(translator, code, as_read, access, way)
        )
        for way in access_paths(translator, code)
    )
    return Autopsy(offset, access, translator.data_register, tuple(lines), runs)


def described(value: int) -> str:
    """An address, with a remark if it points into the guest's state."""
    if STATE <= value < STATE + STATE_SIZE:
        return f"{value:#x}, a host pointer {value - STATE:#x} bytes into the guest's state"
    return f"{value:#x}"
