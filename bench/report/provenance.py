"""What made a result: the command line, the version, the commit."""

from __future__ import annotations

import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def command_line() -> str:
    """The command as it was called."""
    return shlex.join(("staleline", *sys.argv[1:]))


def installed() -> str:
    """The version of the installed package."""
    try:
        return version("staleline")
    except PackageNotFoundError:
        return "not installed"


def commit() -> str:
    """The commit of a checkout, with a mark where it was changed; nothing of an installed package."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return "an installed package"
    try:
        found = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return found.stdout.strip()
