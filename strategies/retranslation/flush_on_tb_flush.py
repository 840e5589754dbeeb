"""The thread's first question: invalidate on every tb flush?"""

from strategies.operations import Flush, Hook
from strategies.strategy import Strategy
from strategies.writes import Buffer


class FlushOnTbFlush(Strategy):
    """Flush the instruction cache only when the whole code buffer is discarded."""

    def flush_buffer(self, buffer: Buffer) -> Hook:
        return (*super().flush_buffer(buffer), Flush(buffer))
