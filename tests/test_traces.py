"""Traces: the file format, the shipped traces, what a trace holds, and modelled workloads."""

from __future__ import annotations

import dataclasses
import itertools
import lzma
import operator
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
import pytest
import zstandard
from conftest import ROOT
from given import Given, blocks_of, given_trace
from hypothesis import given, settings
from hypothesis import strategies as st
from test_qemu_log import COLUMNS

from bench.support.errors import InputError
from bench.tools.make_shipped import make_shipped
from bench.traces.info import distribution, info, reexecution
from bench.traces.model import TOP, WINDOW, ModelParameters, Quantiles, measured, model_trace
from bench.traces.shipped import DEFAULT_TRACE, SHIPPED
from bench.traces.store import default_trace, load_trace, save_trace, shipped_trace, writing
from bench.traces.successor import STOPPED, UNKNOWN_TB, Decoder, Encoder, Words
from bench.traces.trace import CHUNK, Blocks, Retranslations, Trace


def blocks(count: int) -> Blocks:
    size = np.arange(count)
    guest = {"guest_pc": 0xC000_0000 + 16 * size, "guest_bytes": 4 * size, "instructions": size, "accesses": size // 2}
    return blocks_of(64 + 8 * size, fast_bytes=40 + 8 * size, **guest, epoch=size // 10, born=size - 1)


def trace_of(words: list[int], *, faults: Sequence[int] = (), stops: Sequence[int] = (), chunk: int = CHUNK) -> Trace:
    lengths = range(-1, len(faults) - 1)
    more = {"stopped": stops, "flushes": [0, len(words)], "exceptions": MappingProxyType({"svc": 3})}
    return given_trace(words, blocks(8), faults, lengths, lengths, source=Given(words, chunk), **more)


def assert_same(left: Trace, right: Trace) -> None:
    for field in dataclasses.fields(Trace):
        one, other = getattr(left, field.name), getattr(right, field.name)
        if isinstance(one, Blocks | Retranslations):
            for column in dataclasses.fields(one):
                np.testing.assert_array_equal(getattr(one, column.name), getattr(other, column.name), column.name)
        elif isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other, field.name)
        elif field.name not in ("source", "content"):  # where it is from: a file, a list, a model
            assert one == other
    one, other = (np.concatenate([*trace.executions(), []]) for trace in (left, right))
    np.testing.assert_array_equal(one, other)


ids = st.one_of(st.integers(0, 7), st.just(UNKNOWN_TB))
executions = st.lists(st.builds(lambda tb, thread: thread << 24 | tb, ids, st.sampled_from([0, 0, 0, 1, 127])))

# --- the format ----------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(data=st.data(), words=executions, chunk=st.integers(1, 9))
def test_a_trace_is_read_as_it_was_written(data: st.DataObject, words: list[int], chunk: int) -> None:
    positions = st.lists(st.integers(0, max(len(words) - 1, 0)), unique=True) if words else st.just([])
    trace = trace_of(words, faults=sorted(data.draw(positions)), stops=sorted(data.draw(positions)), chunk=chunk)
    with tempfile.TemporaryDirectory() as folder:
        save_trace(trace, Path(folder) / "x.trace")
        assert_same(load_trace(Path(folder) / "x.trace"), trace)


@given(words=executions, sizes=st.lists(st.integers(1, 5), min_size=1))
def test_executions_are_coded_alike_in_any_pieces(words: list[int], sizes: list[int]) -> None:
    given_words = np.array(words, np.uint32)

    def coded(pieces: Iterator[int]) -> list[int]:
        encoder, pairs, at = Encoder(), [], 0
        while at < given_words.size:
            size = next(pieces)
            pairs.extend(encoder.add(given_words[at : at + size]).tolist())
            at += size
        return [*pairs, *encoder.finish().tolist()]

    pairs = coded(itertools.cycle(sizes))
    assert pairs == coded(itertools.repeat(1 << 20))
    decoder, out, filled, at = Decoder(8), np.zeros(given_words.size, np.uint32), 0, 0
    for size in itertools.cycle(sizes):
        if at >= len(pairs):
            break
        decoder.add(np.array(pairs[at : at + 2 * size], np.uint32))
        at += 2 * size
        filled = decoder.fill(out, filled)
    assert (filled, decoder.used_up) == (out.size, True)
    np.testing.assert_array_equal(out, given_words)


def test_executions_come_in_chunks_with_the_stopped_ones_marked_and_tables_cannot_be_changed(tmp_path: Path) -> None:
    words = [0, 1] * CHUNK
    save_trace(trace_of(words, stops=[1, CHUNK, 2 * CHUNK - 1]), tmp_path / "x.trace")
    trace = load_trace(tmp_path / "x.trace")
    with pytest.raises(ValueError, match="read-only"):
        trace.blocks.host_bytes[0] = 1
    for _ in range(2):
        chunks = list(trace.executions())
        assert [chunk.size for chunk in chunks] == [CHUNK, CHUNK]
        marked = np.flatnonzero(np.concatenate(chunks) >= STOPPED)
        assert marked.tolist() == [1, CHUNK, 2 * CHUNK - 1]


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "x.trace"
    save_trace(trace_of([0, 1]), file)
    before = file.read_bytes()

    def broken() -> Iterator[Words]:
        yield np.zeros(1, np.uint32)
        raise InputError("broken")

    class Broken:
        words = staticmethod(broken)

    with pytest.raises(InputError, match="broken"):
        save_trace(dataclasses.replace(trace_of([0, 1]), source=Broken()), file)
    with pytest.raises(ValueError, match="1 executions were added"), writing(file) as writer:
        writer.add(np.zeros(1, np.uint32))
        writer.finish(trace_of([0, 1]))
    with pytest.raises(ValueError, match="finish"), writing(file):
        pass
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["x.trace"]


SMALL = trace_of([0, 1, 2, 3] * 20 + [1 << 24, UNKNOWN_TB] * 5 + [7, 6, 5], faults=[3, 50], stops=[4])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = tmp_path_factory.mktemp("small") / "x.trace"
    save_trace(SMALL, file)
    return file.read_bytes()


@settings(max_examples=250, deadline=None)
@given(data=st.data())
def test_any_damage_to_a_file_is_told(data: st.DataObject, small: bytes) -> None:
    at = data.draw(st.integers(0, len(small) - 1))
    removed = data.draw(st.integers(0, 20))
    damaged = small[:at] + data.draw(st.binary(max_size=20)) + small[at + removed :]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.trace"
        file.write_bytes(damaged)
        try:
            trace = load_trace(file)
            for _ in trace.executions():
                pass
        except InputError as error:
            assert error.file == str(file)
            assert "\n" not in str(error)
        else:
            assert damaged == small


@pytest.mark.parametrize(
    ("content", "found", "expected"),
    [
        (b"", "an empty file", "a .trace file"),
        (b"hello", "begins with", "a .trace file"),
        (b"\x28\xb5\x2f\xfd1234567890", "trace import", "a .trace file"),
        (b"PROLOGUE: [size=45]\n", "trace import", "a .trace file"),
        (b"Trace 0: 0x7f", "trace import", "a .trace file"),
        (b"\x93STALE\r\n\x02\0\0\0" + bytes(28), "format version 2", "version 1"),
        (b"\x93STALE\r\n\x01\0\0\0", "it ends here", "40 bytes of prelude"),
        (b"\x93STALE\n\x01\0\0\0" + bytes(28), "begins with", "a .trace file"),
    ],
)
def test_a_file_of_another_kind_is_told(content: bytes, found: str, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "x.trace"
    file.write_bytes(content)
    with pytest.raises(InputError) as error:
        load_trace(file)
    assert found in str(error.value)
    assert error.value.expected == expected


def test_a_file_that_is_missing_or_was_cut_off_is_told(small: bytes, tmp_path: Path) -> None:
    for cut in (1, 10, 200):
        (tmp_path / "x.trace").write_bytes(small[:-cut])
        with pytest.raises(InputError, match="bytes that the prelude announces"):
            load_trace(tmp_path / "x.trace")
    with pytest.raises(InputError, match="cannot be read: No such file") as error:
        load_trace(tmp_path / "none.trace")
    assert error.value.expected == "a .trace file or one of linux-boot, user-gzip, user-sort, user-threads, user-wc"
    with pytest.raises(InputError, match="cannot be read"):
        load_trace(tmp_path)


def these(**columns: Any) -> dict[str, Any]:
    """Other columns of a small trace's retranslations."""
    return {"retranslations": dataclasses.replace(SMALL.retranslations, **columns)}


@pytest.mark.parametrize(
    ("place", "change"),
    [
        ("stopped", {"stopped": np.array([5, 5])}),
        ("stopped", {"stopped": np.array([93])}),
        ("flushes", {"flushes": np.array([4, 3])}),
        ("io_recompiles", {"io_recompiles": np.array([-1])}),
        ("threads", {"threads": 129}),
        ("exceptions", {"exceptions": {"svc": -1}}),
        ("blocks.fast_bytes", {"blocks": dataclasses.replace(blocks(8), fast_bytes=np.full(8, 999, np.uint32))}),
        ("blocks.born", {"blocks": dataclasses.replace(blocks(8), born=np.arange(8)[::-1])}),
        ("retranslations.tb", {"blocks": blocks(2)}),
        ("retranslations.position", these(position=np.array([50, 3]))),
        ("retranslations.rewritten_bytes", these(rewritten_bytes=np.full(2, -2, np.int32))),
    ],
)
def test_values_out_of_range_are_told(place: str, change: dict[str, Any], tmp_path: Path) -> None:
    save_trace(dataclasses.replace(SMALL, **change), tmp_path / "x.trace")
    with pytest.raises(InputError) as error:
        load_trace(tmp_path / "x.trace")
    assert error.value.place == place


def test_an_execution_of_no_tb_is_told(tmp_path: Path) -> None:
    save_trace(dataclasses.replace(trace_of([0, 1, 2, 9]), blocks=blocks(9)), tmp_path / "x.trace")
    with pytest.raises(InputError, match="an execution of no TB"):
        list(load_trace(tmp_path / "x.trace").executions())


# --- what a trace holds --------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(data=st.data(), words=executions.filter(bool), chunk=st.integers(1, 9))
def test_a_tb_runs_again_at_its_next_execution_that_is_not_stopped(
    data: st.DataObject, words: list[int], chunk: int
) -> None:
    position = st.integers(0, len(words) - 1)
    faults = sorted(data.draw(st.lists(position.filter(lambda i: words[i] & 0xFFFFFF != UNKNOWN_TB), max_size=8)))
    stops = sorted(data.draw(st.lists(position, unique=True)))
    ran = [-1 if at in stops else word & 0xFFFFFF for at, word in enumerate(words)]
    blocks = [(fault, words[fault] & 0xFFFFFF) for fault in faults]
    expected = [ran.index(tb, fault + 1) - fault if tb in ran[fault + 1 :] else -1 for fault, tb in blocks]
    assert reexecution(trace_of(words, faults=faults, stops=stops, chunk=chunk)).tolist() == expected


def test_a_distribution_leaves_out_what_is_unknown() -> None:
    found = distribution(np.array([-1, 4, 1, 2, -1, 3]))
    assert msgspec.structs.asdict(found) == {"min": 1, "median": 2.5, "p90": 3.7, "max": 4, "unknown": 2}
    nothing = {"min": None, "median": None, "p90": None, "max": None, "unknown": 1}
    assert msgspec.structs.asdict(distribution(np.array([-1]))) == nothing


def test_info_has_the_keys_that_are_promised() -> None:
    found = msgspec.json.decode(msgspec.json.encode(info(SMALL)))
    counts = "executions stopped tbs threads flushes discarded retranslations io_recompiles exceptions".split()
    counts += ["links", "unread"]
    assert list(found) == ["schema", "trace", *counts, "tb_bytes", "rewritten_bytes", "reexecution_tbs"]
    assert (found["executions"], found["stopped"], found["tbs"], found["threads"]) == (92, 1, 8, 2)
    assert found["rewritten_bytes"] == {"min": 0, "median": 0.0, "p90": 0.0, "max": 0, "unknown": 1}
    assert found["reexecution_tbs"]["max"] == 4


# --- the shipped traces --------------------------------------------------------------------------------------

DATA = ROOT / "bench" / "traces" / "data"
# Executions that ran, stopped, TBs, threads, retranslations, flushes, discarded TBs: the recordings' own figures.
FIGURES = {
    "linux-boot": (57_908_024, 3948, 141_401, 1, 2579, 5, 0),
    "user-gzip": (5_199_502, 0, 1190, 1, 0, 0, 0),
    "user-sort": (2_269_920, 0, 1542, 1, 0, 0, 0),
    "user-threads": (1_359_160 - 363, 363, 1706, 5, 256, 1, 3),
    "user-wc": (326_477, 0, 1291, 1, 0, 0, 0),
}
# The recordings of these are here as arrays.
ARRAYS = {"user-gzip": "user_gzip", "user-sort": "user_sort", "user-wc": "user_wc"}


@pytest.fixture(scope="module")
def embedded() -> Trace:
    return default_trace()


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_trace_is_found_by_its_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trace = load_trace(name)
    assert (trace.name, trace.description) == (name, SHIPPED[name])
    assert (trace.guest, trace.mode) == ("arm", "system" if name == "linux-boot" else "user")
    # Where the guest's code was not at hand, its accesses are not all counted.
    assert trace.access_tag == ("measured" if name in ("user-threads", "user-wc") else "estimate")


def test_a_file_of_the_name_of_a_shipped_trace_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_trace(SMALL, "user-wc")
    assert load_trace("user-wc").name == "given"
    assert shipped_trace("user-wc").name == "user-wc"


def test_every_shipped_trace_has_a_file_the_default_is_one_and_the_others_are_small(embedded: Trace) -> None:
    assert embedded.name == DEFAULT_TRACE == next(iter(SHIPPED))
    sizes = {path.stem: path.stat().st_size for path in DATA.iterdir()}
    assert set(sizes) == set(SHIPPED)
    assert sum(size for name, size in sizes.items() if name != DEFAULT_TRACE) < 400_000


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_trace_has_the_figures_of_its_recording(name: str) -> None:
    trace = shipped_trace(name)
    found = info(trace)
    figures = (found.executions, found.stopped, found.tbs, found.threads, found.retranslations)
    assert (*figures, found.flushes, found.discarded) == FIGURES[name]
    assert (found.io_recompiles == 0) == (name != "linux-boot")
    assert (found.exceptions == {}) == (name in ARRAYS)


def test_the_signals_of_the_threads_are_their_retranslations() -> None:
    trace = shipped_trace("user-threads")
    assert trace.exceptions == {"signal-11": 256}
    threads, counts = np.unique(trace.retranslations.thread, return_counts=True)
    assert (threads.tolist(), counts.tolist()) == ([1, 2, 3, 4], [64] * 4)
    # QEMU throws the buffer away at the first pthread_create, when only the main thread has run.
    words = np.concatenate(list(trace.executions()))
    assert not (words[: trace.flushes[0]] >> np.uint32(24) & np.uint32(0x7F)).any()


@pytest.mark.parametrize("name", ARRAYS)
def test_a_shipped_trace_of_user_emulation_is_the_recorded_one(name: str, shared_traces: Path) -> None:
    trace = shipped_trace(name)
    with np.load(shared_traces / f"{ARRAYS[name]}.npz") as file:
        arrays = dict(file)
    with lzma.open(shared_traces / f"{ARRAYS[name]}.exec.u32.xz") as file:
        np.testing.assert_array_equal(np.concatenate(list(trace.executions())), np.frombuffer(file.read(), "<u4"))
    for column, array in COLUMNS.items():
        np.testing.assert_array_equal(getattr(trace.blocks, column), arrays[array], column)


@pytest.mark.parametrize("name", ["user-gzip", "user-sort"])
def test_accesses_of_one_run_are_nearly_those_counted_in_another(name: str) -> None:
    # Runs of the same busybox; in `user-wc` every TB was counted.
    counted, estimated = shipped_trace("user-wc").blocks, shipped_trace(name).blocks
    where = {
        code: row
        for row, code in enumerate(zip(counted.guest_pc, counted.guest_bytes, counted.instructions, strict=True))
    }
    pairs = [
        (where[code], row)
        for row, code in enumerate(zip(estimated.guest_pc, estimated.guest_bytes, estimated.instructions, strict=True))
        if code in where
    ]
    assert len(pairs) > 600
    ours, theirs = np.array(pairs).T
    assert (counted.host_bytes[ours] == estimated.host_bytes[theirs]).all()
    assert (counted.accesses[ours] == estimated.accesses[theirs]).all()


# The boot's 58 million executions take most of a minute; what it holds is compared below.
@pytest.mark.parametrize("name", [name for name in SHIPPED if name != DEFAULT_TRACE])
def test_a_shipped_trace_can_be_made_again(name: str, shared_traces: Path, tmp_path: Path) -> None:
    note = make_shipped(name, shared_traces, tmp_path / "x.trace")
    assert note.startswith("accesses: ")
    assert_same(load_trace(tmp_path / "x.trace"), shipped_trace(name))
    # Another version of zstd may pack the same otherwise.
    if zstandard.ZSTD_VERSION == (1, 5, 7):
        assert (tmp_path / "x.trace").read_bytes() == (DATA / f"{name}.trace").read_bytes()


def test_the_embedded_trace_is_the_recorded_one(embedded: Trace, shared_traces: Path) -> None:
    with np.load(shared_traces / "sys_arm_virt_icount.npz") as file:
        arrays = dict(file)
    start = int(arrays["tb_born"].size and arrays["fault_pos"][0] - embedded.retranslations.position[0])
    assert embedded.length == 225_911_972 - start
    figures = info(embedded)
    # 57.9 million executions, 2,579 restores; every data abort is one.
    assert round(figures.executions / 1e6, 1) == 57.9
    assert figures.retranslations == figures.exceptions["data-abort"] == 2579
    assert reexecution(embedded).tolist() == arrays["fault_next"].tolist()
    assert embedded.retranslations.rewritten_bytes.tolist() == arrays["fault_host_off"].tolist()
    pcs = embedded.blocks.guest_pc[embedded.retranslations.tb]
    assert pcs.tolist() == arrays["tb_guest_pc"][arrays["fault_tb"]].tolist()
    assert (embedded.retranslations.accesses <= embedded.blocks.accesses[embedded.retranslations.tb]).all()
    # Each I/O recompilation of the whole boot was followed by a TB of its own; so they can be counted.
    alone = (arrays["tb_cflags"] & 0x10000) != 0
    assert int(arrays["tb_exec_count"][alone].sum()) == 7445
    assert 0 < figures.io_recompiles < 7445


def test_every_tb_of_the_embedded_trace_runs_in_it(embedded: Trace) -> None:
    seen = np.zeros(len(embedded.blocks), np.bool_)
    total = 0
    for words in embedded.executions():
        seen[words & np.uint32(UNKNOWN_TB)] = True
        total += words.size
    assert seen.all()
    assert total == embedded.length


def test_making_a_shipped_trace_needs_its_recording_and_the_disassembly(shared_traces: Path, tmp_path: Path) -> None:
    recordings = (
        "sys_arm_virt_icount.npz user_gzip.npz user_sort.npz user_mt1.complete.log.zst user_wc.complete.log.zst"
    )
    for name, recording in zip(SHIPPED, recordings.split(), strict=True):
        with pytest.raises(InputError, match="cannot be read: No such file") as error:
            make_shipped(name, tmp_path, tmp_path / "x.trace")
        assert error.value.file == str(tmp_path / recording)
        assert not list(tmp_path.iterdir())
    for file in ("user_sort.npz", "user_sort.exec.u32.xz", "user_wc.complete.log.zst"):
        (tmp_path / file).symlink_to(shared_traces / file)
    with pytest.raises(InputError, match=r"user_gzip\.excerpt\.log\.zst: no such log"):
        make_shipped("user-sort", tmp_path, tmp_path / "x.trace")


# --- modelled workloads --------------------------------------------------------------------------------------

PARAMETERS = ModelParameters(
    executions=6 * WINDOW,
    tbs=30_000,
    flushes=1,
    working_set=6000,
    faulting_tbs=150,
    fast_share=0.75,
    bytes_per_instruction=70,
    bytes_per_access=140,
    concentration=0.3,
    faults_per_million=200,
    tb_bytes=Quantiles(min=75, median=256, p90=864, max=24_688),
    rewritten_bytes=Quantiles(min=80, median=164, p90=536, max=4405),
    reexecution_tbs=Quantiles(min=190, median=3000, p90=40_000, max=500_000),
)


def changed(**values: Any) -> ModelParameters:
    return msgspec.structs.replace(PARAMETERS, **values)


@pytest.mark.parametrize(
    "parameters",
    [
        PARAMETERS,
        changed(faults_per_million=2000),
        changed(concentration=0.8),
        changed(concentration=0.1, faulting_tbs=1000),
        changed(working_set=500, flushes=0),
        changed(threads=4, thread_executions=1000),
        changed(tb_bytes=Quantiles(min=16, median=100, p90=200, max=1000)),
        changed(reexecution_tbs=Quantiles(min=1, median=10, p90=20, max=100)),
        changed(flushes=2, linked_share=0.4),
    ],
)
def test_a_model_has_the_statistics_it_was_given(parameters: ModelParameters) -> None:
    found = measured(model_trace(parameters, 7))
    for exact in ("executions", "faulting_tbs", "threads", "flushes"):
        assert getattr(found, exact) == getattr(parameters, exact), exact
    shares = {"tbs": 0.001, "faults_per_million": 0.01, "concentration": 0.05, "working_set": 0.1, "fast_share": 0.05}
    shares |= {"bytes_per_instruction": 0.1, "bytes_per_access": 0.1, "thread_executions": 0.01}
    shares |= {"linked_share": 0.15, "rewritten_bytes.median": 0.02, "rewritten_bytes.p90": 0.02}
    shares |= {"reexecution_tbs.median": 0.15, "reexecution_tbs.p90": 0.25}
    if parameters.tb_bytes == PARAMETERS.tb_bytes:
        # A TB is at least as long as what is rewritten of it, which small TBs cannot be.
        shares |= {"tb_bytes.median": 0.02, "tb_bytes.p90": 0.02}
    for close, share in shares.items():
        measure = operator.attrgetter(close)
        assert measure(found) == pytest.approx(measure(parameters), rel=share), close


def test_a_model_is_the_same_for_the_same_seed_and_another_for_another(tmp_path: Path) -> None:
    parameters = changed(executions=100_000)
    one, other = model_trace(parameters, 1), model_trace(parameters, 2)
    assert_same(one, model_trace(parameters, 1))
    assert (next(one.executions()) != next(other.executions())).any()
    save_trace(one, tmp_path / "x.trace")
    assert_same(load_trace(tmp_path / "x.trace"), one)


@settings(max_examples=25, deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "executions": st.integers(2000, 50_000),
            "tbs": st.integers(200, 3000),
            "working_set": st.integers(1, 5000),
            "faults_per_million": st.floats(0, 400_000),
            "faulting_tbs": st.integers(1, 100),
            "concentration": st.floats(0.01, 1),
            "threads": st.integers(1, 128),
            "flushes": st.integers(0, 20),
        }
    ),
    st.integers(0, 1 << 40),
)
def test_any_model_is_a_good_trace_or_told_to_be_impossible(values: dict[str, Any], seed: int) -> None:
    parameters = changed(**values)
    try:
        trace = model_trace(parameters, seed)
    except InputError as error:
        assert "\n" not in str(error)
        return
    words = np.concatenate(list(trace.executions()))
    tb = words & np.uint32(UNKNOWN_TB)
    restores = trace.retranslations
    assert words.size == trace.length
    # An execution runs a TB of its own epoch, and a retranslation is in an execution of its TB.
    epoch = np.searchsorted(trace.flushes, np.arange(words.size), "right")
    assert (trace.blocks.epoch[tb] == epoch).all()
    assert (tb[restores.position] == restores.tb).all()
    assert ((words >> np.uint32(24))[restores.position] == restores.thread).all()
    assert (restores.rewritten_bytes <= trace.blocks.fast_bytes[restores.tb]).all()
    with tempfile.TemporaryDirectory() as folder:
        save_trace(trace, Path(folder) / "x.trace")
        load_trace(Path(folder) / "x.trace")


def test_parameters_that_cannot_be_met_or_are_of_a_wrong_kind_are_told() -> None:
    for parameters in (
        changed(tbs=100, faulting_tbs=200),
        changed(faults_per_million=900_000),
        changed(executions=2, flushes=2, faults_per_million=0),
        changed(tbs=UNKNOWN_TB + 1),
    ):
        with pytest.raises(InputError):
            model_trace(parameters, 0)
    for wrong in ({"threads": 0}, {"concentration": 2}, {"executions": "many"}, {"tb_size": 3}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({**msgspec.to_builtins(PARAMETERS), **wrong}, ModelParameters)
    with pytest.raises(ValueError, match="min <= median"):
        Quantiles(min=5, median=4, p90=9, max=10)
    with pytest.raises(InputError, match="seed"):
        model_trace(PARAMETERS, -1)


def test_the_embedded_trace_can_be_measured(embedded: Trace) -> None:
    found = measured(embedded)
    counts = np.sort(np.unique(embedded.retranslations.tb, return_counts=True)[1])[::-1]
    assert found.concentration == pytest.approx(counts[:TOP].sum() / 2579)
    assert found.flushes == 5
    assert found.executions == embedded.length - embedded.stopped.size  # what is announced and does not run is none
    with pytest.raises(InputError, match="no known lengths"):
        measured(trace_of([0, 1]))


def test_a_small_file_has_no_large_costs(tmp_path: Path) -> None:
    """Senseless values under right checksums, which nothing recorded has."""
    blocks = blocks_of([100] * 3, fast_bytes=[80] * 3)
    trace = given_trace([0, 1, 2], blocks, [1], [40], [1])
    path = tmp_path / "t.trace"

    def refused(odd: Trace, words: str) -> None:
        save_trace(odd, path)
        with pytest.raises(InputError, match=words):
            load_trace(path)

    refused(
        dataclasses.replace(trace, blocks=dataclasses.replace(blocks, accesses=np.full(3, 1 << 31, np.uint32))),
        r"blocks\.accesses: damaged",
    )
    many = dataclasses.replace(trace.retranslations, accesses=np.array([1 << 30], np.int32))
    refused(dataclasses.replace(trace, retranslations=many), r"retranslations\.accesses: damaged")
    refused(dataclasses.replace(trace, blocks=blocks_of(np.full(1_800_000, 100))), "bytes of tables in")
    save_trace(trace, path)
    before = path.read_bytes()
    with pytest.raises(InputError, match="60000 kinds of exceptions"):
        save_trace(dataclasses.replace(trace, exceptions={f"exception-{number}": 1 for number in range(60_000)}), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["t.trace"]
