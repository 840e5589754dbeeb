"""Sites: encodings against a disassembler, ways through a site, verdicts as published, files that are wrong."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import capstone
import pytest
from conftest import Staleline
from written import site, site_verdict

from bench.check.sites import verify_site
from bench.hosts import load_target
from bench.protocols.document import read_protocol
from bench.protocols.verification import verify
from bench.sites.instructions import INSTRUCTION_SETS
from bench.sites.paths import at_rest, paths
from bench.sites.reader import library, load_site
from bench.sites.scenarios import trials
from bench.sites.site import NEAR, STUB
from bench.sites.wording import disassembled
from bench.support import kept
from bench.support.errors import InputError
from strategies import linking

MINIMAL = """
isa = "aarch64"

[targets]
stub = 4
near = 0x1000

[words]
exit = { at = 0, stub = 0x14000001, near = 0x14000400 }

[does]
link = "store exit; flush exit"
unlink = "store exit; flush exit"
"""


# --------------------------------------------------------------------------------------------------- encodings

BRANCHES = {
    "aarch64": (capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM, ["14000400", "17fffffe", "94000003", "58000210"]),
    "arm": (capstone.CS_ARCH_ARM, capstone.CS_MODE_ARM, ["ea0003fe", "eaffffff"]),
    "riscv64": (capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV64, ["0000106f", "ffdff06f", "7fe0006f"]),
    "mips": (capstone.CS_ARCH_MIPS, capstone.CS_MODE_MIPS32 | capstone.CS_MODE_BIG_ENDIAN, ["08000400"]),
    "ppc": (capstone.CS_ARCH_PPC, capstone.CS_MODE_32 | capstone.CS_MODE_BIG_ENDIAN, ["48001000", "4bfffff8"]),
    "sparc": (capstone.CS_ARCH_SPARC, capstone.CS_MODE_BIG_ENDIAN | capstone.CS_MODE_V9, ["40000400", "10800400"]),
    "x86": (capstone.CS_ARCH_X86, capstone.CS_MODE_64, ["e9fb0f0000", "e9fbffffff", "eb10"]),
    "s390x": (capstone.CS_ARCH_SYSZ, capstone.CS_MODE_BIG_ENDIAN, ["c0f400000800", "c0f4fffffffe"]),
}


@pytest.mark.parametrize("isa", BRANCHES)
def test_a_branch_leads_where_a_disassembler_says(isa: str) -> None:
    architecture, mode, encodings = BRANCHES[isa]
    known, at = INSTRUCTION_SETS[isa], 0x2000
    for text in encodings:
        code = bytes.fromhex(text)
        if known.byteorder == "little" and len(code) == 4:
            code = code[::-1]
        effect = known.effect(code, at)
        (found,) = capstone.Cs(architecture, mode).disasm_lite(code, at, 1)
        number = int(re.search(r"(-?)(?:0x)?([0-9a-f]+)\)?$", found[3]).group(2), 16)
        number *= -1 if "-" in found[3] else 1
        reached = effect.to if effect.to is not None else effect.sets[0][1].plus
        assert reached == number + (at if isa == "riscv64" else 0), found  # of RISC-V it prints the distance
        assert effect.length == found[1]


@pytest.mark.parametrize("name", library())
def test_each_state_of_a_shipped_site_leads_to_its_target(name: str) -> None:
    """A field of an encoding that is off by a bit leads elsewhere."""
    one = load_site(name)
    for state in one.states:
        path = at_rest(one, state)
        never = one.form in ("no-link", "patch-or")  # which was a bug
        assert path.arrives == (STUB if never else state), (state, path.outcome)


def test_a_conditional_branch_is_the_exit_unless_what_it_tests_is_known() -> None:
    """The side exit of a LuaJIT trace on arm64, and a flag that is tested."""
    trace = site(MINIMAL.replace("0x14000001", "0x54000020").replace("0x14000400", "0x54008000"))
    assert [at_rest(trace, state).arrives for state in trace.states] == [STUB, NEAR]
    flag = load_site("flag-aarch64")
    assert [path.target for path in paths(flag, {"flag": (STUB, NEAR), "exit": (NEAR,)})] == [STUB, NEAR]
    for branch in ("b4000050", "b5000050", "54000040", "36080040"):
        code = bytes.fromhex(branch)[::-1]
        (found,) = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM).disasm_lite(code, 0x40)
        assert INSTRUCTION_SETS["aarch64"].effect(code, 0x40).to == int(found[3].rpartition("#")[2], 16)


UNDEFINED = {
    "aarch64": (
        capstone.CS_ARCH_ARM64,
        capstone.CS_MODE_ARM,
        "00000000",
        "1f2003d5 5f2403d5 9f3b03d5 200000f9 800700a9",
    ),
    "x86": (
        capstone.CS_ARCH_X86,
        capstone.CS_MODE_64,
        "0f0b",
        "90 6690 0f1f00 0f1f4000 0f1f440000 660f1f440000 0f1f8000000000 0f1f840000000000 660f1f840000000000",
    ),
    "s390x": (capstone.CS_ARCH_SYSZ, capstone.CS_MODE_BIG_ENDIAN, "0000", "0700 c00400000000"),
}


@pytest.mark.parametrize("isa", UNDEFINED)
def test_what_only_goes_on_is_as_long_as_a_disassembler_says_and_nothing_else_goes_on(isa: str) -> None:
    architecture, mode, undefined, passed = UNDEFINED[isa]
    effect = INSTRUCTION_SETS[isa].effect
    assert effect(bytes.fromhex(undefined), 0).unread and not effect(bytes.fromhex(undefined), 0).goes_on
    for code in map(bytes.fromhex, passed.split()):
        (found,) = capstone.Cs(architecture, mode).disasm_lite(code, 0, 1)
        assert effect(code, 0).goes_on and effect(code, 0).length == found[1] == len(code), found


def test_an_encoding_that_is_not_read_leads_nowhere() -> None:
    """In a state the file is refused; in a temporary value, or a mixture, it is an end."""
    text = MINIMAL.replace("aarch64", "x86").replace("stub = 0x14000001", "trap = 'TRAP', stub = 'e9 ff ff ff ff'")
    text = text.replace("near = 0x14000400", "near = 'e9 fb 0f 00 00'")
    for undefined, shown in (("0f 0b 90 90 90", "ud2"), ("06 90 90 90 90", "06"), ("0f a2 90 90 90", "cpuid")):
        with pytest.raises(
            InputError, match=rf"in state near, {shown}: leads nowhere, since that is no branch"
        ) as error:
            site(text.replace("e9 fb 0f 00 00", undefined).replace("TRAP", "cc 90 90 90 90"))
        assert len(str(error.value).splitlines()) == 1
        (path,) = paths(site(text.replace("TRAP", undefined)), {"exit": ("trap",)})
        assert path.arrives is path.target is None and "leads nowhere" in path.outcome


def test_halves_of_two_addresses_lead_nowhere() -> None:
    pair = load_site("patch-pair-aarch64")
    mixed = paths(pair, {"first": ("far",), "second": ("far", "far2")})
    assert [path.outcome for path in mixed] == ["leads to far", "leads to 0x20000020, which is no target"]
    assert disassembled(pair, pair.word("second").values["far"], 4) == "add x30, x30, #0x10"


# ---------------------------------------------------------------------------------------------------- verdicts


def test_a_patched_branch_holds_and_needs_synchronisation_only_where_it_is_taken_away() -> None:
    assert not site_verdict("patch-flush-aarch64", "cortex-a72", "link").synchronised
    unlinked = site_verdict("patch-flush-aarch64", "cortex-a72", "unlink")
    assert (unlinked.verdict, unlinked.synchronised, unlinked.why) == ("holds", True, "b #0x1000: leads to near")


def test_a_pair_that_one_store_replaces_fails_a_thread_between_them() -> None:
    """QEMU d59d83a1."""
    found = site_verdict("patch-pair-aarch64", "cortex-a72", "far")
    assert (found.verdict, found.failure, found.rests_on) == ("fails", "X", "caches")
    assert "adrp x30, #0x20000000; nop; br x30: leads to 0x20000000" in found.why
    assert [row.actor for row in found.rows if row.actor != "environment"] == ["linker", "executor", "executor"]


def test_several_executors_find_what_one_finds() -> None:
    (found,) = verify_site(load_site("patch-flush-aarch64"), load_target("armv8"), ["unlink"], executors=2)
    assert (found.verdict, found.synchronised) == ("holds", True)
    assert {row.actor for row in found.rows} >= {"linker", "executor"}


def test_a_scenario_that_the_site_has_no_states_for_is_none() -> None:
    found = site_verdict(site(MINIMAL), "armv8", "far")
    assert (found.verdict, found.as_expected) == ("n/a", True)


def test_a_site_that_is_exported_has_the_same_verdicts(tmp_path: Path, staleline: Staleline) -> None:
    exported = staleline("export --protocol patch-pair-aarch64 --host armv8-dic --scenario link,interrupted")
    file = tmp_path / "exported.toml"
    file.write_text(exported.out, encoding="utf-8")
    one = load_site("patch-pair-aarch64")
    tried = [
        trial
        for scenario in ("link", "interrupted")
        for trial in trials(one, load_target("armv8-dic"), scenario, synchronised=True)
    ]
    written = read_protocol(str(file)).cases
    assert [verify(case.protocol).outcome.verdict for case in written] == [
        verify(trial.protocol).outcome.verdict for trial in tried
    ]


# ------------------------------------------------------------------------------------------------- command line


def test_check_of_a_site_says_what_goes_wrong_in_its_own_words(tmp_path: Path, staleline: Staleline) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f'{MINIMAL}retire = ""\n', encoding="utf-8")
    ran = staleline(f"check {file} --host armv8,armv8-dic --scenario link,unlink,reuse")
    assert ran.status == 1
    assert "4 of 6 as expected, but not reuse on armv8, reuse on armv8-dic." in " ".join(ran.out.split())
    assert "store exit stub (b #4)" in ran.out
    assert staleline(f"check {file} --host armv8 --scenario link --format json").valid["sites"][0]["verdict"] == "holds"


@pytest.mark.parametrize(
    ("name", "host", "scenario"),
    [
        ("patch-words-ppc", "ppc-g4", "far"),
        ("thunk-547135dc-aarch64", "cortex-a72", "far"),
        ("reuse-refcount-aarch64", "cortex-a72", "reuse"),
    ],
)
def test_steps_name_the_lines_of_the_file(name: str, host: str, scenario: str) -> None:
    lines = ["", *files(linking).joinpath(f"{name}.toml").read_text(encoding="utf-8").splitlines()]
    named = 0
    for row in site_verdict(name, host, scenario).rows:
        verb, *words = re.split(r"[ :+,]+", row.what)
        if row.line and verb in ("execute", "load"):
            assert lines[row.line].split()[0] == words[0]
        elif row.line and verb in ("store", "lock", "unlock", "membarrier"):
            assert verb in lines[row.line]
            assert verb != "store" or words[0] in lines[row.line]
        elif row.line:
            assert "flush" in lines[row.line]  # what the host does for it
        named += bool(row.line)
    assert named >= 4


def test_a_kept_verdict_names_the_lines_that_the_file_has_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kept.FOLDER, str(tmp_path))
    kept._store_of.cache_clear()
    text = MINIMAL.replace("; flush exit", "")
    host = load_target("cortex-a72")
    found = []
    for comment in ("", "# one more line\n"):
        with kept.session(told=True) as reused:
            found += verify_site(site(comment + text), host, ["unlink"])
            assert ("1 of 1 verdicts on sites" in reused()) is bool(comment), reused()
    first, second = ([row.line for row in one.rows] for one in found)
    assert any(first)
    assert second == [line + bool(line) for line in first]


def test_what_is_expected_to_fail_is_no_surprise() -> None:
    failing = site(f'{MINIMAL}retire = ""\n\n[expect]\nreuse = "fails"\n')
    found = site_verdict(failing, "armv8", "reuse")
    assert (found.verdict, found.as_expected) == ("fails", True)
    assert NEAR in failing.states


def test_a_value_that_a_word_has_not_is_refused() -> None:
    with pytest.raises(InputError, match=r"line 13: does\.unlink: 'far'; expected one of stub, near"):
        site(MINIMAL.replace('unlink = "store exit;', 'unlink = "store exit far;'))
