"""What QEMU's backends have in common: guest accesses one after the other, then the exit."""

from __future__ import annotations

import abc
from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

from bench.errors import InputError
from bench.translators.emitter import Emitter
from bench.translators.translator import Access, Code, Path, Translator


@dataclass(frozen=True, slots=True)
class Ways:
    """The offsets that one guest access fetches, in order: TLB hit, TLB miss, miss whose helper does not return."""

    hit: tuple[int, ...]
    miss: tuple[int, ...]
    fault: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Emitted:
    """What was emitted: each access, the offset at which the last one's operation ends, and the exit's offsets."""

    accesses: tuple[Ways, ...]
    end: int
    exit: tuple[int, ...]


class Backend(Translator):
    """A backend of QEMU's code generator (TCG).

    Every block is encoded as if it lay at ``buffer``, the start of the code
    buffer, so that instructions that reach for fixed places outside it (helpers,
    the epilogue) are the same in every block.
    """

    def block(self, tb: int, accesses: Iterable[Access] = ("load",)) -> Code:
        wanted = tuple(accesses)
        unknown = [access for access in wanted if access not in get_args(Access)]
        if unknown or not wanted:
            found = f"guest access {unknown[0]!r}" if unknown else "no guest access"
            raise InputError(found, expected=f"one or more of {', '.join(get_args(Access))}")
        out = Emitter(tb, self.shipped_form)
        emitted = self._emit(out, wanted)
        return Code(tb, out.here, emitted.end, out.writes(), _paths(emitted))

    @abc.abstractmethod
    def _emit(self, out: Emitter, accesses: tuple[Access, ...]) -> Emitted:
        """Emit the accesses, the exit, and whatever this backend places behind it."""


class InLineBackend(Backend):
    """A backend whose slow path lies inside the operation, as in all of QEMU until v1.3 (December 2012)."""

    def _emit(self, out: Emitter, accesses: tuple[Access, ...]) -> Emitted:
        ways = tuple(self._access(out, access) for access in accesses)
        return Emitted(ways, out.here, self._exit(out))

    @abc.abstractmethod
    def _access(self, out: Emitter, access: Access) -> Ways:
        """Emit one guest access (``tcg_out_qemu_ld``, ``tcg_out_qemu_st``)."""

    @abc.abstractmethod
    def _exit(self, out: Emitter) -> tuple[int, ...]:
        """Emit the exit (``exit_tb``); the offsets that it fetches."""


def _paths(emitted: Emitted) -> tuple[Path, ...]:
    """The ways through a block: the last access does what the path is named after, those before all hit or all miss.

    All combinations would be two to the power of the number of accesses; these two are its extremes.
    """
    *earlier, last = emitted.accesses
    hits = tuple(offset for ways in earlier for offset in ways.hit)
    misses = tuple(offset for ways in earlier for offset in ways.miss)
    paths = []
    for before in dict.fromkeys((hits, misses)):
        paths += [
            Path("hit", (*before, *last.hit, *emitted.exit)),
            Path("miss", (*before, *last.miss, *emitted.exit)),
            Path("fault", (*before, *last.fault)),
        ]
    return tuple(paths)
