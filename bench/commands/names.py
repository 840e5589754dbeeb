"""Names on the command line, and the strategies, hosts, translators and scenarios that they stand for."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, TypeVar

from bench.support.errors import InputError

if TYPE_CHECKING:
    from bench.check.cell import Options
    from bench.hosts import Host, Target
    from bench.translators.translator import Access, Translator
    from strategies.strategy import Strategy


_Word = TypeVar("_Word", bound=str)
_Target = TypeVar("_Target", bound="Target")


DEFAULT_HOST = "cortex-a9"


def names_in(values: Iterable[str] | None) -> list[str]:
    """The values of a repeatable option, comma lists taken apart, without repetition."""
    items = [item.strip() for value in values or () for item in value.split(",")]
    if any(not item for item in items):
        raise InputError("an empty name in a list", expected="names with commas between them")
    return list(dict.fromkeys(items))


def one_of(place: str, value: str, known: tuple[_Word, ...]) -> _Word:
    """The one of the ``known`` words that ``value`` is."""
    for word in known:
        if word == value:
            return word
    raise InputError(repr(value), place=place, expected=" or ".join(known))


def strategies_named(named: list[str]) -> list[Strategy]:
    """The strategies of those names; all of them for ``all``, or for none."""
    from strategies import registry

    return [registry.find(name) for name in (named if named and named != ["all"] else registry.names())]


def hosts_named(named: list[str] | None, settings: list[str] | None) -> list[Host]:
    """The hosts of those names."""
    from bench.hosts import Architecture, Host

    hosts = []
    for host in targets_named(named, settings):
        if isinstance(host, Architecture):
            raise InputError(
                f"{host.name} is an architecture, which has no caches and no costs",
                place="--host",
                expected="a host; staleline check asks architectures",
            )
        assert isinstance(host, Host)
        hosts.append(host)
    return hosts


def targets_named(named: list[str] | None, settings: list[str] | None) -> list[Target]:
    """The hosts and architectures of those names."""
    from bench.hosts import host_names, load_target

    names = names_in(named) or [DEFAULT_HOST]
    return [load_target(name, settings or ()) for name in (host_names() if names == ["all"] else names)]


def scenarios_named(named: list[str] | None) -> tuple[list[str], bool]:
    """The scenarios asked for, and whether they were asked for by name."""
    from bench.scenarios import scenario_names

    names = names_in(named)
    if not names or names == ["all"]:
        return list(scenario_names()), False
    for name in names:
        one_of("--scenario", name, scenario_names())
    return names, True


def translators_for(named: list[str] | None, host: Target, what_if: bool) -> list[Translator]:
    """The translators asked for, or the host's own: the one of early January 2011 for its first instruction set."""
    from bench.translators.registry import default_translator, load_translator

    if names := names_in(named):
        return [load_translator(name) for name in names]
    return [default_translator(host, what_if=what_if)]


def accesses_in(text: str) -> tuple[Access, ...]:
    """The guest accesses of a block."""
    from bench.translators.translator import ACCESSES

    named = tuple(one_of("--access", word.strip(), ACCESSES) for word in text.split(","))
    if len(named) > 4:
        raise InputError(f"{len(named)} accesses", place="--access", expected="at most 4")
    return named


def guest_bits_of(bits: int) -> Literal[32, 64]:
    """The width of a guest address."""
    from bench.translators.translator import GUEST_BITS

    for known in GUEST_BITS:
        if bits == known:
            return known
    raise InputError(str(bits), place="--guest-bits", expected="32 or 64")


def max_states_of(asked: int | None) -> int:
    """The states of a search, at most."""
    from bench.check.cell import MAX_STATES

    if asked is not None and asked < 1:
        raise InputError(str(asked), place="--max-states", expected="at least 1")
    return asked or MAX_STATES


def host_translator_pairs(
    hosts: list[str] | None, settings: list[str] | None, translators: list[str] | None, what_if: bool
) -> list[tuple[Host, Translator]]:
    """The hosts and, for each, the translators, as ``paired`` has them."""
    return paired(hosts_named(hosts, settings), hosts, translators, what_if)


def paired(
    targets: list[_Target], hosts: list[str] | None, translators: list[str] | None, what_if: bool
) -> list[tuple[_Target, Translator]]:
    """Each target with its translators; refuses what it does not run, unless ``what_if``.

    Of ``--host all`` such hosts are left out, and named on stderr.
    """
    from bench.check.cell import refuse_hypothetical

    pairs: list[tuple[_Target, Translator]] = []
    left_out = []
    for host in targets:
        try:
            found = translators_for(translators, host, what_if)
            for translator in found:
                refuse_hypothetical(translator, host, what_if)
        except InputError:
            if hosts != ["all"]:
                raise
            left_out.append(host.name)
        else:
            pairs += [(host, translator) for translator in found]
    if not pairs:
        raise InputError(f"no host runs {', '.join(translators or [])}", place="--translator", expected="--what-if")
    if left_out:
        print(f"staleline: n/a: {', '.join(left_out)}: no translator for it here (--what-if)", file=sys.stderr)
    return pairs


def every_pair(
    hosts: list[str] | None, settings: list[str] | None, translators: list[str] | None
) -> tuple[list[tuple[Host, Translator]], list[Host]]:
    """Every translator with every host that it can run on, and the hosts for which there is none."""
    from bench.translators.registry import first_versions, load_translator, translator_names

    named = names_in(translators)
    every = translator_names() if named == ["all"] else named
    backends = [load_translator(name) for name in every] if named else list(first_versions())
    profiles = hosts_named(hosts or ["all"], settings)
    pairs = [(host, backend) for host in profiles for backend in backends if backend.isa in host.isa]
    if hosts and names_in(hosts) != ["all"]:
        for host in profiles:
            if not any(pair[0] is host for pair in pairs):
                raise InputError(
                    f"{host.name} runs {' or '.join(host.isa)}, which no translator here emits",
                    place="--host",
                    expected=f"a host for {', '.join(dict.fromkeys(backend.isa for backend in backends))}",
                )
    if not pairs:
        raise InputError(f"no host runs {', '.join(named)}", place="--translator", expected="another translator")
    without = [host for host in profiles if not any(pair[0] is host for pair in pairs)]
    return pairs, [] if named and named != ["all"] else without


def with_threads(names: list[str], threads: int, options: Options) -> list[str]:
    """The scenarios that have so many threads; all of them if none has, which is then refused where it is met."""
    from bench.scenarios import scenario

    found = {name: scenario(name, options.cores, cores=options.cores) for name in names}
    return [name for name, one in found.items() if one is not None and len(one.threads) >= threads] or names


def refuse_impossible(host: Target, names: list[str], options: Options) -> None:
    """Refuse a scenario that was asked for by name and cannot be on the host."""
    from bench.scenarios import scenario

    for name in names:
        if scenario(name, host.cores.value, cores=options.cores) is None:
            raise InputError(f"scenario {name} on {host.name}, which has one core", expected="a host with more cores")
