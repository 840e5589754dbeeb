"""The codec of a side table, for measuring: SLEB128 deltas, as DWARF 5 (section 7.6) defines them."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bench.support.kernels import kernel

Rows: TypeAlias = npt.NDArray[np.int64]
"""Rows of numbers, one row for each guest instruction."""
Numbers: TypeAlias = npt.NDArray[np.int64]
Table: TypeAlias = npt.NDArray[np.uint8]

MOST_BYTES = 10
"""A 64-bit number takes at most so many."""


@kernel
def encode(rows: Rows, first: Numbers, table: Table, places: Numbers, times: int) -> int:
    """Write the tables of all blocks, so many times; returns their bytes.

    ``first``: for each block its first row in ``rows``, and the end; ``places`` gets where its table is in ``table``.
    """
    size = 0
    for _ in range(times):
        size = 0
        for block in range(first.size - 1):
            places[block] = size
            for row in range(first[block], first[block + 1]):
                for column in range(rows.shape[1]):
                    left = rows[row, column] - (rows[row - 1, column] if row > first[block] else 0)
                    while True:
                        low = left & 0x7F
                        left >>= 7
                        if (left == 0 and low < 0x40) or (left == -1 and low >= 0x40):
                            table[size] = low
                            size += 1
                            break
                        table[size] = low | 0x80
                        size += 1
    return size


@kernel
def decode(table: Table, places: Numbers, counts: Numbers, found: Rows, times: int) -> int:
    """Read the first ``counts`` rows of each block's table, so many times; its last row is then in ``found``.

    Returns the bytes read.
    """
    read = 0
    for _ in range(times):
        read = 0
        for block in range(counts.size):
            at = places[block]
            for column in range(found.shape[1]):
                found[block, column] = 0
            for _row in range(counts[block]):
                for column in range(found.shape[1]):
                    value, shift, byte = 0, 0, 0x80
                    while byte >= 0x80:
                        byte = int(table[at])
                        at += 1
                        value |= (byte & 0x7F) << shift
                        shift += 7
                    if byte & 0x40:
                        value -= 1 << shift
                    found[block, column] += value
            read += at - places[block]
    return read


def blocks(count: int, seed: int) -> tuple[Rows, Numbers]:
    """The rows of so many made-up blocks of 2 to 40 guest instructions, and where each begins, and the end.

    A row: guest pc, flags, and the end of the host code of the instruction.  A guest instruction has 4 bytes and 36
    bytes of host code in the mean, as a mixture of arithmetic (16 to 28) and memory accesses (48 to 80) has; flags
    change at one instruction in sixteen.
    """
    chosen = np.random.default_rng(seed)
    lengths = chosen.integers(2, 41, count)
    first = np.concatenate(([0], np.cumsum(lengths)))
    total = int(first[-1])
    memory = chosen.random(total) < 0.3
    host = np.where(memory, chosen.integers(12, 21, total), chosen.integers(4, 8, total)) * 4
    flags = np.cumsum(chosen.random(total) < 1 / 16)
    rows = np.stack([4 * np.arange(total), flags, np.cumsum(host)], axis=1).astype(np.int64)
    return rows - np.repeat(rows[first[:-1]], lengths, axis=0), first.astype(np.int64)
