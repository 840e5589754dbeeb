"""What a protocol cannot mean, or what in it would do nothing: refused with its line, never passed over."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import pairwise
from typing import NoReturn

from bench.machine.opcodes import DEFAULT_SIZE, family
from bench.protocols.operations import WORD, ProtocolOperation, instead
from bench.protocols.protocol import ANY, FAULT_TEXT, Protocol, Thread
from bench.support.errors import InputError, nearest

MOST_THREADS = 8
MOST_CORES = 8
MOST_UNITS = 64
MOST_OPERATIONS = 200
MOST_ENTRIES = 8

Refuse = Callable[[str, tuple[str, ...], str, int], InputError]
"""The error with what was found, the key path, what was expected, and the line of the file (0: that of the key)."""

_PAIRS = {"unlock": ("lock",), "resume-others": ("stop-others", "stop-anywhere"), "irq-on": ("irq-off",)}
"""What undoes something, and what has to be done before: one of these."""


_SMALLEST = {"thumb": 2, "riscv": 2, "x86": 1, "s390": 2}
"""Bytes of the smallest instruction, where it is not of ``DEFAULT_SIZE``."""


def refuse_impossible(protocol: Protocol, values: Collection[str], refuse: Refuse) -> None:
    """Raise what ``refuse`` makes of the first thing that cannot be; ``values``: all that any case of the file has."""
    _refuse_host(protocol, refuse)
    _refuse_units(protocol, refuse)
    for value in protocol.instructions:
        if value not in values:
            raise refuse("a value that nothing stores", ("instructions", value), nearest(value, values), 0)
    if not protocol.threads or len(protocol.threads) > MOST_THREADS:
        raise refuse(f"{len(protocol.threads)} threads", ("threads",), f"1 to {MOST_THREADS}", 0)
    for thread in protocol.threads:
        _refuse_thread(protocol, thread, values, refuse)
    if not any(thread.allowed is not None for thread in protocol.threads):
        raise refuse(
            "nothing that is observed",
            ("allowed",),
            f"what a thread may execute or load: a sequence of values, {ANY} for any",
            0,
        )


def refuse_missing(protocol: Protocol, sets: Iterable[str], refuse: Refuse) -> None:
    """Raise what ``refuse`` makes of the first operation that none of the instruction sets has."""
    isas = {family(isa) for isa in sets}
    for thread in protocol.threads:
        for operation in thread.operations:
            expected = [instead(operation, isa) for isa in sorted(isas)]
            if expected and all(expected):
                found = f"{operation.text!r}, which {' and '.join(sorted(isas))} does not have"
                raise refuse(found, ("threads", thread.name, "does"), expected[0], operation.line)


def _refuse_host(protocol: Protocol, refuse: Refuse) -> None:
    host = protocol.host
    lines = host.instruction_lines
    if len(lines) not in (1, host.cores):
        one_each = f"one, or one for each of {host.cores} cores"
        raise refuse(f"{len(lines)} line sizes", ("host", "instruction_line"), one_each, 0)
    for key, size in (*(("instruction_line", line) for line in lines), ("data_line", host.data_line)):
        if not 4 <= size <= 4096 or size & (size - 1):
            raise refuse(f"{size}", ("host", key), "a power of two, 4 to 4096 bytes", 0)
    for key, number, least, most in (
        ("cores", host.cores, 1, MOST_CORES),
        ("store_buffer", getattr(host.rules, "store_buffer", 0), 0, MOST_ENTRIES),
    ):
        if not least <= number <= most:
            raise refuse(f"{number}", ("host", key), f"at most {most}, and no less than {least}", 0)
    for core in sorted(protocol.mmu_off):
        if not 0 <= core < host.cores:
            raise refuse(f"core {core}", ("mmu_off",), f"0 to {host.cores - 1}", 0)
    if protocol.translated and protocol.mmu_off:
        raise refuse("cores that translate nothing", ("mmu_off",), "none, where pages change", 0)
    if protocol.coherency and not protocol.mmu_off:
        raise refuse("does nothing", ("coherency",), "cores in mmu_off, which fetch it", 0)


def _refuse_units(protocol: Protocol, refuse: Refuse) -> None:
    addresses = protocol.addresses
    if len(addresses) > MOST_UNITS:
        raise refuse(f"{len(addresses)} units", ("layout",), f"at most {MOST_UNITS}", 0)
    for key, table in (
        ("layout", addresses),
        ("init", protocol.initial),
        ("coherency", protocol.coherency),
        ("flags", protocol.flags),
        ("pages", protocol.pages),
    ):
        for name in table:
            if not WORD.fullmatch(name):
                raise refuse(f"the name {name!r}", (key, name), "a word", 0)
            if key in ("init", "coherency", "pages") and name not in addresses:
                raise refuse(f"no unit {name!r}", (key, name), nearest(name, addresses), 0)
    for key, texts in (("init", protocol.initial), ("coherency", protocol.coherency)):
        for name, value in texts.items():
            if not WORD.fullmatch(value) or value == FAULT_TEXT:
                raise refuse(f"the value {value!r}", (key, name), f"a word, not {FAULT_TEXT!r}", 0)
    for name, number in protocol.flags.items():
        if not 0 <= number < 10**6:
            raise refuse(f"{number}", ("flags", name), "0 to 999999", 0)
    for name, address in addresses.items():
        if not 0 <= address.virtual < 1 << 20:
            raise refuse(f"{address.virtual}", ("layout", name), "0 .. 1048575, in bytes", 0)
        if name not in protocol.initial:
            raise refuse("missing", ("init", name), "the value at the start", 0)
        for other, there in addresses.items():
            if other != name and there.virtual == address.virtual:
                found = f"{other} and {name} at {address.virtual}"
                raise refuse(found, ("layout", name), "addresses that differ", 0)


def refuse_overlapping(protocol: Protocol, isa: str, refuse: Refuse) -> None:
    """Raise what ``refuse`` makes of a unit that begins inside another; of a size that is not said, the smallest."""
    smallest = _SMALLEST.get(family(isa), DEFAULT_SIZE)
    ordered = sorted(protocol.addresses.items(), key=lambda item: item[1].virtual)
    for (name, address), (other, there) in pairwise(ordered):
        known = protocol.instructions.get(protocol.initial[name])
        size = known.size if known is not None and known.code else smallest
        if there.virtual < address.virtual + size:
            found = f"{other} at {there.virtual}, inside {name} at {address.virtual}"
            raise refuse(
                found, ("layout", other), f"at least {size} bytes between them, or isa = one with smaller ones", 0
            )


def _refuse_thread(protocol: Protocol, thread: Thread, values: Collection[str], refuse: Refuse) -> None:
    cores = protocol.host.cores
    where = ("threads", thread.name)
    if not WORD.fullmatch(thread.name):
        raise refuse(f"the name {thread.name!r}", where, "a word", 0)
    if not 0 <= thread.core < cores:
        raise refuse(f"core {thread.core}", (*where, "core"), f"0 to {cores - 1} (host.cores)", 0)
    if len(thread.operations) > MOST_OPERATIONS:
        raise refuse(f"{len(thread.operations)} operations", where, f"at most {MOST_OPERATIONS}", 0)
    for number, operation in enumerate(thread.operations):
        _refuse_operation(protocol, thread, number, operation, values, refuse)
    _refuse_unpaired(thread, refuse)
    if thread.allowed is None:
        return
    allowed = ("allowed", thread.name)
    if not thread.allowed:
        raise refuse("no sequence", allowed, f"at least one; {ANY} stands for any value", 0)
    lengths = _observed(thread)
    if lengths == {0}:
        raise refuse(f"{thread.name} executes and loads nothing", allowed, "a thread that observes something", 0)
    for sequence in thread.allowed:
        for value in sequence:
            if value not in values and value != ANY and not (value == FAULT_TEXT and _may_fault(protocol, thread)):
                found = f"{value!r}, which nothing stores or initialises"
                raise refuse(found, allowed, f"{nearest(value, values)}, or {ANY} for any", 0)
        if len(sequence) not in lengths:
            counts = " or ".join(map(str, sorted(lengths)))
            text = " ".join(sequence)
            raise refuse(f"{len(sequence)} values: {text!r}", allowed, f"{counts}, as {thread.name} observes", 0)


def _refuse_operation(
    protocol: Protocol,
    thread: Thread,
    number: int,
    operation: ProtocolOperation,
    values: Collection[str],
    refuse: Refuse,
) -> None:
    cores = protocol.host.cores

    def wrong(found: str, expected: str) -> NoReturn:
        raise refuse(f"{operation.text!r}: {found}", ("threads", thread.name, "does"), expected, operation.line)

    verb = operation.verb
    if FAULT_TEXT in operation.values:
        wrong(f"the value {FAULT_TEXT!r}", "another word")
    for name in operation.names if verb not in ("set", "wait", "lock", "unlock") else ():
        if name not in protocol.addresses:
            wrong(f"no unit {name!r}", f"{nearest(name, protocol.addresses)} ([layout])")
    if verb in ("set", "wait") and operation.names[0] not in protocol.flags:
        wrong(f"no flag {operation.names[0]!r}", "a flag in [flags], with its value at the start")
    if verb == "migrate":
        if operation.number >= cores:
            wrong(f"core {operation.number} of {cores}", f"0 to {cores - 1}")
        if len({one.core for one in protocol.threads}) < len(protocol.threads):
            wrong("threads share a core", "a core of its own for every thread, where one is moved")
    for value, skipped in operation.skips:
        for one in value.split("+"):
            if one not in values and not (one == FAULT_TEXT and _may_fault(protocol, thread)):
                wrong(f"{one!r}, which nothing stores or initialises", nearest(one, values))
        if value.count("+") != len(operation.names) - 1:
            wrong(f"{value}:{skipped}", "as many values as units")
        if number + 1 + skipped > len(thread.operations):
            wrong(f"{value}:{skipped}", f"at most {len(thread.operations) - number - 1} operations after it")


def _may_fault(protocol: Protocol, thread: Thread) -> bool:
    """Whether the thread executes something of a page that changes."""
    executed = (name for one in thread.operations if one.verb == "execute" for name in one.names)
    return any(protocol.addresses[name].page in protocol.translated for name in executed if name in protocol.addresses)


def _refuse_unpaired(thread: Thread, refuse: Refuse) -> None:
    """Refuse what undoes something that is not done on some way to it, and what is done twice."""
    done: list[set[frozenset[tuple[str, ...]]]] = [set() for _ in range(len(thread.operations) + 1)]
    done[0].add(frozenset())
    for number, operation in enumerate(thread.operations):
        firsts = {(verb, *operation.names) for verb in _PAIRS.get(operation.verb, ())}
        for held in done[number]:
            now = held
            if firsts:
                if not held & firsts:
                    needed = " or ".join(" ".join((verb, *operation.names)) for verb in _PAIRS[operation.verb])
                    found = f"{operation.text!r} without {needed} before it"
                    raise refuse(found, ("threads", thread.name, "does"), needed, operation.line)
                now = held - firsts
            elif any(operation.verb in verbs for verbs in _PAIRS.values()):
                now = held | {(operation.verb, *operation.names)}
            for after in _following(number, operation):
                if after < len(done):
                    done[after].add(now)


def _observed(thread: Thread) -> set[int]:
    """How many values a thread can observe, in all."""
    counts: list[set[int]] = [set() for _ in range(len(thread.operations) + 1)]
    counts[0].add(0)
    for number, operation in enumerate(thread.operations):
        more = len(operation.names) if operation.observes else 0
        for after in _following(number, operation):
            counts[after] |= {count + more for count in counts[number]}
    return counts[-1]


def _following(number: int, operation: ProtocolOperation) -> Iterator[int]:
    yield number + 1
    for _, skipped in operation.skips:
        yield number + 1 + skipped
