"""Pictures to ask about, drawn: one coloured shape each, every seed another one."""

from __future__ import annotations

import random
from pathlib import Path

from PIL import Image, ImageDraw

SIDE = 160
COLOURS = ("red", "blue", "green", "yellow", "black", "orange", "purple", "brown")


def draw(target: str | Path, seed: int) -> Path:
    """Write a PNG of one shape somewhere on a light ground; the same seed draws the same picture."""
    rng = random.Random(seed)
    ground = tuple(rng.randrange(225, 256) for _ in range(3))
    image = Image.new("RGB", (SIDE, SIDE), ground)
    size = rng.randrange(40, 100)
    x, y = rng.randrange(SIDE - size), rng.randrange(SIDE - size)
    brush = ImageDraw.Draw(image)
    shape = rng.choice((brush.ellipse, brush.rectangle))
    shape((x, y, x + size, y + size), fill=rng.choice(COLOURS))
    image.save(target, format="PNG")
    return Path(target)


def draw_many(folder: Path, count: int, first: int = 0) -> list[Path]:
    """Draw `count` pictures, no two alike."""
    return [draw(folder / f"{seed}.png", seed) for seed in range(first, first + count)]
