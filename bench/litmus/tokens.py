"""The words of a part of a litmus test, each with its place, and what goes wrong there."""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn

from bench.support.errors import InputError

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<string>"[^"\n]*")
      | (?P<number>-?(?:0[xX][0-9a-fA-F]+|[0-9]+)(?![A-Za-z_0-9]))
      | (?P<word>[A-Za-z_][A-Za-z0-9_.]*)
      | (?P<sign>/\\|\\/|=>|[][{}();:,=~*])""",
    re.VERBOSE,
)


class Token(NamedTuple):
    """``kind``: string, number, word or sign; ``end`` for what comes after the last.  ``at``: where in the text."""

    kind: str
    text: str
    at: int


def place(text: str, at: int) -> str:
    """Line and column of a position in a text, both from 1."""
    before = text[:at]
    return f"line {before.count(chr(10)) + 1}, column {at - before.rfind(chr(10))}"


class Tokens:
    """The tokens of ``text[first:last]``, taken one after the other."""

    def __init__(self, text: str, first: int, last: int, file: str) -> None:
        self._text, self._file, self._next = text, file, 0
        self._tokens: list[Token] = []
        at = first
        while at < last:
            found = _TOKEN.match(text, at, last)
            if not found:
                self._refuse(at, repr(text[at]), "a test in herd's format")
            if found.lastgroup != "space":
                self._tokens.append(Token(str(found.lastgroup), found[0], at))
            at = found.end()
        self._tokens.append(Token("end", "", last))

    def _refuse(self, at: int, found: str, expected: str) -> NoReturn:
        raise InputError(f"found {found}", file=self._file, place=place(self._text, at), expected=expected)

    def refuse(self, expected: str) -> NoReturn:
        """Raise ``InputError`` at the next token."""
        token = self.peek()
        self._refuse(token.at, repr(token.text) if token.kind != "end" else "the end", expected)

    def peek(self, ahead: int = 0) -> Token:
        """A token that comes, without taking it."""
        return self._tokens[min(self._next + ahead, len(self._tokens) - 1)]

    def next(self) -> Token:
        """Take the next token."""
        token = self.peek()
        self._next += 1
        return token

    def took(self, text: str) -> bool:
        """Whether the next token was that, and was taken."""
        if self.peek().text != text or self.peek().kind == "string":
            return False
        self._next += 1
        return True

    def take(self, text: str) -> None:
        """Take that token.  Raises ``InputError`` if another comes."""
        if not self.took(text):
            self.refuse(repr(text))

    def take_kind(self, kind: str, expected: str) -> Token:
        """Take a token of that kind.  Raises ``InputError`` if another comes."""
        if self.peek().kind != kind:
            self.refuse(expected)
        return self.next()
