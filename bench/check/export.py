"""A retranslation as a litmus test that herd7 and litmus7 read, so that somebody else can run it elsewhere.

The stores of the retranslation to one unit, its loads, maintenance and barriers become those of AArch64; the unit
becomes a branch of AArch64 over an instruction that sets X9.  Its final value is ``B .+12``, which is what is there,
and whatever else it holds for a while is ``B .+8``, which does not jump far enough.  So X9 is 1 where something
temporary is executed.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.check.units import concerned_by
from bench.hosts import Host, load_host
from bench.machine import actions
from bench.machine.memory import Stored
from bench.machine.model import Model
from bench.program.compiler import Compiler
from bench.scenarios import scenario
from bench.support.errors import InputError
from bench.translators.translator import Translator
from strategies.strategy import Strategy

SCENARIOS = ("system", "user", "user-both")
"""Those that can be said: who moves a thread is no part of a test."""

_RUN = ("m0: B Lok", "NOP", "MOV W9,#1", "Lok:")


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


def _lines(strategy: Strategy, translator: Translator, host: Host) -> Iterator[str]:
    cast = scenario("system", 1, retranslations=1)
    assert cast is not None

    def build(followed: frozenset[int] | None) -> Compiler:
        return Compiler(strategy, translator, host, cast, start_at_fault=True, followed=followed)

    concerned = sorted(concerned_by(build(None), "transient"))
    if not concerned:
        return iter(())
    return _instructions(build(frozenset(concerned[:1])).model, strategy)


def _instructions(model: Model, strategy: Strategy) -> Iterator[str]:
    """The instructions of the one thread, from the fault to the next execution."""
    program, place = model.programs[0], model.starts[0]
    values = list(model.final)
    while True:
        (step, *_) = program.place(place).steps
        result = 0
        match step.action:
            case actions.FetchUnit():
                return
            case actions.IssueStore(Stored((put,))):
                values[put.cell] = put.onto(values[put.cell])
                yield f"STR {'W0' if tuple(values) == model.final else 'W2'},[X1]"
            case actions.LoadUnit(cells):
                result = sum(values[cell] for cell in cells)
                if cells:
                    yield "LDR W5,[X1]"
            case actions.CleanLine():
                yield "DC CVAU,X1"
            case actions.InvalidateLines():
                yield "IC IVAU,X1"
            case actions.DataBarrier():
                yield "DSB ISH"
            case actions.SyncContext():
                yield "ISB"
            case actions.IssueStore(Stored(())) | actions.NoEffect():
                pass
            case action:
                raise InputError(
                    f"{type(action).__name__} of {strategy.name}",
                    expected="stores, loads, maintenance and barriers, which is all that a litmus test has",
                )
        place = step.after(result)
