"""Staleline as a library: strategies, and the questions that are asked about them.

A strategy says where it differs from QEMU as it was in early January 2011:

>>> from staleline import Flush, Hook, Region, Strategy
>>> class FlushIt(Strategy):
...     '''Rewrite as before, then flush.'''
...
...     def publish(self, region: Region) -> Hook:
...         return (*super().publish(region), Flush(region))

Strategies, hosts, translators, scenarios and traces are given by name or as objects, one or several:

>>> from staleline import check
>>> found = check(FlushIt, host="cortex-a9", scenario=["system", "user"])
>>> [(one.scenario, one.verdict) for one in found]
[('system', 'holds'), ('user', 'fails')]

Answers become rows of plain values, and so a table of any library: ``pandas.DataFrame(found.rows())``.

>>> found.rows()[1]["strategy"], found.rows()[1]["rows"]
('flush-it', 6)

``docs/python.md`` describes every name here; nothing else of the project is meant for use from outside.  What takes a
while to load is loaded when its name is asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

from bench.support.errors import InputError
from staleline._questions import Results, check, compare, replay, risk
from strategies.operations import (
    Acquire,
    Barrier,
    Clean,
    Do,
    Flush,
    Hook,
    Invalidate,
    Load,
    Lookup,
    Operation,
    Release,
    Scope,
    Store,
    Sync,
    SyncCores,
)
from strategies.strategy import Strategy, StrategyError
from strategies.writes import Block, Buffer, Form, Phase, Region, Unit, Write

if TYPE_CHECKING:
    from bench.check.cell import Checked
    from bench.compare.comparison import Compared, Comparison
    from bench.hosts import Architecture, Host, Target, host_names, load_host, load_target
    from bench.replay.cost import Cost
    from bench.replay.replay import Replayed
    from bench.risk.risk import Risk
    from bench.scenarios import scenario_names
    from bench.traces.store import load_trace
    from bench.traces.trace import Trace
    from bench.translators.registry import load_translator, translator_names
    from bench.translators.translator import Translator
    from strategies.registry import find as load_strategy
    from strategies.registry import names as strategy_names

__version__ = "0.1.0"

__all__ = [
    "Acquire",
    "Architecture",
    "Barrier",
    "Block",
    "Buffer",
    "Checked",
    "Clean",
    "Compared",
    "Comparison",
    "Cost",
    "Do",
    "Flush",
    "Form",
    "Hook",
    "Host",
    "InputError",
    "Invalidate",
    "Load",
    "Lookup",
    "Operation",
    "Phase",
    "Region",
    "Release",
    "Replayed",
    "Results",
    "Risk",
    "Scope",
    "Store",
    "Strategy",
    "StrategyError",
    "Sync",
    "SyncCores",
    "Target",
    "Trace",
    "Translator",
    "Unit",
    "Write",
    "__version__",
    "check",
    "compare",
    "host_names",
    "load_host",
    "load_strategy",
    "load_target",
    "load_trace",
    "load_translator",
    "replay",
    "risk",
    "scenario_names",
    "strategy_names",
    "translator_names",
]

_LATER = {
    "Architecture": "bench.hosts.Architecture",
    "Checked": "bench.check.cell.Checked",
    "Compared": "bench.compare.comparison.Compared",
    "Comparison": "bench.compare.comparison.Comparison",
    "Cost": "bench.replay.cost.Cost",
    "Host": "bench.hosts.Host",
    "Replayed": "bench.replay.replay.Replayed",
    "Risk": "bench.risk.risk.Risk",
    "Target": "bench.hosts.Target",
    "Trace": "bench.traces.trace.Trace",
    "Translator": "bench.translators.translator.Translator",
    "host_names": "bench.hosts.host_names",
    "load_host": "bench.hosts.load_host",
    "load_strategy": "strategies.registry.find",
    "load_target": "bench.hosts.load_target",
    "load_trace": "bench.traces.store.load_trace",
    "load_translator": "bench.translators.registry.load_translator",
    "scenario_names": "bench.scenarios.scenario_names",
    "strategy_names": "strategies.registry.names",
    "translator_names": "bench.translators.registry.translator_names",
}
"""Where those names are whose modules are imported when they are asked for."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _LATER[name].rpartition(".")
    found = globals()[name] = getattr(importlib.import_module(module), attribute)
    return found


def __dir__() -> list[str]:
    return __all__
