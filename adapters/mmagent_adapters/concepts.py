"""Concepts: which one it is, a linear probe says; how it is said, soft tokens are trained for.

The pooled feature f gives a probability for each of C concepts, the answers of the labelled set, and each has
soft tokens in which the core reads it:

    p = softmax(A f + b)        prefix of concept c: E_c (k, d_core)

That is a concept bottleneck (Koh et al. 2020, "Concept Bottleneck Models") whose concepts are written in
soft prompts (Lester et al. 2021, "The Power of Scale for Parameter-Efficient Prompt Tuning"). A and b have a
convex fit, multinomial logistic regression, which a few hundred examples settle better than gradients through
a language model do; they are fitted first (`fit`) and stay. E starts as the core's own embeddings of the
words and is trained through the core, all concepts as often. An input is what the probe supposes it to be
(`mmagent.supposing`): the core reads one concept at a time, never a mean of several, out of which it made
words that are nobody's answer. So the answer is right as often as the probe is and as sure, and the core,
which knows the words, can be asked other things about what it sees.

Where several senses learn together, each has a probe of its own, fitted alone, and they are added up as
likelihoods (`mmagent.joining`): with x_s the features of the senses s that are there,

    log p(c | x) = log p(c) + sum_s w_s [log p_s(c | x_s) - log p_s(c)] + constant

which is the product rule for errors that are independent given c (Kittler et al. 1998, "On Combining
Classifiers", eq. 8). How loud each speaks, w_s, makes up for probes that are too sure and for errors that
are not independent; it is fitted to what the probes say of rows that they were not fitted to (Wolpert 1992,
"Stacked Generalization"), over all rows and every choice of their senses at once, so one sense alone is
calibrated, too. w_s and p_s(c) go into A and b, the rest is `prior`, log p(c). Of two answers, such as
whether a picture and a sound match, how each two senses compare is a voice of its own (`pairs`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmagent.adapter import Labelled
from mmagent.errors import UserError
from mmagent_adapters.pairs import Pair, compared, n_views, placed
from mmagent_adapters.settings import settings

NAME = "concepts"
MUTE = 0.1  # a loudness below which nothing is heard


class Concepts(nn.Module):
    """Pooled feature (B, d_encoder) to soft tokens (B, n_tokens, d_core), by way of C concepts.

    Buffers, fitted and frozen: weight (C, d_encoder) and bias (C,), nan until `fit` or a load; prior (C,),
    log shares of the answers, of one that joins other senses; view (R, d_encoder), view_bias (R,) and pair
    (C, R), how it compares with them, where there are two answers. Trained: words (C, n_tokens, d_core).
    """

    rate = 30.0
    """Soft words want far larger steps than weights do: Lester et al. train them at 0.3."""
    weight: Tensor
    bias: Tensor
    prior: Tensor
    view: Tensor
    view_bias: Tensor
    pair: Tensor

    def __init__(
        self, answers: Sequence[str], n_tokens: int, d_encoder: int, d_core: int, joins: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.n_tokens = n_tokens
        self.answers, self.joins = tuple(answers), tuple(joins)
        self.strength: float | None = None
        """C of the last fit."""
        self.given_strength: float | None = None
        """C of every fit, in the place of one that is chosen inside the rows."""
        self.config: dict[str, Any] = {"answers": list(answers), "n_tokens": n_tokens}
        if joins:
            self.config["joins"] = list(joins)
            self.register_buffer("prior", torch.zeros(len(answers)))
        self.n_views = n_views(joins, answers)
        if self.n_views:
            self.register_buffer("view", torch.zeros(self.n_views, d_encoder))
            self.register_buffer("view_bias", torch.zeros(self.n_views))
            self.register_buffer("pair", torch.zeros(len(answers), self.n_views))
        self.register_buffer("weight", torch.full((len(answers), d_encoder), torch.nan))
        self.register_buffer("bias", torch.full((len(answers),), torch.nan))
        self.words = nn.Parameter(0.02 * torch.randn(len(answers), n_tokens, d_core))

    def probabilities(self, pooled: Tensor) -> Tensor:
        """(B, d_encoder) to (B, C), in the order of `answers`. Raises `UserError` before any fit."""
        logits = self._logits(pooled)
        return torch.softmax(logits + self.prior if self.joins else logits, dim=-1)

    def evidence(self, values: Tensor, mask: Tensor, pooled: Tensor) -> Tensor:
        """Log-likelihoods (B, C) of the answers, up to a constant, to be added to those of other senses.

        Beside them, where senses compare, views (B, R) and their squares (B, R).
        """
        logits = self._logits(pooled)
        if not self.n_views:
            return logits
        views = pooled.to(self.view.dtype) @ self.view.T + self.view_bias
        return torch.cat([logits, views, views.square()], dim=-1)

    def shares(self, evidence: Tensor) -> Tensor:
        """Evidence (B, e), of one sense or several, to the probabilities of the answers (B, C)."""
        if self.n_views:
            sizes = [len(self.answers), self.n_views, self.n_views]
            logits, views, squares = torch.split(evidence, sizes, dim=-1)
            products = (views.square() - squares) / 2  # summed over each two of the senses that are there
            evidence = logits + products @ self.pair.T
        return torch.softmax(evidence + self.prior if self.joins else evidence, dim=-1)

    def said(self, concepts: Tensor) -> Tensor:
        """Concepts (B,), by their place in `answers`, to soft tokens (B, n_tokens, d_core)."""
        return self.words[concepts]

    def forward(self, values: Tensor, mask: Tensor, pooled: Tensor) -> Tensor:
        """Soft tokens of the likeliest concept; `values` and `mask` are not looked at."""
        return self.said(self.shares(self.evidence(values, mask, pooled)).argmax(dim=-1))

    @torch.no_grad()
    def compare(self, sense: str, pairs: Sequence[Pair], weights: Mapping[str, float]) -> None:
        """Take over how this sense compares with others, each two as loud as `weights` say by their name."""
        views, places = placed(pairs, sense, self.joins, self.weight.shape[1])
        self.view.copy_(torch.from_numpy(views.weight))
        self.view_bias.copy_(torch.from_numpy(views.bias))
        self.pair.zero_()
        for pair, place in zip(pairs, places, strict=True):
            told = torch.from_numpy(pair.weight), torch.from_numpy(pair.bias)[:, None]
            self.pair[:, place] = (weights[pair.name] * torch.cat(told, dim=1)).to(self.pair.dtype)

    def _logits(self, pooled: Tensor) -> Tensor:
        if bool(self.bias.isnan().any()):
            raise UserError("the concepts are not fitted. Call fit, or load the adapter from a bundle.")
        return pooled.to(self.weight.dtype) @ self.weight.T + self.bias


def build(config: Mapping[str, Any], d_encoder: int, d_core: int) -> Concepts:
    """New concepts, not fitted; settings: answers (distinct texts), n_tokens, joins, strength.

    strength: C of the probe in the place of the one chosen inside the rows, by groups where they have any.
    Raises `UserError`.
    """
    answers = config.get("answers")
    if not isinstance(answers, list) or not all(isinstance(one, str) and one.strip() for one in answers):
        raise UserError(f'adapter family {NAME!r} needs the setting "answers", a list of texts.')
    if len(set(answers)) != len(answers) or len(answers) < 2:
        raise UserError(f"adapter family {NAME!r} needs two different answers or more, each named once.")
    own = ("answers", "joins", "strength")
    rest = settings(NAME, {k: v for k, v in config.items() if k not in own}, {"n_tokens": 8})
    joins = config.get("joins", [])
    if not isinstance(joins, list) or not all(isinstance(one, str) for one in joins) or len(joins) == 1:
        raise UserError(f'adapter family {NAME!r}: "joins" must be the names of several senses.')
    made = Concepts(answers, rest["n_tokens"], d_encoder, d_core, joins)
    if (strength := config.get("strength")) is not None:
        if type(strength) not in (int, float) or not 0 < strength < math.inf:
            raise UserError(f"adapter family {NAME!r}: strength is {strength!r}; it must be more than 0.")
        made.given_strength = made.config["strength"] = float(strength)
    return made


@torch.no_grad()
def fit(adapter: nn.Module, rows: Labelled, *, seed: int = 0, again: bool = False) -> str:
    """Fit the probe to labelled features; unless `again`, spell each concept in the core's own words."""
    from mmagent.evaluation.probe import linear_probe

    if not isinstance(adapter, Concepts):
        raise UserError(f"only an adapter of the family {NAME!r} is fitted here.")
    strength = adapter.given_strength
    features = rows.pooled.numpy()
    found = linear_probe(features, rows.answers, seed=seed, strength=strength, groups=rows.groups)
    if found.labels != adapter.answers:
        gone = [answer for answer in adapter.answers if answer not in found.labels]
        raise UserError(
            f"no row to learn from has the answer {gone[0]!r}."
            if gone
            else "there are answers that this adapter was not made for. Train a new one."
        )
    adapter.weight.copy_(torch.from_numpy(found.weight))
    adapter.bias.copy_(torch.from_numpy(found.bias))
    adapter.strength = found.strength
    if not again:
        for at, answer in enumerate(adapter.answers):
            adapter.words[at] = _spelt(rows.spell(f" {answer}"), adapter.n_tokens)
    return f"logistic regression on {len(rows.answers):,} inputs, {found.note}"


@torch.no_grad()
def join(adapters: Mapping[str, nn.Module], rows: Mapping[str, Labelled], *, seed: int = 0) -> str:
    """Weigh the fitted probes of several senses against each other, in place; how loud each speaks, in words.

    rows: what each was fitted to, inputs of one example having the same number. The docstring of this module
    has the rule.
    """
    from mmagent_adapters.loudness import held_out_evidence, log_shares, loudness

    senses = {name: one for name, one in adapters.items() if isinstance(one, Concepts)}
    first = next(iter(senses.values()))
    answer_of = {
        number: answer.strip()
        for one in rows.values()
        for number, answer in zip(one.rows, one.answers, strict=True)
    }
    prior = log_shares(list(answer_of.values()), first.answers)
    evidence = {
        name: held_out_evidence(rows[name], one.answers, one.strength, seed) for name, one in senses.items()
    }
    pairs = compared(rows, first.answers, seed) if first.n_views else []
    weights = loudness(
        {**evidence, **{pair.name: pair.held_out for pair in pairs}},
        answer_of,
        first.answers,
        prior,
        {pair.name: pair.names for pair in pairs},
    )
    for name, one in senses.items():
        own = log_shares([answer.strip() for answer in rows[name].answers], one.answers)
        one.weight.mul_(weights[name])
        one.bias.copy_(weights[name] * (one.bias - torch.from_numpy(own)))
        one.prior.copy_(torch.from_numpy(prior))
        if first.n_views:
            one.compare(name, pairs, weights)
    told = ", ".join(f"{name} {weight:.2f}" for name, weight in weights.items())
    mute = (
        "; neither the senses nor how they compare say much of the answer"
        if max(weights.values()) < MUTE
        else ""
    )
    return f"added up, each as loud as held-out rows make it: {told}{mute}"


def _spelt(words: Tensor, n_tokens: int) -> Tensor:
    """The last embeddings (n_tokens, d_core) of a text (n, d_core); a shorter one begins anew."""
    times = -(-n_tokens // len(words))
    return words.repeat(times, 1)[-n_tokens:]
