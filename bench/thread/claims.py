"""What the mailing-list thread of January 2011 claims, and what decides each claim (``claims.toml``).

Claims are in our words; who made them is said by role: the patch's author, who found and fixed the bug on ARM and MIPS,
and the reviewer, who asked about it.  ``bench/thread/findings.py`` decides them.
"""

from __future__ import annotations

import importlib.resources
import tomllib
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

Verdict = Literal[
    "confirmed",
    "refuted",
    "confirmed only if",
    "refuted only if",
    "consistent with the model",
    "cannot be decided here",
]
"""A report of what hardware did can only be consistent with the model: it was not observed here."""


@dataclass(frozen=True)
class ClaimOutcome:
    """A verdict, with its ``condition`` if it has one, for the case that the facts in ``when`` hold.

    A fact holds if it is true, or not empty; with ``not `` before its name, if it does not.
    """

    verdict: Verdict
    when: tuple[str, ...] = ()
    condition: str = ""


@dataclass(frozen=True)
class ReasonPart:
    """A part of a text for the case that the facts in ``when`` hold."""

    text: str
    when: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """Something that the thread says: a short ``name``, ``who`` said it, the ``claim``, and what decides it.

    Evidence, by the names of the facts that come of it: ``cells``, each a strategy, host, scenario and translator with
    options of the check; ``scenarios``, the same in every scenario; ``suspected``, hosts and translators; and what is
    ``measured`` by a function.  The verdict is the first of the ``outcomes`` that holds.  ``why``: a text in parts,
    which quote facts in braces.  ``commands``: commands, or the names of cells with what is to be added.
    """

    name: str
    who: Literal["the patch's author", "the reviewer"]
    claim: str
    outcomes: tuple[ClaimOutcome, ...]
    why: tuple[str | ReasonPart, ...]
    commands: tuple[str, ...] = ()
    cells: dict[str, dict[str, Any]] = field(default_factory=dict)
    scenarios: dict[str, str] = field(default_factory=dict)
    suspected: tuple[str, ...] = ()
    measured: str = ""


def _load() -> tuple[Claim, ...]:
    """The claims of the file; what one is ``like`` says all that it does not say itself."""
    tables = tomllib.loads(importlib.resources.files(__package__).joinpath("claims.toml").read_text(encoding="utf-8"))
    known = {table["name"]: table for table in tables["claim"]}
    full = ({**known.get(table.pop("like", ""), {}), **table} for table in tables["claim"])
    return msgspec.convert(list(full), tuple[Claim, ...])


CLAIMS = _load()
"""In the order of the thread."""
