"""What QEMU's backends have in common: guest accesses one after the other, then the exit."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar, get_args

from bench.support.errors import InputError
from bench.translators.emitter import Emitter
from bench.translators.flow import Follower, outcomes
from bench.translators.instruction import Fact, Holds
from bench.translators.softmmu import SoftTlb
from bench.translators.translator import Access, Code, GuestBits, Path, Translator

SlowPath = Callable[[], None]
"""Emits a slow path."""

_NOTHING: frozenset[Fact] = frozenset()


class Backend(Translator):
    """A backend of QEMU's code generator (TCG).

    Every block is encoded as if it lay at ``buffer``, the start of the code
    buffer, so that instructions that reach for fixed places outside it (helpers,
    the epilogue) are the same in every block.  ``registers``: what registers hold when a block is
    entered, by their name in the disassembly.  ``tlb``: where the TLB lies.  ``wide_guest``: it
    differs for a 64-bit guest address in the number of branches, and is modelled for that too.
    """

    registers: ClassVar[dict[str, Holds]]
    tlb: ClassVar[SoftTlb]
    wide_guest: ClassVar[bool] = False

    def tlb_for(self, guest_bits: GuestBits) -> SoftTlb:
        """Where the TLB lies for a guest address of that width."""
        return self.tlb

    @property
    def data_register(self) -> str:
        """The register that a guest load sets, and a guest store stores."""
        return next(name for name, held in self.registers.items() if held is Holds.VALUE)

    def block(
        self,
        tb: int,
        accesses: Iterable[Access] = ("load",),
        *,
        guarded: bool = False,
        guest_bits: GuestBits = 32,
        followed: bool = True,
    ) -> Code:
        wanted = tuple(accesses)
        unknown = [access for access in wanted if access not in get_args(Access)]
        if unknown or not wanted:
            found = f"guest access {unknown[0]!r}" if unknown else "no guest access"
            raise InputError(found, expected=f"one or more of {', '.join(get_args(Access))}")
        if guest_bits != 32 and not (guest_bits == 64 and self.wide_guest):
            raise InputError(
                f"{self.full_name} for a {guest_bits}-bit guest",
                expected="32 (a 64-bit one is modelled where it changes the number of branches)"
                if not self.wide_guest
                else "32 or 64",
            )
        out = Emitter(tb, self.shipped_form, guest_bits)
        end, stores = self._emit(out, wanted, guarded)
        placed = out.placed()
        # What is to be loaded is in no register yet.
        unset = Holds.VALUE if "store" not in wanted else None
        registers = {name: Holds.UNKNOWN if held is unset else held for name, held in self.registers.items()}
        paths: tuple[Path, ...] = ()
        if followed:
            follower = Follower(placed, registers, self.destination)
            paths = tuple(_paths(follower, len(wanted), guest_bits, self.host_bits, guarded))
        return Code(tb, out.here, end, out.writes(), paths, placed, tuple(registers.items()), guest_bits, stores)

    def _emit(self, out: Emitter, accesses: tuple[Access, ...], guarded: bool) -> tuple[int, int]:
        """Emit the accesses, the exit, and what lies behind it; where the last access's operation ends.

        With it the number of stores until then: the guard's label is an operation of its own.
        """
        guard = self._guard(out) if guarded else None
        later = self._accesses(out, accesses)
        end, stores = out.here, out.stores
        if guard is not None:
            self._bind_guard(out, guard)
        self._exit(out)
        for out.access, finish in later:
            finish()
        return end, stores

    @abc.abstractmethod
    def _accesses(self, out: Emitter, accesses: tuple[Access, ...]) -> Sequence[tuple[int, SlowPath]]:
        """Emit the guest accesses; what emits the slow paths behind the block, each with its access's number."""

    @abc.abstractmethod
    def _guard(self, out: Emitter) -> int:
        """Emit a branch that skips the accesses on a condition of the guest's (``tcg_out_brcond``); its offset."""

    @abc.abstractmethod
    def _bind_guard(self, out: Emitter, branch: int) -> None:
        """Its label is here (``tcg_out_label``): update the branch."""

    @abc.abstractmethod
    def _exit(self, out: Emitter) -> None:
        """Emit the exit (``exit_tb``)."""


class InLineBackend(Backend):
    """A backend whose slow path lies inside the operation, as in all of QEMU until v1.3 (December 2012)."""

    def _accesses(self, out: Emitter, accesses: tuple[Access, ...]) -> Sequence[tuple[int, SlowPath]]:
        for out.access, access in enumerate(accesses):
            self._access(out, access)
        return ()

    @abc.abstractmethod
    def _access(self, out: Emitter, access: Access) -> None:
        """Emit one guest access (``tcg_out_qemu_ld``, ``tcg_out_qemu_st``)."""


class OutOfLineBackend(Backend):
    """A backend whose slow paths lie behind the block.

    A helper is told the address just behind the operation as the place that it was called from; so a
    retranslation stops at the operation's end and never comes to the slow path, where the branch is updated.
    ``newest_first``: the slow paths to come are kept in a list and emitted from its newest end.
    """

    newest_first: ClassVar[bool] = False

    def _accesses(self, out: Emitter, accesses: tuple[Access, ...]) -> Sequence[tuple[int, SlowPath]]:
        later = []
        for out.access, access in enumerate(accesses):
            later.append((out.access, self._begin(out, access)))
        return later[::-1] if self.newest_first else later

    @abc.abstractmethod
    def _begin(self, out: Emitter, access: Access) -> SlowPath:
        """Emit an access without its slow path; what emits that."""


def _paths(follower: Follower, accesses: int, guest_bits: int, host_bits: int, guarded: bool) -> Iterator[Path]:
    """The ways through a block: the last access does what the path is named after, those before all hit or all miss.

    All combinations would be two to the power of the number of accesses; these two are its extremes.
    """
    ways = list(outcomes(guest_bits, host_bits, guarded=guarded))
    seen = set()
    for before in [ways[0][1], ways[1][1]] if accesses > 1 else [_NOTHING]:
        for name, facts, faults in ways:
            earlier = facts if name == "skip" else before
            course = follower.course([*[earlier] * (accesses - 1), facts], faults=faults)
            if course.ends != ("fault" if faults else "exit"):
                raise ValueError(f"the path {name} ends with {course.ends} at offset {course.at}")
            path = Path(name, course.offsets)
            if name != "skip" or path not in seen:
                seen.add(path)
                yield path
