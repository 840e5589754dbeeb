"""What claims are decided by: cells of the model, counterexamples, recorded executions, costs.

Evidence becomes *facts*: values by name, which verdicts ask for and sentences quote.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bench.check.cell import Checked
from bench.check.command import command
from bench.explain.events import ThreadStep
from bench.explain.explanation import RunRow
from bench.explain.follow import load_events, read_events
from bench.hosts import Host, host_names
from bench.hosts.profile import FlushRecipe
from bench.machine.model import Does
from bench.program.effects import flat, tree
from bench.replay.parameters import Parameters
from bench.risk.risk import Range, SingleThreaded
from bench.scenarios import ALONE, LASTING_IN, scenario_names
from bench.support.text import listed
from bench.thread.claims import Claim
from bench.thread.lab import Lab
from bench.traces.info import distribution
from bench.translators.consequence import consequences
from bench.translators.registry import BARE_VERSION, first_versions, load_translator
from strategies import registry
from strategies.operations import Acquire, Clean, Flush, Invalidate, Lookup, SyncCores

Facts = dict[str, Any]
"""By name.  A verdict asks whether a fact is true, or not empty."""


def all_facts(claim: Claim, lab: Lab) -> Facts:
    """What is found for a claim."""
    facts: Facts = {}
    for name, cell in claim.cells.items():
        facts |= _of_cell(name, _checked(cell, lab))
    for name, everywhere in claim.scenarios.items():
        failing = lab.failing(*everywhere.split())
        facts |= _of_scenarios(name, failing)
        # What one thread does wrong may rest on what the architecture allows alone.
        speculative = any(each in ALONE for each in failing)
        documented = lab.failing(*everywhere.split(), speculation=False) if speculative else failing
        facts |= _of_scenarios(f"{name}_documented", documented)
    if claim.suspected:
        facts |= _of_suspected([cell.split() for cell in claim.suspected], lab)
    return facts | _MEASURED[claim.measured](lab) if claim.measured else facts


def all_commands(claim: Claim, lab: Lab) -> tuple[str, ...]:
    """The commands that show it."""
    found = [command(_in_system(f"unfixed {cell}", lab)) for cell in claim.suspected]
    for each in claim.commands:
        name, _, more = each.partition(" ")
        if name in claim.cells:
            found.append(command(_checked(claim.cells[name], lab), *more.split()))
        elif name in claim.scenarios:
            found.append(command(_in_system(claim.scenarios[name], lab)))
        else:
            found.append(each)
    return tuple(found)


def _checked(cell: dict[str, Any], lab: Lab) -> Checked:
    options = {name: value for name, value in cell.items() if name not in ("cell", "events")}
    if "follow" in options:
        options |= {"follow": load_events(options["follow"]), "follow_source": options["follow"]}
    elif "events" in cell:
        options["follow"] = read_events("\n".join(cell["events"]), "claims.toml")
    return lab.check(*cell["cell"].split(), **options)


def _in_system(cell: str, lab: Lab) -> Checked:
    strategy, host, translator = cell.split()
    return lab.check(strategy, host, ALONE[0], translator)


def _of_cell(name: str, found: Checked) -> Facts:
    """Facts of a cell: by its ``name`` whether it fails; and those of its counterexample, or of the events followed.

    ``reached`` is how many of so many ``events``; ``all``: it is all of them.
    """
    facts = _of_counterexample(found)
    if found.followed is not None:
        reached, events = found.followed.reached, len(found.options.follow)
        facts = {"reached": reached, "events": events, "all": reached == events}
    return {name: found.verdict == "fails", **{f"{name}_{key}": value for key, value in facts.items()}}


def _of_scenarios(name: str, failing: tuple[str, ...]) -> Facts:
    """Facts of a strategy in every scenario: where it fails, where of it with one and two threads, and in words."""
    return {
        name: failing,
        f"{name}_alone": tuple(each for each in failing if each in ALONE),
        f"{name}_together": tuple(each for each in failing if each not in ALONE),
        f"{name}_in": _in(failing),
    }


_WAYS = {
    "alone": "with one thread",
    "speculative": "with one thread only by what the architecture allows, not as documented",
    "together": "only with two threads, which no QEMU that retranslated had in system emulation",
}


def _of_suspected(pairs: Sequence[Sequence[str]], lab: Lab) -> Facts:
    """Hosts and backends that may be affected: on which the code of 2010 fails, and how (``_WAYS``)."""
    found: dict[str, dict[str, None]] = {way: {} for way in (*_WAYS, "never")}
    for host, name in pairs:
        failing = lab.failing("unfixed", host, name)
        way = "together" if failing else "never"
        if {*failing} & {*ALONE}:
            certain = {*lab.failing("unfixed", host, name, speculation=False)} & {*ALONE}
            way = "alone" if certain else "speculative"
        found[way][host] = None
    ways = [f"on {listed(found[way])} it fails {text}" for way, text in _WAYS.items() if found[way]]
    ways += [f"on {listed(found['never'])} it holds"] if found["never"] else []
    backends = tuple(dict.fromkeys(name for _, name in pairs))
    writes = (write for name in backends for write in load_translator(name).block(0).writes)
    return {
        **{way: tuple(hosts) for way, hosts in found.items()},
        "everywhere": {*found["alone"]} == {host for host, _ in pairs},
        "ways": "; ".join(ways),
        "backends": backends,
        "several": len(backends) > 1,
        "temporary": any(write.form == "whole" and not write.complete for write in writes),
    }


_THE_TABLE = (
    ("absent", "absent", "ok"),
    ("absent", "absent", "ok"),
    ("absent", "wrong", "ok"),
    ("absent", "absent", "wrong"),
    ("absent", "absent", "wrong"),
    ("absent", "ok", "wrong"),
    ("wrong", "ok", "wrong"),
)
"""Instruction cache, data cache and memory in the seven rows of the thread's table."""


def _of_counterexample(found: Checked) -> Facts:
    """Facts of a counterexample, all None if there is none.

    ``rows``: how many; ``table``: they hold what the thread's table has; ``runs``: how often the block runs between the
    first and the last access of a write; ``again``: it ends with the block run again; ``end``: that row in words;
    ``environment``: how many rows are the environment's.  Of the unit that was fetched wrong: ``place``, the values
    ``fetched`` and ``read``, and whether they are ``different``.
    """
    facts: Facts = dict.fromkeys(
        ("rows", "table", "runs", "again", "end", "environment", "place", "fetched", "read", "different")
    )
    if found.verdict != "fails" or found.explanation is None:
        return facts
    rows = found.explanation.rows
    writes, runs = (
        [number for number, row in enumerate(rows) if _does(row, what)] for what in (Does.WRITE, Does.EXECUTE)
    )
    last = rows[-1].happened
    facts |= {
        "rows": len(rows),
        "table": tuple((row.icache[0], row.dcache, row.memory) for row in rows) == _THE_TABLE,
        "runs": sum(writes[0] < run < writes[-1] for run in runs) if writes else 0,
        "again": isinstance(last, ThreadStep) and last.again and not last.continued,
        "end": rows[-1].operation,
        "environment": sum(row.of_environment for row in rows),
    }
    watched = found.explanation.watched
    if watched is not None and watched.fetched is not None and watched.read is not None:
        facts |= {"place": watched.name, "fetched": f"{watched.fetched:08x}", "read": f"{watched.read:08x}"}
        facts["different"] = watched.fetched != watched.read
    return facts


def _does(row: RunRow, what: Does) -> bool:
    """Whether a thread does that in a row, and nothing came between the beginning and it."""
    return isinstance(row.happened, ThreadStep) and row.happened.label.does is what and not row.happened.continued


# --- What functions find ------------------------------------------------------------------------------------------

_ARM_HOSTS = ("arm926", "cortex-a8", "cortex-a9")
_MIPS_HOSTS = ("mips-24kc", "loongson-3a")


def _arm_and_mips(lab: Lab) -> Facts:
    """Both backends on their hosts, before and after; and what allocation does to the odds."""
    pairs = [(host, "arm") for host in _ARM_HOSTS] + [(host, "mips") for host in _MIPS_HOSTS]
    before, after = (
        [host for host, name in pairs if lab.fails("unfixed", host, "system", f"{name}@{year}")]
        for year in (2010, 2011)
    )
    lucky = tuple(
        host
        for host, name in pairs
        if host in before and not lab.fails("unfixed", host, "system", f"{name}@2010", speculation=False)
    )
    steps = {
        host: _of_counterexample(lab.check("unfixed", host, "system", "arm@2010", start="fault"))["environment"] or 0
        for host in _ARM_HOSTS
        if host in before
    }
    return {
        "before": tuple(before),
        "documented": tuple(host for host in before if host not in lucky),
        "after": tuple(after),
        "all": len(before) == len(pairs),
        "lucky": lucky,
        "needless": tuple(host for host, count in steps.items() if not count),
        "needing": tuple(host for host, count in steps.items() if count),
        "several": sum(map(bool, steps.values())) > 1,
    }


def _symptoms(lab: Lab) -> Facts:
    """The harm that ARM's branch does with the temporary target of 2010 and three others, each kind once."""
    translator = load_translator("arm@2010")
    code = translator.block(0)
    branch = next(write for write in code.writes if not write.complete and write.form == "whole")
    kinds: dict[str, list[str]] = {}
    for words in (0, 1, 2, -2):
        value = branch.value | words & (branch.unit.mask ^ branch.known)
        hit = next(each for each in consequences(translator, code, branch.unit.offset, value) if each.when == "hit")
        kinds.setdefault(hit.harm, []).append(f"{words:+d}")
    harms = ", ".join(f"{harm} ({listed(words)} words)" for harm, words in kinds.items())
    return {"count": len(kinds), "harms": harms, "several": len(kinds) > 1}


_A_FEW_MILLIONS = 1 / 2e6
"""Less than one in a few millions is at most that."""
_PER_BOOT = 1.0
"""A boot that fails often enough for a fix to make it work: about one harmful run in it, or more (c69806ab)."""
_UNITS = {"harm": "retranslation", "per_execution": "TB execution", "per_run": "boot"}


def _rate(lab: Lab) -> Facts:
    """How often the temporary branch does harm along a recorded boot, in each unit, beside both published figures.

    ``UNIT``: hosts on which less than one in a few millions is right at the nominal figures; ``UNIT_possible``: only
    within their ranges.  ``boots``, ``boots_not``: hosts with about one harmful run per boot or more, or without.
    """
    boot = lab.trace("linux-boot")
    found: dict[str, SingleThreaded] = {}
    for risk in lab.risks("unfixed", _ARM_HOSTS, "system", "arm@2010", "linux-boot"):
        figures = risk.figures
        assert isinstance(figures, SingleThreaded)
        if figures.harm.high:
            found[risk.host.name] = figures
    facts: Facts = {
        "ever": bool(found),
        "retranslations": len(boot.retranslations),
        "executions": boot.ran,
        "figures": "; ".join(f"on {host} {_in_each_unit(figures)}" for host, figures in found.items()),
        "boots": tuple(host for host, one in found.items() if one.per_run.nominal >= _PER_BOOT),
        "boots_not": tuple(host for host, one in found.items() if one.per_run.high < _PER_BOOT),
    }
    readings = []
    for name, unit in _UNITS.items():
        ranges = {host: getattr(figures, name) for host, figures in found.items()}
        right = tuple(host for host, one in ranges.items() if one.nominal <= _A_FEW_MILLIONS)
        possible = tuple(host for host, one in ranges.items() if host not in right and one.low <= _A_FEW_MILLIONS)
        facts |= {name: right, f"{name}_possible": possible}
        texts = [listed(right) or "no host", *([f"within its range {listed(possible)}"] if possible else [])]
        readings.append(f"per {unit}: {', '.join(texts)}")
    facts["readings"] = "; ".join(readings)
    return facts


def _in_each_unit(found: SingleThreaded) -> str:
    """Harm per retranslation, TB execution and boot, each with its range."""
    each = [f"once in {_rarity(getattr(found, name))} {unit}s" for name, unit in list(_UNITS.items())[:2]]
    run, low, high = (
        f"{float(f'{value:.1g}'):,g}" for value in (found.per_run.nominal, found.per_run.low, found.per_run.high)
    )
    return f"{', '.join(each)}, {run} times in the boot ({low} to {high})"


def _rarity(found: Range) -> str:
    """One in how many, to two digits, with its range."""
    ends = (f"{float(f'{1 / value:.2g}'):,.0f}" if value else "never" for value in (found.high, found.low))
    return f"{float(f'{1 / found.nominal:.2g}'):,.0f} ({' to '.join(ends)})"


def _flush_costs(lab: Lab) -> Facts:
    """One flush of the median length rewritten, on every host that a retranslating QEMU ran on."""
    trace = lab.trace("linux-boot")
    median = distribution(trace.retranslations.rewritten_bytes).median or 0
    work = Parameters()
    again = work.restart.value + (work.retranslation.value + work.front_end.value) * median
    isas = {translator.isa for translator in first_versions()}
    hosts = [name for name in host_names() if isas & {*lab.host(name).isa}]
    costs = {name: _flush_cycles(lab.host(name), median) for name in hosts}
    flushing = sorted((name for name in hosts if costs[name]), key=lambda name: costs[name])
    return {
        "median": f"{median:.0f}",
        "costs": ", ".join(f"{name} {_about(costs[name])}" for name in flushing),
        "free": tuple(name for name in hosts if not costs[name]),
        "again": _about(again),
        "retranslations": len(trace.retranslations),
        "executions": trace.ran,
        "each": f"{costs[flushing[-1]] * len(trace.retranslations) / trace.ran:.1f}",
        "published": _PUBLISHED,
        "dearest": flushing[-1],
        "pages": tuple(name for name in flushing if _recipe(lab.host(name)).granule > 1),
        "dear": tuple(name for name in flushing if costs[name] > again),
    }


def _flush_cycles(host: Host, size: float) -> float:
    """The nominal cost of one flush of ``size`` bytes, in cycles, under the host's main instruction set."""
    recipe = _recipe(host)
    if recipe.by == "nobody":
        return 0.0
    # Rounded to pages, where the kernel does so, it lies on one.
    lines = -(-max(size, recipe.granule if recipe.granule > 1 else 0) // host.icache.line)
    call, line, remote = (figure.in_cycles(host.clock_ghz)[1] for figure in (recipe.call, recipe.line, recipe.remote))
    return call + lines * line + remote


_PUBLISHED = "loongson-3a"
"""The host whose flush has its figure from a published measurement (of another Loongson)."""


def _recipe(host: Host) -> FlushRecipe:
    """Of the main instruction set, under a kernel of that time."""
    return host.isa[host.main_isa].flush.as_of(int(BARE_VERSION))


def _about(cycles: float) -> str:
    """As many digits as an estimate carries: one."""
    return f"{float(f'{cycles:.1g}'):,.0f}"


def _never_storing(lab: Lab) -> Facts:
    """The strategies that never store to live code, and hold."""
    names = ("scratch-buffer", "side-table")
    right = tuple(name for name in names if not lab.failing(name, "cortex-a9", "arm@2010"))
    return {"right": right, "both": right == names, "one": len(right) == 1}


def _restores(lab: Lab) -> Facts:
    """State restores per million executions, in the recordings."""
    rates = {
        name: 1e6 * len(lab.trace(name).retranslations) / lab.trace(name).ran
        for name in ("linux-boot", *_USER, "user-threads")
    }
    return {
        "system": f"{rates['linux-boot']:.1f}",
        "plain": ", ".join(f"{name} {rates[name]:.1f}" for name in _USER),
        "faulting": f"{rates['user-threads']:.1f}",
        "fewer": all(rates[name] < rates["linux-boot"] / 10 for name in _USER),
        "faulting_too": rates["user-threads"] <= rates["linux-boot"] / 10,
    }


_USER = ("user-wc", "user-gzip", "user-sort")


def _translated(lab: Lab) -> Facts:
    """Translation blocks in the recordings: in all, and per million executions."""
    figures = {name: lab.trace(name) for name in ("linux-boot", *_USER, "user-threads")}
    rates = {name: 1e6 * len(each.blocks) / each.ran for name, each in figures.items()}
    system = len(figures["linux-boot"].blocks)
    return {
        "figures": ", ".join(f"{name} {len(each.blocks):,} ({rates[name]:,.0f})" for name, each in figures.items()),
        "fewer": all(len(each.blocks) * 10 < system for name, each in figures.items() if name != "linux-boot"),
        "slower": all(rates[name] < rates["linux-boot"] for name in rates if name != "linux-boot"),
    }


def _right_strategies(lab: Lab) -> Facts:
    """What holds everywhere, what it needs for that, and what also cures labels that are bound too late."""
    right = [
        name
        for name in registry.shipped()
        if not lab.failing(name, "cortex-a9", "arm@2010")
        and not lab.fails(name, "cortex-a9", LASTING_IN, "arm@2010", hazard="lasting")
    ]
    needs = {name: _needs(name) for name in right}
    partial = tuple(
        name
        for name in right
        if not any(
            lab.fails(name, "mips-24kc", scenario, "mips@2010", hazard="partial")
            for scenario in scenario_names()
            if scenario != "migrate"
        )
    )
    return {
        "right": "; ".join(f"{name} ({listed(needs[name]) or 'nothing'})" for name in right),
        "partial": partial,
        "free": "idempotent" in right and not needs["idempotent"],
        "cures": "idempotent" in partial,
    }


def _needs(name: str) -> tuple[str, ...]:
    """What a strategy adds to a retranslation, or keeps for it: maintenance, locks, synchronisation, memory."""
    strategy, code = registry.find(name), load_translator("arm@2010").block(0)
    hooks = (("retranslate", code.retranslated), ("enter", code.whole))
    done = [operation for hook, region in hooks for operation in flat(tree(strategy, hook, region))]
    kinds = {
        "cache maintenance": (Clean, Invalidate, Flush),
        "locks": (Acquire,),
        "synchronisation of other cores": (SyncCores,),
        "a table": (Lookup,),
    }
    found = [text for text, types in kinds.items() if any(isinstance(operation, types) for operation in done)]
    scratch = any(getattr(getattr(operation, "unit", None), "in_scratch", False) for operation in done)
    return (*found, *(["a scratch buffer"] if scratch else []))


def _in(failing: Sequence[str]) -> str:
    """``fails in user and user-both, and holds in system and migrate``."""
    holding = [name for name in scenario_names() if name not in failing]
    if not failing:
        return "holds in every scenario"
    return f"fails in {listed(failing)}" + (f", and holds in {listed(holding)}" if holding else "")


_MEASURED: dict[str, Callable[[Lab], Facts]] = {
    "arm_and_mips": _arm_and_mips,
    "symptoms": _symptoms,
    "rate": _rate,
    "flush_costs": _flush_costs,
    "never_storing": _never_storing,
    "restores": _restores,
    "translated": _translated,
    "right_strategies": _right_strategies,
}
