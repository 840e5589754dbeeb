"""The bytes of a log (a file or standard input, plain or compressed), decompressed on reading."""

from __future__ import annotations

import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

import zstandard

from bench.support.errors import InputError

_BLOCK = 1 << 20
# Even at a compression ratio of 100, a block of this input is small enough to reuse freed memory.
_MEMBER_READ = 1 << 10

_ERRORS = (zlib.error, lzma.LZMAError, zstandard.ZstdError)


def read_log(log: str, progress: Callable[[int], None]) -> Iterator[bytes]:
    """The decompressed bytes of the file ``log`` (``-``: standard input), in blocks of any length.

    ``progress`` and errors: see ``LogBytes``.
    """
    with LogBytes(log, progress) as source:
        buffer = bytearray(_BLOCK)
        while size := source.readinto(memoryview(buffer)):
            yield bytes(buffer[:size])


class LogBytes:
    """The decompressed bytes of the file ``log`` (``-``: standard input).

    gzip, xz and zstd are recognised by their first bytes, not by the name.  Files of several members or frames are read
    to their end.  The callback ``progress`` gets the number of compressed bytes read so far.  Opening and reading raise
    ``InputError`` if the log cannot be read or its compression is damaged or truncated.
    """

    def __init__(self, log: str, progress: Callable[[int], None]) -> None:
        self._name = "standard input" if log == "-" else log
        self._file: BinaryIO | None = None
        if log == "-" and sys.stdin is None:
            raise InputError("is not open", file=self._name, expected="a QEMU log")
        try:
            if log != "-":
                self._file = Path(log).open("rb")  # noqa: SIM115 - closed by close()
            self._stored = _RawInput(self._file or sys.stdin.buffer, progress)
        except OSError as error:
            self.close()
            raise self._unreadable(error) from error
        start = self._stored.start
        self._title, new = next((value for magic, value in _FORMATS.items() if start.startswith(magic)), ("", None))
        self._stream: _Stream = new(self._stored) if new else self._stored

    def readinto(self, view: memoryview) -> int:
        """Read into ``view``.  Returns the number of bytes, 0 at the end."""
        try:
            size = self._stream.readinto(view)
        except OSError as error:
            raise self._unreadable(error) from error
        except _ERRORS as error:
            raise self._bad(f"damaged compression: {error}", f"a {self._title} stream") from error
        if not size and not self._stream.whole:
            raise self._bad("compressed data that breaks off", f"a whole {self._title} stream")
        return size

    def close(self) -> None:
        """Close the file; standard input stays open."""
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _bad(self, found: str, expected: str) -> InputError:
        return InputError(found, file=self._name, place=f"byte {self._stored.count}", expected=expected)

    def _unreadable(self, error: OSError) -> InputError:
        return InputError(f"cannot be read: {error.strerror or error}", file=self._name, expected="a QEMU log")


class _Stream(Protocol):
    @property
    def whole(self) -> bool:
        """At the end of the input: whether the compressed data are complete."""
        ...

    def readinto(self, view: memoryview, /) -> int: ...


class _RawInput:
    """The compressed bytes with a count; ``start``: the first ones, which ``read`` returns too."""

    whole = True

    def __init__(self, file: BinaryIO, progress: Callable[[int], None]) -> None:
        self._file = file
        self._progress = progress
        self.start = self._again = file.read(max(map(len, _FORMATS)))
        self.count = len(self.start)

    def read(self, size: int) -> bytes:
        if data := self._again:
            self._again = b""
            return data
        data = self._file.read(size)
        self._add(len(data))
        return data

    def readinto(self, view: memoryview) -> int:
        if data := self._again:
            self._again = b""
            view[: len(data)] = data
            return len(data)
        size = self._file.readinto(view)  # type: ignore[attr-defined]  # BinaryIO leaves it out
        self._add(size)
        return int(size)

    def _add(self, size: int) -> None:
        self.count += size
        self._progress(self.count)


# A frame may ask for as many bytes to be kept as the ``zstd`` command accepts without ``--long``.
_ZSTD = zstandard.ZstdDecompressor(max_window_size=1 << 27)


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


class _Members:
    """Decompresses the members of a gzip or xz file, or frames of a zstd file, each with a new decompressor."""

    def __init__(self, stored: _RawInput, new: Callable[[], _Decompressor]) -> None:
        self._stored = stored
        self._new = new
        self._member = new()
        self._block = memoryview(b"")

    @property
    def whole(self) -> bool:
        return self._member.eof

    def readinto(self, view: memoryview) -> int:
        data = b""
        while not self._block:
            if not (data := self._member.unused_data or self._stored.read(_MEMBER_READ)):
                return 0
            if self._member.eof:
                self._member = self._new()
            self._block = memoryview(self._member.decompress(data))
        size = min(len(self._block), len(view))
        view[:size] = self._block[:size]
        self._block = self._block[size:]
        return size


_FORMATS: dict[bytes, tuple[str, Callable[[_RawInput], _Stream]]] = {
    b"\x1f\x8b": ("gzip", lambda stored: _Members(stored, lambda: zlib.decompressobj(wbits=31))),
    b"\xfd7zXZ\x00": ("xz", lambda stored: _Members(stored, lzma.LZMADecompressor)),
    b"\x28\xb5\x2f\xfd": ("zstd", lambda stored: _Members(stored, _ZSTD.decompressobj)),
}
