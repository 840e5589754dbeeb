"""What was executed on this machine: a histogram of outcomes, beside what hosts and architectures allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.protocols.protocol import Protocol
from bench.report.report import Column, Rows, flat_rows, record, text_only, text_table
from bench.report.tables import SCHEMA, fill
from bench.silicon.geometry import Machine
from bench.silicon.outcomes import AllowedOutcomes, SeenOutcome, outcomes
from bench.silicon.running import Histogram
from bench.silicon.threads import Observed

LITMUS = "litmus"
"""A format of its own: the histogram as litmus7 prints it."""

_PLACES = 6
"""Addresses of signals in a text, at most."""

_UNSEEN = 4
"""Outcomes in a table of text that were not seen, at most."""

_WORDS = {True: "allowed", False: "forbidden", None: "unknown"}


@dataclass(frozen=True, slots=True)
class ExecutedProtocol:
    """A protocol that was executed: its histogram, and what each of the ``targets`` allows.

    ``translator``: of a strategy, whose writes it has, in the instructions of this machine.
    """

    name: str
    protocol: Protocol
    histogram: Histogram
    targets: tuple[AllowedOutcomes, ...]
    translator: str = ""

    @property
    def outcomes(self) -> list[SeenOutcome]:
        """Every outcome that was seen or is allowed."""
        return outcomes(self.protocol, self.histogram, self.targets)

    @property
    def wrong(self) -> int:
        """How often the protocol was wrong, crashes included."""
        return sum(each.seen for each in self.outcomes if not each.right) + self.histogram.crashes.total()

    @property
    def nanoseconds(self) -> float:
        """Elapsed time for each instance, with the meeting of its threads, delays and pressure."""
        return 1e9 * self.histogram.seconds / max(self.histogram.instances, 1)

    @property
    def contradicted(self) -> bool:
        """Whether something was seen that a target forbids."""
        crashed = self.histogram.crashes.total() > 0 and not any(each.anything for each in self.targets)
        return crashed or any(each.conclusion == "seen, forbidden" for each in self.outcomes)

    def text_of(self, observed: Observed) -> str:
        """An outcome: each thread that observes something, with its values in order."""
        threads = zip(self.protocol.threads, observed, strict=True)
        return "; ".join(f"{thread.name}: {' '.join(values)}" for thread, values in threads if values) or "nothing"


@dataclass(frozen=True, slots=True)
class RunReport:
    """The answer of ``run``."""

    machine: Machine
    executed: Sequence[ExecutedProtocol]
    refused: Mapping[str, str] = field(default_factory=dict)
    """Why something of a site could not be executed, by name."""

    def document(self) -> dict[str, Any]:
        """The machine, and each protocol with its outcomes and what ended a child."""
        return {
            "schema": SCHEMA,
            "machine": {
                "processor": self.machine.processor,
                "microcode": self.machine.microcode,
                "kernel": self.machine.kernel,
                "cores": self.machine.cores,
            },
            "executed": [
                {
                    "name": each.name,
                    "translator": each.translator,
                    "instances": each.histogram.instances,
                    "seconds": round(each.histogram.seconds, 3),
                    "wrong": each.wrong,
                    "contradicted": each.contradicted,
                    "targets": [target.target for target in each.targets],
                    "outcomes": [record(self._columns(each), outcome) for outcome in each.outcomes],
                    "signals": dict(each.histogram.signals),
                    "crashes": dict(each.histogram.crashes),
                }
                for each in self.executed
            ],
            "refused": dict(self.refused),
        }

    @staticmethod
    def _columns(executed: ExecutedProtocol) -> tuple[Column[SeenOutcome], ...]:
        def of_target(number: int) -> Column[SeenOutcome]:
            name = executed.targets[number].target
            return Column(name, lambda o: _WORDS[o.allowed[number]], name)

        return (
            Column("outcome", lambda o: executed.text_of(o.observed), "outcome"),
            Column("seen", lambda o: o.seen, "seen", lambda o: f"{o.seen:,}", right=True),
            Column("right", lambda o: o.right),
            text_only("protocol", lambda o: "right" if o.right else "wrong"),
            *(of_target(number) for number in range(len(executed.targets))),
            Column("conclusion", lambda o: o.conclusion, "", lambda o: o.conclusion.replace("forbidden", "FORBIDDEN")),
        )

    def rows(self) -> Rows:
        """One row for each outcome of each protocol."""
        tables = [((each.name, outcome), each) for each in self.executed for outcome in each.outcomes]
        columns: tuple[Column[Any], ...] = (
            Column("protocol", lambda row: row[0][0]),
            Column("outcome", lambda row: row[1].text_of(row[0][1].observed)),
            Column("seen", lambda row: row[0][1].seen),
            Column("instances", lambda row: row[1].histogram.instances),
            Column("right", lambda row: row[0][1].right),
            Column(
                "allowed",
                lambda row: {
                    target.target: _WORDS[may] for target, may in zip(row[1].targets, row[0][1].allowed, strict=True)
                },
            ),
            Column("conclusion", lambda row: row[0][1].conclusion),
        )
        return flat_rows(columns, tables)

    def text(self, style: str) -> str:
        """A table of outcomes for each protocol, and what follows."""
        if style == LITMUS:
            return "\n".join(_as_litmus7(each) for each in self.executed)
        parts = [fill(f"{self.machine.described}; {self.machine.cores} cores.")]
        for each in self.executed:
            histogram = each.histogram
            writes = f", the writes of {each.translator}" if each.translator else ""
            parts.append(f"{each.name}{writes}: {histogram.instances:,} instances, {each.nanoseconds:,.0f} ns each")
            shown = [one for one in each.outcomes if one.seen]
            unseen = [one for one in each.outcomes if not one.seen]
            parts.append(text_table(self._columns(each), [*shown, *unseen[:_UNSEEN]], style))
            if unseen[_UNSEEN:]:
                parts.append(f"{len(unseen[_UNSEEN:])} more outcomes are allowed and were not seen.")
            if self.machine.cores < (threads := len(each.protocol.threads)):
                shared = f"{threads} threads took turns on {self.machine.cores} core{'s'[: self.machine.cores > 1]}"
                parts.append(fill(f"{shared}: what needs them at once is not seen here."))
            if histogram.signals:
                most = histogram.signals.most_common(_PLACES)
                counted = "; ".join(f"{what}: {count:,}" for what, count in most)
                others = len(histogram.signals) - len(most)
                parts.append(fill(f"Elsewhere: {counted}{f'; and at {others} other places' if others else ''}."))
            parts += [f"A child was ended by {what}: {count:,} times." for what, count in histogram.crashes.items()]
            if any(target.anything for target in each.targets):
                names = ", ".join(target.target for target in each.targets if target.anything)
                parts.append(fill(f"{names} does not define what happens here: every outcome is allowed."))
            if each.contradicted:
                parts.append(
                    fill(
                        "SEEN AND FORBIDDEN: either the model or the machine is wrong, or the profile is not one of "
                        "this machine."
                    )
                )
            elif each.wrong:
                parts.append(fill(f"Wrong in {each.wrong:,} of {histogram.instances:,} instances."))
            else:
                parts.append(fill(f"Never wrong in {histogram.instances:,} instances, which proves nothing."))
        if self.refused:
            parts.append("\n".join(fill(f"Not executed: {name}: {why}.") for name, why in self.refused.items()))
        return "\n\n".join(parts)


def _as_litmus7(executed: ExecutedProtocol) -> str:
    """The histogram in the form that litmus7 gives it."""
    seen = [outcome for outcome in executed.outcomes if outcome.seen]
    wrong = executed.wrong
    lines = [f"Test {executed.name} Allowed", f"Histogram ({len(seen)} states)"]
    lines += [f"{each.seen:<8}{':' if each.right else '*'}>{executed.text_of(each.observed)};" for each in seen]
    right = executed.histogram.instances - sum(each.seen for each in seen if not each.right)
    lines += ["Ok" if wrong else "No", "", "Witnesses", f"Positive: {wrong}, Negative: {right}"]
    lines.append(f"Observation {executed.name} {'Sometimes' if wrong and right else 'Always' if wrong else 'Never'}")
    lines[-1] += f" {wrong} {right}"
    return "\n".join((*lines, f"Time {executed.name} {executed.histogram.seconds:.2f}", ""))
