"""What competes in a sweep: strategies over the retranslations of a recorded execution, or sites over its links.

Both are asked in one way: which names of axes are quantities of their costs, and in a case who is right and what each
costs, as a sum of products of named quantities.  The rates of a run are quantities of its costs too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from bench.check.cell import Check, Options
from bench.check.sites import bare, runs, verify_site
from bench.check.units import Hazard
from bench.compare.axes import RATE, is_parameter, number, price_of
from bench.compare.sites import Workload, baseline, run_of
from bench.hosts import Host
from bench.program.effects import meaning
from bench.program.identity import identity
from bench.replay.context import Simulated
from bench.replay.cost import Cost
from bench.replay.parameters import Parameters
from bench.replay.quantity import Quantity
from bench.replay.replay import counted, replay
from bench.sites.price import isa_of, price
from bench.sites.site import Site
from bench.support.errors import InputError
from bench.traces.trace import Trace
from bench.translators.registry import load_translator
from strategies import registry

_RETRANSLATIONS = "rate"
"""The quantity of retranslations per million executions."""
_LINKS, _UNLINKS = "links", "unlinks"
"""The quantities of links in the run, and of unlinks for each (``Workload``)."""
_EXECUTIONS = "executions"
"""The axis of executions for each link."""


@dataclass(frozen=True)
class Group:
    """Those that do the same: their ``names``, and what the first is ``found_by``."""

    found_by: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class PricedGroup:
    """What a group costs in a case.

    ``cost``: what they add to the ``baseline``; ``simulated``: what tells chance in two simulations, if it is one.
    """

    names: tuple[str, ...]
    cost: Cost
    baseline: Cost
    simulated: Simulated | None = None

    def more_than(self, other: PricedGroup, *, rated: bool) -> Cost:
        """What this costs more; ``rated``: at another rate than the simulated one, without the sampling noise."""
        more = counted(self.cost - other.cost)
        if rated or self.simulated is None or other.simulated is None:
            return more
        return more + self.simulated.chance(other.simulated)


class Contest(Protocol):
    """What competes, and what is asked of it; all of it plain values, which are sent to workers."""

    @property
    def translator(self) -> str:
        """The translator; empty: none has a part in it."""

    @property
    def rates(self) -> tuple[str, ...]:
        """The names of axes that say how often something is done in the run."""

    @property
    def simulates(self) -> bool:
        """Whether a case takes the trace."""

    def content(self) -> tuple[object, ...]:
        """What the answer depends on besides the fields; None for what is not known."""

    def isas(self, host: Host) -> tuple[str, ...]:
        """The instruction sets whose flush an axis of ``costs.line`` is of."""

    def quantities(self, name: str, host: Host) -> tuple[str, ...]:
        """The quantities that an axis is a value of; none: it changes more.  Raises ``InputError`` for one that does
        nothing."""

    def over(self, trace: Trace, *, rated: bool) -> Contest:
        """The same over a trace.  Raises ``InputError`` for one without what is priced, or is ``rated``."""

    def at_rates(self, at: Mapping[str, str]) -> dict[str, float]:
        """The quantities at a point's rates."""

    def hypothetical_on(self, host: Host) -> bool:
        """Whether the host does not run it."""

    def groups(self) -> tuple[Group, ...]:
        """Who competes."""

    def verdicts(self, group: Group, host: Host) -> dict[str, str]:
        """Search: each verdict on a group, by what was asked."""

    def prices(self, host: Host, trace: Trace | None, parameters: Parameters) -> tuple[PricedGroup, ...]:
        """Simulate and price all groups; the trace if it ``simulates``."""


@dataclass(frozen=True)
class OfStrategies:
    """Strategies by what finds them (``registry.find``); ``questions``: hazard and scenario of each verdict."""

    strategies: tuple[str, ...]
    translator: str
    questions: tuple[tuple[Hazard, str], ...]
    options: Options
    rates: tuple[str, ...] = (RATE,)
    simulates: bool = True

    def content(self) -> tuple[object, ...]:
        translator = load_translator(self.translator)
        return tuple(identity(registry.find(name), translator) for name in self.strategies)

    def isas(self, host: Host) -> tuple[str, ...]:
        isa = load_translator(self.translator).isa
        return (isa if isa in host.isa else host.main_isa,)

    def quantities(self, name: str, host: Host) -> tuple[str, ...]:
        return price_of(name, host, self.isas(host))

    def over(self, trace: Trace, *, rated: bool) -> OfStrategies:
        if rated and not len(trace.retranslations):
            raise InputError(f"{trace.name} has no retranslation", place="`vary`", expected="a trace with some")
        return self

    def at_rates(self, at: Mapping[str, str]) -> dict[str, float]:
        return {_RETRANSLATIONS: number(RATE, at[RATE])} if RATE in at else {}

    def hypothetical_on(self, host: Host) -> bool:
        return load_translator(self.translator).isa not in host.isa

    def groups(self) -> tuple[Group, ...]:
        translator, groups = load_translator(self.translator), dict[object, list[str]]()
        for name in self.strategies:
            groups.setdefault(meaning(registry.find(name), translator), []).append(name)
        return tuple(Group(some[0], tuple(registry.find(name).name for name in some)) for some in groups.values())

    def verdicts(self, group: Group, host: Host) -> dict[str, str]:
        strategy, translator = registry.find(group.found_by), load_translator(self.translator)
        return {
            f"{hazard} {scenario}": Check(strategy, translator, host, scenario, self.options.with_hazard(hazard))
            .run()
            .verdict
            for hazard, scenario in self.questions
        }

    def prices(self, host: Host, trace: Trace | None, parameters: Parameters) -> tuple[PricedGroup, ...]:
        assert trace is not None
        groups, translator = self.groups(), load_translator(self.translator)
        replayed = replay(trace, host, translator, [registry.find(one.found_by) for one in groups], parameters)
        found = []
        for group, one in zip(groups, replayed, strict=True):
            cost = one.overhead
            if one.retranslations:
                unit, source = "retranslations per million executions", (f"counted in {one.trace}",)
                rate = Quantity(one.rate, one.rate, one.rate, unit, "measured", source, _RETRANSLATIONS)
                cost = cost - one.per_retranslation + one.per_retranslation.by(rate).times(1 / one.rate)
            found.append(PricedGroup(group.names, cost, one.baseline, one.simulated))
        return tuple(found)


@dataclass(frozen=True)
class OfSites:
    """Sites, of which none is known by its file, in these scenarios; ``workload``: what a run asks of its exits."""

    sites: tuple[Site, ...]
    scenarios: tuple[str, ...]
    executors: int
    max_states: int
    workload: Workload | None = None
    translator: str = ""
    rates: tuple[str, ...] = (_LINKS, _UNLINKS, _EXECUTIONS, RATE)
    simulates: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "sites", tuple(replace(bare(site), lines=site.lines) for site in self.sites))

    def content(self) -> tuple[object, ...]:
        return ()

    def isas(self, host: Host) -> tuple[str, ...]:
        return tuple(dict.fromkeys(isa_of(site, host) for site in self.sites))

    def quantities(self, name: str, host: Host) -> tuple[str, ...]:
        known = {
            quantity
            for site in self.sites
            for cost in price(site, host, Parameters()).each
            for quantity in cost.quantities
        }
        if name in known:
            return (name,)
        if is_parameter(name):
            expected = f"one of {', '.join((*self.rates, *sorted(known)))}, or a setting of the host"
            raise InputError(f"{name} does nothing for sites", place="`vary`", expected=expected)
        return price_of(name, host, self.isas(host))

    def over(self, trace: Trace, *, rated: bool) -> OfSites:
        found = Workload.of(trace)
        if not found.links:
            raise InputError(f"{trace.name} has no link", place="sweep", expected="a trace with some")
        return replace(self, workload=found)

    def at_rates(self, at: Mapping[str, str]) -> dict[str, float]:
        work = self.workload
        assert work is not None
        asked = {name: number(name, text) for name, text in at.items() if name in self.rates}
        if len(asked) > 1 and {*asked} not in ({_LINKS, _UNLINKS}, {_EXECUTIONS, _UNLINKS}):
            allowed = "links or executions, and unlinks with one of them; or retranslations alone"
            raise InputError(" and ".join(asked), place="`vary`", expected=allowed)
        found = {_UNLINKS: asked[_UNLINKS]} if _UNLINKS in asked else {}
        if _LINKS in asked:
            found[_LINKS] = asked[_LINKS] * work.executions / 1e6
        elif _EXECUTIONS in asked:
            if asked[_EXECUTIONS] < 1:
                raise InputError(at[_EXECUTIONS], place="`vary` executions", expected="at least 1 for each link")
            found[_LINKS] = work.through / asked[_EXECUTIONS]
        elif RATE in asked:
            again = asked[RATE] * work.executions / 1e6
            found[_LINKS] = work.links * max(0.0, 1 - work.rate.value) + again
            found[_UNLINKS] = again / found[_LINKS] if found[_LINKS] else 0.0
        return found

    def hypothetical_on(self, host: Host) -> bool:
        return not all(runs(site, host) for site in self.sites)

    def groups(self) -> tuple[Group, ...]:
        return tuple(Group(site.name, (site.name,)) for site in self.sites)

    def verdicts(self, group: Group, host: Host) -> dict[str, str]:
        (site,) = (site for site in self.sites if site.name == group.found_by)
        found = verify_site(site, host, self.scenarios, executors=self.executors, max_states=self.max_states)
        return {one.scenario: one.verdict for one in found}

    def prices(self, host: Host, trace: Trace | None, parameters: Parameters) -> tuple[PricedGroup, ...]:
        work = self.workload
        assert work is not None
        costs = [run_of(price(site, host, parameters), site, host, work) for site in self.sites]
        return tuple(
            PricedGroup((site.name,), cost, baseline(host, work)) for site, cost in zip(self.sites, costs, strict=True)
        )
