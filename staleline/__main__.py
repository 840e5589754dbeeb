"""``python -m staleline`` is the command ``staleline``."""

from bench.commands.application import main

if __name__ == "__main__":
    main()
