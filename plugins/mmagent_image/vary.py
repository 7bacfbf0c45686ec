"""A picture as it might have been taken: cut a little, mirrored, in another light."""

from __future__ import annotations

import random

from PIL import Image, ImageEnhance, ImageOps

__all__ = ["vary"]

LEAST = 0.7  # of the picture's area is kept
STRETCH = 1.2  # at most, of its sides' proportion
LIGHT = 0.2  # at most, of brightness, contrast and colour, up or down


def vary(image: Image.Image, seed: int) -> Image.Image:
    """A random cut of at least 0.7 of the area, mirrored in half of all cases, its light changed by a fifth.

    The same seed gives the same picture (after Krizhevsky et al. 2012, section 4.1).
    """
    rng = random.Random(seed)
    image = _cut(image, rng)
    if rng.random() < 0.5:
        image = ImageOps.mirror(image)
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = change(image).enhance(1 + LIGHT * rng.uniform(-1, 1))
    return image


def _cut(image: Image.Image, rng: random.Random) -> Image.Image:
    area, stretch = rng.uniform(LEAST, 1), rng.uniform(1 / STRETCH, STRETCH)
    width = max(1, min(image.width, round(image.width * (area * stretch) ** 0.5)))
    height = max(1, min(image.height, round(image.height * (area / stretch) ** 0.5)))
    left, top = rng.randint(0, image.width - width), rng.randint(0, image.height - height)
    return image.crop((left, top, left + width, top + height))
