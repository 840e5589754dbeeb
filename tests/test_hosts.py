"""Host profiles: the shipped ones, ``--set``, and what bad input is told."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bench.hosts
from bench.check import asked
from bench.hosts import Host, host_names, load_host
from bench.hosts.profile import Figure
from bench.support.errors import InputError

PROFILES = Path(bench.hosts.__file__).parent
A9 = (PROFILES / "cortex-a9.toml").read_text()

# The name of each profile in the collected facts.
SAME = "cortex-a8 cortex-a9 cortex-a53 cortex-a72 neoverse-v1 mips-24kc loongson-3a ultrasparc-3 itanium2 sifive-u74"
IN_FACTS = {name: name.replace("-", "_") for name in ("z10", *SAME.split())}
IN_FACTS |= {"arm926": "arm926ejs", "ppc-g4": "ppc7447", "ppc-g5": "ppc970", "ultrasparc-2": "ultrasparc_1_2"}
IN_FACTS |= {"x86-skylake": "intel_skylake"}
NAMES = host_names()
ISAS = {"arm", "aarch64", "hppa", "i386", "ia64", "mips", "ppc", "ppc64", "riscv64", "s390x", "sparc", "x86-64"}


@pytest.fixture(scope="session")
def facts(shared: Path) -> dict[str, Any]:
    """The collected facts by host."""
    return {host["id"]: host for host in json.loads((shared / "facts" / "hosts.json").read_text())["hosts"]}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str | bytes], str]:
    """Write a profile, return its path."""

    def _write(content: str | bytes) -> str:
        path = tmp_path / "my.toml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return _write


def tables(tree: Any) -> Iterator[dict[str, Any]]:
    """Every table of a profile."""
    if isinstance(tree, dict):
        yield tree
        for value in tree.values():
            yield from tables(value)


def complaint(name: str, *changes: str) -> str:
    """The error of loading ``name`` with those settings, checked to be one line."""
    with pytest.raises(InputError) as caught:
        load_host(name, changes)
    text = str(caught.value)
    assert "\n" not in text
    assert "expected" in text
    return text


def test_the_hosts_of_the_facts_are_there() -> None:
    assert set(IN_FACTS) < set(NAMES)
    assert sorted(NAMES) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_loads_is_named_as_its_file_and_every_fact_has_a_public_source(name: str) -> None:
    host = load_host(name)
    assert (host.name, host.derived) == (name, ())
    assert set(host.isa) <= ISAS
    for table in tables(msgspec.to_builtins(host)):
        for key, value in table.items():
            if key.endswith("source"):
                assert table[key.removesuffix("source") + "tag"] in ("measured", "documented", "estimate", "assumed")
                assert all(not re.search(r"costs\.md|/work|/tmp|local mirror", source) for source in value)


@pytest.mark.parametrize("name", NAMES)
def test_an_assumption_is_not_dressed_as_knowledge_nor_the_reverse(name: str) -> None:
    for table in tables(msgspec.to_builtins(load_host(name))):
        for prefix in ("", "replacement_", "write_", "clock_"):
            sources = table.get(f"{prefix}source", ())
            tag = table.get(f"{prefix}tag")
            named = {match[0] for source in sources if (match := re.match(r"rule (E\d|C1)", source))}
            if any(rule.startswith("rule E") for rule in named) and len(sources) == len(named):
                assert tag in ("estimate", "measured"), table
            if sources and all(source.startswith("default of this project") for source in sources):
                assert tag == "assumed", table


def test_main_isa_is_the_first_of_the_file() -> None:
    first = {"cortex-a9": "arm", "cortex-a53": "aarch64", "cortex-a72": "aarch64", "ppc-g5": "ppc64"}
    first |= {"x86-skylake": "x86-64"}
    assert {name: load_host(name).main_isa for name in first} == first


def test_features_that_the_design_fixes() -> None:
    hosts = {name: load_host(name) for name in (*IN_FACTS, "pa-8600")}

    def having(what: Callable[[Host], object]) -> set[str]:
        return {name for name, host in hosts.items() if what(host)}

    assert {"cortex-a53", "loongson-3a", "neoverse-v1"} <= having(lambda h: h.coherence.fill.value == "coherent")
    assert {"cortex-a8", "cortex-a9", "cortex-a72", "arm926", "mips-24kc"} <= having(
        lambda h: h.coherence.fill.value == "pou"
    )
    assert having(lambda h: h.coherence.snoop.value == "others") == {"ultrasparc-2"}
    assert having(lambda h: h.coherence.snoop.value == "all") == {"neoverse-v1", "x86-skylake", "z10", "ultrasparc-3"}
    assert having(lambda h: h.coherence.checks_pipeline.value) == {"x86-skylake", "z10"}
    assert having(lambda h: not h.coherence.fetches_ahead.value) == {"x86-skylake", "z10"}
    assert having(lambda h: h.coherence.switch_cleans_all.value) == {"arm926"}
    assert having(lambda h: h.coherence.store_buffer.value) == {"x86-skylake"}
    assert having(lambda h: h.cores.value == 1) == {"arm926", "cortex-a8", "mips-24kc"}
    stores = {"cortex-a9": ("back", True), "arm926": ("back", False), "ultrasparc-2": ("through", False)}
    assert {name: (hosts[name].dcache.write, hosts[name].dcache.write_allocate) for name in stores} == stores


@pytest.mark.parametrize("name", NAMES)
def test_a_flush_does_what_the_caches_need(name: str) -> None:
    """Where stores leave stale lines a flush drops them; where fills miss dirty lines, it cleans them."""
    host = load_host(name)
    reach = {"none": 0, "local": 1, "broadcast": 2}
    needed = {"all": 0, "others": 1, "none": 2 if host.cores.value > 1 else 1}[host.coherence.snoop.value]
    for isa in host.isa.values():
        assert reach[isa.flush.invalidate] == needed
        assert isa.flush.sync == host.coherence.fetches_ahead.value
        if host.coherence.fill.value == "pou" and host.dcache.write == "back":
            assert isa.flush.clean


@pytest.mark.parametrize("name", IN_FACTS)
def test_geometry_is_that_of_the_facts(name: str, facts: dict[str, Any]) -> None:
    host, geometry = load_host(name), facts[IN_FACTS[name]]["geometry"]
    for cache, level in ((host.icache, "l1i"), (host.dcache, "l1d"), (host.l2, "l2")):
        known = geometry[level]
        if known is None:
            assert cache is None
            continue
        shape = (cache.size, "size_kib", 1024), (cache.ways, "ways", 1), (cache.line, "line_bytes", 1)
        for value, key, unit in shape:
            fact = known.get(key)
            if isinstance(fact, int):
                assert value == fact * unit, (level, key)
            elif fact:  # "8-64, typical 32", "16/32", "64, two 32-B sectors"
                numbers = [int(number) * unit for number in re.findall(r"\d+", fact)]
                assert value in numbers or min(numbers) <= value <= max(numbers), (level, key)


@pytest.mark.parametrize("name", IN_FACTS)
def test_cost_figures_are_those_of_the_facts(name: str, facts: dict[str, Any]) -> None:
    host, costs = load_host(name), facts[IN_FACTS[name]]["costs"]
    flush = host.isa[host.main_isa].flush
    compared = {"per_line": flush.line, "call_fixed": flush.call, "remote": flush.remote}
    compared |= {"refill_l2": host.costs.refill_l2, "refill_dram": host.costs.refill_memory}
    compared |= dict.fromkeys(("siis_event", "smc_clear"), host.costs.store_into_code)
    for key, figure in compared.items():
        if (cost := costs.get(key)) is None:
            continue
        assert figure is not None and figure.tag == cost["tag"], key
        if key == "call_fixed" and "fence_i" in costs:  # the instruction itself belongs to the call
            assert figure.value == cost["value"] + costs["fence_i"]["value"]
            continue
        nanoseconds = [value / host.clock_ghz for value in figure.in_cycles(host.clock_ghz)]
        nominal = cost["value_ns"]
        low, high = cost.get("range_ns", (nominal, nominal))
        assert nanoseconds == pytest.approx([low, nominal, high], rel=1e-3, abs=1e-9), key


def test_a_figure_in_cycles() -> None:
    figure = Figure(value=10, low=5, high=20, unit="ns", tag="assumed", source=("test",))
    assert figure.in_cycles(2.0) == (10, 20, 40)
    assert msgspec.structs.replace(figure, unit="cycles").in_cycles(2.0) == (5, 10, 20)


def test_a_profile_of_the_user_loads_from_its_file_and_shadows_no_shipped_name(
    write: Callable[[str | bytes], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_host(write(A9.replace('name = "cortex-a9"', 'name = "mine"', 1))).name == "mine"
    monkeypatch.chdir(tmp_path)
    for file in ("profile", "z10"):
        Path(file).write_text(A9)
    found = load_host("profile")  # without suffix
    assert found.file == "profile"
    assert msgspec.structs.replace(found, file="") == load_host("cortex-a9")
    assert load_host("z10").name == "z10"


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("dcache.write_allocate=false", "dcache.write_allocate", False),
        ("write_allocate = false", "dcache.write_allocate", False),
        ("fill=coherent", "coherence.fill", "coherent"),
        ("coherence.fill.value=coherent", "coherence.fill", "coherent"),
        ("snoop=all", "coherence.snoop", "all"),
        ("fetches_ahead=false", "coherence.fetches_ahead", False),
        ("store_buffer=4", "coherence.store_buffer", 4),
        ("cores=4", "cores", 4),
        ("icache.size=16384", "icache.size", 16384),
        ("isa.arm.flush.clean=false", "isa.arm.flush.clean", False),
        ("clean=false", "isa.arm.flush.clean", False),
        ("costs.cpi=1.25", "costs.cpi", 1.25),
        ("costs.cpi.high=3", "costs.cpi.high", 3.0),
        ("l2.replacement=round-robin", "l2.replacement", "round-robin"),
        ("clock_ghz=2", "clock_ghz", 2.0),
    ],
)
def test_set_changes_one_value_and_says_so(setting: str, path: str, value: object) -> None:
    host = load_host("cortex-a9", [setting])
    assert host.name == "cortex-a9"
    assert [entry.partition("=")[0] for entry in host.derived] == [path]
    here: Any = msgspec.to_builtins(host)
    above: Any = here
    for step in path.split("."):
        above, here = here, here[step]
    if isinstance(here, dict):
        above, here = here, here["value"]
    assert here == value
    assert type(here) is type(value)
    prefix = {"write_allocate": "write_", "replacement": "replacement_", "clock_ghz": "clock_"}.get(path.split(".")[-1])
    assert above[f"{prefix or ''}tag"] == "assumed"
    assert above[f"{prefix or ''}source"] == ("set by the user",)


def test_set_leaves_the_rest_as_it_was() -> None:
    plain = msgspec.to_builtins(load_host("cortex-a9"))
    changed = msgspec.to_builtins(load_host("cortex-a9", ["snoop=all"]))
    assert changed["coherence"].pop("snoop") != plain["coherence"].pop("snoop")
    assert changed.pop("derived") == ("coherence.snoop=all",)
    assert plain.pop("derived") == ()
    assert changed == plain


def test_a_figure_that_is_set_has_no_range_and_settings_have_to_make_sense_only_together() -> None:
    host = load_host("cortex-a9", ["cpi=1.25", "checks_pipeline=true", "fetches_ahead=false"])
    assert (host.costs.cpi.low, host.costs.cpi.value, host.costs.cpi.high) == (1.25, 1.25, 1.25)
    assert (host.coherence.checks_pipeline.value, host.coherence.fetches_ahead.value) == (True, False)


def test_a_setting_that_is_a_long_number_is_one_line() -> None:
    text = complaint("cortex-a9", f"cores={'9' * 5000}")
    assert "cores.value: found '999" in text
    assert text.startswith("`settings`")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("clock_ghz = 1.2", f"clock_ghz = {'9' * 400}", "clock_ghz: found an integer of 1329 bits"),
        ("clock_ghz = 1.2", f"clock_ghz = {'9' * 5000}", "Exceeds the limit"),
        ("size = 32768", f"size = 0x{'f' * 5000}", "icache.size: found an integer of 20000 bits"),
    ],
)
def test_a_bad_profile_is_one_line(old: str, new: str, words: str, write: Callable[[str | bytes], str]) -> None:
    assert old in A9
    path = write(A9.replace(old, new))
    text = complaint(path)
    assert words in text
    assert text.startswith(path + ": ")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "name: missing"),
        ("a = " + "[" * 5000, "nested too deeply"),
        ("#" * (1 << 20) + "\n", "found more than 1048576 bytes"),
        ("isa = 3", "isa: found 3; expected a table"),
        ("a = 1979-13-40", "line 1, column"),
    ],
)
def test_what_is_no_profile_is_one_line(content: str, words: str, write: Callable[[str | bytes], str]) -> None:
    assert words in complaint(write(content))


def test_an_l2_needs_its_refill(write: Callable[[str | bytes], str]) -> None:
    without = re.sub(r"\[costs\.refill_l2\]\n(?:[^\[].*\n)*?(?=\n\[)", "", A9)
    assert "found l2 without costs.refill_l2" in complaint(write(without))


def test_a_path_that_cannot_be_read_and_an_unknown_name_are_one_line() -> None:
    assert "No such file" in complaint(f"missing{os.sep}profile")
    assert "null byte" in complaint("a\0b.toml")
    assert "too long" in complaint("x" * 5000 + ".toml")
    assert "unknown host ''" in complaint("")


VALUES = ["", "0", "-1", "1e400", "nan", '"x"', '"\\u0000"', "[]", "[[1]]", "{}", "{a=1}", "true", "1979-05-27", "'\n"]


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """A shipped profile with some lines lost, doubled, moved or given another value, and some bytes changed."""
    lines = (PROFILES / f"{draw(st.sampled_from(sorted(IN_FACTS)))}.toml").read_text().splitlines()
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["drop", "double", "swap", "value", "key"])):
            case "drop":
                lines.pop(at)
            case "double":
                lines.insert(at, lines[at])
            case "swap":
                other = draw(st.integers(0, len(lines) - 1))
                lines[at], lines[other] = lines[other], lines[at]
            case "value":
                lines[at] = f"{lines[at].partition('=')[0]}= {draw(st.sampled_from(VALUES))}"
            case "key":
                lines[at] = f"{draw(st.text(max_size=4))}{lines[at]}"
    data = bytearray("\n".join(lines).encode())
    for at, byte in draw(st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=2)):
        data[at] = byte
    return bytes(data)


@pytest.mark.slow
@given(mutations())
@settings(max_examples=300, deadline=None)
def test_any_profile_loads_or_is_refused_in_one_line(data: bytes) -> None:
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write(data)
        file.flush()
        try:
            host = load_host(file.name)
        except InputError as error:
            assert "\n" not in str(error)
        else:
            assert msgspec.convert(msgspec.to_builtins(host), Host) == host


@given(st.text(max_size=30), st.text(max_size=30))
@settings(max_examples=40, deadline=None)
def test_any_setting_is_taken_or_refused_in_one_line(key: str, value: str) -> None:
    keys = ["write_allocate", "cores", "costs.cpi", "coherence.fill", "isa.arm.flush.clean", "clock_ghz", key]
    for setting in (f"{name}={value}" for name in keys):
        try:
            load_host("cortex-a9", [setting])
        except InputError as error:
            assert "\n" not in str(error)


_LOCK = 'value = 7\nlow = 5\nhigh = 9\nunit = "ns"\ntag = "measured"\nsource = ["a stopwatch"]\n'


def test_a_profile_of_ten_lines_has_the_rest_of_its_base(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(f'name = "mine"\nbase = "neoverse-v1"\ntitle = "Mine"\n\n[costs.lock]\n{_LOCK}')
    host, base = load_host(str(file)), load_host("neoverse-v1")
    assert (host.name, host.base, host.costs.lock.value, host.costs.lock.tag) == ("mine", "neoverse-v1", 7, "measured")
    assert (host.icache, host.coherence, host.isa) == (base.icache, base.coherence, base.isa)
    assert host.costs.stop == base.costs.stop


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('base = "neoverse-v2"', r"base: unknown profile .neoverse-v2. \(closest: neoverse-v1\)"),
        ("base = 1", "base: unknown profile 1; expected one of"),
        ('base = "neoverse-v1"\n[icache]\nsize = 1024', "line 5: icache.size: found size without tag and source"),
        ('base = "neoverse-v1"\nclock_ghz = 3', "found clock_ghz without clock_tag and clock_source"),
        ('base = "neoverse-v1"\n[costs.lock]\nvalue = 1', "costs.lock.tag: missing"),
        ('base = "neoverse-v1"\n[costs.lok]\nvalue = 1', "costs.lok: unknown key; expected lock"),
    ],
)
def test_what_a_profile_with_a_base_may_not_leave_out(tmp_path, text, error):
    file = tmp_path / "mine.toml"
    file.write_text(f'name = "mine"\ntitle = "Mine"\n{text}\n')
    with pytest.raises(InputError, match=error):
        load_host(str(file))


def test_two_hosts_of_one_name_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(A9.replace("clock_ghz = 1.2", "clock_ghz = 1.3"), encoding="utf-8")
    assert [one.name for one in asked.targets([str(file)])] == ["cortex-a9"]
    with pytest.raises(InputError, match=r"mine\.toml: name: two hosts called 'cortex-a9'; expected a name of its own"):
        asked.targets(["cortex-a9", str(file)])
