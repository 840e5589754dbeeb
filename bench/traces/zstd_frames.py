"""Detecting truncated zstd data, which the decompressor accepts.

The format is that of RFC 8878, section 3.1.
"""

from __future__ import annotations

from typing import Final

import zstandard

_SKIPPABLE: Final = bytes.fromhex("2a4d18")  # after a first byte 0x50 to 0x5f
_LONGEST_HEADER: Final = 18
_RLE: Final = 1


class FrameEnds:
    """Parses the frame and block headers of a zstd byte stream."""

    def __init__(self) -> None:
        self._held = b""  # an incomplete header
        self._skip = 0  # bytes to the next header
        self._in_frame = False
        self._checksum = 0  # bytes after the last block

    @property
    def whole(self) -> bool:
        """Whether the bytes so far are complete frames (or none)."""
        return not self._held and not self._skip and not self._in_frame

    def add(self, data: bytes) -> None:
        """Add bytes.  The decompressor reports damaged data."""
        data, at = self._held + data, 0
        while True:
            step = min(self._skip, len(data) - at)
            at += step
            self._skip -= step
            if at == len(data) or not self._header(data[at : at + _LONGEST_HEADER]):
                break
        self._held = data[at:]

    def _header(self, data: bytes) -> bool:
        """Process the header at the start of ``data``; whether it is complete."""
        if self._in_frame:
            if len(data) < 3:
                return False
            header = int.from_bytes(data[:3], "little")
            last, kind, size = header & 1, header >> 1 & 3, header >> 3
            self._skip = 3 + (1 if kind == _RLE else size) + (self._checksum if last else 0)
            self._in_frame = not last
            return True
        if data[1:4] == _SKIPPABLE:
            if len(data) < 8:
                return False
            self._skip = 8 + int.from_bytes(data[4:8], "little")
            return True
        try:
            size, parameters = zstandard.frame_header_size(data), zstandard.get_frame_parameters(data)
        except zstandard.ZstdError:
            return False
        self._skip, self._checksum = size, 4 if parameters.has_checksum else 0
        self._in_frame = True
        return True
