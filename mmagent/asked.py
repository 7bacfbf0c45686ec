"""A source together with what is asked of it, for modalities that look at an input with the question in mind.

Most encoders see an input before anybody asks, and the core alone reads the question. A core that is small
cannot hold a statement against thirty objects; a reader can. Where a modality says that it is `asked`, its
reader is given `Asked` sources, whoever asks: an agent, training, or a baseline on the same features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmagent.modality import Modality
    from mmagent.request import Media, Request, Shot

__all__ = ["Asked", "asked_of", "requests_asked", "sources_asked"]


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


def requests_asked(requests: Sequence[Request], modalities: Mapping[str, Modality]) -> list[Request]:
    """Requests with what is asked beside their media, and their shots', where a modality looks so.

    A shot is seen in the light of its own question; one without answers whatever is asked. Shots that
    requests share stay shared.
    """
    looking = {name for name, one in modalities.items() if one.asked}
    shared: dict[tuple[int, str | None], Sequence[Shot]] = {}
    made = []
    for request in requests:
        media = asked_of(request.media, request.question, modalities)
        shots = request.shots
        if any(not looking.isdisjoint(shot.media) for shot in shots):
            key = id(shots), request.question if any(shot.question is None for shot in shots) else None
            if key not in shared:
                shared[key] = _shots_asked(shots, request.question, modalities)
            shots = shared[key]
        same = media is request.media and shots is request.shots
        made.append(request if same else replace(request, media=media, shots=shots))
    return made


def _shots_asked(
    shots: Sequence[Shot], question: str | None, modalities: Mapping[str, Modality]
) -> Sequence[Shot]:
    media = [asked_of(shot.media, shot.question or question, modalities) for shot in shots]
    return [replace(shot, media=new) for shot, new in zip(shots, media, strict=True)]
