"""The ppc and ppc64 backends: every instruction, the order and the forms of the stores, and what their wrong words do.

Expected values are those of QEMU's ``tcg/ppc/tcg-target.c`` (early January 2011, and release v1.3) and
``tcg/ppc64/tcg-target.c`` (early January 2011, and release v1.7), put into words by the Power ISA's extended mnemonics.
"""

from __future__ import annotations

import pytest
from decoding import (
    branches,
    decoded,
    disassemble,
    every,
    every_access,
    finals,
    follow,
    order,
    temporaries,
    ways,
    windows,
    words,
)

from bench.translators import powerpc, ppc, ppc64
from bench.translators.flow import Call
from bench.translators.instruction import Holds
from bench.translators.registry import load_translator
from bench.translators.translator import Access, Translator
from strategies.writes import Form, Phase

PPC, PPC_2012 = load_translator("ppc@2010"), load_translator("ppc@2012")
PPC64, PPC64_2013 = load_translator("ppc64@2010"), load_translator("ppc64@2013")

every_version = every("ppc@2010", "ppc@2012", "ppc64@2010", "ppc64@2013")

TO_ITSELF = 0x419E_0000, 0x4800_0000
"""The temporary values of 2010: beq cr7 and b."""

BEGUN = {PPC_2012: 0x409E_0000, PPC64_2013: 0x409E_0001}
"""The branch of later versions, bne cr7 and bnel cr7, without its displacement."""

# --- Encodings ------------------------------------------------------------------------------------------------------

GUARD = ["cmpwi cr7, r15, 0", "beq cr7, {back}"]
TLB = [
    "rlwinm r3, r14, 0x18, 0x14, 0x1b", "add r3, r3, r27", "lwzu r4, {comparator}(r3)", "rlwinm r0, r14, 0, 0x1e, 0x13",
    "cmpw cr7, r0, r4",
]
FAR_EXIT = ["lis r3, 0x4b00", "ori r3, r3, 8", "lis r0, 0x1080", "ori r0, r0, 0xb8", "mtctr r0", "bctr"]
EXIT = ["lis r3, 0x4b00", "ori r3, r3, 8", "b 0x4afffc60"]
TLB64 = [
    "clrldi r14, r14, 0x20", "rlwinm r3, r14, 0x19, 0x13, 0x1a", "add r3, r3, r27", "lwzu r4, {comparator}(r3)",
    "rlwinm r0, r14, 0, 0x1e, 0x13", "cmpw cr7, r0, r4",
]
TLB64_2013 = [
    "clrldi r4, r14, 0x20", "rlwinm r3, r4, 0x19, 0x13, 0x1a", "add r3, r3, r27", "lwz r2, {comparator}(r3)",
    "ld r3, 0x5b0(r3)", "rlwinm r0, r4, 0, 0x1e, 0x13", "cmpw cr7, r0, r2",
]
CALL64 = ["ld r0, 0(r2)", "mtctr r0", "ld r11, 0x10(r2)", "ld r2, 8(r2)", "bctrl"]
BLOCK64 = ["li r3, 0xfff", "sldi r3, r3, 0x20", "oris r3, r3, 0xa800", "ori r3, r3, 0x10"]
FAR_EXIT64 = [*BLOCK64, "lis r0, 0x1090", "ori r0, r0, 0xb8", "mtctr r0", "bctr"]
EXIT64 = [*BLOCK64, "b 0xfffb1fffc78"]
LISTINGS = {
    (PPC, "load"): [
        *TLB, "beq cr7, {fast}",
        "mr r3, r14", "li r4, 0", "lis r0, 0x1010", "ori r0, r0, 0x420", "mtctr r0", "bctrl", "mr r15, r3", "b {back}",
        "lwz r3, 0xc(r3)", "add r3, r3, r14", "lwzx r15, 0, r3", *FAR_EXIT,
    ],
    (PPC, "store"): [
        *TLB, "beq cr7, {fast}",
        "mr r3, r14", "mr r4, r15", "li r5, 0", "lis r0, 0x1010", "ori r0, r0, 0x780", "mtctr r0", "bctrl", "b {back}",
        "lwz r3, 8(r3)", "add r3, r3, r14", "stwx r15, 0, r3", *FAR_EXIT,
    ],
    # Behind the call of a trampoline a word says where the operation ends.
    (PPC_2012, "load"): [
        *TLB, "bne cr7, {slow}", "lwz r3, 0xc(r3)", "add r3, r3, r14", "lwzx r15, 0, r3", *EXIT,
        "mr r4, r14", "li r5, 0", "bl 0x4afffd38", ".word {back}", "mr r15, r3", "b {back}",
    ],
    (PPC_2012, "store"): [
        *TLB, "bne cr7, {slow}", "lwz r3, 8(r3)", "add r3, r3, r14", "stwx r15, 0, r3", *EXIT,
        "mr r4, r14", "mr r5, r15", "li r6, 0", "bl 0x4afffd58", ".word {back}", "b {back}",
    ],
    (PPC64, "load"): [
        *TLB64, "beq cr7, {fast}",
        "mr r3, r14", "li r4, 0", "lis r2, 0x1065", "ori r2, r2, 0xab0", *CALL64, "mr r15, r3", "b {back}",
        "ld r3, 0x10(r3)", "add r3, r3, r14", "lwzx r15, 0, r3", *FAR_EXIT64,
    ],
    (PPC64, "store"): [
        *TLB64, "beq cr7, {fast}",
        "mr r3, r14", "clrldi r4, r15, 0x20", "li r5, 0", "lis r2, 0x1065", "ori r2, r2, 0xaf8", *CALL64, "b {back}",
        "ld r3, 0xc(r3)", "add r3, r3, r14", "stwx r15, 0, r3", *FAR_EXIT64,
    ],
    (PPC64_2013, "load"): [
        *TLB64_2013, "bnel cr7, {slow}", "lwzx r15, r3, r4", *EXIT64,
        "mr r3, r27", "li r5, 0", "mflr r6",
        "lis r2, 0x1065", "ld r0, 0xab0(r2)", "mtctr r0", "ld r2, 0xab8(r2)", "bctrl", "mr r15, r3", "b {back}",
    ],
    (PPC64_2013, "store"): [
        *TLB64_2013, "bnel cr7, {slow}", "stwx r15, r3, r4", *EXIT64,
        "mr r3, r27", "clrldi r5, r15, 0x20", "li r6, 0", "mflr r7",
        "lis r2, 0x1065", "ld r0, 0xaf8(r2)", "mtctr r0", "ld r2, 0xb00(r2)", "bctrl", "b {back}",
    ],
}
COMPARATORS = {PPC: 0x174, PPC_2012: 0x5A8, PPC64: 0x180, PPC64_2013: 0x5A0}
LABELS = {
    PPC: {"fast": 14, "back": 17}, PPC_2012: {"slow": 12, "back": 9},
    PPC64: {"fast": 18, "back": 21}, PPC64_2013: {"slow": 14, "back": 9},
}
"""The places that branches lead to, in words from the start of the first access."""


@every_version
@every_access
@pytest.mark.parametrize("guarded", [False, True])
def test_capstone_reads_every_instruction_as_meant(translator: Translator, access: Access, guarded: bool) -> None:
    guard = GUARD if guarded else []
    start = translator.buffer + 4 * len(guard)
    places = {label: hex(start + 4 * word) for label, word in LABELS[translator].items()}
    comparator = hex(COMPARATORS[translator] + (4 if access == "store" else 0))
    expected = [line.format(comparator=comparator, **places) for line in [*guard, *LISTINGS[translator, access]]]
    assert decoded(translator, translator.block(0, (access,), guarded=guarded)) == expected


def test_the_word_behind_each_call_of_a_trampoline_is_where_its_operation_ends() -> None:
    code = PPC_2012.block(0, ("load", "store"))
    ends = [finals(code)[placed.offset] for placed in code.placed if placed.instruction.does == "data"]
    assert ends == [0x4900_0024, 0x4900_0048]


def test_addresses_of_the_prologues_of_later_versions() -> None:
    """2012: 24 words up to the epilogue, which has 22; then trampolines of 8 words for bytes, halfwords, words.

    2013: a descriptor and 24 words: mflr, stdu, 18 stores of registers, std, mr, mtctr, bctr.
    """
    prologue = 0x4900_0000 + 32 * 1024 * 1024 - 1024
    assert prologue + 96 == ppc.EPILOGUE_2012
    assert [prologue + 96 + 88 + n * 32 for n in (4, 5)] == [ppc.TRAMPOLINES["load"], ppc.TRAMPOLINES["store"]]
    assert ppc64.EPILOGUE_2013 == 0x0FFF_B000_0000 + 32 * 1024 * 1024 - 1024 + 24 + 96


def test_a_descriptor_in_the_upper_half_of_64_kib_is_reached_from_above(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ppc64.DESCRIPTORS, "load", 0x1065_9AB0)
    text = decoded(PPC64_2013, PPC64_2013.block(0))
    assert text[17:21] == ["lis r2, 0x1066", "ld r0, -0x6550(r2)", "mtctr r0", "ld r2, -0x6548(r2)"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, ["li r3, 0"]), (-0x8000, ["li r3, -0x8000"]), (0x7FFF, ["li r3, 0x7fff"]),
        (0x8000, ["lis r3, 0", "ori r3, r3, 0x8000"]), (0x1234_0000, ["lis r3, 0x1234"]),
        (0x7FFF_FFFF, ["lis r3, 0x7fff", "ori r3, r3, 0xffff"]),
        (0x1_0000_0000, ["li r3, 1", "sldi r3, r3, 0x20"]),
        (0x7FFF_1234_0000, ["li r3, 0x7fff", "sldi r3, r3, 0x20", "oris r3, r3, 0x1234"]),
        (0x1234_5678_0000_0001, ["lis r3, 0x1234", "ori r3, r3, 0x5678", "sldi r3, r3, 0x20", "ori r3, r3, 1"]),
    ],
)
def test_a_constant_takes_as_many_words_as_it_needs(value: int, words: list[str]) -> None:
    loaded = powerpc.constant(3, value, Holds.BLOCK)
    assert [disassemble(PPC64, part.word.to_bytes(4, "big")) for part in loaded] == words
    assert [part.sets[-1] for part in loaded] == [("r3", Holds.CONSTANT)] * (len(words) - 1) + [("r3", Holds.BLOCK)]
    assert loaded[-1].sets == (("r3", Holds.BLOCK),)
    assert powerpc.constant(3, value)[-1].sets == (("r3", Holds.CONSTANT),)


@pytest.mark.parametrize(
    ("distance", "words"), [((1 << 25) - 4, 1), (-(1 << 25), 1), (1 << 25, 4), (-(1 << 25) - 4, 4)]
)
def test_a_jump_out_of_reach_takes_the_count_register(distance: int, words: int) -> None:
    *_, last = parts = powerpc.jump(0x1234_5678, 0x1234_5678 + distance)
    assert len(parts) == words
    assert last.word == (powerpc.to(0x4800_0000, distance) if words == 1 else 0x4E80_0420)


@pytest.mark.parametrize(
    ("isa", "bits", "buffer"), [("ppc", 32, 0x4900_0000), ("ppc64", 64, 0x0FFF_B000_0000)], ids=["ppc", "ppc64"]
)
def test_the_block_is_for_a_big_endian_host(isa: str, bits: int, buffer: int) -> None:
    for translator in (found for found in LABELS if found.isa == isa):
        assert (translator.byteorder, translator.host_bits) == ("big", bits)
        assert (translator.alignment, translator.buffer, translator.exact) == (16, buffer, False)


# --- The stores -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("translator", "hit", "done", "size", "found"),
    [
        (PPC, 5, 13, 23, [(20, "beq cr7, 0x49000014", 8), (52, "b 0x49000034", 4)]),
        (PPC64, 6, 17, 29, [(24, "beq cr7, 0xfffb0000018", 11), (68, "b 0xfffb0000044", 4)]),
    ],
    ids=["ppc", "ppc64"],
)
@every_access
def test_both_branches_of_2010_are_stored_as_branches_to_themselves(
    translator: Translator, access: Access, hit: int, done: int, size: int, found: list[tuple[int, str, int]]
) -> None:
    """The fast path, three words, is behind the second branch: the first is bound there, the second behind it."""
    code = translator.block(0, (access,))
    assert (code.size, code.rewritten) == (4 * size, 4 * (done + 4))
    assert branches(code) == [
        (Phase.BRANCH, 4 * hit, Form.WHOLE, 0xFFFF_0003, TO_ITSELF[0], 0),
        (Phase.BRANCH, 4 * done, Form.WHOLE, 0xFC00_0003, TO_ITSELF[1], 0),
        (Phase.BRANCH_UPDATE, 4 * hit, Form.READ_BACK, 0xFFFC, {PPC: 36, PPC64: 48}[translator], 0),
        (Phase.BRANCH_UPDATE, 4 * done, Form.READ_BACK, 0x03FF_FFFC, 16, 0),
    ]
    assert order(code.retranslated) == [*words((0, done)), 4 * hit, *words((done + 1, done + 3)), 4 * done]
    assert temporaries(translator, code) == found


@pytest.mark.parametrize(
    ("translator", "branch", "slow", "size"),
    [(PPC_2012, 5, 12, 18), (PPC64_2013, 7, 14, 24)],
    ids=["ppc@2012", "ppc64@2013"],
)
@every_access
def test_the_branch_of_later_versions_is_read_back_when_the_slow_path_comes(
    translator: Translator, access: Access, branch: int, slow: int, size: int
) -> None:
    code = translator.block(0, (access,))
    assert (code.size, code.rewritten) == (4 * size, 9 * 4)
    assert branches(code) == [
        (Phase.BRANCH, 4 * branch, Form.READ_BACK, 0xFFFF_0003, BEGUN[translator], 0),
        (Phase.BRANCH_UPDATE, 4 * branch, Form.READ_BACK, 0xFFFC, 28, 0),
    ]
    assert order(code) == [*words((0, slow - 1)), 4 * branch, *words((slow, size - 1))]


@pytest.mark.parametrize(("translator", "branch"), [(PPC_2012, 20), (PPC64_2013, 28)], ids=["ppc@2012", "ppc64@2013"])
def test_slow_paths_come_in_the_order_of_their_accesses(translator: Translator, branch: int) -> None:
    code = translator.block(0, ("load", "store", "load"))
    updates = [write.unit.offset for write in code.writes if write.phase is Phase.BRANCH_UPDATE]
    assert updates == [branch, 36 + branch, 72 + branch]


@every_version
@every_access
def test_the_guests_own_branch_is_read_back_in_every_version(translator: Translator, access: Access) -> None:
    code = translator.block(0, (access,), guarded=True)
    compare = code.writes[0]
    assert (compare.phase, compare.unit.offset, compare.value) == (Phase.GUEST_BRANCH, 0, 0x2F8F_0000)
    assert [store for store in branches(code) if store[1] == 4] == [
        (Phase.GUEST_BRANCH, 4, Form.READ_BACK, 0xFFFF_0003, 0x419E_0000, 0),
        (Phase.BRANCH_UPDATE, 4, Form.READ_BACK, 0xFFFC, code.rewritten - 4, 0),
    ]
    assert [write.unit.offset for write in code.writes if write.phase is Phase.GUEST_BRANCH] == [0, 4]
    slow = {PPC_2012: {8 + 20}, PPC64_2013: {8 + 28}}.get(translator, set())
    assert code.unfinished == {4} | slow


@every("ppc@2010", "ppc64@2010")
def test_the_shipped_form_reads_back_at_every_branch_of_2010(translator: Translator) -> None:
    code = translator.block(0)
    assert [write.in_form(write.unit.shipped_form).form for write in code.writes if not write.complete] == [
        Form.READ_BACK,
    ] * 4
    assert len(windows(code)) == 2


# --- The ways through a block ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("translator", "look_up", "call", "back", "last"),
    [(PPC, 7, 13, 19, 24), (PPC64, 8, 17, 23, 30)],
    ids=["ppc", "ppc64"],
)
def test_the_paths_of_2010(translator: Translator, look_up: int, call: int, back: int, last: int) -> None:
    fast, leave = (back - 3, back - 1), (back, last)
    assert ways(translator.block(0, guarded=True)) == [
        ("hit", words((0, look_up), fast, leave)), ("miss", words((0, back - 4), leave)), ("fault", words((0, call))),
        ("skip", words((0, 1), leave)),
    ]


def test_the_paths_of_later_versions_in_2012_pass_over_the_word_behind_the_call() -> None:
    skip = "skip", words((0, 1), (11, 13))
    assert ways(PPC_2012.block(0, ("store",), guarded=True)) == [
        ("hit", words((0, 13))), ("miss", words((0, 7), (14, 17), (19, 19), (11, 13))),
        ("fault", words((0, 7), (14, 17))), skip,
    ]
    assert ways(PPC64_2013.block(0, ("store",), guarded=True)) == [
        ("hit", words((0, 15))), ("miss", words((0, 9), (16, 25), (11, 15))), ("fault", words((0, 9), (16, 24))),
        ("skip", words((0, 1), (11, 15))),
    ]


@every("ppc64@2010", "ppc64@2013")
@every_access
def test_the_guests_address_stays_in_its_register(translator: Translator, access: Access) -> None:
    code = translator.block(0, (access,))
    assert dict(follow(translator, code, "hit").registers)["r14"] == Holds.ADDRESS
    assert dict(follow(translator, code, "miss").registers)["r14"] == Holds.ADDRESS


@pytest.mark.parametrize(("translator", "hit", "done"), [(PPC, 20, 52), (PPC64, 24, 68)], ids=["ppc", "ppc64"])
@every_access
def test_a_stale_branch_of_2010_hangs_its_core(translator: Translator, access: Access, hit: int, done: int) -> None:
    code = translator.block(0, (access,))
    begun, joined = {hit: TO_ITSELF[0]}, {done: TO_ITSELF[1]}
    stuck = follow(translator, code, "hit", wrong=begun)
    assert (stuck.ends, stuck.at, stuck.accessed, stuck.offsets[-1]) == ("loop", hit, 0, hit)
    assert follow(translator, code, "miss", wrong=begun) == follow(translator, code, "miss")
    late = follow(translator, code, "miss", wrong=joined)
    assert (late.ends, late.at, [call.right for call in late.calls]) == ("loop", done, [True])
    assert follow(translator, code, "hit", wrong=joined) == follow(translator, code, "hit")
    assert follow(translator, code, "hit", wrong={hit: 0}).ends == "illegal"


def test_a_branch_of_2010_one_word_too_short_takes_the_slow_path_without_its_address() -> None:
    """What the helper is told as the guest address is where the TLB entry lies."""
    address, index = ("r3", Holds.ADDRESS), Holds.MEMORY_INDEX
    load = follow(PPC, PPC.block(0), "hit", wrong={20: 0x419E_0008})
    assert load.calls == (Call(44, (address, ("r4", index)), (Holds.ENTRY, index)),)
    store = follow(PPC64, PPC64.block(0, ("store",)), "hit", wrong={24: 0x419E_0008})
    needs = address, ("r4", Holds.VALUE), ("r5", index)
    assert store.calls == (Call(64, needs, (Holds.ENTRY, Holds.VALUE, index)),)


@pytest.mark.parametrize(
    ("translator", "branch", "access", "holds"),
    [
        (PPC_2012, 20, "store", (Holds.STATE, Holds.TAG, Holds.VALUE, Holds.MEMORY_INDEX)),
        (PPC64_2013, 28, "load", (Holds.ADDEND, Holds.ADDRESS, Holds.MEMORY_INDEX, Holds.RETURN_ADDRESS)),
    ],
    ids=["ppc@2012", "ppc64@2013"],
)
def test_a_branch_of_later_versions_that_was_not_completed_hangs_or_misses_an_argument(
    translator: Translator, branch: int, access: Access, holds: tuple[Holds, ...]
) -> None:
    code, begun = translator.block(0), BEGUN[translator]
    assert follow(translator, code, "miss", wrong={branch: begun}).ends == "loop"
    assert follow(translator, code, "hit", wrong={branch: begun}).ends == "exit"
    into_the_slow_path = follow(translator, translator.block(0, (access,)), "miss", wrong={branch: begun | 32})
    assert [call.holds for call in into_the_slow_path.calls] == [holds]
