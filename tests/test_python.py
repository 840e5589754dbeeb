"""The public package: its names are those that are documented, and its answers those of the command line."""

from __future__ import annotations

import ast
import doctest
import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest
from conftest import ROOT, Staleline, program

import staleline
from staleline import _questions

PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
HEAVY = ("numpy", "numba", "rich", "tabulate", "msgspec", "capstone", "zstandard", "typer")


def documented() -> list[str]:
    """The names in the first columns of the page's tables."""
    cells = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]


def test_the_names_are_those_that_are_documented() -> None:
    assert sorted(documented()) == sorted(staleline.__all__)
    assert dir(staleline) == sorted(staleline.__all__)
    for name in staleline.__all__:
        found = getattr(staleline, name)
        if inspect.isclass(found) or inspect.isfunction(found):
            assert found.__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'Litmus'"):
        _ = staleline.Litmus


def test_type_checkers_see_the_names_that_are_loaded_later() -> None:
    tree = ast.parse((ROOT / "staleline" / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == staleline._LATER


def test_importing_it_imports_nothing_heavy() -> None:
    loaded = program(script="import sys, staleline; print(*sys.modules)").out.split()
    assert "staleline" in loaded
    assert not set(HEAVY) & set(loaded)


@pytest.mark.parametrize("module", [staleline, _questions])
def test_the_examples_are_true(module: object) -> None:
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


def test_the_example_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(example, {"__name__": "example"})
    assert capsys.readouterr().out == "cortex-a9 holds\narm926 holds\ncycles\n"


def test_the_rows_are_what_the_command_prints(staleline: Staleline) -> None:
    import staleline as public

    common = "--host cortex-a9 --strategy unfixed,side-table --format json"
    both = ["unfixed", "side-table"]
    printed = staleline(f"check --scenario system {common}").document["results"]
    rows = public.check(both, host="cortex-a9", scenario="system").rows()
    assert [len(one["counterexample"]) or None for one in printed] == [row["rows"] for row in rows]
    for one, row in zip(printed, rows, strict=True):
        assert {key: value for key, value in row.items() if key != "rows"} == {
            key: one[key] for key in row if key != "rows"
        }
    printed = staleline(f"replay user-threads {common}").document["results"]
    rows = public.replay(both, host="cortex-a9", trace="user-threads").rows()
    for one, row in zip(printed, rows, strict=True):
        assert row["overhead_high"] == one["overhead"]["high"]
        assert row["overhead_tag"] == one["overhead"]["tag"]
        assert {key: value for key, value in row.items() if key in one} == {
            key: value for key, value in one.items() if not isinstance(value, dict) and key != "terms"
        }


def test_the_units_of_all_that_has_one() -> None:
    found = staleline.replay("unfixed", trace="user-threads")
    without = {"strategy", "host", "settings", "translator", "trace", "what_if", "retranslations", "locks", "notes"}
    assert set(found.rows()[0]) - set(found.units) == without | {
        column for column in found.rows()[0] if column.endswith("_tag")
    }


def test_what_cannot_be_is_refused() -> None:
    check, wrong = staleline.check, staleline.InputError
    refused: list[tuple[Callable[..., object], type[Exception], str, dict[str, Any]]] = [
        (check, wrong, "`scenario`: 'sytem'", {"scenario": "sytem"}),
        (check, wrong, "`hazard`: 'transcient'; expected transient or lasting or partial", {"hazard": "transcient"}),
        (check, wrong, "max_states", {"max_states": 0}),
        (check, TypeError, "unexpected keyword argument 'hasard'", {"hasard": "lasting"}),
        (check, TypeError, "expected a Target or its name", {"host": 3}),
        (staleline.compare, wrong, "an architecture, which has no caches and no costs", {"host": "armv8"}),
        (staleline.risk, wrong, "does not run", {"host": "cortex-a9", "translator": "mips"}),
        (staleline.risk, wrong, "`rate`: 0; expected retranslations per second", {"rate": 0}),
        (staleline.replay, wrong, "one of retranslation", {"parameters": {"lokup": 3}}),
    ]
    for asked, error, message, options in refused:
        with pytest.raises(error, match=message):
            asked("unfixed", **options)
    with pytest.raises(staleline.StrategyError, match="no strategy 'unfxed'; did you mean unfixed"):
        staleline.replay("unfxed")


def test_objects_are_taken_as_well_as_names() -> None:
    class Mine(staleline.Strategy):
        """As it was."""

    host = staleline.load_host("cortex-a9", ["cores=1"])
    translator = staleline.load_translator("arm@2011")
    found = staleline.check([Mine, Mine(), "unfixed"], host=host, translator=translator, scenario="migrate")
    assert [one.strategy for one in found] == ["mine", "mine", "unfixed"]
    assert all((one.host, one.translator, one.verdict) == (host, "arm@2011", "n/a") for one in found)
