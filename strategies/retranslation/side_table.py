"""The ceiling: QEMU since 2.5 (commit fca8a500d519) does not retranslate at all."""

from strategies.operations import Hook, Lookup
from strategies.strategy import Strategy
from strategies.writes import Block, Region

LONG = 64
"""Host bytes of a guest instruction from which on its length takes two SLEB128 bytes: one has six bits and a sign."""


class SideTable(Strategy):
    """Never retranslate: keep per-instruction data beside the block when it is translated, and look the fault up."""

    def retranslate(self, region: Region) -> Hook:
        return (Lookup(region),)

    def side_bytes(self, tb: Block) -> int:
        """SLEB128 deltas, one for each value and one for the length of the host code, per guest instruction.

        A lower bound: deltas of the guest pc and of flags take one byte each, a
        host length of 64 bytes or more takes two (the mean length of the block
        decides for all of its instructions).
        """
        length = 2 if tb.host_bytes >= LONG * tb.instructions else 1
        return super().side_bytes(tb) + tb.instructions * (tb.start_words + length)
