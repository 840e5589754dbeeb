"""The fix that QEMU's backends shipped, 2008 to 2015."""

from strategies.operations import Hook
from strategies.strategy import Strategy
from strategies.writes import Write


class Idempotent(Strategy):
    """Never let a unit hold anything but its final value, in the form this backend shipped."""

    def emit(self, write: Write) -> Hook:
        return super().emit(write.in_form(write.unit.shipped_form))
