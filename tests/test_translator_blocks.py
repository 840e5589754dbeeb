"""Every block of every backend as text: what is stored, when, in which form, where control goes, and what goes wrong.

``tests/expected/translators`` was read against QEMU's ``tcg/*/tcg-target.c`` at the commits that the backends' files
name, line by line, and is read again wherever it changes.  What the words mean is capstone's to say; the ways and the
consequences are held against an emulator that executes the blocks (``test_autopsy.py``).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import pytest
from conftest import Pinned
from decoding import decoded, disassemble, follow, target

from bench.support.errors import InputError
from bench.translators import powerpc, ppc, ppc64
from bench.translators.consequence import consequences
from bench.translators.instruction import Holds
from bench.translators.listing import listing
from bench.translators.registry import load_translator, translator_names
from bench.translators.translator import Code, Translator
from strategies.writes import Phase, Write

every_translator = pytest.mark.parametrize("name", translator_names())


def blocks(translator: Translator) -> Iterator[tuple[str, Code]]:
    """Every shape of block with one access, by name; the guest's condition before a load only."""
    for bits in (32, 64) if translator.wide_guest else (32,):
        for access, guarded in (("load", False), ("store", False), ("load", True)):
            shape = f"{'guarded ' * guarded}{access}, {bits}-bit guest"
            yield shape, translator.block(0, (access,), guarded=guarded, guest_bits=bits)


def spans(offsets: Iterable[int], code: Code) -> str:
    """Offsets fetched, those that follow each other in memory as one span."""
    after = {unit.offset: unit.offset + unit.size for unit in code.whole}
    runs: list[list[int]] = []
    for at in offsets:
        if runs and after[runs[-1][1]] == at:
            runs[-1][1] = at
        else:
            runs.append([at, at])
    return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def told(translator: Translator, code: Code) -> Iterator[str]:
    """A block in lines: stores in time, those of a phase together."""
    yield f"{code.size} bytes, {code.rewritten} rewritten in {len(code.retranslated.writes)} stores"
    stores = zip(code.writes, listing(translator, code).rows, strict=True)
    for phase, some in itertools.groupby(stores, lambda store: store[0].phase):
        yield f"{phase}: " + " | ".join(
            f"{row.offset} {row.disassembly}"
            + (f" ({row.form} {write.known:x})" if not write.complete else "")
            + (" [left]" if row.temporary and row.window is None else f" [{row.window} stores]" * row.temporary)
            for write, row in some
        )
    for path in code.paths:
        yield f"{path.name}: fetches {spans(path.offsets, code)}"
    calls = {part.needs: None for placed in code.placed for part in placed.instruction.parts if part.does == "call"}
    for needs in calls:
        yield "the helper gets " + ", ".join(f"{register} = {what}" for register, what in needs)
    for write in begun(code):
        value = write.value | write.temporary
        for one in consequences(translator, code, write.unit.offset, value):
            yield f"{value:x} at {write.unit.offset}, {one.when}: {one.harm}: {one.what}"


def begun(code: Code) -> list[Write]:
    """The branches as they are begun: where no form keeps what was there, that is what a core may fetch."""
    return [write for write in code.writes if not write.complete and write.phase in (Phase.BRANCH, Phase.GUEST_BRANCH)]


@every_translator
def test_every_block_is_as_it_was_read(name: str, pinned: Pinned) -> None:
    translator = load_translator(name)
    parts = (f"[{shape}]\n" + "\n".join(told(translator, code)) for shape, code in blocks(translator))
    several = translator.block(0, ("load", "store", "load"))
    updates = [str(write.unit.offset) for write in several.writes if write.phase is Phase.BRANCH_UPDATE]
    about = f"{translator.byteorder}-endian, {translator.host_bits} bits, at {translator.buffer:#x}"
    order = f"branches of load, store, load are completed in the order {' '.join(updates)}"
    pinned.compare(f"translators/{name}.txt", "\n\n".join((about, order, *parts)) + "\n")


@every_translator
def test_a_branch_leads_where_the_disassembler_says(name: str) -> None:
    translator = load_translator(name)
    for _, code in blocks(translator):
        for unit in {write.unit for write in begun(code)}:
            assert translator.destination(unit.final) == target(translator, code, unit)


# --- What no block of one access shows ------------------------------------------------------------------------------


def test_addresses_of_the_prologues_of_later_versions_of_powerpc() -> None:
    """2012: 24 words up to the epilogue, which has 22; then trampolines of 8 words for bytes, halfwords, words.

    2013: a descriptor and 24 words: mflr, stdu, 18 stores of registers, std, mr, mtctr, bctr.
    """
    prologue = 0x4900_0000 + 32 * 1024 * 1024 - 1024
    assert prologue + 96 == ppc.EPILOGUE_2012
    assert [prologue + 96 + 88 + n * 32 for n in (4, 5)] == [ppc.TRAMPOLINES["load"], ppc.TRAMPOLINES["store"]]
    assert ppc64.EPILOGUE_2013 == 0x0FFF_B000_0000 + 32 * 1024 * 1024 - 1024 + 24 + 96


def test_a_descriptor_in_the_upper_half_of_64_kib_is_reached_from_above(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ppc64.DESCRIPTORS, "load", 0x1065_9AB0)
    translator = load_translator("ppc64@2013")
    text = decoded(translator, translator.block(0))
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
def test_a_constant_takes_as_many_words_of_powerpc_as_it_needs(value: int, words: list[str]) -> None:
    loaded = powerpc.constant(3, value, Holds.BLOCK)
    assert [disassemble(load_translator("ppc64"), part.word.to_bytes(4, "big")) for part in loaded] == words
    assert [part.sets[-1] for part in loaded] == [("r3", Holds.CONSTANT)] * (len(words) - 1) + [("r3", Holds.BLOCK)]


@pytest.mark.parametrize(
    ("distance", "words"), [((1 << 25) - 4, 1), (-(1 << 25), 1), (1 << 25, 4), (-(1 << 25) - 4, 4)]
)
def test_a_jump_of_powerpc_out_of_reach_takes_the_count_register(distance: int, words: int) -> None:
    *_, last = parts = powerpc.jump(0x1234_5678, 0x1234_5678 + distance)
    assert len(parts) == words
    assert last.word == (powerpc.to(0x4800_0000, distance) if words == 1 else 0x4E80_0420)


def test_two_stores_of_arm_return_each_to_its_own_place() -> None:
    paths = load_translator("arm@2014").block(0, ("store", "store")).paths
    first = (*range(0, 40, 4), *range(92, 124, 4))
    assert paths[-2].offsets == (*first, *range(40, 80, 4), *range(124, 156, 4), 80, 84, 88)


def test_a_helper_entered_without_the_branch_returns_nobody_knows_where() -> None:
    """A guard with a wrong offset leads into the slow path of the store: lr is of before."""
    translator = load_translator("arm@2014")
    skip = follow(translator, translator.block(0, ("store",), guarded=True), "skip", wrong={4: 0x0A00_000C})
    (call,) = skip.calls
    assert dict(zip((name for name, _ in call.needs), call.holds, strict=True))["[sp]"] == Holds.UNKNOWN
    assert (skip.ends, skip.offsets[:3]) == ("outside", (0, 4, 60))


@pytest.mark.parametrize("name", ["x86-64", "ia64", "arm"])
def test_a_wider_guest_is_modelled_where_it_changes_the_branches(name: str) -> None:
    with pytest.raises(InputError, match=f"{name}@2010 for a 64-bit guest; expected 32"):
        load_translator(name).block(0, ("load",), guest_bits=64)


def test_another_place_in_the_buffer_would_give_mips_another_temporary() -> None:
    """Backward, where the low half of the address has its top bit set; never to itself, as addresses are even."""
    mips = load_translator("mips@2010")
    assert mips.destination(0x1028_0000 | 0x9018) == 4 + 4 * (0x9018 - 0x1_0000)
    assert all(mips.destination(0x1028_0000 | low) != 0 for low in range(0, 0x1_0000, 4))


def test_a_guard_of_hppa_beyond_the_reach_of_its_branch_is_refused() -> None:
    hppa, most = load_translator("hppa"), 8192 // 64
    guard = next(iter(hppa.block(0, ["load"] * most, guarded=True).whole))
    assert hppa.destination(guard.final) == 4 + 8192
    with pytest.raises(InputError, match="a condition that skips 8256 bytes of hppa; expected at most 8192"):
        hppa.block(0, ["load"] * (most + 1), guarded=True)
