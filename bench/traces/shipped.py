"""The names and descriptions of the shipped traces.

``bench/tools/make_shipped.py`` makes the files from recordings.  This module has no heavy imports, so that the help of
the command line can list the names.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

DEFAULT_TRACE: Final = "linux-boot"
"""The trace that commands use by default."""

_QEMU: Final = "recorded with QEMU 7.2.22 on x86-64"

SHIPPED: Final[Mapping[str, str]] = MappingProxyType(
    {
        DEFAULT_TRACE: (
            f"User-space part of a Linux 6.1 (armhf) boot with a busybox user space, {_QEMU}: "
            "-M virt -cpu cortex-a15 -icount shift=2,sleep=off -accel tcg,thread=single,tb-size=16"
        ),
        "user-gzip": f"Whole run of gzip of busybox 1.35.0 (armhf), {_QEMU}: qemu-arm",
        "user-sort": f"Whole run of sort of busybox 1.35.0 (armhf), {_QEMU}: qemu-arm",
        "user-threads": (
            "Whole run of a threaded program (armhf): four worker threads, 64 SIGSEGVs in each, handled, "
            f"under a timer signal, {_QEMU}: qemu-arm"
        ),
        "user-wc": f"Whole run of wc of busybox 1.35.0 (armhf), {_QEMU}: qemu-arm",
    }
)
"""Name -> description, as the file itself has it; the default first, then by name."""
