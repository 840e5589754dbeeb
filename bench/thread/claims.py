"""What the mailing-list thread of January 2011 claims, and what the models and the recordings say to it.

Every verdict is computed when it is asked for.  Claims are in our words; who made them is told by role: the
patch's author, who found and fixed the bug on ARM and MIPS, and the reviewer, who asked about it.
Source: qemu-devel, 6 to 10 January 2011, on the patch that became commit c69806ab8276.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.check.cell import Checked
from bench.explain.follow import Wanted, load_events
from bench.hosts import Host
from bench.program.effects import flat, tree
from bench.replay.parameters import Parameters
from bench.risk.risk import SingleThreaded
from bench.scenarios import ALONE, LASTING_IN, scenario_names
from bench.support.text import listed
from bench.thread.lab import Lab
from bench.translators.consequence import consequences
from bench.translators.registry import first_versions
from strategies import registry
from strategies.operations import Acquire, Clean, Flush, Invalidate, Lookup, SyncCores

Who = Literal["the patch's author", "the reviewer"]
Verdict = Literal["confirmed", "refuted", "confirmed only if", "cannot be decided here"]

AUTHOR: Who = "the patch's author"
REVIEWER: Who = "the reviewer"

ARM_HOSTS = ("arm926", "cortex-a8", "cortex-a9")
MIPS_HOSTS = ("mips-24kc", "loongson-3a")

A_FEW_MILLIONS = 1 / 2e6
"""Less than one in a few millions is at most that."""

THE_TABLE = (
    ("absent", "absent", "ok"),
    ("absent", "absent", "ok"),
    ("absent", "wrong", "ok"),
    ("absent", "absent", "wrong"),
    ("absent", "absent", "wrong"),
    ("absent", "ok", "wrong"),
    ("wrong", "ok", "wrong"),
)
"""Instruction cache, data cache and memory in the seven rows of the thread's table."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What comes of a claim: the ``verdict``, with its ``condition`` if it has one, why, and commands that show it."""

    verdict: Verdict
    why: str
    commands: tuple[str, ...]
    condition: str = ""

    @property
    def text(self) -> str:
        """The verdict in words."""
        return f"{self.verdict} {self.condition}" if self.condition else self.verdict


@dataclass(frozen=True, slots=True)
class Claim:
    """Something that the thread says: a short ``name``, who said it, the claim in our words, and what decides it."""

    name: str
    who: Who
    claim: str
    decide: Callable[[Lab], Finding]


CLAIMS: list[Claim] = []
"""In the order of the thread."""


def _claim(who: Who, claim: str) -> Callable[[Callable[[Lab], Finding]], Callable[[Lab], Finding]]:
    """Enter a claim; its name is that of the function."""

    def enter(decide: Callable[[Lab], Finding]) -> Callable[[Lab], Finding]:
        CLAIMS.append(Claim(decide.__name__.replace("_", "-"), who, claim, decide))
        return decide

    return enter


def _decided(right: bool) -> Verdict:
    return "confirmed" if right else "refuted"


def _maybe_affected(lab: Lab, hosts: Sequence[tuple[str, str]]) -> Finding:
    """Whether a backend that the author suspects was affected: on some host, with one thread or with two."""
    groups: dict[str, list[str]] = {"alone": [], "speculative": [], "together": [], "never": []}
    for host, name in hosts:
        failing = lab.failing("unfixed", host, name)
        if not failing:
            groups["never"].append(host)
        elif not set(failing) & set(ALONE):
            groups["together"].append(host)
        elif set(lab.failing("unfixed", host, name, speculation=False)) & set(ALONE):
            groups["alone"].append(host)
        else:
            groups["speculative"].append(host)
    affected = list(dict.fromkeys(groups["alone"]))
    parts = [
        f"on {listed(dict.fromkeys(groups[key]))} it fails {text}"
        for key, text in (
            ("alone", "with one thread"),
            ("speculative", "with one thread only if the core fetches the line while it is rewritten"),
            ("together", "only with two threads, which no QEMU that retranslated had in system emulation"),
        )
        if groups[key]
    ]
    if groups["never"]:
        parts.append(f"on {listed(dict.fromkeys(groups['never']))} it holds")
    backends = list(dict.fromkeys(name for _, name in hosts))
    temporary = any(
        write.form == "whole" and not write.complete
        for name in backends
        for write in lab.translator(name).block(0).writes
    )
    stores = ("store" if len(backends) > 1 else "stores") if temporary else "never stored"
    why = f"{listed(backends)} {stores} temporary values; in the model, as emitted, {'; '.join(parts)}."
    commands = tuple(lab.command("unfixed", host, "system", name) for host, name in hosts)
    if affected and len(affected) == len({host for host, _ in hosts}):
        return Finding("confirmed", why, commands)
    if affected:
        return Finding("confirmed only if", why, commands, f"the host is {listed(affected)}")
    if groups["speculative"]:
        return Finding("confirmed only if", why, commands, "the core fetches the line while it is rewritten")
    if groups["together"]:
        return Finding("confirmed only if", why, commands, "two threads execute")
    return Finding("refuted", why, commands)


@_claim(AUTHOR, "PowerPC may be affected as well.")
def ppc(lab: Lab) -> Finding:
    """Both PowerPC backends on their hosts."""
    return _maybe_affected(lab, (("ppc-g4", "ppc@2010"), ("ppc-g5", "ppc@2010"), ("ppc-g5", "ppc64@2010")))


@_claim(AUTHOR, "s390 may be affected as well.")
def s390(lab: Lab) -> Finding:
    """The code is, the hardware is coherent."""
    return _maybe_affected(lab, (("z10", "s390x@2010"),))


@_claim(AUTHOR, "SPARC may be affected as well.")
def sparc(lab: Lab) -> Finding:
    """Spitfire's instruction cache does not see its own core's stores; cheetah's does."""
    return _maybe_affected(lab, (("ultrasparc-2", "sparc@2010"), ("ultrasparc-3", "sparc@2010")))


@_claim(AUTHOR, "A retranslation has to leave the generated code as it was.")
def unchanged(lab: Lab) -> Finding:
    """Where a retranslation does not, one thread on a coherent host is enough."""
    broken, fixed = ("unfixed", "z10", "system", "s390x@2014"), ("unfixed", "z10", "system", "s390x@2015")
    right = lab.fails(*broken, hazard="partial") and not lab.fails(*fixed, hazard="partial")
    return Finding(
        _decided(right),
        "s390x of 2014 leaves a branch with a temporary target, since the search for the fault stops before "
        "the slow path "
        f"that updates it; on z10, where stores reach every instruction cache, one thread then "
        f"{_fails(lab.fails(*broken, hazard='partial'))}. With the fix of 2015, which leaves the target alone, it "
        f"{_fails(lab.fails(*fixed, hazard='partial'))}.",
        (lab.command(*broken, hazard="partial"), lab.command(*fixed, hazard="partial")),
    )


@_claim(
    AUTHOR,
    "Where caches are not kept in step, it must not change the code even for a moment: a line may go at any time.",
)
def not_for_a_moment(lab: Lab) -> Finding:
    """The same final code, with and without a temporary value on the way."""
    broken, fixed = ("unfixed", "cortex-a9", "system", "arm@2010"), ("unfixed", "cortex-a9", "system", "arm@2011")
    coherent = ("unfixed", "z10", "system", "s390x@2010")
    right = lab.fails(*broken) and not lab.fails(*fixed)
    return Finding(
        _decided(right),
        f"arm@2010 and arm@2011 end with the same code. With a temporary target on the way one thread on cortex-a9 "
        f"{_fails(lab.fails(*broken))}, without it it {_fails(lab.fails(*fixed))}. On z10, whose caches are "
        "kept in step, "
        f"one thread {_fails(lab.fails(*coherent))} in spite of temporary targets.",
        (lab.command(*broken), lab.command(*fixed), lab.command(*coherent)),
    )


@_claim(REVIEWER, "With separate caches nobody runs the code during the rewrite, so nothing can go wrong.")
def not_run_meanwhile(lab: Lab) -> Finding:
    """Does a counterexample with one thread run the block between the first and the last store?"""
    cell = ("unfixed", "cortex-a9", "system", "arm@2010")
    rows = _rows(lab.check(*cell))
    stores = [number for number, row in enumerate(rows) if "written" in row or "updated" in row]
    between = [
        row for number, row in enumerate(rows) if stores and stores[0] < number < stores[-1] and "executed" in row
    ]
    wrong = bool(rows) and not between
    return Finding(
        _decided(not wrong),
        f"In the shortest counterexample with one thread on cortex-a9 the block runs {len(between)} times between the "
        f"first and the last store. It is enough that a data line goes to memory in between and that the block "
        f"runs afterwards."
        if rows
        else "With one thread on cortex-a9 no execution goes wrong.",
        (lab.command(*cell),),
    )


@_claim(REVIEWER, "Where a store changes what is fetched by itself, all is well.")
def coherent_is_well(lab: Lab) -> Finding:
    """Hosts whose stores reach every instruction cache, with and without a queue of units fetched ahead."""
    cells = (("z10", "s390x@2010"), ("ultrasparc-3", "sparc@2010"))
    failing = {host: lab.failing("unfixed", host, name) for host, name in cells}
    alone = [host for host, names in failing.items() if set(names) & set(ALONE)]
    commands = tuple(lab.command("unfixed", host, "system", name) for host, name in cells)
    shown = "; ".join(f"on {host}, {name} {_in(failing[host])}" for host, name in cells)
    why = f"In the model {shown}. Another core runs the temporary branch while it is there."
    if not any(failing.values()):
        return Finding("confirmed", why, commands)
    if len(alone) == len(cells):
        return Finding("refuted", why, commands)
    ahead = ", and stores reach what the core has fetched ahead" if alone else ""
    return Finding("confirmed only if", why, commands, f"one thread executes{ahead}")


@_claim(AUTHOR, "The seven steps: the branch's line is flushed to memory with the temporary target, and later filled.")
def seven_steps(lab: Lab) -> Finding:
    """The table, found by search."""
    cell = ("unfixed", "cortex-a9", "system", "arm@2010")
    found = lab.check(*cell, start="fault")
    rows = found.explanation.rows if found.explanation is not None and found.verdict == "fails" else ()
    words = tuple((row.icache[0], row.dcache, row.memory) for row in rows)
    command = lab.command(*cell, start="fault")
    if words == THE_TABLE:
        why = (
            "The shortest counterexample on cortex-a9 that starts at the fault is the table, row by row; "
            "none has fewer steps."
        )
        return Finding("confirmed", why, (command,))
    if words:
        why = f"A temporary target reaches memory, but by {len(words)} rows, and other words than the table's."
        return Finding("confirmed only if", why, (command,), "the steps are taken as one way of several")
    return Finding("refuted", "No execution goes wrong there.", (command,))


@_claim(AUTHOR, "It happens on ARM and on MIPS, and the patch cures it.")
def arm_and_mips(lab: Lab) -> Finding:
    """Both backends on their hosts, before and after; and what allocation does to the odds."""
    pairs = [(host, "arm") for host in ARM_HOSTS] + [(host, "mips") for host in MIPS_HOSTS]
    before = [host for host, name in pairs if lab.fails("unfixed", host, "system", f"{name}@2010")]
    after = [host for host, name in pairs if lab.fails("unfixed", host, "system", f"{name}@2011")]
    lucky = [
        host
        for host, name in pairs
        if host in before and not lab.fails("unfixed", host, "system", f"{name}@2010", speculation=False)
    ]
    right = len(before) == len(pairs) and not after
    chance = {
        host: _actors(lab.check("unfixed", host, "system", "arm@2010", start="fault")).count("environment")
        for host in ARM_HOSTS
    }
    needless = [host for host, steps in chance.items() if not steps and host in before]
    needing = [host for host, steps in chance.items() if steps and host in before]
    odds = ""
    if needless:
        odds = (
            f" Where the data cache allocates on reads only ({listed(needless)}), no data line has to be evicted "
            "in the window: a store that misses goes to memory by itself, and its patch stays in the cache. "
            "The instruction line must be absent when the block runs again"
        )
        odds += f"; {listed(needing)} need{'s' if len(needing) == 1 else ''} an eviction too." if needing else "."
    return Finding(
        _decided(right) if right or not before else "confirmed only if",
        f"With one thread the code of 2010 fails on {listed(before) or 'none of them'}"
        f"{f' (on {listed(lucky)} only if the core fetches the line while it is rewritten)' if lucky else ''}; "
        f"that of 2011 fails on {listed(after) or 'none of them'}.{odds}",
        (
            lab.command("unfixed", "arm926", "system", "arm@2010", start="fault"),
            lab.command("unfixed", "mips-24kc", "system", "mips@2010"),
            lab.command("unfixed", "mips-24kc", "system", "mips@2011"),
        ),
        "" if right or not before else f"the host is {listed(before)}",
    )


@_claim(AUTHOR, "The executed code does not match what a debugger shows.")
def debugger(lab: Lab) -> Finding:
    """The word fetched at the end of the counterexample against the newest one on the data side."""
    cell = ("unfixed", "cortex-a9", "system", "arm@2010")
    found = lab.check(*cell)
    watched = found.explanation.watched if found.explanation is not None else None
    command = f"{lab.command(*cell)} --autopsy"
    if watched is None or watched.fetched is None or watched.read is None:
        return Finding("refuted", "No execution goes wrong there.", (command,))
    differs = watched.fetched != watched.read
    return Finding(
        _decided(differs),
        f"At {watched.name} the core runs {watched.fetched:08x}; a debugger reads through the data side, and finds "
        f"{watched.read:08x}.",
        (command,),
    )


@_claim(AUTHOR, "Another temporary value gives another way of crashing.")
def symptom(lab: Lab) -> Finding:
    """The temporary target of 2010 and three others, followed."""
    translator = lab.translator("arm@2010")
    code = translator.block(0)
    branch = next(write for write in code.writes if not write.complete and write.form == "whole")
    told = {}
    for words in (0, 1, 2, -2):
        value = branch.value | words & (branch.unit.mask ^ branch.known)
        hit = next(each for each in consequences(translator, code, branch.unit.offset, value) if each.when == "hit")
        told[words] = (hit.harm, hit.skipped, hit.run)
    symptoms = len(set(told.values()))
    harms = ", ".join(f"{words:+d} words: {harm}" for words, (harm, _, _) in told.items())
    return Finding(
        _decided(symptoms > 1),
        f"Of four temporary targets of ARM's branch, counted from where QEMU's led (0), {symptoms} do different "
        "things on a TLB "
        f"hit ({harms}). The command shows the one that QEMU stored.",
        ("staleline translator arm@2010",),
    )


@_claim(AUTHOR, "It happens less than once in a few millions, depending on caches, load and interrupts.")
def rate(lab: Lab) -> Finding:
    """The range that the assumptions leave, along a recorded boot."""
    cell = ("unfixed", "cortex-a9", "system", "arm@2010")
    figures = lab.risk(*cell, "linux-boot").figures
    assert isinstance(figures, SingleThreaded)
    found = figures.long_run
    command = "staleline risk --strategy unfixed --host cortex-a9 --scenario system --sensitivity"
    if not found.high:
        return Finding("refuted", "On cortex-a9 no retranslation ends in a wrong execution.", (command,))
    often = f"once in {_retranslations(found.nominal)} retranslations"
    ends = f"once in {_retranslations(found.high)} to once in {_retranslations(found.low)}" if found.low else "never"
    why = (
        f"On cortex-a9, along a recorded boot of {lab.trace('linux-boot').retranslations:,} retranslations, the "
        f"temporary branch is executed {often} with everything that pushes lines out as it is assumed; with all of it "
        f"at its low or all of it at its high end: {ends}. What decides is how many data lines the translator touches "
        "anew before it updates the branch, which nobody has recorded."
    )
    if found.nominal <= A_FEW_MILLIONS:
        return Finding("confirmed", why, (command,))
    if found.low <= A_FEW_MILLIONS:
        return Finding("confirmed only if", why, (command,), "everything that pushes lines out is at its low end")
    return Finding("refuted", why, (command,))


@_claim(AUTHOR, "A cache flush after each retranslation also cures it.")
def flush_cures(lab: Lab) -> Finding:
    """The thread's other way."""
    strategy = "flush-on-retranslation"
    failing = lab.failing(strategy, "cortex-a9", "arm@2010")
    lasting = lab.fails(strategy, "cortex-a9", LASTING_IN, "arm@2010", hazard="lasting")
    commands = (
        lab.command(strategy, "cortex-a9", "system", "arm@2010"),
        lab.command(strategy, "cortex-a9", "user", "arm@2010"),
    )
    if not failing and not lasting:
        return Finding("confirmed", "On cortex-a9 it holds in every scenario.", commands)
    if set(failing) & set(ALONE):
        return Finding("refuted", f"On cortex-a9 it {_in(failing)}.", commands)
    more = " Two retranslators can still add the offset twice, for good." if lasting else ""
    return Finding(
        "confirmed only if",
        f"On cortex-a9 it {_in(failing)}: the other thread runs the temporary branch before the flush.{more}",
        commands,
        "one thread executes",
    )


@_claim(AUTHOR, "That flush is very costly on some architectures.")
def flush_costs(lab: Lab) -> Finding:
    """One flush of the median length rewritten, on every host that a retranslating QEMU ran on."""
    trace = lab.trace("linux-boot")
    median = trace.rewritten_bytes.median or 0
    again = Parameters().retranslation.value * median
    isas = {translator.isa for translator in first_versions()}
    hosts = [name for name in lab.all_hosts if isas & {*lab.host(name).isa}]
    costs = {name: _flush_cycles(lab.host(name), median) for name in hosts}
    flushing = sorted((name for name in hosts if costs[name]), key=lambda name: costs[name])
    dear = [name for name in flushing if costs[name] > again]
    shown = ", ".join(f"{name} {_about(costs[name])}" for name in flushing)
    most = costs[flushing[-1]] * trace.retranslations / trace.executions
    why = (
        f"A flush of {median:.0f} bytes, the median that the recorded part of a boot rewrites, in cycles at "
        "nominal cost, "
        f"most of them estimates: {shown}; nothing on {listed(name for name in hosts if not costs[name])}. To generate "
        f"those bytes again takes about {_about(again)} cycles (assumed). With {trace.retranslations:,} "
        "retranslations in "
        f"{trace.executions:,} TB executions even the dearest adds {most:.1f} cycles to each execution."
    )
    command = "staleline compare --host all --strategy flush-on-retranslation"
    if dear:
        return Finding("confirmed only if", why, (command,), f"the host is {listed(dear)}")
    return Finding("cannot be decided here", f"{why} Nobody has published a measured figure.", (command,))


@_claim(REVIEWER, "Only code that is overwritten can be stale.")
def only_overwritten(lab: Lab) -> Finding:
    """Strategies that never store to live code, against those that do."""
    never = [name for name in ("scratch-buffer", "side-table") if not lab.failing(name, "cortex-a9", "arm@2010")]
    stores = lab.failing("unfixed", "cortex-a9", "arm@2010")
    return Finding(
        _decided(len(never) == 2),
        f"{listed(never) or 'no such strategy'}, which never store{'s' if len(never) == 1 else ''} to live code, "
        f"hold{'s' if len(never) == 1 else ''} in every scenario on cortex-a9. But a retranslation does overwrite "
        f"the code: as emitted it {_in(stores)}.",
        (lab.command("scratch-buffer", "cortex-a9", "user", "arm@2010"),),
    )


@_claim(REVIEWER, "So it may be enough to invalidate the instruction cache on every tb flush.")
def tb_flush(lab: Lab) -> Finding:
    """The question read literally: one thread, without a tb flush, and with one before the fatal retranslation."""
    cell = ("flush-on-tb-flush", "cortex-a9", "system", "arm@2010")
    events = (
        Wanted("T1 writes the code buffer", 0, "writes", "the code buffer"),
        Wanted("T1 faults", 0, "faults"),
        Wanted("T1 runs wrong", 0, "runs wrong"),
    )
    none = lab.fails(*cell)
    followed = lab.check(*cell, flushes=1, retranslations=1, follow=events).followed
    after = followed is not None and followed.reached == len(events)
    return Finding(
        _decided(not none),
        "A tb flush lies outside the interval from a retranslation to the next run of the block. With one "
        "thread on cortex-a9 "
        f"it {_fails(none)} where no tb flush comes in between, and a run in which the buffer is flushed and the block "
        f"then faults and runs a wrong word {'exists' if after else 'does not exist'}.",
        (lab.command(*cell), lab.command(*cell, flushes=1)),
    )


@_claim(AUTHOR, "That works, it was tested.")
def tested(lab: Lab) -> Finding:
    """The answer to the question before; the two flushes that it can mean."""
    on_tb_flush = lab.fails("flush-on-tb-flush", "cortex-a9", "system", "arm@2010")
    after_each = lab.fails("flush-on-retranslation", "cortex-a9", "system", "arm@2010")
    commands = (
        lab.command("flush-on-tb-flush", "cortex-a9", "system", "arm@2010"),
        lab.command("flush-on-retranslation", "cortex-a9", "system", "arm@2010"),
    )
    why = (
        "Which flush was tested is not said. In system emulation, of which he speaks, a flush of the "
        "instruction cache at "
        f"every tb flush {_fails(on_tb_flush)}; one after each retranslation, of which he had spoken just before, "
        f"{_fails(after_each)}."
    )
    if not on_tb_flush:
        return Finding("confirmed", why, commands)
    if not after_each:
        return Finding("confirmed only if", why, commands, "a flush after each retranslation is meant")
    return Finding("refuted", why, commands)


@_claim(AUTHOR, "It breaks since the block runs again later, and nothing flushes the cache after the retranslation.")
def runs_again(lab: Lab) -> Finding:
    """The last row of the counterexample, and the same with a flush."""
    cell = ("unfixed", "cortex-a9", "system", "arm@2010")
    rows = _rows(lab.check(*cell))
    again = bool(rows) and "re-executed" in rows[-1]
    flushed = lab.fails("flush-on-retranslation", "cortex-a9", "system", "arm@2010")
    return Finding(
        _decided(again and not flushed),
        f"The shortest counterexample with one thread ends with: {rows[-1] if rows else 'nothing'}. With a "
        "flush after the "
        f"retranslation one thread {_fails(flushed)}.",
        (lab.command(*cell), lab.command("flush-on-retranslation", "cortex-a9", "system", "arm@2010")),
    )


@_claim(
    REVIEWER, "In user emulation one thread may rewrite the branch while another runs it, and keeps it in its cache."
)
def two_threads(lab: Lab) -> Finding:
    """The [T1]/[T2] sequence, found as a run."""
    events = load_events("thread")
    options = {"follow": events, "follow_source": "thread"}
    found = {
        host: lab.check("unfixed", host, "user", name, **options).followed
        for host, name in (("cortex-a9", "arm@2010"), ("z10", "s390x@2010"))
    }
    reached = {host: followed.reached if followed is not None else 0 for host, followed in found.items()}
    right = reached["cortex-a9"] == len(events)
    why = (
        f"For the code of a software TLB, a run with the {len(events)} events in order is found as far as event "
        f"{reached['cortex-a9']} on cortex-a9, and as far as event {reached['z10']} on z10, where no instruction cache "
        "keeps what was overwritten. No lock stood in its way: cpu_restore_state took none. But in user "
        "emulation QEMU "
        "emitted no software TLB, and so no such branch; there were only arm's goto_tb, and on mips and sparc "
        "the branches of "
        f"the guest's own whose label lies before the fault."
    )
    command = lab.command("unfixed", "cortex-a9", "user", "arm@2010", **options)
    if right:
        return Finding("confirmed only if", why, (command,), "the emitted code has such a branch")
    return Finding("refuted", why, (command,))


@_claim(REVIEWER, "Then a global lock on retranslation does the trick.")
def global_lock(lab: Lab) -> Finding:
    """He speaks of two threads: what it leaves open there, and what it does cure."""
    threads = [name for name in lab.failing("global-lock", "cortex-a9", "arm@2010") if name not in ALONE]
    alone = lab.fails("global-lock", "cortex-a9", "system", "arm@2010")
    lasting = ("cortex-a9", LASTING_IN, "arm@2010")
    without, with_lock = (lab.fails(name, *lasting, hazard="lasting") for name in ("unfixed", "global-lock"))
    where = f"fails in {listed(threads)}" if threads else "holds with two threads"
    cured = (
        " What it does cure: two retranslators that add the branch offset twice, for good."
        if without and not with_lock
        else ""
    )
    return Finding(
        _decided(not threads),
        f"On cortex-a9 it {where}: whoever executes the block does not ask for the lock. With one thread, of "
        "which he does not "
        f"speak, the code {_fails(alone)} with the lock as without.{cured}",
        (
            lab.command("global-lock", "cortex-a9", "user", "arm@2010"),
            lab.command("global-lock", *lasting, hazard="lasting"),
        ),
    )


@_claim(AUTHOR, "It was seen in system emulation, where one thread does everything.")
def in_system(lab: Lab) -> Finding:
    """One thread is enough."""
    cell = ("unfixed", "cortex-a9", "system", "arm@2010")
    right = lab.fails(*cell)
    return Finding(_decided(right), f"One thread on one core {_fails(right)}.", (lab.command(*cell),))


@_claim(AUTHOR, "There are far fewer retranslations in user emulation.")
def fewer_in_user(lab: Lab) -> Finding:
    """State restores per million executions, in the recordings."""
    system = _per_million(lab, "linux-boot")
    plain = {name: _per_million(lab, name) for name in ("user-wc", "user-gzip", "user-sort")}
    faulting = _per_million(lab, "user-threads")
    fewer = all(figure < system / 10 for figure in plain.values())
    shown = ", ".join(f"{name} {figure:.1f}" for name, figure in plain.items())
    why = (
        f"State restores per million TB executions: linux-boot {system:.1f}; {shown}; user-threads, a program "
        "that handles "
        f"its own SIGSEGVs, {faulting:.1f}."
    )
    commands = (
        "staleline trace info linux-boot",
        "staleline trace info user-gzip",
        "staleline trace info user-threads",
    )
    if fewer and faulting > system / 10:
        return Finding("confirmed only if", why, commands, "the program does not fault on purpose")
    return Finding(_decided(fewer), why, commands)


@_claim(AUTHOR, "And far less code is translated there.")
def less_code(lab: Lab) -> Finding:
    """Translation blocks in the recordings: in all, and per million executions."""
    names = ("linux-boot", "user-wc", "user-gzip", "user-sort", "user-threads")
    figures = {name: lab.trace(name) for name in names}
    rates = {name: 1e6 * each.tbs / each.executions for name, each in figures.items()}
    fewer = all(figures[name].tbs * 10 < figures["linux-boot"].tbs for name in names[1:])
    slower = all(rates[name] < rates["linux-boot"] for name in names[1:])
    shown = ", ".join(f"{name} {figures[name].tbs:,} ({rates[name]:,.0f})" for name in names)
    why = (
        f"TBs translated, and per million executions in brackets: {shown}. linux-boot is the user-space part of "
        "a boot, "
        f"kernel and many programs; the others are one small program each."
    )
    commands = ("staleline trace info linux-boot", "staleline trace info user-wc")
    if fewer and not slower:
        return Finding("confirmed only if", why, commands, "it is counted per program, not per execution")
    return Finding(_decided(fewer), why, commands)


@_claim(AUTHOR, "Not to change the code during a retranslation is the better solution.")
def better(lab: Lab) -> Finding:
    """What holds everywhere, and what it needs for that."""
    right = [
        name
        for name in lab.strategies
        if not lab.failing(name, "cortex-a9", "arm@2010")
        and not lab.fails(name, "cortex-a9", LASTING_IN, "arm@2010", hazard="lasting")
    ]
    needs = {name: _needs(lab, name) for name in right}
    free = [name for name in right if not needs[name]]
    partial = [
        name
        for name in right
        if not any(
            lab.fails(name, "mips-24kc", scenario, "mips@2010", hazard="partial")
            for scenario in scenario_names()
            if scenario != "migrate"
        )
    ]
    shown = "; ".join(f"{name} ({listed(needs[name]) or 'nothing'})" for name in right)
    return Finding(
        _decided("idempotent" in free and "idempotent" in partial),
        "On cortex-a9 these hold in every scenario, with what they add to a retranslation or keep for it: "
        f"{shown}. Of those, "
        f"{listed(partial)} also cure labels that are bound too late (mips@2010 on mips-24kc). To store nothing "
        "but what is "
        f"known adds nothing.",
        ("staleline compare", "staleline matrix --translator mips --hazard partial"),
    )


def _rows(found: Checked) -> tuple[str, ...]:
    """The rows of the counterexample, if there is one."""
    if found.verdict != "fails" or found.explanation is None:
        return ()
    return tuple(row.operation for row in found.explanation.rows)


def _actors(found: Checked) -> tuple[str, ...]:
    if found.verdict != "fails" or found.explanation is None:
        return ()
    return tuple(row.actor for row in found.explanation.rows)


def _fails(yes: bool) -> str:
    return "fails" if yes else "holds"


def _in(failing: Sequence[str]) -> str:
    """``fails in user and user-both, and holds in system and migrate``."""
    holding = [name for name in scenario_names() if name not in failing]
    if not failing:
        return "holds in every scenario"
    return f"fails in {listed(failing)}" + (f", and holds in {listed(holding)}" if holding else "")


def _needs(lab: Lab, name: str) -> tuple[str, ...]:
    """What a strategy adds to a retranslation, or keeps for it: maintenance, locks, synchronisation, memory."""
    strategy, code = registry.find(name), lab.translator("arm@2010").block(0)
    hooks = (("retranslate", code.retranslated), ("enter", code.whole))
    done = [operation for hook, region in hooks for operation in flat(tree(strategy, hook, region))]
    kinds = {
        "cache maintenance": (Clean, Invalidate, Flush),
        "locks": (Acquire,),
        "synchronisation of other cores": (SyncCores,),
        "a table": (Lookup,),
    }
    found = [text for text, types in kinds.items() if any(isinstance(operation, types) for operation in done)]
    scratch = any(getattr(getattr(operation, "unit", None), "in_scratch", False) for operation in done)
    return (*found, *(["a scratch buffer"] if scratch else []))


def _per_million(lab: Lab, name: str) -> float:
    figures = lab.trace(name)
    return 1e6 * figures.retranslations / figures.executions


def _flush_cycles(host: Host, size: float) -> float:
    """The nominal cost of one flush of ``size`` bytes, in cycles, under the host's main instruction set."""
    recipe = host.isa[host.main_isa].flush
    if recipe.by == "nobody":
        return 0.0
    lines = -(-size // host.icache.line)
    call, line, remote = (figure.in_cycles(host.clock_ghz)[1] for figure in (recipe.call, recipe.line, recipe.remote))
    return call + lines * line + remote


def _retranslations(probability: float) -> str:
    """How many there are for each one that goes wrong: two digits."""
    return f"{float(f'{1 / probability:.2g}'):,.0f}"


def _about(cycles: float) -> str:
    """As many digits as an estimate carries: one."""
    return f"{float(f'{cycles:.1g}'):,.0f}"
