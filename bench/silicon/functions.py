"""Units as functions: each returns the number of its value, and a store replaces the operand of its instruction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bench.protocols.lowering import TORN_TEXT
from bench.protocols.operations import ProtocolOperation
from bench.protocols.protocol import Address, Protocol, Thread
from bench.silicon.instructions import InstructionSet
from bench.silicon.native import Memory
from bench.silicon.threads import BATCH, LINE, Instances
from bench.support.errors import InputError

_SLOT = 16
"""Bytes of a unit: its operand is aligned."""

_DECODED = """
define i64 @decoded(i32 %word) {{
  %wide = zext i32 %word to i64
  %low = lshr i64 %wide, {shift}
  %number = and i64 %low, {mask}
  ret i64 %number
}}
"""


@dataclass(frozen=True, slots=True)
class Placement:
    """How what is patched lies: ``aligned`` to its size, ``unaligned``, or ``split`` over two lines."""

    name: str

    def offset(self, size: int, middle: int | None = None) -> int:
        """Where in a line something of so many bytes lies, that is split in its middle if nothing else is said."""
        if self.name == "split":
            return LINE - (size // 2 if middle is None else middle)
        return size + (self.name == "unaligned")


ALIGNED, UNALIGNED, SPLIT = map(Placement, ("aligned", "unaligned", "split"))
PLACEMENTS = {one.name: one for one in (ALIGNED, UNALIGNED, SPLIT)}
"""Every placement by name; what a fixed-width instruction set has is always aligned."""


def refuse_placement(placement: Placement | None, instructions: InstructionSet) -> None:
    """Raise ``InputError`` for what the instruction set has not."""
    if placement not in (None, ALIGNED) and not instructions.operand:
        assert placement is not None
        raise InputError(placement.name, place="`place`", expected=f"aligned: {instructions.name} has no other")


class Functions(Instances):
    """``at``: the offset of the first byte of each unit.  ``values``: the number of each value."""

    def __init__(self, protocol: Protocol, instructions: InstructionSet, placement: Placement = ALIGNED) -> None:
        refuse_placement(placement, instructions)
        stored = (value for thread in protocol.threads for each in thread.operations for value in each.values)
        names = dict.fromkeys((*protocol.initial.values(), *stored))
        self.values = {name: instructions.number_of(100 + number) for number, name in enumerate(names)}
        self.at = _placed(protocol, instructions, placement)
        self.addresses = {name: at + instructions.operand for name, at in self.at.items()}
        self.stride = LINE * (2 + max(self.at.values()) // LINE) if self.at else LINE
        self.asked = protocol
        # What the file says of values as instructions is about others than those that are executed here.
        addresses = {name: Address(at, at) for name, at in self.addresses.items()}
        self.placed = replace(protocol, addresses=addresses, instructions={})
        super().__init__(protocol, instructions)

    def reset(self, code: Memory) -> None:
        """Make all instances anew."""
        code.bytes[:] = self._start

    @cached_property
    def _start(self) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
        code = np.zeros(self.stride, np.uint8)
        for name, at in self.at.items():
            function = self.instructions.number(self.values[self.protocol.initial[name]])
            code[at : at + len(function)] = np.frombuffer(function, np.uint8)
        return np.tile(code, BATCH)

    @cached_property
    def _meanings(self) -> dict[int, str]:
        return {number: name for name, number in self.values.items()}

    def value_of(self, number: int) -> str:
        """A value, or that it is made of several."""
        return self._meanings.get(number, TORN_TEXT)

    def place_of(self, offset: int) -> str:
        """The unit that an offset from the first instance's code is in, or what else there is."""
        inside = offset % self.stride
        before = [name for name, at in self.at.items() if at <= inside < at + _SLOT]
        return before[0] if before and offset >= 0 else "another place"

    def refused(self, operation: ProtocolOperation) -> tuple[str, str] | None:
        """What is about two units at once."""
        if len(operation.names) < 2:
            return None
        if operation.verb == "store":
            return operation.text, "stores to one unit: units are functions apart, which no store covers"
        return operation.text, "one unit: a pair that is decoded together is no function"

    def touches(self, thread: Thread) -> str:
        """Calls each unit."""
        executed = [each.names[0] for each in thread.operations if each.verb == "execute"]
        return "\n".join(
            f"  %touch{n} = getelementptr i8, ptr %code, i64 {self.at[name]}\n  %got{n} = call i32 %touch{n}()"
            for n, name in enumerate(dict.fromkeys(executed))
        )

    def observes(self, at: int, operation: ProtocolOperation) -> Iterator[str]:
        """Calls the unit, or loads its operand."""
        if operation.verb == "execute":
            yield f"  %unit{at} = getelementptr i8, ptr %code, i64 {self.at[operation.names[0]]}"
            yield f"  %raw{at} = call i32 %unit{at}()"
            yield f"  %seen{at} = zext i32 %raw{at} to i64"
        else:
            yield f"  %raw{at} = load volatile i32, ptr %operand{at}, align 1"
            yield f"  %seen{at} = call i64 @decoded(i32 %raw{at})"

    def stores(self, at: int, operation: ProtocolOperation) -> Iterator[str]:
        """Replaces the operand."""
        value = self.instructions.operand_of(self.values[operation.values[0]])
        yield f"  store volatile i32 {value}, ptr %operand{at}, align 1"

    def skips(self, at: int, operation: ProtocolOperation, following: str) -> Iterator[str]:
        """A switch by the number of the value."""
        cases = " ".join(
            f"i64 {self.values[value]}, label %o{at + 1 + skip}"
            for value, skip in operation.skips
            if value in self.values
        )
        yield f"  switch i64 %seen{at}, label %{following} [ {cases} ]"

    def declares(self, descriptor: int) -> str:
        """How an operand is read."""
        return _DECODED.format(shift=self.instructions.shift, mask=self.instructions.mask)


def _placed(protocol: Protocol, instructions: InstructionSet, placement: Placement) -> dict[str, int]:
    lines: dict[int, list[str]] = {}
    for name, address in protocol.addresses.items():
        if address.virtual != address.physical:
            raise InputError(f"{name} is a second mapping", expected="units of one mapping each, to execute them")
        lines.setdefault(address.physical // protocol.host.data_line, []).append(name)
    most = 1 if placement is SPLIT else LINE // _SLOT - (placement is UNALIGNED)
    placed = {}
    for number, (_, names) in enumerate(sorted(lines.items())):
        if len(names) > most:
            found = f"{', '.join(names)} in one line"
            raise InputError(found, expected=f"at most {most} units in a line, to execute them {placement.name}")
        for slot, name in enumerate(sorted(names, key=lambda name: protocol.addresses[name].physical)):
            operand = 2 * number * LINE + slot * _SLOT + placement.offset(instructions.patched)
            placed[name] = operand - instructions.operand
    return placed
