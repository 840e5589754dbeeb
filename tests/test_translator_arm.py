"""arm@2014: the slow path behind the block, reached by a conditional ``bl`` that keeps the offset it finds.

Expected words are those of QEMU's ``tcg/arm/tcg-target.c`` at 267c931985cf and of ARM DDI 0406.
"""

from __future__ import annotations

from decoding import branches, decoded, every_access, follow, order, target, ways

from bench.translators.instruction import Holds
from bench.translators.registry import load_translator
from bench.translators.translator import Access
from strategies.writes import Form, Phase

ARM = load_translator("arm@2014")

# The TLB is 0x58c bytes into CPUState: 0x500 of them by an addition, the rest in the loads.
LOOK_UP = [
    "lsr ip, r4, #0xc", "add r2, r6, #0x500", "and r0, ip, #0xff", "add r2, r2, r0, lsl #4", "ldr r0, [r2, #{}]",
    "tst r4, #3", "ldr r2, [r2, #0x98]", "cmpeq r0, ip, lsl #12",
]
EXIT = ["movw r0, #8", "movt r0, #0xb300", "b #0xb4fffc10"]
LISTINGS: dict[Access, list[str]] = {
    "load": [
        *(line.format("0x8c") for line in LOOK_UP), "blne #0xb4000034", "ldr r5, [r4, r2]", *EXIT,
        "mov r0, r6", "mov r1, r4", "movw r2, #0", "mov r3, lr", "movw ip, #0x4e58", "movt ip, #0x21", "blx ip",
        "mov r5, r0", "b #0xb4000028",
    ],
    "store": [
        *(line.format("0x90") for line in LOOK_UP), "streq r5, [r4, r2]", "blne #0xb4000034", *EXIT,
        "mov r0, r6", "mov r1, r4", "mov r2, r5", "movw r3, #0", "str lr, [sp]", "movw ip, #0x5374",
        "movt ip, #0x21", "bx ip",
    ],
}
BRANCH: dict[Access, int] = {"load": 32, "store": 36}


@every_access
def test_capstone_reads_every_instruction_as_meant(access: Access) -> None:
    code = ARM.block(0, (access,))
    assert decoded(ARM, code) == LISTINGS[access]
    assert code.rewritten == 10 * 4


@every_access
def test_the_branch_is_begun_and_bound_by_words_that_keep_the_rest(access: Access) -> None:
    code = ARM.block(0, (access,))
    at, offset = BRANCH[access], {"load": 3, "store": 2}[access]
    assert branches(code) == [
        (Phase.BRANCH, at, Form.READ_BACK, 0xFF00_0000, 0x1B00_0000, 0),
        (Phase.BRANCH_UPDATE, at, Form.READ_BACK, 0x00FF_FFFF, offset, 0),
    ]
    assert ARM.destination(0x1B00_0000 | offset) == target(ARM, code, at, 0x1B00_0000 | offset) == 52 - at
    assert code.unfinished == {at}
    assert {unit.shipped_form for unit in code.whole} == {Form.READ_BACK}


@every_access
def test_stores_are_in_the_order_of_memory_but_for_the_branch(access: Access) -> None:
    code = ARM.block(0, (access,))
    assert order(code) == [*range(0, 52, 4), BRANCH[access], *range(52, code.size, 4)]
    assert order(code)[: len(code.retranslated.writes)] == list(range(0, 40, 4))


def test_slow_paths_are_written_the_oldest_first() -> None:
    code = ARM.block(0, ("load", "store", "load"))
    updates = [write.unit.offset for write in code.writes if write.phase is Phase.BRANCH_UPDATE]
    assert updates == [32, 40 + 36, 80 + 32]


@every_access
def test_a_guard_is_a_branch_of_the_same_kind(access: Access) -> None:
    code = ARM.block(0, (access,), guarded=True)
    lines = decoded(ARM, code)
    assert lines[:2] == ["cmp r5, #0", "beq #0xb4000030"]
    assert branches(code)[0] == (Phase.GUEST_BRANCH, 4, Form.READ_BACK, 0xFF00_0000, 0x0A00_0000, 0)
    assert (Phase.BRANCH_UPDATE, 4, Form.READ_BACK, 0x00FF_FFFF, 9, 0) in branches(code)
    assert ARM.destination(0x0A00_0009) == target(ARM, code, 4, 0x0A00_0009) == 44
    # Neither label is bound as far as a retranslation comes.
    assert code.unfinished == {4, 8 + BRANCH[access]}
    assert ways(code)[-1] == ("skip", (0, 4, 48, 52, 56))


def test_the_helper_of_a_load_is_told_where_the_branch_was_and_comes_back_behind_the_load() -> None:
    code = ARM.block(0, ("load",))
    assert ways(code) == [
        ("hit", tuple(range(0, 52, 4))),
        ("miss", (*range(0, 36, 4), *range(52, 88, 4), 40, 44, 48)),
        ("fault", (*range(0, 36, 4), *range(52, 80, 4))),
    ]
    miss = follow(ARM, code, "miss")
    (call,) = miss.calls
    assert dict(call.needs) == {
        "r0": Holds.STATE, "r1": Holds.ADDRESS, "r2": Holds.MEMORY_INDEX, "r3": Holds.RETURN_ADDRESS,
    }
    assert call.right
    assert (miss.accessed, dict(miss.registers)["r5"]) == (0, Holds.VALUE)


def test_the_helper_of_a_store_returns_to_the_block_by_itself() -> None:
    code = ARM.block(0, ("store",))
    assert ways(code) == [
        ("hit", tuple(range(0, 52, 4))),
        ("miss", (*range(0, 40, 4), *range(52, 84, 4), 40, 44, 48)),
        ("fault", (*range(0, 40, 4), *range(52, 84, 4))),
    ]
    miss = follow(ARM, code, "miss")
    (call,) = miss.calls
    assert dict(call.needs) == {
        "r0": Holds.STATE, "r1": Holds.ADDRESS, "r2": Holds.VALUE, "r3": Holds.MEMORY_INDEX,
        "[sp]": Holds.RETURN_ADDRESS,
    }
    assert call.right


def test_two_stores_return_each_to_its_own_place() -> None:
    code = ARM.block(0, ("store", "store"))
    first = (*range(0, 40, 4), *range(92, 124, 4))
    assert ways(code)[-2] == ("miss", (*first, *range(40, 80, 4), *range(124, 156, 4), 80, 84, 88))


def test_a_wrong_offset_at_the_branch_is_seen_by_a_miss_alone() -> None:
    """An offset of nothing leads behind the next word: past the load, with no helper called."""
    code = ARM.block(0, ("load",))
    wrong = {32: 0x1B00_0000}
    miss = follow(ARM, code, "miss", wrong=wrong)
    assert (miss.ends, miss.accessed, miss.calls) == ("exit", 0, ())
    hit = follow(ARM, code, "hit", wrong=wrong)
    assert (hit.ends, hit.accessed) == ("exit", 1)


def test_a_helper_entered_without_the_branch_returns_nobody_knows_where() -> None:
    """A guard with a wrong offset leads into the slow path of the store: lr is of before."""
    code = ARM.block(0, ("store",), guarded=True)
    skip = follow(ARM, code, "skip", wrong={4: 0x0A00_000C})
    (call,) = skip.calls
    assert dict(zip((name for name, _ in call.needs), call.holds, strict=True))["[sp]"] == Holds.UNKNOWN
    assert (skip.ends, skip.offsets[:3]) == ("outside", (0, 4, 60))
