"""A ``Relation`` as arrays for ``bench/check/kernel.py``: states packed into 64-bit words, tables looked up by bits.

Every slot has a field of some bits in one of the words of a state; bit 63 of word 0 is always set, so that no state is 0.
When a slot's values outgrow its field all is laid out anew, and the states seen so far are packed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from bench.check.footprint import View
from bench.check.relation import (
    LocalStep,
    NewConstant,
    NewResult,
    News,
    NewSteps,
    NewTable,
    NewValue,
    NewView,
    Numbers,
    Relation,
    Result,
    Table,
)
from bench.machine import Kind

I32: TypeAlias = npt.NDArray[np.int32]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]
U64: TypeAlias = npt.NDArray[np.uint64]

_AWAITED = (Kind.DRAIN, Kind.COMPLETE, Kind.SWITCH, Kind.MOVE)
"""The steps of the environment that a thread may have to wait for."""

UNKNOWN, REFUSED = -1, -2
"""Entries: not asked yet; the step cannot be taken."""

PRESENT = 1 << 63
_WORD = 63
"""Bits of a word that fields may take; one of every word, so that the words are alike."""

_DIRECT = 12
"""A part whose key has so many bits at most is looked up by it; beyond, by its hash."""
_LONGEST_KEY = 64


class TooWideError(Exception):
    """A step looks at more of a state than a key can hold."""


class Arrays(NamedTuple):
    """What is known of a relation.  Rows beyond those in use are there for growth.

    A *field* is (word, shift, mask).  ``drivers``: the fields of the driving slots, and where their values begin in
    ``steps_of``, which has the first step of each value, the one after the last, or ``UNKNOWN``.  ``flagged``: the fields of
    all slots whose values say something, and where these begin in ``flags``.  ``steps``: first part in ``step_parts`` and the
    one after the last; 1 for a thread's step; 1 if what it writes without reading is known, ``put``, and ``clear``, its
    bits; 1 if a thread may wait for it.  ``parts``: first of ``reads`` and the one after the last; where its table begins in ``entries``, or ``UNKNOWN`` if
    it is hashed.  ``clear_part``: the bits that a part writes.  ``reads``: a field, where its view begins in ``shown``
    (``UNKNOWN``: the value itself), its shift in the key.  ``entries``: rows of ``results`` (what is written) and ``wrong`` (1
    if a unit that counts is fetched wrong), ``UNKNOWN`` or ``REFUSED``.
    """

    drivers: I64
    steps_of: I32
    flagged: I64
    flags: U8
    steps: I32
    clear: U64
    put: U64
    step_parts: I32
    parts: I32
    clear_part: U64
    reads: I32
    shown: I32
    entries: I32
    results: U64
    wrong: U8
    hashed_keys: U64
    hashed_parts: I32
    hashed_entries: I32


class _Rows:
    """An array that grows at its end."""

    def __init__(self, dtype: Any, width: int = 0, fill: int = 0) -> None:
        self._fill = fill
        self.array = np.full((64, width) if width else 64, fill, dtype)
        self.size = 0

    def extend(self, count: int) -> int:
        """The first of ``count`` new rows."""
        start, self.size = self.size, self.size + count
        if self.size > len(self.array):
            grown = np.full((max(self.size, 2 * len(self.array)), *self.array.shape[1:]), self._fill, self.array.dtype)
            grown[:start] = self.array[:start]
            self.array = grown
        return start

    def append(self, row: Any) -> int:
        """The new row."""
        number = self.extend(1)
        self.array[number] = row
        return number


class Packing:
    """A relation in arrays; ``update`` takes in what it has learnt since.

    ``words`` per state.  ``layout`` counts how often the fields were laid out: states packed under an older one have to
    be unpacked by ``old_fields`` and packed again.  Raises ``TooWideError`` for a part that no key can hold.
    """

    def __init__(self, relation: Relation) -> None:
        self.relation = relation
        self.layout = 0
        room = {"place": 6, "line": 4, "pending": 3}
        self._bits = [room.get(slot.what, 1) for slot in relation.cut.slots]
        self._view_bits: dict[View, int] = {}
        self._lay_out()
        self.update()

    # - fields

    def _lay_out(self) -> None:
        """Give every slot its field, and forget all but the relation."""
        self.layout += 1
        self.fields = np.zeros((len(self._bits), 3), np.int64)
        used = [0]
        for slot, bits in enumerate(self._bits):
            word = next((n for n, taken in enumerate(used) if taken + bits <= _WORD), len(used))
            if word == len(used):
                used.append(0)
            self.fields[slot] = word, used[word], (1 << bits) - 1
            used[word] += bits
        self.words = len(used)
        self._next = 0
        self._steps: dict[LocalStep, int] = {}
        self._parts: dict[Table, int] = {}
        self._bases: dict[View, int] = {}
        self._views: list[list[View]] = [[] for _ in self._bits]
        self._shifts: dict[Table, tuple[int, ...]] = {}
        self._rows: dict[Table, dict[Result, int]] = {}
        self._hashed: dict[tuple[int, int], int] = {}
        self._rehash(64)
        cut = self.relation.cut
        self._steps_base = _bases(self._bits, self.relation.driving)
        self._steps_of = _Rows(np.int32, 2, UNKNOWN)
        self._steps_of.extend(sum(1 << self._bits[slot] for slot in self.relation.driving))
        saying = [n for n, slot in enumerate(cut.slots) if slot.what in ("place", "line", "buffer")]
        self._flags_base = _bases(self._bits, saying)
        self._flags = _Rows(np.uint8)
        self._flags.extend(sum(1 << self._bits[slot] for slot in saying))
        self._drivers = np.array([(*self.fields[s], self._steps_base[s]) for s in self.relation.driving], np.int64)
        self._flagged = np.array([(*self.fields[s], self._flags_base[s]) for s in saying], np.int64)
        self._step = _Rows(np.int32, 5)
        self._clear, self._put = _Rows(np.uint64, self.words), _Rows(np.uint64, self.words)
        self._step_parts = _Rows(np.int32)
        self._part = _Rows(np.int32, 3)
        self._clear_part = _Rows(np.uint64, self.words)
        self._reads = _Rows(np.int32, 5)
        self._shown = _Rows(np.int32)
        self._entries = _Rows(np.int32, fill=UNKNOWN)
        self._results, self._wrong = _Rows(np.uint64, self.words), _Rows(np.uint8)

    def pack(self, numbers: Sequence[int]) -> U64:
        """A state as words."""
        words = [0] * self.words
        words[0] = PRESENT
        for (word, shift, _), number in zip(self.fields.tolist(), numbers, strict=True):
            words[word] |= number << shift
        return np.array(words, np.uint64)

    def unpack(self, words: U64) -> Numbers:
        """The numbers of a state."""
        held = words.tolist()
        return tuple(held[word] >> shift & mask for word, shift, mask in self.fields.tolist())

    # - news

    def update(self) -> None:
        """Take in what the relation has learnt; lay all out anew if it does not fit."""
        while True:
            news = self.relation.news
            if all(self._take(item) for item in news[self._next :]):
                self._next = len(news)
                return
            self._lay_out()

    def _take(self, news: News) -> bool:
        """Whether there was room."""
        match news:
            case NewValue(slot, number, says):
                if number >> self._bits[slot]:
                    self._bits[slot] += 2 if self._bits[slot] < 4 else 1
                    return False
                if slot in self._flags_base:
                    self._flags.array[self._flags_base[slot] + number] = says
                return all(self._show(view, number) for view in self._views[slot])
            case NewView(view):
                return self._new_view(view)
            case NewTable(table):
                self._new_table(table)
            case NewSteps(slot, number, steps):
                numbers = [self._new_step(one) for one in steps]
                span = (numbers[0], numbers[-1] + 1) if numbers else (0, 0)
                self._steps_of.array[self._steps_base[slot] + number] = span
            case NewConstant(one):
                self._known(one)
            case NewResult(table, read, result):
                self._enter(table, read, REFUSED if result is None else self._result(table, result))
        return True

    def _new_view(self, view: View) -> bool:
        if view.aspect:
            self._bases[view] = self._shown.extend(1 << self._bits[view.slot])
            self._views[view.slot].append(view)
            return all(self._show(view, number) for number in range(len(self.relation.shown[view])))
        return True

    def _show(self, view: View, number: int) -> bool:
        shown = self.relation.shown[view][number]
        if shown >> self._view_bits.setdefault(view, 2):
            self._view_bits[view] += 1
            return False
        if number >> self._bits[view.slot] == 0:
            self._shown.array[self._bases[view] + number] = shown
        return True

    def _new_table(self, table: Table) -> None:
        first = self._reads.size
        shifts, total = [], 0
        for view in table.part.reads:
            shifts.append(total)
            field = self.fields[view.slot]
            self._reads.append((*field, self._bases.get(view, UNKNOWN), total))
            total += self._view_bits[view] if view.aspect else self._bits[view.slot]
        if total > _LONGEST_KEY:
            raise TooWideError(f"{total} bits")
        base = self._entries.extend(1 << total) if total <= _DIRECT else UNKNOWN
        self._parts[table] = self._part.append((first, self._reads.size, base))
        self._clear_part.append(self._mask(table.part.writes))
        self._shifts[table], self._rows[table] = tuple(shifts), {}

    def _new_step(self, one: LocalStep) -> int:
        first = self._step_parts.size
        for table in one.tables:
            self._step_parts.append(self._parts[table])
        self._steps[one] = self._step.append(
            (first, self._step_parts.size, one.by_thread, 0, one.local.event.kind in _AWAITED)
        )
        self._clear.extend(1)
        self._put.extend(1)
        return self._steps[one]

    def _known(self, one: LocalStep) -> None:
        assert one.constant is not None
        row = self._steps[one]
        self._clear.array[row] = self._mask(tuple(one.constant))
        self._put.array[row] = self._bits_of(tuple(one.constant), tuple(one.constant.values()))
        self._step.array[row, 3] = 1

    def _result(self, table: Table, result: Result) -> int:
        rows = self._rows[table]
        if result not in rows:
            rows[result] = self._results.append(self._bits_of(table.part.writes, result.written))
            self._wrong.append(result.wrong)
        return rows[result]

    def _enter(self, table: Table, read: Numbers, entry: int) -> None:
        part = self._parts[table]
        key = sum(number << shift for number, shift in zip(read, self._shifts[table], strict=True))
        base = int(self._part.array[part, 2])
        if base != UNKNOWN:
            self._entries.array[base + key] = entry
            return
        self._hashed[part, key] = entry
        if 2 * len(self._hashed) > self._hashed_parts.size:
            self._rehash(2 * self._hashed_parts.size)
        else:
            self._hash(part, key, entry)

    def _rehash(self, size: int) -> None:
        """Make the hash table anew, with ``size`` places."""
        self._hashed_keys = np.zeros(size, np.uint64)
        self._hashed_parts = np.full(size, UNKNOWN, np.int32)
        self._hashed_entries = np.full(size, UNKNOWN, np.int32)
        for (part, key), entry in self._hashed.items():
            self._hash(part, key, entry)

    def _hash(self, part: int, key: int, entry: int) -> None:
        last = self._hashed_parts.size - 1
        place = hashed_at(part, key) & last
        while self._hashed_parts[place] != UNKNOWN:
            place = (place + 1) & last
        self._hashed_keys[place], self._hashed_parts[place], self._hashed_entries[place] = key, part, entry

    def _mask(self, slots: Numbers) -> list[int]:
        """The bits of these slots, in words."""
        return self._bits_of(slots, [int(self.fields[slot, 2]) for slot in slots])

    def _bits_of(self, slots: Numbers, numbers: Sequence[int]) -> list[int]:
        words = [0] * self.words
        for slot, number in zip(slots, numbers, strict=True):
            word, shift, _ = self.fields[slot].tolist()
            words[word] |= number << shift
        return words

    @property
    def arrays(self) -> Arrays:
        """What is known now."""
        return Arrays(
            self._drivers, self._steps_of.array, self._flagged, self._flags.array, self._step.array, self._clear.array,
            self._put.array, self._step_parts.array, self._part.array, self._clear_part.array, self._reads.array,
            self._shown.array, self._entries.array, self._results.array, self._wrong.array, self._hashed_keys,
            self._hashed_parts, self._hashed_entries,
        )  # fmt: skip


def hashed_at(part: int, key: int) -> int:
    """Where the search for a part's key begins; ``bench/check/kernel.py`` has the same."""
    mixed = (key * HASH_KEY + part * HASH_PART) & (1 << 64) - 1
    return mixed >> 32


HASH_KEY, HASH_PART = 0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F
"""Odd numbers with well-spread bits: 2**64 over the golden ratio, and one of xxHash's primes."""


def _bases(bits: Sequence[int], slots: Sequence[int]) -> dict[int, int]:
    """Where the values of each slot begin, if they are laid out one after the other."""
    bases, total = {}, 0
    for slot in slots:
        bases[slot] = total
        total += 1 << bits[slot]
    return bases
