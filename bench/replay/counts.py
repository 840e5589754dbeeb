"""What a replay counts: accesses and misses by who makes them, and what moves between the levels.

``bench/replay/kernel.py`` is compiled with the columns in this order, and kept until that file changes: touch it too.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counts:
    """What a replay counted.

    ``executions`` are TBs that ran, ``stopped`` those announced that did not,
    ``unknown`` those whose translation is not in the trace (they touch nothing).

    Accesses, in lines, by who makes them: ``code`` (TBs), ``translator_code``,
    ``translator_data``, ``load`` and ``store`` (events), ``guest_data`` (the sweep).
    ``..._misses`` missed in the L1; ``..._memory`` of these were filled from memory,
    the others from the L2.  A store that is passed on fills nothing.

    ``passed_on``     stores passed on to the next level
    ``written_back``  dirty data lines written to the next level because another line took their frame
    ``cleaned``       dirty data lines written to the next level by a ``CLEAN``
    ``invalidated``   instruction lines that an ``INVALIDATE`` or ``INVALIDATE_ALL`` found and dropped
    ``snooped``       instruction lines that a store dropped
    ``memory_writes`` writes that reached memory, from the last level of cache
    """

    executions: int
    stopped: int
    unknown: int
    code_lines: int
    code_misses: int
    code_memory: int
    translator_code_lines: int
    translator_code_misses: int
    translator_code_memory: int
    translator_data_lines: int
    translator_data_misses: int
    translator_data_memory: int
    load_lines: int
    load_misses: int
    load_memory: int
    store_lines: int
    store_misses: int
    store_memory: int
    guest_data_lines: int
    guest_data_misses: int
    guest_data_memory: int
    passed_on: int
    written_back: int
    cleaned: int
    invalidated: int
    snooped: int
    memory_writes: int

    def __sub__(self, baseline: Counts) -> Counts:
        """What came on top of ``baseline``, a replay of the same trace without these events.

        ``code_misses`` is then the refills that the events caused; it can be negative where they spared some.
        """
        return Counts(*(a - b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(baseline), strict=True)))
