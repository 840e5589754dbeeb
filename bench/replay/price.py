"""The prices of a strategy's operations on a host.

Every figure is the host's (``bench/hosts/profile.py``) or a parameter of the
replay; no price depends on a strategy's name.

``flush``   A ``Flush`` costs ``call`` + lines x ``line`` + ``remote``.  A sequence of a strategy's own ``Clean``,
            ``Invalidate``, ``Barrier`` and ``Sync`` costs the same: ``call`` once, half of ``line`` for
            each line cleaned and for each line invalidated, ``remote`` once if an invalidation is broadcast.
            (A flush that only cleans or only invalidates costs all of ``line`` for each.)  Barriers outside
            such a sequence are priced one by one.
``lock``    ``costs.lock``, an uncontended acquire and release, for each acquisition, shared or not.
``stop``    The other vCPUs' share, 0 with one vCPU: an acquisition that waits for executors to leave costs
            ``costs.stop`` for each other vCPU, a ``SyncCores`` ``costs.sync_cores`` for each, another
            exclusive acquisition ``costs.contended`` for each, times the contended share.  At the low end all
            other vCPUs answer at once.
``store_into_code``  ``costs.store_into_code`` for each line of live code that a retranslation (or another hook)
            stores to.  The first store takes the line from the instruction caches; later ones before the
            next fetch find no copy.
``lookup``  ``Parameters.lookup`` for each guest instruction decoded.
``translate``  The translator's work: ``Parameters.retranslation`` for each byte generated again, ``front_end`` for
            each byte of the TBs that this is done for, ``restart`` each time; ``encoding`` for each byte stored in a
            side table.

A count has the weakest tag of the figures that it is counted from.  It is simulated once, with every assumption at
its nominal value.  Its range approximates simulations at the ends of their ranges:

* Counts in proportion to the code's length (bytes generated again, lines of a ``Flush`` or a ``Clean``, lines of live
  code stored to, instructions executed, refills) have the range of the host's bytes per recorded byte
  (``layout.host_scale``).  The partial line at each end of a block, which does not grow with it, is ignored.
* The refills that a strategy causes scale with the translator's footprint: with its lines of code, or, on a host with
  an L2, of code and data together, whichever has the wider range.  The translator cannot displace more than a cache
  holds, so this range is too wide where its footprint is as large as the cache.  It is too narrow where the footprint
  hardly displaces lines that are used again.  Lines that a flush itself invalidates do not depend on the footprint.
* The guest's own data lines only decide which refills come from memory, and have no range here: on the default trace
  and a Cortex-A9 the ends of their range, 10 and 200, make the refills of ``unfixed`` 9 % and 5 % cheaper.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.hosts.profile import Figure, Host, Isa, Tag
from bench.replay.cost import NOTHING, Cost, of_figure, of_quantity
from bench.replay.parameters import Parameters
from bench.replay.plan import Tally
from bench.replay.quantity import Quantity


@dataclass(frozen=True, slots=True)
class Prices:
    """The unit price of each operation, in cycles.

    ``lengths``: the tag of the code lengths that lines are counted from; ``scale``: their range relative to the value
    (low, high); ``footprint``: the same of the translator's cache footprint.
    ``refill_l2`` is None on a host without an L2.
    """

    call: Cost
    line: Cost
    remote: Cost
    barrier: Cost
    lock: Cost
    contended: Cost
    stop: Cost
    sync_cores: Cost
    store_into_code: Cost
    refill_l2: Cost | None
    refill_memory: Cost
    instruction: Cost
    instruction_bytes: Cost
    retranslation: Cost
    front_end: Cost
    restart: Cost
    lookup: Cost
    encoding: Cost
    lengths: Tag
    scale: tuple[float, float]
    footprint: tuple[float, float]
    vcpus: int

    @classmethod
    def on(cls, host: Host, isa: Isa, parameters: Parameters, lengths: Tag, scale: Quantity) -> Prices:
        """The prices on ``host`` under one of its instruction sets; ``scale``: host bytes per recorded byte."""

        def of(figure: Figure) -> Cost:
            return of_figure(figure, host.clock_ghz, host.clock_tag)

        costs, length, share = host.costs, isa.instruction_bytes, parameters.contended_share
        contended = of(costs.contended)
        return cls(
            call=of(isa.flush.call),
            line=of(isa.flush.line),
            remote=of(isa.flush.remote),
            barrier=of_quantity(parameters.barrier),
            lock=of(costs.lock),
            contended=Cost(
                contended.low * share.low, contended.nominal * share.value, contended.high * share.high, contended.tag
            ).tagged(share.tag),
            stop=of(costs.stop),
            sync_cores=of(costs.sync_cores),
            store_into_code=of(costs.store_into_code),
            refill_l2=of(costs.refill_l2) if costs.refill_l2 else None,
            refill_memory=of(costs.refill_memory),
            instruction=of(costs.cpi),
            instruction_bytes=Cost(length.low, length.value, length.high, length.tag),
            retranslation=of_quantity(parameters.retranslation),
            front_end=of_quantity(parameters.front_end),
            restart=of_quantity(parameters.restart),
            lookup=of_quantity(parameters.lookup),
            encoding=of_quantity(parameters.encoding),
            lengths=lengths,
            scale=scale.ratios,
            footprint=_footprint(host, parameters),
            vcpus=host.cores.value if parameters.vcpus is None else parameters.vcpus,
        )

    def flush(self, tally: Tally) -> Cost:
        """Cleaning, invalidating, and waiting for completion."""
        return (
            self.call.times(tally.calls)
            + self._by_length(self.line).times(tally.halves / 2)
            + self.remote.times(tally.remotes)
            + self.barrier.times(tally.barriers)
        )

    def locks(self, tally: Tally) -> Cost:
        """Uncontended lock acquisitions."""
        return self.lock.times(tally.locks)

    def stops(self, tally: Tally) -> Cost:
        """Stopping other vCPUs or waiting for them; 0 without any."""
        return (
            self._others(self.stop).times(tally.stops)
            + self._others(self.sync_cores).times(tally.sync_cores)
            + self._others(self.contended).times(tally.contended)
        )

    def _others(self, one: Cost) -> Cost:
        """The cost for all other vCPUs: in parallel at the low end, else one after the other."""
        others = self.vcpus - 1
        return Cost(one.low, one.nominal * others, one.high * others, one.tag) if others else NOTHING

    def stores_into_code(self, tally: Tally) -> Cost:
        """Stores to lines that were or may be fetched, without the stores themselves."""
        return self._by_length(self.store_into_code).times(tally.code_lines)

    def lookups(self, tally: Tally) -> Cost:
        """Looking up the guest state in a side table."""
        return self.lookup.tagged(self.lengths).times(tally.decoded)

    def translator(self, tally: Tally) -> Cost:
        """Generating code again, and writing side tables."""
        return (
            self._by_length(self.retranslation).times(tally.regenerated)
            + self._by_length(self.front_end).times(tally.decoded_again)
            + self.restart.times(tally.restarts)
            + self.encoding.tagged(self.lengths).times(tally.encoded)
        )

    def translation(self, host_bytes: float) -> float:
        """The nominal cycles of the translator for a whole TB of so many bytes."""
        return self.restart.nominal + (self.retranslation.nominal + self.front_end.nominal) * host_bytes

    def caused(self, misses: float, from_memory: float, counted: Tag) -> Cost:
        """The ``refills`` that a strategy causes; they depend on the translator's footprint."""
        return self.refills(misses, from_memory, counted).spread(*self.footprint)

    def refills(self, misses: float, from_memory: float, counted: Tag) -> Cost:
        """Refills of ``misses`` instruction lines, ``from_memory`` of them not from the L2; ``counted``: their tag."""
        cost = self.refill_memory.tagged(counted).times(from_memory)
        if self.refill_l2 is not None:
            cost += self.refill_l2.tagged(counted).times(misses - from_memory)
        return cost.spread(*self.scale)

    def executed(self, host_bytes: int) -> Cost:
        """The execution of ``host_bytes`` bytes of host code without misses; the instruction length has a range."""
        length = self.instruction_bytes
        one = self.instruction
        per_byte = Cost(one.low / length.high, one.nominal / length.nominal, one.high / length.low, one.tag)
        return self._by_length(per_byte).tagged(length.tag).times(host_bytes)

    def _by_length(self, one: Cost) -> Cost:
        """The unit price of something that is in proportion to the code's length."""
        return one.tagged(self.lengths).spread(*self.scale)


def _footprint(host: Host, parameters: Parameters) -> tuple[float, float]:
    """The low and the high end of the translator's cache footprint relative to the simulated one."""
    code, data = parameters.translator_code_lines, parameters.translator_data_lines
    low, high = code.ratios
    both = code.value + data.value
    if host.l2 is None or not both:
        return low, high
    return min(low, (code.low + data.low) / both), max(high, (code.high + data.high) / both)
