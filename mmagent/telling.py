"""What an encoder tells in words, as soft tokens in the prompt (`mmagent.modality.TellingEncoder`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from mmagent.adapter import Adapter

__all__ = ["as_soft_tokens"]


def as_soft_tokens(words: str, spell: Callable[[str], Tensor], adapter: Adapter | None) -> Tensor:
    """Words as the core's embeddings of them (n, d_core), through the adapter where there is one.

    spell  a text as the core's embeddings of its tokens
    """
    import torch

    spelt = spell(f" {words}")
    if adapter is None:
        return spelt
    there = torch.ones(1, len(spelt), dtype=torch.bool, device=spelt.device)
    return adapter(spelt[None], there, spelt[None])[0]
