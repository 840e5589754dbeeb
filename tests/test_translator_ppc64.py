"""The ppc64 backend: every instruction, the order and the forms of the stores, and what its wrong words do.

Expected values are those of QEMU's ``tcg/ppc64/tcg-target.c`` (early January 2011, and release v1.7), put into words
by the Power ISA's extended mnemonics.
"""

from __future__ import annotations

import ctypes

import pytest
from test_translator_ppc import follow, temporaries, words
from test_translators import branch_writes, disassemble, instructions

from bench.translators import powerpc, ppc64, softmmu
from bench.translators.flow import Call
from bench.translators.instruction import Holds
from bench.translators.registry import load_translator
from bench.translators.translator import ACCESSES, Access
from strategies.writes import Form, Phase

BUFFER = 0x0FFF_B000_0000
TLB = [
    "clrldi r14, r14, 0x20", "rlwinm r3, r14, 0x19, 0x13, 0x1a", "add r3, r3, r27", "lwzu r4, {comparator}(r3)",
    "rlwinm r0, r14, 0, 0x1e, 0x13", "cmpw cr7, r0, r4",
]  # fmt: skip
TLB_2013 = [
    "clrldi r4, r14, 0x20", "rlwinm r3, r4, 0x19, 0x13, 0x1a", "add r3, r3, r27", "lwz r2, {comparator}(r3)",
    "ld r3, 0x5b0(r3)", "rlwinm r0, r4, 0, 0x1e, 0x13", "cmpw cr7, r0, r2",
]  # fmt: skip
CALL = ["ld r0, 0(r2)", "mtctr r0", "ld r11, 0x10(r2)", "ld r2, 8(r2)", "bctrl"]
GUARD = ["cmpwi cr7, r15, 0", "beq cr7, {skipped}"]
BLOCK = ["li r3, 0xfff", "sldi r3, r3, 0x20", "oris r3, r3, 0xa800", "ori r3, r3, 0x10"]
FAR_EXIT = [*BLOCK, "lis r0, 0x1090", "ori r0, r0, 0xb8", "mtctr r0", "bctr"]
EXIT = [*BLOCK, "b 0xfffb1fffc78"]
LISTINGS = {
    ("ppc64@2010", "load"): [
        *TLB, "beq cr7, {fast}",
        "mr r3, r14", "li r4, 0", "lis r2, 0x1065", "ori r2, r2, 0xab0", *CALL, "mr r15, r3", "b {back}",
        "ld r3, 0x10(r3)", "add r3, r3, r14", "lwzx r15, 0, r3", *FAR_EXIT,
    ],
    ("ppc64@2010", "store"): [
        *TLB, "beq cr7, {fast}",
        "mr r3, r14", "clrldi r4, r15, 0x20", "li r5, 0", "lis r2, 0x1065", "ori r2, r2, 0xaf8", *CALL, "b {back}",
        "ld r3, 0xc(r3)", "add r3, r3, r14", "stwx r15, 0, r3", *FAR_EXIT,
    ],
    ("ppc64@2013", "load"): [
        *TLB_2013, "bnel cr7, {slow}", "lwzx r15, r3, r4", *EXIT,
        "mr r3, r27", "li r5, 0", "mflr r6",
        "lis r2, 0x1065", "ld r0, 0xab0(r2)", "mtctr r0", "ld r2, 0xab8(r2)", "bctrl", "mr r15, r3", "b {back}",
    ],
    ("ppc64@2013", "store"): [
        *TLB_2013, "bnel cr7, {slow}", "stwx r15, r3, r4", *EXIT,
        "mr r3, r27", "clrldi r5, r15, 0x20", "li r6, 0", "mflr r7",
        "lis r2, 0x1065", "ld r0, 0xaf8(r2)", "mtctr r0", "ld r2, 0xb00(r2)", "bctrl", "b {back}",
    ],
}  # fmt: skip
COMPARATORS = {
    ("ppc64@2010", "load"): "0x180", ("ppc64@2010", "store"): "0x184",
    ("ppc64@2013", "load"): "0x5a0", ("ppc64@2013", "store"): "0x5a4",
}  # fmt: skip
LABELS = {"fast": 18 * 4, "back": 21 * 4}, {"slow": 14 * 4, "back": 9 * 4}
"""The places that branches lead to, in bytes from the start of the first access: 2010, 2013."""

every_version = pytest.mark.parametrize("name", ["ppc64@2010", "ppc64@2013"])
every_access = pytest.mark.parametrize("access", ACCESSES)
guarded_or_not = pytest.mark.parametrize("guarded", [False, True])

SELF = 0x419E_0000, 0x4800_0000
"""The temporary values: beq cr7 and b, to themselves."""


# --- Encodings ------------------------------------------------------------------------------------------------------


@every_version
@every_access
@guarded_or_not
def test_capstone_reads_every_instruction_as_meant(name: str, access: Access, guarded: bool) -> None:
    translator = load_translator(name)
    start = 8 if guarded else 0
    labels = LABELS[name == "ppc64@2013"]
    places = {label: hex(BUFFER + start + offset) for label, offset in labels.items()}
    places["skipped"] = places["back"]
    listed = [*GUARD, *LISTINGS[name, access]] if guarded else LISTINGS[name, access]
    expected = [line.format(comparator=COMPARATORS[name, access], **places) for line in listed]
    assert instructions(translator, translator.block(0, (access,), guarded=guarded)) == expected


def test_the_address_of_the_epilogue_of_2013() -> None:
    """The prologue is a descriptor and 24 words: mflr, stdu, 18 stores of registers, std, mr, mtctr, bctr."""
    assert BUFFER + 32 * 1024 * 1024 - 1024 + 24 + 96 == ppc64.EPILOGUE_2013


def test_a_descriptor_in_the_upper_half_of_64_kib_is_reached_from_above(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ppc64.DESCRIPTORS, "load", 0x1065_9AB0)
    translator = load_translator("ppc64@2013")
    text = instructions(translator, translator.block(0))
    assert text[17:21] == ["lis r2, 0x1066", "ld r0, -0x6550(r2)", "mtctr r0", "ld r2, -0x6548(r2)"]


@pytest.mark.parametrize("word", [0x419E_0030, 0x419E_0000, 0x409E_001D, 0x4800_0010, 0x4800_0000, 0x4BFF_FFC8])
def test_a_branch_leads_where_capstone_says(word: int) -> None:
    translator = load_translator("ppc64")
    text = disassemble(translator, word.to_bytes(4, "big"), 0)
    target = int(text.split()[-1], 16) - BUFFER if "0x" in text else 0  # capstone leaves out a bc to itself
    assert translator.destination(word) == target


@pytest.mark.parametrize("word", [0, 0x7DC3_7378, 0x4E80_0420, 0x79CE_0020])
def test_what_is_no_branch_leads_nowhere(word: int) -> None:
    assert load_translator("ppc64").destination(word) is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0x1_0000_0000, ["li r3, 1", "sldi r3, r3, 0x20"]),
        (0x7FFF_1234_0000, ["li r3, 0x7fff", "sldi r3, r3, 0x20", "oris r3, r3, 0x1234"]),
        (0x1234_5678_0000_0001, ["lis r3, 0x1234", "ori r3, r3, 0x5678", "sldi r3, r3, 0x20", "ori r3, r3, 1"]),
    ],
)
def test_a_constant_takes_as_many_words_as_it_needs(value: int, words: list[str]) -> None:
    translator = load_translator("ppc64")
    loaded = powerpc.constant(3, value)
    assert [disassemble(translator, part.word.to_bytes(4, "big"), 0) for part in loaded] == words
    assert {part.sets[-1] for part in loaded} == {("r3", Holds.CONSTANT)}


def test_tlb_offset_of_2013_follows_from_the_guests_declarations() -> None:
    word, pointer = ctypes.c_uint32, ctypes.c_uint64

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
            ("utlb", GuestTlb * 64), ("ldst", word), ("mem_io_pc", pointer), ("mem_io_vaddr", word),
            ("tlb_table", Entry),
        )  # fmt: skip

    tlb = softmmu.HOST_64_2013
    assert (State.tlb_table.offset, Entry.addend.offset) == (tlb.table, tlb.addend)
    assert ctypes.sizeof(Entry) <= 1 << tlb.entry_bits < 2 * ctypes.sizeof(Entry)


# --- The stores -----------------------------------------------------------------------------------------------------


@every_access
def test_both_branches_of_2010_are_stored_as_branches_to_themselves(access: Access) -> None:
    code = load_translator("ppc64").block(0, (access,))
    assert (code.size, code.rewritten, len(code.retranslated.writes)) == (29 * 4, 21 * 4, 21 + 2)
    hit, done, hit_bound, done_bound = branch_writes(code)
    assert [write.unit.offset for write in (hit, done)] == [6 * 4, 17 * 4]
    assert [(write.value | write.temporary, write.form) for write in (hit, done)] == [
        (SELF[0], Form.WHOLE), (SELF[1], Form.WHOLE),
    ]  # fmt: skip
    assert (hit.known, hit.temporary, done.known, done.temporary) == (0xFFFF_0003, 0, 0xFC00_0003, 0)
    assert (hit_bound.unit, hit_bound.known, hit_bound.value, hit_bound.form) == (hit.unit, 0xFFFC, 48, Form.READ_BACK)
    assert (done_bound.unit, done_bound.known, done_bound.value) == (done.unit, 0x03FF_FFFC, 16)
    assert done_bound.form is Form.READ_BACK
    order = [write.unit.offset // 4 for write in code.retranslated.writes]
    assert order == [*range(18), 6, 18, 19, 20, 17]


@every_access
def test_the_windows_of_2010(access: Access) -> None:
    assert temporaries("ppc64", access) == [(24, "beq cr7, 0xfffb0000018", 11), (68, "b 0xfffb0000044", 4)]


@every_access
def test_the_branch_of_2013_is_read_back_and_never_wrong(access: Access) -> None:
    code = load_translator("ppc64@2013").block(0, (access,))
    assert (code.size, code.rewritten) == (24 * 4, 9 * 4)
    (begun,) = branch_writes(code)
    (bound,) = (write for write in code.writes if write.phase is Phase.BRANCH_UPDATE)
    assert begun.unit == bound.unit
    assert (begun.unit.offset, begun.known, begun.value, begun.form) == (28, 0xFFFF_0003, 0x409E_0001, Form.READ_BACK)
    assert (bound.known, bound.value, bound.form) == (0xFFFC, 28, Form.READ_BACK)
    assert temporaries("ppc64@2013", access) == []
    order = [write.unit.offset // 4 for write in code.writes]
    assert order == [*range(14), 7, *range(14, 24)]


def test_slow_paths_of_2013_come_in_the_order_of_their_accesses() -> None:
    code = load_translator("ppc64@2013").block(0, ("load", "store", "load"))
    updates = [write.unit.offset for write in code.writes if write.phase is Phase.BRANCH_UPDATE]
    assert updates == [28, 36 + 28, 72 + 28]


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
    assert code.unfinished == ({4} if name == "ppc64@2010" else {4, 8 + 28})


# --- The ways through a block ---------------------------------------------------------------------------------------


def test_the_paths_of_2010() -> None:
    hit, miss, fault, skip = load_translator("ppc64").block(0, ("load",), guarded=True).paths
    leave = range(23, 31)
    assert hit.offsets == words(*range(9), *range(20, 23), *leave)
    assert miss.offsets == words(*range(20), *leave)
    assert fault.offsets == words(*range(18))
    assert skip.offsets == words(0, 1, *leave)


def test_the_paths_of_2013() -> None:
    hit, miss, fault, skip = load_translator("ppc64@2013").block(0, ("store",), guarded=True).paths
    leave = range(11, 16)
    assert hit.offsets == words(*range(16))
    assert miss.offsets == words(*range(10), *range(16, 26), *leave)
    assert fault.offsets == words(*range(10), *range(16, 25))
    assert skip.offsets == words(0, 1, *leave)


@every_version
@every_access
def test_a_hit_makes_the_access_and_a_miss_calls_the_helper_with_what_it_needs(name: str, access: Access) -> None:
    hit, miss = follow(name, access, "hit"), follow(name, access, "miss")
    assert (hit.ends, hit.accessed, hit.calls) == ("exit", 1, ())
    assert (miss.ends, miss.accessed, [call.right for call in miss.calls]) == ("exit", 0, [True])
    for course in hit, miss:
        registers = dict(course.registers)
        assert (registers["r3"], registers["r14"], registers["r15"]) == (Holds.BLOCK, Holds.ADDRESS, Holds.VALUE)


@every_access
def test_a_stale_branch_of_2010_hangs_its_core(access: Access) -> None:
    hit = follow("ppc64", access, "hit", {24: SELF[0]})
    assert (hit.ends, hit.at, hit.accessed, hit.offsets[-1]) == ("loop", 24, 0, 24)
    assert follow("ppc64", access, "miss", {24: SELF[0]}) == follow("ppc64", access, "miss")
    miss = follow("ppc64", access, "miss", {68: SELF[1]})
    assert (miss.ends, miss.at, [call.right for call in miss.calls]) == ("loop", 68, [True])
    assert follow("ppc64", access, "hit", {68: SELF[1]}) == follow("ppc64", access, "hit")


def test_a_branch_of_2010_one_word_too_short_takes_the_slow_path_without_its_address() -> None:
    """What the helper is told as the guest address is where the TLB entry lies."""
    course = follow("ppc64", "store", "hit", {24: 0x419E_0008})
    needs = ("r3", Holds.ADDRESS), ("r4", Holds.VALUE), ("r5", Holds.MEMORY_INDEX)
    assert course.calls == (Call(64, needs, (Holds.ENTRY, Holds.VALUE, Holds.MEMORY_INDEX)),)


def test_a_branch_of_2013_that_was_not_completed_hangs_or_misses_an_argument() -> None:
    assert follow("ppc64@2013", "load", "miss", {28: 0x409E_0001}).ends == "loop"
    assert follow("ppc64@2013", "load", "hit", {28: 0x409E_0001}).ends == "exit"
    (call,) = follow("ppc64@2013", "load", "miss", {28: 0x409E_0021}).calls
    assert call.holds == (Holds.ADDEND, Holds.ADDRESS, Holds.MEMORY_INDEX, Holds.RETURN_ADDRESS)


def test_the_block_is_for_a_64_bit_big_endian_host() -> None:
    for name in "ppc64@2010", "ppc64@2013":
        translator = load_translator(name)
        assert (translator.isa, translator.byteorder, translator.host_bits) == ("ppc64", "big", 64)
        assert (translator.alignment, translator.buffer, translator.exact) == (16, BUFFER, False)
