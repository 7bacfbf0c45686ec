"""What an input is supposed to be: one answer out of several, each with a probability and words of its own.

An adapter that supposes does not let the core read a mean of what an input may be. It says how probable each
answer z is, and the core reads one of them at a time. What the core then says of the input x is a mixture
over them, the law of total probability:

    P(y | x) = sum_z P(z | x) P_core(y | z, question)

as in RAG-Sequence, where z is a retrieved document (Lewis et al. 2020, "Retrieval-Augmented Generation for
Knowledge-Intensive NLP Tasks", section 2.1). An answer is generated from the likeliest z; given texts are
scored under the sum. Only so many z are read as hold `HELD` of the probability, at most `MOST`; the
probability of the others is dealt out to these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

if TYPE_CHECKING:
    from torch import Tensor

    from mmagent.continuation import Continuation
    from mmagent.core import Soft

__all__ = ["BySuppositions", "Supposed", "Supposing", "Suppositions", "supposes"]

HELD = 0.99
MOST = 8


class Supposing(Protocol):
    """An adapter that says what an input may be, and how each of that is written for the core."""

    answers: tuple[str, ...]

    def evidence(self, values: Tensor, mask: Tensor, pooled: Tensor) -> Tensor:
        """(B, n, d_encoder), (B, n) bool and (B, d_encoder) to evidence (B, e)."""

    def shares(self, evidence: Tensor) -> Tensor:
        """Evidence (B, e) to the probabilities of the answers (B, C)."""

    def said(self, concepts: Tensor) -> Tensor:
        """Places in `answers` (B,) to soft tokens (B, n_tokens, d_core)."""


def supposes(adapter: object) -> TypeGuard[Supposing]:
    """Whether an adapter is of this kind."""
    return callable(getattr(adapter, "said", None)) and callable(getattr(adapter, "shares", None))


@dataclass(frozen=True, eq=False)
class Supposed:
    """What one input, or several of one thing, may be: the answers, and their probabilities (C,)."""

    answers: tuple[str, ...]
    shares: tuple[float, ...]

    @property
    def likeliest(self) -> int:
        """The place of the likeliest answer."""
        return max(range(len(self.shares)), key=lambda at: self.shares[at])

    def held(self, among: Sequence[str] = (), beside: str | None = None) -> list[tuple[float, int]]:
        """The likeliest answers with their probabilities, which sum to 1; the likeliest first.

        among: texts of which the answer must be one, as far as any of them is known here. beside: an answer
        that is held in any case.
        """
        places = [at for at, answer in enumerate(self.answers) if answer in {text.strip() for text in among}]
        places = sorted(places or range(len(self.answers)), key=lambda at: -self.shares[at])
        whole = sum(self.shares[at] for at in places)
        if not whole > 0.0:  # of all that is offered it is none
            return [(1.0 / len(places[:MOST]), at) for at in places[:MOST]]
        kept: list[int] = []
        so_far = 0.0
        for at in places:
            if (so_far < HELD * whole and len(kept) < MOST) or self.answers[at] == beside:
                kept.append(at)
            so_far += self.shares[at]
        total = sum(self.shares[at] for at in kept)
        return [(self.shares[at] / total, at) for at in kept]

    def named(self) -> dict[str, float]:
        """The likeliest answers with their probabilities of all, likeliest first."""
        return {self.answers[at]: round(self.shares[at], 6) for _, at in self.held()}


@dataclass(frozen=True, eq=False)
class Suppositions:
    """A prompt, and what it would be if its inputs were something else.

    words    what the prompt says that they are; None where each is something of its own
    sure     how probable it is that they are what the prompt says, 0 to 1
    one_of   what they are one of, where all of them are one thing; None where each is something of its own
    instead  the prompt's soft tokens, by their key, as they were if that were another answer
    """

    prompt: Sequence[str | Soft]
    words: str | None
    sure: float
    one_of: Supposed | None
    instead: Callable[[int], dict[str, Soft]]

    def prompts(
        self, among: Sequence[str] = (), beside: str | None = None
    ) -> list[tuple[float, list[str | Soft]]]:
        """Prompts with their probabilities, which sum to 1 (`Supposed.held`)."""
        if self.one_of is None:
            return [(1.0, list(self.prompt))]
        return [(share, self._of(at)) for share, at in self.one_of.held(among, beside)]

    def confidence(self, text: str, own: float) -> float:
        """Confidence in an answer that was generated from the likeliest.

        That of the adapter where the core says what it was given; else that this is right and that the core,
        which is `own` sure, answers rightly from it. Other suppositions may speak for the same answer, so it
        is a lower bound then.
        """
        said = self.words is not None and text.split() == self.words.split()
        return self.sure if said else self.sure * own

    def _of(self, at: int) -> list[str | Soft]:
        by_key = self.instead(at)
        return [part if isinstance(part, str) else by_key.get(part.key, part) for part in self.prompt]


class BySuppositions:
    """A mixer: what the core says of the likeliest answer is dealt out to all, as probable as each is.

    For a shot memory, whose votes are weighed against the core's in every token, and which must not hear the
    core surer than the adapter is. It takes for granted that the core says any answer as readily as this one.
    """

    def __init__(self, one_of: Supposed, following: Mapping[tuple[int, ...], Continuation]) -> None:
        """following: how the answers go on (`continuation.continuations`)."""
        import numpy as np

        self._next = following
        self._shares = np.array(one_of.shares)
        self._likeliest = one_of.likeliest

    def __call__(self, generated: Sequence[int], probs: Tensor) -> Tensor:
        """(V,) so dealt out, given the answer's tokens so far."""
        import torch

        entry = self._next.get(tuple(generated))
        if entry is None:
            return probs
        ids = entry.ids.to(probs.device)
        own: Any = probs.index_select(0, ids).double().cpu().numpy()
        votes = self._shares[entry.groups]
        if not votes.sum() > 0.0:
            return probs
        shares = entry.shares(votes / votes.sum(), own, False)
        goes_on = entry.token[entry.groups == self._likeliest]
        if not len(goes_on):  # the core was told of another answer, and knows nothing of this one
            said, left = 1.0, probs * 0.0
        else:
            at = goes_on if goes_on[0] >= 0 else entry.ends
            said = float(own[at].sum())
            left = probs.index_fill(0, ids[torch.from_numpy(at)], 0.0)
        return left.index_add(0, ids, torch.from_numpy(said * shares).to(probs))
