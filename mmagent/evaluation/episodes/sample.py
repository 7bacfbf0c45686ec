"""Episodes, drawn by a seed: which classes, which names for them, which examples are shown and asked about.

Episode `number` of a seed is the same whatever is asked for besides: more episodes go on where fewer ended,
and fewer shots are the first of more, so that two settings differ in nothing but what they are called after.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mmagent.errors import UserError
from mmagent.evaluation.episodes.setting import Setting
from mmagent.evaluation.episodes.words import INVENTED

if TYPE_CHECKING:
    from mmagent.data import Example

__all__ = ["Episode", "Names", "Shown", "sample_episodes"]

Names = Literal["invented", "real"]
Shown = tuple["Example", str]
"""An example, and the name that its class goes by."""


@dataclass(frozen=True, eq=False)
class Episode:
    """Some classes under new names.

    number   counts from 0;  seed  what it was drawn by
    classes  as the data call them;  names  what they are called here, in the same order
    queries  what is asked about: of every class in turn the same number
    pools    for each class the examples that may be shown, in the order in which they were drawn
    """

    number: int
    seed: int
    classes: tuple[str, ...]
    names: tuple[str, ...]
    queries: tuple[Shown, ...]
    pools: tuple[tuple[Example, ...], ...]

    def shots(
        self, setting: Setting, nearness: Callable[[Example], float] | None = None
    ) -> tuple[Shown, ...]:
        """What is shown, in order: in every round one example of each class, the classes in an order by lot.

        Examples are taken as they were drawn; with `nearness` the nearest of each class. Repeats show the
        whole sequence again.
        """
        rng = random.Random(f"{self.seed} {len(self.classes)} {self.number} order")
        pools = [
            pool if nearness is None else sorted(pool, key=lambda one: -nearness(one)) for pool in self.pools
        ]
        shown: list[Shown] = []
        for turn in range(setting.shots):
            ways = list(range(len(pools)))
            rng.shuffle(ways)
            shown += [(pools[way][turn], self.names[way]) for way in ways]
        return tuple(shown) * (setting.repeats + 1)


def sample_episodes(
    examples: Sequence[Example],
    ways: int,
    count: int,
    *,
    most_shots: int,
    queries: int = 1,
    names: Names = "invented",
    seed: int = 0,
) -> list[Episode]:
    """`count` episodes of `ways` classes, each with `queries` examples to ask about and others to show.

    most_shots  classes with fewer than so many examples beside the queries take no part
    names       invented: drawn anew for every episode;  real: the classes' own

    Raises UserError where there are not enough classes, or not enough words.
    """
    members: dict[str, list[Example]] = defaultdict(list)
    for one in examples:
        members[one.answer].append(one)
    need = most_shots + queries
    able = sorted(name for name, rows in members.items() if len(rows) >= need)
    if len(able) < ways:
        raise UserError(
            f"{ways}-way episodes need {ways} classes with at least {need} rows each ({most_shots} to show, "
            f"{queries} to ask about); of {len(members)} classes {len(able)} have as many."
        )
    if names == "invented" and ways > len(INVENTED):
        raise UserError(f"there are {len(INVENTED)} invented words, too few for {ways} ways.")
    return [_episode(members, able, ways, number, queries, names, seed) for number in range(count)]


def _episode(
    members: dict[str, list[Example]],
    able: Sequence[str],
    ways: int,
    number: int,
    queries: int,
    names: Names,
    seed: int,
) -> Episode:
    rng = random.Random(f"{seed} {ways} {number}")
    classes = tuple(rng.sample(able, ways))
    called = tuple(rng.sample(INVENTED, ways)) if names == "invented" else classes
    drawn = [rng.sample(members[name], len(members[name])) for name in classes]
    asked = tuple((drawn[way][at], called[way]) for at in range(queries) for way in range(ways))
    pools = tuple(tuple(rows[queries:]) for rows in drawn)
    return Episode(number, seed, classes, called, asked, pools)
