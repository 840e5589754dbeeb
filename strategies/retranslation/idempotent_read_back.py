"""The fix in the form that MIPS, PPC and AArch64 shipped."""

from strategies.operations import Hook
from strategies.strategy import Strategy
from strategies.writes import Form, Write


class IdempotentReadBack(Strategy):
    """Load what the unit holds, keep the bits not yet known, store the whole; trusts what the buffer holds."""

    def emit(self, write: Write) -> Hook:
        return super().emit(write.in_form(Form.READ_BACK))
