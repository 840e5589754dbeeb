"""The rows of line pairs and of units along an execution (``exposure.py``), and those of them that matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from bench.risk.harm import F64
from bench.traces.trace import I32, I64

Bools: TypeAlias = npt.NDArray[np.bool_]
Stayed: TypeAlias = F64 | Bools | npt.NDArray[np.unsignedinteger[Any]]
"""The probabilities that lines stayed; unsigned: how many lines came, of each of which the line stays with another."""

_FORGOTTEN = 46.0
"""Minus the logarithm of a probability that is nothing beside a double: e^-46 = 1e-20."""


class UnitRows(NamedTuple):
    """The rows of all units, one unit after the other, each in time order.

    ``firsts``: where the rows of each unit begin, and their end.  ``run``: whether the row is an execution of the
    unit's own TB; ``rewritten``: the retranslation that changes the unit, -1 for an access.  ``gap``: cycles since the
    row before, or since the start.  ``code``, ``data``: the probabilities that the instruction line, and the data line,
    stayed since then, but for what the trace does not record.
    """

    firsts: I64
    run: Bools
    rewritten: I32
    gap: F64
    code: F64
    data: F64

    @classmethod
    def joined(cls, parts: Sequence[UnitRows]) -> UnitRows:
        """The units of several, one behind the other."""
        _, *columns = map(np.concatenate, zip(*parts, strict=True))
        lengths = np.concatenate([np.diff(part.firsts) for part in parts])
        return cls._make((firsts_of(lengths), *columns))

    def units(self, first: int, last: int) -> UnitRows:
        """Units ``first`` to ``last`` (exclusive)."""
        firsts = self.firsts[first : last + 1]
        return UnitRows._make((firsts - firsts[0], *(column[firsts[0] : firsts[-1]] for column in self[1:])))

    @property
    def made(self) -> UnitRows:
        """These rows."""
        return self

    @property
    def episodes(self) -> UnitRows:
        """The rows around retranslations; what is a unit here is several there.

        Once both its lines have left the caches a unit is as at the start.  So rows count that begin where this has
        happened almost surely before a retranslation, and end where it has happened almost surely after one.
        """
        with np.errstate(divide="ignore"):
            left = np.minimum(-np.log1p(-(1 - self.code) * (1 - self.data)), 2 * _FORGOTTEN)
        # Of each unit so far, as if units followed each other with more than enough between them.
        unit = np.repeat(np.arange(self.firsts.size - 1), np.diff(self.firsts))
        so_far = np.cumsum(left) + 3 * _FORGOTTEN * unit
        changes = np.flatnonzero(self.rewritten >= 0)
        first = np.searchsorted(so_far, so_far[changes] - _FORGOTTEN, "left")
        last = np.searchsorted(so_far, so_far[changes] + _FORGOTTEN, "right")
        # The first row of a unit may have less before it.
        first, last = np.maximum(first, self.firsts[unit[changes]]), np.minimum(last, self.firsts[unit[changes] + 1])
        depth = np.zeros(unit.size + 1, np.int64)
        np.add.at(depth, first, 1)
        np.add.at(depth, last, -1)
        inside = np.cumsum(depth[:-1]) > 0
        begins = inside & (np.diff(inside, prepend=False) | (np.diff(unit, prepend=-1) > 0))
        firsts = np.append(np.flatnonzero(begins[inside]), np.count_nonzero(inside))
        return UnitRows._make((firsts, *(column[inside] for column in self[1:])))


def firsts_of(lengths: I64) -> I64:
    """Where each of several begins that follow each other, and the end of the last."""
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)))


@dataclass(frozen=True)
class PairRows:
    """The rows of line pairs, one pair after the other, from which those of units are ``made``: they are far larger.

    Of each unit: its ``tb``, its ``access`` and its ``pair``.  ``begins``: where the rows of each pair begin, and their
    end; ``who``, ``moment``, ``code``, ``data`` of each row as in ``_Stays``.  ``kept``: the bases of the powers in
    ``code`` and ``data``; ``time`` in cycles of each moment.  ``faults``: TB and accesses of each retranslation.
    """

    tb: I64
    access: I64
    pair: I64
    begins: I64
    who: I32
    moment: I32
    code: Stayed
    data: Stayed
    kept: tuple[float, float]
    time: F64
    faults: tuple[I64, I64]

    @property
    def firsts(self) -> I64:
        """As in ``UnitRows``."""
        return firsts_of(np.diff(self.begins)[self.pair])

    def units(self, first: int, last: int) -> PairRows:
        """Units ``first`` to ``last`` (exclusive)."""
        return replace(self, tb=self.tb[first:last], access=self.access[first:last], pair=self.pair[first:last])

    @property
    def made(self) -> UnitRows:
        """The rows of units."""
        firsts = self.firsts
        lengths = np.diff(firsts)
        at = np.arange(firsts[-1]) + np.repeat(self.begins[self.pair] - firsts[:-1], lengths)
        who = self.who[at]
        run = who == np.repeat(self.tb, lengths)
        rewritten = np.full(who.size, -1, np.int32)
        changes = np.flatnonzero(who < 0)
        fault, unit = -1 - who[changes], np.searchsorted(firsts, changes, "right") - 1
        tb, accesses = self.faults
        own = (tb[fault] == self.tb[unit]) & (self.access[unit] < accesses[fault])
        rewritten[changes[own]] = fault[own]
        when = self.time[self.moment[at]]
        begins = firsts[:-1][lengths > 0]
        gap = np.diff(when, prepend=0.0)
        gap[begins] = when[begins]
        code, data = (
            np.power(base, column[at]) if column.dtype.kind == "u" else column[at].astype(np.float64)
            for base, column in zip(self.kept, (self.code, self.data), strict=True)
        )
        return UnitRows(firsts, run, rewritten, gap, code, data)
