"""The sparc translators, by QEMU's source at the commits that their file names, and by the architecture's manual."""

from __future__ import annotations

import ctypes

import capstone  # type: ignore[import-untyped]
import pytest

from bench.translators import softmmu, sparc
from bench.translators.flow import Course
from bench.translators.instruction import Fact, Holds
from bench.translators.registry import load_translator
from bench.translators.translator import ACCESSES, Access, Code
from strategies.writes import Form, Phase, Write

VERSIONS = ("2010", "2012")
SHAPES: list[tuple[str, Access]] = [(version, access) for version in VERSIONS for access in ACCESSES]

every_version = pytest.mark.parametrize("version", VERSIONS)
every_access = pytest.mark.parametrize("access", ACCESSES)
every_shape = pytest.mark.parametrize(("version", "access"), SHAPES)

WORD = 4
START = {"2010": 0x6000_0000, "2012": 0x4000_0000}


def block(version: str, access: Access = "load", *, guarded: bool = False) -> Code:
    return load_translator(f"sparc@{version}").block(0, (access,), guarded=guarded)


def disassemble(version: str, word: int, offset: int) -> str:
    engine = capstone.Cs(capstone.CS_ARCH_SPARC, capstone.CS_MODE_BIG_ENDIAN | capstone.CS_MODE_V9)
    ((_, size, mnemonic, operands),) = engine.disasm_lite(word.to_bytes(4, "big"), START[version] + offset)
    assert size == WORD
    return f"{mnemonic} {operands}".strip()


def text(version: str, code: Code) -> list[str]:
    return [disassemble(version, unit.final, unit.offset) for unit in code.whole]


def course(version: str, code: Code, *facts: Fact, wrong: dict[int, int] | None = None) -> Course:
    return load_translator(f"sparc@{version}").follower(code).course([frozenset(facts)], wrong=wrong)


def label(version: str, words: int) -> str:
    """The address of a word of the block, as capstone shows it."""
    return hex(START[version] + 4 * words)


def without_address(line: str) -> str:
    """What does not change when a branch moves."""
    return " ".join(part for part in line.split() if not part.startswith(("0x600000", "0x400000")))


# --- Encodings ------------------------------------------------------------------------------------------------------

# The returned pointer is 0xfffff8010c002010: upper 22 and lower 10 bits of each half.  ``ret`` is ``jmpl %i7+8, %g0``.
RETURN_2010 = [
    "sethi 0x3ffffe, %i4", "or %i4, 1, %i4", "sllx %i4, 0x20, %i4", "sethi 0x30008, %i0", "or %i0, 0x10, %i0",
    "or %i0, %i4, %i0", "ret", "restore",
]  # fmt: skip
RETURN_2012 = [
    "sethi 0x3ffffe, %i0", "or %i0, 1, %i0", "sllx %i0, 0x20, %i0", "sethi 0x30008, %o7", "or %o7, 0x10, %o7",
    "or %i0, %o7, %i0", "ret", "restore",
]  # fmt: skip

# An entry's offset is masked with 0x1fe0: 7 << 10 | 0x3e0.  The table is 384 bytes into CPUState in 2010 (0x180), 1456
# in 2012 (0x5b0); in an entry addr_read is at 0, addr_write at 4, the addend at 16.  cmp is subcc, mov is or.
LISTINGS = {
    ("2010", "load"): [
        "srl %l0, 7, %o1", "and %l0, -0xffd, %o0", "sethi 7, %i5", "or %i5, 0x3e0, %i5", "and %o1, %i5, %o1",
        "add %o1, 0x180, %o1", "add %g5, %o1, %o1", "ld [%o1], %o2", "cmp %o0, %o2",
        f"be {label('2010', 18)}", "or %l0, %g0, %o0",
        "mov 0, %o1", "call 0x240000", "stx %g5, [%fp+0x767]", "ldx [%fp+0x767], %g5", "or %o0, %g0, %l1",
        f"ba {label('2010', 24)}", "nop",
        "ldx [%o1+0x10], %o1", "sethi 0x3fffff, %i5", "or %i5, 0x3ff, %i5", "and %l0, %i5, %o0", "add %o0, %o1, %o0",
        "ld [%o0], %l1",
        *RETURN_2010,
    ],
    ("2010", "store"): [
        "srl %l0, 7, %o1", "and %l0, -0xffd, %o0", "sethi 7, %i5", "or %i5, 0x3e0, %i5", "and %o1, %i5, %o1",
        "add %o1, 0x184, %o1", "add %g5, %o1, %o1", "ld [%o1], %o2", "cmp %o0, %o2",
        f"be {label('2010', 18)}", "or %l0, %g0, %o0",
        "or %l1, %g0, %o1", "mov 0, %o2", "call 0x241000", "stx %g5, [%fp+0x767]", "ldx [%fp+0x767], %g5",
        f"ba {label('2010', 24)}", "nop",
        "ldx [%o1+0xc], %o1", "sethi 0x3fffff, %i5", "or %i5, 0x3ff, %i5", "and %l0, %i5, %o0", "add %o0, %o1, %o0",
        "st %l1, [%o0]",
        *RETURN_2010,
    ],
    ("2012", "load"): [
        "srl %l0, 7, %o1", "and %l0, -0xffd, %o0", "sethi 7, %g1", "or %g1, 0x3e0, %g1", "and %o1, %g1, %o1",
        "add %i0, %o1, %o1", "ld [%o1+0x5b0], %o2", "ldx [%o1+0x5c0], %o1", "cmp %o0, %o2", "srl %l0, 0, %o0",
        f"be,a %icc, {label('2012', 17)}", "ld [%o0+%o1], %l1",
        "or %i0, %g0, %o0", "or %l0, %g0, %o1", "call 0x240000", "mov 0, %o2", "or %o0, %g0, %l1",
        *RETURN_2012,
    ],
    ("2012", "store"): [
        "srl %l0, 7, %o1", "and %l0, -0xffd, %o0", "sethi 7, %g1", "or %g1, 0x3e0, %g1", "and %o1, %g1, %o1",
        "add %i0, %o1, %o1", "ld [%o1+0x5b4], %o2", "ldx [%o1+0x5c0], %o1", "cmp %o0, %o2", "srl %l0, 0, %o0",
        f"be,a %icc, {label('2012', 17)}", "st %l1, [%o0+%o1]",
        "or %i0, %g0, %o0", "or %l0, %g0, %o1", "or %l1, %g0, %o2", "call 0x241000", "mov 0, %o3",
        *RETURN_2012,
    ],
}  # fmt: skip
OPERATION = {"2010": 24, "2012": 17}
"""The words of an access."""


@every_shape
def test_capstone_reads_every_instruction_as_meant(version: str, access: Access) -> None:
    code = block(version, access)
    assert text(version, code) == LISTINGS[version, access]
    assert code.rewritten == WORD * OPERATION[version]


@every_shape
def test_a_guard_is_a_compare_and_a_branch_with_its_delay_slot(version: str, access: Access) -> None:
    code = block(version, access, guarded=True)
    found = text(version, code)
    branch = "be" if version == "2010" else "be %icc,"
    assert found[:3] == ["cmp %l1, 0", f"{branch} {label(version, OPERATION[version] + 3)}", "nop"]
    assert [without_address(line) for line in found[3:]] == [
        without_address(line) for line in LISTINGS[version, access]
    ]
    assert code.rewritten == WORD * (OPERATION[version] + 3)


def test_only_2010_keeps_the_pointer_to_the_guests_state_in_the_frame() -> None:
    """The frame pointer is 2047 less than the address it stands for, which is a multiple of 16."""
    kept = {shape: [line for line in lines if "%fp" in line] for shape, lines in LISTINGS.items()}
    assert {shape: len(lines) for shape, lines in kept.items()} == {
        ("2010", "load"): 2, ("2010", "store"): 2, ("2012", "load"): 0, ("2012", "store"): 0,
    }  # fmt: skip
    assert (sparc.SAVED_STATE, (sparc.SAVED_STATE - 2047) % 8) == (0x767, 0)


def test_the_tlb_of_2012_follows_from_the_guests_declarations() -> None:
    word, long = ctypes.c_uint32, ctypes.c_uint64

    class GuestTlb(ctypes.Structure):
        _fields_ = (("vpn_ppn_size", word * 3), ("asid_and_bits", ctypes.c_uint8 * 3))

    class Entry(ctypes.Structure):
        _fields_ = (("compared", word * 3), ("addend", long))

    class State(ctypes.Structure):
        _fields_ = (
            ("flags", word), ("gregs", word * 24), ("fregs", word * 32), ("sr_to_fpul", word * 14),
            ("fp_status", ctypes.c_uint8 * 7), ("features", word), ("mmucr_to_intevt", word * 9),
            ("itlb", GuestTlb * 4), ("utlb", GuestTlb * 64), ("ldst", word), ("current_tb", long), ("mem_io_pc", long),
            ("mem_io_vaddr_to_exit_request", word * 4), ("tlb_table", Entry),
        )  # fmt: skip

    assert (State.tlb_table.offset, Entry.addend.offset) == (softmmu.HOST_64_2012.table, softmmu.HOST_64_2012.addend)
    assert ctypes.sizeof(Entry) <= 1 << softmmu.HOST_64_2012.entry_bits < 2 * ctypes.sizeof(Entry)
    # One base register reaches both what is compared and the addend: an immediate has 13 bits with a sign.
    assert softmmu.HOST_64_2012.table + 32 < 1 << 12


# --- What is stored, and when ---------------------------------------------------------------------------------------


def branches(code: Code) -> list[tuple[Write, Write, int]]:
    """For each branch of the accesses: the store that begins it, the one that patches it, and the number between."""
    writes = code.retranslated.writes
    found = []
    for number, write in enumerate(writes):
        if write.phase is Phase.BRANCH:
            ((window, patch),) = (
                (after, other) for after, other in enumerate(writes[number + 1 :]) if other.unit == write.unit
            )
            found.append((write, patch, window))
    return found


@every_access
def test_in_2010_both_branches_are_a_word_0_until_they_are_stored_as_a_whole(access: Access) -> None:
    found = branches(block("2010", access))
    assert [(begun.known, begun.value, begun.temporary, begun.form) for begun, _, _ in found] == [
        (0, 0, 0, Form.WHOLE), (0, 0, 0, Form.WHOLE),
    ]  # fmt: skip
    assert [(patch.known, patch.value, patch.form) for _, patch, _ in found] == [
        (0xFFFF_FFFF, 0x0280_0009, Form.WHOLE), (0xFFFF_FFFF, 0x1080_0008, Form.WHOLE),
    ]  # fmt: skip
    assert [begun.unit.offset for begun, _, _ in found] == [WORD * 9, WORD * 16]
    assert [window for _, _, window in found] == [8, 8]


@every_access
def test_in_2012_the_branch_leads_to_itself_until_its_displacement_is_stored(access: Access) -> None:
    ((begun, patched, window),) = branches(block("2012", access))
    assert (begun.known, begun.value, begun.temporary, begun.form) == (0xFFF8_0000, 0x2248_0000, 0, Form.WHOLE)
    assert (patched.known, patched.value, patched.form) == (0x0007_FFFF, 7, Form.READ_BACK)
    assert (begun.unit.offset, begun.unit.final, window) == (WORD * 10, 0x2248_0007, 6)


@every_access
def test_the_order_in_time_is_that_of_the_source(access: Access) -> None:
    written = {version: [write.unit.offset // WORD for write in block(version, access).writes] for version in VERSIONS}
    assert written["2010"] == [*range(18), 9, *range(18, 24), 16, *range(24, 32)]
    assert written["2012"] == [*range(17), 10, *range(17, 25)]


def test_the_guards_branch_of_2010_is_stored_with_displacement_0() -> None:
    code = block("2010", guarded=True)
    compare, begun, slot = (write for write in code.writes if write.phase is Phase.GUEST_BRANCH)
    assert (compare.value, slot.value) == (0x80A4_6000, 0x0100_0000)
    assert (begun.known, begun.value, begun.temporary, begun.form) == (0xFFC0_0000, 0x0280_0000, 0, Form.WHOLE)
    (patched,) = (write for write in code.writes if write.unit == begun.unit and write is not begun)
    assert (patched.known, patched.value, patched.form) == (0x003F_FFFF, 26, Form.READ_BACK)
    assert code.unfinished == {WORD}


def test_the_guards_branch_of_2012_keeps_the_displacement_that_is_there() -> None:
    code = block("2012", guarded=True)
    _, begun, _ = (write for write in code.writes if write.phase is Phase.GUEST_BRANCH)
    assert (begun.known, begun.value, begun.form) == (0xFFF8_0000, 0x0248_0000, Form.READ_BACK)
    (patched,) = (write for write in code.writes if write.unit == begun.unit and write is not begun)
    assert (patched.known, patched.value, patched.form) == (0x0007_FFFF, 19, Form.READ_BACK)
    assert code.unfinished == {WORD}


# --- Where branches lead --------------------------------------------------------------------------------------------


@every_shape
def test_a_branch_leads_where_capstone_says(version: str, access: Access) -> None:
    translator = load_translator(f"sparc@{version}")
    distances = []
    for begun, _, _ in branches(block(version, access)):
        distance = translator.destination(begun.unit.final)
        assert distance is not None
        shown = int(disassemble(version, begun.unit.final, begun.unit.offset).split()[-1], 16)
        assert shown == START[version] + begun.unit.offset + distance
        distances.append(distance)
    assert distances == ([36, 32] if version == "2010" else [28])


@pytest.mark.parametrize(
    ("word", "distance"),
    [(0x0280_0009, 36), (0x0280_0000, 0), (0x10BF_FFFF, -4), (0x02A0_0000, -(1 << 23)), (0x2248_0007, 28),
     (0x2248_0000, 0), (0x224F_FFFF, -4), (0x024C_0000, -(1 << 20))],
)  # fmt: skip
def test_the_processor_counts_words_from_the_branch(word: int, distance: int) -> None:
    assert load_translator("sparc").destination(word) == distance
    shown = disassemble("2010", word, 1 << 24).split()[-1]
    assert int(shown, 16) == START["2010"] + (1 << 24) + distance


@pytest.mark.parametrize("word", [0, 0x0100_0000, 0x3B00_0007, 0x6808_FFF4, 0x81C7_E008, 0x80A4_6000, 0xD402_4000])
def test_what_is_no_branch_leads_nowhere(word: int) -> None:
    """The word 0 (unimp), nop and sethi have the branches' op; then call, jmpl, subcc, ld."""
    assert load_translator("sparc").destination(word) is None


# --- Ways through a block -------------------------------------------------------------------------------------------


def words(*spans: tuple[int, int]) -> tuple[int, ...]:
    return tuple(WORD * word for first, last in spans for word in range(first, last + 1))


def test_the_paths_of_2010_fetch_every_delay_slot() -> None:
    assert [(path.name, path.offsets) for path in block("2010").paths] == [
        ("hit", words((0, 10), (18, 31))), ("miss", words((0, 17), (24, 31))), ("fault", words((0, 13))),
    ]  # fmt: skip


def test_the_paths_of_2012_fetch_the_fast_path_always() -> None:
    assert [(path.name, path.offsets) for path in block("2012").paths] == [
        ("hit", words((0, 11), (17, 24))), ("miss", words((0, 24))), ("fault", words((0, 15))),
    ]  # fmt: skip


def test_the_paths_of_a_guarded_store() -> None:
    assert [(path.name, path.offsets) for path in block("2012", "store", guarded=True).paths] == [
        ("hit", words((0, 14), (20, 27))), ("miss", words((0, 27))), ("fault", words((0, 19))),
        ("skip", words((0, 2), (20, 27))),
    ]  # fmt: skip


NEEDS = {
    ("2010", "load"): {"o0": Holds.ADDRESS, "o1": Holds.MEMORY_INDEX},
    ("2010", "store"): {"o0": Holds.ADDRESS, "o1": Holds.VALUE, "o2": Holds.MEMORY_INDEX},
    ("2012", "load"): {"o0": Holds.STATE, "o1": Holds.ADDRESS, "o2": Holds.MEMORY_INDEX},
    ("2012", "store"): {"o0": Holds.STATE, "o1": Holds.ADDRESS, "o2": Holds.VALUE, "o3": Holds.MEMORY_INDEX},
}


@every_shape
def test_a_helper_is_told_what_it_needs_and_gives_the_value(version: str, access: Access) -> None:
    code = block(version, access)
    miss = course(version, code, "miss")
    (call,) = miss.calls
    assert dict(call.needs) == NEEDS[version, access]
    assert call.right
    # The annulled delay slot of 2012 accesses nothing.
    assert (miss.ends, miss.accessed) == ("exit", 0)
    assert (dict(miss.registers)["l1"], dict(miss.registers)["i0"]) == (Holds.VALUE, Holds.BLOCK)
    hit = course(version, code, "hit")
    assert (hit.ends, hit.accessed, hit.calls, dict(hit.registers)["i0"]) == ("exit", 1, (), Holds.BLOCK)


@every_access
def test_a_fetched_word_0_is_illegal_taken_or_not(access: Access) -> None:
    code = block("2010", access)
    facts: tuple[Fact, ...] = ("hit", "miss")
    for fact in facts:
        first = course("2010", code, fact, wrong={36: 0})
        assert (first.ends, first.at, first.accessed, first.calls) == ("illegal", 36, 0, ())
    late = course("2010", code, "miss", wrong={64: 0})
    assert (late.ends, late.at, len(late.calls)) == ("illegal", 64, 1)
    assert course("2010", code, "hit", wrong={64: 0}).ends == "exit"


@every_access
def test_a_fetched_temporary_of_2012_accesses_again_and_again(access: Access) -> None:
    code = block("2012", access)
    hit = course("2012", code, "hit", wrong={40: 0x2248_0000})
    assert (hit.ends, hit.calls) == ("loop", ())
    # It is followed until it comes to the branch again with the same registers: the access, in the delay slot, is part
    # of the loop; a load has changed its register the first time.
    times = 2 if access == "load" else 1
    assert (hit.at, hit.offsets, hit.accessed) == (40, words((0, 11), *[(10, 11)] * (times - 1)), times)
    assert course("2012", code, "miss", wrong={40: 0x2248_0000}).ends == "exit"


def test_what_a_retranslation_of_2010_leaves_in_the_guards_branch_never_ends() -> None:
    code = block("2010", guarded=True)
    skip = course("2010", code, "skip", wrong={4: 0x0280_0000})
    assert (skip.ends, set(skip.offsets)) == ("loop", {*words((0, 2))})
    assert course("2010", code, "hit", wrong={4: 0x0280_0000}).ends == "exit"
