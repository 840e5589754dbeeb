"""Verdicts on sites that could be fooled: links that do nothing, targets out of reach, values of examples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Staleline
from written import protocol, site, site_verdict

from bench.check.sites import runs
from bench.hosts import load_target
from bench.protocols.document import read_protocol
from bench.protocols.host import protocol_host
from bench.protocols.verification import on, verify
from bench.sites.completion import completed
from bench.sites.paths import at_rest
from bench.sites.reader import library, load_site
from bench.sites.scenarios import Trial, trials
from bench.support.errors import InputError

TABLE = """
isa = "aarch64"

[targets]
stub = 0x800
near = 0x1000
near2 = 0x2000
far = 0x20000000
far2 = 0x30000000

[words]
entry = { at = 0, stub = 0x14000200, near = 0x14000400, near2 = 0x14000800, far = 0x14000004, far2 = 0x14000004 }
load = { at = 16, always = 0x58000050 }
jump = { at = 20, always = 0xd61f0200 }

[slots]
quad = 24

[does]
link = "store quad; store entry; flush entry"
unlink = "store quad; store entry; flush entry"
"""
"""An entry of a jump table: a branch to the target, or to a load of its address."""

LINK = '\nlink = "store quad; store entry; flush entry"'


# ---------------------------------------------------------------------------------------- links that do nothing

IDLE = {
    "nothing": ('link = ""', ("link", "relink", "far", "publish", "twice")),
    "the stub again": ('link = "store entry stub; flush entry"', ("link", "relink", "far", "publish", "twice")),
    "linked and unlinked": ('link = "store entry; store entry stub; flush entry"', ("link", "relink")),
    "no slot": ('link = "store entry; flush entry"', ("far",)),
}


@pytest.mark.parametrize("idle", IDLE)
def test_a_link_that_does_nothing_fails(idle: str) -> None:
    """Whoever executes the site is right to take the stub, but for ever it is no link."""
    link, scenarios = IDLE[idle]
    for scenario in scenarios:
        found = site_verdict(site(TABLE.replace(LINK, f"\n{link}")), "cortex-a72", scenario)
        assert (found.verdict, found.failure) == ("fails", "never linked"), scenario
        assert "leads to stub" in found.why


def test_a_breakpoint_that_stays_is_no_link() -> None:
    text = TABLE.replace("[words]", "trap = 0x3000\n\n[words]").replace("stub = 0x14", "brk = 0xd4200000, stub = 0x14")
    found = site_verdict(site(text.replace(LINK, '\nlink = "store entry brk; flush entry"')), "cortex-a72", "link")
    assert (found.failure, found.why.partition(":")[0]) == ("never linked", "brk #0")


def test_an_unlink_that_does_nothing_leaves_the_old_target() -> None:
    text = TABLE.replace('unlink = "store quad; store entry; flush entry"', 'unlink = ""')
    assert site_verdict(site(text), "cortex-a72", "unlink").failure == "U2"


def reaches(trial: Trial) -> bool:
    """Whether the search finds a last execution of the site that arrives at what it is linked to."""
    old = {"link": "stub", "far": "stub"}[trial.scenario]
    reached = [path for path in trial.runs[-1].execution.paths if path.arrives == old]
    number = len(trial.protocol.threads) - 1
    executor = trial.protocol.threads[number]
    assert executor.allowed is not None
    first = [path.values for path in trial.runs[0].execution.paths]
    only = tuple((*before, *path.values) for before in first for path in reached)
    threads = (*trial.protocol.threads[:number], replace(executor, allowed=only))
    return verify(replace(trial.protocol, threads=threads)).verdict == "fails"


@pytest.mark.parametrize("name", ["patch-flush-aarch64", "patch-unflushed-aarch64", "thunk-aarch64", "mask-flip-s390x"])
def test_what_is_linked_in_the_end_can_be_reached_by_a_search(name: str) -> None:
    """That memory has it in the end is no less than that some execution comes to it."""
    one = load_site(name)
    host = load_target("z10" if one.isa == "s390x" else "cortex-a72")
    idle = replace(one, does=replace(one.does, link=()))
    for scenario in ("link", "far"):
        for which, reached in ((one, True), (idle, False)):
            for trial in trials(which, host, scenario, synchronised=True)[:1]:
                assert (trial.never is None) is reached
                assert reaches(trial) is reached


def test_no_site_of_the_library_is_never_linked_but_one() -> None:
    never = set()
    for name in library():
        for trial in trials(load_site(name), load_target("armv8"), "link", synchronised=False):
            never |= {name} if trial.never is not None else set()
    assert never == {"patch-or-arm"} | {name for name in library() if name.startswith("no-link")}


# ------------------------------------------------------------------------------------------------ fresh targets


def test_new_code_out_of_reach_is_fetched_anew_by_whoever_synchronises() -> None:
    synchronised = site(TABLE.replace('unlink = "', 'publish = "flush code; membarrier"\nunlink = "'))
    tried = trials(synchronised, load_target("cortex-a72"), "publish", synchronised=False)
    assert [verify(trial.protocol).verdict for trial in tried if trial.of == "far to new code at far2"] == ["holds"]


def test_a_relink_to_new_code_is_ordered_by_the_word_that_is_patched() -> None:
    """Where the word stays and its slot alone changes, nothing orders the fetch of the target with the load of it."""
    tried = trials(site(TABLE), load_target("cortex-a72"), "publish", synchronised=False)
    found = {trial.of: verify(trial.protocol).verdict for trial in tried}
    assert found == {
        "stub to new code at near": "holds",
        "near to new code at near2": "holds",
        "stub to new code at far": "holds",
        "near to new code at far": "holds",
        "far to new code at near": "fails",
        "far to new code at far2": "fails",
    }


# --------------------------------------------------------------------------------------------------- breakpoints

INT3 = """
isa = "x86"

[targets]
stub = 0x800
near = 0x12000
near2 = 0x14000
trap = 0x3000

[words]
op = { at = 61, stub = "e9", near = "e9", near2 = "e9", trap = "cc" }
disp = { at = 62, stub = "be 07 00 00", near = "be 1f 01 00", near2 = "be 3f 01 00" }

[does]
link = "store op trap; membarrier; store disp; membarrier; store op; membarrier"
unlink = "store op trap; membarrier; store disp; membarrier; store op; membarrier"
"""
"""A displacement in two lines, and in two quadwords, behind a breakpoint while it is written."""


@pytest.mark.parametrize("host", ["x86-skylake", "x86-amd"])
def test_what_lies_behind_a_breakpoint_is_not_executed(host: str) -> None:
    assert site_verdict(site(INT3), host, "link").verdict == "holds"
    assert site_verdict(site(INT3.replace("store op trap; membarrier; ", "")), host, "link").failure == "X"


def test_a_breakpoint_allows_any_value_behind_it_in_a_protocol() -> None:
    for host in ("x86-skylake", "x86-amd"):
        moved = on(protocol(PROTOCOL), protocol_host(load_target(host)))
        assert verify(moved).verdict == "holds"


PROTOCOL = """
isa = "x86"
layout = { op = 61, tail = 62 }
init = { op = "int3", tail = "old" }
instructions = { int3 = "cc", jmp = "e9", old = "be070000", new = "be1f0100" }
flags = { done = 0 }
allowed = { executor = ["int3 *", "jmp new"] }
threads.linker = { core = 0, does = "store tail new\\nmembarrier\\nstore op jmp" }
threads.executor = { core = 1, does = "execute op+tail" }
"""


# ---------------------------------------------------------------------------------------------- values of examples

UNALIGNED = """
isa = "x86"

[targets]
stub = 0x800
near = 0x1000
near2 = 0x2000

[words]
op = { at = 61, always = "e9" }
disp = { at = 62, stub = "be 07 00 00", near = "be 0f 00 00", near2 = "be 1f 00 00" }

[does]
link = "store disp"
unlink = "store disp"
"""
"""Targets so near that the displacements differ in one of the two lines alone."""


@pytest.mark.parametrize("host", ["x86-skylake", "x86-amd"])
def test_addresses_of_an_example_do_not_decide(host: str) -> None:
    for scenario in ("link", "unlink", "relink"):
        found = site_verdict(site(UNALIGNED), host, scenario)
        assert found.failure == "X", scenario
        assert "(with near at 0x" in found.why


def test_what_is_completed_differs_in_every_part_and_leads_to_its_targets() -> None:
    of = completed(site(UNALIGNED), load_target("x86-skylake"))
    held = [of.word("disp").values[state] for state in of.states]
    assert [len({value[part] for value in held}) for part in (slice(0, 2), slice(2, 4))] == [3, 3]
    assert [at_rest(of, state).arrives for state in of.states] == [*of.states]
    for value, at in zip(held, of.targets.values(), strict=True):
        assert int.from_bytes(value, "little") + 66 == at


@pytest.mark.parametrize("name", ["mask-flip-s390x", "aligned-disp-x86", "patch-flush-aarch64", "word-or-slot-aarch64"])
def test_what_is_not_torn_or_differs_by_design_stays(name: str) -> None:
    one = load_site(name)
    for host in ("s390", "x86-amd", "armv8"):
        if runs(one, load_target(host)):
            assert completed(one, load_target(host)).words == one.words


# ------------------------------------------------------------------------------------- what is written, and refused

POLLED = """
isa = "aarch64"
host = "cortex-a72"
layout = { code = 0 }
init = { code = "old" }
allowed = { executor = ["new"] }
flags = { go = 0 }
threads.linker = { core = 0, does = "stop-others\\nset go 1\\nstore code new\\ndsb\\nclean code\\ndsb\\n\
invalidate code\\ndsb\\nRESUME" }
threads.executor = { core = 1, does = "wait go 1\\npoll-stop\\nexecute code" }
"""


@pytest.mark.parametrize(
    ("resume", "expected"), [("resume-others", "holds"), ("resume-others unsynchronised", "fails")]
)
def test_a_poll_in_a_loop_synchronises_nothing(resume: str, expected: str) -> None:
    assert verify(protocol(POLLED.replace("RESUME", resume))).verdict == expected


def test_an_instruction_of_several_words_is_decoded_together() -> None:
    """The displacement in two words, patched one after the other: a mixture."""
    text = (
        INT3.replace("at = 61", "at = 3")
        .replace("disp = { at = 62", "low = { at = 4")
        .replace(
            'stub = "be 07 00 00", near = "be 1f 01 00", near2 = "be 3f 01 00" }',
            'stub = "f8 07", near = "f8 1f", near2 = "f8 3f" }\n'
            'high = { at = 6, stub = "00 00", near = "01 00", near2 = "01 00" }',
        )
    )
    text = text.replace("store disp", "store low; store high")
    assert site_verdict(site(text), "x86-amd", "link").verdict == "holds"
    assert site_verdict(site(text.replace("store op trap; membarrier; ", "")), "x86-amd", "link").failure == "X"


def test_a_protocol_is_for_a_host_with_a_deep_store_buffer(tmp_path: Path, staleline: Staleline) -> None:
    file = tmp_path / "int3.toml"
    file.write_text(f'host = "x86-skylake"\n{PROTOCOL}', encoding="utf-8")
    assert staleline(f"check {file}").status == 0


def test_what_cannot_be_right_is_left_out_of_an_export(tmp_path: Path, staleline: Staleline) -> None:
    """The protocol of a site of which an unlink does nothing can be read."""
    mine, file = tmp_path / "mine.toml", tmp_path / "exported.toml"
    mine.write_text(TABLE.replace('unlink = "store quad; store entry; flush entry"', 'unlink = ""'), encoding="utf-8")
    file.write_text(staleline(f"export --protocol {mine} --host cortex-a72 --scenario far").out, encoding="utf-8")
    assert "# far, far to stub: left out" in file.read_text("utf-8")
    assert [case.name for case in read_protocol(str(file)).cases] == [
        "",
        "far, near to far",
        *(f"far, far to {state}" for state in ("near", "far2")),
    ]
    alone = staleline(f"export --protocol {mine} --host cortex-a72 --scenario unlink")
    assert (alone.status, "nothing that is right" in alone.err) == (2, True)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (("unlink = ", "relink = "), "a relink is unlink, then link"),
        (("unlink = ", "# "), 'its operations, or "" for none'),
    ],
)
def test_what_somebody_writes_first_is_told_how_to_write_it(changed: tuple[str, str], message: str) -> None:
    with pytest.raises(InputError) as error:
        site(TABLE.replace(*changed))
    assert message in str(error.value)


def test_an_instruction_set_goes_by_the_name_that_hosts_have_for_it() -> None:
    assert site(INT3.replace('isa = "x86"', 'isa = "x86-64"')).isa == "x86"


def test_a_site_is_no_strategy(staleline: Staleline) -> None:
    assert "`check mine.toml` takes it" in staleline("minimality mine.toml").err


def test_what_is_left_out_of_loads_is_said_beside_a_verdict(tmp_path: Path, staleline: Staleline) -> None:
    file = tmp_path / "pair.toml"
    file.write_text(LOADS, encoding="utf-8")
    said = "The loads of reader were taken in program order; that a core reorders them is left out."
    for host, shown in (("armv8", True), ("cortex-a72", True), ("s390", False)):
        ran = staleline(f"check {file} --host {host}")
        assert (said in " ".join(ran.out.split())) is shown, host
    file.write_text(LOADS.replace("load low", "load low\\nisb"), encoding="utf-8")
    assert said not in " ".join(staleline(f"check {file} --host armv8").out.split())


LOADS = """
layout = { low = 0, high = 8 }
init = { low = "old", high = "old" }
allowed = { reader = ["old old", "old new", "new new"] }
threads.writer = { core = 0, does = "store high new\\nfence\\nstore low new" }
threads.reader = { core = 1, does = "load low\\nload high" }
"""
