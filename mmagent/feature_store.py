"""Senses that take features from where they lie already: a store, such as the feature cache, in between.

An input is named by its bytes, so that what the store has is neither decoded nor encoded again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from mmagent.errors import UserError
from mmagent.feature_cache.encode import BATCH, encode_evenly
from mmagent.feature_cache.keys import FeatureKey, content_of, is_stream

if TYPE_CHECKING:
    from mmagent.modality import Encoder, Features, Reader

__all__ = ["FeatureStore", "features_through", "identified"]


class FeatureStore(Protocol):
    """What is needed of a `FeatureCache`."""

    def get_many(self, keys: Iterable[FeatureKey]) -> dict[FeatureKey, Features]:
        """The features that are there, each a batch of one on the CPU; missing keys are left out."""

    def put_many(self, keys: Sequence[FeatureKey], features: Features) -> None:
        """Keep a batch of features, the first under the first key and so on."""

    def flush(self) -> None:
        """Let other processes see what was put in."""


def identified(source: object, reader: Reader) -> tuple[str, object]:
    """The content's name, and what to load it from when it is needed. Raises `UserError`."""
    held = reader.load(source) if is_stream(source) else source
    return content_of(held, reader), held


def features_through(
    store: FeatureStore, reader: Reader, encoder: Encoder, inputs: Mapping[str, Any]
) -> tuple[dict[str, Features], dict[str, UserError]]:
    """Features of inputs by content, each a batch of one, in order; and why the others cannot be read.

    inputs  as `identified` named them; what the store lacks is encoded now and put into it

    Bit for bit the same whatever the store had before.
    """
    keys = {name: FeatureKey(name, encoder.id) for name in inputs}
    there = store.get_many(keys.values())
    raws: dict[str, Any] = {}
    errors: dict[str, UserError] = {}
    for name in (name for name in inputs if keys[name] not in there):
        try:
            raw = reader.load(inputs[name])
            if content_of(inputs[name], reader) != name:
                raise UserError(f"{inputs[name]} changed while it was read. Start again.")
            raws[name] = raw
        except UserError as error:
            errors[name] = error
    names = list(raws)
    for start in range(0, len(names), BATCH):
        batch = names[start : start + BATCH]
        features = encode_evenly(encoder, [raws[name] for name in batch])
        made = [keys[name] for name in batch]
        store.put_many(made, features)
        there |= store.get_many(made)
    return {name: there[keys[name]] for name in inputs if name not in errors}, errors
