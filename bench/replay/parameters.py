"""The parameters of a replay that neither the trace nor the host profile gives."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

from bench.caches.footprint import MOST, Footprint
from bench.replay.quantity import Quantity, parsed
from bench.support.errors import InputError

_DEFAULT = "default of this project; vary it"

_BACKENDS = (
    "QEMU's backends for ARM, MIPS and PowerPC and its ARM front end at commit 497aebb, compiled by gcc 12.2 -O2 with "
    "stack protector and _FORTIFY_SOURCE as its configure asks for, and executed instruction by instruction (Unicorn "
    "2.1.4): whole passes of cpu_restore_state over blocks of real ARM code, up to a random access of each"
)
_TABLE = (
    "encode_search and cpu_restore_state_from_tb of QEMU in early 2016, compiled by gcc 12.2 -O2 for ARM and executed "
    "instruction by instruction over 256 made-up blocks"
)

RETRANSLATION = Quantity(
    value=32.7,
    low=12,
    high=52,
    unit="cycles per host byte regenerated",
    tag="estimate",
    source=(
        f"the back end: instructions per byte at one a cycle, ARM, a fit of 400 passes ({_BACKENDS}); low: MIPS (24.1) "
        "at half a cycle each; high: PowerPC (34.9) at 1.5",
    ),
)
FRONT_END = Quantity(
    value=15.3,
    low=4.2,
    high=23,
    unit="cycles per host byte of the whole TB",
    tag="estimate",
    source=(
        "the front end, which goes over the whole block wherever its fault is: the other slope of the same fit; low: "
        "MIPS (8.5) at half a cycle each; high: ARM at 1.5",
    ),
)
RESTART = Quantity(
    value=2276,
    low=930,
    high=4150,
    unit="cycles per retranslation",
    tag="estimate",
    source=("the constant of the same fit; low: PowerPC (1867) at half a cycle each; high: MIPS (2763) at 1.5",),
)
LOOKUP = Quantity(
    value=74,
    low=13.5,
    high=144,
    unit="cycles per guest instruction decoded",
    tag="estimate",
    source=(
        f"instructions per row of three numbers at one a cycle ({_TABLE}); low: 13.5 cycles timed on a Zen 4 core, the "
        "same block again; high: four numbers, 1.5 cycles an instruction",
    ),
)
ENCODING = Quantity(
    value=19,
    low=3.4,
    high=29,
    unit="cycles per side-table byte",
    tag="estimate",
    source=(
        f"instructions per byte at one a cycle ({_TABLE}); low: 3.4 cycles timed on a Zen 4 core; high: 1.5 cycles an "
        "instruction",
    ),
)
BARRIER = Quantity(
    value=50,
    low=16,
    high=200,
    unit="cycles per barrier or synchronisation without cache maintenance",
    tag="assumed",
    source=(
        f"{_DEFAULT}: an mfence of 83 and an lfence of 16 cycles on the calibration machine of the rules E1 .. E9 "
        "(bench/hosts/profile.py), to the barrier's share of a slow cache operation",
    ),
)
CONTENDED_SHARE = Quantity(
    value=1.0,
    low=0.0,
    high=1.0,
    unit="share of the exclusive acquisitions that every other vCPU wants too",
    tag="assumed",
    source=(f"{_DEFAULT}: a recording of one thread cannot say",),
    at_end="the bound",
)
GUEST_DATA_LINES = Quantity(
    value=50,
    low=10,
    high=200,
    unit="data lines newly touched per 1000 TB executions",
    tag="assumed",
    source=(f"{_DEFAULT}: about two guest accesses per TB, of which 0.5 % to 10 % reach a line not seen before",),
)
TRANSLATOR_CODE_LINES = Quantity(
    value=369,
    low=221,
    high=690,
    unit="instruction lines per run of the translator",
    tag="measured",
    source=(
        f"mean of 400 passes on ARM at 32-byte lines ({_BACKENDS}); low: at 64-byte lines; high: ninetieth percentile "
        "on MIPS",
    ),
)
TRANSLATOR_DATA_LINES = Quantity(
    value=157,
    low=90,
    high=293,
    unit="data lines per run of the translator",
    tag="measured",
    source=(
        f"mean of 400 passes on ARM at 32-byte lines ({_BACKENDS}); low: PowerPC at 64-byte lines; high: ninetieth "
        "percentile on ARM",
    ),
)
LINKED = Quantity(
    value=0.98,
    low=0.964,
    high=1.0,
    unit=(
        "of the executions that the trace has entered through a link; 0: nothing is linked: a lock around every block, "
        "no exit patched"
    ),
    tag="measured",
    source=(
        "share of them that QEMU 7.2.22 entered so, in six programs and a boot of 32-bit ARM guests whose links were "
        "recorded: mean, least and greatest (bench/traces/links.py)",
    ),
)
SEED = 1

_MOST = {"contended_share": 1, "linked": 1, **MOST}
"""The largest value that is meaningful, or that the kernel accepts."""
_MOST_CYCLES = 10**12


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters of a replay.

    ``vcpus``            guest CPUs (or threads) that stop or wait for each other; None: the host's cores
    ``as_recorded``      replay the recorded x86-64 blocks unscaled
    ``retranslation``    the translator's own work, cycles per host byte that it regenerates
    ``front_end``        the same per host byte of the whole TB, which it decodes again up to its end
    ``restart``          the same per retranslation, however short
    ``lookup``           cycles per guest instruction that a ``Lookup`` decodes, from the TB's first to the faulting one
    ``encoding``         cycles per byte that a strategy stores in a side table when a TB is translated
    ``barrier``          cycles of a ``Barrier`` or ``Sync`` that is not part of cache maintenance
    ``contended_share``  the share of exclusive acquisitions that are contended, 0 to 1
    ``linked``           share of the executions that the trace has entered through a link which were, 0 to 1
    ``guest_data_lines``       data lines that the guest accesses for the first time, per 1000 TB executions
    ``translator_code_lines``  instruction lines that a run of the translator fetches
    ``translator_data_lines``  data lines that a run of the translator accesses
    ``seed``             the seed of ``random`` replacement

    The simulation uses the value of the three counts of lines, a whole number; their ranges enter the costs
    (``price.py``).  Raises ``InputError`` for a value out of range.
    """

    vcpus: int | None = None
    as_recorded: bool = False
    retranslation: Quantity = RETRANSLATION
    front_end: Quantity = FRONT_END
    restart: Quantity = RESTART
    lookup: Quantity = LOOKUP
    encoding: Quantity = ENCODING
    barrier: Quantity = BARRIER
    contended_share: Quantity = CONTENDED_SHARE
    linked: Quantity = LINKED
    guest_data_lines: Quantity = GUEST_DATA_LINES
    translator_code_lines: Quantity = TRANSLATOR_CODE_LINES
    translator_data_lines: Quantity = TRANSLATOR_DATA_LINES
    seed: int = SEED

    def __post_init__(self) -> None:
        if self.vcpus is not None and not 1 <= self.vcpus <= 1024:
            raise InputError(str(self.vcpus), place="`vcpus`", expected="1 to 1024")
        for name, quantity in self.quantities.items():
            _refuse_outside(name, quantity.value)
        _refuse_outside("seed", self.seed)

    @property
    def quantities(self) -> dict[str, Quantity]:
        """The parameters with a range, by name: all but ``vcpus``, ``as_recorded`` and ``seed``."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Quantity)}

    @property
    def caches(self) -> Footprint:
        """The parameters of the cache simulation."""
        return Footprint(
            guest_data_lines=int(self.guest_data_lines.value),
            translator_code_lines=int(self.translator_code_lines.value),
            translator_data_lines=int(self.translator_data_lines.value),
            seed=self.seed,
        )

    def varied(self, settings: Sequence[str], besides: Sequence[str] = ()) -> Parameters:
        """The same with ``settings`` applied: ``lookup=40``, ``seed=2``; a value that is set has no range.

        ``besides``: what else is known there.

        Raises ``InputError`` for an unknown or repeated parameter or a value out of range.
        """
        counts = {f.name for f in fields(Footprint)}
        changes: dict[str, Quantity | int] = {}
        known = (*self.quantities, "seed")
        for name, text in texts_of(settings, known, (*besides, *known)):
            most = _MOST.get(name, _MOST_CYCLES)
            if name == "seed":
                changes[name] = int(parsed(name, text, most, whole=True))
            else:
                changes[name] = self.quantities[name].given(name, text, most, whole=name in counts)
        return replace(self, **changes)  # type: ignore[arg-type]  # each of its field's type


def texts_of(settings: Iterable[str], known: Container[str], told: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Name and text of each of the ``settings``.  Raises ``InputError`` for one that is not ``known``, or repeated.

    ``told``: the names that such an error lists.
    """
    seen = set()
    for name, _, text in (setting.partition("=") for setting in settings):
        if name not in known:
            raise InputError(repr(name), place="`parameter`", expected=f"one of {', '.join(told)}")
        if name in seen:
            raise InputError(f"{name!r} twice", place="`parameter`", expected="each once")
        seen.add(name)
        yield name, text


def described() -> tuple[tuple[str, str], ...]:
    """The name of each parameter of a replay, and its default with unit, range, tag and source."""
    defaults = Parameters()
    texts = [(name, quantity.described) for name, quantity in defaults.quantities.items()]
    return (*texts, ("seed", f"{defaults.seed}, where random replacement starts: any integer from 0 to 2^63 - 1"))


def _refuse_outside(name: str, value: float) -> None:
    most = _MOST.get(name, _MOST_CYCLES)
    if not 0 <= value <= most:
        raise InputError(str(value), place=name, expected=f"0 .. {most}")
