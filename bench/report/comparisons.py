"""The answers of ``compare`` and ``replay``: what is right, and what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from bench.check.cell import Checked, hypothetical
from bench.check.command import command
from bench.compare.comparison import Compared, Comparison
from bench.compare.order import Deciding, Pair
from bench.hosts import Host
from bench.replay.parameters import Parameters
from bench.replay.replay import Replayed
from bench.report import sensitivities
from bench.report.baselines import Since
from bench.report.costs import PARTS, cycles, memory, number, share
from bench.report.report import Column, Rows, flat_rows, record, settings_of, text_only, text_table
from bench.report.tables import SCHEMA, fill
from bench.scenarios import ALONE, LASTING_IN, SUMMARIES
from bench.support.text import listed
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


def _cost(name: str, heading: str | None = None) -> Column[_Priced]:
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
    _cost("flush", "flush"),
    _cost("refill", "refill"),
    _cost("lock", "lock"),
    _cost("stop", "stop"),
    _cost("lookup", "lookup"),
    _cost("translate", "translate"),
    _cost("store_into_code", "store into code"),
    _cost("overhead", "overhead"),
    _cost("baseline"),
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


def _compared_columns(rows: Sequence[Compared]) -> tuple[Column[_Line], ...]:
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
        Column("rows", lambda line: {result.scenario: _rows(result) for result in line.row.checks}, csv=False),
        *(_scenario(number, result.scenario) for number, result in enumerate(rows[0].checks)),
        Column(
            "lasting",
            lambda line: line.row.lasting.verdict if line.row.lasting else None,
            lasting,
            lambda line: _verdict(line.row.lasting) if line.row.lasting else None,
        ),
        Column("partial", lambda line: line.row.partial.verdict, partial, lambda line: _verdict(line.row.partial)),
        Column("over", lambda line: line.comparison.over, csv=False),
        Column("extra", lambda line: line.row.extra.ends, "extra", lambda line: cycles(line.row.extra), right=True),
        *(replace(column, heading=None) for column in _FIGURES),
        text_only("overhead", lambda line: cycles(line.cost.overhead), right=True),
        text_only("share", lambda line: share(line.cost.overhead, line.cost.baseline), right=True),
        text_only("flush each", lambda line: cycles(line.cost.flush, max(line.cost.retranslations, 1)), right=True),
        text_only("stopping others", lambda line: cycles(line.cost.stop), right=True),
        _MEMORY,
    )


def _scenario(number: int, name: str) -> Column[_Line]:
    return Column(
        name,
        lambda line: line.row.checks[number].verdict,
        name,
        lambda line: _verdict(line.row.checks[number]),
        json=False,
    )


def mark(comparison: Comparison, row: Compared) -> str:
    """The rank: ``=`` for a tie, ``~`` where the order to the rank before or behind it is not decided."""
    if not row.rank:
        return "wrong" if row.wrong else "?"
    tie = "=" if sum(other.rank == row.rank for other in comparison.rows) > 1 else ""
    open_ = {rows[0].rank for one, other, _ in comparison.undecided for rows in (one, other)}
    return f"{row.rank}{tie}{'~' if row.rank in open_ else ''}"


def _rows(result: Checked) -> int:
    """Rows of the counterexample."""
    return len(result.explanation.rows) if result.explanation is not None else 0


def _verdict(result: Checked) -> str:
    rows = _rows(result)
    if result.verdict == "fails":
        return f"FAILS {rows}" if rows else "FAILS"
    return result.verdict


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
    return "\n".join((title, "", text_table(_REPLAYED, costs.lines, style), "", *_notes(costs.rows))).rstrip()


# --- the report of compare --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CompareReport:
    """The main table of each host, and what has changed ``since`` a run that was kept.

    ``sensitivity``: also what decides, of the assumptions and of the rate of retranslations.
    """

    comparisons: Sequence[Comparison]
    since: Since | None = None
    sensitivity: bool = False

    def document(self) -> dict[str, Any]:
        """One object for each strategy and host."""
        results = [record(_compared_columns(one.rows), line) for one in self.comparisons for line in _lines(one)]
        found: dict[str, Any] = {
            "schema": SCHEMA,
            "results": results,
            "pairs": [_pair(one, pair) for one in self.comparisons for pair in one.pairs],
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
        first = self.comparisons[0].rows
        return flat_rows(_compared_columns(first), [line for one in self.comparisons for line in _lines(one)])

    def text(self, style: str) -> str:
        """For each host the table, and below it what it says."""
        parts = []
        for comparison in self.comparisons:
            parts.append(_comparison(comparison, style))
            if self.sensitivity:
                parts.append(sensitivities.text(comparison, style))
        return "\n\n".join(parts if self.since is None else [*parts, self.since.text(style)])


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


def _comparison(comparison: Comparison, style: str) -> str:
    first = comparison.rows[0].cost
    host = comparison.host
    lines = [
        f"{host.title}{settings_of(host)} with {comparison.translator}, replaying {comparison.trace}: "
        f"{first.retranslations:,} retranslations"
    ]
    if comparison.what_if:
        lines.append(f"Hypothetical: {host.name} does not run what {comparison.translator} emits.")
    lines += ["", text_table(_compared_columns(comparison.rows), _lines(comparison), style), ""]
    lines += [fill(sentence) for sentence in sentences(comparison)]
    failed = next((result for row in comparison.rows for result in row.checks if result.verdict == "fails"), None)
    if failed is not None:
        lines += ["", f"The first failure, step by step: {command(failed)}"]
    lines += ["", *_legend(comparison)]
    return "\n".join(lines)


def sentences(comparison: Comparison) -> list[str]:
    """What the table says, in words."""
    rows = comparison.rows
    scenarios = [result.scenario for result in rows[0].checks]
    where = "every scenario" if scenarios == list(SUMMARIES) else listed(scenarios)
    right = [row for row in rows if row.right]
    said = []
    if right:
        said.append(f"{_names(right)} {_verb(right, 'hold')} in {where}.")
        if len(right) > 1:
            said.append(_cheapest(comparison))
    else:
        said.append(f"No strategy holds in {where}.")
    said += [open_between(*one) for one in comparison.undecided]
    cut = [row for row in rows if not row.right and not row.wrong]
    if cut:
        said.append(f"{_names(cut)}: not decided, a search was cut short; raise --max-states.")
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


def _cheapest(comparison: Comparison) -> str:
    best, *others = comparison.ranks
    tie = ", a tie" if len(best) > 1 else ""
    beaten = {pair.second for pair in comparison.pairs if pair.order == "cheaper"}
    maybe = [row for rank in others for row in rank if row.strategy not in beaten]
    if not maybe:
        return f"Cheapest on this trace, whatever is assumed: {_names(best)}{tie}."
    return (
        f"Cheapest on this trace with every assumption at its value: {_names(best)}{tie}; "
        f"{_names(maybe)} may be, within their ranges."
    )


def open_between(first: Sequence[Compared], second: Sequence[Compared], pair: Pair) -> str:
    """Two ranks whose order is not decided, and what it is up to."""
    one, other = (" = ".join(name for row in rank for name in row.names) for rank in (first, second))
    deciding = pair.deciding
    assert deciding is not None
    quantity = deciding.quantity
    below, above = (one, other) if deciding.first_below else (other, one)
    value, low, high = map(_figure, (quantity.value, quantity.low, quantity.high))
    what = f"`{quantity.name}`, {value} {quantity.unit} ({low}..{high})"
    settled = []
    if deciding.settled_below is not None:
        settled.append(f"below {_figure(deciding.settled_below)} {below}")
    if deciding.settled_above is not None:
        settled.append(f"above {_figure(deciding.settled_above)} {above}")
    whatever = f"{' and '.join(settled)}, whatever the others are" if settled else ""
    if deciding.flips_at is None:
        text = f"no assumption turns that alone; {what} moves it most"
        text += f": {whatever.replace(',', ' is cheaper,', 1)}" if settled else ""
    else:
        text = f"{what}; below {_figure(deciding.flips_at)} {below} is cheaper, with all others at their values"
        text += f" ({whatever})" if settled else ", and at no value of it whatever they are"
    return f"Undecided between {one} and {other}: {text}.{_settles(deciding)}"


def _figure(value: float) -> str:
    return number(value) if abs(value) >= 100 else f"{value:.2g}"


def _settles(deciding: Deciding) -> str:
    """The option that sets a quantity, and whether any value of it decides, as a sentence."""
    name, does = deciding.quantity.name, "settles" if deciding.alone else "narrows"
    if name in Parameters().quantities:
        return f" --parameter {name}=.. {does} it."
    if name.startswith(("costs.", "isa.")):
        return f" --set {name}=.. {does} it."
    return ""


def _names(rows: Sequence[Compared]) -> str:
    """The strategies of some rows, those that do the same included."""
    return listed([name for row in rows for name in row.names])


def _verb(rows: Sequence[Compared], verb: str) -> str:
    return verb if len(rows) > 1 or rows[0].same else f"{verb}s"


def _legend(comparison: Comparison) -> list[str]:
    first = comparison.rows[0].cost
    tags = sorted({row.cost.overhead.tag for row in comparison.rows} | {first.baseline.tag})
    rows = comparison.rows
    options = rows[0].checks[0].options
    fails = "FAILS n: the shortest counterexample has n rows. " if any(row.wrong for row in rows) else ""
    lasting = f"Lasting: the lasting hazard, in {LASTING_IN}. " if rows[0].lasting is not None else ""
    marks = {"=": "=: the same cost, whatever is assumed. ", "~": "~: not decided which of two neighbours is cheaper. "}
    order = "".join(text for sign, text in marks.items() if any(sign in mark(comparison, row) for row in rows))
    partial = f"Partial: the partial hazard, in {rows[0].partial.scenario}. " if _leaves_labels(rows) else ""
    text = (
        f"{fails}{lasting}{partial}Verdicts: {options.retranslations} retranslations and {options.flushes} tb flushes "
        f"by each thread that faults. Costs are cycles, nominal (lowest..highest), with as many digits as their "
        f"weakest figure carries ({', '.join(tags)}). Extra: what it adds to {comparison.over} (--over). Overhead: "
        f"all costs over the whole trace, and roughly its share of the baseline, {cycles(first.baseline)} cycles. "
        f"{order}Flush each: all flushes, per retranslation. Stopping "
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
