"""One sense, awake: a reader, an encoder and an adapter, and what inputs become in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mmagent.joining import joins_of
from mmagent.percept import Percept
from mmagent.supposing import Supposed, supposes

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mmagent.adapter import Adapter
    from mmagent.core import Soft
    from mmagent.memory import MemorySettings
    from mmagent.modality import Encoder, Features, Reader

__all__ = ["Sense"]


@dataclass(frozen=True, eq=False)
class Sense:
    """One sense of a bundle.

    adapter_id  sha256 of its weights;  memory  how its shots are compared
    of_words    whether the adapter takes what the encoder tells in words
    """

    modality: str
    reader: Reader
    encoder: Encoder
    adapter: Adapter | None
    adapter_id: str
    memory: MemorySettings
    of_words: bool
    device: torch.device

    @property
    def tells(self) -> bool:
        """Whether its prefix is what its encoder tells in words."""
        return self.of_words or (self.adapter is None and hasattr(self.encoder, "tell"))

    def told(
        self, inputs: Mapping[str, Any], features: Features, spell: Callable[[str], Tensor] | None
    ) -> Iterator[Percept]:
        """What the encoder tells of raw values, by their content, as soft tokens.

        spell  a text as the core's embeddings of its tokens (n, d_core); without it there are none
        """
        from mmagent.core import Soft
        from mmagent.telling import as_soft_tokens, told_by

        told = told_by(self.encoder, list(inputs.values()))
        pooled = features.pooled.float().cpu()  # (B, d_encoder)
        for at, (key, one) in enumerate(zip(inputs, told, strict=True)):
            soft = None
            if one.words and spell is not None:
                name = f"{self.modality}:{key}:{self.encoder.id}:{self.adapter_id}:{one.words}"
                soft = Soft(as_soft_tokens(one.words, spell, self.adapter), name)
            yield Percept(self.modality, key, pooled[at].clone(), soft, told=one)

    def adapted(self, keys: Sequence[str], features: Features) -> Iterator[Percept]:
        """Features of a batch, by their content, through the adapter."""
        from mmagent.core import Soft

        pooled = features.pooled.float().cpu()  # (B, d_encoder)
        if self.adapter is None:
            yield from (Percept(self.modality, key, pooled[at].clone(), None) for at, key in enumerate(keys))
            return
        whole = [part.to(self.device) for part in (features.values, features.mask, features.pooled)]
        if not supposes(self.adapter):
            prefixes = self.adapter(*whole)  # (B, k, d_core)
            for at, key in enumerate(keys):
                name = f"{self.modality}:{key}:{self.encoder.id}:{self.adapter_id}"
                yield Percept(self.modality, key, pooled[at].clone(), Soft(prefixes[at].clone(), name))
            return
        evidence, joins = self.adapter.evidence(*whole), joins_of(self.adapter)  # (B, e)
        for at, (key, one) in enumerate(zip(keys, self.supposed(evidence), strict=True)):
            own = evidence[at].cpu().clone() if joins else None
            soft = self._said(one.likeliest)
            yield Percept(self.modality, key, pooled[at].clone(), soft, own, joins, supposed=one)

    def supposed(self, evidence: Tensor) -> list[Supposed]:
        """What inputs may be by their evidence (B, e), of an adapter that supposes."""
        import torch

        assert supposes(self.adapter)
        with torch.no_grad():
            shares = self.adapter.shares(evidence.to(self.device)).double().cpu().tolist()
        return [Supposed(tuple(self.adapter.answers), tuple(one)) for one in shares]

    def as_if(self, percept: Percept, answer: int) -> Percept:
        """A percept as it were if its input was this one of the answers that it may be."""
        return replace(percept, soft=self._said(answer))

    def _said(self, answer: int) -> Soft:
        """The prefix of an answer, the same for all inputs that are supposed to be it."""
        import torch

        from mmagent.core import Soft

        assert supposes(self.adapter)
        with torch.no_grad():
            said = self.adapter.said(torch.tensor([answer], device=self.device))[0]
        return Soft(said.clone(), f"{self.modality}:{self.adapter_id}={answer}")
