"""Finding translators by name."""

from __future__ import annotations

import difflib

from bench.hosts import Target
from bench.support.errors import InputError
from bench.translators.aarch64 import Aarch64
from bench.translators.arm import Arm2010, Arm2011, Arm2014
from bench.translators.hppa import Hppa
from bench.translators.i386 import I386
from bench.translators.ia64 import Ia64
from bench.translators.mips import Mips2010, Mips2011
from bench.translators.ppc import Ppc2010, Ppc2012
from bench.translators.ppc64 import Ppc64_2010, Ppc64_2013
from bench.translators.s390x import S390x2010, S390x2014, S390x2015
from bench.translators.sparc import Sparc2010, Sparc2012
from bench.translators.translator import Translator
from bench.translators.x86_64 import X86_64

_SHIPPED: tuple[Translator, ...] = (
    Arm2010(),
    Arm2011(),
    Arm2014(),
    Aarch64(),
    Mips2010(),
    Mips2011(),
    Ppc2010(),
    Ppc2012(),
    Ppc64_2010(),
    Ppc64_2013(),
    S390x2010(),
    S390x2014(),
    S390x2015(),
    Sparc2010(),
    Sparc2012(),
    Hppa(),
    I386(),
    Ia64(),
    X86_64(),
)

BARE_VERSION = "2010"
"""The default version: early January 2011, before the fix; or the first version of a later backend."""


def translator_names() -> tuple[str, ...]:
    """The full names (``name@version``) of all translators."""
    return tuple(translator.full_name for translator in _SHIPPED)


def first_versions() -> tuple[Translator, ...]:
    """The oldest version of each backend: that of early January 2011 where it existed."""
    oldest: dict[str, Translator] = {}
    for translator in sorted(_SHIPPED, key=lambda each: each.version):
        oldest.setdefault(translator.name, translator)
    return tuple(translator for translator in _SHIPPED if oldest[translator.name] is translator)


def load_translator(name: str) -> Translator:
    """The translator called ``name``: ``arm@2011``, or ``arm`` for its version of early January 2011.

    Raises ``InputError`` if there is none.
    """
    backend, _, version = name.partition("@")
    first = next((translator.full_name for translator in first_versions() if translator.name == name), None)
    wanted = first or (name if "@" in name else f"{name}@{BARE_VERSION}")
    for translator in _SHIPPED:
        if translator.full_name == wanted:
            return translator
    versions = [known for known in translator_names() if known.partition("@")[0] == backend]
    if versions:
        raise InputError(f"no version {version!r} of translator {backend}", expected=" or ".join(versions))
    close = difflib.get_close_matches(wanted, translator_names(), 1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise InputError(f"no translator {name!r}", expected=f"one of {', '.join(translator_names())}{hint}")


def translators_for(target: Target) -> tuple[Translator, ...]:
    """The first version of each translator that emits what the host or architecture runs, its own one first."""
    return tuple(one for isa in target.isa for one in first_versions() if one.isa == isa)


def default_translator(host: Target, *, what_if: bool) -> Translator:
    """The translator of early January 2011 for the first of the host's instruction sets that has one.

    Else the first later one, or, if ``what_if``, the first of all translators.  Raises ``InputError`` if there is none.
    """
    for isa in host.isa:
        for translator in _SHIPPED:
            if translator.isa == isa and translator.version == BARE_VERSION:
                return translator
    if not what_if:
        for isa in host.isa:
            for translator in first_versions():
                if translator.isa == isa:
                    return translator
        raise InputError(
            f"there is no translator here for {host.name} ({' or '.join(host.isa)})",
            expected=f"`what_if` for a hypothetical result (with {_SHIPPED[0].full_name}, or `translator` NAME)",
        )
    return _SHIPPED[0]
