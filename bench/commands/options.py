"""Options that several verbs have, alone and in groups, and which options were given."""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer
import typer.core

from bench.commands.names import max_states_of, names_in, some_of
from bench.commands.output import emitter, notice
from bench.support.errors import InputError
from bench.support.files import refuse_overwriting
from bench.traces.shipped import SHIPPED

if TYPE_CHECKING:
    from bench.check.cell import Options
    from bench.hosts import Host, Target
    from bench.replay.parameters import Parameters
    from bench.report.report import Report
    from bench.translators.translator import Translator

_Target = TypeVar("_Target", bound="Target")

DEFAULT_HOST = "cortex-a9"

_HEADINGS = {
    "The host": "settings what_if",
    "Size of a scenario": "cores tbs retranslations flushes",
    "What is searched": "hazard start accesses guest_bits layout offset speculation",
    "How it is searched": "max_states units symmetry",
    "What a replay assumes": "vcpus as_recorded parameter",
    "Earlier results": "seen save against fresh verbose",
}
"""Headings of a verb's help, and the options below each; all others come first."""

# --- alone ------------------------------------------------------------------------------------------------------------

Strategies = Annotated[
    list[str] | None,
    typer.Option("--strategy", help="Strategies: names, or path/to/file.py:Class.", metavar="NAME,..."),
]
SeenHere = Annotated[str | None, typer.Option("--seen", help="What `run --save` wrote, as a column.", metavar="FILE")]
Hosts = Annotated[
    list[str] | None, typer.Option("--host", help="Host profiles: names, or my.toml.", metavar="NAME,...")
]
Translators = Annotated[
    list[str] | None,
    typer.Option("--translator", help="Translators, dated: arm, arm@2011; default: the host's.", metavar="NAME,..."),
]
Scenarios = Annotated[
    list[str] | None,
    typer.Option("--scenario", help="system, user, user-both, migrate; default: all.", metavar="NAME,..."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Derive a host profile: dcache.write_allocate=false.", metavar="KEY=VALUE"),
]
GuestBits = Annotated[int, typer.Option("--guest-bits", help="Width of a guest address: 32 or 64.")]
Retranslations = Annotated[int, typer.Option("--retranslations", help="Retranslations by each thread that faults.")]
MaxStates = Annotated[int | None, typer.Option("--max-states", help="States of a search, at most; then: bounded.")]
Trace = Annotated[
    str, typer.Argument(help=f"A .trace file, or one that is shipped: {', '.join(SHIPPED)}.", metavar="TRACE")
]
AsRecorded = Annotated[bool, typer.Option("--as-recorded", help="Do not scale the recorded x86-64 TBs to the host.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write there and not to the terminal.")]

# --- in groups --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Written:
    """How and where the answer is written."""

    format: Annotated[
        str,
        typer.Option(
            "--format",
            help="simple, github, latex, ... (any of tabulate's), json or csv; html where an answer is a page.",
        ),
    ] = "simple"
    output: Output = None

    @property
    def is_watched(self) -> bool:
        """Whether the answer is text on a terminal, so that somebody waits for it."""
        from bench.report.tables import PLAIN

        watched = self.output is None and sys.stdout is not None and sys.stdout.isatty()
        return watched and self.format.startswith(PLAIN)

    def emitter(self, own: tuple[str, ...] = ()) -> Callable[[Report], None]:
        """What writes a report, also in formats of its ``own``.  Raises ``InputError``, before the work, if not."""
        return emitter(self.format, self.output, own=own)


@dataclass(frozen=True)
class OnHosts:
    """Hosts and their translators; ``configured``: which options have what the project sets."""

    host: Hosts = None
    translator: Translators = None
    settings: Settings = None
    what_if: Annotated[
        bool, typer.Option("--what-if", help="Allow a translator on a host that does not run what it emits.")
    ] = False
    configured: frozenset[str] = frozenset()

    def hosts(self) -> list[Host]:
        """The hosts.  Raises ``InputError``, as for an architecture."""
        from bench.check import asked

        return asked.hosts(self._names, self.settings or ())

    def pairs(self) -> list[tuple[Host, Translator]]:
        """The hosts and, for each, the translators.  Raises ``InputError`` for one that it does not run."""
        return self._paired(self.hosts())

    def targets(self) -> list[Target]:
        """The hosts and architectures."""
        from bench.check import asked

        return asked.targets(self._names, self.settings or ())

    def target_pairs(self) -> list[tuple[Target, Translator]]:
        """The hosts and architectures and, for each, the translators.  Raises as ``pairs``."""
        return self._paired(self.targets())

    @property
    def _names(self) -> list[str]:
        from bench.hosts import host_names

        return some_of(self.host or [DEFAULT_HOST]) or list(host_names())

    def _paired(self, targets: Iterable[_Target]) -> list[tuple[_Target, Translator]]:
        """Of ``--host all``, and of those that the project sets, such are left out as do not run the translators.

        They are named on stderr.
        """
        from bench.check import asked

        translators = names_in(self.translator) or None
        if self.host != ["all"] and "host" not in self.configured:
            return asked.pairs(targets, translators, self.what_if)
        found: list[tuple[_Target, Translator]] = []
        left_out = []
        for target in targets:
            try:
                found += asked.pairs([target], translators, self.what_if)
            except InputError:
                left_out.append(target.name)
        if not found:
            raise InputError(f"no host runs {', '.join(translators or [])}", place="--translator", expected="--what-if")
        if left_out:
            notice(f"n/a: {', '.join(left_out)}: no translator for it here (--what-if)")
        return found


@dataclass(frozen=True)
class Scaled(OnHosts):
    """Cells of hosts, translators and scenarios, and the size of a scenario."""

    scenario: Scenarios = None
    cores: Annotated[int, typer.Option("--cores", help="Cores (and threads) that a scenario asks for.")] = 2
    tbs: Annotated[int, typer.Option("--tbs", help="Translation blocks.")] = 1
    retranslations: Retranslations = 2
    flushes: Annotated[int, typer.Option("--flushes", help="Tb flushes, at most, by each thread that faults.")] = 0
    max_states: MaxStates = None

    def options(self, **others: Any) -> Options:
        """How a cell is checked.  Raises ``InputError``."""
        from bench.check.cell import MAX_STATES, Options

        found = {one.name: getattr(self, one.name) for one in fields(Options) if hasattr(self, one.name)}
        return Options(**{**found, "max_states": max_states_of(self.max_states, MAX_STATES), **others})


@dataclass(frozen=True)
class OfCells(Scaled):
    """Cells, and all of how they are checked."""

    hazard: Annotated[
        str,
        typer.Option(
            "--hazard",
            help="transient: a wrong fetch; lasting: a wrong value stays; partial: a label is bound too late.",
        ),
    ] = "transient"
    layout: Annotated[str, typer.Option("--layout", help="apart: a line for every unit; packed: as emitted.")] = "apart"
    offset: Annotated[int, typer.Option("--offset", help="Shift packed blocks by so many bytes.")] = 0
    start: Annotated[str, typer.Option("--start", help="cold: at the first run; fault: at the retranslation.")] = "cold"
    accesses: Annotated[
        str, typer.Option("--access", help="The guest accesses of each block: load, store or load,store.")
    ] = "load"
    guest_bits: GuestBits = 32
    units: Annotated[
        str, typer.Option("--units", help="each: a search for each unit that can change; together: one for all.")
    ] = "each"
    speculation: Annotated[
        bool, typer.Option("--speculation/--no-speculation", help="Let cores fetch what they do not execute.")
    ] = True
    symmetry: Annotated[
        bool, typer.Option("--symmetry/--no-symmetry", help="Let one state stand for all with like blocks swapped.")
    ] = True

    def options(self, **others: Any) -> Options:
        """The same with all of how it is checked."""
        return super().options(accesses=tuple(word.strip() for word in self.accesses.split(",")), **others)


@dataclass(frozen=True)
class OfReplay:
    """The parameters of a replay."""

    vcpus: Annotated[
        int | None,
        typer.Option("--vcpus", help="Guest CPUs, for what stopping others costs; default: the host's cores."),
    ] = None
    as_recorded: AsRecorded = False
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", help="Vary an assumption of the replay: lookup=40, seed=2.", metavar="NAME=VALUE"),
    ] = None

    def parameters(self, besides: Sequence[str] = ()) -> Parameters:
        """The parameters, without those of these names (``settings_of``).  Raises ``InputError``."""
        from bench.replay.parameters import Parameters

        settings = [one for one in self.parameter or () if one not in self.settings_of(besides)]
        return Parameters(vcpus=self.vcpus, as_recorded=self.as_recorded).varied(settings, besides)

    def settings_of(self, names: Sequence[str]) -> list[str]:
        """The settings of parameters of these names."""
        return [one for one in self.parameter or () if one.partition("=")[0] in names]


def scenarios_on(named: list[str] | None, hosts: Iterable[Target], cores: int = 2) -> list[str]:
    """The scenarios of those names.  Raises ``InputError`` for one that is named and cannot be on one of the hosts."""
    from bench.check import asked
    from bench.scenarios import scenario

    names = asked.scenarios(some_of(named))
    for host in hosts if some_of(named) else ():
        for name in names:
            if scenario(name, host.cores.value, cores=cores) is None:
                raise InputError(
                    f"scenario {name} on {host.name}, which has one core", expected="a host with more cores"
                )
    return names


_CONTEXT = "context"
_KEEPING = "keeping"
_CONFIGURED = "configured"


@dataclass(frozen=True)
class _Keeping:
    """What becomes of results that are kept (``bench/support/kept.py``)."""

    fresh: Annotated[bool, typer.Option("--fresh", help="Compute anew what is kept of earlier runs.")] = False
    verbose: Annotated[bool, typer.Option("--verbose", help="Say what was reused of earlier runs.")] = False


class Headed(typer.core.TyperCommand):
    """A verb whose help has options under headings."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The arguments, and the options by heading."""
        known = {name: heading for heading, names in _HEADINGS.items() for name in names.split()}
        sections: dict[str, list[tuple[str, str]]] = {heading: [] for heading in ("Arguments", "Options", *_HEADINGS)}
        for one in self.get_params(ctx):
            if record := one.get_help_record(ctx):
                is_option = one.param_type_name == "option"
                sections[known.get(one.name or "", "Options") if is_option else "Arguments"].append(record)
        for heading, records in sections.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


def with_options(verb: Callable[..., None], *, keeps: bool = False) -> Callable[..., None]:
    """The verb as typer takes it: each group among its parameters is replaced by the options that it consists of.

    One that ``keeps`` results has the options for that.  An error about what the project sets says where that is.
    """
    signature = inspect.signature(verb, eval_str=True)
    groups: dict[str, Any] = {
        name: one.annotation for name, one in signature.parameters.items() if is_dataclass(one.annotation)
    }
    parameters = [inspect.Parameter(_CONTEXT, inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)]
    taken = [*signature.parameters.items()]
    if keeps:
        groups[_KEEPING] = _Keeping
        taken.append((_KEEPING, inspect.Parameter(_KEEPING, inspect.Parameter.KEYWORD_ONLY)))
    for name, one in taken:
        if name in groups:
            hints = get_type_hints(groups[name], include_extras=True)
            parameters += [
                inspect.Parameter(each.name, one.KEYWORD_ONLY, default=each.default, annotation=hints[each.name])
                for each in fields(groups[name])
                if each.name != _CONFIGURED
            ]
        elif name != _CONTEXT:
            parameters.append(one.replace(kind=one.KEYWORD_ONLY))

    @functools.wraps(verb)
    def command(**values: Any) -> None:
        context: typer.Context = values[_CONTEXT] if _CONTEXT in signature.parameters else values.pop(_CONTEXT)
        configured = {name: values[name] for name in _named(context, "DEFAULT_MAP")}
        values[_CONFIGURED] = frozenset(configured)
        made = {
            name: group(**{each.name: values[each.name] for each in fields(group)}) for name, group in groups.items()
        }
        own = {name: value for name, value in values.items() if name in signature.parameters}
        try:
            _refuse_overwriting(values)
            with _keeping(made.pop(_KEEPING, None)):
                verb(**own, **made)
        except InputError as error:
            raise _with_origin(error, configured) from error

    command.__dict__["__signature__"] = signature.replace(parameters=parameters)
    return command


@contextlib.contextmanager
def _keeping(asked: _Keeping | None) -> Iterator[None]:
    """What is inside keeps results, or keeps none at all."""
    if asked is None:
        yield
        return
    from bench.support.kept import session

    with session(fresh=asked.fresh, told=asked.verbose) as reused:
        answered = False
        try:
            yield
            answered = True
        except typer.Exit:
            answered = True
            raise
        finally:
            if answered and asked.verbose:
                notice(reused())


def _refuse_overwriting(values: Mapping[str, Any]) -> None:
    """Raise ``InputError`` for a file among the values that is read and written, or written twice."""
    outputs = [value for value in values.values() if isinstance(value, Path)]
    save, against = values.get("save"), values.get("against")
    if outputs and isinstance(against, str):  # a run may be kept by the name that it is set against, and not be lost
        from bench.compare.baseline import kept_in

        refuse_overwriting(outputs, [str(kept_in(against))])
    if isinstance(save, str) and save:  # the name of a run, and no file
        from bench.compare.baseline import path_of

        outputs.append(path_of(save))
    if outputs:
        texts = [text for value in values.values() for text in (value if isinstance(value, list) else [value])]
        names = [name.strip() for text in texts if isinstance(text, str) for name in (text, *text.split(","))]
        settings = [str(folder / "pyproject.toml") for folder in (Path.cwd(), *Path.cwd().parents)]
        refuse_overwriting(
            outputs, [*settings, *(part for name in names for part in (name, _file_of_class(name), name[1:]))]
        )


def _file_of_class(name: str) -> str:
    """``path/to/file.py`` of ``path/to/file.py:Class``."""
    path, parted, _ = name.rpartition(".py:")
    return f"{path}.py" if parted else ""


def _with_origin(error: InputError, configured: dict[str, Any]) -> InputError:
    """The error; if it is about something that the project sets, with where that is."""
    text = str(error)
    for name, value in configured.items():
        said = value if isinstance(value, list) else [value]
        if f"--{name.replace('_', '-')}" in text or f"`{name}`" in text or any(str(one) in text for one in said):
            return InputError(f"{text} (tool.staleline.{name} in pyproject.toml)")
    return error


# --- which were given -------------------------------------------------------------------------------------------------


def given(context: typer.Context) -> dict[str, str]:
    """The parameters that were given on the command line, each with its flag, or in capitals."""
    return _named(context, "COMMANDLINE")


def _named(context: typer.Context, whence: str) -> dict[str, str]:
    found = {}
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name is not None and source is not None and source.name == whence:
            option = parameter.param_type_name == "option"
            found[parameter.name] = max(parameter.opts, key=len) if option else parameter.name.upper()
    return found


def refuse_idle(context: typer.Context, idle: Container[str], where: str, expected: str) -> None:
    """Raise ``InputError`` for the first parameter given that does nothing ``where`` the others say."""
    for name, flag in given(context).items():
        if name in idle:
            raise InputError(f"does nothing {where}", place=flag, expected=expected)
