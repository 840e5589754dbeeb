"""Results that are kept: found again under the same content alone, and never in the way of an answer."""

from __future__ import annotations

import dataclasses
import enum
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
import pytest
from conftest import ROOT, Staleline
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import scenarios
from bench.check import cell
from bench.check.cell import Check, Options
from bench.check.sites import verdict_key
from bench.hosts import load_host, load_target
from bench.program.identity import identity
from bench.replay import replay
from bench.replay.context import Pricing
from bench.replay.parameters import Parameters
from bench.risk.pressure import Pressure
from bench.risk.recorded import RecordedRisk
from bench.risk.risk import RiskCell
from bench.risk.window import Reading
from bench.sites.reader import load_site
from bench.support import kept
from bench.support.kept import FOLDER, Shelf, digest, session
from bench.traces.store import load_trace
from bench.translators.registry import load_translator
from strategies import registry
from strategies.strategy import Strategy

SHELF: Shelf[list[int]] = Shelf("numbers", list[int], __file__)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, as a process that has just begun finds it."""
    monkeypatch.setenv(FOLDER, str(tmp_path))
    begin_anew()
    return tmp_path


def begin_anew() -> None:
    kept._store_of.cache_clear()
    kept._say_that_nothing_is_kept.cache_clear()


def computed(parts: Any, value: list[int] | None = None) -> tuple[list[int], bool]:
    """The value, and whether it was computed."""
    calls: list[int] = []

    def compute() -> list[int]:
        calls.append(1)
        return value or [1, 2, 3]

    return SHELF.kept(parts, compute), bool(calls)


# --- content ----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Point:
    x: object
    y: object = 0


class Other(msgspec.Struct, frozen=True):
    x: object
    y: object = 0


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


def test_contents_that_differ_have_different_digests() -> None:
    different: list[Any] = [
        *(None, True, False, 0, 1, 1.0, -1, "", "1", b"", b"1", "True", (), (1,), (1, 1), ((1,), 1), (1, (1,)), {}),
        *({1: 2}, {2: 1}, {1}, {1, 2}, Colour.RED, Colour.BLUE, Colour, Point, Point(1), Point(1, 1), Other(1)),
        *(np.arange(3), np.arange(3, dtype=np.int32), np.arange(4), np.zeros((2, 2)), np.zeros(4), ("ab", "c")),
        *(("a", "bc"), "\udc80", float("inf"), 0.1 + 0.2, 0.3),
    ]
    assert len({digest(one) for one in different}) == len(different)


def test_equal_contents_have_one_digest_whatever_they_are_held_in() -> None:
    assert digest((1, "a")) == digest([1, "a"])
    assert digest({"a": 1, "b": 2}) == digest(MappingProxyType({"b": 2, "a": 1}))
    assert digest({3, 1, 2}) == digest(frozenset({1, 2, 3}))
    assert digest(np.arange(10)[::2]) == digest(np.arange(0, 10, 2))
    shared = Point(1)
    assert digest((shared, shared)) == digest((Point(1), Point(1)))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner) | st.builds(Point, inner, inner),
    max_leaves=5,
)


@settings(max_examples=50)
@given(values, values)
def test_a_digest_is_of_the_content(one: Any, other: Any) -> None:
    if digest(one) == digest(other):
        assert one == other
    else:
        assert repr(one) != repr(other) or one != other


def test_what_nobody_knows_the_content_of_is_refused() -> None:
    for unknown in (object(), lambda: 0, Point(object()), [iter(())]):
        with pytest.raises(TypeError, match="what is its content"):
            digest(unknown)


# --- a store that works -----------------------------------------------------------------------------------------------


def test_what_is_kept_is_computed_once_for_each_content(folder: Path) -> None:
    with session(told=True) as reused:
        assert computed(("a", 1)) == ([1, 2, 3], True)
        assert computed(("a", 2)) == ([1, 2, 3], True)
        begin_anew()
        assert computed(("a", 1), [4]) == ([1, 2, 3], False)
        assert reused() == "reused 1 of 3 numbers"
    assert [path.name for path in folder.iterdir()] == ["results.sqlite"]


def test_outside_a_session_and_without_a_folder_nothing_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [computed("a")[1], computed("a")[1]] == [True, True]
    monkeypatch.setenv(FOLDER, "")
    with session():
        assert [computed("a")[1], computed("a")[1]] == [True, True]
    assert not list(folder.iterdir())


def test_fresh_ignores_what_is_kept_and_writes_it_anew(folder: Path) -> None:
    with session():
        computed("a")
    with session(fresh=True):
        assert computed("a", [4]) == ([4], True)
    with session():
        assert computed("a") == ([4], False)


def test_other_sources_and_other_kinds_keep_apart(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "mine.py"
    keys = set()
    for text in ("x = 1", "x = 2", "from bench.hosts import profile", "from bench.support import text"):
        source.write_text(text)
        kept.version.cache_clear()
        from bench.support import versions

        versions._read.cache_clear()
        keys.add(Shelf("numbers", list[int], str(source)).key("a"))
    keys |= {Shelf("others", list[int], str(source)).key("a"), SHELF.key("a")}
    assert len(keys) == 6


def test_the_file_stays_within_its_bound_and_what_was_used_last_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "MOST", 1 << 20)
    clock = iter(range(10_000_000))
    monkeypatch.setattr(kept.time, "time", lambda: next(clock))
    with session():
        for number in range(400):
            computed(number, [number] * 10_000)
            assert (folder / "results.sqlite").stat().st_size <= 1 << 20
        assert not computed(399)[1]
        assert computed(0)[1]
        large = [1] * (1 << 18)
        assert [computed("large", large)[1], computed("large", large)[1]] == [True, True]


# --- a store that does not --------------------------------------------------------------------------------------------


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def overwritten(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def changed_value(path: Path) -> None:
    """Another value in the place of the right one, as a bit that fell over."""
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE kept SET value = ?", (msgspec.msgpack.encode([6, 6, 6]),))
    connection.close()


def exchanged(path: Path) -> None:
    """The value of another key, whole as it is."""
    with sqlite3.connect(path) as connection:
        (row,) = connection.execute("SELECT value, whole FROM kept LIMIT 1")
        connection.execute("UPDATE kept SET key = key || x'00'")
        connection.execute("INSERT INTO kept VALUES (?, ?, ?, 0)", (SHELF.key("a"), *row))
    connection.close()


def another_table(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE kept (something TEXT)")
    connection.close()


def of_another_type(path: Path) -> None:
    """Whole, but not what is read as this type."""
    value = msgspec.msgpack.encode({"no": "list"})
    with sqlite3.connect(path) as connection:
        row = (value, kept._hashed("kept", SHELF.key("a"), value))
        connection.execute("UPDATE kept SET value = ?, whole = ?", row)
    connection.close()


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "damage", [cut, overwritten, emptied, changed_value, exchanged, another_table, of_another_type, a_folder]
)
def test_a_damaged_store_gives_no_wrong_number_and_stops_nothing(damage: Callable[[Path], None], folder: Path) -> None:
    with session():
        for key in ("b", "a") if damage is exchanged else ("a",):
            computed(key, [5] if key == "b" else None)
        begin_anew()
        damage(folder / "results.sqlite")
        assert computed("a") == ([1, 2, 3], True)
        begin_anew()
        again = computed("a", [1, 2, 3])
    assert again == ([1, 2, 3], damage in (another_table, a_folder))  # those are not ours to remove


def test_any_byte_may_be_another(folder: Path) -> None:
    with session():
        for key in range(20):
            computed(key, [key] * 300)
        kept._store_of.cache_clear()
        path = folder / "results.sqlite"
        whole = path.read_bytes()
        for place in range(0, len(whole), 1009):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
            begin_anew()
            for key in range(20):
                assert computed(key, [key] * 300)[0] == [key] * 300
            store = kept._store()
            store.close()


def test_without_a_place_it_is_said_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "file").write_text("a file where the folder should be")
    monkeypatch.setenv(FOLDER, str(folder / "file"))
    with session():
        assert [computed(key)[1] for key in ("a", "b", "a")] == [True] * 3
    assert capsys.readouterr().err.splitlines() == ["staleline: results cannot be kept: computing anew in every run"]


def test_a_process_that_holds_the_file_does_not_stop_another(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with session():
        computed("a")
        monkeypatch.setattr(kept, "_PATIENCE", 0.1)
        begin_anew()
        holding = sqlite3.connect(folder / "results.sqlite")
        holding.execute("BEGIN EXCLUSIVE")
        assert computed("a") == ([1, 2, 3], True)
        holding.rollback()
        holding.close()
        begin_anew()
        assert computed("a") == ([1, 2, 3], False)


# --- several processes ------------------------------------------------------------------------------------------------

_WRITER = """
import itertools, sys
from bench.support.kept import Shelf, session
shelf, (first, last, rounds) = Shelf("numbers", list[int], sys.argv[1]), map(int, sys.argv[2:])
with session(fresh=rounds > 1):
    print("begun", flush=True)
    for number in itertools.chain.from_iterable(range(first, last) for _ in range(rounds)):
        assert shelf.kept(number, lambda: [number] * 500) == [number] * 500, number
print("ended", flush=True)
"""


def writer(folder: Path, first: int, last: int, rounds: int = 1) -> subprocess.Popen[str]:
    environment = os.environ | {FOLDER: str(folder), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", _WRITER, __file__, *map(str, (first, last, rounds))]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_several_processes_write_at_once_and_one_is_killed(folder: Path) -> None:
    killed, *others = writer(folder, 0, 400, 10**6), writer(folder, 0, 300), writer(folder, 100, 400)
    assert killed.stdout.readline() == "begun\n"
    ended = [other.communicate() for other in others]
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert [(out, err) for out, err in ended] == [("begun\nended\n", "")] * 2
    with session():
        found = [computed(number, [number] * 500) for number in range(400)]
    assert [value for value, _ in found] == [[number] * 500 for number in range(400)]
    assert sum(anew for _, anew in found) == 0
    connection = sqlite3.connect(folder / "results.sqlite")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


# --- what is kept -----------------------------------------------------------------------------------------------------


def variants(tmp_path: Path) -> dict[str, dict[str, Any]]:
    """What a verdict or a replay may depend on, one thing changed in each."""
    own = tmp_path / "own.py"
    own.write_text(OWN)
    return {
        "the same": {},
        "strategy": {"strategy": "scratch-buffer"},
        "a strategy in a file": {"strategy": f"{own}:Own"},
        "translator": {"translator": "arm@2011"},
        "ways": {"settings": ("icache.ways=2",)},
        "line": {"settings": ("icache.line=64",)},
        "replacement": {"settings": ("icache.replacement=lru",)},
        "data cache": {"settings": ("dcache.write_allocate=false",)},
        "second level": {"settings": ("l2.ways=4",)},
        "snooping": {"settings": ("coherence.snoop=all",)},
        "flush": {"settings": ("isa.arm.flush.clean=false",)},
        "footprint": {"parameters": ("translator_code_lines=100",)},
        "seed": {"parameters": ("seed=2",)},
        "trace": {"trace": "user-wc"},
        "as recorded": {"as_recorded": True},
        "retranslations": {"options": {"retranslations": 1}},
        "hazard": {"options": {"hazard": "lasting"}},
        "units": {"options": {"units": "together"}},
        "limit": {"options": {"max_states": 7}},
        "layout": {"options": {"layout": "packed"}},
        "scenario": {"scenario": "user"},
        "cores": {"settings": ("cores=4",), "scenario": "user"},
        "price": {"settings": ("costs.lock=7", "isa.arm.flush.line=9", "clock_ghz=3")},
        "parameter": {"parameters": ("lookup=9", "linked=0.5"), "vcpus": 3},
    }


OWN = """
from staleline import Flush, Strategy

class Own(Strategy):
    def publish(self, region):
        return (*super().publish(region), Flush(region))
"""

_OF_REPLAY = {
    *("strategy", "a strategy in a file", "translator", "ways", "line", "replacement", "data cache", "second level"),
    *("snooping", "flush", "footprint", "seed", "trace", "as recorded"),
}
_OF_CHECK = {
    *("strategy", "a strategy in a file", "translator", "line", "data cache", "snooping", "flush", "retranslations"),
    *("hazard", "units", "limit", "layout", "scenario", "cores"),
}


def keys(
    tiny_trace: Path,
    *,
    strategy: str = "idempotent",
    translator: str = "arm@2010",
    settings: tuple[str, ...] = (),
    parameters: tuple[str, ...] = (),
    vcpus: int | None = None,
    trace: str = "",
    as_recorded: bool = False,
    scenario: str = "system",
    options: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[bytes, bytes]:
    """The keys of a replay and of a verdict."""
    found, host = registry.find(strategy), load_host("cortex-a9", settings)
    emitted = load_translator(translator)
    assumed = Parameters(vcpus=vcpus, as_recorded=as_recorded).varied(parameters)
    with session():
        replayed = replay._key(load_trace(trace or tiny_trace), Pricing(host, emitted, assumed), found)
        checked = Check(found, emitted, host, scenario, Options(**options))._key()
    assert replayed is not None
    assert checked is not None
    return replay._KEPT.key(replayed), cell._KEPT.key(checked)


@pytest.mark.slow
def test_each_thing_that_a_result_depends_on_is_in_its_key_and_no_price(
    folder: Path, tiny_trace: Path, tmp_path: Path
) -> None:
    every = variants(tmp_path)
    found = {name: keys(tiny_trace, **changed) for name, changed in every.items()}
    same = found["the same"]
    assert {name for name, (replayed, _) in found.items() if replayed != same[0]} == _OF_REPLAY
    assert {name for name, (_, checked) in found.items() if checked != same[1]} == _OF_CHECK
    assert len({replayed for replayed, _ in found.values()}) == len(_OF_REPLAY) + 1
    assert len({checked for _, checked in found.values()}) == len(_OF_CHECK) + 1


@pytest.mark.slow
def test_each_thing_that_a_risk_depends_on_is_in_its_key(folder: Path, tiny_trace: Path) -> None:
    """Prices too: they decide how long it takes until a block runs again."""
    every: dict[str, dict[str, Any]] = {
        "the same": {},
        "strategy": {"strategy": "flush-on-retranslation"},
        "translator": {"translator": "arm@2011"},
        "host": {"host": "cortex-a72"},
        "caches": {"settings": ("icache.ways=2",)},
        "price": {"settings": ("costs.refill_l2=9",)},
        "clock": {"settings": ("clock_ghz=3",)},
        "flush": {"settings": ("isa.arm.flush.clean=false",)},
        "scenario": {"scenario": "migrate"},
        "threads": {"scenario": "user"},
        "cores": {"settings": ("cores=4",), "scenario": "user"},
        "trace": {"trace": "user-wc"},
        "footprint": {"parameters": ("guest_data_lines=7",)},
        "as recorded": {"as_recorded": True},
        "pressure": {"pressure": ("interrupts=7",)},
        "window": {"window": "cold"},
        "rate": {"rate": 7.0},
        "sensitivity": {"sensitivity": True},
    }

    def key(
        *,
        strategy: str = "unfixed",
        translator: str = "arm@2010",
        host: str = "cortex-a9",
        settings: tuple[str, ...] = (),
        scenario: str = "system",
        trace: str = str(tiny_trace),
        parameters: tuple[str, ...] = (),
        as_recorded: bool = False,
        pressure: tuple[str, ...] = (),
        window: Reading = "between",
        **asked: Any,
    ) -> bytes:
        found, emitted, on = registry.find(strategy), load_translator(translator), load_host(host, settings)
        model = RecordedRisk(
            on,
            emitted,
            load_trace(trace),
            Pressure(window=window).varied(pressure),
            Parameters(as_recorded=as_recorded).varied(parameters),
            **asked,
        )
        instance = scenarios.scenario(scenario, on.cores.value, retranslations=1)
        assert instance is not None
        with session():
            return digest(model._key(RiskCell(found, on, emitted, instance)))

    assert len({key(**changed) for changed in every.values()}) == len(every)


def test_each_thing_that_a_verdict_on_a_site_depends_on_is_in_its_key_and_no_price() -> None:
    every: dict[str, dict[str, Any]] = {
        "the same": {},
        "site": {"site": "no-link-aarch64"},
        "word": {"changed": {"targets": {"near": 0x7000}}},
        "line": {"settings": ("icache.line=128",)},
        "data line": {"settings": ("dcache.line=128",)},
        "indexing": {"settings": ("icache.indexing=VIPT",)},
        "snooping": {"settings": ("coherence.snoop=all",)},
        "cores": {"settings": ("cores=3",)},
        "flush": {"settings": ("isa.aarch64.flush.clean=false",)},
        "scenario": {"scenario": "relink"},
        "executors": {"executors": 2},
        "limit": {"max_states": 7},
        "architecture": {"host": "armv8"},
        "a stronger architecture": {"host": "armv8-idc"},
    }
    nothing: dict[str, dict[str, Any]] = {
        "price": {"settings": ("costs.lock=7", "isa.aarch64.flush.line=9", "clock_ghz=3")},
        "replacement": {"settings": ("icache.replacement=lru",)},
        "what is said of it": {"changed": {"note": "other words", "year": 1999, "expect": {"far": "fails"}}},
    }

    def key(
        *,
        site: str = "flag-aarch64",
        changed: Mapping[str, Any] = MappingProxyType({}),
        host: str = "cortex-a72",
        settings: tuple[str, ...] = (),
        scenario: str = "unlink",
        executors: int = 1,
        max_states: int = 100,
    ) -> bytes:
        asked = dataclasses.replace(load_site(site), **changed)
        return digest(verdict_key(asked, load_target(host, settings), scenario, executors, max_states))

    assert len({key(**changed) for changed in every.values()}) == len(every)
    assert {name for name, changed in nothing.items() if key(**changed) != key()} == set()


@pytest.mark.slow
def test_a_strategy_is_its_sources_and_what_its_hooks_give(folder: Path, tmp_path: Path) -> None:
    """The module of a helper, and a value that only its operations show; a class that nobody can read is not known."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    (tmp_path / "own.py").write_text(
        OWN.replace("Strategy):", "Strategy):\n    size = int(__import__('os').environ.get('SIZE', 0))").replace(
            "from staleline", "import helper\nfrom staleline"
        )
        + "\n    def side_bytes(self, tb):\n        return self.size\n"
    )
    script = (
        "import os, sys\nexec(os.environ.get('FIRST', ''))\nfrom bench.program.identity import identity\n"
        "from bench.translators.registry import load_translator\n"
        "from strategies import registry\nprint(identity(registry.find(sys.argv[1]), load_translator('arm')).hex())"
    )

    def known(**more: str) -> str:
        command = [sys.executable, "-c", script, f"{tmp_path / 'own.py'}:Own"]
        ran = subprocess.run(command, env=environment | more, capture_output=True, text=True, check=True)
        return ran.stdout

    (tmp_path / "helper.py").write_text("x = 1")
    first = known()
    assert known(FIRST="import bench.search.kernel, numba") == first  # whatever else is loaded
    assert known(SIZE="3") != first
    (tmp_path / "helper.py").write_text("x = 2")
    assert known() != first

    class Local(Strategy):
        """Nobody knows what it closes over."""

    assert identity(Local(), load_translator("arm")) is None


@pytest.mark.slow
def test_what_is_kept_answers_as_what_is_computed(folder: Path, staleline: Staleline, tiny_trace: Path) -> None:
    command = "compare --strategy unfixed,side-table,stop-the-world-flush --scenario system,user --format json"
    settings = ("", "--set icache.ways=2", "--set costs.lock=7")
    answers = []
    for one in settings:
        ran = staleline(f"{command} {one} --verbose", str(tiny_trace))
        answers.append(ran.out)
        begin_anew()
    assert "reused 4 of 4 replays and 9 of 9 verdicts" in ran.err  # another price
    for one, answer in zip(settings, answers, strict=True):
        again = staleline(f"{command} {one} --verbose", str(tiny_trace))
        assert "reused 4 of 4 replays and 9 of 9 verdicts" in again.err
        assert again.out == answer
        begin_anew()
    assert staleline(f"{command} --fresh", str(tiny_trace)).out == answers[0]


@pytest.mark.slow
def test_a_risk_that_is_kept_is_the_one_that_is_computed(folder: Path, staleline: Staleline, tiny_trace: Path) -> None:
    asked = ("--strategy unfixed,idempotent", "--strategy unfixed --scenario system --sensitivity")
    commands = [f"risk --format json --verbose {one}" for one in asked]
    first = [staleline(one, str(tiny_trace)) for one in commands]
    begin_anew()
    again = [staleline(one, str(tiny_trace)) for one in commands]
    assert [one.out for one in again] == [one.out for one in first]
    assert [one.err for one in again] == [f"staleline: reused {n} of {n} risks\n" for n in (4, 1)]


def test_a_counterexample_that_the_machine_cannot_take_is_searched_again(folder: Path, staleline: Staleline) -> None:
    """As if an entry of another question lay under the key of this one."""
    command = "check unfixed --scenario system --format json --verbose"
    first = staleline(command).out
    with session():
        found = Check(registry.find("unfixed"), load_translator("arm"), load_host("cortex-a9"), "system", Options())
        key = found._key()
        kept_before = cell._KEPT.find(key)
        cut = dataclasses.replace(kept_before.outcome, events=kept_before.outcome.events[1:])
        cell._KEPT.keep(key, dataclasses.replace(kept_before, outcome=cut))
    begin_anew()
    assert staleline(command).out == first
