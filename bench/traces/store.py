"""Reading and writing ``.trace`` files (``docs/trace-format.md``)."""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, BinaryIO, Final

import msgspec
import numpy as np
import numpy.typing as npt
import zstandard

from bench.support.errors import InputError
from bench.support.files import replacing
from bench.support.text import printable
from bench.traces.shipped import DEFAULT_TRACE, SHIPPED
from bench.traces.successor import THREADS, UNKNOWN_TB, Decoder, Encoder, Words
from bench.traces.trace import CHUNK, AccessTag, Blocks, Guest, Links, Mode, Retranslations, Trace

MAGIC: Final = b"\x93STALE\r\n"
VERSION: Final = 1
LEVEL: Final = 3
"""The default zstd level; level 12 takes twenty times as long for files that are a fifth smaller."""

_PRELUDE: Final = struct.Struct("<8sIIQQQ")
_SIZES: Final = 16  # offset of the part of the prelude that the checksum covers
_READ: Final = 1 << 14
_LONGEST_HEADER: Final = 1 << 20
_MOST_EXECUTIONS: Final = 1 << 34
"""A log of so many lines is above a terabyte."""
_MOST_ACCESSES: Final = 1 << 16
"""Of one TB, which QEMU ends at 512 guest instructions."""
_SMALL: Final = 64 << 20
_DENSEST: Final = 1000
"""Bytes of tables in a byte of a file, from ``_SMALL`` on: recordings have below 20."""

# Column -> element type, and whether the file holds differences of neighbours instead of values.
_BLOCKS: Final = {
    "host_bytes": ("<u4", False),
    "fast_bytes": ("<u4", False),
    "guest_pc": ("<u8", True),
    "guest_bytes": ("<u4", False),
    "instructions": ("<u4", False),
    "accesses": ("<u4", False),
    "epoch": ("<u4", True),
    "born": ("<i8", True),
}
_RETRANSLATIONS: Final = {
    "position": ("<i8", True),
    "tb": ("<u4", False),
    "thread": ("<u4", False),
    "rewritten_bytes": ("<i4", False),
    "accesses": ("<i4", False),
}
_POSITIONS: Final = ("stopped", "flushes", "discarded", "io_recompiles", "interruptions")
_LINKS: Final = {
    "position": ("<i8", True),
    "source": ("<u4", False),
    "slot": ("<u1", False),
    "target": ("<u4", False),
    "thread": ("<u1", False),
}


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """The JSON header of a file: all scalars, and the lengths of the arrays.  ``links``: -1 if linking was off."""

    name: str
    description: str
    guest: Guest
    mode: Mode
    access_tag: AccessTag
    length: int
    threads: int
    exceptions: dict[str, int]
    blocks: int
    retranslations: int
    stopped: int
    flushes: int
    discarded: int
    io_recompiles: int
    interruptions: int = 0
    exits: int = 0
    links: int = -1
    unread: dict[str, int] = {}


@dataclass(frozen=True, slots=True)
class _StoredExecutions:
    """The executions of a ``.trace`` file, decoded on reading."""

    place: Path | Traversable
    file: str
    offset: int
    size: int
    length: int
    tbs: int

    def words(self) -> Iterator[Words]:
        """See ``bench.traces.trace.Executions``; raises ``InputError`` where the file is damaged."""
        decoder = Decoder(self.tbs)
        try:
            pairs = self._pairs()
            for start in range(0, self.length, CHUNK):
                chunk = np.empty(min(CHUNK, self.length - start), np.uint32)
                filled = 0
                while (filled := decoder.fill(chunk, filled)) < chunk.size:
                    decoder.add(next(pairs))
                yield chunk
            for rest in pairs:
                decoder.add(rest)
            if not decoder.used_up:
                raise ValueError("more executions")
        except StopIteration:
            raise _damaged(self.file, "executions", "fewer executions", f"{self.length} executions") from None
        except (ValueError, zstandard.ZstdError, OSError) as error:
            raise _damaged(self.file, "executions", error, f"{self.length} executions") from error

    def _pairs(self) -> Iterator[Words]:
        """The pairs of ``bench.traces.successor``, in pieces."""
        with self.place.open("rb") as file:
            file.seek(self.offset)
            frame = zstandard.ZstdDecompressor().decompressobj()
            rest = b""
            for start in range(0, self.size, _READ):
                data = rest + frame.decompress(file.read(min(_READ, self.size - start)))
                whole = len(data) & ~7
                rest = data[whole:]
                yield np.frombuffer(data[:whole], "<u4")
        if rest or not frame.eof or frame.unused_data:
            raise ValueError("executions that break off")


def _damaged(file: str, place: str, found: object, expected: str) -> InputError:
    return InputError(f"damaged file: {found}", file=file, place=place, expected=expected)


# --- reading -------------------------------------------------------------------------------------------------


def load_trace(trace: str | os.PathLike[str]) -> Trace:
    """The trace in the file ``trace``, or the shipped trace of that name if no such file exists.

    Tables are read and checked at once, executions on iteration.  Raises ``InputError`` for a file that cannot be read,
    has another format or version, or is damaged.
    """
    path = Path(trace)
    name = os.fspath(trace)
    if name in SHIPPED and not path.is_file():
        return shipped_trace(name)
    return _read(path, str(path))


def shipped_trace(name: str) -> Trace:
    """The shipped trace ``name``, a key of ``SHIPPED``, even if a file of that name exists."""
    file = f"{name}.trace"
    return _read(resources.files("bench.traces") / "data" / file, file)


def default_trace() -> Trace:
    """The shipped trace that commands use by default."""
    return shipped_trace(DEFAULT_TRACE)


def _content(file: IO[bytes]) -> str:
    """A digest of a whole file."""
    found = hashlib.sha256()
    file.seek(0)
    while data := file.read(1 << 20):
        found.update(data)
    return found.hexdigest()


def _read(place: Path | Traversable, name: str) -> Trace:
    try:
        with place.open("rb") as file:
            prelude = file.read(_PRELUDE.size)
            if prelude[: len(MAGIC)] != MAGIC:
                raise InputError(_kind_of(prelude), file=name, place="byte 0", expected="a .trace file")
            if len(prelude) < _PRELUDE.size:
                raise _damaged(name, f"byte {len(prelude)}", "it ends here", f"{_PRELUDE.size} bytes of prelude")
            _, version, checksum, executions, tables, header_size = _PRELUDE.unpack(prelude)
            if version != VERSION:
                raise InputError(f"format version {version}", file=name, place="byte 8", expected=f"version {VERSION}")
            size = file.seek(0, os.SEEK_END)
            if size != _PRELUDE.size + executions + tables + header_size or header_size > _LONGEST_HEADER:
                announced = _PRELUDE.size + executions + tables + header_size
                raise _damaged(name, "prelude", f"{size} bytes", f"the {announced} bytes that the prelude announces")
            file.seek(_PRELUDE.size + executions)
            table_frame = file.read(tables)
            header_text = file.read(header_size)
            content = _content(file)
    except FileNotFoundError as error:
        # It may be the misspelt name of a shipped trace.
        expected = f"a .trace file or one of {', '.join(SHIPPED)}"
        raise InputError(f"cannot be read: {error.strerror}", file=name, expected=expected) from error
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", file=name, expected="a .trace file") from error
    if zlib.crc32(header_text, zlib.crc32(prelude[_SIZES:])) != checksum:
        raise _damaged(name, "header", "wrong checksum", f"{checksum:#010x}")
    try:
        header = msgspec.json.decode(header_text, type=Header)
    except msgspec.DecodeError as error:
        raise _damaged(name, "header", error, "the keys of docs/trace-format.md") from error
    columns = _unpack(table_frame, header, name)
    trace = Trace(
        name=header.name,
        description=header.description,
        guest=header.guest,
        mode=header.mode,
        access_tag=header.access_tag,
        length=header.length,
        threads=header.threads,
        blocks=Blocks(**{column: columns[f"blocks.{column}"] for column in _BLOCKS}),
        retranslations=Retranslations(**{column: columns[f"retranslations.{column}"] for column in _RETRANSLATIONS}),
        **{column: columns[column] for column in _POSITIONS},
        exceptions=MappingProxyType(header.exceptions),
        exits=np.stack((columns["exits.0"], columns["exits.1"]), axis=1) if header.exits else None,
        links=None if header.links < 0 else _links(columns),
        unread=MappingProxyType(header.unread),
        source=_StoredExecutions(place, name, _PRELUDE.size, executions, header.length, header.blocks),
        content=content,
    )
    _check(trace, name)
    return trace


def _links(columns: Mapping[str, npt.NDArray[Any]]) -> Links:
    found = {column: columns[f"links.{column}"] for column in _LINKS}
    return Links(**found, uses=np.full(found["position"].size, -1, np.int64))


def _kind_of(start: bytes) -> str:
    """A description of a file that is not a trace."""
    if not start:
        return "an empty file"
    if start[:4] == b"\x28\xb5\x2f\xfd" or start[:2] == b"\x1f\x8b" or start[:6] == b"\xfd7zXZ\0":
        return "a compressed file (a QEMU log is read by `trace import`)"
    if start.startswith((b"Trace ", b"PROLOGUE", b"----------------", b"IN:")):
        return "a QEMU log (read by `trace import`)"
    return f"a file that begins with {start[:8]!r}"


def _check(trace: Trace, name: str) -> None:
    """Raise ``InputError`` for values that violate the invariants of the format."""
    blocks, restores = trace.blocks, trace.retranslations

    def ascending(positions: npt.NDArray[np.int64], end: int, strict: bool) -> bool:
        steps = np.diff(positions)
        low = 1 if strict else 0
        return positions.size == 0 or bool((steps >= low).all() and positions[0] >= 0 and positions[-1] < end)

    length = trace.length
    rules = {
        "length": 0 <= length <= _MOST_EXECUTIONS,
        "threads": 0 <= trace.threads <= THREADS,
        "blocks": len(blocks) <= UNKNOWN_TB,
        "blocks.fast_bytes": bool((blocks.fast_bytes <= blocks.host_bytes).all()),
        "blocks.accesses": bool((blocks.accesses <= _MOST_ACCESSES).all()),
        "blocks.epoch": bool((np.diff(blocks.epoch.astype(np.int64)) >= 0).all()),
        "blocks.born": bool((np.diff(blocks.born) >= 0).all() and (blocks.born >= -1).all()),
        "stopped": ascending(trace.stopped, length, strict=True),
        "flushes": ascending(trace.flushes, length + 1, strict=False),
        "discarded": ascending(trace.discarded, length + 1, strict=False),
        "io_recompiles": ascending(trace.io_recompiles, length, strict=False),
        "retranslations.position": ascending(restores.position, length, strict=False),
        "retranslations.tb": bool(((restores.tb < len(blocks)) | (restores.tb == UNKNOWN_TB)).all()),
        "retranslations.thread": bool((restores.thread < THREADS).all()),
        "retranslations.rewritten_bytes": bool((restores.rewritten_bytes >= -1).all()),
        "retranslations.accesses": bool(((restores.accesses >= -1) & (restores.accesses <= _MOST_ACCESSES)).all()),
        "interruptions": ascending(trace.interruptions, length + 1, strict=False),
        "exits": trace.exits is None or len(trace.exits) == len(blocks),
        "exceptions": all(count >= 0 for count in trace.exceptions.values()),
    }
    if (links := trace.links) is not None:
        ends = links.source, links.target
        rules["links.position"] = ascending(links.position, length + 1, strict=False)
        rules["links.slot"] = bool((links.slot <= 1).all())
        rules["links.thread"] = bool((links.thread < THREADS).all())
        rules["links.source, links.target"] = all(
            bool(((rows < len(blocks)) | (rows == UNKNOWN_TB)).all()) for rows in ends
        )
    for place, holds in rules.items():
        if not holds:
            raise _damaged(name, place, "values out of range or order", "those of docs/trace-format.md")


# --- writing -------------------------------------------------------------------------------------------------


class TraceWriter:
    """Writes a trace to a file, executions first (see ``writing``)."""

    def __init__(self, file: BinaryIO, *, level: int) -> None:
        self._file = file
        self._level = level
        self._file.write(bytes(_PRELUDE.size))
        self._frame = _compressor(level).compressobj()
        self._encoder = Encoder()
        self._length = 0
        self.finished = False

    def add(self, words: Words) -> None:
        """Append executions with clear stopped bits (``finish`` writes the stopped positions as a column)."""
        self._length += words.size
        self._add_pairs(self._encoder.add(words))

    def finish(self, trace: Trace) -> None:
        """Write everything of ``trace`` except its executions."""
        if trace.length != self._length:
            raise ValueError(f"{self._length} executions were added, the trace has {trace.length}")
        self._add_pairs(self._encoder.finish())
        self._file.write(self._frame.flush())
        executions = self._file.tell() - _PRELUDE.size
        tables = _compressor(self._level).compress(b"".join(_packed(trace)))
        header = msgspec.json.encode(_header(trace))
        if len(header) > _LONGEST_HEADER:
            found = f"{len(trace.exceptions)} kinds of exceptions, with names of {len(header)} bytes"
            raise InputError(found, file=trace.name, expected=f"at most {_LONGEST_HEADER} bytes")
        sizes = (executions, len(tables), len(header))
        checksum = zlib.crc32(header, zlib.crc32(_PRELUDE.pack(MAGIC, VERSION, 0, *sizes)[_SIZES:]))
        self._file.write(tables)
        self._file.write(header)
        self._file.seek(0)
        self._file.write(_PRELUDE.pack(MAGIC, VERSION, checksum, *sizes))
        self.finished = True

    def _add_pairs(self, pairs: Words) -> None:
        self._file.write(self._frame.compress(pairs.astype("<u4", copy=False).tobytes()))


@contextlib.contextmanager
def writing(path: str | os.PathLike[str], *, level: int = LEVEL) -> Iterator[TraceWriter]:
    """A writer for the file ``path``, which appears only if the block calls ``finish``.

    Raises ``InputError`` if the file cannot be written, before the block where possible.
    """
    with replacing(Path(path), ordinary=True) as file:
        writer = TraceWriter(file, level=level)
        yield writer
        if not writer.finished:
            raise ValueError("TraceWriter.finish was not called")


def save_trace(trace: Trace, path: str | os.PathLike[str], *, level: int = LEVEL) -> None:
    """Write ``trace`` to the file ``path``, completely or not at all; raises ``InputError`` if that is impossible."""
    with writing(path, level=level) as writer:
        for words in trace.source.words():
            writer.add(words)
        writer.finish(trace)


def _compressor(level: int) -> zstandard.ZstdCompressor:
    # The content checksum detects damaged tables and executions.
    return zstandard.ZstdCompressor(level=level, write_checksum=True)


def _header(trace: Trace) -> Header:
    plain = ("guest", "mode", "access_tag", "length", "threads")
    return Header(
        name=printable(trace.name),  # which may be that of a file
        description=printable(trace.description),
        **{key: getattr(trace, key) for key in plain},
        exceptions=dict(trace.exceptions),
        blocks=len(trace.blocks),
        retranslations=len(trace.retranslations),
        **{column: getattr(trace, column).size for column in _POSITIONS},
        exits=0 if trace.exits is None else len(trace.exits),
        links=-1 if trace.links is None else len(trace.links),
        unread=dict(trace.unread),
    )


def _layout(header: Header) -> Iterator[tuple[str, np.dtype[Any], bool, int]]:
    """Every column in file order: name, element type, whether it holds differences, number of rows."""
    for column, (code, differences) in _BLOCKS.items():
        yield f"blocks.{column}", np.dtype(code), differences, header.blocks
    for column, (code, differences) in _RETRANSLATIONS.items():
        yield f"retranslations.{column}", np.dtype(code), differences, header.retranslations
    for column in _POSITIONS:
        yield column, np.dtype("<i8"), True, getattr(header, column)
    for slot in ("0", "1"):
        yield f"exits.{slot}", np.dtype("<u8"), True, header.exits
    for column, (code, differences) in _LINKS.items():
        yield f"links.{column}", np.dtype(code), differences, max(header.links, 0)


def _packed(trace: Trace) -> Iterator[bytes]:
    """The bytes of every column as byte planes: all lowest bytes, then all second ones, ..."""
    for column, code, differences, _ in _layout(_header(trace)):
        owner, _, name = column.rpartition(".")
        if owner == "exits":
            columns = trace.exits if trace.exits is not None else np.empty((0, 2), np.uint64)
            values = columns[:, int(name)].astype(code)
        elif owner == "links" and trace.links is None:
            values = np.empty(0, code)
        else:
            values = np.asarray(getattr(getattr(trace, owner) if owner else trace, name)).astype(code)
        if differences:
            values = np.diff(values, prepend=values.dtype.type(0))
        yield values.view(np.uint8).reshape(-1, code.itemsize).T.tobytes()


def _unpack(frame: bytes, header: Header, name: str) -> Mapping[str, npt.NDArray[Any]]:
    layout = tuple(_layout(header))
    size = sum(code.itemsize * rows for _, code, _, rows in layout)
    try:
        if zstandard.get_frame_parameters(frame).content_size != size or any(rows < 0 for *_, rows in layout):
            raise ValueError("tables of another size")
        if size > _SMALL and size > _DENSEST * len(frame):
            raise ValueError(f"{size} bytes of tables in {len(frame)}")
        data = zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    except (ValueError, zstandard.ZstdError, MemoryError) as error:
        raise _damaged(name, "tables", error, f"{size} bytes of tables") from error
    columns: dict[str, npt.NDArray[Any]] = {}
    offset = 0
    for column, code, differences, rows in layout:
        planes = np.frombuffer(data, np.uint8, code.itemsize * rows, offset).reshape(code.itemsize, rows)
        values = np.ascontiguousarray(planes.T).view(code).reshape(rows)
        columns[column] = np.cumsum(values, dtype=code) if differences else values
        columns[column].flags.writeable = False
        offset += code.itemsize * rows
    return MappingProxyType(columns)
