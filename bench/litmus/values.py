"""The values of registers and memory in a litmus test: numbers, data addresses and code addresses."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from bench.support.errors import InputError


class DataAddress(NamedTuple):
    """The address ``offset`` bytes from a named location."""

    name: str
    offset: int = 0


class CodeAddress(NamedTuple):
    """The address of instruction number ``at`` of a thread's program, or of its end."""

    thread: int
    at: int


LitmusValue: TypeAlias = int | DataAddress | CodeAddress


def plus(value: LitmusValue, number: LitmusValue) -> LitmusValue:
    """The sum.  Raises ``InputError`` for two addresses, and for a code address that is not that of an instruction."""
    if isinstance(value, int):
        value, number = number, value
    if not isinstance(number, int):
        raise InputError("the sum of two addresses", expected="an address and a number")
    if isinstance(value, int):
        return value + number & 0xFFFF_FFFF_FFFF_FFFF
    signed = number - (1 << 64) if number >> 63 else number
    if isinstance(value, DataAddress):
        return value._replace(offset=value.offset + signed)
    if signed % 4:
        raise InputError(f"{signed} bytes from an instruction", expected="a multiple of 4")
    return value._replace(at=value.at + signed // 4)
