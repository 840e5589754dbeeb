"""The floor of every table: the code as each backend emitted it."""

from strategies.strategy import Strategy


class Unfixed(Strategy):
    """As emitted: rewrite the live code and publish nothing."""
