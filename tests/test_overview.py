"""What ``compare`` shows at first: it fits a terminal, names what it took, and does not answer what it cannot."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from bench.check.cell import Options
from bench.compare.comparison import verify
from bench.hosts import load_host, load_target
from bench.report import overview, tables
from bench.report.sentences import kernel
from bench.translators.registry import load_translator
from strategies import registry
from tests.conftest import VALID, Staleline

STRATEGIES = "unfixed,idempotent,flush-on-retranslation"


def verdicts(target: str, translator: str, *names: str) -> str:
    strategies = [registry.find(name) for name in names]
    found = verify(load_target(target), load_translator(translator), strategies, ["system", "user"], Options())
    return " ".join(overview.without_prices(found, "simple").split())


def test_the_table_fits_100_columns_and_says_where_a_strategy_fails(staleline: Staleline, tiny_trace: Path) -> None:
    out = staleline(f"compare {tiny_trace} --strategy {STRATEGIES}").out
    table = out.partition("\n\n")[2].partition("\n\n")[0]
    assert max(map(len, table.splitlines())) <= 100
    assert [line.split()[:2] for line in table.splitlines()[2:]] == [
        ["1", "idempotent"],
        ["wrong", "flush-on-retranslation"],
        ["wrong", "unfixed"],
    ]
    assert "FAILS in user " in table
    assert "FAILS in system " in table


def test_several_hosts_and_architectures_are_one_table(staleline: Staleline, tiny_trace: Path) -> None:
    line = (
        f"compare {tiny_trace} --host cortex-a9,arm926,armv8 --translator arm --strategy {STRATEGIES} --scenario system"
    )
    out = staleline(line).out
    assert out.count("-----\n") == 1
    assert [len(row.split("  ")) > 3 for row in out.splitlines()[2:7]] == [True] * 5
    said = " ".join(out.split())
    assert "flush-on-retranslation and idempotent hold on every host." in said or (
        "idempotent and flush-on-retranslation hold on every host." in said
    )
    assert "unfixed holds on no host." in said
    assert "armv8: no price: an architecture." in said
    document: dict[str, Any] = json.loads(staleline(f"{line} --format json").out)
    VALID.validate(document)
    assert {one["host"] for one in document["unpriced"]} == {"armv8"}
    assert "armv8,arm@2010" in staleline(f"{line} --format csv").out


def test_an_architecture_has_verdicts_and_no_price(staleline: Staleline) -> None:
    ran = staleline("compare --host riscv --what-if --strategy unfixed,idempotent --scenario system")
    assert ran.status == 0
    assert "riscv: no price: an architecture." in ran.out
    assert "FAILS" in ran.out
    staleline("compare --host armv8 --plot a.svg").is_refused("an architecture, which has no price")


def test_a_pull_request_gets_a_table_three_sentences_and_the_rest_folded(
    staleline: Staleline, tiny_trace: Path
) -> None:
    out = staleline(f"compare {tiny_trace} --strategy {STRATEGIES} --format github").out
    before, _, folded = out.partition("<details>")
    assert before.count("\n|") == 5
    assert before.rstrip().splitlines()[-1].startswith("The first failure, step by step: staleline check ")
    assert "stopping others" in folded
    assert folded.rstrip().endswith("</details>")


def test_a_translator_without_the_bug_is_said_not_to_answer() -> None:
    silent = "aarch64@2013 stores no temporary values: every strategy holds, and this table cannot tell you whether you"
    assert silent in verdicts("cortex-a72", "aarch64", "unfixed", "idempotent")
    assert "cannot tell" not in verdicts("cortex-a72", "arm", "idempotent")


def test_the_translator_that_is_taken_is_named_with_the_reason(staleline: Staleline, tiny_trace: Path) -> None:
    line = f"compare {tiny_trace} --host cortex-a72 --strategy unfixed --scenario system"
    said = "taken is arm@2010, as it was in January 2011 (arm); --translator aarch64@2013."
    assert said in " ".join(staleline(line).out.split())
    assert "taken is" not in staleline(f"{line} --translator arm").out
    assert load_host("cortex-a72").main_isa == "aarch64"


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_narrow_terminal_wraps_columns_and_not_lines(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables.sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(tables.shutil, "get_terminal_size", lambda *_, **__: os.terminal_size((width, 24)))
    rows = [["idempotent", "holds in every scenario that there is", "100M (30M..200M)"], ["unfixed", "FAILS", "0"]]
    text = tables.table(["strategy", "a verdict with a heading of its own", "cost"], rows, "simple")
    assert max(map(len, text.splitlines())) <= width
    assert {word for row in rows for cell in row for word in cell.split()} <= {*text.split()}


@pytest.mark.parametrize(
    ("host", "settings", "translator", "said"),
    [
        ("cortex-a9", [], "arm@2010", "as Linux did it until 2013 ("),
        ("cortex-a9", ["whole_pages=always"], "arm@2014", "as Linux did it ("),
        ("cortex-a9", [], "arm@2014", ""),
        ("cortex-a9", ["whole_pages=never"], "arm@2010", ""),
        ("mips-24kc", [], "mips@2010", ""),
    ],
)
def test_it_says_where_a_flush_is_of_whole_pages(host: str, settings: list[str], translator: str, said: str) -> None:
    text = kernel(load_host(host, settings), translator)
    assert said in text
    assert bool(text) == bool(said)
