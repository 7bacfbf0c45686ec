"""An answer that an encoder found is said as it was told: a copy mechanism beside the core.

A core that never read a name may spell it wrong, though it stands in its prompt. So, as in CopyNet (Gu et al.
2016) and the pointer-generator (See et al. 2017), the next token is drawn from a mixture of what the core
would say and of what it would copy. How much is copied is one number, the same for every token, and the core
keeps its own way as soon as it has left what it was told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmagent.continuation import AnswerCodec, continuations

if TYPE_CHECKING:
    from torch import Tensor

    from mmagent.core.decode import Mixer
    from mmagent.memory import Vote
    from mmagent.telling import Told

__all__ = ["COPIED", "Copying", "VoteAfter"]

COPIED = 0.5
"""The share of the copy. From a half on no other token can be likelier than the next one of what was told."""


class Copying:
    """A mixer (`mmagent.core.decode.Mixer`) for an answer that an encoder told in words."""

    def __init__(self, words: str, sure: float, codec: AnswerCodec, share: float = COPIED) -> None:
        """`sure`: how probable it is that the words are right, 0 to 1."""
        self._words, self._sure, self._share = words, sure, share
        self._next = continuations([words], codec)

    @classmethod
    def of(cls, told: Told | None, codec: AnswerCodec) -> Copying | None:
        """The copying of what an encoder told, where that is an answer."""
        return cls(told.words, told.sure, codec) if told and told.words and told.sure is not None else None

    def confidence(self, text: str, own: float) -> float:
        """Confidence in an answer: the encoder's in its own, and in any other of what that leaves the core's
        share, `own`.
        """
        return self._sure if text.split() == self._words.split() else (1.0 - self._sure) * own

    def __call__(self, generated: Sequence[int], probs: Tensor) -> Tensor:
        """(V,) with the copy's share, given the answer's tokens so far; the core says which token ends it."""
        import numpy as np
        import torch

        entry = self._next.get(tuple(generated))
        if entry is None:
            return probs
        ids = entry.ids.to(probs.device)
        own = probs.index_select(0, ids).double().cpu().numpy()
        copied = torch.from_numpy(entry.shares(np.ones(1), own, False)).to(probs)
        return (probs * (1.0 - self._share)).index_add_(0, ids, self._share * copied)


class VoteAfter:
    """A mixer of both: the shot memory's vote on what another mixer makes of the core's say."""

    def __init__(self, first: Mixer, vote: Vote) -> None:
        self._first, self._vote = first, vote

    def __call__(self, generated: Sequence[int], probs: Tensor) -> Tensor:
        """(V,) of both, given the answer's tokens so far."""
        return self._vote(generated, self._first(generated, probs))

    def leading(self, generated: Sequence[int], probs: Tensor, mixed: Tensor) -> Tensor:
        """(V,) whose greatest begins the likeliest answer, as the vote has it."""
        return self._vote.leading(generated, self._first(generated, probs), mixed)
