"""The sparc translators, by QEMU's source at the commits that their file names, and by the architecture's manual."""

from __future__ import annotations

import pytest
from decoding import branches, decoded, every, every_access, finals, follow, order, target, ways, windows, words

from bench.translators import sparc
from bench.translators.instruction import Fact, Holds
from bench.translators.registry import load_translator
from bench.translators.translator import Access, Translator
from strategies.writes import Form, Phase

OLD, NEW = load_translator("sparc@2010"), load_translator("sparc@2012")

every_version = every("sparc@2010", "sparc@2012")

WORD = 4
START = {OLD: 0x6000_0000, NEW: 0x4000_0000}


def label(translator: Translator, words: int) -> str:
    """The address of a word of the block, as capstone shows it."""
    return hex(START[translator] + WORD * words)


def without_address(line: str) -> str:
    """What does not change when a branch moves."""
    return " ".join(part for part in line.split() if not part.startswith(("0x600000", "0x400000")))


# --- Encodings ------------------------------------------------------------------------------------------------------

# The returned pointer is 0xfffff8010c002010: upper 22 and lower 10 bits of each half.  ``ret`` is ``jmpl %i7+8, %g0``.
RETURN_2010 = [
    "sethi 0x3ffffe, %i4", "or %i4, 1, %i4", "sllx %i4, 0x20, %i4", "sethi 0x30008, %i0", "or %i0, 0x10, %i0",
    "or %i0, %i4, %i0", "ret", "restore",
]
RETURN_2012 = [
    "sethi 0x3ffffe, %i0", "or %i0, 1, %i0", "sllx %i0, 0x20, %i0", "sethi 0x30008, %o7", "or %o7, 0x10, %o7",
    "or %i0, %o7, %i0", "ret", "restore",
]

# An entry's offset is masked with 0x1fe0: 7 << 10 | 0x3e0.  The table is 384 bytes into CPUState in 2010 (0x180), 1456
# in 2012 (0x5b0); in an entry addr_read is at 0, addr_write at 4, the addend at 16.  cmp is subcc, mov is or.
LISTINGS = {
    (OLD, "load"): [
        "srl %l0, 7, %o1", "and %l0, -0xffd, %o0", "sethi 7, %i5", "or %i5, 0x3e0, %i5", "and %o1, %i5, %o1",
        "add %o1, 0x180, %o1", "add %g5, %o1, %o1", "ld [%o1], %o2", "cmp %o0, %o2",
        f"be {label(OLD, 18)}", "or %l0, %g0, %o0",
        "mov 0, %o1", "call 0x240000", "stx %g5, [%fp+0x767]", "ldx [%fp+0x767], %g5", "or %o0, %g0, %l1",
        f"ba {label(OLD, 24)}", "nop",
        "ldx [%o1+0x10], %o1", "sethi 0x3fffff, %i5", "or %i5, 0x3ff, %i5", "and %l0, %i5, %o0", "add %o0, %o1, %o0",
        "ld [%o0], %l1",
        *RETURN_2010,
    ],
    (OLD, "store"): [
        "srl %l0, 7, %o1", "and %l0, -0xffd, %o0", "sethi 7, %i5", "or %i5, 0x3e0, %i5", "and %o1, %i5, %o1",
        "add %o1, 0x184, %o1", "add %g5, %o1, %o1", "ld [%o1], %o2", "cmp %o0, %o2",
        f"be {label(OLD, 18)}", "or %l0, %g0, %o0",
        "or %l1, %g0, %o1", "mov 0, %o2", "call 0x241000", "stx %g5, [%fp+0x767]", "ldx [%fp+0x767], %g5",
        f"ba {label(OLD, 24)}", "nop",
        "ldx [%o1+0xc], %o1", "sethi 0x3fffff, %i5", "or %i5, 0x3ff, %i5", "and %l0, %i5, %o0", "add %o0, %o1, %o0",
        "st %l1, [%o0]",
        *RETURN_2010,
    ],
    (NEW, "load"): [
        "srl %l0, 7, %o1", "and %l0, -0xffd, %o0", "sethi 7, %g1", "or %g1, 0x3e0, %g1", "and %o1, %g1, %o1",
        "add %i0, %o1, %o1", "ld [%o1+0x5b0], %o2", "ldx [%o1+0x5c0], %o1", "cmp %o0, %o2", "srl %l0, 0, %o0",
        f"be,a %icc, {label(NEW, 17)}", "ld [%o0+%o1], %l1",
        "or %i0, %g0, %o0", "or %l0, %g0, %o1", "call 0x240000", "mov 0, %o2", "or %o0, %g0, %l1",
        *RETURN_2012,
    ],
    (NEW, "store"): [
        "srl %l0, 7, %o1", "and %l0, -0xffd, %o0", "sethi 7, %g1", "or %g1, 0x3e0, %g1", "and %o1, %g1, %o1",
        "add %i0, %o1, %o1", "ld [%o1+0x5b4], %o2", "ldx [%o1+0x5c0], %o1", "cmp %o0, %o2", "srl %l0, 0, %o0",
        f"be,a %icc, {label(NEW, 17)}", "st %l1, [%o0+%o1]",
        "or %i0, %g0, %o0", "or %l0, %g0, %o1", "or %l1, %g0, %o2", "call 0x241000", "mov 0, %o3",
        *RETURN_2012,
    ],
}
OPERATION = {OLD: 24, NEW: 17}
"""The words of an access."""


@every_version
@every_access
def test_capstone_reads_every_instruction_as_meant(translator: Translator, access: Access) -> None:
    code = translator.block(0, (access,))
    assert decoded(translator, code) == LISTINGS[translator, access]
    assert code.rewritten == WORD * OPERATION[translator]


@every_version
@every_access
def test_a_guard_is_a_compare_and_a_branch_with_its_delay_slot(translator: Translator, access: Access) -> None:
    code = translator.block(0, (access,), guarded=True)
    found = decoded(translator, code)
    branch = "be" if translator is OLD else "be %icc,"
    assert found[:3] == ["cmp %l1, 0", f"{branch} {label(translator, OPERATION[translator] + 3)}", "nop"]
    assert [without_address(line) for line in found[3:]] == [
        without_address(line) for line in LISTINGS[translator, access]
    ]
    assert code.rewritten == WORD * (OPERATION[translator] + 3)


def test_only_2010_keeps_the_pointer_to_the_guests_state_in_the_frame() -> None:
    """The frame pointer is 2047 less than the address it stands for, which is a multiple of 16."""
    kept = {shape: [line for line in lines if "%fp" in line] for shape, lines in LISTINGS.items()}
    assert {shape: len(lines) for shape, lines in kept.items()} == {
        (OLD, "load"): 2, (OLD, "store"): 2, (NEW, "load"): 0, (NEW, "store"): 0,
    }
    assert (sparc.SAVED_STATE, (sparc.SAVED_STATE - 2047) % 8) == (0x767, 0)


# --- What is stored, and when ---------------------------------------------------------------------------------------


@every_access
def test_in_2010_both_branches_are_a_word_0_until_they_are_stored_as_a_whole(access: Access) -> None:
    code = OLD.block(0, (access,))
    assert branches(code) == [
        (Phase.BRANCH, WORD * 9, Form.WHOLE, 0, 0, 0),
        (Phase.BRANCH, WORD * 16, Form.WHOLE, 0, 0, 0),
        (Phase.BRANCH_UPDATE, WORD * 9, Form.WHOLE, 0xFFFF_FFFF, 0x0280_0009, 0),
        (Phase.BRANCH_UPDATE, WORD * 16, Form.WHOLE, 0xFFFF_FFFF, 0x1080_0008, 0),
    ]
    assert windows(code) == {WORD * 9: 8, WORD * 16: 8}


@every_access
def test_in_2012_the_branch_leads_to_itself_until_its_displacement_is_stored(access: Access) -> None:
    code = NEW.block(0, (access,))
    assert branches(code) == [
        (Phase.BRANCH, WORD * 10, Form.WHOLE, 0xFFF8_0000, 0x2248_0000, 0),
        (Phase.BRANCH_UPDATE, WORD * 10, Form.READ_BACK, 0x0007_FFFF, 7, 0),
    ]
    assert finals(code)[WORD * 10] == 0x2248_0007
    assert windows(code) == {WORD * 10: 6}


@every_access
def test_the_order_in_time_is_that_of_the_source(access: Access) -> None:
    assert order(OLD.block(0, (access,))) == [*words((0, 17), (9, 9), (18, 23), (16, 16), (24, 31))]
    assert order(NEW.block(0, (access,))) == [*words((0, 16), (10, 10), (17, 24))]


@pytest.mark.parametrize(
    ("translator", "begun", "bound"),
    [
        (OLD, (Form.WHOLE, 0xFFC0_0000, 0x0280_0000), (0x003F_FFFF, 26)),
        (NEW, (Form.READ_BACK, 0xFFF8_0000, 0x0248_0000), (0x0007_FFFF, 19)),
    ],
    ids=["2010", "2012"],
)
def test_the_guards_branch_is_stored_with_displacement_0_in_2010_and_keeps_the_one_that_is_there_in_2012(
    translator: Translator, begun: tuple[Form, int, int], bound: tuple[int, int]
) -> None:
    code = translator.block(0, guarded=True)
    guest = [(write.unit.offset, write.value) for write in code.writes if write.phase is Phase.GUEST_BRANCH]
    assert guest == [(0, 0x80A4_6000), (WORD, begun[2]), (2 * WORD, 0x0100_0000)]
    assert [store for store in branches(code) if store[1] == WORD] == [
        (Phase.GUEST_BRANCH, WORD, *begun, 0), (Phase.BRANCH_UPDATE, WORD, Form.READ_BACK, *bound, 0),
    ]
    assert code.unfinished == {WORD}


@pytest.mark.parametrize(("translator", "distances"), [(OLD, {36: 36, 64: 32}), (NEW, {40: 28})], ids=["2010", "2012"])
@every_access
def test_a_branch_leads_where_capstone_says(translator: Translator, access: Access, distances: dict[int, int]) -> None:
    code = translator.block(0, (access,))
    for at, distance in distances.items():
        word = finals(code)[at]
        assert translator.destination(word) == target(translator, code, at, word) == distance


# --- Ways through a block -------------------------------------------------------------------------------------------


def test_the_paths_fetch_every_delay_slot_and_in_2012_the_fast_path_always() -> None:
    assert ways(OLD.block(0)) == [
        ("hit", words((0, 10), (18, 31))), ("miss", words((0, 17), (24, 31))), ("fault", words((0, 13))),
    ]
    assert ways(NEW.block(0)) == [
        ("hit", words((0, 11), (17, 24))), ("miss", words((0, 24))), ("fault", words((0, 15))),
    ]
    assert ways(NEW.block(0, ("store",), guarded=True)) == [
        ("hit", words((0, 14), (20, 27))), ("miss", words((0, 27))), ("fault", words((0, 19))),
        ("skip", words((0, 2), (20, 27))),
    ]


NEEDS = {
    (OLD, "load"): {"o0": Holds.ADDRESS, "o1": Holds.MEMORY_INDEX},
    (OLD, "store"): {"o0": Holds.ADDRESS, "o1": Holds.VALUE, "o2": Holds.MEMORY_INDEX},
    (NEW, "load"): {"o0": Holds.STATE, "o1": Holds.ADDRESS, "o2": Holds.MEMORY_INDEX},
    (NEW, "store"): {"o0": Holds.STATE, "o1": Holds.ADDRESS, "o2": Holds.VALUE, "o3": Holds.MEMORY_INDEX},
}


@every_version
@every_access
def test_a_helper_is_told_what_it_needs(translator: Translator, access: Access) -> None:
    """The annulled delay slot of 2012 accesses nothing at a miss."""
    miss = follow(translator, translator.block(0, (access,)), "miss")
    (call,) = miss.calls
    assert dict(call.needs) == NEEDS[translator, access]
    assert miss.accessed == 0


@every_access
def test_a_fetched_word_0_is_illegal_taken_or_not(access: Access) -> None:
    code = OLD.block(0, (access,))
    facts: tuple[Fact, ...] = ("hit", "miss")
    for fact in facts:
        first = follow(OLD, code, fact, wrong={36: 0})
        assert (first.ends, first.at, first.accessed, first.calls) == ("illegal", 36, 0, ())
    late = follow(OLD, code, "miss", wrong={64: 0})
    assert (late.ends, late.at, len(late.calls)) == ("illegal", 64, 1)
    assert follow(OLD, code, "hit", wrong={64: 0}).ends == "exit"


@every_access
def test_a_fetched_temporary_of_2012_accesses_again_and_again(access: Access) -> None:
    code = NEW.block(0, (access,))
    hit = follow(NEW, code, "hit", wrong={40: 0x2248_0000})
    assert (hit.ends, hit.calls) == ("loop", ())
    # It is followed until it comes to the branch again with the same registers: the access, in the delay slot, is part
    # of the loop; a load has changed its register the first time.
    times = 2 if access == "load" else 1
    assert (hit.at, hit.offsets, hit.accessed) == (40, words((0, 11), *[(10, 11)] * (times - 1)), times)
    assert follow(NEW, code, "miss", wrong={40: 0x2248_0000}).ends == "exit"


def test_what_a_retranslation_of_2010_leaves_in_the_guards_branch_never_ends() -> None:
    code = OLD.block(0, guarded=True)
    skip = follow(OLD, code, "skip", wrong={4: 0x0280_0000})
    assert (skip.ends, set(skip.offsets)) == ("loop", {*words((0, 2))})
    assert follow(OLD, code, "hit", wrong={4: 0x0280_0000}).ends == "exit"
