"""What a translator is: the host code it writes for guest memory accesses, in time order."""

from __future__ import annotations

import abc
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

from bench.translators.flow import Follower
from bench.translators.instruction import Placed
from strategies.writes import Form, Phase, Region, Unit, Write

Access = Literal["load", "store"]
ACCESSES: tuple[Access, ...] = ("load", "store")

GuestBits = Literal[32, 64]
GUEST_BITS: tuple[GuestBits, ...] = (32, 64)


@dataclass(frozen=True, slots=True)
class Path:
    """One way through a block: which of its units are fetched, in order.

    ``name`` is what the last access does: ``hit`` or ``miss`` (of the software TLB),
    ``fault``, a miss whose helper does not return, or ``skip``, if the guest's own condition skips
    the access.  ``offsets`` are those of the fetched units, conditional ones that have no effect included.
    """

    name: str
    offsets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Code:
    """One translation block as a translator emits it.

    ``size`` is its length in bytes; ``writes`` are all its stores in time order;
    ``rewritten`` is where retranslation stops, in bytes from its start, when
    its last guest access faults; ``paths`` are the ways through it; ``placed`` are its instructions when
    complete, ``registers`` what these hold at its start; ``guest_bits`` the width of a guest address.  ``stores`` is
    how many of the stores are made up to where retranslation stops; None for those up to the first behind that place.
    """

    tb: int
    size: int
    rewritten: int
    writes: tuple[Write, ...]
    paths: tuple[Path, ...]
    placed: tuple[Placed, ...] = ()
    registers: tuple[tuple[str, str], ...] = ()
    guest_bits: GuestBits = 32
    stores: int | None = None

    def __hash__(self) -> int:
        return hash((self.tb, self.size, self.rewritten))

    @property
    def whole(self) -> Region:
        """The region of the whole block: what its translation writes."""
        return Region(self.tb, self.size, self.writes)

    @property
    def retranslated(self) -> Region:
        """The region that a retranslation rewrites: from the first byte to the end of the faulting operation.

        It makes the stores up to that end: a branch that is updated by a later operation, or when
        code behind the end is written, keeps what it has (``tcg_gen_code_common`` looks after
        each operation whether it has come far enough).
        """
        written = self.writes[: self.stores]
        if self.stores is None:
            written = tuple(itertools.takewhile(lambda write: write.unit.offset < self.rewritten, written))
        return Region(self.tb, self.rewritten, written)

    @property
    def unfinished(self) -> frozenset[int]:
        """The offsets of the units that a retranslation writes and does not complete: their label is bound later."""
        known: dict[Unit, int] = {}
        for write in self.retranslated.writes:
            known[write.unit] = known.get(write.unit, 0) | write.known
        return frozenset(unit.offset for unit, mask in known.items() if mask != unit.mask)


class Translator(abc.ABC):
    """A dated backend.

    ``name`` is the backend, ``version`` the year whose code it is (``2010``: as it
    was in early January 2011, before the fix); ``isa`` is the host instruction
    set, ``byteorder`` that of its instructions, ``alignment`` that of blocks in the
    code buffer in bytes; ``buffer`` is the address at which its blocks are encoded to lie.  ``host_bits``
    is the width of its registers.  ``exact``: the distances are those of the source for the stated
    case; else they are typical, since they depend on constants and on register allocation.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    isa: ClassVar[str]
    byteorder: ClassVar[Literal["little", "big"]]
    host_bits: ClassVar[Literal[32, 64]] = 32
    alignment: ClassVar[int] = 16
    buffer: ClassVar[int] = 0
    shipped_form: ClassVar[Form]
    exact: ClassVar[bool] = False

    @property
    def full_name(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"

    @abc.abstractmethod
    def block(
        self,
        tb: int,
        accesses: Iterable[Access] = ("load",),
        *,
        guarded: bool = False,
        guest_bits: GuestBits = 32,
        followed: bool = True,
    ) -> Code:
        """The block number ``tb`` with the given guest accesses (of 32 bits, TLB index 0, kernel mode), then its exit.

        The last access is the one that faults.  ``guarded``: a condition of the guest's skips them all, by
        a branch whose label is bound behind the last one.  ``guest_bits`` is the width of a guest address.
        Where it is not ``followed`` its paths are left out: to find them is most of the work.
        Raises ``InputError`` if there is no access, for an unknown one, and for a width
        that this translator does not have.
        """

    @abc.abstractmethod
    def destination(self, word: int) -> int | None:
        """Where the branch ``word`` leads, in bytes from its own address; None if the word is no branch."""

    def follower(self, code: Code) -> Follower:
        """Follows the block: what is fetched, and what the helpers are told."""
        return Follower(code.placed, dict(code.registers), self.destination)


__all__ = [
    "ACCESSES",
    "GUEST_BITS",
    "Access",
    "Code",
    "Form",
    "GuestBits",
    "Path",
    "Phase",
    "Region",
    "Translator",
    "Unit",
    "Write",
]
