"""What is in the wheel, and who imports whom."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

import staleline
from bench.support import versions
from bench.tools.wheel import renamed

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("staleline", "strategies", "bench")
DEVELOPMENT = ("bench/__main__.py", "bench/suite/", "bench/tools/")
"""What starts a checkout, benchmarks of the program itself, and what makes files of the project: in no wheel."""


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
    return {file for file in files if not file.startswith(DEVELOPMENT)}


def test_the_wheel_holds_one_package_and_all_of_the_others_inside_it(wheel: zipfile.ZipFile) -> None:
    """Nothing but names differs."""
    inside = "staleline/_internal/"
    contents = {name.removeprefix(inside): wheel.read(name) for name in wheel.namelist() if ".dist-info/" not in name}
    assert {name.partition("/")[0] for name in wheel.namelist()} - {"staleline"} == {
        f"staleline-{staleline.__version__}.dist-info"
    }
    assert contents.keys() == shipped()
    for file, content in contents.items():
        restored = content.replace(b"staleline._internal.", b"") if file.endswith(".py") else content
        assert restored == (ROOT / file).read_bytes(), file


@pytest.mark.parametrize(
    ("outside", "within"),
    [
        ("from bench import a", "from staleline._internal.bench import a"),
        ("if x:\n    from strategies.b import bench", "if x:\n    from staleline._internal.strategies.b import bench"),
        ("import bench.c as d, strategies as e", None),
        ("from benches import bench", "from benches import bench"),
        (
            "x = 'ä', 'bench.a.B', 'bench', 'in bench.a'",
            "x = 'ä', 'staleline._internal.bench.a.B', 'bench', 'in bench.a'",
        ),
    ],
)
def test_names_are_those_inside_the_wheel(outside: str, within: str | None) -> None:
    within = within or "import staleline._internal.bench.c as d, staleline._internal.strategies as e"
    assert renamed(outside.encode(), "x.py").decode() == within


def test_a_name_that_a_wheel_would_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match=r"x.py:2: import bench.hosts without `as`"):
        renamed(b"\nimport bench.hosts", "x.py")


def test_the_wheel_brings_the_command_and_the_licence(wheel: zipfile.ZipFile) -> None:
    (entry_points,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    command, plugin = wheel.read(entry_points).decode().strip().split("\n\n")
    assert command == "[console_scripts]\nstaleline = staleline.__main__:main"
    assert plugin == "[pytest11]\nstaleline = staleline.pytest_plugin"
    (licence,) = (name for name in wheel.namelist() if name.endswith("licenses/LICENSE"))
    assert wheel.read(licence) == (ROOT / "LICENSE").read_bytes()


@pytest.fixture(scope="module")
def installed(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a virtual environment with the wheel, and the packages that it needs from the one of the tests."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    wheel.extractall(site)
    (site / "needed.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin" / "python"


EVERY_MODULE = """
import importlib, pkgutil, sys, staleline
for module in pkgutil.walk_packages(staleline.__path__, "staleline."):
    importlib.import_module(module.name)
print(sorted({name.partition(".")[0] for name in sys.modules} & {"bench", "strategies"}), len(staleline.host_names()))
"""
MINE = "from staleline import Strategy\nclass Mine(Strategy):\n    pass\n"


def test_an_installed_wheel_is_the_program_and_the_library(installed: Path, tmp_path: Path) -> None:
    def run(*arguments: str, status: int = 0) -> str:
        ended = subprocess.run(
            [str(installed), "-I", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert (ended.returncode, ended.stderr) == (status, ""), ended.stderr
        return ended.stdout

    assert run("-c", EVERY_MODULE) == f"[] {len(staleline.host_names())}\n"
    assert run("-m", "staleline", "--version") == f"staleline {staleline.__version__}\n"
    (tmp_path / "mine.py").write_text(MINE)
    asked = "import staleline; print(staleline.check('mine.py:Mine', scenario='system')[0].verdict, staleline.__file__)"
    verdict, file = run("-c", asked).split()
    assert verdict == "fails"
    assert Path(file).is_relative_to(installed.parents[1])
    # Its cells are searched in two processes, and one of them is of another's class.
    found = json.loads(run("-m", "staleline", "check", "idempotent", "mine.py:Mine", "--format", "json", status=1))
    assert {one["strategy"] for one in found["results"]} == {"idempotent", "mine"}
    # Compiled kernels are kept by the same sources.
    file = "bench/search/kernel.py"
    script = "import sys; from staleline._internal.bench.support import versions; print(*versions.sources(sys.argv[1]))"
    inside = installed.parents[1].glob(f"lib/*/site-packages/staleline/_internal/{file}")
    sources = [name.partition("/_internal/")[2] for name in run("-c", script, *map(str, inside)).split()]
    assert sources == [Path(name).relative_to(ROOT).as_posix() for name in versions.sources(str(ROOT / file))]


# --- imports ---


def test_imports_go_down_the_layers() -> None:
    """As ``[tool.importlinter]`` of pyproject.toml draws them."""
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0


def test_nothing_is_imported_relatively() -> None:
    """What a compiled kernel depends on is found by the absolute names in imports."""
    for file in shipped():
        if file.endswith(".py"):
            tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
            assert not any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree)), file


def _named_types(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """The classes of a module, and what it assigns such a name to: the name, and whether it is a class."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield node.name, True
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            if isinstance(target, ast.Name) and re.match("[A-Z].*[a-z]", target.id):
                yield target.id, False


def test_the_name_of_a_class_stands_for_nothing_else() -> None:
    """But for options of the command line, which are called like what they name."""
    found: dict[str, list[bool]] = {}
    for file in sorted(shipped() - {"bench/commands/options.py"}):
        if file.endswith(".py"):
            for name, is_class in _named_types(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
                found.setdefault(name, []).append(is_class)
    assert [name for name, kinds in found.items() if len(kinds) > 1 and any(kinds)] == []


@pytest.mark.parametrize("file", sorted((ROOT / "bench" / "machine").glob("*.py")), ids=lambda file: file.name)
def test_the_machine_does_no_input_output_and_knows_no_clock_and_no_chance(file: Path) -> None:
    """The machine is pure: no module of the standard library that would make it otherwise."""
    impure = {"os", "sys", "io", "time", "datetime", "random", "secrets", "pathlib", "socket", "threading", "numpy"}
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name.partition(".")[0] for name in names} & impure
    assert not {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & {"open", "print", "input"}
