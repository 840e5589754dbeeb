"""The one error that bad input raises: a line with file, place, what was found and what was expected."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """Bad usage or bad input, which the command line prints as one line and exits with 2.

    A parameter is named in backquotes, in any of the parts: `` `max_states` ``.  The command line puts the flag for it.
    """

    def __init__(self, message: str, *, file: str = "", place: str = "", expected: str = "") -> None:
        self.message = message
        self.file = file
        self.place = place
        self.expected = expected
        text = ": ".join(part for part in (file, place, message) if part)
        if expected:
            text += f"; expected {expected}"
        super().__init__(" ".join(text.split()))


def nearest(name: str, known: Iterable[str]) -> str:
    """What is expected in place of a name that is not known: the one closest to it, or else all."""
    names = list(known)
    near = difflib.get_close_matches(name, names, 1)
    return near[0] if near else f"one of {', '.join(names)}" if names else "one that there is"
