"""The ppc backend: every instruction, the order and the forms of the stores, and what its wrong words do.

Expected values are those of QEMU's ``tcg/ppc/tcg-target.c`` (early January 2011, and release v1.3), put into words
by the Power ISA's extended mnemonics.
"""

from __future__ import annotations

import ctypes

import pytest
from test_translators import branch_writes, disassemble, final, instructions, make

from bench.translators import powerpc, ppc, softmmu
from bench.translators.disassembly import disassembler
from bench.translators.flow import Call, Course
from bench.translators.instruction import Fact, Holds
from bench.translators.registry import load_translator
from bench.translators.translator import ACCESSES, Access
from strategies.writes import Form, Phase

TLB = [
    "rlwinm r3, r14, 0x18, 0x14, 0x1b", "add r3, r3, r27", "lwzu r4, {comparator}(r3)", "rlwinm r0, r14, 0, 0x1e, 0x13",
    "cmpw cr7, r0, r4",
]  # fmt: skip
GUARD = ["cmpwi cr7, r15, 0", "beq cr7, {skipped}"]
FAR_EXIT = ["lis r3, 0x4b00", "ori r3, r3, 8", "lis r0, 0x1080", "ori r0, r0, 0xb8", "mtctr r0", "bctr"]
EXIT = ["lis r3, 0x4b00", "ori r3, r3, 8", "b 0x4afffc60"]
LISTINGS = {
    ("ppc@2010", "load"): [
        *TLB, "beq cr7, {fast}",
        "mr r3, r14", "li r4, 0", "lis r0, 0x1010", "ori r0, r0, 0x420", "mtctr r0", "bctrl", "mr r15, r3", "b {back}",
        "lwz r3, 0xc(r3)", "add r3, r3, r14", "lwzx r15, 0, r3", *FAR_EXIT,
    ],
    ("ppc@2010", "store"): [
        *TLB, "beq cr7, {fast}",
        "mr r3, r14", "mr r4, r15", "li r5, 0", "lis r0, 0x1010", "ori r0, r0, 0x780", "mtctr r0", "bctrl", "b {back}",
        "lwz r3, 8(r3)", "add r3, r3, r14", "stwx r15, 0, r3", *FAR_EXIT,
    ],
    ("ppc@2012", "load"): [
        *TLB, "bne cr7, {slow}", "lwz r3, 0xc(r3)", "add r3, r3, r14", "lwzx r15, 0, r3", *EXIT,
        "mr r4, r14", "li r5, 0", "bl 0x4afffd38", "mr r15, r3", "b {back}",
    ],
    ("ppc@2012", "store"): [
        *TLB, "bne cr7, {slow}", "lwz r3, 8(r3)", "add r3, r3, r14", "stwx r15, 0, r3", *EXIT,
        "mr r4, r14", "mr r5, r15", "li r6, 0", "bl 0x4afffd58", "b {back}",
    ],
}  # fmt: skip
COMPARATORS = {
    ("ppc@2010", "load"): "0x174", ("ppc@2010", "store"): "0x178",
    ("ppc@2012", "load"): "0x5a8", ("ppc@2012", "store"): "0x5ac",
}  # fmt: skip
LABELS = {"fast": 14 * 4, "back": 17 * 4}, {"slow": 12 * 4, "back": 9 * 4}
"""The places that branches lead to, in bytes from the start of the first access: 2010, 2012."""

every_version = pytest.mark.parametrize("name", ["ppc@2010", "ppc@2012"])
every_access = pytest.mark.parametrize("access", ACCESSES)
guarded_or_not = pytest.mark.parametrize("guarded", [False, True])

SELF = 0x419E_0000, 0x4800_0000
"""The temporary values: beq cr7 and b, to themselves."""


def follow(name: str, access: Access, fact: Fact, wrong: dict[int, int] | None = None) -> Course:
    """One access followed, with wrong words in the place of some."""
    translator = load_translator(name)
    return translator.follower(translator.block(0, (access,))).course([frozenset({fact})], wrong=wrong)


def temporaries(name: str, access: Access) -> list[tuple[int, str, int]]:
    """What a retranslation leaves wrong for a while: where, what it means, the stores until it is right."""
    translator = load_translator(name)
    code = translator.block(0, (access,))
    memory, disassembled = final(code, translator), disassembler(translator, code)
    found = []
    for order, write in enumerate(code.writes):
        make(write, memory, translator)
        unit = write.unit
        value = int.from_bytes(memory[unit.offset : unit.offset + unit.size], "big")
        if value != unit.final:
            later = [after.unit for after in code.writes[order + 1 :]]
            found.append((unit.offset, disassembled(unit, value), later.index(unit)))
    return found


def words(*numbers: int) -> tuple[int, ...]:
    """Offsets of words by their numbers."""
    return tuple(4 * number for number in numbers)


# --- Encodings ------------------------------------------------------------------------------------------------------


@every_version
@every_access
@guarded_or_not
def test_capstone_reads_every_instruction_as_meant(name: str, access: Access, guarded: bool) -> None:
    translator = load_translator(name)
    start = 8 if guarded else 0
    labels = LABELS[name == "ppc@2012"]
    places = {label: hex(0x4900_0000 + start + offset) for label, offset in labels.items()}
    places["skipped"] = places["back"]
    listed = [*GUARD, *LISTINGS[name, access]] if guarded else LISTINGS[name, access]
    expected = [line.format(comparator=COMPARATORS[name, access], **places) for line in listed]
    assert instructions(translator, translator.block(0, (access,), guarded=guarded)) == expected


def test_the_word_behind_the_call_of_a_trampoline_is_where_the_operation_ends() -> None:
    translator = load_translator("ppc@2012")
    code = translator.block(0, ("load", "store"))
    memory = final(code, translator)
    (load, store) = (placed.offset for placed in code.placed if placed.instruction.does == "data")
    assert memory[load : load + 4].hex() == "49000024"
    assert memory[store : store + 4].hex() == "49000048"


def test_addresses_of_the_prologue_of_2012() -> None:
    """24 words up to the epilogue, which has 22; then trampolines of 8 words for bytes, halfwords, words."""
    prologue = 0x4900_0000 + 32 * 1024 * 1024 - 1024
    assert prologue + 96 == ppc.EPILOGUE_2012
    assert prologue + 96 + 88 + 4 * 32 == ppc.TRAMPOLINES["load"]
    assert prologue + 96 + 88 + 5 * 32 == ppc.TRAMPOLINES["store"]


@pytest.mark.parametrize("word", [0x419E_0024, 0x419E_0000, 0x409E_001C, 0x4800_0010, 0x4800_0000, 0x4BFF_FFE0])
def test_a_branch_leads_where_capstone_says(word: int) -> None:
    translator = load_translator("ppc")
    text = disassemble(translator, word.to_bytes(4, "big"), 0)
    target = int(text.split()[-1], 16) - 0x4900_0000 if "0x" in text else 0  # capstone leaves out a bc to itself
    assert translator.destination(word) == target


@pytest.mark.parametrize(("word", "distance"), [(0x419E_7FFC, 32764), (0x419E_8000, -32768), (0x4A00_0000, -(1 << 25))])
def test_the_reach_of_a_branch(word: int, distance: int) -> None:
    assert load_translator("ppc").destination(word) == distance


@pytest.mark.parametrize("word", [0, 0x7DC3_7378, 0x4E80_0420, 0x3880_0000, 0x4800_0012])
def test_what_is_no_relative_branch_leads_nowhere(word: int) -> None:
    assert load_translator("ppc").destination(word) is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, ["li r3, 0"]), (-0x8000, ["li r3, -0x8000"]), (0x7FFF, ["li r3, 0x7fff"]),
        (0x8000, ["lis r3, 0", "ori r3, r3, 0x8000"]), (0x1234_0000, ["lis r3, 0x1234"]),
        (0x7FFF_FFFF, ["lis r3, 0x7fff", "ori r3, r3, 0xffff"]),
    ],
)  # fmt: skip
def test_a_constant_takes_as_many_words_as_it_needs(value: int, words: list[str]) -> None:
    translator = load_translator("ppc")
    loaded = powerpc.constant(3, value, Holds.BLOCK)
    assert [disassemble(translator, part.word.to_bytes(4, "big"), 0) for part in loaded] == words
    assert loaded[-1].sets == (("r3", Holds.BLOCK),)


@pytest.mark.parametrize(
    ("distance", "words"), [((1 << 25) - 4, 1), (-(1 << 25), 1), (1 << 25, 4), (-(1 << 25) - 4, 4)]
)
def test_a_jump_out_of_reach_takes_the_count_register(distance: int, words: int) -> None:
    *_, last = parts = powerpc.jump(0x1234_5678, 0x1234_5678 + distance)
    assert len(parts) == words
    assert last.word == (powerpc.to(0x4800_0000, distance) if words == 1 else 0x4E80_0420)


def test_tlb_offset_of_2012_follows_from_the_guests_declarations() -> None:
    word, pointer = ctypes.c_uint32, ctypes.c_uint32

    class Status(ctypes.Structure):
        _fields_ = (("fields", ctypes.c_uint8 * 7),)

    class GuestTlb(ctypes.Structure):
        _fields_ = (("vpn_ppn_size", word * 3), ("asid_and_bits", ctypes.c_uint8 * 3))

    class Entry(ctypes.Structure):
        _fields_ = (("compared", word * 3), ("addend", pointer))

    class State(ctypes.Structure):
        _fields_ = (
            ("flags", word), ("gregs", word * 24), ("fregs", word * 32), ("sr_to_fpul", word * 14),
            ("fp_status", Status), ("features", word), ("mmucr_to_intevt", word * 9), ("itlb", GuestTlb * 4),
            ("utlb", GuestTlb * 64), ("ldst", word), ("current_tb", pointer), ("mem_io_pc", pointer),
            ("mem_io_vaddr_to_exit_request", word * 4), ("tlb_table", Entry),
        )  # fmt: skip

    tlb = softmmu.HOST_32_2012
    assert (State.tlb_table.offset, Entry.addend.offset) == (tlb.table, tlb.addend)
    assert ctypes.sizeof(Entry) == 1 << tlb.entry_bits


# --- The stores -----------------------------------------------------------------------------------------------------


@every_access
def test_both_branches_of_2010_are_stored_as_branches_to_themselves(access: Access) -> None:
    code = load_translator("ppc").block(0, (access,))
    assert (code.size, code.rewritten, len(code.retranslated.writes)) == (23 * 4, 17 * 4, 17 + 2)
    hit, done, hit_bound, done_bound = branch_writes(code)
    assert [write.unit.offset for write in (hit, done)] == [5 * 4, 13 * 4]
    assert [(write.value | write.temporary, write.form) for write in (hit, done)] == [
        (SELF[0], Form.WHOLE), (SELF[1], Form.WHOLE),
    ]  # fmt: skip
    assert (hit.known, hit.temporary, done.known, done.temporary) == (0xFFFF_0003, 0, 0xFC00_0003, 0)
    assert (hit_bound.unit, hit_bound.known, hit_bound.value, hit_bound.form) == (hit.unit, 0xFFFC, 36, Form.READ_BACK)
    assert (done_bound.unit, done_bound.known, done_bound.value) == (done.unit, 0x03FF_FFFC, 16)
    assert done_bound.form is Form.READ_BACK
    order = [write.unit.offset // 4 for write in code.retranslated.writes]
    assert order == [*range(14), 5, 14, 15, 16, 13]


@every_access
def test_the_windows_of_2010(access: Access) -> None:
    assert temporaries("ppc", access) == [(20, "beq cr7, 0x49000014", 8), (52, "b 0x49000034", 4)]


@every_access
def test_the_branch_of_2012_is_read_back_and_never_wrong(access: Access) -> None:
    code = load_translator("ppc@2012").block(0, (access,))
    assert (code.size, code.rewritten) == (18 * 4, 9 * 4)
    (begun,) = branch_writes(code)
    (bound,) = (write for write in code.writes if write.phase is Phase.BRANCH_UPDATE)
    assert begun.unit == bound.unit
    assert (begun.unit.offset, begun.known, begun.value, begun.form) == (20, 0xFFFF_0003, 0x409E_0000, Form.READ_BACK)
    assert (bound.known, bound.value, bound.form) == (0xFFFC, 28, Form.READ_BACK)
    assert temporaries("ppc@2012", access) == []
    order = [write.unit.offset // 4 for write in code.writes]
    assert order == [*range(12), 5, *range(12, 18)]


def test_slow_paths_of_2012_come_in_the_order_of_their_accesses() -> None:
    code = load_translator("ppc@2012").block(0, ("load", "store", "load"))
    updates = [write.unit.offset for write in code.writes if write.phase is Phase.BRANCH_UPDATE]
    assert updates == [20, 36 + 20, 72 + 20]


@every_version
@every_access
def test_the_guests_own_branch_is_read_back_in_every_version(name: str, access: Access) -> None:
    code = load_translator(name).block(0, (access,), guarded=True)
    compare, begun = (write for write in code.writes if write.phase is Phase.GUEST_BRANCH)
    assert (compare.unit.offset, compare.value) == (0, 0x2F8F_0000)
    assert (begun.unit.offset, begun.known, begun.value, begun.form) == (4, 0xFFFF_0003, 0x419E_0000, Form.READ_BACK)
    (bound,) = (write for write in code.writes if write.unit == begun.unit and write.phase is Phase.BRANCH_UPDATE)
    assert (bound.known, bound.form) == (0xFFFC, Form.READ_BACK)
    assert bound.value == code.rewritten - 4
    assert code.unfinished == ({4} if name == "ppc@2010" else {4, 8 + 20})


def test_shipped_form_on_ppc_of_2010_reads_back_at_every_branch() -> None:
    writes = load_translator("ppc").block(0).writes
    assert [write.in_form(write.unit.shipped_form).form for write in writes if not write.complete] == [
        Form.READ_BACK,
    ] * 4  # fmt: skip


# --- The ways through a block ---------------------------------------------------------------------------------------


def test_the_paths_of_2010() -> None:
    hit, miss, fault, skip = load_translator("ppc").block(0, ("load",), guarded=True).paths
    leave = range(19, 25)
    assert hit.offsets == words(*range(8), *range(16, 19), *leave)
    assert miss.offsets == words(*range(16), *leave)
    assert fault.offsets == words(*range(14))
    assert skip.offsets == words(0, 1, *leave)


def test_the_paths_of_2012_pass_over_the_word_behind_the_call() -> None:
    hit, miss, fault, skip = load_translator("ppc@2012").block(0, ("store",), guarded=True).paths
    leave = range(11, 14)
    assert hit.offsets == words(*range(14))
    assert miss.offsets == words(*range(8), *range(14, 18), 19, *leave)
    assert fault.offsets == words(*range(8), *range(14, 18))
    assert skip.offsets == words(0, 1, *leave)


@every_version
@every_access
def test_a_hit_makes_the_access_and_a_miss_calls_the_helper_with_what_it_needs(name: str, access: Access) -> None:
    hit, miss = follow(name, access, "hit"), follow(name, access, "miss")
    assert (hit.ends, hit.accessed, hit.calls) == ("exit", 1, ())
    assert (miss.ends, miss.accessed, [call.right for call in miss.calls]) == ("exit", 0, [True])
    for course in hit, miss:
        assert dict(course.registers)["r3"] == Holds.BLOCK
        assert dict(course.registers)["r15"] == Holds.VALUE


@every_access
def test_a_stale_branch_of_2010_hangs_its_core(access: Access) -> None:
    hit = follow("ppc", access, "hit", {20: SELF[0]})
    assert (hit.ends, hit.at, hit.accessed, hit.offsets[-1]) == ("loop", 20, 0, 20)
    assert follow("ppc", access, "miss", {20: SELF[0]}) == follow("ppc", access, "miss")
    miss = follow("ppc", access, "miss", {52: SELF[1]})
    assert (miss.ends, miss.at, [call.right for call in miss.calls]) == ("loop", 52, [True])
    assert follow("ppc", access, "hit", {52: SELF[1]}) == follow("ppc", access, "hit")


def test_a_branch_of_2010_one_word_too_short_takes_the_slow_path_without_its_address() -> None:
    """What the helper is told as the guest address is where the TLB entry lies."""
    course = follow("ppc", "load", "hit", {20: 0x419E_0008})
    assert course.calls == (
        Call(44, (("r3", Holds.ADDRESS), ("r4", Holds.MEMORY_INDEX)), (Holds.ENTRY, Holds.MEMORY_INDEX)),
    )


def test_a_branch_of_2012_that_was_not_completed_hangs_or_misses_an_argument() -> None:
    assert follow("ppc@2012", "load", "miss", {20: 0x409E_0000}).ends == "loop"
    assert follow("ppc@2012", "load", "hit", {20: 0x409E_0000}).ends == "exit"
    (call,) = follow("ppc@2012", "store", "miss", {20: 0x409E_0020}).calls
    assert call.holds == (Holds.STATE, Holds.TAG, Holds.VALUE, Holds.MEMORY_INDEX)


def test_a_word_that_is_no_branch_is_illegal() -> None:
    assert follow("ppc", "load", "hit", {20: 0}).ends == "illegal"


def test_the_block_is_for_a_32_bit_big_endian_host() -> None:
    for name in "ppc@2010", "ppc@2012":
        translator = load_translator(name)
        assert (translator.isa, translator.byteorder, translator.host_bits) == ("ppc", "big", 32)
        assert (translator.alignment, translator.buffer, translator.exact) == (16, 0x4900_0000, False)
