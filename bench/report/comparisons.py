"""The answers of ``compare`` and ``replay`` as text, JSON and CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from bench.check.cell import Checked, hypothetical
from bench.check.command import command
from bench.compare.comparison import Compared, Comparison
from bench.hosts import Host
from bench.replay.replay import Replayed
from bench.report.costs import cycles, memory, share
from bench.report.tables import SCHEMA, Cell, comma_separated, fill, table
from bench.scenarios import ALONE, LASTING_IN, SUMMARIES
from bench.support.text import listed
from bench.translators.translator import Translator

COSTS = ("flush", "refill", "lock", "stop", "lookup", "translate", "store_into_code", "overhead", "baseline")
COUNTS = (
    "retranslations",
    "writes",
    "lines_cleaned",
    "lines_invalidated",
    "refills",
    "side_bytes",
    "line_flushes",
    "locks",
)


@dataclass(frozen=True, slots=True)
class Costs:
    """What a replay found on one host with one translator."""

    host: Host
    translator: Translator
    rows: tuple[Replayed, ...]

    @property
    def what_if(self) -> bool:
        """Whether the host does not run what the translator emits."""
        return hypothetical(self.translator, self.host)


# --- JSON and CSV -----------------------------------------------------------------------------------------------------


def replayed_objects(results: Sequence[Costs]) -> dict[str, Any]:
    """What ``replay --format json`` prints (``docs/json.md``)."""
    return {"schema": SCHEMA, "results": [_cost_object(row, c.host, c.what_if) for c in results for row in c.rows]}


def compared_objects(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """What ``compare --format json`` prints (``docs/json.md``)."""
    return {"schema": SCHEMA, "results": [_object(c, row) for c in comparisons for row in c.rows]}


def replayed_csv(results: Sequence[Costs]) -> str:
    """One line per strategy and host; costs are nominal, with their low and high ends beside them."""
    headers = ("strategy", "host", "translator", "trace", "what_if", *COUNTS, *_cost_headers())
    return comma_separated(
        headers,
        (
            (row.strategy, row.host, row.translator, row.trace, str(c.what_if).lower(), *_figures(row))
            for c in results
            for row in c.rows
        ),
    )


def compared_csv(comparisons: Sequence[Comparison]) -> str:
    """One line per strategy and host: verdicts, counts and costs."""
    scenarios = [result.scenario for result in comparisons[0].rows[0].checks] if comparisons[0].rows else []
    headers = (
        "strategy",
        "same",
        "host",
        "translator",
        "trace",
        "what_if",
        "rank",
        *scenarios,
        "lasting",
        "partial",
        *COUNTS,
        *_cost_headers(),
    )
    return comma_separated(
        headers,
        (
            (
                row.strategy,
                " ".join(row.same),
                c.host.name,
                c.translator,
                c.trace,
                str(c.what_if).lower(),
                row.rank,
                *(result.verdict for result in row.checks),
                row.lasting.verdict if row.lasting else "",
                row.partial.verdict,
                *_figures(row.cost),
            )
            for c in comparisons
            for row in c.rows
        ),
    )


def _cost_headers() -> list[str]:
    return [f"{name}_{end}" for name in COSTS for end in ("low", "nominal", "high", "tag")]


def _figures(result: Replayed) -> list[Cell]:
    costs = [getattr(result, name) for name in COSTS]
    return [
        *(getattr(result, name) for name in COUNTS),
        *(value for cost in costs for value in (cost.low, cost.nominal, cost.high, cost.tag)),
    ]


def _cost_object(result: Replayed, host: Host, what_if: bool) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(result)
    return {**found, "settings": list(host.derived), "what_if": what_if, "notes": list(result.notes)}


def _object(comparison: Comparison, row: Compared) -> dict[str, Any]:
    return {
        **_cost_object(row.cost, comparison.host, comparison.what_if),
        "same": list(row.same),
        "vcpus": comparison.vcpus,
        "rank": row.rank,
        "right": row.right,
        "verdicts": {result.scenario: result.verdict for result in row.checks},
        "rows": {result.scenario: _rows(result) for result in row.checks},
        "lasting": row.lasting.verdict if row.lasting else None,
        "partial": row.partial.verdict,
    }


def _rows(result: Checked) -> int:
    """Rows of the counterexample."""
    return len(result.explanation.rows) if result.explanation is not None else 0


# --- text -------------------------------------------------------------------------------------------------------------


def replayed_text(results: Sequence[Costs], style: str) -> str:
    """A table per host and translator of what each strategy costs, by part."""
    parts = []
    for result in results:
        rows = result.rows
        first = rows[0]
        headers = (
            "strategy",
            "writes",
            "cleaned",
            "invalidated",
            "refills",
            *(name.replace("_", " ") for name in COSTS[:-1]),
            "memory",
        )
        body = [
            (
                r.strategy,
                f"{r.writes:,}",
                f"{r.lines_cleaned:,}",
                f"{r.lines_invalidated:,}",
                f"{r.refills:,}",
                *(cycles(getattr(r, name)) for name in COSTS[:-1]),
                memory(r.side_bytes),
            )
            for r in rows
        ]
        derived = f" ({', '.join(result.host.derived)})" if result.host.derived else ""
        title = (
            f"{first.trace} on {first.host}{derived} with {first.translator}{' (what if)' if result.what_if else ''}: "
            f"{first.retranslations:,} retranslations; baseline {cycles(first.baseline)} cycles ({first.baseline.tag})"
        )
        parts += [title, "", table(headers, body, style, right=range(1, len(headers))), ""]
        parts += _notes(rows)
    return "\n".join(parts).rstrip()


def compared_text(comparisons: Sequence[Comparison], style: str) -> str:
    """For each host the table, and below it what it says."""
    return "\n\n".join(_comparison(comparison, style) for comparison in comparisons)


def _comparison(comparison: Comparison, style: str) -> str:
    if not comparison.rows:
        return ""
    rows = comparison.rows
    scenarios = [result.scenario for result in rows[0].checks]
    first = rows[0].cost
    lasting = ["lasting"] if rows[0].lasting is not None else []
    partial = ["partial"] if _leaves_labels(rows) else []
    headers = [
        "",
        "strategy",
        *scenarios,
        *lasting,
        *partial,
        "flush each",
        "overhead",
        "share",
        "stopping others",
        "memory",
    ]
    body = [_body(row, rows, first.retranslations) for row in rows]
    host = comparison.host
    derived = f" ({', '.join(host.derived)})" if host.derived else ""
    lines = [
        f"{host.title}{derived} with {comparison.translator}, replaying {comparison.trace}: "
        f"{first.retranslations:,} retranslations"
    ]
    if comparison.what_if:
        lines.append(f"Hypothetical: {host.name} does not run what {comparison.translator} emits.")
    lines += ["", table(headers, body, style, right=range(len(headers) - 5, len(headers))), ""]
    lines += [fill(sentence) for sentence in sentences(comparison)]
    failed = next((result for row in rows for result in row.checks if result.verdict == "fails"), None)
    if failed is not None:
        lines += ["", f"The first failure, step by step: {command(failed)}"]
    lines += ["", *_legend(comparison)]
    return "\n".join(lines)


def _leaves_labels(rows: Sequence[Compared]) -> bool:
    """Whether some strategy does not hold for the partial hazard: only then is it worth a column."""
    return any(row.partial.verdict not in ("holds", "n/a") for row in rows)


def _body(row: Compared, rows: Sequence[Compared], retranslations: int) -> list[Cell]:
    tied = row.rank and sum(other.rank == row.rank for other in rows) > 1
    mark = f"{row.rank}{'=' if tied else ''}" if row.rank else "wrong" if row.wrong else "?"
    cost = row.cost
    return [
        mark,
        " = ".join((row.strategy, *row.same)),
        *(_verdict(result) for result in row.checks),
        *([_verdict(row.lasting)] if row.lasting else []),
        *([_verdict(row.partial)] if _leaves_labels(rows) else []),
        cycles(cost.flush, max(retranslations, 1)),
        cycles(cost.overhead),
        share(cost.overhead, cost.baseline),
        cycles(cost.stop),
        memory(cost.side_bytes),
    ]


def _verdict(result: Checked) -> str:
    return (
        f"FAILS {_rows(result)}"
        if result.verdict == "fails" and _rows(result)
        else result.verdict.replace("fails", "FAILS")
    )


def sentences(comparison: Comparison) -> list[str]:
    """What the table says, in words."""
    rows = comparison.rows
    scenarios = [result.scenario for result in rows[0].checks]
    where = "every scenario" if scenarios == list(SUMMARIES) else listed(scenarios)
    right = [row for row in rows if row.right]
    said = []
    if right:
        said.append(f"{_names(right)} {_verb(right, 'hold')} in {where}.")
        best = [row for row in right if row.rank == right[0].rank]
        tie = ", a tie, since their ranges overlap" if len(best) > 1 else ""
        if len(right) > 1:
            said.append(f"Cheapest on this trace: {_names(best)}{tie}.")
    else:
        said.append(f"No strategy holds in {where}.")
    undecided = [row for row in rows if not row.right and not row.wrong]
    if undecided:
        said.append(f"{_names(undecided)}: not decided, a search was cut short; raise --max-states.")
    wrong = [row for row in rows if row.wrong]
    for holds in dict.fromkeys(row.alone for row in wrong):
        group = [row for row in wrong if row.alone == holds]
        if holds:
            said.append(
                f"{_names(group)} {_verb(group, 'hold')} while one thread executes ({listed(holds)}), and not beyond."
            )
        elif any(name in ALONE for name in scenarios):
            said.append(f"{_names(group)} {_verb(group, 'fail')} already with one thread.")
        else:
            said.append(f"{_names(group)} {_verb(group, 'fail')}.")
    broken = [row for row in rows if row.lasting is not None and row.lasting.verdict == "fails"]
    if broken:
        said.append(f"With {_names(broken)} two retranslators can leave a wrong value for good (column lasting).")
    lost = [row for row in rows if row.partial.verdict == "fails"]
    if lost:
        said.append(
            f"With {_names(lost)} a label that is bound behind the fault is lost, on any host (column partial)."
        )
    return said


def _names(rows: Sequence[Compared]) -> str:
    """The strategies of some rows, those that do the same included."""
    return listed([name for row in rows for name in (row.strategy, *row.same)])


def _verb(rows: Sequence[Compared], verb: str) -> str:
    return verb if len(rows) > 1 or rows[0].same else f"{verb}s"


def _legend(comparison: Comparison) -> list[str]:
    first = comparison.rows[0].cost
    tags = sorted({row.cost.overhead.tag for row in comparison.rows} | {first.baseline.tag})
    rows = comparison.rows
    options = rows[0].checks[0].options
    fails = "FAILS n: the shortest counterexample has n rows. " if any(row.wrong for row in rows) else ""
    lasting = f"Lasting: the lasting hazard, in {LASTING_IN}. " if rows[0].lasting is not None else ""
    partial = f"Partial: the partial hazard, in {rows[0].partial.scenario}. " if _leaves_labels(rows) else ""
    text = (
        f"{fails}{lasting}{partial}Verdicts: {options.retranslations} retranslations and {options.flushes} tb flushes "
        f"by each thread that faults. Costs are cycles, nominal (lowest..highest), with as many digits as their "
        f"weakest figure carries ({', '.join(tags)}). Flush each: all flushes, per retranslation. Overhead: all costs "
        f"over the whole trace, and roughly its share of the baseline, {cycles(first.baseline)} cycles. Stopping "
        f"others: with {comparison.vcpus} vCPU{'s' if comparison.vcpus != 1 else ''} (--vcpus), a part of the overhead."
    )
    return [fill(text), *_notes([row.cost for row in comparison.rows])]


def _notes(results: Sequence[Replayed]) -> list[str]:
    """Each note once, with the strategies that it is about (none named if it is about all)."""
    about: dict[str, list[str]] = {}
    for result in results:
        for note in result.notes:
            about.setdefault(note, []).append(result.strategy)
    lines = []
    for note, names in about.items():
        text = note if len(names) == len(results) else f"{listed(names)}: {note}"
        lines.append(fill(text, first="- ", rest="  "))
    return lines
