"""The thread's "other way to fix it"."""

from strategies.operations import Flush, Hook
from strategies.strategy import Strategy
from strategies.writes import Region


class FlushOnRetranslation(Strategy):
    """Rewrite as before, then clean the data lines and invalidate the instruction lines."""

    def publish(self, region: Region) -> Hook:
        return (*super().publish(region), Flush(region))
