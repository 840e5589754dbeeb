"""The public package: its names are those that are documented, and its answers those of the command line."""

from __future__ import annotations

import ast
import doctest
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import staleline
from staleline import _questions
from tests.conftest import Staleline

ROOT = Path(__file__).resolve().parents[1]
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
        staleline.Litmus  # noqa: B018


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
    program = "import sys, staleline; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not set(HEAVY) & set(ended.stdout.split())


@pytest.mark.parametrize("module", [staleline, _questions])
def test_the_examples_are_true(module: object) -> None:
    found = doctest.testmod(module)  # type: ignore[arg-type]
    assert found.attempted
    assert not found.failed


def test_the_example_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(example, {"__name__": "example"})
    assert capsys.readouterr().out == "cortex-a9 holds\narm926 holds\ncycles\n"


def test_the_rows_are_what_the_command_prints(staleline: Staleline) -> None:
    import staleline as public

    common = "--host", "cortex-a9", "--strategy", "unfixed,side-table"
    both = ["unfixed", "side-table"]
    printed = json.loads(staleline("check", *common, "--scenario", "system", "--format", "json").out)["results"]
    rows = public.check(both, host="cortex-a9", scenario="system").rows()
    assert [len(one["counterexample"]) or None for one in printed] == [row["rows"] for row in rows]
    for one, row in zip(printed, rows, strict=True):
        assert {key: value for key, value in row.items() if key != "rows"} == {
            key: one[key] for key in row if key != "rows"
        }
    printed = json.loads(staleline("replay", "user-threads", *common, "--format", "json").out)["results"]
    rows = public.replay(both, host="cortex-a9", trace="user-threads").rows()
    for one, row in zip(printed, rows, strict=True):
        assert row["overhead_high"] == one["overhead"]["high"]
        assert row["overhead_tag"] == one["overhead"]["tag"]
        assert {key: value for key, value in row.items() if key in one} == {
            key: value for key, value in one.items() if not isinstance(value, dict)
        }


def test_the_units_of_all_that_has_one() -> None:
    found = staleline.replay("unfixed", trace="user-threads")
    without = {"strategy", "host", "settings", "translator", "trace", "what_if", "retranslations", "locks", "notes"}
    assert set(found.rows()[0]) - set(found.units) == without | {
        column for column in found.rows()[0] if column.endswith("_tag")
    }


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(staleline.InputError, match="`scenario`: 'sytem'"):
        staleline.check("unfixed", scenario="sytem")
    with pytest.raises(staleline.InputError, match="`hazard`: 'transcient'; expected transient or lasting or partial"):
        staleline.check("unfixed", hazard="transcient")  # type: ignore[arg-type]
    with pytest.raises(staleline.InputError, match="max_states"):
        staleline.check("unfixed", max_states=0)
    with pytest.raises(TypeError, match="unexpected keyword argument 'hasard'"):
        staleline.check("unfixed", hasard="lasting")  # type: ignore[call-arg]
    with pytest.raises(staleline.StrategyError, match="no strategy 'unfxed'; did you mean unfixed"):
        staleline.replay("unfxed")
    with pytest.raises(staleline.InputError, match="an architecture, which has no caches and no costs"):
        staleline.compare("unfixed", host="armv8")
    with pytest.raises(staleline.InputError, match="does not run"):
        staleline.risk("unfixed", host="cortex-a9", translator="mips")
    with pytest.raises(staleline.InputError, match="`rate`: 0; expected retranslations per second"):
        staleline.risk("unfixed", rate=0)
    with pytest.raises(TypeError, match="expected a Target or its name"):
        staleline.check("unfixed", host=3)  # type: ignore[arg-type]
    with pytest.raises(staleline.InputError, match="one of retranslation"):
        staleline.replay("unfixed", parameters={"lokup": 3})


def test_objects_are_taken_as_well_as_names() -> None:
    class Mine(staleline.Strategy):
        """As it was."""

    host = staleline.load_host("cortex-a9", ["cores=1"])
    translator = staleline.load_translator("arm@2011")
    found = staleline.check([Mine, Mine(), "unfixed"], host=host, translator=translator, scenario="migrate")
    assert [one.strategy for one in found] == ["mine", "mine", "unfixed"]
    assert all((one.host, one.translator, one.verdict) == (host, "arm@2011", "n/a") for one in found)
