"""Concepts: which one it is, a linear probe says; how it is said, soft tokens are trained for.

The pooled feature f gives a probability for each of C concepts, the answers of the labelled set, and the core
reads the mean of their soft tokens under it:

    p = softmax(A f + b)        prefix = sum_c p_c E_c,  E_c (k, d_core)

That is a concept bottleneck (Koh et al. 2020, "Concept Bottleneck Models") whose concepts are written in
soft prompts (Lester et al. 2021, "The Power of Scale for Parameter-Efficient Prompt Tuning"). A and b have a
convex fit, multinomial logistic regression, which a few hundred examples settle better than gradients through
a language model do; they are fitted first (`fit`) and stay. E starts as the core's own embeddings of the
words and is trained through the core. So the answer is right as often as the probe is, and the core, which
knows the words, can be asked other things about what it sees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmagent.adapter import Labelled
from mmagent.errors import UserError
from mmagent_adapters.settings import settings

NAME = "concepts"


class Concepts(nn.Module):
    """Pooled feature (B, d_encoder) to soft tokens (B, n_tokens, d_core), by way of C concepts.

    Buffers, fitted and frozen: weight (C, d_encoder) and bias (C,), nan until `fit` or a load. Trained:
    words (C, n_tokens, d_core).
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, answers: Sequence[str], n_tokens: int, d_encoder: int, d_core: int) -> None:
        super().__init__()
        self.n_tokens = n_tokens
        self.answers = tuple(answers)
        self.config: dict[str, Any] = {"answers": list(answers), "n_tokens": n_tokens}
        self.register_buffer("weight", torch.full((len(answers), d_encoder), torch.nan))
        self.register_buffer("bias", torch.full((len(answers),), torch.nan))
        self.words = nn.Parameter(0.02 * torch.randn(len(answers), n_tokens, d_core))

    def probabilities(self, pooled: Tensor) -> Tensor:
        """(B, d_encoder) to (B, C), in the order of `answers`. Raises `UserError` before any fit."""
        if bool(self.bias.isnan().any()):
            raise UserError("the concepts are not fitted. Call fit, or load the adapter from a bundle.")
        return torch.softmax(pooled.to(self.weight.dtype) @ self.weight.T + self.bias, dim=-1)

    def forward(self, values: Tensor, mask: Tensor, pooled: Tensor) -> Tensor:
        """Soft tokens; `values` and `mask` are not looked at."""
        return torch.einsum("bc,ckd->bkd", self.probabilities(pooled).to(self.words.dtype), self.words)


def build(config: Mapping[str, Any], d_encoder: int, d_core: int) -> Concepts:
    """New concepts, not fitted; settings: answers (distinct texts), n_tokens. Raises `UserError`."""
    answers = config.get("answers")
    if not isinstance(answers, list) or not all(isinstance(one, str) and one.strip() for one in answers):
        raise UserError(f'adapter family {NAME!r} needs the setting "answers", a list of texts.')
    if len(set(answers)) != len(answers) or len(answers) < 2:
        raise UserError(f"adapter family {NAME!r} needs two different answers or more, each named once.")
    rest = settings(NAME, {k: v for k, v in config.items() if k != "answers"}, {"n_tokens": 8})
    return Concepts(answers, rest["n_tokens"], d_encoder, d_core)


@torch.no_grad()
def fit(adapter: nn.Module, rows: Labelled, *, seed: int = 0, again: bool = False) -> str:
    """Fit the probe to labelled features; unless `again`, spell each concept in the core's own words."""
    from mmagent.evaluation.probe import linear_probe

    if not isinstance(adapter, Concepts):
        raise UserError(f"only an adapter of the family {NAME!r} is fitted here.")
    found = linear_probe(rows.pooled.numpy(), rows.answers, seed=seed)
    if found.labels != adapter.answers:
        gone = [answer for answer in adapter.answers if answer not in found.labels]
        raise UserError(
            f"no row to learn from has the answer {gone[0]!r}."
            if gone
            else "there are answers that this adapter was not made for. Train a new one."
        )
    adapter.weight.copy_(torch.from_numpy(found.weight))
    adapter.bias.copy_(torch.from_numpy(found.bias))
    if not again:
        for at, answer in enumerate(adapter.answers):
            adapter.words[at] = _spelt(rows.spell(f" {answer}"), adapter.n_tokens)
    return f"logistic regression on {len(rows.answers):,} inputs, {found.note}"


def _spelt(words: Tensor, n_tokens: int) -> Tensor:
    """The last embeddings (n_tokens, d_core) of a text (n, d_core); a shorter one begins anew."""
    times = -(-n_tokens // len(words))
    return words.repeat(times, 1)[-n_tokens:]
