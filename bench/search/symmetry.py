"""Which blocks, and which cores, can change places without anybody noticing.

The blocks of a scenario are alike, and so are the threads of one role with their cores, or the cores that a thread may
move to.  A swap of two of them turns every run into a run, and a counterexample into one of the same length.  So one
state will do for all that swaps make of it (``bench/search/explore.py``), and the search stays breadth first.

Nothing is taken for granted: a swap is one only if cells, lines and final values correspond, and if every step of every
place that is met has its counterpart.  Where that fails ``AsymmetryError`` says so, and the search goes without.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench.machine.footprint import CompiledAction, Cut
from bench.machine.model import Action, Automaton, Model, Place, Step
from bench.machine.renaming import Swap


class AsymmetryError(Exception):
    """What looked like a symmetry is none."""


Origin = tuple[int, int, int]
"""How a place is reached: from which place, by which of its steps, with which result."""


@dataclass
class Symmetry:
    """The swaps of a model; ``order``: how many permutations they make."""

    model: Model
    swaps: tuple[Swap, ...]
    order: int
    _origins: dict[tuple[int, int], Origin] = field(default_factory=dict)
    _images: dict[tuple[int, int, int], int] = field(default_factory=dict)

    def reached(self, program: Automaton, place: int, origin: Origin) -> None:
        """Take note of how a place is reached, before its image is asked for."""
        self._origins.setdefault((id(program), place), origin)

    def image(self, number: int, cut: Cut, slot: int, value: Any) -> tuple[int, Any]:
        """Slot and value that swap ``number`` makes of these.  Raises ``AsymmetryError``."""
        swap = self.swaps[number]
        at = cut.slots[slot]
        there = cut.number(swap.slot(at))
        if at.what == "place":
            return there, self._place(number, self.model.programs[at.at], value)
        return there, swap.value(at.what, value)

    def _place(self, number: int, program: Automaton, place: int) -> int:
        known = self._images.get((number, id(program), place))
        if known is not None:
            return known
        origin = self._origins.get((id(program), place))
        if origin is None:
            image = place  # where a thread begins
        else:
            before, step, result = origin
            source = self._place(number, program, before)
            counterparts = self._counterparts(number, program.place(before), program.place(source))
            image = program.place(source).steps[counterparts[step]].after(result)
            self.reached(program, image, (source, counterparts[step], result))
        self._counterparts(number, program.place(place), program.place(image))
        self._images[number, id(program), place] = image
        self._images[number, id(program), image] = place
        return image

    def _counterparts(self, number: int, place: Place, image: Place) -> list[int]:
        """For each step of a place, which one of its image it corresponds to."""
        swap = self.swaps[number]
        inside = (swap.tbs[place.inside[0]], place.inside[1]) if place.inside is not None else None
        there = {_sense(step): at for at, step in enumerate(image.steps)}
        alike = (inside, place.occupies, place.rewriting, place.finished, len(place.steps)) == (
            image.inside,
            image.occupies,
            image.rewriting,
            image.finished,
            len(there),
        )
        senses = [
            (
                _renamed(step.action, swap),
                None if (tb := step.needs_block) is None else swap.tbs[tb],
                step.label.detail,
                swap.tbs[step.label.tb],
            )
            for step in place.steps
        ]
        if not alike or any(sense not in there for sense in senses):
            raise AsymmetryError
        return [there[sense] for sense in senses]


def _renamed(action: Action, swap: Swap) -> Action:
    if not isinstance(action, CompiledAction):
        raise AsymmetryError
    return action.renamed(swap)


def _sense(step: Step) -> tuple[Action, int | None, str, int]:
    """What tells the steps of a place apart."""
    return step.action, step.needs_block, step.label.detail, step.label.tb


def symmetry(model: Model, *, blocks: bool = True) -> Symmetry:
    """The swaps of the ``blocks``, and of the cores with their threads, that correspond in all that a model says."""
    found: list[Swap] = []
    order = 1
    for count, swap in ((len(model.units) if blocks else 0, _blocks), (model.scenario.cores, _cores)):
        for group in _groups(model, count, swap):
            order *= math.factorial(len(group))
            pairs = ((one, other) for at, other in enumerate(group) for one in group[:at])
            found += (made for one, other in pairs if (made := swap(model, one, other)) is not None)
    return Symmetry(model, tuple(found), order)


def _groups(model: Model, count: int, swap: Callable[[Model, int, int], Swap | None]) -> list[list[int]]:
    """The numbers below ``count``, those together that can be swapped."""
    groups: list[list[int]] = []
    for number in range(count):
        for group in groups:
            if swap(model, group[0], number) is not None:
                group.append(number)
                break
        else:
            groups.append([number])
    return groups


def _blocks(model: Model, one: int, other: int) -> Swap | None:
    """The swap of two blocks, if their units lie in lines alike and get the same values."""
    tbs = _swapped(len(model.units), one, other)
    cells = list(range(len(model.final)))
    for tb, image in enumerate(tbs):
        offsets = [[unit.offset for unit in model.unit_at[at]] for at in (tb, image)]
        lengths = [[len(unit) for unit in model.units[at]] for at in (tb, image)]
        if offsets[0] != offsets[1] or lengths[0] != lengths[1]:
            return None
        for unit, counterpart in zip(model.units[tb], model.units[image], strict=True):
            for cell, moved in zip(unit, counterpart, strict=True):
                cells[cell] = moved
    if any(model.final[cell] != model.final[moved] for cell, moved in enumerate(cells)):
        return None
    dlines = _lines(model.cells.dline_of, model.cells.dline_cells, cells)
    ilines = {_lines(of, held, cells) for of, held in zip(model.cells.iline_of, model.cells.iline_cells, strict=True)}
    if dlines is None or None in ilines or len(ilines) > 1:
        return None
    return Swap(
        tbs,
        tuple(range(model.scenario.cores)),
        tuple(range(len(model.programs))),
        tuple(cells),
        dlines,
        next(line for line in ilines if line is not None),
    )


def _cores(model: Model, one: int, other: int) -> Swap | None:
    """The swap of two cores and of the threads that are bound to them, if these do the same."""
    moves = model.scenario.moves
    alike = len({(of, held) for of, held in zip(model.cells.iline_of, model.cells.iline_cells, strict=True)}) == 1
    bound = max(one, other) < len(model.programs) and model.programs[one] is model.programs[other]
    if not alike or model.switches or not (moves or bound):
        return None
    threads = tuple(range(len(model.programs)))
    cores = _swapped(model.scenario.cores, one, other)
    return Swap(
        tuple(range(len(model.units))),
        cores,
        threads if moves else cores,
        tuple(range(len(model.final))),
        tuple(range(len(model.cells.dline_cells))),
        tuple(range(len(model.cells.iline_cells[0]))),
    )


def _lines(line_of: tuple[int, ...], held: tuple[tuple[int, ...], ...], cells: list[int]) -> tuple[int, ...] | None:
    """What becomes of the lines if cells do so, or None if they do not keep together and in order."""
    lines = []
    for line in held:
        moved = tuple(cells[cell] for cell in line)
        image = line_of[moved[0]]
        if held[image] != moved:
            return None
        lines.append(image)
    return tuple(lines)


def _swapped(count: int, one: int, other: int) -> tuple[int, ...]:
    """The numbers below ``count`` with two of them exchanged."""
    return tuple({one: other, other: one}.get(number, number) for number in range(count))
