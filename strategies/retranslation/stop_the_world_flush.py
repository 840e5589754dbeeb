"""The dearest right answer."""

from strategies.retranslation.flush_on_retranslation import FlushOnRetranslation
from strategies.retranslation.stop_the_world import StopTheWorld


class StopTheWorldFlush(StopTheWorld, FlushOnRetranslation):
    """Retranslate while nobody executes, flush, and synchronise all cores before going on."""
