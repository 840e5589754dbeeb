"""Where the TLB lies in CPUState, from the declarations at the commits that ``softmmu.py`` names."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from bench.translators import softmmu

BYTE, WORD, LONG = ctypes.c_uint8, ctypes.c_uint32, ctypes.c_uint64

Fields = list[tuple[str, Any]]


def structure(fields: Fields, pack: int = 0) -> type[ctypes.Structure]:
    """A C structure; ``pack``: no member is aligned to more bytes than this, 0 for the host's own alignments."""
    layout: dict[str, Any] = {"_fields_": fields}
    if pack:
        layout["_pack_"] = pack
    return type("Declared", (ctypes.Structure,), layout)


SOFT_STATUS = structure([("signed_chars_and_flags", BYTE * 7)])
"""``float_status`` where QEMU computes itself: of every guest by 2012, of MIPS in 2011 already."""

HOST_STATUS = structure([("rounding_mode", ctypes.c_int)])
"""``float_status`` where the host computes."""

X87_STATUS = structure([("rounding_mode", ctypes.c_int), ("precision", ctypes.c_int)])
"""The same on x86, which has an x87."""

GUEST_TLB = structure([("vpn_ppn_size", WORD * 3), ("asid", BYTE), ("bits", BYTE * 2)])
"""An entry of SH-4's own TLB: three words, a byte, and 13 bits in fields of bytes."""


def sh4_of_2011(pointer: Any, status: Any) -> Fields:
    return [
        ("id_flags", WORD * 2), ("gregs", WORD * 24), ("fregs", WORD * 32), ("sr_to_fpul", WORD * 14),
        ("fp_status", status), ("features", WORD), ("mmucr_to_intevt", WORD * 9), ("pvr_prr_cvr", WORD * 3),
        ("ldst", WORD), ("current_tb", pointer), ("mem_io_pc", pointer), ("mem_io_vaddr", WORD),
        ("halted_interrupt_request_exit_request", WORD * 3),
    ]


def sh4_since_2012(features: int, status_words: int = 14) -> Fields:
    """What is before CPU_COMMON; ``status_words``: from sr to fpul."""
    return [
        ("flags", WORD), ("gregs", WORD * 24), ("fregs", WORD * 32), ("sr_to_fpul", WORD * status_words),
        ("fp_status", SOFT_STATUS), ("features", WORD * features), ("mmucr_to_intevt", WORD * 9),
        ("itlb", GUEST_TLB * 4), ("utlb", GUEST_TLB * 64), ("ldst", WORD),
    ]


def sh4_of_2012(pointer: Any) -> Fields:
    common: Fields = [
        ("current_tb", pointer), ("mem_io_pc", pointer), ("mem_io_vaddr", WORD),
        ("halted_interrupt_request_exit_request", WORD * 3),
    ]
    return [*sh4_since_2012(features=1), *common]


def sh4_of_2013(pointer: Any) -> Fields:
    return [*sh4_since_2012(features=1), ("mem_io_pc", pointer), ("mem_io_vaddr", WORD)]


SH4_OF_2014 = sh4_since_2012(features=0)
SH4_OF_2015 = sh4_since_2012(features=0, status_words=17)


def mips64_of_2011(pack: int) -> Fields:
    """On a 32-bit host."""
    long = LONG
    thread = structure(
        [
            ("gpr", long * 32), ("pc", long), ("hi_lo_acx", long * 12), ("dsp_control", long),
            ("status_bind", WORD * 2), ("halt_context_schedule_back", long * 4), ("debug_status", WORD),
        ],
        pack,
    )
    unit = structure([("fpr", long * 32), ("status", SOFT_STATUS), ("fcr0_fcr31", WORD * 2)], pack)
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
    ]


DECLARED = {
    "32 bits": (softmmu.HOST_32, sh4_of_2011(WORD, HOST_STATUS), WORD, WORD, 0),
    "32 bits, guest of 64 bits": (softmmu.HOST_32_GUEST_64, mips64_of_2011(0), LONG, WORD, 0),
    "i386": (softmmu.HOST_I386, sh4_of_2011(WORD, X87_STATUS), WORD, WORD, 4),
    "i386, guest of 64 bits": (softmmu.HOST_I386_GUEST_64, mips64_of_2011(4), LONG, WORD, 4),
    "64 bits": (softmmu.HOST_64, sh4_of_2011(LONG, HOST_STATUS), WORD, LONG, 0),
    "x86-64": (softmmu.HOST_64, sh4_of_2011(LONG, X87_STATUS), WORD, LONG, 0),
    "32 bits, 2012": (softmmu.HOST_32_2012, sh4_of_2012(WORD), WORD, WORD, 0),
    "64 bits, 2012": (softmmu.HOST_64_2012, sh4_of_2012(LONG), WORD, LONG, 0),
    "64 bits, 2013": (softmmu.HOST_64_2013, sh4_of_2013(LONG), WORD, LONG, 0),
    "32 bits, 2014": (softmmu.HOST_32_2014, SH4_OF_2014, WORD, WORD, 0),
    "64 bits, 2014": (softmmu.HOST_64_2014, SH4_OF_2014, WORD, LONG, 0),
    "64 bits, 2015": (softmmu.HOST_64_2015, SH4_OF_2015, WORD, LONG, 0),
}
"""The TLB, what is before it in CPUState, the types of a guest address and of a pointer, the greatest alignment."""


@pytest.mark.parametrize(("tlb", "fields", "address", "pointer", "pack"), DECLARED.values(), ids=DECLARED)
def test_tlb_offsets_follow_from_the_guests_declarations(
    tlb: softmmu.SoftTlb, fields: Fields, address: Any, pointer: Any, pack: int
) -> None:
    entry = structure([("read", address), ("write", address), ("code", address), ("addend", pointer)], pack)
    state: Any = structure([*fields, ("tlb_table", entry)], pack)
    members: Any = entry
    assert (state.tlb_table.offset, members.addend.offset) == (tlb.table, tlb.addend)
    assert (tlb.comparator("load"), tlb.comparator("store")) == (members.read.offset, members.write.offset)
    assert ctypes.sizeof(entry) <= 1 << tlb.entry_bits < 2 * ctypes.sizeof(entry)


@pytest.mark.parametrize(
    ("tlb", "immediate"), [(softmmu.HOST_32_GUEST_64, 16), (softmmu.HOST_64_2012, 13)], ids=["mips", "sparc"]
)
def test_one_base_register_reaches_all_of_an_entry(tlb: softmmu.SoftTlb, immediate: int) -> None:
    """By a load whose immediate has so many bits, the highest a sign."""
    assert tlb.table + (1 << tlb.entry_bits) < 1 << immediate - 1
