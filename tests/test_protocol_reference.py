"""Random protocols on random hosts and on architectures: the checker against ``protocol_reference.py``."""

from __future__ import annotations

import collections
import random
from dataclasses import replace

import pytest
from brute_force import Answer, TooLarge, explore
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from protocol_reference import Reference

from bench.hosts import Host, host_names, load_target
from bench.machine.architecture import RULES
from bench.machine.cells import ABSENT, PROTECTED
from bench.machine.opcodes import EncodedInstruction, family, read_instruction
from bench.protocols.host import PLAIN, SHORTEST_LINE, ProtocolHost, protocol_host
from bench.protocols.operations import parsed
from bench.protocols.protocol import Address, Protocol, Thread
from bench.protocols.verification import is_right, verify
from bench.support.errors import InputError

STATES = 1_500

WRITER = (
    "store A new; store A new; store B two; store A new, B two; store U new; store-release A new; clean A; clean B; "
    "dsb; fence; isb; fence.i; invalidate A; invalidate A local; invalidate-all; invalidate U; ipi isb; ipi fence.i; "
    "membarrier; set go 1; load A; execute A; execute B; store-release B two; "
    "protect A; unmap B; map A; tlbi A; tlbi A local; ipi tlbi"
).split("; ")
READER = (
    "execute A; execute A; execute B; execute U; execute A+B; isb; fence.i; wait go 1; load A; irq-off; poll-stop"
).split("; ")
WHOLE = (
    ("store A new", "clean A", "dsb", "invalidate A", "dsb", "isb"),
    ("store A new", "fence.i", "fence", "ipi fence.i"),
    ("lock m", "store A new", "store B two", "unlock m"),
    ("stop-others", "store A new", "store B two", "resume-others"),
    ("stop-others", "store A new", "store B two", "resume-others unsynchronised"),
    ("stop-anywhere", "store A new", "store B two", "resume-others"),
    ("irq-off", "store A new", "irq-on"),
    ("protect A", "tlbi A", "dsb", "store A new", "map A"),
    ("unmap U", "fence", "ipi tlbi", "store A new", "map U"),
)
CODES: tuple[tuple[str, dict[str, str]], ...] = (
    ("", {}),
    ("aarch64", {"old": "b", "new": "nop", "one": "bl", "two": "b"}),
    ("aarch64", {"old": "14000001", "new": "58000010"}),
    ("x86", {"old": "e900000000", "new": "e911223344"}),
    ("x86", {"old": "e900000000", "new": "e900000010", "one": "90909090", "two": "90909091"}),
    ("x86", {"old": "0f1f440000", "new": "cc1f440000", "one": "cc1f440000", "two": "cc11111111"}),
    ("s390", {"old": "c0f400000000", "new": "c0f400000010"}),
    ("riscv", {"old": "00000013", "new": "0040006f", "one": "8082", "two": "0001"}),
    ("ppc", {"old": "60000000", "new": "48000010"}),
)


def refuse(found: str, line: int, expected: str) -> InputError:
    return InputError(found, expected=expected)


def draw(rng: random.Random, architecture: str) -> Protocol:
    """A protocol of two threads, or three."""
    writer = list(rng.choice((*WHOLE, ())))
    for words in rng.sample(WRITER, rng.randint(0 if writer else 1, 2)):
        writer.insert(rng.randint(0, len(writer)) if not writer or writer[0] not in ("lock m", "irq-off") else 0, words)
    if rng.random() < 0.5 and "wait go 1" not in writer:
        writer.append("set go 1")
    reader = rng.sample(READER, rng.randint(0, 2))
    if "set go 1" not in writer and rng.random() < 0.7:  # else it waits for ever
        reader = [words for words in reader if words != "wait go 1"]
    reader.append(rng.choice(("execute A", "execute A", "execute B", "execute U")))
    if "execute A" in reader[:-1]:
        reader[reader.index("execute A")] = rng.choice(("execute A", "execute A new:1"))
    if "irq-off" in reader:
        reader.append("irq-on")
    texts = [writer, reader]
    if rng.random() < 0.1:
        texts.append(["store B two"])
    first = rng.choice((0, 0, 0, 12, 13, 14, 3, 6))
    vipt = rng.random() < 0.4
    isa, said = rng.choice(CODES)
    read = {value: read_instruction(isa, text) for value, text in said.items()}
    instructions: dict[str, EncodedInstruction] = {value: one for value, one in read.items() if one is not None}
    cores = [0, rng.choice((1, 1, 1, 0)), 1][: len(texts)]
    threads = []
    for number, (text, core) in enumerate(zip(texts, cores, strict=True)):
        operations = parsed("\n".join(text), lambda line: line, refuse)
        threads.append(Thread(f"T{number}", core, operations))
    rules = replace(
        PLAIN,
        fill=rng.choice(("pou", "pou", "coherent")),
        snoop=rng.choice(("none", "none", "others", "all")),
        dirty_transfer=rng.choice(("cache", "memory")),
        fetches_ahead=rng.random() < 0.4,
        store_buffer=rng.choice((0, 0, 1, 2)),
        write_through=rng.random() < 0.15,
        write_allocate=rng.random() < 0.6,
        maintenance_at_once=rng.random() < 0.2,
        switch_cleans_all=rng.random() < 0.2,
        interrupts=rng.choice(("overtake", "wait")),
    )
    if not rules.fetches_ahead:
        rules = replace(rules, checks_pipeline=rng.random() < 0.3)
    host = ProtocolHost(
        rules=RULES[architecture] if architecture else rules,
        cores=1 + max(cores),
        instruction_lines=(rng.choice((16, 32)),) if not architecture else (SHORTEST_LINE,),
        data_line=rng.choice((16, 32)) if not architecture else SHORTEST_LINE,
        evicts=rng.random() < 0.8,
        prefetches=rng.random() < 0.5,
        icache="vipt" if vipt else "pipt",
    )
    protocol = Protocol(
        host=host,
        addresses={
            "A": Address(first, first),
            "U": Address(first + 4096, first),
            "B": Address(first + rng.choice((8, 16, 40)), 0),
        },
        initial={"A": "old", "U": "old", "B": "one"},
        threads=tuple(threads),
        flags={"go": 0},
        instructions=instructions,
        pages={"A": rng.choice((PROTECTED, ABSENT))} if rng.random() < 0.1 else {},
        warm=rng.random() < 0.7,
    )
    there = protocol.addresses["B"].virtual
    return observing(replace(protocol, addresses={**protocol.addresses, "B": Address(there, there)}), rng)


def observing(protocol: Protocol, rng: random.Random) -> Protocol:
    """With what the reader may observe: some sequences of values that there are, of the lengths that it can observe."""
    threads = list(protocol.threads)
    for number, thread in enumerate(threads):
        seen = [one for one in thread.operations if one.observes]
        if not seen or (number and rng.random() < 0.1):
            continue
        options = []
        for _ in range(rng.choice((1, 2, 3, 6))):
            some = [("one", "two") if name == "B" else ("old", "new") for one in seen for name in one.names]
            if protocol.translated:
                some = [(*values, "fault") for values in some]
            options.append(tuple(rng.choice((*values, values[1], "*")) for values in some))
        if any(one.skips for one in seen):
            options += [one[:-1] for one in options]
        threads[number] = replace(thread, allowed=tuple(options))
    return replace(protocol, threads=tuple(threads))


def disagreement(protocol: Protocol, architecture: str) -> tuple[str, Answer | None]:
    """What differs between the two, with all that is needed to look at it; None if it is too large to compare."""
    outcome = verify(protocol, max_states=STATES).outcome
    if outcome.verdict == "bounded":
        return "", None
    try:
        answer = explore(Reference(protocol, architecture), 6 * STATES)
    except TooLarge:
        return "", None
    found: list[object] = [outcome.verdict, outcome.failure, is_right(protocol)]
    expected: list[object] = [answer.verdict, answer.failure, answer.verdict == "holds"]
    if answer.failure in ("wrong fetch", "deadlock"):
        found.append(outcome.depth)
        expected.append(answer.length)
    if found == expected:
        return "", answer
    runs = (*(str(step.event) for step in outcome.run), "reference:", *answer.run)
    threads = "\n".join(
        f"{one.name} on {one.core}: {[op.text for op in one.operations]} {one.allowed}" for one in protocol.threads
    )
    where = f"{protocol.addresses} {protocol.instructions} {protocol.host} {architecture} warm={protocol.warm}"
    return f"the checker says {found}, the reference {expected}\n{where}\n{threads}\n" + "\n".join(runs), answer


@pytest.mark.parametrize("kind", ["hosts", "architectures"])
def test_the_checker_and_the_reference_agree(kind: str) -> None:
    """Verdict, kind of failure and length; and the cases are worth comparing."""
    verdicts: collections.Counter[str] = collections.Counter()
    failures: set[str] = set()
    used: set[str] = set()
    for seed in range(90):
        rng = random.Random(seed)
        architecture = rng.choice([*RULES]) if kind == "architectures" else ""
        protocol = draw(rng, architecture)
        text, answer = disagreement(protocol, architecture)
        assert not text, f"seed {seed}: {text}"
        if answer is not None:
            verdicts[answer.verdict] += 1
            failures.add(answer.failure)
            used.add(architecture)
            used |= {one.verb for thread in protocol.threads for one in thread.operations}
    compared = verdicts.total()
    assert compared >= 50
    assert min(verdicts["holds"], verdicts["fails"]) >= 0.2 * compared
    assert failures >= {"", "wrong fetch"} | ({"deadlock"} if kind == "hosts" else set())
    assert used >= {words.split()[0] for words in (*WRITER, *READER)} | {"stop-anywhere", "stop-others", "lock"}
    assert kind == "hosts" or used >= {*RULES}


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False), st.sampled_from(["", *RULES]))
def test_hypothesis_finds_no_smaller_disagreement(rng: random.Random, architecture: str) -> None:
    text, _ = disagreement(draw(rng, architecture), architecture)
    assert not text, text


FAMILIES = {"aarch64": "armv8", "arm": "armv8", "ppc": "power", "riscv": "riscv", "x86": "x86-intel", "s390": "s390"}
ON_HOSTS = sorted(
    {
        (name, FAMILIES[family(isa)])
        for name in host_names()
        for target in (load_target(name),)
        if isinstance(target, Host)
        for isa in target.isa
        if family(isa) in FAMILIES
    }
)
STRONGER = (("armv8", "armv8-idc", "armv8-dic"), ("riscv", "riscv-ziccif"), ("x86-intel", "x86-amd"))


def answered(protocol: Protocol, name: str) -> str:
    host = replace(protocol_host(load_target(name)), cores=protocol.host.cores)
    return verify(replace(protocol, host=host), max_states=STATES // 3).verdict


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False), st.sampled_from(ON_HOSTS), st.sampled_from(STRONGER))
def test_what_a_host_does_its_architecture_allows_and_a_stronger_one_does_less(
    rng: random.Random, on: tuple[str, str], stronger: tuple[str, ...]
) -> None:
    protocol = draw(rng, "armv8")
    host, architecture = on
    if answered(protocol, host) == "fails":
        assert answered(protocol, architecture) != "holds", on
    verdicts = [one for name in stronger if (one := answered(protocol, name)) != "bounded"]
    assert verdicts == sorted(verdicts), stronger  # "fails" before "holds"
