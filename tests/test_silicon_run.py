"""Protocols and strategies executed on this machine."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest
from conftest import VALID
from test_x86_encodings import CACHE, CALL, GUARD
from test_x86_encodings import site_of as jit_site
from written import protocol as _protocol
from written import site as _site

from bench.check import asked
from bench.check.export import as_protocol
from bench.hosts import load_host, load_target
from bench.protocols.document import document_from
from bench.protocols.verification import verify
from bench.report.report import rendered
from bench.report.runs import ExecutedProtocol, RunReport
from bench.silicon.functions import ALIGNED, SPLIT, UNALIGNED, Functions
from bench.silicon.geometry import this_machine
from bench.silicon.instructions import INSTRUCTION_SETS, this_instruction_set
from bench.silicon.native import Memory, cores
from bench.silicon.outcomes import AllowedOutcomes, allowed, outcomes
from bench.silicon.running import Batches, Histogram, RunEffort, run
from bench.silicon.sites import ELSEWHERE, SiteInstances
from bench.silicon.threads import BATCH, STUCK_TEXT
from bench.sites.paths import at_rest
from bench.sites.reader import library, load_site
from bench.sites.scenarios import trials
from bench.support.errors import InputError
from bench.translators.registry import load_translator

try:
    HERE = this_instruction_set()
except InputError as error:
    pytest.skip(str(error), allow_module_level=True)

pytestmark = pytest.mark.skipif(len(cores()) < 2, reason="runs threads on two cores, which are not here")
x86 = pytest.mark.skipif(HERE.name != "x86-64", reason="about operands of x86-64, which is not here")
NEAREST = HERE.profile

RACE = """
[layout]
A = 0
[init]
A = "final"
[allowed]
T1 = ["final final"]
[threads.T0]
core = 0
does = '''
store A temporary
store A final
'''
[threads.T1]
core = 1
does = '''
execute A
execute A
'''
"""


PAIR = (
    RACE.replace("A = 0", "A = 0\nB = 4").replace("[allowed]", "B = 'final'\n[allowed]").replace("A\nexecute A", "A+B")
)


def _strategy(name):
    (strategy,) = asked.strategies(name)
    text = as_protocol(strategy, load_translator("arm@2010"), load_host(NEAREST), "user")
    return _protocol(text)


def _run_until(instances, wanted):
    """Batches until an outcome is seen for which ``wanted`` is true, for a bounded time."""
    total = Histogram()
    for seed in range(1, 10):
        total.add(run(instances, RunEffort(6, 20_000, seed)))
        if any(map(wanted, total.outcomes)):
            return total
    pytest.fail(f"not seen: {total.outcomes}")


def test_the_other_thread_runs_the_temporary_branch_where_nothing_stops_it():
    # Between the two stores lies a slow instruction, so that the other thread comes in time.
    protocol = _protocol(RACE.replace("store A final", "isb\nstore A final"))
    seen = _run_until(Functions(protocol, HERE), lambda outcome: "temporary" in outcome[1])
    may = allowed(Functions(protocol, HERE), load_target(NEAREST))
    assert all(may.allows(outcome) for outcome in seen.outcomes)
    assert not seen.crashes


def test_stopped_threads_never_run_it():
    seen = run(Functions(_strategy("stop-the-world"), HERE), RunEffort(300.0, 6_000))
    assert {"temporary" in outcome[1] for outcome in seen.outcomes} == {False}
    assert seen.instances == 6_000 and seen.outcomes.total() == 6_000


@x86
def test_an_operand_over_two_lines_is_torn_and_an_aligned_one_is_not():
    text = RACE.replace("store A temporary\n", "store A other\n").replace("store A final\n", "store A third\n")
    whole = {"final", "other", "third"}

    def torn(outcome):
        return not {*outcome[1]} <= whole

    assert not any(map(torn, run(Functions(_protocol(text), HERE), RunEffort(60.0, 40_000)).outcomes))
    seen = _run_until(Functions(_protocol(text), HERE, SPLIT), torn)
    assert any("torn" in outcome[1] for outcome in seen.outcomes)
    # The model is asked about the place: there it allows what was seen, and an aligned one does not.
    for placement, may_tear in ((SPLIT, True), (ALIGNED, False)):
        may = allowed(Functions(_protocol(text), HERE, placement), load_target(NEAREST))
        assert any(map(torn, may.outcomes)) == may_tear


def test_every_operation_does_what_it_says_in_one_thread():
    # Nobody else runs: what each thread observes is decided, as the model has it.
    text = """
[layout]
A = 0
B = 16
C = 64
[init]
A = "a"
B = "b"
C = "c"
[flags]
go = 0
[allowed]
T0 = ["a a2 b c2 c2"]
T1 = ["c2"]
[threads.T0]
core = 0
does = '''
lock m
execute A a:1
execute B
store A a2
clean A
dsb
invalidate A
fence
isb
membarrier
execute A
unlock m
lock m shared
load B
unlock m
store C c2
set go 1
execute C
load C
poll-stop
'''
[threads.T1]
core = 1
does = '''
wait go 1
isb
stop-others
execute C
resume-others
'''
"""
    protocol = _protocol(text)
    seen = run(Functions(protocol, HERE), RunEffort(120.0, 3000))
    assert seen.outcomes == Counter({(("a", "a2", "b", "c2", "c2"), ("c2",)): 3000})
    assert outcomes(protocol, seen, ())[0].right


def test_a_wait_that_does_not_end_is_an_outcome():
    text = RACE.replace("[threads.T0]", "[flags]\ngo = 0\n[threads.T0]").replace("store A temporary", "wait go 1")
    protocol = _protocol(text)
    seen = run(Functions(protocol, HERE), RunEffort(120.0, 1))
    assert {outcome[0] for outcome in seen.outcomes} == {(STUCK_TEXT,)}
    may = allowed(Functions(protocol, HERE), load_target(NEAREST))
    assert all(may.allows(outcome) for outcome in seen.outcomes)


def _illegal(number):
    """An instruction that is none, and the number behind it."""
    return (b"\x0f\x0b" if HERE.name == "x86-64" else bytes(4)) + number.to_bytes(4, "little")


def test_a_child_that_crashes_is_an_outcome_with_its_place():
    broken = replace(this_instruction_set(), number=_illegal)
    seen = run(Functions(_protocol(RACE), broken), RunEffort(3.0, 1))
    assert {*seen.crashes} == {"SIGILL at A"} and not seen.outcomes
    report = RunReport(this_machine(cores()[0]), [ExecutedProtocol("test", _protocol(RACE), seen, ())])
    assert "ended by SIGILL at A" in report.text("simple") and report.executed[0].wrong


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (("store A temporary", "irq-off"), "irq-off; expected operations that a program"),
        (("store A temporary", "fence.i"), "fence.i; expected operations of this machine"),
        ((RACE, PAIR), "expected one unit"),
        (("A = 0", "A = 0\nB = { at = 64, alias = 'A' }"), "B is a second mapping"),
    ],
)
def test_what_cannot_be_executed_is_refused(change, error):
    with pytest.raises(InputError, match=error.replace("+", r"\+").replace("(", r"\(")):
        run(Functions(_protocol(RACE.replace(*change)), HERE), RunEffort(1.0, 1))


@x86
@pytest.mark.parametrize("placement", [ALIGNED, UNALIGNED, SPLIT])
def test_operands_lie_as_they_are_placed(placement):
    instances = Functions(_protocol(RACE), HERE, placement)
    operand = instances.at["A"] + instances.instructions.operand
    expected = {"aligned": (True, True), "unaligned": (False, True), "split": (False, False)}[placement.name]
    assert (operand % 4 == 0, operand // 64 == (operand + 3) // 64) == expected


def test_what_the_model_allows_is_what_its_verdict_says():
    for text in (RACE, RACE.replace("store A temporary\n", "")):
        protocol = _protocol(text)
        host = load_target(NEAREST)
        may = allowed(Functions(protocol, HERE), host)
        right = all(one.right for one in outcomes(protocol, Histogram(), (may,)))
        from bench.check.protocols import moved

        document = moved(document_from(text, "test"), host)
        assert (verify(document.cases[0].protocol).verdict == "holds") == right


def test_seen_and_forbidden_is_said_in_every_form():
    protocol = _protocol(RACE)
    seen = Histogram(
        Counter({((), ("final", "temporary")): 3, ((), ("final", "final")): 7}), instances=10, seconds=1e-3
    )
    target = AllowedOutcomes("here", frozenset({((), ("final", "final"))}), anything=False)
    report = RunReport(this_machine(cores()[0]), [ExecutedProtocol("race", protocol, seen, (target,))])
    assert report.executed[0].contradicted and report.executed[0].wrong == 3
    assert "seen, FORBIDDEN" in report.text("simple") and "SEEN AND FORBIDDEN" in report.text("simple")
    document = json.loads(rendered(report, "json"))
    assert document["executed"][0]["outcomes"][1]["here"] == "forbidden"
    assert "seen, forbidden" in rendered(report, "csv")
    alone = replace(report, machine=replace(report.machine, cores=1)).text("simple")
    assert "2 threads took turns on 1 core: what needs them at once is not seen here." in alone
    text = report.text("litmus")
    assert "Histogram (2 states)" in text and "Positive: 3, Negative: 7" in text
    assert "3       *>T1: final temporary;" in text and "Observation race Sometimes 3 7" in text


def test_what_was_run_stands_beside_the_verdict(tmp_path, monkeypatch, staleline):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "race.toml").write_text(RACE)
    ran = staleline("run race.toml,unfixed --instances 500 --seconds 60 --format csv --save seen.json")
    assert ran.status == 0, ran
    saved = json.loads((tmp_path / "seen.json").read_text())
    VALID.validate(saved)
    executed = {one["name"]: one["translator"] for one in saved["executed"]}
    assert executed == {"race": "", "unfixed, user": "arm@2010"}
    checked = staleline("check race.toml --seen seen.json --format json").valid
    assert checked["protocols"][0]["cases"][0]["seen"]["instances"] == 500
    cells = staleline(
        "check unfixed --host x86-skylake --what-if --translator arm@2010 --seen seen.json --format json"
    ).valid
    assert {cell["scenario"]: bool(cell["seen"]) for cell in cells["results"]}["user"]
    assert "of 500" in staleline("check race.toml --seen seen.json").out
    (tmp_path / "seen.json").write_text('{"schema": 1}')
    staleline("check race.toml --seen seen.json").is_refused("seen.json", "machine")


SITE = """
summary = "The displacement of a jump"
isa = "x86"
[targets]
stub = 8
near = 0x1000
near2 = 0x2000
[words]
opcode = { at = 3, always = "e9" }
disp = { at = 4, stub = "00 00 00 00", near = "f8 0f 00 00", near2 = "f8 1f 00 00" }
[does]
link = "store disp"
unlink = "store disp"
"""
BREAKS = """
isa = "x86"
[targets]
stub = 4
near = 0x60
[words]
jump = { at = 2, stub = "66 90", broken = "cc 90", near = "eb 5c" }
[does]
link = "store jump broken; membarrier; store jump"
unlink = "store jump"
"""
ISA = {"x86-64": "x86", "aarch64": "aarch64"}[HERE.name]


def _trials(site, scenario, instructions=HERE):
    return trials(site, load_host(instructions.profile), scenario, synchronised=False)


def _instances(trial, instructions=HERE):
    try:
        return SiteInstances(trial, instructions)
    except InputError as error:
        pytest.skip(f"this site is not executed: {error}")


def _sites(*isas):
    return [name for name in library() if name.rpartition("-")[2] in isas and not name.startswith("no-link")]


@pytest.mark.parametrize("name", _sites("x86", "aarch64"))
def test_each_instance_of_a_site_leads_to_its_own_targets(name):
    # The words are read back from the memory of an instance, at their addresses there.
    site = load_site(name)
    instructions = INSTRUCTION_SETS["x86_64" if site.isa == "x86" else site.isa]
    for trial in [one for scenario in ("link", "unlink", "far") for one in _trials(site, scenario, instructions)]:
        instances = _instances(trial, instructions)
        code = Memory(instances.size)
        instances.reset(code)
        start = trial.protocol.initial
        state = next(
            s for s in site.states if all(start.get(w.name, w.value(s)).endswith(w.value(s)) for w in site.words)
        )
        for number in (0, 1, 1234, BATCH - 1):
            base = code.address + number * instances.stride
            there = replace(
                site,
                targets={one: base + at for one, at in site.targets.items()},
                registers={name: base + at for name, at in site.registers.items()},
                words=tuple(
                    replace(word, at=base + word.at, values={state: code.bytes[at : at + word.size].tobytes()})
                    for word in site.words
                    for at in [number * instances.stride + word.at]
                ),
            )
            assert at_rest(there, state).arrives == state
            lands = there.targets[state] - code.address
            _, operand = instructions.lands(0, lands, ())
            stored = int.from_bytes(code.bytes[lands + operand : lands + operand + 4], "little")
            assert stored >> instructions.shift & instructions.mask & 0xFFFF == 16 * number + list(site.targets).index(
                state
            )


@pytest.mark.parametrize("name", _sites(ISA))
def test_the_machine_arrives_where_the_reading_of_the_encodings_says(name):
    # One thread patches and then executes: what it comes to is decided.
    for trial in _trials(load_site(name), "interrupted"):
        if len(trial.protocol.threads) == 1 and "inside" not in trial.of:
            instances = _instances(trial)
            may = allowed(instances, load_target(NEAREST)).outcomes
            if any(ELSEWHERE in values for (values,) in may):  # a wrong one, which only a child survives
                assert {*run(instances, RunEffort(60.0, 16)).outcomes} <= may
                continue
            batches = Batches(instances, seed=1)
            batches.reset()
            batches.alone()
            (values,) = {tuple(map(instances.value_of, row)) for row in batches.results[0].tolist()}
            assert (values,) in may
            assert instances.asked.threads[0].allows(values, finished=True)


@x86
def test_a_displacement_over_two_lines_leads_to_where_its_halves_say():
    (trial,) = _trials(load_site("unaligned-disp-x86"), "link")
    seen = _run_until(SiteInstances(trial, HERE), lambda outcome: ELSEWHERE in outcome[1])
    # bd 00 00 00 and 00 0f 00 00, counted from 67
    assert {*seen.signals} <= {f"{name} at {at}" for name in ("SIGSEGV", "SIGILL") for at in ("0x100", "0xf43")}
    may = allowed(SiteInstances(trial, HERE), load_target(NEAREST))
    assert all(may.allows(outcome) for outcome in seen.outcomes) and not seen.crashes
    (aligned,) = _trials(load_site("aligned-disp-x86"), "link")
    for placement in (None, UNALIGNED):
        seen = run(SiteInstances(aligned, HERE, placement), RunEffort(60.0, 20_000))
        assert not seen.signals and {*seen.outcomes} >= {((), ("stub", "near"))}


JCC = """
opcode = { at = 2, always = "0f CC" }
to = { at = 4, stub = "f8 00 00 00", near = "f8 0f 00 00", near2 = "f8 1f 00 00" }
"""
FLAG = """
test = { at = 0, always = "49 83 7e f8 02" }    # cmp qword [r14 - 8], 2
opcode = { at = 5, always = "90 0f 85" }
to = { at = 8, stub = "f4 00 00 00", near = "f4 0f 00 00", near2 = "f4 1f 00 00" }
"""
JITS = {
    "call": (CALL, "store to"),
    "inline cache": (CACHE, "store shape; store to"),
    **{f"condition {n:x}": (JCC.replace("CC", f"8{n:x}"), "store to") for n in (2, 5, 8, 0xC, 0xF)},
    "pushed": (CALL.replace('always = "e8"', 'always = "e9"') + 'push = { at = 0, always = "53 50 90" }', "store to"),
    "guard": (GUARD, "store to", "[registers]\nrdi = 8"),
    "guard on a flag": (
        FLAG,
        "store to",
        "[slots]\nflag = { at = 64, stub = 1, near = 0, near2 = 0 }\n[registers]\nr14 = 72",
    ),
    "counted": (CALL + 'count = { at = 0, always = "ff 45 00" }', "store to"),
}


@x86
@pytest.mark.parametrize("name", JITS)
def test_call_sites_guards_and_inline_caches_arrive_where_their_encodings_say(name):
    one = jit_site(*JITS[name])
    for trial in _trials(one, "interrupted"):
        if len(trial.protocol.threads) > 1 or "inside" in trial.of:
            continue
        instances = SiteInstances(trial, HERE)
        batches = Batches(instances, seed=1)
        batches.reset()
        batches.alone()
        arrived = {tuple(map(instances.value_of, row)) for row in batches.results[0].tolist()}
        assert arrived <= {values for (values,) in allowed(instances, load_target(NEAREST)).outcomes}
        assert len(arrived) == 1
    if name in ("call", "inline cache", "condition 5"):
        (trial,) = _trials(one, "relink")
        instances = SiteInstances(trial, HERE)
        seen = run(instances, RunEffort(60.0, 4096))
        may = allowed(instances, load_target(NEAREST))
        assert not seen.signals and not seen.crashes and all(may.allows(outcome) for outcome in seen.outcomes)


RELIES = """
isa = "ISA"
relies = ["REGISTER"]
[targets]
stub = 0x200
near = 0x1000
near2 = 0x2000
[words]
LOAD
JUMP
[slots]
slot = 64
address = { at = 128, stub = "stub", near = "near", near2 = "near2" }
[does]
link = "store slot; store address"
unlink = "store slot; store address"
"""


def test_a_register_that_a_target_relies_on_is_checked_where_it_arrives():
    # It is loaded from another slot than the address of the jump, and so may be that of another target.
    load, then, register = {
        "x86-64": ("48 8b 1d 79 00 00 00", "ff 25 33 00 00 00", "rbx"),  # mov rbx, [address]; jmp [slot]
        "aarch64": ("18 04 00 58", "e5 01 00 58 a0 00 1f d6", "x24"),  # ldr x24, address; ldr x5, slot; br x5
    }[HERE.name]
    jump = len(bytes.fromhex(load))
    text = RELIES.replace("ISA", ISA).replace("REGISTER", register)
    text = text.replace("LOAD", f'load = {{ at = 0, always = "{load}" }}')
    text = text.replace("JUMP", f'jump = {{ at = {jump}, always = "{then}" }}')
    (trial,) = _trials(_site(text), "relink")
    instances = SiteInstances(trial, HERE)
    seen = run(instances, RunEffort(60.0, 20_000))
    may = allowed(instances, load_target(NEAREST))
    assert all(may.allows(outcome) for outcome in seen.outcomes), seen
    assert any(ELSEWHERE in values for _, values in may.outcomes)
    assert all(name.startswith("SIGILL at ") for name in seen.signals), seen.signals


@x86
def test_absolute_addresses_in_code_are_refused():
    text = CACHE.replace('"90 90 90 90 90 90 90 e8"', '"ff e0 90 90 90 90 90 e8"')
    with pytest.raises(InputError, match="words that lead elsewhere when the site is moved"):
        SiteInstances(_trials(jit_site(text, "store shape; store to"), "link")[0], HERE)


@x86
@pytest.mark.parametrize("words", [GUARD, JCC.replace("0f CC", "0f 84") + 'two = { at = 0, always = "75 00" }'])
def test_a_branch_that_nothing_decides_is_not_executed(words):
    with pytest.raises(InputError, match="a branch that depends on what a register or memory has"):
        SiteInstances(_trials(jit_site(words, "store to"), "link")[0], HERE)


@x86
def test_a_breakpoint_is_an_outcome_and_one_that_nobody_handles_a_signal():
    (trial,) = _trials(load_site("int3-x86"), "link")
    seen = _run_until(SiteInstances(trial, HERE), lambda outcome: "trap" in outcome[1])
    assert not any(ELSEWHERE in values for _, values in seen.outcomes) and not seen.signals
    (trial,) = _trials(_site(BREAKS), "link")
    instances = SiteInstances(trial, HERE)
    seen = _run_until(instances, lambda outcome: ELSEWHERE in outcome[1])
    assert {*seen.signals} == {"SIGTRAP at 0x2"}
    report = RunReport(this_machine(cores()[0]), [ExecutedProtocol("site", instances.asked, seen, ())])
    assert report.executed[0].wrong == seen.signals.total()
    assert "Elsewhere: SIGTRAP at 0x2: " in report.text("simple")


@x86
@pytest.mark.parametrize(
    ("change", "error"),
    [
        (('isa = "x86"', 'isa = "x86"\nregisters = { r0 = 1 }'), "registers: 'r0'; expected one of rax, rcx"),
        (("[does]", 'tail = { at = 8, always = "90" }\n[does]'), "stub at 0x4; expected 13 bytes before tail"),
        (("near = 0x60", "near = 0x60\nnear2 = 0x64"), "near and near2; expected 16 bytes"),
        (('"66 90"', '"0f 1f 00"'), "of 3 bytes; expected what this machine can store at once"),
    ],
)
def test_a_site_that_cannot_be_executed_is_refused(change, error):
    text = BREAKS.replace(*change)
    if "near2" in change[1]:
        text = text.replace('near = "eb 5c"', 'near = "eb 5c", near2 = "eb 60"')
    if "0f 1f" in change[1]:
        text = text.replace('"cc 90"', '"cc 90 90"').replace('"eb 5c"', '"eb 5c 90"').replace("stub = 4", "stub = 5")
    with pytest.raises(InputError, match=error):
        SiteInstances(_trials(_site(text), "link")[0], HERE)


@x86
def test_the_scenarios_of_a_site_are_run_and_what_cannot_be_is_named(tmp_path, monkeypatch, staleline):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site.toml").write_text(SITE)
    (tmp_path / "kernel.toml").write_text(RACE.replace("store A temporary", "irq-off"))
    ran = staleline(
        "run site.toml,kernel.toml --scenario link --instances 200 --seconds 60 --place split --format json"
    )
    assert ran.status == 0, ran.err
    document = ran.valid
    assert [one["name"] for one in document["executed"]] == ["site, link, stub to near, split"]
    assert all(one["instances"] == 200 for one in document["executed"])
    assert "irq-off" in document["refused"]["kernel, split"]
