"""The kernels of the log import: they parse the lines that nearly all of a QEMU log consists of, at memory speed.

``scan`` parses ``Trace`` lines and translations (``IN`` and ``OUT`` blocks).  It stops for its caller
(``bench.traces.log_scan``, which owns the arrays) at every other line and at every error.

A TB is mostly followed by the same TB as the last time, with the same text.  The kernel keeps the text of each TB's
latest ``Trace`` line.  A line that equals that of the predicted TB, or of the TB at its host address, needs no parsing.

The host address of a translation shows two events:

* An address below the latest one: the code buffer was flushed.  In system emulation with several CPUs, each of which
  has its own part of the buffer, this holds only if the address overlaps a live TB.
* The address of the latest TB, which never ran: that TB was translated twice and discarded.
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


class Stop(enum.IntEnum):
    """Why a scan stopped."""

    END = 0  # no complete line is left
    LINE = 1  # a line for the caller
    FULL = 2  # no room for more executions
    GROW = 3  # no room in one of the tables
    PROLOGUE = 4  # the prologue is complete
    BAD_TRACE = 5  # a malformed ``Trace`` line
    BAD_THREAD = 6  # a thread number above 127
    BAD_PC = 7  # the guest address is not that of the TB at this host address
    UNKNOWN_ADDRESS = 8  # no TB was translated to this host address
    BAD_HOST_LINE = 9  # a malformed line in an OUT block, or an address out of range or order
    WATCHED = 10  # a watched thread has executed
    FLUSHED = 11  # a TB was added after a flush of the code buffer
    DISCARDED = 12  # a TB was added in place of a discarded one
    UNTRANSLATED = 13  # an OUT block of guest code (``ODD_GUEST``) without an IN block
    BAD_CHUNK = 14  # host code of a guest address (``ODD_GUEST``) outside the TB (``ODD_PC``)
    TOO_MANY = 15  # more TBs than a trace can hold


# The values as plain numbers, since numba does not compile enumerations.
(
    _END,
    _LINE,
    _FULL,
    _GROW,
    _PROLOGUE,
    _BAD_TRACE,
    _BAD_THREAD,
    _BAD_PC,
    _UNKNOWN_ADDRESS,
    _BAD_HOST_LINE,
    _WATCHED,
    _FLUSHED,
    _DISCARDED,
    _UNTRANSLATED,
    _BAD_CHUNK,
    _TOO_MANY,
) = (int(stop) for stop in Stop)
_NO_STOP: Final = -1

SLACK: Final = 128
"""Bytes after the last line that a scan may read ahead."""
MOST_CHUNKS: Final = 1 << 12
"""Guest instructions with host code per TB; QEMU's own limit is 512 (``TCG_MAX_INSNS``)."""
MOST_PENDING: Final = 128
"""IN blocks whose host code is not printed yet: one per thread, and more where one overflowed the buffer."""

# Indices of the state: position and counts, ...
AT, LINE_NUMBER, WORDS, EXECUTIONS, ENTRIES, TBS, CHUNKS, LIVE = range(8)
# ... options, ...
STRICT, GUEST, SYSTEM = range(8, 11)
# ... the block being read, ...
BLOCK, SEPARATED, SIZE, START, _LATEST, _MARK, _BLOCK_CHUNKS, _SLOW, _DATA = range(12, 21)
# ... guest code without host code, ...
POOL, PENDING, FIRST, GUEST_BYTES_SO_FAR = range(21, 25)
# ... the latest TB, the latest Trace line, and the details of an error.
LATEST_START, _RAN, EPOCH, THREADS, THREAD, _PREFIX, _PREFIX_TAIL, _PREFIX_LENGTH, ODD_GUEST, ODD_PC = range(25, 35)
STATE: Final = 35

NO_BLOCK, IN_GUEST, IN_OUT, IN_PROLOGUE = range(4)
NO_GUEST, ARM, MIPS = range(3)
_NO_MARK, _MARK_INSTRUCTION, _MARK_SLOW, _MARK_DATA = range(4)

# Columns of the tables.  Host addresses, open-addressed: 0 is free, an unknown TB has row ``UNKNOWN_TB``.
ADDRESS, ROW = range(2)
# TBs.  ``HOST`` is the host address, ``CHUNK`` the first row of its chunks.
HOST, HOST_BYTES, FAST_BYTES, PC, GUEST_BYTES, INSTRUCTIONS, ACCESSES, BORN_EPOCH, BORN, CHUNK = range(10)
TB_COLUMNS: Final = 10
# Chunks, one per guest instruction with host code: guest offset in the TB, end of the host code in it, accesses so far.
OFFSET, CHUNK_END, SO_FAR = range(3)
# Guest instructions of IN blocks: guest address, accesses of the block so far.
GUEST_ADDRESS, GUEST_SO_FAR = range(2)
# Pending IN blocks: first row of its instructions, their number, bytes.
PENDING_FIRST, PENDING_COUNT, PENDING_BYTES = range(3)
# The last execution of each thread: its index, its TB, its host address (-1 once a stop has taken it).
INDEX, LAST_TB, WHERE = range(3)

# Known instructions: 64 bytes of text, its length, its accesses or ``BY_OPERANDS``.  Free: length 0.
_KEY_WORDS: Final = 8
LONGEST_KEY: Final = 8 * _KEY_WORDS
_LENGTH, _VALUE = _KEY_WORDS, _KEY_WORDS + 1
KNOWN_COLUMNS: Final = _KEY_WORDS + 2
KNOWN_ROWS: Final = 1 << 13
BY_OPERANDS: Final = -1
"""The value of a mnemonic whose accesses depend on the operands."""

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

_TRACE_0: Final = int.from_bytes(b"Trace 0:", "little")
_SIX_BYTES: Final = (1 << 48) - 1
_SEPARATOR: Final = np.frombuffer(b"----------------\n", np.uint8)
_IN: Final = np.frombuffer(b"IN:", np.uint8)
_OUT: Final = np.frombuffer(b"OUT: [size=", np.uint8)
_DETAIL: Final = np.frombuffer(b"...with ", np.uint8)  # the detail of an exception, ignored
_GUEST_MARK, _GUEST_MARK_8 = (int.from_bytes(word, "little") for word in (b"  -- gue", b"st addr "))  # then "0x"
_GUEST_MARK_SIZE: Final = 18
_PROLOGUE_MARK: Final = np.frombuffer(b" + tb prologue", np.uint8)
_SLOW_MARK: Final = np.frombuffer(b"  -- tb slow paths + alignment", np.uint8)
_DATA_MARK: Final = np.frombuffer(b"  data: [size=", np.uint8)
_COLON, _BLANK, _NEWLINE, _TAB, _OPEN, _CLOSE, _SLASH, _ZERO, _X, _DOT, _UNDERSCORE = b": \n\t[]/0x._"

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
def _starts(data: Bytes, at: int, end: int, text: Bytes) -> bool:
    if at + text.size > end:
        return False
    for i in range(text.size):  # noqa: SIM110 - numba does not compile all()
        if data[at + i] != text[i]:
            return False
    return True


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
    _, after = _hex(data, place + 1)
    if after == place + 1 or data[after] != _CLOSE or data[after + 1] not in (_BLANK, _NEWLINE):
        return _BAD_TRACE
    after = _after_line(data, after + 1)
    entry = _slot(table, address)
    row = int(table[entry, ROW]) if table[entry, ADDRESS] != 0 else UNKNOWN_TB
    if row != UNKNOWN_TB:
        if tb[row, PC] != pc:
            return _BAD_PC
        _remember(data, text, after, memo, texts, row)
        before = last[thread, LAST_TB]
        if before >= 0:
            memo[before & _SLOT_MASK, _NEXT] = row
        if row == state[TBS] - 1:
            state[_RAN] = 1
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


# --- guest code ----------------------------------------------------------------------------------------------


@part
def _key_word(data: Bytes, begin: int, length: int, i: int) -> np.int64:
    """Word ``i`` of a text of ``length`` bytes, padded with zeros."""
    word = _word(data, begin + 8 * i)
    rest = length - 8 * i
    return word & ((np.int64(1) << (8 * rest)) - 1) if rest < 8 else word


@part
def _known_row(data: Bytes, begin: int, length: int, known: I64) -> np.int64:
    """The row of the text ``data[begin:][:length]`` in ``known``, or the free row where it belongs."""
    size = (length + 7) >> 3
    mixed = np.uint64(length)
    for i in range(size):
        mixed = (mixed ^ np.uint64(_key_word(data, begin, length, i))) * np.uint64(0x9E37_79B9_7F4A_7C15)
        mixed ^= mixed >> np.uint64(29)
    row = np.int64(mixed & np.uint64(KNOWN_ROWS - 1))
    while known[row, _LENGTH] != 0:
        if known[row, _LENGTH] == length:
            i = 0
            while i < size and known[row, i] == _key_word(data, begin, length, i):
                i += 1
            if i == size:
                return row
        row = (row + 1) & (KNOWN_ROWS - 1)
    return row


@lean_kernel
def learn(text: Bytes, length: int, known: I64, value: int) -> bool:
    """Map the first ``length`` bytes of ``text`` to ``value``; whether the key is new.

    ``length`` is 1 to ``LONGEST_KEY``; seven more bytes must be readable.
    """
    row = _known_row(text, 0, length, known)
    new = known[row, _LENGTH] == 0
    for i in range((length + 7) >> 3):
        known[row, i] = _key_word(text, 0, length, i)
    known[row, _LENGTH] = length
    known[row, _VALUE] = value
    return bool(new)


@part
def _hex_digits(data: Bytes, at: int) -> int:
    """The number of hexadecimal digits at ``at``, at most nine."""
    count = 0
    while count < 9 and (48 <= data[at + count] <= 57 or 97 <= data[at + count] <= 102):
        count += 1
    return count


@lean_kernel
def add_instruction(state: I64, pool: I64, address: int | np.int64, size: int, accesses: int) -> None:
    """Add an instruction of ``size`` bytes to the current IN block; the table has room for it."""
    row = state[POOL]
    so_far = pool[row - 1, GUEST_SO_FAR] if row > state[FIRST] else 0
    pool[row, GUEST_ADDRESS] = address
    pool[row, GUEST_SO_FAR] = so_far + accesses
    state[POOL] = row + 1
    state[GUEST_BYTES_SO_FAR] += size


@part
def _guest_line(data: Bytes, at: int, state: I64, pool: I64, known: I64) -> int:
    """Parse an instruction with known accesses that continues the block.  Returns the index after it, or -1.

    The table has room for it.
    """
    address, begin = _hex(data, at + 2)
    digits = begin - at - 2
    if data[at] != _ZERO or data[at + 1] != _X:
        return -1
    if data[begin] != _COLON or data[begin + 1] != _BLANK or data[begin + 2] != _BLANK:
        return -1
    if state[POOL] > state[FIRST] and address != pool[state[FIRST], GUEST_ADDRESS] + state[GUEST_BYTES_SO_FAR]:
        return -1
    begin += 3
    size = 4
    if state[GUEST] == ARM:
        opcode = _hex_digits(data, begin)
        if digits != 8 or data[begin + opcode] != _BLANK:
            return -1
        begin += opcode
        if opcode == 4:
            second = _hex_digits(data, begin + 1)
            if second == 4 and data[begin + 5] == _BLANK:
                begin += 5
            elif second == 0:
                size = 2
            else:
                return -1
        elif opcode != 8:
            return -1
        while data[begin] == _BLANK:
            begin += 1
    elif state[GUEST] != MIPS or digits < 8:
        return -1
    if not (97 <= data[begin] <= 122 or data[begin] == _DOT):
        return -1
    end = begin + 1
    while (
        97 <= data[end] <= 122
        or 48 <= data[end] <= 57
        or 65 <= data[end] <= 90
        or data[end] == _DOT
        or data[end] == _UNDERSCORE
    ):
        end += 1
    # A space here could follow the opcode of an ARM instruction.
    if state[GUEST] == MIPS and data[end] != _TAB and data[end] != _NEWLINE:
        return -1
    after = _after_line(data, end)
    if end - begin > LONGEST_KEY:
        return -1
    row = _known_row(data, begin, end - begin, known)
    if known[row, _LENGTH] != 0 and known[row, _VALUE] == BY_OPERANDS:
        if after - 1 - begin > LONGEST_KEY:
            return -1
        row = _known_row(data, begin, after - 1 - begin, known)
    if known[row, _LENGTH] == 0 or known[row, _VALUE] == BY_OPERANDS:
        return -1
    add_instruction(state, pool, address, size, known[row, _VALUE])
    return after


@part
def _guest_lines(data: Bytes, end: int, state: I64, pool: I64, known: I64) -> None:
    """Parse instructions while ``_guest_line`` can and the table has room."""
    while state[AT] < end and state[POOL] < pool.shape[0]:
        after = _guest_line(data, state[AT], state, pool, known)
        if after < 0:
            return
        state[AT] = after
        state[LINE_NUMBER] += 1


@part
def _end_guest(state: I64, pending: I64) -> None:
    """End the IN block, which is now pending until its host code follows.  The oldest of too many is dropped."""
    if state[PENDING] == MOST_PENDING:
        _drop_pending(state, pending, 0)
    row = state[PENDING]
    pending[row, PENDING_FIRST] = state[FIRST]
    pending[row, PENDING_COUNT] = state[POOL] - state[FIRST]
    pending[row, PENDING_BYTES] = state[GUEST_BYTES_SO_FAR]
    state[PENDING] = row + 1
    state[BLOCK] = NO_BLOCK


@part
def _drop_pending(state: I64, pending: I64, row: int) -> None:
    for later in range(row + 1, state[PENDING]):
        for column in range(3):
            pending[later - 1, column] = pending[later, column]
    state[PENDING] -= 1


# --- host code -----------------------------------------------------------------------------------------------


@lean_kernel
def begin_block(state: I64, size: int | np.int64, block: int) -> None:
    """Begin a block of ``size`` bytes of host code with the next line; ``block``: ``IN_OUT`` or ``IN_PROLOGUE``."""
    state[BLOCK] = block
    state[SIZE] = size
    state[START] = state[_LATEST] = state[_SLOW] = state[_DATA] = -1
    state[_MARK] = _NO_MARK
    state[_BLOCK_CHUNKS] = 0


@part
def _host_code(data: Bytes, end: int, state: I64, chunk: I64) -> bool:
    """Parse host instructions, constants and guest-address marks.  Returns whether the next line is in order.

    Until the block ends, a chunk's ``OFFSET`` is the guest address printed, its ``CHUNK_END`` the start of its code.
    """
    at, start, size, latest, mark = state[AT], state[START], state[SIZE], state[_LATEST], state[_MARK]
    first = state[CHUNKS]
    count = state[_BLOCK_CHUNKS]
    lines = 0
    good = True
    while good and at < end:
        if data[at] == _ZERO:
            address, after = _host_address(data, at + 2)
            if start < 0:
                start = address
            offset = address - start
            # An x86 instruction of more than eight bytes has several lines with ascending addresses.
            good = (
                data[at + 1] == _X
                and after > at + 2
                and data[after] == _COLON
                and latest < offset < size
                and (mark != _NO_MARK or offset != 0 or state[BLOCK] != IN_OUT)
            )
            if good:
                if mark == _MARK_INSTRUCTION:
                    chunk[first + count - 1, CHUNK_END] = offset
                elif mark == _MARK_SLOW:
                    state[_SLOW] = offset
                mark = _NO_MARK
                latest = offset
                at = _after_line(data, after)
                lines += 1
        elif _word(data, at) == _GUEST_MARK and _word(data, at + 8) == _GUEST_MARK_8:
            guest, after = _hex(data, at + _GUEST_MARK_SIZE)
            good = (
                data[at + 16] == _ZERO
                and data[at + 17] == _X
                and after > at + _GUEST_MARK_SIZE
                and count < MOST_CHUNKS
                and state[_SLOW] < 0
                and (count == 0) == _starts(data, after, end, _PROLOGUE_MARK)
            )
            if good and count == 0:
                after += _PROLOGUE_MARK.size
            good = good and data[after] == _NEWLINE
            if good:
                # A mark directly after a mark: the first instruction has no host code.
                if mark != _MARK_INSTRUCTION:
                    count += 1
                chunk[first + count - 1, OFFSET] = guest
                mark = _MARK_INSTRUCTION
                at = after + 1
                lines += 1
        else:
            break
    state[AT], state[START], state[_LATEST], state[_MARK], state[_BLOCK_CHUNKS] = at, start, latest, mark, count
    state[LINE_NUMBER] += lines
    return good


@part
def _host_mark(data: Bytes, end: int, state: I64) -> bool:
    """Parse the line before the slow paths or the constants.  Returns whether it is in order."""
    at = state[AT]
    if state[_MARK] != _NO_MARK:
        return False
    if _starts(data, at, end, _SLOW_MARK):
        after = at + _SLOW_MARK.size
        if state[_SLOW] >= 0:
            return False
        state[_MARK] = _MARK_SLOW
    elif _starts(data, at, end, _DATA_MARK):
        size, after = _decimal(data, at + _DATA_MARK.size)
        if after == at + _DATA_MARK.size or data[after] != _CLOSE or state[_DATA] >= 0 or size > state[SIZE]:
            return False
        after += 1
        state[_DATA] = size
        state[_MARK] = _MARK_DATA
    else:
        return False
    if data[after] != _NEWLINE:
        return False
    state[AT] = after + 1
    state[LINE_NUMBER] += 1
    return True


@part
def _translated(state: I64, pool: I64, pending: I64, guest: np.int64) -> int:
    """The pending IN block of host code for address ``guest``, in full or as an offset in the page; -1: none."""
    for row in range(state[PENDING] - 1, -1, -1):
        pc = pool[pending[row, PENDING_FIRST], GUEST_ADDRESS]
        if guest == pc or guest == pc & 0xFFF:
            if guest != pc:
                # Only system emulation with position-independent TBs prints offsets.
                state[SYSTEM] = 1
            return row
    return -1


@part
def _place(state: I64, table: I64, memo: I64, live: I64, last: I64) -> int:
    """Record the address of a TB; ``FLUSHED`` or ``DISCARDED`` if it shows that (see the module docstring)."""
    start = state[START]
    end = start + state[SIZE]
    count = state[LIVE]
    stop = _NO_STOP
    at = count
    if start > state[LATEST_START] and (count == 0 or start >= live[count - 1, 1]):
        state[LIVE] = count + 1
    else:
        threads = 0
        for thread in range(state[THREADS]):
            threads += last[thread, INDEX] >= 0
        at, above = 0, count
        while at < above:
            middle = (at + above) >> 1
            if live[middle, 0] < start:
                at = middle + 1
            else:
                above = middle
        if start == state[LATEST_START] and not state[_RAN]:
            stop = _DISCARDED
        elif (
            state[SYSTEM]
            and threads > 1
            and (at == 0 or live[at - 1, 1] <= start)
            and (at == count or live[at, 0] >= end)
        ):
            for later in range(count, at, -1):
                live[later, 0] = live[later - 1, 0]
                live[later, 1] = live[later - 1, 1]
            state[LIVE] = count + 1
        else:
            stop = _FLUSHED
            at = 0
            state[LIVE] = 1
            state[EPOCH] += 1
            for row in range(table.shape[0]):
                table[row, ROW] = UNKNOWN_TB
            for slot in range(MEMO_ROWS):
                memo[slot, TAG] = -1
    live[at, 0] = start
    live[at, 1] = end
    state[LATEST_START] = start
    return stop


@part
def _end_host(
    state: I64, table: I64, memo: I64, tb: I64, chunk: I64, live: I64, pool: I64, pending: I64, last: I64
) -> int:
    """End the OUT block: it and its IN block become a TB; the tables have room for it."""
    first = state[CHUNKS]
    count = state[_BLOCK_CHUNKS]
    guest = chunk[first, OFFSET]
    which = _translated(state, pool, pending, guest)
    state[ODD_GUEST] = guest
    if which < 0:
        return _UNTRANSLATED
    stop = _place(state, table, memo, live, last)
    row = state[TBS]
    if row >= UNKNOWN_TB:
        return _TOO_MANY
    begin = pending[which, PENDING_FIRST]
    end = begin + pending[which, PENDING_COUNT]
    pc = pool[begin, GUEST_ADDRESS]
    state[ODD_PC] = pc
    fast = state[_SLOW] if state[_SLOW] >= 0 else state[SIZE] - max(state[_DATA], 0)
    # Guest addresses in host code are full or offsets in the page; they ascend within a TB.
    mask = np.int64(0xFFF) if guest != pc else np.int64(-1)
    at = begin
    for i in range(first, first + count):
        guest = chunk[i, OFFSET] & mask
        while at < end and pool[at, GUEST_ADDRESS] & mask != guest:
            at += 1
        if at == end:
            state[ODD_GUEST] = chunk[i, OFFSET]
            return _BAD_CHUNK
        chunk[i, OFFSET] = pool[at, GUEST_ADDRESS] - pc
        chunk[i, CHUNK_END] = chunk[i + 1, CHUNK_END] if i + 1 < first + count else fast
        chunk[i, SO_FAR] = pool[at, GUEST_SO_FAR]
        at += 1
    tb[row, HOST] = state[START]
    tb[row, HOST_BYTES] = state[SIZE]
    tb[row, FAST_BYTES] = fast
    tb[row, PC] = pc
    tb[row, GUEST_BYTES] = pending[which, PENDING_BYTES]
    tb[row, INSTRUCTIONS] = end - begin
    tb[row, ACCESSES] = pool[end - 1, GUEST_SO_FAR]
    tb[row, BORN_EPOCH] = state[EPOCH]
    tb[row, BORN] = state[EXECUTIONS]
    tb[row, CHUNK] = first
    entry = _slot(table, state[START])
    state[ENTRIES] += table[entry, ADDRESS] == 0
    table[entry, ADDRESS] = state[START]
    table[entry, ROW] = row
    state[TBS] = row + 1
    state[CHUNKS] = first + count
    state[_RAN] = 0
    state[BLOCK] = NO_BLOCK
    if which == state[PENDING] - 1:
        # Older IN blocks were printed again or discarded.
        state[PENDING] = 0
        state[POOL] = 0
    else:
        _drop_pending(state, pending, which)
    return stop


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
    chunk: I64,
    live: I64,
    pool: I64,
    pending: I64,
    known: I64,
    words: Words,
    last: I64,
    watched: npt.NDArray[np.bool_],
) -> int:
    """Parse complete lines from ``data[state[AT]:end]`` until a ``Stop``.

    The byte before ``end`` is a newline, and ``SLACK`` bytes after it are readable.
    """
    while state[AT] < end:
        at = state[AT]
        block = state[BLOCK]
        if block == NO_BLOCK and ((_word(data, at) ^ _TRACE_0) & _SIX_BYTES) == 0:
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
        elif block == IN_GUEST:
            _guest_lines(data, end, state, pool, known)
            at = state[AT]
            if at == end:
                break
            if data[at] == _NEWLINE and state[POOL] > state[FIRST]:
                _end_guest(state, pending)
                state[AT] = at + 1
                state[LINE_NUMBER] += 1
            else:
                return _GROW if state[POOL] == pool.shape[0] else _LINE
        elif block != NO_BLOCK:
            if state[CHUNKS] + MOST_CHUNKS > chunk.shape[0]:
                return _GROW
            if not _host_code(data, end, state, chunk):
                return _BAD_HOST_LINE
            at = state[AT]
            if at == end:
                break
            if data[at] != _NEWLINE:
                if not _host_mark(data, end, state):
                    return _BAD_HOST_LINE
                continue
            if state[_MARK] != _NO_MARK or state[_LATEST] < 0 or (block == IN_OUT and state[_BLOCK_CHUNKS] == 0):
                return _BAD_HOST_LINE
            if state[TBS] == tb.shape[0] or state[LIVE] == live.shape[0] or 2 * (state[ENTRIES] + 1) > table.shape[0]:
                return _GROW
            state[AT] = at + 1
            state[LINE_NUMBER] += 1
            if block == IN_PROLOGUE:
                state[BLOCK] = NO_BLOCK
                return _PROLOGUE
            stop = _end_host(state, table, memo, tb, chunk, live, pool, pending, last)
            if stop != _NO_STOP:
                return stop
        elif _starts(data, at, end, _SEPARATOR):
            state[SEPARATED] = 1
            state[AT] = at + _SEPARATOR.size
            state[LINE_NUMBER] += 1
        elif state[SEPARATED] and _starts(data, at, end, _IN):
            state[SEPARATED] = 0
            state[BLOCK] = IN_GUEST
            state[FIRST] = state[POOL]
            state[GUEST_BYTES_SO_FAR] = 0
            state[AT] = _after_line(data, at)
            state[LINE_NUMBER] += 1
        elif _starts(data, at, end, _OUT):
            size, after = _decimal(data, at + _OUT.size)
            if size == 0 or data[after] != _CLOSE or data[after + 1] != _NEWLINE:
                return _LINE
            begin_block(state, size, IN_OUT)
            state[AT] = after + 2
            state[LINE_NUMBER] += 1
        elif _starts(data, at, end, _DETAIL):
            state[AT] = _after_line(data, at)
            state[LINE_NUMBER] += 1
        else:
            return _LINE
    return _END
