"""The costs of strategies on a recorded execution.

A strategy's own hooks define what it does (``plan.py``), as in ``check``.  They are evaluated once for each group of
like blocks and priced for every block of the group (``price.py``).  Their effects on cache lines are simulated together
with the execution (``kernel.py``), so that refills are counted and not estimated.

``retranslate``   Evaluated for each recorded retranslation, on the writes of its guest accesses (all taken as loads:
                  the recording does not distinguish loads and stores), then complete writes up to the rewritten
                  length in place of the translator's other operations.  If it stores anything, to scratch memory too,
                  the translator runs.
``translate``     Evaluated for each TB translated in the recording.  Every translation is simulated, in the baseline
                  too; only the difference from the base class's ``translate`` is counted and priced.
linking           Where the backend patches code to link an exit (``Translator.patched``), the store and its flush are
                  simulated for each link of the execution, in the baseline too, and not priced.
``enter``, ``leave``  Evaluated together and priced for every execution, their locks for every run of linked blocks
                  (``bench/traces/links.py``).  Their effects on cache lines are priced and not simulated.
``flush_buffer``  Evaluated at each tb flush, with the buffer's used bytes.
``side_bytes``    Added up over the TBs between two tb flushes; the maximum is reported.

For ``translate``, ``enter`` and ``leave`` the TBs of a group have the same number of guest accesses.  The hooks get a
region of the group's mean length; lines are counted by each TB's own address and length.

All recorded threads are replayed as one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from msgspec import Struct

from bench.caches.counts import Counts
from bench.caches.simulate import load
from bench.hosts.profile import Host
from bench.program.identity import identity
from bench.replay.context import CacheEffects, Pricing, ReplayContext, Simulated
from bench.replay.cost import NOTHING, Cost, total
from bench.replay.hooks import Hooks
from bench.replay.parameters import Parameters
from bench.replay.plan import Plan, Tally
from bench.replay.price import is_chance
from bench.replay.quantity import Quantity
from bench.support.kept import Shelf, is_keeping
from bench.traces.successor import count_executions
from bench.traces.trace import I64, U32, Trace
from bench.translators.translator import Translator
from strategies.strategy import Strategy

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the executions replayed so far, and those to replay in all."""


class Replayed(Struct, frozen=True, kw_only=True):
    """The costs of one strategy on one host for one trace, in cycles of the host's clock.

    ``writes``       stores of the retranslations, to live code or to scratch memory
    ``lines_cleaned``, ``lines_invalidated``  lines that the strategy's maintenance covers (without the flush after a
                     first translation, which all strategies have)
    ``refills``      L1 instruction misses of TBs in addition to the baseline's; negative if some were saved, or by
                     sampling noise
    ``side_bytes``   the maximum of the memory in side tables
    ``line_flushes``, ``locks``  the number of line flushes (one half where a line is only cleaned or only invalidated)
                     and of lock acquisitions (``Parameters.linked`` at its value): the factors of their prices

    ``flush``, ``lock``, ``stop``, ``lookup``, ``translate``, ``store_into_code`` as in ``price.py``;
    ``refill``       the cost of ``refills``; under random replacement its range includes the sampling noise
    ``overhead``     the sum of these seven
    ``per_retranslation``  what of it is in proportion to the number of retranslations: all that is done at them, and
                     the refills if nothing else of the strategy touches a line
    ``baseline``     the execution of the TBs' host instructions, and their refills without any retranslation
    ``notes``        caveats of the figures, one sentence each
    ``simulated``    what a comparison with another strategy needs
    """

    strategy: str
    host: str
    translator: str
    trace: str
    executions: int
    retranslations: int
    writes: int
    lines_cleaned: int
    lines_invalidated: int
    refills: int
    side_bytes: int
    line_flushes: float
    locks: int
    flush: Cost
    refill: Cost
    lock: Cost
    stop: Cost
    lookup: Cost
    translate: Cost
    store_into_code: Cost
    overhead: Cost
    per_retranslation: Cost
    baseline: Cost
    notes: tuple[str, ...]
    simulated: Simulated

    def more_than(self, other: Replayed) -> Cost:
        """What the overhead is more than that of another strategy in the same replay.

        What both pay cancels out, and most of the sampling noise does.
        """
        return counted(self.overhead - other.overhead) + self.simulated.chance(other.simulated)

    def more_at_rate(self, other: Replayed, rate: Quantity) -> Cost:
        """The same without the sampling noise, where retranslations per million executions are the quantity ``rate``.

        Raises ``ValueError`` for a trace without any retranslation.
        """
        if not self.retranslations:
            raise ValueError("no retranslation")
        at_them = counted(self.per_retranslation - other.per_retranslation)
        return counted(self.overhead - other.overhead) - at_them + at_them.by(rate).times(1 / self.rate)

    @property
    def rate(self) -> float:
        """Retranslations per million executions."""
        return 1e6 * self.retranslations / max(self.executions, 1)


def counted(cost: Cost) -> Cost:
    """A cost without the sampling noise."""
    return Cost(tuple(term for term in cost.terms if not any(map(is_chance, term.quantities))))


def replay(
    trace: Trace,
    host: Host,
    translator: Translator,
    strategies: Iterable[Strategy],
    parameters: Parameters | None = None,
    progress: Progress | None = None,
) -> tuple[Replayed, ...]:
    """The costs of each of ``strategies`` when ``host`` executes ``trace`` with code by ``translator``.

    The execution is read once, and simulated for the baseline and for each distinct set of cache effects.  A
    translator whose instruction set the host does not list is hypothetical there: it has the flush and the instruction
    length of the host's main instruction set.

    Raises ``InputError`` for a trace that cannot be laid out or replayed, ``StrategyError`` for a strategy whose
    hooks cannot be evaluated.
    """
    return Replaying(trace, host, translator, strategies, parameters).costs(progress)


class Replaying:
    """A ``replay`` that has begun: what needs no simulation is done beside this process until ``costs`` is asked."""

    def __init__(
        self,
        trace: Trace,
        host: Host,
        translator: Translator,
        strategies: Iterable[Strategy],
        parameters: Parameters | None = None,
    ) -> None:
        self.trace = trace
        self.pricing = pricing = Pricing(host, translator, parameters or Parameters())
        self.strategies = tuple(strategies)
        self._keys = [_key(trace, pricing, strategy) for strategy in self.strategies]
        self._found = [None if key is None else _KEPT.find(key) for key in self._keys]
        left = [strategy for strategy, one in zip(self.strategies, self._found, strict=True) if one is None]
        self._context = ReplayContext(trace, pricing.host, translator, pricing.parameters, left) if left else None
        if self._context is not None:
            self._context.derive_links()

    def costs(self, progress: Progress | None = None) -> tuple[Replayed, ...]:
        """The costs of each strategy.  Raises as ``replay``."""
        found = self._measured(progress)
        # Two simulations draw the same victims until they differ: one noise for those that miss as often.
        names = {
            (one.counts.code_misses, one.counts.code_memory): strategy.name
            for one, strategy in reversed([*zip(found, self.strategies, strict=True)])
        }
        return tuple(
            _priced(self.trace, self.pricing, one, strategy, names[one.counts.code_misses, one.counts.code_memory])
            for one, strategy in zip(found, self.strategies, strict=True)
        )

    def _measured(self, progress: Progress | None) -> list[Measured]:
        """Each strategy on the trace: as it was found before, or in one simulation of all others."""
        simulated = iter(_simulated(self._context, progress) if self._context else ())
        return [one or _kept(next(simulated), key) for one, key in zip(self._found, self._keys, strict=True)]


@dataclass(frozen=True, slots=True)
class Measured:
    """What a strategy does on a trace, whatever that costs.

    ``retranslations``, ``elsewhere``: its operations there; ``baseline`` and ``counts`` of the caches without and with
    it.  ``executed``: bytes of host code; ``side_bytes`` as in ``Replayed``.  ``rewrites_only``: retranslations alone
    affect cache lines otherwise than in the baseline.  ``executors``: the locks around executions, each with whether it
    is shared; ``maintains``: what is around them touches lines; ``flushes``: something is done at a tb flush.
    ``unknown``, ``default_share``: of the layout; ``unknown_accesses`` of retranslations.
    """

    retranslations: Tally
    elsewhere: Tally
    baseline: Counts
    counts: Counts
    executions: int
    executed: int
    side_bytes: int
    rewrites_only: bool
    executors: dict[str, bool]
    maintains: bool
    flushes: bool
    unknown: int
    default_share: float
    unknown_accesses: int


_KEPT: Shelf[Measured] = Shelf("replays", Measured, __file__)


def _key(trace: Trace, pricing: Pricing, strategy: Strategy) -> tuple[object, ...] | None:
    """All that ``Measured`` depends on beside the sources; None where nothing is kept, or that is not known."""
    known = identity(strategy, pricing.translator) if trace.content and is_keeping() else None
    if known is None:
        return None
    host, parameters = pricing.host, pricing.parameters
    isa = host.runs_as(pricing.translator.isa)
    caches = host.icache, host.dcache, host.l2, host.coherence
    assumed = parameters.as_recorded, parameters.caches
    return trace.content, known, caches, isa.instruction_bytes, isa.flush.without_prices, assumed


def _kept(found: Measured, key: tuple[object, ...] | None) -> Measured:
    return found if key is None else _KEPT.keep(key, found)


def _simulated(context: ReplayContext, progress: Progress | None) -> list[Measured]:
    load(context.host, context.trace.length)  # while the hooks are evaluated
    baseline, trace = context.baseline, context.trace
    evaluated = [_StrategyReplay(context, hooks) for hooks in context.evaluated.hooks]
    passes = dict.fromkeys((baseline, *(one.cache_effects for one in evaluated)))
    executions = ExecutionCounts.none(trace)
    chunks = _reporting(executions.counting(trace), progress, trace.length)
    counts = dict(zip(passes, context.simulated(passes, chunks), strict=True))
    if any(one.executors for one in evaluated):
        executions.linked[:] = executions.all - context.linked.begun
    return [one.measured(counts[baseline], counts[one.cache_effects], executions) for one in evaluated]


def _reporting(chunks: Iterable[U32], progress: Progress | None, total: int) -> Iterator[U32]:
    """``chunks``; reports progress after each."""
    done = 0
    for words in chunks:
        yield words
        done += words.size
        if progress:
            progress(done, total)


@dataclass(frozen=True, slots=True)
class ExecutionCounts:
    """The executions of each TB: ``all`` of them, and those that were entered through a link (``linked``)."""

    all: I64
    linked: I64

    @classmethod
    def none(cls, trace: Trace) -> ExecutionCounts:
        """Nothing counted yet."""
        return cls(np.zeros(len(trace.blocks), np.int64), np.zeros(len(trace.blocks), np.int64))

    def counting(self, trace: Trace) -> Iterator[U32]:
        """The executions of ``trace``, each counted in ``all``."""
        for words in trace.executions():
            count_executions(words, self.all)
            yield words


# --- one strategy -------------------------------------------------------------------------------------------------


class _StrategyReplay:
    """The evaluated hooks of a strategy, and their tally and price."""

    def __init__(self, context: ReplayContext, hooks: Hooks) -> None:
        self.context = context
        self.executors, self.executions, self.flushes = hooks.executors, hooks.executions, hooks.flushes
        self.retranslations = hooks.retranslations or context.evaluated.retranslations
        self.translations = hooks.translations or context.evaluated.translations
        self.cache_effects = CacheEffects.of(self.retranslations, self.translations, self.flushes)
        self.side_bytes: I64 = np.array(hooks.side_bytes, np.int64)[context.groups.sizes[1]]

    def measured(self, baseline: Counts, counts: Counts, executions: ExecutionCounts) -> Measured:
        """The result, from the counts of two simulations and the executions of each TB."""
        context, own, base = self.context, self.cache_effects, self.context.baseline
        return Measured(
            retranslations=self._tally_retranslations(),
            elsewhere=self._tally_elsewhere(executions),
            baseline=baseline,
            counts=counts,
            executions=int(executions.all.sum()),
            executed=int(context.layout.sizes @ executions.all),
            side_bytes=self._peak(),
            rewrites_only=(own.translations, own.flushes) == (base.translations, base.flushes),
            executors=dict(self.executors),
            maintains=any(one.maintains or one.stores for one in self.executions),
            flushes=any(one != Plan() for one in self.flushes),
            unknown=context.layout.unknown,
            default_share=context.layout.default_share,
            unknown_accesses=context.groups.unknown_accesses,
        )

    def _tally_retranslations(self) -> Tally:
        context = self.context
        total = Tally()
        for kind, one in zip(context.groups.retranslated, self.retranslations, strict=True):
            rows = kind.rows
            sizes = context.groups.rewritten[rows]
            total += one.tally(
                context.host,
                context.layout.addresses[context.groups.tb[rows]],
                sizes,
                context.groups.decoded[rows],
                np.ones_like(rows),
            )
            if one.stores:
                whole = int(context.layout.sizes[context.groups.tb[rows]].sum())
                total += Tally(regenerated=int(sizes.sum()), decoded_again=whole, restarts=rows.size)
        return total

    def _tally_elsewhere(self, executions: ExecutionCounts) -> Tally:
        """The tally of everything but retranslations."""
        context = self.context
        once = np.zeros_like(executions.all)
        once[context.groups.translated] = 1
        total = Tally(encoded=int(self.side_bytes @ once))
        for kind, entered, new, base in zip(
            context.groups.blocks, self.executions, self.translations, context.evaluated.translations, strict=True
        ):
            rows = kind.rows
            layout = context.layout.addresses[rows], context.layout.sizes[rows]
            at = context.host, *layout, context.groups.instructions[rows]
            total += entered.tally(*at, executions.all[rows])
            total += Tally(linked=entered.fixed.locks * int(executions.linked[rows].sum()))
            if new != base:
                total += new.tally(*at, once[rows]) + base.tally(*at, once[rows]).times(-1)
        for one, buffer in zip(self.flushes, context.groups.buffers, strict=True):
            single = np.ones(1, np.int64)
            total += one.tally(context.host, np.zeros(1, np.int64), single * max(buffer.size, 1), single, single)
        return total

    def _peak(self) -> int:
        """The maximum of the side-table bytes: TBs live until the next tb flush."""
        kept = np.zeros(int(self.context.trace.blocks.epoch.max(initial=0)) + 1, np.int64)
        np.add.at(kept, self.context.trace.blocks.epoch, self.side_bytes)
        return int(kept.max())


# --- its price --------------------------------------------------------------------------------------------------------


def _priced(trace: Trace, pricing: Pricing, found: Measured, strategy: Strategy, simulation: str) -> Replayed:
    """The result.  ``simulation`` names its sampling noise."""
    prices, counted = pricing.prices, pricing.counted
    tally, more = found.retranslations + found.elsewhere, found.counts - found.baseline
    flush, lock, stop = prices.flush(tally), prices.locks(tally), prices.stops(tally)
    noise = pricing.sampling_noise(more)
    caused = prices.caused(more.code_misses, more.code_memory, counted)
    refill = caused + prices.chance(*noise, counted, simulation)
    lookup, translate = prices.lookups(tally), prices.translator(tally)
    store_into_code = prices.stores_into_code(tally)
    locks = round(tally.locks - pricing.parameters.linked.value * tally.linked)
    parts = prices.flush, prices.locks, prices.stops, prices.lookups, prices.translator, prices.stores_into_code
    at_them = total(part(found.retranslations) for part in parts)
    refills = prices.refills(found.baseline.code_misses, found.baseline.code_memory, counted)
    return Replayed(
        strategy=strategy.name,
        host=pricing.host.name,
        translator=pricing.translator.full_name,
        trace=trace.name,
        executions=found.executions,
        retranslations=len(trace.retranslations),
        writes=found.retranslations.stores,
        lines_cleaned=tally.cleaned,
        lines_invalidated=tally.invalidated,
        refills=more.code_misses,
        side_bytes=found.side_bytes,
        line_flushes=tally.halves / 2,
        locks=locks,
        flush=flush,
        refill=refill,
        lock=lock,
        stop=stop,
        lookup=lookup,
        translate=translate,
        store_into_code=store_into_code,
        overhead=total((flush, refill, lock, stop, lookup, translate, store_into_code)),
        per_retranslation=at_them + (caused if found.rewrites_only else NOTHING),
        baseline=prices.executed(found.executed) + refills,
        notes=tuple(_notes(trace, pricing, found, locks, noise)),
        simulated=Simulated(more, prices, counted, pricing.replacement, pricing.host.dcache.write_allocate),
    )


def _notes(trace: Trace, pricing: Pricing, found: Measured, locks: int, noise: tuple[float, float]) -> Iterator[str]:
    tally = found.retranslations + found.elsewhere
    if found.unknown:
        share = f"{found.default_share:.0%} of its TB"
        yield f"{found.unknown} rewritten lengths were not recorded: the median share, {share}"
    if found.unknown_accesses:
        yield f"{found.unknown_accesses} retranslations of unknown guest accesses: in proportion to their length"
    others = tally.stops or tally.contended or any(price.per == "other vCPU" for price, _ in tally.priced)
    if others and pricing.prices.vcpus == 1:
        yield "stop is 0: one vCPU has no other to stop or to wait for"
    if tally.calls and pricing.host.runs_as(pricing.translator.isa).flush.granule > 1:
        yield "a flush is of whole pages, as that of the kernel was; --set whole_pages=never: of its own lines"
    if tally.locks and trace.mode == "system":
        yield "in 2011's system emulation the lock macro was empty: this prices a lock that is there"
    if found.executors:
        yield (
            f"the lock around executions is taken once for each run of linked TBs, some {locks:,} times in "
            f"{found.executions:,} executions; --parameter linked=0 takes it around each"
        )
    if not all(found.executors.values()):
        yield "executions hold a lock exclusively: that they wait for each other is not priced"
    if found.maintains:
        yield "what enter and leave do to cache lines is priced, not simulated"
    if found.flushes:
        flushes = trace.flushes.size
        yield f"its flushes are at the trace's {flushes} tb flush{'es' if flushes > 1 else ''}"
    if any(noise):
        misses, memory = (round(float(f"{count:.0e}")) for count in noise)
        yield f"replacement is random: some {misses:,} refills, and {memory:,} fills from memory, are chance"
