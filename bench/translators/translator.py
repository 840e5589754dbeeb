"""The interface of a translator: the host code that it writes for guest memory accesses, in time order."""

from __future__ import annotations

import abc
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

from bench.translators.flow import Follower
from bench.translators.instruction import Placed
from strategies.writes import Form, Region, Unit, Write

Access = Literal["load", "store"]
ACCESSES: tuple[Access, ...] = ("load", "store")

GuestBits = Literal[32, 64]
GUEST_BITS: tuple[GuestBits, ...] = (32, 64)


@dataclass(frozen=True, slots=True)
class Path:
    """One path through a block: the units that are fetched, in order.

    ``name``: the outcome of the last access: ``hit`` or ``miss`` in the software TLB, ``fault`` (a miss whose helper
    does not return), or ``skip`` (the guest's own condition skips the access).  ``offsets``: of the fetched units,
    those of conditional instructions without effect included.
    """

    name: str
    offsets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Code:
    """One translation block as a translator emits it.

    ``size``: its length in bytes; ``writes``: all its stores in time order; ``rewritten``: the end of a retranslation
    for a fault of its last guest access, in bytes from its start; ``paths``: the paths through it; ``placed``: its
    complete instructions; ``registers``: their contents at its start; ``guest_bits``: the width of a guest address.
    ``stores``: the number of stores of a retranslation; None: the stores before the first one behind ``rewritten``.
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
    def guarded(self) -> bool:
        """Whether a guest condition may skip the accesses."""
        return any(path.name == "skip" for path in self.paths)

    @property
    def whole(self) -> Region:
        """The region that its translation writes: the whole block."""
        return Region(self.tb, self.size, self.writes)

    @property
    def retranslated(self) -> Region:
        """The region that a retranslation rewrites: from the first byte to the end of the faulting operation.

        It makes the stores up to that end: a branch that a later operation updates keeps its temporary value
        (``tcg_gen_code_common`` tests after each operation whether it has reached the end).
        """
        written = self.writes[: self.stores]
        if self.stores is None:
            written = tuple(itertools.takewhile(lambda write: write.unit.offset < self.rewritten, written))
        return Region(self.tb, self.rewritten, written)

    @property
    def unfinished(self) -> frozenset[int]:
        """The offsets of the units that a retranslation writes but does not complete: their label is bound later."""
        known: dict[Unit, int] = {}
        for write in self.retranslated.writes:
            known[write.unit] = known.get(write.unit, 0) | write.known
        return frozenset(unit.offset for unit, mask in known.items() if mask != unit.mask)


class Translator(abc.ABC):
    """A dated backend.

    ``name``: the backend; ``version``: the year of its code (``2010``: early January 2011, before the fix); ``isa``:
    the host instruction set; ``byteorder``: of its instructions; ``alignment``: of blocks in the code buffer, in bytes;
    ``buffer``: the address for which its blocks are encoded; ``host_bits``: the width of its registers.  ``exact``: the
    distances are those of the source for the stated case; else they are typical, since they depend on constants and
    on register allocation.  ``patched``: bytes of code that are stored and flushed when an exit of a block is linked to
    a block near it (``tb_set_jmp_target1`` of that year); 0: an exit loads its target from memory.
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
    patched: ClassVar[int] = 0

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

        The last access is the one that faults.  ``guarded``: a guest condition skips them all, by a branch whose label
        is bound behind the last one.  ``guest_bits``: the width of a guest address.  ``followed``: find its paths,
        which is most of the work.
        Raises ``InputError`` for no access, an unknown access, and a width that this translator does not support.
        """

    @abc.abstractmethod
    def destination(self, word: int) -> int | None:
        """The target of the branch ``word``, in bytes from its own address; None if the word is not a branch."""

    @property
    def stores_temporaries(self) -> bool:
        """Whether some unit of its code has a value that is not its final one, until a later store."""
        writes = self.block(0, guarded=True, followed=False).writes
        return any(write.temporary or (not write.complete and write.form == "whole") for write in writes)

    def follower(self, code: Code) -> Follower:
        """A follower of the block's control flow."""
        return Follower(code.placed, dict(code.registers), self.destination)
