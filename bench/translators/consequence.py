"""The consequences of executing a wrong word, derived from the emitted code.

Nothing here depends on the backend.  The control flow of the block is followed with the final word and with the wrong
one, for every outcome of its guest access; the text describes the difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bench.support.text import listed
from bench.translators.disassembly import disassembler
from bench.translators.flow import ControlFlow, outcomes
from bench.translators.instruction import Holds
from bench.translators.translator import Code, Translator

Harm = Literal["none", "illegal", "loop", "outside", "wrong address", "wrong value", "twice", "left out"]
"""The harm to the guest, in ascending order of how certainly the guest notices it."""

WHEN = {"hit": "on a TLB hit", "miss": "on a TLB miss", "skip": "where the guest's condition skips the access"}
"""The outcomes of the last access of a block, as text."""

_SEES: dict[Harm, str] = {
    "none": "nothing: no harm is done",
    "illegal": "the end of the emulator: the host traps on an illegal instruction (SIGILL)",
    "loop": "nothing any more: the virtual CPU hangs",
    "outside": "whatever the code that lies there does to its state",
    "wrong address": "a page fault at an address that it never used, or, if one is mapped there, {silent}",
    "wrong value": "a wrong value in a register",
    "twice": "its access made twice, which devices notice and memory does not",
    "left out": "an access that is never made",
}


@dataclass(frozen=True, slots=True)
class Consequence:
    """The consequence of one wrong word for one outcome of the access.

    ``when``: ``hit``, ``miss`` or ``skip``; ``what``: the control flow as text; ``sees``: the effect that the guest
    sees, as text; ``harm``: its class.  ``skipped``, ``run``: the offsets of instructions that are wrongly left out and
    wrongly executed.
    """

    when: str
    harm: Harm
    what: str
    sees: str
    skipped: tuple[int, ...]
    run: tuple[int, ...]

    @property
    def text(self) -> str:
        """The consequence in one sentence or two."""
        when = WHEN[self.when]
        if self.harm == "none":
            return f"{when[0].upper()}{when[1:]} {self.what}: no harm is done."
        return f"{when[0].upper()}{when[1:]} {self.what}. The guest sees {self.sees}."


def consequences(translator: Translator, code: Code, offset: int, value: int) -> tuple[Consequence, ...]:
    """The consequences of fetching ``value`` instead of the instruction at ``offset``; empty if it is never fetched.

    Raises ``InputError`` if there is no disassembler for the translator's instruction set.
    """
    return tuple(_Followed(translator, code, offset, value).found())


class _Followed:
    def __init__(self, translator: Translator, code: Code, offset: int, value: int) -> None:
        self.translator = translator
        self.offset, self.value, self.guest_bits = offset, value, code.guest_bits
        self.follower = translator.follower(code)
        self.units = {unit.offset: unit for unit in code.whole}
        self.placed = {item.offset: item for item in code.placed}
        self.accesses = 1 + max(item.access for item in code.placed)
        self.disassemble = disassembler(translator, code)
        parts = [part for item in code.placed for part in item.instruction.parts]
        self.guarded = any(part.taken == "skip" for part in parts)
        self.stores = not any(meaning == Holds.VALUE for part in parts for _, meaning in part.sets)

    def found(self) -> Iterator[Consequence]:
        seen = set()
        for name, facts, faults in outcomes(self.guest_bits, self.translator.host_bits, guarded=self.guarded):
            if faults:
                continue
            every = [facts] * self.accesses
            right = self.follower.follow(every)
            if self.offset not in right.offsets:
                continue
            wrong = self.follower.follow(every, wrong={self.offset: self.value})
            consequence = self._consequence(name, right, wrong)
            if consequence not in seen:
                seen.add(consequence)
                yield consequence

    def _consequence(self, name: str, right: ControlFlow, wrong: ControlFlow) -> Consequence:
        skipped = tuple(at for at in dict.fromkeys(right.offsets) if at not in wrong.offsets)
        run = tuple(at for at in dict.fromkeys(wrong.offsets) if at not in right.offsets)
        harm = self._harm(right, wrong)
        sees = _SEES[harm].format(silent="a store to it" if self.stores else "the value that lies there")
        return Consequence(name, harm, self._what(harm, right, wrong, skipped, run), sees, skipped, run)

    def _harm(self, right: ControlFlow, wrong: ControlFlow) -> Harm:
        if wrong.ends == "illegal":
            return "illegal"
        if wrong.ends == "loop":
            return "loop"
        if wrong.ends == "outside":
            return "outside"
        if any(not call.right for call in wrong.calls if call not in right.calls):
            return "wrong address"
        made, due = wrong.accessed + len(wrong.calls), right.accessed + len(right.calls)
        if made < due:
            return "left out"
        if not self.stores and dict(wrong.registers) != dict(right.registers) and self._data_differs(right, wrong):
            return "wrong value"
        return "twice" if made > due else "none"

    @staticmethod
    def _data_differs(right: ControlFlow, wrong: ControlFlow) -> bool:
        held = dict(wrong.registers)
        return any(held.get(name) != what for name, what in right.registers if what == Holds.VALUE)

    def _what(
        self, harm: Harm, right: ControlFlow, wrong: ControlFlow, skipped: tuple[int, ...], run: tuple[int, ...]
    ) -> str:
        word = self._text(self.offset, self.value)
        if harm == "illegal":
            return f"the core meets {word}, which is no instruction"
        if wrong.offsets == right.offsets and wrong.ends == right.ends:
            return f"{word} is not taken, and the code goes on as it should"
        if harm == "loop" and wrong.at == self.offset:
            return f"{word} leads to itself, a loop without end"
        if harm == "loop":
            return f"{word} leads back to TB+{wrong.at}, a loop without end"
        if harm == "outside":
            distance = wrong.at - self.offset
            side = "behind" if distance > 0 else "before"
            return f"{word} leads out of the block, to {abs(distance)} bytes {side} it{self._told(wrong)}"
        text = f"{word} {self._passed(wrong)}"
        if skipped:
            text += f", so that {self._listed(skipped)} {'are' if len(skipped) > 1 else 'is'} left out"
        if run:
            text += f"{' and' if skipped else ', so that'} {self._listed(run)} run{'' if len(run) > 1 else 's'}"
        for call in (call for call in wrong.calls if call not in right.calls):
            for (register, needed), held in zip(call.needs, call.holds, strict=True):
                if held != needed:
                    text += f"; the helper gets {register} = {held} in place of {needed}"
        if harm == "wrong value":
            registers = dict(wrong.registers)
            for name, meaning in right.registers:
                if meaning == Holds.VALUE and registers.get(name) != meaning:
                    text += f"; {name} holds {registers.get(name, Holds.UNKNOWN)}"
        return text

    def _told(self, wrong: ControlFlow) -> str:
        """The value that the next helper call gets instead of the guest address, as text."""
        registers = dict(wrong.registers)
        calls = (part for item in self.placed.values() for part in item.instruction.parts if part.does == "call")
        needs = next((part.needs for part in calls), ())
        name = next((register for register, what in needs if what == Holds.ADDRESS), None)
        held = registers.get(name, Holds.UNKNOWN) if name is not None else Holds.ADDRESS
        if held in (Holds.ADDRESS, Holds.UNKNOWN):
            return ""
        return f"; {name}, in which a helper takes the guest address, holds {held}"

    def _passed(self, wrong: ControlFlow) -> str:
        """The target of the wrong word relative to the following instructions, as text."""
        following = self.offset + self.units[self.offset].size
        index = wrong.offsets.index(self.offset) + 1
        if self.placed[self.offset].instruction.delay_slot:
            following += self.units[following].size
            index += 1
        after = wrong.offsets[index]
        if after == following:
            return "is not taken"
        if after < following:
            return f"is taken back to TB+{after}"
        return f"is taken past {self._listed(tuple(at for at in sorted(self.units) if following <= at < after))}"

    def _text(self, offset: int, value: int) -> str:
        return f"`{self.disassemble(self.units[offset], value)}`"

    def _listed(self, offsets: tuple[int, ...]) -> str:
        texts = [self._text(at, self.units[at].final) for at in offsets]
        if len(texts) > 4:
            return f"{len(texts)} instructions, {texts[0]} to {texts[-1]}"
        return listed(texts)
