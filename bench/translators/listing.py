"""The listing of a block: every store in time order, and the memory contents after it."""

from __future__ import annotations

from dataclasses import dataclass

from bench.translators.consequence import Consequence, consequences
from bench.translators.disassembly import disassembler
from bench.translators.translator import Code, Translator
from strategies.evaluation import ask
from strategies.operations import Store
from strategies.retranslation.unfixed import Unfixed
from strategies.writes import Form, Phase, Write

_AS_EMITTED = Unfixed()


@dataclass(frozen=True, slots=True)
class ListingRow:
    """One store of a retranslation into a complete block.

    ``order``: its number in time, from 0.  ``offset``: of the instruction, in bytes from the start of the block.
    ``bytes``: the whole instruction after the store in memory order, in hexadecimal; ``disassembly``: its text;
    ``stored``: the bytes that the store writes, ``..`` for the others.  ``temporary``: the instruction is not the final
    one.  ``window``: the number of stores between this one and the one that completes the instruction; None if it is
    final, or if a retranslation ends before.  ``retranslated``: a retranslation makes the store (False: only a
    translation).
    """

    order: int
    offset: int
    bytes: str
    disassembly: str
    phase: Phase
    form: Form
    temporary: bool
    stored: str
    window: int | None
    retranslated: bool


@dataclass(frozen=True, slots=True)
class TemporaryValue:
    """A temporary value of the instruction at ``offset``, and the consequences of executing it.

    ``unfinished``: a retranslation leaves the value in memory, since the label is bound behind the faulting access.
    """

    offset: int
    value: int
    disassembly: str
    unfinished: bool
    consequences: tuple[Consequence, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """The stores of a block in time order, and its temporary values (``wrong``)."""

    translator: Translator
    code: Code
    rows: tuple[ListingRow, ...]
    wrong: tuple[TemporaryValue, ...]


def listing(translator: Translator, code: Code) -> Listing:
    """The listing of a translator's block.

    Raises ``InputError`` if there is no disassembler for the translator's instruction set.
    """
    rows = _rows(translator, code)
    units = {unit.offset: unit for unit in code.whole}
    disassemble = disassembler(translator, code)
    values = {
        (row.offset, int.from_bytes(bytes.fromhex(row.bytes), translator.byteorder)): None
        for row in rows
        if row.temporary and row.retranslated
    }
    wrong = tuple(
        TemporaryValue(
            offset,
            value,
            disassemble(units[offset], value),
            offset in code.unfinished,
            consequences(translator, code, offset, value),
        )
        for offset, value in values
    )
    return Listing(translator, code, rows, wrong)


def _rows(translator: Translator, code: Code) -> tuple[ListingRow, ...]:
    disassemble = disassembler(translator, code)
    content = {write.unit.offset: write.unit.final for write in code.writes}
    retranslated = len(code.retranslated.writes)
    rows = []
    for order, write in enumerate(code.writes):
        unit = write.unit
        store = _store(write, content[unit.offset])
        now = content[unit.offset] & ~store.mask | store.value
        content[unit.offset] = now
        temporary = now != unit.final
        written = store.mask.to_bytes(unit.size, translator.byteorder)
        values = store.value.to_bytes(unit.size, translator.byteorder)
        rows.append(
            ListingRow(
                order=order,
                offset=unit.offset,
                bytes=now.to_bytes(unit.size, translator.byteorder).hex(" "),
                disassembly=disassemble(unit, now),
                phase=write.phase,
                form=write.form,
                temporary=temporary,
                stored=" ".join(f"{value:02x}" if mask else ".." for mask, value in zip(written, values, strict=True)),
                window=_window(code, order) if temporary and unit.offset not in code.unfinished else None,
                retranslated=order < retranslated,
            )
        )
    return tuple(rows)


def _store(write: Write, content: int) -> Store:
    """The store of a write in its own form, over ``content``."""
    stretch = ask(_AS_EMITTED, "emit", write)
    if not stretch.ended:
        stretch = ask(_AS_EMITTED, "emit", write, (content,))
    (store,) = stretch.operations
    assert isinstance(store, Store)
    return store


def _window(code: Code, order: int) -> int:
    """The number of stores between the one at ``order`` and the next one to the same instruction."""
    unit = code.writes[order].unit
    return next(after for after, write in enumerate(code.writes[order + 1 :]) if write.unit == unit)
