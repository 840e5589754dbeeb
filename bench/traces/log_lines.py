"""A log as blocks of complete lines; a thread decompresses the next block while one is scanned."""

from __future__ import annotations

import itertools
import os
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Final

from bench.support.errors import InputError
from bench.traces.log_input import LogBytes
from bench.traces.log_kernel import SLACK

LONGEST_LINE: Final = 1 << 20
"""The maximum length in bytes of a line, its newline included, and of a block."""

_TAIL: Final = 1 << 12
"""Where the end of a block of lines is looked for first, in bytes."""
_BUFFERS: Final = 3  # one is scanned, one is filled, and one waits

Lines = tuple[bytearray, int]


def whole_lines(log: str, progress: Callable[[int], None]) -> Iterator[Lines]:
    """The decompressed ``log`` as ``(buffer, end)``: ``buffer[:end]`` are complete lines, valid until the next pair.

    ``SLACK`` bytes follow ``end``.  No pair but the last ends within a translation (lines up to an empty one) of less
    than ``LONGEST_LINE`` bytes.  Bytes after the last newline are dropped.  If a line is longer than
    ``LONGEST_LINE``, the last pair has ``end`` 0.  ``progress`` and errors: see ``LogBytes``; an error is raised after
    the lines before it.
    """
    lines = _lines(log, progress)
    # No thread for a pipe: a thread that waits for input cannot be stopped.
    return ahead(lines) if log != "-" and os.path.isfile(log) else lines


def _lines(log: str, progress: Callable[[int], None]) -> Iterator[Lines]:
    with LogBytes(log, progress) as source:
        yield from cut(source.readinto)


def cut(readinto: Callable[[memoryview], int]) -> Iterator[Lines]:
    """The blocks of the bytes from ``readinto``; a pair is valid until ``_BUFFERS - 1`` more are drawn."""
    buffers = itertools.cycle([bytearray(LONGEST_LINE + SLACK) for _ in range(_BUFFERS)])
    buffer, filled = next(buffers), 0
    failure: InputError | None = None
    try:
        while size := readinto(memoryview(buffer)[filled:LONGEST_LINE]):
            filled += size
            if filled == LONGEST_LINE:
                end = _between(buffer, filled)
                yield buffer, end
                if not end:
                    return
                begun = buffer[end:filled]
                buffer, filled = next(buffers), len(begun)
                buffer[:filled] = begun
    except InputError as error:
        failure = error
    if end := buffer.rfind(b"\n", 0, filled) + 1:
        yield buffer, end
    if failure is not None:
        raise failure


def _between(buffer: bytearray, filled: int) -> int:
    """The last place in ``buffer[:filled]`` where a line begins and no translation is left open; 0 without one."""
    for begin in (filled - _TAIL, 0):
        end = max(
            buffer.rfind(b"\nTrace ", max(begin, 0), filled) + 1, buffer.rfind(b"\n\n", max(begin, 0), filled) + 2
        )
        if end > 1:
            return end
    return buffer.rfind(b"\n", 0, filled) + 1


def ahead(lines: Iterator[Lines]) -> Iterator[Lines]:
    """``lines`` in order, drawn by a thread that ends with the iteration."""
    drawn: queue.SimpleQueue[Lines | BaseException | None] = queue.SimpleQueue()
    # True permits the thread to draw one more pair; false ends it.
    wanted: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def draw() -> None:
        try:
            for pair in lines:
                drawn.put(pair)
                if not wanted.get():
                    return
            drawn.put(None)
        except BaseException as error:
            drawn.put(error)

    for _ in range(_BUFFERS - 1):
        wanted.put(True)
    thread = threading.Thread(target=draw, name="log", daemon=True)
    thread.start()
    try:
        while (pair := drawn.get()) is not None:
            if isinstance(pair, BaseException):
                raise pair
            yield pair
            wanted.put(True)
    finally:
        wanted.put(False)
        thread.join()
