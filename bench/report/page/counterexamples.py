"""Counterexamples of protocols and sites on a page: to be stepped through, and as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote

from bench.explain.protocols import ABSENT, ProtocolRow
from bench.report.page.elements import cell, folded, head, line, table


@dataclass(frozen=True, slots=True)
class Counterexample:
    """The ``rows`` of a counterexample; ``id``: its address on the page, with slashes between its parts;
    ``about``: what it shows; ``again``: the command that does."""

    id: str
    title: str
    about: str
    again: str
    rows: Sequence[ProtocolRow]

    def opened_by(self, text: str) -> tuple[str, str]:
        """The attributes and the inside of a cell that opens it."""
        return opens(self.id, len(self.rows), text)

    def as_table(self) -> str:
        """For print, and without a script."""
        places = [*_places(self.rows)]
        numbered = any(row.line for row in self.rows)
        lines = (
            line(
                at,
                *([cell(str(row.line or ""))] if numbered else []),
                *map(cell, (row.actor, f"{row.what}{' (wrong)' * row.wrong}", *(held[at - 1] for _, held in places))),
            )
            for at, row in enumerate(self.rows, 1)
        )
        heads = map(
            head, ("step", *(["line"] if numbered else []), "by", "what happens", *(name for name, _ in places))
        )
        said = f'<p class="soft">{escape(self.about)} Again: <code>{escape(self.again)}</code></p>'
        return folded(f"{self.title}, {len(self.rows)} steps", said, table(heads, lines, name=self.title))

    def as_data(self) -> dict[str, Any]:
        """What the script steps through."""
        return {
            "id": self.id,
            "title": self.title,
            "watched": self.about,
            "lanes": [*_lanes(self.rows)],
            "steps": [{"text": _told(at, len(self.rows), row), "beside": []} for at, row in enumerate(self.rows, 1)],
        }


def opens(name: str, steps: int, text: str) -> tuple[str, str]:
    """The attributes and the inside of a cell that opens a counterexample of so many ``steps``."""
    at = "/".join(quote(part, safe="!'()*-._~") for part in name.split("/"))  # as the script makes it
    return f' class="fails" data-sort="{steps}"', f'<a href="#{at}/1">{escape(text)}</a>'


def closed(verdict: str, text: str) -> tuple[str, str]:
    """The same of a cell that opens nothing."""
    kind = verdict if verdict in ("holds", "fails") else "absent"
    return f' class="{kind}" data-sort="{0 if kind == "holds" else 99}"', escape(text)


def _told(at: int, of: int, row: ProtocolRow) -> str:
    where = f" (line {row.line})" if row.line else ""
    return f"Step {at} of {of}, {row.actor}{where}: {row.what}{', which is wrong' * row.wrong}."


def _places(rows: Sequence[ProtocolRow]) -> Iterator[tuple[str, list[str]]]:
    """What each place holds, step by step; an instruction cache that never has anything is none."""
    yield "data side", [_held(row.data) for row in rows]
    yield "memory", [_held(row.memory) for row in rows]
    for core in range(len(rows[0].code)):
        if any({*row.code[core].values()} != {ABSENT} for row in rows):
            yield f"instruction cache {core}", [_held(row.code[core]) for row in rows]


def _held(values: dict[str, str]) -> str:
    if len(values) == 1:
        return next(iter(values.values()))
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _lanes(rows: Sequence[ProtocolRow]) -> Iterator[dict[str, Any]]:
    """What each actor does and what each place holds: a text, and the word that it is shown as."""
    for actor in sorted({row.actor for row in rows}):
        cells = [[row.what, "wrong" if row.wrong else ""] if row.actor == actor else ["", ""] for row in rows]
        yield {"name": actor, "cells": cells}
    for name, held in _places(rows):
        yield {"name": name, "cells": [[text, "absent" if text == ABSENT else "held"] for text in held]}
