"""Every claim of the thread: decided anew, and decided otherwise on another host."""

from __future__ import annotations

import pytest
from conftest import ROOT, Staleline

from bench.report.threads import ThreadReport
from bench.thread import findings
from bench.thread.findings import Finding, decide, find, find_claims
from bench.thread.lab import Lab

PAGE = ROOT / "docs" / "thread.md"

VERDICTS = {
    "ppc": "confirmed only if the host is ppc-g4",
    "s390": "confirmed only if two threads execute",
    "sparc": "confirmed only if a core does what the architecture allows and nothing documents of ultrasparc-2 and "
    "ultrasparc-3: it fetches the line while it is rewritten",
    "unchanged": "confirmed",
    "not-for-a-moment": "confirmed",
    "not-run-meanwhile": "refuted",
    "coherent-is-well": "confirmed only if one thread executes, on both cores as documented",
    "seven-steps": "confirmed",
    "arm-and-mips": "consistent with the model",
    "debugger": "consistent with the model",
    "symptom": "confirmed",
    "rate": "confirmed only if it is counted per TB execution, on cortex-a9",
    "flush-cures": "confirmed only if one thread executes",
    "only-overwritten": "confirmed",
    "tb-flush": "refuted only if a literal tb_flush() is meant, which discards all code",
    "tested": "confirmed only if a flush after each retranslation is meant",
    "flush-costs": "cannot be decided here",
    "runs-again": "confirmed",
    "two-threads": "confirmed only if the emitted code has such a branch",
    "global-lock": "refuted",
    "in-system": "consistent with the model",
    "fewer-in-user": "confirmed only if the program does not fault on purpose",
    "less-code": "confirmed only if it is counted per program, not per execution",
    "better": "confirmed",
}
"""What the facts and the published fixes lead one to expect."""


def test_every_claim_is_decided_as_its_history_has_it_and_the_page_says_so() -> None:
    """``make record`` writes it anew."""
    found = decide(find_claims([]), Lab())
    assert {one.claim.name: one.finding.text for one in found} == VERDICTS
    for one in found:
        assert one.finding.why.endswith("."), one.claim.name
        assert one.claim.claim.rstrip(")").endswith("."), one.claim.name
        assert one.finding.commands, one.claim.name
    assert PAGE.read_text(encoding="utf-8") == ThreadReport(found).text("page") + "\n"


def test_claims_come_in_their_order_whichever_is_decided_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "find", lambda claim, lab: Finding("confirmed", claim.name, ()))
    claims = find_claims(["ppc", "rate", "better"])
    assert [(one.claim.name, one.finding.why) for one in decide(claims, Lab())] == [
        (name, name) for name in ("ppc", "rate", "better")
    ]


COHERENT = ["coherence.fill=coherent", "coherence.snoop=all", "coherence.fetches_ahead=false"]


@pytest.mark.parametrize(
    ("name", "settings", "verdict"),
    [
        ("seven-steps", COHERENT, "refuted"),
        ("not-for-a-moment", COHERENT, "refuted"),
        ("in-system", COHERENT, "refuted"),
        ("debugger", COHERENT, "refuted"),
        ("not-run-meanwhile", COHERENT, "confirmed"),
        ("arm-and-mips", COHERENT, "refuted"),
        ("seven-steps", ["dcache.write_allocate=false"], "confirmed only if the steps are taken as one way of several"),
        ("flush-cures", ["isa.arm.flush.clean=false"], "refuted"),
        ("sparc", COHERENT, "confirmed only if two threads execute"),
        ("ppc", COHERENT, "confirmed only if two threads execute"),
        ("s390", ["coherence.snoop=none", "coherence.fill=pou"], "confirmed"),
        ("only-overwritten", COHERENT, "confirmed"),
        ("tb-flush", COHERENT, "confirmed"),
        ("two-threads", COHERENT, "refuted"),
        ("flush-costs", ["clock_ghz=100"], "confirmed only if the host is"),
        ("coherent-is-well", ["coherence.snoop=none", "coherence.fill=pou", "dcache.write=back"], "refuted"),
    ],
)
def test_a_host_feature_turns_a_verdict(name: str, settings: list[str], verdict: str) -> None:
    assert find(find_claims([name])[0], Lab(settings)).text.startswith(verdict)


def test_a_search_cut_short_decides_nothing_and_an_unknown_claim_is_refused(staleline: Staleline) -> None:
    staleline("thread seven-steps --max-states 3").is_refused("was cut short; expected a larger --max-states")
    staleline("thread eight-steps").is_refused("staleline: no claim 'eight-steps'; expected one of ")


def test_claims_are_told_by_role_and_in_every_format(staleline: Staleline) -> None:
    found = staleline("thread seven-steps flush-costs --format json").document["claims"]
    assert [(one["name"], one["who"], one["verdict"]) for one in found] == [
        ("seven-steps", "the patch's author", "confirmed"),
        ("flush-costs", "the patch's author", "cannot be decided here"),
    ]
    assert found[0]["commands"] == [
        "staleline check unfixed --host cortex-a9 --translator arm@2010 --scenario system --start fault"
    ]
    assert "patch's author" in staleline("thread flush-costs").out
    assert staleline("thread flush-costs --format page").out.startswith("# The thread of January 2011")
    assert staleline("thread flush-costs --format csv").out.startswith("name,who,claim,verdict")
