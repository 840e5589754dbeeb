"""A chain of ``staleline risk`` as a PRISM model, for Storm: probabilities as products of named constants."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from bench.risk.causes import PER_CAUSE, RANDOM_KINDS, Cause, probabilities
from bench.risk.chain import Chain
from bench.risk.graph import Edge

FIRST = "P=? [ !(p=OVER) U (p=FAILED) ]"
"""One retranslation from a clean start ends in a wrong execution."""
ROUNDS = 'R{"rounds"}=? [ F (p=FAILED) ]'
"""The expected number of retranslations until one does."""
LEAST, GREATEST = (FIRST.replace("P", end, 1) for end in ("Pmin", "Pmax"))
"""Over all schedulers."""


def model(chain: Chain, causes: Sequence[Cause]) -> str:
    """The model: position ``p``, cache state ``e``, and ``k``, 0 for an operation, else the number of a cause.

    A chain with one thread starts anew where a retranslation is over, and counts it.
    """
    graph = chain.graph
    order = sorted(graph.edges)
    numbers = {position: number for number, position in enumerate(order)}
    failed, over = len(order), len(order) + 1
    states, last = graph.environment.size, len(causes)
    values = probabilities(causes)
    lines = ["dtmc" if chain.single_threaded else "mdp", f"const int FAILED = {failed};", f"const int OVER = {over};"]
    for number, value in enumerate(values.tolist()):
        name = ("probability", *(kind.name.lower() for kind in RANDOM_KINDS))[number % PER_CAUSE]
        lines.append(f"const double q{number} = {value!r}; // {causes[number // PER_CAUSE].name}: {name}")
    begin, clean = chain.start
    lines += [
        "module chain",
        f"p : [0..{over}] init {numbers[begin]};",
        f"e : [0..{states - 1}] init {clean};",
        f"k : [0..{last}] init 0;",
    ]
    for position, edges in graph.edges.items():
        choices: dict[tuple[int, int], list[Edge]] = defaultdict(list)
        for edge in edges:
            choices[edge.before, edge.thread].append(edge)
        for (before, _), some in choices.items():
            ways = []
            for edge in some:
                target = failed if edge.harm >= 0 else over if edge.target in graph.over else numbers[edge.target]
                ways.append(f"1/{len(some)}:(p'={target})&(e'={edge.between})&(k'={0 if edge.harm >= 0 else 1})")
            lines.append(f"[] k=0 & p={numbers[position]} & e={before} -> {' + '.join(ways)};")
    steps: dict[tuple[int, int], list[str]] = defaultdict(list)
    for stage, source, target, count, factors in graph.environment.stages():
        product = "*".join(f"q{f}" if f < values.size else f"(1-q{f - values.size})" for f in factors) or "1"
        steps[stage, source].append(f"{count}*{product}:(e'={target})&(k'={(stage + 2) % (last + 1)})")
    for (stage, source), ways in steps.items():
        lines.append(f"[] k={stage + 1} & e={source} -> {' + '.join(ways)};")
    if chain.single_threaded:
        lines.append(f"[again] k=0 & p=OVER -> (p'={numbers[begin]});")
        lines += ["endmodule", 'rewards "rounds"', f"k=0 & p={numbers[begin]} : 1;", "endrewards"]
    else:
        lines.append("endmodule")
    return "\n".join(lines)
