"""The layout of QEMU's software TLB in host code, and the compared address bits.

The guest is SH-4, the only 32-bit guest of QEMU with both byte orders
(sh4, sh4eb), so that its accesses need no byte swap on any host.  The fix of January
2011 was tested with Linux on it, among others (commit c69806ab8276).  The guest with 64-bit addresses is
MIPS64, which has both byte orders too (mips64, mips64el) and the same page size.

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
"""The address bits that are clear in a naturally aligned 32-bit access."""

COMPARED = ~((1 << PAGE_BITS) - 1) | ALIGNMENT_MASK
"""The bits of a guest address that must match the entry: page and alignment; a negative number (-4093)."""


@dataclass(frozen=True, slots=True)
class SoftTlb:
    """The TLB of memory index 0 (kernel mode) in CPUState; offsets in bytes.

    ``table``: the offset of its first entry; ``entry_bits``: log2 of the size of an entry in bytes; ``addend``: the
    offset in an entry of the difference of host and guest address; ``address``: the size in bytes of a guest address.
    """

    table: int
    entry_bits: int
    addend: int
    address: int = 4

    @property
    def index_mask(self) -> int:
        """The mask of an entry's offset in a guest address that is shifted right by ``PAGE_BITS - entry_bits``."""
        return ((1 << TLB_BITS) - 1) << self.entry_bits

    def comparator(self, access: Access) -> int:
        """The offset in an entry of the comparator of the access (addr_read, addr_write)."""
        return {"load": 0, "store": self.address}[access]


HOST_32 = SoftTlb(table=372, entry_bits=4, addend=12)
"""On a 32-bit host, January 2011."""

HOST_32_GUEST_64 = SoftTlb(table=8168, entry_bits=5, addend=24, address=8)
"""On a 32-bit host with 8-byte alignment of 64-bit integers in C, January 2011, for a MIPS64 guest."""

HOST_I386 = SoftTlb(table=376, entry_bits=4, addend=12)
"""On i386, January 2011: the guest's floating-point status has a precision field there, for the x87."""

HOST_I386_GUEST_64 = SoftTlb(table=8068, entry_bits=5, addend=24, address=8)
"""On i386 with 4-byte alignment of 64-bit integers in C, January 2011, for a MIPS64 guest."""

HOST_64 = SoftTlb(table=384, entry_bits=5, addend=16)
"""On a 64-bit host, January 2011."""

HOST_32_2012 = SoftTlb(table=1448, entry_bits=4, addend=12)
"""On a 32-bit host, November 2012 (the same files in release v1.3): the guest's own TLB precedes this one now."""

HOST_64_2012 = SoftTlb(table=1456, entry_bits=5, addend=16)
"""On a 64-bit host, December 2012 (the same files in release v1.3)."""

HOST_64_2013 = SoftTlb(table=1440, entry_bits=5, addend=16)
"""On a 64-bit host, July and September 2013 (c6d8ed24b446, release v1.7): much of CPU_COMMON has moved."""

HOST_32_2014 = SoftTlb(table=1420, entry_bits=4, addend=12)
"""On a 32-bit host, April 2014 (267c931985cf): the fields that a reset keeps follow the TLB now."""

HOST_64_2014 = SoftTlb(table=1424, entry_bits=5, addend=16)
"""On a 64-bit host, March 2014 (fb5964152d96; the same declarations)."""

HOST_64_2015 = SoftTlb(table=1432, entry_bits=5, addend=16)
"""On a 64-bit host, June 2015 (cd3b29b745b0): three bits of the guest's status register became words."""
