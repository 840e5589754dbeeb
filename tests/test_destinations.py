"""How far a branch leads, by the translators and by capstone: the last word in reach, and what is no branch."""

from __future__ import annotations

import pytest
from decoding import disassemble

from bench.translators.registry import load_translator

DISTANCES: dict[str, dict[int, int]] = {
    "aarch64": {0x54FF_FFE1: -4, 0x5400_0000: 0, 0x1400_0002: 8, 0x17FF_FFFF: -4},
    "arm@2014": {0x0A00_0000: 8, 0xEAFF_FFFE: 0, 0x1BFF_FFFF: 4, 0xEBFF_FFF0: -56},
    "i386": {0xFEEB: 0, 0x8075: -126, 0xFFFF_FFFA_840F: 0},
    # From the delay slot.
    "mips": {
        0x1028_000A: 44, 0x1000_0004: 20, 0x1428_0004: 20, 0x1000_FFFF: 0, 0x1028_8000: 4 - (1 << 17),
        0x1028_1018: 4 + 4 * 0x1018,
    },
    "ppc": {
        0x419E_0024: 36, 0x419E_0000: 0, 0x409E_001C: 28, 0x4800_0010: 16, 0x4800_0000: 0, 0x4BFF_FFE0: -32,
        0x419E_7FFC: 32764, 0x419E_8000: -32768, 0x4A00_0000: -(1 << 25),
    },
    "ppc64": {0x419E_0030: 48, 0x419E_0000: 0, 0x409E_001D: 28, 0x4800_0010: 16, 0x4800_0000: 0, 0x4BFF_FFC8: -56},
    "s390x@2014": {0xA7F4_FFFF: -2, 0xECC8_FFF0_007E: -32},
    # From the branch itself, delay slot or not.
    "sparc": {
        0x0280_0009: 36, 0x0280_0000: 0, 0x10BF_FFFF: -4, 0x02A0_0000: -(1 << 23), 0x2248_0007: 28, 0x2248_0000: 0,
        0x224F_FFFF: -4, 0x024C_0000: -(1 << 20),
    },
}

NO_BRANCHES: dict[str, tuple[int, ...]] = {
    "aarch64": (0xD63F_0100, 0x5400_0010, 0x9400_0001),
    "arm@2014": (0, 0xE12F_FF1C),
    "i386": (0xC033,),
    "mips": (0, 0x0320_F809, 0x0020_0008, 0x8C81_0174, 0x2408_F003),
    "ppc": (0, 0x7DC3_7378, 0x4E80_0420, 0x3880_0000, 0x4800_0012),
    "ppc64": (0, 0x7DC3_7378, 0x4E80_0420, 0x79CE_0020),
    "s390x@2014": (0, 0xECC8_0000_0055, 0xA749_0000),
    # The word 0 (unimp), nop and sethi have the branches' op; then call, jmpl, subcc, ld.
    "sparc": (0, 0x0100_0000, 0x3B00_0007, 0x6808_FFF4, 0x81C7_E008, 0x80A4_6000, 0xD402_4000),
}


@pytest.mark.parametrize(
    ("name", "word", "distance"),
    [(name, word, distance) for name, found in DISTANCES.items() for word, distance in found.items()],
)
def test_a_branch_leads_as_far_as_capstone_says(name: str, word: int, distance: int) -> None:
    translator = load_translator(name)
    assert translator.destination(word) == distance
    text = disassemble(translator, word.to_bytes((word.bit_length() + 7) // 8, translator.byteorder))
    if distance or "0x" in text:  # capstone leaves out the target of some branches to themselves
        assert int(text.split()[-1].lstrip("#"), 16) == translator.buffer + distance


@pytest.mark.parametrize(("name", "word"), [(name, word) for name, found in NO_BRANCHES.items() for word in found])
def test_what_is_no_branch_leads_nowhere(name: str, word: int) -> None:
    assert load_translator(name).destination(word) is None
