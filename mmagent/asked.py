"""A source together with what is asked of it, for modalities that look at an input with the question in mind.

Most encoders see an input before anybody asks, and the core alone reads the question. A core that is small
cannot hold a statement against thirty objects; a reader can. Where a modality says that it is `asked`, its
reader is given `Asked` sources, whoever asks: an agent, training, or a baseline on the same features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmagent.modality import Modality
    from mmagent.request import Media

__all__ = ["Asked", "asked_of", "sources_asked"]


@dataclass(frozen=True)
class Asked:
    """A source of media, and the question that came with it."""

    source: object
    question: str


def sources_asked(
    sources: Sequence[object], question: str | None, modality: Modality | None
) -> Sequence[object]:
    """Sources with what is asked of them, where their modality looks with a question in mind."""
    if modality is None or not modality.asked or not question:
        return sources
    return [one if isinstance(one, Asked) else Asked(one, question) for one in sources]


def asked_of(media: Media, question: str | None, modalities: Mapping[str, Modality]) -> Media:
    """Media by modality with what is asked of them; the very same mapping where nothing looks so."""
    if not question or not any(name in modalities and modalities[name].asked for name in media):
        return media
    return {name: sources_asked(items, question, modalities.get(name)) for name, items in media.items()}
