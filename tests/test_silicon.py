"""Machine code on this machine: what it computes, how its time becomes figures, and the profile that is written."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import VALID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.hosts import load_host
from bench.report.calibrations import CalibrationReport
from bench.report.report import rendered
from bench.silicon import calibration as calibrations
from bench.silicon import measurements
from bench.silicon.geometry import this_machine
from bench.silicon.instructions import this_instruction_set
from bench.silicon.measurements import METHODS, Levels, Samples, Workbench, measured
from bench.silicon.native import Memory, Other, chain, compiled
from bench.silicon.side_table import MOST_BYTES, blocks, decode, encode
from bench.silicon.timing import ELAPSED, Effort, NotMeasuredError, Sample, samples
from bench.support.errors import InputError

SHORT = Effort(rounds=3, seconds=2e-4)
SMALL = Levels(line=64, l1i=16384, l2=65536, last=65536)

_CALLER = """
define i64 @call(i64 %f) {
  %p = inttoptr i64 %f to ptr
  %r = call i32 %p()
  %w = sext i32 %r to i64
  ret i64 %w
}
"""


@pytest.fixture(scope="module")
def workbench():
    try:
        return Workbench(this_instruction_set(), SMALL, SHORT)
    except InputError as error:
        pytest.skip(str(error))


def test_a_stored_number_is_what_the_code_returns(workbench):
    instructions = workbench.instructions
    code = Memory(4096, execute=True)
    caller = compiled(_CALLER, ("call",), 1)["call"]
    for value in (0, 1, 77, 32767):
        place = 64 * (value % 32)
        code.put(place, instructions.number(value))
        assert caller(code.address + place) == value
    # The bytes of another number at the operand are another number.
    start, end = instructions.operand, instructions.operand + instructions.patched
    code.put(2048, instructions.number(5))
    code.put(2048 + start, instructions.number(6)[start:end])
    assert instructions.number(5)[:start] == instructions.number(6)[:start]
    if instructions.name == "x86-64":  # elsewhere a store into code needs a flush
        assert caller(code.address + 2048) == 6


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_chain_of_branches_visits_every_place_and_returns(workbench, shuffled):
    branches = chain(workbench.instructions, 100, 64, shuffled=shuffled)
    filled = branches.bytes.reshape(-1, 64)[:100].any(axis=1)
    assert filled.all()
    workbench.loops["call"](1, 0, branches.address)


def test_every_method_is_measured_or_said_to_be_missing(workbench):
    shown = []
    before = os.sched_getaffinity(0)
    results = measured(workbench, lambda name, done: shown.append((name, done)))
    assert os.sched_getaffinity(0) == before
    assert {*results.samples} <= {*METHODS}
    # One core has no second one; caches that hold so little have no last level apart.
    absent = {*METHODS} - {*results.samples} - {"refill from the last level"}
    assert bool(absent) == bool(results.missing), (absent, results.missing)
    assert all(value >= 0 for sample in results.samples.values() for value in sample.values)
    assert results.samples["load"].median > results.samples["cycle"].median > 0
    assert shown


def _as_often(count: int) -> None:
    for _ in range(count):
        pass


def test_a_round_without_the_other_thread_is_no_measurement():
    ran = iter((0, 10**12, 10**12, 10**12, 10**12, 2 * 10**12, 2 * 10**12, 3 * 10**12))
    (sample,) = samples([_as_often], Effort(rounds=4, seconds=1e-6), ELAPSED, lambda: next(ran))
    assert (len(sample.values), sample.alone) == (3, 1)
    assert "1 rounds in which the other thread had no core" in calibrations.remark("store", sample.minus(sample))
    with pytest.raises(NotMeasuredError, match="a core in 0 of 4 rounds"):
        samples([_as_often], Effort(rounds=4, seconds=1e-6), ELAPSED, lambda: 0)


def test_a_store_into_code_is_inherited_if_the_other_thread_never_had_a_core(workbench, monkeypatch):
    if not workbench.others:
        pytest.skip("one core: there is no other thread")
    monkeypatch.setattr(Other, "ran", lambda _: 0)
    monkeypatch.setattr(measurements, "_ON_ONE", (measurements._into_own_code,))
    monkeypatch.setattr(measurements, "_ON_TWO", (measurements._into_others_code,))
    results = measured(workbench, lambda *_: None)
    assert results.missing["into others code"] == "the other thread had a core in 0 of 3 rounds"
    assert "store into own code" in results.samples
    assert "costs.store_into_code" not in replace(_calibration(), results=results).figures()
    assert "costs.store_into_code" in _calibration().figures()


def _leb_by_the_standard(value: int) -> bytes:
    """DWARF 5, appendix C: the signed encoding, digit by digit."""
    size = next(n for n in range(1, 11) if -(1 << (7 * n - 1)) <= value < 1 << (7 * n - 1))
    digits = [(value >> 7 * place) & 0x7F for place in range(size)]
    return bytes([*(digit | 0x80 for digit in digits[:-1]), digits[-1]])


@settings(suppress_health_check=[HealthCheck.too_slow])  # what draws is slow where the whole test is emulated
@given(st.lists(st.lists(st.integers(-(2**62), 2**62), min_size=2, max_size=2), min_size=1, max_size=6))
def test_the_side_table_is_that_of_the_standard_and_comes_back(numbers):
    rows = np.array(numbers, np.int64)
    first, places = np.array([0, len(rows)]), np.zeros(1, np.int64)
    table = np.zeros(rows.size * MOST_BYTES, np.uint8)
    size = encode(rows, first, table, places, 1)
    deltas = np.diff(rows, axis=0, prepend=np.zeros((1, 2), np.int64))
    assert table[:size].tobytes() == b"".join(_leb_by_the_standard(int(value)) for value in deltas.flat)
    for count in range(1, len(rows) + 1):
        found = np.zeros((1, 2), np.int64)
        decode(table, places, np.array([count]), found, 1)
        assert found[0].tolist() == rows[count - 1].tolist()


def test_the_blocks_of_the_side_table_are_as_they_are_said_to_be():
    rows, first = blocks(256, seed=1)
    assert np.diff(first).min() >= 2 and np.diff(first).max() <= 40
    host = np.diff(rows[:, 2])
    assert 30 <= host[host > 0].mean() <= 42


@given(st.lists(st.floats(1, 1e6), min_size=3, max_size=30))
def test_the_range_of_a_sample_holds_its_median(values):
    sample = Sample(tuple(values))
    assert sample.low <= sample.median <= sample.high
    assert sample.outliers == len(values) - len(sample.kept)


def test_a_far_round_is_an_outlier_and_drift_has_not_settled():
    steady = (10.0, 10.1, 9.9, 10.0, 10.2, 9.8, 10.0, 10.1)
    assert Sample(steady).settled
    assert (Sample((*steady, 90.0)).outliers, Sample((*steady, 90.0)).high) == (1, 10.2)
    assert not Sample(tuple(10.0 + step for step in range(8))).settled


def test_what_a_pipeline_hides_has_settled_within_half_a_cycle():
    hidden = Sample((0.0, 0.03, 0.1, 0.02, 0.0, 0.05, 0.01, 0.04))
    assert not hidden.settled and replace(hidden, cycle=0.34).settled
    assert not replace(Sample(tuple(value * 10 for value in hidden.values)), cycle=0.34).settled


@given(st.lists(st.floats(0.3, 0.6), min_size=3, max_size=30), st.floats(1, 1000))
def test_steps_of_the_clock_cancel_in_what_takes_cycles(clock, cycles):
    (held,) = {
        round(value, 6) for value in Sample(tuple(c * cycles for c in clock)).at(Sample(tuple(clock)), 0.5).values
    }
    assert held == pytest.approx(cycles * 0.5)


def test_what_has_not_settled_is_measured_again_while_there_is_time(workbench, monkeypatch):
    times = itertools.count()
    rounds = {0: (1.0, 9.0, 5.0), 1: (5.0,) * 9}

    def lock(on):
        return {"lock": Sample(rounds.get(next(times), (5.0, 5.0)))}

    def missing(on):
        raise OSError("refused")

    monkeypatch.setattr(measurements, "_ON_ONE", (lock, missing))
    monkeypatch.setattr(measurements, "_ON_TWO", ())
    monkeypatch.setattr(workbench, "cycle", 0.34)
    monkeypatch.setattr(workbench, "effort", replace(SHORT, most=600))
    results = measured(workbench, lambda *_: None)
    assert next(times) == 2 and results.samples["lock"].settled and len(results.samples["lock"].values) == 12
    assert results.missing == {"missing": "refused"}
    monkeypatch.setattr(workbench, "effort", SHORT)
    times = itertools.count()
    assert not measured(workbench, lambda *_: None).samples["lock"].settled  # no time for more


def _calibration() -> calibrations.Calibration:
    """A calibration with figures that no machine has."""
    values = {name: Sample((100.0 + n, 102.0 + n, 101.0 + n)) for n, name in enumerate(METHODS)}
    values["cycle"] = Sample((0.5, 0.5, 0.5))
    instructions = this_instruction_set()
    return calibrations.Calibration(
        machine=this_machine(0),
        instructions=instructions,
        base=load_host(instructions.profile),
        effort=SHORT,
        results=Samples(values),
        date=calibrations.datetime.date(2026, 1, 2),
        noise="",
    )


def test_the_profile_has_what_was_measured_and_the_rest_of_its_base(tmp_path: Path):
    calibration = _calibration()
    file = tmp_path / "my.toml"
    calibrations.save(calibration, "my-machine", file)
    host, base = load_host(str(file)), calibration.base
    assert (host.name, host.base, host.clock_ghz, host.clock_tag) == ("my-machine", base.name, 2.0, "measured")
    assert host.coherence == base.coherence and host.costs.cpi == base.costs.cpi
    assert host.costs.lock.tag == "measured" and "2026-01-02" in host.costs.lock.source[0]
    assert host.costs.lock.low <= calibration.results.samples["lock"].median <= host.costs.lock.high
    # Only what was measured, or read from the kernel, is in the file.
    assert {"coherence", "isa"}.isdisjoint(tomllib.loads(file.read_text())) or base.main_isa == "aarch64"
    assert all(not change.apart for change in calibrations.changes(calibration, host))
    assert any(change.apart for change in calibrations.changes(calibration, base))


def test_a_bad_name_is_refused_before_anything_is_written(tmp_path: Path):
    with pytest.raises(InputError, match="expected letters"):
        calibrations.save(_calibration(), "my machine", tmp_path / "my.toml")
    assert not [*tmp_path.iterdir()]


def test_the_report_says_what_is_noisy_and_what_is_apart(tmp_path: Path):
    found = replace(_calibration(), noise="other work")
    report = CalibrationReport(found, found.base.name, calibrations.changes(found, found.base))
    VALID.validate(json.loads(rendered(report, "json")))
    text = report.text("simple")
    assert "This machine is noisy: other work" in text and "ranges apart" in text
    assert "store into own code" in rendered(report, "csv")


_HARDENED = """
import ctypes, os, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):  # PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN
    sys.exit(77)
os.execv(sys.executable, [sys.executable, "-m", "bench", *sys.argv[1:]])
"""


@pytest.mark.parametrize("command", ["calibrate --quick", "run unfixed --seconds 1"])
def test_a_hardened_kernel_gets_one_clear_line(command):
    done = subprocess.run(
        [sys.executable, "-c", _HARDENED, *command.split()],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    if done.returncode == 77:
        pytest.skip("this kernel has no memory that denies both writing and executing: Linux 6.3 has")
    expected = (
        "staleline: this kernel refuses memory that can be written and executed; expected a kernel that grants it\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected)
