"""Senses that take features from where they lie already: a store, such as the feature cache, in between.

An input is named by its bytes, so that what the store has is neither decoded nor encoded again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from mmagent.errors import UserError
from mmagent.feature_cache.encode import joined
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
) -> tuple[list[tuple[list[str], Features]], dict[str, UserError]]:
    """Features of inputs by content, as batches with their names, and why the others cannot be read.

    inputs  as `identified` named them; what the store lacks is encoded now, in one batch, and put into it
    """
    keys = {name: FeatureKey(name, encoder.id) for name in inputs}
    there = store.get_many(keys.values())
    known = {name: there[key] for name, key in keys.items() if key in there}
    parts = [(list(known), joined(list(known.values())))] if known else []
    raws: dict[str, Any] = {}
    errors: dict[str, UserError] = {}
    for name in (name for name in inputs if name not in known):
        try:
            raws[name] = reader.load(inputs[name])
            if content_of(inputs[name], reader) != name:
                raise UserError(f"{inputs[name]} changed while it was read. Start again.")
        except UserError as error:
            raws.pop(name, None)
            errors[name] = error
    if raws:
        features = encoder.encode(list(raws.values()))
        store.put_many([keys[name] for name in raws], features)
        parts.append((list(raws), features))
    return parts, errors
