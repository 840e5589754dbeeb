"""How often an exit that was linked, and not flushed, still leads to its stub: until its line is brought in anew.

Where an instruction cache does not follow stores, a patched exit runs as it was until its line has left the cache and
comes back.  Here the links of a trace (``bench/traces/links.py``) are made over instruction caches of several sizes at
once: sets of 64-byte lines, replaced by their last access.  A line that is among the last n of its set is in every
cache of at least n ways, so that one stack for each set stands for all.  A translation runs the translator over its
own code, and drops the lines of the new block, which is published.

What else a core runs (the dispatcher, the operating system) is in no trace, and would shorten this.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from bench.replay.layout import lay_out
from bench.replay.parameters import TRANSLATOR_CODE_LINES
from bench.support.kernels import kernel
from bench.traces.links import EXIT_BYTES
from bench.traces.successor import STOPPED, UNKNOWN_TB, Words
from bench.traces.trace import I64, U32, Blocks, Retranslations

_LINE: Final = 64
_SETS: Final = 64
_WAYS: Final = (1, 2, 4, 8, 16, 32)
CACHES: Final = tuple(ways * _SETS * _LINE for ways in _WAYS)
"""The sizes of the caches in bytes."""
_TRANSLATOR: Final = int(TRANSLATOR_CODE_LINES.low)
"""Lines of 64 bytes that the translator fetches in a run."""


class Lingering:
    """Counts, while a trace is read (``add``), the executions that a link was made for and that met the stub."""

    def __init__(self, blocks: Blocks, retranslations: Retranslations) -> None:
        layout = lay_out(blocks, retranslations, "x86-64")
        end = layout.addresses + layout.sizes
        self._first, self._last = layout.addresses // _LINE, (end - 1) // _LINE
        exits = [end - np.minimum(EXIT_BYTES * (2 - slot), layout.sizes) for slot in range(2)]
        self._exit = np.stack(exits, axis=1) // _LINE
        self._born = blocks.born
        lines = int(self._last.max(initial=0)) + 1
        self._stack = np.full((_SETS, _WAYS[-1]), -1, np.int64)
        self._filled = np.zeros((lines + _TRANSLATOR, len(_WAYS)), np.uint32)
        self._since = np.zeros((0, len(_WAYS)), np.uint32)
        self._line = np.zeros(0, np.int64)
        self._met = np.zeros(len(_WAYS), np.int64)
        self._state = np.zeros(2, np.int64)

    def add(self, words: Words, through: I64, made: I64) -> None:
        """The next executions, with what ``Linker.add`` says of them."""
        before = len(self._line)
        self._line = np.concatenate((self._line, self._exit[made[:, 1], made[:, 2]]))
        self._since = np.concatenate((self._since, np.zeros((len(made), len(_WAYS)), np.uint32)))
        blocks = self._first, self._last, self._born
        _follow(
            words,
            through,
            made[:, 0].copy(),
            before,
            *blocks,
            self._stack,
            self._filled,
            self._since,
            self._line,
            self._met,
            self._state,
        )

    @property
    def met(self) -> tuple[tuple[int, int], ...]:
        """The executions that met the stub, by bytes of instruction cache."""
        return tuple(zip(CACHES, self._met.tolist(), strict=True))


_WAYS_ARRAY = np.array(_WAYS, np.int64)


@kernel
def _follow(
    words: Words,
    through: I64,
    made: I64,
    number: int,
    first: I64,
    last: I64,
    born: I64,
    stack: I64,
    filled: U32,
    since: U32,
    line_of: I64,
    met: I64,
    state: I64,
) -> None:
    """Process ``words``.  ``number``: of the first link that is ``made``, by position, among them.

    ``filled``: how often each line came into each cache; ``since``: that of each link's exit when it was made.
    """
    position, translated = state[0], state[1]
    sizes = _WAYS_ARRAY.size
    translator = filled.shape[0] - _TRANSLATOR
    made_so_far = 0
    for at in range(words.size):
        while True:
            # What is fetched next: the translator, as long as a block is translated here, or the block.
            translates = translated < born.size and born[translated] <= position
            block = np.int64(words[at] & UNKNOWN_TB)
            if translates:
                for line in range(first[translated], last[translated] + 1):
                    for size in range(sizes):
                        filled[line, size] += 1
                translated += 1
                begin, end = translator, filled.shape[0]
            else:
                while made_so_far < made.size and made[made_so_far] == position:
                    link = number + made_so_far
                    since[link] = filled[line_of[link]]
                    made_so_far += 1
                link = through[at]
                if link >= 0:
                    for size in range(sizes):
                        met[size] += filled[line_of[link], size] == since[link, size]
                if block >= first.size or words[at] >= STOPPED:
                    break
                begin, end = first[block], last[block] + 1
            for line in range(begin, end):
                at_set = line % _SETS
                newer = line
                depth = 0
                while depth < stack.shape[1]:
                    older = stack[at_set, depth]
                    stack[at_set, depth] = newer
                    if older == line:
                        break
                    newer = older
                    depth += 1
                for size in range(sizes):
                    if _WAYS_ARRAY[size] <= depth:
                        filled[line, size] += 1
            if not translates:
                break
        position += 1
    state[0], state[1] = position, translated
