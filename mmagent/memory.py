"""The shot memory: near shots vote for their answers while the core decodes; nothing is trained.

Every shot is kept as a key (the features of its media, and its question) and a value (the tokens of its
answer). For a query, shot i has the similarity s_i (cosine) and the vote w_i = q_i exp(-beta (1 - s_i)),
where q_i says how far its question is the one that is asked (Tip-Adapter, Zhang et al. 2022, eq. 4-5). Votes
are averaged per distinct answer, so that an answer with a hundred shots has no louder voice than one with
five; the averages may be raised to a power, which makes the leader's lead as large as it deserves (alpha in
Tip-Adapter's eq. 6). Of few shots, what an answer's have in common says more than each alone: with `means`
the mean of an answer's n shots votes, too (Snell et al. 2017, "Prototypical Networks"), with the share
32 / (n + 32). At each step only answers that begin with what has been generated vote, each for its next token
or for the end, and their distribution is mixed into the core's (kNN-LM, Khandelwal et al. 2020, eq. 3):

    p = (1 - lambda) p_core' + lambda p_memory       lambda = q sigmoid(slope (s_max - threshold))

s_max is taken over the shots that still vote. So the memory falls silent where no shot is near, where the
question is another one, and where the core has begun an answer that no shot gave. p_core' is p_core with what
it gives to the shots' answers, together, shared among them by the votes as far as the question is theirs
(Bayes: that it is one of them is the core's to say, which of them the nearest shots'). Where the core has
read all shots in its prompt, it speaks of these very shots: they share however far they are, and that it is
one of them has three times the odds that the core gives it. The search is exact: one matrix product.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mmagent.answer import ShotVote
from mmagent.continuation import AnswerCodec, continuations
from mmagent.errors import UserError, did_you_mean
from mmagent.question_match import question_words, words_match

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "AnswerCodec",
    "MemorySettings",
    "ShotMemory",
    "Vote",
]

SILENT = 0.01  # a weight below this is none at all, so that far shots leave an answer exactly as it was
LOUDEST = 0.999  # nor does it ever silence the core, whose word is needed where no shot has one
FEW = 32  # shots of an answer whose own votes weigh as much as that of their mean
ODDS = 3.0  # of being one of the answers of shots that the core reads, over what the core takes them to be
SAMPLE = 512  # shots looked at when settings are estimated
KEPT_QUESTIONS = 4096  # whose likeness to the shots' own is kept


@dataclass(frozen=True)
class MemorySettings:
    """How shots are compared and how loudly they speak; None means: estimated from the shots themselves."""

    beta: float | None = None
    """Sharpness of the votes; 10 to 30 for cosine similarities."""
    slope: float | None = None
    """How steeply the memory's weight rises at the threshold."""
    threshold: float | None = None
    """Similarity of the nearest shot at which memory and core weigh the same."""
    power: float = 1.0
    """What the mean votes of the answers are raised to: 1 leaves them, more widens the leader's lead."""
    means: bool = True
    """Whether the mean of an answer's shots votes, too; not where beta and power were chosen without it."""
    mean: Tensor | None = None
    """(d,) taken off the features first; what all inputs share says nothing about which is which."""
    projection: Tensor | None = None
    """(d, d_key) applied after that, such as a whitening."""

    @classmethod
    def from_bundle(cls, entry: Mapping[str, Any]) -> MemorySettings:
        """The settings a bundle keeps for a sense. Raises UserError for a name that is no setting."""
        known = [item.name for item in fields(cls)]
        for name in entry:
            if name not in known:
                raise UserError(
                    f"the bundle's shot memory has no setting {name!r}. There are: {', '.join(known)}."
                    f"{did_you_mean(name, known)}"
                )
        return cls(**entry)

    def keys(self, pooled: Tensor) -> Tensor:
        """Unit vectors (N, d_key) whose products are the similarities, from pooled features (N, d)."""
        import torch

        keys = pooled.detach().float()
        if self.mean is not None:
            keys = keys - self.mean.to(keys)
        if self.projection is not None:
            keys = keys @ self.projection.to(keys)
        return torch.nn.functional.normalize(keys, dim=-1)

    def d_key(self, d: int) -> int:
        """Numbers of a key that is made from features of width d."""
        return int(self.projection.shape[1]) if self.projection is not None else d

    def completed(self, keys: Tensor, n_answers: int) -> MemorySettings:
        """Fill what is None from the shots' own similarities.

        A query counts as near while its distance to the nearest shot is at most twice the typical distance
        from a shot to its nearest fellow, and its similarity is at least 0.5 (0.25 where the mean is taken
        off); typical neighbours get a weight near 1. beta is such that a typical neighbour outvotes all
        answers at average similarity together, ten to one.
        """
        near, average = _own_similarities(keys)
        distance = max(1.0 - near, 0.02)
        threshold = max(1.0 - 2.0 * distance, 0.5 if self.mean is None else 0.25)
        slope = min(max(5.0 / distance, 15.0), 50.0)
        beta = min(max(math.log(10.0 * max(n_answers, 1)) / max(near - average, 0.05), 5.0), 30.0)
        return replace(
            self,
            beta=beta if self.beta is None else self.beta,
            slope=slope if self.slope is None else self.slope,
            threshold=threshold if self.threshold is None else self.threshold,
        )


@dataclass(frozen=True)
class _Counted:
    """shot_votes (N,); by_group votes, weights and question match, (G,) each; loudest the greatest weight."""

    shot_votes: Tensor
    by_group: Sequence[Any]
    loudest: float


class Vote:
    """The memory's say on one query: a mixer for the core's distribution, and an account of who spoke."""

    def __init__(
        self,
        memory: ShotMemory,
        similarity: Tensor,
        match: Tensor,
        to_means: Tensor | None = None,
        heard: bool = False,
    ) -> None:
        """`similarity` (N,) cosine to each shot; `match` (N,) how far each shot's question is the query's.

        to_means: (G,) cosine to the mean of each distinct question and answer, where means vote.
        heard: whether the core reads all of the shots in its prompt.
        """
        self._memory, self._heard = memory, heard
        self._near = similarity, match, to_means

    @cached_property
    def _counted(self) -> _Counted:
        """The votes, counted when they are first asked for: where the query is answered, beside others."""
        import torch

        memory, (similarity, match, to_means) = self._memory, self._near
        settings, sizes, groups = memory.settings, memory.group_sizes, memory.groups
        beta, slope, threshold = settings.beta or 0.0, settings.slope or 0.0, settings.threshold or 0.0
        asked = torch.zeros(len(sizes)).scatter_reduce(0, groups, match, "amax")
        best = similarity.max() if to_means is None else torch.maximum(similarity.max(), to_means.max())
        raw = match * torch.exp(beta * (similarity - best))  # (N,) up to a factor that the division removes
        if to_means is not None:
            of_mean = asked * torch.exp(beta * (to_means - best))
            own = sizes / (sizes + FEW)  # (G,) the share of the shots themselves
            raw = torch.lerp(of_mean[groups], raw, own[groups])
        shot_votes = raw / sizes[groups]
        votes = torch.zeros(len(sizes)).index_add_(0, groups, shot_votes)
        if settings.power != 1.0:
            mean = votes.clamp_min(torch.finfo(torch.float32).tiny)
            votes = (mean / mean.max()) ** settings.power * (votes > 0)
            shot_votes = shot_votes * (votes / mean)[groups]
        near = match * torch.sigmoid(slope * (similarity - threshold))
        weights = torch.zeros_like(asked).scatter_reduce(0, groups, near, "amax")
        # Of a handful of groups numpy's sums cost a fraction of torch's.
        by_group = [one.double().numpy() for one in (votes, weights, asked)]
        return _Counted(shot_votes, by_group, float(weights.max()))

    @property
    def weight(self) -> float:
        """The memory's weight (lambda) on the first token, 0 to 1."""
        return self._weight(self._counted.loudest)

    def __call__(self, generated: Sequence[int], probs: Tensor) -> Tensor:
        """Mix the memory into next-token probabilities (V,), given the answer's tokens so far."""
        return self._mixed(generated, probs, lead=False)

    def leading(self, generated: Sequence[int], probs: Tensor, mixed: Tensor) -> Tensor:
        """(V,) whose greatest begins the likeliest answer; `mixed` is what a call made of `probs`.

        Of answers that begin alike the mixture adds up the votes for their common token, so two that are
        unlikely each may outvote the likeliest of all. Here a token has the vote of its best answer alone: a
        max-marginal, by which greedy decoding finds the answer that has most votes.
        """
        entry = self._memory.continuations.get(tuple(generated))
        if entry is None or not entry.alike:
            return mixed
        return self._mixed(generated, probs, lead=True)

    def _mixed(self, generated: Sequence[int], probs: Tensor, *, lead: bool) -> Tensor:
        import numpy as np
        import torch

        entry = self._memory.continuations.get(tuple(generated))
        if entry is None:
            return probs
        votes, weights, asked_of = (one[entry.groups] for one in self._counted.by_group)
        weight, asked, total = self._weight(float(weights.max())), float(asked_of.max()), votes.sum()
        if (weight == 0.0 and not self._heard) or total == 0.0:
            return probs
        ids = entry.ids.to(probs.device)
        before = probs.index_select(0, ids).double().cpu().numpy()  # (k,) of the tokens that shots go on with
        shares = entry.shares(votes / total, before, lead)
        theirs = np.where(shares > 0, before, 0.0)
        mass = float(theirs.sum())
        others = 1.0  # what the probability of every other token is multiplied by
        if self._heard and 0.0 < mass < 1.0:
            grown = ODDS**asked * mass / (1.0 + (ODDS**asked - 1.0) * mass)
            others, theirs, mass = (1.0 - grown) / (1.0 - mass), theirs * (grown / mass), grown
        own = np.where(shares > 0, theirs + asked * (mass * shares - theirs), others * before)
        after = torch.from_numpy((1.0 - weight) * own + weight * shares)
        return (probs * ((1.0 - weight) * others)).index_copy_(0, ids, after.to(probs))

    def explain(self, top: int = 5) -> list[ShotVote]:
        """The shots that spoke loudest on the first token, with their share of all votes; none if silent."""
        shot_votes = self._counted.shot_votes
        total = float(shot_votes.sum())
        if self.weight == 0.0 or total == 0.0:
            return []
        shares, order = (shot_votes / total).topk(min(top, len(shot_votes)))
        memory = self._memory
        return [
            ShotVote(memory.answers[at], round(share, 6), memory.sources[at])
            for share, at in zip(shares.tolist(), order.tolist(), strict=True)
            if share >= 0.001
        ]

    @staticmethod
    def _weight(value: float) -> float:
        return min(value, LOUDEST) if value >= SILENT else 0.0


class ShotMemory:
    """Shots by features, question and answer; asked with `mixer`. Build it with `ShotMemory.build`."""

    def __init__(
        self,
        keys: Tensor,
        questions: Sequence[str | None],
        answers: Sequence[str],
        sources: Sequence[str],
        codec: AnswerCodec,
        settings: MemorySettings,
    ) -> None:
        import torch

        self.keys, self.settings = keys, settings
        self.answers, self.sources = list(answers), list(sources)
        asked = [None if question is None else question_words(question) for question in questions]
        self._questions = list(dict.fromkeys(asked))
        at = {question: index for index, question in enumerate(self._questions)}
        self._question_of = torch.tensor([at[question] for question in asked])  # (N,)
        pairs = list(zip(asked, self.answers, strict=True))
        distinct = {pair: index for index, pair in enumerate(dict.fromkeys(pairs))}
        self.groups = torch.tensor([distinct[pair] for pair in pairs])  # (N,) into G distinct pairs
        self.group_sizes = torch.bincount(self.groups, minlength=len(distinct)).float()  # (G,)
        self.continuations = continuations([answer for _, answer in distinct], codec)
        self._matches: dict[tuple[str, ...], Tensor] = {}

    @classmethod
    def build(
        cls,
        features: Tensor,
        questions: Sequence[str | None],
        answers: Sequence[str],
        core: AnswerCodec,
        settings: MemorySettings | None = None,
        *,
        sources: Sequence[str] | None = None,
    ) -> ShotMemory:
        """Remember N answered shots: pooled features (N, d), and N questions and answers.

        A shot whose question is None answers whatever is asked. `sources` say where each shot came from, for
        `Vote.explain`. Raises UserError when there are no shots.
        """
        if len(answers) == 0:
            raise UserError("a shot memory needs at least one shot.")
        settings = settings or MemorySettings()
        keys = settings.keys(features).cpu()
        names = list(sources) if sources is not None else [f"shot {at + 1}" for at in range(len(answers))]
        return cls(keys, questions, answers, names, core, settings.completed(keys, len(set(answers))))

    def __len__(self) -> int:
        return len(self.answers)

    def mixer(self, query: Tensor, question: str | None, heard: bool = False) -> Vote:
        """The memory's vote on a query: pooled features (d,), and the question that is asked.

        heard: whether the core reads all of the shots in its prompt.
        """
        key = self.settings.keys(query[None])[0].cpu()
        to_means = self._means @ key if self.settings.means else None
        return Vote(self, self.keys @ key, self.matching(question), to_means, heard)

    @cached_property
    def _means(self) -> Tensor:
        """(G, d_key) unit means of the shots of each distinct question and answer."""
        import torch

        sums = torch.zeros(len(self.group_sizes), self.keys.shape[1]).index_add_(0, self.groups, self.keys)
        return torch.nn.functional.normalize(sums, dim=-1)

    def matching(self, question: str | None) -> Tensor:
        """How far each shot's question is the one that is asked, (N,) from 0 to 1."""
        import torch

        asked = question_words(question or "")
        if asked not in self._matches:
            if len(self._matches) >= KEPT_QUESTIONS:
                self._matches.clear()
            found = [1.0 if known is None else words_match(asked, known) for known in self._questions]
            self._matches[asked] = torch.tensor(found)
        return self._matches[asked][self._question_of]

    def speaking(self, settings: MemorySettings) -> ShotMemory:
        """The same shots, voting by other settings; their keys stay as they are."""
        other = copy.copy(self)
        other.settings = replace(settings, mean=self.settings.mean, projection=self.settings.projection)
        return other

    def explain(self, query: Tensor, question: str | None, top: int = 5) -> list[ShotVote]:
        """Which shots would speak on a query, loudest first."""
        return self.mixer(query, question).explain(top)


def _own_similarities(keys: Tensor) -> tuple[float, float]:
    """Median similarity of a shot to its nearest fellow, and the mean over pairs; (0.75, 0.25) for one."""
    n = len(keys)
    if n < 2:
        return 0.75, 0.25
    some = keys[:: max(1, n // SAMPLE)]
    similarity = some @ some.T
    similarity.fill_diagonal_(-1.0)
    pairs = similarity.numel() - len(some)
    average = float((similarity.sum() + len(some)) / max(pairs, 1))
    return float(similarity.max(dim=1).values.median()), average
