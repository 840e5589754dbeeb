"""The mips translators, by QEMU's source at the commits that their file names, and by the architecture's manual."""

from __future__ import annotations

import ctypes

import capstone  # type: ignore[import-untyped]
import pytest

from bench.translators import mips, softmmu
from bench.translators.flow import Course
from bench.translators.instruction import Fact, Holds
from bench.translators.registry import load_translator
from bench.translators.translator import ACCESSES, Access, Code, GuestBits
from strategies.writes import Form, Phase, Write

VERSIONS = ("2010", "2011")
SHAPES: list[tuple[Access, GuestBits]] = [("load", 32), ("store", 32), ("load", 64), ("store", 64)]

every_version = pytest.mark.parametrize("version", VERSIONS)
every_shape = pytest.mark.parametrize(("access", "guest_bits"), SHAPES)

WORD = 4
HIT: frozenset[Fact] = frozenset({"hit"})
MISS: frozenset[Fact] = frozenset({"miss"})


def block(version: str, access: Access = "load", guest_bits: GuestBits = 32, *, guarded: bool = False) -> Code:
    return load_translator(f"mips@{version}").block(0, (access,), guarded=guarded, guest_bits=guest_bits)


def disassemble(word: int, offset: int) -> str:
    engine = capstone.Cs(capstone.CS_ARCH_MIPS, capstone.CS_MODE_MIPS32 | capstone.CS_MODE_BIG_ENDIAN)
    ((_, size, mnemonic, operands),) = engine.disasm_lite(word.to_bytes(4, "big"), mips.BUFFER + offset)
    assert size == WORD
    return f"{mnemonic} {operands}".strip()


def text(code: Code) -> list[str]:
    return [disassemble(unit.final, unit.offset) for unit in code.whole]


def course(version: str, code: Code, *facts: Fact, wrong: dict[int, int] | None = None) -> Course:
    return load_translator(f"mips@{version}").follower(code).course([frozenset(facts)], wrong=wrong)


def label(words: int) -> str:
    """The address of a word of the block, as capstone shows it: the buffer is at 0x2b7c1000."""
    return hex(0x2B7C_1000 + 4 * words)


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
}  # fmt: skip


@every_version
@every_shape
def test_capstone_reads_every_instruction_as_meant(version: str, access: Access, guest_bits: GuestBits) -> None:
    assert text(block(version, access, guest_bits)) == LISTINGS[access, guest_bits]


@every_version
@every_shape
def test_a_guard_is_one_branch_and_its_delay_slot(version: str, access: Access, guest_bits: GuestBits) -> None:
    code = block(version, access, guest_bits, guarded=True)
    behind = len(LISTINGS[access, guest_bits]) - len(EXIT) + 2
    assert text(code)[:2] == [f"beq $zero, $s2, {label(behind)}", "nop"]
    moved = [line.split(" 0x2b7c")[0] for line in text(code)[2:]]
    assert moved == [line.split(" 0x2b7c")[0] for line in LISTINGS[access, guest_bits]]
    assert code.rewritten == WORD * behind


@every_shape
def test_both_versions_leave_the_same_code(access: Access, guest_bits: GuestBits) -> None:
    assert text(block("2010", access, guest_bits)) == text(block("2011", access, guest_bits))


@pytest.mark.parametrize(("guest_bits", "words"), [(32, 20), (64, 24)])
@pytest.mark.parametrize("access", ACCESSES)
def test_an_access_is_twenty_words(access: Access, guest_bits: GuestBits, words: int) -> None:
    assert block("2010", access, guest_bits).rewritten == WORD * words


def test_the_tlb_of_a_64_bit_guest_follows_from_its_declarations() -> None:
    word, long = ctypes.c_uint32, ctypes.c_uint64

    class Thread(ctypes.Structure):
        _fields_ = (
            ("gpr_to_dsp_control", long * (32 + 1 + 3 * 4 + 1)), ("status_and_bind", word * 2),
            ("halt_to_back", long * 4), ("debug", word),
        )  # fmt: skip

    class Fpu(ctypes.Structure):
        _fields_ = (("fpr", long * 32), ("status", ctypes.c_uint8 * 6), ("fcr0_and_31", word * 2))

    class Entry(ctypes.Structure):
        _fields_ = (("addr_read", long), ("addr_write", long), ("addr_code", long), ("addend", word))

    class State(ctypes.Structure):
        _fields_ = (
            ("active_tc", Thread), ("active_fpu", Fpu), ("current_to_pabits", word * 4), ("masks", long * 2),
            ("index_to_vpe_conf1", word * 5), ("yq_mask_to_vpe_sche_f_back", long * 3), ("vpe_opt", word),
            ("entry_lo_to_context", long * 3), ("page_mask_to_hwr_ena", word * 14), ("bad_v_addr", long),
            ("count", word), ("entry_hi", long), ("compare_to_cause", word * 6), ("epc", long),
            ("prid_to_config7", word * 8), ("ll", long * 5), ("ll_shift", word), ("watch_lo", long * 8),
            ("watch_hi", word * 8), ("x_context", long), ("framemask_and_debug", word * 2), ("depc", long),
            ("performance_to_data_hi", word * 5), ("error_epc", long), ("desave", word), ("tcs", Thread * 16),
            ("fpus", Fpu), ("error_code_and_hflags", word * 2), ("btarget_and_bcond", long * 2),
            ("step_to_insn_flags", word * 5), ("tls_value", long), ("current_tb_and_mem_io_pc", word * 2),
            ("mem_io_vaddr", long), ("halted_to_exit_request", word * 3), ("tlb_table", Entry),
        )  # fmt: skip

    assert (State.tlb_table.offset, Entry.addend.offset) == (
        softmmu.HOST_32_GUEST_64.table,
        softmmu.HOST_32_GUEST_64.addend,
    )
    assert ctypes.sizeof(Entry) == 1 << softmmu.HOST_32_GUEST_64.entry_bits
    assert Entry.addr_write.offset == softmmu.HOST_32_GUEST_64.comparator("store")
    # ``lw`` takes 16 bits with a sign.
    assert softmmu.HOST_32_GUEST_64.table + softmmu.HOST_32_GUEST_64.addend < 1 << 15


# --- What is stored, and when ---------------------------------------------------------------------------------------

# Word of the branch, its distance in bytes, its opcode and registers, and the number of stores until it is patched.
BRANCHES = {
    32: [(6, 44, 0x1028_0000, 10), (15, 20, 0x1000_0000, 5)],
    64: [(6, 20, 0x1428_0000, 4), (9, 48, 0x1033_0000, 12), (19, 20, 0x1000_0000, 5)],
}


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


@every_version
@every_shape
def test_every_branch_is_begun_without_its_offset_and_patched_by_reading_back(
    version: str, access: Access, guest_bits: GuestBits
) -> None:
    found = branches(block(version, access, guest_bits))
    assert len(found) == len(BRANCHES[guest_bits])
    for (begun, patched, window), expected in zip(found, BRANCHES[guest_bits], strict=True):
        word, distance, opcode, stores = expected
        assert begun.unit.offset == WORD * word
        assert (begun.known, begun.value, patched.value) == (0xFFFF_0000, opcode, distance // WORD - 1)
        assert (patched.phase, patched.known, patched.form) == (Phase.BRANCH_UPDATE, 0xFFFF, Form.READ_BACK)
        assert window == stores
        assert begun.unit.final == opcode | distance // WORD - 1


@every_shape
def test_in_2010_the_offset_is_the_low_half_of_the_branchs_own_address(access: Access, guest_bits: GuestBits) -> None:
    for begun, _, _ in branches(block("2010", access, guest_bits)):
        assert (begun.form, begun.temporary) == (Form.WHOLE, 0x1000 + begun.unit.offset)


@every_shape
def test_in_2011_the_offset_that_is_there_is_read_back(access: Access, guest_bits: GuestBits) -> None:
    for begun, _, _ in branches(block("2011", access, guest_bits)):
        assert (begun.form, begun.temporary) == (Form.READ_BACK, 0)


def test_the_second_access_of_a_block_has_another_temporary() -> None:
    code = load_translator("mips").block(0, ("load", "load"))
    temporaries = [write.temporary for write in code.writes if write.phase is Phase.BRANCH]
    assert temporaries == [0x1000 + WORD * word for word in (6, 15, 26, 35)]


@pytest.mark.parametrize("access", ACCESSES)
def test_the_order_in_time_is_that_of_the_source(access: Access) -> None:
    written = [write.unit.offset // WORD for write in block("2010", access).writes]
    assert written == [*range(17), 6, 17, 18, 19, 15, *range(20, 26)]


def test_the_order_in_time_with_a_64_bit_guest() -> None:
    written = [write.unit.offset // WORD for write in block("2010", "store", 64).writes]
    assert written == [*range(11), 6, *range(11, 21), 9, 21, 22, 23, 19, *range(24, 30)]


@every_version
def test_the_guards_branch_is_written_as_every_other(version: str) -> None:
    code = block(version, guarded=True)
    begun, slot = (write for write in code.writes if write.phase is Phase.GUEST_BRANCH)
    assert (begun.known, begun.value, slot.value) == (0xFFFF_0000, 0x1012_0000, 0)
    assert (begun.form, begun.temporary) == ((Form.WHOLE, 0x1000) if version == "2010" else (Form.READ_BACK, 0))
    (patched,) = (write for write in code.writes if write.unit.offset == 0 and write is not begun)
    assert (patched.phase, patched.value, patched.form) == (Phase.BRANCH_UPDATE, 21, Form.READ_BACK)
    assert code.unfinished == {0}


def test_the_fix_is_the_form_of_2011() -> None:
    old, new = block("2010").writes, block("2011").writes
    assert [write.in_form(write.unit.shipped_form).form for write in old] == [write.form for write in new]
    assert [(write.unit, write.known, write.value) for write in old] == [
        (write.unit, write.known, write.value) for write in new
    ]


# --- Where branches lead --------------------------------------------------------------------------------------------


@every_version
@every_shape
def test_a_branch_leads_where_capstone_says(version: str, access: Access, guest_bits: GuestBits) -> None:
    translator = load_translator(f"mips@{version}")
    for begun, _, _ in branches(block(version, access, guest_bits)):
        for word in (begun.unit.final, begun.value | begun.temporary):
            shown = int(disassemble(word, begun.unit.offset).split()[-1], 16)
            distance = translator.destination(word)
            assert distance is not None
            assert shown == mips.BUFFER + begun.unit.offset + distance


@pytest.mark.parametrize(
    ("word", "distance"),
    [(0x1028_000A, 44), (0x1000_0004, 20), (0x1428_0004, 20), (0x1000_FFFF, 0), (0x1028_8000, 4 - (1 << 17)),
     (0x1028_1018, 4 + 4 * 0x1018)],
)  # fmt: skip
def test_the_processor_counts_words_from_the_delay_slot(word: int, distance: int) -> None:
    assert load_translator("mips").destination(word) == distance


@pytest.mark.parametrize("word", [0, 0x0320_F809, 0x0020_0008, 0x8C81_0174, 0x2408_F003])
def test_what_is_no_branch_leads_nowhere(word: int) -> None:
    assert load_translator("mips").destination(word) is None


# --- Ways through a block -------------------------------------------------------------------------------------------


def words(*spans: tuple[int, int]) -> tuple[int, ...]:
    return tuple(WORD * word for first, last in spans for word in range(first, last + 1))


@every_version
def test_the_paths_of_a_load_fetch_every_delay_slot(version: str) -> None:
    assert [(path.name, path.offsets) for path in block(version).paths] == [
        ("hit", words((0, 7), (17, 25))), ("miss", words((0, 16), (20, 25))), ("fault", words((0, 13))),
    ]  # fmt: skip


def test_the_paths_of_a_guarded_store() -> None:
    assert [(path.name, path.offsets) for path in block("2011", "store", guarded=True).paths] == [
        ("hit", words((0, 9), (19, 27))), ("miss", words((0, 18), (22, 27))), ("fault", words((0, 16))),
        ("skip", words((0, 1), (22, 27))),
    ]  # fmt: skip


def test_a_64_bit_guest_misses_in_one_half_or_the_other() -> None:
    assert [(path.name, path.offsets) for path in block("2010", "load", 64).paths] == [
        ("hit", words((0, 10), (21, 29))),
        ("miss", words((0, 7), (11, 20), (24, 29))), ("miss", words((0, 20), (24, 29))),
        ("fault", words((0, 7), (11, 17))), ("fault", words((0, 17))),
    ]  # fmt: skip


NEEDS = {
    ("load", 32): {"a0": Holds.ADDRESS, "a1": Holds.MEMORY_INDEX},
    ("store", 32): {"a0": Holds.ADDRESS, "a1": Holds.VALUE, "a2": Holds.MEMORY_INDEX},
    ("load", 64): {"a0": Holds.ADDRESS_HIGH, "a1": Holds.ADDRESS, "a2": Holds.MEMORY_INDEX},
    ("store", 64): {"a0": Holds.ADDRESS_HIGH, "a1": Holds.ADDRESS, "a2": Holds.VALUE, "a3": Holds.MEMORY_INDEX},
}


@every_version
@every_shape
def test_a_helper_is_told_what_it_needs_and_gives_the_value(
    version: str, access: Access, guest_bits: GuestBits
) -> None:
    code = block(version, access, guest_bits)
    for facts in (["miss"], ["miss", "low differs"], ["miss", "high differs"]):
        if guest_bits == 64 and len(facts) == 1:
            continue
        way = course(version, code, *facts)
        (call,) = way.calls
        assert dict(call.needs) == NEEDS[access, guest_bits]
        assert call.right
        assert (way.ends, way.accessed, dict(way.registers)["s2"]) == ("exit", 0, Holds.VALUE)
        assert dict(way.registers)["v0"] == Holds.BLOCK
    hit = course(version, code, "hit")
    assert (hit.ends, hit.accessed, hit.calls) == ("exit", 1, ())


def test_a_fetched_temporary_leads_out_of_the_block() -> None:
    code = block("2010")
    (hit, _, _), (done, _, _) = branches(code)
    begun, joined = hit.value | hit.temporary, done.value | done.temporary
    assert (begun, joined) == (0x1028_1018, 0x1000_103C)
    stray = course("2010", code, "hit", wrong={24: begun})
    assert (stray.ends, stray.at, stray.offsets) == ("outside", 24 + 4 + 4 * 0x1018, words((0, 7)))
    assert (stray.accessed, stray.calls) == (0, ())
    # At a miss the branch is not taken, wherever it leads; but the second is.
    assert course("2010", code, "miss", wrong={24: begun}).ends == "exit"
    late = course("2010", code, "miss", wrong={60: joined})
    assert (late.ends, late.at, len(late.calls)) == ("outside", 60 + 4 + 4 * 0x103C, 1)
    assert course("2010", code, "hit", wrong={60: joined}).ends == "exit"


def test_a_fetched_temporary_with_a_64_bit_guest() -> None:
    code = block("2010", "load", 64)
    values = {begun.unit.offset: begun.value | begun.temporary for begun, _, _ in branches(code)}
    assert values == {24: 0x1428_1018, 36: 0x1033_1024, 76: 0x1000_104C}

    def end(offset: int, *facts: Fact) -> str:
        return course("2010", code, *facts, wrong={offset: values[offset]}).ends

    assert end(24, "hit") == end(24, "miss", "high differs") == "exit"
    assert end(24, "miss", "low differs") == "outside"
    assert end(36, "hit") == "outside"
    assert end(36, "miss", "low differs") == end(36, "miss", "high differs") == "exit"
    assert end(76, "miss", "low differs") == end(76, "miss", "high differs") == "outside"


def test_a_retranslation_leaves_the_guards_temporary_behind() -> None:
    code = block("2010", guarded=True)
    left = 0x1012_1000
    assert course("2010", code, "skip", wrong={0: left}).ends == "outside"
    assert course("2010", code, "hit", wrong={0: left}).ends == "exit"


def test_another_place_in_the_buffer_would_give_another_temporary() -> None:
    """Backward, where the low half of the address has its top bit set; never to itself, as addresses are even."""
    translator = load_translator("mips")
    assert translator.destination(0x1028_0000 | 0x9018) == 4 + 4 * (0x9018 - 0x1_0000)
    assert all(translator.destination(0x1028_0000 | low) != 0 for low in range(0, 0x1_0000, WORD))
