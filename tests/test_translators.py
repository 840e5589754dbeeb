"""Translators: the encodings against capstone, the order of the stores, what each version leaves in memory.

Expected words, distances and orders are those of QEMU's own source at the
commits that the translators' files name.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import pytest
from decoding import ENGINES, disassemble, every_access, follow
from hypothesis import given
from hypothesis import strategies as st

from bench.support.errors import InputError
from bench.translators import arm, s390x, x86_64
from bench.translators.instruction import Holds
from bench.translators.listing import ListingRow, listing
from bench.translators.registry import load_translator, translator_names
from bench.translators.translator import ACCESSES, Access, Code, Translator
from strategies.writes import Form, Phase, Write

LOAD: tuple[Access, ...] = ("load",)
STORE: tuple[Access, ...] = ("store",)
TEMPORARY = (
    "arm@2010", "mips@2010", "ppc@2010", "ppc64@2010", "s390x@2010", "s390x@2014", "sparc@2010", "sparc@2012",
)
"""The versions that store a temporary branch target."""

LEFT = ("s390x@2014",)
"""Those whose retranslations leave it."""

DECODED = [name for name in translator_names() if load_translator(name).isa in ENGINES]
"""Those that capstone reads; none of their paths share a predicated unit."""

every_translator = pytest.mark.parametrize("name", translator_names())
some_accesses = st.lists(st.sampled_from(ACCESSES), min_size=1, max_size=4)
some_translator = st.sampled_from(translator_names()).map(load_translator)


def make(write: Write, memory: bytearray, translator: Translator) -> bool:
    """Make a store, by the definition of its form; True if it changed a byte."""
    unit, order = write.unit, translator.byteorder
    place = slice(unit.offset, unit.offset + unit.size)
    before = bytes(memory[place])
    old = int.from_bytes(before, order)
    if write.form is Form.WHOLE:
        new = write.value | write.temporary
    elif write.form is Form.ADD_PATCH:
        new = old + write.value
    else:
        new = old & ~write.known | write.value
    if write.form is Form.SKIP_BYTES:
        assert all(byte in (0x00, 0xFF) for byte in write.known.to_bytes(unit.size, order))
    memory[place] = new.to_bytes(unit.size, order)
    return memory[place] != before


def final(code: Code, translator: Translator) -> bytearray:
    """The block as it is when complete."""
    memory = bytearray(code.size)
    for unit in code.whole:
        memory[unit.offset : unit.offset + unit.size] = unit.final.to_bytes(unit.size, translator.byteorder)
    return memory


def fetched(code: Code) -> set[int]:
    return {offset for path in code.paths for offset in path.offsets}


def instructions(translator: Translator, code: Code) -> list[str]:
    """The complete block in memory order, without what is not fetched."""
    memory = final(code, translator)
    return [
        disassemble(translator, bytes(memory[unit.offset : unit.offset + unit.size]), unit.offset)
        for unit in code.whole
        if unit.offset in fetched(code)
    ]


# --- Encodings ------------------------------------------------------------------------------------------------------

ARM_TLB = [
    "lsr r8, r4, #0xc", "and r0, r8, #0xff", "add r0, r7, r0, lsl #4", "ldr r1, [r0, #{comparator}]",
    "cmp r1, r8, lsl #12", "tsteq r4, #3", "ldreq r1, [r0, #0x180]",
]
ARM_EXIT = ["ldr r0, [pc]", f"b #{arm.EPILOGUE:#x}"]
X86_TLB = [
    "mov esi, ebp", "mov edi, ebp", "shr esi, 7", "and edi, 0xfffff003", "and esi, 0x1fe0",
    "lea rsi, [r14 + rsi + {comparator}]", "cmp edi, dword ptr [rsi]", "mov edi, ebp",
]
X86_EXIT = ["movabs rax, 0x7f0000000010", f"jmp {x86_64.EPILOGUE:#x}"]
S390_TLB = [
    "llgfr %r2, %r13", "srlg %r3, %r13, 7", "lghi %r14, -0xffd", "ngr %r2, %r14", "nilf %r3, 0x1fe0",
    "llgfr %r3, %r3", "c %r2, {comparator}(%r10, %r3)", "llgfr %r2, %r13",
]
S390_TLB_2015 = [
    "risbg %r2, %r13, 0x33, 0xba, 0x39", "risbg %r3, %r13, 0x3e, 0xb3, 0", "c %r3, {comparator}(%r10, %r2)",
    "lg %r2, 0x5a8(%r10, %r2)", "llgfr %r3, %r13",
]
S390_EXIT = ["lgfi %r2, 0x7c000010", "iihl %r2, 0x3ff", f"jg {s390x.EPILOGUE:#x}"]
ARM_CALL = {access: f"bl #{arm.HELPERS[access]:#x}" for access in ACCESSES}
X86_CALL = {access: f"call {x86_64.HELPERS[access]:#x}" for access in ACCESSES}
S390_CALL = {access: f"brasl %r14, {s390x.HELPERS[access]:#x}" for access in ACCESSES}
LISTINGS = {
    ("arm@2010", "load"): [
        *ARM_TLB, "ldreq r5, [r4, r1]", "beq #0x1000034",
        "mov r0, r4", "mov r1, #0", ARM_CALL["load"], "mov r5, r0", *ARM_EXIT,
    ],
    ("arm@2010", "store"): [
        *ARM_TLB, "streq r5, [r4, r1]", "beq #0x1000034",
        "mov r0, r4", "mov r1, r5", "mov r2, #0", ARM_CALL["store"], *ARM_EXIT,
    ],
    ("s390x@2010", "load"): [
        *S390_TLB, "je 0x9000003a", "lghi %r3, 0", S390_CALL["load"], "lgr %r12, %r2", "j 0x90000046",
        "ag %r2, 0x190(%r10, %r3)", "llgf %r12, 0(%r2)", *S390_EXIT,
    ],
    ("s390x@2010", "store"): [
        *S390_TLB, "je 0x9000003a", "llgfr %r3, %r12", "lghi %r4, 0", S390_CALL["store"], "j 0x90000044",
        "ag %r2, 0x190(%r10, %r3)", "st %r12, 0(%r2)", *S390_EXIT,
    ],
    ("s390x@2015", "load"): [
        *S390_TLB_2015, "jlh 0x90000034", "llgf %r12, 0(%r2, %r3)", *S390_EXIT,
        "lgr %r2, %r10", "lghi %r4, 0x20", "llilf %r5, 0x90000024", S390_CALL["load"], "lgr %r12, %r2", "j 0x90000024",
    ],
    ("s390x@2015", "store"): [
        *S390_TLB_2015, "jlh 0x90000032", "st %r12, 0(%r2, %r3)", *S390_EXIT,
        "lgr %r2, %r10", "llgfr %r4, %r12", "lghi %r5, 0x20", "llilf %r6, 0x90000022", S390_CALL["store"],
        "j 0x90000022",
    ],
    ("x86-64@2010", "load"): [
        *X86_TLB, "jne 0x40000029", "add rdi, qword ptr [rsi + 0x10]", "mov ebx, dword ptr [rdi]", "jmp 0x40000032",
        "xor esi, esi", X86_CALL["load"], "mov ebx, eax", *X86_EXIT,
    ],
    ("x86-64@2010", "store"): [
        *X86_TLB, "jne 0x40000029", "add rdi, qword ptr [rsi + 0xc]", "mov dword ptr [rdi], ebx", "jmp 0x40000032",
        "mov esi, ebx", "xor edx, edx", X86_CALL["store"], *X86_EXIT,
    ],
}
COMPARATORS = {"arm@2010": 0x174, "s390x@2010": 0x180, "s390x@2015": 0x598, "x86-64@2010": 0x180}


@pytest.mark.parametrize(("name", "access"), LISTINGS)
def test_capstone_reads_every_instruction_as_meant(name: str, access: Access) -> None:
    translator = load_translator(name)
    comparator = hex(COMPARATORS[name] + (4 if access == "store" else 0))
    expected = [line.replace("{comparator}", comparator) for line in LISTINGS[name, access]]
    assert instructions(translator, translator.block(0, (access,))) == expected


@every_access
def test_the_fix_of_2011_leaves_the_code_as_it_was(access: Access) -> None:
    old, new = load_translator("arm@2010"), load_translator("arm@2011")
    assert final(old.block(0, (access,)), old) == final(new.block(0, (access,)), new)


# --- Each backend's own story ---------------------------------------------------------------------------------------


def branch_writes(code: Code) -> list[Write]:
    return [write for write in code.retranslated.writes if write.phase in (Phase.BRANCH, Phase.BRANCH_UPDATE)]


@every_access
def test_arm_stores_a_temporary_branch_and_adds_its_offset_four_words_later(access: Access) -> None:
    code = load_translator("arm").block(0, (access,))
    assert (code.rewritten, len(code.retranslated.writes)) == (13 * 4, 13 + 1)
    begun, updated = branch_writes(code)
    assert begun.unit == updated.unit
    assert begun.unit.offset == 8 * 4
    assert (begun.known, begun.value, begun.temporary, begun.form) == (0xFF00_0000, 0x0A00_0000, 0, Form.WHOLE)
    assert (updated.known, updated.value, updated.form) == (0x00FF_FFFF, 3, Form.ADD_PATCH)
    assert updated.unit.final == 0x0A00_0003
    assert code.rewritten - begun.unit.offset == 20
    between = code.writes[code.writes.index(begun) + 1 : code.writes.index(updated)]
    assert [write.unit.offset for write in between] == [36, 40, 44, 48]
    assert {write.phase for write in between} == {Phase.SLOW_PATH}


def test_arms_temporary_branch_skips_exactly_the_guest_address_and_that_of_2011_reads_the_offset_back() -> None:
    translator = load_translator("arm")
    begun = branch_writes(translator.block(0, LOAD))[0]
    word = (begun.value | begun.temporary).to_bytes(4, "little")
    assert disassemble(translator, word, begun.unit.offset) == "beq #0x1000028"
    memory = final(translator.block(0, LOAD), translator)
    assert disassemble(translator, bytes(memory[36:40]), 36) == "mov r0, r4"
    begun, updated = branch_writes(load_translator("arm@2011").block(0, LOAD))
    assert (begun.form, begun.known_bytes) == (Form.SKIP_BYTES, 0xFF00_0000)
    assert (updated.form, updated.known, updated.value) == (Form.READ_BACK, 0x00FF_FFFF, 3)


@given(some_accesses)
def test_shipped_form_on_arm_of_2010_is_arm_of_2011(accesses: list[Access]) -> None:
    old = load_translator("arm@2010").block(0, accesses).writes
    assert [write.in_form(write.unit.shipped_form) for write in old] == list(
        load_translator("arm@2011").block(0, accesses).writes
    )


@pytest.mark.parametrize(("access", "distances"), [("load", (11, 8)), ("store", (11, 7))])
def test_s390x_stores_two_branches_to_themselves_and_patches_each_at_its_label(
    access: Access, distances: tuple[int, int]
) -> None:
    code = load_translator("s390x").block(0, (access,))
    hit, done, hit_bound, done_bound = branch_writes(code)
    assert [write.value | write.temporary for write in (hit, done)] == [0xA784_0000, 0xA7F4_0000]
    assert (hit_bound.unit, done_bound.unit) == (hit.unit, done.unit)
    for bound, halfwords in zip((hit_bound, done_bound), distances, strict=True):
        assert (bound.known, bound.value, bound.form) == (0x0000_FFFF, halfwords, Form.SKIP_BYTES)
    phases = [phase for phase, _ in itertools.groupby(write.phase for write in code.retranslated.writes)]
    assert phases == [
        Phase.TLB_ACCESS, Phase.BRANCH, Phase.SLOW_PATH, Phase.BRANCH, Phase.BRANCH_UPDATE, Phase.FAST_PATH,
        Phase.BRANCH_UPDATE,
    ]


def test_s390x_of_2015_comes_back_to_no_branch_in_a_retranslation_and_writes_slow_paths_the_newest_first() -> None:
    code = load_translator("s390x@2015").block(0, LOAD)
    (begun,) = branch_writes(code)
    assert (begun.form, begun.known, begun.value) == (Form.SKIP_BYTES, 0xFFFF_0000, 0xA764_0000)
    (updated,) = (write for write in code.writes if write.phase is Phase.BRANCH_UPDATE)
    assert updated.unit == begun.unit
    assert begun.unit.offset < code.rewritten
    writes = load_translator("s390x@2015").block(0, ("load", "store", "load")).writes
    updates = [write.unit.offset for write in writes if write.phase is Phase.BRANCH_UPDATE]
    assert len(updates) == 3
    assert updates == sorted(updates, reverse=True)


@every_access
def test_x86_64_never_stores_a_displacement_byte_that_is_not_final(access: Access) -> None:
    code = load_translator("x86-64").block(0, (access,))
    missed, done, missed_bound, done_bound = branch_writes(code)
    assert [(write.known, write.value, write.form) for write in (missed, done)] == [
        (0xFF, 0x75, Form.SKIP_BYTES), (0xFF, 0xEB, Form.SKIP_BYTES),
    ]
    assert (missed_bound.unit, done_bound.unit) == (missed.unit, done.unit)
    assert [(write.known, write.value) for write in (missed_bound, done_bound)] == [(0xFF00, 0x0800), (0xFF00, 0x0900)]


# --- What holds for every translator --------------------------------------------------------------------------------


@given(some_translator, some_accesses, st.integers(0, 255), st.integers(0, 3))
def test_translating_gives_the_final_code_whatever_was_there(
    translator: Translator, accesses: list[Access], filling: int, tb: int
) -> None:
    code = translator.block(tb, accesses)
    memory = bytearray([filling] * code.size)
    for write in code.writes:
        make(write, memory, translator)
    assert memory == final(code, translator)
    assert {write.unit.tb for write in code.writes} == {tb}


@given(some_translator, some_accesses)
def test_retranslating_ends_with_the_final_code_but_where_the_branch_is_left(
    translator: Translator, accesses: list[Access]
) -> None:
    code = translator.block(0, accesses)
    memory = final(code, translator)
    for write in code.retranslated.writes:
        make(write, memory, translator)
    assert (memory == final(code, translator)) == (translator.full_name not in LEFT)


@given(some_translator, some_accesses)
def test_only_the_versions_without_the_fix_ever_change_a_byte(translator: Translator, accesses: list[Access]) -> None:
    code = translator.block(0, accesses)
    memory = final(code, translator)
    changed = {write.unit.offset for write in code.writes if make(write, memory, translator)}
    branches = {write.unit.offset for write in branch_writes(code)}
    assert changed == (branches if translator.full_name in TEMPORARY else set())


@pytest.mark.parametrize("form", [None, Form.SKIP_BYTES, Form.READ_BACK])
@given(translator=some_translator, accesses=some_accesses)
def test_no_byte_changes_in_a_form_that_stores_only_what_is_known(
    form: Form | None, translator: Translator, accesses: list[Access]
) -> None:
    code = translator.block(0, accesses)
    memory = final(code, translator)
    assert not any(make(write.in_form(form or write.unit.shipped_form), memory, translator) for write in code.writes)


@given(some_translator, some_accesses)
def test_units_tile_the_block_in_sizes_that_the_host_has(translator: Translator, accesses: list[Access]) -> None:
    code = translator.block(0, accesses)
    bytes_each = set(range(1, 16))
    sizes = {"s390x": {2, 4, 6}, "x86-64": bytes_each, "i386": bytes_each, "ia64": {16}}.get(translator.isa, {4})
    end = 0
    for unit in code.whole:
        assert unit.offset == end
        assert unit.size in sizes
        assert unit.shipped_form is translator.shipped_form
        end += unit.size
    assert end == code.size


@given(some_translator, some_accesses)
def test_the_rewritten_part_ends_with_the_last_operation(translator: Translator, accesses: list[Access]) -> None:
    code = translator.block(0, accesses)
    assert code.retranslated.writes == code.writes[: len(code.retranslated.writes)]
    assert max(unit.offset + unit.size for unit in code.retranslated) == code.rewritten
    first_beyond = code.writes[len(code.retranslated.writes)]
    assert first_beyond.phase is Phase.EXIT
    assert first_beyond.unit.offset == code.rewritten


@given(some_translator, some_accesses)
def test_a_retranslation_stops_before_the_label_of_the_guests_branch(
    translator: Translator, accesses: list[Access]
) -> None:
    code = translator.block(0, accesses, guarded=True)
    (branch,) = {write.unit for write in code.writes if write.phase is Phase.GUEST_BRANCH and not write.complete}
    stored = [write.phase for write in code.writes if write.unit == branch]
    assert stored == [Phase.GUEST_BRANCH, Phase.BRANCH_UPDATE]
    assert [write.phase for write in code.retranslated.writes if write.unit == branch] == [Phase.GUEST_BRANCH]
    assert branch.offset in code.unfinished


@given(some_translator, some_accesses, st.integers(1, 5))
def test_blocks_differ_in_their_number_only(translator: Translator, accesses: list[Access], tb: int) -> None:
    one, other = translator.block(0, accesses), translator.block(tb, accesses)
    assert final(one, translator) == final(other, translator)
    assert one.paths == other.paths


@every_translator
def test_operations_of_a_block_follow_each_other(name: str) -> None:
    translator = load_translator(name)
    once = translator.block(0, LOAD).rewritten
    assert translator.block(0, LOAD * 3).rewritten == 3 * once
    assert translator.block(0, LOAD + STORE).rewritten == once + translator.block(0, STORE).rewritten


# --- Paths ----------------------------------------------------------------------------------------------------------


DELAYED = {"mips", "sparc"}
"""Where the instruction behind a branch is fetched before its target."""

ALWAYS = {"b", "ba", "j", "jg", "jmp"}
BRANCHES = {"b.ne", "be", "be,a", "beq", "blne", "bne", "bnel", "je", "jne", "jlh"} | ALWAYS
CALLS = {"bctrl", "bl", "blr", "blx", "brasl", "bx", "call", "jalr"}
EXITS = {"b", "bctr", "jg", "jmp", "jr", "ret"}


def successors(translator: Translator, code: Code) -> dict[int, set[int]]:
    """Where control may go from each instruction, read from the bytes: onward, and to the target of a branch.

    A jump to a helper goes behind any call of the block.
    """
    memory, onward = final(code, translator), {}
    behind = {placed.offset + placed.instruction.size for placed in code.placed if placed.instruction.links}
    for unit in code.whole:
        image = bytes(memory[unit.offset : unit.offset + unit.size])
        mnemonic, _, operands = disassemble(translator, image, unit.offset).partition(" ")
        at = unit.offset
        over = 4 if translator.full_name == "ppc@2012" and mnemonic == "bl" else 0  # a word of data
        onward.setdefault(at, {at + unit.size + over})
        if mnemonic == "bx":
            onward[at] = behind
        elif mnemonic in BRANCHES:
            target = int(operands.split()[-1].lstrip("#"), 16) - translator.buffer
            leaves = at + unit.size if translator.isa in DELAYED else at
            onward[leaves] = {target} if mnemonic in ALWAYS else {target, leaves + unit.size}
    return onward


@given(st.sampled_from(DECODED).map(load_translator), some_accesses)
def test_paths_go_where_the_final_code_leads(translator: Translator, accesses: list[Access]) -> None:
    code = translator.block(0, accesses)
    onward = successors(translator, code)
    for path in code.paths:
        assert path.offsets[0] == 0
        assert all(after in onward[before] for before, after in itertools.pairwise(path.offsets))
        leaves = path.offsets[-2 if translator.isa in DELAYED else -1]
        (last,) = (unit for unit in code.whole if unit.offset == leaves)
        image = last.final.to_bytes(last.size, translator.byteorder)
        text = disassemble(translator, image, last.offset).split()[0]
        assert text in (CALLS if path.name == "fault" else EXITS)


@every_translator
@every_access
def test_one_access_has_a_hit_a_miss_and_a_fault(name: str, access: Access) -> None:
    code = load_translator(name).block(0, (access,))
    hit, miss, fault = code.paths
    assert [path.name for path in code.paths] == ["hit", "miss", "fault"]
    by_offset = {write.unit.offset: write.phase for write in code.writes if write.complete}
    if name in DECODED:
        assert Phase.SLOW_PATH not in {by_offset.get(offset) for offset in hit.offsets}
    assert Phase.FAST_PATH in {by_offset.get(offset) for offset in hit.offsets}
    assert Phase.SLOW_PATH in {by_offset.get(offset) for offset in miss.offsets}
    assert miss.offsets[: len(fault.offsets)] == fault.offsets


VALUE_AND_RETURNED = {
    "aarch64": ("x21", "x0"), "arm": ("r5", "r0"), "hppa": ("r5", "ret0"), "i386": ("esi", "eax"),
    "ia64": ("r35", "r8"), "mips": ("s2", "v0"), "ppc": ("r15", "r3"), "ppc64": ("r15", "r3"), "s390x": ("r12", "r2"),
    "sparc": ("l1", "i0"), "x86-64": ("ebx", "eax"),
}
"""The registers of the guest's value, and of what the exit returns."""


@every_translator
@every_access
def test_a_hit_makes_the_access_and_a_miss_calls_the_helper_with_what_it_needs(name: str, access: Access) -> None:
    translator = load_translator(name)
    code = translator.block(0, (access,))
    hit, miss = follow(translator, code, "hit"), follow(translator, code, "miss")
    assert (hit.ends, hit.accessed, hit.calls) == ("exit", 1, ())
    assert (miss.ends, miss.accessed, [call.right for call in miss.calls]) == ("exit", 0, [True])
    value, returned = VALUE_AND_RETURNED[translator.isa]
    for way in hit, miss:
        registers = dict(way.registers)
        assert (registers[value], registers[returned]) == (Holds.VALUE, Holds.BLOCK)
    assert follow(translator, code, "miss", faults=True).ends == "fault"


def test_accesses_before_the_last_all_hit_or_all_miss() -> None:
    paths = load_translator("arm").block(0, LOAD * 2).paths
    operation = tuple(range(0, 13 * 4, 4))
    hit, miss, second = operation[:9], operation, tuple(offset + 52 for offset in operation)
    leave = (104, 108)
    assert [(path.name, path.offsets) for path in paths] == [
        ("hit", hit + second[:9] + leave), ("miss", hit + second + leave), ("fault", hit + second[:12]),
        ("hit", miss + second[:9] + leave), ("miss", miss + second + leave), ("fault", miss + second[:12]),
    ]


# --- Names and bad input --------------------------------------------------------------------------------------------


def test_a_bare_name_is_the_version_of_early_january_2011() -> None:
    assert translator_names() == (
        "arm@2010", "arm@2011", "arm@2014", "aarch64@2013", "mips@2010", "mips@2011", "ppc@2010", "ppc@2012",
        "ppc64@2010", "ppc64@2013", "s390x@2010", "s390x@2014", "s390x@2015", "sparc@2010", "sparc@2012", "hppa@2010",
        "i386@2010", "ia64@2010", "x86-64@2010",
    )
    bare = ("arm", "mips", "ppc", "ppc64", "s390x", "sparc", "hppa", "i386", "ia64", "x86-64")
    assert [load_translator(name).full_name for name in bare] == [f"{name}@2010" for name in bare]
    assert load_translator("aarch64").full_name == "aarch64@2013"  # there was none in 2011
    assert all(load_translator(name).full_name == name for name in translator_names())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("arm@2012", ("no version '2012' of translator arm", "arm@2010 or arm@2011")),
        ("arm@", ("no version '' of translator arm", "arm@2010 or arm@2011")),
        ("amr", ("no translator 'amr'", "one of arm@2010", "did you mean arm@2010?")),
        ("x86_64", ("no translator 'x86_64'", "did you mean x86-64@2010?")),
        ("", ("no translator ''", "one of arm@2010")),
    ],
)
def test_an_unknown_translator_is_refused_with_the_known_ones(name: str, words: Iterable[str]) -> None:
    with pytest.raises(InputError) as refused:
        load_translator(name)
    for word in words:
        assert word in str(refused.value)
    assert "\n" not in str(refused.value)


@every_translator
def test_a_block_without_a_known_access_is_refused(name: str) -> None:
    refused: list[tuple[Any, ...]] = [(), ("fetch",), ("load", "")]
    for accesses in refused:
        with pytest.raises(InputError, match="expected one or more of load, store"):
            load_translator(name).block(0, accesses)


# --- The listing ----------------------------------------------------------------------------------------------------


def rows_of(name: str, access: Access = "load") -> tuple[ListingRow, ...]:
    translator = load_translator(name)
    return listing(translator, translator.block(0, (access,))).rows


def test_the_listing_shows_arms_temporary_branch_and_its_window() -> None:
    rows = rows_of("arm")
    (begun,) = (row for row in rows if row.temporary)
    assert (begun.order, begun.offset, begun.window) == (8, 32, 4)
    assert (begun.bytes, begun.stored, begun.disassembly) == ("00 00 00 0a", "00 00 00 0a", "beq #0x1000028")
    updated = rows[13]
    assert (updated.offset, updated.phase, updated.form) == (32, Phase.BRANCH_UPDATE, Form.ADD_PATCH)
    assert (updated.bytes, updated.disassembly, updated.window) == ("03 00 00 0a", "beq #0x1000034", None)


def test_the_listing_shows_what_the_fix_leaves_alone_how_many_stores_lie_between_and_how_far_a_retranslation_comes(
) -> None:
    rows = rows_of("arm@2011")
    assert not any(row.temporary for row in rows)
    assert (rows[8].bytes, rows[8].stored, rows[8].disassembly) == ("03 00 00 0a", ".. .. .. 0a", "beq #0x1000034")
    windows = [(row.disassembly.split()[0], row.window) for row in rows_of("s390x") if row.temporary]
    assert windows == [("je", 4), ("j", 3)]
    rows = rows_of("s390x@2015", "store")
    assert [row.order for row in rows] == list(range(len(rows)))
    assert {row.phase for row in rows if row.retranslated} == {Phase.TLB_ACCESS, Phase.BRANCH, Phase.FAST_PATH}
    assert {row.phase for row in rows if not row.retranslated} == {Phase.EXIT, Phase.BRANCH_UPDATE, Phase.SLOW_PATH}
    assert rows_of("arm")[-1].disassembly == ".word 0x40000008"  # a literal is data


@every_translator
@every_access
def test_the_listing_agrees_with_the_stores(name: str, access: Access) -> None:
    translator = load_translator(name)
    code = translator.block(0, (access,))
    complete = final(code, translator)
    memory = bytearray(complete)
    units = [write.unit for write in code.writes]
    for write, row in zip(code.writes, rows_of(name, access), strict=True):
        make(write, memory, translator)
        unit = write.unit
        place = slice(unit.offset, unit.offset + unit.size)
        assert row.bytes == memory[place].hex(" ")
        assert (row.offset, row.phase, row.form) == (unit.offset, write.phase, write.form)
        assert row.temporary == (memory[place] != complete[place])
        completed = row.temporary and unit.offset not in code.unfinished  # within a retranslation
        assert row.window == (units[row.order + 1 :].index(unit) if completed else None)


def test_the_listing_needs_a_disassembler() -> None:
    class Elsewhere(arm.Arm2010):
        isa = "pdp-11"

    with pytest.raises(InputError, match="no disassembler for pdp-11"):
        translator = Elsewhere()
        listing(translator, translator.block(0))
