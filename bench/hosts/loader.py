"""Reading, checking and deriving host profiles."""

from __future__ import annotations

import difflib
import importlib.resources
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import structs

from bench.hosts.profile import Architecture, Host, Target
from bench.support.errors import InputError
from bench.support.toml import Source, checked, parse, read, show

_SUFFIX = ".toml"
_WHAT = "a host profile"

ARCHITECTURES = {
    "armv8": ("cortex-a72", "ARMv8-A, any implementation"),
    "armv8-idc": ("cortex-a72", "ARMv8-A, any implementation with IDC"),
    "armv8-dic": ("cortex-a72", "ARMv8-A, any implementation with IDC and DIC"),
    "power": ("ppc-g5", "Power ISA, any implementation"),
    "riscv": ("sifive-u74", "RISC-V, any implementation"),
    "riscv-ziccif": ("sifive-u74", "RISC-V, any implementation with Ziccif"),
    "s390": ("z10", "ESA/390 and z/Architecture, any implementation"),
    "x86-amd": ("x86-skylake", "x86, as AMD's manual has it"),
    "x86-intel": ("x86-skylake", "x86, as Intel's manual has it"),
}
"""The architectures, which verdicts accept in place of a host: the profile with their instruction sets and flushes, and
their title."""

# The keys that describe facts cannot be set.
_DESCRIPTION = re.compile(r"(.*_)?(tag|source)|note|name|base|title|how|derived|file")
_TAGGED_APART = {"replacement": "replacement_", "write": "write_", "write_allocate": "write_", "clock_ghz": "clock_"}


def host_names() -> tuple[str, ...]:
    """The names of the shipped profiles, sorted."""
    files = importlib.resources.files(__package__).iterdir()
    return tuple(sorted(file.name.removesuffix(_SUFFIX) for file in files if file.name.endswith(_SUFFIX)))


def load_host(name_or_path: str, settings: Sequence[str] = ()) -> Host:
    """The profile with that name or path, changed by ``settings``.

    A string that ends in ``.toml``, contains a path separator or names a file is a path, unless it is the name of a
    shipped profile.  What a profile with a ``base`` does not have is that of the shipped profile of this name, with its
    own tag and source.  A setting is ``key=value``.  The key is a dotted path into the profile
    (``dcache.write_allocate``) or an unambiguous end of one (``write_allocate``); a feature or a figure is set by its
    own name (``coherence.fill=coherent``, ``costs.cpi=1.2``) and then has no range.  A value that is set gets the tag
    ``assumed``, and the profile lists the setting in ``derived``.

    Raises ``InputError`` for an unknown name, an unreadable file, an invalid profile and an invalid setting.
    """
    shipped = host_names()
    if name_or_path in ARCHITECTURES:
        raise InputError(f"{name_or_path} is an architecture, which has no caches and no costs", expected="a host")
    if name_or_path in shipped:
        host = _host(*_shipped(name_or_path))
    elif _is_path(name_or_path):
        host = structs.replace(_host(*read(name_or_path, _WHAT)), file=name_or_path)
    else:
        raise InputError(
            f"unknown host {show(name_or_path)}{_closest(name_or_path, shipped)}",
            expected=f"a file ending in {_SUFFIX} or one of {', '.join((*shipped, *ARCHITECTURES))}",
        )
    return _derive(host, settings) if settings else host


def host_from(text: str, file: str) -> Host:
    """The profile that is the text of a file, which errors name.  Raises ``InputError`` for an invalid one."""
    return _host(*parse(text.encode(), file, _WHAT))


def _host(tree: dict[str, Any], source: Source) -> Host:
    for key in ("derived", "file"):
        if key in tree:
            raise source.refuse("unknown key", (key,), "a profile without it: it is set by what reads the profile")
    base: dict[str, Any] = {}
    if "base" in tree:
        named, names = tree["base"], host_names()
        if named not in names:
            found = f"unknown profile {show(named)}{_closest(str(named), names)}"
            raise source.refuse(found, ("base",), f"one of {', '.join(names)}")
        base, _ = _shipped(named)
    host: Host = checked(_merged(base, tree), Host, source)
    _refuse_untagged(base, tree, source, ())
    return host


def _shipped(name: str) -> tuple[dict[str, Any], Source]:
    file = name + _SUFFIX
    return parse(importlib.resources.files(__package__).joinpath(file).read_bytes(), file, _WHAT)


def _in_base(old: Any, value: Any) -> bool:
    """Whether a table takes the place of only a part of the base's: a figure or a feature takes that of the whole."""
    return isinstance(value, dict) and isinstance(old, dict) and "value" not in value


def _merged(base: dict[str, Any], tree: dict[str, Any]) -> dict[str, Any]:
    """``base`` with what ``tree`` has in its place."""
    return base | {
        key: _merged(base[key], value) if _in_base(base.get(key), value) else value for key, value in tree.items()
    }


def _refuse_untagged(base: dict[str, Any], tree: dict[str, Any], source: Source, path: tuple[str, ...]) -> None:
    """What is given in the place of a base's needs its tag and source: those of the base are about something else."""
    for key, value in tree.items():
        if _in_base(base.get(key), value):
            _refuse_untagged(base[key], value, source, (*path, key))
            continue
        prefix = _TAGGED_APART.get(key, "")
        missing = [part for part in (f"{prefix}tag", f"{prefix}source") if part in base and part not in tree]
        if missing and not isinstance(value, dict) and not _DESCRIPTION.fullmatch(key):
            raise source.refuse(f"found {key} without {' and '.join(missing)}", (*path, key), "both beside it")


def load_target(name_or_path: str, settings: Sequence[str] = ()) -> Target:
    """The architecture of that name, or else the host (``load_host``); an architecture has only ``cores`` to set."""
    if name_or_path not in ARCHITECTURES:
        return load_host(name_or_path, settings)
    base, title = ARCHITECTURES[name_or_path]
    for setting in settings:
        if not setting.startswith("cores="):
            raise InputError(
                f"found {show(setting)}",
                file=name_or_path,
                expected="cores=N: an architecture has no other features to set",
            )
    host = load_host(base, settings)
    return Architecture(name=name_or_path, title=title, cores=host.cores, isa=host.isa, derived=host.derived)


def _is_path(text: str) -> bool:
    if text.endswith(_SUFFIX) or os.sep in text or (os.altsep and os.altsep in text):
        return True
    return "\0" not in text and os.path.isfile(text)


def _derive(host: Host, settings: Sequence[str]) -> Host:
    """``host`` with every ``key=value`` applied, in order; only the result is validated."""
    tree: dict[str, Any] = msgspec.to_builtins(host)
    derived: list[str] = []
    for setting in settings:
        key, _, text = (part.strip() for part in setting.partition("="))
        if not (key and text):
            raise InputError(f"found {show(setting)}", file="`settings`", expected="key=value")
        path = _resolve(key, list(_settable(tree, ())), f"`settings` {setting}")
        _set(tree, path.split("."), text)
        derived.append(f"{path}={text}")
    tree["derived"] = derived
    # Not strict: the strings are converted to the types of their fields.
    source = Source(" ".join(f"`settings` {setting}" for setting in settings))
    changed: Host = checked(tree, Host, source, strict=False)
    return changed


def _set(tree: dict[str, Any], path: Sequence[str], text: str) -> None:
    """Set the value at ``path`` to ``text``, and the tag of its table to ``assumed``."""
    *outer, last = path
    for step in outer:
        tree = tree[step]
    prefix = ""
    if isinstance(tree[last], dict):
        tree = tree[last]
        tree.update({part: text for part in ("value", "low", "high") if part in tree})
    else:
        tree[last] = text
        prefix = _TAGGED_APART.get(last, "")
    tree[f"{prefix}tag"] = "assumed"
    tree[f"{prefix}source"] = ["set by the user"]


def _settable(tree: dict[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """The dotted paths that a setting may change."""
    for key, value in tree.items():
        if _DESCRIPTION.fullmatch(key) or value is None:
            continue
        here = (*path, key)
        if not isinstance(value, dict):
            if key != "value":  # a feature or a figure is set by its own name
                yield ".".join(here)
        else:
            if "value" in value:
                yield ".".join(here)
            yield from _settable(value, here)


def _resolve(key: str, paths: Sequence[str], origin: str) -> str:
    """The path that equals ``key`` or ends with it."""
    wanted = key.removesuffix(".value")
    if wanted in paths:
        return wanted
    ends = [path for path in paths if path.endswith("." + wanted)]
    if len(ends) == 1:
        return ends[0]
    if ends:
        raise InputError(f"ambiguous key {show(key)}", file=origin, expected=_alternatives(ends))
    ending = {path.split(".", depth)[-1]: path for path in reversed(paths) for depth in range(path.count(".") + 1)}
    near = [ending[end] for end in difflib.get_close_matches(wanted, list(ending), 3)]
    raise InputError(
        f"unknown key {show(key)}",
        file=origin,
        expected=_alternatives(list(dict.fromkeys(near))) if near else "a key of the profile",
    )


def _alternatives(items: Sequence[str], limit: int = 8) -> str:
    """The first ``limit`` of ``items`` as alternatives."""
    if len(items) > limit:
        return f"{', '.join(items[:limit])} or {len(items) - limit} more"
    return " or ".join(items) if len(items) < 3 else f"{', '.join(items[:-1])} or {items[-1]}"


def _closest(text: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(text, names, 1)
    return f" (closest: {near[0]})" if near else ""
