"""The processors that Unicorn emulates, and the names of their registers."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from bench.support.errors import InputError
from bench.translators.translator import Translator

_KINDS: dict[str, tuple[str, str]] = {
    "aarch64": ("ARM64", "UC_MODE_LITTLE_ENDIAN"),
    "arm": ("ARM", "UC_MODE_ARM"),
    "i386": ("X86", "UC_MODE_32"),
    "mips": ("MIPS", "UC_MODE_MIPS32 UC_MODE_BIG_ENDIAN"),
    "ppc": ("PPC", "UC_MODE_PPC32 UC_MODE_BIG_ENDIAN"),
    "s390x": ("S390X", "UC_MODE_BIG_ENDIAN"),
    "sparc": ("SPARC", "UC_MODE_SPARC64 UC_MODE_BIG_ENDIAN"),
    "x86-64": ("X86", "UC_MODE_64"),
}
"""Unicorn's architecture and modes for each instruction set.

Without ``ppc64``: Unicorn 2.1 never leaves PowerPC's 32-bit mode, in which 64-bit instructions trap.
"""

_PROGRAM_COUNTER = {"i386": "EIP", "x86-64": "RIP"}
_STACK_POINTER = {"i386": "ESP", "x86-64": "RSP", "ppc": "1", "s390x": "R15"}
_BIAS = {"sparc": 2047}
"""The bias of the stack pointer: it points this far below the stack."""
_PUSHED = {"i386": 4, "x86-64": 8}
_PREFIXES = {"ppc": "r"}
"""The prefix of register names that Unicorn's names lack."""
STACK = 0x2800_0000
"""The address of the host's stack."""
_FIXED = {"s390x": {"PSWM": 0x1_8000_0000}, "sparc": {"FP": STACK - 2047}}
"""Registers that are set before a block runs: 64-bit addressing; the frame pointer."""


def executable(translator: Translator) -> bool:
    """Whether Unicorn supports the translator's instruction set."""
    return translator.isa in _KINDS


@dataclass(frozen=True)
class Processor:
    """An instruction set in Unicorn; ``unicorn``, ``names``: its modules."""

    isa: str
    unicorn: ModuleType
    names: ModuleType

    @classmethod
    def of(cls, translator: Translator) -> Processor:
        """The processor of a translator's instruction set.

        Raises ``InputError`` if Unicorn is not installed or does not support it.
        """
        if not executable(translator):
            raise InputError(
                f"no emulator for {translator.isa}, which {translator.full_name} emits",
                place="`autopsy`",
                expected=f"a translator for one of {', '.join(_KINDS)}",
            )
        try:
            unicorn = importlib.import_module("unicorn")
        except ImportError:
            raise InputError(
                "Unicorn is not installed", place="`autopsy`", expected="pip install 'staleline[autopsy]'"
            ) from None
        architecture = _KINDS[translator.isa][0].lower()
        return cls(translator.isa, unicorn, importlib.import_module(f"unicorn.{architecture}_const"))

    def start(self) -> Any:
        """A new emulator."""
        architecture, modes = _KINDS[self.isa]
        mode = 0
        for name in modes.split():
            mode |= getattr(self.unicorn, name)
        emulator = self.unicorn.Uc(getattr(self.unicorn, f"UC_ARCH_{architecture}"), mode)
        emulator.reg_write(self.stack_pointer, STACK - _BIAS.get(self.isa, 0))
        for name, value in _FIXED.get(self.isa, {}).items():
            emulator.reg_write(self.register(name), value)
        return emulator

    def register(self, name: str) -> int:
        """Unicorn's number of a register."""
        plain = name.removeprefix(_PREFIXES.get(self.isa, ""))
        return int(getattr(self.names, f"UC_{_KINDS[self.isa][0]}_REG_{plain.upper()}"))

    @property
    def stack_pointer(self) -> int:
        """Unicorn's number of the stack pointer."""
        return self.register(_STACK_POINTER.get(self.isa, "SP"))

    @property
    def pushed(self) -> int:
        """The number of bytes that a call pushes on the stack."""
        return _PUSHED.get(self.isa, 0)

    @property
    def program_counter(self) -> int:
        """Unicorn's number of the program counter."""
        return self.register(_PROGRAM_COUNTER.get(self.isa, "PC"))
