"""What a person sees on a terminal of 80 columns: a pseudo-terminal, and the characters that reach it."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import sys
import termios
from pathlib import Path

import pytest

pty = pytest.importorskip("pty", reason="no pseudo-terminals here")

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def seen(columns: int, *words: str) -> str:
    """What the command writes to a terminal of so many columns, standard output and error as one, without colours."""
    child, terminal = pty.fork()
    if not child:
        # The size has to be there before the program asks for it.
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        environment = {
            name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")
        }
        os.execvpe(sys.executable, [sys.executable, "-m", "bench", *words], {**environment, "TERM": "xterm-256color"})
    written = b""
    while True:
        try:
            more = os.read(terminal, 1 << 16)
        except OSError:  # the other end is closed
            break
        written += more
        if not more:
            break
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, written.decode()
    return _CONTROL.sub("", written.decode()).replace("\r\n", "\n")


def test_wide_tables_are_cut_between_columns_and_verdicts_come_first(tiny_trace: Path) -> None:
    names = ["unfixed", "idempotent", "flush-on-retranslation"]
    words = ["compare", str(tiny_trace), "--strategy", ",".join(names), "--scenario", "system,user", "--wide"]
    text = seen(80, *words)
    # Frames of a bar overwrite each other: they end with a carriage return alone.
    shown = [line.split("\r")[-1] for line in text.split("\n")]
    bar = [frame for line in text.split("\n") for frame in line.split("\r")[:-1]]
    assert max(len(line) for line in [*shown, *bar] if not line.startswith("The first failure")) <= 80
    heads = [line.split() for line in shown if line.strip().startswith("strategy")]
    first, *parts = heads
    assert first == ["strategy", "system", "user"]
    assert len(parts) > 1
    # Every column once, in order, each part with the names of its rows.
    together = " ".join(" ".join(part[1:]) for part in parts)
    assert [word for word in ("system", "user", "extra", "overhead", "share", "memory") if word in together.split()]
    assert together.startswith("system user")
    for name in names:
        assert sum(line.split()[1:2] == [name] for line in shown) >= len(parts)
    assert any("checking unfixed, system" in frame for frame in bar)
    assert any("replaying" in frame for frame in bar)
    assert text.index("checking unfixed") < text.index("strategy") < text.rindex("replaying")


def test_the_default_table_fits_eighty_columns_as_one(tiny_trace: Path) -> None:
    text = seen(80, "compare", str(tiny_trace), "--scenario", "system", "--strategy", "unfixed,idempotent-read-back")
    shown = [line.split("\r")[-1] for line in text.split("\n")]
    assert sum(line.strip().startswith("strategy") for line in shown) == 2  # verdicts, then costs
    assert max(len(line) for line in shown if not line.startswith("The first failure")) <= 80
