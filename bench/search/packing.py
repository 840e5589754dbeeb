"""A ``Relation`` as arrays for ``bench/search/kernel.py``: states packed into 64-bit words, steps looked up by bits.

Every slot has a field of some bits in one of the words of a state; bit 63 of word 0 is always set, so that no state is
0.  When a slot's values outgrow its field all is laid out anew, and the states seen so far are packed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from bench.machine import Event, Kind
from bench.machine.slots import View
from bench.search.outcome import WAITED_FOR
from bench.search.relation import LocalStep, NewImage, NewResult, News, NewSteps, NewValue, Numbers, Relation, Result

I32: TypeAlias = npt.NDArray[np.int32]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]
U64: TypeAlias = npt.NDArray[np.uint64]

UNKNOWN, REFUSED, NONE = -1, -2, (1 << 64) - 1
"""Entries: not asked yet; the step cannot be taken.  Where there is no table and no view."""

PRESENT = 1 << 63
_WORD = 63
"""Bits of a word that fields may take; one of every word, so that the words are alike."""

_FEWEST = 2
"""Words of a state, at least."""

_BITS = {"place": 7, "line": 6, "pending": 4, "icache": 3, "ahead": 3, "buffer": 3, "lock": 3, "running": 2, "block": 2}
"""Bits that a slot is given at first, where there are as many in the fewest words."""

_DIRECT = 12
"""A step whose key has so many bits at most is looked up by it; beyond, by its hash."""
_LONGEST_KEY = 64

HASH_KEY, HASH_STEP = 0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F
"""Odd numbers with well-spread bits: 2**64 over the golden ratio, and one of xxHash's primes."""

_COMPARED = ("line", "block", "place", "running", "icache", "ahead", "buffer", "pending", "lock", "deferred")
"""The order in which slots are compared: first those that tell blocks apart, then those that tell cores apart."""

_LEFT_OUT = 64
"""Steps that a state can say of that they may be left out: the first that are met; the others are always taken."""

BY_THREAD, AWAITED = 1, 2
"""What a step is: a thread's, or one of those."""


class TooWideError(Exception):
    """A step looks at more of a state than a key can hold."""


class Arrays(NamedTuple):
    """What is known of a relation.  Rows beyond those in use are there for growth.

    ``width``: as many zeros as a state has words.  That number is a part of the kernels' types: their loops over
    words are unrolled, and they are compiled for each number of words, of which there are few: powers of two from 2
    on.

    A *field* is (word, shift, mask).  ``drivers``, those that lead to steps: two fields (the second with mask 0 if
    there is but one slot), the shift of the second's value, and where the values begin in ``steps_of``, which has the
    first step of each value and the one after the last, or ``UNKNOWN``.  ``steps``: what it is; its first row of
    ``reads`` and the one after the last; where its table begins in ``entries``, or ``NONE`` if it is hashed; its bit
    among the steps that a state may leave out; the bits of the steps that it is apart from; the slots that it touches,
    and those that it writes, as bits.  ``clear``: the bits of a state that it writes.  ``reads``: a field, where its
    view begins in ``shown`` (``NONE``: the value itself), its shift in the key.  ``entries``: rows of ``results`` (what
    is written) and ``wrong`` (1 if a unit that counts is fetched wrong), ``UNKNOWN`` or ``REFUSED``.
    ``swaps``: first of ``moves``, the one after the last that is compared, and the one after the last.  A move: a
    field, the field whose value it gets, and where that value's image begins in ``images``; ``touched``: of each step
    and swap the first move that the step makes a difference to, or that after the last compared.  Fields are compared
    in this order to find the least of several states.
    ``flagged``: the fields of the slots whose values say something, and where these begin in ``flags``.
    """

    width: tuple[int, ...]
    drivers: U64
    steps_of: I32
    steps: U64
    clear: U64
    reads: U64
    shown: I32
    entries: I32
    results: U64
    wrong: U8
    swaps: U64
    moves: U64
    touched: U64
    images: U64
    flagged: U64
    flags: U8
    hashed_keys: U64
    hashed_steps: U64
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


class _NoRoomError(Exception):
    """A value does not fit its field."""


class Packing:
    """A relation in arrays; ``update`` takes in what it has learnt since.

    ``fields``: (word, shift, mask) of each slot; ``words`` per state; ``layout`` counts how often they were laid out.
    Raises ``TooWideError`` for a step that no key can hold.
    """

    def __init__(self, relation: Relation) -> None:
        self.relation = relation
        self.layout = 0
        # Where swaps replace states, or states fail and not steps, all steps are taken.
        self._leaves_out = relation.swaps is None and relation.question.failure != "lasting"
        kinds = [slot.what for slot in relation.cut.slots]
        self._bits = [_BITS.get(what, 1) for what in kinds]
        if len(_fields(self._bits)[1]) > _FEWEST:
            self._bits = [1] * len(kinds)
        self._view_bits: dict[View, int] = {}
        # By event, and the slots touched and written: what states say of steps holds when they are packed anew.
        self._bits_of: dict[tuple[Event, int, int], int] = {}
        self._lay_out()
        self.update()

    def _lay_out(self) -> None:
        """Give every slot its field, and forget all but the relation."""
        self.layout += 1
        self.fields, used = _fields(self._bits)
        self.words = max(_FEWEST, 1 << (len(used) - 1).bit_length())
        self._next = 0
        # Of each step its row, its table and the shifts of its key.
        self._steps: dict[LocalStep, tuple[int, int, tuple[int, ...]]] = {}
        self._rows: dict[tuple[Numbers, Result], int] = {}
        self._views: dict[View, int] = {}
        self._views_of: list[list[View]] = [[] for _ in self._bits]
        self._known = [0] * len(self._bits)
        self._most: dict[int, int] = {}
        self._asked = [0] * len(self.relation.drivers)
        self._hashed: dict[tuple[int, int], int] = {}
        self._rehash(64)
        self._steps_of = _Rows(np.int32, 2, UNKNOWN)
        drivers = []
        for slots in self.relation.drivers:
            second = self.fields[slots[1]] if len(slots) > 1 else (0, 0, 0)
            base = self._steps_of.extend(1 << sum(self._bits[slot] for slot in slots))
            drivers.append((*self.fields[slots[0]], *second, self._bits[slots[0]], base))
        self._drivers = np.array(drivers, np.uint64).reshape(-1, 8)
        self._flags = _Rows(np.uint8)
        self._flags_of = {
            slot: self._flags.extend(1 << self._bits[slot])
            for slot, (what, *_) in enumerate(self.relation.cut.slots)
            if what in ("place", "line", "buffer")
        }
        self._flagged = np.array([(*self.fields[slot], base) for slot, base in self._flags_of.items()], np.uint64)
        self._lay_out_swaps()
        self._step = _Rows(np.uint64, 8)
        self._clear = _Rows(np.uint64, self.words)
        self._reads = _Rows(np.uint64, 5)
        self._shown = _Rows(np.int32)
        self._entries = _Rows(np.int32, fill=UNKNOWN)
        self._results, self._wrong = _Rows(np.uint64, self.words), _Rows(np.uint8)

    def _lay_out_swaps(self) -> None:
        cut, swaps = self.relation.cut, self.relation.swaps
        self._images = _Rows(np.uint64)
        self._images_of: dict[tuple[int, int], int] = {}
        self._moved: list[list[tuple[int, int]]] = [[] for _ in (swaps.swaps if swaps is not None else ())]
        spans: list[tuple[int, int, int]] = []
        moves: list[tuple[int, ...]] = []
        for number, swap in enumerate(swaps.swaps if swaps is not None else ()):
            first = len(moves)
            # Of two slots that change places, the second differs from its image if, and only if, the first does.
            seconds: list[tuple[int, ...]] = []
            sources: set[int] = set()
            for slot in sorted(range(len(cut.slots)), key=lambda slot: _COMPARED.index(cut.slots[slot].what)):
                source = cut.number(swap.slot(cut.slots[slot]))
                if source != slot or swap.changes(cut.slots[slot].what):
                    base = self._images_of[number, source] = self._images.extend(1 << self._bits[source])
                    move = (*self.fields[slot], *self.fields[source], base)
                    if slot in sources:
                        seconds.append(move)
                    else:
                        sources.add(source)
                        moves.append(move)
                        self._moved[number] += [(slot, source)]
            spans.append((first, len(moves), len(moves) + len(seconds)))
            moves += seconds
        self._swaps = np.array(spans, np.uint64).reshape(-1, 3)
        self._moves = np.array(moves, np.uint64).reshape(-1, 7)
        self._touched = _Rows(np.uint64, max(1, len(spans)))

    def pack(self, numbers: Numbers) -> U64:
        """A state as words."""
        words = [0] * self.words
        words[0] = PRESENT
        for (word, shift, _), number in zip(self.fields, numbers, strict=True):
            words[word] |= number << shift
        return np.array(words, np.uint64)

    def unpack(self, words: U64) -> Numbers:
        """The numbers of a state."""
        held = words.tolist()
        return tuple(held[word] >> shift & mask for word, shift, mask in self.fields)

    @property
    def arrays(self) -> Arrays:
        """What is known now."""
        return Arrays(
            (0,) * self.words,
            self._leading,
            self._steps_of.array,
            self._step.array,
            self._clear.array,
            self._reads.array,
            self._shown.array,
            self._entries.array,
            self._results.array,
            self._wrong.array,
            self._swaps,
            self._moves,
            self._touched.array,
            self._images.array,
            self._flagged,
            self._flags.array,
            self._hashed_keys,
            self._hashed_steps,
            self._hashed_entries,
        )

    @property
    def most(self) -> int:
        """Steps of a state, at most."""
        return sum(self._most.values())

    # - what is new

    def update(self) -> None:
        """Take in what the relation has learnt; lay all out anew if it does not fit."""
        while True:
            news = self.relation.news
            try:
                for item in news[self._next :]:
                    self._take(item)
            except _NoRoomError:
                self._widen()
                self._lay_out()
            else:
                self._next = len(news)
                self._set_apart()
                self._leading = self._drivers[[self._leads(*driver) for driver in enumerate(self.relation.drivers)]]
                return

    def _leads(self, driver: int, slots: tuple[int, ...]) -> bool:
        """Whether a driver leads to steps, as far as is known, or has a value of which that is not known."""
        return len(slots) > 1 or self._most.get(driver, 0) > 0 or self._asked[driver] < self._known[slots[0]]

    def _widen(self) -> None:
        """Give other fields that are getting full a bit more, too, where that costs no word: each time takes time."""
        words = len(_fields(self._bits)[1])
        for slot, known in enumerate(self._known):
            if 2 * known > 1 << self._bits[slot]:
                self._bits[slot] += 1
                if len(_fields(self._bits)[1]) > words:
                    self._bits[slot] -= 1

    def _take(self, news: News) -> None:
        match news:
            case NewValue(slot, number, says):
                if number >> self._bits[slot]:
                    self._bits[slot] += 1
                    raise _NoRoomError
                self._known[slot] = number + 1
                if slot in self._flags_of:
                    self._flags.array[self._flags_of[slot] + number] = says
                for view in self._views_of[slot]:
                    self._show(view, number)
            case NewImage(swap, slot, number, image):
                if (swap, slot) in self._images_of:
                    self._images.array[self._images_of[swap, slot] + number] = image
            case NewSteps(driver, numbers, steps):
                first = self._step.size
                for step in steps:
                    self._add(step, driver)
                at = numbers[0] if len(numbers) == 1 else numbers[0] | numbers[1] << int(self._drivers[driver, 6])
                self._steps_of.array[int(self._drivers[driver, 7]) + at] = first, self._step.size
                self._asked[driver] += 1
                self._most[driver] = max(self._most.get(driver, 0), len(steps))
            case NewResult(step, read, result):
                self._enter(step, read, REFUSED if result is None else self._row(step.writes, result))

    def _add(self, step: LocalStep, driver: int) -> None:
        first = self._reads.size
        shifts, total = [], 0
        for view in step.reads:
            if view not in self._views:
                self._add_view(view)
            shifts.append(total)
            self._reads.append((*self.fields[view.slot], self._views[view], total))
            total += self._view_bits[view] if view.aspect else self._bits[view.slot]
        if total > _LONGEST_KEY:
            raise TooWideError(f"a step that looks at {total} bits of a state")
        table = self._entries.extend(1 << total) if total <= _DIRECT else NONE
        what = (BY_THREAD if step.event.kind is Kind.PROGRAM else 0) | (AWAITED if step.event.kind in WAITED_FOR else 0)
        changes = _slots(step.writes)
        touches = changes | _slots((*self.relation.drivers[driver], *(view.slot for view in step.reads)))
        bit = self._bits_of.setdefault((step.event, touches, changes), len(self._bits_of)) if self._leaves_out else 64
        left_out = 1 << bit if bit < _LEFT_OUT else 0
        row = self._step.append((what, first, self._reads.size, table, left_out, 0, touches, changes))
        self._clear.append(self._words(step.writes, [self.fields[slot][2] for slot in step.writes]))
        written = set(step.writes)
        firsts = [
            int(span[0]) + next((n for n, pair in enumerate(moved) if not written.isdisjoint(pair)), len(moved))
            for span, moved in zip(self._swaps, self._moved, strict=True)
        ]
        self._touched.append(firsts or [0])
        self._steps[step] = row, table, tuple(shifts)

    def _set_apart(self) -> None:
        """Say of each step which bits' steps it is apart from: neither writes what the other touches."""
        steps = self._step.array[: self._step.size]
        bits = np.array([footprint for _, *footprint in self._bits_of], np.uint64).reshape(-1, 2)[:_LEFT_OUT]
        meet = steps[:, 6, None] & bits[:, 1] | steps[:, 7, None] & bits[:, 0]
        steps[:, 5] = np.where(meet == 0, np.uint64(1) << np.arange(len(bits), dtype=np.uint64), 0).sum(axis=1)

    def _add_view(self, view: View) -> None:
        if not view.aspect:
            self._views[view] = NONE
            return
        self._views[view] = self._shown.extend(1 << self._bits[view.slot])
        self._views_of[view.slot].append(view)
        self._view_bits.setdefault(view, 2)
        for number in range(self._known[view.slot]):
            self._show(view, number)

    def _show(self, view: View, number: int) -> None:
        shown = self.relation.shown[view][number]
        if shown >> self._view_bits[view]:
            self._view_bits[view] += 1
            raise _NoRoomError
        self._shown.array[self._views[view] + number] = shown

    def _row(self, slots: Numbers, result: Result) -> int:
        row = self._rows.get((slots, result))
        if row is None:
            row = self._rows[slots, result] = self._results.append(self._words(slots, result.written))
            self._wrong.append(result.wrong)
        return row

    def _words(self, slots: Numbers, numbers: Sequence[int]) -> list[int]:
        words = [0] * self.words
        for slot, number in zip(slots, numbers, strict=True):
            word, shift, _ = self.fields[slot]
            words[word] |= number << shift
        return words

    def _enter(self, step: LocalStep, read: Numbers, entry: int) -> None:
        row, table, shifts = self._steps[step]
        key = sum(number << shift for number, shift in zip(read, shifts, strict=True))
        if table != NONE:
            self._entries.array[table + key] = entry
            return
        self._hashed[row, key] = entry
        if 2 * len(self._hashed) > self._hashed_steps.size:
            self._rehash(2 * self._hashed_steps.size)
        else:
            self._hash(row, key, entry)

    def _rehash(self, size: int) -> None:
        """Make the hash table anew, with ``size`` places."""
        self._hashed_keys = np.zeros(size, np.uint64)
        self._hashed_steps = np.full(size, NONE, np.uint64)
        self._hashed_entries = np.full(size, UNKNOWN, np.int32)
        for (step, key), entry in self._hashed.items():
            self._hash(step, key, entry)

    def _hash(self, step: int, key: int, entry: int) -> None:
        last = self._hashed_steps.size - 1
        place = _hashed_at(step, key) & last
        while int(self._hashed_steps[place]) != NONE:
            place = (place + 1) & last
        self._hashed_keys[place], self._hashed_steps[place], self._hashed_entries[place] = key, step, entry


def _slots(slots: Iterable[int]) -> int:
    """A bit for each slot; where there are more than 64, some share one."""
    return sum(1 << bit for bit in {slot % 64 for slot in slots})


def _fields(bits: Sequence[int]) -> tuple[list[tuple[int, int, int]], list[int]]:
    """A field (word, shift, mask) for so many bits each, and how many bits each word then has in use."""
    fields: list[tuple[int, int, int]] = []
    used = [0]
    for wanted in bits:
        word = next((number for number, taken in enumerate(used) if taken + wanted <= _WORD), len(used))
        if word == len(used):
            used.append(0)
        fields.append((word, used[word], (1 << wanted) - 1))
        used[word] += wanted
    return fields, used


def _hashed_at(step: int, key: int) -> int:
    """Where the search for a key begins; ``bench/search/kernel.py`` says the same."""
    return ((key * HASH_KEY + step * HASH_STEP) & (1 << 64) - 1) >> 32
