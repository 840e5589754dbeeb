"""An autopsy as text and JSON."""

from __future__ import annotations

import dataclasses
from typing import Any

from bench.autopsy.autopsy import Autopsy, described
from bench.autopsy.execution import GUEST_ADDRESS, LOADED, STORED, Executed
from bench.report.tables import fill, table
from bench.translators.consequence import WHEN


def as_object(autopsy: Autopsy) -> dict[str, Any]:
    """What ``check --autopsy --format json`` adds to a result (``docs/json.md``)."""
    return {
        "guest_address": f"{GUEST_ADDRESS:#x}",
        "lines": [{**dataclasses.asdict(line), "differs": line.differs} for line in autopsy.lines],
        "runs": [
            {"when": run.way.name, "fetched": _executed(run.fetched), "read": _executed(run.read)}
            for run in autopsy.runs
        ],
    }


def as_lines(autopsy: Autopsy, style: str) -> list[str]:
    """Both listings side by side with the line that differs marked, and what either does when it is executed."""
    rows = [
        ("->" if line.differs else "", f"TB+{line.offset}", line.fetched, line.fetched_text, line.read, line.read_text)
        for line in autopsy.lines
    ]
    headers = ("", "offset", "as fetched", "", "as a debugger reads it", "")
    differing = [line for line in autopsy.lines if line.differs]
    lines = ["", "Autopsy: what the core ran, beside what a debugger reads through the data side", ""]
    lines += [table(headers, rows, style), ""]
    if differing:
        lines.append(f"The executed code is not what a debugger shows, at TB+{differing[0].offset} and nowhere else.")
    else:
        lines.append(
            fill(
                f"They agree: at this very moment the data side holds the wrong value at TB+{autopsy.offset} as well. "
                f"A debugger that looks after the retranslation reads the final one."
            )
        )
    lines.append(f"Executed, for a guest {autopsy.access} at {GUEST_ADDRESS:#x}:")
    for run in autopsy.runs:
        when = WHEN[run.way.name]
        half = next((fact for fact in ("low differs", "high differs") if fact in run.way.facts), "")
        where = f" (the {half.split()[0]} half of the address)" if half else ""
        lines.append(fill(f"{when}{where}, as fetched: {_told(run.fetched, autopsy)}", first="- ", rest="  "))
        lines.append(fill(f"as a debugger reads it: {_told(run.read, autopsy)}", first="  ", rest="  "))
    return lines


def _told(run: Executed, autopsy: Autopsy) -> str:
    parts = [f"{len(run.offsets)} instructions"]
    for call in run.calls:
        told = ", ".join(f"{name} = {value:#x}" for name, value in call.registers)
        parts.append(f"the helper is called at TB+{call.offset} with {told}")
    if run.ended == "guest fault":
        parts.append(f"the guest faults at {described(run.calls[-1].address)}")
    elif run.ended == "loop":
        parts.append(f"still at TB+{run.at}: a loop without end")
    elif run.ended == "illegal instruction":
        parts.append(f"the host traps on an illegal instruction at TB+{run.at}")
    elif run.ended == "wild":
        parts.append(f"control is lost in the host, at {run.address:#x}")
    else:
        parts.append(_result(run, autopsy))
    return "; ".join(parts)


def _result(run: Executed, autopsy: Autopsy) -> str:
    if autopsy.access == "load":
        right = "" if run.result == LOADED else f", not the {LOADED:#x} that lies there"
        return f"it leaves with {autopsy.data_register} = {run.result:#x}{right}"
    right = "" if run.page == STORED else f", not {STORED:#x}"
    return f"it leaves, and the guest's memory holds {run.page:#x}{right}"


def _executed(run: Executed) -> dict[str, Any]:
    return {
        "instructions": len(run.offsets),
        "ended": run.ended,
        "at": run.at,
        "calls": [
            {
                "offset": call.offset,
                "registers": {name: f"{value:#x}" for name, value in call.registers},
                "address": f"{call.address:#x}",
            }
            for call in run.calls
        ],
        "result": f"{run.result:#x}",
        "memory": f"{run.page:#x}",
    }
