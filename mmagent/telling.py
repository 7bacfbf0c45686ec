"""What an encoder tells in words, as soft tokens in the prompt (`mmagent.modality.TellingEncoder`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from mmagent.adapter import Adapter

__all__ = ["Told", "as_soft_tokens", "told_by"]


@dataclass(frozen=True)
class Told:
    """What an encoder said of one input, "" for nothing.

    sure  how probable it is that these words answer what was asked (0 to 1); None where they are no answer
          but something to answer from
    """

    words: str
    sure: float | None = None


def told_by(encoder: Any, raws: Sequence[Any]) -> list[Told]:
    """What an encoder says of raw values, as answers where it gives them (`AnsweringEncoder`)."""
    if hasattr(encoder, "answer"):
        return [Told(words, sure) for words, sure in encoder.answer(raws)]
    return [Told(words) for words in encoder.tell(raws)]


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
