"""The window: what the translator does between the store of a temporary word and the store of the final one.

Counted in QEMU's backends at commit 497aebb, the parent of the fix c69806ab: their sources (``tcg/*/tcg-target.c`` and
``tcg/tcg.c``), compiled by gcc 12.2 with -O2 and what QEMU's configure asks for (stack protector, _FORTIFY_SOURCE),
executed instruction by instruction in an emulator of the host's instructions (Unicorn 2.1.4), with every access logged.
Retranslated were blocks of 1 to 16 guest accesses at 50 places of the code buffer, and blocks of a real guest up to a
random access of theirs.  Figures are means per window, and per window of an access where it has several; the first
access of a block and the later ones count as often as in the recorded boot (29 % and 71 %).

``cold``  every line not touched earlier in the same retranslation is new
``warm``  what the retranslation before it touched, of another block, is still in the caches

New lines of the code buffer are not among them.  They lie next to the branch's own line, so they never fall into its
set, while lines that are ``new`` here are spread over the sets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from bench.hosts.profile import Host, Tag
from bench.replay.quantity import Quantity
from bench.support.errors import InputError

Reading = Literal["between", "cold", "warm"]
READINGS: tuple[Reading, ...] = get_args(Reading)

_METHOD = (
    "the backend's sources at QEMU commit 497aebb, compiled by gcc 12.2 -O2 and executed instruction by instruction "
    "(Unicorn 2.1.4); per window, from the store of the temporary word to the store of the final one"
)
_ENDS = "low: what the retranslation before touched is still there (warm); high: nothing is (cold)"
_PLACE = "between them: the share of the translator's lines absent when a retranslation begins, along linux-boot"

CODE_ABSENT, DATA_ABSENT = 0.85, 0.19
"""The share of the translator's instruction and data lines that are absent from the first-level caches of a Cortex-A9
when a retranslation of the recorded boot begins, in the simulation of ``replay`` at its defaults."""


@dataclass(frozen=True, slots=True)
class _Counted:
    """Per window, ``(warm, cold)`` at lines of 32 bytes: new lines; and ``instructions``, mean, least and most.

    ``long_lines``: instruction lines at lines of 64 bytes, as a share of those.
    """

    data: tuple[float, float]
    code: tuple[float, float]
    instructions: tuple[float, float, float]
    long_lines: float
    tag: Tag = "measured"
    source: str = _METHOD


_COUNTED = {
    "arm": _Counted((0, 0), (0.66, 2.04), (34, 27, 41), 0.55),
    "mips": _Counted((0.081, 0.33), (2.04, 6.36), (100, 82, 118), 0.58),
    "ppc": _Counted((0.061, 0.675), (0.90, 4.37), (97, 43, 147), 0.61),
}
_OTHER = _Counted(
    (0, 0.675),
    (0.66, 6.36),
    (77, 27, 147),
    0.6,
    "assumed",
    f"nothing was counted for this backend: from the least to the most of arm, mips and ppc ({_METHOD})",
)

_UNITS = {
    "window_data_lines": "data lines of the translator, new in a window",
    "window_code_lines": "instruction lines of the translator, new in a window",
    "window_cycles": "cycles per window",
}
NAMES = tuple(_UNITS)


def window_on(host: Host, backend: str, reading: Reading = "between") -> dict[str, Quantity]:
    """The quantities of a window on a host, by name; ``backend``: as ``arm``.

    ``cold`` and ``warm`` are one end alone, measured, without a range but for the time.  ``between`` has both as its
    range; its value is an estimate from them.
    """
    counted = _COUNTED.get(backend, _OTHER)
    share = counted.long_lines if host.icache.line >= 64 else 1.0
    data = _lines("window_data_lines", counted, counted.data, DATA_ABSENT, reading)
    code = _lines("window_code_lines", counted, tuple(share * end for end in counted.code), CODE_ABSENT, reading)
    return {"window_data_lines": data, "window_code_lines": code, "window_cycles": _cycles(host, counted, data, code)}


def _lines(name: str, counted: _Counted, ends: tuple[float, ...], absent: float, reading: Reading) -> Quantity:
    warm, cold = ends
    value = {"warm": warm, "cold": cold, "between": warm + absent * (cold - warm)}[reading]
    low, high = (warm, cold) if reading == "between" else (value, value)
    source = (counted.source, f"{_ENDS}; {_PLACE}: {absent:.0%}" if reading == "between" else f"the {reading} reading")
    tag = _placed(counted.tag) if low < high else counted.tag
    return Quantity(value, low, high, _UNITS[name], tag, source)


def _placed(tag: Tag) -> Tag:
    """The tag of what follows from figures of this tag by a rule."""
    return "estimate" if tag == "measured" else tag


def _cycles(host: Host, counted: _Counted, data: Quantity, code: Quantity) -> Quantity:
    """Instructions by cycles per instruction, and refills of the new lines; at the high end from memory."""
    mean, least, most = counted.instructions
    cpi = host.costs.cpi.in_cycles(host.clock_ghz)
    memory = host.costs.refill_memory.in_cycles(host.clock_ghz)
    refill = host.costs.refill_l2.in_cycles(host.clock_ghz) if host.costs.refill_l2 else memory
    return Quantity(
        value=mean * cpi[1] + (data.value + code.value) * refill[1],
        low=least * cpi[0] + (data.low + code.low) * refill[0],
        high=most * cpi[2] + (data.high + code.high) * memory[2],
        unit=_UNITS["window_cycles"],
        tag=_placed(counted.tag),
        source=(
            f"{mean:g} instructions ({least:g} .. {most:g}: {counted.source}) by the host's cycles per instruction, "
            "and the new lines by its refill, from the next level; high: from memory",
        ),
    )


def set_in_window(name: str) -> Quantity:
    """A quantity of the window whose value is to be set, whatever the host and the backend."""
    return Quantity(0, 0, 0, _UNITS[name], "assumed", ("set by the user",))


def reading_named(name: str) -> Reading:
    """The reading of that name.  Raises ``InputError`` for another."""
    for reading in READINGS:
        if reading == name:
            return reading
    raise InputError(repr(name), place="`window`", expected=f"one of {', '.join(READINGS)}")


def described() -> tuple[tuple[str, str], ...]:
    """The name of each quantity of the window, and what it is for each backend."""
    lines = {"window_data_lines": "data", "window_code_lines": "code"}
    found = []
    for name, attribute in lines.items():
        ends = {backend: getattr(one, attribute) for backend, one in {**_COUNTED, "others, assumed": _OTHER}.items()}
        each = ", ".join(f"{backend} {low:g}..{high:g}" for backend, (low, high) in ends.items())
        found.append((name, f"{_UNITS[name]} (32-byte lines): {each}; measured: {_METHOD}; {_ENDS}"))
    each = ", ".join(f"{backend} {one.instructions[0]:g}" for backend, one in _COUNTED.items())
    time = f"instructions ({each}, measured) by the host's cycles per instruction, and a refill for each new line"
    return (*found, ("window_cycles", f"{_UNITS['window_cycles']}, estimate: {time}"))
