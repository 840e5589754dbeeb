"""What a lock would have to be: exclusive against those that execute."""

from strategies.operations import Acquire, Hook, Release, SyncCores
from strategies.strategy import Strategy
from strategies.writes import Region

LOCK = "world"


class StopTheWorld(Strategy):
    """Retranslate while nobody executes (QEMU's start_exclusive), and synchronise all cores before going on."""

    def enter(self, region: Region) -> Hook:
        return (Acquire(LOCK, shared=True), *super().enter(region))

    def leave(self, region: Region) -> Hook:
        return (*super().leave(region), Release(LOCK))

    def begin(self, region: Region) -> Hook:
        return (Acquire(LOCK), *super().begin(region))

    def publish(self, region: Region) -> Hook:
        return (*super().publish(region), SyncCores(), Release(LOCK))
