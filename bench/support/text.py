"""Text that can be shown and kept whatever is in it, and lists in running text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and new line, those that turn the direction of writing, and lone surrogates."""


def printable(text: str) -> str:
    """The text with escapes, as JSON has them, for what a terminal would obey and for what no encoding has."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def encoded(document: Any) -> bytes:
    """A document as JSON; the name of a file need not be UTF-8, and then has escapes in it."""
    import msgspec

    try:
        return msgspec.json.encode(document)
    except UnicodeEncodeError:
        return msgspec.json.encode(_escaped(msgspec.to_builtins(document)))


def _escaped(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {_escaped(key): _escaped(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [*map(_escaped, tree)]
    return printable(tree) if isinstance(tree, str) else tree


def listed(names: Iterable[str]) -> str:
    """``T1``, ``T1 and T2``, ``T1, T2 and T3``; empty for none."""
    *rest, last = [*names] or [""]
    return f"{', '.join(rest)} and {last}" if rest else last
