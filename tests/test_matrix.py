"""The matrix: cells, classes of hosts, and the answer to which backends were really affected."""

from __future__ import annotations

import csv
import io

import pytest
from cells import cell
from conftest import Staleline

from bench.check.cell import Options
from bench.check.matrix import CLASSES, affected, features, host_class, matrix
from bench.hosts import load_host
from bench.scenarios import scenario_names
from bench.translators.registry import first_versions
from strategies import registry

CLASS_OF = {
    "incoherent": {*"arm926 cortex-a8 cortex-a9 cortex-a72 itanium2 mips-24kc pa-8600 ppc-g4 ppc-g5".split()},
    "snoops others": {"ultrasparc-2"},
    "coherent fill": {"cortex-a53", "loongson-3a", "sifive-u74"},
    "coherent, fetching ahead": {"neoverse-v1", "ultrasparc-3"},
    "coherent": {"x86-skylake", "z10"},
}


def test_hosts_have_the_class_that_their_manuals_say() -> None:
    assert [each.name for each in CLASSES] == list(CLASS_OF)
    for name, hosts in CLASS_OF.items():
        assert {host_class(load_host(host)).name for host in hosts} == {name}


def test_hosts_with_the_same_features_have_the_same_verdicts() -> None:
    """What the matrix relies on: arm926 and another host derived to have its features."""
    changes = ("cores=1", "dcache.write_allocate=false", "coherence.dirty_transfer=memory", "icache.line=64")
    changes += ("isa.arm.flush.invalidate=local",)
    assert features(load_host("cortex-a8"), "arm") == features(load_host("cortex-a9", changes), "arm")
    for strategy in ("unfixed", "flush-on-retranslation", "stop-the-world"):
        for name in ("system", "user"):
            one = cell(strategy, name, "cortex-a8", retranslations=1)
            assert one.verdict == cell(strategy, name, settings=changes, retranslations=1).verdict


@pytest.mark.parametrize(
    ("host", "setting", "decides"),
    [
        ("cortex-a9", "coherence.fill=coherent", True),
        ("cortex-a9", "coherence.snoop=all", True),
        ("arm926", "cores=2", True),
        ("cortex-a9", "dcache.write_allocate=false", True),
        ("cortex-a9", "isa.arm.flush.clean=false", True),
        ("cortex-a9", "coherence.store_buffer=2", True),
        *(("cortex-a9", s, False) for s in ("icache.size=16384", "costs.cpi=2", "clock_ghz=2", "dcache.line=64")),
    ],
)
def test_what_decides_verdicts_is_among_the_features_and_what_does_not_is_not(
    host: str, setting: str, decides: bool
) -> None:
    assert (features(load_host(host), "arm") != features(load_host(host, [setting]), "arm")) is decides


def test_as_emitted_the_answer_is_that_of_the_hardware_and_of_the_code() -> None:
    """The thread's question for each backend of 2011, with one retranslation by each thread."""
    pairs = [
        (load_host(host), backend)
        for host in sorted(set().union(*CLASS_OF.values()))
        for backend in first_versions()
        if backend.isa in load_host(host).isa
    ]
    hazards, unfixed = ("transient", "lasting", "partial"), [registry.find("unfixed")]
    table = matrix(pairs, (), unfixed, scenario_names(), hazards, Options(retranslations=1))
    found = {each.translator: each for each in affected(table)}
    assert not any(each.undecided for each in found.values())
    alone = {name: set(each.alone) for name, each in found.items() if each.alone}
    assert alone == {
        "arm@2010": {"arm926", "cortex-a8", "cortex-a9", "cortex-a72"},
        "mips@2010": {"mips-24kc"},
        "ppc@2010": {"ppc-g4"},
    }
    together = {name: set(each.together) for name, each in found.items() if each.together}
    assert together == {"s390x@2010": {"z10"}}
    assert {name: {*each.speculative} for name, each in found.items() if each.speculative} == {
        "arm@2010": {"cortex-a53"},  # fills read the newest data
        "mips@2010": {"loongson-3a"},  # so they do here
        "ppc@2010": {"ppc-g5"},  # its first-level data cache writes through
        "ppc64@2010": {"ppc-g5"},
        "sparc@2010": {"ultrasparc-2", "ultrasparc-3"},
    }
    speculative = {name for name, each in found.items() if each.speculative}
    failing = {*alone, *together, *speculative}
    never = {name for name, each in found.items() if each.never} - failing
    assert never == {"aarch64@2013", "hppa@2010", "i386@2010", "ia64@2010", "x86-64@2010"}
    assert {name for name, each in found.items() if each.temporary} == failing
    assert {name for name, each in found.items() if each.lasting} == {"arm@2010"}  # the only one that adds
    assert {name for name, each in found.items() if each.partial} == {"mips@2010", "sparc@2010"}
    for name in ("mips@2010", "sparc@2010"):
        each = found[name]
        assert {*each.partial} == {*each.alone, *each.speculative, *each.together, *each.never}  # on every host


def test_the_table_groups_hosts_and_strategies_with_the_same_verdicts(staleline: Staleline) -> None:
    strategies = "unfixed,idempotent,flush-on-retranslation"
    out = staleline(f"matrix --translator arm --strategy {strategies} --scenario system,user --retranslations 1").out
    assert "incoherent: fills read the point of unification" in out
    assert "arm926, cortex-a72, cortex-a8" in " ".join(out.split())
    lines = [line.split() for line in out.splitlines()]
    assert ["flush-on-retranslation", "holds", "FAILS", "holds"] in [line[-4:] for line in lines]
    assert "n/a" not in out  # hosts of other instruction sets were not asked for


def test_json_and_csv_have_every_cell(staleline: Staleline) -> None:
    line = "matrix --host z10 --translator s390x@2014,s390x@2015 --strategy unfixed,idempotent --format"
    found = staleline(line, "json").document
    assert len(found["cells"]) == 2 * 2 * (4 + 1 + 4)
    assert {cell["verdict"] for cell in found["cells"] if cell["translator"] == "s390x@2015"} == {"holds"}
    partial = [cell for cell in found["cells"] if cell["hazard"] == "partial" and cell["translator"] == "s390x@2014"]
    assert {(cell["strategy"], cell["verdict"]) for cell in partial} == {("unfixed", "fails"), ("idempotent", "holds")}
    rows = list(csv.DictReader(io.StringIO(staleline(line, "csv").out)))
    assert [(row["scenario"], row["verdict"]) for row in rows] == [
        (cell["scenario"], cell["verdict"]) for cell in found["cells"]
    ]
