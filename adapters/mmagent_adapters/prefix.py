"""Prefixes: one input becomes k soft tokens that stand in the prompt where the input stood.

`prefix` is Frozen's: one linear map of the pooled feature to k * d_core numbers, read as k embeddings
(Tsimpoukelli et al. 2021, "Multimodal Few-Shot Learning with Frozen Language Models", section 3.1, k = 2).
`prefix-mlp` also sees where things are: every feature of the map is narrowed by itself, and an MLP reads all
of them at once (an MLP as the mapper: Mokady et al. 2021, "ClipCap: CLIP Prefix for Image Captioning").
`prefix-grid` keeps places apart: one soft token for the whole and one for each feature of the map, through
an MLP that all features share (Liu et al. 2023, "Improved Baselines with Visual Instruction Tuning", 3.3).
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


class GridPrefix(nn.Module):
    """One soft token from the pooled feature, then one from each feature of the map: (B, 1 + n_features,
    d_core).

    All features of the map share one MLP; each is told where it stands (a learned bias) and what the map
    shows as a whole (all features, narrowed to d_cell each).
    """

    def __init__(
        self, n_features: int, d_cell: int, d_hidden: int, dropout: float, d_encoder: int, d_core: int
    ) -> None:
        super().__init__()
        self.n_tokens = 1 + n_features
        self.n_features = n_features
        self.config: dict[str, Any] = {
            "n_features": n_features,
            "d_cell": d_cell,
            "d_hidden": d_hidden,
            "dropout": dropout,
        }
        self.norm_pooled, self.norm_cell = nn.LayerNorm(d_encoder), nn.LayerNorm(d_encoder)
        self.dropout = nn.Dropout(dropout)
        self.whole = nn.Linear(d_encoder, d_hidden)
        self.whole_out = nn.Linear(d_hidden, d_core)
        self.narrow = nn.Linear(d_encoder, d_cell)
        self.context = nn.Linear(n_features * d_cell, d_hidden)
        self.cell = nn.Linear(d_encoder, d_hidden)
        self.place = nn.Parameter(torch.zeros(n_features, d_hidden))
        self.cell_out = nn.Linear(d_hidden, d_core)

    def forward(self, values: Tensor, mask: Tensor, pooled: Tensor) -> Tensor:
        """Soft tokens; a feature outside the mask counts as zeros. Raises `UserError` for another n."""
        if values.shape[1] != self.n_features:
            raise UserError(
                f"this adapter was made for {self.n_features} features per input and got {values.shape[1]}. "
                "Use the encoder and the picture size it was trained with."
            )
        whole = self.dropout(nn.functional.gelu(self.whole(self.norm_pooled(pooled))))  # (B, d_hidden)
        normed = self.norm_cell(values) * mask.unsqueeze(-1)  # (B, n_features, d_encoder)
        around = self.context(nn.functional.gelu(self.narrow(normed)).flatten(1)).unsqueeze(1)
        cells = self.dropout(nn.functional.gelu(self.cell(normed) + self.place + around))
        return torch.cat([self.whole_out(whole).unsqueeze(1), self.cell_out(cells)], dim=1)


def build_linear(config: Mapping[str, Any], d_encoder: int, d_core: int) -> LinearPrefix:
    """A new linear prefix; setting: n_tokens (2). Raises `UserError`."""
    return LinearPrefix(**settings("prefix", config, {"n_tokens": 2}), d_encoder=d_encoder, d_core=d_core)


def build_mlp(config: Mapping[str, Any], d_encoder: int, d_core: int) -> MlpPrefix:
    """A new MLP prefix; settings: n_tokens, n_features (must be given), d_cell, d_hidden, dropout."""
    defaults = {"n_tokens": 4, "n_features": int, "d_cell": 64, "d_hidden": 512, "dropout": 0.0}
    return MlpPrefix(**settings("prefix-mlp", config, defaults), d_encoder=d_encoder, d_core=d_core)


def build_grid(config: Mapping[str, Any], d_encoder: int, d_core: int) -> GridPrefix:
    """A new grid prefix; settings: n_features (must be given), d_cell, d_hidden, dropout."""
    defaults = {"n_features": int, "d_cell": 32, "d_hidden": 512, "dropout": 0.0}
    return GridPrefix(**settings("prefix-grid", config, defaults), d_encoder=d_encoder, d_core=d_core)
