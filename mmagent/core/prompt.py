"""What a core reads: text segments and soft tokens, in the order in which they stand in the prompt."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Prompt", "Soft"]


@dataclass(frozen=True, eq=False)
class Soft:
    """A prefix: soft tokens that stand where an input stood in the prompt.

    embeds: (k, d_core), on any device and in any floating dtype; gradients flow through it in `Core.loss`.
    key: a hash of the content. Two prefixes with the same key are taken to be the same one when KV states are
        reused, so whoever makes a key makes it from everything the embeddings depend on. `Soft.of` does that.
    """

    embeds: Tensor
    key: str

    @classmethod
    def of(cls, embeds: Tensor) -> Soft:
        """Wrap embeddings (k, d_core) under the SHA-256 of their own values."""
        values = embeds.detach().float().cpu().contiguous()
        digest = hashlib.sha256(str(tuple(values.shape)).encode())
        digest.update(values.numpy().tobytes())
        return cls(embeds, digest.hexdigest())

    def __len__(self) -> int:
        return int(self.embeds.shape[0])


Prompt = Sequence[str | Soft]
"""A prompt in reading order. Neighbouring texts are joined before they are tokenised."""
