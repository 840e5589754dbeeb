"""The disassemblers of the instruction sets that capstone does not know, by the manuals and by objdump.

``tests/expected/disassembly.txt``: words by the fields of the manuals' formats, each with its text, or ``-`` where
it is none of the instructions that the backends emit.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from binutils import TOOLS, is_installed, objdump
from conftest import EXPECTED
from decoding import decoded, every_access

from bench.translators import hppa_disassembly, ia64_disassembly
from bench.translators.disassembly import disassembler
from bench.translators.registry import load_translator
from bench.translators.translator import Access

READERS = {"hppa": (hppa_disassembly.disassemble, 4), "ia64": (ia64_disassembly.disassemble, 16)}
"""With the bytes of what is read at once."""

LINES = [line.split(" ", 2) for line in (EXPECTED / "disassembly.txt").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(("isa", "word", "text"), LINES)
def test_a_word_is_read_by_its_fields(isa: str, word: str, text: str) -> None:
    assert (READERS[isa][0](int(word, 16), 0x1000) or "-") == text


@pytest.mark.parametrize(("name", "value"), [("hppa", 0), ("ia64", (1 << 128) - 1)])
def test_what_is_not_known_is_no_instruction(name: str, value: int) -> None:
    translator = load_translator(name)
    code = translator.block(0)
    assert disassembler(translator, code)(next(iter(code.whole)), value) == "(no instruction)"


def as_objdump(isa: str, line: str) -> list[str]:
    """Our text of a unit as objdump writes it: a slot of a bundle is a line of its own."""
    if isa == "hppa":
        return [line.replace("0x", "")]
    return re.split(r"(?<!;); |(?<=;;) ", line.partition("] ")[2])


def as_ours(isa: str, line: str) -> str:
    """A line of objdump's as we write it, but for displacements on hppa: they are hexadecimal without saying so."""
    if isa == "hppa":
        upper = re.sub(r"L%-(\w+)", lambda found: f"L%{(1 << 32) - int(found[1], 16):x}", line)
        return upper.replace("0x", "")
    without_template = re.sub(r"^\[\w+\]\s*", "", line)
    # A branch without a predicate has a short name there.
    named = re.sub(r"\b(brl?)\.(many|few)\b", r"\1.cond.sptk.\2", without_template)
    return re.sub(r"\bp0(\d)\b", r"p\1", named)


every_tool = pytest.mark.parametrize(
    "isa",
    [
        pytest.param(isa, marks=pytest.mark.skipif(not is_installed(isa), reason=f"{tool} (binutils) is not installed"))
        for isa, tool in TOOLS.items()
    ],
)


@every_tool
@pytest.mark.parametrize("guarded", [False, True])
@every_access
def test_objdump_reads_the_same(isa: str, access: Access, guarded: bool, tmp_path: Path) -> None:
    translator = load_translator(isa)
    code = translator.block(0, (access,), guarded=guarded)
    ours = [part for line in decoded(translator, code) for part in as_objdump(isa, line)]
    image = b"".join(unit.final.to_bytes(unit.size, translator.byteorder) for unit in code.whole)
    assert ours == [as_ours(isa, line) for line in objdump(isa, image, translator.buffer, tmp_path)]


@every_tool
def test_objdump_reads_the_same_words(isa: str, tmp_path: Path) -> None:
    """Those that are read, one behind the other."""
    read, size = READERS[isa]
    known = [int(word, 16) for name, word, text in LINES if name == isa and text != "-"]
    order = load_translator(isa).byteorder
    image = b"".join(word.to_bytes(size, order) for word in known)
    texts = [read(word, 0x1000 + size * number) or "" for number, word in enumerate(known)]
    ours = [part for text in texts for part in as_objdump(isa, text)]
    assert ours == [as_ours(isa, line) for line in objdump(isa, image, 0x1000, tmp_path)]
