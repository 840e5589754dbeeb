"""Encoding the executions of a trace as mispredictions of a last-successor predictor.

A TB is mostly followed by the same TB as the last time.  A stream of execution words (bits 0-23: TB id, 24-30: thread)
is stored as pairs ``(run, word)``: the number of correctly predicted words, then one mispredicted word.  Encoder and
decoder use the same predictor:

* the thread is that of the previous word (0 at first);
* the TB is the successor of the last TB of that thread;
* after every word, its TB becomes the successor of the last TB of its thread
  (every successor is 0 at first; "no TB yet" and "unknown TB" share an entry).

The first ``run`` may be 0, and the word of the last pair is beyond the end.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bench.support.kernels import kernel

UNKNOWN_TB = 0xFF_FFFF
"""The TB id of an execution whose translation is not in the trace."""
STOPPED = 0x8000_0000
"""The bit of an execution that was announced and did not run."""
THREADS = 128
"""The number of thread numbers (7 bits)."""

Words = npt.NDArray[np.uint32]
_RUN, _THREAD, _PAIR, _WRITTEN = range(4)
_LONGEST_RUN = 0xFFFF_FFFF


@kernel
def _encode(words: Words, successor: Words, last: Words, state: npt.NDArray[np.int64], pairs: Words) -> int:
    """Encode ``words`` into ``pairs`` (flat).  Returns the number of values written."""
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
    """Decode ``pairs`` (flat) into ``out``, both from the positions in ``state``; whether all words name known TBs.

    Stops early at the end of the pairs; ``state`` gets the new positions.
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
            # An unknown TB (0xffffff) uses the last row of the table.
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
    """Encodes words as pairs."""

    def __init__(self) -> None:
        # One row per possible id; the system does not allocate pages that are never used.
        self._successor = np.zeros(UNKNOWN_TB + 1, np.uint32)
        self._last = np.full(THREADS, UNKNOWN_TB, np.uint32)
        self._state = np.zeros(4, np.int64)

    def add(self, words: Words) -> Words:
        """The pairs that ``words`` (with clear stopped bits) complete, flat: run, word, run, word, ..."""
        pairs = np.empty(2 * words.size, np.uint32)
        return pairs[: _encode(words, self._successor, self._last, self._state, pairs)]

    def finish(self) -> Words:
        """The last pair, if the last words were predicted correctly."""
        run = self._state[_RUN]
        return np.array([run, 0] if run else [], np.uint32)


class Decoder:
    """Decodes pairs to words, for a trace of ``tbs`` TBs."""

    def __init__(self, tbs: int) -> None:
        self._successor = np.zeros(tbs + 1, np.uint32)
        self._last = np.full(THREADS, tbs, np.uint32)
        self._state = np.array([-1, 0, 0, 0], np.int64)
        self._pairs = np.empty(0, np.uint32)

    def add(self, pairs: Words) -> None:
        """Append complete pairs (flat) to those not used yet."""
        self._pairs = np.concatenate((self._pairs[self._state[_PAIR] :], pairs))
        self._state[_PAIR] = 0

    def fill(self, out: Words, filled: int) -> int:
        """Fill ``out`` from index ``filled`` on as far as the pairs reach.  Returns the new fill.

        Raises ``ValueError`` if the word of a pair is not an execution of this trace.
        """
        self._state[_WRITTEN] = filled
        if not _decode(self._pairs, self._successor, self._last, self._state, out):
            raise ValueError("an execution of no TB of this trace")
        return int(self._state[_WRITTEN])

    @property
    def used_up(self) -> bool:
        """Whether every pair was used (except the word of the last one, which is beyond the end)."""
        rest = self._pairs.size - int(self._state[_PAIR])
        return rest == 0 or (rest == 2 and self._state[_RUN] == 0)


@kernel
def count_executions(words: Words, executions: npt.NDArray[np.int64]) -> None:
    """Add the executions among ``words`` to those of each TB; what is stopped, or of no TB that is known, is none."""
    for word in words:
        tb = word & UNKNOWN_TB
        if word < STOPPED and tb < executions.size:
            executions[tb] += 1
