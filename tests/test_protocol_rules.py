"""Rules of the machine that protocols alone show, each with a protocol that fails for it and a mutant without it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from written import document, protocol

from bench.explain.protocols import counterexample
from bench.hosts import load_target
from bench.machine.actions import StopAnywhere, StopOthers
from bench.machine.architecture import RULES
from bench.machine.caches import features_of
from bench.machine.state import Kind
from bench.protocols.host import ProtocolHost, protocol_host
from bench.protocols.lowering import Lowering
from bench.protocols.protocol import Protocol
from bench.protocols.verification import necessities, needed_features, verify
from bench.search.question import Question
from bench.search.walk import walk


def verdict(asked: Protocol, host: ProtocolHost | str | None = None) -> str:
    if isinstance(host, str):
        host = protocol_host(load_target(host))
    if host is not None:
        asked = replace(asked, host=replace(host, cores=asked.host.cores))
    return verify(asked).verdict


# -------------------------------------------------------------------------------------- any data line may be loaded

UNCLEANED = """
layout = {A = 0}
init = {A = "old"}
allowed = {T0 = ["new"]}
threads.T0 = {does = "store A new; dsb; invalidate A; dsb; isb; execute A"}
"""


@pytest.mark.parametrize("host", ["cortex-a8", "arm926"])
def test_a_store_hits_where_something_else_has_loaded_the_line(host: str) -> None:
    asked = protocol(UNCLEANED)
    assert verdict(asked, host) == "fails"
    asked = replace(asked, host=protocol_host(load_target(host)))
    without = Question("wrong fetch", None, frozenset({Kind.LOAD}))
    found = verify(asked)
    assert walk(found.lowering.model, without, max_states=100_000).verdict == "holds"  # the rule off
    cleaned = protocol(UNCLEANED.replace("new; dsb", "new; clean A; dsb"))
    assert verdict(cleaned, host) == "holds"


# ------------------------------------------------------------------------------ interrupts do not wait for stores

INTERRUPT = """
layout = {A = 0}
init = {A = "old"}
flags = {go = 0}
host = {store_buffer = 1, fill = "coherent"}
allowed = {T1 = ["new"]}
threads.T0 = {core = 0, does = "store A new; ipi fence.i; set go 1"}
threads.T1 = {core = 1, does = "wait go 1; execute A"}
"""


@pytest.mark.parametrize("host", [None, "riscv", "riscv-ziccif"])
def test_an_interrupt_overtakes_the_stores_before_it(host: str | None) -> None:
    assert verdict(protocol(INTERRUPT), host) == "fails"
    for orders in ("fence; ipi fence.i", "fence; ipi fence.i; fence"):
        asked = protocol(INTERRUPT.replace("ipi fence.i", orders))
        assert verdict(asked, host) == "holds"
    assert verdict(protocol(INTERRUPT.replace('"coherent"', '"coherent", interrupts = "wait"'))) == "holds"


def test_a_membarrier_is_a_full_barrier_and_an_interrupt_needs_one() -> None:
    for operation, expected in (("membarrier", "holds"), ("ipi isb", "fails"), ("fence; ipi isb", "holds")):
        text = INTERRUPT.replace("ipi fence.i", operation).replace(
            "store_buffer = 1", 'store_buffer = 1, snoop = "all"'
        )
        assert verdict(protocol(text)) == expected
    assert ("interrupts that overtake stores",) in needed_features(protocol(INTERRUPT))
    (fenced,) = document(INTERRUPT.replace("ipi", "fence; ipi").replace("; ", "\\n")).cases
    (one,) = (one for one in necessities(fenced) if one.operations == ("fence",))
    assert one.breaks == ("",)


# --------------------------------------------------------------------------------------------------------- aliases

ALIAS = """
layout = {A = 0, U = {at = 8192, alias = "A"}}
init = {A = "old"}
allowed = {T0 = ["new"]}
threads.T0 = {does = "store A new; clean A; dsb; invalidate A; dsb; isb; execute U"}
"""


@pytest.mark.parametrize("host", ["armv8", "armv8-idc", "armv8-dic", "power"])
def test_an_invalidation_of_arm_reaches_the_address_that_it_names(host: str) -> None:
    asked = protocol(ALIAS)
    assert verdict(asked, host) == ("fails" if host in ("armv8", "armv8-idc") else "holds")
    assert verdict(asked, replace(protocol_host(load_target(host)), icache="pipt")) == "holds"  # the rule off
    assert verdict(protocol(ALIAS.replace("invalidate A", "invalidate U")), host) == "holds"


def test_x86_compares_a_store_with_what_was_fetched_ahead_by_its_address() -> None:
    text = ALIAS.replace("clean A; dsb; invalidate A; dsb; isb; ", "")
    for host in ("x86-amd", "x86-intel", "s390"):
        assert verdict(protocol(text), host) == "fails"
        assert verdict(protocol(text.replace("execute U", "execute A")), host) == "holds"
        assert verdict(protocol(text.replace("execute U", "isb; execute U")), host) == "holds"


# ------------------------------------------------------------------------------ what a host documents is what is used


def test_a_protocol_on_a_host_has_all_that_the_host_documents() -> None:
    for name in ("x86-skylake", "arm926", "itanium2", "cortex-a9", "z10"):
        target = load_target(name)
        assert protocol_host(target).rules == features_of(target)
    settings = ("fill=pou", "snoop=none", "fetches_ahead=false", "write=through")
    through = load_target("cortex-a9", settings)
    assert verdict(protocol(UNCLEANED), protocol_host(through)) == "holds"
    back = load_target("cortex-a9", (*settings[:3], "write=back"))
    assert verdict(protocol(UNCLEANED), protocol_host(back)) == "fails"
    own = UNCLEANED.replace("threads", 'host = {write = "through"}\nthreads')
    assert verdict(protocol(own)) == "holds"


STORED = """
layout = {A = 0}
init = {A = "old"}
host = {store_buffer = 1, fill = "coherent", snoop = "all", fetches_ahead = false, checks_pipeline = CHECKS}
allowed = {T0 = ["new"]}
threads.T0 = {does = "store A new; execute A"}
"""


def test_a_fetch_waits_for_the_stores_of_its_core_where_the_pipeline_is_checked() -> None:
    for checks, expected in (("true", "holds"), ("false", "fails")):
        assert verdict(protocol(STORED.replace("CHECKS", checks))) == expected


# -------------------------------------------------------------------------------- jumps over what was fetched ahead

JUMP = """
layout = {N0 = 0, N1 = 64, N2 = 128}
init = {N0 = "x", N1 = "y", N2 = "z"}
allowed = {T1 = ["x z y"]}
threads.T1 = {does = "execute N0 x:1; execute N1; execute N2; execute N1"}
"""


def test_a_jump_empties_the_queue() -> None:
    for text in (JUMP, JUMP.replace('; execute N1"', '"').replace("x z y", "x z")):
        asked = protocol(text)
        assert verdict(asked) == "holds"
        for host in RULES:
            assert verdict(asked, host) == "holds", host


# ------------------------------------------------------------------------- what lies in two lines is not stored at once

CROSSING = """
isa = "x86"
layout = {A = AT}
init = {A = "old"}
instructions = {old = "e900000000", new = "e911223344"}
host = {fill = "coherent", snoop = "all", fetches_ahead = false}
allowed = {T1 = ["old", "new"]}
threads.T0 = {core = 0, does = "store A new"}
threads.T1 = {core = 1, does = "OBSERVES A"}
"""


@pytest.mark.parametrize("observes", ["execute", "load"])
@pytest.mark.parametrize(("at", "expected"), [(0, "holds"), (59, "holds"), (61, "fails"), (62, "fails"), (63, "holds")])
def test_an_instruction_in_two_lines_is_torn_unless_one_of_them_does_not_change(
    observes: str, at: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = protocol(CROSSING.replace("AT", str(at)).replace("OBSERVES", observes))
    assert verdict(asked) == expected
    if expected == "fails":
        assert counterexample(verify(asked))[-1].what == f"{observes} A: torn"
        monkeypatch.setattr(Lowering, "_atomic", 4096)  # the rule off
        assert verdict(asked) == "holds"


BOTH = """
layout = {A = 0, B = AT}
init = {A = "a", B = "b"}
host = {fill = "coherent", snoop = "all", fetches_ahead = false}
allowed = {T1 = ["a b", "c d", "a d"]}
threads.T0 = {core = 0, does = "store A c, B d"}
threads.T1 = {core = 1, does = "load A; load B"}
"""


@pytest.mark.parametrize(
    ("at", "host", "expected"),
    [
        (4, None, "holds"),
        (64, None, "fails"),
        (4, "armv8-dic", "holds"),
        (8, "armv8-dic", "fails"),
        (8, "s390", "holds"),
        (16, "s390", "fails"),
        (8, "x86-amd", "fails"),
    ],
)
def test_units_are_stored_at_once_where_one_line_or_the_architecture_has_them(
    at: int, host: str | None, expected: str
) -> None:
    assert verdict(protocol(BOTH.replace("AT", str(at))), host) == expected


def test_a_clean_and_an_invalidation_are_of_all_that_a_unit_lies_in() -> None:
    flush = "store A new; clean A; dsb; invalidate A; dsb; isb; execute A"
    text = UNCLEANED.replace("store A new; dsb; invalidate A; dsb; isb; execute A", flush)
    assert verdict(protocol(text.replace("A = 0", "A = 62"))) == "holds"
    for left in ("clean A; ", "invalidate A; "):
        assert verdict(protocol(text.replace("A = 0", "A = 62").replace(left, ""))) == "fails"


# ------------------------------------------------------------------------------------- threads that stop anywhere

STOPPED = """
layout = {W0 = 0, W1 = 4}
init = {W0 = "nop0", W1 = "nop1"}
host = {fill = "coherent", snoop = "all", fetches_ahead = false}
allowed = {T1 = ["nop0 nop1", "auipc jalr"]}
threads.T0 = {core = 0, does = "STOP; store W0 auipc; store W1 jalr; resume-others"}
threads.T1 = {core = 1, does = "poll-stop; execute W0; execute W1"}
"""


def test_a_thread_that_is_stopped_between_two_words_goes_on_in_the_other_sequence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The question about ftrace of 2025-07-30: stop_machine does not make two words one."""
    assert verdict(protocol(STOPPED.replace("STOP", "stop-others"))) == "holds"
    anywhere = protocol(STOPPED.replace("STOP", "stop-anywhere"))
    assert verdict(anywhere) == "fails"
    rows = [row.what for row in counterexample(verify(anywhere))]
    assert rows[-3:] == ["store W1 jalr", "resume-others", "execute W1: jalr"]
    polls = protocol(STOPPED.replace("STOP", "stop-others"))
    monkeypatch.setattr(StopOthers, "taken", StopAnywhere.taken)
    assert verdict(polls) == "fails"  # the rule of polls off


def test_nobody_steps_while_stopped_and_who_masks_interrupts_is_not_stopped() -> None:
    text = STOPPED.replace("STOP", "stop-anywhere").replace("poll-stop; execute W0; ", "")
    alone = text.replace('"nop0 nop1", "auipc jalr"', '"nop1", "jalr"')
    torn = alone.replace("store W1 jalr", "store W1 half; store W1 jalr")
    assert verdict(protocol(torn)) == "holds"
    assert verdict(protocol(torn.replace("stop-anywhere; ", "").replace("; resume-others", ""))) == "fails"
    masked = STOPPED.replace("STOP", "stop-anywhere").replace("poll-stop", "irq-off").replace('W1"}', 'W1; irq-on"}')
    assert verdict(protocol(masked)) == "holds"


# -------------------------------------------------------------------------------------------------- release stores

RELEASED = """
layout = {A = 0, B = 64}
init = {A = "a", B = "b"}
allowed = {T1 = ["b a", "b c", "d c"]}
threads.T0 = {core = 0, does = "store A c; STORE B d"}
threads.T1 = {core = 1, does = "load B; load A"}
"""


def test_a_release_store_becomes_visible_after_those_before_it() -> None:
    for host in ("armv8", "power", "riscv"):
        assert verdict(protocol(RELEASED.replace("STORE", "store")), host) == "fails"
        assert verdict(protocol(RELEASED.replace("STORE", "store-release")), host) == "holds"
    # What comes after it is not ordered behind it.
    late = RELEASED.replace("store A c; STORE B d", "store-release A c; store B d")
    assert verdict(protocol(late), "armv8") == "fails"
    assert verdict(protocol(RELEASED.replace("STORE", "store")), "x86-amd") == "holds"
