"""The tokens of a litmus test, with line and column for errors."""

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


_MOST_DIGITS = 40


class Token(NamedTuple):
    """A token of ``kind`` string, number, word, sign, or ``end`` after the last; ``at``: its position in the text."""

    kind: str
    text: str
    at: int


def place(text: str, at: int) -> str:
    """The line and column of a position in a text, both from 1."""
    before = text[:at]
    return f"line {before.count(chr(10)) + 1}, column {at - before.rfind(chr(10))}"


class Tokens:
    """The tokens of ``text[first:last]``, consumed in order."""

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
        """The next token, or one ``ahead`` of it, without consuming it."""
        return self._tokens[min(self._next + ahead, len(self._tokens) - 1)]

    def next(self) -> Token:
        """Consume the next token."""
        token = self.peek()
        self._next += 1
        return token

    def took(self, text: str) -> bool:
        """Consume the next token if it is ``text``; whether it was."""
        if self.peek().text != text or self.peek().kind == "string":
            return False
        self._next += 1
        return True

    def take(self, text: str) -> None:
        """Consume the token ``text``.  Raises ``InputError`` if the next token is another one."""
        if not self.took(text):
            self.refuse(repr(text))

    def take_number(self, expected: str, least: int, most: int) -> int:
        """Consume a number between ``least`` and ``most``.  Raises ``InputError`` for anything else."""
        token = self.take_kind("number", expected)
        # Longer ones Python refuses to read; a leading zero is octal to some and decimal to others.
        digits = token.text.lstrip("-")
        leading = digits.startswith("0") and digits.isdecimal() and len(digits) > 1
        if len(digits) > _MOST_DIGITS or leading or not least <= int(token.text, 0) <= most:
            found = token.text if len(token.text) <= _MOST_DIGITS else f"{token.text[:_MOST_DIGITS]}..."
            zero = ", without a leading zero" * leading
            self._refuse(token.at, repr(found), f"{expected}, {least} to {most}{zero}")
        return int(token.text, 0)

    def take_kind(self, kind: str, expected: str) -> Token:
        """Consume a token of that kind.  Raises ``InputError`` if the next token is of another kind."""
        if self.peek().kind != kind:
            self.refuse(expected)
        return self.next()
