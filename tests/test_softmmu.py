"""Where the TLB lies in CPUState, from the declarations at the commits that ``softmmu.py`` names."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from bench.translators import softmmu

BYTE, WORD = ctypes.c_uint8, ctypes.c_uint32

Fields = list[tuple[str, Any]]


def structure(fields: Fields, pack: int = 0) -> type[ctypes.Structure]:
    """A C structure; ``pack``: no member is aligned to more bytes than this, 0 for the host's own alignments."""
    layout: dict[str, Any] = {"_fields_": fields}
    if pack:
        layout["_pack_"] = pack
    return type("Declared", (ctypes.Structure,), layout)


SOFT_STATUS = structure([("signed_chars_and_flags", BYTE * 7)])
"""``float_status`` where QEMU computes itself: of every guest by 2013, of MIPS in 2011 already."""

X87_STATUS = structure([("rounding_mode", ctypes.c_int), ("precision", ctypes.c_int)])
"""``float_status`` where the host computes, and has an x87."""

GUEST_TLB = structure([("vpn_ppn_size", WORD * 3), ("asid", BYTE), ("bits", BYTE * 2)])
"""An entry of SH-4's own TLB: three words, a byte, and 13 bits in fields of bytes."""


def sh4_of_2011(pointer: Any) -> Fields:
    return [
        ("id_flags", WORD * 2), ("gregs", WORD * 24), ("fregs", WORD * 32), ("sr_to_fpul", WORD * 14),
        ("fp_status", X87_STATUS), ("features", WORD), ("mmucr_to_intevt", WORD * 9), ("pvr_prr_cvr", WORD * 3),
        ("ldst", WORD), ("current_tb", pointer), ("mem_io_pc", pointer), ("mem_io_vaddr", WORD),
        ("halted_interrupt_request_exit_request", WORD * 3),
    ]  # fmt: skip


def sh4_of_2013(pointer: Any) -> Fields:
    return [
        ("flags", WORD), ("gregs", WORD * 24), ("fregs", WORD * 32), ("sr_to_fpul", WORD * 14),
        ("fp_status", SOFT_STATUS), ("features", WORD), ("mmucr_to_intevt", WORD * 9), ("itlb", GUEST_TLB * 4),
        ("utlb", GUEST_TLB * 64), ("ldst", WORD), ("mem_io_pc", pointer), ("mem_io_vaddr", WORD),
    ]  # fmt: skip


SH4_OF_2014: Fields = [
    ("flags", WORD), ("gregs", WORD * 24), ("fregs", WORD * 32), ("sr_to_fpul", WORD * 14),
    ("fp_status", SOFT_STATUS), ("mmucr_to_intevt", WORD * 9), ("itlb", GUEST_TLB * 4), ("utlb", GUEST_TLB * 64),
    ("ldst", WORD),
]  # fmt: skip


def mips64_of_2011() -> Fields:
    """On i386, where nothing is aligned to more than 4 bytes."""
    long, pack = ctypes.c_uint64, 4
    thread = structure(
        [
            ("gpr", long * 32), ("pc", long), ("hi_lo_acx", long * 12), ("dsp_control", long),
            ("status_bind", WORD * 2), ("halt_context_schedule_back", long * 4), ("debug_status", WORD),
        ],
        pack,
    )  # fmt: skip
    unit = structure([("fpr", ctypes.c_uint64 * 32), ("status", SOFT_STATUS), ("fcr0_fcr31", WORD * 2)], pack)
    return [
        ("active_tc", thread), ("active_fpu", unit), ("current_tc_fpu_segbits_pabits", WORD * 4),
        ("segmask_pamask", long * 2), ("index_random_vpecontrol_vpeconf", WORD * 5), ("yqmask_schedule_back", long * 3),
        ("vpeopt", WORD), ("entrylo_context", long * 3), ("pagemask_grain_wired", WORD * 3), ("srsconf", WORD * 10),
        ("hwrena", WORD), ("badvaddr", long), ("count", WORD), ("entryhi", long), ("compare_to_cause", WORD * 6),
        ("epc", long), ("prid_ebase_config", WORD * 8), ("lladdr_to_mask", long * 5), ("shift", WORD),
        ("watchlo", long * 8), ("watchhi", WORD * 8), ("xcontext", long), ("framemask_debug", WORD * 2),
        ("depc", long), ("performance_tags", WORD * 5), ("errorepc", long), ("desave", WORD), ("tcs", thread * 16),
        ("fpus", unit), ("error_hflags", WORD * 2), ("btarget_bcond", long * 2), ("synci_to_insn_flags", WORD * 5),
        ("tls_value", long), ("current_tb", WORD), ("mem_io_pc", WORD), ("mem_io_vaddr", long),
        ("halted_interrupt_request_exit_request", WORD * 3),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("tlb", "fields", "address", "pointer", "pack"),
    [
        (softmmu.HOST_I386, sh4_of_2011(WORD), WORD, WORD, 4),
        (softmmu.HOST_I386_GUEST_64, mips64_of_2011(), ctypes.c_uint64, WORD, 4),
        (softmmu.HOST_64_2013, sh4_of_2013(ctypes.c_uint64), WORD, ctypes.c_uint64, 0),
        (softmmu.HOST_32_2014, SH4_OF_2014, WORD, WORD, 0),
        (softmmu.HOST_64_2014, SH4_OF_2014, WORD, ctypes.c_uint64, 0),
    ],
    ids=["i386", "i386, guest of 64 bits", "64 bits, 2013", "32 bits, 2014", "64 bits, 2014"],
)
def test_tlb_offsets_follow_from_the_guests_declarations(
    tlb: softmmu.SoftTlb, fields: Fields, address: Any, pointer: Any, pack: int
) -> None:
    entry = structure([("read", address), ("write", address), ("code", address), ("addend", pointer)], pack)
    state = structure([*fields, ("tlb_table", entry)], pack)
    members: Any = entry
    assert (getattr(state, "tlb_table").offset, members.addend.offset) == (tlb.table, tlb.addend)  # noqa: B009
    assert (tlb.comparator("load"), tlb.comparator("store")) == (members.read.offset, members.write.offset)
    assert ctypes.sizeof(entry) <= 1 << tlb.entry_bits < 2 * ctypes.sizeof(entry)
