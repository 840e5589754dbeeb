"""The prices of a strategy's operations on a host.

An operation names its price where it is declared (``strategies/operations.py``); stores, maintenance, flushes and locks
have the rules below.  Every figure is the host's (``bench/hosts/profile.py``) or a parameter of the
replay; no price depends on a strategy's name.  A parameter that is given goes before the host's figure.

``flush``   A ``Flush`` costs ``call`` + lines x ``line`` + ``remote``, the lines of whole pages where the kernel
            does so (``FlushRecipe.whole_pages``).  A sequence of a strategy's own ``Clean``,
            ``Invalidate``, ``Barrier`` and ``Sync`` costs the same: ``call`` once, half of ``line`` for
            each line cleaned and for each line invalidated, ``remote`` once if an invalidation is broadcast.
            (A flush that only cleans or only invalidates costs all of ``line`` for each.)  Barriers outside
            such a sequence are priced one by one.
``lock``    ``costs.lock``, an uncontended acquire and release, for each acquisition, shared or not.  What ``enter``
            takes is taken once for each run of linked blocks (QEMU's ``cpu_exec_start``): ``Parameters.linked``.
``stop``    The other vCPUs' share, 0 with one vCPU: an acquisition that waits for executors to leave costs
            ``costs.stop`` for each other vCPU, a ``SyncCores`` ``costs.sync_cores`` for each, another
            exclusive acquisition ``costs.contended`` for each, times the contended share.  Answers are given one after
            the other; at the low end of ``answers in turn`` all at once.
``store_into_code``  ``costs.store_into_code`` for each line of live code that a retranslation (or another hook)
            stores to.  The first store takes the line from the instruction caches; later ones before the
            next fetch find no copy.
``lookup``  ``Parameters.lookup`` for each guest instruction decoded.
``translate``  The translator's work: ``Parameters.retranslation`` for each byte generated again, ``front_end`` for
            each byte of the TBs that this is done for, ``restart`` each time; ``encoding`` for each byte stored in a
            side table.

Each price is a named quantity of the host (``costs.lock``, as ``--set`` has it) or of the replay's parameters; so a
cost is a sum of counts times quantities (``cost.py``), and two costs can be compared whatever the quantities are.

A count has the weakest tag of the figures that it is counted from.  It is simulated once, with every assumption at
its nominal value.  Its range approximates simulations at the ends of their ranges:

* Counts in proportion to the code's length (bytes generated again, lines of a ``Flush`` or a ``Clean``, but for whole
  pages, lines of live code stored to, instructions executed, refills) have the range of the host's bytes per recorded
  byte (``layout.host_scale``): the quantity ``code length``.  The partial line at each end of a block, which does not
  grow with it, is ignored.
* The refills that a strategy causes scale with the translator's footprint: with its lines of code, or, on a host with
  an L2, of code and data together, whichever has the wider range: ``translator footprint``.  The translator cannot
  displace more than a cache holds, so this range is too wide where its footprint is as large as the cache.  It is too
  narrow where the footprint hardly displaces lines that are used again.  Lines that a flush itself invalidates do not
  depend on the footprint.
* The guest's own data lines only decide which refills come from memory, and have no range here: on the default trace
  and a Cortex-A9 the ends of their range, 10 and 200, make the refills of ``unfixed`` 9 % and 5 % cheaper.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.hosts.profile import Figure, Host, Length, Tag
from bench.replay.cost import NOTHING, Cost, of_figure, of_quantity, total, weakest
from bench.replay.parameters import Parameters
from bench.replay.plan import Tally
from bench.replay.quantity import Quantity
from bench.support.errors import InputError
from strategies.operations import CostPart, Price

CHANCE = "chance"
"""How the names of quantities begin that are sampling noise."""


_DEFAULTS = Parameters()


def is_chance(quantity: Quantity) -> bool:
    """Whether it is sampling noise, and no assumption."""
    return quantity.name.startswith(CHANCE)


@dataclass(frozen=True, slots=True)
class Prices:
    """The unit price of each operation, in cycles.

    ``call``, ``line``, ``remote``, ``store_into_code``, ``retranslation`` and ``instruction`` (for each byte executed)
    are those where code has its nominal length; ``scale``: host bytes per recorded byte, which lengths of code are in
    proportion to; ``lengths``: their tag.  ``footprint``: the translator's cache footprint, as a multiple of the
    simulated one.  ``stop`` and ``contended`` are for all other vCPUs together.  ``units``: each figure of ``costs``.
    ``refill_l2`` is None on a host without an L2.
    """

    call: Cost
    line: Cost
    remote: Cost
    lock: Cost
    contended: Cost
    stop: Cost
    store_into_code: Cost
    refill_l2: Cost | None
    refill_memory: Cost
    instruction: Cost
    linked: Quantity
    retranslation: Cost
    front_end: Cost
    restart: Cost
    encoding: Cost
    units: Mapping[str, Cost]
    lengths: Tag
    scale: Quantity
    footprint: Quantity
    vcpus: int

    @classmethod
    def on(cls, host: Host, isa: str, parameters: Parameters, lengths: Tag, scale: Quantity) -> Prices:
        """The prices on ``host`` under one of its instruction sets; ``scale``: host bytes per recorded byte."""

        def of(name: str, figure: Figure) -> Cost:
            return of_figure(name, figure, host.clock_ghz, host.clock_tag)

        costs, own = host.costs, host.runs_as(isa)
        named = f"isa.{isa if isa in host.isa else host.main_isa}"
        assumed = {name: quantity.named(name) for name, quantity in parameters.quantities.items()}
        vcpus = host.cores.value if parameters.vcpus is None else parameters.vcpus
        code = scale.named("code length")

        def measured_or_assumed(name: str, figure: Figure | None) -> Cost:
            given = getattr(parameters, name) is not getattr(_DEFAULTS, name)
            return of_quantity(assumed[name]) if figure is None or given else of(f"costs.{name}", figure)

        def by_length(one: Cost) -> Cost:
            return one.in_proportion(code).times(1.0, lengths)

        def by_length_of(name: str, figure: Figure) -> Cost:
            return by_length(of(name, figure))

        def unit(name: str) -> Cost | None:
            figure: Figure | None = getattr(costs, name)
            if name in assumed:
                return measured_or_assumed(name, figure)
            return of(f"costs.{name}", figure) if figure is not None else None

        units = {name: cost for name in costs.__struct_fields__ if (cost := unit(name)) is not None}
        return cls(
            call=of(f"{named}.flush.call", own.flush.call),
            # Whole pages are as many whatever the length of code.
            line=(of if own.flush.granule > 1 else by_length_of)(f"{named}.flush.line", own.flush.line),
            remote=of(f"{named}.flush.remote", own.flush.remote),
            lock=units["lock"],
            contended=_by_others(units["contended"].by(assumed["contended_share"]), vcpus),
            stop=_by_others(units["stop"], vcpus),
            store_into_code=by_length(units["store_into_code"]),
            refill_l2=units.get("refill_l2"),
            refill_memory=units["refill_memory"],
            instruction=by_length(units["cpi"].by(_instructions(own.instruction_bytes, named))),
            linked=assumed["linked"],
            retranslation=by_length(of_quantity(assumed["retranslation"])),
            front_end=by_length(of_quantity(assumed["front_end"])),
            restart=of_quantity(assumed["restart"]),
            encoding=units["encoding"].times(1.0, lengths),
            units=units,
            lengths=lengths,
            scale=code,
            footprint=_footprint(host, parameters),
            vcpus=vcpus,
        )

    def operations(self, tally: Tally, part: CostPart) -> Cost:
        """The operations that have a price of their own in this part of the cost."""
        return total(self._unit(price).times(count) for price, count in tally.priced if price.part == part)

    def _unit(self, price: Price) -> Cost:
        if price.figure not in self.units:
            raise InputError(f"an operation costs costs.{price.figure}, which the host does not say")
        unit = self.units[price.figure]
        if price.per == "other vCPU":
            return _by_others(unit, self.vcpus)
        return unit.times(1.0, self.lengths) if price.per == "guest instruction" else unit

    def flush(self, tally: Tally) -> Cost:
        """Cleaning, invalidating, and waiting for completion."""
        maintenance = (
            self.call.times(tally.calls),
            self.line.times(tally.halves / 2),
            self.remote.times(tally.remotes),
        )
        return total((*maintenance, self.operations(tally, "flush")))

    def locks(self, tally: Tally) -> Cost:
        """Uncontended lock acquisitions: not where a linked block follows under the lock."""
        taken = self.lock.times(tally.locks) + self.lock.by(self.linked).times(-tally.linked)
        return taken + self.operations(tally, "lock")

    def stops(self, tally: Tally) -> Cost:
        """Stopping other vCPUs or waiting for them; 0 without any."""
        waiting = self.stop.times(tally.stops) + self.contended.times(tally.contended)
        return waiting + self.operations(tally, "stop")

    def stores_into_code(self, tally: Tally) -> Cost:
        """Stores to lines that were or may be fetched, without the stores themselves."""
        return self.store_into_code.times(tally.code_lines)

    def lookups(self, tally: Tally) -> Cost:
        """Looking up the guest state in a side table."""
        return self.operations(tally, "lookup")

    def translator(self, tally: Tally) -> Cost:
        """Generating code again, and writing side tables."""
        return (
            self.retranslation.times(tally.regenerated)
            + self.front_end.times(tally.decoded_again)
            + self.restart.times(tally.restarts)
            + self.encoding.times(tally.encoded)
        )

    def translation(self, host_bytes: float) -> float:
        """The nominal cycles of the translator for a whole TB of so many bytes."""
        return self.restart.nominal + (self.retranslation.nominal + self.front_end.nominal) * host_bytes

    def caused(self, misses: float, from_memory: float, counted: Tag) -> Cost:
        """The ``refills`` that a strategy causes; they depend on the translator's footprint."""
        return self.refills(misses, from_memory, counted).in_proportion(self.footprint)

    def chance(self, misses: float, from_memory: float, counted: Tag, name: str) -> Cost:
        """The sampling noise in refills, in either direction; one unknown for each ``name``."""
        most = self.refills(misses, from_memory, counted)
        if not most.high:
            return NOTHING
        source = ("sampling noise of random replacement, three standard deviations",)
        noise = Quantity(0.0, -most.high, most.high, "cycles", most.tag, source, name=f"{CHANCE} ({name})")
        return of_quantity(noise)

    def refills(self, misses: float, from_memory: float, counted: Tag) -> Cost:
        """Refills of ``misses`` instruction lines, ``from_memory`` of them not from the L2; ``counted``: their tag."""
        cost = self.refill_memory.times(from_memory, counted)
        if self.refill_l2 is not None:
            cost += self.refill_l2.times(misses - from_memory, counted)
        return cost.in_proportion(self.scale)

    def executed(self, host_bytes: int) -> Cost:
        """The execution of ``host_bytes`` bytes of host code without misses; the instruction length has a range."""
        return self.instruction.times(host_bytes)


def _instructions(length: Length, isa: str) -> Quantity:
    """Instructions per byte."""
    return Quantity.within(
        1 / length.value,
        1 / length.high,
        1 / length.low,
        "instructions per byte",
        length.tag,
        length.source,
        f"1 / {isa}.instruction_bytes",
        length.note or "as its profile has it",
    )


def _by_others(one: Cost, vcpus: int) -> Cost:
    """The cost for every other vCPU."""
    others = vcpus - 1
    if others <= 1:
        return one.times(others)
    source = ("the other vCPUs are stopped or waited for one after the other; at the low end all at once",)
    why = "one after the other is what a loop over them does"
    return one.by(Quantity.within(others, 1, others, "other vCPUs", "assumed", source, "answers in turn", why))


def _footprint(host: Host, parameters: Parameters) -> Quantity:
    """The translator's cache footprint relative to the simulated one."""
    code, data = parameters.translator_code_lines, parameters.translator_data_lines
    low, high = code.ratios
    tag = code.tag
    both = code.value + data.value
    if host.l2 is not None and both:
        low, high = min(low, (code.low + data.low) / both), max(high, (code.high + data.high) / both)
        tag = weakest(tag, data.tag)
    source = ("translator_code_lines and translator_data_lines",)
    why = "the simulated footprint is an end of its range"
    return Quantity.within(1.0, low, high, "times the simulated one", tag, source, "translator footprint", why)
