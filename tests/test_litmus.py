"""Litmus tests: published outcomes, herd's format, mutants of the rules, and what cannot be read."""

from __future__ import annotations

import csv
import itertools
import re
from dataclasses import replace
from pathlib import Path

import pytest
from cells import cell
from conftest import ROOT, Staleline
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.check.export import SCENARIOS, as_litmus
from bench.litmus.files import named
from bench.litmus.instructions import FORMS, UNDEFINED, UnknownInstructionError, decode, encode, instruction_text, parse
from bench.litmus.reader import read_litmus
from bench.litmus.run import LitmusResult, run
from bench.machine.architecture import ARMV8, Rules, armv8
from bench.support.errors import InputError
from bench.translators.registry import load_translator
from strategies.registry import find

SELF = """AArch64 {name}
{{
0:X0=instr:"B .+4"; 0:X1=P0:L0;
}}
 P0          ;
 STR W0,[X1] ;
{sync}
L0:          ;
 B L1        ;
 MOV W9,#1   ;
L1:          ;
 {condition}
"""
"""A thread that changes a branch and runs it: X9 stays 0 where it runs the old one."""


def result(text: str, rules: Rules = ARMV8["armv8"]) -> LitmusResult:
    return run(read_litmus(text, "test.litmus"), rules)


# ------------------------------------------------------------------------------------------------ published outcomes

LOADS = "loads are not reordered here"
DIFFERENT = {
    ("ISA2.F+dmb+cachesync+ctrl-isb", "armv8"): LOADS,
    ("MP.RF+dmb+addr-cachesync", "armv8"): LOADS,
    ("MP.RRF+dmb+addr-cachesync-isb", "armv8"): LOADS,
    ("WRC.R.RF+addr+addr-cachesync-isb", "armv8"): LOADS,
    ("MP.FF+cachesyncstrong+fpo", "armv8"): "DC CIVAC cleans to the point of coherency, and so to that of unification",
    ("MP.RF+dc-dsb-ic-dsbnsh+ctrl-isb", "armv8"): "DSB NSH does not wait for what IC does to other cores",
    ("MP.RF+dc-dsb-ic-dsbnsh+ctrl-isb", "armv8-idc"): "DSB NSH does not wait for what IC does to other cores",
}
"""Where the expected outcome is another, and why; docs/litmus.md says the same."""

COLUMNS = {"armv8": "expected_default", "armv8-idc": "outcome_IDC1", "armv8-dic": "outcome_DIC1"}


@pytest.mark.parametrize("host", COLUMNS)
def test_published_tests_have_their_published_outcomes(host: str, shared: Path) -> None:
    folder = shared / "data" / "litmus"
    different = set()
    with (folder / "tests.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 66
    for row in rows:
        found = result((folder / row["file"]).read_text("utf-8"), ARMV8[host])
        if ("Allowed" if found.positive else "Forbidden") != row[COLUMNS[host]]:
            different.add((row["name"], host))
    assert different == {key for key in DIFFERENT if key[1] == host}


def test_the_docs_list_what_is_different() -> None:
    text = (ROOT / "docs" / "litmus.md").read_text("utf-8")
    assert all(f"`{name}`" in text for name, _ in DIFFERENT)


# -------------------------------------------------------------------------------------------------- the rules, by hand

FULL = " DC CVAU,X1 ; DSB ISH ; IC IVAU,X1 ; DSB ISH ; ISB ;"
WAYS = {
    "nothing": "",
    "isb": " ISB ;",
    "dsb isb": " DSB ISH ; ISB ;",
    "dc dsb isb": " DC CVAU,X1 ; DSB ISH ; ISB ;",
    "dsb ic dsb isb": " DSB ISH ; IC IVAU,X1 ; DSB ISH ; ISB ;",
    "no isb": FULL.replace(" ISB ;", ""),
    "all": FULL,
    "dc ic dsb isb": " DC CVAU,X1 ; IC IVAU,X1 ; DSB ISH ; ISB ;",
    "dmb for dsb": " DC CVAU,X1 ; DMB ISH ; IC IVAU,X1 ; DMB ISH ; ISB ;",
    "dsb for stores": " DC CVAU,X1 ; DSB ISHST ; IC IVAU,X1 ; DSB ISHST ; ISB ;",
}
STALE = {
    "armv8": {*WAYS} - {"all"},
    "armv8-idc": {*WAYS} - {"all", "dsb ic dsb isb"},
    "armv8-dic": {"nothing", "isb", "no isb", "dmb for dsb"},
}
"""How a thread can run the old branch.  With IDC an invalidation must still come after the store is visible."""


def sync_test(sync: str) -> str:
    return SELF.format(name="SYNC", sync=sync, condition="exists 0:X9=0")


@pytest.mark.parametrize("host", ARMV8)
@pytest.mark.parametrize("way", WAYS)
def test_the_old_branch_runs_unless_all_is_done_that_the_architecture_asks_for(way: str, host: str) -> None:
    assert bool(result(sync_test(WAYS[way]), ARMV8[host]).positive) == (way in STALE[host]), (way, host)


MUTANTS = {"cleans": "all", "invalidates": "all", "drops": "all", "keeps": "no isb", "stale": "isb", "ahead": "no isb"}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_of_the_rules_changes_an_outcome(mutant: str) -> None:
    mutants = replace(Rules(), **{mutant: False})
    text = sync_test(WAYS[MUTANTS[mutant]])
    if mutant == "stale":  # where a fetch sees the newest store, a barrier is enough
        text = sync_test(WAYS["dsb isb"])
    assert bool(result(text, mutants).positive) != bool(result(text).positive)


MP = """AArch64 MP
{
0:X0=instr:"NOP"; 0:X1=P1:L0; 0:X2=1; 0:X3=x; 1:X3=x;
}
 P0          | P1          ;
 %s | LDR W2,[X3] ;
 %s | CBZ W2,L2   ;
 %s | %s ;
 %s | L0: B L1    ;
 %s | B L2        ;
 STR W2,[X3] | L1: MOV W9,#1 ;
             | L2:         ;
exists 1:X2=1 /\\ 1:X9=1
"""


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_more_barriers_and_better_caches_never_allow_more(data: st.DataObject) -> None:
    writer = ["STR W0,[X1]", "DC CVAU,X1", "DSB ISH", "IC IVAU,X1", "DSB ISH"]
    kept = data.draw(st.lists(st.booleans(), min_size=4, max_size=4))
    more = [one or data.draw(st.booleans()) for one in kept]
    reader = data.draw(st.sampled_from(["ISB", "NOP"]))

    def finals(some: list[bool], host: str) -> set[tuple[object, ...]]:
        lines = [writer[0], *(one if on else "NOP" for one, on in zip(writer[1:], some, strict=True))]
        return set(result(MP % (*lines[:3], reader, *lines[3:]), ARMV8[host]).finals)

    for host in ARMV8:
        assert finals(more, host) <= finals(kept, host)
    for weak, strong in itertools.pairwise(ARMV8):
        assert finals(kept, strong) <= finals(kept, weak)


# ---------------------------------------------------------------------------------------------------------- the format


def test_the_block_is_herds(tmp_path: Path, staleline: Staleline) -> None:
    file = tmp_path / "SM.litmus"
    file.write_text(sync_test(""), encoding="utf-8")
    ran = staleline("litmus", str(file))
    assert (ran.status, ran.err) == (0, "")
    lines = ran.out.splitlines()
    states = ["States 2", "0:X9=0;", "0:X9=1;", "Ok", "Witnesses", "Positive: 1 Negative: 1"]
    seen = ["Condition exists (0:X9=0)", "Observation SYNC Sometimes 1 1"]
    assert lines[:9] == ["Test SYNC Allowed", *states, *seen]
    assert lines[9].startswith("Time SYNC 0.")
    file.write_text(sync_test(FULL), encoding="utf-8")
    assert "\nNo\nWitnesses\nPositive: 0 Negative: 1\n" in staleline("litmus", str(file)).out
    assert staleline("litmus --format json", str(file)).valid
    assert staleline("litmus", str(file), "--format", "csv").out.startswith("file,test,host,condition,ok,")
    assert "| SYNC" in staleline("litmus", str(file), "--format", "github").out


def test_the_header_chooses_and_the_option_overrides(tmp_path: Path, staleline: Staleline) -> None:
    file = tmp_path / "SM.litmus"
    text = sync_test(WAYS["dsb isb"])
    for header, never in (("", False), ("CacheType=IDC\n", False), ("CacheType=DIC IDC\n", True)):
        file.write_text(text.replace("SYNC\n", f"SYNC\n{header}"), encoding="utf-8")
        assert ("Never" in staleline("litmus", str(file)).out) is never
        assert "Never" in staleline("litmus", str(file), "--host", "armv8-dic").out
    file.write_text(text.replace("SYNC\n", "SYNC\nCacheType=L2\n"), encoding="utf-8")
    assert "CacheType=L2; expected CacheType=IDC, DIC or both" in staleline("litmus", str(file)).err


def test_kinds_are_compared(tmp_path: Path, staleline: Staleline) -> None:
    (tmp_path / "SM.litmus").write_text(sync_test(FULL), encoding="utf-8")
    (tmp_path / "@all").write_text("# all of them\nSM.litmus\n", encoding="utf-8")
    kinds = tmp_path / "kinds.txt"
    for kind, status in (("Forbidden", 0), ("Allowed", 1)):
        kinds.write_text(f"SYNC {kind}\n", encoding="utf-8")
        ran = staleline("litmus", str(tmp_path / "@all"), "--kinds", str(kinds))
        assert (ran.status, ran.err) == (status, "")
        assert f"{1 - status} of 1 tests agree (armv8;" in ran.out
    kinds.write_text("SYNC Perhaps\n", encoding="utf-8")
    assert "line 1: found 'SYNC Perhaps'" in staleline("litmus", str(tmp_path), "--kinds", str(kinds)).err


def test_all_that_a_condition_can_say() -> None:
    text = """AArch64 CONDITIONS (* and a
comment *)
{ int64_t x=5; int t[2] = {1,2}; 0:X1=x; [y]=P0:L0; 0:X3=y; uint64_t 0:X4; }
 P0          ;
 LDR X2,[X1] ;
 L0: ADR X5,L0 ;
 LDR X6,[X3] ;
 UDF #0 ;
locations [t; 0:X2;]
forall (0:X2=5 /\\ x=5 /\\ 0:X5=label:"P0:L0" /\\ 0:X6=P0:L0 /\\ (false \\/ true) /\\ ~(0:X4=1) /\\ not (t=3)
        /\\ fault(P0,UndefinedInstruction) /\\ (0:X2=4 => 0:X4=7))
"""
    found = result(text)
    assert (found.positive, found.negative) == (1, 0)


def test_a_fault_goes_on_in_its_handler() -> None:
    text = """AArch64 UDF
{ 0:X0=NOP; 0:X1=P0:L0; }
 P0      | P0.F           ;
 L0: UDF #0 | ADR X9,L0   ;
 MOV W3,#4 | MSR ELR_EL1,X9 ;
         | ADD W2,W2,#1   ;
         | STR W0,[X1]    ;
         | DC CVAU,X1     ;
         | DSB ISH        ;
         | IC IVAU,X1     ;
         | DSB ISH        ;
         | ERET           ;
forall (0:X2=1 /\\ 0:X3=4 /\\ fault(P0:L0))
"""
    assert result(text).validated


@given(st.integers(0, 2**32 - 1))
def test_a_word_is_decoded_and_encoded_alike(word: int) -> None:
    try:
        instruction = decode(word)
    except UnknownInstructionError:
        return
    assert instruction == UNDEFINED or encode(instruction) in (word, None)


def test_every_form_is_read() -> None:
    examples = (
        "NOP; MOV W1,#3; MOV X1,X2; MOVZ W1,#1; ADD X1,X2,#4; SUB W1,W2,W3; EOR X1,X1,X1; AND W1,W2,#1; ORR X1,X2,X3; "
        "CMP X1,#1; CSET W1,NE; CSEL X1,X2,XZR,EQ; LDR W0,[X1]; LDR X0,[X1,#8]; STR W0,[X1,X2]; STR W0,[X1,W2,SXTW]; "
        "LDAR W0,[X1]; LDAPR W0,[X1]; STLR W0,[X1]; ADR X0,L; B L; B.EQ L; B.HS .+8; BL L; CBZ W0,L; CBNZ X0,L; "
        "BR X1; BLR X1; RET; RET X2; DC CVAU,X1; DC CIVAC, X1; IC IVAU,X1; IC IALLU; IC IALLUIS; DMB ISHST; DSB SY; "
        "ISB; ISB SY; MSR ELR_EL1,X1; MRS X1,ELR_EL1; ERET; UDF #0"
    ).split("; ")
    assert {parse(text).name for text in examples} == {*FORMS}
    assert instruction_text(0xD503201F) == "NOP"
    assert instruction_text(0xFFFF_FFFF_FFFF_FFFF) is None  # a value of 64 bits is none
    for text in ("LDXR W0,[X1]", "MOV W1", "STR W31,[X1]", "B.XX L", "LDR W0,X1", "DC ZVA,X1", "MOV W1,#1,LSL #16"):
        with pytest.raises(UnknownInstructionError):
            parse(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((" STR W0,[X1] ;", " STXR W0,[X1] ;"), "line 6, column 2: no form 'STXR W0,[X1]'"),
        (("B L1", "B L7"), "line 9, column 2: no label 'L7' on P0; expected one of L0, L1"),
        (("0:X1=P0:L0", "0:X1=P3:L0"), "line 3, column 29: P3:L0"),
        (("AArch64", "X86"), "line 1, column 1: found 'X86'; expected a test of AArch64"),
        (("exists 0:X9=0", "exists 0:X9"), "expected '='"),
        (("exists 0:X9=0", "exists 0:X99=0"), "0:X99; expected a register X0 .. X30 of a thread"),
        (("}", ""), "an initial state that does not end; expected '}'"),
        (('instr:"B .+4"', 'instr:"FOO"'), "no instruction FOO"),
        ((" P0 ", " Q0 "), "found 'Q0'; expected P0, or P0.F"),
        (("0:X1=P0:L0", "0:X1=7"), "line 6, column 2: an access to 7"),
    ],
)
def test_what_cannot_be_read_is_named_and_the_others_are_run(
    change: tuple[str, str], message: str, tmp_path: Path, staleline: Staleline
) -> None:
    good, bad = tmp_path / "good.litmus", tmp_path / "bad.litmus"
    good.write_text(sync_test(""), encoding="utf-8")
    bad.write_text(sync_test("").replace(*change), encoding="utf-8")
    ran = staleline("litmus", str(bad), str(good))
    assert ran.status == 2
    assert ran.out.startswith("Test SYNC Allowed")
    assert (ran.err.count("\n"), str(bad) in ran.err) == (1, True)
    assert message in ran.err


@pytest.mark.parametrize("body", ["B L", "ADD W1,W1,#1 ; B L"])
def test_an_endless_loop_has_no_final_state(body: str) -> None:
    code = "".join(f" {line.strip()} ;\n" for line in ("L:", *body.split(";")))
    test = read_litmus(f"AArch64 LOOP\n{{}}\n P0 ;\n{code}exists (0:X1=5000)\n", "loop.litmus")
    with pytest.raises(InputError, match=r"loop.litmus: line 5, column 2: an endless loop"):
        run(test, Rules(), max_states=2000)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_mangled_test_is_read_or_refused(data: st.DataObject) -> None:
    text = sync_test(data.draw(st.sampled_from([*WAYS.values()])))
    at = data.draw(st.integers(0, len(text)))
    text = text[:at] + data.draw(st.text(max_size=4)) + text[at + data.draw(st.integers(0, 12)) :]
    try:
        run(read_litmus(text, "test.litmus"), Rules(), max_states=2000)
    except InputError as error:
        assert "\n" not in str(error)


# ------------------------------------------------------------------------------------------ what a check is exported as


@pytest.mark.parametrize("name", ["unfixed", "idempotent", "flush-on-retranslation", "scratch-buffer", "side-table"])
@pytest.mark.parametrize("translator", ["arm@2010", "mips@2010"])
@pytest.mark.parametrize("host", ARMV8)
def test_an_exported_retranslation_has_the_verdict_of_the_check(name: str, translator: str, host: str) -> None:
    for scenario in SCENARIOS:
        checked = cell(name, scenario, host, translator, what_if=True, retranslations=1)
        found = result(as_litmus(find(name), load_translator(translator), scenario), ARMV8[host])
        assert (found.positive > 0) == (checked.verdict == "fails"), scenario


def test_what_a_litmus_test_cannot_say_is_named(tmp_path: Path, staleline: Staleline) -> None:
    line = "export {} --translator arm --scenario system --litmus"
    ran = staleline(line.format("unfixed,global-lock"), str(tmp_path))
    file = tmp_path / "unfixed.system.arm@2010.litmus"
    assert [*tmp_path.iterdir()] == [file]
    expected = "stores, loads, maintenance and barriers, which is all that a litmus test has"
    reason = f"AcquireLock of global-lock; expected {expected}\n"
    assert (ran.status, ran.out, ran.err) == (0, f"{file}\n", f"staleline: n/a: {reason}")
    ran = staleline(line.format("global-lock"), str(tmp_path))
    assert (ran.status, ran.out, ran.err) == (2, "", f"staleline: {reason}")


ODD = {
    "{0:X1=010;}": "line 2, column 7: found '010'; expected a number, -9223372036854775808 to 18446744073709551615,",
    "{0:X1=" + "9" * 5000 + ";}": f"found '{'9' * 40}...'; expected a number",
    "{0:X1=18446744073709551616;}": "found '18446744073709551616'; expected a number",
    "{0:X1=1; 0:X1=2;}": "line 2, column 10: 0:X1 twice; expected an initial value once",
    "{x=1; x=2;}": "line 2, column 7: [x] twice; expected an initial value once",
    "{0:X1=1;} MOV W0,#4294967297": "no form 'MOV W0,#4294967297'; expected an instruction that is known",
    "{} UDF #65536": "no form 'UDF #65536'",
    "{} MOV X0,#010": "no form 'MOV X0,#010'",
    "{} NOP " + "(" * 5000 + "true" + ")" * 5000: "found '('; expected at most 100 levels of brackets",
    "{} NOP " + "~" * 5000 + "true": "found '~'; expected at most 100 levels of brackets",
    "{} NOP " + "true => " * 5000 + "true": "found 'true'; expected at most 100 levels of brackets",
    "{9:X0=1;}": "line 2, column 2: found '9'; expected a thread, 0 to 0",
}


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_a_number_that_does_not_fit_and_a_condition_too_deep_are_refused(odd: str) -> None:
    initial, _, rest = odd.partition("}")
    instruction, condition = (rest.strip() or "NOP").split()[0], "true"
    if rest.strip():
        words = rest.strip().split(" ", 1)
        instruction, condition = (words[0], words[1]) if words[0] == "NOP" else (rest.strip(), "true")
    with pytest.raises(InputError, match=re.escape(ODD[odd])):
        read_litmus(f"AArch64 t\n{initial}}}\n P0 ;\n {instruction} ;\nexists {condition}\n", "t")


def test_a_long_condition_and_a_negative_value_are_read(tmp_path: Path) -> None:
    text = "AArch64 t\n{0:X1=-1;}\n P0 ;\n NOP ;\nexists " + " /\\ ".join(["0:X1=-1"] * 5000)
    assert run(read_litmus(text, "t"), armv8("armv8")).validated


def test_lists_are_read_once_however_deep_and_empty_ones_refused(tmp_path: Path, staleline: Staleline) -> None:
    (tmp_path / "t.litmus").write_text("AArch64 t\n{}\n P0 ;\n NOP ;\nexists true\n")
    for number in range(1500):
        (tmp_path / f"@{number}").write_text(f"@{number + 1}\n@{number + 1}\n")
    (tmp_path / "@1500").write_text("t.litmus\n@1500\n")
    assert list(named([str(tmp_path / "@0")])) == [str(tmp_path / "t.litmus")]
    (tmp_path / "@none").write_text("@none\n")
    staleline("litmus", str(tmp_path / "@none")).is_refused("no tests; expected a test of AArch64")
    (tmp_path / "@null").write_bytes(b"a\0b\n")
    staleline("litmus", str(tmp_path / "@null")).is_refused("a null byte in a name")
