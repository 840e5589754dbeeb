"""Sites checked: a verdict for each scenario on each host and architecture."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

from bench.explain.protocols import ProtocolRow, counterexample
from bench.hosts import Architecture, Host, Target, host_names, load_target
from bench.hosts.loader import ARCHITECTURES
from bench.protocols.host import protocol_host
from bench.protocols.verification import Verified, verify
from bench.sites.completion import completed
from bench.sites.paths import at_rest
from bench.sites.scenarios import Trial, flush_recipe, trials
from bench.sites.site import NEAR, STUB, Site
from bench.sites.wording import told, way
from bench.support.errors import InputError
from bench.support.kept import Shelf
from bench.support.processors import each
from bench.support.progress import Progress

MOST_STATES = 200_000

_SOONEST = ("far", "unlink", "link", "publish", "reuse", "relink", "interrupted", "twice")
"""The scenarios in the order in which what is wrong is found with the fewest states."""

UNDEFINED = "not defined, since it is not synchronised"

RULES_SAY = {
    "armv8": "both instructions have to be on the list of Arm ARM B2.2.5, E2.6.5",
    "power": "both have to be branches or ori 0,0,0 (Power ISA, Book II 1.8.1)",
    "riscv-ziccif": "Ziccif has aligned instructions of 2 or 4 bytes",
    "riscv": "RISC-V without Ziccif has no rule",
    "x86-amd": "all that changes has to lie in an aligned quadword (AMD APM volume 2, 7.6.1)",
    "x86-intel": "the executing core has to serialise (Intel SDM volume 3, 8.1.3)",
    "s390": "a change of more than a byte may be seen in part (IBM GA22-7000-4, p. 24)",
}
"""What an architecture says of changing an instruction that may be executed, by how its name begins."""

FAILURES = {
    "X": "a mixture: neither the old target nor the new one",
    "U2": "the old target after quiescence",
    "U3": "memory that is used again",
    "L2": "a target that is not complete",
    "never linked": "a link that leads to no target",
    "deadlock": "somebody waits for ever",
}


@dataclass(frozen=True)
class SiteVerdict:
    """The verdict on a site in a scenario on a host, or an architecture.

    ``failure``: one of ``FAILURES``; ``of``: the case of the scenario that fails, ``why``: where the counterexample
    leads, ``rows``: the counterexample.  ``synchronised``: it holds, but only where executors synchronise their context
    at quiescence; ``rows`` then show what happens where they do not.  ``states``: those of all searches.
    """

    site: Site
    target: Target
    scenario: str
    verdict: str
    failure: str = ""
    of: str = ""
    why: str = ""
    synchronised: bool = False
    states: int = 0
    rows: tuple[ProtocolRow, ...] = ()

    @property
    def rests_on(self) -> str:
        """What a failure rests on: caches that one can point at; what an architecture allows, or does not list."""
        if isinstance(self.target, Host):
            return "caches"
        return "list" if self.why.startswith(UNDEFINED) else "architecture"

    @property
    def as_expected(self) -> bool:
        """Whether the verdict is the one that the site expects (holds, if it says nothing)."""
        return self.verdict in ("n/a", self.site.expect.get(self.scenario, "holds"))


def targets_of(site: Site) -> list[Target]:
    """Every shipped host and architecture that runs its instructions."""
    found = [load_target(name) for name in (*host_names(), *ARCHITECTURES)]
    return [target for target in found if runs(site, target)]


def runs(site: Site, target: Target) -> bool:
    """Whether the target runs the instructions of a site."""
    return any(isa in target.isa for isa in site.instructions.hosts)


def fitting(sites: Sequence[Site], target: Target) -> list[Site]:
    """Those of the sites (one, or a family) that the target runs.  Raises ``InputError`` if it runs none."""
    found = [site for site in sites if runs(site, target)]
    if not found:
        family = sites[0].name if len(sites) == 1 else sites[0].name.rpartition("-")[0]
        isas = " or ".join(dict.fromkeys(site.isa for site in sites))
        names = dict.fromkeys(one.name for site in sites for one in targets_of(site))
        raise InputError(
            f"{family} is for {isas}, which {target.name} does not run",
            place="`host`",
            expected=" or ".join(names) or "--what-if",
        )
    return found


def bare(site: Site) -> Site:
    """A site without what is only said of it."""
    return replace(site, file="", summary="", note="", project="", year=0, links=(), lines=(), expect={})


def verify_site(
    site: Site,
    target: Target,
    scenarios: Iterable[str],
    *,
    executors: int = 1,
    max_states: int = MOST_STATES,
    to_the_end: bool = True,
) -> list[SiteVerdict]:
    """The verdict of each scenario; or if not ``to_the_end`` of some, among them the first that fails."""
    scenarios, found = list(scenarios), {}
    left = list(scenarios if to_the_end else sorted(scenarios, key=_SOONEST.index))
    while left:
        scenario = left.pop(0)
        found[scenario] = _kept(site, target, scenario, executors, max_states)
        if found[scenario].verdict == "fails" and not to_the_end:
            left = [one for one in scenarios[: scenarios.index(scenario)] if one not in found]
    return [found[scenario] for scenario in scenarios if scenario in found]


def verify_sites(
    asked: Sequence[tuple[Site, Target]],
    scenarios: Sequence[str],
    *,
    executors: int,
    max_states: int,
    to_the_end: bool = True,
    progress: Progress,
) -> list[list[SiteVerdict]]:
    """The same of many, on all cores."""
    work = partial(_verified, scenarios=scenarios, executors=executors, max_states=max_states, to_the_end=to_the_end)
    found = []
    for number, verdicts in enumerate(each(work, asked)):
        site, target = asked[number]
        progress(f"{site.name} on {target.name}", number + 1)
        found.append([replace(one, site=site, target=target) for one in verdicts])
    return found


def _verified(asked: tuple[Site, Target], **how: Any) -> list[SiteVerdict]:
    return verify_site(*asked, **how)


@dataclass(frozen=True)
class _Found:
    """What a search finds: the rest of a ``SiteVerdict``."""

    verdict: str
    failure: str
    of: str
    why: str
    synchronised: bool
    states: int
    rows: tuple[ProtocolRow, ...]


_VERDICTS: Shelf[_Found] = Shelf("verdicts on sites", _Found, __file__)


def verdict_key(site: Site, target: Target, scenario: str, executors: int, max_states: int) -> tuple[object, ...]:
    """All that a verdict on a site depends on: what a host is called, or what its flush costs, is not part of it."""
    rules = target.name if isinstance(target, Architecture) else ""  # an architecture explains itself by its name
    known = rules, protocol_host(target), flush_recipe(target, site).without_prices
    return replace(bare(site), name=""), *known, scenario, executors, max_states


def _kept(site: Site, target: Target, scenario: str, executors: int, max_states: int) -> SiteVerdict:
    parts = verdict_key(site, target, scenario, executors, max_states)

    def compute() -> _Found:
        one = _verdict(site, target, scenario, executors, max_states)
        return _Found(**{part.name: getattr(one, part.name) for part in fields(_Found)})

    found = _VERDICTS.kept(parts, compute)
    rows = tuple(replace(row, line=site.lines[row.line - 1] if row.line else 0) for row in found.rows)
    rest = {part.name: getattr(found, part.name) for part in fields(_Found) if part.name != "rows"}
    return SiteVerdict(site, target, scenario, rows=rows, **rest)


def _verdict(site: Site, target: Target, scenario: str, executors: int, max_states: int) -> SiteVerdict:
    plain = SiteVerdict(site, target, scenario, "n/a")
    if NEAR in site.states and at_rest(site, NEAR).arrives == STUB and not site.does.link:
        return replace(plain, verdict="holds")  # nothing is ever patched
    site = completed(site, target)
    tried = [trials(site, target, scenario, synchronised=one, executors=executors) for one in (False, True)]
    if not tried[0]:
        return plain
    for trial in tried[0]:
        if trial.never is not None:
            return replace(plain, verdict="fails", failure="never linked", of=trial.of, why=way(site, trial.never))
    states, bounded = 0, False
    relies: SiteVerdict | None = None
    for without, with_it in zip(*tried, strict=True):
        found = verify(without.protocol, max_states=max_states)
        states += found.outcome.states
        if found.verdict == "fails" and without.synchronised is not None:
            relies = relies or _failed(plain, without, found)
            found, without = verify(with_it.protocol, max_states=max_states), with_it
            states += found.outcome.states
        if found.verdict == "fails":
            return replace(_failed(plain, without, found), states=states)
        bounded = bounded or found.verdict == "bounded"
    verdict = "bounded" if bounded else "holds"
    if relies is not None:
        return replace(relies, verdict=verdict, failure="", synchronised=True, states=states)
    return replace(plain, verdict=verdict, states=states)


def _failed(plain: SiteVerdict, trial: Trial, found: Verified) -> SiteVerdict:
    failure, why = _told(trial.site, plain.target, trial, found)
    moved = [f"{name} at {at:#x}" for name, at in trial.site.targets.items() if plain.site.targets[name] != at]
    why += f" (with {', '.join(moved)}: those of the file have parts in common)" if moved else ""
    rows = tuple(_row(trial.site, row) for row in counterexample(found))
    return replace(plain, verdict="fails", failure=failure, of=trial.of, why=why, rows=rows)


def _told(site: Site, target: Target, trial: Trial, found: Verified) -> tuple[str, str]:
    """What a counterexample fails by, and where its last execution leads."""
    if found.outcome.failure == "deadlock":
        return "deadlock", FAILURES["deadlock"]
    last = found.outcome.run[-1]
    observed = found.lowering.programs[last.event.thread].observed(last.state.places[last.event.thread])
    for failure, why in _failures(site, trial, observed):
        return failure, why
    if isinstance(target, Host):
        return "X", "parts of two values: it lies in two lines, and the store to it is no single one"
    rule = next(rule for name, rule in RULES_SAY.items() if target.name.startswith(name))
    return "X", f"{UNDEFINED}: {rule}"


def _failures(site: Site, trial: Trial, observed: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each way to go on from what was observed, with what is wrong about it."""
    for ways in itertools.product(*(run.execution.paths for run in trial.runs)):
        values = tuple(itertools.chain.from_iterable(path.values for path in ways))
        if values[: len(observed)] != tuple(observed):
            continue
        wrong = [(run.failure(path), path) for run, path in zip(trial.runs, ways, strict=True) if run.failure(path)]
        failure, path = wrong[0] if wrong else ("U2", ways[-1])
        yield failure, way(site, path)


def _row(site: Site, row: ProtocolRow) -> ProtocolRow:
    def held(values: dict[str, str]) -> dict[str, str]:
        return {name: told(site, value, disassemble=False) for name, value in values.items()}

    return replace(
        row,
        what=told(site, row.what, disassemble=True),
        data=held(row.data),
        memory=held(row.memory),
        code=tuple(map(held, row.code)),
    )
