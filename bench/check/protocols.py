"""Documents verified case by case, on all cores: verdicts, what a failure needs, and what a fix does not."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from bench.explain.protocols import ProtocolRow, counterexample
from bench.hosts import Host, Target, host_names, load_target
from bench.hosts.loader import ARCHITECTURES
from bench.machine.caches import Features
from bench.machine.opcodes import family
from bench.protocols.document import Document, ProtocolCase
from bench.protocols.host import protocol_host
from bench.protocols.omission import Omission
from bench.protocols.price import ProtocolPrices
from bench.protocols.refusals import refuse_missing
from bench.protocols.verification import MOST_STATES, necessities, needed_features, on, verify
from bench.replay.cost import Cost
from bench.replay.parameters import Parameters
from bench.support.errors import InputError
from bench.support.processors import each
from bench.support.progress import Progress


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
    """A document with its cases, in order; ``target``: the host or architecture that it was moved to."""

    document: Document
    cases: tuple[VerifiedCase, ...]
    target: Target | None = None


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


def everywhere(document: Document) -> list[tuple[Document, Target]]:
    """The document moved to each shipped host and architecture of its instruction set that has the cores for it."""
    found: list[tuple[Document, Target]] = []
    for name in (*host_names(), *ARCHITECTURES):
        target = load_target(name)
        if document.isa and family(document.isa) in map(family, target.isa):
            with contextlib.suppress(InputError):
                found.append((moved(document, target), target))
    return found


def verify_documents(
    asked: Sequence[tuple[Document, Target | None]],
    *,
    explained: bool,
    max_states: int = MOST_STATES,
    progress: Progress,
) -> tuple[VerifiedDocument, ...]:
    """The same for many documents, on all cores, each with where it was moved to."""
    found = []
    work = partial(verify_document, explained=explained, max_states=max_states)
    documents = [document for document, _ in asked]
    for number, one in enumerate(each(work, documents, at_once=4 if len(documents) > 16 else 1)):
        progress(documents[number].name, number)
        found.append(replace(one, target=asked[number][1]))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class PricedLine:
    """An operation of a thread in a ``line`` of a file, and what it costs on each of some hosts."""

    line: int
    thread: str
    operation: str
    costs: tuple[Cost, ...]


def priced_lines(document: Document, hosts: Sequence[Host], parameters: Parameters) -> tuple[PricedLine, ...]:
    """Every operation of a document that is not only an execution, each line once."""
    found: dict[tuple[int, str, str], PricedLine] = {}
    for case in document.cases:
        for line in priced_case(document, case, hosts, parameters):
            found.setdefault((line.line, line.thread, line.operation), line)
    return tuple(found.values())


def priced_case(
    document: Document, case: ProtocolCase, hosts: Sequence[Host], parameters: Parameters
) -> tuple[PricedLine, ...]:
    """Every operation of one of its cases that is not only an execution."""
    prices = [ProtocolPrices(host, _runs_as(document, host), parameters) for host in hosts]
    threads = case.protocol.threads
    code = {
        name
        for thread in threads
        for operation in thread.operations
        if operation.verb == "execute"
        for name in operation.names
    }
    return tuple(
        PricedLine(
            one.line,
            thread.name,
            one.text,
            tuple(
                price.of(one.verb, [name in code for name in one.names], local=one.word == "local") for price in prices
            ),
        )
        for thread in threads
        for one in thread.operations
        if one.verb != "execute"
    )


def _runs_as(document: Document, host: Host) -> str:
    return next((isa for isa in host.isa if document.isa and family(isa) == family(document.isa)), host.main_isa)
