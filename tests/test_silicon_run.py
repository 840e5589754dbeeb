"""Protocols and strategies executed on this machine."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import jsonschema
import pytest
from conftest import SCHEMA

from bench.check import asked
from bench.check.export import as_protocol
from bench.hosts import load_host, load_target
from bench.protocols.document import document_from
from bench.protocols.verification import verify
from bench.report.report import rendered
from bench.report.runs import Executed, RunReport
from bench.silicon.geometry import this_machine
from bench.silicon.instructions import this_instruction_set
from bench.silicon.native import cores
from bench.silicon.outcomes import Allowed, allowed, outcomes
from bench.silicon.running import Effort, Histogram, run
from bench.silicon.threads import ALIGNED, SPLIT, STUCK_TEXT, UNALIGNED, Instances
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


def _protocol(text):
    return document_from(text, "test").cases[0].protocol


def _strategy(name):
    (strategy,) = asked.strategies(name)
    text = as_protocol(strategy, load_translator("arm@2010"), load_host(NEAREST), "user")
    return _protocol(text)


def _until_seen(protocol, wanted, placement=ALIGNED, seconds=20.0):
    """Batches until an outcome is seen for which ``wanted`` is true, for a bounded time."""
    total = Histogram()
    for seed in range(1, 40):
        total.add(run(protocol, Effort(seconds / 10, 20_000, seed), placement))
        if any(wanted(one) for one in total.outcomes) or total.crashes:
            return total
    pytest.fail(f"not seen: {total.outcomes}")


def test_the_other_thread_runs_the_temporary_branch_where_nothing_stops_it():
    # Between the two stores lies a slow instruction, so that the other thread comes in time.
    protocol = _protocol(RACE.replace("store A final", "isb\nstore A final"))
    seen = _until_seen(protocol, lambda outcome: "temporary" in outcome[1])
    may = allowed(protocol, load_target(NEAREST))
    assert all(may.allows(outcome) for outcome in seen.outcomes)
    assert not seen.crashes


def test_stopped_threads_never_run_it():
    seen = run(_strategy("stop-the-world"), Effort(120.0, 20_000))
    assert {"temporary" in outcome[1] for outcome in seen.outcomes} == {False}
    assert seen.instances == 20_000 and seen.outcomes.total() == 20_000


@x86
def test_an_operand_over_two_lines_is_torn_and_an_aligned_one_is_not():
    text = RACE.replace("store A temporary\n", "store A other\n").replace("store A final\n", "store A third\n")
    whole = {"final", "other", "third"}

    def torn(outcome):
        return not {*outcome[1]} <= whole

    assert not any(map(torn, run(_protocol(text), Effort(60.0, 40_000), ALIGNED).outcomes))
    seen = _until_seen(_protocol(text), torn, SPLIT, seconds=30.0)
    assert any("torn" in outcome[1] for outcome in seen.outcomes)
    # The model is asked about the place: there it allows what was seen, and an aligned one does not.
    for placement, may_tear in ((SPLIT, True), (ALIGNED, False)):
        may = allowed(Instances(_protocol(text), HERE, placement).placed, load_target(NEAREST))
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
    seen = run(protocol, Effort(120.0, 3000))
    assert seen.outcomes == Counter({(("a", "a2", "b", "c2", "c2"), ("c2",)): 3000})
    assert outcomes(protocol, seen, ())[0].right


def test_a_wait_that_does_not_end_is_an_outcome():
    text = RACE.replace("[threads.T0]", "[flags]\ngo = 0\n[threads.T0]").replace("store A temporary", "wait go 1")
    protocol = _protocol(text)
    seen = run(protocol, Effort(120.0, 2))
    assert {outcome[0] for outcome in seen.outcomes} == {(STUCK_TEXT,)}
    may = allowed(protocol, load_target(NEAREST))
    assert all(may.allows(outcome) for outcome in seen.outcomes)


def _illegal(number):
    """An instruction that is none, and the number behind it."""
    return (b"\x0f\x0b" if HERE.name == "x86-64" else bytes(4)) + number.to_bytes(4, "little")


def test_a_child_that_crashes_is_an_outcome_with_its_place():
    broken = replace(this_instruction_set(), number=_illegal)
    seen = run(_protocol(RACE), Effort(3.0, 1), instructions=broken)
    assert {*seen.crashes} == {"SIGILL at A"} and not seen.outcomes
    report = RunReport(this_machine(cores()[0]), [Executed("test", _protocol(RACE), seen, ())])
    assert "ended by SIGILL at A" in report.text("simple") and report.executed[0].wrong


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (("store A temporary", "irq-off"), "irq-off; expected operations that a program"),
        (("store A temporary", "fence.i"), "fence.i; expected operations of this machine"),
        (("execute A\nexecute A", "execute A+A"), "expected one unit"),
        (("A = 0", "A = 0\nB = { at = 64, alias = 'A' }"), "B is a second mapping"),
    ],
)
def test_what_cannot_be_executed_is_refused(change, error):
    with pytest.raises(InputError, match=error.replace("+", r"\+").replace("(", r"\(")):
        run(_protocol(RACE.replace(*change)), Effort(1.0, 1))


@x86
@pytest.mark.parametrize("placement", [ALIGNED, UNALIGNED, SPLIT])
def test_operands_lie_as_they_are_placed(placement):
    instances = Instances(_protocol(RACE), this_instruction_set(), placement)
    operand = instances.at["A"] + instances.instructions.operand
    expected = {"aligned": (True, True), "unaligned": (False, True), "split": (False, False)}[placement.name]
    assert (operand % 4 == 0, operand // 64 == (operand + 3) // 64) == expected


def test_what_the_model_allows_is_what_its_verdict_says():
    for text in (RACE, RACE.replace("store A temporary\n", "")):
        protocol = _protocol(text)
        host = load_target(NEAREST)
        may = allowed(protocol, host)
        right = all(one.right for one in outcomes(protocol, Histogram(), (may,)))
        from bench.check.protocols import moved

        document = moved(document_from(text, "test"), host)
        assert (verify(document.cases[0].protocol).verdict == "holds") == right


def test_seen_and_forbidden_is_said_in_every_form():
    protocol = _protocol(RACE)
    seen = Histogram(
        Counter({((), ("final", "temporary")): 3, ((), ("final", "final")): 7}), instances=10, seconds=1e-3
    )
    target = Allowed("here", frozenset({((), ("final", "final"))}), anything=False)
    report = RunReport(this_machine(cores()[0]), [Executed("race", protocol, seen, (target,))])
    assert report.executed[0].contradicted and report.executed[0].wrong == 3
    assert "seen, FORBIDDEN" in report.text("simple") and "SEEN AND FORBIDDEN" in report.text("simple")
    document = json.loads(rendered(report, "json"))
    assert document["executed"][0]["outcomes"][1]["here"] == "forbidden"
    assert "seen, forbidden" in rendered(report, "csv")
    text = report.text("litmus")
    assert "Histogram (2 states)" in text and "Positive: 3, Negative: 7" in text
    assert "3       *>T1: final temporary;" in text and "Observation race Sometimes 3 7" in text


def test_what_was_run_stands_beside_the_verdict(tmp_path, monkeypatch, staleline):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "race.toml").write_text(RACE)
    ran = staleline("run race.toml,unfixed --instances 500 --seconds 60 --format csv --save seen.json")
    assert ran.status == 0, ran
    saved = json.loads((tmp_path / "seen.json").read_text())
    jsonschema.validate(saved, SCHEMA)
    assert [one["name"] for one in saved["executed"]] == ["race", "unfixed, user"]
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


@x86
def test_the_scenarios_of_a_site_are_run_and_what_cannot_be_is_named(tmp_path, monkeypatch, staleline):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site.toml").write_text(SITE)
    (tmp_path / "kernel.toml").write_text(RACE.replace("store A temporary", "irq-off"))
    ran = staleline("run site.toml,kernel.toml --scenario link --instances 200 --seconds 60 --format json")
    assert ran.status == 0, ran.err
    document = ran.valid
    assert document["executed"] and all(one["name"].startswith("site, link") for one in document["executed"])
    assert all(one["instances"] == 200 and not one["wrong"] for one in document["executed"])
    assert "irq-off" in document["refused"]["kernel"]
