"""How loudly a shot memory speaks against the core: chosen by the validation rows, in one pass of each.

The core reads a row's prompt and its wanted answer once. At every token its distribution is mixed with the
votes under each of the settings that are tried, so all of them are judged by one pass: a row is right under a
setting if the wanted token is the likeliest at every step, the end included, which is what greedy decoding
would have written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mmagent.errors import UserError
from mmagent.memory import MemorySettings, ShotMemory
from mmagent.request import Request

if TYPE_CHECKING:
    from mmagent.agent import Agent
    from mmagent.compose import Composed
    from mmagent.core import Soft
    from mmagent.data import Example
    from mmagent.memory import Vote
    from mmagent.stored import StoredShots

__all__ = ["Loudness", "Question", "choose", "ladder", "not_worse"]

BATCH = 16
SHARES = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.999)
SILENT = 2.0  # a threshold that no cosine reaches


@dataclass(frozen=True, eq=False)
class Question:
    """A validation row: its example, the joint key of its media (n d_key,), and their prefixes, if any."""

    example: Example
    key: Tensor
    prefixes: Sequence[Soft]


@dataclass(frozen=True)
class Loudness:
    """What was chosen.

    settings  complete;  score  share of the rows that come out right with them, without memory `alone`
    rows, tried  by how many rows, of how many settings
    """

    settings: MemorySettings
    score: float
    alone: float
    rows: int
    tried: int


def ladder(settings: MemorySettings, near: Tensor) -> list[MemorySettings]:
    """Settings from silent to loud, given how near (M,) the validation rows are to their nearest shots.

    With each of them but the first a row of median nearness gives the memory another weight, or the farthest
    row almost all of it. Two slopes: one that parts near from far, one that hardly does. They stand in the
    order of the mean weight that the memory has over these rows.
    """
    heard = near[near > -1.0]
    if not len(heard):
        heard = torch.zeros(1)
    median, low, farthest = (float(heard.quantile(q)) for q in (0.5, 0.05, 0.0))
    steep = min(max(6.0 / max(median - low, 0.02), 15.0), 100.0)
    found = [replace(settings, slope=steep, threshold=SILENT)]
    for slope in (steep, steep / 4.0):
        found += [replace(settings, slope=slope, threshold=median - _logit(c) / slope) for c in SHARES]
    found.append(replace(settings, slope=steep, threshold=farthest - _logit(SHARES[-1]) / steep))
    return sorted(found, key=lambda one: _weight(one, heard))


def choose(
    agent: Agent,
    sense: str,
    shots: StoredShots,
    questions: Sequence[Question],
    settings: Sequence[MemorySettings],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Loudness:
    """The loudest setting that is not worse than the best one, by what comes out right.

    settings: from the silent one to the loudest. Not worse: behind by no more than one standard error of the
    paired difference, the root of the number of questions that one alone gets right. The loudest, because the
    questions may be known to a core and an adapter that were trained on more than these data, whose score on
    them is then too good, while a shot never votes on itself. Raises `UserError` naming a row whose prompt is
    too long.
    """
    memories: dict[object, list[ShotMemory]] = {}
    found: list[Tensor] = []
    for start in range(0, len(questions), BATCH):
        if progress is not None:
            progress(start, len(questions))
        batch = questions[start : start + BATCH]
        composed = [_composed(agent, sense, one) for one in batch]
        records = [
            _Record(_votes(memories, shots, how, one.key, settings), how, one.example)
            for one, how in zip(batch, composed, strict=True)
        ]
        _read(agent, batch, composed, records)
        found += [record.right() for record in records]
    if progress is not None:
        progress(len(questions), len(questions))
    right = torch.stack(found)  # (questions, settings)
    taken = not_worse(right)[-1]
    shares = right.float().mean(dim=0)
    return Loudness(settings[taken], float(shares[taken]), float(shares[0]), len(questions), len(settings))


def not_worse(right: Tensor) -> list[int]:
    """The settings that are not worse than the best; `right` (questions, settings) bool is what came out."""
    best = right[:, int(right.sum(dim=0).argmax())]
    found = []
    for at in range(right.shape[1]):
        behind, ahead = int((best & ~right[:, at]).sum()), int((right[:, at] & ~best).sum())
        if (behind - ahead) ** 2 <= behind + ahead:
            found.append(at)
    return found


def _composed(agent: Agent, sense: str, question: Question) -> Composed:
    """The prompt as `ask` makes it; media without a prefix are left out, as there."""
    example = question.example
    describes = not question.prefixes and example.question is None and not example.choices
    request = Request(example.question, {}, (), example.choices)
    prompt = "caption" if describes else None
    return agent.compose(request, sense, question.prefixes, prompt=prompt)


def _votes(
    memories: dict[object, list[ShotMemory]],
    shots: StoredShots,
    composed: Composed,
    key: Tensor,
    settings: Sequence[MemorySettings],
) -> list[Vote]:
    """The vote on a query under each setting; memories are kept by how answers are written."""
    codec = composed.codec
    if codec.key not in memories:
        bare = [replace(one, mean=None, projection=None) for one in settings]  # the keys have them
        whole = ShotMemory.build(shots.joint_keys, shots.questions, shots.answers, codec, bare[0])
        memories[codec.key] = [whole.speaking(one) for one in bare]
    return [memory.mixer(key, composed.asked) for memory in memories[codec.key]]


def _read(
    agent: Agent, batch: Sequence[Question], composed: Sequence[Composed], records: Sequence[_Record]
) -> None:
    """Let the core read prompts and answers, each token's distribution being noted."""
    try:
        agent.core.score([one.prompt for one in composed], [one.texts for one in records], mixers=records)
    except UserError as error:
        if len(batch) == 1:
            raise UserError(f"row {batch[0].example.row}: {error}") from error
        for at in range(len(batch)):
            records[at].clear()
            _read(agent, batch[at : at + 1], composed[at : at + 1], records[at : at + 1])


class _Record:
    """A mixer that changes nothing and notes what each of several votes would have made of it."""

    def __init__(self, votes: Sequence[Vote], composed: Composed, example: Example) -> None:
        codec = composed.codec
        said = list(composed.choices or (example.answer,))
        self._votes, self._ends = votes, torch.tensor(list(codec.end_ids))
        self._targets = [tuple(codec.encode(text)) for text in said]
        self._wanted = said.index(example.answer) if example.answer in said else -1
        self._choosing = composed.choices is not None
        closed = "".join(composed.stop[:1])
        ends = (
            not self._choosing and tuple(codec.encode(example.answer, closed=True))[:-1] == self._targets[0]
        )
        self.texts = [composed.write_answer(text) + (closed if ends else "") for text in said]
        self.clear()

    def clear(self) -> None:
        """Forget what was noted."""
        self._seen: set[tuple[int, ...]] = set()
        self._logs = torch.zeros(len(self._votes), len(self._targets), dtype=torch.float64)
        self._exact = torch.ones(len(self._votes), dtype=torch.bool)

    def __call__(self, generated: Sequence[int], probs: Tensor) -> Tensor:
        begun = tuple(generated)
        if begun in self._seen:
            return probs
        self._seen.add(begun)
        mixed = torch.stack([vote(begun, probs) for vote in self._votes]).cpu()  # (settings, V)
        at = len(begun)
        for number, ids in enumerate(self._targets):
            if at < len(ids) and ids[:at] == begun:
                self._logs[:, number] += mixed[:, ids[at]].double().clamp_min(1e-12).log()
        first = self._targets[0]
        if first[:at] == begun:
            top = mixed.argmax(dim=1)
            self._exact &= top == first[at] if at < len(first) else torch.isin(top, self._ends)
        return probs

    def right(self) -> Tensor:
        """(settings,) whether the wanted answer comes out."""
        if not self._choosing:
            return self._exact
        per_token = self._logs / torch.tensor([max(1, len(ids)) for ids in self._targets])
        return per_token.argmax(dim=1) == self._wanted


def _weight(settings: MemorySettings, near: Tensor) -> float:
    """The mean weight of the memory over queries of this nearness."""
    slope, threshold = settings.slope or 0.0, settings.threshold or 0.0
    return float(torch.sigmoid(slope * (near - threshold)).mean())


def _logit(share: float) -> float:
    return math.log(share) - math.log1p(-share)
