"""The linking library: verdicts as they are pinned, published bugs found by search (docs/linking.md says which were
expected, and why some are otherwise)."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, Staleline
from given import blocks_of, retranslations_of
from hypothesis import given
from hypothesis import strategies as st
from written import site, site_verdict

from bench.check.sites import runs
from bench.compare.lingering import Lingering
from bench.compare.sites import Workload
from bench.hosts import load_host, load_target
from bench.replay.layout import lay_out
from bench.replay.parameters import Parameters
from bench.replay.quantity import Quantity
from bench.sites.price import Rates, price
from bench.sites.reader import library, load_site
from bench.traces.links import linked
from bench.traces.store import load_trace
from strategies import linking

PINNED = """
patch-flush-aarch64    neoverse-v1   link         holds
patch-local-riscv64    sifive-u74    unlink       holds q
patch-words-aarch64    cortex-a72    far          holds q
patch-unflushed-mips   mips-24kc     unlink       U2
patch-unflushed-sparc  ultrasparc-3  unlink       holds q
slot-aarch64           neoverse-v1   publish      L2
slot-sync-core-aarch64 armv8         publish      holds
word-or-slot-aarch64   cortex-a72    link         holds
preload-slot-ppc64     ppc-g5        link         X
flag-aarch64           cortex-a72    relink       holds q
thunk-dynamorio-aarch64 cortex-a72   unlink       holds q
slot-sparc             ultrasparc-2  publish      L2
slot-sparc             ultrasparc-2  unlink       holds
patch-pair-sparc64     ultrasparc-3  far          X
word-or-slot-loongarch64 z10         far          holds
reuse-at-once-aarch64  cortex-a72    reuse        U3
reuse-quiesce-aarch64  cortex-a72    reuse        U3
"""

HOSTS = {
    "cortex-a9": ("cortex-a9",),
    "armv8, -idc": ("armv8",),
    "armv8-dic": ("armv8-dic",),
    "riscv": ("sifive-u74", "riscv", "riscv-ziccif"),
    "x86": ("x86-skylake", "x86-amd", "x86-intel"),
    "ppc": ("ppc-g4", "power"),
    "s390x": ("z10", "s390"),
}
"""The columns of the table in docs/linking.md."""
FORMS = {
    "`patch-flush`, unlisted word (`thunk-dynamorio`)": "thunk-dynamorio",
    "`opcode-last`, over two lines": "opcode-last-unaligned",
}
BARE = {"patch-unflushed`: link": "link", "reuse": "reuse", "unlink-in-handler": "interrupted"}
"""The scenario of rows whose cells say none, where it is not unlink for one that holds and link for one that fails."""


def table() -> list[list[str]]:
    lines = (ROOT / "docs" / "linking.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    at = next(number for number, row in enumerate(rows) if row[0] == "form")
    return rows[at : next(number for number, row in enumerate(rows) if row[0] == "bug")]


def site_of(row: str, host: str) -> str:
    """The site of a row that runs on a host, of its main instruction set if there are several."""
    words = [FORMS[row]] if row in FORMS else re.findall(r"`([\w-]+)`", row)
    forms = [f"reuse-{word}" if row.startswith("reuse") else word for word in words]
    target = load_target(host)
    for isa in (*target.isa, *(isa.replace("-64", "").replace("ppc", "ppc64") for isa in target.isa)):
        for form in forms:
            if f"{form}-{isa}" in library() and runs(load_site(f"{form}-{isa}"), target):
                return f"{form}-{isa}"
    raise AssertionError(f"{row} on {host}: no site")


def said(row: str, column: str, cell: str) -> Iterator[tuple[str, str, str, str]]:
    """What a cell says: site, host, scenario and verdict."""
    for part in filter(None, re.sub(r", [cr]\b( / ([cr]|\[\d+\]))*|\[\d+\]| by the list", "", cell).split(";")):
        named, _, rest = part.strip().rpartition(": ")
        scenario = ""
        verdicts = [text.strip() for text in rest.split("/")]
        hosts = (named,) if named else HOSTS[column]
        assert len(hosts) == len(verdicts), cell
        for host, text in zip(hosts, verdicts, strict=True):
            found = re.fullmatch(r"(?:(near|\w+(?= [A-Z]|(?= holds))) )?(holds q|holds|X|U2|U3|L2|never linked)", text)
            assert found, cell
            scenario = found[1] or scenario
            bare = next((one for key, one in BARE.items() if key in row), "unlink" if "holds" in text else "link")
            bare = "unlink" if row.endswith(": unlink") else bare
            yield site_of(row, host), host, {"near": "unlink", "": bare}.get(scenario, scenario), found[2]


CELLS = [
    pytest.param(*one, id="-".join(one[:3]))
    for row, *cells in table()[2:]
    for column, cell in zip(HOSTS, cells, strict=True)
    for one in said(row, column, cell)
]


def test_the_table_has_its_columns() -> None:
    assert table()[0][1:] == [*HOSTS]
    assert len(CELLS) > 100


@pytest.mark.slow
@pytest.mark.parametrize(("name", "host", "scenario", "expected"), CELLS)
def test_a_cell_of_the_table_is_what_is_found(name: str, host: str, scenario: str, expected: str) -> None:
    found = site_verdict(name, host, scenario)
    assert (found.failure if found.verdict == "fails" else found.verdict + " q" * found.synchronised) == expected


@pytest.mark.parametrize("line", PINNED.strip().splitlines(), ids=lambda line: "-".join(line.split()[:3]))
def test_verdicts_of_the_library_are_pinned(line: str) -> None:
    name, host, scenario, expected = line.split(maxsplit=3)
    found = site_verdict(name, host, scenario)
    text = found.failure if found.verdict == "fails" else found.verdict + " q" * found.synchronised
    assert text == expected.strip(), found.why


PUBLISHED = {
    "736a1588": ("preload-slot-ppc64", "power", "link", "X", "r31 holds"),
    "unlink of 2022-09": ("patch-quad-unlink-ppc64", "ppc-g5", "unlink", "U2", "b 0x1000: leads to near"),
    "b and ldr": ("word-or-slot-aarch64", "armv8", "far", "X", "the list of Arm ARM B2.2.5"),
    "stop_machine": ("stop-anywhere-riscv64", "sifive-u74", "link", "X", "nop; jalr t0, t0, 0: leads nowhere"),
    "FEX 547135dc": ("thunk-547135dc-aarch64", "cortex-a72", "far", "X", "leads to 0x30, which is no target"),
}


@pytest.mark.parametrize("bug", PUBLISHED)
def test_a_published_bug_is_found_by_search(bug: str) -> None:
    name, host, scenario, failure, why = PUBLISHED[bug]
    found = site_verdict(name, host, scenario)
    assert (found.verdict, found.failure) == ("fails", failure)
    assert why in found.why


def test_halves_of_two_targets_are_found_where_a_thread_sleeps_between_them() -> None:
    """QEMU 709bcd7d: LoongArch is on no shipped host, so on a coherent one of another kind."""
    found = site_verdict("patch-pair-loongarch64", "z10", "far")
    assert (found.verdict, found.failure) == ("fails", "X")


# -------------------------------------------------------------------------------------------------------- prices


def test_a_price_is_what_the_words_and_the_operations_say() -> None:
    host, parameters = load_host("cortex-a9", ("cpi=1",)), Parameters()
    direct, slot = (price(load_site(name), host, parameters) for name in ("patch-flush-arm", "slot-arm"))
    # One branch against one load that branches; a store with a flush of one line against a store.
    assert direct.execution.nominal == 1
    assert slot.execution.nominal == pytest.approx(1 + 1 + 1 + 8 * 0.02)
    assert direct.link.nominal == pytest.approx(1 + 800 + 17 + 100 * 1.2)
    assert slot.link.nominal == 1
    documented = price(load_site("slot-arm"), load_host("cortex-a8", ("cpi=1",)), parameters).execution
    assert documented.nominal == pytest.approx(1 + 1 + 1 + 13 * 0.02)
    assert price(load_site("sync-core-aarch64"), load_host("cortex-a72"), parameters).interrupts == (3, 3, 0, 0)


def test_what_is_out_of_reach_and_unlinked_is_counted_from_the_trace(tiny_trace: Path) -> None:
    trace = load_trace(str(tiny_trace))
    found, links = Workload.of(trace), linked(trace).links
    at = lay_out(trace.blocks, trace.retranslations, "x86-64").addresses
    made = [*zip(links.source.tolist(), links.target.tolist(), links.uses.tolist(), strict=True)]
    either, host = load_site("word-or-slot-riscv64"), load_host("sifive-u74")
    near = [uses for source, target, uses in made if abs(at[target] - at[source]) < 1024]
    assert found.far(replace(either, reach=1024), host).value == pytest.approx(1 - sum(near) / found.through)
    assert found.far(load_site("slot-riscv64"), host).high == 0  # it has no far state
    again = {
        (pc, epoch, number)
        for number, (pc, epoch) in enumerate(zip(trace.blocks.guest_pc, trace.blocks.epoch, strict=True))
    }
    lost = [
        target
        for _, target, _ in made
        if any(
            pc == trace.blocks.guest_pc[target] and epoch == trace.blocks.epoch[target] and number > target
            for pc, epoch, number in again
        )
    ]
    assert found.unlinks == len(lost)


MINE = """
isa = "aarch64"
[targets]
stub = 4
near = 0x1000
near2 = 0x2000
[words]
exit = { at = 0, stub = 0x14000001, near = 0x14000400, near2 = 0x14000800 }
[does]
link = "store exit; flush exit"
unlink = "store exit; flush exit"
"""


def rate(value: float) -> Quantity:
    return Quantity(value, value, value, "for each link", "measured", ("test",), f"rate {value}")


def test_new_targets_and_reuses_are_paid_for() -> None:
    """The same operations cost the same wherever they stand, so often as they are done."""
    host, parameters = load_host("cortex-a72"), Parameters()
    plain = price(site(MINE), host, parameters)
    synchronised = price(site(f'{MINE}publish = "flush code; membarrier"\nretire = "membarrier"\n'), host, parameters)
    membarrier = price(site(MINE.replace("flush exit", "membarrier", 1)), host, parameters).link - (
        plain.link - plain.publish
    )
    assert (synchronised.publish - plain.publish).nominal == pytest.approx(membarrier.nominal) != 0
    assert synchronised.reuse.nominal == pytest.approx(membarrier.nominal)
    assert synchronised.interrupts == (0, 0, 3, 3)
    links = rate(1000)
    rates = Rates(unlinks=rate(0.1), targets=rate(1.5), reuses=rate(0.25))
    far = rate(0)
    more = synchronised.run(7000, links, rates, far=far) - plain.run(7000, links, rates, far=far)
    assert more.nominal == pytest.approx(1000 * (1.5 + 0.25) * membarrier.nominal)


@pytest.mark.parametrize(
    ("link", "host", "lingers"),
    [
        ("store exit", "cortex-a72", True),
        ("store exit; membarrier", "cortex-a72", True),
        ("store exit; flush exit", "cortex-a72", False),
        ("store exit; clean exit; dsb; invalidate exit", "cortex-a72", False),
        ("flush exit; store exit", "cortex-a72", True),
        ("store exit", "neoverse-v1", False),
        ("", "cortex-a72", False),
    ],
)
def test_a_link_that_is_not_flushed_costs_the_stub_where_the_cache_does_not_follow(
    link: str, host: str, lingers: bool
) -> None:
    found = price(
        site(MINE.replace('link = "store exit; flush exit"', f'link = "{link}"', 1)), load_host(host), Parameters()
    )
    assert found.lingers == lingers
    rates = Rates(unlinks=rate(0), targets=rate(0), reuses=rate(0))
    more = found.patching(replace(rates, stubs=rate(5))) - found.patching(rates)
    assert more.nominal == pytest.approx(5 * (found.stub - found.execution).nominal if lingers else 0)


@pytest.mark.slow
@given(
    st.integers(1, 6).flatmap(
        lambda blocks: st.tuples(
            st.lists(st.integers(1, 40), min_size=blocks, max_size=blocks),
            st.lists(st.integers(0, blocks - 1), min_size=1, max_size=60),
        )
    )
)
def test_a_stub_lingers_until_its_line_comes_anew(drawn: tuple[list[int], list[int]]) -> None:
    """Against a cache that is a list of lists, and links that are every change from a block to another."""
    sizes, runs = drawn
    count = len(sizes)
    # Blocks of several KiB, so that a few do not fit.
    bytes_ = np.array(sizes, np.uint32) * 1024
    blocks = blocks_of(bytes_, fast_bytes=bytes_, born=np.full(count, -1))
    lingering = Lingering(blocks, retranslations_of([], []))
    ends = np.cumsum(bytes_.astype(np.int64))
    first, last = (ends - bytes_) // 64, (ends - 1) // 64
    through, made, links = [], [], {}
    for at, (before, block) in enumerate(itertools.pairwise([-1, *runs])):
        known = links.get((before, block))
        through.append(-1 if known is None else known)
        if before >= 0 and known is None:
            links[before, block] = len(links)
            made.append((at, before, 1, block, 0))
    lingering.add(np.array(runs, np.uint32), np.array(through), np.array(made, np.int64).reshape(-1, 5))
    for capacity, met in lingering.met:
        sets: list[list[int]] = [[] for _ in range(64)]
        translator = [int(last.max()) + 1 + line for line in range(221)]
        new: dict[int, bool] = {}
        expected = 0
        for at, block in enumerate(runs):
            for number in [link for (_, _), link in links.items() if made[link][0] == at]:
                new[number] = False
            if through[at] >= 0:
                expected += not new[through[at]]
            accessed = [*range(first[block], last[block] + 1)]
            for line in [*(translator * count if at == 0 else []), *accessed]:
                held = sets[line % 64]
                if line in held:
                    held.remove(line)
                else:
                    for number in new:
                        new[number] = new[number] or (ends[made[number][1]] - 32) // 64 == line
                held.insert(0, line)
                del held[capacity // 4096 :]
        assert met == expected


@pytest.mark.slow
def test_rates_of_ones_own_take_the_place_of_those_of_the_trace(tiny_trace: Path, staleline: Staleline) -> None:
    line = f"compare patch-flush-riscv64 {tiny_trace} --host sifive-u74 --scenario link --format json"
    plain, given_ = (
        staleline(f"{line}{more}").valid["linking"][0]
        for more in ("", " --parameter unlinks=2 --parameter targets=0 --parameter reuses=0 --parameter executions=10")
    )
    work = Workload.of(load_trace(str(tiny_trace)))
    assert given_["link"] == plain["link"]
    per_link = given_["link"]["nominal"] + 2 * given_["unlink"]["nominal"] + 10 * given_["execution"]["nominal"]
    assert given_["run"]["nominal"] == pytest.approx(work.links * per_link, rel=1e-3)
    wrong = staleline(f"{line} --parameter unlink=1")
    assert wrong.status == 2
    assert "unlinks" in wrong.err


@pytest.mark.slow
def test_what_was_not_asked_is_marked_and_ones_own_stands_beside_its_neighbours(
    tmp_path: Path, tiny_trace: Path, staleline: Staleline
) -> None:
    file = tmp_path / "mine.toml"
    text = (files(linking) / "patch-flush-ppc.toml").read_text("utf-8")
    file.write_text(f'{text}retire = "stop-others; resume-others"\n', encoding="utf-8")
    shipped = f"compare patch-flush-ppc no-link-ppc {tiny_trace} --host ppc-g4 --scenario link"
    line = shipped.replace("compare", f"compare {file}") + ",reuse"
    text = staleline(line).out
    rows = {row.split()[1]: row for row in text.splitlines() if row.split()[:1] and row.split()[0].isdigit()}
    assert "holds -r" in rows["patch-flush-ppc"]
    assert "-r" not in rows["no-link-ppc"]
    assert "-r: not tried in reuse" in text
    heads = [next(one for one in out.splitlines() if "rank" in one) for out in (text, staleline(shipped).out)]
    assert ["reuse" in head for head in heads] == [True, False]  # which costs nothing where none has it
    orders = [line for line in text.splitlines() if " against " in line]
    assert 1 <= len(orders) <= 6
    assert "mine *" in orders[0]
    wide = staleline(f"{line} --wide").out
    assert ["rank", "site", "link", "reuse"] in [row.split() for row in wide.splitlines()]


@pytest.mark.slow
def test_the_first_scenario_that_fails_is_named(tiny_trace: Path, staleline: Staleline) -> None:
    """Link and unlink both fail; what is found sooner is not what is said."""
    document = staleline(
        f"compare patch-quad-aarch64 {tiny_trace} --host armv8 --scenario link,unlink --format json"
    ).valid
    (row,) = document["linking"]
    (found,) = [
        row
        for row in staleline("check patch-quad-aarch64 --host armv8 --scenario link,unlink --format json").valid[
            "sites"
        ]
        if row["verdict"] == "fails"
    ][:1]
    assert next(name for name, verdict in row["verdicts"].items() if verdict.startswith("fails")) == found["scenario"]


def test_a_lock_that_stands_for_a_safepoint_costs_what_is_said() -> None:
    host, parameters = load_host("cortex-a72"), Parameters()
    lock = f'{MINE}[executor]\nbefore = "lock running shared"\nafter = "unlock running"\n'
    plain, locked, polled = (
        price(site(text), host, parameters).execution for text in (MINE, lock, f'{lock}pays = "poll-stop"\n')
    )
    costs = host.costs
    assert (polled - plain).nominal == pytest.approx(2 * costs.cpi.value + costs.load.value)
    assert locked.nominal > polled.nominal


@pytest.mark.parametrize(
    ("command", "shown", "others"),
    [
        ("check slot --host cortex-a9 --scenario link", "slot-arm", "slot-aarch64"),
        ("check slot --host z10,sifive-u74 --scenario link", "slot-riscv64", "slot-arm"),
        ("compare slot patch-or {trace} --host cortex-a9 --scenario link", "patch-or-arm", "patch-flush"),
    ],
)
def test_a_name_stands_for_the_sites_that_a_host_runs(
    command: str, shown: str, others: str, tiny_trace: Path, staleline: Staleline
) -> None:
    ran = staleline(command.format(trace=tiny_trace))
    assert ran.status == 0
    assert shown in ran.out
    assert others not in ran.out


def test_a_name_that_stands_for_one_site_on_a_host_is_exported(staleline: Staleline) -> None:
    line = "export --protocol {} --host z10 --scenario link"
    assert staleline(line.format("slot")).out == staleline(line.format("slot-s390x")).out != ""


def test_the_cheapest_that_is_right_is_first_and_says_where_another_is(tiny_trace: Path, staleline: Staleline) -> None:
    line = f"compare slot-riscv64 patch-flush-riscv64 {tiny_trace} --host sifive-u74 --scenario link"
    first, second = staleline(f"{line} --format json").valid["linking"]
    assert (first["site"], first["rank"], second["rank"]) == ("slot-riscv64", 1, 2)
    text = " ".join(staleline(line).out.split())
    assert "slot-riscv64 against patch-flush-riscv64: cheaper, whatever is assumed" in text
    assert "executions for each link" in text


@pytest.mark.slow
def test_the_page_and_the_plot_of_sites(tmp_path: Path, tiny_trace: Path, staleline: Staleline) -> None:
    """The page has every verdict, and for each that fails its counterexample to step through, as JSON has it."""
    line = f"patch-unflushed-aarch64 patch-flush-aarch64 {tiny_trace} --host cortex-a72,armv8 --scenario link,unlink"
    pages = tmp_path / "page.html", tmp_path / "plot.svg"
    staleline(f"compare {line} --format html --output {pages[0]} --plot {pages[1]}")
    text, drawn = (page.read_text("utf-8") for page in pages)
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    wrong = {
        f"{row['site']}/{row['host']}/{scenario}"
        for row in staleline(f"compare {line} --wide --format json").valid["linking"]
        for scenario, verdict in row["verdicts"].items()
        if verdict.startswith("fails")
    }
    assert wrong == {f"patch-unflushed-aarch64/{host}/unlink" for host in ("cortex-a72", "armv8")}
    assert {cell["id"] for cell in data["cells"]} == wrong
    for cell in data["cells"]:
        assert f'href="#{cell["id"]}/1"' in text
        assert all(len(lane["cells"]) == len(cell["steps"]) for lane in cell["lanes"])
        assert [word for lane in cell["lanes"] for _, word in lane["cells"]].count("wrong") == 1
    assert "patch-flush-aarch64" in drawn
    assert "armv8" not in drawn  # which has no price


@pytest.mark.slow
def test_sites_by_hosts_are_one_matrix_that_fits(tmp_path: Path, tiny_trace: Path, staleline: Staleline) -> None:
    """A site of one's own stands beside those of the library that have its instructions, on every host that runs it."""
    file = tmp_path / "mine.toml"
    file.write_text((files(linking) / "slot-ppc.toml").read_text("utf-8"), encoding="utf-8")
    out = staleline(f"compare {file} {tiny_trace} --scenario unlink").out
    assert max(map(len, out.splitlines())) <= 110
    rows = {line.split()[0]: line for line in out.splitlines() if line.startswith(("mine", "patch-", "ppc "))}
    assert rows["ppc"].split() == ["ppc", "ppc-g4", "ppc-g5", "power"]
    assert "mine *" in rows["mine"]
    assert rows["patch-unflushed-ppc"].count("unlink U2") == 3
    assert rows["patch-flush-ppc"].endswith("holds q")
    assert "patch-flush-arm" not in out
    found = {
        (row["site"], row["host"]): row
        for row in staleline(f"compare {file} {tiny_trace} --scenario unlink --format json").valid["linking"]
    }
    assert found["mine", "ppc-g4"]["own"]
    # The same words and operations, and so the same price and rank as those that they were copied from.
    assert found["mine", "ppc-g4"]["rank"] == found["slot-ppc", "ppc-g4"]["rank"]
    assert found["mine", "power"]["rank"] == 0
    assert found["mine", "power"]["execution"] is None
