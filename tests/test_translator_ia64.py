"""The ia64 backend: predicated bundles, a guest's branch that keeps its displacement, and the disassembler for them.

Expected bundles and orders are those of QEMU's ``tcg/ia64/tcg-target.c`` at 497aebb99e07; the
fields of each instruction format are those of the Itanium manual, volume 3, chapter 4.
"""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.errors import InputError
from bench.translators import ia64
from bench.translators.disassembly import disassembler
from bench.translators.ia64_disassembly import disassemble
from bench.translators.instruction import Fact, Holds
from bench.translators.listing import listing
from bench.translators.registry import load_translator
from bench.translators.translator import Access, Code
from strategies.writes import Form, Phase

IA64 = load_translator("ia64")
AT = 0x2000_0000_0200_0000
GUARD = 16

HIT: frozenset[Fact] = frozenset({"hit"})
MISS: frozenset[Fact] = frozenset({"miss"})
SKIP: frozenset[Fact] = frozenset({"skip"})

every_access = pytest.mark.parametrize("access", ["load", "store"])

# The displacement of a branch in the third slot: imm20b is bits 32 to 13 of the slot, s is bit 36 (format B1).
DISPLACEMENT = ((1 << 20) - 1 << 13 | 1 << 36) << 5 + 2 * 41


def texts(code: Code) -> list[str]:
    show = disassembler(IA64, code)
    return [show(unit, unit.final) for unit in code.whole]


# --- The block ------------------------------------------------------------------------------------------------------


def lookup(entry: int, onward: int) -> list[str]:
    """tcg_out_qemu_tlb: r2 the entry, then its addend; r56 the address; p6 a hit, p7 a miss."""
    return [
        "[MII] mov r3=-4093; extr.u r2=r34,12,8;; shl r2=r2,5;;",
        f"[MII] addl r2={entry},r2; zxt4 r56=r34;; add r2=r2,r7;;",
        f"[MII] ld4 r57=[r2],{onward}; and r3=r3,r56;; cmp.eq p6,p7=r3,r57;;",
    ]


SPLIT = "[MMI] ld8 r3=[r2],8;; (p6) add r3=r3,r56; (p7) mov b6=r3;;"
LOAD = [
    *lookup(384, 16),
    "[MLX] (p7) mov r57=0; (p7) movl r2=0x6000000000001230;;",
    SPLIT,
    "[MMI] (p6) ld4 r8=[r3]; (p7) ld8 r1=[r2]; nop.i 0x0;;",
    "[MIB] nop.m 0x0; nop.i 0x0; (p7) br.call.sptk.many b0=b6;;",
    "[MII] nop.m 0x0; nop.i 0x0; zxt4 r35=r8;;",
]
STORE = [
    *lookup(388, 12),
    "[MLX] (p7) mov r57=r35; (p7) movl r2=0x6000000000001240;;",
    SPLIT,
    "[MII] (p7) ld8 r1=[r2]; nop.i 0x0;; nop.i 0x0;;",
    "[MIB] (p6) st4 [r3]=r35; (p7) mov r58=0; (p7) br.call.sptk.many b0=b6;;",
]
EXIT = [
    "[MLX] nop.m 0x0; movl r8=0x2000000004000010;;",
    "[MLX] nop.m 0x0; brl.cond.sptk.many 0x6000000000020060;;",
]
COMPARE = "[MII] nop.m 0x0; nop.i 0x0;; cmp4.eq p6,p7=r35,r0;;"
BLOCKS: dict[Access, list[str]] = {"load": LOAD, "store": STORE}


@every_access
def test_every_bundle_is_read_as_meant(access: Access) -> None:
    code = IA64.block(0, (access,))
    assert texts(code) == [*BLOCKS[access], *EXIT]
    assert code.rewritten == 16 * len(BLOCKS[access]) == {"load": 128, "store": 112}[access]


@every_access
def test_every_bundle_of_a_guarded_block_is_read_as_meant(access: Access) -> None:
    code = IA64.block(0, (access,), guarded=True)
    label = AT + 32 + 16 * len(BLOCKS[access])
    branch = f"[MMB] nop.m 0x0; nop.m 0x0; (p6) br.cond.dptk.few {label:#x};;"
    assert texts(code) == [COMPARE, branch, *BLOCKS[access], *EXIT]


@every_access
def test_an_access_is_stored_once_in_order_and_has_no_branch(access: Access) -> None:
    code = IA64.block(0, (access,))
    assert [write.unit.offset for write in code.writes] == list(range(0, code.size, 16))
    assert all(write.complete and write.form is Form.WHOLE for write in code.writes)
    assert not {Phase.BRANCH, Phase.BRANCH_UPDATE} & {write.phase for write in code.writes}
    assert not any(row.temporary or row.window is not None for row in listing(IA64, code).rows)
    assert code.unfinished == frozenset()


@every_access
def test_the_guests_branch_keeps_its_displacement(access: Access) -> None:
    code = IA64.block(0, (access,), guarded=True)
    compare, begun, *between, bound = code.writes[: len(BLOCKS[access]) + 3]
    assert (compare.unit.offset, compare.complete, compare.phase) == (0, True, Phase.GUEST_BRANCH)
    assert (begun.unit.offset, begun.phase, begun.form) == (GUARD, Phase.GUEST_BRANCH, Form.READ_BACK)
    assert begun.known == (1 << 128) - 1 & ~DISPLACEMENT
    assert begun.temporary == 0
    assert (bound.unit, bound.phase, bound.form) == (begun.unit, Phase.BRANCH_UPDATE, Form.READ_BACK)
    assert (bound.known, bound.value) == (DISPLACEMENT, (len(BLOCKS[access]) + 1) << 87 + 13)
    assert [write.unit.offset for write in between] == [32 + 16 * n for n in range(len(BLOCKS[access]))]
    assert all(write.in_form(IA64.shipped_form).form is write.form for write in code.writes)


def test_a_retranslation_stops_before_the_guests_label() -> None:
    code = IA64.block(0, ("load",), guarded=True)
    assert code.rewritten == 32 + 128
    assert code.unfinished == {GUARD}
    assert [write.phase for write in code.retranslated.writes if write.unit.offset == GUARD] == [Phase.GUEST_BRANCH]


def test_destinations() -> None:
    code = IA64.block(0, ("load", "store"), guarded=True)
    words = {unit.offset: unit.final for unit in code.whole}
    ahead = 16 + 128 + 112
    assert IA64.destination(words.pop(GUARD)) == ahead
    last = code.size - 16
    assert IA64.destination(words.pop(last)) == ia64.EPILOGUE - (AT + last)
    assert {IA64.destination(word) for word in words.values()} == {None}
    branch = next(unit.final for unit in code.whole if unit.offset == GUARD)
    assert IA64.destination(branch & ~DISPLACEMENT) == 0
    assert IA64.destination(branch | DISPLACEMENT) == -16
    assert IA64.destination(0) is None


# --- Following ------------------------------------------------------------------------------------------------------


@every_access
def test_hit_and_miss_fetch_the_same_bundles(access: Access) -> None:
    code = IA64.block(0, (access,))
    whole = tuple(range(0, code.size, 16))
    assert [(path.name, path.offsets) for path in code.paths] == [
        ("hit", whole), ("miss", whole), ("fault", tuple(range(0, 112, 16))),
    ]  # fmt: skip


def test_the_guests_condition_skips_the_access() -> None:
    *_, skip = IA64.block(0, ("store",), guarded=True).paths
    assert (skip.name, skip.offsets) == ("skip", (0, 16, 144, 160))


@every_access
def test_a_bundle_makes_the_access_on_a_hit_and_the_call_on_a_miss(access: Access) -> None:
    code = IA64.block(0, (access,))
    follower = IA64.follower(code)
    hit = follower.course([HIT])
    assert (hit.ends, hit.accessed, hit.calls) == ("exit", 1, ())
    assert dict(hit.registers)["r3"] == Holds.HOST_ADDRESS
    miss = follower.course([MISS])
    assert (miss.ends, miss.accessed) == ("exit", 0)
    (call,) = miss.calls
    assert call.offset == 96
    assert call.right
    value = (("r57", Holds.VALUE), ("r58", Holds.MEMORY_INDEX)) if access == "store" else (("r57", Holds.MEMORY_INDEX),)
    assert call.needs == (("r56", Holds.ADDRESS), *value)
    for course in (hit, miss):
        assert dict(course.registers) | {"r35": Holds.VALUE, "r8": Holds.BLOCK} == dict(course.registers)
    assert follower.course([MISS], faults=True).ends == "fault"


def test_a_wrong_guest_branch() -> None:
    """Without its displacement it leads to itself; that is why the backend keeps it."""
    code = IA64.block(0, ("load",), guarded=True)
    branch = next(unit.final for unit in code.whole if unit.offset == GUARD)
    follower = IA64.follower(code)
    alone = {GUARD: branch & ~DISPLACEMENT}
    assert follower.course([SKIP], wrong=alone).ends == "loop"
    assert follower.course([HIT], wrong=alone).ends == "exit"
    into_the_access = {GUARD: branch & ~DISPLACEMENT | 5 << 87 + 13}  # the call, before the address is set
    course = follower.course([frozenset({"skip", "miss"})], wrong=into_the_access)
    (call,) = course.calls
    assert call.holds == (Holds.UNKNOWN, Holds.UNKNOWN)
    assert follower.course([SKIP], wrong={GUARD: 0}).ends == "illegal"


# --- The disassembler -----------------------------------------------------------------------------------------------

# The fields of the formats, highest bit and lowest bit, as the manual's figures have them; "" is not used.
Fields = dict[str, tuple[int, int]]
FORMATS: dict[str, Fields] = {
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
}  # fmt: skip


def slot(form: str, **values: int) -> int:
    word = 0
    for field, value in values.items():
        high, low = FORMATS[form][field]
        assert value < 1 << high - low + 1
        word |= value << low
    return word


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


@pytest.mark.parametrize("form", FORMATS)
def test_the_fields_of_a_format_tile_the_slot(form: str) -> None:
    fields = list(FORMATS[form].values())
    assert fields[0][0] == 40
    assert fields[-1][1] == 0
    assert all(above[1] == below[0] + 1 for above, below in itertools.pairwise(fields))


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
    assert disassemble(whole, 0x1000) == (None if text is None else before + text + behind)


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
    assert disassemble(whole, 0x1000) == (None if text is None else before + text)


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        (0x00, "[MII] m; i; i"), (0x01, "[MII] m; i; i;;"), (0x02, "[MII] m; i;; i"), (0x03, "[MII] m; i;; i;;"),
        (0x08, "[MMI] m; m; i"), (0x09, "[MMI] m; m; i;;"), (0x0A, "[MMI] m;; m; i"), (0x0B, "[MMI] m;; m; i;;"),
        (0x06, None), (0x07, None), (0x14, None), (0x15, None), (0x1A, None), (0x1B, None), (0x1E, None), (0x1F, None),
    ],
)  # fmt: skip
def test_templates_say_the_units_and_where_a_group_ends(template: int, shown: str | None) -> None:
    word = template | NOP_M << 5 | NOP_M << 46 | NOP_M << 87  # a nop is encoded alike on M and I
    text = disassemble(word, 0)
    assert text == (shown and re.sub(r"\b([mi])\b", r"nop.\1 0x0", shown))


def test_what_is_not_known_is_no_instruction() -> None:
    code = IA64.block(0, ("load",))
    show = disassembler(IA64, code)
    first = next(iter(code.whole))
    assert show(first, (1 << 128) - 1) == "(no instruction)"
    assert disassemble(0x0C | NOP_M << 5, 0) is None  # the unit F


OBJDUMP = shutil.which("ia64-linux-gnu-objdump")


@pytest.mark.skipif(OBJDUMP is None, reason="ia64-linux-gnu-objdump (binutils for ia64) is not installed")
@pytest.mark.parametrize("guarded", [False, True])
@every_access
def test_objdump_reads_the_same(access: Access, guarded: bool, tmp_path: Path) -> None:
    assert OBJDUMP is not None
    code = IA64.block(0, (access,), guarded=guarded)
    image = tmp_path / "block"
    image.write_bytes(b"".join(unit.final.to_bytes(16, "little") for unit in code.whole))
    options = ["-D", "-b", "binary", "-m", "ia64-elf64", f"--adjust-vma={AT:#x}", "--no-show-raw-insn"]
    shown = subprocess.run([OBJDUMP, *options, image], capture_output=True, text=True, check=True).stdout
    slots = re.findall(r"^\s*[0-9a-f]+:[ \t]+(?:\[\w+\])?\s*(.*\S)", shown, re.MULTILINE)
    ours = [part for text in texts(code) for part in re.split(r"(?<!;); |(?<=;;) ", text.partition("] ")[2])]
    theirs = [re.sub(r"\(p0(\d)\)", r"(p\1)", text).replace("brl.many", "brl.cond.sptk.many") for text in slots]
    assert ours == theirs


# --- Bad input ------------------------------------------------------------------------------------------------------


def test_a_wider_guest_is_not_modelled() -> None:
    with pytest.raises(InputError, match="ia64@2010 for a 64-bit guest"):
        IA64.block(0, ("load",), guest_bits=64)
