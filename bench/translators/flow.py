"""Abstract interpretation of a block: the instructions fetched, in order, and the arguments of helpers.

The outcome of every branch is given (``Fact``), so that the control flow is determined.  An instruction may have
another value than its final one, as on a core that fetches a stale or partial word.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from msgspec.structs import replace

from bench.translators.instruction import Fact, Holds, Instruction, Placed

Ending = Literal["exit", "fault", "loop", "illegal", "outside"]

Destination = Callable[[int], int | None]
"""Maps the word of a branch to its target, in bytes from its own address; None for another instruction."""


@dataclass(frozen=True, slots=True)
class Call:
    """A helper call at ``offset``: the required contents of registers, and the actual ones."""

    offset: int
    needs: tuple[tuple[str, str], ...]
    holds: tuple[str, ...]

    @property
    def right(self) -> bool:
        """Whether the arguments are correct."""
        return self.holds == tuple(meaning for _, meaning in self.needs)


@dataclass(frozen=True, slots=True)
class ControlFlow:
    """The control flow of one execution of a block.

    ``offsets``: of the fetched instructions, in order.  ``ends``: ``exit`` of the block; ``fault``, in a helper that
    does not return (a guest fault); ``loop``, an endless one; ``illegal``, a word that encodes no instruction;
    ``outside`` the block.  ``at``: the offset where control is then.  ``accessed``: the number of guest accesses on the
    fast path; ``calls``: helper calls; ``registers``: their contents at the end.
    """

    offsets: tuple[int, ...]
    ends: Ending
    at: int
    accessed: int
    calls: tuple[Call, ...]
    registers: tuple[tuple[str, str], ...]


class Follower:
    """Follows the control flow of one block.

    ``placed``: its complete instructions; ``registers``: their contents at its start.
    """

    def __init__(self, placed: Sequence[Placed], registers: Mapping[str, str], destination: Destination) -> None:
        self._placed = {item.offset: item for item in placed}
        self._registers = dict(registers)
        self._destination = destination
        self._last = max((item.access for item in placed), default=0)

    def follow(
        self, facts: Sequence[frozenset[Fact]], *, faults: bool = False, wrong: Mapping[int, int] | None = None
    ) -> ControlFlow:
        """Follow the block; ``facts[n]`` holds for guest access n.

        ``wrong``: words that are fetched instead of the final ones, by offset.  ``faults``: the helper of the last
        access does not return.
        """
        wrong = wrong or {}
        registers = dict(self._registers)
        offsets: list[int] = []
        calls: list[Call] = []
        accessed = 0
        seen: set[tuple[int, int | None, int | None, tuple[tuple[str, str], ...]]] = set()
        at = 0
        link: int | None = None  # the return address of the last branch with link
        slot: tuple[Placed, int | None] | None = None  # the branch before this delay slot, and its target
        ends: Ending
        while True:
            place = at, link, slot[1] if slot is not None else None, tuple(registers.items())
            if place in seen:
                ends = "loop"
                break
            seen.add(place)
            item = self._placed.get(at)
            if item is None:
                ends = "outside"
                break
            offsets.append(at)
            what, true = item.instruction, facts[item.access]
            branches = any(part.taken is not None for part in what.parts)
            leads = self._destination(wrong.get(at, what.word)) if branches else None
            nullified = slot is not None and slot[0].instruction.nullifies
            if wrong.get(at, what.word) != what.word and leads is None and not nullified:
                ends = "illegal"
                break
            after: int | None = at + what.size
            turned: tuple[Placed, int | None] | None = None
            for part in () if nullified else what.parts:
                if not _holds(part.only, true):
                    continue
                if part.taken is not None and _holds(part.taken, true):
                    assert leads is not None
                    turned = replace(item, instruction=part), at + leads
                    if part.links is not None:
                        link = at + what.size
                        registers[part.links] = Holds.RETURN_ADDRESS
                elif part.does in ("call", "exit"):
                    turned = replace(item, instruction=part), None
                if turned is not None:  # the later slots are not executed
                    break
                accessed += part.does == "access"
                _set(registers, part)
            if turned is not None and turned[0].instruction.delay_slot:
                if slot is not None:
                    ends = "illegal"
                    break
                slot, at = turned, at + what.size
                continue
            done = slot if slot is not None else turned
            slot = None
            if done is not None:
                origin, target = done
                if origin.instruction.does == "exit":
                    ends = "exit"
                    break
                if origin.instruction.does == "call":
                    call = _call(origin, registers)
                    calls.append(call)
                    if faults and origin.access == self._last:
                        ends = "fault"
                        break
                    _set(registers, origin.instruction, right=call.right)
                    after = target if target is not None else at + what.size + origin.instruction.over
                    if origin.instruction.tail:
                        after = link
                else:
                    after = target
            if after is None:  # a return without a link address
                ends = "outside"
                break
            at = after
        return ControlFlow(tuple(offsets), ends, at, accessed, tuple(calls), tuple(sorted(registers.items())))


def outcomes(guest_bits: int, host_bits: int, *, guarded: bool) -> Iterator[tuple[str, frozenset[Fact], bool]]:
    """The outcomes of the last access of a block: name, facts, and whether its helper faults.

    ``skip``: the guest's condition skips it; ``hit``; ``miss``; ``fault``: a miss whose helper does not return.  A
    64-bit guest address on a 32-bit host misses in one half or the other.
    """
    misses: list[frozenset[Fact]] = [frozenset({"miss"})]
    if guest_bits > host_bits:
        misses = [frozenset({"miss", "low differs"}), frozenset({"miss", "high differs"})]
    yield "hit", frozenset({"hit"}), False
    for name, miss in itertools.product(("miss", "fault"), misses):
        yield name, miss, name == "fault"
    if guarded:
        yield "skip", frozenset({"skip"}), False


def _holds(fact: Fact, true: frozenset[Fact]) -> bool:
    return fact == "always" or fact in true


def _call(placed: Placed, registers: Mapping[str, str]) -> Call:
    needs = placed.instruction.needs
    return Call(placed.offset, needs, tuple(registers.get(register, Holds.UNKNOWN) for register, _ in needs))


def _set(registers: dict[str, str], instruction: Instruction, *, right: bool = True) -> None:
    for register, meaning in instruction.sets:
        if meaning in registers:
            meaning = registers[meaning]
        elif meaning not in {*Holds}:
            meaning = Holds.UNKNOWN
        registers[register] = meaning if right else Holds.OTHER_VALUE
