"""An episode as a person would look at it: what was shown under which name, what was asked, what was said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mmagent.evaluation.worst import looked_at

if TYPE_CHECKING:
    from mmagent.agent import Agent
    from mmagent.evaluation.episodes.run import EpisodeRun
    from mmagent.evaluation.episodes.sample import Shown

__all__ = ["Card", "ShownEpisode", "first_episode"]


@dataclass(frozen=True)
class Card:
    """An example under its name: small pictures as PNG files, other media in a line of words each.

    said  what each system answered, where it was asked about
    """

    name: str
    source: str
    pictures: tuple[bytes, ...] = field(default=(), repr=False)
    described: tuple[str, ...] = ()
    said: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ShownEpisode:
    """The first query of a row of the table, with its shots in order."""

    setting: str
    shots: tuple[Card, ...]
    query: Card


def first_episode(agent: Agent, runs: Sequence[EpisodeRun]) -> ShownEpisode:
    """The first query of the row with the most shots, of those with as many ways as the first row."""
    ways = runs[0].setting.ways
    run = max((one for one in runs if one.setting.ways == ways), key=lambda one: one.setting.shots)
    said = [("the bundle", run.answers[0].got)]
    said += [(control, rows[0].got) for control, rows in run.controls.items()]
    return ShownEpisode(
        run.name,
        tuple(_card(agent, shown) for shown in run.first_shots),
        _card(agent, run.episodes[0].queries[0], tuple(said)),
    )


def _card(agent: Agent, shown: Shown, said: tuple[tuple[str, str], ...] = ()) -> Card:
    example, name = shown
    return Card(name, example.source, *looked_at(agent, example), said)
