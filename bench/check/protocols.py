"""Documents verified case by case, on all cores: verdicts, what a failure needs, and what a fix does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from bench.explain.protocols import ProtocolRow, counterexample
from bench.hosts import Target
from bench.machine.caches import Features
from bench.protocols.document import Document, ProtocolCase
from bench.protocols.host import protocol_host
from bench.protocols.omission import Omission
from bench.protocols.refusals import refuse_missing
from bench.protocols.verification import MOST_STATES, necessities, needed_features, on, verify
from bench.support.errors import InputError
from bench.support.processors import each


@dataclass(frozen=True, slots=True)
class VerifiedCase:
    """A case with its verdict, the ``failure`` (``wrong fetch``, ``deadlock``, ``vacuous``, or empty), its
    counterexample and the number of ``states``.

    If asked for: ``needs`` of a case that fails on a host (``needed_features``), else None; ``necessities`` of one that
    holds.
    """

    case: ProtocolCase
    verdict: str
    failure: str
    states: int
    rows: tuple[ProtocolRow, ...]
    needs: tuple[tuple[str, ...], ...] | None = None
    necessities: tuple[Omission, ...] = ()

    @property
    def as_expected(self) -> bool:
        """Whether the verdict is the one that the document expects, if it expects one."""
        return self.verdict == self.case.expected or (self.case.expected is None and self.verdict != "bounded")


@dataclass(frozen=True, slots=True)
class VerifiedDocument:
    """A document with its cases, in order."""

    document: Document
    cases: tuple[VerifiedCase, ...]


def verify_document(document: Document, *, explained: bool, max_states: int = MOST_STATES) -> VerifiedDocument:
    """All cases of a document; ``explained``: with needs and necessities."""
    cases = []
    for case in document.cases:
        found = verify(case.protocol, max_states=max_states)
        fails, holds = found.verdict == "fails", found.verdict == "holds"
        of_host = fails and isinstance(case.protocol.host.rules, Features)
        cases.append(
            VerifiedCase(
                case,
                found.verdict,
                found.outcome.failure,
                found.outcome.states,
                counterexample(found),
                needed_features(case.protocol) if explained and of_host else None,
                necessities(case) if explained and holds else (),
            )
        )
    return VerifiedDocument(document, tuple(cases))


def moved(document: Document, host: Target) -> Document:
    """The same document on another host, named after both.

    Of a case that says something of its host by itself, nothing is expected on another.  Raises ``InputError`` where
    that has too few cores, or no such operation.
    """

    def refuse(found: str, steps: tuple[str, ...], expected: str, line: int) -> InputError:
        return InputError(found, place=f"{document.name} on {host.name}, line {line}", expected=expected)

    cases = []
    for case in document.cases:
        refuse_missing(case.protocol, host.isa, refuse)
        protocol = on(case.protocol, protocol_host(host))
        if protocol is None:
            raise InputError(
                f"{case.protocol.host.cores} cores",
                place=f"{document.name} on {host.name}",
                expected=f"at most {host.cores.value}, which this host has",
            )
        cases.append(replace(case, protocol=protocol, expected=None if case.own_host else case.expected))
    return replace(document, name=f"{document.name} on {host.name}", cases=tuple(cases))


def verify_documents(
    documents: Sequence[Document], *, explained: bool, progress: Callable[[str, int], None] = lambda text, done: None
) -> tuple[VerifiedDocument, ...]:
    """The same for many documents, on all cores."""
    found = []
    for number, one in enumerate(each(partial(verify_document, explained=explained), documents, at_once=4)):
        progress(documents[number].name, number)
        found.append(one)
    return tuple(found)
