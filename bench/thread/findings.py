"""Deciding every claim, in order: evidence becomes facts, and facts pick the verdict and its reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from bench.support.errors import InputError
from bench.support.processors import each
from bench.support.progress import Progress, silent
from bench.support.text import listed
from bench.thread.claims import CLAIMS, Claim, ReasonPart, Verdict
from bench.thread.evidence import Facts, all_commands, all_facts
from bench.thread.lab import Lab


@dataclass(frozen=True, slots=True)
class Finding:
    """What comes of a claim: the ``verdict``, with its ``condition`` if it has one, why, and commands that show it."""

    verdict: Verdict
    why: str
    commands: tuple[str, ...]
    condition: str = ""

    @property
    def text(self) -> str:
        """The verdict in words."""
        return f"{self.verdict} {self.condition}" if self.condition else self.verdict


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
    return tuple(known[name] for name in names) or CLAIMS


def decide(claims: Sequence[Claim], lab: Lab, progress: Progress = silent) -> tuple[Decided, ...]:
    """What comes of each claim, on all cores.  Raises ``InputError`` where a search was cut short."""
    # First what takes longest.
    order = sorted(range(len(claims)), key=lambda number: claims[number].measured != "rate")
    found: dict[int, Finding] = {}
    progress(claims[order[0]].name, 0.0)
    for number, finding in zip(order, each(partial(find, lab=lab), [claims[number] for number in order]), strict=True):
        found[number] = finding
        progress(claims[number].name, len(found) / len(claims))
    return tuple(Decided(claim, found[number]) for number, claim in enumerate(claims))


def find(claim: Claim, lab: Lab) -> Finding:
    """What comes of one claim.  Raises ``InputError`` where a search was cut short."""
    facts = all_facts(claim, lab)
    quoted = {name: _quoted(fact) for name, fact in facts.items()}
    outcome = next(one for one in claim.outcomes if _hold(one.when, facts))
    parts = [ReasonPart(part) if isinstance(part, str) else part for part in claim.why]
    return Finding(
        outcome.verdict,
        "".join(part.text for part in parts if _hold(part.when, facts)).format(**quoted),
        all_commands(claim, lab),
        outcome.condition.format(**quoted),
    )


def _hold(when: Sequence[str], facts: Facts) -> bool:
    return all(bool(facts[name.removeprefix("not ")]) != name.startswith("not ") for name in when)


def _quoted(fact: object) -> object:
    """A fact as sentences have it: whether a cell fails, or a list of names."""
    if isinstance(fact, bool):
        return "fails" if fact else "holds"
    return listed(fact) if isinstance(fact, tuple) else fact
