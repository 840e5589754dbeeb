"""The dearest right answer."""

from strategies.flush_on_retranslation import FlushOnRetranslation
from strategies.stop_the_world import StopTheWorld


class StopTheWorldFlush(StopTheWorld, FlushOnRetranslation):
    """Retranslate while nobody executes, flush, and synchronise all cores before going on."""
