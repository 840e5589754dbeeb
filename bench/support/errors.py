"""The one error that bad input raises: a line with file, place, what was found and what was expected."""

from __future__ import annotations


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
