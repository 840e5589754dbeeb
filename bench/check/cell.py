"""One cell of the comparison: a strategy on a host with a translator in a scenario, checked for one hazard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from bench.check import units
from bench.check.units import HAZARDS, UNITS, Hazard, Units, concerned_by, search_units
from bench.explain.counterexample import explain
from bench.explain.explanation import Explanation, RunRow
from bench.explain.follow import Followed, Wanted, follow
from bench.hosts import Architecture, Target
from bench.machine.caches import Features
from bench.machine.model import rules_of
from bench.program.compiler import Compiler
from bench.program.identity import identity
from bench.program.layout import LAYOUTS, LayoutName
from bench.scenarios import scenario
from bench.search.outcome import KeptOutcome, Outcome
from bench.support.errors import InputError
from bench.support.kept import Shelf, is_keeping
from bench.translators.consequence import Consequence, consequences
from bench.translators.disassembly import disassembler
from bench.translators.translator import ACCESSES, GUEST_BITS, Access, GuestBits, Translator
from strategies import registry
from strategies.strategy import Strategy

if TYPE_CHECKING:
    from bench.autopsy.autopsy import Autopsy

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

    @property
    def rows(self) -> tuple[RunRow, ...]:
        """The rows of its explanation, if there is one."""
        return self.explanation.rows if self.explanation is not None else ()


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


@dataclass(frozen=True, slots=True)
class _KeptSearch:
    """``followed``: of the program that the outcome was found in (``Compiler``)."""

    followed: frozenset[int] | None
    outcome: KeptOutcome


_KEPT: Shelf[_KeptSearch] = Shelf("verdicts", _KeptSearch, str(units.__file__))


@dataclass(frozen=True)
class Check:
    """A cell: what ``check`` is told."""

    strategy: Strategy
    translator: Translator
    host: Target
    scenario: str
    options: Options

    @property
    def batch_key(self) -> tuple[str, str, str]:
        """The same for cells that have much in common; checked one after the other they take less time."""
        return registry.reference(self.strategy), self.translator.full_name, self.host.name

    @property
    def is_large(self) -> bool:
        """Whether the space of states is likely to be more than plain Python is for.

        So it is where an instruction cache may hold what has been stored over.
        """
        rules = rules_of(self.host)
        return isinstance(rules, Features) and rules.fill == "pou" and rules.snoop != "all"

    def warm_up(self) -> None:
        """Load, or compile, what the search of a large space needs.  Raises as ``run`` and ``explore``."""
        from bench.search.explore import warm_up  # numba takes a while to load

        build = self._compilation()
        if build is not None:
            warm_up(build(None).model)

    def run(self) -> Checked:
        """The answer.  Raises ``InputError`` for impossible options, ``StrategyError`` for an impossible strategy."""
        return self.recalled() or self.searched()

    def recalled(self) -> Checked | None:
        """The answer if it is kept of an earlier run, or takes no search; else None.  Raises as ``run``."""
        refuse_hypothetical(self.translator, self.host, self.options.what_if)
        build = self._compilation()
        if build is None:
            return replace(self._asked, reason=f"{self.host.name} has one core")
        key = None if self.options.follow else self._key()
        found = None if key is None else _KEPT.find(key)
        if found is None:
            return None
        if not found.outcome.failure:
            return replace(self._asked, outcome=found.outcome.without_run)
        compiler = build(found.followed)
        again = found.outcome.on(compiler.model)
        return None if again is None else self._answered(again, compiler)

    def searched(self, progress: Callable[[int], None] = lambda states: None) -> Checked:
        """The answer where ``recalled`` has none.  Raises as ``run``."""
        build, options = self._compilation(), self.options
        assert build is not None
        outcome, compiler = search_units(
            build,
            options.hazard,
            options.units,
            max_states=options.max_states,
            progress=progress,
            speculation=options.speculation,
            symmetric=options.symmetry,
        )
        key = self._key()
        if key is not None:
            _KEPT.keep(key, _KeptSearch(compiler.followed, KeptOutcome.of(outcome)))
        if not options.follow:
            return self._answered(outcome, compiler)
        if isinstance(self.host, Architecture):
            raise InputError("`follow` on an architecture", expected="a host, whose steps the events are")
        compiler = build(concerned_by(build(None), options.hazard))
        found = follow(compiler.model, options.follow, max_states=options.max_states)
        return self._answered(outcome, compiler, found)

    def _compilation(self) -> Callable[[frozenset[int] | None], Compiler] | None:
        return compilation(self.strategy, self.translator, self.host, self.scenario, self.options)

    def _key(self) -> tuple[object, ...] | None:
        """All that an outcome depends on beside the sources; None where nothing is kept, or that is not known."""
        host, known = self.host, identity(self.strategy, self.translator) if is_keeping() else None
        if known is None:
            return None
        flush = host.runs_as(self.translator.isa).flush.without_prices
        lines = host.dcache_line, tuple(host.icache_line(core) for core in range(host.cores.value))
        asked = replace(self.options, what_if=False, autopsy=False, follow=(), follow_source="")
        return known, rules_of(host), host.cores.value, flush, lines, self.scenario, asked

    @property
    def _asked(self) -> Checked:
        """An answer without anything found yet."""
        reference, what_if = registry.reference(self.strategy), hypothetical(self.translator, self.host)
        name, translator = self.strategy.name, self.translator.full_name
        return Checked(name, reference, self.host, translator, self.scenario, self.options, what_if, None)

    def _answered(self, outcome: Outcome, compiler: Compiler, followed: Followed | None = None) -> Checked:
        """The answer, with the counterexample or the run that ``followed`` found explained."""
        explanation: Explanation | None = None
        does: tuple[Consequence, ...] = ()
        opened: Autopsy | None = None
        run = followed.run if followed is not None else outcome.run
        if run or outcome.failure:
            translator = self.translator
            reads = disassembler(translator, compiler.codes[0])
            why = "" if followed is not None else outcome.failure
            explanation = explain(compiler.model, run, why, reads)
            watched = explanation.watched
            if watched is not None and watched.fetched is not None and watched.read is not None:
                code, at, access = compiler.codes[watched.tb], watched.offset, self.options.accesses[-1]
                does = consequences(translator, code, at, watched.fetched)
                if self.options.autopsy:
                    from bench.autopsy.autopsy import autopsy

                    opened = autopsy(translator, code, access, at, watched.fetched, watched.read)
        return replace(
            self._asked, outcome=outcome, explanation=explanation, followed=followed, consequences=does, autopsy=opened
        )
