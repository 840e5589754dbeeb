"""Protocols: the published bugs as they were published, mutants of the machine, rules that only protocols have."""

from __future__ import annotations

import importlib.resources
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Staleline
from hypothesis import given, settings
from hypothesis import strategies as st
from written import document, protocol

from bench import known_bugs
from bench.explain.protocols import counterexample
from bench.machine import caches
from bench.machine.actions import SyncContext
from bench.machine.architecture import RULES
from bench.machine.caches import Caches, Features, HostCaches, Pending
from bench.machine.opcodes import family
from bench.machine.state import replaced
from bench.protocols.document import bug_names, load_bug
from bench.protocols.host import ProtocolHost, troubles, without
from bench.protocols.protocol import Protocol
from bench.protocols.verification import necessities, needed_features, verify
from bench.support import kept
from bench.support.errors import InputError

CASES = [(name, case.name) for name in bug_names() for case in load_bug(name).cases]


def case_of(name: str, case: str) -> Protocol:
    return next(one.protocol for one in load_bug(name).cases if one.name == case)


def on(protocol: Protocol, *left: str) -> Protocol:
    """The protocol on its host without some troubles."""
    return replace(protocol, host=without(protocol.host, left))


def verdict(text: str) -> str:
    return verify(protocol(text)).verdict


# ------------------------------------------------------------------------------------------------- published bugs


@pytest.mark.parametrize("name", bug_names())
def test_every_bug_fails_as_published_and_every_fix_holds(name: str) -> None:
    for case in load_bug(name).cases:
        assert verify(case.protocol).verdict == case.expected, case.name
        assert case.expected == "fails" or case.name != "bug"


FEATURES = {
    "noncoherent_icache": "incoherent instruction cache",
    "spontaneous_writeback": "write-back at any time",
    "speculative_fill": "speculative fill",
    "fetch_buffer": "fetched-ahead queue",
    "async_maintenance": "pending maintenance",
    "dirty_dcache": "dirty data lines",
    "store_buffer": "store buffer",
}


@pytest.fixture
def entries(shared: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((shared / "data" / "published_bugs.json").read_text("utf-8"))["entries"]
    return found


def said(operation: list[Any]) -> str:
    """An operation of the corpus, as a protocol writes it."""
    verb, *rest = operation
    match verb, rest:
        case "st_atomic", [pairs]:
            return "store " + ", ".join(f"{unit} {value}" for unit, value in pairs)
        case "exec", [unit, *skips]:
            return " ".join([f"execute {unit}", *(f"{v}:{n}" for skip in skips for v, n in skip.items())])
        case "exec_pair", [one, other]:
            return f"execute {one}+{other}"
        case (("ic_inv" | "ic_inv_all"), [*units, reach]):
            words = ["invalidate" if units else "invalidate-all", *units, *(["local"] if reach == "local" else [])]
            return " ".join(words)
    words = {"st": "store", "ld": "load", "dc_clean": "clean", "fence_i": "fence.i"}
    words["mark_stale_others"] = "defer fence.i"
    return " ".join([words.get(verb, verb.replace("_", "-")), *(str(word).replace("_i", ".i") for word in rest)])


def test_the_encodings_are_those_of_the_corpus(entries: list[dict[str, Any]]) -> None:
    for entry in entries:
        document = load_bug(entry["id"])
        model = entry["model"]
        expected = [("holds", model["fix"]), ("fails", model["bug"])]
        expected += [({"convict": "fails", "acquit": "holds"}[v["expect"]], v) for v in model.get("variants", [])]
        assert [case.expected for case in document.cases] == [verdict for verdict, _ in expected]
        assert list(document.links) == entry["links"]
        for case, (_, there) in zip(document.cases, expected, strict=True):
            threads = {thread.name: thread for thread in case.protocol.threads}
            for name, thread in there.get("threads", {}).items():
                spelled = [" ".join(one.text.replace(" , ", ", ").split()) for one in threads[name].operations]
                assert spelled == [said(one) for one in thread["ops"]], (entry["id"], case.name)
                assert threads[name].core == thread["core"]
            for name, sequences in there.get("allowed", model["allowed"]).items():
                assert threads[name].allowed == tuple(map(tuple, sequences))
            layout = there.get("layout") or model["layout"]
            assert {unit: case.protocol.addresses[unit].physical for unit in layout} == layout


RAN_BEFORE = {"felix86-2026-567"}
"""Listed with speculative fills; here a line may be in a cache from when it was executed before, which does as well."""


def test_a_bug_needs_what_was_published(entries: list[dict[str, Any]]) -> None:
    for entry in entries:
        bug = case_of(entry["id"], "bug")
        names = [FEATURES[name] for name in entry["host_features_needed_to_convict"]]
        if "incoherent instruction cache" in names:
            names.append("fetched-ahead queue")  # which the corpus has only where caches are incoherent
        if names and entry["id"] not in RAN_BEFORE:
            assert verify(on(bug, *names)).verdict == "holds", entry["id"]
        if not names and not bug.mmu_off:
            # A bug that the corpus lists without needs fails on the most coherent of hosts.
            assert verify(on(bug, *troubles(bug.host))).verdict == "fails", entry["id"]


STEPS = {"write-back at any time", "speculative fill", "fetched-ahead queue", "store buffer", "pending maintenance"}
"""Troubles without which a host does less.  Coherent caches do more: what is there for a moment gets further."""


@pytest.mark.parametrize("name", bug_names())
def test_what_holds_holds_on_a_host_that_does_less(name: str) -> None:
    for case in load_bug(name).cases:
        if case.expected == "holds":
            for trouble in STEPS & {*troubles(case.protocol.host)}:
                assert verify(on(case.protocol, trouble)).verdict == "holds", (case.name, trouble)


def test_needs_and_necessities_of_one_that_everybody_knows() -> None:
    flush, bug = load_bug("box64-2026-dsb").cases[:2]
    assert needed_features(bug.protocol) == (("incoherent instruction cache",), ("pending maintenance",))
    assert [(one.operations, bool(one.breaks)) for one in necessities(flush)] == [
        ((text,), True) for text in ("clean A", "dsb", "invalidate A", "dsb", "isb")
    ]


# -------------------------------------------------------------------------------------------- mutants of the machine


def changed(monkeypatch: pytest.MonkeyPatch, mutant: str) -> None:
    """One rule of the machine less."""
    complete, drop = HostCaches._complete, caches._drop
    match mutant:
        case "no clean":

            def completed(self: HostCaches, memory: Caches, core: int, done: Pending) -> Caches:
                if done.target >= 0:
                    return complete(self, memory, core, done)
                return memory._replace(pending=replaced(memory.pending, core, memory.pending[core] - {done}))

            monkeypatch.setattr(HostCaches, "_complete", completed)
        case "no invalidation":
            monkeypatch.setattr(caches, "_drop", lambda memory, core, line: memory)
        case "isb drops nothing":
            monkeypatch.setattr(SyncContext, "taken", lambda self, model, state, core, thread: iter([(state, 0, None)]))
        case "invalidation purges the queue":

            def dropped(memory: Caches, core: int, line: int) -> Caches:
                return drop(memory, core, line)._replace(ahead=replaced(memory.ahead, core, None))

            monkeypatch.setattr(caches, "_drop", dropped)


MUTANTS: dict[str, str | None] = {"no stale caches": "incoherent instruction cache", "no queue": "fetched-ahead queue"}
MUTANTS |= dict.fromkeys(("no clean", "no invalidation", "isb drops nothing", "invalidation purges the queue"))


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_of_the_machine_changes_a_published_verdict(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, mutant)
    trouble = MUTANTS[mutant]
    for name, case_name in CASES:
        case = next(one for one in load_bug(name).cases if one.name == case_name)
        if verify(on(case.protocol, *([trouble] if trouble else []))).verdict != case.expected:
            return
    pytest.fail(f"no published verdict depends on it: {mutant}")


# ------------------------------------------------------------------------------------------ what only protocols have

FLUSHED = """
[layout]
A = 0
{layout}
[init]
A = "old"
[host]
icache = "{icache}"
[allowed]
T0 = ["new"]
[threads.T0]
does = '''
store A new
clean A
dsb
invalidate {invalidated}
dsb
isb
execute {executed}
'''
"""


@pytest.mark.parametrize(
    ("icache", "invalidated", "expected"), [("vipt", "A", "fails"), ("vipt", "U", "holds"), ("pipt", "A", "holds")]
)
def test_an_alias_has_a_line_of_its_own_where_the_cache_is_indexed_virtually(
    icache: str, invalidated: str, expected: str
) -> None:
    layout = 'U = {at = 8192, alias = "A"}'
    text = FLUSHED.format(layout=layout, icache=icache, invalidated=invalidated, executed="U")
    assert verdict(text) == expected


TWO = r"""
host = {{fetches_ahead = {ahead}}}
layout = {{A = {first}, B = {second}}}
init = {{A = "a", B = "b"}}
allowed = {{T1 = ["a b", "c d"]}}
threads.T0 = {{core = 0, does = "store A c, B d\nclean A\nclean B\ndsb"}}
threads.T1 = {{core = 1, does = "execute A+B"}}
"""


@pytest.mark.parametrize(("first", "second", "expected"), [(0, 4, "holds"), (60, 64, "fails")])
def test_a_unit_that_crosses_a_line_is_torn(first: int, second: int, expected: str) -> None:
    text = TWO.format(first=first, second=second, ahead="false")
    assert verdict(text) == expected


SPIN = r"""
layout = {A = 0}
init = {A = "old"}
flags = {go = 0}
allowed = {T0 = ["*"]}
threads.T0 = {does = "wait go 1\nexecute A"}
"""


def test_who_waits_for_ever_is_deadlocked() -> None:
    found = verify(protocol(SPIN))
    assert (found.verdict, found.outcome.failure) == ("fails", "deadlock")
    assert [(row.actor, row.what) for row in counterexample(found)][-1] == ("T0", "waits for ever: wait go 1")


LOCKS = r"""
layout = {{A = 0}}
init = {{A = "old"}}
allowed = {{T0 = ["one"], T1 = ["two"]}}
threads.T0 = {{core = 0, does = "{lock}\nstore A one\nload A\n{unlock}"}}
threads.T1 = {{core = {core}, does = "{lock}\nstore A two\nload A\n{unlock}"}}
"""


@pytest.mark.parametrize("core", [0, 1])
def test_a_lock_keeps_others_out_on_one_core_and_on_two(core: int) -> None:
    assert verdict(LOCKS.format(lock="lock m", unlock="unlock m", core=core)) == "holds"
    assert verdict(LOCKS.format(lock="", unlock="", core=core)) == "fails"


def test_a_search_cut_short_is_bounded() -> None:
    assert verify(case_of("mono-2016-biglittle", ""), max_states=20).verdict == "bounded"


# ------------------------------------------------------------------------------------------------- the command line

MINE = FLUSHED.format(layout="", icache="pipt", invalidated="A", executed="A")


def test_a_protocol_of_ones_own_is_checked(tmp_path: Path, staleline: Staleline) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(MINE, encoding="utf-8")
    assert protocol(MINE).host == ProtocolHost()
    ran = staleline("check", str(file))
    assert ran.status == 0
    assert ran.out.startswith("mine\n\nas written: holds (")
    file.write_text(MINE.replace("isb\n", ""), encoding="utf-8")
    ran = staleline("check", str(file))
    assert (ran.status, "execute A: old (wrong)" in ran.out) == (1, True)
    # Where nothing is fetched ahead it holds; what has no such operations is not asked.
    assert staleline("check", str(file), "--host", "cortex-a72", "--set", "fetches_ahead=false").status == 0
    assert staleline("check", str(file), "--host", "cortex-a72").status == 1
    refused = "mine on x86-skylake, line 14: 'clean A', which x86 does not have; expected nothing: caches are coherent"
    staleline("check", str(file), "--host", "x86-skylake").is_refused(refused)
    for words in (["check", str(file)], ["bugs", "qemu-2011-arm-retrans"]):
        assert staleline(*words, "--format", "json").valid
        assert staleline(*words, "--format", "csv").out.startswith("name,case,verdict,expected,")


def test_a_case_leaves_out_a_thread_and_has_an_architecture_or_a_cold_cache() -> None:
    text = """
layout = {A = 0}
init = {A = "old"}
host = {fetches_ahead = false, prefetches = false}
allowed = {T0 = ["new"], T1 = ["*"]}
threads.T0 = {core = 0, does = "store A new\\nclean A\\ndsb\\nexecute A"}
threads.T1 = {core = 1, does = "execute A"}
cases = [
  {name = "cold", instruction_cache = "cold", without = ["T1"]},
  {name = "cold, in the end", of = "cold", threads = {T0 = {core = 0, does = "store A new\\nexecute A"}}},
  {name = "on power", of = "cold", host = "power"},
]
"""
    found = document(text).cases
    assert [len(case.protocol.threads) for case in found] == [2, 1, 1, 1]
    assert [verify(case.protocol).verdict for case in found] == ["fails", "holds", "fails", "fails"]
    assert found[3].protocol.host.rules == RULES["power"]
    assert [case.own_host for case in found] == [False, False, False, True]


SPELLED = {
    "DC CVAU A": "clean A",
    "dcbst A": "clean A",
    "ic ivau A": "invalidate A",
    "icbi A": "invalidate A",
    "IC IALLUIS": "invalidate-all",
    "ic iallu": "invalidate-all local",
    "DSB ISH": "dsb",
    "sync": "dsb",
    "dmb ishst": "fence",
    "ISB": "isb",
    "isync": "isb",
    "fence i": "fence.i",
}


@pytest.mark.parametrize("spelling", SPELLED)
def test_the_spellings_of_assemblers_are_accepted(spelling: str) -> None:
    def read(text: str) -> Any:
        return protocol(MINE.replace("clean A", text)).threads[0].operations[1]

    assert replace(read(spelling), text="") == replace(read(SPELLED[spelling]), text="")


def test_an_answer_counts_its_cases_names_lines_and_marks_cases_about_another_host(
    tmp_path: Path, staleline: Staleline
) -> None:
    file = tmp_path / "mine.toml"
    other = '\n[[cases]]\nname = "coherent"\n[cases.host]\nfill = "coherent"\nsnoop = "all"\n'
    file.write_text(MINE + other, encoding="utf-8")
    ran = staleline("check", str(file))
    assert "T0: clean A, dsb (line 15), invalidate A, dsb (line 17), isb." in ran.out
    assert "2 of 2 as expected." in ran.out
    file.write_text(
        MINE.replace("isb\n", "")
        + other.replace("[cases.host]", 'expect = "holds"\n[cases.host]\nfetches_ahead = false')
    )
    ran = staleline("check", str(file))
    assert (ran.status, "1 of 2 as expected, but not" in ran.out) == (1, True)
    file.write_text(MINE + other.replace("[cases.host]", 'expect = "fails"\n[cases.host]'), encoding="utf-8")
    ran = staleline("check", str(file), "--host", "cortex-a72")
    assert ran.status == 0
    assert "coherent: holds, of which nothing is expected: the case is about another host (" in ran.out


def test_cases_by_hosts_with_what_each_line_costs(tmp_path: Path, staleline: Staleline) -> None:
    file = tmp_path / "mine.toml"
    alone = 'does = """\nstore A new\nexecute A\n"""'
    other = f'\n[[cases]]\nname = "alone"\nexpect = "fails"\n[cases.threads.T0]\n{alone}\n'
    file.write_text(f'isa = "aarch64"\n{MINE}{other}', encoding="utf-8")
    lines = ["", *file.read_text("utf-8").splitlines()]
    ran = staleline(f"compare {file} --host cortex-a72,armv8 --parameter barrier=70")
    rows = [line.split() for line in ran.out.splitlines() if line]
    assert (ran.status, ["alone", "fails", "fails"] in rows) == (0, True)
    assert "4 of 4 as expected." in ran.out
    wrong = {row[1] for row in rows if "(wrong)" in row}
    assert {lines[int(number)] for number in wrong} == {"execute A"}
    priced = {lines[int(row[0])]: row[-1] for row in rows if row[0].isdigit() and row[1] == "T0"}
    assert (priced["dsb"], priced["isb"], priced["store A new"]) == ("70", "70", "(0.5..2)")


def test_who_is_moved_to_a_busy_core_is_told_by_whom() -> None:
    text = SPIN.replace("wait go 1", "migrate 1").replace("threads.T0 = {", "threads.T0 = {core = 0, ")
    text += 'threads.T1 = {core = 1, does = "wait go 1"}\n'
    rows = counterexample(verify(protocol(text)))
    assert [row.what for row in rows][-2:] == [
        "waits for ever: migrate 1 (core 1 runs T1)",
        "waits for ever: wait go 1",
    ]


def test_a_line_more_in_the_file_is_no_other_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kept.FOLDER, str(tmp_path / "kept"))
    kept._store_of.cache_clear()
    lines = []
    for comment in ("", "# one more line\n"):
        with kept.session(told=True) as reused:
            found = verify(protocol(comment + MINE.replace("isb\n", "")))
            assert reused() == f"reused {len(comment) and 1} of 1 verdicts of protocols"
        lines.append([row.line for row in counterexample(found)])
    assert any(lines[0])
    assert lines[1] == [line + bool(line) for line in lines[0]]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_mangled_protocol_is_read_or_refused(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(bug_names()))
    text = (importlib.resources.files(known_bugs) / f"{name}.toml").read_text("utf-8")
    at = data.draw(st.integers(0, len(text)))
    text = text[:at] + data.draw(st.text(max_size=5)) + text[at + data.draw(st.integers(0, 40)) :]
    try:
        document(text)
    except InputError as error:
        assert "\n" not in str(error)


# --------------------------------------------------------------------------------------------------- on an architecture


LESS = {
    ("box64-2026-dsb", "where maintenance completes at once"): "the host says when",
    ("qemu-2011-arm-retrans", "where no line is written back by itself"): "the host keeps what is temporary to itself",
    ("qemu-2011-arm-retrans", "on a coherent host"): "the host fetches nothing ahead",
    ("felix86-2026-567", ""): "two instructions are kept together by their line, and by nothing in the architecture",
    ("fex-2025-delink16", ""): "a load is not on the list of what may change while it is executed",
    (
        "fex-2025-delink16",
        "the literal first, and then one word of code",
    ): "the same; the stores have no barrier between",
    ("qemu-2022-aarch64-goto_tb", ""): "a load is not on the list",
    ("qemu-2022-aarch64-goto_tb", "the fix, on a host that fetches ahead"): "a load is not on the list",
    ("qemu-2016-x86-unaligned", ""): "Intel's manual defines no change that is not serialised",
    ("qemu-2016-s390-unaligned", ""): "more than one byte changes",
    ("qemu-2022-ppc64-quad", ""): "mtctr is not of the patch class",
    ("qemu-2023-ppc64-preload", "the target makes its own base register"): "mtctr is not of the patch class",
    (
        "fex-2025-far-unlink",
        "another thread runs the exit meanwhile, as its caches have it",
    ): "a load is not on the list",
    ("dalvik-2010-2675245", ""): "half of a BL is on no list that is cited here",
    ("rvvm-2024-linkpatch", "no zero and no flush: either will do"): "the first instruction of the stub is not known",
}
"""Cases that hold on their host, but on an architecture do not, and why."""

ARCHITECTURE = {"aarch64": "armv8", "arm": "armv8", "thumb": "armv8", "ppc": "power", "x86": "x86-intel"}
"""Those of instruction sets; the others have the name of theirs."""


@pytest.mark.parametrize("name", [name for name in bug_names() if family(load_bug(name).isa)])
def test_a_bug_fails_on_its_architecture_and_a_fix_is_guaranteed(name: str) -> None:
    document = load_bug(name)
    isa = family(document.isa)
    architecture = ARCHITECTURE.get(isa, isa)
    for case in document.cases:
        host = "armv8-dic" if "coherent host" in case.name else architecture
        asked = case.protocol.host
        if not isinstance(asked.rules, Features):
            continue  # it has an architecture of its own
        rules = replace(RULES[host], ahead=asked.rules.fetches_ahead)
        protocol = replace(case.protocol, host=replace(asked, rules=rules))
        found = verify(protocol)
        assert (found.verdict == case.expected) == ((name, case.name) not in LESS), case.name
        assert counterexample(found) or case.expected == "holds"
