"""How DynamoRIO recovers the state: rebuild the block, but never in the code cache."""

from strategies.operations import Hook
from strategies.strategy import Strategy
from strategies.writes import Region


class ScratchBuffer(Strategy):
    """Retranslate into a private buffer; live code is never written."""

    def retranslate(self, region: Region) -> Hook:
        return super().retranslate(region.in_scratch())
