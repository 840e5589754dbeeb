"""Traces, TBs and retranslations as tests give them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bench.traces.successor import UNKNOWN_TB, Words
from bench.traces.trace import CHUNK, Blocks, Retranslations, Trace


@dataclasses.dataclass(frozen=True)
class Given:
    """Executions given as a list."""

    all_words: Sequence[int]
    chunk: int = CHUNK

    def words(self) -> Iterator[Words]:
        for start in range(0, len(self.all_words), self.chunk):
            yield np.array(self.all_words[start : start + self.chunk], np.uint32)


def blocks_of(host_bytes: Any, **columns: Any) -> Blocks:
    """TBs of those lengths; a column that is not given is 0."""
    zeros = np.zeros(len(host_bytes))
    columns["host_bytes"] = host_bytes
    types = {"guest_pc": np.uint64, "born": np.int64}
    names = [field.name for field in dataclasses.fields(Blocks)]
    return Blocks(**{name: np.array(columns.get(name, zeros), types.get(name, np.uint32)) for name in names})


def retranslations_of(
    tb: Any, rewritten: Any, accesses: Any = 1, position: Any = None, thread: Any = 0
) -> Retranslations:
    """Retranslations of those TBs, by default one after the other, by thread 0."""
    count = len(tb)
    return Retranslations(
        position=np.array(np.arange(count) if position is None else position, np.int64),
        tb=np.array(tb, np.uint32),
        thread=np.array(np.broadcast_to(thread, count), np.uint32),
        rewritten_bytes=np.array(np.broadcast_to(rewritten, count), np.int32),
        accesses=np.array(np.broadcast_to(accesses, count), np.int32),
    )


def given_trace(
    words: Sequence[int], blocks: Blocks, faults: Sequence[int], rewritten: Any, accesses: Any, **more: Any
) -> Trace:
    """A trace of those executions, with a retranslation at each of ``faults``; ``more``: other columns."""
    faulting = np.array(words, np.uint32)[np.array(faults, np.int64)]
    tb, thread = faulting & np.uint32(UNKNOWN_TB), faulting >> np.uint32(24)
    moments = ("stopped", "flushes", "discarded", "io_recompiles")
    return Trace(
        name="given",
        description="of a test",
        guest="arm",
        mode="user",
        access_tag="measured",
        **{"source": Given(words), "threads": max(1, len({word >> 24 for word in words})), "length": len(words)}
        | {name: np.array(more.pop(name, ()), np.int64) for name in moments}
        | more,
        blocks=blocks,
        retranslations=retranslations_of(tb, rewritten, accesses, faults, thread),
    )
