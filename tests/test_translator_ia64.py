"""The ia64 backend: predicated bundles, a guest's branch that keeps its displacement.

Expected bundles and orders are those of QEMU's ``tcg/ia64/tcg-target.c`` at 497aebb99e07.
"""

from __future__ import annotations

import pytest
from decoding import branches, decoded, every_access, finals, follow, order, ways

from bench.support.errors import InputError
from bench.translators import ia64
from bench.translators.instruction import Holds
from bench.translators.registry import load_translator
from bench.translators.translator import Access
from strategies.writes import Form, Phase

IA64 = load_translator("ia64")
AT = 0x2000_0000_0200_0000
GUARD = 16

# The displacement of a branch in the third slot: imm20b is bits 32 to 13 of the slot, s is bit 36 (format B1).
DISPLACEMENT = ((1 << 20) - 1 << 13 | 1 << 36) << 5 + 2 * 41


# --- The block ------------------------------------------------------------------------------------------------------


def lookup(entry: int, onward: int) -> list[str]:
    """tcg_out_qemu_tlb: r2 the entry, then its addend; r56 the address; p6 a hit, p7 a miss."""
    return [
        "[MII] mov r3=-4093; extr.u r2=r34,12,8;; shl r2=r2,5;;",
        f"[MII] addl r2={entry},r2; zxt4 r56=r34;; add r2=r2,r7;;",
        f"[MII] ld4 r57=[r2],{onward}; and r3=r3,r56;; cmp.eq p6,p7=r3,r57;;",
    ]


SPLIT = "[MMI] ld8 r3=[r2],8;; (p6) add r3=r3,r56; (p7) mov b6=r3;;"
LOAD = [
    *lookup(384, 16),
    "[MLX] (p7) mov r57=0; (p7) movl r2=0x6000000000001230;;",
    SPLIT,
    "[MMI] (p6) ld4 r8=[r3]; (p7) ld8 r1=[r2]; nop.i 0x0;;",
    "[MIB] nop.m 0x0; nop.i 0x0; (p7) br.call.sptk.many b0=b6;;",
    "[MII] nop.m 0x0; nop.i 0x0; zxt4 r35=r8;;",
]
STORE = [
    *lookup(388, 12),
    "[MLX] (p7) mov r57=r35; (p7) movl r2=0x6000000000001240;;",
    SPLIT,
    "[MII] (p7) ld8 r1=[r2]; nop.i 0x0;; nop.i 0x0;;",
    "[MIB] (p6) st4 [r3]=r35; (p7) mov r58=0; (p7) br.call.sptk.many b0=b6;;",
]
EXIT = [
    "[MLX] nop.m 0x0; movl r8=0x2000000004000010;;",
    "[MLX] nop.m 0x0; brl.cond.sptk.many 0x6000000000020060;;",
]
COMPARE = "[MII] nop.m 0x0; nop.i 0x0;; cmp4.eq p6,p7=r35,r0;;"
BLOCKS: dict[Access, list[str]] = {"load": LOAD, "store": STORE}


@every_access
def test_every_bundle_is_read_as_meant(access: Access) -> None:
    code = IA64.block(0, (access,))
    assert decoded(IA64, code) == [*BLOCKS[access], *EXIT]
    assert code.rewritten == 16 * len(BLOCKS[access]) == {"load": 128, "store": 112}[access]


@every_access
def test_every_bundle_of_a_guarded_block_is_read_as_meant(access: Access) -> None:
    code = IA64.block(0, (access,), guarded=True)
    label = AT + 32 + 16 * len(BLOCKS[access])
    branch = f"[MMB] nop.m 0x0; nop.m 0x0; (p6) br.cond.dptk.few {label:#x};;"
    assert decoded(IA64, code) == [COMPARE, branch, *BLOCKS[access], *EXIT]


@every_access
def test_an_access_is_stored_once_in_order_and_has_no_branch(access: Access) -> None:
    code = IA64.block(0, (access,))
    assert order(code) == list(range(0, code.size, 16))
    assert all(write.complete and write.form is Form.WHOLE for write in code.writes)
    assert not {Phase.BRANCH, Phase.BRANCH_UPDATE} & {write.phase for write in code.writes}
    assert code.unfinished == frozenset()


@every_access
def test_the_guests_branch_keeps_its_displacement(access: Access) -> None:
    code = IA64.block(0, (access,), guarded=True)
    bundles = len(BLOCKS[access])
    compare = code.writes[0]
    assert (compare.unit.offset, compare.complete, compare.phase) == (0, True, Phase.GUEST_BRANCH)
    begun = finals(code)[GUARD] & ~DISPLACEMENT
    assert branches(code) == [
        (Phase.GUEST_BRANCH, GUARD, Form.READ_BACK, (1 << 128) - 1 & ~DISPLACEMENT, begun, 0),
        (Phase.BRANCH_UPDATE, GUARD, Form.READ_BACK, DISPLACEMENT, bundles + 1 << 87 + 13, 0),
    ]
    label = 32 + 16 * bundles
    assert order(code) == [*range(0, label, 16), GUARD, *range(label, code.size, 16)]
    assert (code.rewritten, code.unfinished) == (label, frozenset({GUARD}))
    assert all(write.in_form(IA64.shipped_form).form is write.form for write in code.writes)


def test_destinations() -> None:
    code = IA64.block(0, ("load", "store"), guarded=True)
    words = finals(code)
    ahead = 16 + 128 + 112
    assert IA64.destination(words.pop(GUARD)) == ahead
    last = code.size - 16
    assert IA64.destination(words.pop(last)) == ia64.EPILOGUE - (AT + last)
    assert {IA64.destination(word) for word in words.values()} == {None}
    branch = finals(code)[GUARD]
    assert IA64.destination(branch & ~DISPLACEMENT) == 0
    assert IA64.destination(branch | DISPLACEMENT) == -16
    assert IA64.destination(0) is None


# --- Following ------------------------------------------------------------------------------------------------------


@every_access
def test_hit_and_miss_fetch_the_same_bundles(access: Access) -> None:
    code = IA64.block(0, (access,))
    whole = tuple(range(0, code.size, 16))
    assert ways(code) == [("hit", whole), ("miss", whole), ("fault", tuple(range(0, 112, 16)))]


def test_the_guests_condition_skips_the_access() -> None:
    assert ways(IA64.block(0, ("store",), guarded=True))[-1] == ("skip", (0, 16, 144, 160))


@every_access
def test_a_bundle_makes_the_access_on_a_hit_and_the_call_on_a_miss(access: Access) -> None:
    code = IA64.block(0, (access,))
    assert dict(follow(IA64, code, "hit").registers)["r3"] == Holds.HOST_ADDRESS
    (call,) = follow(IA64, code, "miss").calls
    assert call.offset == 96
    value = (("r57", Holds.VALUE), ("r58", Holds.MEMORY_INDEX)) if access == "store" else (("r57", Holds.MEMORY_INDEX),)
    assert call.needs == (("r56", Holds.ADDRESS), *value)


def test_a_wrong_guest_branch() -> None:
    """Without its displacement it leads to itself; that is why the backend keeps it."""
    code = IA64.block(0, guarded=True)
    alone = finals(code)[GUARD] & ~DISPLACEMENT
    assert follow(IA64, code, "skip", wrong={GUARD: alone}).ends == "loop"
    assert follow(IA64, code, "hit", wrong={GUARD: alone}).ends == "exit"
    into_the_access = alone | 5 << 87 + 13  # the call, before the address is set
    (call,) = follow(IA64, code, "skip", "miss", wrong={GUARD: into_the_access}).calls
    assert call.holds == (Holds.UNKNOWN, Holds.UNKNOWN)
    assert follow(IA64, code, "skip", wrong={GUARD: 0}).ends == "illegal"


# --- Bad input ------------------------------------------------------------------------------------------------------


def test_a_wider_guest_is_not_modelled() -> None:
    with pytest.raises(InputError, match="ia64@2010 for a 64-bit guest"):
        IA64.block(0, ("load",), guest_bits=64)
