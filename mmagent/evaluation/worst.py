"""The worst mistakes, as a person would look at them: pictures made small, other media in a line of words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any

from mmagent.evaluation.results import Result, Row

if TYPE_CHECKING:
    from mmagent.agent import Agent
    from mmagent.data import Example

__all__ = ["WORST", "Shown", "looked_at", "worst"]

WORST = 12
SIDE = 112  # pixels of a small picture's longer side


@dataclass(frozen=True)
class Shown:
    """A mistake.

    pictures  its pictures as PNG files, small;  described  its other media, a line each
    """

    row: Row
    pictures: tuple[bytes, ...] = field(default=(), repr=False)
    described: tuple[str, ...] = ()


def worst(agent: Agent, examples: Sequence[Example], result: Result, n: int = WORST) -> tuple[Shown, ...]:
    """The surest wrong answers of a result on these examples."""
    of = {id(row): example for row, example in zip(result.rows, examples, strict=True)}
    return tuple(_shown(agent, of[id(row)], row) for row in result.worst(n))


def _shown(agent: Agent, example: Example, row: Row) -> Shown:
    return Shown(row, *looked_at(agent, example))


def looked_at(agent: Agent, example: Example) -> tuple[tuple[bytes, ...], tuple[str, ...]]:
    """An example's pictures as small PNG files, and its other media in a line of words each."""
    pictures: list[bytes] = []
    described: list[str] = []
    for modality, sources in example.media.items():
        reader, _ = agent.encoder(modality)
        for source in sources:
            raw = reader.load(source)
            small = _small(raw) if modality == "image" else None
            if small is None:
                described.append(reader.describe(raw))
            else:
                pictures.append(small)
    return tuple(pictures), tuple(described)


def _small(raw: Any) -> bytes | None:
    """A picture as a PNG file of at most `SIDE` pixels; None for what is no picture."""
    from PIL import Image

    if not isinstance(raw, Image.Image):
        return None
    small = raw.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    out = BytesIO()
    small.save(out, "PNG", optimize=True)
    return out.getvalue()
