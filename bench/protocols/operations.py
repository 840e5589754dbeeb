"""The operations of a protocol: one on each line, a word and what it is about."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.machine.cells import ABSENT, EXECUTABLE, PROTECTED
from bench.support.errors import InputError


@dataclass(frozen=True, slots=True)
class ProtocolOperation:
    """What a thread does: a ``verb`` of ``FORMS``, and as it has them ``names`` of units, flags or locks, ``values``,
    a ``number``, and of what observes how many operations to ``skip`` for a value.  ``text``: as it was written, in
    that ``line`` of its file (0: in none)."""

    verb: str
    text: str
    names: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    number: int = 0
    skips: tuple[tuple[str, int], ...] = ()
    word: str = ""
    line: int = field(default=0, compare=False)

    @property
    def observes(self) -> bool:
        """Whether a value comes of it that the thread's ``allowed`` sequences speak of."""
        return self.verb in ("execute", "load")

    def skip(self, values: tuple[str, ...]) -> int:
        """How many operations are jumped over when those values were fetched."""
        return dict(self.skips).get("+".join(values), 0)


FORMS = {
    "store": "store UNIT VALUE [, UNIT VALUE ...]",
    "store-release": "store-release UNIT VALUE",
    "load": "load UNIT [VALUE:SKIPPED ...]",
    "clean": "clean UNIT",
    "invalidate": "invalidate UNIT [local]",
    "invalidate-all": "invalidate-all [local]",
    "dsb": "dsb",
    "fence": "fence",
    "isb": "isb",
    "fence.i": "fence.i",
    "ipi": "ipi isb|fence.i|tlbi",
    "membarrier": "membarrier",
    "defer": "defer fence.i",
    "migrate": "migrate CORE",
    "mmu-on": "mmu-on",
    "protect": "protect UNIT",
    "unmap": "unmap UNIT",
    "map": "map UNIT",
    "tlbi": "tlbi UNIT [local]",
    "set": "set FLAG NUMBER",
    "wait": "wait FLAG NUMBER",
    "lock": "lock NAME [shared]",
    "unlock": "unlock NAME",
    "irq-off": "irq-off",
    "irq-on": "irq-on",
    "stop-others": "stop-others",
    "stop-anywhere": "stop-anywhere",
    "poll-stop": "poll-stop",
    "resume-others": "resume-others [unsynchronised]",
    "execute": "execute UNIT [VALUE:SKIPPED ...] or execute UNIT+UNIT[+...] [VALUE+VALUE[+...]:SKIPPED ...]",
}
"""Every operation as it is written.

``store``          several units at once: one single-copy atomic store
``store-release``  a store that becomes visible after all stores and cleans of this core before it (STLR)
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
``protect``        the unit's page may not be executed from now on; ``unmap``: it is not present; ``map``: it is, and
                   may be executed; stores to the page table
``tlbi``           drops the translations of the unit's page, of all cores; completes by a ``dsb``; ``local``: of this
                   core, at once, after its stores (INVLPG, SFENCE.VMA); ``ipi tlbi``: all of the other cores
``stop-others``    waits until every other thread is at a ``poll-stop`` or a ``wait``, or done, and keeps it there
``resume-others``  lets them go, each with a context synchronisation (an exception return, ``isb``, a serialising
                   instruction); ``unsynchronised``: without, as a loop that polls a flag goes on
``stop-anywhere``  every other thread stops where it is, between any two operations, as a signal or stop_machine does it
``execute``        fetches a unit and executes it; for that VALUE so many operations are jumped over; units with
                   a + between them are decoded together
``load``           the same of data: its value, and for that VALUE so many operations are jumped over
"""

_FENCE_I = "fence.i, and ipi fence.i or membarrier for the other cores"
_FLUSH = "clean, dsb, invalidate, dsb and isb"
_OTHERS = f"{_FLUSH}, and ipi isb for the other cores"
_COHERENT = "nothing: caches are coherent; isb is the serialising instruction"
_RISCV = dict.fromkeys(("clean", "invalidate", "invalidate-all", "isb"), _FENCE_I)
_SHOOTDOWN = "tlbi UNIT local, and ipi tlbi for the other cores"
_RISCV |= {"dsb": "fence", "ipi isb": "ipi fence.i", "tlbi ": _SHOOTDOWN}
_MAINTAINED = {"fence.i": _FLUSH, "ipi fence.i": _OTHERS, "defer": _OTHERS}
_HARDWARE = dict.fromkeys(("clean", "invalidate", "invalidate-all"), _COHERENT)
_HARDWARE |= {"dsb": "fence", "fence.i": "isb", "ipi fence.i": "ipi isb", "defer": "ipi isb", "tlbi ": _SHOOTDOWN}

_NONE = {
    "riscv": _RISCV,
    "aarch64": _MAINTAINED,
    "arm": _MAINTAINED,
    "thumb": _MAINTAINED,
    "ppc": _MAINTAINED,
    "x86": _HARDWARE,
    "s390": _HARDWARE,
}
"""The operations that an instruction set does not have, and what there is in their place."""

PAGE_STATES = {"map": EXECUTABLE, "protect": PROTECTED, "unmap": ABSENT}
"""What each of these operations makes of a page."""

WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.'-]*")

_NAME = rf"(?P<name>{WORD.pattern})"
_NUMBER = r"(?P<number>[0-9]{1,6})"
_PAIR = rf"{WORD.pattern} {WORD.pattern}"
_SKIPS = rf"(?P<skips>(?: {WORD.pattern}(?:\+{WORD.pattern})*:[0-9]{{1,6}})*)"
_FORMS = {
    **dict.fromkeys(FORMS, ""),
    **dict.fromkeys(("clean", "unlock", *PAGE_STATES), _NAME),
    **dict.fromkeys(("set", "wait"), f"{_NAME} {_NUMBER}"),
    "store": rf"(?P<pairs>{_PAIR}(?: , {_PAIR})*)",
    "store-release": rf"(?P<pairs>{_PAIR})",
    **dict.fromkeys(("invalidate", "tlbi"), rf"{_NAME}(?: (?P<word>local))?"),
    "invalidate-all": r"(?P<word>local)?",
    "resume-others": r"(?P<word>unsynchronised)?",
    "ipi": r"(?P<word>isb|fence\.i|tlbi)",
    "defer": r"(?P<word>fence\.i)",
    "migrate": _NUMBER,
    "lock": rf"{_NAME}(?: (?P<word>shared))?",
    "load": rf"{_NAME}{_SKIPS}",
    "execute": rf"{_NAME}(?P<others>(?:\+{WORD.pattern})*){_SKIPS}",
}
"""What follows the verb."""


_SPELLINGS = tuple(
    (re.compile(written, re.IGNORECASE), meant)
    for written, meant in (
        (r"(?:dc cvau|dcbst)\b", "clean"),
        (r"(?:ic ivau|icbi)\b", "invalidate"),
        (r"ic ialluis", "invalidate-all"),
        (r"ic iallu", "invalidate-all local"),
        (r"dsb(?: sy| ish)?|(?:hw)?sync", "dsb"),
        (r"dmb(?: ishst| ish| sy)?|fence rw,rw", "fence"),
        (r"isync", "isb"),
        (r"fence i", "fence.i"),
        (r"tlbi vae1is\b|tlbie\b", "tlbi"),
    )
)
"""What assemblers of AArch64, POWER and RISC-V call an operation."""

_NICKNAMES = {
    "stlr": "store-release",
    "st": "store",
    "str": "store",
    "write": "store",
    "ld": "load",
    "ldr": "load",
    "read": "load",
}
_NICKNAMES |= {"fetch": "execute", "run": "execute", "flush": "clean", "inval": "invalidate", "eieio": "fence"}
_NICKNAMES |= {"mprotect": "protect", "munmap": "unmap", "mmap": "map", "invlpg": "tlbi", "sfence.vma": "tlbi"}


def instead(operation: ProtocolOperation, isa: str) -> str:
    """What an instruction set (``bench/machine/opcodes.py``) has in place of an operation; empty if it has that."""
    has_not = _NONE.get(isa, {})
    return has_not.get(f"{operation.verb} {operation.word}") or has_not.get(operation.verb, "")


Refuse = Callable[[str, int, str], InputError]
"""The error with what was found, in which line of the file (0: unknown), and what was expected."""


def parsed(text: str, line_of: Callable[[int], int], refuse: Refuse) -> tuple[ProtocolOperation, ...]:
    """The operations in a text, without empty lines and what follows a ``#``.

    ``line_of``: the line of the file that a line of the text is.  Raises what ``refuse`` makes.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        said = " ".join(line.partition("#")[0].split())
        if said:
            found.append(_operation(said, line_of(number), refuse))
    return tuple(found)


def _operation(text: str, line: int, refuse: Refuse) -> ProtocolOperation:
    verb, *rest = _as_meant(text).replace(",", " , ").split()
    if verb not in FORMS:
        raise refuse(f"no operation {text.split()[0]!r}", line, _nearest(verb))
    found = re.fullmatch(_FORMS[verb], " ".join(rest))
    said = found.groupdict(default="") if found is not None else {}
    pairs = [pair.split() for pair in said.get("pairs", "").split(" , ") if pair]
    names = [said["name"], *said.get("others", "").split("+")[1:]] if said.get("name") else []
    names += [name for name, _ in pairs]
    if found is None or len({*names}) < len(names):
        raise refuse(f"found {text!r}", line, FORMS[verb])
    skips = (skip.partition(":") for skip in said.get("skips", "").split())
    return ProtocolOperation(
        verb,
        text,
        tuple(names),
        tuple(value for _, value in pairs),
        int(said.get("number", 0)),
        tuple((value, int(number)) for value, _, number in skips),
        said.get("word", ""),
        line,
    )


def _as_meant(text: str) -> str:
    """The operation in this project's words, if an assembler's were used."""
    for written, meant in _SPELLINGS:
        found = written.match(text)
        if found is not None and text[found.end() :][:1] in ("", " "):
            return meant + text[found.end() :]
    verb, _, rest = text.partition(" ")
    return f"{verb.lower()} {rest}"


def _nearest(verb: str) -> str:
    """The forms of the operation that was meant, or else all verbs."""
    known = _NICKNAMES.get(verb)
    near = [known] if known else difflib.get_close_matches(verb, FORMS, 1)
    return FORMS[near[0]] if near else f"one of {', '.join(FORMS)}"
