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

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from bench.hosts.profile import Host, Isa, Tag
from bench.replay.cost import Cost, weakest
from bench.replay.counts import Counts
from bench.replay.events import Events, Kind, lines_spanned
from bench.replay.layout import CodeBuffer, lay_out
from bench.replay.parameters import Parameters
from bench.replay.plan import WHOLE, Extent, LineStep, Plan, Tally, clipped, executor_locks, plan
from bench.replay.price import Prices
from bench.replay.simulate import simulate
from bench.traces.successor import STOPPED, UNKNOWN_TB
from bench.traces.trace import Guest, Trace
from bench.translators.translator import Access, Code, Translator
from strategies.asking import answers_as_base
from strategies.strategy import Strategy, StrategyError, place_of
from strategies.writes import Block, Buffer, Phase, Region, Unit, Write

I64: TypeAlias = npt.NDArray[np.int64]
U32: TypeAlias = npt.NDArray[np.uint32]
_Steps: TypeAlias = tuple[tuple[LineStep, ...], ...]
Progress: TypeAlias = Callable[[int, int], None]
"""Called with the executions replayed so far, and those to replay in all."""

START_WORDS: dict[Guest, int] = {"arm": 2, "mips": 3}
"""Values per guest instruction: 1 + TARGET_INSN_START_EXTRA_WORDS (QEMU commit fca8a500d519, target-*/cpu.h)."""


class Replayed(Struct, frozen=True, kw_only=True):
    """What one strategy costs on one host for one trace; costs in cycles of the host's clock.

    ``writes``       stores that the retranslations make, to live code or to scratch memory
    ``lines_cleaned``, ``lines_invalidated``  lines that the strategy's maintenance covers (those of the flush after a
                     first translation, which all strategies have, are not counted)
    ``refills``      L1 instruction misses of TBs on top of the baseline's; negative if some were spared, or by chance
    ``side_bytes``   memory kept beside the TBs, at its most

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
    ground = _Ground(trace, host, translator, parameters or Parameters())
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


# --- what all strategies share ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Kind:
    """Blocks that the hooks are asked about once: ``region`` stands for them, ``rows`` are theirs."""

    region: Region
    rows: I64


class _Sized(Region):
    """A block in a code buffer that is thrown away: its length is known, its units are not."""

    def __iter__(self) -> Iterator[Unit]:
        raise TypeError("of a block in a buffer replay knows the length, not the units; use the buffer or its regions")


class _Ground:
    """The trace on the host: everything that does not depend on the strategy."""

    def __init__(self, trace: Trace, host: Host, translator: Translator, parameters: Parameters) -> None:
        self.trace = trace
        self.host = host
        self.translator = translator
        self.parameters = parameters
        self.isa: Isa = host.runs_as(translator.isa)
        self.layout: CodeBuffer = lay_out(
            trace.blocks, trace.retranslations, translator.isa, as_recorded=parameters.as_recorded
        )
        lengths: Tag = "measured" if parameters.as_recorded else weakest("estimate", self.layout.scale.tag)
        self.prices = Prices.on(host, self.isa, parameters, lengths, self.layout.scale)
        self.counted = weakest(
            lengths, host.icache.tag, host.icache.replacement_tag, parameters.translator_code_lines.tag,
            *((host.l2.tag, host.l2.replacement_tag, parameters.guest_data_lines.tag) if host.l2 else ()),
        )  # fmt: skip
        self._codes: dict[int, Code] = {}
        self._apart: dict[tuple[_Steps, _Steps], Events] = {}

        blocks, faults = trace.blocks, trace.retranslations
        self.tb = faults.tb.astype(np.int64)
        self.instructions = blocks.instructions.astype(np.int64)
        # The faulting operation has at least a byte, and at least the faulting access, whatever was recorded.
        self.rewritten = np.maximum(self.layout.rewritten, 1)
        share = self.rewritten / self.layout.sizes[self.tb]
        self.decoded = np.maximum(np.ceil(self.instructions[self.tb] * share), 1).astype(np.int64)
        known = faults.accesses >= 0
        guessed = np.rint(blocks.accesses[self.tb] * share)
        self.accesses = np.maximum(np.where(known, faults.accesses, guessed), 1).astype(np.int64)
        self.unknown_accesses = int(np.count_nonzero(~known))
        self.translated = np.flatnonzero(blocks.born >= 0)
        line = max(host.dcache.line, host.icache.line)
        self.scratch = -(-self.layout.used // line) * line

    def _code(self, accesses: int) -> Code | None:
        """A block with ``accesses`` guest loads; None for a block without."""
        if accesses and accesses not in self._codes:
            loads: list[Access] = ["load"] * accesses
            self._codes[accesses] = self.translator.block(0, loads, followed=False)
        return self._codes.get(accesses)

    def _rewritten(self, accesses: int, size: int) -> Region:
        """What a retranslation writes, up to ``size`` bytes."""
        code = self._code(accesses)
        assert code is not None
        width = max(1, round(self.isa.instruction_bytes.value))
        others = []
        for offset in range(code.rewritten, size, width):
            unit = Unit(0, offset, min(width, size - offset), final=0)
            others.append(Write(unit, Phase.FAST_PATH, known=unit.mask, value=0))
        return Region(0, size, (*code.retranslated.writes, *others))

    @cached_property
    def retranslated(self) -> tuple[_Kind, ...]:
        """The kinds of retranslations: guest accesses and rewritten length."""
        keys, kind = np.unique(np.stack((self.accesses, self.rewritten)), axis=1, return_inverse=True)
        return tuple(
            _Kind(self._rewritten(int(accesses), int(size)), np.flatnonzero(kind.ravel() == number))
            for number, (accesses, size) in enumerate(keys.T)
        )

    @cached_property
    def blocks(self) -> tuple[_Kind, ...]:
        """The kinds of TBs: guest accesses."""
        keys, kind = np.unique(self.trace.blocks.accesses, return_inverse=True)
        kinds = []
        for number, accesses in enumerate(keys):
            rows = np.flatnonzero(kind == number)
            code = self._code(int(accesses))
            size = round(float(self.layout.sizes[rows].mean()))
            kinds.append(_Kind(Region(0, size, code.writes if code else ()), rows))
        return tuple(kinds)

    @cached_property
    def sizes(self) -> tuple[list[Block], I64]:
        """The TBs as ``side_bytes`` sees them, each that is another once, and which of them each TB is."""
        # As one number: to sort pairs takes ten times as long.
        room = int(self.layout.sizes.max(initial=0)) + 1
        keys, kind = np.unique(self.instructions * room + self.layout.sizes, return_inverse=True)
        words = START_WORDS[self.trace.guest]
        return [Block(int(key) // room, int(key) % room, words) for key in keys], kind

    @cached_property
    def buffers(self) -> tuple[Buffer, ...]:
        """The code buffer at each tb flush of the trace."""
        layout, epoch = self.layout, self.trace.blocks.epoch
        buffers = []
        for number in range(self.trace.flushes.size):
            rows = np.flatnonzero(epoch == number)
            used = int((layout.addresses[rows] + layout.sizes[rows]).max(initial=0))
            regions = tuple(_Sized(int(row), int(layout.sizes[row]), ()) for row in rows)
            buffers.append(Buffer(used, regions))
        return tuple(buffers)

    def where(self, where: Unit | Region | Buffer) -> Extent | None:
        """Where maintenance in ``flush_buffer`` acts."""
        if isinstance(where, Buffer):
            return Extent(0, where.size) if where.size else None
        tb, start, size = (where.tb, where.offset, where.size) if isinstance(where, Unit) else (where.tb, 0, where.size)
        address = int(self.layout.addresses[tb]) + start
        return Extent(address, address + size)

    def translation_plans(self, strategy: Strategy) -> tuple[Plan, ...]:
        """What ``translate`` does for each kind of TB; the rest of the block is stored first, plainly."""
        return (
            self.base_translations
            if answers_as_base(strategy, "translate", "emit")
            else self._translation_plans(strategy)
        )

    def _translation_plans(self, strategy: Strategy) -> tuple[Plan, ...]:
        plans = []
        for kind in self.blocks:
            one = plan(strategy, (("translate", kind.region),), self.isa.flush)
            modelled = max((write.unit.offset + write.unit.size for write in kind.region.writes), default=0)
            plans.append(Plan((LineStep(Kind.STORE, Extent(modelled, None)), *one.steps), one.fixed))
        return tuple(plans)

    def retranslation_plans(self, strategy: Strategy, executors: Mapping[str, bool]) -> tuple[Plan, ...]:
        """What ``retranslate`` does for each kind of retranslation, while others hold the locks ``executors``."""
        if answers_as_base(strategy, "retranslate", "begin", "emit", "publish"):
            return self._base_retranslations
        return self._retranslation_plans(strategy, executors)

    def _retranslation_plans(self, strategy: Strategy, executors: Mapping[str, bool]) -> tuple[Plan, ...]:
        return tuple(
            plan(strategy, (("retranslate", kind.region),), self.isa.flush, executors=executors)
            for kind in self.retranslated
        )

    @cached_property
    def _base_retranslations(self) -> tuple[Plan, ...]:
        return self._retranslation_plans(Strategy(), {})

    @cached_property
    def base_translations(self) -> tuple[Plan, ...]:
        """The same for the base class: what runs anyway."""
        return self._translation_plans(Strategy())

    @cached_property
    def baseline(self) -> _Doings:
        """Translations only: what any strategy does to the caches that neither rewrites nor maintains."""
        nothing: tuple[LineStep, ...] = ()
        return _Doings(
            (nothing,) * len(self.retranslated),
            tuple(_translation(one) for one in self.base_translations),
            (nothing,) * len(self.buffers),
        )

    def events(self, doings: _Doings) -> Events:
        """What happens to the caches, and when.

        A retranslation comes after the execution that faulted, before anything else; a translation before
        the execution that its TB was born at, between the right tb flushes.
        """
        faults, rest = self.trace.retranslations, self._elsewhere(doings.translations, doings.flushes)
        parts: list[I64] = []
        for kind, steps in zip(self.retranslated, doings.retranslations, strict=True):
            rows, tb = kind.rows, self.tb[kind.rows]
            when = faults.position[rows], np.zeros_like(rows), rows
            parts += self._happenings(steps, when, self.layout.addresses[tb], self.rewritten[rows])
        first = _in_order(parts)
        at = np.searchsorted(rest.position, first.position)
        columns = ("position", "kind", "address", "count")
        return Events(*(np.insert(getattr(rest, name), at, getattr(first, name)) for name in columns))

    def _elsewhere(self, translations: _Steps, flushes: _Steps) -> Events:
        """What happens apart from retranslations: mostly the same for all strategies, and most of what happens."""
        if (translations, flushes) not in self._apart:
            blocks, layout = self.trace.blocks, self.layout
            parts: list[I64] = []
            for kind, steps in zip(self.blocks, translations, strict=True):
                rows = kind.rows[blocks.born[kind.rows] >= 0]
                when = blocks.born[rows] - 1, 2 * blocks.epoch[rows].astype(np.int64) + 1, rows
                parts += self._happenings(steps, when, layout.addresses[rows], layout.sizes[rows])
            for number, (buffer, steps) in enumerate(zip(self.buffers, flushes, strict=True)):
                row = np.array([number])
                when = self.trace.flushes[row] - 1, 2 * row + 2, row
                parts += self._happenings(steps, when, np.zeros_like(row), np.full_like(row, max(buffer.size, 1)))
            self._apart[translations, flushes] = _in_order(parts)
        return self._apart[translations, flushes]

    def simulated(self, doings: Iterable[_Doings], chunks: Iterable[U32]) -> list[Counts]:
        """The counts of each, from one pass over the execution."""
        layout = self.layout
        events = [self.events(one) for one in doings]
        return simulate(self.host, layout.addresses, layout.sizes, chunks, events, self.parameters.caches)

    def luck(self, more: Counts) -> tuple[float, float]:
        """By how many of the misses on top of the baseline's, and of those in the L2, chance may have missed.

        Random replacement draws the same for both where the difference does not reach.  Over five seeds the default
        trace on a Cortex-A9 shows a standard deviation of 1.0 times the square root of the L1 misses on top, as if
        they alone were drawn, and of 2.7 times that of the L2's, where sets differ longer: three of each.
        """
        host = self.host
        random = host.icache.replacement == "random"
        below = random or (host.l2 is not None and host.l2.replacement == "random")
        return 3 * math.sqrt(abs(more.code_misses)) * random, 9 * math.sqrt(abs(more.code_memory)) * below

    def _happenings(
        self, steps: Sequence[LineStep], when: tuple[I64, I64, I64], addresses: I64, sizes: I64
    ) -> Iterator[I64]:
        """``steps`` for blocks at ``addresses``, with the columns position, phase, row, step, kind, address, count."""
        if not steps:
            return
        # One row for each step, one column for each block.
        kinds, starts, ends, in_scratch = np.array(
            [(step.kind, step.extent.start, step.extent.last, step.extent.in_scratch) for step in steps], np.int64
        ).T[:, :, None]
        start, length = clipped(starts, ends, sizes)
        first = np.where(in_scratch, self.scratch, addresses) + start
        line = np.where(kinds == Kind.INVALIDATE, self.host.icache.line, self.host.dcache.line)
        count = lines_spanned(first, length, line)
        everywhere = np.isin(kinds, (Kind.TRANSLATE, Kind.INVALIDATE_ALL))
        first, count = np.where(everywhere, 0, first), np.where(everywhere, 1, count)
        columns = np.broadcast_arrays(*when, np.arange(len(steps))[:, None], kinds, first, count)
        yield np.stack([column.ravel() for column in columns])


def _in_order(parts: Iterable[I64]) -> Events:
    """Events from columns position, phase, row, step, kind, address, count."""
    position, phase, row, step, kind, address, count = np.concatenate([np.empty((7, 0), np.int64), *parts], axis=1)
    order = np.lexsort((step, row, phase, position))
    return Events(position[order], kind[order].astype(np.uint8), address[order], count[order])


@dataclass(frozen=True, slots=True)
class _Doings:
    """What is done to the caches: the steps for each kind of retranslation and of TB, and for each tb flush."""

    retranslations: _Steps
    translations: _Steps
    flushes: _Steps

    def __hash__(self) -> int:
        # Enough to tell most of them apart: they are long.
        return hash(tuple(sum(map(len, steps)) for steps in (self.retranslations, self.translations, self.flushes)))


def _translation(one: Plan) -> tuple[LineStep, ...]:
    """The steps of a plan, and the translator that takes them."""
    return (LineStep(Kind.TRANSLATE, WHOLE), *one.steps)


# --- one strategy -------------------------------------------------------------------------------------------------


class _Asked:
    """A strategy's answers, and what they amount to."""

    def __init__(self, ground: _Ground, strategy: Strategy) -> None:
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
        self.doings = _Doings(
            tuple(_translation(one) if one.stores else one.steps for one in self.retranslations),
            tuple(_translation(one) for one in self.translations),
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
