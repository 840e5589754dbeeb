"""Deciding every claim, in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.support.errors import InputError
from bench.thread.claims import CLAIMS, Claim, Finding
from bench.thread.lab import Lab

Progress = Callable[[str, float], None]
"""Told what is being done, and the share of the whole that is done (0 to 1)."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A claim and what comes of it."""

    claim: Claim
    finding: Finding


def find_claims(names: Sequence[str]) -> tuple[Claim, ...]:
    """The claims of these names, all if there are none.  Raises ``InputError`` for an unknown one."""
    known = {claim.name: claim for claim in CLAIMS}
    for name in names:
        if name not in known:
            raise InputError(f"no claim {name!r}", expected=f"one of {', '.join(known)}")
    return tuple(known[name] for name in names) or tuple(CLAIMS)


def decide(claims: Sequence[Claim], lab: Lab, progress: Progress = lambda text, share: None) -> tuple[Decided, ...]:
    """What comes of each claim.  Raises ``InputError`` where a search was cut short."""
    found = []
    for number, claim in enumerate(claims):
        progress(claim.name, number / len(claims))
        found.append(Decided(claim, claim.decide(lab)))
    return tuple(found)
