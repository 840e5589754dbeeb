"""The software TLB as host code sees it: where an entry lies and what is compared.

The guest is SH-4, the one 32-bit guest of QEMU's that comes in both byte orders
(sh4, sh4eb), so that on every host there is one of the same endianness, whose
accesses need no byte swap.  Linux on it was among what the fix of January
2011 was tested with (commit c69806ab8276).  Where a guest address has 64 bits the guest is
MIPS64, which comes in both byte orders too (mips64, mips64el) and has pages of the same size.

Sources, at the parent of that commit (497aebb99e07): ``target-sh4/cpu.h``
(TARGET_PAGE_BITS, CPUSH4State), ``target-mips/cpu.h`` (CPUMIPSState), ``cpu-defs.h`` (CPU_TLB_BITS,
CPU_TLB_ENTRY_BITS, CPUTLBEntry, CPU_COMMON), ``fpu`` (float_status).  The offsets follow from those
declarations and from the sizes and alignments of the host's C types; later ones from the same files at the
commits named.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.translators.translator import Access

PAGE_BITS = 12
"""log2 of the guest's page size in bytes (TARGET_PAGE_BITS)."""

TLB_BITS = 8
"""log2 of the number of TLB entries (CPU_TLB_BITS)."""

ALIGNMENT_MASK = 3
"""The address bits that a naturally aligned 32-bit access has clear."""

COMPARED = ~((1 << PAGE_BITS) - 1) | ALIGNMENT_MASK
"""The bits of a guest address that must match the entry: its page, and alignment; a negative number (-4093)."""


@dataclass(frozen=True, slots=True)
class SoftTlb:
    """The TLB of memory index 0 (kernel mode) in CPUState; offsets in bytes.

    ``table`` is the offset of its first entry, ``entry_bits`` is log2 of the
    size of an entry in bytes, ``addend`` is the offset in an entry of what turns a guest
    address into a host address, ``address`` is the size in bytes of a guest address.
    """

    table: int
    entry_bits: int
    addend: int
    address: int = 4

    @property
    def index_mask(self) -> int:
        """The bits of a guest address, shifted right by ``PAGE_BITS - entry_bits``, that are an entry's offset."""
        return ((1 << TLB_BITS) - 1) << self.entry_bits

    def comparator(self, access: Access) -> int:
        """The offset in an entry of the address that the access is compared with (addr_read, addr_write)."""
        return {"load": 0, "store": self.address}[access]


HOST_32 = SoftTlb(table=372, entry_bits=4, addend=12)
"""On a 32-bit host, January 2011."""

HOST_32_GUEST_64 = SoftTlb(table=8168, entry_bits=5, addend=24, address=8)
"""On a 32-bit host whose C aligns 64-bit integers to 8 bytes, January 2011, for a MIPS64 guest."""

HOST_I386 = SoftTlb(table=376, entry_bits=4, addend=12)
"""On i386, January 2011: there the guest's floating-point status has a precision too, for the x87."""

HOST_I386_GUEST_64 = SoftTlb(table=8068, entry_bits=5, addend=24, address=8)
"""On i386, whose C aligns 64-bit integers to 4 bytes, January 2011, for a MIPS64 guest."""

HOST_64 = SoftTlb(table=384, entry_bits=5, addend=16)
"""On a 64-bit host, January 2011."""

HOST_32_2012 = SoftTlb(table=1448, entry_bits=4, addend=12)
"""On a 32-bit host, November 2012 (the same files in release v1.3): the guest's own TLB is before ours by now."""

HOST_64_2012 = SoftTlb(table=1456, entry_bits=5, addend=16)
"""On a 64-bit host, December 2012 (the same files in release v1.3)."""

HOST_64_2013 = SoftTlb(table=1440, entry_bits=5, addend=16)
"""On a 64-bit host, July and September 2013 (c6d8ed24b446, release v1.7): much of CPU_COMMON is elsewhere by now."""

HOST_32_2014 = SoftTlb(table=1420, entry_bits=4, addend=12)
"""On a 32-bit host, April 2014 (267c931985cf): what a reset keeps is behind our TLB by now."""

HOST_64_2014 = SoftTlb(table=1424, entry_bits=5, addend=16)
"""On a 64-bit host, March 2014 (fb5964152d96; the same declarations)."""

HOST_64_2015 = SoftTlb(table=1432, entry_bits=5, addend=16)
"""On a 64-bit host, June 2015 (cd3b29b745b0): three bits of the guest's status register became words."""
