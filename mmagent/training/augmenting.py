"""Features of examples that are varied at random, encoded anew in every step: no cache can hold them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from mmagent.errors import UserError
from mmagent.feature_cache.keys import FeatureKey, content_of, is_stream
from mmagent.features import joined
from mmagent.modality import Features

if TYPE_CHECKING:
    from mmagent.modality import Encoder, Reader, VaryingReader

__all__ = ["Varied"]


class Varied:
    """The features of all media of a run, by number: the first `n_varied` of them never twice the same.

    How an example is varied is drawn from torch's generator, which a step seeds, so a run that is taken up
    again sees what it would have seen. The others, which a run is judged by, are encoded once as they are.
    """

    def __init__(self, reader: Reader, encoder: Encoder, sources: Sequence[object], n_varied: int) -> None:
        """Raises `UserError` where the reader has no way to vary what it reads."""
        if not callable(getattr(reader, "vary", None)):
            raise UserError(
                f"{type(reader).__name__} has no way to vary what it reads, so there is nothing to augment. "
                "Leave out --augment."
            )
        self._reader, self._encoder = cast("VaryingReader", reader), encoder
        self._sources = [reader.load(source) if is_stream(source) else source for source in sources]
        self._n_varied = n_varied
        self._plain: dict[int, Features] = {}
        self.keys = [FeatureKey(content_of(source, reader), encoder.id, "varied") for source in self._sources]

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Features:
        """The features of one source as it is: a batch of one, on the CPU."""
        if index not in self._plain:
            self._plain[index] = self._encoded([self._raw(index)])[0]
        return self._plain[index]

    def batch(self, indices: Sequence[int]) -> Features:
        """The features of several sources as one batch, those of the first `n_varied` varied."""
        import torch

        varied = [index for index in indices if index < self._n_varied]
        seeds = torch.randint(2**62, (len(varied),)).tolist()
        raws = [self._reader.vary(self._raw(index), seed) for index, seed in zip(varied, seeds, strict=True)]
        made = iter(self._encoded(raws) if raws else ())
        return joined([next(made) if index < self._n_varied else self[index] for index in indices])

    def _raw(self, index: int) -> Any:
        return self._reader.load(self._sources[index])

    def _encoded(self, raws: Sequence[Any]) -> list[Features]:
        """Features of raw values, each a batch of one on the CPU."""
        found = self._encoder.encode(raws)
        values, mask, pooled = (part.detach().cpu() for part in (found.values, found.mask, found.pooled))
        return [
            Features(values[at : at + 1], mask[at : at + 1], pooled[at : at + 1]) for at in range(len(raws))
        ]
