"""The disassemblers of the instruction sets that capstone does not know, by the manuals' fields and by objdump."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from binutils import TOOLS, is_installed, objdump
from decoding import decoded, every_access

from bench.translators import hppa_disassembly, ia64_disassembly
from bench.translators.disassembly import disassembler
from bench.translators.registry import load_translator
from bench.translators.translator import Access

Fields = dict[str, tuple[int, int]]
"""Of an instruction format, as the manual's figures have them: the highest and the lowest bit."""

# PA-RISC, whose manual counts bits from the highest, which is 0.
COUNTED_FROM_THE_HIGHEST: dict[str, Fields] = {
    "load": {"op": (0, 5), "b": (6, 10), "t": (11, 15), "s": (16, 17), "im14": (18, 31)},
    "indexed": {"op": (0, 5), "b": (6, 10), "x": (11, 15), "s": (16, 17), "u": (18, 18), "0": (19, 19), "cc": (20, 21),
                "ext4": (22, 25), "m": (26, 26), "t": (27, 31)},
    "long": {"op": (0, 5), "r": (6, 10), "im21": (11, 31)},
    "arithmetic": {"op": (0, 5), "r2": (6, 10), "r1": (11, 15), "c": (16, 18), "f": (19, 19), "ext6": (20, 25),
                   "0": (26, 26), "t": (27, 31)},
    "extract": {"op": (0, 5), "r": (6, 10), "t": (11, 15), "c": (16, 18), "ext3": (19, 21), "p": (22, 26),
                "clen": (27, 31)},
    "deposit": {"op": (0, 5), "t": (6, 10), "r": (11, 15), "c": (16, 18), "ext3": (19, 21), "cp": (22, 26),
                "clen": (27, 31)},
    "compare": {"op": (0, 5), "r2": (6, 10), "r1": (11, 15), "c": (16, 18), "w1": (19, 29), "n": (30, 30),
                "w": (31, 31)},
    "branch": {"op": (0, 5), "t": (6, 10), "w1": (11, 15), "ext3": (16, 18), "w2": (19, 29), "n": (30, 30),
               "w": (31, 31)},
    "external": {"op": (0, 5), "b": (6, 10), "w1": (11, 15), "s": (16, 18), "w2": (19, 29), "n": (30, 30),
                 "w": (31, 31)},
    "vectored": {"op": (0, 5), "b": (6, 10), "x": (11, 15), "ext3": (16, 18), "0": (19, 29), "n": (30, 30),
                 " 0": (31, 31)},
}
HPPA = {
    form: {field: (31 - high, 31 - low) for field, (high, low) in fields.items()}
    for form, fields in COUNTED_FROM_THE_HIGHEST.items()
}

# Itanium, volume 3, chapter 4; "" is not used.
IA64: dict[str, Fields] = {
    "A1": {"op": (40, 37), "": (36, 36), "x2a": (35, 34), "ve": (33, 33), "x4": (32, 29), "x2b": (28, 27),
           "r3": (26, 20), "r2": (19, 13), "r1": (12, 6), "qp": (5, 0)},
    "A4": {"op": (40, 37), "s": (36, 36), "x2a": (35, 34), "ve": (33, 33), "imm6d": (32, 27), "r3": (26, 20),
           "imm7b": (19, 13), "r1": (12, 6), "qp": (5, 0)},
    "A5": {"op": (40, 37), "s": (36, 36), "imm9d": (35, 27), "imm5c": (26, 22), "r3": (21, 20), "imm7b": (19, 13),
           "r1": (12, 6), "qp": (5, 0)},
    "A6": {"op": (40, 37), "tb": (36, 36), "x2": (35, 34), "ta": (33, 33), "p2": (32, 27), "r3": (26, 20),
           "r2": (19, 13), "c": (12, 12), "p1": (11, 6), "qp": (5, 0)},
    "I11": {"op": (40, 37), "": (36, 36), "x2": (35, 34), "x": (33, 33), "len6d": (32, 27), "r3": (26, 20),
            "pos6b": (19, 14), "y": (13, 13), "r1": (12, 6), "qp": (5, 0)},
    "I12": {"op": (40, 37), "": (36, 36), "x2": (35, 34), "x": (33, 33), "len6d": (32, 27), "y": (26, 26),
            "cpos6c": (25, 20), "r2": (19, 13), "r1": (12, 6), "qp": (5, 0)},
    "I18": {"op": (40, 37), "i": (36, 36), "x3": (35, 33), "x6": (32, 27), "y": (26, 26), "imm20a": (25, 6),
            "qp": (5, 0)},
    "I21": {"op": (40, 37), "": (36, 36), "x3": (35, 33), "timm9c": (32, 24), "ih": (23, 23), "x": (22, 22),
            "wh": (21, 20), "r2": (19, 13), " ": (12, 9), "b1": (8, 6), "qp": (5, 0)},
    "I29": {"op": (40, 37), "": (36, 36), "x3": (35, 33), "x6": (32, 27), "r3": (26, 20), " ": (19, 13),
            "r1": (12, 6), "qp": (5, 0)},
    "M1": {"op": (40, 37), "m": (36, 36), "x6": (35, 30), "hint": (29, 28), "x": (27, 27), "r3": (26, 20),
           "": (19, 13), "r1": (12, 6), "qp": (5, 0)},
    "M3": {"op": (40, 37), "s": (36, 36), "x6": (35, 30), "hint": (29, 28), "i": (27, 27), "r3": (26, 20),
           "imm7b": (19, 13), "r1": (12, 6), "qp": (5, 0)},
    "M4": {"op": (40, 37), "m": (36, 36), "x6": (35, 30), "hint": (29, 28), "x": (27, 27), "r3": (26, 20),
           "r2": (19, 13), "": (12, 6), "qp": (5, 0)},
    "M48": {"op": (40, 37), "i": (36, 36), "x3": (35, 33), "x2": (32, 31), "x4": (30, 27), "y": (26, 26),
            "imm20a": (25, 6), "qp": (5, 0)},
    "B1": {"op": (40, 37), "s": (36, 36), "d": (35, 35), "wh": (34, 33), "imm20b": (32, 13), "p": (12, 12),
           "": (11, 9), "btype": (8, 6), "qp": (5, 0)},
    "B5": {"op": (40, 37), "": (36, 36), "d": (35, 35), "wh": (34, 32), " ": (31, 16), "b2": (15, 13), "p": (12, 12),
           "  ": (11, 9), "b1": (8, 6), "qp": (5, 0)},
    "X2": {"op": (40, 37), "i": (36, 36), "imm9d": (35, 27), "imm5c": (26, 22), "ic": (21, 21), "vc": (20, 20),
           "imm7b": (19, 13), "r1": (12, 6), "qp": (5, 0)},
    "X3": {"op": (40, 37), "i": (36, 36), "d": (35, 35), "wh": (34, 33), "imm20b": (32, 13), "p": (12, 12),
           "": (11, 9), "btype": (8, 6), "qp": (5, 0)},
}


def assembled(fields: Fields, values: dict[str, int]) -> int:
    word = 0
    for field, value in values.items():
        high, low = fields[field]
        assert value < 1 << high - low + 1
        word |= value << low
    return word


def word(form: str, **values: int) -> int:
    return assembled(HPPA[form], values)


def slot(form: str, **values: int) -> int:
    return assembled(IA64[form], values)


@pytest.mark.parametrize(
    ("fields", "highest"),
    [*((fields, 31) for fields in HPPA.values()), *((fields, 40) for fields in IA64.values())],
    ids=[*HPPA, *IA64],
)
def test_the_fields_of_a_format_tile_the_instruction(fields: Fields, highest: int) -> None:
    bits = list(fields.values())
    assert bits[0][0] == highest
    assert bits[-1][1] == 0
    assert all(above[1] == below[0] + 1 for above, below in itertools.pairwise(bits))


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
        return line.replace("0x", "")
    without_template = re.sub(r"^\[\w+\]\s*", "", line)
    return re.sub(r"\(p0(\d)\)", r"(p\1)", without_template).replace("brl.many", "brl.cond.sptk.many")


@pytest.mark.parametrize(
    "isa",
    [
        pytest.param(isa, marks=pytest.mark.skipif(not is_installed(isa), reason=f"{tool} (binutils) is not installed"))
        for isa, tool in TOOLS.items()
    ],
)
@pytest.mark.parametrize("guarded", [False, True])
@every_access
def test_objdump_reads_the_same(isa: str, access: Access, guarded: bool, tmp_path: Path) -> None:
    translator = load_translator(isa)
    code = translator.block(0, (access,), guarded=guarded)
    ours = [part for line in decoded(translator, code) for part in as_objdump(isa, line)]
    assert ours == [as_ours(isa, line) for line in objdump(translator, code, tmp_path)]


# --- PA-RISC --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        # The sign of an immediate is its lowest bit.
        (word("load", op=0x12, b=25, t=20, im14=372 << 1), "ldw 0x174(r25),r20"),
        (word("load", op=0x12, b=30, t=2, im14=(8192 - 20) << 1 & 0x3FFE | 1), "ldw -0x14(sp),rp"),
        (word("load", op=0x12, b=25, t=20, s=1), None),  # a space of its own
        (word("load", op=0x1A, b=31, t=5), "stw r5,0x0(r31)"),
        (word("load", op=0x0D, b=28, t=28, im14=16), "ldo 0x8(ret0),ret0"),
        (word("load", op=0x0D, t=25, im14=16), "ldi 8,r25"),
        (word("load", op=0x0D, t=25, im14=0x3FFF), "ldi -1,r25"),
        (word("indexed", op=0x03, b=4, x=20, ext4=2, t=5), "ldw r20(r4),r5"),
        (word("indexed", op=0x03, b=4, x=20, ext4=2, t=5, m=1), None),
        (word("indexed", op=0x03, b=4, x=20, ext4=1, t=5), None),  # half a word
        # im21: bit 20, then 9 to 19, 5 and 6, 0 to 4, 7 and 8 of it.
        (word("long", op=0x08, r=20, im21=1), "ldil L%0x80000000,r20"),
        (word("long", op=0x08, r=20, im21=2), "ldil L%0x100000,r20"),
        (word("long", op=0x08, r=20, im21=1 << 14), "ldil L%0x40000,r20"),
        (word("long", op=0x08, r=20, im21=1 << 16), "ldil L%0x2000,r20"),
        (word("long", op=0x08, r=20, im21=1 << 12), "ldil L%0x800,r20"),
        (word("arithmetic", op=2, ext6=0x28, r1=25, r2=17, t=25), "add,l r25,r17,r25"),
        (word("arithmetic", op=2, ext6=0x09, r1=4, t=26), "copy r4,r26"),
        (word("arithmetic", op=2, ext6=0x09, r1=4, r2=5, t=26), "or r4,r5,r26"),
        (word("arithmetic", op=2, ext6=0x28, c=1, r1=4, r2=5, t=6), None),  # nullifies on a condition
        (word("arithmetic", op=2, ext6=0x18, r1=4, r2=5, t=6), None),  # sets carries
        (word("extract", op=0x34, ext3=6, r=4, t=25, p=19, clen=24), "extrw,u r4,19,8,r25"),
        (word("extract", op=0x34, ext3=7, r=4, t=25, p=19, clen=24), None),  # signed
        (word("deposit", op=0x35, ext3=2, t=25, r=24, cp=4, clen=4), "depw,z r24,27,28,r25"),
        (word("deposit", op=0x35, ext3=7, t=26, r=0, cp=2, clen=22), "depwi 0,29,10,r26"),
        (word("deposit", op=0x35, ext3=7, t=26, r=31, cp=31, clen=31), "depwi -1,0,1,r26"),
        (word("deposit", op=0x35, ext3=3, t=26, r=1, cp=2, clen=22), None),  # not zeroed first
        # 12 bits in w, bit 10 of w1, its bits 0 to 9; from two instructions ahead.
        (word("compare", op=0x22, r2=20, r1=26, c=1, w1=2 << 1, n=1), "cmpb,<>,n r26,r20,0x1010"),
        (word("compare", op=0x20, r2=20, r1=26, c=3, w1=1), "cmpb,<= r26,r20,0x2008"),
        (word("compare", op=0x22, r2=20, r1=26, c=4, w=1), "cmpb,>>= r26,r20,0xfffff008"),
        (word("compare", op=0x21, r2=5, r1=0, c=1, w1=2, n=1), "cmpib,=,n 0,r5,0x100c"),
        (word("compare", op=0x23, r2=5, r1=29, c=2, w1=0x7FF, w=1), "cmpib,>= -2,r5,0x1004"),
        # 17 bits in w, w1, bit 10 of w2, its bits 0 to 9.
        (word("branch", op=0x3A, w2=5 << 1, n=1), "b,l,n 0x101c,r0"),
        (word("branch", op=0x3A, t=2, w1=1), "b,l 0x3008,rp"),
        (word("branch", op=0x3A, t=2, w1=31, w2=0x7FF, w=1), "b,l 0x1004,rp"),
        (word("branch", op=0x3A, ext3=2), None),  # by a register
        # The space is bit 2, then bits 0 and 1 of its field.
        (word("external", op=0x39, b=20, s=1, w2=0x8C << 1), "be,l 0x230(sr4,r20),sr0,r31"),
        (word("external", op=0x39, b=20, s=2, w2=2, n=1), "be,l,n 0x4(sr1,r20),sr0,r31"),
        (word("vectored", op=0x3A, b=18, ext3=6), "bv r0(r18)"),
        (word("vectored", op=0x3A, b=2, x=1, ext3=6, n=1), "bv,n r1(rp)"),
        (0, None),
    ],
)
def test_a_word_is_read_by_its_fields(value: int, text: str | None) -> None:
    assert hppa_disassembly.disassemble(value, 0x1000) == text


# --- Itanium --------------------------------------------------------------------------------------------------------

NOP_M = slot("M48", x4=1)
NOP_I = slot("I18", x6=1)


def bundle(unit: str, word: int, other: int = 0) -> tuple[int, str, str]:
    """A bundle with one instruction on that unit, and what is shown before and behind it."""
    template, place, before, behind = {
        "M": (0x08, 0, "[MMI] ", "; nop.m 0x0; nop.i 0x0"),
        "I": (0x00, 2, "[MII] nop.m 0x0; nop.i 0x0; ", ""),
        "B": (0x10, 2, "[MIB] nop.m 0x0; nop.i 0x0; ", ""),
        "X": (0x04, 2, "[MLX] nop.m 0x0; ", ""),
    }[unit]
    slots = [NOP_M, {"M": NOP_M, "X": other}.get(unit, NOP_I), NOP_I]
    slots[place] = word
    return template | slots[0] << 5 | slots[1] << 46 | slots[2] << 87, before, behind


@pytest.mark.parametrize(
    ("unit", "word", "text"),
    [
        ("M", slot("A1", op=8, r1=1, r2=2, r3=127), "add r1=r2,r127"),
        ("I", slot("A1", op=8, x4=3, r1=3, r2=3, r3=56, qp=6), "(p6) and r3=r3,r56"),
        ("M", slot("A1", op=8, x4=1, r1=1, r2=2, r3=3), None),  # a difference
        ("M", slot("A1", op=8, x2b=1, r1=1, r2=2, r3=3), None),  # plus one
        ("M", slot("A4", op=8, x2a=2, imm6d=1, imm7b=5, r1=9, r3=10), "adds r9=133,r10"),
        ("I", slot("A4", op=8, x2a=2, s=1, imm6d=63, imm7b=127, r1=9, r3=10), "adds r9=-1,r10"),
        ("M", slot("A4", op=8, x2a=2, r1=57, r3=35, qp=7), "(p7) mov r57=r35"),
        ("M", slot("A5", op=9, imm9d=3, imm7b=4, r1=2, r3=2), "addl r2=388,r2"),
        ("M", slot("A5", op=9, imm5c=1, r1=2, r3=1), "addl r2=65536,r1"),
        ("M", slot("A5", op=9, s=1, imm5c=31, imm9d=480, imm7b=3, r1=3), "mov r3=-4093"),
        ("I", slot("A6", op=14, p1=6, p2=7, r2=3, r3=57), "cmp.eq p6,p7=r3,r57"),
        ("I", slot("A6", op=14, x2=1, p1=7, p2=6, r2=35), "cmp4.eq p7,p6=r35,r0"),
        ("I", slot("A6", op=14, c=1, p1=6, p2=7, r2=3, r3=57), None),  # unconditional
        ("I", slot("A6", op=12, p1=6, p2=7, r2=3, r3=57), None),  # less than
        ("I", slot("I11", op=5, x2=1, len6d=7, pos6b=12, r3=34, r1=2), "extr.u r2=r34,12,8"),
        ("I", slot("I11", op=5, x2=1, y=1, len6d=7, pos6b=12, r3=34, r1=2), None),  # signed
        ("I", slot("I12", op=5, x2=1, x=1, len6d=58, cpos6c=58, r2=2, r1=4), "shl r4=r2,5"),
        ("I", slot("I12", op=5, x2=1, x=1, len6d=7, cpos6c=58, r2=2, r1=4), "dep.z r4=r2,5,8"),
        ("I", slot("I18", x6=1, i=1, imm20a=2), "nop.i 0x100002"),
        ("I", slot("I21", x3=7, wh=1, r2=3, b1=6, qp=7), "(p7) mov b6=r3"),
        ("I", slot("I21", x3=7, wh=1, x=1, r2=3, b1=6), None),  # for a return
        ("I", slot("I29", x6=0x12, r3=34, r1=56), "zxt4 r56=r34"),
        ("I", slot("I29", x6=0x14, r3=34, r1=56), "sxt1 r56=r34"),
        ("M", slot("M1", op=4, x6=2, r3=3, r1=8, qp=6), "(p6) ld4 r8=[r3]"),
        ("M", slot("M1", op=4, x6=3, r3=2, r1=1), "ld8 r1=[r2]"),
        ("M", slot("M1", op=4, x6=0x22, r3=3, r1=8), None),  # acquire
        ("M", slot("M3", op=5, x6=2, imm7b=16, r3=2, r1=57), "ld4 r57=[r2],16"),
        ("M", slot("M3", op=5, x6=3, s=1, i=1, imm7b=120, r3=2, r1=3), "ld8 r3=[r2],-8"),
        ("M", slot("M3", op=5, x6=3, i=1, r3=2, r1=3), "ld8 r3=[r2],128"),
        ("M", slot("M4", op=4, x6=0x32, r3=3, r2=35, qp=6), "(p6) st4 [r3]=r35"),
        ("M", slot("M4", op=4, x6=0x33, r3=3, r2=35), "st8 [r3]=r35"),
        ("M", slot("M48", x4=1, imm20a=1), "nop.m 0x1"),
        ("M", slot("M48", x4=2), None),
        ("B", slot("B1", op=4, wh=2, imm20b=9, qp=6), "(p6) br.cond.dptk.few 0x1090"),
        ("B", slot("B1", op=4, s=1, imm20b=0xFFFFF, p=1), "br.cond.sptk.many 0xff0"),
        ("B", slot("B1", op=4, btype=5), None),  # a loop
        ("B", slot("B5", op=1, wh=1, p=1, b2=6, qp=7), "(p7) br.call.sptk.many b0=b6"),
        ("B", slot("B5", op=1, wh=7, b2=6, b1=1), "br.call.dpnt.few b1=b6"),
    ],
)
def test_an_instruction_is_read_by_its_fields(unit: str, word: int, text: str | None) -> None:
    whole, before, behind = bundle(unit, word)
    assert ia64_disassembly.disassemble(whole, 0x1000) == (None if text is None else before + text + behind)


@pytest.mark.parametrize(
    ("other", "word", "text"),
    [
        # imm64 is i, imm41, ic, imm5c, imm9d, imm7b from its highest bit on.
        (0, slot("X2", op=6, r1=2, imm7b=0x30, imm9d=0x24), "movl r2=0x1230"),
        (0, slot("X2", op=6, r1=8, ic=1, imm5c=3), "movl r8=0x230000"),
        (1, slot("X2", op=6, r1=8), "movl r8=0x400000"),
        ((1 << 41) - 1, slot("X2", op=6, r1=8, i=1, qp=7), "(p7) movl r8=0xffffffffffc00000"),
        (0, slot("X2", op=6, vc=1), None),
        # imm60 is i, imm39 (bits 40 to 2 of the other slot), imm20b, in bundles.
        (0, slot("X3", op=12, p=1, imm20b=2), "brl.cond.sptk.many 0x1020"),
        (1 << 2, slot("X3", op=12, p=1), "brl.cond.sptk.many 0x1001000"),
        ((1 << 39) - 1 << 2, slot("X3", op=12, i=1, imm20b=0xFFFFF), "brl.cond.sptk.few 0xff0"),
        (0, slot("X3", op=12, btype=1), None),
    ],
)
def test_an_instruction_of_two_slots_is_read_by_its_fields(other: int, word: int, text: str | None) -> None:
    whole, before, _ = bundle("X", word, other)
    assert ia64_disassembly.disassemble(whole, 0x1000) == (None if text is None else before + text)


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        (0x00, "[MII] m; i; i"), (0x01, "[MII] m; i; i;;"), (0x02, "[MII] m; i;; i"), (0x03, "[MII] m; i;; i;;"),
        (0x08, "[MMI] m; m; i"), (0x09, "[MMI] m; m; i;;"), (0x0A, "[MMI] m;; m; i"), (0x0B, "[MMI] m;; m; i;;"),
        (0x06, None), (0x07, None), (0x14, None), (0x15, None), (0x1A, None), (0x1B, None), (0x1E, None), (0x1F, None),
    ],
)
def test_templates_say_the_units_and_where_a_group_ends(template: int, shown: str | None) -> None:
    word = template | NOP_M << 5 | NOP_M << 46 | NOP_M << 87  # a nop is encoded alike on M and I
    text = ia64_disassembly.disassemble(word, 0)
    assert text == (shown and re.sub(r"\b([mi])\b", r"nop.\1 0x0", shown))


def test_a_template_of_another_unit_is_no_instruction() -> None:
    assert ia64_disassembly.disassemble(0x0C | NOP_M << 5, 0) is None  # the unit F
