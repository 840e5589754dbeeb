"""What comparisons say in words."""

from __future__ import annotations

from collections.abc import Sequence

from bench.check.cell import Checked
from bench.check.command import command
from bench.compare.comparison import Compared, Comparison, Verdicts
from bench.compare.order import Deciding, Pair
from bench.hosts import Host, Target
from bench.replay.parameters import Parameters
from bench.replay.replay import Replayed
from bench.report.costs import number
from bench.report.report import settings_of
from bench.report.tables import fill
from bench.scenarios import ALONE, SUMMARIES
from bench.support.text import listed
from bench.translators.registry import BARE_VERSION, load_translator, translators_for


def mark(comparison: Comparison, row: Compared) -> str:
    """The rank: ``=`` for a tie, ``~`` where the order to the rank before or behind it is not decided."""
    if not row.rank:
        return "wrong" if row.wrong else "?"
    tie = "=" if sum(other.rank == row.rank for other in comparison.rows) > 1 else ""
    open_ = {rows[0].rank for one, other, _ in comparison.undecided for rows in (one, other)}
    return f"{row.rank}{tie}{'~' if row.rank in open_ else ''}"


def marks(comparison: Comparison) -> str:
    """What the marks of the ranks mean, of those that are there."""
    means = {"=": "=: the same cost, whatever is assumed. ", "~": "~: not decided which of two neighbours is cheaper. "}
    there = "".join(mark(comparison, row) for row in comparison.rows)
    return "".join(text for sign, text in means.items() if sign in there)


def verdict(result: Checked) -> str:
    """A verdict as a cell: ``holds``, ``FAILS 6``."""
    if result.verdict == "fails":
        return f"FAILS {len(result.rows)}" if result.rows else "FAILS"
    return result.verdict


def worst_verdict(row: Verdicts) -> str:
    """The verdict of a strategy in one cell: that it holds, or where it fails first."""
    worst = row.worst
    if worst is None:
        return "holds" if any(result.verdict == "holds" for result in row.every) else "n/a"
    hazard = "" if worst.options.hazard == "transient" else f", {worst.options.hazard}"
    return f"{'FAILS' if worst.verdict == 'fails' else worst.verdict} in {worst.scenario}{hazard}"


def title(target: Target, translator: str, what_if: bool) -> str:
    """The host or architecture, and the translator."""
    hypothetical = f"\nHypothetical: {target.name} does not run what {translator} emits." if what_if else ""
    return f"{target.title}{settings_of(target)} with {translator}{hypothetical}"


def taken(target: Target, translator: str) -> list[str]:
    """Which translator was taken where none was asked for, and why, if there was a choice."""
    others = [one.full_name for one in translators_for(target) if one.full_name != translator]
    if not others:
        return []
    why = "as it was in January 2011" if translator.endswith(f"@{BARE_VERSION}") else "its first version"
    isa = load_translator(translator).isa
    return [
        f"{target.name} runs {listed([*target.isa])}: taken is {translator}, {why} ({isa}); --translator {others[0]}."
    ]


def kernel(host: Host, translator: str) -> str:
    """That a flush is of whole pages on the kernel of the translator's time, if it is; else nothing."""
    dated = load_translator(translator)
    recipe = host.runs_as(dated.isa).flush
    if recipe.as_of(int(dated.version)).granule == 1:
        return ""
    until = f" until {recipe.whole_pages.until}" if recipe.whole_pages and recipe.whole_pages.value == "dated" else ""
    return f"A flush is of whole pages, as Linux did it{until} (--set whole_pages=never: of its own lines). "


def unanswered(rows: Sequence[Verdicts], translator: str) -> list[str]:
    """That a translator without the bug says nothing about the fixes."""
    if any(not row.right for row in rows) or load_translator(translator).stores_temporaries:
        return []
    return [
        f"{translator} stores no temporary values: every strategy holds, and this table cannot tell you whether you "
        "need a flush."
    ]


def first_failure(rows: Sequence[Verdicts]) -> str | None:
    """The command that shows the first failure step by step."""
    failed = (result for row in rows for result in row.checks if result.verdict == "fails")
    return next((f"The first failure, step by step: {command(result)}" for result in failed), None)


def sentences(comparison: Comparison) -> list[str]:
    """What the table says, in words."""
    best = [cheapest(comparison)] if sum(row.right for row in comparison.rows) > 1 else []
    open_ = [open_between(*one) for one in comparison.undecided]
    said = judgement(comparison.rows)
    return [*said[:1], *best, *open_, *said[1:]]


def judgement(rows: Sequence[Verdicts]) -> list[str]:
    """What is right, then what is wrong, in words."""
    scenarios = [result.scenario for result in rows[0].checks]
    where = "every scenario" if scenarios == list(SUMMARIES) else listed(scenarios)
    right = [row for row in rows if row.right]
    said = []
    if right:
        said.append(f"{names_of(right)} {_verb(right, 'hold')} in {where}.")
    else:
        said.append(f"No strategy holds in {where}.")
    cut = [row for row in rows if not row.right and not row.wrong]
    if cut:
        said.append(f"{names_of(cut)}: not decided, a search was cut short; raise --max-states.")
    wrong = [row for row in rows if row.wrong]
    for holds in dict.fromkeys(row.alone for row in wrong):
        group = [row for row in wrong if row.alone == holds]
        if holds:
            said.append(
                f"{names_of(group)} {_verb(group, 'hold')} while one thread executes ({listed(holds)}), and not beyond."
            )
        elif any(name in ALONE for name in scenarios):
            said.append(f"{names_of(group)} {_verb(group, 'fail')} already with one thread.")
        else:
            said.append(f"{names_of(group)} {_verb(group, 'fail')}.")
    broken = [row for row in rows if row.lasting is not None and row.lasting.verdict == "fails"]
    if broken:
        said.append(f"With {names_of(broken)} two retranslators can leave a wrong value for good (--hazard lasting).")
    lost = [row for row in rows if row.partial.verdict == "fails"]
    if lost:
        said.append(
            f"With {names_of(lost)} a label that is bound behind the fault is lost, on any host (--hazard partial)."
        )
    return said


def cheapest(comparison: Comparison) -> str:
    best, *others = comparison.ranks
    tie = ", a tie" if len(best) > 1 else ""
    beaten = {pair.second for pair in comparison.pairs if pair.order == "cheaper"}
    maybe = [row for rank in others for row in rank if row.strategy not in beaten]
    if not maybe:
        return f"Cheapest on this trace, whatever is assumed: {names_of(best)}{tie}."
    return (
        f"Cheapest on this trace with every assumption at its value: {names_of(best)}{tie}; "
        f"{names_of(maybe)} may be, within their ranges."
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


def names_of(rows: Sequence[Verdicts]) -> str:
    """The strategies of some rows, those that do the same included."""
    return listed([name for row in rows for name in row.names])


def _verb(rows: Sequence[Verdicts], verb: str) -> str:
    return verb if len(rows) > 1 or rows[0].same else f"{verb}s"


def notes(results: Sequence[Replayed]) -> list[str]:
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
