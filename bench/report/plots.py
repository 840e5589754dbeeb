"""What every plot has in common: a file name of a kind that matplotlib writes, and the bytes that it makes."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from typing import TYPE_CHECKING

from bench.support.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".svg", ".png", ".pdf")

_UNDATED: dict[str, dict[str, None]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
"""So that the same figures make the same file."""


def refuse_unplottable(path: Path) -> None:
    """Raise ``InputError`` for a file name of no known kind, and where matplotlib is not installed."""
    if path.suffix not in SUFFIXES:
        raise InputError(repr(path.name), place="--plot", expected=f"a name that ends in {', '.join(SUFFIXES)}")
    if importlib.util.find_spec("matplotlib") is None:
        raise InputError("matplotlib is not installed", place="--plot", expected="pip install 'staleline[plot]'")


def drawn(figure: Figure, suffix: str) -> bytes:
    """The file of a figure."""
    out = io.BytesIO()
    figure.savefig(out, format=suffix.removeprefix("."), metadata=_UNDATED.get(suffix))
    return out.getvalue()
