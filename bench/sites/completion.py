"""Targets of a site for which a mixture of two addresses is neither of them, whatever the examples in its file are.

A word that is fetched or loaded in parts may be torn, which nobody sees where a part is the same in both states.  What
of it is an address could be anything: in such a part another bit is set, and the state leads to another target.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

from bench.hosts import Target
from bench.machine.architecture import is_aligned
from bench.machine.caches import Features
from bench.machine.opcodes import Concurrent
from bench.protocols.host import protocol_host
from bench.sites.paths import at_rest
from bench.sites.site import Site, SiteWord


def completed(site: Site, target: Target) -> Site:
    """The same site, with targets whose addresses differ in every part in which the target can see a word."""
    for word in (word for word in site.words if not word.is_constant):
        for part in _parts(word, target):
            for number, state in enumerate(site.states):
                held = site.word(word.name).values
                others = [held[other] for other in site.states[:number] if held[other] != held[state]]
                if held[state][part] in [other[part] for other in others]:
                    site = next(_with_another(site, word.name, state, part, others), site)
    return site


def _parts(word: SiteWord, target: Target) -> list[slice]:
    """The bytes of a word that are seen together, if they are not all."""
    host = protocol_host(target)
    if isinstance(host.rules, Features):
        block = min(host.data_line, *host.instruction_lines)
    elif host.rules.concurrent is Concurrent.BYTE and not word.is_data:
        block = 1
    elif host.rules.unaligned or is_aligned(word.at, word.size):
        block = host.rules.atomic
    else:
        block = min(host.rules.atomic, word.at & -word.at)
    cuts = [0, *(at for at in range(1, word.size) if (word.at + at) % block == 0), word.size]
    return [slice(*cut) for cut in itertools.pairwise(cuts)] if len(cuts) > 2 else []


def _with_another(site: Site, name: str, state: str, part: slice, others: list[bytes]) -> Iterator[Site]:
    """Sites in which a state has another address, with a part of a word that none of the others has."""
    held = site.word(name).values[state]
    addresses = {at: [one for _, one in _moved(site, name, state, at)] for at in range(len(held))}
    for at in reversed(range(part.start, part.stop)):
        for value, moved in _moved(site, name, state, at):
            same = [other for other in others if other[part] == held[part]]
            # Where more than an address differs, it is by design that one does not: a mask, or an opcode, is patched.
            design = [all(addresses[byte] for byte in range(len(held)) if other[byte] != held[byte]) for other in same]
            if any(design) and value[part] not in [other[part] for other in others]:
                yield moved


def _moved(site: Site, name: str, state: str, at: int) -> Iterator[tuple[bytes, Site]]:
    """A bit of one byte is changed: values with which the same instructions lead elsewhere, and the site with each."""
    word, before = site.word(name), at_rest(site, state)
    for bit in range(8):
        held = bytearray(word.values[state])
        held[at] ^= 1 << bit
        path = at_rest(_with_values(site, {name: bytes(held)}, state), state)
        lengths = [[(place, len(code)) for place, code in one.executed] for one in (before, path)]
        if path.trouble or path.target is not None or (path.address or -1) < 0 or lengths[0] != lengths[1]:
            continue
        assert path.address is not None
        old, order = site.targets[state], site.instructions.byteorder
        values = {name: bytes(held)}
        for slot in site.words:
            if slot.is_data and slot.name != name and int.from_bytes(slot.values[state], order) == old:
                values[slot.name] = path.address.to_bytes(slot.size, order)
        moved = replace(_with_values(site, values, state), targets={**site.targets, state: path.address})
        if at_rest(moved, state).arrives == state:
            yield bytes(held), moved


def _with_values(site: Site, values: dict[str, bytes], state: str) -> Site:
    words = (
        replace(word, values={**word.values, state: values[word.name]}) if word.name in values else word
        for word in site.words
    )
    return replace(site, words=tuple(words))
