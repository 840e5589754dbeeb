"""The command line: options in, text out.  Everything heavy is imported inside the commands."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from bench.support.errors import InputError
from bench.traces.shipped import DEFAULT_TRACE, SHIPPED

if TYPE_CHECKING:
    from bench.check.cell import Checked, Options
    from bench.check.cells import Check
    from bench.compare.comparison import Comparison
    from bench.hosts import Host, Target
    from bench.risk.risk import Risk
    from bench.translators.translator import Access, Translator
    from strategies.strategy import Strategy

_Word = TypeVar("_Word", bound=str)
_Target = TypeVar("_Target", bound="Target")
_Tell = Callable[[str, float], None]
"""Shows what is being done, and how much of it is."""

DEFAULT_HOST = "cortex-a9"

app = typer.Typer(
    name="staleline",
    help="Compares fixes for code that is rewritten after it has run: is it right, what does it cost, how do you know?",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# typer does not export the base class of its usage errors; BadParameter is the one subclass that it does.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]

Strategies = Annotated[
    list[str] | None,
    typer.Option("--strategy", help="Strategies: names, or path/to/file.py:Class.", metavar="NAME,..."),
]
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
WhatIf = Annotated[
    bool, typer.Option("--what-if", help="Allow a translator on a host that does not run what it emits.")
]
Format = Annotated[
    str, typer.Option("--format", help="simple, github, html, latex, ... (any of tabulate's), json or csv.")
]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write there and not to the terminal.")]
Cores = Annotated[int, typer.Option("--cores", help="Cores (and threads) that a scenario asks for.")]
Tbs = Annotated[int, typer.Option("--tbs", help="Translation blocks.")]
Retranslations = Annotated[int, typer.Option("--retranslations", help="Retranslations by each thread that faults.")]
Flushes = Annotated[int, typer.Option("--flushes", help="Tb flushes, at most, by each thread that faults.")]
MaxStates = Annotated[int | None, typer.Option("--max-states", help="States of a search, at most; then: bounded.")]


GuestBits = Annotated[int, typer.Option("--guest-bits", help="Width of a guest address: 32 or 64.")]


def main() -> None:
    """The command ``staleline``; exits with 0, 1 or 2 (see ``--help`` of the commands)."""
    try:
        command = typer.main.get_command(app)
        code = command.main(standalone_mode=False, default_map=_defaults(command))
    except _bad_input() as error:
        code = _refuse(str(error))
    except _UsageError as error:
        format_message: Callable[[], str] = getattr(error, "format_message", error.__str__)
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context is not None else ""
        code = _refuse(format_message().rstrip(".") + hint)
    except (BrokenPipeError, SystemExit) as error:
        closed = error if isinstance(error, BrokenPipeError) else error.__context__
        if not isinstance(closed, BrokenPipeError):  # typer turns that one into an exit
            raise
        _discard_output()
        code = 128 + 13
    except OSError as error:
        _discard_output()
        code = _refuse(f"{error.filename}: {error.strerror}" if error.filename else f"{error}")
    except (KeyboardInterrupt, typer.Abort):
        code = 128 + 2
    sys.exit(code if isinstance(code, int) else 0)


_CONFIGURED = ("compare", "report", "check", "replay", "risk")
"""The commands whose defaults a project can set."""


_CONFIGURES = re.compile(rb'(?m)^\s*\[\s*tool\s*\.\s*"?staleline')


def _defaults(command: Any) -> dict[str, dict[str, Any]]:
    """The defaults of commands that ``[tool.staleline]`` of a pyproject.toml sets."""
    here = Path.cwd()
    files = (folder / "pyproject.toml" for folder in (here, *here.parents))
    if not any(_CONFIGURES.search(file.read_bytes()) for file in files if file.is_file()):
        return {}  # what reads them takes a while to load
    from bench.support.settings import defaults, nearest

    values = defaults(nearest(here))
    if "strategy" in values:
        values["strategies"] = values["strategy"]
    return {
        name: {
            parameter.name: values[parameter.name]
            for parameter in command.commands[name].params
            if parameter.name in values and parameter.param_type_name == "option"
        }
        for name in _CONFIGURED
    }


def _bad_input() -> tuple[type[Exception], ...]:
    """What bad input raises; asked for only when something was raised, since strategies take a while to load."""
    from strategies.strategy import StrategyError

    return InputError, StrategyError


def _refuse(message: str) -> int:
    with contextlib.suppress(OSError):
        if sys.stderr is not None:
            print(f"staleline: {' '.join(message.split())}", file=sys.stderr, flush=True)
    return 2


def _discard_output() -> None:
    """Let what is still buffered for standard output go nowhere: the interpreter would try it again at its end."""
    with contextlib.suppress(OSError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import PackageNotFoundError
        from importlib.metadata import version as installed

        try:
            _print(f"staleline {installed('staleline')}")
        except PackageNotFoundError:
            _print("staleline (not installed)")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def check(
    strategy: Annotated[
        list[str] | None,
        typer.Argument(help="Strategies, or protocols in .toml files; default: all strategies.", metavar="STRATEGY"),
    ] = None,
    strategies: Strategies = None,
    host: Hosts = None,
    translator: Translators = None,
    scenario: Scenarios = None,
    hazard: Annotated[
        str,
        typer.Option(
            "--hazard",
            help="transient: a wrong fetch; lasting: a wrong value stays; partial: a label is bound too late.",
        ),
    ] = "transient",
    layout: Annotated[
        str, typer.Option("--layout", help="apart: a line for every unit; packed: as emitted.")
    ] = "apart",
    offset: Annotated[int, typer.Option("--offset", help="Shift packed blocks by so many bytes.")] = 0,
    start: Annotated[
        str, typer.Option("--start", help="cold: at the first run; fault: at the retranslation.")
    ] = "cold",
    cores: Cores = 2,
    tbs: Tbs = 1,
    retranslations: Retranslations = 2,
    flushes: Flushes = 0,
    access: Annotated[
        str, typer.Option("--access", help="The guest accesses of each block: load, store or load,store.")
    ] = "load",
    guest_bits: GuestBits = 32,
    units: Annotated[
        str, typer.Option("--units", help="each: a search for each unit that can change; together: one for all.")
    ] = "each",
    speculation: Annotated[
        bool,
        typer.Option(
            "--speculation/--no-speculation", help="Whether cores fetch what they do not execute: fills, and ahead."
        ),
    ] = True,
    symmetry: Annotated[
        bool,
        typer.Option("--symmetry/--no-symmetry", help="Whether one state may stand for all with like blocks swapped."),
    ] = True,
    autopsy: Annotated[
        bool, typer.Option("--autopsy", help="Execute what a counterexample ends with (needs staleline[autopsy]).")
    ] = False,
    max_states: MaxStates = None,
    follow: Annotated[
        str | None, typer.Option("--follow", help="Find the shortest run with these events: a file, thread or hidden.")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            help="Replay the counterexample's evictions and moves under these strategies.",
            metavar="NAME,...",
        ),
    ] = None,
    litmus: Annotated[
        Path | None,
        typer.Option(
            "--litmus", help="Write litmus tests of what was checked, for herd7 and litmus7.", metavar="FOLDER"
        ),
    ] = None,
    settings: Settings = None,
    what_if: WhatIf = False,
    format: Format = "simple",
    output: Output = None,
) -> None:
    """Is it right?  Every behaviour the host allows, with the shortest counterexample.

    Exit status: 0 if all that was asked for holds, 1 if a strategy fails or the search was cut short, 2 for bad input.

    \b
    Example: staleline check unfixed --host cortex-a9 --scenario system --start fault
    Also: staleline check my_protocol.toml --host cortex-a72
    """
    from bench.check import cell
    from bench.check.units import HAZARDS, UNITS
    from bench.explain.follow import load_events
    from bench.program.layout import LAYOUTS
    from bench.protocols.document import is_protocol
    from bench.report import checks

    emit = _emitter(format, output)
    named = _listed([*(strategy or []), *(strategies or [])])
    if any(map(is_protocol, named)):
        if translator or scenario or follow or not all(map(is_protocol, named)):
            raise InputError(
                "a protocol with something that only strategies have",
                place="check",
                expected="protocols alone, without --translator, --scenario and --follow",
            )
        hosts = _load_targets(host, settings) if host or settings else []
        _check_protocols(named, hosts, _max_states(max_states), format, emit)
        return
    if offset and layout != "packed":
        raise InputError(
            f"--offset {offset} with --layout {layout}", expected="--layout packed, whose blocks it shifts"
        )
    if not 0 <= offset < 65536:
        raise InputError(str(offset), place="--offset", expected="0 to 65535 bytes")
    options = cell.Options(
        hazard=_one_of("--hazard", hazard, HAZARDS),
        layout=_one_of("--layout", layout, LAYOUTS),
        offset=offset,
        start=_one_of("--start", start, cell.STARTS),
        cores=cores,
        tbs=tbs,
        retranslations=retranslations,
        flushes=flushes,
        max_states=_max_states(max_states),
        accesses=_accesses(access),
        guest_bits=_guest_bits(guest_bits),
        units=_one_of("--units", units, UNITS),
        speculation=speculation,
        symmetry=symmetry,
        autopsy=autopsy,
        what_if=what_if,
        follow=load_events(follow) if follow is not None else (),
        follow_source=follow or "",
    )
    results = _check_all(_find_strategies(named), host, settings, translator, _scenarios(scenario), options)
    if litmus is not None:
        _write_litmus(results, litmus)
    if against:
        emit(_schedules(results, _find_strategies(_listed(against)), format))
        raise typer.Exit(1 if any(result.verdict in ("fails", "bounded") for result in results) else 0)
    if format == "json":
        emit(_json(checks.as_objects(results)))
    else:
        emit(checks.as_csv(results) if format == "csv" else checks.as_text(results, format))
    if any(result.verdict in ("fails", "bounded") for result in results):
        raise typer.Exit(1)


def _schedules(results: list[Checked], others: list[Strategy], format: str) -> str:
    """Other strategies under the environment schedules of the counterexamples."""
    from bench.check.schedule import same_schedule
    from bench.report import schedule
    from bench.translators.registry import load_translator

    if format in ("json", "csv"):
        raise InputError(f"--format {format}", place="--against", expected="a format of tables")
    failing = [result for result in results if result.verdict == "fails"]
    if not failing:
        raise InputError("nothing that fails", place="--against", expected="a strategy with a counterexample")
    return "\n\n".join(
        schedule.as_text(one, same_schedule(one, others, load_translator(one.translator)), format) for one in failing
    )


def _write_litmus(results: list[Checked], folder: Path) -> None:
    """A litmus test of each strategy, translator and scenario; those that cannot be said are named on stderr."""
    from bench.check.export import as_litmus
    from bench.support.files import refuse_unwritable, replacing
    from bench.translators.registry import load_translator
    from strategies import registry

    if not folder.is_dir():
        raise InputError("is no folder", file=str(folder), expected="a folder to write litmus tests in")
    said = dict.fromkeys((result.reference, result.translator, result.scenario) for result in results)
    for reference, translator, scenario in said:
        strategy = registry.find(reference)
        try:
            text = as_litmus(strategy, load_translator(translator), scenario)
        except InputError as error:
            print(f"staleline: n/a: {error}", file=sys.stderr)
            continue
        file = folder / f"{strategy.name}.{scenario}.{translator}.litmus"
        refuse_unwritable(file)
        with replacing(file) as stream:
            stream.write(text.encode())


def _check_protocols(
    files: list[str], hosts: list[Target], max_states: int | None, format: str, emit: Callable[[str], None]
) -> None:
    """The protocols in files, on the hosts that they say or on others."""
    from bench.check.protocols import judged, moved
    from bench.protocols.document import read_protocol
    from bench.protocols.verification import MOST_STATES
    from bench.report import protocols

    documents = [read_protocol(file) for file in files]
    if hosts:
        documents = [moved(document, host) for document in documents for host in hosts]
    found = [judged(one, explained=True, max_states=max_states or MOST_STATES) for one in documents]
    if format == "json":
        emit(_json(protocols.as_objects(found)))
    else:
        emit(protocols.as_csv(found) if format == "csv" else protocols.as_text(found, format))
    if not all(case.as_expected for one in found for case in one.cases):
        raise typer.Exit(1)


@app.command()
def litmus(
    test: Annotated[
        list[str],
        typer.Argument(help="Tests of AArch64 in herd's format, folders of them, or lists (@FILE).", metavar="FILE"),
    ],
    host: Annotated[
        str | None,
        typer.Option("--host", help="armv8, armv8-idc or armv8-dic; default: what a test's CacheType says, or armv8."),
    ] = None,
    kinds: Annotated[
        str | None,
        typer.Option(
            "--kinds",
            help="Compare with a list: a name and Allowed, Forbidden or Required on each line.",
            metavar="FILE",
        ),
    ] = None,
    max_states: MaxStates = None,
    format: Annotated[
        str, typer.Option("--format", help="herd, json, csv, or any of tabulate's, one row for each test.")
    ] = "herd",
    output: Output = None,
) -> None:
    """Litmus tests of instruction fetching, on what the architecture allows.  Prints what herd prints.

    A test that cannot be read is named, the others are run, and the exit status is 2.  With --kinds it is 1 if one
    disagrees.

    \b
    Example: staleline litmus SM.litmus --host armv8-dic
    """
    from time import perf_counter

    from bench.litmus.files import kinds_in, named, text_of
    from bench.litmus.reader import read_litmus
    from bench.litmus.run import MOST_STATES, run
    from bench.machine.architecture import armv8
    from bench.report import litmus as report

    emit = _emitter("simple" if format == report.HERD else format, output)
    if host is not None:
        armv8(host)
    expected = kinds_in(kinds) if kinds is not None else {}
    found: list[report.Judged] = []
    refused = 0
    files = list(named(test))
    with _progress("testing", len(files)) as tell:
        for number, file in enumerate(files):
            tell(file, number)
            try:
                one = read_litmus(text_of(file), file)
                name = host or one.cache_type
                begun = perf_counter()
                result = run(one, armv8(name), max_states=_max_states(max_states) or MOST_STATES)
                found.append(report.Judged(result, name, perf_counter() - begun))
            except InputError as error:
                refused = _refuse(str(error))
    agrees = True
    if format == "json":
        emit(_json(report.as_objects(found)))
    elif format == "csv":
        emit(report.as_csv(found))
    elif kinds is not None:
        text, agrees = report.agreement(found, expected, "simple" if format == report.HERD else format)
        emit(text)
    else:
        herd = format == report.HERD
        emit("\n".join(map(report.as_block, found)) if herd else report.as_table(found, format))
    if refused or not agrees:
        raise typer.Exit(refused or 1)


@app.command()
def bugs(
    name: Annotated[
        list[str] | None, typer.Argument(help="Published bugs, told in detail; default: a table of all.", metavar="BUG")
    ] = None,
    format: Format = "simple",
    output: Output = None,
) -> None:
    """Published bugs in patching code, and their fixes: is every bug convicted, and every fix acquitted?

    Says for each which feature of the host it needs, and which operations its fix does without.  Takes some 20 seconds.
    Exit status: 0 if all verdicts are as published, else 1.

    \b
    Example: staleline bugs qemu-2011-arm-retrans
    """
    from bench.check.protocols import all_judged
    from bench.protocols.document import bug_names, load_bug
    from bench.report import protocols

    emit = _emitter(format, output)
    named = _listed(name)
    documents = [load_bug(one) for one in named or bug_names()]
    with _progress("judging", len(documents)) as tell:
        found = all_judged(documents, explained=True, progress=tell)
    if format == "json":
        emit(_json(protocols.as_objects(found)))
    elif format == "csv":
        emit(protocols.as_csv(found))
    else:
        emit(protocols.as_text(found, format) if named else protocols.bugs_text(found, format))
    if not all(case.as_expected for one in found for case in one.cases):
        raise typer.Exit(1)


Trace = Annotated[
    str, typer.Argument(help=f"A .trace file, or one that is shipped: {', '.join(SHIPPED)}.", metavar="TRACE")
]
AsRecorded = Annotated[bool, typer.Option("--as-recorded", help="Do not scale the recorded x86-64 TBs to the host.")]
Vcpus = Annotated[
    int | None, typer.Option("--vcpus", help="Guest CPUs, for what stopping others costs; default: the host's cores.")
]

Varied = Annotated[
    list[str] | None,
    typer.Option("--parameter", help="Vary an assumption of the replay: lookup=40, seed=2.", metavar="NAME=VALUE"),
]


@app.command()
def compare(
    trace: Trace = DEFAULT_TRACE,
    strategy: Strategies = None,
    host: Hosts = None,
    translator: Translators = None,
    scenario: Scenarios = None,
    cores: Cores = 2,
    tbs: Tbs = 1,
    retranslations: Retranslations = 2,
    flushes: Flushes = 0,
    max_states: MaxStates = None,
    vcpus: Vcpus = None,
    as_recorded: AsRecorded = False,
    parameter: Varied = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Draw the trade-off, parts of costs and prices: svg, png or pdf.", metavar="FILE"),
    ] = None,
    save: Annotated[
        str | None, typer.Option("--save", help="Keep this run by a name (in .staleline).", metavar="NAME")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            help="What has changed since a run that was kept; exit 1 if anything got worse.",
            metavar="NAME",
        ),
    ] = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="With --against: so many times dearer is still the same.")
    ] = 1.02,
    settings: Settings = None,
    what_if: WhatIf = False,
    format: Format = "simple",
    output: Output = None,
) -> None:
    """The main job: every strategy and scenario on a host, one table: verdicts, cost, memory.

    --format html writes one page for a browser: the table, counterexamples to step through, the trade-off, break-even.
    Exit status: 0 when the table is there, failing strategies included; 2 for bad input.

    \b
    Example: staleline compare --host cortex-a9,arm926 --format github
    """
    from bench.check.cell import Options
    from bench.compare import baseline
    from bench.compare.comparison import compare as compare_on
    from bench.replay.parameters import Parameters
    from bench.report import baselines, comparisons
    from bench.report.provenance import command_line, commit, installed
    from bench.traces.store import load_trace

    emit = _emitter(format, output)
    before = baseline.load(against) if against is not None else None
    if not 1 <= tolerance <= 1e6:
        raise InputError(f"{tolerance:g}", place="--tolerance", expected="a factor from 1 on")
    if save is not None:
        baseline.refuse_unkeepable(save)
    if plot is not None:
        from bench.report import charts

        charts.refuse_undrawable(plot)
    named, by_name = _scenarios(scenario)
    options = Options(
        cores=cores,
        tbs=tbs,
        retranslations=retranslations,
        flushes=flushes,
        max_states=_max_states(max_states),
        what_if=what_if,
    )
    parameters = Parameters(vcpus=vcpus, as_recorded=as_recorded).varied(parameter or ())
    pairs = _pairs(host, settings, translator, what_if)
    if by_name:
        for found, _ in pairs:
            _refuse_impossible(found, named, options)
    strategies = _find_strategies(_listed(strategy))
    recorded = load_trace(trace)
    results: list[Comparison] = []
    with _progress("comparing", len(pairs)) as tell:
        for number, (found, backend) in enumerate(pairs):
            results.append(
                compare_on(
                    recorded,
                    found,
                    backend,
                    strategies,
                    named,
                    options,
                    parameters,
                    partial(_tell_share, tell, found.name, number),
                )
            )
    if plot is not None:
        charts.write(charts.of_comparisons(results), plot)
    document = comparisons.compared_objects(results)
    if save is not None:
        baseline.keep(save, document, version=installed(), commit=commit(), command=command_line())
    found_before = (
        baseline.differences(before.results, baseline.rows_of(document), tolerance) if before is not None else ()
    )
    if format == "html":
        from bench.report.page.build import as_page

        emit(as_page(results, recorded, parameters))
    elif format == "json":
        emit(_json({**document, "against": baselines.as_objects(found_before)} if before is not None else document))
    elif format == "csv":
        emit(comparisons.compared_csv(results))
    else:
        text = comparisons.compared_text(results, format)
        if before is not None:
            text += f"\n\n{baselines.as_text(before, str(against), found_before, format)}"
        emit(text)
    if any(one.change == "worse" for one in found_before):
        raise typer.Exit(1)


@app.command()
def report(
    output: Annotated[Path, typer.Option("--output", "-o", help="The .html file to write.")],
    trace: Trace = DEFAULT_TRACE,
    strategy: Strategies = None,
    host: Hosts = None,
    translator: Translators = None,
    scenario: Scenarios = None,
    settings: Settings = None,
    what_if: WhatIf = False,
) -> None:
    """The same comparison as one HTML file, to be put in front of others: staleline compare --format html.

    \b
    Example: staleline report linux-boot -o report.html
    """
    compare(
        trace, strategy, host, translator, scenario, settings=settings, what_if=what_if, format="html", output=output
    )


@app.command()
def needs(
    strategy: Annotated[list[str] | None, typer.Argument(help="Strategies; default: all.", metavar="STRATEGY")] = None,
    host: Annotated[str, typer.Option("--host", help="The host profile to start from.")] = DEFAULT_HOST,
    translator: Annotated[str | None, typer.Option("--translator", help="Default: the host's.")] = None,
    scenario: Scenarios = None,
    max_states: MaxStates = None,
    settings: Settings = None,
    what_if: WhatIf = False,
    format: Format = "simple",
    output: Output = None,
) -> None:
    """What a strategy needs: which of its operations cannot be left out, and the weakest host on which it holds.

    \b
    Example: staleline needs unfixed flush-on-retranslation --scenario system
    """
    from bench.check.cell import Options
    from bench.check.minimality import omissions, weakest
    from bench.report import minimality as report_of

    emit = _emitter(format, output)
    names, by_name = _scenarios(scenario)
    options = Options(what_if=what_if, max_states=_max_states(max_states))
    (found, backend), *more = _pairs([host], settings, [translator] if translator else None, what_if)
    if more:
        raise InputError(f"{len(more) + 1} hosts or translators", place="needs", expected="one")
    if by_name:
        _refuse_impossible(found, names, options)
    names = [name for name in names if name != "migrate" or found.cores.value > 1]
    strategies = _find_strategies(_listed(strategy))
    with _progress("checking", len(strategies) * len(names) * 32) as tell:
        omitted = {one.name: omissions(one, backend, found, names, options) for one in strategies}
        sets = weakest(strategies, backend, found, names, options, partial(_tell_states, tell))
    if format == "json":
        emit(_json(report_of.as_objects(found.name, backend.full_name, omitted, sets)))
    elif format == "csv":
        emit(report_of.as_csv(omitted, sets))
    else:
        emit(report_of.as_text(f"on {found.name} with {backend.full_name}", omitted, sets, format))


@app.command("matrix")
def show_matrix(
    strategy: Strategies = None,
    host: Hosts = None,
    translator: Translators = None,
    scenario: Scenarios = None,
    hazard: Annotated[
        list[str] | None,
        typer.Option("--hazard", help="transient, lasting, partial; default: all.", metavar="NAME,..."),
    ] = None,
    retranslations: Retranslations = 2,
    max_states: MaxStates = None,
    settings: Settings = None,
    format: Format = "simple",
    output: Output = None,
) -> None:
    """Every translator on every host that it can run on: which were really affected, and what cures them.

    Takes minutes: some thousand searches, on all cores. A translator named without its date is that of early January
    2011, or the first there was; --translator all takes every version.

    \b
    Example: staleline matrix --translator arm,mips --hazard transient
    """
    from bench.check.cell import Options
    from bench.check.matrix import matrix
    from bench.check.units import HAZARDS
    from bench.report import matrices

    emit = _emitter(format, output)
    names, _ = _scenarios(scenario)
    hazards = [_one_of("--hazard", name, HAZARDS) for name in _listed(hazard)] or list(HAZARDS)
    pairs, without = _every_pair(host, settings, translator)
    strategies = _find_strategies(_listed(strategy))
    options = Options(retranslations=retranslations, max_states=_max_states(max_states))
    with _progress("checking", 1.0) as tell:
        found = matrix(pairs, without, strategies, names, hazards, options, tell)
    if format == "json":
        emit(_json(matrices.as_objects(found)))
    else:
        emit(matrices.as_csv(found) if format == "csv" else matrices.as_text(found, format))


@app.command()
def replay(
    trace: Trace = DEFAULT_TRACE,
    strategy: Strategies = None,
    host: Hosts = None,
    translator: Translators = None,
    vcpus: Vcpus = None,
    as_recorded: AsRecorded = False,
    parameter: Varied = None,
    settings: Settings = None,
    what_if: WhatIf = False,
    format: Format = "simple",
    output: Output = None,
) -> None:
    """What does it cost?  Operations, cache misses and cycles on a recorded execution.

    \b
    Example: staleline replay linux-boot --strategy flush-on-retranslation,side-table --host mips-24kc --what-if
    """
    from bench.replay.parameters import Parameters
    from bench.replay.replay import replay as replay_on
    from bench.report import comparisons
    from bench.traces.store import load_trace

    emit = _emitter(format, output)
    parameters = Parameters(vcpus=vcpus, as_recorded=as_recorded).varied(parameter or ())
    pairs = _pairs(host, settings, translator, what_if)
    strategies = _find_strategies(_listed(strategy))
    recorded = load_trace(trace)
    results: list[comparisons.Costs] = []
    with _progress(f"replaying {recorded.name}", len(pairs)) as tell:
        for number, (found, backend) in enumerate(pairs):
            rows = replay_on(
                recorded, found, backend, strategies, parameters, partial(_tell_count, tell, found.name, number)
            )
            results.append(comparisons.Costs(found, backend, rows))
    if format == "json":
        emit(_json(comparisons.replayed_objects(results)))
    else:
        emit(comparisons.replayed_csv(results) if format == "csv" else comparisons.replayed_text(results, format))


@app.command()
def risk(
    trace: Trace = DEFAULT_TRACE,
    strategy: Strategies = None,
    host: Hosts = None,
    translator: Translators = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option("--scenario", help="system, user, user-both, migrate; default: system,user.", metavar="NAME,..."),
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", help="Retranslations per second; default: as the trace's cycles have it.")
    ] = None,
    sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="Vary each quantity over its range: which ones decide?")
    ] = False,
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", help="Set an assumption: interrupts=1000, tlb_hit=0.9.", metavar="NAME=VALUE"),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="With --sensitivity: draw it as svg, png or pdf.", metavar="FILE")
    ] = None,
    per_operation: Annotated[
        list[str] | None,
        typer.Option(
            "--per-operation",
            help="Without a trace: the probability that, between two operations, a data line leaves (write_back), an "
            "instruction line leaves (drop) or comes (fill), the thread moves (move), ...",
            metavar="NAME=P,...",
        ),
    ] = None,
    simulate: Annotated[
        int, typer.Option("--simulate", help="With --per-operation: draw so many courses as a check.", metavar="N")
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", help="Of --simulate.")] = 0,
    as_recorded: AsRecorded = False,
    settings: Settings = None,
    what_if: WhatIf = False,
    format: Format = "simple",
    output: Output = None,
) -> None:
    """How often does it bite?  The probability that a retranslation ends in the execution of a wrong unit.

    Takes half a minute per host; --scenario migrate and --sensitivity take several.

    \b
    Example: staleline risk --strategy unfixed --host cortex-a9 --scenario system
    Also: staleline risk --strategy unfixed --per-operation write_back=1e-6,drop=1e-3
    """
    from bench.replay.parameters import Parameters
    from bench.report import charts, risks
    from bench.risk.given import GivenRisk, Probabilities
    from bench.risk.pressure import Pressure
    from bench.risk.recorded import RecordedRisk
    from bench.risk.risk import RiskModel
    from bench.traces.store import load_trace

    emit = _emitter(format, output)
    if plot is not None:
        if not sensitivity:
            raise InputError("no sensitivity to draw", place="--plot", expected="--sensitivity")
        charts.refuse_undrawable(plot)
    if simulate and not (per_operation and 2 <= simulate <= 10**8 and seed >= 0):
        raise InputError(
            f"{simulate}, seed {seed}",
            place="--simulate",
            expected="2 .. 100,000,000 courses with a seed from 0, and --per-operation",
        )
    if per_operation and (sensitivity or rate is not None or parameter):
        raise InputError(
            "what is given per operation has no range, rate or parameter",
            place="--per-operation",
            expected="no --sensitivity, --rate or --parameter",
        )
    if rate is not None and not 0 < rate <= 1e9:
        raise InputError(f"{rate:g}", place="--rate", expected="retranslations per second, above 0 and up to 1e9")
    names, by_name = _scenarios(scenario or ["system,user"])
    pressure = Pressure().varied(parameter or ())
    pairs = _pairs(host, settings, translator, what_if)
    if by_name and scenario:
        from bench.check.cell import Options

        for found, _ in pairs:
            _refuse_impossible(found, names, Options())
    strategies = _find_strategies(_listed(strategy))
    if per_operation:
        probabilities = Probabilities.parsed(_listed(per_operation))
        models: list[RiskModel] = [GivenRisk(*pair, probabilities, simulate, seed) for pair in pairs]
    else:
        recorded, parameters = load_trace(trace), Parameters(as_recorded=as_recorded)
        models = [RecordedRisk(*pair, recorded, pressure, parameters, rate, sensitivity) for pair in pairs]
    results: list[Risk] = []
    with _progress("risk", len(pairs) * len(strategies) * len(names)) as tell:
        for model in models:
            for one in strategies:
                for name in names:
                    tell(f"{model.host.name}: {one.name}, {name}", len(results))
                    results.append(model.evaluate(one, name))
    if plot is not None:
        charts.write(charts.of_risks(results, pressure), plot)
    if format == "json":
        emit(_json(risks.as_objects(results)))
    else:
        emit(risks.as_csv(results) if format == "csv" else risks.as_text(results, pressure, format))


@app.command("thread")
def show_thread(
    claim: Annotated[list[str] | None, typer.Argument(help="Claims by name; default: all.", metavar="CLAIM")] = None,
    settings: Settings = None,
    max_states: MaxStates = None,
    format: Annotated[
        str, typer.Option("--format", help="simple, github, ... (any of tabulate's), page (Markdown), json or csv.")
    ] = "simple",
    output: Output = None,
) -> None:
    """Every claim of the thread of January 2011, with what the models and the recordings say to it.

    Computed anew each time, in about a minute. --set derives every host, so that a verdict can be seen to change.

    \b
    Example: staleline thread seven-steps flush-cures --set coherence.snoop=all
    """
    from bench.report import threads
    from bench.thread.findings import decide, find_claims
    from bench.thread.lab import Lab

    emit = _emitter("github" if format == "page" else format, output)
    claims = find_claims(_listed(claim))
    with _progress("deciding", 1.0) as tell:
        found = decide(claims, Lab(settings or (), _max_states(max_states)), tell)
    if format == "json":
        emit(_json(threads.as_objects(found)))
    elif format == "page":
        emit(threads.as_markdown(found))
    else:
        emit(threads.as_csv(found) if format == "csv" else threads.as_text(found, format))


traces = typer.Typer(help="QEMU log to compact trace; what a trace holds; a modelled workload.", rich_markup_mode=None)
app.add_typer(traces, name="trace")


@traces.command("import")
def import_trace(
    log: Annotated[str, typer.Argument(help="A QEMU log, plain, .gz, .xz or .zst, or - for standard input.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .trace file to write.")],
    name: Annotated[str | None, typer.Option("--name", help="The trace's name; default: the log's.")] = None,
    mode: Annotated[str | None, typer.Option("--mode", help="system or user; default: what the log shows.")] = None,
) -> None:
    """Read what QEMU printed with -d exec,nochain,in_asm,out_asm,... and write a compact trace.

    \b
    Example: staleline trace import boot.log.zst -o boot.trace
    """
    from bench.report import traces as report
    from bench.support.files import refuse_unwritable
    from bench.traces.info import info
    from bench.traces.qemu_log import import_log
    from bench.traces.trace import MODES

    refuse_unwritable(output, ordinary=True)
    if log != "-" and output.exists() and Path(log).exists() and output.samefile(log):
        raise InputError("is the log itself", file=str(output), expected="another file")
    emulation = _one_of("--mode", mode, MODES) if mode is not None else None
    trace = import_log(log, output, name=name, mode=emulation)
    _print(report.as_text(info(trace), trace, "simple"))


@traces.command("info")
def trace_info(trace: Trace = DEFAULT_TRACE, format: Format = "simple", output: Output = None) -> None:
    """What a trace holds: executions, blocks, faults, and how soon a faulting block runs again.

    \b
    Example: staleline trace info mine.trace --format json
    """
    from bench.report import traces as report
    from bench.traces.info import info
    from bench.traces.store import load_trace

    emit = _emitter(format, output)
    found = load_trace(trace)
    figures = info(found)
    if format == "json":
        emit(_json(figures))
    else:
        emit(report.as_csv(figures) if format == "csv" else report.as_text(figures, found, format))


_VALUE = "N or xFACTOR"
_QUANTILES = "MIN,MEDIAN,P90,MAX"


@traces.command("model")
def model(
    output: Annotated[Path, typer.Option("--output", "-o", help="The .trace file to write.")],
    like: Annotated[str, typer.Option("--like", help="The trace whose measures are the defaults.")] = DEFAULT_TRACE,
    seed: Annotated[int, typer.Option("--seed", help="The same seed draws the same trace.", min=0)] = 0,
    executions: Annotated[str | None, typer.Option(help="TB executions.", metavar=_VALUE)] = None,
    tbs: Annotated[str | None, typer.Option(help="TBs translated.", metavar=_VALUE)] = None,
    tb_bytes: Annotated[str | None, typer.Option(help="Host bytes per TB.", metavar=_QUANTILES)] = None,
    working_set: Annotated[
        str | None, typer.Option(help="Different TBs per million executions.", metavar=_VALUE)
    ] = None,
    faults_per_million: Annotated[
        str | None, typer.Option(help="Retranslations per million executions.", metavar=_VALUE)
    ] = None,
    faulting_tbs: Annotated[str | None, typer.Option(help="Different TBs that fault.", metavar=_VALUE)] = None,
    concentration: Annotated[
        str | None, typer.Option(help="Share of the faults on the ten TBs that fault most.", metavar=_VALUE)
    ] = None,
    rewritten_bytes: Annotated[
        str | None, typer.Option(help="Host bytes rewritten per retranslation.", metavar=_QUANTILES)
    ] = None,
    reexecution_tbs: Annotated[
        str | None, typer.Option(help="Executions until a retranslated TB runs again.", metavar=_QUANTILES)
    ] = None,
    threads: Annotated[str | None, typer.Option(help="Guest threads.", metavar=_VALUE)] = None,
    flushes: Annotated[str | None, typer.Option(help="Tb flushes.", metavar=_VALUE)] = None,
) -> None:
    """Draw an execution with given statistics; each defaults to what the default trace measures.

    \b
    Example, retranslation a hundred times as frequent: staleline trace model --faults-per-million x100 -o often.trace
    """
    from bench.report import traces as report
    from bench.support.files import refuse_unwritable
    from bench.traces.info import info
    from bench.traces.model import measured, model_trace, varied
    from bench.traces.store import load_trace, save_trace

    refuse_unwritable(output, ordinary=True)
    given = {
        "executions": executions,
        "tbs": tbs,
        "tb_bytes": tb_bytes,
        "working_set": working_set,
        "faults_per_million": faults_per_million,
        "faulting_tbs": faulting_tbs,
        "concentration": concentration,
        "rewritten_bytes": rewritten_bytes,
        "reexecution_tbs": reexecution_tbs,
        "threads": threads,
        "flushes": flushes,
    }
    changes = {key: value for key, value in given.items() if value is not None}
    trace = model_trace(varied(measured(load_trace(like)), changes), seed)
    save_trace(trace, output)
    _print(report.as_text(info(trace), trace, "simple"))


@app.command("translator")
def show_translator(
    name: Annotated[str, typer.Argument(help="A translator, such as arm or arm@2011.")],
    access: Annotated[str, typer.Option("--access", help="The guest access: load or store.")] = "load",
    guarded: Annotated[
        bool, typer.Option("--guarded", help="A branch of the guest's own may skip the access (the partial hazard).")
    ] = False,
    guest_bits: GuestBits = 32,
    format: Format = "simple",
    output: Output = None,
) -> None:
    """What a backend emits for a guest access: bytes, disassembly, order in time, and what a wrong word would do.

    \b
    Example: staleline translator arm@2010 --access store
    """
    from bench.report import listings
    from bench.translators.listing import listing
    from bench.translators.registry import load_translator
    from bench.translators.translator import ACCESSES

    emit = _emitter(format, output)
    found = load_translator(name)
    accesses = (_one_of("--access", access, ACCESSES),)
    shown = listing(found, found.block(0, accesses, guarded=guarded, guest_bits=_guest_bits(guest_bits)))
    if format == "json":
        emit(_json(listings.as_objects(shown, access)))
    else:
        emit(listings.as_csv(shown) if format == "csv" else listings.as_text(shown, access, format))


@app.command("list")
def list_all(format: Format = "simple", output: Output = None) -> None:
    """Strategies, hosts, translators, scenarios, shipped traces, and the parameters of the replay and of the risk.

    \b
    Example: staleline list --format json
    """
    from bench.report import catalogue

    emit = _emitter(format, output)
    found = catalogue.catalogue()
    if format == "json":
        emit(_json(catalogue.as_objects(found)))
    else:
        emit(catalogue.as_csv(found) if format == "csv" else catalogue.as_text(found, format))


# --- What the commands share ----------------------------------------------------------------------------------------


def _listed(values: Iterable[str] | None) -> list[str]:
    """The values of a repeatable option, comma lists taken apart, without repetition."""
    items = [item.strip() for value in values or () for item in value.split(",")]
    if any(not item for item in items):
        raise InputError("an empty name in a list", expected="names with commas between them")
    return list(dict.fromkeys(items))


def _one_of(place: str, value: str, known: tuple[_Word, ...]) -> _Word:
    """The one of the ``known`` words that ``value`` is."""
    for word in known:
        if word == value:
            return word
    raise InputError(repr(value), place=place, expected=" or ".join(known))


def _find_strategies(named: list[str]) -> list[Strategy]:
    from strategies import registry

    return [registry.find(name) for name in (named if named and named != ["all"] else registry.names())]


def _load_hosts(named: list[str] | None, settings: list[str] | None) -> list[Host]:
    """The hosts of those names."""
    from bench.hosts import Architecture, Host

    hosts = []
    for host in _load_targets(named, settings):
        if isinstance(host, Architecture):
            raise InputError(
                f"{host.name} is an architecture, which has no caches and no costs",
                place="--host",
                expected="a host; staleline check asks architectures",
            )
        assert isinstance(host, Host)
        hosts.append(host)
    return hosts


def _load_targets(named: list[str] | None, settings: list[str] | None) -> list[Target]:
    """The hosts and architectures of those names."""
    from bench.hosts import host_names, load_target

    names = _listed(named) or [DEFAULT_HOST]
    return [load_target(name, settings or ()) for name in (host_names() if names == ["all"] else names)]


def _scenarios(named: list[str] | None) -> tuple[list[str], bool]:
    """The scenarios asked for, and whether they were asked for by name."""
    from bench.scenarios import scenario_names

    names = _listed(named)
    if not names or names == ["all"]:
        return list(scenario_names()), False
    for name in names:
        _one_of("--scenario", name, scenario_names())
    return names, True


def _load_translators(named: list[str] | None, host: Target, what_if: bool) -> list[Translator]:
    """The translators asked for, or the host's own: the one of early January 2011 for its first instruction set."""
    from bench.translators.registry import default_translator, load_translator

    if names := _listed(named):
        return [load_translator(name) for name in names]
    return [default_translator(host, what_if=what_if)]


def _accesses(text: str) -> tuple[Access, ...]:
    """The guest accesses of a block."""
    from bench.translators.translator import ACCESSES

    named = tuple(_one_of("--access", word.strip(), ACCESSES) for word in text.split(","))
    if len(named) > 4:
        raise InputError(f"{len(named)} accesses", place="--access", expected="at most 4")
    return named


def _guest_bits(bits: int) -> Literal[32, 64]:
    from bench.translators.translator import GUEST_BITS

    for known in GUEST_BITS:
        if bits == known:
            return known
    raise InputError(str(bits), place="--guest-bits", expected="32 or 64")


def _max_states(asked: int | None) -> int:
    from bench.check.cell import MAX_STATES

    if asked is not None and asked < 1:
        raise InputError(str(asked), place="--max-states", expected="at least 1")
    return asked or MAX_STATES


def _check_all(
    found: list[Strategy],
    hosts: list[str] | None,
    settings: list[str] | None,
    translators: list[str] | None,
    scenarios: tuple[list[str], bool],
    options: Options,
) -> list[Checked]:
    from bench.check.cells import Check, check_all

    names, by_name = scenarios
    if options.follow and not by_name:
        names = _with_threads(names, max(event.thread for event in options.follow) + 1, options)
    pairs = _paired(_load_targets(hosts, settings), hosts, translators, options.what_if)
    if by_name:
        for host, _ in pairs:
            _refuse_impossible(host, names, options)
    cells = [Check(s, translator, host, name, options) for host, translator in pairs for s in found for name in names]
    with _progress("checking", len(cells)) as tell:
        return check_all(cells, partial(_tell_states, tell))


def _pairs(
    hosts: list[str] | None, settings: list[str] | None, translators: list[str] | None, what_if: bool
) -> list[tuple[Host, Translator]]:
    """The hosts and, for each, the translators, as ``_paired`` has them."""
    return _paired(_load_hosts(hosts, settings), hosts, translators, what_if)


def _paired(
    targets: list[_Target], hosts: list[str] | None, translators: list[str] | None, what_if: bool
) -> list[tuple[_Target, Translator]]:
    """Each with its translators; refuses what it does not run, unless ``what_if``.

    Of ``--host all`` such hosts are left out, and named on stderr.
    """
    from bench.check.cell import refuse_hypothetical

    pairs: list[tuple[_Target, Translator]] = []
    left_out = []
    for host in targets:
        try:
            found = _load_translators(translators, host, what_if)
            for translator in found:
                refuse_hypothetical(translator, host, what_if)
        except InputError:
            if hosts != ["all"]:
                raise
            left_out.append(host.name)
        else:
            pairs += [(host, translator) for translator in found]
    if not pairs:
        raise InputError(f"no host runs {', '.join(translators or [])}", place="--translator", expected="--what-if")
    if left_out:
        print(f"staleline: n/a: {', '.join(left_out)}: no translator for it here (--what-if)", file=sys.stderr)
    return pairs


def _every_pair(
    hosts: list[str] | None, settings: list[str] | None, translators: list[str] | None
) -> tuple[list[tuple[Host, Translator]], list[Host]]:
    """Every translator with every host that it can run on, and the hosts for which there is none."""
    from bench.translators.registry import first_versions, load_translator, translator_names

    named = _listed(translators)
    every = translator_names() if named == ["all"] else named
    backends = [load_translator(name) for name in every] if named else list(first_versions())
    profiles = _load_hosts(hosts or ["all"], settings)
    pairs = [(host, backend) for host in profiles for backend in backends if backend.isa in host.isa]
    if hosts and _listed(hosts) != ["all"]:
        for host in profiles:
            if not any(pair[0] is host for pair in pairs):
                raise InputError(
                    f"{host.name} runs {' or '.join(host.isa)}, which no translator here emits",
                    place="--host",
                    expected=f"a host for {', '.join(dict.fromkeys(backend.isa for backend in backends))}",
                )
    if not pairs:
        raise InputError(f"no host runs {', '.join(named)}", place="--translator", expected="another translator")
    without = [host for host in profiles if not any(pair[0] is host for pair in pairs)]
    return pairs, [] if named and named != ["all"] else without


def _with_threads(names: list[str], threads: int, options: Options) -> list[str]:
    """The scenarios that have so many threads; all of them if none has, which is then refused where it is met."""
    from bench.scenarios import scenario

    casts = {name: scenario(name, options.cores, cores=options.cores) for name in names}
    return [name for name, cast in casts.items() if cast is not None and len(cast.threads) >= threads] or names


def _refuse_impossible(host: Target, names: list[str], options: Options) -> None:
    """Refuse a scenario that was asked for by name and cannot be on the host."""
    from bench.scenarios import scenario

    for name in names:
        if scenario(name, host.cores.value, cores=options.cores) is None:
            raise InputError(f"scenario {name} on {host.name}, which has one core", expected="a host with more cores")


def _tell_share(tell: _Tell, name: str, before: int, text: str, share: float) -> None:
    tell(f"{name}: {text}", before + share)


def _tell_count(tell: _Tell, name: str, before: int, done: int, total: int) -> None:
    tell(name, before + done / max(total, 1))


def _tell_states(tell: _Tell, cell: Check, before: int, states: int) -> None:
    text = f"{cell.strategy.name}, {cell.scenario}"
    tell(f"{text}: {states:,} states" if states else text, before)


@contextlib.contextmanager
def _progress(what: str, total: float) -> Iterator[_Tell]:
    """A progress bar on stderr, only on a terminal; yields ``tell(text, done)``, with ``done`` of ``total``."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda text, done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(what),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda text, done: bar.update(task, description=text, completed=done)


def _emitter(format: str, output: Path | None) -> Callable[[str], None]:
    """Where the result goes.  That it cannot be written, or has no such format, is found out before the work."""
    from bench.report.tables import refuse_unknown_format
    from bench.support.files import refuse_unwritable, replacing

    refuse_unknown_format(format)
    if output is None:
        if sys.stdout is None:
            raise InputError("is not open", file="standard output", expected="a place to write, or --output FILE")
        return _print
    refuse_unwritable(output)

    def write(text: str) -> None:
        with replacing(output) as file:
            file.write(f"{text}\n".encode())

    return write


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        _discard_output()
        raise InputError(f"{error.strerror}", file="standard output", expected="a place to write") from error
    except UnicodeEncodeError as error:
        raise InputError(
            f"{error.object[error.start]!a} cannot be written as {error.encoding}",
            file="standard output",
            expected="UTF-8 (PYTHONIOENCODING=utf-8), or --output FILE",
        ) from error


def _json(value: Any) -> str:
    import msgspec

    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
