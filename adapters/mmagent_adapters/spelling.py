"""Spelling: words that an encoder tells, written so that a frozen core says them.

A small core that has read simple English does not say a word that it never read merely because the word
stands in its prompt. So each word's embedding is turned, with its neighbours' and its place, into a soft
token that the core's own attention copies from; some soft tokens that stand before and after say that this is
what is wanted (a prompt learned through the core, Lester et al. 2021). It is trained on texts alone, through
the frozen core, to have them said again: no input, and no answer to any question, is in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmagent_adapters.settings import settings

NAME = "spelling"


class Spelling(nn.Module):
    """Word embeddings (B, n, d_core) to soft tokens (B, n_before + n + n_after, d_core).

    Words beyond the first `n_words` are left out.
    """

    def __init__(self, n_words: int, n_before: int, n_after: int, d_hidden: int, d_core: int) -> None:
        super().__init__()
        self.n_tokens = n_before + n_words + n_after
        self.config: dict[str, Any] = {
            "n_words": n_words,
            "n_before": n_before,
            "n_after": n_after,
            "d_hidden": d_hidden,
        }
        self.n_words = n_words
        self.before = nn.Parameter(0.02 * torch.randn(n_before, d_core))
        self.after = nn.Parameter(0.02 * torch.randn(n_after, d_core))
        self.places = nn.Parameter(torch.zeros(n_words, d_core))
        self.scale = nn.Parameter(torch.ones(d_core))
        self.norm = nn.LayerNorm(3 * d_core)  # embeddings are small numbers
        self.around = nn.Linear(3 * d_core, d_hidden)  # a word, the one before it and the one after it
        self.back = nn.Linear(d_hidden, d_core)
        nn.init.zeros_(self.back.weight)
        nn.init.zeros_(self.back.bias)

    def forward(self, values: Tensor, mask: Tensor, pooled: Tensor) -> Tensor:
        """(B, n, d_core), (B, n) bool, and whatever was pooled, which is not looked at."""
        words = (values * mask.unsqueeze(-1))[:, : self.n_words].to(self.scale.dtype)
        left = nn.functional.pad(words, (0, 0, 1, 0))[:, :-1]
        right = nn.functional.pad(words, (0, 0, 0, 1))[:, 1:]
        beside = self.norm(torch.cat([left, words, right], dim=-1))
        made = words * self.scale + self.places[: words.shape[1]]
        made = made + self.back(nn.functional.gelu(self.around(beside)))
        before, after = (part.expand(len(made), *part.shape) for part in (self.before, self.after))
        return torch.cat([before, made, after], dim=1)


def build(config: Mapping[str, Any], d_encoder: int, d_core: int) -> Spelling:
    """New spelling; settings: n_words, n_before, n_after, d_hidden."""
    full = settings(NAME, config, {"n_words": 40, "n_before": 4, "n_after": 4, "d_hidden": 256})
    return Spelling(**full, d_core=d_core)
