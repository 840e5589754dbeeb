"""A translator of blocks of a few units, for tests whose spaces have to be small."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from bench.translators.translator import Code, Path, Translator
from strategies.writes import Form, Phase, Unit, Write

Way = tuple[Literal["hit", "miss", "fault"], tuple[int, ...]]
"""A path of a block: its name and the numbers of the units that it fetches."""

OPCODE = 0x0A00_0000
TARGET = 0x0080_0000
QUARTER = 0x0040_0000
"""Added again and again it comes back to where it was after four times: the sums stay few."""


@dataclass(frozen=True)
class Branch:
    """A unit whose target is stored later: the known bits of its first store, its temporary target, and the forms."""

    opcode: int
    temporary: int
    begun: Form
    updated: Form
    after: int
    """The unit behind which the target is stored."""


class Tiny(Translator):
    """A block of a few units, some of them branches; ``paths`` are numbers of units."""

    name = "tiny"
    version = "2010"
    isa = "arm"
    shipped_form = Form.SKIP_BYTES

    def __init__(
        self,
        byteorder: Literal["little", "big"],
        size: int,
        branches: dict[int, Branch],
        rewritten: int,
        paths: tuple[Way, ...],
        shipped: Form,
    ) -> None:
        self.byteorder = byteorder
        self.size, self.branches, self.rewritten, self.paths, self.shipped = size, branches, rewritten, paths, shipped

    def __repr__(self) -> str:
        return (
            f"Tiny({self.byteorder!r}, {self.size}, {self.branches}, {self.rewritten}, {self.paths}, {self.shipped!r})"
        )

    def destination(self, word: int) -> int | None:
        return None

    def block(self, tb: int, accesses: Any = ("load",), **shape: Any) -> Code:
        units = [
            Unit(tb, 4 * n, 4, (OPCODE | TARGET) if n in self.branches else 0xE100_0000 + n, self.shipped)
            for n in range(self.size)
        ]
        writes = []
        for number, unit in enumerate(units):
            branch = self.branches.get(number)
            if branch is None:
                phase = (Phase.TLB_ACCESS, Phase.SLOW_PATH)[number > min(self.branches, default=1)]
                writes.append(Write(unit, phase, unit.mask, unit.final))
            else:
                known, temporary = branch.opcode, branch.temporary
                writes.append(Write(unit, Phase.BRANCH, known, unit.final & known, temporary, branch.begun))
            writes += [
                self._update(units[other], updated)
                for other, updated in sorted(self.branches.items())
                if updated.after == number
            ]
        paths = tuple(Path(name, tuple(4 * number for number in numbers)) for name, numbers in self.paths)
        return Code(tb, 4 * self.size, 4 * self.rewritten, tuple(writes), paths)

    @staticmethod
    def _update(unit: Unit, branch: Branch) -> Write:
        known = unit.mask & ~branch.opcode
        if branch.updated is Form.WHOLE:
            return Write(unit, Phase.BRANCH_UPDATE, unit.mask, unit.final)
        value = unit.final & known
        if branch.updated is Form.ADD_PATCH:
            value = (value - branch.temporary) & known
        return Write(unit, Phase.BRANCH_UPDATE, known, value, form=branch.updated)
