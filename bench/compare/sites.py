"""Sites compared: verdicts and prices, over the links of a recorded execution."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from bench.check.sites import SiteVerdict
from bench.compare.lingering import Lingering
from bench.compare.order import Pair, pair
from bench.hosts import Host, Target
from bench.hosts.profile import Tag
from bench.replay.cost import NOTHING, Cost, of_figure
from bench.replay.layout import host_scale, lay_out
from bench.replay.parameters import Parameters, texts_of
from bench.replay.quantity import Quantity, parsed
from bench.sites.price import Rates, SitePrice, price
from bench.sites.site import FAR, Site
from bench.support.kept import Shelf
from bench.traces.links import linker
from bench.traces.successor import STOPPED, UNKNOWN_TB
from bench.traces.trace import Blocks, Trace


@dataclass(frozen=True, slots=True)
class Workload:
    """What a recorded execution asks of its exits: ``links`` made, executions that came ``through`` them, ``flushes``
    of the whole buffer; ``recorded_bytes``: of code executed in all, as recorded (x86-64).

    ``unlinks``: links whose target's address was translated again before the next flush, so that the exit was reset; in
    a system they are too many, since other code at the same address counts too.  ``distances``: of how many of the
    executions through links the code of the two blocks begins at least so far apart, by bytes as recorded.
    ``translated``: blocks, each a new target; ``discarded``: those of them that were translated again before the next
    flush.  ``lingering``: executions that met the stub of an exit that was linked and not flushed, by bytes of an
    instruction cache (``bench/compare/lingering.py``).  ``given``: rates of one's own, by name (``RATES``).
    """

    trace: str
    executions: int
    through: int
    links: int
    flushes: int
    recorded_bytes: int
    system: bool
    unlinks: int
    distances: tuple[tuple[int, int], ...]
    translated: int
    discarded: int
    lingering: tuple[tuple[int, int], ...]
    given: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, trace: Trace) -> Workload:
        """Derived from a trace (``bench/traces/links.py``)."""
        return (
            _KEPT.kept((trace.name, trace.content), lambda: cls._counted(trace))
            if trace.content
            else cls._counted(trace)
        )

    @classmethod
    def _counted(cls, trace: Trace) -> Workload:
        found, executed, lingering = linker(trace), 0, Lingering(trace.blocks, trace.retranslations)
        counts = np.zeros(len(trace.blocks), np.int64)
        for words in trace.executions():
            lingering.add(words, *found.add(words))
            blocks = words[words < STOPPED] & UNKNOWN_TB
            blocks = blocks[blocks < counts.size]
            executed += blocks.size
            counts += np.bincount(blocks, minlength=counts.size)
        links = found.links
        again = _translated_again(trace.blocks)
        addresses = lay_out(trace.blocks, trace.retranslations, "x86-64").addresses
        apart = np.abs(addresses[links.target] - addresses[links.source])
        reaches = [1 << power for power in range(10, 32)]
        distances = tuple((reach, int(links.uses[apart >= reach].sum())) for reach in reaches)
        size = int((counts * trace.blocks.host_bytes.astype(np.int64)).sum())
        return cls(
            trace=trace.name,
            executions=executed,
            through=int(links.uses.sum()),
            links=len(links),
            flushes=len(trace.flushes),
            recorded_bytes=size,
            system=trace.mode == "system",
            unlinks=int(again[links.target].sum()),
            distances=distances,
            translated=len(trace.blocks),
            discarded=int(again.sum()),
            lingering=lingering.met,
        )

    def at(self, settings: Sequence[str]) -> Workload:
        """The same at rates of one's own: ``unlinks=0.5``; with other executions for each link all of the run grows.

        Raises ``InputError`` for a number that is none.
        """
        given = {name: parsed(name, text, _MOST_FOR_A_LINK) for name, text in texts_of(settings, RATES, RATES)}
        if "executions" not in given:
            return replace(self, given=given)
        grown = given["executions"] * self.links / max(self.through, 1)
        return replace(
            self,
            given=given,
            executions=round(self.executions * grown),
            through=round(self.through * grown),
            recorded_bytes=round(self.recorded_bytes * grown),
            distances=tuple((at, round(count * grown)) for at, count in self.distances),
        )

    def _given(self, name: str) -> Quantity | None:
        if name not in self.given:
            return None
        return _exactly(self.given[name], "set by the user", name, tag="assumed")

    @property
    def rates(self) -> Rates:
        """What is done for each link of the run, but how long stubs linger, which is up to the host."""
        return Rates(unlinks=self.rate, targets=self.targets, reuses=self.reuses)

    def rates_on(self, host: Host) -> Rates:
        """The same on a host."""
        return replace(self.rates, stubs=self.stubs(host))

    @property
    def targets(self) -> Quantity:
        """New targets for each link."""
        counted = self.translated / max(self.links, 1)
        source = f"{self.trace}: {self.translated:,} blocks translated"
        return self._given("targets") or _exactly(counted, source, "targets")

    @property
    def reuses(self) -> Quantity:
        """How often memory of targets is used again, for each link."""
        value, high = (count / max(self.links, 1) for count in (self.flushes, self.flushes + self.discarded))
        source = f"{self.trace}: {self.flushes:,} flushes, after which QEMU uses all memory again"
        more = f"high end: also that of each of {self.discarded:,} blocks that were translated again, at once"
        why = "what the recorded translator did"
        return self._given("reuses") or Quantity.within(
            value, value, high, "for each link", "estimate", (source, more), "reuses", why
        )

    def stubs(self, host: Host) -> Quantity:
        """Executions for each link that still lead to the stub, if it is not flushed: until the line comes anew."""
        per_link = [(size, count / max(self.links, 1)) for size, count in self.lingering]
        most = self.through / max(self.links, 1)

        def within(size: float) -> float:
            return min(most, next((count for at, count in per_link if at >= size), per_link[-1][1]))

        size = host.icache.size
        source = f"{self.trace}: executions through a link before its line is next brought into {size >> 10} KiB"
        ends = "from half to twice the size, since neither ways nor replacement are the host's"
        why = "the caches that were counted are powers of two"
        value, low, high = map(within, (size, size / 2, size * 2))
        return Quantity.within(value, low, high, "for each link", "estimate", (source, ends), "stubs met", why)

    @property
    def rate(self) -> Quantity:
        """Unlinks for each link: in user mode as counted, in a system at most so many."""
        if (given := self._given("unlinks")) is not None:
            return given
        counted = self.unlinks / max(self.links, 1)
        source = f"{self.trace}: {self.unlinks:,} links to a block that is translated again before the next flush"
        if not self.system or counted <= _OF_A_BOOT:
            return _exactly(counted, source, "unlinks")
        boot = "targets invalidated for each link, QEMU 7.2.22: a boot of Linux 0.0012, six programs 0 to 0.038"
        high = f"high end: {source}; other code at the same address counts too"
        return Quantity(_OF_A_BOOT, 0, counted, "for each link", "estimate", (boot, high), "unlinks")

    @property
    def made(self) -> Quantity:
        """The links of the run."""
        return _exactly(self.links, f"{self.trace}: counted", "links", unit="in the run")

    def far(self, site: Site, host: Host) -> Quantity:
        """The share of the executions through links that a direct branch of the site does not reach."""
        scale = host_scale(site.isa)

        def beyond(bytes_per_byte: float) -> float:
            found = [count for at, count in self.distances if at * bytes_per_byte >= site.reach]
            return found[0] / max(self.through, 1) if found and site.reach and FAR in site.states else 0.0

        low, value, high = map(beyond, (scale.low, scale.value, scale.high))
        source = f"{self.trace}: distances of linked blocks in one code buffer, to a power of two"
        why = "distances are known to a power of two"
        return Quantity.within(value, low, high, "of the executions", scale.tag, (source, *scale.source), "far", why)


RATES = ("executions", "unlinks", "targets", "reuses")
"""What can be given for each link: executions through it, unlinks, new targets, uses of a target's memory again."""
_MOST_FOR_A_LINK = 1e12
_OF_A_BOOT = 0.0012
_KEPT: Shelf[Workload] = Shelf("links of traces", Workload, __file__)


def _exactly(value: float, source: str, name: str, *, unit: str = "for each link", tag: Tag = "measured") -> Quantity:
    """A quantity without a range."""
    return Quantity(value, value, value, unit, tag, (source,), name)


def _translated_again(blocks: Blocks) -> npt.NDArray[np.bool_]:
    """Of each block, whether another one at its guest address follows in the same epoch."""
    order = np.lexsort((np.arange(len(blocks)), blocks.guest_pc, blocks.epoch))
    pc, epoch = blocks.guest_pc[order], blocks.epoch[order]
    found = np.zeros(len(blocks), np.bool_)
    found[order[:-1]] = (pc[1:] == pc[:-1]) & (epoch[1:] == epoch[:-1])
    return found


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

    @property
    def unasked(self) -> tuple[str, ...]:
        """Scenarios that others may fail in and that it says too little for; not those that it rules out."""
        ruled_out = ("far", "interrupted")
        return tuple(one.scenario for one in self.verdicts if one.verdict == "n/a" and one.scenario not in ruled_out)


@dataclass(frozen=True)
class SitesComparison:
    """All sites on a target: the right ones by cost, then the others.  ``baseline``: what the run costs without its
    exits; ``pairs``: one's own beside its neighbours, then neighbours in rank, undecided ones first."""

    target: Target
    workload: Workload
    rows: tuple[PricedSite, ...]
    baseline: Cost
    pairs: tuple[Pair, ...] = ()


def compare_sites(
    verified: Sequence[Sequence[SiteVerdict]],
    target: Target,
    workload: Workload,
    parameters: Parameters,
    own: Container[str] = (),
) -> SitesComparison:
    """Sites with their verdicts on a target and, on a host, their prices; ``own``: the names of some of them."""
    rows = []
    for verdicts in verified:
        site = verdicts[0].site
        row = PricedSite(site, tuple(verdicts), own=site.name in own)
        if isinstance(target, Host):
            cost = price(site, target, parameters)
            row = replace(row, price=cost, run=run_of(cost, site, target, workload))
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
    return SitesComparison(target, workload, tuple(ranked), baseline(target, workload), tuple(_neighbours(ranked)))


def _neighbours(rows: Sequence[PricedSite]) -> Iterator[Pair]:
    """Those of one's own beside the right ones that are next cheaper and dearer; then all ranks that follow on each
    other, undecided pairs first."""
    by_cost = sorted(rows, key=lambda row: row.run.nominal)
    beside = []
    for at, row in enumerate(by_cost):
        if row.own:
            for side in (by_cost[at::-1], by_cost[at:]):
                beside += [(row, one) for one in side if one.right and (one.run - row.run).terms][:1]
    ranks = {row.rank: row for row in reversed(rows) if row.rank}
    following = [pair_of(*two) for two in itertools.pairwise(ranks[number] for number in sorted(ranks))]
    following.sort(key=lambda one: one.order != "undecided")
    told = {(one.first, one.second): one for one in (*itertools.starmap(pair_of, beside), *following)}
    yield from told.values()


def pair_of(one: PricedSite, other: PricedSite) -> Pair:
    """The order of two sites by what the run costs."""
    return pair(one.site.name, other.site.name, other.run - one.run)


def run_of(cost: SitePrice, site: Site, host: Host, workload: Workload) -> Cost:
    """What the exits of a run cost."""
    far = workload.far(site, host)
    return cost.run(workload.through, workload.made, workload.rates_on(host), far=far)


def break_even(one: PricedSite, other: PricedSite, rates: Rates) -> float | None:
    """The executions for each link at which both cost the same, every quantity at its value; None if at none from 1."""
    assert one.price is not None and other.price is not None
    slope = one.price.execution.nominal - other.price.execution.nominal
    at = (other.price.patching(rates) - one.price.patching(rates)).nominal / slope if slope else -1.0
    return at if at >= 1 else None


def baseline(host: Host, workload: Workload) -> Cost:
    """The execution of the translated code, caches hitting."""
    instructions = workload.recorded_bytes * host_scale(host.main_isa).value
    instructions /= host.runs_as(host.main_isa).instruction_bytes.value
    return of_figure("costs.cpi", host.costs.cpi, host.clock_ghz, host.clock_tag).times(instructions, "estimate")
