"""What strategies cost on a recorded execution.

One meaning: a strategy's own hooks say what it does (``plan.py``).  They are
asked once for each kind of block that the trace has and priced as often as the
trace has it (``price.py``); what they do to cache lines is simulated together
with the execution (``kernel.py``), so that refills are counted, not guessed.

``retranslate``   Asked for each recorded retranslation: the writes of its guest accesses (all loads: the
                  recording does not tell loads and stores apart), then complete writes up to the rewritten length,
                  which stand for the translator's other operations.  If it stores anything, to scratch memory too,
                  the translator runs.
``translate``     Asked for each TB translated in the recording.  Every translation is simulated, in the baseline too;
                  only what differs from the base class's ``translate`` is counted and priced.
``enter``, ``leave``  Asked together and priced for every execution.  What they do to cache lines is priced and not
                  simulated.
``flush_buffer``  Asked at each tb flush, with the buffer's used bytes.
``side_bytes``    Added up over the TBs between two tb flushes; the most counts.

For ``translate``, ``enter`` and ``leave`` a kind is a number of guest accesses: the region that they are given has
the mean length of its kind, and lines are counted by each TB's own place and length.

The recording is of one thread, or is taken as one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from bench.hosts.profile import Host
from bench.replay.context import Doings, Ground, translation_by
from bench.replay.cost import Cost
from bench.replay.counts import Counts
from bench.replay.parameters import Parameters
from bench.replay.plan import Plan, Tally, executor_locks, plan
from bench.traces.successor import STOPPED, UNKNOWN_TB
from bench.traces.trace import Trace
from bench.translators.translator import Translator
from strategies.strategy import Strategy, StrategyError, place_of
from strategies.writes import Block, Region

I64: TypeAlias = npt.NDArray[np.int64]
U32: TypeAlias = npt.NDArray[np.uint32]
Progress: TypeAlias = Callable[[int, int], None]
"""Called with the executions replayed so far, and those to replay in all."""


class Replayed(Struct, frozen=True, kw_only=True):
    """What one strategy costs on one host for one trace; costs in cycles of the host's clock.

    ``writes``       stores that the retranslations make, to live code or to scratch memory
    ``lines_cleaned``, ``lines_invalidated``  lines that the strategy's maintenance covers (those of the flush after a
                     first translation, which all strategies have, are not counted)
    ``refills``      L1 instruction misses of TBs on top of the baseline's; negative if some were spared, or by chance
    ``side_bytes``   memory kept beside the TBs, at its most
    ``line_flushes``, ``locks``  how often a line is flushed (half a one where it is only cleaned or only invalidated),
                     and a lock taken: what the prices of either are multiplied by

    ``flush``, ``lock``, ``stop``, ``lookup``, ``translate``, ``store_into_code`` as in ``price.py``;
    ``refill``       those refills; where replacement is random its range has room for chance
    ``overhead``     the sum of these seven
    ``baseline``     what runs anyway: the host instructions of the TBs, and their refills without any retranslation
    ``notes``        what a reader has to know of the figures, one sentence each
    """

    strategy: str
    host: str
    translator: str
    trace: str
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
    baseline: Cost
    notes: tuple[str, ...]


def replay(
    trace: Trace,
    host: Host,
    translator: Translator,
    strategies: Iterable[Strategy],
    parameters: Parameters | None = None,
    progress: Progress | None = None,
) -> tuple[Replayed, ...]:
    """What each of ``strategies`` costs when ``host`` executes ``trace`` with code by ``translator``.

    The execution is gone through once, and simulated as the baseline and for each set of strategies that do the same
    to the caches.  A translator whose instruction set the host does not list is hypothetical there: it flushes,
    and its instructions are as long, as those that the host mainly runs.

    Raises ``InputError`` for a trace that cannot be laid out or replayed, ``StrategyError`` for a strategy whose
    hooks cannot be asked.
    """
    ground = Ground(trace, host, translator, parameters or Parameters())
    asked = [_Asked(ground, strategy) for strategy in strategies]
    baseline = ground.baseline
    passes = dict.fromkeys((baseline, *(one.doings for one in asked)))
    executions = np.zeros(len(trace.blocks), np.int64)
    chunks = _reporting(_counting(trace.executions(), executions), progress, trace.length)
    counts = dict(zip(passes, ground.simulated(passes, chunks), strict=True))
    return tuple(one.priced(counts[baseline], counts[one.doings], executions) for one in asked)


def _reporting(chunks: Iterable[U32], progress: Progress | None, total: int) -> Iterator[U32]:
    """``chunks``, each reported when the next is asked for."""
    done = 0
    for words in chunks:
        yield words
        done += words.size
        if progress:
            progress(done, total)


def _counting(chunks: Iterable[U32], executions: I64) -> Iterator[U32]:
    """``chunks``, while adding to ``executions`` how often each TB runs."""
    for words in chunks:
        tbs = words[words < STOPPED] & UNKNOWN_TB
        executions += np.bincount(tbs[tbs < executions.size], minlength=executions.size)
        yield words


# --- one strategy -------------------------------------------------------------------------------------------------


class _Asked:
    """A strategy's answers, and what they amount to."""

    def __init__(self, ground: Ground, strategy: Strategy) -> None:
        self.ground = ground
        self.strategy = strategy
        recipe = ground.isa.flush
        some = next((kind.region for kind in ground.blocks), Region(0, 0, ()))
        self.executors = executor_locks(strategy, some)
        self.retranslations = ground.retranslation_plans(strategy, self.executors)
        self.translations = ground.translation_plans(strategy)
        self.executions = tuple(
            plan(strategy, (("enter", kind.region), ("leave", kind.region)), recipe) for kind in ground.blocks
        )
        self.flushes = tuple(
            plan(strategy, (("flush_buffer", buffer),), recipe, executors=self.executors, locate=ground.where)
            for buffer in ground.buffers
        )
        self.doings = Doings(
            tuple(translation_by(one) if one.stores else one.steps for one in self.retranslations),
            tuple(translation_by(one) for one in self.translations),
            tuple(one.steps for one in self.flushes),
        )
        self.side_bytes = self._side_bytes()

    def _side_bytes(self) -> I64:
        """Bytes kept beside each TB."""
        blocks, kind = self.ground.sizes
        return np.array([self._kept(block) for block in blocks], np.int64)[kind]

    def _kept(self, block: Block) -> int:
        """Bytes kept beside one TB."""
        place = place_of(self.strategy, "side_bytes")
        try:
            found: object = self.strategy.side_bytes(block)
        except Exception as error:
            raise StrategyError(f"{place}: raised {type(error).__name__}: {error}") from error
        if not isinstance(found, int) or found < 0:
            raise StrategyError(f"{place}: returns {found!r}; return a number of bytes, 0 or more")
        return found

    def priced(self, baseline: Counts, counts: Counts, executions: I64) -> Replayed:
        """The result, from the two passes and from how often each TB ran."""
        ground, prices = self.ground, self.ground.prices
        retranslations, elsewhere = self._tally_retranslations(), self._tally_elsewhere(executions)
        tally = retranslations + elsewhere
        more = counts - baseline
        flush, lock, stop = prices.flush(tally), prices.locks(tally), prices.stops(tally)
        refill = prices.caused(more.code_misses, more.code_memory, ground.counted)
        luck = ground.luck(more)
        refill = refill.widened(prices.refills(*luck, ground.counted))
        lookup, translate = prices.lookups(tally), prices.translator(tally)
        store_into_code = prices.stores_into_code(tally)
        executed = int(ground.layout.sizes @ executions)
        return Replayed(
            strategy=self.strategy.name,
            host=ground.host.name,
            translator=ground.translator.full_name,
            trace=ground.trace.name,
            retranslations=len(ground.trace.retranslations),
            writes=retranslations.stores,
            lines_cleaned=tally.cleaned,
            lines_invalidated=tally.invalidated,
            refills=more.code_misses,
            side_bytes=self._peak(),
            line_flushes=tally.halves / 2,
            locks=tally.locks,
            flush=flush,
            refill=refill,
            lock=lock,
            stop=stop,
            lookup=lookup,
            translate=translate,
            store_into_code=store_into_code,
            overhead=sum((refill, lock, stop, lookup, translate, store_into_code), flush),
            baseline=prices.executed(executed)
            + prices.refills(baseline.code_misses, baseline.code_memory, ground.counted),
            notes=tuple(self._notes(tally, luck, int(executions.sum()))),
        )

    def _tally_retranslations(self) -> Tally:
        ground = self.ground
        total = Tally()
        for kind, one in zip(ground.retranslated, self.retranslations, strict=True):
            rows = kind.rows
            sizes = ground.rewritten[rows]
            total += one.tally(
                ground.host, ground.layout.addresses[ground.tb[rows]], sizes, ground.decoded[rows], np.ones_like(rows)
            )
            if one.stores:
                total += Tally(regenerated=int(sizes.sum()))
        return total

    def _tally_elsewhere(self, executions: I64) -> Tally:
        """Everything but retranslations."""
        ground = self.ground
        once = np.zeros_like(executions)
        once[ground.translated] = 1
        total = Tally(encoded=int(self.side_bytes @ once))
        for kind, entered, new, base in zip(
            ground.blocks, self.executions, self.translations, ground.base_translations, strict=True
        ):
            rows = kind.rows
            at = ground.host, ground.layout.addresses[rows], ground.layout.sizes[rows], ground.instructions[rows]
            total += entered.tally(*at, executions[rows])
            if new != base:
                total += new.tally(*at, once[rows]) + base.tally(*at, once[rows]).times(-1)
        for one, buffer in zip(self.flushes, ground.buffers, strict=True):
            single = np.ones(1, np.int64)
            total += one.tally(ground.host, np.zeros(1, np.int64), single * max(buffer.size, 1), single, single)
        return total

    def _peak(self) -> int:
        """The most bytes kept at once: TBs stay until the next tb flush."""
        kept = np.zeros(int(self.ground.trace.blocks.epoch.max(initial=0)) + 1, np.int64)
        np.add.at(kept, self.ground.trace.blocks.epoch, self.side_bytes)
        return int(kept.max())

    def _notes(self, tally: Tally, luck: tuple[float, float], executions: int) -> Iterator[str]:
        ground = self.ground
        layout = ground.layout
        if layout.unknown:
            share = f"{layout.default_share:.0%} of its TB"
            yield f"{layout.unknown} rewritten lengths were not recorded: the median share, {share}"
        if ground.unknown_accesses:
            yield f"{ground.unknown_accesses} retranslations of unknown guest accesses: in proportion to their length"
        if (tally.stops or tally.contended or tally.sync_cores) and ground.prices.vcpus == 1:
            yield "stop is 0: one vCPU has no other to stop or to wait for"
        if tally.locks and ground.trace.mode == "system":
            yield "in 2011's system emulation the lock macro was empty: this prices a lock that is there"
        if self.executors:
            yield (
                f"a lock is taken around each of {executions:,} executions; QEMU's cpu_exec_start is taken around a "
                f"run of chained TBs, far less often"
            )
        if not all(self.executors.values()):
            yield "executions hold a lock exclusively: that they wait for each other is not priced"
        if any(one.maintains or one.stores for one in self.executions):
            yield "what enter and leave do to cache lines is priced, not simulated"
        if any(one != Plan() for one in self.flushes):
            flushes = len(self.flushes)
            yield f"its flushes are at the trace's {flushes} tb flush{'es' if flushes > 1 else ''}"
        if any(luck):
            misses, memory = (round(float(f"{count:.0e}")) for count in luck)
            yield f"replacement is random: some {misses:,} refills, and {memory:,} fills from memory, are chance"
