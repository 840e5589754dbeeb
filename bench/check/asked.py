"""What is asked about: strategies, hosts, translators and scenarios, by name or as objects, one or several."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, TypeVar

from bench.check.cell import refuse_hypothetical
from bench.hosts import Host, Target, load_host, load_target
from bench.scenarios import scenario_names
from bench.support.errors import InputError
from bench.translators.registry import default_translator, load_translator
from bench.translators.translator import Translator
from strategies import registry
from strategies.strategy import Strategy, StrategyError

T = TypeVar("T")
AnyTarget = TypeVar("AnyTarget", bound=Target)
Strategies: TypeAlias = str | Strategy | type[Strategy] | Iterable[str | Strategy | type[Strategy]]
Hosts: TypeAlias = str | Host | Iterable[str | Host]
Targets: TypeAlias = str | Target | Iterable[str | Target]
Translators: TypeAlias = str | Translator | Iterable[str | Translator]


def _found(given: Any, kind: Any, load: Callable[[str], T]) -> list[T]:
    """What was given, one or several of ``kind`` or of their names."""
    several = given if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    found = [load(one) if isinstance(one, str) else one for one in several]
    for one in found:
        if not isinstance(one, kind):
            raise TypeError(f"{one!r}: expected a {kind.__name__} or its name")
    return found


def strategies(given: Strategies | None) -> list[Strategy]:
    """The strategies, all of them by default; a class stands for what it makes.

    Raises ``StrategyError`` for two of one name: nothing could tell their rows apart.
    """
    if given is None:
        given = registry.names()
    several = [given] if isinstance(given, str | type | Strategy) else given
    made = [one() if isinstance(one, type) and issubclass(one, Strategy) else one for one in several]
    found = _found(made, Strategy, registry.find)
    known: dict[str, Strategy] = {}
    for one in found:
        registry.refuse_name(one)
        other = known.setdefault(one.name, one)
        if other is not one and type(other) is not type(one):
            both = f"{registry.reference(other)} and {registry.reference(one)}"
            raise StrategyError(f'{both}: two strategies called {one.name!r}; expected name = "..." in one of them')
    return found


def hosts(given: Hosts, settings: Iterable[str] = ()) -> list[Host]:
    """The hosts; ``settings`` derive those that are named."""
    return _apart(_found(given, Host, lambda name: load_host(name, tuple(settings))))


def targets(given: Targets, settings: Iterable[str] = ()) -> list[Target]:
    """The hosts and architectures; ``settings`` derive those that are named."""
    return _apart(_found(given, Target, lambda name: load_target(name, tuple(settings))))


def _apart(found: list[AnyTarget]) -> list[AnyTarget]:
    """The same.  Raises ``InputError`` for two hosts of one name: nothing could tell their rows apart."""
    known: dict[str, Target] = {}
    for one in found:
        other = known.setdefault(one.name, one)
        if other != one:
            raise InputError(
                f"two hosts called {one.name!r}",
                file=one.file or other.file or "",
                place="name",
                expected="a name of its own",
            )
    return found


def pairs(
    asked: Iterable[AnyTarget], translators: Translators | None, what_if: bool
) -> list[tuple[AnyTarget, Translator]]:
    """The hosts and, for each, the translators, by default its own.

    Raises ``InputError`` where the host does not run what a translator emits, unless ``what_if``.
    """
    found = []
    for target in asked:
        own = translators if translators is not None else default_translator(target, what_if=what_if)
        for translator in _found(own, Translator, load_translator):
            refuse_hypothetical(translator, target, what_if)
            found.append((target, translator))
    return found


def scenarios(given: str | Iterable[str] | None) -> list[str]:
    """The names of the scenarios, all of them by default."""
    names = scenario_names() if given is None else [given] if isinstance(given, str) else list(given)
    for name in names:
        if name not in scenario_names():
            raise InputError(repr(name), place="`scenario`", expected=" or ".join(scenario_names()))
    return list(names)
