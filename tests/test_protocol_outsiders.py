"""Protocols as an outsider writes them (``outsiders.txt``), each with the verdict that the manuals ask for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.hosts import load_target
from bench.protocols.document import document_from
from bench.protocols.host import protocol_host
from bench.protocols.verification import on, verify

_, *CASES = re.split(
    r"^--- ", (Path(__file__).parent / "outsiders.txt").read_text(encoding="utf-8"), flags=re.MULTILINE
)


@pytest.mark.parametrize("case", CASES, ids=[case.partition(":")[0] for case in CASES])
def test_a_protocol_has_the_verdict_of_the_manuals(case: str) -> None:
    head, _, text = case.partition("\n")
    name, expected, host = re.fullmatch(r"([\w-]+): (holds|fails)(?: on ([\w-]+))?", head).groups()
    protocol = document_from(text.replace("; ", "\\n"), name).cases[0].protocol
    if host is not None:
        protocol = on(protocol, protocol_host(load_target(host)))
    assert verify(protocol).verdict == expected
