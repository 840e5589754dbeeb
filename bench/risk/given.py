"""The risk where the probabilities per operation are given: the chain alone, without a trace or a clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.risk.causes import AT_ONCE, RANDOM_KINDS, Cause
from bench.risk.risk import MultiThreadedGiven, Risk, RiskCell, RiskModel, SingleThreadedGiven
from bench.risk.simulation import simulate
from bench.support.errors import InputError
from strategies.strategy import Strategy

SLICE_END = "slice_end"
NAMES = (*(kind.name.lower() for kind in RANDOM_KINDS), SLICE_END)
"""What can be given: the kinds of ``Cause``, and that a time slice ends before an operation."""

OPTION = "`per_operation`"


@dataclass(frozen=True, slots=True)
class Probabilities:
    """Of each environment event between two operations; by default stores drain and maintenance completes at once.

    ``slice_end``: that a time slice ends, where threads share a core.
    """

    cause: Cause = AT_ONCE
    slice_end: float = 0.0

    @classmethod
    def parsed(cls, settings: Iterable[str]) -> Probabilities:
        """From ``write_back=1e-6``, ...  Raises ``InputError`` for an unknown or repeated name, or no probability."""
        given: dict[str, Any] = {}
        for setting in settings:
            name, _, text = setting.partition("=")
            if name not in NAMES or name in given:
                raise InputError(
                    f"{name!r}{' twice' * (name in given)}", place=OPTION, expected=f"one of {', '.join(NAMES)}, once"
                )
            try:
                given[name] = float(text)
                if not 0 <= given[name] <= 1:
                    raise ValueError(text)
            except ValueError as error:
                raise InputError(repr(text), place=f"{OPTION} {name}", expected="a probability, 0 .. 1") from error
        slice_end = given.pop(SLICE_END, 0.0)
        return cls(replace(AT_ONCE, name="given", **given), slice_end)


@dataclass
class GivenRisk(RiskModel):
    """Evaluates under given probabilities; for one thread also by simulation, with more than 0 ``samples``."""

    probabilities: Probabilities
    samples: int = 0
    seed: int = 0

    def begin(self, strategies: Sequence[Strategy], names: Sequence[str]) -> None:
        """Nothing: chains are small."""

    def _single_threaded(self, cell: RiskCell, risk: Risk) -> Risk:
        causes = (self.probabilities.cause,)
        chain = cell.chain(causes)
        found = chain.figures(causes)
        drawn = None
        if self.samples:
            model, question, _ = cell.parts
            drawn = simulate(model, question, causes, samples=self.samples, seed=self.seed)
        figures = SingleThreadedGiven(found.first, found.long_run, found.residual, drawn)
        return replace(risk, figures=figures, nodes=chain.size)

    def _multi_threaded(self, cell: RiskCell, risk: Risk) -> Risk:
        causes = (self.probabilities.cause,)
        chain = cell.chain(causes)
        figures = MultiThreadedGiven(**chain.schedulers(causes, self.probabilities.slice_end))
        return replace(risk, figures=figures, nodes=chain.size)
