"""What a site costs: for each execution, link, unlink and reuse, in cycles as sums of named quantities.

What an execution does is read from its words: instructions at the host's ``cpi``, loads of a slot, indirect branches.
What patching does are its operations, at the host's figures (``bench/hosts/profile.py``).  An exit that leads to its
stub costs the way through the dispatcher.  Of the host's pipeline nothing else is known here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench.hosts import Host
from bench.hosts.profile import Figure
from bench.replay.cost import NOTHING, Cost, of_figure, of_quantity, total
from bench.replay.parameters import Parameters
from bench.replay.quantity import Quantity
from bench.sites.paths import at_rest
from bench.sites.site import CODE, FAR, NEAR, STUB, Site

_NOT_FOUND = "no figure was found for an exit through a slot (QEMU 2acee8b2 leaves it to be tested)"

SLOT_LOAD = Quantity(
    1,
    0.5,
    5,
    "cycles",
    "assumed",
    (f"{_NOT_FOUND}: from one that is hidden to the load-to-use latency of a first level",),
    "slot load",
)
PREDICTED = Quantity(
    1, 0, 3, "cycles", "assumed", (f"{_NOT_FOUND}: what a predicted one costs more",), "indirect branch, predicted"
)
MISPREDICTED = Quantity(
    15, 5, 25, "cycles", "assumed", ("the length of a pipeline, short and long",), "indirect branch, mispredicted"
)
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
UNLINKS = Quantity(
    0.0012,
    0,
    0.24,
    "for each link",
    "estimate",
    (
        "targets invalidated for each link in seven recordings of QEMU 7.2.22: a boot of Linux 0.0012, none to 0.038",
        "high end: blocks invalidated for each block translated in a boot, R. Henderson, i386 pcrel series, 2022",
    ),
    "unlinks",
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

    def run(self, executions: float, links: float, reuses: float) -> Cost:
        """The cost of so many."""
        return total(
            (
                self.execution.times(executions),
                self.link.times(links),
                self.unlink.by(UNLINKS).times(links),
                self.reuse.times(reuses),
            )
        )


def price(site: Site, host: Host, parameters: Parameters) -> SitePrice:
    """What a site costs on a host."""
    return _Pricing(site, host, parameters).price()


@dataclass(frozen=True, slots=True)
class _Pricing:
    site: Site
    host: Host
    parameters: Parameters

    def price(self) -> SitePrice:
        site = self.site
        return SitePrice(
            self._execution(NEAR if NEAR in site.states else site.states[-1]),
            self._execution(FAR if FAR in site.states else NEAR if NEAR in site.states else site.states[-1]),
            self._operations(site.does.link),
            self._operations(site.does.unlink),
            self._operations(site.does.retire),
            (self._interrupts(site.does.link), self._interrupts(site.does.unlink)),
        )

    def _execution(self, state: str) -> Cost:
        """One way through the site, with nothing changing."""
        linked = at_rest(self.site, state)
        execution = total(
            (
                self._instructions(len(linked.executed)),
                of_quantity(SLOT_LOAD).times(linked.loads),
                of_quantity(PREDICTED).times(linked.indirect),
                of_quantity(MISPREDICTED).by(MISPREDICTIONS).times(linked.indirect),
                self._operations((*self.site.executor.before, *self.site.executor.after)),
            )
        )
        if linked.arrives == STUB:
            execution += self._figure("costs.cpi", self.host.costs.cpi).by(DISPATCH)
        return execution

    @property
    def _others(self) -> int:
        vcpus = self.parameters.vcpus
        return (self.host.cores.value if vcpus is None else vcpus) - 1

    def _figure(self, name: str, figure: Figure) -> Cost:
        return of_figure(name, figure, self.host.clock_ghz, self.host.clock_tag)

    def _instructions(self, count: int) -> Cost:
        return self._figure("costs.cpi", self.host.costs.cpi).times(count)

    def _interrupts(self, lines: Iterable[str]) -> int:
        return sum(
            self._others
            for line in lines
            if line.split()[0] in ("membarrier", "ipi", "stop-others", "stop-anywhere")
            or (line.startswith("flush ") and self.host.runs_as(self._isa).flush.remote_sync)
        )

    @property
    def _isa(self) -> str:
        return next((isa for isa in self.site.instructions.hosts if isa in self.host.isa), self.host.main_isa)

    def _operations(self, lines: Iterable[str]) -> Cost:
        return total(self._operation(line) for line in lines)

    def _operation(self, line: str) -> Cost:
        verb, *rest = line.split()
        costs = self.host.costs
        recipe, named = self.host.runs_as(self._isa).flush, f"isa.{self._isa}"
        of_line = self._figure(f"{named}.flush.line", recipe.line)
        remote = self._figure(f"{named}.flush.remote", recipe.remote)
        match verb:
            case "store":
                words = [part.split()[0] for part in " ".join(rest).split(",")]
                code = any(name == CODE or not self.site.word(name).is_data for name in words)
                into = self._figure("costs.store_into_code", costs.store_into_code)
                return self._instructions(len(words)) + (into if code else NOTHING)
            case "flush":
                return self._figure(f"{named}.flush.call", recipe.call) + of_line + remote
            case "clean":
                return of_line.times(0.5)
            case "invalidate" | "invalidate-all":
                return of_line.times(0.5) + (remote if rest[-1:] != ["local"] else NOTHING)
            case "dsb" | "fence" | "isb" | "fence.i":
                if costs.barrier is not None:
                    return self._figure("costs.barrier", costs.barrier)
                return of_quantity(self.parameters.quantities["barrier"].named("barrier"))
            case "membarrier" | "ipi":
                return self._figure("costs.sync_cores", costs.sync_cores).times(self._others)
            case "stop-others" | "stop-anywhere":
                return self._figure("costs.stop", costs.stop).times(self._others)
            case "lock":
                return self._figure("costs.lock", costs.lock)
            case "poll-stop":
                return self._instructions(2) + of_quantity(SLOT_LOAD)
        return self._instructions(1)
