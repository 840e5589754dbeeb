"""Probabilities given per operation: the closed form, schedulers, what a user sees; and the plot of the sensitivity."""

from __future__ import annotations

import json
import math
from pathlib import Path
from xml.etree import ElementTree

import pytest
from conftest import Staleline
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.hosts import load_host
from bench.risk.given import GivenRisk, Probabilities
from bench.risk.risk import MultiThreadedGiven, Risk, RiskModel, SingleThreadedGiven, in_turn
from bench.translators.registry import load_translator
from strategies.registry import find

SMALL = st.floats(-30, -0.5).map(lambda exponent: 10**exponent)


def asked(settings: str, name: str = "system", strategy: str = "unfixed", host: str = "cortex-a9") -> Risk:
    probabilities = Probabilities.parsed(settings.split(","))
    return GivenRisk(load_host(host), load_translator("arm@2010"), probabilities).evaluate(find(strategy), name)


@settings(max_examples=25, deadline=None)
@given(data=SMALL, instruction=SMALL)
def test_the_first_has_the_closed_form_that_the_readme_shows(data: float, instruction: float) -> None:
    """``unfixed`` with arm@2010 on a host that allocates on stores, one retranslation from a clean start.

    Its operations: run, tlb access, fast path, branch, slow path, load and store of the branch, run.  The line has to
    leave the data cache in one of the three gaps between the branch and its update, not in the one behind that; and the
    instruction cache in one of all seven.
    """
    found = asked(f"write_back={data!r},drop={instruction!r}").figures
    assert isinstance(found, SingleThreadedGiven)
    exact = -math.expm1(3 * math.log1p(-data)) * (1 - data) * -math.expm1(7 * math.log1p(-instruction))
    assert found.first == pytest.approx(exact, rel=1e-12, abs=0)


@settings(max_examples=10, deadline=None)
@given(data=SMALL, instruction=SMALL)
def test_schedulers_are_in_order_and_a_proven_strategy_is_at_0(data: float, instruction: float) -> None:
    text = f"write_back={data!r},drop={instruction!r}"
    found = asked(text, "user").figures
    assert isinstance(found, MultiThreadedGiven)
    assert 0 < found.least <= found.slices <= found.greatest <= 1
    assert asked(text, "user", "idempotent").figures == MultiThreadedGiven(0.0, 0.0, 0.0)


def test_of_several_hosts_the_next_one_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    monkeypatch.setattr(GivenRisk, "begin", lambda model, *asked: happened.append(f"{model.host.name} begins"))
    hosts = ("cortex-a9", "arm926", "cortex-a8")

    def made(host: str) -> RiskModel:
        happened.append(f"{host} is made")
        return GivenRisk(load_host(host), load_translator("arm@2010"), Probabilities.parsed(["drop=0.5"]))

    for model in in_turn(map(made, hosts), [find("unfixed")], ["system"]):
        happened += [model.host.name]
    assert happened == [
        *("cortex-a9 is made", "arm926 is made", "arm926 begins", "cortex-a9"),
        *("cortex-a8 is made", "cortex-a8 begins", "arm926", "cortex-a8"),
    ]
    assert not [*in_turn((), [], [])]


def test_a_scenario_that_cannot_be_has_no_figures() -> None:
    one = asked("drop=0.5", "migrate", host="arm926")
    assert (one.figures, one.nodes) == (None, 0)


def test_a_slice_that_ends_matters_only_where_threads_share_a_core(staleline: Staleline) -> None:
    line = "risk --strategy unfixed --scenario user --per-operation write_back=1e-3,drop=1e-2{} --format json"

    def slices(host: str, more: str) -> float:
        ran = staleline(*line.format(more).split(), "--host", host)
        return float(json.loads(ran.out)["chains"][0]["figures"]["slices"])

    assert slices("cortex-a9", "") == slices("cortex-a9", ",slice_end=0.5")
    assert slices("arm926", "") != slices("arm926", ",slice_end=0.5")


def test_the_sensitivity_is_drawn(tiny_trace: Path, tmp_path: Path, staleline: Staleline) -> None:
    pytest.importorskip("vl_convert", reason="vl-convert-python is not installed (pip install 'staleline[plot]')")
    file = tmp_path / "tornado.svg"
    line = ["risk", str(tiny_trace), "--strategy", "unfixed", "--scenario", "system", "--sensitivity"]
    ran = staleline(*line, "--plot", str(file))
    assert (ran.status, ran.err) == (0, "")
    ElementTree.fromstring(file.read_bytes())


def test_nothing_to_draw_is_said(tiny_trace: Path, tmp_path: Path, staleline: Staleline) -> None:
    pytest.importorskip("vl_convert", reason="vl-convert-python is not installed (pip install 'staleline[plot]')")
    file = tmp_path / "none.svg"
    line = ["risk", str(tiny_trace), "--strategy", "idempotent", "--scenario", "system", "--sensitivity"]
    ran = staleline(*line, "--plot", str(file))
    assert (ran.status, file.exists()) == (2, False)
    assert "no cell in which something can go wrong" in ran.err
