"""Visual words: features quantised and spelt with words that the core already knows from text.

A small core compares symbols, not directions. So the pooled feature is projected on D axes, each axis is cut
into L levels, and the level on axis i is written as the word `<v{i}.{level}>` by the core's own embedding of
it. The quantiser is frozen: scalar per axis, as in Mentzer et al. 2023 ("Finite Scalar Quantization: VQ-VAE
Made Simple"), which replaced the learned codebook of van den Oord et al. 2017 ("Neural Discrete
Representation Learning"); D independent small codebooks make a product quantiser of L ** D cells (Jegou et
al. 2011).

A trained prefix of another family may stand before the words.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from mmagent.errors import UserError, did_you_mean
from mmagent_adapters import FAMILIES
from mmagent_adapters.settings import settings

NAME = "visual-words"


class VisualWords(nn.Module):
    """Pooled feature (B, d_encoder) to D word embeddings, after the soft tokens of a nested adapter.

    Buffers, all frozen: projection (d_encoder, D), offset (D,), thresholds (D, L - 1) ascending, and
    table (D, L, d_core), the core's embeddings of the words. They are unset until `set_words` or a load.
    """

    projection: Tensor
    offset: Tensor
    thresholds: Tensor
    table: Tensor

    def __init__(
        self,
        n_words: int,
        n_levels: int,
        prefix: nn.Module | None,
        prefix_config: Mapping[str, Any] | None,
        d_encoder: int,
        d_core: int,
    ) -> None:
        super().__init__()
        before = 0 if prefix is None else int(prefix.n_tokens)  # type: ignore[arg-type]
        self.n_tokens = before + n_words
        self.config: dict[str, Any] = {"n_words": n_words, "n_levels": n_levels, "prefix": prefix_config}
        self.prefix = prefix
        shapes = {
            "projection": (d_encoder, n_words),
            "offset": (n_words,),
            "thresholds": (n_words, n_levels - 1),
            "table": (n_words, n_levels, d_core),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.full(shape, torch.nan))

    def codes(self, pooled: Tensor) -> Tensor:
        """(B, d_encoder) to (B, D) long: per axis the level, the number of thresholds the value reaches."""
        if bool(self.offset.isnan().any()):
            raise UserError(
                "the visual words are not set. Call set_words, or load the adapter from a bundle."
            )
        placed = pooled.to(self.projection.dtype) @ self.projection + self.offset  # (B, D)
        return (placed.unsqueeze(-1) >= self.thresholds).sum(-1)

    def forward(self, values: Tensor, mask: Tensor, pooled: Tensor) -> Tensor:
        """(B, n_tokens, d_core): the nested adapter's soft tokens, then D words."""
        axes = torch.arange(len(self.table), device=self.table.device)
        words = self.table[axes, self.codes(pooled)]  # (B, D, d_core)
        if self.prefix is None:
            return words
        soft: Tensor = self.prefix(values, mask, pooled)
        return torch.cat([soft, words.to(soft.dtype)], dim=1)

    @torch.no_grad()
    def set_words(self, projection: Tensor, offset: Tensor, thresholds: Tensor, table: Tensor) -> None:
        """Fix quantiser and words. Raises `UserError` for another shape or thresholds out of order."""
        given = {"projection": projection, "offset": offset, "thresholds": thresholds, "table": table}
        for name, tensor in given.items():
            here = getattr(self, name)
            if tensor.shape != here.shape:
                raise UserError(
                    f"{name} has the shape {tuple(tensor.shape)}; it must be {tuple(here.shape)}."
                )
            if not bool(tensor.isfinite().all()):
                raise UserError(f"{name} holds values that are not finite. Compute it again.")
        if not bool((thresholds.diff(dim=-1) >= 0).all()):
            raise UserError("the thresholds of each axis must ascend. Sort them along their last dimension.")
        for name, tensor in given.items():
            getattr(self, name).copy_(tensor)


def build(config: Mapping[str, Any], d_encoder: int, d_core: int) -> VisualWords:
    """New visual words, unset; settings: n_words, n_levels, prefix {family, config} or null."""
    nested = config.get("prefix")
    rest = {name: value for name, value in config.items() if name != "prefix"}
    full = settings(NAME, rest, {"n_words": 4, "n_levels": 8})
    if full["n_levels"] < 2:
        raise UserError(f"adapter family {NAME!r}: n_levels is {full['n_levels']}; it must be at least 2.")
    prefix = None if nested is None else _build_nested(nested, d_encoder, d_core)
    return VisualWords(**full, prefix=prefix, prefix_config=nested, d_encoder=d_encoder, d_core=d_core)


def _build_nested(nested: Any, d_encoder: int, d_core: int) -> nn.Module:
    """The adapter that stands before the words, of any other family of this package."""
    families = {family.name: family.build for family in FAMILIES if family.name != NAME}
    name = nested.get("family") if isinstance(nested, Mapping) else None
    if name not in families:
        near = did_you_mean(str(name), families)
        raise UserError(
            f'adapter family {NAME!r}: "prefix" names no family. There are: {", ".join(families)}.{near}'
        )
    module, _, function = families[name].partition(":")
    built: nn.Module = getattr(import_module(module), function)(nested.get("config", {}), d_encoder, d_core)
    return built
