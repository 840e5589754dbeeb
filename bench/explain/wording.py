"""The words for what happens in a run and why: for the terminal, the page, JSON and claims."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from bench.explain.events import Block, EnvironmentStep, Happened, Place, ThreadStep, Value
from bench.machine import Kind
from bench.machine.model import BranchTarget, Does, Label
from bench.support.text import listed
from strategies.writes import Phase

# --- Names --------------------------------------------------------------------------------------------------------


def block(of: Block) -> str:
    """``TB``, or ``TB 2`` where there are several."""
    return f"TB {of.number + 1}" if of.count > 1 else "TB"


def place(of: Place) -> str:
    """``TB+32``."""
    return f"{block(of.block)}+{of.offset}"


def instruction(value: Value) -> str:
    """The value as an instruction: ``0a000000 (beq #0x1000028)``."""
    return f"{value.number:0{2 * value.size}x} ({value.instruction})"


def _value(value: Value) -> str:
    text = "the final value" if value.final else instruction(value)
    return f"{text} at {place(value.place)}" if value.place is not None else text


def _places(of: Sequence[Place]) -> str:
    if len(of) > 3:
        return f"{len(of)} places from {place(of[0])} to {place(of[-1])}"
    return listed(map(place, of))


# --- What happens -------------------------------------------------------------------------------------------------

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
    return _thread_step(of, target=target) if isinstance(of, ThreadStep) else _environment_step(of)


def _thread_step(step: ThreadStep, *, target: bool) -> str:
    name = block(step.block)
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
    if not where and step.block.count > 1:
        text = f"{text}, {name}"
    if step.observed:
        text = f"{text}: {', '.join(step.observed)}"
    return f"waits for ever: {text}" if step.stuck else text


def _environment_step(step: EnvironmentStep) -> str:
    units = ", ".join(place(unit) if isinstance(unit, Place) else unit for unit in step.units)
    of = f" of {units}" if units else ""
    core = f"core {step.core}" if step.core is not None else "the core"
    on = "" if step.core is None else f" on {core}" if units else f" of {core}"
    match step.kind:
        case Kind.WRITE_BACK if step.dirty:
            return f"cache line{of} is flushed to memory"
        case Kind.WRITE_BACK:
            return f"clean data line{of}{on} is dropped"
        case Kind.DROP:
            return f"instruction line{of}{on} is dropped"
        case Kind.FILL:
            return f"instruction line{of}{on} is filled"
        case Kind.AHEAD:
            values = f": {', '.join(step.observed)}" if step.observed else ""
            return f"{core} fetches{' ' * bool(units)}{units} ahead{values}"
        case Kind.DRAIN:
            return f"a buffered store{' to ' if units else ''}{units}{on} drains"
        case Kind.COMPLETE if step.cleans:
            return f"the clean{of}{on} completes"
        case Kind.COMPLETE:
            return f"the invalidation{of} completes" + (f" on {core}" if step.core is not None else "")
        case Kind.SWITCH:
            return f"{core} switches to {step.thread}"
    return f"{step.thread} moves to {core}"


# --- Why it can ---------------------------------------------------------------------------------------------------


class Why(enum.Enum):
    """The clauses that reasons are made of, with places for their operands."""

    HOWEVER = "however, "
    # The environment.
    DIRTY_LINE_LEAVES = (
        "a dirty line may be written back and dropped at any time (an interrupt, a task switch, another line that "
        "needs the place)"
    )
    CLEAN_LINE_LEAVES = "a clean line may be dropped at any time; the next store there misses, and does not allocate"
    INSTRUCTION_LINE_LEAVES = "an instruction line may be dropped at any time; the next fetch fills it anew"
    LINE_FILLS = "an instruction line may be filled at any time, from {source}, which holds {value}"
    FETCHES_AHEAD = "a core may fetch ahead; it now holds {value}, and no store or invalidation reaches it there"
    STORES_DRAIN = "stores drain in order"
    MAINTENANCE_COMPLETES = "maintenance may complete before its barrier"
    FILLED_ANEW = "the next fetch there fills the line anew"
    TIME_SLICES = "threads share the core by time slices"
    KERNEL_MOVES = "the kernel may move a thread at any time"
    NOTHING_AHEAD = ", and it starts with nothing fetched ahead"
    SWITCH_CLEANS = "a switch of address space on this host cleans and invalidates its caches"
    MEMORY_HOLDS = "memory now holds {value}"
    # Executions.
    NEVER_CHANGES = "no instruction of it ever changes"
    FETCHED_BEFORE = "the core had fetched it ahead, and nothing made it fetch again"
    LINE_HELD = "its instruction cache still holds the line"
    LINE_ABSENT = "the instruction line is absent, so that it is filled from {source}"
    RUNS = ": it runs {value}"
    RUNS_WRONG = ": it runs {value} in place of {meant}"
    # Locks, and what touches no code.
    LOCK_FREE = "nobody else holds it"
    LOCK_SHARED = "nobody holds it alone"
    LOCK_SHARED_WITH = "it may be shared, and {threads} {share} it too"
    LOCK_NOT_NEEDED = "it is not needed any longer"
    LOCK_STILL_SHARED = "{threads} still {share} it"
    LOCK_OPEN = "others may take it now"
    STORED_BESIDE = "what is sought was stored beside the code at translation, and no code is written"
    NOBODY_INSIDE = "nobody executes or retranslates in it; no TB in it may run until it is translated anew"
    DISCARDED = "it was discarded, and nobody else is translating it"
    TRANSLATED = "its translation is complete, and it may run again"
    # Maintenance.
    CLEAN_PENDING = "the clean is under way until a barrier waits for it"
    INVALIDATION_PENDING = "the invalidation is under way until a barrier waits for it"
    BOTH_PENDING = "the clean and the invalidation are under way until a barrier waits for them"
    BARRIER_WAITED = "the barrier has waited for this core's stores and maintenance; memory holds {value}"
    NOBODY_HOLDS_LINE = "no core that runs the process holds the line"
    DEFERRED = "the other cores drop their lines when they next run the process"
    ALL_SYNCHRONISED = "no core keeps what it has fetched ahead"
    SYNCHRONISED = "this core keeps nothing of what it has fetched ahead"
    # Stores and loads.
    NOT_FOLLOWED = "another instruction, followed in a search of its own"
    SCRATCH = "nobody executes the scratch buffer, and the code stays as it is"
    LOAD_CHANGES_NOTHING = "a load changes no code"
    LOAD_READS = "the load reads {value}"
    LOAD_ALLOCATES = ", and brings its line into the data cache"
    SAME_BYTES = "the same bytes as before"
    NOT_THE_WATCHED = ", and none of {watched}"
    STORE_WAITS = "the store waits in the store buffer"
    IN_ITS_LINE = ", but in the line of {watched}: "
    DATA_LINE_LEFT = "the data cache no longer holds it"
    DATA_LINE_TAKEN = "the data cache now holds that, with {value}"
    DATA_LINE_TAKEN_DIRTY = "the data cache now holds that, dirty, with {value}"
    STORE_DROPS_LINE = "the store drops the line from the instruction cache{cores}"
    OTHER_STORED = "another {noun}, at {place}, is stored: "
    WATCHED_SAME = "the watched one is as before"
    WATCHED_IN_LINE = "the watched one is in its line: "
    LOAD_BRINGS_LINE = "its load brings the line into the data cache, and its store stays there"
    FINAL_ALREADY = "it has its final value already when it is loaded, changed and stored"
    LOADED_CHANGED_STORED = "it is loaded, changed and stored"
    LOADED_BEFORE = "what was loaded before is changed and stored"
    WAITS_IN_BUFFER = "the store waits in the store buffer, where only its own core sees it"
    WRITES_THROUGH = "the data cache writes through, so that memory now holds {value}"
    DOES_NOT_ALLOCATE = "a store that misses does not allocate, so that memory now holds {value}"
    BOTH_HOLD = "the data cache and memory now hold {value}"
    DIRTY = "the line is dirty in the data cache with {value}; memory keeps {other}"
    # What an architecture allows.
    GOES_ON = "the program goes on"
    FETCHES_FINAL = "it fetches the final value"
    FETCHES_WRONG = "it fetches a value that is not the final one"
    ANY_STORE_AHEAD = "a core may fetch what comes next at any time, and any store at or above its floor"
    VISIBLE_ANY_TIME = "stores become visible at any time"
    CLEAN_ANY_TIME = "a clean may complete before its barrier"
    INVALIDATION_ANY_TIME = "an invalidation reaches one core after the other, at any time before its barrier"


@dataclass(frozen=True, slots=True)
class Clause:
    """A clause of a reason, with the operands that it has.

    ``value``, and ``other`` beside it; ``place`` of another unit than the watched one; ``watched``, None if it is the
    one branch; ``branches``: units are called so; ``coherent``: fills read the newest data, not memory; ``threads`` by
    name; ``cores``, none if there is one only.
    """

    why: Why
    value: Value | None = None
    other: Value | None = None
    place: Place | None = None
    watched: Place | None = None
    branches: bool = False
    coherent: bool = False
    threads: tuple[str, ...] = ()
    cores: tuple[int, ...] = ()


Reason = tuple[Clause, ...]


def reason(of: Reason) -> str:
    """A reason as a sentence: what begins with a sign goes on, everything else is a part of its own."""
    text = ""
    for clause in of:
        more = _clause(clause)
        text += more if not text or more[0] in ",:" or text.endswith((", ", ": ")) else f"; {more}"
    return f"{text[0].upper()}{text[1:]}."


def _clause(of: Clause) -> str:
    threads = listed(of.threads)
    cores = f" of core{'s' if len(of.cores) > 1 else ''} {listed(map(str, of.cores))}" if of.cores else ""
    return of.why.value.format(
        value=_value(of.value) if of.value is not None else "the final value",
        other=_value(of.other) if of.other is not None else "",
        meant=instruction(of.other) if of.other is not None else "",
        place=place(of.place) if of.place is not None else "",
        watched=place(of.watched) if of.watched is not None else "the branch",
        noun="branch" if of.branches else "unit",
        source="the newest data" if of.coherent else "memory",
        threads=threads,
        share=_share(of.threads),
        cores=cores,
    )


def _share(threads: Sequence[str]) -> str:
    return "share" if len(threads) > 1 else "shares"


# --- How it ends --------------------------------------------------------------------------------------------------


class Note(enum.Enum):
    """What is to be said of a run as a whole."""

    VACUOUS = "On no path does every retranslation complete and the TB run again: nothing is proved."
    ARCHITECTURE = (
        "No caches are meant. icache: ok where a fetch of that core can return the final value alone, absent where it "
        "can return\nanother store too. dcache: the newest store that is visible. mem/L2: the oldest that an "
        "invalidation lets be fetched."
    )


class WaitsFor(enum.Enum):
    """What a thread waits for."""

    TRANSLATION = "{block} to be translated anew"
    LOCK = "the lock {lock!r}, which {holders} {hold}"
    STORES = "its store buffer to be empty"
    MAINTENANCE = "its maintenance to complete, at a barrier"


@dataclass(frozen=True, slots=True)
class Wait:
    """What a step of a thread waits for: a ``block`` to be translated, a ``lock`` that ``holders`` have or share."""

    on: WaitsFor
    block: Block | None = None
    lock: str = ""
    holders: tuple[str, ...] = ()
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Deadlock:
    """Each thread that waits, and what for."""

    waits: tuple[tuple[str, tuple[Wait, ...]], ...]


Closing = Note | Deadlock | None


def closing(of: Closing) -> str:
    """A closing sentence, empty if there is nothing to say."""
    if isinstance(of, Deadlock):
        waits = "; ".join(f"{thread} waits for {' or '.join(map(_wait, each))}" for thread, each in of.waits)
        return f"Nothing can go on, and no step of the environment helps: {waits}."
    return of.value if of is not None else ""


def _wait(of: Wait) -> str:
    hold = _share(of.holders) if of.shared else "holds"
    return of.on.value.format(
        block=block(of.block) if of.block is not None else "", lock=of.lock, holders=listed(of.holders), hold=hold
    )
