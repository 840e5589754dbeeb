from staleline import Barrier, Clean, Hook, Invalidate, Region, Strategy, Sync


class CleanFirst(Strategy):
    """Clean and invalidate by hand, as the architecture manual has it."""

    def publish(self, region: Region) -> Hook:
        return (*super().publish(region), Clean(region), Barrier(), Invalidate(region), Barrier(), Sync())
