"""The words for what happens in a run and why: for the terminal, the page, JSON and claims."""

from __future__ import annotations

from collections.abc import Sequence

from bench.explain.events import Happened, ThreadStep
from bench.machine.model import BranchTarget, Does, Label
from bench.support.text import listed
from strategies.writes import Phase


def _places(of: Sequence[str]) -> str:
    return f"{len(of)} places from {of[0]} to {of[-1]}" if len(of) > 3 else listed(of)


_WRITES = {
    Phase.TLB_ACCESS: ("tlb access code", "written"),
    Phase.FAST_PATH: ("conditional fast path code", "written"),
    Phase.BRANCH: ("branch", "written"),
    Phase.SLOW_PATH: ("slow path code", "written"),
    Phase.BRANCH_UPDATE: ("branch target", "updated"),
    Phase.GUEST_BRANCH: ("guest branch", "written"),
    Phase.EXIT: ("exit code", "written"),
}
"""What is written in each phase: the rows of the thread's table."""

_TARGETS = {
    BranchTarget.TEMPORARY: " with a temporary target",
    BranchTarget.FINAL: " with its final target",
    BranchTarget.KEPT: " without its target",
    None: "",
}

_OPERATIONS = {
    Does.STORE: "{name} stores",
    Does.FLUSH: "the code is flushed",
    Does.OPERATION: "{name}",
    Does.EXECUTE: "TB is executed",
    Does.TRANSLATE: "TB is translated anew",
    Does.DISCARD: "the code buffer is discarded",
}


def label(of: Label, where: str = "", *, loads: bool = False, target: bool = True) -> str:
    """What a label says of the units at ``where``; ``loads``: as far as to load them."""
    if of.does is Does.STORE and loads:
        text = f"{of.name} loads{where}"
    elif of.does is not Does.WRITE or of.phase is None:
        text = _OPERATIONS[of.does].format(name=of.name) + where
    else:
        subject, done = _WRITES[of.phase]
        if of.phase is Phase.GUEST_BRANCH and of.target is None:
            subject = "guest condition"
        if of.phase is Phase.BRANCH_UPDATE and (loads or where or not of.followed):
            subject = "branch" if loads else "branch's target" if not of.followed else "target of the branch"
        ending = (_TARGETS[of.target] if target or of.in_scratch else "") + (
            ", in the scratch buffer" if of.in_scratch else ""
        )
        text = f"{subject}{where} is {'loaded to be ' if loads else ''}{done}{ending}"
    return text if of.followed else f"another {text}"


def happened(of: Happened, *, target: bool = True) -> str:
    """What happens in a row; without ``target`` a write does not say what it makes of that of its branch."""
    return of if isinstance(of, str) else _thread_step(of, target=target)


def _thread_step(step: ThreadStep, *, target: bool) -> str:
    name = step.block
    match step.label.does:
        case Does.EXECUTE:
            text = f"{name} is {'re-executed' if step.again else 'executed'}"
            if step.continued:
                text = f"execution of {name} goes on"
            return f"{text}; its access faults" if step.faults else text
        case Does.TRANSLATE:
            return f"{name} is translated anew"
        case Does.DISCARD:
            return label(step.label)
    where = f" at {_places(step.places)}" if step.places else ""
    text = label(step.label, where, loads=step.loads, target=target)
    return f"{text}, {name}" if not where and name != "TB" else text


def reason(clauses: Sequence[str]) -> str:
    """A reason as a sentence: what begins with a sign goes on, everything else is a part of its own."""
    text = ""
    for clause in clauses:
        text += clause if not text or clause[0] in ",:" or text.endswith((", ", ": ")) else f"; {clause}"
    return f"{text[0].upper()}{text[1:]}."
