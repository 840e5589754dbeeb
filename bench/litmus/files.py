"""Reading litmus files, folders and lists of them, and kinds files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.support.errors import InputError
from bench.support.files import decoded, read_bytes


def text_of(path: str) -> str:
    """The text of a file.  Raises ``InputError``."""
    return decoded(read_bytes(path, "a litmus test"), path)


def named(arguments: Iterable[str]) -> Iterator[str]:
    """The test files that arguments name.

    An argument is a file, a folder (all ``.litmus`` files below it), or a list ``@FILE`` as in herd: one argument on
    each line, relative to the folder of the list.  A list that is named again is not read again.  Raises
    ``InputError``.
    """
    lists: set[Path] = set()
    pending = [*arguments][::-1]
    while pending:
        argument = pending.pop()
        if "\0" in argument:
            raise InputError("a null byte in a name", file=argument.replace("\0", "?"), expected="a litmus test")
        path = Path(argument)
        if path.name.startswith("@"):
            if path.resolve() not in lists:
                lists.add(path.resolve())
                lines = (line.partition("#")[0].strip() for line in text_of(argument).splitlines())
                pending += [str(path.parent / line) for line in lines if line][::-1]
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
