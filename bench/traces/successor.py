"""The executions of a trace as what the last-successor prediction misses.

After a TB mostly comes the TB that came after it the last time.  A stream of
execution words (bits 0-23 TB id, 24-30 thread) is therefore kept as pairs
``(run, word)``: ``run`` words that were predicted right, then one that was not.
The prediction, which encoder and decoder both make:

* the thread is that of the word before (0 at first);
* the TB is the successor of the last TB of that thread;
* after every word, its TB becomes the successor of the last TB of its thread
  (every successor is 0 at first, and "no TB yet" and "unknown TB" are one).

The first ``run`` may be 0 and the last pair's word lies beyond the end.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bench.support.kernels import kernel

UNKNOWN_TB = 0xFF_FFFF
"""The TB id of an execution whose translation is not in the log."""
STOPPED = 0x8000_0000
"""The bit of an execution that was announced and then did not run."""
THREADS = 128
"""Thread numbers are 7 bits."""

Words = npt.NDArray[np.uint32]
_RUN, _THREAD, _PAIR, _WRITTEN = range(4)
_LONGEST_RUN = 0xFFFF_FFFF


@kernel
def _encode(words: Words, successor: Words, last: Words, state: npt.NDArray[np.int64], pairs: Words) -> int:
    """Append the pairs of ``words`` to ``pairs`` (flat); return how many numbers were written."""
    run = state[_RUN]
    thread = state[_THREAD]
    written = 0
    for word in words:
        here = (word >> 24) & 0x7F
        tb = word & 0xFFFFFF
        if here == thread and successor[last[thread]] == tb and run < _LONGEST_RUN:
            run += 1
        else:
            pairs[written] = run
            pairs[written + 1] = word
            written += 2
            run = 0
            thread = here
        successor[last[thread]] = tb
        last[thread] = tb
    state[_RUN] = run
    state[_THREAD] = thread
    return written


@kernel
def _decode(pairs: Words, successor: Words, last: Words, state: npt.NDArray[np.int64], out: Words) -> bool:
    """Fill ``out`` from ``pairs`` (flat) where ``state`` stands; false if a word names no known TB.

    Stops early where the pairs end; ``state`` holds how much of either was used.
    """
    tbs = successor.size - 1
    run = state[_RUN]
    thread = state[_THREAD]
    pair = state[_PAIR]
    written = state[_WRITTEN]
    good = True
    while written < out.size:
        if run < 0:
            if pair + 2 > pairs.size:
                break
            run = np.int64(pairs[pair])
        steps = min(run, out.size - written)
        before = last[thread]
        high = np.uint32(thread << 24)
        for _ in range(steps):
            tb = successor[before]
            out[written] = high | tb
            written += 1
            # An unknown TB (0xffffff) has the last row of the table.
            before = min(tb, np.uint32(tbs))
        last[thread] = before
        run -= steps
        if run > 0 or written == out.size:
            break
        word = pairs[pair + 1]
        pair += 2
        run = -1
        thread = np.int64((word >> 24) & 0x7F)
        tb = word & 0xFFFFFF
        row = min(tb, np.uint32(tbs))
        if word >> 31 or (row == tbs and tb != UNKNOWN_TB):
            good = False
            break
        successor[last[thread]] = tb
        last[thread] = row
        out[written] = word
        written += 1
    state[_RUN] = run
    state[_THREAD] = thread
    state[_PAIR] = pair
    state[_WRITTEN] = written
    return good


class Encoder:
    """Words in, pairs out; TB ids need not be known in advance."""

    def __init__(self) -> None:
        # One row per possible id; the pages of rows that are never used are never touched.
        self._successor = np.zeros(UNKNOWN_TB + 1, np.uint32)
        self._last = np.full(THREADS, UNKNOWN_TB, np.uint32)
        self._state = np.zeros(4, np.int64)

    def add(self, words: Words) -> Words:
        """The pairs that ``words`` (stopped bits clear) complete, flat: run, word, run, word, ..."""
        pairs = np.empty(2 * words.size, np.uint32)
        return pairs[: _encode(words, self._successor, self._last, self._state, pairs)]

    def finish(self) -> Words:
        """The last pair, if the last words were predicted right."""
        run = self._state[_RUN]
        return np.array([run, 0] if run else [], np.uint32)


class Decoder:
    """Pairs in, words out, for a trace of ``tbs`` TBs."""

    def __init__(self, tbs: int) -> None:
        self._successor = np.zeros(tbs + 1, np.uint32)
        self._last = np.full(THREADS, tbs, np.uint32)
        self._state = np.array([-1, 0, 0, 0], np.int64)
        self._pairs = np.empty(0, np.uint32)

    def add(self, pairs: Words) -> None:
        """Take more pairs (flat, whole ones) after those not used yet."""
        self._pairs = np.concatenate((self._pairs[self._state[_PAIR] :], pairs))
        self._state[_PAIR] = 0

    def fill(self, out: Words, filled: int) -> int:
        """Fill ``out`` from index ``filled`` on as far as the pairs go; the new fill.

        Raises ``ValueError`` if a pair's word is no execution of this trace.
        """
        self._state[_WRITTEN] = filled
        if not _decode(self._pairs, self._successor, self._last, self._state, out):
            raise ValueError("an execution of no TB of this trace")
        return int(self._state[_WRITTEN])

    @property
    def used_up(self) -> bool:
        """True if every pair was used (the last one's word, beyond the end, need not be)."""
        rest = self._pairs.size - int(self._state[_PAIR])
        return rest == 0 or (rest == 2 and self._state[_RUN] == 0)
