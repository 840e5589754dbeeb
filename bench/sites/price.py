"""What a site costs: for each execution, link, unlink and reuse, in cycles as sums of named quantities.

What an execution does is read from its words: instructions at the host's ``cpi``, loads of a slot, indirect branches.
What patching does are its operations.  All at the host's figures (``bench/hosts/profile.py``).  An exit that leads to
its stub costs the way through the dispatcher.  Of the host's pipeline nothing else is known here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench.hosts import Host
from bench.protocols.price import INTERRUPTING, ProtocolPrices
from bench.replay.cost import Cost, total
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


@dataclass(frozen=True)
class SitePrice:
    """``execution``, ``far``, ``link``, ``unlink``, ``reuse``: cycles for each; ``interrupts``: other cores, for each
    link and unlink.  ``far``: an execution of an exit whose target no direct branch reaches."""

    execution: Cost
    far: Cost
    link: Cost
    unlink: Cost
    reuse: Cost
    interrupts: tuple[int, int]

    @property
    def each(self) -> tuple[Cost, ...]:
        """Every price."""
        return self.execution, self.far, self.link, self.unlink, self.reuse

    def run(self, executions: float, links: Quantity, reuses: float, *, unlinks: Quantity, far: Quantity) -> Cost:
        """The cost of so many; ``unlinks`` for each link, and the share of the executions that are ``far``."""
        return total(
            (
                self.execution.times(executions),
                (self.far - self.execution).by(far).times(executions),
                self.patching(unlinks).by(links),
                self.reuse.times(reuses),
            )
        )

    def patching(self, unlinks: Quantity) -> Cost:
        """What a link costs until its target is gone."""
        return self.link + self.unlink.by(unlinks)


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
        site, near = self.site, NEAR if NEAR in self.site.states else self.site.states[-1]
        return SitePrice(
            self._execution(near),
            self._execution(FAR if FAR in site.states else near),
            self._operations(site.does.link),
            self._operations(site.does.unlink),
            self._operations(site.does.retire),
            (self._interrupts(site.does.link), self._interrupts(site.does.unlink)),
        )

    def _execution(self, state: str) -> Cost:
        """One way through the site, with nothing changing."""
        linked, costs = at_rest(self.site, state), self.host.costs
        missed = self.prices.figure("costs.mispredicted", costs.mispredicted).by(MISPREDICTIONS)
        execution = total(
            (
                self.prices.instructions(len(linked.executed)),
                self.prices.load().times(linked.loads),
                (self.prices.figure("costs.indirect", costs.indirect) + missed).times(linked.indirect),
                self._operations((*self.site.executor.before, *self.site.executor.after)),
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
