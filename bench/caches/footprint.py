"""What a replay adds to a trace: the lines of the translator and of the guest's data."""

from __future__ import annotations

from dataclasses import dataclass

from bench.support.errors import InputError

MOST = {
    "guest_data_lines": 1_000_000,
    "translator_code_lines": 1 << 20,
    "translator_data_lines": 1 << 20,
    "seed": (1 << 63) - 1,
}
"""The largest footprint that the kernels accept."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What is not in a trace: lines of the translator per run, and the guest's data lines per 1000 TB executions.

    ``seed`` is that of ``random`` replacement.  Raises ``InputError`` for a value outside 0 .. ``MOST``.
    """

    guest_data_lines: int = 0
    translator_code_lines: int = 0
    translator_data_lines: int = 0
    seed: int = 1

    def __post_init__(self) -> None:
        for name, most in MOST.items():
            if not 0 <= getattr(self, name) <= most:
                raise InputError(str(getattr(self, name)), place=name, expected=f"0 .. {most}")
