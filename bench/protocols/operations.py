"""The operations of a protocol: one on each line, a word and what it is about."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.support.errors import InputError


@dataclass(frozen=True, slots=True)
class Operation:
    """What a thread does: a ``verb`` of ``FORMS``, and as it has them ``names`` of units, flags or locks, ``values``,
    a ``number``, and for ``execute`` how many operations to ``skip`` for a value.  ``text``: as it was written."""

    verb: str
    text: str
    names: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    number: int = 0
    skips: tuple[tuple[str, int], ...] = ()
    word: str = ""

    @property
    def observes(self) -> bool:
        """Whether a value comes of it that the thread's ``allowed`` sequences speak of."""
        return self.verb in ("execute", "load")

    def skip(self, values: tuple[str, ...]) -> int:
        """How many operations are jumped over when those values were fetched."""
        return dict(self.skips).get(values[0], 0) if len(values) == 1 else 0


FORMS = {
    "store": "store UNIT VALUE [, UNIT VALUE ...]",
    "load": "load UNIT",
    "clean": "clean UNIT",
    "invalidate": "invalidate UNIT [local]",
    "invalidate-all": "invalidate-all [local]",
    "dsb": "dsb",
    "fence": "fence",
    "isb": "isb",
    "fence.i": "fence.i",
    "ipi": "ipi isb|fence.i",
    "membarrier": "membarrier",
    "defer": "defer fence.i",
    "migrate": "migrate CORE",
    "mmu-on": "mmu-on",
    "set": "set FLAG NUMBER",
    "wait": "wait FLAG NUMBER",
    "lock": "lock NAME [shared]",
    "unlock": "unlock NAME",
    "irq-off": "irq-off",
    "irq-on": "irq-on",
    "stop-others": "stop-others",
    "poll-stop": "poll-stop",
    "resume-others": "resume-others",
    "execute": "execute UNIT [VALUE:SKIPPED ...] or execute UNIT+UNIT",
}
"""Every operation as it is written.

``store``          several units at once: one single-copy atomic store
``clean``          a data line to the point of unification (DC CVAU, dcbst); completes by a ``dsb``
``invalidate``     an instruction line, on all cores or on this one (IC IVAU, icbi); completes by a ``dsb``
``dsb``            waits for this core's stores and maintenance; ``fence`` for its stores
``isb``            drops what this core has fetched ahead
``fence.i``        RISC-V: the same, with this core's instruction cache, after its stores
``ipi``            an interrupt that every other core answers with that operation, and that is waited for
``membarrier``     the same on all cores, with an ``isb``
``defer``          every other core does that when a thread next moves to it
``migrate``        the thread goes on on another core, as the kernel moves it
``mmu-on``         this core fetches through its caches and the point of unification from now on
``stop-others``    waits until every other thread is at a ``poll-stop``, or done, and keeps it there
``execute``        fetches a unit and executes it; for that VALUE so many operations are jumped over; two units
                   with a + are decoded together
"""

WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.'-]*")
_NUMBER = re.compile(r"[0-9]{1,6}")


def parsed(text: str, file: str, place: str) -> tuple[Operation, ...]:
    """The operations in a text, without empty lines and what follows a ``#``.  Raises ``InputError``."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        said = line.partition("#")[0].strip()
        if said:
            found.append(_operation(said, file, f"{place}, line {number}"))
    return tuple(found)


def _operation(text: str, file: str, place: str) -> Operation:
    verb, *rest = text.replace(",", " , ").split()
    if verb not in FORMS:
        raise InputError(f"no operation {verb!r}", file=file, place=place, expected=f"one of {', '.join(FORMS)}")
    try:
        return _READ[verb](" ".join(text.split()), verb, rest)
    except ValueError:
        raise InputError(f"found {text!r}", file=file, place=place, expected=FORMS[verb]) from None


def _word(text: str) -> str:
    if not WORD.fullmatch(text):
        raise ValueError(text)
    return text


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return int(text)


def _alone(text: str, verb: str, rest: Sequence[str]) -> Operation:
    if rest:
        raise ValueError(text)
    return Operation(verb, text)


def _unit(text: str, verb: str, rest: Sequence[str]) -> Operation:
    (name,) = rest
    return Operation(verb, text, (_word(name),))


def _unit_and(*words: str) -> Callable[[str, str, Sequence[str]], Operation]:
    def read(text: str, verb: str, rest: Sequence[str]) -> Operation:
        name, *more = rest
        if more not in ([], *([word] for word in words)):
            raise ValueError(text)
        return Operation(verb, text, (_word(name),), word="".join(more))

    return read


def _one_of(*words: str) -> Callable[[str, str, Sequence[str]], Operation]:
    def read(text: str, verb: str, rest: Sequence[str]) -> Operation:
        word = " ".join(rest)
        if word not in words:
            raise ValueError(text)
        return Operation(verb, text, word=word)

    return read


def _flag(text: str, verb: str, rest: Sequence[str]) -> Operation:
    name, number = rest
    return Operation(verb, text, (_word(name),), number=_number(number))


def _core(text: str, verb: str, rest: Sequence[str]) -> Operation:
    (number,) = rest
    return Operation(verb, text, number=_number(number))


def _store(text: str, verb: str, rest: Sequence[str]) -> Operation:
    pairs = " ".join(rest).split(" , ")
    names, values = zip(*(pair.split(" ") for pair in pairs), strict=True)
    if len({*names}) < len(names):
        raise ValueError(text)
    return Operation(verb, text, tuple(map(_word, names)), tuple(map(_word, values)))


def _execute(text: str, verb: str, rest: Sequence[str]) -> Operation:
    units, *skips = rest
    names = tuple(map(_word, units.split("+")))
    jumps = tuple((_word(value), _number(number)) for value, _, number in (skip.partition(":") for skip in skips))
    if len(names) > 2 or (len(names) == 2 and jumps):
        raise ValueError(text)
    return Operation(verb, text, names, skips=jumps)


_READ: dict[str, Callable[[str, str, Sequence[str]], Operation]] = {
    **dict.fromkeys(FORMS, _alone),
    "store": _store,
    "load": _unit,
    "clean": _unit,
    "invalidate": _unit_and("local"),
    "invalidate-all": _one_of("", "local"),
    "ipi": _one_of("isb", "fence.i"),
    "defer": _one_of("fence.i"),
    "migrate": _core,
    "set": _flag,
    "wait": _flag,
    "lock": _unit_and("shared"),
    "unlock": _unit,
    "execute": _execute,
}
