"""What is compared: fix strategies as small programs over host operations."""

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
from strategies.strategy import HOOKS, Strategy, StrategyError
from strategies.writes import Block, Buffer, Form, Phase, Region, Unit, Write

__all__ = [
    "HOOKS",
    "Acquire",
    "Barrier",
    "Block",
    "Buffer",
    "Clean",
    "Do",
    "Flush",
    "Form",
    "Hook",
    "Invalidate",
    "Load",
    "Lookup",
    "Operation",
    "Phase",
    "Region",
    "Release",
    "Scope",
    "Store",
    "Strategy",
    "StrategyError",
    "Sync",
    "SyncCores",
    "Unit",
    "Write",
]
