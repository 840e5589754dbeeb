"""The answers of ``compare`` and ``replay``: what is right, and what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from bench.check.cell import hypothetical
from bench.compare.comparison import Compared, Comparison, Unpriced, Verdicts
from bench.compare.order import Pair
from bench.hosts import Host
from bench.replay.parameters import Parameters
from bench.replay.replay import Replayed
from bench.report import overview, sensitivities
from bench.report.baselines import Since
from bench.report.costs import PARTS, cycles, memory, share
from bench.report.report import Column, Rows, flat_rows, record, settings_of, text_only, text_table
from bench.report.seen import about_seen, seen_columns, seen_of
from bench.report.sentences import first_failure, mark, marks, notes, sentences, title, verdict
from bench.report.tables import SCHEMA, Cell, fill
from bench.scenarios import LASTING_IN
from bench.silicon.seen import Count, Seen
from bench.translators.translator import Translator

# --- the columns ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Priced:
    """A row of ``replay``: what a strategy costs on a host."""

    host: Host
    what_if: bool
    cost: Replayed


@dataclass(frozen=True, slots=True)
class _Line(_Priced):
    """A row of ``compare``: the same with the verdicts, in the comparison that it is of."""

    comparison: Comparison
    row: Compared


def _count(name: str, heading: str | None = None) -> Column[_Priced]:
    return Column(
        name, lambda line: getattr(line.cost, name), heading, lambda line: f"{getattr(line.cost, name):,}", right=True
    )


def _cost(name: str, heading: str | None) -> Column[_Priced]:
    return Column(
        name,
        lambda line: getattr(line.cost, name).ends,
        heading,
        lambda line: cycles(getattr(line.cost, name)),
        right=True,
    )


_STRATEGY: Column[_Priced] = Column("strategy", lambda line: line.cost.strategy, "strategy")

_WHERE: tuple[Column[_Priced], ...] = (
    Column("host", lambda line: line.host.name),
    Column("settings", lambda line: line.host.derived, csv=False),
    Column("translator", lambda line: line.cost.translator),
    Column("trace", lambda line: line.cost.trace),
    Column("what_if", lambda line: line.what_if),
)

_FIGURES: tuple[Column[_Priced], ...] = (
    _count("retranslations"),
    _count("writes", "writes"),
    _count("lines_cleaned", "cleaned"),
    _count("lines_invalidated", "invalidated"),
    _count("refills", "refills"),
    _count("side_bytes"),
    _count("line_flushes"),
    _count("locks"),
    *(_cost(name, name.replace("_", " ")) for name in (*PARTS, "overhead")),
    _cost("baseline", None),
    Column("terms", lambda line: _terms(line.cost), csv=False),
    Column("notes", lambda line: line.cost.notes, csv=False),
)


def _terms(cost: Replayed) -> list[dict[str, Any]]:
    """What each part of the costs is a sum of."""
    return [
        {
            "part": part,
            "coefficient": term.coefficient,
            "quantities": [quantity.name for quantity in term.quantities],
            "counted": term.counted,
        }
        for part in (*PARTS, "baseline")
        for term in getattr(cost, part).terms
    ]


_SIZES = ("cores", "tbs", "retranslations", "flushes", "max_states")
"""The options that scale a search."""


def _assumptions(host: Host, translator: str, parameters: Parameters, rows: Iterable[Replayed]) -> dict[str, Any]:
    """The quantities that costs are sums of, and the parameters of the replay."""
    quantities = {name: quantity.named(name) for name, quantity in parameters.quantities.items()}
    for row in rows:
        quantities |= row.overhead.quantities | row.baseline.quantities
    return {
        **_of(host, translator),
        "vcpus": host.cores.value if parameters.vcpus is None else parameters.vcpus,
        "as_recorded": parameters.as_recorded,
        "seed": parameters.seed,
        "quantities": [asdict(quantity) for _, quantity in sorted(quantities.items())],
    }


def _of(host: Host, translator: str) -> dict[str, Any]:
    return {"host": host.name, "settings": host.derived, "translator": translator}


_MEMORY: Column[_Priced] = text_only("memory", lambda line: memory(line.cost.side_bytes), right=True)


def _compared_columns(rows: Sequence[Compared], seen: Seen | None = None) -> tuple[Column[_Line], ...]:
    """The columns of the main table; ``rows`` are those of one comparison, which say what was asked."""
    lasting = "lasting" if rows[0].lasting is not None else None
    partial = "partial" if _leaves_labels(rows) else None
    return (
        text_only("", lambda line: mark(line.comparison, line.row)),
        Column("strategy", lambda line: line.cost.strategy, "strategy", lambda line: " = ".join(line.row.names)),
        Column("same", lambda line: line.row.same),
        *_WHERE,
        Column("vcpus", lambda line: line.comparison.vcpus, csv=False),
        Column("rank", lambda line: line.row.rank),
        Column("right", lambda line: line.row.right, csv=False),
        Column("verdicts", lambda line: {result.scenario: result.verdict for result in line.row.checks}, csv=False),
        Column("rows", lambda line: {result.scenario: len(result.rows) for result in line.row.checks}, csv=False),
        *(_scenario(number, result.scenario) for number, result in enumerate(rows[0].checks)),
        Column(
            "lasting",
            lambda line: line.row.lasting.verdict if line.row.lasting else None,
            lasting,
            lambda line: verdict(line.row.lasting) if line.row.lasting else None,
        ),
        Column("partial", lambda line: line.row.partial.verdict, partial, lambda line: verdict(line.row.partial)),
        *seen_columns(seen, _seen_of),
        Column("over", lambda line: line.comparison.over, csv=False),
        Column("extra", lambda line: line.row.extra.ends, "extra", lambda line: cycles(line.row.extra), right=True),
        *(replace(column, heading=None) for column in _FIGURES),
        text_only("overhead", lambda line: cycles(line.cost.overhead), right=True),
        text_only("share", lambda line: share(line.cost.overhead, line.cost.baseline), right=True),
        text_only("flush each", lambda line: cycles(line.cost.flush, max(line.cost.retranslations, 1)), right=True),
        text_only("stopping others", lambda line: cycles(line.cost.stop), right=True),
        _MEMORY,
    )


def _seen_of(seen: Seen, line: _Line) -> Count | None:
    return seen_of(seen, line.row)


def _scenario(number: int, name: str) -> Column[_Line]:
    return Column(
        name,
        lambda line: line.row.checks[number].verdict,
        name,
        lambda line: verdict(line.row.checks[number]),
        json=False,
    )


def _leaves_labels(rows: Sequence[Compared]) -> bool:
    """Whether some strategy does not hold for the partial hazard: only then is it worth a column."""
    return any(row.partial.verdict not in ("holds", "n/a") for row in rows)


# --- the report of replay ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Costs:
    """What a replay found on one host with one translator."""

    host: Host
    translator: Translator
    rows: tuple[Replayed, ...]
    parameters: Parameters

    @property
    def what_if(self) -> bool:
        """Whether the host does not run what the translator emits."""
        return hypothetical(self.translator, self.host)

    @property
    def lines(self) -> list[_Priced]:
        """The rows with what they are rows of."""
        return [_Priced(self.host, self.what_if, row) for row in self.rows]


_REPLAYED: tuple[Column[_Priced], ...] = (_STRATEGY, *_WHERE, *_FIGURES, _MEMORY)


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What each strategy costs, by part."""

    results: Sequence[Costs]

    def document(self) -> dict[str, Any]:
        """One object for each strategy and host."""
        lines = [line for costs in self.results for line in costs.lines]
        return {
            "schema": SCHEMA,
            "results": [record(_REPLAYED, line) for line in lines],
            "assumptions": [
                _assumptions(costs.host, costs.translator.full_name, costs.parameters, costs.rows)
                for costs in self.results
            ],
        }

    def rows(self) -> Rows:
        """One row for each strategy and host; costs are nominal, with their low and high ends beside them."""
        return flat_rows(_REPLAYED, [line for costs in self.results for line in costs.lines])

    def text(self, style: str) -> str:
        """A table for each host and translator."""
        return "\n\n".join(_replayed(costs, style) for costs in self.results)


def _replayed(costs: Costs, style: str) -> str:
    first = costs.rows[0]
    what_if = " (what if)" if costs.what_if else ""
    title = (
        f"{first.trace} on {first.host}{settings_of(costs.host)} with {first.translator}{what_if}: "
        f"{first.retranslations:,} retranslations; baseline {cycles(first.baseline)} cycles ({first.baseline.tag})"
    )
    return "\n".join((title, "", text_table(_REPLAYED, costs.lines, style), "", *notes(costs.rows))).rstrip()


# --- the report of compare --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CompareReport:
    """The answer of ``compare``, and what has changed ``since`` a run that was kept.

    ``unpriced``: the verdicts on architectures, which have no costs.  ``wide``: every column in tables of text.
    ``chosen``: the translators were asked for; else the text says which were taken.  ``sensitivity``: also what
    decides, of the assumptions and of the rate of retranslations.  ``seen``: a column of what was seen on a machine.
    """

    comparisons: Sequence[Comparison]
    since: Since | None = None
    unpriced: Sequence[Unpriced] = ()
    wide: bool = False
    chosen: bool = True
    sensitivity: bool = False
    seen: Seen | None = None

    def document(self) -> dict[str, Any]:
        """One object for each strategy and host."""
        results = [
            record(_compared_columns(one.rows, self.seen), line) for one in self.comparisons for line in _lines(one)
        ]
        found: dict[str, Any] = {
            "schema": SCHEMA,
            "results": results,
            "pairs": [_pair(one, pair) for one in self.comparisons for pair in one.pairs],
            "unpriced": [_unpriced(one, row, self.seen) for one in self.unpriced for row in one.ordered],
            "assumptions": [
                {
                    **_assumptions(one.host, one.translator, one.parameters, [row.cost for row in one.rows]),
                    "search": {name: getattr(one.rows[0].checks[0].options, name) for name in _SIZES},
                }
                for one in self.comparisons
            ],
        }
        if self.sensitivity:
            found |= sensitivities.document(self.comparisons)
        if self.since is None:
            return found
        return {**found, "against": self.since.document(), "assumed_otherwise": self.since.assumed}

    def rows(self) -> Rows:
        """One row for each strategy and host: verdicts, counts and costs."""
        bare = [_unpriced_row(one, row, self.seen) for one in self.unpriced for row in one.ordered]
        if not self.comparisons:
            return [*bare[0]], [[*row.values()] for row in bare]
        columns = _compared_columns(self.comparisons[0].rows, self.seen)
        headers, priced = flat_rows(columns, [line for one in self.comparisons for line in _lines(one)])
        return headers, [*priced, *([row.get(header) for header in headers] for row in bare)]

    def text(self, style: str) -> str:
        """A table of all hosts, or all columns for each, and below it what it says."""
        since = [] if self.since is None else [self.since.text(style)]
        deciding = [sensitivities.text(one, style) for one in self.comparisons] if self.sensitivity else []
        everything = [_comparison(comparison, style, self.seen) for comparison in self.comparisons]
        if self.wide:
            bare = (overview.without_prices(one, style, self.seen) for one in self.unpriced)
            return "\n\n".join([*everything, *bare, *deciding, *since])
        short = overview.overview(self.comparisons, self.unpriced, style, self.seen, chosen=self.chosen)
        if style != "github":
            return "\n\n".join([short, *deciding, *since])
        details = "\n\n".join(f"```\n{_comparison(one, 'simple', self.seen)}\n```" for one in self.comparisons)
        folded = f"<details>\n<summary>Every scenario, and the parts of the cost</summary>\n\n{details}\n\n</details>"
        return "\n\n".join([short, *deciding, *since, *([folded] if self.comparisons else [])])


def _unpriced(one: Unpriced, row: Verdicts, seen: Seen | None) -> dict[str, Any]:
    """The verdicts of a strategy on an architecture."""
    return {
        "strategy": row.strategy,
        "same": row.same,
        "host": one.target.name,
        "settings": one.target.derived,
        "translator": one.translator.full_name,
        "what_if": one.what_if,
        "right": row.right,
        "verdicts": {result.scenario: result.verdict for result in row.checks},
        "rows": {result.scenario: len(result.rows) for result in row.checks},
        "lasting": row.lasting.verdict if row.lasting else None,
        "partial": row.partial.verdict,
        **record(seen_columns(seen, seen_of), row),
    }


def _unpriced_row(one: Unpriced, row: Verdicts, seen: Seen | None) -> dict[str, Cell]:
    """The same as CSV has it."""
    said = _unpriced(one, row, seen)
    kept = ("strategy", "host", "translator", "what_if")
    return {
        **{key: said[key] for key in kept},
        **said["verdicts"],
        "lasting": said["lasting"],
        "partial": said["partial"],
        **{column.key: column.value(row) for column in seen_columns(seen, seen_of) if column.csv},
    }


def _pair(comparison: Comparison, pair: Pair) -> dict[str, Any]:
    """Two strategies that are right, and which is cheaper."""
    deciding = pair.deciding
    return {
        **_of(comparison.host, comparison.translator),
        "trace": comparison.trace,
        "first": pair.first,
        "second": pair.second,
        "order": pair.order,
        "difference": pair.difference.ends,
        "deciding": deciding
        and {
            "quantity": deciding.quantity.name,
            "flips_at": deciding.flips_at,
            "below": pair.first if deciding.first_below else pair.second,
            "settled_below": deciding.settled_below,
            "settled_above": deciding.settled_above,
        },
    }


def _lines(comparison: Comparison) -> list[_Line]:
    return [_Line(comparison.host, comparison.what_if, row.cost, comparison, row) for row in comparison.rows]


def _comparison(comparison: Comparison, style: str, seen: Seen | None) -> str:
    first, *more = title(comparison.host, comparison.translator, comparison.what_if).split("\n")
    counted = comparison.rows[0].cost.retranslations
    lines = [fill(f"{first}, replaying {comparison.trace}: {counted:,} retranslations"), *more]
    lines += ["", text_table(_compared_columns(comparison.rows, seen), _lines(comparison), style), ""]
    lines += [fill(sentence) for sentence in sentences(comparison)]
    lines += ["", failed] if (failed := first_failure(comparison.rows)) else []
    return "\n".join([*lines, "", *_legend(comparison), *map(fill, about_seen(seen))])


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
        f"weakest figure carries ({', '.join(tags)}). Extra: what it adds to {comparison.over} (--over). Overhead: "
        f"all costs over the whole trace, and roughly its share of the baseline, {cycles(first.baseline)} cycles. "
        f"{marks(comparison)}Flush each: all flushes, per retranslation. Stopping "
        f"others: with {comparison.vcpus} vCPU{'s' if comparison.vcpus != 1 else ''} (--vcpus), a part of the overhead."
    )
    return [fill(text), *notes([row.cost for row in comparison.rows])]
