"""Reading files that people write, up to a size; writing files: found out before the work whether it can be done, and
then whole or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from bench.support.errors import InputError

_STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d{1,9})")


_MOST_BYTES = 1 << 20


def read_bytes(path: str, what: str, most: int = _MOST_BYTES) -> bytes:
    """The bytes of a file of at most so many, which is ``what`` (as "a host profile").  Raises ``InputError``."""
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(most + 1)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot be read: {reason}", file=path, expected=what) from None
    if len(data) > most:
        raise InputError(f"found more than {most} bytes", file=path, expected=what)
    return data


def decoded(data: bytes, file: str) -> str:
    """The bytes as text; ``file`` is named in errors.  Raises ``InputError``."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        found = f"found the byte 0x{data[error.start]:02x}"
        raise InputError(found, file=file, place=f"line {line}, column {column}", expected="UTF-8 text") from None


def refuse_unwritable(path: Path, *, ordinary: bool = False) -> None:
    """Raise ``InputError`` if a file cannot be written there.  Nothing is created.

    ``ordinary``: a device, a pipe and an open descriptor will not do.
    """
    descriptor, target = _descriptor(path), _target(path)
    special = descriptor is not None or (target.exists() and not target.is_file())
    if target.is_dir():
        raise InputError("is a folder", file=str(path), expected="a file to write")
    if special and ordinary:
        raise InputError("is a device, a pipe or an open file", file=str(path), expected="the name of a file")
    if descriptor is not None:
        try:
            os.fstat(descriptor)
        except OSError:
            raise InputError("is not open", file=str(path), expected="a file that may be written") from None
        return
    folder = target.parent
    if not folder.is_dir():
        raise InputError("no such folder", file=str(folder), expected="a folder to write in")
    if not os.access(target if target.exists() else folder, os.W_OK) or not (special or os.access(folder, os.W_OK)):
        raise InputError("permission denied", file=str(path), expected="a file that may be written")


def refuse_overwriting(outputs: Iterable[Path], inputs: Iterable[str]) -> None:
    """Raise ``InputError`` for a file that is to be written and is read too, or is to be written twice."""
    read = [Path(name) for name in inputs if name and "\0" not in name and os.path.isfile(name)]
    written: set[str] = set()
    for path in outputs:
        if path.is_file() and any(path.samefile(other) for other in read):
            raise InputError("is read, and would be lost", file=str(path), expected="another file to write")
        target = os.path.realpath(path)
        if target in written and (path.is_file() or not path.exists()):
            raise InputError("is written twice", file=str(path), expected="two files")
        written.add(target)


@contextlib.contextmanager
def replacing(path: Path, *, ordinary: bool = False) -> Iterator[BinaryIO]:
    """A binary file that takes the place of ``path`` when the block ends, and vanishes if the block raises.

    A device, a pipe or an open descriptor (``/dev/stdout``) cannot be replaced: it is written as it is,
    unless it has to be an ``ordinary`` file.  Raises ``InputError`` if it cannot be written, and
    ``BrokenPipeError`` if nobody reads it any more.
    """
    refuse_unwritable(path, ordinary=ordinary)
    descriptor, target = _descriptor(path), _target(path)
    if descriptor is not None:
        # Not opened anew: a file that the shell opened goes on from where it is.
        with _blamed_on(path):
            handle = os.dup(descriptor)
        with _written(handle, path) as file:
            yield file
    elif target.exists() and not target.is_file():
        with _blamed_on(path):
            handle = os.open(target, os.O_WRONLY)
        with _written(handle, path) as file:
            yield file
    else:
        with _appearing(target, path) as file:
            yield file


@contextlib.contextmanager
def _appearing(target: Path, path: Path) -> Iterator[BinaryIO]:
    """A file of another name in the same folder, renamed when the block ends."""
    with _blamed_on(path):
        handle, name = tempfile.mkstemp(prefix=f".{target.name}."[:100], dir=target.parent)
    try:
        with _written(handle, path) as file:
            yield file
        with _blamed_on(path):
            mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
            os.chmod(name, mode)
            os.replace(name, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


@contextlib.contextmanager
def _blamed_on(path: Path) -> Iterator[None]:
    """What the system refuses in the block is ``path``'s."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _cannot(error, path) from error


def _cannot(error: OSError, path: Path) -> InputError:
    return InputError(f"{error.strerror or error}", file=str(path), expected="a file that can be written")


class _File(io.FileIO):
    """A file of which a write that fails names ``path``; other errors in the same block are not its own."""

    def __init__(self, handle: int, path: Path) -> None:
        super().__init__(handle, "wb")
        self._path = path

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _cannot(error, self._path) from error


def _written(handle: int, path: Path) -> BinaryIO:
    return io.BufferedWriter(_File(handle, path))


def _descriptor(path: Path) -> int | None:
    """The number of the open descriptor that ``path`` names, if it names one."""
    found = _DESCRIPTOR.fullmatch(str(path))
    return int(found[1]) if found else _STANDARD.get(str(path))


def _target(path: Path) -> Path:
    """What is replaced: a symbolic link stays, and what it leads to is written."""
    return Path(os.path.realpath(path))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
