"""The bytes of a log: a file or standard input, plain or compressed, decompressed as they are read."""

from __future__ import annotations

import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

import zstandard

from bench.errors import InputError

# Blocks of about this length stay in the cache, and their memory is used again;
# that of longer ones comes anew from the system each time, which takes longer
# than to decompress what a QEMU log is.
_BLOCK = 96 << 10
_FIRST_READ, _LONGEST_READ = 1 << 8, 1 << 16


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


_FORMATS: dict[bytes, tuple[str, Callable[[], _Decompressor]]] = {
    b"\x1f\x8b": ("gzip", lambda: zlib.decompressobj(wbits=31)),
    b"\xfd7zXZ\x00": ("xz", lzma.LZMADecompressor),
    b"\x28\xb5\x2f\xfd": ("zstd", lambda: zstandard.ZstdDecompressor().decompressobj()),
}
_ERRORS = (zlib.error, lzma.LZMAError, zstandard.ZstdError)


def read_log(log: str, progress: Callable[[int], None]) -> Iterator[bytes]:
    """The decompressed bytes of the file ``log`` (``-``: standard input), in blocks of any length.

    gzip, xz and zstd are told by their first bytes, not by the name; files of
    several members or frames are read to their end.  ``progress`` gets the
    number of bytes read so far, as stored.  Raises ``InputError`` if the log
    cannot be read or its compression is damaged or cut off.
    """
    try:
        if log == "-":
            if sys.stdin is None:
                raise InputError("is not open", file="standard input", expected="a QEMU log")
            yield from _decompressed(sys.stdin.buffer, "standard input", progress)
        else:
            with Path(log).open("rb") as file:
                yield from _decompressed(file, log, progress)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", file=log, expected="a QEMU log") from error


def _decompressed(file: BinaryIO, name: str, progress: Callable[[int], None]) -> Iterator[bytes]:
    start = file.read(max(map(len, _FORMATS)))
    format_ = next((value for magic, value in _FORMATS.items() if start.startswith(magic)), None)
    if format_ is None:
        yield start
        read = len(start)
        while block := file.read(_BLOCK):
            read += len(block)
            progress(read)
            yield block
        return
    title, new = format_
    decompressor = new()
    data, read, size = start, len(start), _FIRST_READ
    # Lately read and made, in bytes: how much to read for a block.
    taken, made = 0.0, 0.0
    try:
        while data or (data := file.read(size)):
            if data is not start:
                read += len(data)
                progress(read)
            if decompressor.eof:
                decompressor = new()
            block = decompressor.decompress(data)
            taken, made = 0.75 * taken + len(data), 0.75 * made + len(block)
            size = min(int(_BLOCK * taken / made) + 1 if made else 2 * size, 2 * size, _LONGEST_READ)
            yield block
            data = decompressor.unused_data if decompressor.eof else b""
    except _ERRORS as error:
        raise InputError(
            f"damaged compression: {error}", file=name, place=f"byte {read}", expected=f"a {title} stream"
        ) from error
    if not decompressor.eof:
        raise InputError(
            "compressed data that breaks off", file=name, place=f"byte {read}", expected=f"a whole {title} stream"
        )
