"""Sites on the command line: which, beside which, on what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.commands.names import names_in
from bench.commands.options import Scaled
from bench.support.errors import InputError

if TYPE_CHECKING:
    from bench.hosts import Target
    from bench.sites.site import Site


def scenarios_of_sites(cells: Scaled) -> list[str]:
    """The scenarios that are asked for, or all.  Raises ``InputError`` for an unknown one, and for too few cores."""
    from bench.sites.scenarios import SCENARIOS, refuse_unknown_scenario

    scenarios = names_in(cells.scenario) or list(SCENARIOS)
    for scenario in scenarios:
        refuse_unknown_scenario(scenario)
    if cells.cores < 2:
        raise InputError(str(cells.cores), place="`cores`", expected="at least 2: a linker and an executor")
    return scenarios


def sites_beside(
    names: Sequence[str], targets: Sequence[Target], *, everywhere: bool, what_if: bool = False
) -> tuple[list[tuple[Site, Target]], set[str]]:
    """Sites on the targets that run them, and the names of those in files, beside which those of the library stand.

    Raises ``InputError`` where nothing is left, and, unless it is asked ``everywhere``, for a target that runs none of
    a name; ``what_if``: it is asked on that too.
    """
    from bench.check.sites import fitting, runs
    from bench.sites.reader import LIBRARY, load_sites, named

    groups = [load_sites(name) for name in names if name != LIBRARY]
    chosen = [site for group in groups for site in group]
    own = {site.name for name in names if not named(name) for site in load_sites(name)}
    sites = {site.name: site for site in chosen}
    if LIBRARY in names or own:
        isas = {site.isa for site in chosen}
        for site in load_sites(LIBRARY):
            if LIBRARY in names or site.isa in isas:
                sites.setdefault(site.name, site)
    for target in targets if not everywhere and not what_if else ():
        for group in groups:
            fitting(group, target)
    found = [
        (site, target)
        for target in targets
        for site in sites.values()
        if runs(site, target) or (what_if and not everywhere and site in chosen)
    ]
    if not found:
        raise InputError("no site for it", place="`host`", expected="a host that runs one")
    return found, own
