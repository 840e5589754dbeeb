"""The emitted code, executed: an independent check of the encodings, of the ways followed, and of what goes wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from conftest import Staleline

from bench.autopsy import execution as emulated
from bench.autopsy.execution import GUEST_ADDRESS, LOADED, STORED, AccessPath, Executed, access_paths, execute
from bench.autopsy.processor import executable
from bench.support.errors import InputError
from bench.translators.backend import Backend
from bench.translators.registry import load_translator, translator_names
from bench.translators.translator import ACCESSES, Access, Code, GuestBits
from strategies.writes import Form

pytest.importorskip("unicorn", reason="Unicorn is not installed: staleline[autopsy]")

EXECUTED = [name for name in translator_names() if executable(load_translator(name))]


def backend(name: str) -> Backend:
    found = load_translator(name)
    assert isinstance(found, Backend)
    return found


def blocks(name: str) -> Iterator[tuple[Access, Code]]:
    """Every shape of block that a backend has."""
    widths: tuple[GuestBits, ...] = (32, 64) if backend(name).wide_guest else (32,)
    for access in ACCESSES:
        for guest_bits in widths:
            for guarded in (False, True):
                yield access, backend(name).block(0, (access,), guarded=guarded, guest_bits=guest_bits)


def annulled(code: Code, way: AccessPath) -> set[int]:
    """Delay slots that are fetched, and annulled: the emulator does not count them as executed."""
    slots = {item.offset + item.instruction.size for item in code.placed if item.instruction.delay_slot}
    only = {item.offset: item.instruction.only for item in code.placed if item.offset in slots}
    return {offset for offset, fact in only.items() if fact not in ("always", *way.facts)}


def run(name: str, access: Access, way: str, *, temporary: int = 0) -> tuple[Executed, int]:
    """Execute the block with its temporary branch number ``temporary``; also the offset of that branch."""
    translator = backend(name)
    code = translator.block(0, (access,))
    begun = [w for w in code.retranslated.writes if w.form is Form.WHOLE and not w.complete][temporary]
    (chosen,) = (one for one in access_paths(translator, code) if one.name == way)
    wrong = {begun.unit.offset: begun.value | begun.temporary}
    return execute(translator, code, emulated.image_of(translator, code, wrong), access, chosen), begun.unit.offset


def test_every_backend_that_unicorn_executes_is_executed() -> None:
    left_out = {load_translator(name).isa for name in translator_names()} - {load_translator(n).isa for n in EXECUTED}
    assert left_out == {"hppa", "ia64", "ppc64"}  # Unicorn has no hppa and no ia64, and no 64-bit mode of PowerPC


@pytest.mark.parametrize("name", EXECUTED)
def test_the_complete_code_does_what_a_guest_access_does(name: str) -> None:
    """Loads what lies there, stores what is to be stored, tells the helper what it needs; by the ways followed."""
    translator = backend(name)
    for access, code in blocks(name):
        for way in access_paths(translator, code):
            found = execute(translator, code, emulated.image_of(translator, code), access, way)
            assert found.ended == "exit", (access, way, found)
            flow = translator.follower(code).follow([way.facts])
            assert found.offsets == tuple(at for at in flow.offsets if at not in annulled(code, way)), (access, way)
            assert [call.offset for call in found.calls] == [call.offset for call in flow.calls]
            assert all(call.address == GUEST_ADDRESS for call in found.calls)
            assert len(found.calls) == (way.name == "miss")
            if way.name == "skip":
                assert found.page == LOADED
            elif access == "load":
                assert (found.result, found.page) == (LOADED, LOADED)
            else:
                assert found.page == STORED


@pytest.mark.parametrize("access", ACCESSES)
@pytest.mark.parametrize("name", ["arm@2010", "mips@2010"])
def test_the_symptom_of_arm_and_mips_is_a_guest_fault_at_a_host_pointer(name: str, access: Access) -> None:
    found, branch = run(name, access, "hit")
    assert found.ended == "guest fault"
    (call,) = found.calls
    assert emulated.STATE <= call.address < emulated.STATE + emulated.STATE_SIZE
    assert call.address != GUEST_ADDRESS
    if name == "arm@2010":
        assert branch + 4 not in found.offsets  # mov r0, address
        assert found.offsets[-2 if access == "load" else -3] == branch + 8
    else:
        assert call.offset > backend(name).block(0, (access,)).size  # in another block of the buffer
        assert not any(offset == call.offset - 20 for offset in found.offsets)  # past its move a0, address


@pytest.mark.parametrize("access", ACCESSES)
def test_on_a_miss_arms_stale_branch_does_no_harm(access: Access) -> None:
    found, _ = run("arm@2010", access, "miss")
    assert found.ended == "exit"
    assert (found.result if access == "load" else found.page) == (LOADED if access == "load" else STORED)


@pytest.mark.parametrize(
    ("name", "way", "temporary", "ended"),
    [
        *(("ppc@2010", "hit", 0, "loop"), ("ppc@2010", "miss", 1, "loop")),
        *(("s390x@2010", "hit", 0, "loop"), ("s390x@2014", "miss", 0, "loop"), ("sparc@2012", "hit", 0, "loop")),
        *(("sparc@2010", *way, "illegal instruction") for way in (("hit", 0), ("miss", 0), ("miss", 1))),
    ],
)
def test_other_backends_loop_or_trap(name: str, way: str, temporary: int, ended: str) -> None:
    found, branch = run(name, "load", way, temporary=temporary)
    assert found.ended == ended
    assert found.at in (branch, branch + 4)  # a delay slot belongs to the loop


def test_what_is_followed_ends_as_what_is_executed() -> None:
    """The words of ``bench/translators/consequence.py`` against the processor, for every temporary value."""
    same = {"exit": "exit", "loop": "loop", "illegal instruction": "illegal", "guest fault": "exit"}
    compared = 0
    for name in EXECUTED:
        translator = backend(name)
        for access, code in blocks(name):
            for write in code.retranslated.writes:
                if write.form is not Form.WHOLE or write.complete:
                    continue
                wrong = {write.unit.offset: write.value | write.temporary}
                for way in access_paths(translator, code):
                    flow = translator.follower(code).follow([way.facts], wrong=wrong)
                    found = execute(translator, code, emulated.image_of(translator, code, wrong), access, way)
                    if flow.ends != "outside":
                        assert same[found.ended] == flow.ends, (name, access, way, found, flow)
                    if found.ended == "guest fault" and flow.ends == "exit":
                        assert not all(call.right for call in flow.calls)
                    compared += 1
    assert compared >= 80


# --- on the command line ---


@pytest.mark.parametrize(
    ("host", "scenario", "differs"),
    [
        ("cortex-a9", "system", True),  # the data side has the final value by then
        ("mips-24kc", "system", True),
        ("cortex-a9", "user", False),  # T2 runs it while it is there
        ("z10", "user", False),
    ],
)
def test_core_and_debugger_disagree_exactly_where_the_counterexample_says(
    host: str, scenario: str, differs: bool, staleline: Staleline
) -> None:
    line = f"explain unfixed --host {host} --scenario {scenario} --autopsy --format json"
    (result,) = staleline(line).document["results"]
    lines = [line for line in result["autopsy"]["lines"] if line["differs"]]
    assert [line["offset"] for line in lines] == ([result["watched"]["offset"]] if differs else [])
    last = result["counterexample"][-1]
    assert (last["dcache"] == "ok") == differs  # what a debugger reads, at that moment


def test_the_autopsy_shows_both_listings_and_marks_the_line(staleline: Staleline) -> None:
    out = staleline("explain unfixed --scenario system --start fault --autopsy").out
    (marked,) = (line for line in out.splitlines() if line.startswith("->"))
    assert " ".join(marked.split()[1:]) == "TB+32 00 00 00 0a beq #0x1000028 03 00 00 0a beq #0x1000034"
    assert "the guest faults at 0x20000010, a host pointer 0x10 bytes into the guest's state" in " ".join(out.split())
    assert out.rstrip().endswith("--autopsy")


def test_a_missing_unicorn_and_a_processor_that_it_does_not_have_are_one_line(
    monkeypatch: pytest.MonkeyPatch, staleline: Staleline
) -> None:
    ran = staleline("explain unfixed --host ppc-g5 --translator ppc64 --scenario system --autopsy")
    ran.is_refused("--autopsy: no emulator for ppc64, which ppc64@2010 emits; expected")
    monkeypatch.setitem(sys.modules, "unicorn", None)
    ran = staleline("explain unfixed --scenario system --autopsy")
    ran.is_refused("--autopsy: Unicorn is not installed; expected pip install 'staleline[autopsy]'\n")


def test_a_foreign_translator_is_refused() -> None:
    from tiny import Tiny

    from bench.autopsy.autopsy import autopsy

    tiny = Tiny("little", 2, {}, 2, (("hit", (0, 1)),), Form.SKIP_BYTES)
    with pytest.raises(InputError, match="not a backend of QEMU"):
        autopsy(tiny, tiny.block(0), "load", 0, 0, 0)
