"""Episodes put to an agent: the questions of each system, their answers, and whether they are right.

All queries of an episode share one object of shots, so the agent reads these once. An answer is right where
the text that was generated is the name, character for character (blanks around it aside), and has ended: by
the end of the line or of the text, not because no more tokens were allowed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmagent.errors import UserError
from mmagent.evaluation.asking import DIGITS, LINE_END, TOLD
from mmagent.evaluation.controls import derangement
from mmagent.evaluation.episodes.sample import Episode, Shown
from mmagent.evaluation.episodes.setting import Setting
from mmagent.evaluation.metric import Floats
from mmagent.evaluation.nearest import ShotChoice
from mmagent.evaluation.results import Row
from mmagent.request import Request, Shot

if TYPE_CHECKING:
    from mmagent.agent import Agent
    from mmagent.answer import Answer
    from mmagent.compose import Composed
    from mmagent.data import Example

__all__ = ["CONTROLS", "INDUCTION", "SCORER", "Asker", "Prompts", "nearest_mean_right"]

CONTROLS = ("blind", "shuffled", "oracle")
INDUCTION = Path(__file__).with_name("induction.jinja")
SCORER = (
    "right: the generated text, blanks around it aside, is the name, character for character, and it ended "
    "by itself, by the end of its line or of the text, before the most tokens allowed"
)


@dataclass(frozen=True)
class Prompts:
    """What the core reads in one setting.

    hashes    for each query the sha256 of its prompt, words as they stand and media by their content
    example   the first one in full, ``<image: 26 tokens>`` where a prefix stood
    target    what is wanted after it
    in_context  shots that stand in each prompt
    """

    hashes: tuple[str, ...]
    example: str
    target: str
    in_context: tuple[int, ...]


@dataclass(frozen=True)
class Asker:
    """One agent, asked about the same episodes by every system in the same way.

    keys   unit keys of examples by their row;  label  what a medium is called in words ("Picture")
    told   what the oracle is told of an example's media
    """

    agent: Agent
    episodes: Sequence[Episode]
    question: str
    label: str
    keys: Mapping[int, Floats]
    told: Callable[[Example], str]
    induction: bool
    shot_choice: ShotChoice
    max_tokens: int
    batch_size: int
    seed: int

    @cached_property
    def queries(self) -> list[tuple[Episode, Shown]]:
        """Every query with its episode, episode by episode."""
        return [(episode, query) for episode in self.episodes for query in episode.queries]

    def blocks(self) -> Iterator[range]:
        """Places of queries, as many whole episodes at a time as there are rows in a batch.

        What all systems are asked about one block stands together in the agent's prefix cache: its shots are
        read once, whoever is asked, and those of a setting with fewer shots begin those of one with more.
        """
        per_episode = len(self.episodes[0].queries)
        step = max(1, self.batch_size) * per_episode
        return (range(at, min(at + step, len(self.queries))) for at in range(0, len(self.queries), step))

    def prompts(self, setting: Setting) -> Prompts:
        """What the agent is to read. Raises UserError where a medium cannot be read."""
        hashes, in_context, first = [], [], None
        for block in self.blocks():
            requests = self.requests(setting, None, block)
            options = self._options(setting, None)
            for found in self.agent.read_many(requests, batch_size=self.batch_size, **options):
                composed = _sound(found)
                first = first or composed
                hashes.append(_hash(composed))
                in_context.append(composed.n_shots)
        assert first is not None  # there are episodes
        parts = (part if isinstance(part, str) else _counted(part) for part in first.prompt)
        target = first.write_answer(self.queries[0][1][1])
        return Prompts(tuple(hashes), "".join(parts), target, tuple(in_context))

    def answers(self, setting: Setting, control: str | None, memory: bool, block: range) -> list[Row]:
        """The answers of the agent or of a control, judged. Raises UserError where one cannot be given."""
        answers = self.agent.ask_many(
            self.requests(setting, control, block),
            memory=memory,
            max_tokens=self.max_tokens,
            batch_size=self.batch_size,
            **self._options(setting, control),
        )
        return [
            self._judged(self.queries[at][1], _sound(one)) for at, one in zip(block, answers, strict=True)
        ]

    def _judged(self, query: Shown, answer: Answer) -> Row:
        example, wanted = query
        right = answer.text.strip() == wanted and answer.tokens < self.max_tokens
        sure = round(answer.confidence, DIGITS)
        return Row(
            self.question, (wanted,), answer.text, float(right), confidence=sure, source=example.source
        )

    def requests(self, setting: Setting, control: str | None, block: range) -> list[Request]:
        """What is asked at these places of `queries`; those of one episode share the object of their shots.

        blind: no media anywhere, and shots by lot, since nothing could be near. shuffled: another query's
        media, of another class; nearest shots are those nearest to them. oracle: media in words.
        """
        made: dict[int, tuple[Shot, ...]] = {}
        shown = self.shown(setting, control, block)
        requests = []
        for at, shots in zip(block, shown, strict=True):
            if id(shots) not in made:
                made[id(shots)] = self._shots(shots, control)
            example = self._seen(control, at)
            asked = self._asked(example, control)
            requests.append(Request(asked, _media(example, control), made[id(shots)]))
        return requests

    def shown(self, setting: Setting, control: str | None, block: range) -> list[tuple[Shown, ...]]:
        """The shots of each query; shots by lot are the very same object for all queries of an episode."""
        if self.shot_choice == "random" or control == "blind":
            of_episode = {
                number: self.episodes[number].shots(setting)
                for number in dict.fromkeys(self.queries[at][0].number for at in block)
            }
            return [of_episode[self.queries[at][0].number] for at in block]
        return [self.queries[at][0].shots(setting, self._nearness(self._seen(control, at))) for at in block]

    def _seen(self, control: str | None, at: int) -> Example:
        """What a system gets to see in place of a query."""
        return self.queries[self._donors[at] if control == "shuffled" else at][1][0]

    @cached_property
    def _donors(self) -> list[int]:
        """For each query the place of another one, of another class."""
        own = [example for _, (example, _) in self.queries]
        return derangement([one.answer for one in own], [one.row for one in own], self.seed)

    def _shots(self, shown: Sequence[Shown], control: str | None) -> tuple[Shot, ...]:
        return tuple(
            Shot(name, self._asked(one, control), _media(one, control), one.source) for one, name in shown
        )

    def _asked(self, example: Example, control: str | None) -> str:
        if control != "oracle":
            return self.question
        return f"{self.label}: {self.told(example)}{LINE_END}Question: {self.question}"

    def _nearness(self, example: Example) -> Callable[[Example], float]:
        key = self.keys[example.row]
        return lambda other: float(key @ self.keys[other.row])

    def _options(self, setting: Setting, control: str | None) -> dict[str, Any]:
        prompt = INDUCTION if self.induction else TOLD if control == "oracle" else None
        return {"prompt": prompt, "context_shots": setting.n_shots, "seed": self.seed}


def nearest_mean_right(asker: Asker, setting: Setting) -> tuple[float, ...]:
    """For each query 1 where the mean of its own class's shots is the nearest by cosine, else 0.

    Snell et al. (2017), on the keys of the shot memory; the same shots as the agent is shown.
    """
    right = []
    shown = asker.shown(setting, None, range(len(asker.queries)))
    for (_, (example, wanted)), shots in zip(asker.queries, shown, strict=True):
        key = asker.keys[example.row]
        sums = {name: np.zeros_like(key) for _, name in shots}
        for one, name in shots:
            sums[name] = sums[name] + asker.keys[one.row]
        cosines = {
            name: float(total @ key) / max(float(np.linalg.norm(total)), 1e-12)
            for name, total in sums.items()
        }
        right.append(float(max(cosines, key=lambda name: cosines[name]) == wanted))
    return tuple(right)


def _media(example: Example, control: str | None) -> Mapping[str, Sequence[object]]:
    return {} if control in ("blind", "oracle") else example.media


def _sound(found: Any) -> Any:
    if isinstance(found, UserError):
        raise found
    return found


def _hash(composed: Composed) -> str:
    parts = [part if isinstance(part, str) else part.key for part in composed.prompt]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _counted(prefix: Any) -> str:
    return f"<{prefix.key.partition(':')[0]}: {len(prefix)} tokens>"
