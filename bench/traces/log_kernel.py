"""The kernels of the log import: they parse ``Trace`` lines and host code, of which nearly all of a QEMU log consists.

``scan`` stops for its caller (``bench.traces.log_scan``, which owns the arrays) at every other line and at every error.

A TB is mostly followed by the same TB as the last time, with the same text.  The kernel keeps the text of each TB's
latest ``Trace`` line.  A line that equals that of the predicted TB, or of the TB at its host address, needs no parsing.
"""

from __future__ import annotations

import enum
from typing import Final

import numpy as np
import numpy.typing as npt

from bench.support.kernels import lean_kernel, part
from bench.traces.successor import UNKNOWN_TB, Words

Bytes = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]


class Stop(enum.IntEnum):
    """Why a scan stopped."""

    END = 0  # no complete line is left
    LINE = 1  # a line for the caller
    FULL = 2  # no room for more executions
    GROW = 3  # no room for more addresses
    BAD_TRACE = 4  # a malformed ``Trace`` line
    BAD_THREAD = 5  # a thread number above 127
    BAD_PC = 6  # the guest address is not that of the TB at this host address
    UNKNOWN_ADDRESS = 7  # no TB was translated to this host address
    WATCHED = 8  # a watched thread has executed


# The values as plain numbers, since numba does not compile enumerations.
_END, _LINE, _FULL, _GROW, _BAD_TRACE, _BAD_THREAD, _BAD_PC, _UNKNOWN_ADDRESS, _WATCHED = (int(stop) for stop in Stop)
_NO_STOP: Final = -1

SLACK: Final = 128
"""Bytes after the last line that a scan may read ahead."""

# Indices of the state: position and counts, whether the log holds every translation, the latest TB that has run, the
# latest Trace line.
AT, LINE_NUMBER, WORDS, EXECUTIONS, ENTRIES, STRICT, RAN, THREADS, THREAD = range(9)
_PREFIX, _PREFIX_TAIL, _PREFIX_LENGTH = range(9, 12)
STATE: Final = 12

# Columns of the tables.  Host addresses, open-addressed: 0 is free, an unknown TB has row ``UNKNOWN_TB``.
ADDRESS, ROW = range(2)
# TBs: host address, guest address and the bits of it that count (the offset in the page, where one TB serves several
# mappings), cflags, -1 until it has run.
HOST, PC, PC_MASK, CFLAGS = range(4)
TB_COLUMNS: Final = 4
# The last execution of each thread: its index, its TB, its host address (-1 once a stop has taken it).
INDEX, LAST_TB, WHERE = range(3)

# The memo of TBs' latest Trace lines, direct-mapped by the TB's low bits: the TB (-1: none), its latest successor, and
# the length of the text after ``Trace N: ``, which another table holds.
TAG, _NEXT, _TEXT_LENGTH = range(3)
MEMO_ROWS: Final = 1 << 14
MEMO_COLUMNS: Final = 4  # one is unused: a slot does not cross a cache line
_SLOT_MASK: Final = MEMO_ROWS - 1
# The first bytes of a text are compared by vector instructions, the others eight at a time.
_AT_ONCE: Final = 64
TEXT_COLUMNS: Final = 128
_LONGEST_TEXT: Final = TEXT_COLUMNS - 8  # eight bytes can be read from every byte of it
_MASKS: Final = (np.arange(_AT_ONCE) < np.arange(_AT_ONCE + 1)[:, None]).astype(np.uint8) * np.uint8(255)
"""Row ``n``: ``n`` bytes 0xff, then zeros."""

# What ``host_lines`` finds: marks, address, bytes before slow paths and constants, lines.
COUNT, START, FAST, LINES = range(4)
MOST_MARKS: Final = 1 << 12
"""Guest instructions with host code per TB; QEMU's own limit is 512 (``TCG_MAX_INSNS``)."""
_NO_MARK, _MARK_INSTRUCTION, _MARK_SLOW, _MARK_DATA = range(4)
_GUEST_MARK: Final = np.frombuffer(b"  -- guest addr 0x", np.uint8)
_PROLOGUE_MARK: Final = np.frombuffer(b" + tb prologue", np.uint8)
_SLOW_MARK: Final = np.frombuffer(b"  -- tb slow paths + alignment", np.uint8)
_DATA_MARK: Final = np.frombuffer(b"  data: [size=", np.uint8)

_TRACE: Final = int.from_bytes(b"Trace ", "little")
_SIX_BYTES: Final = (1 << 48) - 1
_COLON, _BLANK, _NEWLINE, _OPEN, _CLOSE, _SLASH, _ZERO, _X = b": \n[]/0x"

# Masks of eight bytes: every byte 0x01, 0x80, ...
_ONES: Final = np.uint64(0x0101_0101_0101_0101)
_HIGHS: Final = np.uint64(0x8080_8080_8080_8080)
_LOW_NIBBLES: Final = np.uint64(0x0F0F_0F0F_0F0F_0F0F)
_NEWLINES: Final = np.uint64(0x0A0A_0A0A_0A0A_0A0A)
_PLACES: Final = np.uint64(0x0001_0203_0405_0607)
_FROM_0: Final = np.uint64(0x5050_5050_5050_5050)  # + a byte >= "0": its high bit; and so on
_ABOVE_9: Final = np.uint64(0x4646_4646_4646_4646)
_FROM_A: Final = np.uint64(0x1F1F_1F1F_1F1F_1F1F)
_ABOVE_F: Final = np.uint64(0x1919_1919_1919_1919)
_BYTES_OF_2: Final = np.uint64(0x00FF_00FF_00FF_00FF)
_TWO_OF_4: Final = np.uint64(0x0000_FFFF_0000_FFFF)
_FOUR_OF_8: Final = np.uint64(0xFFFF_FFFF)
_FOUR_ZEROS: Final = np.uint64(0x3030_3030)
_U4, _U6, _U7, _U8, _U9, _U16, _U32, _U56 = (np.uint64(n) for n in (4, 6, 7, 8, 9, 16, 32, 56))
_NOT_HEX: Final = np.uint64(1 << 63)


# --- bytes ---------------------------------------------------------------------------------------------------


@part
def _word(data: Bytes, at: int) -> np.int64:
    """Eight bytes as a little-endian number; compiled to one load."""
    # Unsigned indices avoid numba's test for negative ones.
    first = np.uint64(at)
    word = np.uint64(data[first])
    for i in range(1, 8):
        word |= np.uint64(data[first + np.uint64(i)]) << np.uint64(8 * i)
    return np.int64(word)


@part
def _newlines(data: Bytes, at: int) -> np.uint64:
    """The high bit of the lowest newline in eight bytes; the bits above it are undefined."""
    word = np.uint64(_word(data, at)) ^ _NEWLINES
    return (word - _ONES) & ~word & _HIGHS


@part
def _after_line(data: Bytes, at: int) -> int:
    """The index after the next newline, which must exist."""
    # One branch for 24 bytes predicts better than one for each eight.
    found = _newlines(data, at)
    while True:
        second, third = _newlines(data, at + 8), _newlines(data, at + 16)
        if (found | second | third) != 0:
            break
        at += 24
        found = _newlines(data, at)
    if found == 0:
        at += 8
        found = second
    if found == 0:
        at += 8
        found = third
    # Multiplying by the lowest bit (a power of 256) selects its byte number.
    lowest = (found & (~found + np.uint64(1))) >> _U7
    return int(at + np.int64((lowest * _PLACES) >> _U56) + 1)


@part
def _hex_8(word: np.uint64) -> np.uint64:
    """The value of eight lower-case hexadecimal digits, or ``_NOT_HEX``."""
    digits = (word + _FROM_0) & ~(word + _ABOVE_9)
    letters = (word + _FROM_A) & ~(word + _ABOVE_F)
    if ((digits | letters) & ~word & _HIGHS) != _HIGHS:
        return _NOT_HEX
    word = (word & _LOW_NIBBLES) + ((word >> _U6) & _ONES) * _U9
    word = ((word << _U4) + (word >> _U8)) & _BYTES_OF_2
    word = ((word << _U8) + (word >> _U16)) & _TWO_OF_4
    return ((word << _U16) + (word >> _U32)) & _FOUR_OF_8


@part
def _hex(data: Bytes, at: int) -> tuple[np.int64, int]:
    """Parse a lower-case hexadecimal number of 64 bits: its value, and the index after it (``at`` if there is none)."""
    value = np.uint64(0)
    begin = at
    while at - begin < 17:
        digit = data[at]
        if 48 <= digit <= 57:
            value = (value << np.uint64(4)) | np.uint64(digit - 48)
        elif 97 <= digit <= 102:
            value = (value << np.uint64(4)) | np.uint64(digit - 87)
        else:
            return np.int64(value), at
        at += 1
    return np.int64(value), begin


@part
def _host_address(data: Bytes, at: int) -> tuple[np.int64, int]:
    """Parse a hexadecimal number; faster for the twelve digits of a user-space address."""
    if data[at + 12] == _COLON or data[at + 12] == _BLANK:
        high = _hex_8(np.uint64(_word(data, at)))
        low = _hex_8((np.uint64(_word(data, at + 8)) << _U32) | _FOUR_ZEROS)
        if high != _NOT_HEX and low != _NOT_HEX:
            return np.int64((high << _U16) | low), at + 12
    return _hex(data, at)


@part
def _decimal(data: Bytes, at: int) -> tuple[np.int64, int]:
    """Parse a decimal number of at most nine digits."""
    value = np.int64(0)
    begin = at
    while at - begin < 10:
        digit = data[at]
        if not 48 <= digit <= 57:
            return value, at
        value = 10 * value + np.int64(digit - 48)
        at += 1
    return value, begin


# --- host addresses ------------------------------------------------------------------------------------------


@part
def _slot(table: I64, address: np.int64) -> np.int64:
    """The row of ``address`` in the open-addressed table, or the free row where it belongs."""
    mask = np.uint64(table.shape[0] - 1)
    # Host addresses of TBs are multiples of 16 or 64: hash the bits above.
    place = ((np.uint64(address) >> np.uint64(4)) * np.uint64(0x9E37_79B9_7F4A_7C15) >> np.uint64(20)) & mask
    while table[place, ADDRESS] != address and table[place, ADDRESS] != 0:
        place = (place + np.uint64(1)) & mask
    return np.int64(place)


@lean_kernel
def place(table: I64, address: int, row: int) -> bool:
    """Map ``address`` to ``row`` in the table, which has room for it; whether the address is new."""
    entry = _slot(table, np.int64(address))
    new = table[entry, ADDRESS] == 0
    table[entry, ADDRESS] = address
    table[entry, ROW] = row
    return bool(new)


@lean_kernel
def row_at(table: I64, address: int) -> int:
    """The row of ``address``, ``UNKNOWN_TB`` without one."""
    entry = _slot(table, np.int64(address))
    return int(table[entry, ROW]) if table[entry, ADDRESS] != 0 else UNKNOWN_TB


@lean_kernel
def rehash(table: I64, bigger: I64) -> None:
    """Copy ``table`` into the empty table ``bigger``."""
    for row in range(table.shape[0]):
        if table[row, ADDRESS] != 0:
            to = _slot(bigger, table[row, ADDRESS])
            bigger[to, ADDRESS] = table[row, ADDRESS]
            bigger[to, ROW] = table[row, ROW]


# --- Trace lines ---------------------------------------------------------------------------------------------


@part
def _as_before(data: Bytes, at: int, memo: I64, texts: Bytes, slot: int) -> bool:
    """Whether the text at ``at`` equals that of ``slot``."""
    length = memo[slot, _TEXT_LENGTH]
    # Only unsigned indices and bytes compile to vector instructions.
    begin, row, mask = np.uint64(at), np.uint64(slot), np.uint64(min(length, _AT_ONCE))
    differ = np.uint8(0)
    for place in range(_AT_ONCE):
        column = np.uint64(place)
        differ = np.uint8(differ | ((data[begin + column] ^ texts[row, column]) & _MASKS[mask, column]))
    if differ != 0:
        return False
    for place in range(_AT_ONCE, length, 8):
        i = min(place, length - 8)
        if _word(data, at + i) != _word(texts[slot], i):
            return False
    return True


@part
def _remember(data: Bytes, at: int, after: int, memo: I64, texts: Bytes, row: int) -> None:
    """Store ``data[at:after]`` as the text of TB ``row``, unless it is too long."""
    length = after - at
    if length <= _LONGEST_TEXT:
        slot = row & _SLOT_MASK
        memo[slot, TAG] = row
        memo[slot, _TEXT_LENGTH] = length
        for i in range(length):
            texts[slot, i] = data[at + i]


@part
def _known_traces(
    data: Bytes,
    end: int,
    state: I64,
    table: I64,
    memo: I64,
    texts: Bytes,
    tb: I64,
    words: Words,
    last: I64,
    watched: npt.NDArray[np.bool_],
) -> None:
    """Parse ``Trace`` lines with known texts of the latest thread; only one line of a watched thread."""
    first_word, last_word, skip, thread = state[_PREFIX], state[_PREFIX_TAIL], state[_PREFIX_LENGTH], state[THREAD]
    at = state[AT]
    room = 1 if watched[thread] else words.size
    high = np.uint32(thread << 24)
    row = last[thread, LAST_TB]
    first = state[WORDS]
    filled = first
    room = min(room, words.size - first)
    while (
        at < end and filled - first < room and _word(data, at) == first_word and _word(data, at + skip - 8) == last_word
    ):
        at += skip
        following = memo[row & _SLOT_MASK, _NEXT]
        slot = following & _SLOT_MASK
        if memo[slot, TAG] != following or not _as_before(data, at, memo, texts, slot):
            # The prediction failed; the text may be that of the TB at this address.
            address, _ = _host_address(data, at + 2)
            entry = _slot(table, address)
            following = table[entry, ROW]
            slot = following & _SLOT_MASK
            if (
                table[entry, ADDRESS] == 0
                or memo[slot, TAG] != following
                or not _as_before(data, at, memo, texts, slot)
            ):
                at -= skip
                break
            memo[row & _SLOT_MASK, _NEXT] = following
        at += memo[slot, _TEXT_LENGTH]
        words[filled] = high | np.uint32(following)
        filled += 1
        row = following
    if filled > first:
        executions = state[EXECUTIONS] + filled - first
        last[thread, INDEX] = executions - 1
        last[thread, LAST_TB] = row
        last[thread, WHERE] = tb[row, HOST]
        state[AT] = at
        state[WORDS] = filled
        state[EXECUTIONS] = executions
        state[LINE_NUMBER] += filled - first


@part
def _trace(data: Bytes, state: I64, table: I64, memo: I64, texts: Bytes, tb: I64, words: Words, last: I64) -> int:
    """Parse any ``Trace`` line; the tables have room for it."""
    at = state[AT]
    thread, place = _decimal(data, at + 6)
    if place == at + 6 or data[place] != _COLON or data[place + 1] != _BLANK:
        return _BAD_TRACE
    if data[place + 2] != _ZERO or data[place + 3] != _X:
        return _BAD_TRACE
    if thread > 127:
        return _BAD_THREAD
    text = place + 2
    address, after = _host_address(data, text + 2)
    if after == text + 2 or address == 0 or data[after] != _BLANK or data[after + 1] != _OPEN:
        return _BAD_TRACE
    _, place = _hex(data, after + 2)
    if place == after + 2 or data[place] != _SLASH:
        return _BAD_TRACE
    pc, after = _hex(data, place + 1)
    if after == place + 1 or data[after] != _SLASH:
        return _BAD_TRACE
    _, place = _hex(data, after + 1)
    if place == after + 1 or data[place] != _SLASH:
        return _BAD_TRACE
    cflags, after = _hex(data, place + 1)
    if after == place + 1 or data[after] != _CLOSE or data[after + 1] not in (_BLANK, _NEWLINE):
        return _BAD_TRACE
    after = _after_line(data, after + 1)
    entry = _slot(table, address)
    row = int(table[entry, ROW]) if table[entry, ADDRESS] != 0 else UNKNOWN_TB
    if row != UNKNOWN_TB:
        if ((tb[row, PC] ^ pc) & tb[row, PC_MASK]) != 0:
            return _BAD_PC
        tb[row, CFLAGS] = cflags
        _remember(data, text, after, memo, texts, row)
        before = last[thread, LAST_TB]
        if before >= 0:
            memo[before & _SLOT_MASK, _NEXT] = row
        state[RAN] = max(state[RAN], row)
    elif state[STRICT]:
        return _UNKNOWN_ADDRESS
    elif table[entry, ADDRESS] == 0:
        table[entry, ADDRESS] = address
        table[entry, ROW] = UNKNOWN_TB
        state[ENTRIES] += 1
    words[state[WORDS]] = np.uint32(thread << 24) | np.uint32(row)
    last[thread, INDEX] = state[EXECUTIONS]
    last[thread, LAST_TB] = row
    last[thread, WHERE] = address
    state[THREAD] = thread
    state[THREADS] = max(state[THREADS], thread + 1)
    state[_PREFIX] = _word(data, at)
    state[_PREFIX_TAIL] = _word(data, text - 8)
    state[_PREFIX_LENGTH] = text - at
    state[AT] = after
    state[WORDS] += 1
    state[EXECUTIONS] += 1
    state[LINE_NUMBER] += 1
    return _NO_STOP


# --- host code -----------------------------------------------------------------------------------------------


@part
def _starts(data: Bytes, at: int, end: int, text: Bytes) -> bool:
    if at + text.size > end:
        return False
    for i in range(text.size):  # noqa: SIM110 - numba does not compile all()
        if data[at + i] != text[i]:
            return False
    return True


@lean_kernel
def host_lines(data: Bytes, at: int, end: int, size: int, marked: U64, offsets: I64, found: I64) -> bool:
    """Parse the lines of an OUT block of ``size`` bytes from ``at`` on, after its first.

    ``marked``, ``offsets``: see ``bench.traces.log_blocks.HostCode``.  ``found`` gets the indices ``COUNT`` to
    ``LINES``.  Returns whether the lines are in order; ``LINES`` are before the first that is not, or before the end.
    """
    start = latest = slow = constants = np.int64(-1)
    count = lines = 0
    mark = _NO_MARK
    good: bool | np.bool = True
    while at < end and data[at] != _NEWLINE:
        if data[at] == _ZERO:
            address, after = _host_address(data, at + 2)
            if start < 0:
                start = address
            offset = address - start
            # An x86 instruction of more than eight bytes has several lines with ascending addresses.
            good = (
                data[at + 1] == _X and after > at + 2 and data[after] == _COLON and latest < offset < size and count > 0
            )
            if not good:
                break
            if mark == _MARK_INSTRUCTION:
                offsets[count - 1] = offset
            elif mark == _MARK_SLOW:
                slow = offset
            mark = _NO_MARK
            latest = offset
            at = _after_line(data, after)
        else:
            if _starts(data, at, end, _GUEST_MARK):
                begin = at + _GUEST_MARK.size
                guest, after = _hex(data, begin)
                first = _starts(data, after, end, _PROLOGUE_MARK)
                good = after > begin and slow < 0 and constants < 0 and first == (count == 0) and count < marked.size
                if good:
                    # A mark directly after a mark: the first instruction has no host code.
                    if mark != _MARK_INSTRUCTION:
                        count += 1
                    marked[count - 1] = np.uint64(guest)
                if first:
                    after += _PROLOGUE_MARK.size
                following = _MARK_INSTRUCTION
            elif _starts(data, at, end, _SLOW_MARK):
                good = mark == _NO_MARK and slow < 0
                after = at + _SLOW_MARK.size
                following = _MARK_SLOW
            elif _starts(data, at, end, _DATA_MARK):
                begin = at + _DATA_MARK.size
                bytes_, after = _decimal(data, begin)
                good = mark == _NO_MARK and constants < 0 and after > begin and data[after] == _CLOSE and bytes_ <= size
                constants = bytes_
                after += 1
                following = _MARK_DATA
            else:
                good = False
                break
            good = good and data[after] == _NEWLINE
            if not good:
                break
            mark = following
            at = after + 1
        lines += 1
    if good and at < end:
        good = mark == _NO_MARK and latest >= 0
    found[COUNT], found[START], found[LINES] = count, start, lines
    found[FAST] = slow if slow >= 0 else size - constants if constants > 0 else size
    return bool(good)


# --- the scan ------------------------------------------------------------------------------------------------


@lean_kernel
def scan(
    data: Bytes,
    end: int,
    state: I64,
    table: I64,
    memo: I64,
    texts: Bytes,
    tb: I64,
    words: Words,
    last: I64,
    watched: npt.NDArray[np.bool_],
) -> int:
    """Parse complete ``Trace`` lines from ``data[state[AT]:end]`` until a ``Stop``.

    The byte before ``end`` is a newline, and ``SLACK`` bytes after it are readable.
    """
    while state[AT] < end:
        at = state[AT]
        if ((_word(data, at) ^ _TRACE) & _SIX_BYTES) != 0:
            return _LINE
        _known_traces(data, end, state, table, memo, texts, tb, words, last, watched)
        if state[AT] == at:
            if state[WORDS] == words.size:
                return _FULL
            if 2 * (state[ENTRIES] + 1) > table.shape[0]:
                return _GROW
            stop = _trace(data, state, table, memo, texts, tb, words, last)
            if stop != _NO_STOP:
                return stop
        if watched[state[THREAD]]:
            return _WATCHED
    return _END
