"""Results that are kept on disk: what takes long to compute is computed once for one content.

SQLite keeps them, in one file of the user's cache folder: it serves several processes, and a process may end at any
moment.  A value is stored as MessagePack and read back as its type, together with a digest of key and value: what is
damaged is not there, and nothing is ever executed on reading (a pickle would be).  A store that cannot be read or
written changes no answer.  Only inside a ``session``, as commands are, is anything kept or reused.

A key is the content of everything that the value depends on (``digest``) and the sources that compute it
(``versions.version``).  What a price, a tag or a text depends on is not kept.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import os
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

import msgspec

from bench.support.text import listed
from bench.support.versions import user_cache, version

T = TypeVar("T")

FOLDER = "STALELINE_RESULTS"
"""The variable of the environment that names the folder; empty: nothing is kept."""
MOST = 256 << 20
"""Bytes of the file, at most."""

_PAGE = 4096
_UNUSED = 24 * 3600
"""Seconds after which a use is noted again."""
_PATIENCE = 2.0
"""Seconds that are waited for another process; after that nothing is kept."""


# --- content ----------------------------------------------------------------------------------------------------------


def digest(content: Any) -> bytes:
    """A digest of plain values, enumerations, data classes, structs and arrays, and what holds them.

    Raises ``TypeError`` for anything else, of which nobody knows what its content is.
    """
    return _Digests().of(content)


class _Digests:
    """Digests, each object's computed once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, bytes]] = {}  # the object too, so that its number stays its own

    def of(self, value: Any) -> bytes:
        if value is None or type(value) in (bool, int, float, str):
            return _hashed(type(value).__name__, repr(value).encode("utf-8", "surrogatepass"))
        known = self._known.get(id(value))
        if known is None:
            known = self._known[id(value)] = value, self._made(value)
        return known[1]

    def _made(self, value: Any) -> bytes:
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        match value:
            case bytes():
                return _hashed("bytes", value)
            case enum.Enum():
                return _hashed(kind, value.name.encode())
            case type():
                return _hashed("type", f"{value.__module__}.{value.__qualname__}".encode())
            case tuple() | list():
                return _hashed("sequence" if type(value) in (tuple, list) else kind, *map(self.of, value))
            case Mapping():
                return _hashed("mapping", *sorted(self.of(key) + self.of(one) for key, one in value.items()))
            case Set():
                return _hashed("set", *sorted(map(self.of, value)))
            case msgspec.Struct():
                return _hashed(kind, *(self.of(getattr(value, name)) for name in value.__struct_fields__))
        if is_dataclass(value):
            return _hashed(kind, *(self.of(getattr(value, one.name)) for one in fields(value)))
        if kind == "numpy.ndarray":
            return _hashed(f"{value.dtype.str} {value.shape}", value.tobytes())
        raise TypeError(f"{kind}: what is its content?")


def _hashed(kind: str, *parts: bytes) -> bytes:
    found = hashlib.blake2b(f"{kind}:{len(parts)}".encode(), digest_size=20)
    for part in parts:
        found.update(len(part).to_bytes(8, "little"))
        found.update(part)
    return found.digest()


# --- a kind of result -------------------------------------------------------------------------------------------------


class Shelf(Generic[T]):
    """Results of one kind.

    ``what``: what they are called, in the plural; ``type``: what msgspec reads them as; ``files``: the modules that
    compute them, which are kept apart by all the sources that they import.
    """

    def __init__(self, what: str, type: Any, *files: str) -> None:
        self.what = what
        self._files = files
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(type)

    def key(self, parts: Any) -> bytes:
        """The key of these contents.  Raises as ``digest``."""
        return digest((self.what, version(*self._files), parts))

    def find(self, parts: Any) -> T | None:
        """What is kept, or None.  Raises as ``digest``."""
        if _session is None:
            return None
        store = None if _session.fresh else _store()
        found = store.read(self.key(parts)) if store is not None else None
        value: T | None = None
        with contextlib.suppress(msgspec.MsgspecError):
            value = None if found is None else self._decoder.decode(found)
        if _session.told is not None:
            _session.told.write(f"{'-' if value is None else '+'} {self.what}\n".encode())
        return value

    def keep(self, parts: Any, value: T) -> T:
        """Keep a value, and return it.  Raises as ``digest``."""
        store = None if _session is None else _store()
        if store is not None:
            store.write(self.key(parts), msgspec.msgpack.encode(value))
        return value

    def kept(self, parts: Any, compute: Callable[[], T]) -> T:
        """What is kept of these contents, or else what is computed."""
        value = self.find(parts)
        return self.keep(parts, compute()) if value is None else value


# --- one run ----------------------------------------------------------------------------------------------------------


@dataclass
class _Session:
    """``fresh``: nothing that is kept is looked at.  ``told``: where lookups are noted, if somebody wants to know."""

    fresh: bool
    told: BinaryIO | None


_session: _Session | None = None


@contextlib.contextmanager
def session(*, fresh: bool = False, told: bool = False) -> Iterator[Callable[[], str]]:
    """A run that is ``fresh`` or not; if ``told``, what it yields says in words what of it was reused."""
    global _session
    before = _session
    with tempfile.TemporaryFile(buffering=0) if told else contextlib.nullcontext() as file:
        _session = _Session(fresh, file)  # forked processes write to the same place in it
        try:
            yield lambda: _in_words(file)
        finally:
            _session = before


@contextlib.contextmanager
def joined(*, fresh: bool) -> Iterator[None]:
    """The session that a forked process has from its parent, or else one of its own."""
    with contextlib.nullcontext() if _session is not None else session(fresh=fresh):
        yield


def is_fresh() -> bool:
    """Whether nothing that is kept is looked at."""
    return _session is not None and _session.fresh


def is_keeping() -> bool:
    """Whether anything is kept here: if not, no key has to be made."""
    return _session is not None and _store() is not None


def _in_words(file: BinaryIO | None) -> str:
    """``reused 40 of 44 verdicts``, of each kind of result that was looked for."""
    if file is None:
        return ""
    file.seek(0)
    lookups = Counter(file.read().decode().splitlines())
    kinds = sorted({line[2:] for line in lookups})
    counted = [(what, lookups[f"+ {what}"], lookups[f"- {what}"]) for what in kinds]
    return f"reused {listed(f'{had} of {had + missed} {what}' for what, had, missed in counted) or 'nothing'}"


# --- the file ---------------------------------------------------------------------------------------------------------


class _Store:
    """The file, opened by one process.  What is wrong with it is never an error: it does without from then on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()
        self._tries = 2

    def read(self, key: bytes) -> bytes | None:
        """What is kept under a key, if it is whole."""
        row = self._run("SELECT value, whole, used FROM kept WHERE key = ?", (key,))
        if not row:
            return None
        value, whole, used = row[0]
        if type(value) is not bytes or whole != _hashed("kept", key, value):
            return None
        now = int(time.time())
        if type(used) is not int or not 0 <= now - used < _UNUSED:
            self._run("UPDATE kept SET used = ? WHERE key = ?", (now, key))
        return value

    def write(self, key: bytes, value: bytes) -> None:
        """Keep a value, if there is room and a place for it."""
        if len(value) > MOST // 8:
            return
        row = (key, value, _hashed("kept", key, value), int(time.time()))
        if self._run("INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?)", row) is None:
            _say_that_nothing_is_kept()
        elif (self._number("page_count") - self._number("freelist_count")) * _PAGE > MOST * 3 // 4:
            # The quarter that was not used for longest: its room is used again.
            self._run(
                "DELETE FROM kept WHERE key IN (SELECT key FROM kept ORDER BY used LIMIT "
                "(SELECT count(*) / 4 + 1 FROM kept))"
            )

    def _number(self, pragma: str) -> int:
        found = self._run(f"PRAGMA {pragma}")
        return int(found[0][0]) if found else 0

    def _run(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any] | None:
        """The rows of a statement; None if it cannot be executed."""
        with self._lock:
            while self._tries:
                try:
                    if self._connection is None:
                        self._connection = self._opened()
                    with self._connection:
                        return self._connection.execute(statement, values).fetchall()
                except (sqlite3.Error, OSError) as error:
                    self.close()
                    damaged = getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED
                    self._tries = self._tries - 1 if damaged else 0
                    if damaged:
                        self._remove()
        return None

    def _opened(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # A statement is a transaction.  No write-ahead log: its shared memory does not work on network file systems.
        found = sqlite3.connect(self._path, timeout=_PATIENCE, check_same_thread=False)
        try:
            found.execute(f"PRAGMA page_size = {_PAGE}")
            found.execute(f"PRAGMA max_page_count = {MOST // _PAGE}")
            found.execute("PRAGMA synchronous = OFF")  # after a loss of power the digests tell
            if not found.execute("SELECT 1 FROM sqlite_master WHERE name = 'kept'").fetchone():
                columns = "key BLOB PRIMARY KEY, value BLOB, whole BLOB, used INTEGER"
                found.execute(f"CREATE TABLE IF NOT EXISTS kept ({columns})")
        except sqlite3.Error:
            found.close()
            raise
        return found

    def _remove(self) -> None:
        """Begin anew: a journal that is left would be taken for one of the new file."""
        for path in (f"{self._path}-journal", self._path):
            with contextlib.suppress(OSError):
                os.unlink(path)

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _store() -> _Store | None:
    """The store of this process: a connection must not be carried into a forked one.  None: nothing is to be kept."""
    folder = os.environ.get(FOLDER)
    if folder == "":
        return None
    return _store_of(os.getpid(), folder)


@cache
def _store_of(process: int, folder: str | None) -> _Store | None:
    try:
        return _Store((Path(folder) if folder else user_cache()) / "results.sqlite")
    except RuntimeError:  # nobody knows where home is
        _say_that_nothing_is_kept()
        return None


@cache
def _say_that_nothing_is_kept() -> None:
    """Once.  Not a warning, which a setting of Python's may turn into an error."""
    if sys.stderr is not None:
        print("staleline: results cannot be kept: computing anew in every run", file=sys.stderr, flush=True)
