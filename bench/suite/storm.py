"""Storm, a probabilistic model checker, asked the same of the same chain in exact arithmetic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def asked(text: str, question: str, folder: Path) -> float:
    """Build a PRISM model and check a property of it; skips where Storm is not installed."""
    storm: Any = pytest.importorskip("stormpy", reason="stormpy, the peer, is not installed (make bench-peers)")
    path = folder / "chain.prism"
    path.write_text(text, encoding="utf-8")
    program = storm.parse_prism_program(str(path))
    properties = storm.parse_properties(question, program)
    built = storm.build_model[storm.Rational](program, properties)
    found = storm.model_checking(built, properties[0], environment=storm.environments.exact())
    return float(found.get_value(built.initial_states[0]))
