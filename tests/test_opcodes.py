"""Instructions by their encodings, against Capstone; what architectures say of changing them, against their words."""

from __future__ import annotations

import itertools
import random

import capstone as cs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.machine.architecture import RULES
from bench.machine.opcodes import (
    KINDS,
    OTHER,
    Concurrent,
    EncodedInstruction,
    family,
    instruction,
    is_defined,
    read_instruction,
)

ENGINES = {
    "aarch64": cs.Cs(cs.CS_ARCH_ARM64, cs.CS_MODE_ARM),
    "arm": cs.Cs(cs.CS_ARCH_ARM, cs.CS_MODE_ARM | cs.CS_MODE_V8),
    "thumb": cs.Cs(cs.CS_ARCH_ARM, cs.CS_MODE_THUMB),
    "ppc": cs.Cs(cs.CS_ARCH_PPC, cs.CS_MODE_64 | cs.CS_MODE_BIG_ENDIAN),
}
CONDITIONS = "eq ne hs lo mi pl vs vc hi ls ge lt gt le al nv".split()
SPELLED = {
    "aarch64": {f"b.{condition}": "b.cond" for condition in CONDITIONS},
    "arm": {name + condition: name for condition in CONDITIONS for name in ("b", "bl", "svc", "smc", "nop")},
    "thumb": {f"b{condition}": "b" for condition in CONDITIONS} | {"svc": "svc"},
    "ppc": {"ba": "b", "bl": "b", "bla": "b"},
}
"""Capstone's names of what a list has under another one."""


def named(isa: str, code: bytes) -> str | None:
    """The class of an instruction by Capstone's disassembly; None where that knows none."""
    found = next(ENGINES[isa].disasm(code, 0x1000, 1), None)
    if found is None or found.size != len(code):
        return None
    name = SPELLED[isa].get(found.mnemonic, found.mnemonic)
    if isa == "arm" and name in ("hvc", "bkpt") and code[3] >> 4 != 0xE:
        return None  # unpredictable with a condition
    if isa == "arm" and (name, found.op_str.startswith("#")) == ("blx", False):
        return OTHER  # by register
    return name if name in KINDS[isa] else OTHER


# One word of each class, whose operands are then drawn: random words alone are seldom a NOP.
NEAR = {
    "aarch64": "14000000 94000000 54000000 34000000 35000000 36000000 37000000 d503201f d5033fdf d4200000 d4000001 "
    "d4000002 d4000003 d4400000 58000000 d61f0000 d503203f d50330bf 54000010",
    "arm": "ea000000 eb000000 fa000000 e320f000 e1200070 ef000000 e1400070 e1600070 e12fff30 e1a00000 e59ff000 "
    "f57ff06f",
    "thumb": "e000 d000 de00 df00 bf00 be00 bf10 4780 4800",
    "ppc": "48000000 60000000 7fe903a6 40000000 4e800420 60000001",
}


@pytest.mark.parametrize("isa", NEAR)
def test_a_class_is_what_capstone_says(isa: str) -> None:
    rng = random.Random(1)
    seen = set()
    words = NEAR[isa].split()
    size = len(words[0]) // 2
    for word in words * 150:
        value = (
            int(word, 16) ^ (1 << rng.randrange(8 * size)) * rng.randrange(2) ^ rng.getrandbits(8) * rng.randrange(2)
        )
        code = value.to_bytes(size, "big" if isa == "ppc" else "little")
        expected = named(isa, code)
        if expected is not None:
            assert instruction(isa, code).kind == expected, (word, f"{value:x}")
            seen.add(expected)
    assert seen == {*KINDS[isa]}


def test_an_encoding_is_read_as_a_manual_writes_it() -> None:
    assert read_instruction("aarch64", "14000001") == EncodedInstruction("aarch64", "b", b"\1\0\0\x14")
    assert read_instruction("ppc", "60000000") == EncodedInstruction("ppc", "nop", b"\x60\0\0\0")
    assert read_instruction("x86", "e9 00000010") == EncodedInstruction("x86", OTHER, b"\xe9\0\0\0\x10")
    assert read_instruction("thumb", "f000b800") == EncodedInstruction("thumb", OTHER, b"\0\xf0\0\xb8")
    assert read_instruction("s390", "c0f400000010") == EncodedInstruction("s390", OTHER, b"\xc0\xf4\0\0\0\x10")
    assert read_instruction("aarch64", "nop") == EncodedInstruction("aarch64", "nop")
    for isa, text in (("aarch64", "1400"), ("aarch64", "ldr"), ("s390", "07"), ("riscv", "b"), ("arm", "zz")):
        assert read_instruction(isa, text) is None, text
    assert [family(isa) for isa in ("armv7 Thumb-2", "armv6 VIPT", "arm64", "mips", "ppc64 POWER4")] == [
        *("thumb", "arm", "aarch64", "", "ppc")
    ]


def defined(name: str, isa: str, old: str, new: str, address: int = 0) -> bool:
    concurrent = RULES[name].concurrent
    assert concurrent is not None
    values = [read_instruction(isa, text) for text in (old, new)]
    assert None not in values
    return is_defined(concurrent, values, address, values[0].size if values[0] else 4)


LINKING = [  # the exits of block linking, and whether their architecture covers the change
    ("armv8", "aarch64", "14000001", "14000100", 0, True),  # QEMU 2013-2017: b, b
    ("armv8", "aarch64", "d503201f", "9000001e", 0, False),  # 2.10-7.2: the second word of b, nop and adrp, add
    ("armv8", "aarch64", "14000001", "58000010", 0, False),  # 8.0: b, ldr literal
    ("armv8", "arm", "ea000001", "e320f000", 0, True),  # 8.0: b, nop
    ("armv8", "arm", "ea000001", "e1a00000", 0, False),  # with mov r0,r0 for a nop
    ("armv8", "aarch64", "54000040", "54000080", 0, True),  # DynamoRIO: the offset of b.cond
    ("armv8", "aarch64", "a9be03e0", "14000001", 0, False),  # DynamoRIO: stp, b
    ("power", "ppc", "7fe903a6", "48000010", 0, False),  # QEMU 8.0: mtctr, b
    ("power", "ppc", "60000000", "48000010", 0, True),  # 8.2: nop, b
    ("x86-amd", "x86", "e900000000", "e910000000", 3, True),  # 2.7: the displacement is aligned
    ("x86-amd", "x86", "e900000000", "e910203040", 4, False),  # 2010: it crosses a quadword
    ("x86-intel", "x86", "e900000000", "e910000000", 3, False),
    ("s390", "s390", "c0f400000000", "c0f400000010", 2, True),  # one byte
    ("s390", "s390", "c0f400000000", "c0f400001010", 2, False),
    ("s390", "s390", "c00400000010", "c0f400000010", 2, True),  # Linux 2021: the mask alone
    ("riscv", "riscv", "00000013", "0040006f", 0, False),
    ("riscv-ziccif", "riscv", "00000013", "0040006f", 0, True),  # QEMU 8.0: nop, jal
    ("riscv-ziccif", "riscv", "00000013", "0040006f", 2, False),  # behind a compressed instruction
    ("riscv-ziccif", "riscv", "00000013", "8082", 0, False),
]


@pytest.mark.parametrize(("name", "isa", "old", "new", "address", "expected"), LINKING)
def test_what_an_architecture_says_of_an_exit(
    name: str, isa: str, old: str, new: str, address: int, expected: bool
) -> None:
    assert defined(name, isa, old, new, address) is expected
    assert defined(name, isa, new, old, address) is expected


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=6), min_size=2, max_size=3), st.integers(0, 16))
def test_what_is_not_known_is_not_defined_and_more_values_are_defined_less(codes: list[bytes], address: int) -> None:
    known = [EncodedInstruction("x86", OTHER, code) for code in codes]
    for concurrent in Concurrent:
        if concurrent is not Concurrent.QUADWORD:
            assert not is_defined(concurrent, [known[0], None], address, 4) or concurrent is Concurrent.ALIGNED
        if is_defined(concurrent, known, address, 4):
            for pair in itertools.combinations(known, 2):
                assert is_defined(concurrent, pair, address, 4), concurrent
