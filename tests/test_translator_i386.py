"""i386@2010: short branches begun by their opcode byte; one more of them for a 64-bit guest address.

Expected bytes are those of the 32-bit side of QEMU's ``tcg/i386/tcg-target.c`` at 497aebb99e07, and of
Intel's manual.
"""

from __future__ import annotations

import pytest
from decoding import branches, decoded, follow, order, target, ways

from bench.support.errors import InputError
from bench.translators.instruction import Holds
from bench.translators.registry import load_translator
from bench.translators.translator import Access, GuestBits
from strategies.writes import Form, Phase

I386 = load_translator("i386")


def look_up(table: str, bits: int, mask: str) -> list[str]:
    return [
        "mov edx, ebx", "mov eax, ebx", f"shr edx, {bits}", "and eax, 0xfffff003", f"and edx, {mask}",
        f"lea edx, [ebp + edx + {table}]", "cmp eax, dword ptr [edx]", "mov eax, ebx",
    ]


EXIT = ["mov eax, 0xb2800008", "jmp 0x8800000"]
LISTINGS: dict[tuple[Access, GuestBits], list[str]] = {
    ("load", 32): [
        *look_up("0x178", 8, "0xff0"), "jne 0xb4000027", "add eax, dword ptr [edx + 0xc]",
        "mov esi, dword ptr [eax]", "jmp 0xb4000030", "xor edx, edx", "call 0x8100000", "mov esi, eax", *EXIT,
    ],
    ("store", 32): [
        *look_up("0x17c", 8, "0xff0"), "jne 0xb4000027", "add eax, dword ptr [edx + 8]",
        "mov dword ptr [eax], esi", "jmp 0xb4000030", "mov edx, esi", "xor ecx, ecx", "call 0x8101000", *EXIT,
    ],
    ("load", 64): [
        *look_up("0x1f84", 7, "0x1fe0"), "jne 0xb400002c", "cmp edi, dword ptr [edx + 4]", "jne 0xb400002c",
        "add eax, dword ptr [edx + 0x18]", "mov esi, dword ptr [eax]", "jmp 0xb4000037",
        "mov edx, edi", "xor ecx, ecx", "call 0x8100000", "mov esi, eax", *EXIT,
    ],
    ("store", 64): [
        *look_up("0x1f8c", 7, "0x1fe0"), "jne 0xb400002c", "cmp edi, dword ptr [edx + 4]", "jne 0xb400002c",
        "add eax, dword ptr [edx + 0x10]", "mov dword ptr [eax], esi", "jmp 0xb4000038",
        "mov edx, edi", "mov ecx, esi", "push 0", "call 0x8101000", "pop ecx", *EXIT,
    ],
}
BRANCHES: dict[tuple[Access, GuestBits], dict[int, int]] = {
    ("load", 32): {30: 0x0775, 37: 0x09EB},
    ("store", 32): {30: 0x0775, 37: 0x09EB},
    ("load", 64): {30: 0x0C75, 35: 0x0775, 42: 0x0BEB},
    ("store", 64): {30: 0x0C75, 35: 0x0775, 42: 0x0CEB},
}
"""The final words of the branches, by their offset: the displacement is the high byte."""
SIZES = {("load", 32): 48, ("store", 32): 48, ("load", 64): 55, ("store", 64): 56}

every_case = pytest.mark.parametrize(("access", "guest_bits"), LISTINGS)


@every_case
def test_capstone_reads_every_instruction_as_meant(access: Access, guest_bits: GuestBits) -> None:
    code = I386.block(0, (access,), guest_bits=guest_bits)
    assert decoded(I386, code) == LISTINGS[access, guest_bits]
    assert (code.rewritten, code.size) == (SIZES[access, guest_bits], SIZES[access, guest_bits] + 10)


@every_case
def test_branches_are_begun_by_their_opcode_and_bound_by_their_displacement(
    access: Access, guest_bits: GuestBits
) -> None:
    code = I386.block(0, (access,), guest_bits=guest_bits)
    finals = BRANCHES[access, guest_bits]
    begun = [(Phase.BRANCH, at, Form.SKIP_BYTES, 0x00FF, word & 0xFF, 0) for at, word in finals.items()]
    bound = [(Phase.BRANCH_UPDATE, at, Form.SKIP_BYTES, 0xFF00, word & 0xFF00, 0) for at, word in finals.items()]
    assert branches(code) == begun + bound
    for at, word in finals.items():
        assert I386.destination(word) == target(I386, code, at, word) == 2 + (word >> 8)
    assert code.unfinished == frozenset()
    assert {unit.shipped_form for unit in code.whole} == {Form.SKIP_BYTES}


def test_the_order_of_the_stores() -> None:
    look = [0, 2, 4, 7, 13, 19, 26, 28, 30]
    assert order(I386.block(0, ("load",))) == [*look, 32, 35, 37, 30, 39, 41, 46, 37, 48, 53]
    assert order(I386.block(0, ("store",), guest_bits=64)) == [
        *look, 32, 35, 37, 40, 42, 30, 35, 44, 46, 48, 50, 55, 42, 56, 61,
    ]


@every_case
def test_a_guard_skips_by_a_long_branch(access: Access, guest_bits: GuestBits) -> None:
    code = I386.block(0, (access,), guarded=True, guest_bits=guest_bits)
    size = SIZES[access, guest_bits]
    assert decoded(I386, code)[:2] == ["test esi, esi", f"je {0xB400_0008 + size:#x}"]
    assert branches(code)[0] == (Phase.GUEST_BRANCH, 2, Form.SKIP_BYTES, 0xFFFF, 0x840F, 0)
    assert branches(code)[-1] == (Phase.BRANCH_UPDATE, 2, Form.SKIP_BYTES, 0xFFFF_FFFF_0000, size << 16, 0)
    assert I386.destination(0x840F | size << 16) == target(I386, code, 2, 0x840F | size << 16) == 6 + size
    assert code.unfinished == {2}
    assert ways(code)[-1] == ("skip", (0, 2, 8 + size, 13 + size))


def test_paths_of_a_load_and_what_the_helper_is_told() -> None:
    code = I386.block(0, ("load",))
    look = (0, 2, 4, 7, 13, 19, 26, 28, 30)
    assert ways(code) == [
        ("hit", (*look, 32, 35, 37, 48, 53)), ("miss", (*look, 39, 41, 46, 48, 53)), ("fault", (*look, 39, 41)),
    ]
    miss = follow(I386, code, "miss")
    (call,) = miss.calls
    assert dict(call.needs) == {"eax": Holds.ADDRESS, "edx": Holds.MEMORY_INDEX}
    assert call.right
    assert dict(miss.registers)["esi"] == Holds.VALUE


def test_a_64_bit_address_misses_in_either_half() -> None:
    code = I386.block(0, ("store",), guest_bits=64)
    look, slow = (0, 2, 4, 7, 13, 19, 26, 28, 30), (44, 46, 48, 50)
    assert ways(code) == [
        ("hit", (*look, 32, 35, 37, 40, 42, 56, 61)), ("miss", (*look, *slow, 55, 56, 61)),
        ("miss", (*look, 32, 35, *slow, 55, 56, 61)), ("fault", (*look, *slow)), ("fault", (*look, 32, 35, *slow)),
    ]
    (call,) = follow(I386, code, "miss", "high differs").calls
    assert dict(call.needs) == {
        "eax": Holds.ADDRESS, "edx": Holds.ADDRESS_HIGH, "ecx": Holds.VALUE, "[esp]": Holds.MEMORY_INDEX,
    }
    assert call.right


def test_wrong_words_at_the_branches() -> None:
    """Displacement 0 goes on with the fast path; into the middle of the slow path, the helper is told wrongly."""
    code = I386.block(0)
    miss = follow(I386, code, "miss", wrong={30: 0x0075})
    assert (miss.ends, miss.accessed, miss.calls) == ("exit", 1, ())
    (call,) = follow(I386, code, "miss", wrong={30: 0x0975}).calls
    assert call.holds == (Holds.ADDRESS, Holds.ENTRY)
    (call,) = follow(I386, code, "hit", wrong={37: 0x00EB}).calls
    assert call.holds == (Holds.HOST_ADDRESS, Holds.MEMORY_INDEX)
    assert follow(I386, code, "hit", wrong={37: 0xFEEB}).ends == "loop"


def test_the_64_bit_side_has_no_64_bit_guest_of_its_own() -> None:
    with pytest.raises(InputError, match="expected 32"):
        load_translator("x86-64").block(0, ("load",), guest_bits=64)
