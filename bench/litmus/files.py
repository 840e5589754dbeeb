"""Reading litmus files, folders and lists of them, and kinds files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.support.errors import InputError

_MOST_BYTES = 1 << 20


def text_of(path: str) -> str:
    """The text of a file.  Raises ``InputError``."""
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot be read: {getattr(error, 'strerror', None) or error}", file=path, expected="a text file"
        ) from None
    if len(data) > _MOST_BYTES:
        raise InputError(f"more than {_MOST_BYTES} bytes", file=path, expected="a litmus test")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"the byte 0x{data[error.start]:02x}", file=path, place=f"line {line}", expected="UTF-8"
        ) from None


def named(arguments: Iterable[str], within: frozenset[Path] = frozenset()) -> Iterator[str]:
    """The test files that arguments name.

    An argument is a file, a folder (all ``.litmus`` files below it), or a list ``@FILE`` as in herd: one argument on
    each line, relative to the folder of the list.  Raises ``InputError``.
    """
    for argument in arguments:
        path = Path(argument)
        if path.name.startswith("@"):
            if path.resolve() in within:
                raise InputError("a list that contains itself", file=argument, expected="tests")
            lines = (line.partition("#")[0].strip() for line in text_of(argument).splitlines())
            yield from named((str(path.parent / line) for line in lines if line), within | {path.resolve()})
        elif path.is_dir():
            found = sorted(map(str, path.rglob("*.litmus")))
            if not found:
                raise InputError("no .litmus files", file=argument, expected="a folder with tests")
            yield from found
        else:
            yield argument


def kinds_in(path: str) -> dict[str, str]:
    """The kinds file of herd at ``path``: a test name and Allowed, Forbidden or Required on each line."""
    found = {}
    for number, line in enumerate(text_of(path).splitlines(), 1):
        fields = line.partition("#")[0].split()
        if fields:
            if len(fields) != 2 or fields[1] not in ("Allowed", "Forbidden", "Required"):
                raise InputError(
                    f"found {line.strip()!r}",
                    file=path,
                    place=f"line {number}",
                    expected="a name and Allowed, Forbidden or Required",
                )
            found[fields[0]] = fields[1]
    return found
