"""A site written out as a protocol: its scenarios on a host, each with all cases, as one file."""

from __future__ import annotations

from collections.abc import Iterable

from bench.hosts import Target
from bench.machine.opcodes import written
from bench.sites.completion import completed
from bench.sites.scenarios import Trial, trials
from bench.sites.site import Site
from bench.support.errors import InputError


def as_protocol(site: Site, target: Target, scenarios: Iterable[str]) -> str:
    """The text of a protocol document: of each trial one case, with a context synchronisation at quiescence."""
    site = completed(site, target)
    tried = [
        trial for scenario in scenarios for trial in trials(site, target, scenario, synchronised=True, executors=1)
    ]
    if not tried:
        raise InputError(
            "no scenario that the site has states for", file=site.file, place="targets", expected="near, or far"
        )
    left = [trial for trial in tried if trial.never is not None or not trial.can_be_right]
    if len(left) == len(tried):
        found = f"{_title(tried[0])}: nothing that is right can be executed"
        raise InputError(found, file=site.file, place="does", expected="operations that link, and unlink")
    first, *others = (trial for trial in tried if trial not in left)
    lines = [
        *(f"# {_title(trial)}: left out, since nothing that is right can be executed" for trial in left),
        f"summary = {_text(f'{site.summary or site.name}: {_title(first)}')}",
        f"isa = {_text(site.isa)}",
        f"host = {_text(target.name)}",
        "",
        *_case(first, ""),
    ]
    for trial in others:
        threads = {thread.name for thread in trial.protocol.threads}
        gone = [thread.name for thread in first.protocol.threads if thread.name not in threads]
        lines += ["", "[[cases]]", f"name = {_text(_title(trial))}"]
        lines += [f"without = [{', '.join(map(_text, gone))}]"] if gone else []
        lines += ["", *_case(trial, "cases.")]
    return "\n".join(lines)


def _title(trial: Trial) -> str:
    return f"{trial.scenario}, {trial.of}"


def _case(trial: Trial, prefix: str) -> list[str]:
    protocol = trial.protocol
    lines = [f"[{prefix}layout]", *(f"{name} = {at.virtual}" for name, at in protocol.addresses.items())]
    lines += ["", f"[{prefix}init]", *(f"{name} = {_text(value)}" for name, value in protocol.initial.items())]
    lines += ["", f"[{prefix}instructions]"]
    lines += [f"{_text(name)} = {_text(written(one))}" for name, one in protocol.instructions.items()]
    if protocol.flags:
        lines += ["", f"[{prefix}flags]", *(f"{name} = {value}" for name, value in protocol.flags.items())]
    lines += ["", f"[{prefix}allowed]"]
    for thread in protocol.threads:
        if thread.allowed is not None:
            lines += [f"{thread.name} = [", *(f"    {_text(' '.join(values))}," for values in thread.allowed), "]"]
    for thread in protocol.threads:
        lines += ["", f"[{prefix}threads.{thread.name}]", f"core = {thread.core}", 'does = """']
        lines += [operation.text for operation in thread.operations]
        lines += ['"""']
    return lines


def _text(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
