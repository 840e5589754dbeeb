"""An execution of a site as operations of a protocol: observations in order, and jumps over those that do not come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.sites.paths import Observation, SitePath, value_name
from bench.sites.site import Site, SiteLine
from bench.support.errors import InputError


@dataclass(frozen=True, slots=True)
class Execution:
    """``paths`` that an execution can take, and ``observations`` of all of them in order."""

    site: Site
    paths: tuple[SitePath, ...]
    observations: tuple[Observation, ...]

    def lines(self, inside: dict[int, Sequence[SiteLine]] | None = None) -> list[SiteLine]:
        """The operations, one on a line; ``inside``: more of them, before the observation of that number."""
        more = inside or {}
        blocks: list[list[SiteLine]] = []
        for number in range(len(self.observations)):
            between = self.site.executor.between if number else ()
            blocks.append([*between, *more.get(number, ()), SiteLine("")])
        sizes = [len(block) for block in blocks]
        for number, observation in enumerate(self.observations):
            blocks[number][-1] = self._line(number, observation, sizes)
        return [*self.site.executor.before, *(line for block in blocks for line in block), *self.site.executor.after]

    def _line(self, number: int, observation: Observation, sizes: Sequence[int]) -> SiteLine:
        verb = "load" if observation.loads else "execute"
        skips = []
        for values, following in self._following(observation).items():
            if skipped := sum(sizes[number + 1 : following]):
                named = map(value_name, observation.words, values)
                skips.append(f"{'+'.join(named)}:{skipped}")
        first = next((word.number for word in self.site.words if word.name == observation.words[0]), 0)
        return SiteLine(" ".join((verb, "+".join(observation.words), *skips)), first)

    def _following(self, observation: Observation) -> dict[tuple[str, ...], int]:
        """For the values of an observation the number of the next one, which must be the same on all paths."""
        found: dict[tuple[str, ...], int] = {}
        for path in self.paths:
            for at, (seen, values) in enumerate(path.observed):
                if seen == observation:
                    rest = path.observed[at + 1 :]
                    following = self.observations.index(rest[0][0]) if rest else len(self.observations)
                    if found.setdefault(values, following) != following:
                        raise InputError(
                            f"a way on from {'+'.join(observation.words)} that depends on what was before",
                            file=self.site.file,
                            place="words",
                            expected="one way on for each value of a word",
                        )
        return found


def execution(site: Site, paths: Sequence[SitePath]) -> Execution:
    """The execution that may take these paths."""
    observations = sorted({observation for path in paths for observation, _ in path.observed})
    return Execution(site, tuple(paths), tuple(observations))
