"""A disassembler of the PA-RISC instructions that the hppa backend emits, which capstone 5 lacks.

Sources: PA-RISC 1.1 Architecture and Instruction Set Reference Manual, HP 09740-90039 (formats, and assembly of
immediates).  The mnemonics are those of PA-RISC 2.0, which assemblers use today (``cmpb`` for ``combf`` and ``combt``,
``be,l`` for ``ble``).  Bits are numbered as there: bit 0 is the highest.
"""

from __future__ import annotations

_NAMED = {2: "rp", 27: "dp", 28: "ret0", 29: "ret1", 30: "sp"}

# The condition that a compare-and-branch tests; negated if it branches on false.
_TRUE = {0: "", 1: ",=", 2: ",<", 3: ",<=", 4: ",<<", 5: ",<<=", 6: ",sv", 7: ",od"}
_FALSE = {0: ",tr", 1: ",<>", 2: ",>=", 3: ",>", 4: ",>>=", 5: ",>>", 6: ",nsv", 7: ",ev"}


def disassemble(word: int, address: int) -> str | None:
    """The instruction ``word`` at ``address``; None for a form that is not supported here."""
    opcode = _bits(word, 0, 5)
    if opcode in (0x20, 0x21, 0x22, 0x23):
        return _compare_and_branch(word, address)
    if opcode in (0x39, 0x3A):
        return _branch(word, address)
    if opcode in (0x02, 0x34, 0x35):
        return _computation(word)
    if opcode in (0x03, 0x08, 0x0D, 0x12, 0x1A):
        return _memory_or_immediate(word)
    return None


def _bits(word: int, first: int, last: int) -> int:
    return word >> 31 - last & (1 << last - first + 1) - 1


def _signed(value: int, width: int) -> int:
    return value - (value >> width - 1 << width)


def _low_sign(value: int, width: int) -> int:
    """The manual's ``low_sign_ext``: the lowest bit is the sign."""
    return _signed((value & 1) << width - 1 | value >> 1, width)


def _register(number: int) -> str:
    return _NAMED.get(number, f"r{number}")


def _address(value: int) -> str:
    return f"{value & 0xFFFF_FFFF:#x}"


def _nullifying(word: int) -> str:
    return ",n" if _bits(word, 30, 30) else ""


def _compare_and_branch(word: int, address: int) -> str:
    opcode = _bits(word, 0, 5)
    # assemble_12: w, the last bit of w1, its others
    words = _signed(_bits(word, 31, 31) << 11 | _bits(word, 29, 29) << 10 | _bits(word, 19, 28), 12)
    condition = (_FALSE if opcode & 2 else _TRUE)[_bits(word, 16, 18)]
    one, other = _bits(word, 11, 15), _register(_bits(word, 6, 10))
    name, first = ("cmpib", f"{_low_sign(one, 5)}") if opcode & 1 else ("cmpb", _register(one))
    return f"{name}{condition}{_nullifying(word)} {first},{other},{_address(address + 8 + 4 * words)}"


def _branch(word: int, address: int) -> str | None:
    opcode, kind = _bits(word, 0, 5), _bits(word, 16, 18)
    base, index = _register(_bits(word, 6, 10)), _register(_bits(word, 11, 15))
    # assemble_17: w, w1, the last bit of w2, its others
    high = _bits(word, 31, 31) << 16 | _bits(word, 11, 15) << 11
    displacement = 4 * _signed(high | _bits(word, 29, 29) << 10 | _bits(word, 19, 28), 17)
    if opcode == 0x39:
        # assemble_3: the last bit of the space is the highest; the link is in r31, and its space in sr0
        space = _bits(word, 18, 18) << 2 | _bits(word, 16, 17)
        return f"be,l{_nullifying(word)} {displacement:#x}(sr{space},{base}),sr0,r31"
    if kind == 0:
        return f"b,l{_nullifying(word)} {_address(address + 8 + displacement)},{base}"
    if kind == 6 and _bits(word, 19, 29) == _bits(word, 31, 31) == 0:
        return f"bv{_nullifying(word)} {index}({base})"
    return None


def _computation(word: int) -> str | None:
    opcode = _bits(word, 0, 5)
    second, first = _bits(word, 6, 10), _bits(word, 11, 15)
    if _bits(word, 16, 18):  # a condition that nullifies the next instruction
        return None
    if opcode == 0x02:
        target = _register(_bits(word, 27, 31))
        if _bits(word, 19, 19) or _bits(word, 26, 26):
            return None
        if _bits(word, 20, 25) == 0x28:
            return f"add,l {_register(first)},{_register(second)},{target}"
        if _bits(word, 20, 25) == 0x09:
            if second == 0:
                return f"copy {_register(first)},{target}"
            return f"or {_register(first)},{_register(second)},{target}"
        return None
    kind, place, length = _bits(word, 19, 21), _bits(word, 22, 26), 32 - _bits(word, 27, 31)
    if opcode == 0x34 and kind == 6:
        return f"extrw,u {_register(second)},{place},{length},{_register(first)}"
    if opcode == 0x35 and kind == 2:
        return f"depw,z {_register(first)},{31 - place},{length},{_register(second)}"
    if opcode == 0x35 and kind == 7:
        return f"depwi {_low_sign(first, 5)},{31 - place},{length},{_register(second)}"
    return None


def _memory_or_immediate(word: int) -> str | None:
    opcode = _bits(word, 0, 5)
    base, other = _bits(word, 6, 10), _register(_bits(word, 11, 15))
    displacement = _low_sign(_bits(word, 18, 31), 14)
    if opcode == 0x08:
        # assemble_21
        value = _bits(word, 31, 31) << 20 | _bits(word, 20, 30) << 9 | _bits(word, 16, 17) << 7
        value |= _bits(word, 11, 15) << 2 | _bits(word, 18, 19)
        return f"ldil L%{value << 11:#x},{_register(base)}"
    if opcode == 0x03:
        # No space (16 and 17), no scaling (18), indexed (19), no cache hint (20 and 21), no modification (26).
        if _bits(word, 16, 21) or _bits(word, 22, 25) != 2 or _bits(word, 26, 26):
            return None
        return f"ldw {other}({_register(base)}),{_register(_bits(word, 27, 31))}"
    if _bits(word, 16, 17):  # a space
        return None
    if opcode == 0x12:
        return f"ldw {displacement:#x}({_register(base)}),{other}"
    if opcode == 0x1A:
        return f"stw {other},{displacement:#x}({_register(base)})"
    if base == 0:
        return f"ldi {displacement},{other}"
    return f"ldo {displacement:#x}({_register(base)}),{other}"
