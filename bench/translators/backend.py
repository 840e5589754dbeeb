"""The common part of QEMU's backends: a block is a sequence of guest accesses, then the exit."""

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

    Every block is encoded for the address ``buffer``, the start of the code buffer, so that instructions that refer to
    fixed addresses outside it (helpers, the epilogue) are the same in every block.  ``registers``: the contents of
    registers on entry, by their name in the disassembly.  ``tlb``: the place of the TLB.  ``wide_guest``: a 64-bit
    guest address needs other branches and is modelled too.
    """

    registers: ClassVar[dict[str, Holds]]
    tlb: ClassVar[SoftTlb]
    wide_guest: ClassVar[bool] = False

    def tlb_for(self, guest_bits: GuestBits) -> SoftTlb:
        """The place of the TLB for a guest address of that width."""
        return self.tlb

    @property
    def data_register(self) -> str:
        """The register that a guest load sets and a guest store stores."""
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
        # No register holds the value before it is loaded.
        unset = Holds.VALUE if "store" not in wanted else None
        registers = {name: Holds.UNKNOWN if held is unset else held for name, held in self.registers.items()}
        paths: tuple[Path, ...] = ()
        if followed:
            follower = Follower(placed, registers, self.destination)
            paths = tuple(_paths(follower, len(wanted), guest_bits, self.host_bits, guarded))
        return Code(tb, out.here, end, out.writes(), paths, placed, tuple(registers.items()), guest_bits, stores)

    def _emit(self, out: Emitter, accesses: tuple[Access, ...], guarded: bool) -> tuple[int, int]:
        """Emit the accesses, the exit, and the slow paths behind it.

        Returns the end of the last access's operation, and the number of stores up to there: the guard's label is a
        separate operation.
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
        """Emit the guest accesses.  Returns the emitters of slow paths behind the block, with their access numbers."""

    @abc.abstractmethod
    def _guard(self, out: Emitter) -> int:
        """Emit a branch that skips the accesses on a guest condition (``tcg_out_brcond``).  Returns its offset."""

    @abc.abstractmethod
    def _bind_guard(self, out: Emitter, branch: int) -> None:
        """Bind the label of that branch to here (``tcg_out_label``)."""

    @abc.abstractmethod
    def _exit(self, out: Emitter) -> None:
        """Emit the exit (``exit_tb``)."""


class InLineBackend(Backend):
    """A backend with the slow path inside the operation, as in all of QEMU until v1.3 (December 2012)."""

    def _accesses(self, out: Emitter, accesses: tuple[Access, ...]) -> Sequence[tuple[int, SlowPath]]:
        for out.access, access in enumerate(accesses):
            self._access(out, access)
        return ()

    @abc.abstractmethod
    def _access(self, out: Emitter, access: Access) -> None:
        """Emit one guest access (``tcg_out_qemu_ld``, ``tcg_out_qemu_st``)."""


class OutOfLineBackend(Backend):
    """A backend with the slow paths behind the block.

    A helper gets the address after the operation as its return address.  So a retranslation stops at the operation's
    end and never reaches the slow path, where the branch is updated.
    ``newest_first``: the pending slow paths are emitted from the newest to the oldest.
    """

    newest_first: ClassVar[bool] = False

    def _accesses(self, out: Emitter, accesses: tuple[Access, ...]) -> Sequence[tuple[int, SlowPath]]:
        later = []
        for out.access, access in enumerate(accesses):
            later.append((out.access, self._begin(out, access)))
        return later[::-1] if self.newest_first else later

    @abc.abstractmethod
    def _begin(self, out: Emitter, access: Access) -> SlowPath:
        """Emit an access without its slow path.  Returns the emitter of the slow path."""


def _paths(follower: Follower, accesses: int, guest_bits: int, host_bits: int, guarded: bool) -> Iterator[Path]:
    """The paths through a block, named after the last access; the accesses before all hit or all miss.

    There are two to the power of the number of accesses combinations; these two are the extremes.
    """
    ways = list(outcomes(guest_bits, host_bits, guarded=guarded))
    seen = set()
    for before in [ways[0][1], ways[1][1]] if accesses > 1 else [_NOTHING]:
        for name, facts, faults in ways:
            earlier = facts if name == "skip" else before
            flow = follower.follow([*[earlier] * (accesses - 1), facts], faults=faults)
            if flow.ends != ("fault" if faults else "exit"):
                raise ValueError(f"the path {name} ends with {flow.ends} at offset {flow.at}")
            path = Path(name, flow.offsets)
            if name != "skip" or path not in seen:
                seen.add(path)
                yield path
