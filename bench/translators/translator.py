"""What a translator is: the host code it writes for guest memory accesses, in time order."""

from __future__ import annotations

import abc
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

from strategies.writes import Form, Phase, Region, Unit, Write

Access = Literal["load", "store"]
ACCESSES: tuple[Access, ...] = ("load", "store")


@dataclass(frozen=True, slots=True)
class Path:
    """One way through a guest memory access: which of its units are fetched, in order.

    ``name`` is what the last access does: ``hit`` or ``miss`` (of the software TLB), or
    ``fault``, a miss whose helper does not return.  ``offsets`` are those of the
    fetched units, conditional ones that have no effect included.
    """

    name: Literal["hit", "miss", "fault"]
    offsets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Code:
    """One translation block as a translator emits it.

    ``size`` is its length in bytes; ``writes`` are all its stores in time order;
    ``rewritten`` is where retranslation stops, in bytes from its start, when
    its last guest access faults; ``paths`` are the ways through it.
    """

    tb: int
    size: int
    rewritten: int
    writes: tuple[Write, ...]
    paths: tuple[Path, ...]

    @property
    def whole(self) -> Region:
        """The region of the whole block: what its translation writes."""
        return Region(self.tb, self.size, self.writes)

    @property
    def retranslated(self) -> Region:
        """The region that a retranslation rewrites: from the first byte to the end of the faulting operation.

        It makes the stores up to the first one behind that end: a branch that is
        updated later, when code behind the end is written, keeps what it has
        (``tcg_gen_code_common`` looks after each operation whether it has come far enough).
        """
        written = itertools.takewhile(lambda write: write.unit.offset < self.rewritten, self.writes)
        return Region(self.tb, self.rewritten, tuple(written))


class Translator(abc.ABC):
    """A dated backend.

    ``name`` is the backend, ``version`` the year whose code it is (``2010``: as it
    was in early January 2011, before the fix); ``isa`` is the host instruction
    set, ``byteorder`` that of its instructions, ``alignment`` that of blocks in the
    code buffer in bytes; ``buffer`` is the address at which its blocks are encoded to lie.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    isa: ClassVar[str]
    byteorder: ClassVar[Literal["little", "big"]]
    alignment: ClassVar[int] = 16
    buffer: ClassVar[int] = 0
    shipped_form: ClassVar[Form]

    @property
    def full_name(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"

    @abc.abstractmethod
    def block(self, tb: int, accesses: Iterable[Access] = ("load",)) -> Code:
        """The block number ``tb`` with the given guest accesses (32-bit, TLB index 0, kernel mode), then its exit.

        The last access is the one that faults.  Raises ``InputError`` if there is none, or for an unknown one.
        """


__all__ = ["ACCESSES", "Access", "Code", "Form", "Path", "Phase", "Region", "Translator", "Unit", "Write"]
