"""A wrong fetch laid open: the code as the core fetched it, beside what a debugger reads, both executed.

A debugger reads code through the data side.  So the two listings differ in just the instruction that a
counterexample ends with, and only while the data side holds another value of it than the core fetched.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.autopsy.execution import STATE, STATE_SIZE, Executed, Way, execute, image_of, ways
from bench.support.errors import InputError
from bench.translators.backend import Backend
from bench.translators.disassembly import disassembler
from bench.translators.translator import Access, Code, Translator


@dataclass(frozen=True, slots=True)
class Line:
    """One instruction at ``offset``: bytes (in memory order, in hexadecimal) and text, as fetched and as read."""

    offset: int
    fetched: str
    fetched_text: str
    read: str
    read_text: str

    @property
    def differs(self) -> bool:
        """The core fetched something else than a debugger reads."""
        return self.fetched != self.read


@dataclass(frozen=True, slots=True)
class Run:
    """The same block executed as fetched and as read, in one of the ways that its access can go."""

    way: Way
    fetched: Executed
    read: Executed


@dataclass(frozen=True, slots=True)
class Autopsy:
    """Both listings in memory order, and both executions for each way.

    ``offset``: of the instruction that was fetched wrong; ``data_register``: what a guest load sets.
    """

    offset: int
    access: Access
    data_register: str
    lines: tuple[Line, ...]
    runs: tuple[Run, ...]


def autopsy(translator: Translator, code: Code, access: Access, offset: int, fetched: int, read: int) -> Autopsy:
    """Open the block in which a core fetched ``fetched`` at ``offset``, where the data side holds ``read``.

    ``access`` is the last of the block's accesses.  Raises ``InputError`` where Unicorn is not installed or does not
    execute what the translator emits.
    """
    if not isinstance(translator, Backend):
        raise InputError(f"{translator.full_name} is no backend of QEMU's", expected="a shipped translator")
    as_fetched = image_of(translator, code, {offset: fetched})
    as_read = image_of(translator, code, {offset: read})
    disassemble = disassembler(translator, code)
    order = translator.byteorder
    lines = []
    for unit in code.whole:
        place = slice(unit.offset, unit.offset + unit.size)
        one, other = as_fetched[place], as_read[place]
        lines.append(
            Line(
                unit.offset,
                one.hex(" "),
                disassemble(unit, int.from_bytes(one, order)),
                other.hex(" "),
                disassemble(unit, int.from_bytes(other, order)),
            )
        )
    runs = tuple(
        Run(way, execute(translator, code, as_fetched, access, way), execute(translator, code, as_read, access, way))
        for way in ways(translator, code)
    )
    return Autopsy(offset, access, translator.data_register, tuple(lines), runs)


def described(value: int) -> str:
    """An address, and what it points to if that is the guest's state."""
    if STATE <= value < STATE + STATE_SIZE:
        return f"{value:#x}, a host pointer {value - STATE:#x} bytes into the guest's state"
    return f"{value:#x}"
