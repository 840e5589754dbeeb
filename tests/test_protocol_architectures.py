"""Protocols on architectures: what each manual says of code that changes while it may run, and mutants of the rules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Staleline
from hypothesis import given, settings
from hypothesis import strategies as st
from written import protocol

from bench.hosts import load_target
from bench.machine.architecture import RULES, Rules
from bench.machine.opcodes import EncodedInstruction
from bench.protocols.host import protocol_host
from bench.protocols.protocol import Protocol
from bench.protocols.verification import verify

TEXT = """
isa = "{isa}"
flags = {{go = 0}}
layout = {{A = {address}, B = {other}, C = 32, D = 48}}
init = {{A = "old", B = "one", C = "new", D = "two"}}
instructions = {{{instructions}}}
allowed = {{T{observer} = [{allowed}]}}
threads.T0 = {{core = 0, does = "{writer}"}}
threads.T1 = {{core = 1, does = "{reader}"}}
"""


def text_of(writer: str, reader: str, allowed: str = '"old", "new"', **more: Any) -> str:
    """Two threads: T0 and T1 do that, their operations with semicolons between."""
    plain = {"isa": "aarch64", "instructions": "", "address": 0, "other": 16, "observer": 1}
    return TEXT.format(writer=writer, reader=reader, allowed=allowed, **{**plain, **more})


def threads(writer: str, reader: str, *allowed: str, **more: Any) -> Protocol:
    return protocol(text_of(writer, reader, *allowed, **more))


def verdict(asked: Protocol, rules: Rules | str, most: int = 100_000) -> str:
    rules = RULES[rules] if isinstance(rules, str) else rules
    return verify(replace(asked, host=replace(asked.host, rules=rules)), max_states=most).verdict


# ------------------------------------------------------------------------------------- what changes while it may run

B_TO_B = 'old = "14000001", new = "14000100"'
B_TO_LDR = 'old = "14000001", new = "58000010"'
JMP = 'old = "e900000000", new = "e910000000"'
BRCL = 'old = "c0f400000000", new = "c0f400000010"'
NOP_TO_JAL = 'old = "00000013", new = "0040006f"'

RACES = [  # one store, and another core executes it: old or new, or anything
    ("armv8", "aarch64", B_TO_B, 0, "holds"),
    ("armv8-dic", "aarch64", B_TO_B, 0, "holds"),
    ("armv8", "aarch64", B_TO_LDR, 0, "fails"),
    ("armv8-idc", "aarch64", B_TO_LDR, 0, "fails"),
    ("armv8-dic", "aarch64", B_TO_LDR, 0, "fails"),  # coherent caches do not help
    ("armv8", "aarch64", "", 0, "fails"),  # nothing is known of the values
    ("armv8", "arm", 'old = "ea000001", new = "e320f000"', 0, "holds"),
    ("armv8", "armv7 Thumb-2", 'old = "e7fe", new = "bf00"', 0, "holds"),
    ("armv8", "armv7 Thumb-2", 'old = "f000b800", new = "f000b801"', 0, "fails"),
    ("power", "ppc64", 'old = "nop", new = "b"', 0, "holds"),
    ("power", "ppc64", 'old = "7fe903a6", new = "48000010"', 0, "fails"),
    ("x86-amd", "x86", JMP, 3, "holds"),
    ("x86-amd", "x86", 'old = "e900000000", new = "e910203040"', 5, "fails"),
    ("x86-intel", "x86", JMP, 3, "fails"),
    ("s390", "s390x", BRCL, 2, "holds"),
    ("s390", "s390x", 'old = "c0f400000000", new = "c0f400001010"', 2, "fails"),
    ("riscv", "riscv64", NOP_TO_JAL, 0, "fails"),
    ("riscv-ziccif", "riscv64", NOP_TO_JAL, 0, "holds"),
    ("riscv-ziccif", "riscv64", NOP_TO_JAL, 2, "fails"),
]


@pytest.mark.parametrize(("host", "isa", "instructions", "address", "expected"), RACES)
def test_a_change_while_it_may_run_is_what_the_manual_defines(
    host: str, isa: str, instructions: str, address: int, expected: str
) -> None:
    asked = threads("store A new", "execute A", isa=isa, instructions=instructions, address=address)
    assert verdict(asked, host) == expected
    # The rule off; what no access reads at once is torn without it too.
    assert verdict(asked, replace(RULES[host], concurrent=None, atomic=4096, unaligned=True)) == "holds"


ARM = "store A new; clean A; dsb; invalidate A; dsb; set go 1"
SYNCHRONISED = [  # the documented way for an instruction that is on no list
    *((host, ARM, "wait go 1; isb; execute A") for host in ("armv8", "armv8-idc", "armv8-dic", "power")),
    *((host, "store A new; set go 1", "wait go 1; isb; execute A") for host in ("x86-amd", "x86-intel", "s390")),
    ("armv8-dic", "store A new; dsb; set go 1", "wait go 1; isb; execute A"),
    *((host, "store A new; set go 1", "wait go 1; fence.i; execute A") for host in ("riscv", "riscv-ziccif")),
]


@pytest.mark.parametrize(("host", "writer", "reader"), SYNCHRONISED)
def test_what_is_synchronised_is_new_whatever_it_is(host: str, writer: str, reader: str) -> None:
    isa = host.partition("-")[0].replace("armv8", "aarch64")
    assert verdict(threads(writer, reader, '"new"', isa=isa), host) == "holds"
    unsynchronised = reader.replace("isb; ", "").replace("fence.i; ", "")
    assert verdict(threads(writer, unsynchronised, '"new"', isa=isa), host) == "fails"


def test_anything_is_named_where_it_is_executed(tmp_path: Path, staleline: Staleline) -> None:
    text = text_of("store A new", "execute A", instructions=B_TO_LDR)
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    ran = staleline("check", str(file), "--host", "armv8")
    assert ran.status == 1
    assert "execute A: anything (wrong)" in ran.out
    for change, message in (
        (("58000010", "5800001"), "instructions.new: '5800001'; expected its encoding in hexadecimal"),
        (
            ('isa = "aarch64"', 'isa = "mips"'),
            "instructions: isa = 'mips'; expected isa = one that begins with aarch64",
        ),
        (("new = ", "knew = "), "instructions.knew: a value that nothing stores; expected new"),
    ):
        file.write_text(text.replace(*change), encoding="utf-8")
        staleline("check", str(file)).is_refused(str(file), message)


# ------------------------------------------------------------------------------------------------ order, and own stores

BOTH = 'old = "90", new = "f4", one = "90", two = "f4"'
IN_ORDER = '"old one", "old two", "new two"'
ANY_ORDER = IN_ORDER + ', "new one"'


def test_two_stores_are_fetched_in_order_where_the_architecture_says_so() -> None:
    writer, reader = "store A new; store B two", "execute B; execute A"
    allowed = '"one old", "one new", "two new"'
    for host, isa in (("x86-amd", "x86"), ("armv8-dic", "aarch64")):
        code = BOTH if isa == "x86" else 'old = "b", new = "nop", one = "b", two = "nop"'
        asked = threads(writer, reader, allowed, isa=isa, instructions=code)
        assert verdict(asked, host) == ("holds" if isa == "x86" else "fails")
    asked = threads(writer, reader, allowed, isa="x86", instructions=BOTH)
    assert verdict(asked, replace(RULES["x86-amd"], in_order=False)) == "fails"
    # AMD: two instructions A B in one quadword that become A' B' may run as A B', never as A' B.
    for other, allowed, expected in (
        (4, IN_ORDER, "holds"),
        (4, '"old one", "new two"', "fails"),
        (16, IN_ORDER, "fails"),  # in two quadwords, which no store is atomic in
    ):
        writer, reader = "store A new, B two", "execute A; execute B"
        asked = threads(writer, reader, allowed, isa="x86", instructions=BOTH, other=other)
        assert verdict(asked, "x86-amd") == expected
    # s390 fetches copies in any order until it serialises.
    code = 'old = "0700", new = "0701", one = "0700", two = "0701"'
    for allowed, expected in ((IN_ORDER, "fails"), (ANY_ORDER, "holds")):
        asked = threads("store A new; store B two", "execute A; execute B", allowed, isa="s390x", instructions=code)
        assert verdict(asked, "s390") == expected


@pytest.mark.parametrize("host", ["x86-amd", "x86-intel", "s390"])
def test_a_core_executes_what_it_has_stored_itself(host: str) -> None:
    asked = threads("store A new; execute A", "execute B", '"new"', observer=0)
    assert verdict(asked, host) == "holds"
    assert verdict(asked, replace(RULES[host], sees_own=False)) == "fails"
    assert verdict(asked, "riscv") == "fails"


def test_serialisation_is_what_refreshes_a_core_of_s390() -> None:
    asked = threads("store A new; set go 1", "wait go 1; isb; execute A", '"new"')
    assert verdict(asked, replace(RULES["s390"], refreshes=False)) == "fails"


# ----------------------------------------------------------------------------------- data over two aligned blocks

BLOCKS = {"x86-amd": 8, "x86-intel": 8, "riscv": 8, "armv8": 8, "armv8-dic": 8, "power": 16, "s390": 16}


@pytest.mark.parametrize("host", BLOCKS)
def test_a_load_of_data_in_two_blocks_is_torn(host: str) -> None:
    """AMD APM volume 2, 7.3.2; Intel SDM volume 3, 9.1.1; elsewhere what is aligned alone (Arm ARM B2.2.1)."""
    unaligned = "holds" if RULES[host].unaligned else "fails"
    for first, expected in ((-4, "holds"), (-2, "fails"), (0, "holds"), (2, unaligned)):
        first += BLOCKS[host]
        asked = threads("store A new", "load A", address=first, other=64)
        assert verdict(asked, host) == expected
        assert verdict(asked, replace(RULES[host], atomic=4096, unaligned=True)) == "holds"  # the rule off
        alone = threads("store A new; load A", "load B", '"new"', address=first, other=64, observer=0)
        assert verdict(alone, host) == "holds"  # a core sees its own stores
        waiting = threads("store A new; set go 1", "wait go 1; load A", '"new"', address=first, other=64)
        assert verdict(waiting, host) == "holds"


MIXED = """
isa = "x86"
init = {{{initial}}}
layout = {{{layout}}}
instructions = {{{instructions}}}
allowed = {{T1 = [ALLOWED]}}
threads.T0 = {{core = 0, does = "store A v11\\nstore A v22"}}
threads.T1 = {{core = 1, does = "load A"}}
"""


@pytest.mark.parametrize(("host", "at"), [("x86-amd", 6), ("x86-skylake", 62)])
def test_a_load_of_data_in_two_blocks_is_two_loads(host: str, at: int) -> None:
    """Between them as many stores as there are: a half of the first value, a half of the last."""
    values = [f"v{low}{high}" for low in range(3) for high in range(3)]
    units = {"A": "v00", **{f"U{value}": value for value in values}}
    text = MIXED.format(
        initial=", ".join(f'{unit} = "{value}"' for unit, value in units.items()),
        layout=", ".join(f"{unit} = {at + 128 * number}" for number, unit in enumerate(units)),
        instructions=", ".join(f'{value} = "{value[1] * 4}{value[2] * 4}"' for value in values),
    )
    for never, expected in (("v20", "fails"), ("v02", "fails"), ("", "holds")):
        allowed = ", ".join(f'"{value}"' for value in values if value != never)
        asked = protocol(text.replace("ALLOWED", allowed))
        assert verify(replace(asked, host=replace(protocol_host(load_target(host)), cores=2))).verdict == expected


# ---------------------------------------------------------------------------------------- weaker and stronger

STRONGER = (("armv8", "armv8-idc", "armv8-dic"), ("riscv", "riscv-ziccif"), ("x86-intel", "x86-amd"))
WRITER = st.lists(
    st.sampled_from(
        ["store A new", "store A old", "store B two", "clean A", "invalidate A", "dsb", "fence", "fence.i"]
    ),
    max_size=4,
)
READER = st.lists(st.sampled_from(["execute A", "execute B", "isb", "fence.i", "wait go 1"]), max_size=2)


@settings(max_examples=20, deadline=None)
@given(WRITER, READER, st.sampled_from(["b", "other", "nop"]), st.sampled_from(["new", "old"]), st.data())
def test_what_holds_on_a_weaker_architecture_holds_on_a_stronger(
    writer: list[str], reader: list[str], kind: str, last: str, data: st.DataObject
) -> None:
    reader = [*dict.fromkeys(reader), "execute A"]
    sequences = data.draw(st.sampled_from(['"{0}"', '"old", "new"'])).format(last)
    observed = [f'{before}{end}"' for end in sequences.replace('"', "").split(", ") for before in _before(reader)]
    writer.append("set go 1")
    asked = threads("; ".join(writer), "; ".join(reader), ", ".join(observed), isa="any")
    asked = replace(asked, instructions=dict.fromkeys(("old", "new"), EncodedInstruction("aarch64", kind)))
    for family in STRONGER:
        found = [one for host in family if (one := verdict(asked, host, 2_000)) != "bounded"]
        assert found == sorted(found), family  # "fails" before "holds"


def _before(reader: list[str]) -> list[str]:
    """What may be observed before the last operation, for an ``allowed`` sequence to begin with: anything."""
    found = ['"']
    for operation in reader[:-1]:
        if operation.startswith("execute"):
            values = ("old", "new") if operation.endswith("A") else ("one", "two")
            found = [f"{before}{value} " for before in found for value in values]
    return found


PAIR = """
isa = "aarch64"
layout = { low = 0, high = 8 }
init = { low = "old", high = "old" }
host = "HOST"
allowed = { reader = ["old old", "old new", "new new"] }
threads.writer = { core = 0, does = "store low new, high new" }
threads.reader = { core = 1, does = "load low\\nload high" }
"""


@pytest.mark.parametrize(
    ("host", "expected"),
    [("cortex-a72", "fails"), ("armv8", "fails"), ("armv8-dic", "fails"), ("neoverse-v1", "holds")],
)
def test_a_store_of_sixteen_bytes_is_one_only_with_lse2(host: str, expected: str) -> None:
    """Arm ARM B2.2.1: without FEAT_LSE2 a pair is one access for each register."""
    for high, found in ((8, expected), (4, "holds")):
        asked = protocol(PAIR.replace("HOST", host).replace("high = 8", f"high = {high}"))
        assert verify(asked).verdict == found
