"""Block linking, derived from executions: which exit was patched to jump to which block, and what ran through it.

A block has up to two patchable exits (QEMU's ``goto_tb``), slots 0 and 1, each for one guest address.  Where an exit
is not linked, the main loop looks its target up, links the exit to it, and enters it; from then on the exit leads
there.  An execution that is not entered through a link begins a *run* of linked blocks.

The rule, per thread, for an execution of A and the next one, of B: it is over an exit of A if B begins at the address
of the exit, that address lies on the guest page of A's first byte, and nothing came between (a tb flush, an exception).
The first such (A, slot, B) makes the link, the later ones use it.

``Exits.of_text`` knows the exits by each block's last instruction.  QEMU 7.2.22 made exactly these links in user mode
(two threads at one exit: at another position), and 100,773 of 100,792 in a boot of Linux.  ``Exits.of_lengths`` does
without the text: one exit leads behind the block, the other to the first other address on its page that follows.  It
finds all links, and takes indirect branches within a page for others: of the executions that it has entered through a
link, 96.4 % to all were (seven recordings of 32-bit ARM guests).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from bench.support.errors import InputError
from bench.support.kernels import kernel
from bench.traces.successor import STOPPED, THREADS, Words
from bench.traces.trace import I64, U32, U64, Guest, Links, Trace

LinkIsa = Literal["arm", "a64", "rv64"]
"""The guest instruction sets whose last instructions ``Exits.of_text`` reads."""
ISAS: Final[dict[Guest, LinkIsa]] = {"arm": "arm", "aarch64": "a64", "riscv64": "rv64"}
"""The instruction sets of guests."""
Flags = npt.NDArray[np.bool_]

PAGE: Final = 4096
"""Bytes of a guest page: QEMU links within one only."""
NO_EXIT: Final = 2**64 - 1
"""The address of an exit that is not there."""
ANY_EXIT: Final = 2**64 - 2
"""The address of an exit that is not known: the first on the page that follows, but the one behind the block."""
EXIT_BYTES: Final = 32
"""An exit of a block: ``goto_tb``, the store of the guest's pc and ``exit_tb`` (arm@2010: 4, 16 and 12 bytes)."""

_Addresses: TypeAlias = tuple[int | None, int | None]
"""The guest addresses of the exits in slots 0 and 1."""


# --- the exits of blocks ------------------------------------------------------------------------------------------

_CONDITIONS = "eq|ne|hs|cs|lo|cc|mi|pl|vs|vc|hi|ls|ge|lt|gt|le"
_ARM_DIRECT = re.compile(rf"(?:b|bl|blx)({_CONDITIONS})? #(0x[0-9a-f]+)|cbn?z \w+, #(0x[0-9a-f]+)")
_ARM_INDIRECT = re.compile(
    rf"(?:(?:bx|bxj|blx)({_CONDITIONS})? \w+|(?:pop|ldm|ldm[id][ab])({_CONDITIONS})? .*\bpc\}}|tb[bh] .*"
    rf"|(?:ldr|mov|mvn|add|adc|sub|sbc|rsb|rsc|and|orr|eor|bic|lsl|lsr|asr|ror)({_CONDITIONS})? pc\b.*)"
)
_ARM_LEAVES = re.compile(
    rf"(?:svc|hvc|smc|msr|mcrr?2?|mrr?c2?|wf[ie]|vmsr|rfe\w*?|eret|(?:movs|subs)(?= pc\b))({_CONDITIONS})?\b.*"
    r"|(?:cps|setend|udf|bkpt).*"
)
_A64_TWO_WAYS = re.compile(r"(?:b\.\w\w|cbn?z|tbn?z) .*#(0x[0-9a-f]+)")
_A64_LEAVES = re.compile(r"(?:bra|blra|reta|ereta)\w+|br|blr|ret|eret|svc|hvc|smc|brk|hlt|msr|sys|dc|ic|at|tlbi|wf[ie]")
_RV64_LEAVES = re.compile(
    r"jr|jalr|ret|[msu]ret|ecall|ebreak|wfi|fence\.i|sfence\..*|csr\w*|fs?[cr]?s?(?:csr|rm|flags)"
)


_ADDRESS = re.compile(r"#?0x([0-9a-f]{1,16})")


def _address(operand: str) -> int | None:
    """The address that an operand gives; ``None`` if it is none, as in a damaged line."""
    match = _ADDRESS.fullmatch(operand)
    return int(match[1], 16) if match else None


def _arm(text: str, following: int) -> _Addresses:
    mnemonic, _, operands = text.partition(" ")
    text = f"{mnemonic.removesuffix('.w').removesuffix('.n')} {operands}".strip()
    if direct := _ARM_DIRECT.fullmatch(text):
        condition, target, compared = direct.groups()
        return _address(target or compared), following if condition or compared else None
    if leaves := _ARM_INDIRECT.fullmatch(text) or _ARM_LEAVES.fullmatch(text):
        return None, following if any(leaves.groups()) else None
    return None, following


def _a64(text: str, following: int) -> _Addresses:
    mnemonic, _, operands = text.partition(" ")
    if mnemonic in ("b", "bl"):
        return _address(operands), None
    if two := _A64_TWO_WAYS.fullmatch(text):
        return following, _address(two[1])
    if mnemonic in ("isb", "sb"):
        return following, None
    return None, None if _A64_LEAVES.fullmatch(mnemonic) else following


def _rv64(text: str, following: int) -> _Addresses:
    mnemonic, _, operands = text.partition(" ")
    _, comment, target = operands.partition("# ")
    if comment and mnemonic in ("j", "jal"):
        return _address(target), None
    if comment and mnemonic.startswith("b"):
        return _address(target), following
    return None if _RV64_LEAVES.fullmatch(mnemonic) else following, None


_READERS: Final[dict[LinkIsa, Callable[[str, int], _Addresses]]] = {"arm": _arm, "a64": _a64, "rv64": _rv64}


@dataclass(frozen=True, slots=True)
class Exits:
    """The exits of blocks, one row per block.

    ``pc``       guest address of the block's first instruction
    ``address``  two columns: the guest address that the exit in slot 0 or 1 leads to; ``NO_EXIT``, ``ANY_EXIT``
    ``target``   whether an exit may be linked to the block
    """

    pc: U64
    address: U64
    target: Flags

    @classmethod
    def of_text(
        cls,
        isa: LinkIsa,
        pc: U64,
        guest_bytes: U32,
        last: Iterable[str],
        *,
        system: bool = False,
        cut_short: Flags | None = None,
    ) -> Exits:
        """The exits by each block's last instruction, as ``-d in_asm`` prints it (spaces squeezed).

        ``system``: system emulation, where no exit is linked to a block on two pages.  ``cut_short``: the blocks that
        end where ``-icount`` has it, which have no exits.
        """
        following = (pc + guest_bytes).astype(np.uint64)
        read = _READERS[isa]
        rows = [
            [NO_EXIT if address is None else address for address in read(text, int(behind))]
            for text, behind in zip(last, following, strict=True)
        ]
        address = np.array(rows, np.uint64).reshape(-1, 2)
        address[address // PAGE != (pc // PAGE)[:, None]] = NO_EXIT
        if cut_short is not None:
            address[cut_short] = NO_EXIT
        target = (pc // PAGE == (following - 1) // PAGE) if system else np.ones(pc.size, np.bool_)
        return cls(pc, address, target)

    @classmethod
    def of_lengths(cls, pc: U64, guest_bytes: U32, *, system: bool = False) -> Exits:
        """The exits of blocks whose last instructions are not known; the slots are those of arm and rv64."""
        following = (pc + guest_bytes).astype(np.uint64)
        behind = np.where(following // PAGE == pc // PAGE, following, np.uint64(NO_EXIT))
        target = (pc // PAGE == (following - 1) // PAGE) if system else np.ones(pc.size, np.bool_)
        return cls(pc, np.stack((np.full_like(pc, ANY_EXIT), behind), axis=1), target)


# --- links ----------------------------------------------------------------------------------------------------------


class Linker:
    """Derives the links of an execution that is given in pieces (``add``).

    ``begun``: for each block, the executions that were not entered through a link, and so begin a run.
    """

    def __init__(self, exits: Exits, between: I64) -> None:
        """``between``: ascending positions p, where an event separates the executions p - 1 and p."""
        blocks = exits.pc.size
        self.begun: I64 = np.zeros(blocks, np.int64)
        self._exits = exits.pc, exits.address.copy(), exits.target
        self._between = between
        self._last = np.full(THREADS, -1, np.int64)
        self._leads_to = np.full((blocks, 2), -1, np.int64)
        self._number = np.full((blocks, 2), -1, np.int64)
        self._made: list[I64] = []
        self._uses = np.empty(0, np.int64)
        self._state = np.zeros(3, np.int64)

    def add(self, words: Words, *, each: bool = True) -> tuple[I64, I64]:
        """The next executions, with their stopped bits.

        Returns for ``each`` the number of the link that it came through, -1 for none, and the links that they made:
        rows of position, source, slot, target and thread.
        """
        made = np.empty((words.size, 5), np.int64)
        through = np.full(words.size if each else 0, -1, np.int64)
        before = int(self._state[_MADE])
        if self._uses.size < before + words.size:
            # Room for those of many pieces: what is never written to takes no memory.
            uses, self._uses = self._uses, np.zeros(before + 8 * words.size, np.int64)
            self._uses[:before] = uses[:before]
        tables = self._between, self._last, self._leads_to, self._number, self.begun
        _link(words, *self._exits, *tables, made, self._uses, through, self._state)
        self._made.append(made[: int(self._state[_MADE]) - before].copy())
        return through, self._made[-1]

    @property
    def links(self) -> Links:
        """The links made so far."""
        return Links.of_rows(
            np.concatenate([np.empty((0, 5), np.int64), *self._made]), self._uses[: self._state[_MADE]].copy()
        )


_POSITION, _BETWEEN, _MADE = range(3)


@kernel
def _link(
    words: Words,
    pc: U64,
    address: U64,
    target: Flags,
    between: I64,
    last: I64,
    leads_to: I64,
    number: I64,
    begun: I64,
    made: I64,
    uses: I64,
    used: I64,
    state: I64,
) -> None:
    """Process ``words``.

    ``last``: the block that each thread is in.  ``leads_to``, ``number``: for each exit the block and the number of its
    link.  -1: none.
    """
    position, done, links = state[_POSITION], state[_BETWEEN], state[_MADE]
    first = links
    begin = position
    for word in words:
        while done < between.size and between[done] <= position:
            # Of all threads: an event carries none.
            last[:] = -1
            done += 1
        block = np.int64(word & 0xFFFFFF)
        thread = (word >> 24) & 0x7F
        stopped = word >= STOPPED
        before = last[thread]
        last[thread] = -1
        if block < pc.size:
            slot = -1
            # Most executions come through a link that is there: its exit is known.
            through = before >= 0 and (leads_to[before, 0] == block or leads_to[before, 1] == block)
            if through:
                slot = 1 if leads_to[before, 1] == block else 0
            elif before >= 0 and target[block]:
                if address[before, 1] == pc[block]:
                    slot = 1
                elif address[before, 0] == pc[block]:
                    slot = 0
                elif address[before, 0] == ANY_EXIT and pc[block] // PAGE == pc[before] // PAGE:
                    address[before, 0] = pc[block]
                    slot = 0
            if through:
                uses[number[before, slot]] += not stopped
                if used.size and not stopped:
                    used[position - begin] = number[before, slot]
            elif slot >= 0:
                leads_to[before, slot] = block
                number[before, slot] = links
                for column, value in enumerate((position, before, slot, block, thread)):
                    made[links - first, column] = value
                links += 1
            if not stopped:
                begun[block] += not through
                last[thread] = block
        position += 1
    state[_POSITION], state[_BETWEEN], state[_MADE] = position, done, links


class Linked(NamedTuple):
    """The ``links`` of a whole execution, and the executions that ``begun`` a run, of each block."""

    links: Links
    begun: I64


def linked(trace: Trace) -> Linked:
    """The links of the whole execution of ``trace``, in a pass of its own.  Raises ``InputError`` as ``linker``."""
    links = linker(trace)
    for words in trace.executions():
        links.add(words, each=False)
    return Linked(links.links, links.begun)


def linker(trace: Trace) -> Linker:
    """A linker for the executions of ``trace``: by the exits of its blocks if it has them, else by their lengths.

    Raises ``InputError`` if the executions entered through a link are missing.
    """
    if trace.links is not None:
        found = "a recording with linking on, without the executions entered through a link"
        raise InputError(found, file=trace.name, expected="one with -d nochain")
    blocks = trace.blocks
    exits = Exits.of_lengths(blocks.guest_pc, blocks.guest_bytes, system=trace.mode == "system")
    if trace.exits is not None:
        exits = Exits(exits.pc, trace.exits, exits.target)
    abandoned = np.concatenate((trace.retranslations.position, trace.io_recompiles)) + 1
    return Linker(exits, np.unique(np.concatenate((trace.flushes, abandoned, trace.interruptions))))
