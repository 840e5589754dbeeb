"""What ``run --save`` wrote: how often each protocol and strategy was wrong on a machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from bench.support.errors import InputError
from bench.support.files import read_bytes

_WHAT = "what `run --save` wrote"


class _Machine(msgspec.Struct, frozen=True):
    processor: str
    microcode: str
    kernel: str
    cores: int


class Count(msgspec.Struct, frozen=True):
    """So many ``instances`` were run, and so many of them were ``wrong``."""

    name: str
    instances: int
    wrong: int

    @property
    def text(self) -> str:
        """As a table has it: ``12,034 of 8.1 M``."""
        scale, unit = next(
            ((scale, unit) for scale, unit in ((10**9, " G"), (10**6, " M")) if self.instances >= scale), (1, "")
        )
        total = f"{self.instances / scale:.3g}{unit}" if unit else f"{self.instances:,}"
        return f"{self.wrong:,} of {total}"


class _SeenFile(msgspec.Struct, frozen=True):
    schema: int
    machine: _Machine
    executed: tuple[Count, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen on a ``machine``: counts by the name of a protocol, or of a strategy and a scenario."""

    machine: str
    counts: dict[str, Count]

    def of(self, *names: str) -> Count | None:
        """The count of a thing that has these names, as a protocol and a case; None if it was not run."""
        return self.counts.get(", ".join(name for name in names if name))

    def among(self, several: Iterable[Sequence[str]]) -> Count | None:
        """The counts of several things together; None if none was run."""
        return _together([count for names in several if (count := self.of(*names)) is not None])

    def scenarios(self, site: str, scenarios: Iterable[str]) -> Count | None:
        """The counts of scenarios of a site, all cases together, where its file lays it."""
        from bench.silicon.functions import PLACEMENTS

        starts = tuple(f"{site}, {scenario}, " for scenario in scenarios)
        found = (name for name in self.counts if name.startswith(starts))
        return _together([self.counts[name] for name in found if name.rpartition(", ")[2] not in PLACEMENTS])


def _together(counts: Sequence[Count]) -> Count | None:
    instances, wrong = (sum(getattr(count, key) for count in counts) for key in ("instances", "wrong"))
    return Count("", instances, wrong) if counts else None


def load_seen(path: str) -> Seen:
    """The counts in a file.  Raises ``InputError``."""
    try:
        found = msgspec.json.decode(read_bytes(path, _WHAT), type=_SeenFile)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(str(error), file=path, expected=_WHAT) from None
    machine = ", ".join(part for part in (found.machine.processor, found.machine.kernel) if part)
    return Seen(machine, {count.name: count for count in found.executed})
