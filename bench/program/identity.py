"""What a strategy and a translator are, as far as their content can be known: for keys of results that are kept."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from bench.program.effects import meaning
from bench.support.kept import digest
from bench.support.versions import version
from bench.translators.translator import Translator
from strategies.strategy import Strategy


@lru_cache(maxsize=256)
def identity(strategy: Strategy, translator: Translator) -> bytes | None:
    """A digest of what the hooks gave for a block of this translator, and of the sources of both; None without these.

    A strategy's sources are those of its classes' modules, and of all that these import, but for Python's own and the
    project's outside ``strategies``, which are in the version of whoever keeps a result.  What a hook reads beside them
    (a file, the environment) shows in the operations alone.  Raises ``StrategyError`` as ``meaning``.
    """
    classes = [one for one in type(strategy).__mro__ if one not in (Strategy, object)]
    if vars(strategy) or any("<locals>" in one.__qualname__ for one in classes):
        return None
    found = _sources({one.__module__ for one in classes})
    module = sys.modules[type(translator).__module__].__file__
    if found is None or module is None:
        return None
    names = tuple(one.__qualname__ for one in classes)
    return digest((names, found, meaning(strategy, translator), translator.full_name, version(module)))


def _sources(names: set[str]) -> tuple[str, ...] | None:
    """The digests of the modules of these names and of those that they import; None if one of these has no source."""
    known: dict[str, str] = {}
    waiting = sorted(names)
    while waiting:
        name = waiting.pop()
        root = name.partition(".")[0]
        own = root in _PROJECT and not name.startswith(_STRATEGIES)
        if name in known or own or root in sys.stdlib_module_names:
            continue
        source = _source(name)
        if source is not None:
            known[name] = source[0]
            waiting += source[1]
        elif name in names:
            return None
    return tuple(sorted(known.values()))


# Installed, both are parts of the package staleline, and have its name before theirs.
_PROJECT = {"staleline", __name__.partition(".")[0]}
_STRATEGIES = Strategy.__module__.rpartition(".")[0]


@lru_cache(maxsize=1024)
def _source(name: str) -> tuple[str, frozenset[str]] | None:
    """The digest of a module's source, and what it may import; None if it is not loaded, or not from a source."""
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if file is None or not file.endswith(".py"):
        return None
    try:
        text = Path(file).read_bytes()
    except OSError:
        return None
    return hashlib.sha256(text).hexdigest(), frozenset(_imported(text, getattr(module, "__package__", None)))


def _imported(text: bytes, package: str | None) -> Iterator[str]:
    """The modules that a source may import, wherever in it; ``from a import b`` may mean ``a.b``."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            name = "." * node.level + (node.module or "")
            whole = importlib.util.resolve_name(name, package) if node.level else name
            yield whole
            yield from (f"{whole}.{alias.name}" for alias in node.names)
