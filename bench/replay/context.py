"""The part of a replay that all strategies share: the layout of a trace on a host, and its groups of blocks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np

from bench.caches.counts import Counts
from bench.caches.events import EventKind, Events, Timeline
from bench.caches.simulate import Simulation, simulate
from bench.hosts.profile import Host, Isa, Tag
from bench.program.layout import aligned
from bench.replay.cost import NOTHING, Cost, weakest
from bench.replay.groups import Groups
from bench.replay.hooks import Evaluated, evaluate
from bench.replay.layout import CodeBuffer, host_scale, lay_out
from bench.replay.occurrences import InOrder, Occurrences
from bench.replay.parameters import Parameters
from bench.replay.plan import WHOLE, LineStep, Plan, patch
from bench.replay.price import Prices
from bench.support.processors import beside
from bench.traces.links import EXIT_BYTES, Linked, linked
from bench.traces.trace import U32, Links, Trace
from bench.translators.translator import Translator
from strategies.strategy import Strategy

_Steps: TypeAlias = tuple[tuple[LineStep, ...], ...]
_Layer: TypeAlias = tuple[Callable[..., Iterable[Occurrences]], tuple[object, ...]]
"""What makes the occurrences of a layer of events, and of what."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """What a simulation counted, and what tells chance in two of them on one host.

    ``more``      the counts beyond the baseline's
    ``prices``, ``counted``  the prices of refills, and the tag of their counts
    ``replacement``  whether it is random in the L1, and there or in the L2
    ``allocates``    whether a store that misses brings its line in, as a load does
    """

    more: Counts
    prices: Prices
    counted: Tag
    replacement: tuple[bool, bool]
    allocates: bool

    def chance(self, other: Simulated) -> Cost:
        """The sampling noise in the difference to another simulation, in either direction: 3 sigma.

        Both draw the same victims until they differ: nothing where both miss as often.  Else it grows with the lines
        that only one of them fills, cleans or drops: over eight seeds of the default trace on a Cortex-A9, the standard
        deviations were at most 1.05 times the square root of their number for the L1, and 3.3 times for the L2.  All
        108 differences of three seeds that had no part in this (21 to 23) lie within 3 sigma of the means before.
        """
        one, two = self.more, other.more
        if (one.code_misses, one.code_memory) == (two.code_misses, two.code_memory):
            return NOTHING
        # Whether a line is brought in by a load or a store, the caches hold the same: a strategy that reads back first
        # is not apart from one that does not.
        by_events = ("load_misses", "store_misses")
        differ = one - two
        brought = [getattr(differ, name) for name in by_events]
        lines = [*([sum(brought)] if self.allocates else brought), *(getattr(differ, name) for name in _APART)]
        apart = math.sqrt(sum(map(abs, lines)))
        random, below = self.replacement
        return self.prices.chance(3.2 * apart * random, 10 * apart * below, self.counted, "difference")


_APART = (
    *("code_misses", "code_memory", "translator_code_misses", "translator_data_misses", "guest_data_misses"),
    *("cleaned", "invalidated", "snooped"),
)
"""What two simulations differ in, in lines, besides those that loads and stores bring in."""


class Pricing:
    """What prices on a host depend on, whatever is executed there; ``counted``: the tag of counts of refills."""

    def __init__(self, host: Host, translator: Translator, parameters: Parameters) -> None:
        # Its kernel is as old as the translator, unless its flush is set otherwise.
        self.host = host = host.as_of(int(translator.version))
        self.translator = translator
        self.parameters = parameters
        scale = host_scale("x86-64" if parameters.as_recorded else translator.isa)
        lengths: Tag = "measured" if parameters.as_recorded else weakest("estimate", scale.tag)
        self.prices = Prices.on(host, translator.isa, parameters, lengths, scale)
        self.counted = weakest(
            lengths,
            host.icache.tag,
            host.icache.replacement_tag,
            parameters.translator_code_lines.tag,
            *((host.l2.tag, host.l2.replacement_tag, parameters.guest_data_lines.tag) if host.l2 else ()),
        )

    @property
    def replacement(self) -> tuple[bool, bool]:
        """Whether replacement is random in the L1 instruction cache, and there or in the L2."""
        host = self.host
        random = host.icache.replacement == "random"
        return random, random or (host.l2 is not None and host.l2.replacement == "random")

    def sampling_noise(self, more: Counts) -> tuple[float, float]:
        """The sampling noise of random replacement in the additional L1 misses, and in those that miss the L2: 3 sigma.

        Both replays draw the same victims in every set that does not differ.  Over eight seeds the default trace on a
        Cortex-A9 has a standard deviation of up to 1.1 times the square root of the additional L1 misses, about as if
        they alone were drawn, and of 2.7 times the square root of those in the L2, where sets differ for longer.  All
        36 figures of three seeds that had no part in this (21 to 23) lie within 3 sigma of the means before.
        """
        random, below = self.replacement
        return 3.3 * math.sqrt(abs(more.code_misses)) * random, 9 * math.sqrt(abs(more.code_memory)) * below


_MANY = 1 << 20
"""Executions: so many are worth another process."""


class ReplayContext(Pricing):
    """A trace on a host, and the hooks of ``strategies`` there."""

    def __init__(
        self,
        trace: Trace,
        host: Host,
        translator: Translator,
        parameters: Parameters,
        strategies: Sequence[Strategy] = (),
    ) -> None:
        super().__init__(host, translator, parameters)
        self.trace = trace
        self.isa: Isa = self.host.runs_as(translator.isa)
        self.layout: CodeBuffer = lay_out(
            trace.blocks, trace.retranslations, translator.isa, as_recorded=parameters.as_recorded
        )
        self.groups = Groups(trace, self.layout, translator, max(1, round(self.isa.instruction_bytes.value)))
        self.scratch = aligned(self.layout.used, max(host.dcache.line, host.icache.line))
        # Begun here, and asked for much later: what has nothing to do with them is done meanwhile.
        self._evaluated = beside(partial(evaluate, self.groups, self.isa.flush, strategies), pays=self.groups.are_large)
        self._linked = beside(partial(linked, trace), pays=False)

    def derive_links(self) -> None:
        """Begin to: a replay that is to know them before it begins asks for this first."""
        self._linked = beside(partial(linked, self.trace), pays=self.derives_links and self.trace.length > _MANY)

    @property
    def linked(self) -> Linked:
        """The links of the execution, derived in a pass of its own."""
        return self._linked()

    @property
    def evaluated(self) -> Evaluated:
        """The hooks of the strategies.  Raises ``StrategyError``."""
        return self._evaluated()

    @property
    def baseline(self) -> CacheEffects:
        """Translations only: the cache effects of a strategy that neither rewrites nor maintains."""
        return self._base([Plan()] * len(self.groups.retranslated))

    @property
    def as_emitted(self) -> CacheEffects:
        """The cache effects of the base class: retranslations as the backend emits them, with nothing added."""
        return self._base(self.evaluated.retranslations)

    def _base(self, retranslations: Iterable[Plan]) -> CacheEffects:
        return CacheEffects.of(retranslations, self.evaluated.translations, [Plan()] * self.trace.flushes.size)

    def events(self, cache_effects: CacheEffects) -> Simulation:
        """The events of a replay, in layers: of retranslations, of translations and tb flushes, of links.

        A retranslation follows the execution that faulted at once.  A translation precedes the first execution after
        its TB was translated, between the tb flushes of its epoch.
        """
        return *self.unlinked(cache_effects), self.patches(self._links)

    def unlinked(self, cache_effects: CacheEffects) -> Simulation:
        """The layers but for that of links."""
        return tuple(map(self._in_order, self._layers(cache_effects)))

    def patches(self, links: Links | None) -> Timeline:
        """The layer of links: the source's exit is patched and flushed before the target runs."""
        return self._in_order((self._link_events, (links,))) if links is not None else Events.none()

    def _layers(self, cache_effects: CacheEffects) -> tuple[_Layer, ...]:
        rewrites, *others = cache_effects.retranslations, cache_effects.translations, cache_effects.flushes
        return (self._retranslation_events, (rewrites,)), (self._other_events, (*others,))

    def _in_order(self, layer: _Layer) -> Timeline:
        made, given = layer
        return InOrder(made(*given), self.host, self.layout.used, self.scratch)

    def _retranslation_events(self, retranslations: _Steps) -> Iterator[Occurrences]:
        faults = self.trace.retranslations
        for kind, steps in zip(self.groups.retranslated, retranslations, strict=True):
            rows, tb = kind.rows, self.groups.tb[kind.rows]
            when = faults.position[rows], np.zeros_like(rows), rows
            yield Occurrences(steps, *when, self.layout.addresses[tb], self.groups.rewritten[rows])

    def _other_events(self, translations: _Steps, flushes: _Steps) -> Iterator[Occurrences]:
        blocks, layout = self.trace.blocks, self.layout
        for kind, steps in zip(self.groups.blocks, translations, strict=True):
            rows = kind.rows[blocks.born[kind.rows] >= 0]
            when = blocks.born[rows] - 1, 2 * blocks.epoch[rows].astype(np.int64) + 1, rows
            yield Occurrences(steps, *when, layout.addresses[rows], layout.sizes[rows])
        for number in (number for number, steps in enumerate(flushes) if steps):
            row = np.array([number])
            when = self.trace.flushes[row] - 1, 2 * row + 2, row
            size = np.full_like(row, max(self.groups.buffers[number].size, 1))
            yield Occurrences(flushes[number], *when, np.zeros_like(row), size)

    @property
    def derives_links(self) -> bool:
        """Whether links are patched that only a pass over the execution tells."""
        return self._links_are_patched and self.trace.links is None

    @property
    def _links_are_patched(self) -> bool:
        return bool(self.translator.patched and self.parameters.linked.value)

    @property
    def _links(self) -> Links | None:
        """Those that are patched, if any are."""
        return self.linked.links if self.derives_links else self.trace.links if self._links_are_patched else None

    def _link_events(self, links: Links) -> Iterator[Occurrences]:
        layout = self.layout
        source = links.source.astype(np.int64)
        from_end = np.minimum(EXIT_BYTES * (2 - links.slot.astype(np.int64)), layout.sizes[source])
        at = layout.addresses[source] + layout.sizes[source] - from_end
        when = links.position - 1, np.zeros_like(source), np.arange(source.size)
        steps = patch(self.translator.patched, self.isa.flush).steps
        yield Occurrences(steps, *when, at, np.full_like(source, self.translator.patched))

    def simulated(self, cache_effects: Iterable[CacheEffects], chunks: Iterable[U32]) -> list[Counts]:
        """The counts under each of the effects, from one pass over the execution."""
        layout = self.layout
        simulations = [self._layers(one) for one in cache_effects]
        # Most strategies have most of them in common.  Compared and not hashed: they are the same objects then.
        distinct: list[_Layer] = []
        for layer in itertools.chain.from_iterable(simulations):
            if layer not in distinct:
                distinct.append(layer)
        found = list(map(self._in_order, distinct))
        patches = self.patches(self._links)
        events = [(*(found[distinct.index(layer)] for layer in layers), patches) for layers in simulations]
        return simulate(self.host, layout.addresses, layout.sizes, chunks, events, self.parameters.caches)


@dataclass(frozen=True, slots=True)
class CacheEffects:
    """The cache effects of a strategy: steps for each group of retranslations and of TBs, and for each tb flush."""

    retranslations: _Steps
    translations: _Steps
    flushes: _Steps

    @classmethod
    def of(cls, retranslations: Iterable[Plan], translations: Iterable[Plan], flushes: Iterable[Plan]) -> CacheEffects:
        """The cache effects of plans; the translator runs before a translation and a retranslation that stores."""
        run = LineStep(EventKind.TRANSLATE, WHOLE)
        return cls(
            tuple((run, *one.steps) if one.stores else one.steps for one in retranslations),
            tuple((run, *one.steps) for one in translations),
            tuple(one.steps for one in flushes),
        )

    def __hash__(self) -> int:
        # Hashing all steps would be slow, and their numbers distinguish most strategies.
        return hash(tuple(sum(map(len, steps)) for steps in (self.retranslations, self.translations, self.flushes)))
