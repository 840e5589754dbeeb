"""The hppa backend: branches that keep their displacement and nullify what follows, and the disassembler for them.

Expected words and orders are those of QEMU's ``tcg/hppa/tcg-target.c`` at 497aebb99e07; the
fields of each instruction format are those of the PA-RISC manuals, bit 0 the highest.
"""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.errors import InputError
from bench.translators.disassembly import disassembler
from bench.translators.hppa_disassembly import disassemble
from bench.translators.instruction import Fact, Holds
from bench.translators.listing import listing
from bench.translators.registry import load_translator
from bench.translators.translator import Access, Code
from strategies.writes import Form, Phase

HPPA = load_translator("hppa")
AT = 0x4100_0000

HIT: frozenset[Fact] = frozenset({"hit"})
MISS: frozenset[Fact] = frozenset({"miss"})
SKIP: frozenset[Fact] = frozenset({"skip"})

every_access = pytest.mark.parametrize("access", ["load", "store"])

# What QEMU's backend reads back and patch_reloc replaces.
KEPT_12, KEPT_17 = 0x1FFD, 0x1F1FFD


def texts(code: Code) -> list[str]:
    show = disassembler(HPPA, code)
    return [show(unit, unit.final) for unit in code.whole]


# --- The block ------------------------------------------------------------------------------------------------------


def block(access: Access, start: int) -> list[str]:
    """tcg_out_tlb_read, then the hit, a branch over the miss, and the miss."""
    entry = {"load": "0x174", "store": "0x178"}[access]
    miss, end = {"load": (40, 64), "store": (44, 68)}[access]
    return [
        "extrw,u r4,19,8,r25", "depw,z r25,27,28,r25", "add,l r25,r17,r25", f"ldw {entry}(r25),r20",
        "copy r4,r26", "depwi 0,29,10,r26", f"cmpb,<>,n r26,r20,{start + miss:#x}", "ldw 0x180(r25),r20",
        *(["ldw r20(r4),r5"] if access == "load" else ["add,l r4,r20,r31", "stw r5,0x0(r31)"]),
        f"b,l,n {start + end:#x},r0", "copy r4,r26",
        *(["ldi 0,r25", "ldil L%0x100000,r20"] if access == "load" else
          ["copy r5,r25", "ldi 0,r24", "ldil L%0x101000,r20"]),
        "be,l 0x230(sr4,r20),sr0,r31", "copy r31,rp",
        *(["copy ret0,r5"] if access == "load" else []),
    ]  # fmt: skip


EXIT = ["ldil L%0x42000000,ret0", "bv r0(r18)", "ldo 0x8(ret0),ret0"]


@every_access
def test_every_word_is_read_as_meant(access: Access) -> None:
    code = HPPA.block(0, (access,))
    assert texts(code) == [*block(access, AT), *EXIT]
    assert code.rewritten == {"load": 16, "store": 17}[access] * 4


@every_access
def test_every_word_of_a_guarded_block_is_read_as_meant(access: Access) -> None:
    code = HPPA.block(0, (access,), guarded=True)
    label = AT + code.rewritten
    assert texts(code) == [f"cmpib,=,n 0,r5,{label:#x}", *block(access, AT + 4), *EXIT]


# Of the two branches of an access: where they are, how far they lead, and how many stores later they are complete.
BRANCHES: dict[Access, list[tuple[int, int, int]]] = {
    "load": [(24, 16, 3), (36, 28, 7)],
    "store": [(24, 20, 4), (40, 28, 7)],
}


@every_access
def test_both_branches_keep_their_displacement_until_their_label_is_bound(access: Access) -> None:
    code = HPPA.block(0, (access,))
    words = {unit.offset: unit.final for unit in code.whole}
    for (offset, distance, stores), kept in zip(BRANCHES[access], (KEPT_12, KEPT_17), strict=True):
        begun, bound = (n for n, write in enumerate(code.writes) if write.unit.offset == offset)
        assert code.writes[begun].form is code.writes[bound].form is HPPA.shipped_form is Form.READ_BACK
        assert (code.writes[begun].phase, code.writes[bound].phase) == (Phase.BRANCH, Phase.BRANCH_UPDATE)
        assert code.writes[begun].known == 0xFFFF_FFFF & ~kept
        assert code.writes[begun].temporary == 0
        assert code.writes[bound].known == kept
        assert bound - begun - 1 == stores
        assert HPPA.destination(words[offset]) == distance
    others = [write for write in code.writes if write.unit.offset not in {offset for offset, _, _ in BRANCHES[access]}]
    assert all(write.complete and write.form is Form.WHOLE for write in others)
    assert not any(row.temporary or row.window is not None for row in listing(HPPA, code).rows)


def test_the_order_of_the_stores() -> None:
    code = HPPA.block(0, ("load",))
    words = [write.unit.offset // 4 for write in code.writes]
    assert words == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 6, 10, 11, 12, 13, 14, 15, 9, 16, 17, 18]


@every_access
def test_the_guests_branch_keeps_its_displacement(access: Access) -> None:
    code = HPPA.block(0, (access,), guarded=True)
    begun, bound = (write for write in code.writes if write.unit.offset == 0)
    assert (begun.phase, begun.form, begun.known) == (Phase.GUEST_BRANCH, Form.READ_BACK, 0xFFFF_FFFF & ~KEPT_12)
    assert (bound.phase, bound.form, bound.known) == (Phase.BRANCH_UPDATE, Form.READ_BACK, KEPT_12)
    assert HPPA.destination(begun.unit.final) == code.rewritten
    assert code.unfinished == {0}
    assert bound not in code.retranslated.writes
    assert HPPA.block(0, (access,)).unfinished == frozenset()


def test_destinations() -> None:
    code = HPPA.block(0, ("load",), guarded=True)
    words = {unit.offset: unit.final for unit in code.whole}
    found = {offset: HPPA.destination(word) for offset, word in words.items()}
    assert {offset: there for offset, there in found.items() if there is not None} == {0: 68, 28: 16, 40: 28}
    # Displacement 0 is the second instruction ahead, behind the delay slot; w, the lowest bit, is the sign.
    for offset, kept in ((0, KEPT_12), (28, KEPT_12), (40, KEPT_17)):
        assert HPPA.destination(words[offset] & ~kept) == 8
        assert HPPA.destination(words[offset] | kept) == 4
        assert HPPA.destination(words[offset] & ~kept | 1) == 8 - {KEPT_12: 1 << 13, KEPT_17: 1 << 18}[kept]
    assert HPPA.destination(0) is None


# --- Following ------------------------------------------------------------------------------------------------------


def test_a_taken_branch_fetches_its_delay_slot() -> None:
    hit, miss, fault, skip = HPPA.block(0, ("load",), guarded=True).paths
    lookup, leave = tuple(range(0, 32, 4)), (68, 72, 76)
    assert (hit.name, hit.offsets) == ("hit", (*lookup, 32, 36, 40, 44, *leave))
    assert (miss.name, miss.offsets) == ("miss", (*lookup, 32, *range(44, 68, 4), *leave))
    assert (fault.name, fault.offsets) == ("fault", (*lookup, 32, *range(44, 64, 4)))
    assert (skip.name, skip.offsets) == ("skip", (0, 4, *leave))


@every_access
def test_what_a_nullified_instruction_would_do_is_not_done(access: Access) -> None:
    code = HPPA.block(0, (access,))
    follower = HPPA.follower(code)
    hit, miss = follower.course([HIT]), follower.course([MISS])
    assert (hit.ends, hit.accessed, hit.calls) == ("exit", 1, ())
    # The slot of the branch over the slow path would set the argument r26, that of the other one r20.
    assert dict(hit.registers)["r26"] == Holds.EXPECTED
    assert dict(hit.registers)["r20"] == Holds.ADDEND
    assert dict(follower.course([MISS], faults=True).registers)["r20"] == Holds.CONSTANT
    assert (miss.ends, miss.accessed) == ("exit", 0)
    (call,) = miss.calls
    assert call.offset == {"load": 52, "store": 60}[access]
    assert call.right
    value = (("r25", Holds.VALUE), ("r24", Holds.MEMORY_INDEX)) if access == "store" else (("r25", Holds.MEMORY_INDEX),)
    assert call.needs == (("r26", Holds.ADDRESS), *value)
    assert dict(miss.registers)["rp"] == Holds.RETURN_ADDRESS
    for course in (hit, miss):
        assert dict(course.registers) | {"r5": Holds.VALUE, "ret0": Holds.BLOCK} == dict(course.registers)


def test_the_guests_condition_nullifies_the_first_instruction_of_the_access() -> None:
    course = HPPA.follower(HPPA.block(0, ("load",), guarded=True)).course([SKIP])
    assert course.ends == "exit"
    assert "r25" not in dict(course.registers)


@every_access
def test_a_wrong_branch_to_the_slow_path(access: Access) -> None:
    """With displacement 0, as before April 2010, a miss skips the addend and makes the access with the tag instead."""
    code = HPPA.block(0, (access,))
    word = next(unit.final for unit in code.whole if unit.offset == 24)
    follower = HPPA.follower(code)
    wrong = {24: word & ~KEPT_12}
    course = follower.course([MISS], wrong=wrong)
    assert (course.ends, course.accessed, course.calls) == ("exit", 1, ())
    assert dict(course.registers)["r20"] == Holds.TAG
    assert follower.course([HIT], wrong=wrong) == follower.course([HIT])


@every_access
def test_a_wrong_branch_over_the_slow_path(access: Access) -> None:
    """With displacement 0 a hit falls into the slow path behind its first instruction, the address of the helper's."""
    code = HPPA.block(0, (access,))
    (_, _, _), (offset, _, _) = BRANCHES[access]
    word = next(unit.final for unit in code.whole if unit.offset == offset)
    course = HPPA.follower(code).course([HIT], wrong={offset: word & ~KEPT_17})
    (call,) = course.calls
    assert not call.right
    assert call.holds[0] == Holds.EXPECTED
    assert HPPA.follower(code).course([HIT], wrong={offset: 0}).ends == "illegal"


# --- The disassembler -----------------------------------------------------------------------------------------------

# The fields of the instructions, first and last bit, as the manual's figures have them.
Fields = dict[str, tuple[int, int]]
FORMATS: dict[str, Fields] = {
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
}  # fmt: skip


def word(form: str, **values: int) -> int:
    made = 0
    for field, value in values.items():
        first, last = FORMATS[form][field]
        assert value < 1 << last - first + 1
        made |= value << 31 - last
    return made


@pytest.mark.parametrize("form", FORMATS)
def test_the_fields_of_a_format_tile_the_word(form: str) -> None:
    fields = list(FORMATS[form].values())
    assert fields[0][0] == 0
    assert fields[-1][1] == 31
    assert all(below[0] == above[1] + 1 for above, below in itertools.pairwise(fields))


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
def test_an_instruction_is_read_by_its_fields(value: int, text: str | None) -> None:
    assert disassemble(value, 0x1000) == text


def test_what_is_not_known_is_no_instruction() -> None:
    code = HPPA.block(0, ("load",))
    assert disassembler(HPPA, code)(next(iter(code.whole)), 0) == "(no instruction)"


OBJDUMP = shutil.which("hppa-linux-gnu-objdump")


@pytest.mark.skipif(OBJDUMP is None, reason="hppa-linux-gnu-objdump (binutils for hppa) is not installed")
@pytest.mark.parametrize("guarded", [False, True])
@every_access
def test_objdump_reads_the_same(access: Access, guarded: bool, tmp_path: Path) -> None:
    assert OBJDUMP is not None
    code = HPPA.block(0, (access,), guarded=guarded)
    image = tmp_path / "block"
    image.write_bytes(b"".join(unit.final.to_bytes(4, "big") for unit in code.whole))
    options = ["-D", "-b", "binary", "-m", "hppa1.1", f"--adjust-vma={AT:#x}", "--no-show-raw-insn"]
    shown = subprocess.run([OBJDUMP, *options, image], capture_output=True, text=True, check=True).stdout
    theirs = re.findall(r"^\s*[0-9a-f]+:[ \t]+(.*\S)", shown, re.MULTILINE)
    # It writes displacements in hexadecimal without saying so.
    assert [text.replace("0x", "") for text in texts(code)] == [text.replace("0x", "") for text in theirs]


# --- Bad input ------------------------------------------------------------------------------------------------------


def test_a_guard_beyond_the_reach_of_its_branch_is_refused() -> None:
    most = 8192 // 64
    assert HPPA.destination(next(iter(HPPA.block(0, ["load"] * most, guarded=True).whole)).final) == 4 + 8192
    with pytest.raises(InputError, match="a condition that skips 8256 bytes of hppa; expected at most 8192"):
        HPPA.block(0, ["load"] * (most + 1), guarded=True)
