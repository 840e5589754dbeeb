"""What is in the wheel, and who imports whom."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from bench.traces.shipped import SHIPPED

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("strategies", "bench")
DEVELOPMENT = ("bench.suite", "bench.tools")
"""Benchmarks of the program itself: above everything, and in no wheel."""


# --- the wheel ---


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The wheel, built without isolation and so without a network."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as found:
        yield found


def shipped() -> set[str]:
    """Every file of the packages in the checkout that is not made by running it."""
    files = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return {file for file in files if not file.startswith(tuple(name.replace(".", "/") for name in DEVELOPMENT))}


def test_the_wheel_holds_the_packages_whole_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == shipped()


def test_the_wheel_holds_what_is_read_at_run_time(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    assert {
        "bench/check/thread.events",
        "bench/check/hidden.events",
        "bench/py.typed",
        "strategies/py.typed",
        "bench/__main__.py",
        "strategies/retranslation/unfixed.py",
        "strategies/retranslation/stop_the_world_flush.py",
    } <= names
    assert len([name for name in names if PurePosixPath(name).match("bench/hosts/*.toml")]) == 17
    assert len([name for name in names if PurePosixPath(name).match("bench/known_bugs/*.toml")]) == 39
    for trace in SHIPPED:
        file = f"bench/traces/data/{trace}.trace"
        assert wheel.read(file) == (ROOT / file).read_bytes()


def test_the_wheel_holds_no_tests(wheel: zipfile.ZipFile) -> None:
    for name in wheel.namelist():
        path = PurePosixPath(name)
        assert "tests" not in path.parts
        assert not path.name.startswith(("test_", "conftest"))


def test_the_wheel_brings_the_command_and_the_licence(wheel: zipfile.ZipFile) -> None:
    (entry_points,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert wheel.read(entry_points).decode() == "[console_scripts]\nstaleline = bench.commands.application:main\n"
    (licence,) = (name for name in wheel.namelist() if name.endswith("licenses/LICENSE"))
    assert wheel.read(licence) == (ROOT / "LICENSE").read_bytes()


def test_an_installed_wheel_is_the_program(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path / "site")
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            "from bench.commands.application import main; main()",
            "check",
            "idempotent",
            "--scenario",
            "system",
        ],
        cwd=tmp_path / "site",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "transient hazard: holds" in ended.stdout
    listed = subprocess.run(
        [sys.executable, "-c", "from bench.commands.application import main; main()", "--version"],
        cwd=tmp_path / "site",
        capture_output=True,
        text=True,
        check=True,
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert listed.stdout == f"staleline {project['version']}\n"


# --- imports ---

LAYERS = (
    ("strategies",),
    (
        "bench.support.errors",
        "bench.support.files",
        "bench.support.kernels",
        "bench.known_bugs",
        "bench.support.processors",
        "bench.support.settings",
        "bench.support.toml",
        "bench.support.text",
    ),
    ("bench.hosts", "bench.translators", "bench.scenarios"),
    ("bench.machine",),
    ("bench.program",),
    ("bench.autopsy", "bench.litmus", "bench.search"),
    ("bench.protocols", "bench.traces"),
    ("bench.explain",),
    ("bench.check",),
    ("bench.replay", "bench.risk"),
    ("bench.compare",),
    ("bench.thread",),
    ("bench.report",),
    ("bench.commands",),
    ("bench.__main__",),
)
"""The picture in the project's design, bottom up: an import goes down, or stays in its layer."""


def modules() -> dict[str, Path]:
    """Every module and package by its full name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return {name: path for name, path in found.items() if not f"{name}.".startswith(DEVELOPMENT)}


MODULES = modules()


def imported(name: str) -> set[str]:
    """The modules of ours that a module imports, inside functions and for type checkers too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}, line {node.lineno}: a relative import"
            assert node.module is not None
            # ``from package import module`` imports the module.
            found.update(
                full if (full := f"{node.module}.{alias.name}") in MODULES else node.module for alias in node.names
            )
    return {module for module in found if module.partition(".")[0] in PACKAGES}


def layer(name: str) -> int:
    """The number of a module's layer, from the bottom."""
    (found,) = [
        number for number, layer in enumerate(LAYERS) if any(f"{name}.".startswith(f"{prefix}.") for prefix in layer)
    ]
    return found


def test_every_module_has_its_place_in_the_picture() -> None:
    for name in MODULES:
        if name != "bench":  # an empty package
            layer(name)
    assert not MODULES["bench"].read_text(encoding="utf-8")
    for prefix in (prefix for layer in LAYERS for prefix in layer):
        assert prefix in MODULES, f"{prefix} is in the picture and not in the project"


def test_imports_name_modules_that_are_there() -> None:
    for name in MODULES:
        assert imported(name) <= set(MODULES)


def test_strategies_import_nothing_of_the_bench() -> None:
    for name in MODULES:
        if layer_of_strategies(name):
            assert not {module for module in imported(name) if not layer_of_strategies(module)}, name


def layer_of_strategies(name: str) -> bool:
    """Whether a module belongs to what is compared."""
    return name.partition(".")[0] == "strategies"


def test_no_import_runs_upwards() -> None:
    upwards = [
        f"{name} imports {module}"
        for name in MODULES
        if name != "bench"
        for module in imported(name)
        if layer(module) > layer(name)
    ]
    assert upwards == []


def test_no_imports_in_a_circle() -> None:
    tuple(graphlib.TopologicalSorter({name: imported(name) - {name} for name in MODULES}).static_order())


@pytest.mark.parametrize("top", ["bench.machine"])
def test_the_rules_of_the_host_do_no_input_output_and_know_no_clock_and_no_chance(top: str) -> None:
    """The machine is pure: no module of the standard library that would make it otherwise."""
    impure = {"os", "sys", "io", "time", "datetime", "random", "secrets", "pathlib", "socket", "threading", "numpy"}
    tree = ast.parse(MODULES[top].read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name.partition(".")[0] for name in names} & impure
    assert not {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & {"open", "print", "input"}
