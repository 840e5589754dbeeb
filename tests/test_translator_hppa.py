"""The hppa backend: branches that keep their displacement and nullify what follows.

Expected words and orders are those of QEMU's ``tcg/hppa/tcg-target.c`` at 497aebb99e07.
"""

from __future__ import annotations

import pytest
from decoding import branches, decoded, every_access, finals, follow, order, ways, windows, words

from bench.support.errors import InputError
from bench.translators.instruction import Holds
from bench.translators.registry import load_translator
from bench.translators.translator import Access
from strategies.writes import Form, Phase

HPPA = load_translator("hppa")
AT = 0x4100_0000

# What QEMU's backend reads back and patch_reloc replaces.
KEPT_12, KEPT_17 = 0x1FFD, 0x1F1FFD


# --- The block ------------------------------------------------------------------------------------------------------


def operation(access: Access, start: int) -> list[str]:
    """tcg_out_tlb_read, then the hit, a branch over the miss, and the miss."""
    entry = {"load": "0x174", "store": "0x178"}[access]
    miss, end = {"load": (40, 64), "store": (44, 68)}[access]
    return [
        "extrw,u r4,19,8,r25", "depw,z r25,27,28,r25", "add,l r25,r17,r25", f"ldw {entry}(r25),r20",
        "copy r4,r26", "depwi 0,29,10,r26", f"cmpb,<>,n r26,r20,{start + miss:#x}", "ldw 0x180(r25),r20",
        *(["ldw r20(r4),r5"] if access == "load" else ["add,l r4,r20,r31", "stw r5,0x0(r31)"]),
        f"b,l,n {start + end:#x},r0", "copy r4,r26",
        *(["ldi 0,r25", "ldil L%0x100000,r20"] if access == "load" else
          ["copy r5,r25", "ldi 0,r24", "ldil L%0x101000,r20"]),
        "be,l 0x230(sr4,r20),sr0,r31", "copy r31,rp",
        *(["copy ret0,r5"] if access == "load" else []),
    ]


EXIT = ["ldil L%0x42000000,ret0", "bv r0(r18)", "ldo 0x8(ret0),ret0"]


@every_access
def test_every_word_is_read_as_meant(access: Access) -> None:
    code = HPPA.block(0, (access,))
    assert decoded(HPPA, code) == [*operation(access, AT), *EXIT]
    assert code.rewritten == {"load": 16, "store": 17}[access] * 4


@every_access
def test_every_word_of_a_guarded_block_is_read_as_meant(access: Access) -> None:
    code = HPPA.block(0, (access,), guarded=True)
    label = AT + code.rewritten
    assert decoded(HPPA, code) == [f"cmpib,=,n 0,r5,{label:#x}", *operation(access, AT + 4), *EXIT]


# Of the two branches of an access: where they are, how far they lead, and how many stores later they are complete.
BRANCHES: dict[Access, list[tuple[int, int, int]]] = {
    "load": [(24, 16, 3), (36, 28, 7)],
    "store": [(24, 20, 4), (40, 28, 7)],
}


@every_access
def test_both_branches_keep_their_displacement_until_their_label_is_bound(access: Access) -> None:
    code = HPPA.block(0, (access,))
    shipped = HPPA.shipped_form
    assert shipped is Form.READ_BACK
    found = {at: [store for store in branches(code) if store[1] == at] for _, at, *_ in branches(code)}
    assert list(found) == [at for at, _, _ in BRANCHES[access]]
    for (at, distance, _), kept in zip(BRANCHES[access], (KEPT_12, KEPT_17), strict=True):
        final = finals(code)[at]
        assert found[at] == [
            (Phase.BRANCH, at, shipped, 0xFFFF_FFFF & ~kept, final & ~kept, 0),
            (Phase.BRANCH_UPDATE, at, shipped, kept, final & kept, 0),
        ]
        assert HPPA.destination(final) == distance
    assert windows(code) == {at: stores for at, _, stores in BRANCHES[access]}
    others = [write for write in code.writes if write.unit.offset not in found]
    assert all(write.complete and write.form is Form.WHOLE for write in others)


def test_the_order_of_the_stores() -> None:
    assert order(HPPA.block(0)) == [*words((0, 9)), 4 * 6, *words((10, 15)), 4 * 9, *words((16, 18))]


@every_access
def test_the_guests_branch_keeps_its_displacement(access: Access) -> None:
    code = HPPA.block(0, (access,), guarded=True)
    final = finals(code)[0]
    assert [store for store in branches(code) if store[1] == 0] == [
        (Phase.GUEST_BRANCH, 0, Form.READ_BACK, 0xFFFF_FFFF & ~KEPT_12, final & ~KEPT_12, 0),
        (Phase.BRANCH_UPDATE, 0, Form.READ_BACK, KEPT_12, final & KEPT_12, 0),
    ]
    assert HPPA.destination(final) == code.rewritten
    assert code.unfinished == {0}
    assert HPPA.block(0, (access,)).unfinished == frozenset()


def test_destinations() -> None:
    code = HPPA.block(0, guarded=True)
    final = finals(code)
    found = {offset: HPPA.destination(word) for offset, word in final.items()}
    assert {offset: there for offset, there in found.items() if there is not None} == {0: 68, 28: 16, 40: 28}
    # Displacement 0 is the second instruction ahead, behind the delay slot; w, the lowest bit, is the sign.
    for offset, kept in ((0, KEPT_12), (28, KEPT_12), (40, KEPT_17)):
        assert HPPA.destination(final[offset] & ~kept) == 8
        assert HPPA.destination(final[offset] | kept) == 4
        assert HPPA.destination(final[offset] & ~kept | 1) == 8 - {KEPT_12: 1 << 13, KEPT_17: 1 << 18}[kept]
    assert HPPA.destination(0) is None


# --- Following ------------------------------------------------------------------------------------------------------


def test_a_taken_branch_fetches_its_delay_slot() -> None:
    leave = (17, 19)
    assert ways(HPPA.block(0, guarded=True)) == [
        ("hit", words((0, 11), leave)), ("miss", words((0, 8), (11, 16), leave)), ("fault", words((0, 8), (11, 15))),
        ("skip", words((0, 1), leave)),
    ]


@every_access
def test_what_a_nullified_instruction_would_do_is_not_done(access: Access) -> None:
    code = HPPA.block(0, (access,))
    hit, miss = follow(HPPA, code, "hit"), follow(HPPA, code, "miss")
    # The slot of the branch over the slow path would set the argument r26, that of the other one r20.
    assert dict(hit.registers)["r26"] == Holds.EXPECTED
    assert dict(hit.registers)["r20"] == Holds.ADDEND
    assert dict(follow(HPPA, code, "miss", faults=True).registers)["r20"] == Holds.CONSTANT
    (call,) = miss.calls
    assert call.offset == {"load": 52, "store": 60}[access]
    value = (("r25", Holds.VALUE), ("r24", Holds.MEMORY_INDEX)) if access == "store" else (("r25", Holds.MEMORY_INDEX),)
    assert call.needs == (("r26", Holds.ADDRESS), *value)
    assert dict(miss.registers)["rp"] == Holds.RETURN_ADDRESS


def test_the_guests_condition_nullifies_the_first_instruction_of_the_access() -> None:
    skip = follow(HPPA, HPPA.block(0, guarded=True), "skip")
    assert skip.ends == "exit"
    assert "r25" not in dict(skip.registers)


@every_access
def test_a_wrong_branch_to_the_slow_path(access: Access) -> None:
    """With displacement 0, as before April 2010, a miss skips the addend and makes the access with the tag instead."""
    code = HPPA.block(0, (access,))
    wrong = {24: finals(code)[24] & ~KEPT_12}
    miss = follow(HPPA, code, "miss", wrong=wrong)
    assert (miss.ends, miss.accessed, miss.calls) == ("exit", 1, ())
    assert dict(miss.registers)["r20"] == Holds.TAG
    assert follow(HPPA, code, "hit", wrong=wrong) == follow(HPPA, code, "hit")


@every_access
def test_a_wrong_branch_over_the_slow_path(access: Access) -> None:
    """With displacement 0 a hit falls into the slow path behind its first instruction, the address of the helper's."""
    code = HPPA.block(0, (access,))
    (_, _, _), (offset, _, _) = BRANCHES[access]
    (call,) = follow(HPPA, code, "hit", wrong={offset: finals(code)[offset] & ~KEPT_17}).calls
    assert not call.right
    assert call.holds[0] == Holds.EXPECTED
    assert follow(HPPA, code, "hit", wrong={offset: 0}).ends == "illegal"


# --- Bad input ------------------------------------------------------------------------------------------------------


def test_a_guard_beyond_the_reach_of_its_branch_is_refused() -> None:
    most = 8192 // 64
    assert HPPA.destination(finals(HPPA.block(0, ["load"] * most, guarded=True))[0]) == 4 + 8192
    with pytest.raises(InputError, match="a condition that skips 8256 bytes of hppa; expected at most 8192"):
        HPPA.block(0, ["load"] * (most + 1), guarded=True)
