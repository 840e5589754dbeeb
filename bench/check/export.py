"""A retranslation as a litmus test that herd7 and litmus7 read, and as a protocol, so that it can be run elsewhere.

In a litmus test the stores of the retranslation to one unit, its loads, maintenance and barriers become those of
AArch64; the unit becomes a branch of AArch64 over an instruction that sets X9.  Its final value is ``B .+12``, which is
what is there, and whatever else it holds for a while is ``B .+8``, which does not jump far enough.  So X9 is 1 where
something temporary is executed.
"""

from __future__ import annotations

from collections.abc import Iterator

import tomli_w

from bench.check.units import concerned_by
from bench.hosts import Host, load_host
from bench.machine import actions
from bench.machine.memory import Stored
from bench.machine.model import Action, Model
from bench.program.compiler import Compiler
from bench.scenarios import scenario
from bench.support.errors import InputError
from bench.translators.translator import Translator
from strategies.retranslation.unfixed import Unfixed
from strategies.strategy import Strategy

SCENARIOS = ("system", "user", "user-both")
"""Those that can be said: who moves a thread is no part of a test."""

_RUN = ("m0: B Lok", "NOP", "MOV W9,#1", "Lok:")

_MAINTENANCE: dict[type[Action], tuple[str, str]] = {
    actions.CleanLine: ("clean branch", "DC CVAU,X1"),
    actions.InvalidateLines: ("invalidate branch", "IC IVAU,X1"),
    actions.DataBarrier: ("dsb", "DSB ISH"),
    actions.SyncContext: ("isb", "ISB"),
}
"""What maintenance of the unit is called in a protocol, and in a litmus test."""


def as_litmus(strategy: Strategy, translator: Translator, name: str) -> str:
    """The test of a strategy in a scenario.

    The flush is that of AArch64 in user space.  Raises ``InputError`` for a scenario, or for an operation of the
    strategy, that a litmus test does not have: locks, and interrupts to other cores.
    """
    if name not in SCENARIOS:
        raise InputError(f"scenario {name}", expected=f"one of {', '.join(SCENARIOS)}")
    lines = tuple(_lines(strategy, translator, load_host("cortex-a72")))
    retranslators = 2 if name == "user-both" else 1
    columns = [[*lines] for _ in range(retranslators)]
    if name == "system":
        columns[0] += _RUN
    else:
        columns.append([*_RUN])
    runner = len(columns) - 1
    registers = [
        f'{thread}:X1=P{runner}:m0; {thread}:X0=instr:"B .+12"; {thread}:X2=instr:"B .+8";'
        for thread in range(retranslators)
    ]
    height = max(map(len, columns))
    rows = [[f"P{thread}" for thread in range(len(columns))]]
    rows += [[column[at] if at < len(column) else "" for column in columns] for at in range(height)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = [
        " " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " ;" for row in rows
    ]
    return "\n".join(
        (
            f"AArch64 {strategy.name}.{name}",
            f"(* {strategy.name} with {translator.full_name}, {name}: B .+12 stands for the final value of *)",
            "(* the unit, B .+8 for any other. X9 is 1 where a value that it has for a while is executed. *)",
            "{",
            *registers,
            f"{runner}:X9=0;",
            "}",
            *table,
            f"exists {runner}:X9=1",
            "",
        )
    )


EXECUTIONS = 3
"""How often a thread that only executes does so in a protocol, which has no loops."""


def as_protocol(strategy: Strategy, translator: Translator, host: Host, name: str) -> str:
    """The protocol of a strategy in a scenario: one retranslation of one unit, which is right or holds for a while
    what another value of it is called.

    Raises ``InputError`` for a scenario, or an operation of the strategy, that a protocol does not have, and where
    no unit can be wrong.
    """
    if name not in ("system", "user"):
        raise InputError(f"scenario {name}", expected="system or user")
    model = _model(strategy, translator, host, name, Unfixed())
    if model is None:
        raise InputError(
            f"{translator.full_name} stores no temporary value", expected="a backend that does (--translator arm@2010)"
        )
    values = {model.final: "final"}
    threads, allowed = {}, {}
    for number in range(len(model.programs)):
        lines, observed = _operations(model, number, strategy, values)
        threads[f"T{number}"] = {"core": model.home[number], "does": "\n".join((*lines, ""))}
        allowed[f"T{number}"] = [" ".join(observed)]
    tree = {
        "summary": f"{strategy.name} with {translator.full_name}, {name}: one retranslation of one branch",
        "layout": {"branch": 0},
        "init": {"branch": "final"},
        "allowed": allowed,
        "threads": threads,
    }
    return tomli_w.dumps(tree, multiline_strings=True)


def _operations(
    model: Model, thread: int, strategy: Strategy, names: dict[tuple[int, ...], str]
) -> tuple[list[str], list[str]]:
    """The operations of a thread, and what it observes where nothing is wrong; new values get ``names``."""
    lines: list[str] = []
    observed: list[str] = []
    executions = held = 0
    for action, values in _steps(model, thread):
        name = names.setdefault(values, "temporary" if len(names) == 1 else f"temporary{len(names)}")
        match action:
            case actions.FetchUnit():
                executions += 1
                lines.append("execute branch")
                observed.append("final")
            case actions.IssueStore(Stored((_,))):
                lines.append(f"store branch {name}")
            case actions.LoadUnit((_,)):
                lines.append("load branch")
                observed.append(name)
            case actions.SyncAllCores():
                lines.append("membarrier")
            case actions.AcquireLock(lock, shared):
                held += 1
                lines.append(f"lock {model.locks[lock]}{' shared' * shared}")
            case actions.ReleaseLock(lock):
                held -= 1
                lines.append(f"unlock {model.locks[lock]}")
            case actions.IssueStore(Stored(())) | actions.LoadUnit(()) | actions.NoEffect():
                pass
            case _ if type(action) in _MAINTENANCE:
                lines.append(_MAINTENANCE[type(action)][0])
            case _:
                raise _cannot_say(action, strategy, "a protocol of a strategy")
        if executions == EXECUTIONS and not held:
            break
    return lines, observed


def _lines(strategy: Strategy, translator: Translator, host: Host) -> Iterator[str]:
    model = _model(strategy, translator, host, "system")
    if model is None:
        return
    for action, values in _steps(model, 0):
        match action:
            case actions.FetchUnit():
                return
            case actions.IssueStore(Stored((_,))):
                yield f"STR {'W0' if values == model.final else 'W2'},[X1]"
            case actions.LoadUnit((_,)):
                yield "LDR W5,[X1]"
            case actions.IssueStore(Stored(())) | actions.LoadUnit(()) | actions.NoEffect():
                pass
            case _ if type(action) in _MAINTENANCE:
                yield _MAINTENANCE[type(action)][1]
            case _:
                raise _cannot_say(action, strategy, "a litmus test")


def _model(
    strategy: Strategy, translator: Translator, host: Host, name: str, wrong_in: Strategy | None = None
) -> Model | None:
    """A strategy in a scenario: one retranslation of one unit that can be wrong, in it or in ``wrong_in``, or None."""
    instance = scenario(name, 2, retranslations=1)
    assert instance is not None

    def build(built: Strategy, followed: frozenset[int] | None) -> Compiler:
        return Compiler(built, translator, host, instance, start_at_fault=True, followed=followed)

    concerned = sorted(concerned_by(build(wrong_in or strategy, None), "transient"))
    return build(strategy, frozenset(concerned[:1])).model if concerned else None


def _steps(model: Model, thread: int) -> Iterator[tuple[Action, tuple[int, ...]]]:
    """What a thread does, one way of it, with the values of cells after it as far as its own stores make them."""
    program, place = model.programs[thread], model.starts[thread]
    values = list(model.final)
    while steps := program.place(place).steps:
        step, result = steps[0], 0
        match step.action:
            case actions.IssueStore(Stored((put,))):
                values[put.cell] = put.onto(values[put.cell])
            case actions.LoadUnit(cells):
                result = sum(values[cell] for cell in cells)
        yield step.action, tuple(values)
        place = step.after(result)


def _cannot_say(action: object, strategy: Strategy, what: str) -> InputError:
    return InputError(
        f"{type(action).__name__} of {strategy.name}",
        expected=f"stores, loads, maintenance and barriers, which is all that {what} has",
    )
