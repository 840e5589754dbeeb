"""s390x@2014: the slow path behind the block, the branch to it still stored with displacement 0.

Expected words are those of QEMU's ``tcg/s390/tcg-target.c`` at fb5964152d96 and cd3b29b745b0, and of SA22-7832.
"""

from __future__ import annotations

import pytest
from decoding import branches, decoded, every_access, follow, order, target, temporaries, ways

from bench.translators.instruction import Holds
from bench.translators.registry import load_translator
from bench.translators.translator import Access, Translator
from strategies.writes import Form, Phase

S390X, FIXED = load_translator("s390x@2014"), load_translator("s390x@2015")

LOOK_UP = [
    "srlg %r2, %r13, 7", "llgfr %r3, %r13", "risbg %r2, %r2, 0x33, 0xba, 0", "nill %r3, 0xf003",
    "c %r3, {}(%r10, %r2)", "lg %r2, 0x5a0(%r10, %r2)", "llgfr %r3, %r13",
]
EXIT = ["lgfi %r2, 0x7c000010", "iihl %r2, 0x3ff", "jg 0x80800000"]
LISTINGS: dict[Access, list[str]] = {
    "load": [
        *(line.format("0x590") for line in LOOK_UP), "jlh 0x9000003c", "llgf %r12, 0(%r2, %r3)", *EXIT,
        "lgr %r2, %r10", "lghi %r4, 0", "llilf %r5, 0x9000002c", "brasl %r14, 0x80100000", "lgr %r12, %r2",
        "j 0x9000002c",
    ],
    "store": [
        *(line.format("0x594") for line in LOOK_UP), "jlh 0x9000003a", "st %r12, 0(%r2, %r3)", *EXIT,
        "lgr %r2, %r10", "llgfr %r4, %r12", "lghi %r5, 0", "llilf %r6, 0x9000002a", "brasl %r14, 0x80101000",
        "j 0x9000002a",
    ],
}
OFFSETS: dict[Access, tuple[int, ...]] = {
    "load": (0, 6, 10, 16, 20, 24, 30, 34, 38, 44, 50, 54, 60, 64, 68, 74, 80, 84),
    "store": (0, 6, 10, 16, 20, 24, 30, 34, 38, 42, 48, 52, 58, 62, 66, 70, 76, 82),
}
BRANCH = 34
TO_ITSELF = 0xA764_0000


@every_access
def test_capstone_reads_every_instruction_as_meant(access: Access) -> None:
    code = S390X.block(0, (access,))
    assert decoded(S390X, code) == LISTINGS[access]
    assert tuple(unit.offset for unit in code.whole) == OFFSETS[access]
    assert code.rewritten == {"load": 44, "store": 42}[access]


@every_access
def test_the_branch_is_stored_to_itself_and_bound_behind_the_block(access: Access) -> None:
    code = S390X.block(0, (access,))
    halfwords = {"load": 13, "store": 12}[access]
    assert branches(code) == [
        (Phase.BRANCH, BRANCH, Form.WHOLE, 0xFFFF_0000, TO_ITSELF, 0),
        (Phase.BRANCH_UPDATE, BRANCH, Form.SKIP_BYTES, 0x0000_FFFF, halfwords, 0),
    ]
    assert S390X.destination(TO_ITSELF) == target(S390X, code, BRANCH, TO_ITSELF) == 0
    final = TO_ITSELF | halfwords
    assert S390X.destination(final) == target(S390X, code, BRANCH, final) == 2 * halfwords
    # Between the two: the access, the exit's three stores. A retranslation ends before the second: no window.
    assert order(code) == [*OFFSETS[access][:12], BRANCH, *OFFSETS[access][12:]]
    assert temporaries(S390X, code) == [(BRANCH, "jlh 0x90000022", None)]


@every_access
def test_a_retranslation_leaves_what_a_translation_completes(access: Access) -> None:
    code = S390X.block(0, (access,))
    assert code.unfinished == {BRANCH}
    (begun,) = (write for write in code.retranslated.writes if write.unit.offset == BRANCH)
    assert begun.value | begun.temporary == TO_ITSELF
    assert begun.in_form(begun.unit.shipped_form).known_bytes == 0xFFFF_0000


@every_access
def test_left_alone_the_branch_hangs_a_miss_and_harms_no_hit(access: Access) -> None:
    code = S390X.block(0, (access,))
    miss = follow(S390X, code, "miss", wrong={BRANCH: TO_ITSELF})
    assert (miss.ends, miss.at, miss.accessed, miss.calls) == ("loop", BRANCH, 0, ())
    hit = follow(S390X, code, "hit", wrong={BRANCH: TO_ITSELF})
    assert (hit.ends, hit.accessed) == ("exit", 1)


def test_slow_paths_are_written_the_oldest_first() -> None:
    code = S390X.block(0, ("load", "store", "load"))
    updates = [write.unit.offset for write in code.writes if write.phase is Phase.BRANCH_UPDATE]
    assert updates == [34, 44 + 34, 86 + 34]


def test_paths_and_what_the_helper_is_told() -> None:
    code = S390X.block(0, ("load",))
    before = OFFSETS["load"][:8]
    assert ways(code) == [
        ("hit", (*before, 38, 44, 50, 54)),
        ("miss", (*before, 60, 64, 68, 74, 80, 84, 44, 50, 54)),
        ("fault", (*before, 60, 64, 68, 74)),
    ]
    (call,) = follow(S390X, code, "miss").calls
    assert (call.offset, call.right) == (74, True)
    assert dict(call.needs) == {
        "r2": Holds.STATE, "r3": Holds.ADDRESS, "r4": Holds.MEMORY_INDEX, "r5": Holds.RETURN_ADDRESS,
    }
    (call,) = follow(S390X, S390X.block(0, ("store",)), "miss").calls
    assert call.right
    assert dict(call.needs)["r4"] == Holds.VALUE


@pytest.mark.parametrize(("translator", "size"), [(S390X, 44), (FIXED, 36)])
def test_a_guard_compares_and_branches_in_one_instruction_and_keeps_its_displacement(
    translator: Translator, size: int
) -> None:
    code = translator.block(0, ("load",), guarded=True)
    halfwords = (6 + size) // 2
    final = 0xECC8_0000_007E | halfwords << 16
    assert decoded(translator, code)[0] == f"cije %r12, 0, {0x9000_0000 + 6 + size:#x}"
    assert branches(code)[0] == (Phase.GUEST_BRANCH, 0, Form.READ_BACK, 0xFFFF_0000_FFFF, 0xECC8_0000_007E, 0)
    assert branches(code)[2] == (Phase.BRANCH_UPDATE, 0, Form.SKIP_BYTES, 0xFFFF_0000, halfwords << 16, 0)
    assert translator.destination(final) == target(translator, code, 0, final) == 6 + size
    assert code.unfinished == {0, 6 + size - {44: 10, 36: 10}[size]}
    assert ways(code)[-1] == ("skip", (0, 6 + size, 12 + size, 16 + size))


def test_the_fix_of_2015_leaves_the_displacement_alone() -> None:
    (begun, bound) = branches(FIXED.block(0, ("load",)))
    assert begun[2:] == (Form.SKIP_BYTES, 0xFFFF_0000, TO_ITSELF, 0)
    assert bound[2:] == (Form.SKIP_BYTES, 0x0000_FFFF, 13, 0)
