"""The mips translators, by QEMU's source at the commits that their file names, and by the architecture's manual."""

from __future__ import annotations

import pytest
from decoding import branches, decoded, every, finals, follow, order, target, temporaries, ways, windows, words

from bench.translators.instruction import Fact, Holds
from bench.translators.registry import load_translator
from bench.translators.translator import ACCESSES, Access, Code, GuestBits, Translator
from strategies.writes import Form, Phase

OLD, NEW = load_translator("mips@2010"), load_translator("mips@2011")
SHAPES: list[tuple[Access, GuestBits]] = [("load", 32), ("store", 32), ("load", 64), ("store", 64)]

every_version = every("mips@2010", "mips@2011")
every_shape = pytest.mark.parametrize(("access", "guest_bits"), SHAPES)

WORD = 4


def label(words: int) -> str:
    """The address of a word of the block, as capstone shows it: the buffer is at 0x2b7c1000."""
    return hex(0x2B7C_1000 + WORD * words)


# --- Encodings ------------------------------------------------------------------------------------------------------

EXIT = ["lui $v0, 0x2d7c", "ori $v0, $v0, 0x2008", "lui $at, 0xa3", "ori $at, $at, 0x4060", "jr $at", "nop"]

# A page is 4096 bytes, a TLB has 256 entries: of 16 bytes each on a 32-bit host with a 32-bit guest, the table 372
# bytes into CPUState (0x174); of 32 bytes with a 64-bit guest, the table at 8168 (0x1fe8), and in an
# entry addr_read at 0, addr_write at 8, the high half first, and the addend at 24.
LISTINGS = {
    ("load", 32): [
        "srl $a0, $s1, 8", "andi $a0, $a0, 0xff0", "addu $a0, $a0, $s0", "lw $at, 0x174($a0)",
        "addiu $t0, $zero, -0xffd", "and $t0, $t0, $s1",
        f"beq $at, $t0, {label(17)}", "nop",
        "move $a0, $s1", "addiu $a1, $zero, 0", "lui $t9, 0x47", "ori $t9, $t9, 0x2000", "jalr $t9", "nop",
        "move $s2, $v0",
        f"b {label(20)}", "nop",
        "lw $a0, 0x180($a0)", "addu $v0, $a0, $s1", "lw $s2, ($v0)",
        *EXIT,
    ],
    ("store", 32): [
        "srl $a0, $s1, 8", "andi $a0, $a0, 0xff0", "addu $a0, $a0, $s0", "lw $at, 0x178($a0)",
        "addiu $t0, $zero, -0xffd", "and $t0, $t0, $s1",
        f"beq $at, $t0, {label(17)}", "nop",
        "move $a0, $s1", "move $a1, $s2", "addiu $a2, $zero, 0", "lui $t9, 0x47", "ori $t9, $t9, 0x3000", "jalr $t9",
        "nop",
        f"b {label(20)}", "nop",
        "lw $a0, 0x180($a0)", "addu $a0, $a0, $s1", "sw $s2, ($a0)",
        *EXIT,
    ],
    ("load", 64): [
        "srl $a0, $s1, 7", "andi $a0, $a0, 0x1fe0", "addu $a0, $a0, $s0", "lw $at, 0x1fec($a0)",
        "addiu $t0, $zero, -0xffd", "and $t0, $t0, $s1",
        f"bne $at, $t0, {label(11)}", "nop",
        "lw $at, 0x1fe8($a0)",
        f"beq $at, $s3, {label(21)}", "nop",
        "move $a0, $s3", "move $a1, $s1", "addiu $a2, $zero, 0", "lui $t9, 0x47", "ori $t9, $t9, 0x2000", "jalr $t9",
        "nop", "move $s2, $v0",
        f"b {label(24)}", "nop",
        "lw $a0, 0x2000($a0)", "addu $v0, $a0, $s1", "lw $s2, ($v0)",
        *EXIT,
    ],
    ("store", 64): [
        "srl $a0, $s1, 7", "andi $a0, $a0, 0x1fe0", "addu $a0, $a0, $s0", "lw $at, 0x1ff4($a0)",
        "addiu $t0, $zero, -0xffd", "and $t0, $t0, $s1",
        f"bne $at, $t0, {label(11)}", "nop",
        "lw $at, 0x1ff0($a0)",
        f"beq $at, $s3, {label(21)}", "nop",
        "move $a0, $s3", "move $a1, $s1", "move $a2, $s2", "addiu $a3, $zero, 0", "lui $t9, 0x47",
        "ori $t9, $t9, 0x3000", "jalr $t9", "nop",
        f"b {label(24)}", "nop",
        "lw $a0, 0x2000($a0)", "addu $a0, $a0, $s1", "sw $s2, ($a0)",
        *EXIT,
    ],
}


@every_version
@every_shape
def test_capstone_reads_every_instruction_as_meant(
    translator: Translator, access: Access, guest_bits: GuestBits
) -> None:
    code = translator.block(0, (access,), guest_bits=guest_bits)
    assert decoded(translator, code) == LISTINGS[access, guest_bits]
    assert code.rewritten == WORD * {32: 20, 64: 24}[guest_bits]


@every_version
@every_shape
def test_a_guard_is_one_branch_and_its_delay_slot(
    translator: Translator, access: Access, guest_bits: GuestBits
) -> None:
    code = translator.block(0, (access,), guarded=True, guest_bits=guest_bits)
    behind = len(LISTINGS[access, guest_bits]) - len(EXIT) + 2
    text = decoded(translator, code)
    assert text[:2] == [f"beq $zero, $s2, {label(behind)}", "nop"]
    moved = [line.split(" 0x2b7c")[0] for line in text[2:]]
    assert moved == [line.split(" 0x2b7c")[0] for line in LISTINGS[access, guest_bits]]
    assert code.rewritten == WORD * behind


# --- What is stored, and when ---------------------------------------------------------------------------------------

# Word of the branch, its distance in bytes, its opcode and registers, and the number of stores until it is patched.
BRANCHES = {
    32: [(6, 44, 0x1028_0000, 10), (15, 20, 0x1000_0000, 5)],
    64: [(6, 20, 0x1428_0000, 4), (9, 48, 0x1033_0000, 12), (19, 20, 0x1000_0000, 5)],
}


def begun(code: Code) -> dict[int, int]:
    """The values with which the branches of the accesses are begun, by their offset."""
    return {at: value | left for phase, at, _, _, value, left in branches(code) if phase is Phase.BRANCH}


@every_version
@every_shape
def test_every_branch_is_begun_without_its_offset_and_patched_by_reading_back(
    translator: Translator, access: Access, guest_bits: GuestBits
) -> None:
    """In 2010 the low half of its own address is the offset until then, in 2011 what is there."""
    code = translator.block(0, (access,), guest_bits=guest_bits)
    expected = []
    for word, distance, opcode, _ in BRANCHES[guest_bits]:
        at = WORD * word
        form, temporary = (Form.WHOLE, 0x1000 + at) if translator is OLD else (Form.READ_BACK, 0)
        expected += [
            (Phase.BRANCH, at, form, 0xFFFF_0000, opcode, temporary),
            (Phase.BRANCH_UPDATE, at, Form.READ_BACK, 0xFFFF, distance // WORD - 1, 0),
        ]
        assert finals(code)[at] == opcode | distance // WORD - 1
    assert sorted(branches(code), key=lambda store: store[1]) == expected
    assert windows(code) == {WORD * word: stores for word, _, _, stores in BRANCHES[guest_bits]}
    left = [(at, stores) for at, _, stores in temporaries(translator, code)]
    assert left == (sorted(windows(code).items()) if translator is OLD else [])


def test_the_second_access_of_a_block_has_another_temporary() -> None:
    code = OLD.block(0, ("load", "load"))
    found = [write.temporary for write in code.writes if write.phase is Phase.BRANCH]
    assert found == [0x1000 + WORD * word for word in (6, 15, 26, 35)]


def test_the_order_in_time_is_that_of_the_source() -> None:
    for access in ACCESSES:
        assert order(OLD.block(0, (access,))) == [*words((0, 16), (6, 6), (17, 19), (15, 15), (20, 25))]
    found = order(OLD.block(0, ("store",), guest_bits=64))
    assert found == [*words((0, 10), (6, 6), (11, 20), (9, 9), (21, 23), (19, 19), (24, 29))]


@every_version
def test_the_guards_branch_is_written_as_every_other(translator: Translator) -> None:
    code = translator.block(0, guarded=True)
    form, temporary = (Form.WHOLE, 0x1000) if translator is OLD else (Form.READ_BACK, 0)
    first, slot = (write for write in code.writes if write.phase is Phase.GUEST_BRANCH)
    assert (first.unit.offset, slot.value) == (0, 0)
    assert [store for store in branches(code) if store[1] == 0] == [
        (Phase.GUEST_BRANCH, 0, form, 0xFFFF_0000, 0x1012_0000, temporary),
        (Phase.BRANCH_UPDATE, 0, Form.READ_BACK, 0xFFFF, 21, 0),
    ]
    assert code.unfinished == {0}


def test_the_fix_is_the_form_of_2011() -> None:
    old, new = OLD.block(0).writes, NEW.block(0).writes
    assert [write.in_form(write.unit.shipped_form).form for write in old] == [write.form for write in new]
    assert [(write.unit, write.known, write.value) for write in old] == [
        (write.unit, write.known, write.value) for write in new
    ]


# --- Where branches lead --------------------------------------------------------------------------------------------


@every_version
@every_shape
def test_a_branch_leads_where_capstone_says(translator: Translator, access: Access, guest_bits: GuestBits) -> None:
    code = translator.block(0, (access,), guest_bits=guest_bits)
    for word, distance, _, _ in BRANCHES[guest_bits]:
        at = WORD * word
        final, first = finals(code)[at], begun(code)[at]
        assert translator.destination(final) == target(translator, code, at, final) == distance
        assert translator.destination(first) == target(translator, code, at, first)


# --- Ways through a block -------------------------------------------------------------------------------------------


def test_the_paths_fetch_every_delay_slot() -> None:
    for translator in (OLD, NEW):
        assert ways(translator.block(0)) == [
            ("hit", words((0, 7), (17, 25))), ("miss", words((0, 16), (20, 25))), ("fault", words((0, 13))),
        ]
    assert ways(NEW.block(0, ("store",), guarded=True)) == [
        ("hit", words((0, 9), (19, 27))), ("miss", words((0, 18), (22, 27))), ("fault", words((0, 16))),
        ("skip", words((0, 1), (22, 27))),
    ]


def test_a_64_bit_guest_misses_in_one_half_or_the_other() -> None:
    assert ways(OLD.block(0, guest_bits=64)) == [
        ("hit", words((0, 10), (21, 29))),
        ("miss", words((0, 7), (11, 20), (24, 29))), ("miss", words((0, 20), (24, 29))),
        ("fault", words((0, 7), (11, 17))), ("fault", words((0, 17))),
    ]


NEEDS = {
    ("load", 32): {"a0": Holds.ADDRESS, "a1": Holds.MEMORY_INDEX},
    ("store", 32): {"a0": Holds.ADDRESS, "a1": Holds.VALUE, "a2": Holds.MEMORY_INDEX},
    ("load", 64): {"a0": Holds.ADDRESS_HIGH, "a1": Holds.ADDRESS, "a2": Holds.MEMORY_INDEX},
    ("store", 64): {"a0": Holds.ADDRESS_HIGH, "a1": Holds.ADDRESS, "a2": Holds.VALUE, "a3": Holds.MEMORY_INDEX},
}


MISSES: dict[GuestBits, list[list[Fact]]] = {32: [["miss"]], 64: [["miss", "low differs"], ["miss", "high differs"]]}


@every_version
@every_shape
def test_a_helper_is_told_what_it_needs_and_gives_the_value(
    translator: Translator, access: Access, guest_bits: GuestBits
) -> None:
    code = translator.block(0, (access,), guest_bits=guest_bits)
    for facts in MISSES[guest_bits]:
        way = follow(translator, code, *facts)
        (call,) = way.calls
        assert dict(call.needs) == NEEDS[access, guest_bits]
        assert call.right
        assert (way.ends, way.accessed, dict(way.registers)["s2"]) == ("exit", 0, Holds.VALUE)
        assert dict(way.registers)["v0"] == Holds.BLOCK
    hit = follow(translator, code, "hit")
    assert (hit.ends, hit.accessed, hit.calls) == ("exit", 1, ())


def test_a_fetched_temporary_leads_out_of_the_block() -> None:
    code = OLD.block(0)
    assert begun(code) == {24: 0x1028_1018, 60: 0x1000_103C}
    stray = follow(OLD, code, "hit", wrong={24: 0x1028_1018})
    assert (stray.ends, stray.at, stray.offsets) == ("outside", 24 + 4 + 4 * 0x1018, words((0, 7)))
    assert (stray.accessed, stray.calls) == (0, ())
    # At a miss the branch is not taken, wherever it leads; but the second is.
    assert follow(OLD, code, "miss", wrong={24: 0x1028_1018}).ends == "exit"
    late = follow(OLD, code, "miss", wrong={60: 0x1000_103C})
    assert (late.ends, late.at, len(late.calls)) == ("outside", 60 + 4 + 4 * 0x103C, 1)
    assert follow(OLD, code, "hit", wrong={60: 0x1000_103C}).ends == "exit"


def test_a_fetched_temporary_with_a_64_bit_guest() -> None:
    code = OLD.block(0, guest_bits=64)
    values = begun(code)
    assert values == {24: 0x1428_1018, 36: 0x1033_1024, 76: 0x1000_104C}

    def end(offset: int, *facts: Fact) -> str:
        return follow(OLD, code, *facts, wrong={offset: values[offset]}).ends

    assert end(24, "hit") == end(24, "miss", "high differs") == "exit"
    assert end(24, "miss", "low differs") == "outside"
    assert end(36, "hit") == "outside"
    assert end(36, "miss", "low differs") == end(36, "miss", "high differs") == "exit"
    assert end(76, "miss", "low differs") == end(76, "miss", "high differs") == "outside"


def test_a_retranslation_leaves_the_guards_temporary_behind() -> None:
    code = OLD.block(0, guarded=True)
    assert follow(OLD, code, "skip", wrong={0: 0x1012_1000}).ends == "outside"
    assert follow(OLD, code, "hit", wrong={0: 0x1012_1000}).ends == "exit"


def test_another_place_in_the_buffer_would_give_another_temporary() -> None:
    """Backward, where the low half of the address has its top bit set; never to itself, as addresses are even."""
    assert OLD.destination(0x1028_0000 | 0x9018) == 4 + 4 * (0x9018 - 0x1_0000)
    assert all(OLD.destination(0x1028_0000 | low) != 0 for low in range(0, 0x1_0000, WORD))
