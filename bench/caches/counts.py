"""The counters of a replay: accesses and misses by source, and transfers between the cache levels.

``bench/caches/kernel.py`` is compiled with the columns in this order.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counts:
    """The counters of one replay.

    ``executions``: TBs that ran; ``stopped``: TBs that were announced and did not run; ``unknown``: executions whose
    TB is not in the trace (they access nothing).

    Accesses, in lines, by source: ``code`` (TBs), ``translator_code``, ``translator_data``, ``load`` and ``store``
    (events), ``guest_data`` (the sweep).  ``..._misses`` missed in the L1; ``..._memory`` of these were filled from
    memory, the others from the L2.  A store that is passed on fills no line.

    ``passed_on``     stores passed on to the next level
    ``written_back``  dirty data lines written to the next level on eviction
    ``cleaned``       dirty data lines written to the next level by a ``CLEAN``
    ``invalidated``   instruction lines that an ``INVALIDATE`` or ``INVALIDATE_ALL`` found and dropped
    ``snooped``       instruction lines that a store dropped
    ``memory_writes`` writes from the last cache level to memory
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
        """The difference from ``baseline``, a replay of the same trace without these events.

        Its ``code_misses`` are the refills that the events caused; they are negative where the events saved some.
        """
        return Counts(*(a - b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(baseline), strict=True)))
