"""The first look at a comparison: a table of one line for each strategy that fits a terminal, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.compare.comparison import Compared, Comparison, Unpriced, Verdicts
from bench.report.costs import cycles, middle, share
from bench.report.report import Column, text_only, text_table
from bench.report.seen import about_seen, seen_columns, seen_of
from bench.report.sentences import (
    cheapest,
    first_failure,
    judgement,
    kernel,
    mark,
    marks,
    sentences,
    taken,
    title,
    unanswered,
    worst_verdict,
)
from bench.report.tables import fill
from bench.silicon.seen import Count, Seen
from bench.support.text import listed

_STRATEGY = 34
"""The width of the names of strategies that do the same."""
_CELL = 24
"""The width of what is said of a strategy on one of several hosts."""


def overview(
    comparisons: Sequence[Comparison],
    unpriced: Sequence[Unpriced],
    style: str,
    seen: Seen | None = None,
    *,
    chosen: bool = True,
) -> str:
    """The table of one host, or of all hosts and architectures side by side.

    ``chosen``: the translators were asked for; else it says which were taken.  ``seen``: on a machine, in a column.
    """
    if len(comparisons) + len(unpriced) > 1:
        return _across(comparisons, unpriced, style, seen, chosen)
    if not comparisons:
        return without_prices(unpriced[0], style, seen, chosen=chosen)
    (one,) = comparisons
    first, *more = title(one.host, one.translator, one.what_if).split("\n")
    what = f"{first}, replaying {one.trace}: {one.rows[0].cost.retranslations:,} retranslations"
    lines = [what if style == "github" else fill(what), *more]
    lines += _choice([one], chosen, style)
    lines += ["", text_table(_priced(one, seen), one.rows, style), ""]
    lines += _said([*unanswered(one.rows, one.translator), *sentences(one)], style)
    lines += ["", failed] if (failed := first_failure(one.rows)) else []
    legend = [*([_legend(one)] if style != "github" else []), *about_seen(seen)]
    return "\n".join([*lines, *([""] if legend else []), *map(fill, legend)])


def verdicts(one: Unpriced, style: str, seen: Seen | None = None) -> str:
    """The verdicts on a host or an architecture as a table."""
    columns = [_VERDICTS[0], *_scenarios(one.rows), *seen_columns(seen, seen_of)]
    return f"{title(one.target, one.translator.full_name, one.what_if)}\n\n{text_table(columns, one.ordered, style)}"


def without_prices(one: Unpriced, style: str, seen: Seen | None = None, *, chosen: bool = True) -> str:
    """The verdicts on a host or an architecture, and what they say."""
    rows = one.ordered
    lines = [*_choice([one], chosen, style), verdicts(one, style, seen), ""]
    lines += _said([*unanswered(rows, one.translator.full_name), *judgement(rows), _no_price([one])], style)
    lines += map(fill, about_seen(seen))
    lines += ["", failed] if (failed := first_failure(rows)) else []
    return "\n".join(lines)


def _no_price(several: Sequence[Unpriced]) -> str:
    return f"{listed([one.target.name for one in several])}: no price: an architecture."


def _choice(several: Sequence[Comparison | Unpriced], chosen: bool, style: str) -> list[str]:
    """Which translators were taken, if nobody chose."""
    if chosen:
        return []
    asked = [
        (one.target, one.translator.full_name) if isinstance(one, Unpriced) else (one.host, one.translator)
        for one in several
    ]
    return [text if style == "github" else fill(text) for target, name in asked for text in taken(target, name)]


def _said(found: Sequence[str], style: str) -> list[str]:
    """Sentences; three of them where the rest is folded."""
    return [" ".join(found[:3])] if style == "github" else [fill(sentence) for sentence in found]


# --- one host ---------------------------------------------------------------------------------------------------------

_VERDICTS: tuple[Column[Verdicts], ...] = (
    text_only("strategy", lambda row: " = ".join(row.names), wrap=_STRATEGY),
    text_only("verdict", worst_verdict),
)


def _scenarios(rows: Sequence[Verdicts]) -> list[Column[Verdicts]]:
    """A column for each scenario, with the rows of the counterexample."""

    def column(number: int, name: str) -> Column[Verdicts]:
        return text_only(name, lambda row: _with_rows(row, number))

    return [column(number, result.scenario) for number, result in enumerate(rows[0].checks)]


def _with_rows(row: Verdicts, number: int) -> str:
    result = row.checks[number]
    return f"FAILS {len(result.rows)}" if result.verdict == "fails" else result.verdict


def _priced(one: Comparison, seen: Seen | None) -> tuple[Column[Compared], ...]:
    return (
        text_only("", lambda row: mark(one, row)),
        *_VERDICTS,
        *seen_columns(seen, seen_of),
        text_only("extra cost", lambda row: cycles(row.extra), right=True),
        text_only("share", lambda row: share(row.extra, row.cost.baseline), right=True),
    )


def _legend(one: Comparison) -> str:
    options = one.rows[0].checks[0].options
    tags = sorted({row.cost.overhead.tag for row in one.rows})
    return (
        f"Verdict: the first scenario in which it fails; {options.retranslations} retranslations and {options.flushes} "
        f"tb flushes by each thread that faults. Extra cost: cycles over the whole trace that it adds to {one.over} "
        f"(--over), nominal (lowest..highest), with as many digits as the weakest figure carries ({', '.join(tags)}); "
        f"share: of the {cycles(one.rows[0].cost.baseline)} cycles that run anyway. {kernel(one.host, one.translator)}"
        f"{marks(one)}--wide: every scenario, the parts of the cost, and their notes."
    )


# --- several hosts ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _HostRow:
    """A column: what stands in it for each strategy, and the strategies that are right there."""

    name: str
    cells: dict[str, str]
    right: frozenset[str]


def _hosts(comparisons: Sequence[Comparison], unpriced: Sequence[Unpriced]) -> list[_HostRow]:
    found: list[tuple[str, str, dict[str, str], Sequence[Verdicts]]] = []
    for one in comparisons:
        cells = {name: _ranked(one, row) for row in one.rows for name in row.names}
        found.append((one.host.name, one.translator, cells, one.rows))
    for other in unpriced:
        cells = {name: worst_verdict(row) for row in other.rows for name in row.names}
        found.append((other.target.name, other.translator.full_name, cells, other.rows))
    one_translator = len({translator for _, translator, *_ in found}) == 1
    return [
        _HostRow(
            name if one_translator else f"{name}, {translator}",
            cells,
            frozenset(name for row in rows if row.right for name in row.names),
        )
        for name, translator, cells, rows in found
    ]


def _ranked(one: Comparison, row: Compared) -> str:
    return f"{mark(one, row)} ({middle(row.extra)})" if row.right else worst_verdict(row)


def _across(
    comparisons: Sequence[Comparison], unpriced: Sequence[Unpriced], style: str, seen: Seen | None, chosen: bool
) -> str:
    hosts = _hosts(comparisons, unpriced)
    names = sorted(hosts[0].cells, key=lambda name: -sum(name in host.right for host in hosts))
    alike: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        alike.setdefault(tuple(host.cells[name] for host in hosts), []).append(name)
    scenarios = [result.scenario for result in (comparisons or unpriced)[0].rows[0].checks]

    def counted(found: Seen, group: list[str]) -> Count | None:
        return found.among((name, scenario) for name in group for scenario in scenarios)

    def column(host: _HostRow) -> Column[list[str]]:
        return text_only(host.name, lambda group: host.cells[group[0]], wrap=_CELL)

    first: Column[list[str]] = text_only("strategy", " = ".join, wrap=_STRATEGY)
    columns = [first, *map(column, hosts), *seen_columns(seen, counted)]
    translators = {one.translator for one in comparisons} | {one.translator.full_name for one in unpriced}
    with_one = f" with {min(translators)}" if len(translators) == 1 else ""
    lines = [f"{len(names)} strategies on {len(hosts)} hosts{with_one}"]
    if comparisons:
        lines[0] += f", replaying {comparisons[0].trace}"
    hypothetical = [
        *(one.host.name for one in comparisons if one.what_if),
        *(one.target.name for one in unpriced if one.what_if),
    ]
    if hypothetical:
        lines += _said([f"Hypothetical: {listed(hypothetical)} does not run what the translator emits."], style)
    lines += _choice([*comparisons, *unpriced], chosen, style)
    silent = [text for one in comparisons for text in unanswered(one.rows, one.translator)]
    silent += [text for one in unpriced for text in unanswered(one.rows, one.translator.full_name)]
    said = [*_everywhere(names, hosts), *_cheapest(comparisons), *dict.fromkeys(silent)]
    said += [*([_no_price(unpriced)] if unpriced else []), *about_seen(seen)]
    lines += ["", text_table(columns, list(alike.values()), style), "", *_said(said, style)]
    if comparisons and style != "github":
        over = comparisons[0].over
        lines += [
            "",
            fill(
                f"1 (0): its rank there, and the cycles that it adds to {over} (--over), nominal. =: the same cost, "
                "whatever is assumed. ~: not decided which of two neighbours is cheaper. --host NAME says more of one."
            ),
        ]
    return "\n".join(lines)


def _everywhere(names: Sequence[str], hosts: Sequence[_HostRow]) -> list[str]:
    """Where strategies hold: on all hosts, on some, on none."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        groups.setdefault(tuple(host.name for host in hosts if name in host.right), []).append(name)
    said = []
    for where, some in groups.items():
        verb = "s" * (len(some) == 1)
        if len(where) == len(hosts):
            said.append(f"{listed(some)} hold{verb} on every host.")
        elif where:
            said.append(f"{listed(some)} hold{verb} on {listed(where)} alone.")
        else:
            said.append(f"{listed(some)} hold{verb} on no host.")
    return said


def _cheapest(comparisons: Sequence[Comparison]) -> list[str]:
    """Which is cheapest, hosts of which the same is said together."""
    said: dict[str, list[str]] = {}
    for one in comparisons:
        if any(row.right for row in one.rows):
            said.setdefault(cheapest(one), []).append(one.host.name)
    return [f"{listed(hosts)}: {text[0].lower()}{text[1:]}" for text, hosts in said.items()]
