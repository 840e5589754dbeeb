"""``python -m bench`` is the command ``staleline``."""

from bench.commands.application import main

main()
