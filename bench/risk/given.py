"""How often it bites where the probabilities per operation are given: the chain alone, without a trace or a clock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bench.check.cell import hypothetical
from bench.check.units import concerned_by
from bench.hosts.profile import Host
from bench.machine import Kind
from bench.program.compiler import Compiler
from bench.risk.causes import AT_ONCE, CHANCY, Cause
from bench.risk.chain import RUNS, Chain
from bench.risk.sample import Interval, simulate
from bench.risk.solve import FETCHED
from bench.scenarios import scenario
from bench.search.question import Question
from bench.support.errors import InputError
from bench.translators.translator import Translator
from strategies.strategy import Strategy

SLICE_END = "slice_end"
NAMES = (*(kind.name.lower() for kind in CHANCY), SLICE_END)
"""What can be given: the kinds of ``Cause``, and that a time slice ends before an operation."""

OPTION = "--per-operation"


@dataclass(frozen=True, slots=True)
class Probabilities:
    """Of everything that the environment may do between two operations; stores drain and maintenance completes at once
    unless it is said otherwise.  ``slice_end``: where threads share a core."""

    cause: Cause = AT_ONCE
    slice_end: float = 0.0

    @classmethod
    def parsed(cls, settings: Iterable[str]) -> Probabilities:
        """From ``write_back=1e-6``, ...  Raises ``InputError`` for what is no name, no probability, or said twice."""
        given: dict[str, Any] = {kind.name.lower(): AT_ONCE.of(kind) for kind in (Kind.DRAIN, Kind.COMPLETE)}
        said: set[str] = set()
        for setting in settings:
            name, _, text = setting.partition("=")
            if name not in NAMES or name in said:
                raise InputError(
                    f"{name!r}{' twice' * (name in said)}", place=OPTION, expected=f"one of {', '.join(NAMES)}, once"
                )
            said.add(name)
            try:
                given[name] = float(text)
                if not 0 <= given[name] <= 1:
                    raise ValueError(text)
            except ValueError as error:
                raise InputError(repr(text), place=f"{OPTION} {name}", expected="a probability, 0 .. 1") from error
        slice_end = given.pop(SLICE_END, 0.0)
        return cls(Cause("given", 1.0, **given), slice_end)


@dataclass(frozen=True, slots=True)
class OneThread:
    """The figures of ``Answer``; ``drawn``: the first by simulation, if asked for."""

    first: float
    long_run: float
    residual: float
    drawn: Interval | None


@dataclass(frozen=True, slots=True)
class Threads:
    """The probability of a wrong fetch after one retranslation by each, by scheduler."""

    least: float
    slices: float
    greatest: float


@dataclass(frozen=True, slots=True)
class Given:
    """The answer for a cell; ``figures`` is None where the scenario cannot be.  ``nodes`` of the chain."""

    strategy: str
    host: Host
    translator: str
    scenario: str
    what_if: bool
    nodes: int = 0
    figures: OneThread | Threads | None = None


def ask(
    strategy: Strategy,
    host: Host,
    translator: Translator,
    name: str,
    probabilities: Probabilities,
    *,
    samples: int = 0,
    seed: int = 0,
) -> Given:
    """The answer for a cell; of one thread also by simulation, for more than 0 ``samples``."""
    cast = scenario(name, host.cores.value, retranslations=1)
    what_if = hypothetical(translator, host)
    if cast is None:
        return Given(strategy.name, host, translator.full_name, name, what_if)
    compiler = Compiler(strategy, translator, host, cast, layout="packed")
    question = Question("wrong fetch", concerned_by(compiler, "transient"))
    causes = (probabilities.cause,)
    chain = Chain(compiler.model, question, causes, runs=RUNS)
    figures: OneThread | Threads
    if chain.alone:
        answer = chain.answer(causes)
        drawn = simulate(compiler.model, question, causes, samples=samples, seed=seed) if samples else None
        figures = OneThread(answer.first, answer.long_run, answer.residual, drawn)
    else:
        figures = Threads(
            chain.probability(causes, FETCHED, "least"),
            chain.probability(causes, FETCHED, "slices", probabilities.slice_end),
            chain.probability(causes, FETCHED, "greatest"),
        )
    return Given(strategy.name, host, translator.full_name, name, what_if, chain.size, figures)
