"""The command that shows a cell again."""

from __future__ import annotations

import shlex

from bench.check.cell import Checked, Options


def command(result: Checked, *more: str) -> str:
    """The command that shows this cell again; ``more``: options of ``explain``."""
    options, plain = result.options, Options()
    host = result.host.file or result.host.name
    verb = "explain" if options.follow_source or options.autopsy or more else "check"
    words = ["staleline", verb, result.reference, "--host", host, "--translator", result.translator]
    words += ["--scenario", result.scenario]
    for name in (
        "hazard",
        "start",
        "layout",
        "offset",
        "cores",
        "tbs",
        "retranslations",
        "flushes",
        "guest_bits",
        "units",
        "max_states",
    ):
        if getattr(options, name) != getattr(plain, name):
            words += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    if options.accesses != plain.accesses:
        words += ["--access", ",".join(options.accesses)]
    for setting in result.host.derived:
        words += ["--set", setting]
    if options.follow_source:
        words += ["--follow", options.follow_source]
    if not options.speculation:
        words.append("--no-speculation")
    if not options.symmetry:
        words.append("--no-symmetry")
    if options.autopsy:
        words.append("--autopsy")
    if result.what_if:
        words.append("--what-if")
    return shlex.join([*words, *more])
