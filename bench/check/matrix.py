"""Every translator on every host that it can run on: which backends were really affected, and what cures them.

A verdict depends on few features of a host (``features``), so that hosts which share them are searched once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from bench.check.cell import Check, Options
from bench.check.cells import check_all
from bench.check.units import HAZARDS, Hazard
from bench.hosts import Host
from bench.scenarios import ALONE, LASTING_IN, SUMMARIES
from bench.support.progress import Progress, silent
from bench.translators.registry import load_translator
from bench.translators.translator import Translator
from strategies import registry
from strategies.strategy import Strategy

AS_EMITTED = "unfixed"
"""The strategy that shows what a backend's code does by itself."""


@dataclass(frozen=True, slots=True)
class HostClass:
    """Hosts whose instruction caches follow stores alike; ``name`` and what that means."""

    name: str
    meaning: str


INCOHERENT = HostClass("incoherent", "fills read the point of unification, and no store reaches an instruction cache")
OTHERS_ONLY = HostClass("snoops others", "stores reach the instruction caches of the other cores, not the own one")
COHERENT_FILL = HostClass("coherent fill", "fills read the newest data, but lines already held stay as they are")
FETCHES_AHEAD = HostClass("coherent, fetching ahead", "stores reach all caches, and not what is fetched ahead")
COHERENT = HostClass("coherent", "stores reach all instruction caches and what is fetched ahead")
CLASSES = (INCOHERENT, OTHERS_ONLY, COHERENT_FILL, FETCHES_AHEAD, COHERENT)


def host_class(host: Host) -> HostClass:
    """The class of a host, by its features."""
    coherence = host.coherence
    if coherence.snoop.value == "all":
        return FETCHES_AHEAD if coherence.fetches_ahead.value else COHERENT
    if coherence.snoop.value == "others":
        return OTHERS_ONLY
    return COHERENT_FILL if coherence.fill.value == "coherent" else INCOHERENT


def features(host: Host, isa: str) -> tuple[Any, ...]:
    """What a verdict in the layout ``apart`` depends on: hosts that agree in it have the same verdicts."""
    coherence, cache, recipe = host.coherence, host.dcache, host.runs_as(isa).flush
    kept = ("by", "clean", "invalidate", "sync", "whole_icache", "remote_sync", "deferred_to_move")
    return (
        min(host.cores.value, 2),
        cache.write,
        cache.write_allocate,
        tuple(one and one.value for one in msgspec.structs.astuple(coherence)),
        tuple(getattr(recipe, name) for name in kept),
    )


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """One verdict; ``rows`` of its counterexample, 0 if there is none.

    ``speculative_only``: with one thread it fails only if the core fetches what it does not execute, a line or units
    ahead, while the block is rewritten.  The architecture allows that; whether a core does it then is not known.
    """

    host: Host
    translator: str
    strategy: str
    hazard: Hazard
    scenario: str
    verdict: str
    rows: int
    speculative_only: bool


@dataclass(frozen=True, slots=True)
class Matrix:
    """All cells, hosts by class; ``without``: hosts for which no translator was asked for that they run."""

    cells: tuple[MatrixCell, ...]
    without: tuple[Host, ...]
    what_if: bool

    def of(self, host: Host, translator: str) -> tuple[MatrixCell, ...]:
        """The cells of one host and translator."""
        return tuple(cell for cell in self.cells if cell.host.name == host.name and cell.translator == translator)

    @property
    def pairs(self) -> tuple[tuple[Host, str], ...]:
        """Host and translator, in order."""
        found = {(cell.host.name, cell.translator): (cell.host, cell.translator) for cell in self.cells}
        return tuple(found.values())


@dataclass(frozen=True, slots=True)
class Affected:
    """What a translator's code does as emitted.

    ``temporary``: it stores temporary values.  The hosts on which it fails: ``alone``, already with one thread;
    ``speculative``, with one thread only by what a core fetches and does not execute; ``together``, only with two;
    ``never``, in no scenario (the transient hazard).  ``partial``: those on which a label that a later operation binds
    is lost.  ``undecided``: a search was cut short there.
    """

    translator: str
    temporary: bool
    alone: tuple[str, ...]
    speculative: tuple[str, ...]
    together: tuple[str, ...]
    never: tuple[str, ...]
    lasting: tuple[str, ...]
    partial: tuple[str, ...]
    undecided: tuple[str, ...]


def matrix(
    pairs: Iterable[tuple[Host, Translator]],
    without: Iterable[Host],
    strategies: Sequence[Strategy],
    scenarios: Sequence[str],
    hazards: Sequence[Hazard],
    options: Options,
    progress: Progress = silent,
) -> Matrix:
    """Check every cell.  Raises as ``Check.run`` does."""
    order = sorted(pairs, key=lambda pair: (CLASSES.index(host_class(pair[0])), pair[0].name))
    wanted: list[tuple[Host, Translator, Strategy, Hazard, str]] = [
        (host, translator, strategy, hazard, scenario)
        for host, translator in order
        for strategy in strategies
        for hazard, scenario in _asked(hazards, scenarios)
    ]
    searches: dict[Any, Check] = {}
    keys = []
    for host, translator, strategy, hazard, scenario in wanted:
        reference = registry.reference(strategy)
        isa = translator.isa
        key = (features(host, isa), isa in host.isa, translator.full_name, reference, hazard, scenario)
        keys.append(key)
        searches.setdefault(key, Check(strategy, translator, host, scenario, options.with_hazard(hazard)))
    found = dict(zip(searches, _searched(list(searches.values()), progress), strict=True))
    cells = tuple(
        MatrixCell(host, translator.full_name, strategy.name, hazard, scenario, *found[key])
        for key, (host, translator, strategy, hazard, scenario) in zip(keys, wanted, strict=True)
    )
    return Matrix(cells, tuple(without), options.what_if)


_GROUPS = ("alone", "speculative", "together", "never", "lasting", "partial", "undecided")


def affected(table: Matrix) -> Iterator[Affected]:
    """What each translator's code does as emitted, on the hosts of the table."""
    for name in dict.fromkeys(cell.translator for cell in table.cells):
        translator = load_translator(name)
        groups: dict[str, list[str]] = {key: [] for key in _GROUPS}
        for host, other in table.pairs:
            if other != name:
                continue
            cells = [cell for cell in table.of(host, name) if cell.strategy == AS_EMITTED]
            transient = [cell for cell in cells if cell.hazard == "transient"]
            failing = {cell.scenario for cell in transient if cell.verdict == "fails"}
            if any(cell.verdict == "bounded" for cell in cells):
                groups["undecided"].append(host.name)
            if failing & set(ALONE):
                other_than_speculative = any(
                    cell.verdict == "fails" and not cell.speculative_only
                    for cell in transient
                    if cell.scenario in ALONE
                )
                groups["alone" if other_than_speculative else "speculative"].append(host.name)
            elif failing:
                groups["together"].append(host.name)
            elif transient and all(cell.verdict in ("holds", "n/a") for cell in transient):
                groups["never"].append(host.name)
            for hazard in ("lasting", "partial"):
                if any(cell.hazard == hazard and cell.verdict == "fails" for cell in cells):
                    groups[hazard].append(host.name)
        yield Affected(name, translator.stores_temporaries, **{key: tuple(hosts) for key, hosts in groups.items()})


def _asked(hazards: Sequence[Hazard], scenarios: Sequence[str]) -> Iterator[tuple[Hazard, str]]:
    """Hazard and scenario of each cell; a lasting value takes two retranslators."""
    for hazard in HAZARDS:
        for scenario in SUMMARIES:
            if hazard in hazards and scenario in scenarios and (hazard != "lasting" or scenario == LASTING_IN):
                yield hazard, scenario


_Found = tuple[str, int, bool]
"""Verdict, rows of the counterexample, and whether only speculation is to blame."""


def _searched(searches: Sequence[Check], progress: Progress) -> Iterator[_Found]:
    """What each finds; those that fail with one thread are asked again, without speculation."""

    def show(cell: Check, done: int, states: int) -> None:
        progress(f"{cell.translator.full_name} on {cell.host.name}", done / len(searches))

    found = check_all(searches, show)
    alone = [
        number
        for number, (cell, result) in enumerate(zip(searches, found, strict=True))
        if result.verdict == "fails" and cell.options.hazard == "transient" and cell.scenario in ALONE
    ]
    again = [searches[number] for number in alone]
    without = check_all([replace(cell, options=replace(cell.options, speculation=False)) for cell in again])
    holds = {number for number, result in zip(alone, without, strict=True) if result.verdict == "holds"}
    for number, result in enumerate(found):
        yield result.verdict, len(result.rows) if result.verdict == "fails" else 0, number in holds
