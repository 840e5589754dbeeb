"""The same environment schedule: the events of a counterexample, and that other strategies really take them."""

from __future__ import annotations

import pytest
from cells import cell
from conftest import Staleline

from bench.check.cell import Checked
from bench.check.schedule import same_schedule
from bench.hosts import load_host
from bench.scenarios import scenario_names
from bench.support.errors import InputError
from bench.translators.registry import load_translator
from strategies import registry

ARM = load_translator("arm@2010")


def failed(name: str = "unfixed", scenario: str = "system", host: str = "cortex-a9") -> Checked:
    return cell(name, scenario, host)


def survivors(of: Checked) -> set[str]:
    found = same_schedule(of, [registry.find(name) for name in registry.shipped()], ARM)
    return {one.strategy for one in found if one.survives}


RIGHT = {"idempotent", "idempotent-read-back", "scratch-buffer", "side-table", "stop-the-world-flush"}


@pytest.mark.parametrize("host", ["cortex-a9", "cortex-a8", "arm926"])
@pytest.mark.parametrize("scenario", scenario_names())
def test_what_is_right_survives_every_schedule_and_the_strategy_itself_does_not(host: str, scenario: str) -> None:
    if scenario == "migrate" and load_host(host).cores.value == 1:
        return
    for name in ("unfixed", "global-lock", "flush-on-tb-flush"):
        found = failed(name, scenario, host)
        assert found.verdict == "fails"
        survive = survivors(found)
        assert survive >= RIGHT, name
        assert name not in survive


def test_a_flush_survives_with_one_thread_and_not_with_two() -> None:
    assert "flush-on-retranslation" in survivors(failed())
    assert "flush-on-retranslation" not in survivors(failed(scenario="user"))


def test_beside_each_row_is_what_the_other_did_then() -> None:
    of = failed()
    (flush, table) = same_schedule(of, [registry.find("flush-on-retranslation"), registry.find("side-table")], ARM)
    assert len(flush.beside) == len(of.explanation.rows) + 1
    for row, beside in list(zip(of.explanation.rows, flush.beside, strict=False))[:-1]:
        assert [one.operation for one in beside] == [row.operation]
        assert beside[-1].memory == row.memory
    last = "; ".join(one.operation for one in flush.beside[-2])
    assert last.startswith("the code is flushed; ")
    assert "TB is re-executed" in last
    assert not any(one for one in table.beside[1:-2])


def test_what_holds_has_no_schedule() -> None:
    with pytest.raises(InputError, match="expected a strategy that fails on a host"):
        same_schedule(failed("idempotent"), [registry.find("unfixed")], ARM)


def test_the_command(staleline: Staleline) -> None:
    line = "explain unfixed --scenario system --against idempotent,side-table"
    ran = staleline(line)
    assert (ran.status, ran.err) == (1, "")
    assert ran.out.startswith("The same environment schedule, system on cortex-a9 with arm@2010:")
    assert "idempotent survives: nothing that could be evicted or fetched was ever wrong." in ran.out
    assert "temporary" not in ran.out.split("idempotent", 1)[0]
    (schedule,) = staleline(f"{line} --format json").valid["schedules"]
    found = {one["strategy"]: one["survives"] for one in schedule["against"]}
    assert found == {"idempotent": True, "side-table": True}
    assert {len(one["beside"]) for one in schedule["against"]} == {len(schedule["counterexample"]) + 1}
    rows = [f"unfixed,cortex-a9,arm@2010,system,{name},true" for name in found]
    assert staleline(f"{line} --format csv").out.splitlines()[1:] == rows
