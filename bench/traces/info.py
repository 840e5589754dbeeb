"""The statistics of a trace (``trace info``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from bench.support.kernels import kernel
from bench.traces.links import linker
from bench.traces.successor import STOPPED, Words
from bench.traces.trace import I64, Links, Trace


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """The distribution of the known values, ``None`` without any; ``unknown``: the number of unknown values.

    Median and 90th percentile interpolate linearly between neighbouring values.
    """

    min: int | None
    median: float | None
    p90: float | None
    max: int | None
    unknown: int


class LinkInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Exits of TBs that were linked to TBs.

    ``known``    how: ``recorded`` (in the log), ``derived`` (from the executions and the text of the last
                 instructions), ``estimated`` (from the executions and the lengths of the TBs)
    ``made``     links
    ``ended``    those that a tb flush or another link of the same exit ended (an invalidation alone is not seen)
    ``entered``  executions entered through a link, ``None`` if these are missing (``recorded``)
    """

    known: Literal["recorded", "derived", "estimated"]
    made: int
    ended: int
    entered: int | None


class TraceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The statistics of a trace; ``msgspec.json.encode`` gives the JSON of ``trace info --format json``.

    ``executions``       TB executions that ran
    ``stopped``          TB executions that were announced and did not run
    ``tbs``              TBs translated; ``threads``, ``flushes``, ``discarded`` as in ``Trace``
    ``retranslations``   state restores, without ``io_recompiles``
    ``links``            links between TBs
    ``unread``           lines of the log that the import did not need, by name
    ``tb_bytes``         host bytes per TB, as recorded
    ``rewritten_bytes``  host bytes from the TB's start to the end of the faulting operation, per retranslation
    ``reexecution_tbs``  executions until the same TB runs again in any thread (1: the next one), per
                         retranslation; ``unknown``: the number of those whose TB never runs again
    """

    schema: int = 1
    trace: str
    executions: int
    stopped: int
    tbs: int
    threads: int
    flushes: int
    discarded: int
    retranslations: int
    io_recompiles: int
    exceptions: dict[str, int]
    links: LinkInfo
    unread: dict[str, int]
    tb_bytes: Distribution
    rewritten_bytes: Distribution
    reexecution_tbs: Distribution


def info(trace: Trace) -> TraceInfo:
    """The statistics of ``trace``; reads all its executions once (raises ``InputError`` where they are damaged)."""
    rewritten = trace.retranslations.rewritten_bytes
    derived = linker(trace) if trace.links is None else None
    distances = reexecution(trace, derived.add if derived else None)
    return TraceInfo(
        trace=trace.name,
        executions=trace.ran,
        stopped=trace.stopped.size,
        tbs=len(trace.blocks),
        threads=trace.threads,
        flushes=trace.flushes.size,
        discarded=trace.discarded.size,
        retranslations=len(trace.retranslations),
        io_recompiles=trace.io_recompiles.size,
        exceptions=dict(sorted(trace.exceptions.items())),
        links=_link_info(trace, derived.links if derived else trace.links),
        unread=dict(trace.unread),
        tb_bytes=distribution(trace.blocks.host_bytes),
        rewritten_bytes=distribution(rewritten),
        reexecution_tbs=distribution(distances),
    )


def _link_info(trace: Trace, links: Links | None) -> LinkInfo:
    assert links is not None
    flushed = np.searchsorted(trace.flushes, links.position, "right") < trace.flushes.size
    # A TB has an id of its own after a tb flush: another link of the same exit follows an unlink.
    exits = links.source.astype(np.int64) * 2 + links.slot
    last = np.zeros(len(links), np.bool_)
    last[len(links) - 1 - np.unique(exits[::-1], return_index=True)[1]] = True
    return LinkInfo(
        known="recorded" if trace.links is not None else "derived" if trace.exits is not None else "estimated",
        made=len(links),
        ended=int((flushed | ~last).sum()),
        entered=None if trace.links is not None else int(links.uses.sum()),
    )


def distribution(values: npt.NDArray[np.integer]) -> Distribution:
    """The distribution of ``values``; negative values are unknown."""
    known = values[values >= 0]
    if known.size == 0:
        return Distribution(min=None, median=None, p90=None, max=None, unknown=values.size)
    median, p90 = np.percentile(known, (50, 90))
    return Distribution(
        min=int(known.min()),
        median=float(median),
        p90=float(p90),
        max=int(known.max()),
        unknown=values.size - known.size,
    )


def reexecution(trace: Trace, also: Callable[[Words], object] | None = None) -> I64:
    """For each retranslation, the executions until its TB runs again (1: the next one); -1 if it never does.

    Stopped executions count in the distance, but not as runs.  ``also`` gets the executions too.
    """
    restores = trace.retranslations
    rows = int(restores.tb.max(initial=0)) + 1
    # A linked list holds the retranslations of each TB that has not run again yet.
    first = np.full(rows, -1, np.int64)
    following = np.full(len(restores), -1, np.int64)
    distance = np.full(len(restores), -1, np.int64)
    base = done = 0
    for words in trace.executions():
        done = _reexecution(words, base, restores.position, first, following, distance, done)
        base += words.size
        if also is not None:
            also(words)
    return distance


@kernel
def _reexecution(words: Words, base: int, position: I64, first: I64, following: I64, distance: I64, done: int) -> int:
    """Process the executions ``base``, ``base`` + 1, ... after ``done`` retranslations.  Returns the new ``done``."""
    for i in range(words.size):
        word = words[i]
        tb = word & 0xFFFFFF
        if tb < first.size:
            if word < STOPPED:
                waiting = first[tb]
                while waiting >= 0:
                    distance[waiting] = base + i - position[waiting]
                    waiting = following[waiting]
                first[tb] = -1
            while done < position.size and position[done] == base + i:
                following[done] = first[tb]
                first[tb] = done
                done += 1
        elif done < position.size and position[done] == base + i:
            # The fault was in an unknown TB.
            done += 1
    return done
