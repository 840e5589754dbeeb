"""What a replay takes that neither the trace nor the host profile says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

from bench.errors import InputError
from bench.replay import kernel
from bench.replay.quantity import Quantity

_DEFAULT = "default of this project; vary it"
_GUEST_INSTRUCTION = "README of the recorded traces, section 5: 36 (ARM) and 38 (x86-64) bytes per guest instruction"

RETRANSLATION = Quantity(
    value=50, low=12, high=200, unit="cycles per host byte regenerated", tag="assumed",
    source=(f"{_DEFAULT}: 2,000 cycles per guest instruction, 500 .. 8,000, at 40 host bytes each", _GUEST_INSTRUCTION),
)  # fmt: skip
LOOKUP = Quantity(
    value=20, low=5, high=60, unit="cycles per guest instruction decoded", tag="assumed",
    source=(f"{_DEFAULT}: three or four SLEB128 numbers of one or two bytes, decoded one after the other (QEMU's "
            "cpu_restore_state_from_tb, commit fca8a500d519)",),
)  # fmt: skip
ENCODING = Quantity(
    value=10, low=3, high=30, unit="cycles per side-table byte", tag="assumed",
    source=(f"{_DEFAULT}: a subtraction, a shift and a store per SLEB128 byte (encode_search, the same commit)",),
)  # fmt: skip
BARRIER = Quantity(
    value=50, low=16, high=200, unit="cycles per barrier or synchronisation without cache maintenance", tag="assumed",
    source=(f"{_DEFAULT}: an mfence of 83 and an lfence of 16 cycles on a Zen 5 core, to the barrier's share of a slow "
            "cache operation",),
)  # fmt: skip
CONTENDED_SHARE = Quantity(
    value=1.0, low=0.0, high=1.0, unit="share of the exclusive acquisitions that every other vCPU wants too",
    tag="assumed", source=(f"{_DEFAULT}: the bound; a recording of one thread cannot say",),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters of a replay.

    ``vcpus``            guest CPUs (or threads) that others are waited for or stopped among; None: the host's cores
    ``as_recorded``      replay the recorded x86-64 blocks unscaled
    ``retranslation``    the translator's own work, cycles per host byte that it regenerates
    ``lookup``           cycles per guest instruction that a ``Lookup`` decodes, from the TB's first to the faulting one
    ``encoding``         cycles per byte that a strategy keeps beside a TB, paid when the TB is translated
    ``barrier``          cycles of a ``Barrier`` or ``Sync`` that no cache maintenance adjoins
    ``contended_share``  the share of exclusive acquisitions that others want at the same time
    ``caches``           the translator's footprint, the guest's data, the seed
    """

    vcpus: int | None = None
    as_recorded: bool = False
    retranslation: Quantity = RETRANSLATION
    lookup: Quantity = LOOKUP
    encoding: Quantity = ENCODING
    barrier: Quantity = BARRIER
    contended_share: Quantity = CONTENDED_SHARE
    caches: kernel.Parameters = field(default_factory=kernel.Parameters)

    def __post_init__(self) -> None:
        if self.vcpus is not None and not 1 <= self.vcpus <= 1024:
            raise InputError(str(self.vcpus), place="--vcpus", expected="1 to 1024")

    def varied(self, settings: Sequence[str]) -> Parameters:
        """The same with some set: ``lookup=40``, ``guest_data_lines=0``, ``seed=2``; what is set has no range.

        Raises ``InputError`` for what is no parameter, or no value of it.
        """
        quantities = {
            f.name: getattr(self, f.name) for f in fields(self) if isinstance(getattr(self, f.name), Quantity)
        }
        counts = [f.name for f in fields(self.caches)]
        changes: dict[str, Quantity] = {}
        caches: dict[str, int] = {}
        for setting in settings:
            name, _, text = setting.partition("=")
            try:
                if name in quantities:
                    value = float(text)
                    if not 0 <= value < 1e12:
                        raise ValueError(text)
                    changes[name] = replace(
                        quantities[name], value=value, low=value, high=value, tag="assumed", source=("--parameter",)
                    )
                elif name in counts:
                    caches[name] = int(text)
                else:
                    raise InputError(
                        repr(name), place="--parameter", expected=f"one of {', '.join((*quantities, *counts))}"
                    )
            except ValueError as error:
                raise InputError(repr(text), place=f"--parameter {name}", expected="a number, not negative") from error
        return replace(self, **changes, caches=replace(self.caches, **caches))  # type: ignore[arg-type]
