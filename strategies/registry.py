"""Finding strategies: the shipped ones, installed ones, and a class in a file."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
import sys
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TypeGuard

from strategies import retranslation
from strategies.foreign import foreign
from strategies.strategy import Strategy, StrategyError

GROUP = "staleline.strategies"
"""The entry-point group through which an installed package adds strategies."""


@cache
def shipped() -> dict[str, type[Strategy]]:
    """Those of ``strategies/retranslation`` by name: each module's own subclasses, ``unfixed`` first."""
    found: dict[str, type[Strategy]] = {}
    for module in pkgutil.iter_modules(retranslation.__path__, f"{retranslation.__name__}."):
        for member in vars(importlib.import_module(module.name)).values():
            if _is_strategy(member) and member.__module__ == module.name:
                found[member.name] = member
    return dict(sorted(found.items(), key=lambda item: (item[0] != "unfixed", item[0])))


@cache
def installed() -> dict[str, type[Strategy]]:
    """Strategies of other installed packages, by name; their entry points are in the group ``staleline.strategies``."""
    found: dict[str, type[Strategy]] = {}
    for point in entry_points(group=GROUP):
        with foreign(f"entry point {point.name} = {point.value}:"):
            cls = point.load()
        found[_strategy(cls, f"entry point {point.name} = {point.value}").name] = cls
    return found


def names() -> tuple[str, ...]:
    """The names of all shipped and installed strategies."""
    return (*shipped(), *(name for name in installed() if name not in shipped()))


_FILES: dict[type[Strategy], str] = {}
"""The classes that came from files, each as it was asked for."""


def reference(strategy: Strategy) -> str:
    """What ``find`` finds the strategy by: its name, or ``path/to/file.py:Class``."""
    return _FILES.get(type(strategy), strategy.name)


def find(name: str) -> Strategy:
    """The strategy called ``name``, or the class that ``path/to/file.py:Class`` names.

    Raises ``StrategyError`` if there is none, or if it cannot be loaded.
    """
    if ".py:" in name:
        return _from_file(*name.rsplit(":", 1))
    cls = shipped().get(name) or installed().get(name)
    if cls is None and name.endswith(".toml"):
        raise StrategyError(f"{name} is a site or a protocol, and no strategy; `check {name}` takes it")
    if cls is None:
        close = difflib.get_close_matches(name, names(), 1)
        hint = f"did you mean {close[0]}?" if close else f"strategies are {', '.join(names())}"
        raise StrategyError(f"no strategy {name!r}; {hint} (or path/to/file.py:Class)")
    return _made(cls, name)


def _from_file(path: str, name: str) -> Strategy:
    if not Path(path).is_file():
        raise StrategyError(f"{path}: no such file; expected path/to/file.py:Class")
    module_name = f"staleline_strategy_{abs(hash(str(Path(path).resolve())))}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise StrategyError(f"{path}: not a Python file; expected path/to/file.py:Class")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        with foreign(f"{path}:"):
            spec.loader.exec_module(module)
    except StrategyError as error:
        if isinstance(error.__cause__, SyntaxError):
            line = f"line {error.__cause__.lineno}: " if error.__cause__.lineno else ""
            raise StrategyError(f"{path}: {line}{error.__cause__.msg}; expected a Python file") from error
        raise error if Path(path).name in str(error) else StrategyError(f"{path}: {error}") from error
    if not hasattr(module, name):
        own = [key for key, value in vars(module).items() if _is_strategy(value) and value.__module__ == module_name]
        raise StrategyError(f"{path}: no class {name}; expected one of {', '.join(own) or 'its Strategy subclasses'}")
    cls = _strategy(getattr(module, name), f"{path}:{name}")
    if cls.__module__ == module_name:
        _FILES[cls] = f"{path}:{name}"
    return _made(cls, f"{path}:{name}")


def _made(cls: type[Strategy], place: str) -> Strategy:
    """A strategy of the class.  Raises ``StrategyError`` if it cannot be made, or goes by the name of another."""
    with foreign(f"{place}:", "a class that takes nothing"):
        made = cls()
    refuse_name(made)
    return made


def refuse_name(strategy: Strategy) -> None:
    """Raise ``StrategyError`` for a strategy that goes by the name of one that is shipped."""
    other = shipped().get(strategy.name, type(strategy))
    if other is not type(strategy):
        raise StrategyError(
            f"{reference(strategy)}: called {strategy.name!r}, as a strategy that is shipped; expected another "
            f'class name, or name = "..." in it'
        )


def _is_strategy(value: object) -> TypeGuard[type[Strategy]]:
    return isinstance(value, type) and issubclass(value, Strategy) and value is not Strategy


def _strategy(cls: object, place: str) -> type[Strategy]:
    if not _is_strategy(cls):
        raise StrategyError(f"{place}: not a subclass of staleline.Strategy")
    return cls
