"""``python -m bench`` is the command ``staleline``."""

from bench.cli import main

main()
