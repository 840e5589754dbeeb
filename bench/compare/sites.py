"""Sites compared: verdicts and prices, over the links of a recorded execution."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.check.sites import SiteVerdict
from bench.compare.order import Pair, pair
from bench.hosts import Host, Target
from bench.replay.cost import NOTHING, Cost, of_figure
from bench.replay.layout import host_scale
from bench.replay.parameters import Parameters
from bench.sites.price import UNLINKS, SitePrice, price
from bench.sites.site import Site
from bench.traces.links import linker
from bench.traces.successor import STOPPED, UNKNOWN_TB
from bench.traces.trace import Trace


@dataclass(frozen=True, slots=True)
class Workload:
    """What a recorded execution asks of its exits: ``links`` made, executions that came ``through`` them, ``flushes``
    of the whole buffer; ``recorded_bytes``: of code executed in all, as recorded (x86-64)."""

    trace: str
    executions: int
    through: int
    links: int
    flushes: int
    recorded_bytes: int

    @classmethod
    def of(cls, trace: Trace) -> Workload:
        """Derived from a trace (``bench/traces/links.py``)."""
        found, executed = linker(trace), 0
        counts = np.zeros(len(trace.blocks), np.int64)
        for words in trace.executions():
            found.add(words)
            blocks = words[words < STOPPED] & UNKNOWN_TB
            blocks = blocks[blocks < counts.size]
            executed += blocks.size
            counts += np.bincount(blocks, minlength=counts.size)
        links = found.links
        size = int((counts * trace.blocks.host_bytes.astype(np.int64)).sum())
        return cls(trace.name, executed, int(links.uses.sum()), len(links), len(trace.flushes), size)


@dataclass(frozen=True)
class PricedSite:
    """A site on a target: ``verdicts``, and on a host its ``price``, what the ``run`` costs, ``extra`` over the
    cheapest that is right, and its ``rank``, from 1 for that one; 0 for what is not right.  ``own``: it is not one of
    those that it stands beside."""

    site: Site
    verdicts: tuple[SiteVerdict, ...]
    price: SitePrice | None = None
    run: Cost = NOTHING
    extra: Cost = NOTHING
    rank: int = 0
    own: bool = False

    @property
    def right(self) -> bool:
        """Nothing fails or was cut short."""
        return all(one.verdict in ("holds", "n/a") for one in self.verdicts)


@dataclass(frozen=True)
class SitesComparison:
    """All sites on a target: the right ones by cost, then the others.  ``baseline``: what the run costs without its
    exits; ``pairs``: the cheapest against each other right one."""

    target: Target
    workload: Workload
    rows: tuple[PricedSite, ...]
    baseline: Cost
    pairs: tuple[Pair, ...] = ()


def compare_sites(
    judged: Sequence[Sequence[SiteVerdict]],
    target: Target,
    workload: Workload,
    parameters: Parameters,
    own: Container[str] = (),
) -> SitesComparison:
    """Sites with their verdicts on a target and, on a host, their prices; ``own``: the names of some of them."""
    rows = []
    for verdicts in judged:
        site = verdicts[0].site
        row = PricedSite(site, tuple(verdicts), own=site.name in own)
        if isinstance(target, Host):
            cost = price(site, target, parameters)
            row = replace(row, price=cost, run=cost.run(workload.through, workload.links, workload.flushes))
        rows.append(row)
    if not isinstance(target, Host):
        return SitesComparison(target, workload, tuple(sorted(rows, key=lambda row: not row.right)), NOTHING)
    rows.sort(key=lambda row: (not row.right, row.run.nominal))
    cheapest = rows[0]
    ranked: list[PricedSite] = []
    for row in rows:
        extra = row.run - cheapest.run
        same = ranked and ranked[-1].rank and not (row.run - ranked[-1].run).terms
        rank = 0 if not row.right else ranked[-1].rank if same else len(ranked) + 1
        ranked.append(replace(row, extra=extra, rank=rank))
    pairs = [pair(cheapest.site.name, row.site.name, row.extra) for row in ranked[1:] if row.rank]
    return SitesComparison(target, workload, tuple(ranked), _baseline(target, workload), tuple(pairs))


def patching(price: SitePrice) -> Cost:
    """What a link costs until its target is gone."""
    return price.link + price.unlink.by(UNLINKS)


def break_even(one: PricedSite, other: PricedSite) -> float | None:
    """The executions for each link at which both cost the same, every quantity at its value; None if at none from 1."""
    assert one.price is not None and other.price is not None
    slope = one.price.execution.nominal - other.price.execution.nominal
    at = (patching(other.price) - patching(one.price)).nominal / slope if slope else -1.0
    return at if at >= 1 else None


def _baseline(host: Host, workload: Workload) -> Cost:
    """The execution of the translated code, caches hitting."""
    instructions = workload.recorded_bytes * host_scale(host.main_isa).value
    instructions /= host.runs_as(host.main_isa).instruction_bytes.value
    return of_figure("costs.cpi", host.costs.cpi, host.clock_ghz, host.clock_tag).times(instructions, "estimate")
