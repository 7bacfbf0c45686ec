"""Prefixes: one input becomes k soft tokens that stand in the prompt where the input stood.

`prefix` is Frozen's: one linear map of the pooled feature to k * d_core numbers, read as k embeddings
(Tsimpoukelli et al. 2021, "Multimodal Few-Shot Learning with Frozen Language Models", section 3.1, k = 2).
`prefix-mlp` also sees where things are: every feature of the map is narrowed by itself, and an MLP reads all
of them at once (an MLP as the mapper: Mokady et al. 2021, "ClipCap: CLIP Prefix for Image Captioning").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmagent.errors import UserError
from mmagent_adapters.settings import settings


class LinearPrefix(nn.Module):
    """Pooled feature (B, d_encoder) to soft tokens (B, n_tokens, d_core), one linear map."""

    def __init__(self, n_tokens: int, d_encoder: int, d_core: int) -> None:
        super().__init__()
        self.n_tokens = n_tokens
        self.config: dict[str, Any] = {"n_tokens": n_tokens}
        self.linear = nn.Linear(d_encoder, n_tokens * d_core)

    def forward(self, values: Tensor, mask: Tensor, pooled: Tensor) -> Tensor:
        """Soft tokens; `values` and `mask` are not looked at."""
        out: Tensor = self.linear(pooled)
        return out.view(len(pooled), self.n_tokens, -1)


class MlpPrefix(nn.Module):
    """Feature map (B, n_features, d_encoder) and pooled feature to soft tokens (B, n_tokens, d_core).

    One linear map takes every feature to d_cell numbers, then a GELU; all of them and the pooled feature are
    normalised together and go through one hidden layer of d_hidden.
    """

    def __init__(
        self,
        n_tokens: int,
        n_features: int,
        d_cell: int,
        d_hidden: int,
        dropout: float,
        d_encoder: int,
        d_core: int,
    ) -> None:
        super().__init__()
        self.n_tokens = n_tokens
        self.n_features = n_features
        self.config: dict[str, Any] = {
            "n_tokens": n_tokens,
            "n_features": n_features,
            "d_cell": d_cell,
            "d_hidden": d_hidden,
            "dropout": dropout,
        }
        d_flat = n_features * d_cell + d_encoder
        self.cell = nn.Linear(d_encoder, d_cell)
        self.norm = nn.LayerNorm(d_flat)
        self.hidden = nn.Linear(d_flat, d_hidden)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(d_hidden, n_tokens * d_core)

    def forward(self, values: Tensor, mask: Tensor, pooled: Tensor) -> Tensor:
        """Soft tokens; a feature outside the mask counts as zeros. Raises `UserError` for another n."""
        if values.shape[1] != self.n_features:
            raise UserError(
                f"this adapter was made for {self.n_features} features per input and got {values.shape[1]}. "
                "Use the encoder and the picture size it was trained with."
            )
        cells = nn.functional.gelu(self.cell(values)) * mask.unsqueeze(-1)  # (B, n_features, d_cell)
        flat = self.norm(torch.cat([cells.flatten(1), pooled], dim=-1))
        out: Tensor = self.out(self.dropout(nn.functional.gelu(self.hidden(flat))))
        return out.view(len(pooled), self.n_tokens, -1)


def build_linear(config: Mapping[str, Any], d_encoder: int, d_core: int) -> LinearPrefix:
    """A new linear prefix; setting: n_tokens (2). Raises `UserError`."""
    return LinearPrefix(**settings("prefix", config, {"n_tokens": 2}), d_encoder=d_encoder, d_core=d_core)


def build_mlp(config: Mapping[str, Any], d_encoder: int, d_core: int) -> MlpPrefix:
    """A new MLP prefix; settings: n_tokens, n_features (must be given), d_cell, d_hidden, dropout."""
    defaults = {"n_tokens": 4, "n_features": int, "d_cell": 64, "d_hidden": 512, "dropout": 0.0}
    return MlpPrefix(**settings("prefix-mlp", config, defaults), d_encoder=d_encoder, d_core=d_core)
