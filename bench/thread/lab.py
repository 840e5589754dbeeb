"""Where evidence is looked for: hosts, searches and recorded executions, each asked for once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

from bench.check.cell import Check, Checked, Options
from bench.check.command import command
from bench.hosts import load_host
from bench.risk.recorded import RecordedRisk
from bench.risk.risk import Risk, in_turn
from bench.scenarios import scenario_names
from bench.support.errors import InputError
from bench.traces.store import load_trace
from bench.translators.registry import load_translator
from strategies import registry


class Lab:
    """Answers what the claims of the thread ask.  ``settings`` derive every host (``load_host``).

    ``bounded`` searches are refused: a claim is not decided by half a search.
    """

    def __init__(self, settings: Iterable[str] = (), max_states: int | None = None) -> None:
        given = tuple(settings)
        self._limits: dict[str, Any] = {} if max_states is None else {"max_states": max_states}
        self.host = cache(lambda name: load_host(name, given))
        # Of one object it is known what its hooks answered in another cell.
        self._strategy = cache(registry.find)
        self.check = cache(self._check)
        self.trace = cache(load_trace)

    def _check(self, strategy: str, host: str, scenario: str, translator: str, **options: Any) -> Checked:
        asked = Options(**self._limits, **options)
        found = Check(self._strategy(strategy), load_translator(translator), self.host(host), scenario, asked).run()
        if found.verdict == "bounded":
            raise InputError(f"the search for {command(found)} was cut short", expected="a larger `max_states`")
        return found

    def risks(self, strategy: str, hosts: Sequence[str], scenario: str, translator: str, trace: str) -> Iterator[Risk]:
        """The risk of a strategy on each host."""
        models = (RecordedRisk(self.host(host), load_translator(translator), self.trace(trace)) for host in hosts)
        asked = [self._strategy(strategy)], [scenario]
        for model in in_turn(models, *asked):
            yield from model.evaluate_all(*asked)

    def fails(self, strategy: str, host: str, scenario: str, translator: str, **options: Any) -> bool:
        """Whether the cell fails."""
        return self.check(strategy, host, scenario, translator, **options).verdict == "fails"

    def failing(self, strategy: str, host: str, translator: str, **options: Any) -> tuple[str, ...]:
        """The scenarios in which a strategy fails on a host."""
        return tuple(name for name in scenario_names() if self.fails(strategy, host, name, translator, **options))
