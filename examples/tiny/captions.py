"""What is true of each training picture, and the sentences that say so. Sentences only: no question is ever
made here.
"""

from __future__ import annotations

import random

import numpy as np
from pictures import Source
from scene_questions import caption as scene_caption
from scenes import Item
from text import thing_caption
from things import a

Statement = tuple[str, str]  # what leads up to it in the prompt, and the sentence


def thing_statements(name: str) -> list[Statement]:
    """A photograph of one thing."""
    return [("Caption:", f" {thing_caption(name)}"), ("This is", f" {a(name)}.")]


def digit_statements(word: str) -> list[Statement]:
    """A handwritten digit."""
    return [("Caption:", f" the digit {word}."), ("This is", f" the digit {word}.")]


def character_statements() -> list[Statement]:
    """A character nobody has named."""
    return [("Caption:", " a handwritten character."), ("This is", " a handwritten character.")]


def emoji_statements(name: str) -> list[Statement]:
    """An emoji with its Unicode name."""
    return [("Caption:", f" an emoji of {a(name)}.")]


def scene_statements(scene: tuple[Item, ...]) -> list[Statement]:
    """A drawn scene."""
    return [("Caption:", f" {scene_caption(scene)}")]


def easy_vqa_scene(pixels: np.ndarray, label: str) -> tuple[Item, ...] | None:  # type: ignore[type-arg]
    """The one shape of an easy-VQA picture with its place and size, measured in its pixels; None if not
    told.
    """
    words = label.split()
    if len(words) != 2:
        return None
    side = len(pixels)
    off = np.abs(pixels.astype(int) - pixels[0, 0].astype(int)).sum(-1) > 60
    ys, xs = np.nonzero(off)
    if not len(ys):
        return None
    centre = ((xs.min() + xs.max() + 1) / 2 / side, (ys.min() + ys.max() + 1) / 2 / side)
    radius = max(xs.max() - xs.min() + 1, ys.max() - ys.min() + 1) / 2 / side
    return (Item(words[0], words[1], min(centre[0], 0.999), min(centre[1], 0.999), float(radius)),)


def easy_vqa_scenes(source: Source) -> list[tuple[Item, ...] | None]:
    """Per picture its scene of one shape."""
    return [easy_vqa_scene(p, label) for p, label in zip(source.pictures, source.labels, strict=True)]


def pick(statements: list[Statement], rng: random.Random) -> Statement:
    """One of the sentences."""
    return rng.choice(statements)
