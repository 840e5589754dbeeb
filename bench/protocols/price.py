"""What an operation costs on a host, in cycles as a sum of named quantities.

Instructions cost the host's ``cpi``; loads, maintenance, interrupts and locks its own figures
(``bench/hosts/profile.py``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench.hosts import Host
from bench.hosts.profile import Figure
from bench.replay.cost import NOTHING, Cost, of_figure, of_quantity
from bench.replay.parameters import Parameters

INTERRUPTING = ("membarrier", "ipi", "stop-others", "stop-anywhere")
"""Operations that every other core is interrupted by."""


@dataclass(frozen=True, slots=True)
class ProtocolPrices:
    """Those of a host that runs an instruction set; ``vcpus`` of the parameters: the cores that take part."""

    host: Host
    isa: str
    parameters: Parameters

    @property
    def others(self) -> int:
        """The other cores."""
        vcpus = self.parameters.vcpus
        return (self.host.cores.value if vcpus is None else vcpus) - 1

    def figure(self, name: str, figure: Figure) -> Cost:
        """One of the host's figures."""
        return of_figure(name, figure, self.host.clock_ghz, self.host.clock_tag)

    def load(self) -> Cost:
        """A load of a slot."""
        return self.figure("costs.load", self.host.costs.load)

    def instructions(self, count: float) -> Cost:
        """So many instructions, caches hitting."""
        return self.figure("costs.cpi", self.host.costs.cpi).times(count)

    def flush(self) -> Cost:
        """What the host does to publish a word of code."""
        recipe, named = self.host.runs_as(self.isa).flush, f"isa.{self.isa}.flush"
        parts = {"call": recipe.call, "line": recipe.line, "remote": recipe.remote}
        return sum((self.figure(f"{named}.{name}", part) for name, part in parts.items()), NOTHING)

    def of(self, verb: str, words: Iterable[bool] = (), *, local: bool = False) -> Cost:
        """An operation of ``bench/protocols/operations.py``; ``words``: for each that is stored, whether it is code."""
        costs = self.host.costs
        recipe, named = self.host.runs_as(self.isa).flush, f"isa.{self.isa}.flush"
        half_line = self.figure(f"{named}.line", recipe.line).times(0.5)
        remote = NOTHING if local else self.figure(f"{named}.remote", recipe.remote)
        match verb:
            case "store" | "store-release":
                words = list(words)
                into = self.figure("costs.store_into_code", costs.store_into_code)
                return self.instructions(len(words)) + (into if any(words) else NOTHING)
            case "clean":
                return half_line
            case "invalidate" | "invalidate-all":
                return half_line + remote
            case "dsb" | "fence" | "isb" | "fence.i":
                if costs.barrier is not None:
                    return self.figure("costs.barrier", costs.barrier)
                return of_quantity(self.parameters.quantities["barrier"].named("barrier"))
            case "membarrier" | "ipi":
                return self.figure("costs.sync_cores", costs.sync_cores).times(self.others)
            case "stop-others" | "stop-anywhere":
                return self.figure("costs.stop", costs.stop).times(self.others)
            case "lock":
                return self.figure("costs.lock", costs.lock)
            case "poll-stop":
                return self.instructions(2) + self.load()
            case "load":
                return self.load()
        return self.instructions(1)
