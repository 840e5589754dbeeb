"""The layout of a trace's translation blocks in a host's code buffer, and the length that each retranslation rewrites.

Traces hold the code of QEMU 7.2 for x86-64.  Three properties differ on a host of 2011: the length of a block, which
is scaled by a ratio; the alignment of blocks, 16 bytes without gaps; and the place of the slow paths, inline instead
of at the end, which moves the end of the faulting operation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.program.layout import packed
from bench.replay.quantity import Quantity
from bench.support.errors import InputError
from bench.traces.trace import I64, Blocks, Retranslations
from bench.translators.translator import Translator

BLOCK_ALIGNMENT = Translator.alignment
"""Bytes; ``CODE_GEN_ALIGN`` in QEMU's exec-all.h of 2011."""

_README = "README of the recorded traces, section 5, ARM host code against x86-64 host code"
_BYTES_PER_RECORDED_BYTE = {
    "arm": Quantity(
        value=0.980,
        low=0.933,
        high=1.012,
        unit="bytes per recorded byte",
        tag="estimate",
        source=(
            f"{_README}: system boot, 57,614 TBs matched by guest pc and instructions, whole TBs 0.980",
            f"{_README}: low = a user program, 35.77 / 38.34 bytes per guest instruction; high = fast parts, 1.012",
        ),
    ),
    "x86-64": Quantity(
        value=1.0,
        low=1.0,
        high=1.0,
        unit="bytes per recorded byte",
        tag="measured",
        source=("the traces are recorded on x86-64",),
    ),
}
_OTHER_ISA = Quantity(
    value=1.0,
    low=0.7,
    high=1.5,
    unit="bytes per recorded byte",
    tag="assumed",
    source=("default of this project: no translations of the same TBs for this instruction set were recorded",),
)


@dataclass(frozen=True, slots=True)
class CodeBuffer:
    """The code buffer of one replay, all in bytes.

    ``addresses``, ``sizes``  of each TB, int64, one row per TB; the buffer begins at address 0
    ``rewritten``             length that each retranslation rewrites from its TB's first byte, int64
    ``unknown``               how many of ``rewritten`` were not recorded and have the default value
    ``default_share``         the default value, as a share of the TB's length
    ``scale``                 host bytes per recorded byte
    """

    addresses: I64
    sizes: I64
    rewritten: I64
    unknown: int
    default_share: float
    scale: Quantity

    @property
    def used(self) -> int:
        """The end of the highest TB in bytes: the part of the code buffer that was ever in use."""
        return int((self.addresses + self.sizes).max(initial=0))


def host_scale(isa: str) -> Quantity:
    """The length of a host's translations relative to the recorded ones (x86-64)."""
    return _BYTES_PER_RECORDED_BYTE.get(isa, _OTHER_ISA)


def lay_out(blocks: Blocks, retranslations: Retranslations, isa: str, *, as_recorded: bool = False) -> CodeBuffer:
    """Place ``blocks`` for a host that runs ``isa``.

    TBs are packed in the order of their translation, from address 0 again after each tb flush.  A rewritten length is
    recorded up to the end of the faulting operation's fast path; with the slow paths inline it is

        recorded x host_bytes / fast_bytes x scale          (``estimate``)

    and at most the TB.  (The scale of the fast part alone cancels: a share of the fast part becomes the same share of
    the whole.)  Where it was not recorded it is ``default_share`` of the TB's length: the median of the known shares,
    or the whole TB where none is known.  ``as_recorded`` leaves sizes and rewritten lengths unscaled and the slow
    paths where they were.

    A discarded duplicate TB keeps its address here (QEMU used the room again).
    Raises ``InputError`` for a TB without code or out of the order of flushes.
    """
    host = blocks.host_bytes.astype(np.int64)
    fast = blocks.fast_bytes.astype(np.int64)
    _check(blocks, host, fast)
    scale = host_scale("x86-64" if as_recorded else isa)
    sizes = np.ceil(host * scale.value).astype(np.int64)

    tb = retranslations.tb
    whole = host[tb] if as_recorded else fast[tb]
    recorded = retranslations.rewritten_bytes
    known = recorded >= 0
    shares = np.minimum(recorded / whole, 1.0)
    default_share = float(np.median(shares[known])) if known.any() else 1.0
    rewritten = np.ceil(np.where(known, shares, default_share) * sizes[tb]).astype(np.int64)

    return CodeBuffer(
        addresses=_packed(sizes, blocks.epoch),
        sizes=sizes,
        rewritten=rewritten,
        unknown=int(np.count_nonzero(~known)),
        default_share=default_share,
        scale=scale,
    )


def _check(blocks: Blocks, host: I64, fast: I64) -> None:
    bad = np.flatnonzero((fast < 1) | (fast > host))
    if bad.size:
        row = int(bad[0])
        raise InputError(
            f"a fast part of {fast[row]} in {host[row]} bytes", place=f"TB {row}", expected="1 <= fast part <= whole"
        )
    back = np.flatnonzero(np.diff(blocks.epoch.astype(np.int64)) < 0)
    if back.size:
        row = int(back[0]) + 1
        raise InputError(
            f"epoch {blocks.epoch[row]} after {blocks.epoch[row - 1]}", place=f"TB {row}", expected="ascending epochs"
        )


def _packed(sizes: I64, epoch: npt.NDArray[np.uint32]) -> I64:
    """The aligned addresses of TBs of ``sizes`` bytes, from 0 again with each ``epoch`` (ascending)."""
    addresses = np.fromiter(packed(sizes.tolist(), BLOCK_ALIGNMENT), np.int64, sizes.size)
    return addresses - addresses[np.searchsorted(epoch, epoch)]
