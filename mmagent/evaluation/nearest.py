"""Which training rows are nearest to a row, by the keys that the shot memory compares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from mmagent.errors import UserError, did_you_mean
from mmagent.evaluation.metric import Floats

if TYPE_CHECKING:
    from mmagent.agent import Agent
    from mmagent.data import Example

__all__ = ["CHOICES", "Nearest", "ShotChoice", "check_choice", "keys_of"]

ShotChoice = Literal["random", "nearest"]
CHOICES = ("random", "nearest")


def check_choice(name: str) -> None:
    """Raise UserError for a way of choosing shots that there is not."""
    if name not in CHOICES:
        raise UserError(
            f"shots are not chosen {name!r}. There are: {', '.join(CHOICES)}.{did_you_mean(name, CHOICES)}"
        )


def keys_of(agent: Agent, examples: Sequence[Example]) -> Floats:
    """(N, d_key) unit keys; of several media of one kind the mean, different kinds side by side.

    Raises UserError for media that cannot be read, and where rows have media of different kinds.
    """
    kinds = {tuple(sorted(name for name, some in one.media.items() if some)) for one in examples}
    if len(kinds) != 1:
        raise UserError("the rows have different kinds of media, so which are near cannot be told.")
    columns = []
    for modality in next(iter(kinds)):
        sources = [source for one in examples for source in one.media[modality]]
        of = np.repeat(np.arange(len(examples)), [len(one.media[modality]) for one in examples])
        keys = agent.memory_keys(modality, sources).double().numpy()  # (sources, d)
        sums = np.zeros((len(examples), keys.shape[1]))
        np.add.at(sums, of, keys)
        columns.append(_unit(sums))
    return _unit(np.concatenate(columns, axis=1))


class Nearest:
    """Training rows, to be asked for those nearest to others; each of them is encoded once."""

    def __init__(self, agent: Agent, train: Sequence[Example], seed: int = 0) -> None:
        """Raises UserError for media that cannot be read."""
        self._agent, self._train, self._seed = agent, train, seed
        self._keys = keys_of(agent, train)  # (M, d_key)
        self._answers = [one.answer for one in train]

    def shots(self, rows: Sequence[Example], k: int) -> list[tuple[Example, ...]]:
        """For each row `k` training rows: every answer in turn, nearest first; fewer are the first of more.

        Nearness is that of the media alone (Liu et al. 2022, "What makes good in-context examples for
        GPT-3?"); no row's own answer or question decides.
        """
        from mmagent.shotset import ranked

        nearness = keys_of(self._agent, rows) @ self._keys.T  # (N, M)
        return [
            tuple(self._train[at] for at in ranked(self._answers, near, self._seed)[:k])
            for near in nearness.tolist()
        ]


def _unit(rows: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 1e-12, lengths, 1.0))
