"""One cell of the comparison: a strategy on a host with a translator in a scenario, checked for one hazard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from bench.autopsy.autopsy import Autopsy, autopsy
from bench.check.units import HAZARDS, UNITS, Hazard, Units, concerned_by, search_units
from bench.explain.counterexample import explain
from bench.explain.explanation import Explanation
from bench.explain.follow import Followed, Wanted, follow
from bench.hosts import Architecture, Target
from bench.program.compiler import Compiler
from bench.program.layout import LAYOUTS, LayoutName
from bench.scenarios import scenario
from bench.search.outcome import Outcome
from bench.support.errors import InputError
from bench.translators.consequence import Consequence, consequences
from bench.translators.disassembly import disassembler
from bench.translators.translator import ACCESSES, GUEST_BITS, Access, GuestBits, Translator
from strategies import registry
from strategies.strategy import Strategy

Start = Literal["cold", "fault"]
STARTS: tuple[Start, ...] = ("cold", "fault")
MAX_STATES = 5_000_000


@dataclass(frozen=True, slots=True)
class Options:
    """How a cell is checked.

    ``cores``, ``tbs``, ``retranslations`` and ``flushes`` scale the scenario.  The partial hazard is that of a block
    whose accesses the guest may skip, by a branch whose label is bound behind them.  ``units``: one search for ``each``
    unit that can change, where they do not depend on one another, or one search for all ``together``.  Without
    ``speculation`` nothing is fetched but what is executed; without ``symmetry`` states that differ by which block or
    which core it is are told apart.  ``autopsy``: execute what the counterexample ends with.
    ``follow``: events to find in one run, beside the verdict, and the file (or name) that they came from.

    Raises ``InputError`` for a value that is not one of those of its field.
    """

    hazard: Hazard = "transient"
    layout: LayoutName = "apart"
    offset: int = 0
    start: Start = "cold"
    cores: int = 2
    tbs: int = 1
    retranslations: int = 2
    flushes: int = 0
    max_states: int = MAX_STATES
    accesses: tuple[Access, ...] = ("load",)
    guest_bits: GuestBits = 32
    units: Units = "each"
    what_if: bool = False
    speculation: bool = True
    symmetry: bool = True
    autopsy: bool = False
    follow: tuple[Wanted, ...] = ()
    follow_source: str = ""

    def __post_init__(self) -> None:
        for name, value, known in (
            ("hazard", self.hazard, HAZARDS),
            ("layout", self.layout, LAYOUTS),
            ("start", self.start, STARTS),
            ("guest_bits", self.guest_bits, GUEST_BITS),
            ("units", self.units, UNITS),
            *(("accesses", access, ACCESSES) for access in self.accesses),
        ):
            if value not in known:
                raise InputError(repr(value), place=f"`{name}`", expected=" or ".join(map(str, known)))
        if not 1 <= len(self.accesses) <= 4:
            raise InputError(f"{len(self.accesses)} accesses", place="`accesses`", expected="1 to 4")
        if self.offset and self.layout != "packed":
            raise InputError(
                f"`offset` {self.offset} with `layout` {self.layout}",
                expected="`layout` packed, whose blocks it shifts",
            )
        if not 0 <= self.offset < 65536:
            raise InputError(str(self.offset), place="`offset`", expected="0 to 65535 bytes")
        if self.max_states < 1:
            raise InputError(str(self.max_states), place="`max_states`", expected="at least 1")

    def with_hazard(self, hazard: Hazard) -> Options:
        """The same options for another hazard."""
        return replace(self, hazard=hazard)


@dataclass(frozen=True, slots=True)
class Checked:
    """The answer for one cell.

    ``reference`` is what the strategy is found by: its name, or a class in a file.
    ``outcome`` is None where the scenario cannot be on this host (verdict ``n/a``, with the ``reason``).
    ``explanation`` is that of the counterexample, or of the run that ``followed`` found;
    ``consequences``: what the wrong word at the end of it does; ``autopsy``: the same, executed.
    """

    strategy: str
    reference: str
    host: Target
    translator: str
    scenario: str
    options: Options
    what_if: bool
    outcome: Outcome | None
    explanation: Explanation | None = None
    followed: Followed | None = None
    reason: str = ""
    consequences: tuple[Consequence, ...] = ()
    autopsy: Autopsy | None = None

    @property
    def verdict(self) -> str:
        """``holds``, ``fails``, ``bounded`` or ``n/a``."""
        return self.outcome.verdict if self.outcome is not None else "n/a"


def hypothetical(translator: Translator, host: Target) -> bool:
    """Whether the host does not run what the translator emits."""
    return translator.isa not in host.isa


def refuse_hypothetical(translator: Translator, host: Target, what_if: bool) -> None:
    """Raise ``InputError`` if the host does not run what the translator emits and nobody asked what if."""
    if hypothetical(translator, host) and not what_if:
        raise InputError(
            f"translator {translator.full_name} emits {translator.isa}, which {host.name} does not run",
            expected=f"a translator for {' or '.join(host.isa)}, or `what_if` for a hypothetical result",
        )


def compilation(
    strategy: Strategy, translator: Translator, host: Target, scenario_name: str, options: Options
) -> Callable[[frozenset[int] | None], Compiler] | None:
    """Compiles a cell, for the offsets of the live units to follow (None: all); None where the host lacks cores."""
    found = scenario(
        scenario_name,
        host.cores.value,
        cores=options.cores,
        tbs=options.tbs,
        retranslations=options.retranslations,
        flushes=options.flushes,
    )
    if found is None:
        return None
    return lambda units: Compiler(
        strategy,
        translator,
        host,
        found,
        layout=options.layout,
        offset=options.offset,
        start_at_fault=options.start == "fault",
        accesses=options.accesses,
        guarded=options.hazard == "partial",
        guest_bits=options.guest_bits,
        followed=units,
    )


def check(
    strategy: Strategy,
    translator: Translator,
    host: Target,
    scenario_name: str,
    options: Options,
    *,
    progress: Callable[[int], None] = lambda states: None,
) -> Checked:
    """Check one cell.  Raises ``InputError`` for impossible options, ``StrategyError`` for an impossible strategy."""
    refuse_hypothetical(translator, host, options.what_if)
    what_if, reference = hypothetical(translator, host), registry.reference(strategy)
    asked = Checked(strategy.name, reference, host, translator.full_name, scenario_name, options, what_if, None)
    build = compilation(strategy, translator, host, scenario_name, options)
    if build is None:
        return replace(asked, reason=f"{host.name} has one core")

    outcome, compiler = search_units(
        build,
        options.hazard,
        options.units,
        max_states=options.max_states,
        progress=progress,
        speculation=options.speculation,
        symmetric=options.symmetry,
    )
    followed = None
    if options.follow and isinstance(host, Architecture):
        raise InputError("`follow` on an architecture", expected="a host, whose steps the events are")
    if options.follow:
        compiler = build(concerned_by(build(None), options.hazard))
        followed = follow(compiler.model, options.follow, max_states=options.max_states)
    run = followed.run if followed is not None else outcome.run
    explanation: Explanation | None = None
    does: tuple[Consequence, ...] = ()
    opened: Autopsy | None = None
    if run or outcome.failure:
        reads = disassembler(translator, compiler.codes[0])
        why = "" if followed is not None else outcome.failure
        explanation = explain(compiler.model, run, why, reads)
        watched = explanation.watched
        if watched is not None and watched.fetched is not None and watched.read is not None:
            code, at = compiler.codes[watched.tb], watched.offset
            does = consequences(translator, code, at, watched.fetched)
            if options.autopsy:
                opened = autopsy(translator, code, options.accesses[-1], at, watched.fetched, watched.read)
    return replace(
        asked, outcome=outcome, explanation=explanation, followed=followed, consequences=does, autopsy=opened
    )
