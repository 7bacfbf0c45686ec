"""Resampler: learned queries look at any number of features and become a fixed number of soft tokens.

Perceiver (Jaegle et al. 2021) as Flamingo uses it (Alayrac et al. 2022, "Flamingo: a Visual Language Model
for Few-Shot Learning", section 3.1.1 and figure 5): in every layer the queries attend over the features and
over themselves, then go through a feed-forward net; both residual, both normalised first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmagent.errors import UserError
from mmagent_adapters.settings import settings


class ResamplerLayer(nn.Module):
    """One layer: cross-attention over [features, queries], then feed-forward of four times the width."""

    def __init__(self, d_model: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.norm_features = nn.LayerNorm(d_model)
        self.norm_queries = nn.LayerNorm(d_model)
        self.attention = nn.MultiheadAttention(d_model, n_heads, dropout=dropout, batch_first=True)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(d_model),
            nn.Linear(d_model, 4 * d_model),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(4 * d_model, d_model),
        )

    def forward(self, queries: Tensor, features: Tensor, hidden: Tensor) -> Tensor:
        """(B, k, d_model) queries, (B, n, d_model) features, (B, n + k) bool True where not to look."""
        asking = self.norm_queries(queries)
        seen = torch.cat([self.norm_features(features), asking], dim=1)
        attended, _ = self.attention(asking, seen, seen, key_padding_mask=hidden, need_weights=False)
        queries = queries + attended
        out: Tensor = queries + self.feed_forward(queries)
        return out


class Resampler(nn.Module):
    """Features (B, n, d_encoder) of any n to soft tokens (B, n_tokens, d_core).

    The pooled feature is one more feature to look at. With n_positions given, the first n_positions features
    get a learned place each; without, the order of the features makes no difference.
    """

    def __init__(
        self,
        n_tokens: int,
        n_layers: int,
        d_model: int,
        n_heads: int,
        n_positions: int | None,
        dropout: float,
        d_encoder: int,
        d_core: int,
    ) -> None:
        super().__init__()
        if d_model % n_heads:
            raise UserError(
                f"adapter family 'resampler': d_model {d_model} is no multiple of n_heads {n_heads}."
            )
        self.n_tokens = n_tokens
        self.config: dict[str, Any] = {
            "n_tokens": n_tokens,
            "n_layers": n_layers,
            "d_model": d_model,
            "n_heads": n_heads,
            "n_positions": n_positions,
            "dropout": dropout,
        }
        self.narrow = nn.Linear(d_encoder, d_model)
        self.queries = nn.Parameter(torch.randn(n_tokens, d_model) * 0.02)
        self.places = nn.Parameter(torch.randn(n_positions, d_model) * 0.02) if n_positions else None
        self.layers = nn.ModuleList(ResamplerLayer(d_model, n_heads, dropout) for _ in range(n_layers))
        self.out = nn.Sequential(nn.LayerNorm(d_model), nn.Linear(d_model, d_core))

    def forward(self, values: Tensor, mask: Tensor, pooled: Tensor) -> Tensor:
        """Soft tokens; features that the mask leaves out are not seen. Raises `UserError` for too many."""
        features = self.narrow(torch.cat([pooled.unsqueeze(1), values], dim=1))  # (B, 1 + n, d_model)
        if self.places is not None:
            features = features + self._places(values.shape[1])
        queries = self.queries.expand(len(values), -1, -1)
        seen = torch.cat([mask.new_ones(len(mask), 1), mask, mask.new_ones(len(mask), self.n_tokens)], dim=1)
        for layer in self.layers:
            queries = layer(queries, features, ~seen)
        out: Tensor = self.out(queries)
        return out

    def _places(self, n: int) -> Tensor:
        """(1 + n, d_model): none for the pooled feature, then one per feature."""
        assert self.places is not None
        if n > len(self.places):
            raise UserError(
                f"this adapter has {len(self.places)} places and got {n} features. "
                "Use the encoder and the picture size it was trained with."
            )
        return torch.cat([torch.zeros_like(self.places[:1]), self.places[:n]])


def build(config: Mapping[str, Any], d_encoder: int, d_core: int) -> Resampler:
    """A new resampler; settings: n_tokens, n_layers, d_model, n_heads, n_positions (null), dropout."""
    defaults = {
        "n_tokens": 8,
        "n_layers": 2,
        "d_model": 256,
        "n_heads": 4,
        "n_positions": None,
        "dropout": 0.0,
    }
    return Resampler(**settings("resampler", config, defaults), d_encoder=d_encoder, d_core=d_core)
