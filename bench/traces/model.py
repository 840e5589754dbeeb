"""A modelled workload: a random execution with given statistics.

The executions are loops over TBs of a working set that moves through the guest code.  Retranslations are inserted: each
is an execution of a faulting TB, followed by its next execution at a random distance.  Faulting TBs run at these
positions only, so that the re-execution distances have the given distribution.  Parameters have the meaning that
``measured`` and ``info`` give them.

Two limits: a TB cannot run again later than its next retranslation, so that distances are shorter where retranslations
of few TBs are very frequent; and a TB translated before a tb flush never runs again, so that these distances are
missing (``unknown`` in ``info``).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Annotated, Final

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from bench.support.errors import InputError
from bench.support.kept import digest
from bench.support.versions import version
from bench.traces.info import Distribution, info
from bench.traces.links import NO_EXIT
from bench.traces.successor import THREADS, UNKNOWN_TB, Words
from bench.traces.trace import CHUNK, I64, U32, U64, Blocks, Retranslations, Trace

WINDOW: Final = CHUNK
"""Executions over which the working set is measured."""
TOP: Final = 10
"""The number of most often retranslated TBs whose share is the concentration."""

# The shape of the loops (assumed): no parameter depends on it.
_LOOP_TBS: Final = 8
_MEAN_TRIPS: Final = 12

MOST: Final = 10**10
"""The maximum of the executions of a model and of every other count: beyond every recording."""
_MOST_BYTES: Final = 1 << 30
_MOST_FAULTS: Final = 1 << 24
"""The maximum of the retranslations of a model, which are drawn together in memory."""

CountParameter = Annotated[int, Meta(ge=0, le=MOST)]
Positive = Annotated[int, Meta(ge=1, le=MOST)]
Share = Annotated[float, Meta(gt=0, le=1)]


class Quantiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A distribution by minimum, median, 90th percentile and maximum; log-linear in between."""

    min: Positive
    median: Annotated[float, Meta(ge=1)]
    p90: Annotated[float, Meta(ge=1)]
    max: Positive

    def __post_init__(self) -> None:
        if not self.min <= self.median <= self.p90 <= self.max:
            raise ValueError(f"min <= median <= p90 <= max (found {self.min}, {self.median}, {self.p90}, {self.max})")

    def draw(self, generator: np.random.Generator, count: int) -> I64:
        """``count`` values with these quantiles, in random order."""
        # Stratified sampling, so that small samples have these quantiles too.
        uniform = (generator.permutation(count) + generator.random(count)) / max(count, 1)
        known = np.log((self.min, self.median, self.p90, self.max))
        return np.rint(np.exp(np.interp(uniform, (0, 0.5, 0.9, 1), known))).astype(np.int64)


class ModelParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The parameters of a modelled workload; ``measured`` gives those of a trace.

    ``executions``             TB executions
    ``tbs``                    TBs translated, over all tb flushes (a model has as many after each)
    ``tb_bytes``               host bytes per TB
    ``fast_share``             share of the host bytes before the slow paths
    ``bytes_per_instruction``  host bytes per guest instruction
    ``bytes_per_access``       host bytes per guest load or store
    ``working_set``            different TBs in ``WINDOW`` executions (median)
    ``faults_per_million``     retranslations per million executions
    ``faulting_tbs``           different TBs among the retranslated ones
    ``concentration``          share of the retranslations on the ``TOP`` most often retranslated TBs
    ``rewritten_bytes``        host bytes rewritten per retranslation
    ``reexecution_tbs``        executions until a retranslated TB runs again
    ``threads``                guest threads
    ``thread_executions``      executions between two thread switches
    ``flushes``                tb flushes
    ``linked_share``           share of the executions that are entered through a link
    """

    executions: Positive
    tbs: Positive
    tb_bytes: Quantiles
    fast_share: Share
    bytes_per_instruction: Annotated[float, Meta(gt=0)]
    bytes_per_access: Annotated[float, Meta(gt=0)]
    working_set: Positive
    faults_per_million: Annotated[float, Meta(ge=0, le=1e6)]
    faulting_tbs: Positive
    concentration: Share
    rewritten_bytes: Quantiles
    reexecution_tbs: Quantiles
    threads: Annotated[int, Meta(ge=1, le=THREADS)] = 1
    thread_executions: Positive = 441
    flushes: CountParameter = 0
    linked_share: Annotated[float, Meta(ge=0, le=1)] = 0.75

    # 441: 2,266 thread switches per million log lines were recorded for four threads on two cores (estimate).
    # 0.75: 0.63 to 0.98 in nine recordings (estimate).

    def __post_init__(self) -> None:
        for name, longest in (("tb_bytes", self.tb_bytes.max), ("rewritten_bytes", self.rewritten_bytes.max)):
            if longest > _MOST_BYTES:
                raise ValueError(f"{name} of {longest}, more than {_MOST_BYTES}")


def varied(parameters: ModelParameters, changes: Mapping[str, str]) -> ModelParameters:
    """``parameters`` with ``changes``: a number, a factor such as ``x100``, or a distribution ``min,median,p90,max``.

    Raises ``InputError`` for text of another form or a value out of range.
    """
    found = msgspec.to_builtins(parameters)
    for name, text in changes.items():
        option = f"`{name}`"
        old = found[name]
        try:
            if isinstance(old, dict):
                found[name] = dict(zip(old, _distribution(text, old), strict=True))
            else:
                number = old * float(text[1:]) if text.startswith("x") else float(text)
                found[name] = round(number) if isinstance(old, int) else number
            parameters = msgspec.convert(found, ModelParameters)
        except (ValueError, OverflowError) as error:  # msgspec.ValidationError is a ValueError
            reason = str(error).partition(" - at `$")[0].replace("`", "")
            if reason.startswith("Expected "):  # a bound, as msgspec says it
                bound = reason.removeprefix("Expected ").replace("int", "an integer").replace("float", "a number")
                raise InputError(repr(text), place=option, expected=bound) from error
            form = "min,median,p90,max" if isinstance(old, dict) else "a number, or x and a factor"
            raise InputError(f"{text!r} ({reason})", place=option, expected=form) from error
    return parameters


def _distribution(text: str, old: Mapping[str, float]) -> tuple[float, ...]:
    if text.startswith("x"):
        values = [value * float(text[1:]) for value in old.values()]
    else:
        values = [float(part) for part in text.split(",")]
    if len(values) != len(old):
        raise ValueError(f"{len(values)} values")
    smallest, *middle, largest = values
    return round(smallest), *middle, round(largest)


def measured(trace: Trace) -> ModelParameters:
    """The parameters of ``trace``, from its tables and its executions.

    Raises ``InputError`` if no retranslated TB ran again: there is no distribution of distances then.
    """
    figures = info(trace)
    if figures.links.entered is None:
        raise InputError("a recording with linking on", file=trace.name, expected="one with -d nochain")
    rewritten_bytes = _quantiles(figures.rewritten_bytes, trace.name, "known lengths of retranslations")
    reexecution_tbs = _quantiles(figures.reexecution_tbs, trace.name, "retranslated TBs that run again")
    blocks, restores = trace.blocks, trace.retranslations
    counts = np.sort(np.unique(restores.tb, return_counts=True)[1])[::-1]
    working_sets = [np.unique(words & np.uint32(UNKNOWN_TB)).size for words in trace.executions()]
    whole = working_sets[:-1] or working_sets
    host = float(blocks.host_bytes.sum())
    switches = 0 if trace.threads == 1 else _switches(trace)
    return ModelParameters(
        executions=figures.executions,
        tbs=len(blocks),
        tb_bytes=_quantiles(figures.tb_bytes, trace.name, "TBs"),
        fast_share=float(blocks.fast_bytes.sum()) / host,
        bytes_per_instruction=host / max(int(blocks.instructions.sum()), 1),
        bytes_per_access=host / max(int(blocks.accesses.sum()), 1),
        working_set=int(np.median(whole)),
        faults_per_million=1e6 * len(restores) / figures.executions,
        faulting_tbs=counts.size,
        concentration=float(counts[:TOP].sum() / counts.sum()),
        rewritten_bytes=rewritten_bytes,
        reexecution_tbs=reexecution_tbs,
        threads=trace.threads,
        thread_executions=max(trace.length // switches, 1) if switches else 441,
        flushes=trace.flushes.size,
        linked_share=figures.links.entered / max(figures.executions, 1),
    )


def _quantiles(found: Distribution, trace: str, what: str) -> Quantiles:
    if found.min is None or found.median is None or found.p90 is None or found.max is None:
        raise InputError(f"no {what}", file=trace, expected="a trace whose parameters can be measured")
    return Quantiles(min=max(found.min, 1), median=max(found.median, 1), p90=max(found.p90, 1), max=max(found.max, 1))


def _switches(trace: Trace) -> int:
    total, before = 0, -1
    for words in trace.executions():
        threads = ((words >> np.uint32(24)) & np.uint32(0x7F)).astype(np.int64)
        total += int((np.diff(threads, prepend=threads[0] if before < 0 else before) != 0).sum())
        before = int(threads[-1])
    return total


def model_trace(parameters: ModelParameters, seed: int) -> Trace:
    """A trace with these statistics, determined by ``seed`` (an integer >= 0).

    Its executions are drawn on reading, in bounded memory.  Raises ``InputError`` if the parameters contradict each
    other.
    """
    model = _Model(parameters, seed)
    return Trace(
        name=f"model-{seed}",
        description=f"modelled workload, seed {seed}: {msgspec.json.encode(parameters).decode()}",
        guest="arm",
        mode="system",
        access_tag="assumed",
        length=parameters.executions,
        threads=parameters.threads,
        blocks=model.blocks,
        retranslations=model.retranslations,
        stopped=np.empty(0, np.int64),
        flushes=model.epochs[1:-1],
        discarded=np.empty(0, np.int64),
        io_recompiles=np.empty(0, np.int64),
        exceptions=MappingProxyType({"data-abort": len(model.retranslations)}),
        exits=model.exits,
        source=model,
        content=digest((version(__file__), np.__version__, parameters, seed)).hex(),
    )


@dataclass(frozen=True)
class _Model:
    """The random sample: TBs, positions of retranslations, and the executions around them.

    TBs of an epoch (between two tb flushes) are numbered: first the faulting ones, then the others in the order in
    which the working set reaches them.
    """

    parameters: ModelParameters
    seed: int

    def __post_init__(self) -> None:
        given = self.parameters
        if self.seed < 0:
            raise InputError(f"seed {self.seed}", expected="an integer of at least 0")
        if self.faulting_per_epoch + 1 > self.per_epoch:
            found = f"{given.tbs} tbs over {given.flushes + 1} epochs, {self.faulting} of them faulting"
            raise InputError(found, expected="more tbs, or fewer flushes or faulting tbs")
        if given.tbs > UNKNOWN_TB:
            raise InputError(f"{given.tbs} tbs", expected=f"at most {UNKNOWN_TB}")
        if 2 * self.faults > given.executions:
            raise InputError(
                f"{given.faults_per_million} faults per million", expected="at most half as many as executions"
            )
        if self.faults > _MOST_FAULTS:
            raise InputError(f"{self.faults} retranslations", expected=f"at most {_MOST_FAULTS}")
        if given.flushes >= given.executions:
            raise InputError(f"{given.flushes} flushes", expected="fewer than executions")

    @cached_property
    def faults(self) -> int:
        return round(self.parameters.faults_per_million * self.parameters.executions / 1e6)

    @property
    def faulting(self) -> int:
        return min(self.parameters.faulting_tbs, max(self.faults, 1))

    @property
    def faulting_per_epoch(self) -> int:
        """The TB numbers reserved for faulting TBs in each epoch: TB k is number k // epochs of epoch k % epochs."""
        return -(-self.faulting // (self.parameters.flushes + 1))

    @property
    def per_epoch(self) -> int:
        return self.parameters.tbs // (self.parameters.flushes + 1)

    @cached_property
    def epochs(self) -> I64:
        """The start of each epoch, and the end of the trace."""
        bounds: I64 = np.linspace(0, self.parameters.executions, self.parameters.flushes + 2).astype(np.int64)
        return bounds

    def _generator(self, *purpose: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, *purpose))

    # --- retranslations ---

    @cached_property
    def _counts(self) -> I64:
        """Retranslations per faulting TB, descending, with the given concentration, each at least one."""
        tbs, faults = self.faulting, self.faults
        if faults == 0:
            return np.zeros(tbs, np.int64)
        ranks = np.arange(1, tbs + 1, dtype=np.float64)

        def drawn(exponent: float) -> I64:
            weights: npt.NDArray[np.float64] = ranks**-exponent
            exact = 1 + (faults - tbs) * weights / weights.sum()
            counts: I64 = np.floor(exact).astype(np.int64)
            counts[: faults - int(counts.sum())] += 1
            return counts

        low, high = 0.0, 16.0
        for _ in range(50):
            middle = (low + high) / 2
            if drawn(middle)[:TOP].sum() < self.parameters.concentration * faults:
                low = middle
            else:
                high = middle
        return drawn(high)

    @cached_property
    def _planted(self) -> tuple[I64, I64, npt.NDArray[np.bool_], I64]:
        """Executions of faulting TBs, ascending: position, faulting TB, whether it faults, bytes rewritten."""
        given, generator = self.parameters, self._generator(1)
        tb = np.repeat(np.arange(self.faulting), self._counts)
        epoch = tb % (given.flushes + 1)
        position = generator.integers(self.epochs[epoch], self.epochs[epoch + 1])
        order = np.lexsort((position, tb))
        tb, position, end = tb[order], position[order], self.epochs[epoch[order] + 1]
        # The maximum distance of each: to the next retranslation of the same TB, or to the tb flush.
        room = end - position
        same = tb[1:] == tb[:-1]
        room[:-1][same] = np.diff(position)[same]
        distance = np.empty(self.faults, np.int64)
        distance[np.argsort(room, kind="stable")] = np.sort(given.reexecution_tbs.draw(generator, self.faults))
        # Beyond that maximum, the next retranslation itself is the next execution.
        runs = distance < room
        places = np.concatenate((position, (position + distance)[runs]))
        rewritten = np.concatenate((self._rewritten, np.zeros(int(runs.sum()), np.int64)))
        tbs = np.concatenate((tb, tb[runs]))
        faults = np.arange(places.size) < self.faults
        order = np.lexsort((~faults, places))
        places = places[order]
        for epoch_begin, epoch_end in itertools.pairwise(self.epochs.tolist()):
            # One execution per position: duplicates move forward, those beyond the end of the epoch move back.
            here = slice(*np.searchsorted(places, (epoch_begin, epoch_end)).tolist())
            index = np.arange(here.stop - here.start)
            if index.size > epoch_end - epoch_begin:
                found = f"{given.faults_per_million} faults per million and {given.flushes} flushes"
                raise InputError(found, expected="fewer retranslations than executions between two flushes")
            moved = np.maximum.accumulate(places[here] - index) + index
            places[here] = np.minimum(moved, epoch_end - index.size + index)
        return places, tbs[order], faults[order], rewritten[order]

    @cached_property
    def _rewritten(self) -> I64:
        """Bytes rewritten per retranslation, in the order of faulting TBs; those of one TB have similar values."""
        generator = self._generator(2)
        drawn = np.sort(self.parameters.rewritten_bytes.draw(generator, self.faults))
        order = generator.permutation(self.faulting)
        begin = np.empty(self.faulting, np.int64)
        begin[order] = np.cumsum(self._counts[order]) - self._counts[order]
        tb = np.repeat(np.arange(self.faulting), self._counts)
        within = np.arange(self.faults) - np.repeat(np.cumsum(self._counts) - self._counts, self._counts)
        result: I64 = drawn[begin[tb] + within]
        return result[np.lexsort((generator.random(self.faults), tb))]

    @cached_property
    def retranslations(self) -> Retranslations:
        places, tbs, faults, rewritten = self._planted
        position, row = places[faults], self._row(tbs[faults])
        bytes_ = rewritten[faults].astype(np.int32)
        # The density of accesses in the rewritten part is that of the TB's fast part; at least one faulted.
        share = bytes_ / np.maximum(self.blocks.fast_bytes[row], 1)
        accesses = np.clip(np.rint(share * self.blocks.accesses[row]), 1, None).astype(np.int32)
        return Retranslations(
            position=position,
            tb=row.astype(np.uint32),
            thread=self._thread(position).astype(np.uint32),
            rewritten_bytes=bytes_,
            accesses=accesses,
        )

    def _row(self, faulting: I64) -> I64:
        """The TB id of each faulting TB."""
        number, epoch = np.divmod(faulting, self.parameters.flushes + 1)
        row: I64 = epoch * self.per_epoch + number
        return row

    def _thread(self, position: I64) -> I64:
        thread: I64 = position // self.parameters.thread_executions % self.parameters.threads
        return thread

    # --- translation blocks ---

    @cached_property
    def blocks(self) -> Blocks:
        given, generator = self.parameters, self._generator(4)
        epochs = given.flushes + 1
        tbs = self.per_epoch * epochs
        host = given.tb_bytes.draw(generator, tbs)
        fast = np.maximum(np.rint(host * given.fast_share), 1).astype(np.int64)
        if self.faults:
            # A TB is at least as long as its rewritten part: short TBs are exchanged with long ones.
            needed = np.maximum.reduceat(self._rewritten, np.cumsum(self._counts) - self._counts)
            host, fast = _long_enough(host, fast, self._row(np.arange(self.faulting)), needed)
        instructions = np.maximum(np.rint(host / given.bytes_per_instruction), 1).astype(np.uint32)
        accesses = np.rint(host / given.bytes_per_access)
        guest_bytes = 4 * instructions
        born = np.repeat(self.epochs[:-1], self.per_epoch)
        return Blocks(
            host_bytes=host.astype(np.uint32),
            fast_bytes=fast.astype(np.uint32),
            guest_pc=np.tile(_addresses(guest_bytes[: self.per_epoch]), epochs),
            guest_bytes=guest_bytes,
            instructions=instructions,
            accesses=accesses.astype(np.uint32),
            epoch=np.repeat(np.arange(epochs, dtype=np.uint32), self.per_epoch),
            born=born,
        )

    @cached_property
    def exits(self) -> U64:
        """The exits of TBs: to the next TB (slot 1) and to the begin of a loop that ends here (slot 0), of so many TBs
        as gives the share of linked executions: nearly all executions follow one of the two.
        """
        begin = self.blocks.guest_pc
        number = np.arange(begin.size) % max(self.per_epoch, 1)
        share = self.parameters.linked_share
        has = np.floor((number + 1) * share) > np.floor(number * share)
        loop = np.where(number >= _LOOP_TBS - 1, np.roll(begin, _LOOP_TBS - 1), np.uint64(NO_EXIT))
        exits: U64 = np.where(has[:, None], np.stack((loop, np.roll(begin, -1)), axis=1), np.uint64(NO_EXIT))
        return exits

    # --- executions ---

    def words(self) -> Iterator[Words]:
        """See ``bench.traces.trace.Executions``."""
        places, tbs, *_ = self._planted
        for start in range(0, self.parameters.executions, WINDOW):
            end = min(start + WINDOW, self.parameters.executions)
            position = np.arange(start, end)
            first, last = np.searchsorted(places, (start, end))
            tb = self._background(start, end, np.unique(tbs[first:last]).size)
            tb += np.searchsorted(self.epochs[1:-1], position, "right") * self.per_epoch
            tb[places[first:last] - start] = self._row(tbs[first:last])
            yield ((self._thread(position) << 24) | tb).astype(np.uint32)

    def _background(self, start: int, end: int, faulting: int) -> I64:
        """Loops over the working set without its ``faulting`` TBs, each at least once, as TB numbers in the epoch."""
        given, generator = self.parameters, self._generator(5, start)
        ordinary = self.per_epoch - self.faulting_per_epoch
        size = min(max(given.working_set - faulting, 1), ordinary, end - start)
        epoch = int(np.searchsorted(self.epochs, start, "right")) - 1
        begin, stop = self.epochs[epoch], max(self.epochs[epoch + 1] - WINDOW, self.epochs[epoch] + 1)
        moved = int((ordinary - size) * min((start - begin) / (stop - begin), 1))
        loops = -(-size // _LOOP_TBS)
        # Every loop once; then, in the room left, loops by popularity (1 / rank) with geometric trip counts.
        spare = end - start - size
        visits = max(2 * spare // (_LOOP_TBS * _MEAN_TRIPS), 1)
        popularity = 1 / np.arange(1.0, loops + 1)
        chosen = np.concatenate((np.arange(loops), generator.choice(loops, visits, p=popularity / popularity.sum())))
        trips = np.concatenate((np.ones(loops, np.int64), generator.geometric(1 / _MEAN_TRIPS, visits)))
        length = np.minimum(_LOOP_TBS, size - chosen * _LOOP_TBS)
        total = np.cumsum(length * trips)
        keep = int(np.searchsorted(total, end - start)) + 1
        mixed = generator.permutation(min(keep, chosen.size))
        chosen, trips, length = chosen[mixed], trips[mixed], length[mixed]
        rounds = np.repeat(np.arange(chosen.size), length * trips)
        step = np.arange(rounds.size) - np.repeat(np.cumsum(length * trips) - length * trips, length * trips)
        tb = chosen[rounds] * _LOOP_TBS + step % length[rounds]
        return np.resize(tb, end - start) + moved + self.faulting_per_epoch


def _long_enough(host: I64, fast: I64, rows: I64, needed: I64) -> tuple[I64, I64]:
    """Exchange TBs so that each of ``rows`` has a fast part of at least ``needed`` bytes, as far as possible."""
    order = np.argsort(fast, kind="stable")
    chosen = np.searchsorted(fast[order], needed)
    by_need = np.argsort(needed, kind="stable")
    # Ascending needs take ascending TBs, each TB once.
    index = np.arange(rows.size)
    taken = np.maximum.accumulate(chosen[by_need] - index) + index
    taken = np.minimum(taken, order.size - rows.size + index)
    source = np.empty(host.size, np.int64)
    target = rows[by_need]
    source[target] = order[taken]
    rest = np.ones(host.size, np.bool_)
    rest[target] = False
    left = np.ones(host.size, np.bool_)
    left[order[taken]] = False
    source[rest] = np.flatnonzero(left)
    host, fast = host[source], fast[source]
    # A TB grows where the sample has none that is long enough.
    short = np.maximum(needed - fast[rows], 0)
    host[rows] += short
    fast[rows] += short
    return host, fast


def _addresses(guest_bytes: U32) -> npt.NDArray[np.uint64]:
    """The guest addresses of TBs without gaps."""
    return (0x1_0000 + np.cumsum(guest_bytes, dtype=np.uint64) - guest_bytes).astype(np.uint64)
