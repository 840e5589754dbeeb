"""A disassembler of the IA-64 bundles that the ia64 backend emits, which capstone lacks.

Source: Intel Itanium Architecture Software Developer's Manual, volume 3, chapter 4: the templates and the formats A1,
A4 to A6, I11, I12, I18, I21, I29, M1, M3, M4, M48, B1, B5, X2 and X3.  Bits are numbered as there, in a slot from 40
down to 0.  Pseudo-operations are used as in common assemblers (``mov`` for an addition to r0 or of 0, ``shl`` for a
deposit up to the highest bit).
"""

from __future__ import annotations

# The execution units of the slots of each template, and the slots with a stop after them.
_TEMPLATES: dict[int, tuple[str, tuple[int, ...]]] = {
    0x00: ("MII", ()),
    0x01: ("MII", (2,)),
    0x02: ("MII", (1,)),
    0x03: ("MII", (1, 2)),
    0x04: ("MLX", ()),
    0x05: ("MLX", (2,)),
    0x08: ("MMI", ()),
    0x09: ("MMI", (2,)),
    0x0A: ("MMI", (0,)),
    0x0B: ("MMI", (0, 2)),
    0x0C: ("MFI", ()),
    0x0D: ("MFI", (2,)),
    0x0E: ("MMF", ()),
    0x0F: ("MMF", (2,)),
    0x10: ("MIB", ()),
    0x11: ("MIB", (2,)),
    0x12: ("MBB", ()),
    0x13: ("MBB", (2,)),
    0x16: ("BBB", ()),
    0x17: ("BBB", (2,)),
    0x18: ("MMB", ()),
    0x19: ("MMB", (2,)),
    0x1C: ("MFB", ()),
    0x1D: ("MFB", (2,)),
}

_WIDTHS = {0: "1", 1: "2", 2: "4", 3: "8"}
_PREDICTIONS = {0: "sptk", 1: "spnt", 2: "dptk", 3: "dpnt"}
_AMOUNTS = {0: "few", 1: "many"}


def disassemble(word: int, address: int) -> str | None:
    """The bundle ``word`` at ``address``; None if one of its instructions has a form that is not supported here."""
    known = _TEMPLATES.get(word & 0x1F)
    if known is None:
        return None
    units, stops = known
    slots = [word >> low & (1 << 41) - 1 for low in (5, 46, 87)]
    texts: list[str | None]
    if units == "MLX":
        texts = [_memory(slots[0]), _extended(slots[2], slots[1], address)]
        ends = [";;" if number in stops else ";" for number in (0, 2)]
    else:
        texts = [_in(unit, slot, address) for unit, slot in zip(units, slots, strict=True)]
        ends = [";;" if number in stops else ";" for number in range(3)]
    shown = ""
    for text, end in zip(texts, ends, strict=True):
        if text is None:
            return None
        shown += f" {text}{end}"
    return f"[{units}]{shown if shown.endswith(';;') else shown[:-1]}"


def _bits(slot: int, high: int, low: int) -> int:
    return slot >> low & (1 << high - low + 1) - 1


def _signed(value: int, width: int) -> int:
    return value - (value >> width - 1 << width)


def _under(slot: int, text: str) -> str:
    """The text with its qualifying predicate, bits 5 to 0; p0 is always true."""
    predicate = _bits(slot, 5, 0)
    return f"(p{predicate}) {text}" if predicate else text


def _in(unit: str, slot: int, address: int) -> str | None:
    if unit == "M":
        return _memory(slot)
    if unit == "I":
        return _integer(slot)
    if unit == "B":
        return _branch(slot, address)
    return None


def _alu(slot: int) -> str | None:
    """Formats A1, A4, A5 and A6, common to the units M and I."""
    opcode, first = _bits(slot, 40, 37), _bits(slot, 12, 6)
    second, third = _bits(slot, 19, 13), _bits(slot, 26, 20)
    if opcode == 0x8 and _bits(slot, 33, 33) == 0:
        kind = _bits(slot, 35, 34)
        if kind == 0 and _bits(slot, 36, 36) == 0 and _bits(slot, 28, 27) == 0:
            name = {0: "add", 3: "and"}.get(_bits(slot, 32, 29))
            return _under(slot, f"{name} r{first}=r{second},r{third}") if name else None
        if kind == 2:
            value = _signed(_bits(slot, 36, 36) << 13 | _bits(slot, 32, 27) << 7 | second, 14)
            return _under(slot, f"adds r{first}={value},r{third}" if value else f"mov r{first}=r{third}")
    if opcode == 0x9:
        high = _bits(slot, 36, 36) << 21 | _bits(slot, 26, 22) << 16
        value, added = _signed(high | _bits(slot, 35, 27) << 7 | second, 22), _bits(slot, 21, 20)
        return _under(slot, f"addl r{first}={value},r{added}" if added else f"mov r{first}={value}")
    if opcode == 0xE and _bits(slot, 36, 36) == _bits(slot, 33, 33) == _bits(slot, 12, 12) == 0:
        name = {0: "cmp.eq", 1: "cmp4.eq"}.get(_bits(slot, 35, 34))
        true, false = _bits(slot, 11, 6), _bits(slot, 32, 27)
        return _under(slot, f"{name} p{true},p{false}=r{second},r{third}") if name else None
    return None


def _nop(slot: int, unit: str) -> str | None:
    """Formats I18 and M48."""
    if _bits(slot, 35, 27) == 0x01 and _bits(slot, 26, 26) == 0:
        return _under(slot, f"nop.{unit} {_bits(slot, 36, 36) << 20 | _bits(slot, 25, 6):#x}")
    return None


def _memory(slot: int) -> str | None:
    opcode, first = _bits(slot, 40, 37), _bits(slot, 12, 6)
    second, third = _bits(slot, 19, 13), _bits(slot, 26, 20)
    kind = _bits(slot, 35, 30)
    if opcode == 0x0:
        return _nop(slot, "m")
    if opcode == 0x4 and _bits(slot, 36, 36) == _bits(slot, 29, 27) == 0:
        if kind in _WIDTHS and not second:
            return _under(slot, f"ld{_WIDTHS[kind]} r{first}=[r{third}]")
        if kind - 0x30 in _WIDTHS and not first:
            return _under(slot, f"st{_WIDTHS[kind - 0x30]} [r{third}]=r{second}")
        return None
    if opcode == 0x5 and kind in _WIDTHS and _bits(slot, 29, 28) == 0:
        value = _signed(_bits(slot, 36, 36) << 8 | _bits(slot, 27, 27) << 7 | second, 9)
        return _under(slot, f"ld{_WIDTHS[kind]} r{first}=[r{third}],{value}")
    return _alu(slot)


def _integer(slot: int) -> str | None:
    opcode, first = _bits(slot, 40, 37), _bits(slot, 12, 6)
    second, third = _bits(slot, 19, 13), _bits(slot, 26, 20)
    if opcode == 0x0 and _bits(slot, 35, 33) == 0:
        extended = {0x10: "zxt1", 0x11: "zxt2", 0x12: "zxt4", 0x14: "sxt1", 0x15: "sxt2", 0x16: "sxt4"}
        name = extended.get(_bits(slot, 32, 27))
        if name and not second and _bits(slot, 36, 36) == 0:
            return _under(slot, f"{name} r{first}=r{third}")
        return _nop(slot, "i")
    if opcode == 0x0:
        # No tag (32 to 24), not important (23), not a return (22), no prediction hint (21 to 20).
        if _bits(slot, 36, 20) == 0x7 << 13 | 1 and _bits(slot, 12, 9) == 0:
            return _under(slot, f"mov b{_bits(slot, 8, 6)}=r{second}")
        return None
    if opcode == 0x5 and _bits(slot, 36, 34) == 1:
        length = _bits(slot, 32, 27) + 1
        if _bits(slot, 33, 33) == 0 and _bits(slot, 13, 13) == 0:
            return _under(slot, f"extr.u r{first}=r{third},{_bits(slot, 19, 14)},{length}")
        if _bits(slot, 33, 33) == 1 and _bits(slot, 26, 26) == 0:
            position = 63 - _bits(slot, 25, 20)
            shown = f"shl r{first}=r{second},{position}"
            if position + length != 64:
                shown = f"dep.z r{first}=r{second},{position},{length}"
            return _under(slot, shown)
        return None
    return _alu(slot)


def _branch(slot: int, address: int) -> str | None:
    opcode, amount = _bits(slot, 40, 37), _AMOUNTS[_bits(slot, 12, 12)]
    if opcode == 0x4 and _bits(slot, 35, 35) == _bits(slot, 11, 6) == 0:
        target = address + (_signed(_bits(slot, 36, 36) << 20 | _bits(slot, 32, 13), 21) << 4)
        return _under(slot, f"br.cond.{_PREDICTIONS[_bits(slot, 34, 33)]}.{amount} {target:#x}")
    if opcode == 0x1 and _bits(slot, 36, 35) == _bits(slot, 31, 16) == _bits(slot, 11, 9) == 0:
        called = f"b{_bits(slot, 8, 6)}=b{_bits(slot, 15, 13)}"
        if _bits(slot, 32, 32) == 1:
            return _under(slot, f"br.call.{_PREDICTIONS[_bits(slot, 34, 33)]}.{amount} {called}")
    return None


def _extended(slot: int, other: int, address: int) -> str | None:
    """An instruction of two slots; ``other``: the middle slot, which holds most of the immediate."""
    opcode, low = _bits(slot, 40, 37), _bits(slot, 19, 13)
    if opcode == 0x6 and _bits(slot, 20, 20) == 0:
        low |= _bits(slot, 35, 27) << 7 | _bits(slot, 26, 22) << 16 | _bits(slot, 21, 21) << 21
        value = _bits(slot, 36, 36) << 63 | other << 22 | low
        return _under(slot, f"movl r{_bits(slot, 12, 6)}={value:#x}")
    if opcode == 0xC and _bits(slot, 35, 35) == _bits(slot, 11, 6) == _bits(other, 1, 0) == 0:
        middle = _bits(other, 40, 2)
        bundles = _signed(_bits(slot, 36, 36) << 59 | middle << 20 | _bits(slot, 32, 13), 60)
        name = f"brl.cond.{_PREDICTIONS[_bits(slot, 34, 33)]}.{_AMOUNTS[_bits(slot, 12, 12)]}"
        return _under(slot, f"{name} {address + (bundles << 4) & (1 << 64) - 1:#x}")
    return None
