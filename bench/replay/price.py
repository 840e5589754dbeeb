"""What a strategy's operations cost on a host.

Every figure is the host's (``bench/hosts/profile.py``) or a parameter of the
replay; nothing is keyed by a strategy's name.

``flush``   a ``Flush`` costs ``call`` + lines x ``line`` + ``remote``.  A run of a strategy's own ``Clean``,
            ``Invalidate``, ``Barrier`` and ``Sync`` costs the same: ``call`` once, half of ``line`` for
            each line cleaned and for each line invalidated, ``remote`` once if an invalidation is broadcast.
            (A flush that only cleans or only invalidates pays all of ``line`` for each.)  Barriers with no
            maintenance beside them are priced one by one.
``lock``    ``costs.lock``, taken and given back uncontended, for each acquisition, shared or not.
``stop``    What other vCPUs cost, nothing at all if there is one: an acquisition that waits for executors to
            leave costs ``costs.stop`` for each other vCPU, a ``SyncCores`` ``costs.sync_cores`` for each,
            another exclusive acquisition ``costs.contended`` for each, times the share that is contended.  The
            low end has them all answer at once.
``store_into_code``  ``costs.store_into_code`` for each line of live code that a retranslation (or another hook)
            stores to.  The first store takes the line from the instruction caches; those that follow, before
            the line is fetched again, find nothing to take.
``lookup``  ``Parameters.lookup`` for each guest instruction decoded.
``translate``  The translator's work: ``Parameters.retranslation`` for each byte generated again, ``encoding``
            for each byte put into a side table.

What is counted is known no better than what it is counted from, and is simulated once, with every assumption at
its value.  Its range is an approximation that stands for further simulations at the ends of theirs:

* What is in proportion to the code's length (bytes generated again, lines of a ``Flush`` or a ``Clean``, lines of live
  code stored to, instructions executed, refills) has the range of the host's bytes per recorded byte
  (``layout.host_scale``).  A line more or less at a block's ends, which does not grow with it, is ignored.
* The refills that a strategy causes are as many times more or fewer as its translator's footprint can be larger or
  smaller: as the lines of code, or, on a host with an L2, of code and data together, whichever has the wider range.
  What the translator displaces cannot be more than a cache holds, so that this is wide where its footprint is
  as large as the cache; it is narrow where the footprint leaves alone nearly all that is used again, and what a
  flush invalidates itself does not depend on the footprint at all.
* The guest's own data lines only decide which refills come from memory, and have no range here: on the default trace
  and a Cortex-A9 the ends of theirs, 10 and 200, make the refills that ``unfixed`` causes 9 % and 5 % cheaper.
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
    """The cost of one of each, in cycles.

    ``lengths`` is how well the lengths are known that lines are counted from, and ``scale`` how many times
    (low, high) longer they can be; ``footprint`` the same of what the translator takes of the caches.
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
            lookup=of_quantity(parameters.lookup),
            encoding=of_quantity(parameters.encoding),
            lengths=lengths,
            scale=scale.ratios,
            footprint=_footprint(host, parameters),
            vcpus=host.cores.value if parameters.vcpus is None else parameters.vcpus,
        )

    def flush(self, tally: Tally) -> Cost:
        """Cleaning, invalidating, and waiting for it."""
        return (
            self.call.times(tally.calls)
            + self._by_length(self.line).times(tally.halves / 2)
            + self.remote.times(tally.remotes)
            + self.barrier.times(tally.barriers)
        )

    def locks(self, tally: Tally) -> Cost:
        """Taking locks that nobody else wants."""
        return self.lock.times(tally.locks)

    def stops(self, tally: Tally) -> Cost:
        """Stopping or waiting for other vCPUs; nothing if there are none."""
        return (
            self._others(self.stop).times(tally.stops)
            + self._others(self.sync_cores).times(tally.sync_cores)
            + self._others(self.contended).times(tally.contended)
        )

    def _others(self, one: Cost) -> Cost:
        """All other vCPUs: at once at the low end, else one after the other."""
        others = self.vcpus - 1
        return Cost(one.low, one.nominal * others, one.high * others, one.tag) if others else NOTHING

    def stores_into_code(self, tally: Tally) -> Cost:
        """Stores to lines that were or may be fetched, beside the stores themselves."""
        return self._by_length(self.store_into_code).times(tally.code_lines)

    def lookups(self, tally: Tally) -> Cost:
        """Finding the guest state in a side table."""
        return self.lookup.tagged(self.lengths).times(tally.decoded)

    def translator(self, tally: Tally) -> Cost:
        """Generating code again, and writing side tables."""
        generated = self._by_length(self.retranslation).times(tally.regenerated)
        return generated + self.encoding.tagged(self.lengths).times(tally.encoded)

    def caused(self, misses: float, from_memory: float, counted: Tag) -> Cost:
        """The ``refills`` that a strategy causes, which depend on what its translator displaces."""
        return self.refills(misses, from_memory, counted).spread(*self.footprint)

    def refills(self, misses: float, from_memory: float, counted: Tag) -> Cost:
        """``misses`` instruction lines, ``from_memory`` of them not in the L2; ``counted``: how well they are known."""
        cost = self.refill_memory.tagged(counted).times(from_memory)
        if self.refill_l2 is not None:
            cost += self.refill_l2.tagged(counted).times(misses - from_memory)
        return cost.spread(*self.scale)

    def executed(self, host_bytes: int) -> Cost:
        """``host_bytes`` bytes of host code, run with every cache hitting; instructions may be longer or shorter."""
        length = self.instruction_bytes
        one = self.instruction
        per_byte = Cost(one.low / length.high, one.nominal / length.nominal, one.high / length.low, one.tag)
        return self._by_length(per_byte).tagged(length.tag).times(host_bytes)

    def _by_length(self, one: Cost) -> Cost:
        """The cost of one of what is as many times more as the code is longer."""
        return one.tagged(self.lengths).spread(*self.scale)


def _footprint(host: Host, parameters: Parameters) -> tuple[float, float]:
    """How many times smaller and larger the translator's part of the caches can be than it is simulated."""
    code, data = parameters.translator_code_lines, parameters.translator_data_lines
    low, high = code.ratios
    both = code.value + data.value
    if host.l2 is None or not both:
        return low, high
    return min(low, (code.low + data.low) / both), max(high, (code.high + data.high) / both)
