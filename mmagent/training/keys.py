"""The keys of a shot memory: in which space they are compared, how sharply they vote, and fine-tuned keys.

Nothing here asks the core: what the votes alone make of the validation rows decides. Tuning is Tip-Adapter-F
(Zhang et al. 2022, section 3.2): the keys become weights, trained by the cross-entropy of the votes on the
training rows, where no shot votes on itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mmagent.errors import UserError
from mmagent.memory import MemorySettings
from mmagent.training.ballot import FLOOR, Ballot, mean_logs, shares
from mmagent.training.order import rate_share

if TYPE_CHECKING:
    from mmagent.data import Example

__all__ = ["Keys", "Material", "Tuned", "best_space", "nearest", "tuned"]

BETAS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
POWERS = tuple(2.0**k for k in range(11))
SHARPEST = 2048.0  # beta times power
ENOUGH = 0.01  # by how much more likely the wanted answers must become to sharpen further
QUERIES = 256  # rows whose votes are counted at once, and the most of a tuning step
STEPS, LEAST_ROWS = 8, 16  # steps of an epoch where there are few rows, and the fewest rows of one
MOST_QUERIES = 1024  # validation rows that decide
RATE, DECAY, WARMUP = 1e-3, 0.01, 0.1  # of AdamW on the keys


@dataclass(frozen=True, eq=False)
class Material:
    """Labelled examples and the features of their media.

    pooled  (N, n, d) of the examples to remember;  judged  (M, n, d) of those to judge by
    """

    train: Sequence[Example]
    validation: Sequence[Example]
    pooled: Tensor
    judged: Tensor


@dataclass(frozen=True, eq=False)
class Keys:
    """Keys in one space, and how they vote.

    space     what was done to the features, in words
    settings  with mean, projection, beta and power; slope and threshold are not chosen yet
    shots     (N, n, d_key) unit keys;  queries  (M, n, d_key) those of the rows that judge
    score     share of these rows whose wanted answer gets the most votes;  likelihood  mean log of its share
    """

    space: str
    settings: MemorySettings
    shots: Tensor
    queries: Tensor
    score: float
    likelihood: float

    @property
    def merit(self) -> tuple[float, float]:
        """What keys are chosen by: the score, then the likelihood."""
        return round(self.score, 6), self.likelihood


@dataclass(frozen=True, eq=False)
class Tuned:
    """Fine-tuned keys, and per epoch, the untuned ones first: training loss, score, likelihood."""

    keys: Keys
    history: list[tuple[float, float, float]]
    best: int


def best_space(material: Material, spaces: Mapping[str, MemorySettings]) -> tuple[Keys, int]:
    """The space and the sharpness whose votes answer the rows best, and how many settings were tried.

    The rows are those of validation and, each without its own vote, those of training: a few validation rows
    are easily answered by settings that are not the best. For the same reason it is not the best setting that
    is taken but the smoothest, with the smallest beta, of all that are within one standard error of it (the
    one-standard-error rule, Breiman et al. 1984); equal ones are parted by the likelihood of the validation
    rows, by which the power is set, too. Where no row can come out right, as with captions that are all
    different, it is the sharpest, so that the nearest shot speaks alone.
    """
    ballot = Ballot.of(material.train, material.validation[:MOST_QUERIES])
    itself = Ballot.of(material.train)
    some = torch.arange(len(material.train))[:: -(-len(material.train) // MOST_QUERIES)]
    n = len(ballot.asked) + len(some)
    tried: list[tuple[float, Keys]] = []
    for name, settings in spaces.items():
        shots = _unit_keys(settings, material.pooled)
        queries = _unit_keys(settings, material.judged)
        for beta in BETAS:
            keys = Keys(name, replace(settings, beta=beta, means=False), shots, queries, 0.0, 0.0)
            keys = _calibrated(keys, ballot)
            held_out = _judged(replace(keys, queries=shots[some]), itself.rows(some))
            tried.append(((keys.score * len(ballot.asked) + held_out.score * len(some)) / n, keys))
    best = max(score for score, _ in tried)
    error = math.sqrt(max(best * (1.0 - best), 0.5 / n) / n)
    near = [keys for score, keys in tried if score >= best - error]
    powers = [len(_powers(beta)) for beta in BETAS]
    smooth = -1.0 if best > 0.0 else 1.0
    found = max(near, key=lambda keys: (smooth * float(keys.settings.beta or 0.0), keys.likelihood))
    return found, len(spaces) * sum(powers)


def tuned(
    material: Material,
    start: Keys,
    *,
    epochs: int,
    seed: int,
    on_step: Callable[[int, int, float, float | None], None] | None = None,
) -> Tuned:
    """Fine-tune keys from where they are; the best epoch by the validation rows is kept, untuned included.

    The queries of a step are the training rows' own, untuned features. The same seed gives the same keys.
    Raises `UserError` where no answer is given twice, so that no shot has a fellow to learn from, and where
    the loss is no number.
    """
    ballot = Ballot.of(material.train)
    judging = Ballot.of(material.train, material.validation[:MOST_QUERIES])
    counts = torch.bincount(ballot.groups)
    learns = (counts[ballot.groups] > 1).nonzero()[:, 0]  # a lone shot has nobody who could be right about it
    if not len(learns):
        raise UserError(
            "keys are tuned by shots that answer alike, and here no answer is given twice to one question. "
            "Leave --tune-keys away, or give more examples."
        )
    beta, power = float(start.settings.beta or 0.0), start.settings.power
    weight = nn.Parameter(start.shots.clone())
    optimiser = torch.optim.AdamW([weight], lr=RATE, weight_decay=DECAY)
    generator = torch.Generator().manual_seed(seed)
    queries = _joint(start.shots)
    rows = min(QUERIES, max(LEAST_ROWS, len(learns) // STEPS))
    steps = epochs * -(-len(learns) // rows)
    step, best, found = 0, 0, start
    history = [(float("nan"), start.score, start.likelihood)]
    for epoch in range(1, epochs + 1):
        lost: list[float] = []
        for at in torch.split(learns[torch.randperm(len(learns), generator=generator)], rows):
            for group in optimiser.param_groups:
                group["lr"] = RATE * rate_share(step, steps, WARMUP)
            logs = mean_logs(queries[at] @ _joint(_unit(weight)).T, ballot.rows(at), beta)
            loss = -shares(logs, ballot.rows(at), power)[0].mean()
            if not bool(loss.isfinite()):
                raise UserError(
                    f"the loss is no number in epoch {epoch} of tuning the keys; a feature is damaged."
                )
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimiser.step()
            step += 1
            lost.append(float(loss.detach()))
        now = _judged(replace(start, shots=_unit(weight.detach()).clone()), judging)
        history.append((sum(lost) / len(lost), now.score, now.likelihood))
        if now.merit > found.merit:
            best, found = epoch, now
        if on_step is not None:
            on_step(step, steps, history[-1][0], now.score)
    return Tuned(_calibrated(found, judging) if best else found, history, best)


def nearest(keys: Keys, material: Material) -> Tensor:
    """(M,) cosine from each validation row to the nearest shot that answers its question; -1 where none does.

    Of the rows that decide.
    """
    ballot = Ballot.of(material.train, material.validation[:MOST_QUERIES])
    found = []
    for at in torch.split(torch.arange(len(ballot.asked)), QUERIES):
        similarity = _joint(keys.queries)[at] @ _joint(keys.shots).T
        found.append(similarity.masked_fill(ballot.rows(at).match == 0.0, -1.0).max(dim=1).values)
    return torch.cat(found)


def _calibrated(keys: Keys, ballot: Ballot) -> Keys:
    """With the least power under which the wanted answers are nearly as likely as under any."""
    logs = _logs(keys, ballot)
    beta = float(keys.settings.beta or 0.0)
    powers = _powers(beta)
    likely = [float(shares(logs, ballot, power)[0].mean()) for power in powers]
    power = next(p for p, one in zip(powers, likely, strict=True) if one >= max(likely) - ENOUGH)
    return _judged(replace(keys, settings=replace(keys.settings, power=power)), ballot, logs)


def _powers(beta: float) -> list[float]:
    return [power for power in POWERS if beta * power <= SHARPEST]


def _judged(keys: Keys, ballot: Ballot, logs: Tensor | None = None) -> Keys:
    """With the score and likelihood that their votes earn."""
    told = shares(_logs(keys, ballot) if logs is None else logs, ballot, keys.settings.power).mean(dim=1)
    return replace(keys, score=float(told[1]), likelihood=float(told[0]))


def _logs(keys: Keys, ballot: Ballot) -> Tensor:
    queries, shots = _joint(keys.queries), _joint(keys.shots)
    beta = float(keys.settings.beta or 0.0)
    parts = [
        mean_logs(queries[at] @ shots.T, ballot.rows(at), beta)
        for at in torch.split(torch.arange(len(ballot.asked)), QUERIES)
    ]
    return torch.cat(parts) if parts else torch.full((0, len(ballot.answer)), FLOOR).log()


def _unit_keys(settings: MemorySettings, pooled: Tensor) -> Tensor:
    """(N, n, d_key) of features (N, n, d)."""
    return torch.unflatten(settings.keys(pooled.flatten(0, 1)), 0, pooled.shape[:2])


def _unit(keys: Tensor) -> Tensor:
    return nn.functional.normalize(keys, dim=-1)


def _joint(keys: Tensor) -> Tensor:
    """(N, n d_key): the media of a row one after the other, as `StoredShots.joint_keys` has them."""
    whole: Tensor = keys.flatten(1) / keys.shape[1] ** 0.5
    return whole
