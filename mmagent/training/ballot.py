"""The votes of many shots on many queries at once: what keys and settings are chosen by, and trained by.

The arithmetic is that of `mmagent.memory.Vote` on an answer as a whole, without a core: similarity, question,
mean vote of each distinct question and answer, power. A test holds the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mmagent.question_match import question_matches, question_words

if TYPE_CHECKING:
    from mmagent.data import Example

__all__ = ["Ballot", "mean_logs", "shares"]

FLOOR = 1e-30  # of a mean vote, whose logarithm is taken
LEAST = 1e-6  # of a share, so that one answer that nobody gave does not decide alone


@dataclass(frozen=True, eq=False)
class Ballot:
    """Which of N shots may vote on which of M queries, and for what.

    likeness (Q, R) how far the R distinct questions of shots are the Q of queries, 0 to 1
    asked, known  (M,) and (N,) which of them a query asks and a shot answers
    own      (M,) the place of each query among the shots, -1 where it is none: a shot has no vote on itself
    groups   (N,) numbers of the G distinct pairs of question and answer
    answer   (G,) the answer of each pair, a number below A
    wanted   (M,) the answer of each query; -1 where no shot gives it
    """

    likeness: Tensor
    asked: Tensor
    known: Tensor
    own: Tensor
    groups: Tensor
    answer: Tensor
    wanted: Tensor

    @classmethod
    def of(cls, shots: Sequence[Example], queries: Sequence[Example] | None = None) -> Ballot:
        """The ballot of shots on other examples; on the shots themselves where there are none."""
        asked = shots if queries is None else queries
        keyed = [(question_words(shot.question) if shot.question else None, shot.answer) for shot in shots]
        pairs = list(dict.fromkeys(keyed))
        answers = {answer: at for at, answer in enumerate(dict.fromkeys(answer for _, answer in pairs))}
        group = {pair: at for at, pair in enumerate(pairs)}
        questions = list(dict.fromkeys(one.question for one in asked))
        others = list(dict.fromkeys(shot.question for shot in shots))
        none = torch.full((len(asked),), -1)
        return cls(
            question_matches(questions, others),
            _places([one.question for one in asked], questions),
            _places([shot.question for shot in shots], others),
            torch.arange(len(shots)) if queries is None else none,
            torch.tensor([group[pair] for pair in keyed]),
            torch.tensor([answers[answer] for _, answer in pairs]),
            torch.tensor([answers.get(one.answer, -1) for one in asked]),
        )

    def rows(self, at: Tensor) -> Ballot:
        """The ballot of some of the queries."""
        return replace(self, asked=self.asked[at], own=self.own[at], wanted=self.wanted[at])

    @property
    def match(self) -> Tensor:
        """(M, N) how far each shot's question is the query's."""
        return self.likeness[self.asked][:, self.known]


def mean_logs(similarity: Tensor, ballot: Ballot, beta: float) -> Tensor:
    """Logarithm of the mean vote (M, G) of each pair, given cosines (M, N); no shot votes on itself."""
    m, n = similarity.shape
    weight = ballot.match
    counted = torch.ones(m, n)
    itself = ballot.own >= 0
    if bool(itself.any()):
        counted[itself.nonzero()[:, 0], ballot.own[itself]] = 0.0
        weight = weight * counted
    best = similarity.masked_fill(weight == 0.0, -1.0).max(dim=1, keepdim=True).values.detach()
    raw = weight * torch.exp(beta * (similarity - best))
    n_groups = len(ballot.answer)
    votes = torch.zeros(m, n_groups).index_add(1, ballot.groups, raw)
    sizes = torch.zeros(m, n_groups).index_add(1, ballot.groups, counted)
    return (votes / sizes.clamp_min(1.0)).clamp_min(FLOOR).log()


def shares(logs: Tensor, ballot: Ballot, power: float) -> Tensor:
    """The share (M,) of all votes that goes to the wanted answer, and whether none has a greater one (M,).

    Returned as one tensor (2, M): natural logarithms, and 1.0 or 0.0.
    """
    heard = logs > float(torch.tensor(FLOOR).log()) + 1e-3
    powered = torch.where(heard, power * logs, torch.tensor(-torch.inf))
    n_answers = int(ballot.answer.max()) + 1
    top = powered.max(dim=1, keepdim=True).values
    silent = top.isinf()
    scaled = torch.exp(powered - torch.where(silent, torch.zeros_like(top), top))
    totals = torch.zeros(len(logs), n_answers).index_add(1, ballot.answer, scaled)
    known = ballot.wanted >= 0
    own = totals.gather(1, ballot.wanted.clamp_min(0)[:, None])[:, 0] * known
    share = own / totals.sum(dim=1).clamp_min(FLOOR)
    right = known & (own > 0) & (own >= totals.max(dim=1).values)
    return torch.stack([share.clamp_min(LEAST).log(), right.float()])


def _places(texts: Sequence[str | None], among: Sequence[str | None]) -> Tensor:
    at = {text: place for place, text in enumerate(among)}
    return torch.tensor([at[text] for text in texts])
