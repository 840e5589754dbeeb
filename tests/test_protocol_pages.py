"""Pages that may not be executed: translations that stay, faults as an outcome, and mutants of the rule."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Staleline
from written import protocol

from bench.hosts import load_target
from bench.machine.architecture import RULES
from bench.protocols.host import protocol_host
from bench.protocols.lowering import Lowering
from bench.protocols.protocol import Protocol
from bench.protocols.verification import verify

TEXT = """
layout = {A = 0, B = 4096}
init = {A = "old", B = "other"}
flags = {go = 0}
pages = PAGES
allowed = {T1 = [ALLOWED]}
threads.T0 = {core = 0, does = "WRITER"}
threads.T1 = {core = 1, does = "READER"}
"""

ARMS = ("armv8", "armv8-idc", "armv8-dic", "power", "cortex-a72")
LOCALS = ("riscv", "x86-amd", "x86-intel", "s390", "x86-skylake", "sifive-u74")


def verdict(host: str, writer: str, reader: str, allowed: str, pages: str = "{}") -> str:
    return verify(asked(host, writer, reader, allowed, pages)).verdict


def asked(host: str, writer: str, reader: str, allowed: str, pages: str = "{}") -> Protocol:
    text = TEXT.replace("PAGES", pages).replace("WRITER", writer).replace("READER", reader)
    found = protocol(text.replace("ALLOWED", allowed))
    return replace(found, host=replace(protocol_host(load_target(host)), cores=2))


def shootdown(host: str, *, barrier: bool = True) -> str:
    """What makes a change of A's page take effect on all cores."""
    if host in ARMS:
        return "dsb; tlbi A; dsb" if barrier else "dsb; tlbi A"
    return "tlbi A local; ipi tlbi" if barrier else "tlbi A local"


@pytest.mark.parametrize("host", [*ARMS, *LOCALS])
def test_a_page_is_protected_when_no_core_keeps_its_translation(host: str) -> None:
    sync = "isb; " if host not in ("riscv", "sifive-u74") else ""
    for publish, expected in (
        ("fence", "fails"),
        (shootdown(host, barrier=False), "fails"),
        (shootdown(host), "holds"),
    ):
        writer = f"protect A; {publish}; set go 1"
        assert verdict(host, writer, f"wait go 1; {sync}execute A", '"fault"') == expected, publish
    # A unit of another page is none of its business.
    assert verdict(host, writer, f"wait go 1; {sync}execute B", '"other"') == "holds"


@pytest.mark.parametrize("host", [*ARMS, *LOCALS])
def test_a_page_that_was_not_present_leaves_no_translation(host: str) -> None:
    """Arm ARM D8.16, Intel SDM volume 3, 4.10.2.3; RISC-V without Svvptc may keep it."""
    writer = "map A; fence; set go 1"
    expected = "fails" if host == "riscv" else "holds"
    sync = "fence.i; " if host in ("riscv", "sifive-u74") else "isb; "
    reader = f"wait go 1; {sync}execute A"
    assert verdict(host, writer, reader, '"old"', '{A = "absent"}') == expected
    assert verdict(host, writer, reader, '"old"', '{A = "protected"}') == "fails"
    if host in RULES:  # the rule the other way round
        changed = asked(host, writer, reader, '"old"', '{A = "absent"}')
        other = changed.host.with_rules(keeps_absent=not RULES[host].keeps_absent)
        assert verify(replace(changed, host=other)).verdict != expected


@pytest.mark.parametrize("host", ["armv8", "x86-intel", "cortex-a72"])
def test_code_that_cannot_run_may_be_changed_whatever_it_is(host: str) -> None:
    """No list, no atomicity: nobody executes it; and the rule off, nothing protects it."""
    flush = "clean A; dsb; invalidate A; dsb; " if host != "x86-intel" else ""
    writer = (
        f"protect A; {shootdown(host)}; ipi isb; store A new; {flush}fence; ipi isb; map A; {shootdown(host)}; set go 1"
    )
    reader = "execute A old:3 new:3; wait go 1; isb; execute A"
    changed = asked(host, writer, reader, '"old", "new", "fault new"')
    assert verify(changed).verdict == "holds"
    left = writer.replace("protect A; ", "")  # a host's caches fetch whole words
    expected = "holds" if host == "cortex-a72" else "fails"
    assert verdict(host, left, reader, '"old", "new", "fault new"') == expected


def test_a_fault_synchronises_its_core() -> None:
    writer = "store A new; clean A; dsb; invalidate A; dsb; set go 1"
    reader = "execute B; wait go 1; execute B; execute A"
    for state, expected in (('{B = "protected"}', "holds"), ("{}", "fails")):
        assert verdict("armv8", writer, reader, '"* * new"', state) == expected
    # What was fetched ahead was translated then.
    writer, reader = "protect A; dsb; tlbi A; dsb; set go 1", "wait go 1; execute A"
    assert verdict("armv8", writer, reader, '"fault"') == "fails"


def test_the_rule_off_nothing_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("armv8", "protect A; dsb; tlbi A; dsb; set go 1", "wait go 1; isb; execute A", '"fault"')
    assert verdict(*arguments) == "holds"
    monkeypatch.setattr(Lowering, "_fetched", Lowering._cells)
    assert verdict(*arguments) == "fails"


REFUSED = [
    (("PAGES", '{C = "absent"}'), "pages.C: no unit 'C'; expected one of A, B"),
    (("PAGES", '{A = "gone"}'), "pages.A: found 'gone'; expected absent, protected"),
    (
        ("ALLOWED", '"fault"'),
        "allowed.T1: 'fault', which nothing stores or initialises; expected one of old, other, new, or * for any",
    ),
    (("WRITER", "store A fault"), "threads.T0.does: 'store A fault': the value 'fault'; expected another word"),
    (("WRITER", "mprotect A"), "threads.T0.does: no operation 'mprotect'; expected protect UNIT"),
    (
        ("layout", 'isa = "x86"\nlayout'),
        "threads.T0.does: 'tlbi A', which x86 does not have; expected tlbi UNIT local, and ipi tlbi",
    ),
    (
        ("threads.T0", "mmu_off = [1]\nthreads.T0"),
        "mmu_off: cores that translate nothing; expected none, where pages change",
    ),
]


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_what_cannot_be_is_refused(change: tuple[str, str], message: str, tmp_path: Path, staleline: Staleline) -> None:
    text = TEXT.replace(*change)
    writer = "tlbi A" if change[0] in ("layout", "threads.T0") else "store A new"
    for key, rest in (("PAGES", "{}"), ("WRITER", writer), ("READER", "execute A"), ("ALLOWED", '"old"')):
        text = text.replace(key, rest)
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    staleline("check", str(file)).is_refused(str(file), message)
