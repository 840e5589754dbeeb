"""Whether what is fetched wrong does harm: asked of the translator, for each value that a unit is fetched with."""

from __future__ import annotations

from functools import cache

from bench.machine import State
from bench.program.compiler import Compiler
from bench.risk.walk import ALWAYS, HARMLESS, ON_HIT, ON_MISS, Harms
from bench.translators.consequence import consequences
from bench.translators.translator import Translator

_HARM = {(False, False): HARMLESS, (True, False): ON_HIT, (False, True): ON_MISS, (True, True): ALWAYS}


def harms_of(compiler: Compiler, translator: Translator) -> Harms:
    """The harm of a wrong fetch of that program's units."""
    model, code = compiler.model, compiler.codes[0]

    @cache
    def harm(offset: int, value: int) -> int:
        found = {one.when: one.harm != "none" for one in consequences(translator, code, offset, value)}
        return _HARM[found.get("hit", False), found.get("miss", False)]

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
