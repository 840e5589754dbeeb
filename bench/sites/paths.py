"""What an execution of a site can come to: each way through its words, for all mixtures of their values.

An execution *observes*: it fetches words that can change, and loads data.  A constant word is part of the way and no
observation.  Values are concrete, so that a mixture (the upper half of one address, the lower half of another) leads
where it really leads.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bench.sites.instructions import FLAGS, RETURN_ADDRESS, Effect, Value
from bench.sites.site import CODE, NEW, OLD, STUB, TRAP, Site, SiteWord
from bench.support.errors import InputError

_LONGEST = 32
"""Instructions of an execution, at most."""
_UNREAD = "since that is no branch, load, address arithmetic, store or no-operation that is read here"
_BACK = "since a branch leads back to {:#x}"
_TOUCHES = "since it accesses {} in a way that is not read here"


@dataclass(frozen=True, slots=True, order=True)
class Observation:
    """What is observed at an address: ``words`` fetched together, or one that is loaded."""

    at: int
    loads: bool
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SitePath:
    """A way through a site.

    ``observed``: observations, each with the values by name.  Where it arrives: ``target`` by name, or ``address`` if
    it is none (None: an address that nobody knows); ``trouble``: a register that does not hold what the target relies
    on, or an instruction that is not read.  ``code``: what is then found there, if that is looked at.  ``executed``:
    the address and the bytes of each instruction; ``loads`` of data, ``indirect`` branches.  ``assumed``: of each
    branch that is taken since nobody knows, the number of its condition, if flags are those of the start, or None.
    """

    observed: tuple[tuple[Observation, tuple[str, ...]], ...] = ()
    target: str | None = None
    address: int | None = None
    trouble: str = ""
    code: str = ""
    assumed: tuple[int | None, ...] = ()
    executed: tuple[tuple[int, bytes], ...] = ()
    loads: int = 0
    indirect: int = 0

    @property
    def values(self) -> tuple[str, ...]:
        """The values in order, each as ``word.value``."""
        return tuple(
            value_name(word, value)
            for observation, values in self.observed
            for word, value in zip(observation.words, values, strict=True)
        )

    @property
    def arrives(self) -> str | None:
        """The target, if all is there that it relies on."""
        return None if self.trouble else self.target

    @property
    def outcome(self) -> str:
        """Where it arrives, in words."""
        if self.target is not None:
            but = f", but {self.trouble}" if self.trouble else f", where the code is {self.code}" if self.code else ""
            return f"leads to {self.target}{but}"
        if self.trouble:
            return f"leads nowhere, {self.trouble}"
        return (
            "leads nowhere that is known" if self.address is None else f"leads to {self.address:#x}, which is no target"
        )


def value_name(word: str, value: str) -> str:
    """A value as a protocol calls it."""
    return f"{word}.{value}"


@dataclass(frozen=True, slots=True)
class _Walk:
    """An execution on its way: at an address, with registers, and the values that it met."""

    at: int
    registers: tuple[tuple[str, int], ...]
    path: SitePath
    seen: tuple[tuple[str, str], ...] = ()
    leaves_for: int | None = None
    leaving: bool = False

    def register(self, name: str) -> int | None:
        return dict(self.registers).get(name)


def paths(site: Site, values: Mapping[str, Sequence[str]]) -> tuple[SitePath, ...]:
    """Every way through a site whose words may have those ``values`` (of words that can change, by name)."""
    registers = {RETURN_ADDRESS: site.targets[STUB], **site.registers}
    found = tuple(_onwards(site, values, _Walk(site.entry, tuple(registers.items()), SitePath())))
    together: dict[int, tuple[str, ...]] = {}
    for path in found:
        for observation, _ in path.observed:
            if not observation.loads:
                together[observation.at] = max(together.get(observation.at, ()), observation.words, key=len)
    return tuple(whole for path in found for whole in _fetched_whole(path, values, together))


def _fetched_whole(
    path: SitePath, values: Mapping[str, Sequence[str]], together: Mapping[int, tuple[str, ...]]
) -> Iterator[SitePath]:
    """The same with all words that are fetched at an address where some instruction there is longer than this one."""
    for number, (observation, held) in enumerate(path.observed):
        words = observation.words if observation.loads else together[observation.at]
        if len(words) > len(observation.words):
            whole = replace(observation, words=words)
            for more in itertools.product(*(values[word] for word in words[len(observation.words) :])):
                observed = (*path.observed[:number], (whole, (*held, *more)), *path.observed[number + 1 :])
                yield from _fetched_whole(replace(path, observed=observed), values, together)
            return
    yield path


def on_into(ways: Sequence[SitePath], target: str, at: int) -> tuple[SitePath, ...]:
    """The same ways, but those that lead to the target go on into its code, old or new, which lies there."""
    there = Observation(at, False, (CODE,))
    last = {path.observed[-1] for path in ways if path.target == target and path.observed}
    # A mixture that ends as a way to the target does cannot be told from it there, and is wrong already.
    return tuple(
        replace(path, code=code if path.target == target else "", observed=(*path.observed, (there, (code,))))
        if code
        else path
        for path in ways
        for code in ((OLD, NEW) if path.target == target or {*path.observed[-1:]} & last else ("",))
    )


def at_rest(site: Site, state: str) -> SitePath:
    """The way through a site in which nothing changes."""
    return leads(site, {word.name: state for word in site.words})


def leads(site: Site, held: Mapping[str, str]) -> SitePath:
    """The way through a site of whose words each has the one value that is named."""
    (only,) = paths(site, {word.name: (word.value(held[word.name]),) for word in site.words})
    return only


def _onwards(site: Site, values: Mapping[str, Sequence[str]], walk: _Walk) -> Iterator[SitePath]:
    if not walk.leaving and (site.target_at(walk.at) is not None or _word_at(site, walk.at) is None):
        yield _arrived(site, walk, walk.at)
        return
    if len(walk.path.executed) == _LONGEST:
        raise InputError("an execution that does not end", file=site.file, place="words", expected="branches forward")
    for code, words, chosen in _fetched(site, values, walk.at, walk.seen):
        yield from _executed(site, values, walk, code, words, chosen)


def _fetched(
    site: Site, values: Mapping[str, Sequence[str]], at: int, seen: tuple[tuple[str, str], ...]
) -> Iterator[tuple[bytes, tuple[SiteWord, ...], tuple[str, ...]]]:
    """The bytes of the instruction at an address, for all values of the words that it lies in."""

    def read(
        code: bytes, words: tuple[SiteWord, ...], chosen: tuple[str, ...]
    ) -> Iterator[tuple[bytes, tuple[SiteWord, ...], tuple[str, ...]]]:
        length = site.instructions.effect(code, at).length if len(code) >= site.instructions.shortest else len(code) + 1
        if code and length <= len(code):
            yield code[:length], words, chosen
            return
        word = _word_at(site, at + len(code))
        if word is None:
            raise InputError(
                f"the instruction at {at:#x} goes on behind", file=site.file, place="words", expected="a word there"
            )
        may = (dict(seen)[word.name],) if word.name in dict(seen) else values.get(word.name, (next(iter(word.values)),))
        for value in may:
            yield from read(code + word.values[value][at + len(code) - word.at :], (*words, word), (*chosen, value))

    return read(b"", (), ())


def _word_at(site: Site, at: int) -> SiteWord | None:
    return next((word for word in site.words if not word.is_data and word.at <= at < word.at + word.size), None)


def _executed(
    site: Site,
    values: Mapping[str, Sequence[str]],
    walk: _Walk,
    code: bytes,
    words: tuple[SiteWord, ...],
    chosen: tuple[str, ...],
) -> Iterator[SitePath]:
    effect = site.instructions.effect(code, walk.at)
    new = [
        (word, value)
        for word, value in zip(words, chosen, strict=True)
        if len(values.get(word.name, ())) > 1 and word.name not in dict(walk.seen)
    ]
    path = replace(walk.path, executed=(*walk.path.executed, (walk.at, code)))
    if new:
        observation = Observation(walk.at, False, tuple(word.name for word, _ in new))
        path = replace(path, observed=(*path.observed, (observation, tuple(value for _, value in new))))
    seen = (*walk.seen, *((word.name, value) for word, value in new))
    for after, registers in _assigned(site, values, walk.at, walk.registers, path, effect.sets):
        onward = replace(walk, registers=registers, path=after, seen=seen)
        touched = _touched(site, walk, effect)
        if effect.unread or touched:
            yield replace(after, trouble=_TOUCHES.format(touched) if touched else _UNREAD)
            continue
        if walk.leaving:  # the delay slot of a branch
            yield _arrived(site, onward, walk.leaves_for)
            continue
        if effect.traps:
            yield replace(after, target=TRAP if TRAP in site.targets else None)
            continue
        taken = _taken(effect, onward)
        if taken is None:
            after = replace(after, assumed=(*after.assumed, _condition(site, effect, walk.path)))
            onward = replace(onward, path=after)
        if taken is False:
            yield from _onwards(site, values, replace(onward, at=walk.at + effect.length))
        else:
            to = effect.to if effect.to is not None else onward.register(effect.through)
            if effect.through:
                onward = replace(onward, path=replace(after, indirect=after.indirect + 1))
            if effect.delayed:
                delayed = replace(onward, at=walk.at + effect.length, leaves_for=to, leaving=True)
                yield from _onwards(site, values, delayed)
            elif effect.to is not None and site.target_at(effect.to) is None and _word_at(site, effect.to) is not None:
                if effect.to <= walk.at:
                    yield replace(after, trouble=_BACK.format(effect.to))
                    continue
                yield from _onwards(site, values, replace(onward, at=effect.to))
            else:
                yield _arrived(site, onward, to)


def _taken(effect: Effect, walk: _Walk) -> bool | None:
    """Whether a branch is taken; None for one that is if nothing else is known."""
    tested = effect.zero or effect.nonzero
    if effect.goes_on or not (tested or effect.condition is not None):
        return not effect.goes_on
    held = walk.register(tested)
    return None if held is None else (held == 0) is bool(effect.zero)


def _condition(site: Site, effect: Effect, path: SitePath) -> int | None:
    """The condition of a branch, if no instruction before it sets what that tests."""
    before = (site.instructions.effect(code, at) for at, code in path.executed)
    tested = effect.zero or effect.nonzero or FLAGS
    return None if any(name in (tested, FLAGS) for each in before for name, _ in each.sets) else effect.condition


def _assigned(
    site: Site,
    values: Mapping[str, Sequence[str]],
    at: int,
    registers: tuple[tuple[str, int], ...],
    path: SitePath,
    sets: tuple[tuple[str, Value | None], ...],
) -> Iterator[tuple[SitePath, tuple[tuple[str, int], ...]]]:
    """The registers after an instruction, for all values of the data that it loads."""
    if not sets:
        yield path, registers
        return
    (name, value), *others = sets
    for after, number in _evaluated(site, values, at, registers, path, value):
        held = {**dict(registers)}
        held.pop(name, None)
        if number is not None:
            held[name] = number
        yield from _assigned(site, values, at, tuple(held.items()), after, tuple(others))


def _number(registers: tuple[tuple[str, int], ...], value: Value | None) -> int | None:
    """What a register gets, or the address of what it gets."""
    known = {"": 0, **dict(registers)}
    base = None if value is None else known.get(value.register)
    index = None if value is None else known.get(value.index)
    if value is None or base is None or index is None:
        return None
    number = (base << value.shift | value.bits) + value.plus + index
    return number & ((1 << value.width) - 1 if value.width else -1)


def _touched(site: Site, walk: _Walk, effect: Effect) -> str:
    """The word of the site that an instruction accesses in a way that is not read, or nothing."""
    for value, size in effect.touches:
        if (at := _number(walk.registers, value)) is None:
            continue
        for word in site.words:
            if at < word.at + word.size and word.at < at + size:
                return word.name
    return ""


def _evaluated(
    site: Site,
    values: Mapping[str, Sequence[str]],
    at: int,
    registers: tuple[tuple[str, int], ...],
    path: SitePath,
    value: Value | None,
) -> Iterator[tuple[SitePath, int | None]]:
    number = _number(registers, value)
    if value is None or number is None or not value.loads:
        yield path, number
        return
    path = replace(path, loads=path.loads + 1)
    data = next((word for word in site.words if word.is_data and word.at == number), None)
    if data is None:
        yield path, None
        return
    for held in values.get(data.name, (next(iter(data.values)),)):
        after = path
        if len(values.get(data.name, ())) > 1:
            after = replace(path, observed=(*path.observed, (Observation(at, True, (data.name,)), (held,))))
        yield after, int.from_bytes(data.values[held], site.instructions.byteorder)


def _arrived(site: Site, walk: _Walk, address: int | None) -> SitePath:
    target = None if address is None else site.target_at(address)
    trouble = ""
    if target is not None and target not in (STUB, TRAP):
        for register in site.relies:
            held = walk.register(register)
            if held != site.targets[target]:
                of = "nothing known" if held is None else site.target_at(held) or f"{held:#x}"
                trouble = f"{register} holds {of if held is None else f'that of {of}'}"
    return replace(walk.path, target=target, address=address, trouble=trouble)
