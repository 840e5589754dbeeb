"""What a swap of blocks, or of cores, makes of everything that has a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.machine.caches import Pending
from bench.machine.memory import Stored
from bench.machine.slots import Slot


@dataclass(frozen=True, slots=True)
class Swap:
    """What becomes of everything that has a number, each as a list by the number: a swap is its own inverse."""

    tbs: tuple[int, ...]
    cores: tuple[int, ...]
    threads: tuple[int, ...]
    cells: tuple[int, ...]
    dlines: tuple[int, ...]
    ilines: tuple[int, ...]

    def data_lines(self, lines: tuple[int, ...]) -> tuple[int, ...]:
        """Data lines, in order."""
        return tuple(sorted(self.dlines[line] for line in lines))

    def instruction_lines(self, lines: tuple[int, ...]) -> tuple[int, ...]:
        """Instruction lines of a core, in order."""
        return tuple(sorted(self.ilines[line] for line in lines))

    def stored(self, stored: Stored) -> Stored:
        """A store to the other cells and lines."""
        puts = tuple(put._replace(cell=self.cells[put.cell]) for put in stored.puts)
        return Stored(puts, self.data_lines(stored.dlines), tuple(map(self.instruction_lines, stored.ilines)))

    def slot(self, slot: Slot) -> Slot:
        """Where a slot's value goes."""
        what, at, line = slot
        match what:
            case "place":
                return Slot(what, self.threads[at])
            case "line":
                return Slot(what, self.dlines[at])
            case "icache":
                return Slot(what, self.cores[at], self.ilines[line])
            case "running" | "ahead" | "buffer" | "pending":
                return Slot(what, self.cores[at])
            case "block":
                return Slot(what, self.tbs[at])
        return slot

    def changes(self, what: str) -> bool:
        """Whether it can change a value of such a slot beside moving it."""
        cores = self.cores != tuple(range(len(self.cores)))
        of_cores = ("running", "line", "buffer", "pending", "lock", "deferred")
        return what in (of_cores if cores else ("place", "ahead", "buffer", "pending"))

    def value(self, what: str, value: Any) -> Any:
        """What a slot's value becomes, but for a place."""
        match what:
            case "running":
                return self.threads[value] if value >= 0 else value
            case "line":
                owner, copies, *held = value
                return (self.cores[owner] if owner >= 0 else owner, _renamed_bits(self.cores, copies), *held)
            case "ahead" if value is not None:
                return (self.tbs[value[0]], *value[1:])
            case "buffer":
                return tuple(self.stored(stored) for stored in value)
            case "pending":
                return frozenset(
                    Pending(target, self.dlines[line], waits)
                    if target < 0
                    else Pending(self.cores[target], self.ilines[line], waits)
                    for target, line, waits in value
                )
            case "lock":
                alone, sharers = value
                return (self.threads[alone] if alone >= 0 else alone, _renamed_bits(self.threads, sharers))
            case "deferred":
                return _renamed_bits(self.cores, value)
        return value


def _renamed_bits(to: tuple[int, ...], bits: int) -> int:
    """A set of numbers as bits, moved."""
    return sum(1 << to[number] for number in range(len(to)) if bits >> number & 1)
