"""What a site costs: for each execution, link, unlink, new target and reuse, in cycles as sums of named quantities.

What an execution does is read from its words: instructions at the host's ``cpi``, loads of a slot, indirect branches.
What patching does are its operations.  All at the host's figures (``bench/hosts/profile.py``).  An exit that leads to
its stub costs the way through the dispatcher.  Of the host's pipeline nothing else is known here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from bench.hosts import Host
from bench.protocols.price import INTERRUPTING, ProtocolPrices
from bench.replay.cost import NOTHING, Cost, total
from bench.replay.parameters import Parameters
from bench.replay.quantity import Quantity
from bench.sites.paths import at_rest
from bench.sites.site import CODE, FAR, NEAR, STUB, Site, SiteLine

MISPREDICTIONS = Quantity(
    0.02,
    0,
    0.3,
    "of the executions",
    "assumed",
    ("default of this project: an exit has one target at a time",),
    "share mispredicted",
)
DISPATCH = Quantity(
    160,
    60,
    400,
    "instructions",
    "estimate",
    ("box64 #3577 (2026-02-27): about 160 instructions for each transition; the range is this project's",),
    "dispatch",
)


_DROPPING = ("flush", "invalidate", "invalidate-all", "fence.i")
"""Operations that drop lines of the own core's instruction cache: all words of a site are taken to lie in one."""


@dataclass(frozen=True, slots=True)
class Rates:
    """How often something is done for each link: ``unlinks``; new ``targets`` that are published; ``reuses`` of a
    target's memory; executions that still meet the stub where a link is not flushed (``stubs``)."""

    unlinks: Quantity
    targets: Quantity
    reuses: Quantity
    stubs: Quantity | None = None

    def at(self, executions: float) -> Rates:
        """The same, every quantity at its value, where a link has so many executions."""
        return self if self.stubs is None else replace(self, stubs=self.stubs.at(min(self.stubs.value, executions)))


@dataclass(frozen=True)
class SitePrice:
    """Cycles for each ``execution``, ``link``, ``unlink``, new target (``publish``) and use of a target's memory again
    (``reuse``); ``interrupts``: other cores, for each of the last four.

    ``far``: an execution of an exit whose target no direct branch reaches; ``stub``: of one that leads to the stub.
    ``lingers``: what a link stores is executed only once its line is brought into the instruction cache anew.
    """

    execution: Cost
    far: Cost
    stub: Cost
    link: Cost
    unlink: Cost
    publish: Cost
    reuse: Cost
    interrupts: tuple[int, ...]
    lingers: bool

    @property
    def relink(self) -> Cost:
        """From one target to another: unlinked, and linked."""
        return self.unlink + self.link

    @property
    def each(self) -> tuple[Cost, ...]:
        """Every price."""
        return self.execution, self.far, self.stub, self.link, self.unlink, self.publish, self.reuse

    def run(self, executions: float, links: Quantity, rates: Rates, *, far: Quantity) -> Cost:
        """The cost of so many; ``far``: the share of the executions that are."""
        return total(
            (
                self.execution.times(executions),
                (self.far - self.execution).by(far).times(executions),
                self.patching(rates).by(links),
            )
        )

    def patching(self, rates: Rates) -> Cost:
        """What a link costs until its target is gone, with its share of the targets and their memory."""
        lingering = (self.stub - self.execution).by(rates.stubs) if self.lingers and rates.stubs else NOTHING
        done = (self.unlink, rates.unlinks), (self.publish, rates.targets), (self.reuse, rates.reuses)
        return total((self.link, lingering, *(cost.by(rate) for cost, rate in done)))


def isa_of(site: Site, host: Host) -> str:
    """The instruction set of the host that a site is priced in."""
    return next((isa for isa in site.instructions.hosts if isa in host.isa), host.main_isa)


def price(site: Site, host: Host, parameters: Parameters) -> SitePrice:
    """What a site costs on a host."""
    return _Pricing(site, host, ProtocolPrices(host, isa_of(site, host), parameters)).price()


@dataclass(frozen=True, slots=True)
class _Pricing:
    site: Site
    host: Host
    prices: ProtocolPrices

    def price(self) -> SitePrice:
        site, does, near = self.site, self.site.does, NEAR if NEAR in self.site.states else self.site.states[-1]
        patching = does.link, does.unlink, does.publish, does.retire
        link, unlink, publish, reuse = map(self._operations, patching)
        return SitePrice(
            execution=self._execution(near),
            far=self._execution(FAR if FAR in site.states else near),
            stub=self._execution(STUB),
            link=link,
            unlink=unlink,
            publish=publish,
            reuse=reuse,
            interrupts=tuple(map(self._interrupts, patching)),
            lingers=self._lingers(does.link),
        )

    def _lingers(self, lines: Iterable[SiteLine]) -> bool:
        """Whether code is stored that no later operation takes from an instruction cache that does not follow."""
        flush = self.host.runs_as(self.prices.isa).flush
        if self.host.coherence.snoop.value == "all" or flush.invalidate == "none":
            return False
        stored = False
        for verb, *rest in (line.text.replace(",", " , ").split() for line in lines):
            if verb.startswith("store"):
                names = [part.split()[0] for part in " ".join(rest).split(" , ")]
                stored = stored or any(not self.site.word(name).is_data for name in names)
            elif verb in _DROPPING or (verb == "ipi" and rest[:1] == ["fence.i"]):
                stored = False
        return stored

    def _execution(self, state: str) -> Cost:
        """One way through the site, with nothing changing."""
        linked, costs = at_rest(self.site, state), self.host.costs
        missed = self.prices.figure("costs.mispredicted", costs.mispredicted).by(MISPREDICTIONS)
        execution = total(
            (
                self.prices.instructions(len(linked.executed)),
                self.prices.load().times(linked.loads),
                (self.prices.figure("costs.indirect", costs.indirect) + missed).times(linked.indirect),
                self._operations(self.site.executor.paid),
            )
        )
        if linked.arrives == STUB:
            execution += self.prices.figure("costs.cpi", costs.cpi).by(DISPATCH)
        return execution

    def _interrupts(self, lines: Iterable[SiteLine]) -> int:
        remote = self.host.runs_as(self.prices.isa).flush.remote_sync
        return sum(
            self.prices.others
            for text, _ in lines
            if text.split()[0] in INTERRUPTING or (text.startswith("flush ") and remote)
        )

    def _operations(self, lines: Iterable[SiteLine]) -> Cost:
        return total(self._operation(line.text) for line in lines)

    def _operation(self, line: str) -> Cost:
        verb, *rest = line.split()
        if verb == "flush":
            return self.prices.flush()
        words = [part.split()[0] for part in " ".join(rest).split(",")] if verb == "store" else []
        code = [name == CODE or not self.site.word(name).is_data for name in words]
        return self.prices.of(verb, code, local=rest[-1:] == ["local"])
