"""When a wrong fetch does harm: as the translator says for each value with which a unit is fetched."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bench.machine import State
from bench.program.compiler import Compiler
from bench.translators.consequence import consequences
from bench.translators.translator import Translator

HARMLESS, ON_HIT, ON_MISS, ALWAYS = range(4)
"""A *harm*: never, if the access hits the guest's TLB, if it misses, or either way."""
Harms: TypeAlias = Callable[[State, tuple[int, int]], int]
"""The harm of the unit (block, position) that was fetched wrong, in the state after the fetch."""

F64: TypeAlias = npt.NDArray[np.float64]

FETCHED: F64 = np.ones(ALWAYS + 1)
"""The probability of each harm where every wrong fetch counts."""


def harmful(hit: float) -> F64:
    """The probability of each harm where an access hits the guest's TLB with probability ``hit``."""
    return np.array([0.0, hit, 1 - hit, 1.0])


def always(_: State, __: tuple[int, int]) -> int:
    """Every wrong fetch does harm."""
    return ALWAYS


def harms_of(compiler: Compiler, translator: Translator) -> Harms:
    """The harm of a wrong fetch of this program's units."""
    model, code = compiler.model, compiler.codes[0]

    @cache
    def harm(offset: int, value: int) -> int:
        found = {one.when: one.harm != "none" for one in consequences(translator, code, offset, value)}
        return ON_HIT * found.get("hit", False) | ON_MISS * found.get("miss", False)

    def of(state: State, at: tuple[int, int]) -> int:
        tb, position = at
        worst = HARMLESS
        unit = model.unit_at[tb][position]
        for core, lines in enumerate(state.memory.icache):
            value = 0
            for cell in model.units[tb][position]:
                line = model.cells.iline_of[core][cell]
                held = lines[line]
                value |= model.final[cell] if held is None else held[model.cells.iline_cells[core][line].index(cell)]
            if value != unit.final:
                worst |= harm(unit.offset, value)
        return worst

    return of
