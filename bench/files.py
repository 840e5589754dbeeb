"""Writing files: found out before the work whether it can be done, and then whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from bench.errors import InputError


def refuse_unwritable(path: Path) -> None:
    """Raise ``InputError`` if a file cannot be written there.  Nothing is created."""
    if path.is_dir():
        raise InputError("is a folder", file=str(path), expected="a file to write")
    folder = path.parent
    if not folder.is_dir():
        raise InputError("no such folder", file=str(folder), expected="a folder to write in")
    special = path.exists() and not path.is_file()
    if not os.access(path if path.exists() else folder, os.W_OK) or not (special or os.access(folder, os.W_OK)):
        raise InputError("permission denied", file=str(path), expected="a file that may be written")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A binary file that takes the place of ``path`` when the block ends, and vanishes if the block raises.

    A device or a pipe cannot be replaced: it is written as it is.
    """
    refuse_unwritable(path)
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(name)
        if isinstance(error, OSError):
            raise InputError(f"{error.strerror}", file=str(path), expected="a file that can be written") from error
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
