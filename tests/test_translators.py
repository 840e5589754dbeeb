"""Translators: the encodings against capstone, the order of the stores, what each version leaves in memory.

Expected words, distances and orders are those of QEMU's own source at the
commits that the translators' files name.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import pytest
from decoding import disassemble, every_access, follow
from hypothesis import given
from hypothesis import strategies as st

from bench.support.errors import InputError
from bench.translators import arm
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

DECODED = [name for name in translator_names() if load_translator(name).isa not in ("hppa", "ia64")]
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


@every_access
def test_the_fix_of_2011_leaves_the_code_as_it_was(access: Access) -> None:
    old, new = load_translator("arm@2010"), load_translator("arm@2011")
    assert final(old.block(0, (access,)), old) == final(new.block(0, (access,)), new)


def branch_writes(code: Code) -> list[Write]:
    return [write for write in code.retranslated.writes if write.phase in (Phase.BRANCH, Phase.BRANCH_UPDATE)]


@given(some_accesses)
def test_shipped_form_on_arm_of_2010_is_arm_of_2011(accesses: list[Access]) -> None:
    old = load_translator("arm@2010").block(0, accesses).writes
    assert [write.in_form(write.unit.shipped_form) for write in old] == list(
        load_translator("arm@2011").block(0, accesses).writes
    )


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
