"""Sources to features in order: what the cache holds is read, the rest is encoded once, in batches.

Every batch has the same number of inputs, the last one filled up: the last bits of what a network computes
hang on the size of a batch, and not on what else is in it. So the cache holds the same bits, whoever filled
it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mmagent.errors import UserError
from mmagent.feature_cache.cache import FeatureCache
from mmagent.feature_cache.keys import FeatureKey, content_of, is_stream

if TYPE_CHECKING:
    from mmagent.modality import Encoder, Features, Reader

    Progress = Callable[[int, int], object]

__all__ = ["BATCH", "CachedFeatures", "encode_cached", "encode_evenly"]

BATCH = 8  # larger ones are no faster on a CPU: MobileNet V2 encodes half as many pictures a second in 32


def encode_cached(
    reader: Reader,
    encoder: Encoder,
    sources: Sequence[object],
    cache: FeatureCache,
    *,
    batch_size: int = BATCH,
    transform: str = "",
    progress: Progress | None = None,
    again: Callable[[], Encoder] | None = None,
) -> CachedFeatures:
    """The features of sources, by index; those that the cache lacks are encoded now, each content once.

    Only a batch of inputs and features is in memory at a time. `transform` names whatever the reader was told
    to do beyond reading, since it is part of the key. `progress` is called with (contents that are there,
    contents in all). What was encoded before an error, or before somebody stopped it, is kept. `again` loads
    the encoder a second time, should the cache lose something; where it is given, the encoder is let go when
    all is encoded. Raises `UserError` for the first source that cannot be read.
    """
    held = [reader.load(source) if is_stream(source) else source for source in sources]
    keys = [FeatureKey(content_of(source, reader), encoder.id, transform) for source in held]
    made = CachedFeatures(reader, encoder, held, keys, cache, batch_size, again)
    where: dict[FeatureKey, int] = {}  # the first source of each content
    for at, key in enumerate(keys):
        where.setdefault(key, at)
    absent = cache.missing(where)
    done = len(where) - len(absent)
    with cache:
        for start in range(0, len(absent), batch_size):
            if progress is not None:
                progress(done, len(where))
            batch = absent[start : start + batch_size]
            made.encode([where[key] for key in cache.missing(batch)])  # somebody else may have been faster
            done += len(batch)
    if progress is not None:
        progress(done, len(where))
    made.rest()
    return made


class CachedFeatures:
    """Features by index, in the order of the sources, read from the cache when they are asked for.

    They are the very bits that the encoder gave in a batch of `batch_size`. What the cache has lost since
    (cleaned, damaged) is encoded again, so every index has its features.
    """

    def __init__(
        self,
        reader: Reader,
        encoder: Encoder,
        sources: Sequence[object],
        keys: Sequence[FeatureKey],
        cache: FeatureCache,
        batch_size: int = BATCH,
        again: Callable[[], Encoder] | None = None,
    ) -> None:
        self.keys = keys
        self._reader, self._batch_size, self._again = reader, batch_size, again
        self._encoder: Encoder | None = encoder
        self._sources, self._cache = sources, cache

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Features:
        """The features of one source: a batch of one, float32, on the CPU."""
        return self._found([index])[0]

    def __iter__(self) -> Iterator[Features]:
        return (self[index] for index in range(len(self)))

    def batch(self, indices: Sequence[int]) -> Features:
        """The features of several sources as one batch, padded at the end where one has fewer."""
        from mmagent.features import joined

        return joined(self._found(indices))

    def rest(self) -> None:
        """Let the encoder go, where it can be had again."""
        if self._again is not None:
            self._encoder = None

    def encode(self, indices: Sequence[int]) -> None:
        """Read and encode sources, a batch at a time, and put their features into the cache.

        Raises `UserError`.
        """
        if not indices:
            return
        encoder = self._awake()
        for start in range(0, len(indices), self._batch_size):
            batch = indices[start : start + self._batch_size]
            raws: list[Any] = []
            for index in batch:
                raws.append(self._reader.load(self._sources[index]))
                if content_of(self._sources[index], self._reader) != self.keys[index].content:
                    raise UserError(
                        f"{self._sources[index]} changed while its features were in use. Start again."
                    )
            features = encode_evenly(encoder, raws, self._batch_size)
            self._cache.put_many([self.keys[index] for index in batch], features)

    def _awake(self) -> Encoder:
        if self._encoder is None:
            assert self._again is not None
            encoder = self._again()
            if any(key.encoder != encoder.id for key in self.keys):
                raise UserError("the encoder changed while its features were in use. Start again.")
            self._encoder = encoder
        return self._encoder

    def _found(self, indices: Sequence[int]) -> list[Features]:
        keys = [self.keys[index] for index in indices]
        found = self._cache.get_many(keys)
        if lost := {key: index for key, index in zip(keys, indices, strict=True) if key not in found}:
            self.encode(list(lost.values()))
            self._cache.flush()
            found |= self._cache.get_many(lost)
        return [found[key] for key in keys]


def encode_evenly(encoder: Encoder, raws: Sequence[Any], size: int = BATCH) -> Features:
    """Features of at most `size` raw values, encoded in a batch of exactly `size`."""
    from mmagent.modality import Features

    found = encoder.encode([*raws, *[raws[-1]] * (size - len(raws))])
    return Features(found.values[: len(raws)], found.mask[: len(raws)], found.pooled[: len(raws)])
