"""The thread's second question: a global lock on retranslation?"""

from strategies.operations import Acquire, Hook, Release
from strategies.strategy import Strategy
from strategies.writes import Region

LOCK = "retranslation"


class GlobalLock(Strategy):
    """Only one thread retranslates at a time; those that execute do not ask."""

    def begin(self, region: Region) -> Hook:
        return (Acquire(LOCK), *super().begin(region))

    def publish(self, region: Region) -> Hook:
        return (*super().publish(region), Release(LOCK))
