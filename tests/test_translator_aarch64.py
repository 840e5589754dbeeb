"""aarch64@2013: a branch to the slow path behind the block that keeps the offset it finds, from the first day on.

Expected words are those of QEMU's ``tcg/aarch64/tcg-target.c`` at c6d8ed24b446 and of ARM DDI 0487.
"""

from __future__ import annotations

from decoding import branches, decoded, every_access, follow, order, target, ways

from bench.translators.instruction import Holds
from bench.translators.registry import load_translator
from bench.translators.translator import Access
from strategies.writes import Form, Phase

AARCH64 = load_translator("aarch64@2013")

LOOK_UP = [
    "ubfx w0, w20, #0xc, #9", "and w3, w20, #0xfffff003", "add x2, x19, #0", "add x2, x2, x0, lsl #5",
    "ldr w0, [x2, #{}]", "ldr x1, [x2, #0x5b0]", "cmp w0, w3", "b.ne #0x7f80000034",
]
EXIT = ["mov x0, #0x10", "movk x0, #0x7c00, lsl #16", "movk x0, #0x7f, lsl #32", "b #0x7f81fffc28"]
LISTINGS: dict[Access, list[str]] = {
    "load": [
        *(line.format("0x5a0") for line in LOOK_UP), "ldr w21, [x20, x1]", *EXIT,
        "mov x0, x19", "mov w1, w20", "mov w2, #0", "mov w8, #0xc2a4", "movk w8, #0x58, lsl #16", "blr x8",
        "mov x21, x0", "b #0x7f80000024",
    ],
    "store": [
        *(line.format("0x5a4") for line in LOOK_UP), "str w21, [x20, x1]", *EXIT,
        "mov x0, x19", "mov w1, w20", "mov x2, x21", "mov w3, #0", "mov w8, #0xc6d0", "movk w8, #0x58, lsl #16",
        "blr x8", "nop", "b #0x7f80000024",
    ],
}
BRANCH = 28
FINAL = 0x5400_0001 | 6 << 5


@every_access
def test_capstone_reads_every_instruction_as_meant(access: Access) -> None:
    code = AARCH64.block(0, (access,))
    assert decoded(AARCH64, code) == LISTINGS[access]
    assert code.rewritten == 9 * 4


def test_first_words_as_in_the_manual() -> None:
    """UBFM, AND and MOVZ by hand: fields that a disassembler prints as something else."""
    words = [unit.final for unit in AARCH64.block(0, ("load",)).whole]
    # sf=0 opc=10 100110 N=0 immr=12 imms=20 Rn=20 Rd=0
    assert words[0] == 0b0_10_100110_0_001100_010100_10100_00000
    # sf=0 opc=00 100100 N=0 immr=20 imms=21 Rn=20 Rd=3
    assert words[1] == 0b0_00_100100_0_010100_010101_10100_00011
    # sf=1 opc=10 100101 hw=00 imm16=16 Rd=0
    assert words[9] == 0b1_10_100101_00_0000000000010000_00000


@every_access
def test_the_branch_is_begun_and_bound_by_words_that_keep_the_rest(access: Access) -> None:
    code = AARCH64.block(0, (access,))
    assert branches(code) == [
        (Phase.BRANCH, BRANCH, Form.READ_BACK, 0xFF00_001F, 0x5400_0001, 0),
        (Phase.BRANCH_UPDATE, BRANCH, Form.READ_BACK, 0x00FF_FFE0, 6 << 5, 0),
    ]
    assert AARCH64.destination(FINAL) == target(AARCH64, code, BRANCH, FINAL) == 24
    assert code.unfinished == {BRANCH}
    assert order(code) == [*range(0, 52, 4), BRANCH, *range(52, code.size, 4)]
    assert order(code)[: len(code.retranslated.writes)] == list(range(0, 36, 4))


def test_slow_paths_are_written_the_oldest_first() -> None:
    code = AARCH64.block(0, ("load", "store", "load"))
    updates = [write.unit.offset for write in code.writes if write.phase is Phase.BRANCH_UPDATE]
    assert updates == [28, 36 + 28, 72 + 28]


def test_a_guard_compares_with_a_constant_in_a_register() -> None:
    code = AARCH64.block(0, ("load",), guarded=True)
    assert decoded(AARCH64, code)[:3] == ["mov w22, #0", "cmp w21, w22", "b.eq #0x7f80000030"]
    assert branches(code)[0] == (Phase.GUEST_BRANCH, 8, Form.READ_BACK, 0xFF00_001F, 0x5400_0000, 0)
    assert branches(code)[2] == (Phase.BRANCH_UPDATE, 8, Form.READ_BACK, 0x00FF_FFE0, 10 << 5, 0)
    assert code.unfinished == {8, 40}
    assert ways(code)[-1] == ("skip", (0, 4, 8, 48, 52, 56, 60))


def test_paths_and_what_the_helper_is_told() -> None:
    code = AARCH64.block(0, ("load",))
    assert ways(code) == [
        ("hit", tuple(range(0, 52, 4))),
        ("miss", (*range(0, 32, 4), *range(52, 84, 4), *range(36, 52, 4))),
        ("fault", (*range(0, 32, 4), *range(52, 76, 4))),
    ]
    miss = follow(AARCH64, code, "miss")
    (call,) = miss.calls
    assert dict(call.needs) == {"x0": Holds.STATE, "x1": Holds.ADDRESS, "x2": Holds.MEMORY_INDEX}
    assert call.right
    assert dict(miss.registers)["x21"] == Holds.VALUE
    (call,) = follow(AARCH64, AARCH64.block(0, ("store",)), "miss").calls
    assert call.right
    assert dict(call.needs)["x2"] == Holds.VALUE


def test_wrong_words_at_the_branch() -> None:
    """Displacement 0 hangs a miss; one instruction too far makes a helper be told the TLB entry's tag for the state."""
    code = AARCH64.block(0)
    hangs = follow(AARCH64, code, "miss", wrong={BRANCH: 0x5400_0001})
    assert (hangs.ends, hangs.at) == ("loop", BRANCH)
    (call,) = follow(AARCH64, code, "miss", wrong={BRANCH: 0x5400_0001 | 7 << 5}).calls
    assert call.holds == (Holds.TAG, Holds.ADDRESS, Holds.MEMORY_INDEX)
    assert follow(AARCH64, code, "miss", wrong={BRANCH: 0}).ends == "illegal"
