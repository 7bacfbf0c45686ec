"""Synthetic scenes: a few coloured shapes on a plain ground, drawn by program, with everything that is true
of them.

A scene is data first (a list of `Item`), then a picture (`draw`), then sentences and questions (`text.py`).
The picture and the words come from one record, so a caption can never disagree with its picture.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from PIL import Image, ImageDraw

COLOURS: dict[str, tuple[int, int, int]] = {
    "black": (15, 15, 15),
    "blue": (25, 40, 225),
    "brown": (140, 70, 25),
    "gray": (128, 128, 128),
    "green": (20, 150, 30),
    "red": (225, 20, 20),
    "teal": (0, 130, 130),
    "yellow": (245, 225, 20),
    "orange": (250, 140, 10),
    "purple": (130, 30, 160),
    "pink": (250, 130, 190),
    "white": (250, 250, 250),
}
SHAPES = ("circle", "rectangle", "triangle", "star", "cross", "diamond", "heart")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
ROWS = ("top", "middle", "bottom")
COLUMNS = ("left", "middle", "right")

# Pairs of colour and shape that no training picture shows: the scene row of the table is measured on these.
HELD_OUT_PAIRS = frozenset(
    {
        ("red", "star"),
        ("blue", "cross"),
        ("green", "heart"),
        ("yellow", "cross"),
        ("purple", "diamond"),
        ("orange", "circle"),
        ("teal", "triangle"),
        ("black", "heart"),
        ("pink", "cross"),
        ("brown", "diamond"),
    }
)


@dataclass(frozen=True)
class Item:
    """One shape: centre `x`, `y` and half-size `r` are fractions of the picture's side."""

    colour: str
    shape: str
    x: float
    y: float
    r: float

    @property
    def name(self) -> str:
        """Colour and shape, such as 'red circle'."""
        return f"{self.colour} {self.shape}"

    @property
    def size(self) -> str:
        """'small' or 'big'."""
        return "big" if self.r > 0.125 else "small"

    @property
    def place(self) -> str:
        """Where its centre lies on a 3 x 3 grid, such as 'top left' or 'middle'."""
        row, column = ROWS[min(2, int(self.y * 3))], COLUMNS[min(2, int(self.x * 3))]
        return "middle" if row == column == "middle" else f"{row} {column}"


Scene = tuple[Item, ...]


def _radius(rng: random.Random) -> float:
    return rng.uniform(0.07, 0.105) if rng.random() < 0.5 else rng.uniform(0.145, 0.2)


def _centre(rng: random.Random, r: float) -> float:
    """A coordinate well inside one third of the side, so that 'left' is never a matter of a pixel."""
    third = rng.randrange(3)
    low, high = max(r + 0.02, third / 3 + 0.04), min(1 - r - 0.02, (third + 1) / 3 - 0.04)
    return rng.uniform(low, high) if low < high else (low + high) / 2


def random_scene(rng: random.Random, *, pairs: str = "train", at_most: int = 4) -> Scene:
    """A scene of 1 to `at_most` shapes that do not touch.

    `pairs`: 'train' keeps the held-out colour-shape pairs out, 'held-out' uses at least one of them, 'any'
    does not care (for text, where nothing is seen).
    """
    n = rng.choices(range(1, at_most + 1), weights=[3, 4, 3, 2, 1, 1][:at_most])[0]
    repeat = rng.random() < 0.5  # half of the scenes repeat a look, or counting would always answer "one"
    looks: list[tuple[str, str]] = []
    held_out = sorted(HELD_OUT_PAIRS)
    while len(looks) < n:
        if repeat and looks and rng.random() < 0.6:
            colour, shape = rng.choice(looks)
            if rng.random() < 0.4:
                colour, shape = rng.choice([(rng.choice(list(COLOURS)), shape), (colour, rng.choice(SHAPES))])
        elif pairs == "held-out" and not any(look in HELD_OUT_PAIRS for look in looks):
            colour, shape = rng.choice(held_out)
        else:
            colour, shape = rng.choice(list(COLOURS)), rng.choice(SHAPES)
        if pairs == "train" and (colour, shape) in HELD_OUT_PAIRS:
            continue
        looks.append((colour, shape))
    return _placed(rng, looks)


def _placed(rng: random.Random, looks: list[tuple[str, str]]) -> Scene:
    items: list[Item] = []
    tries = 0
    while len(items) < len(looks):
        tries += 1
        if tries > 400:
            items, tries = [], 0
        r = _radius(rng)
        x, y = _centre(rng, r), _centre(rng, r)
        if all(max(abs(x - o.x), abs(y - o.y)) > r + o.r + 0.02 for o in items):
            items.append(Item(*looks[len(items)], x, y, r))
    return tuple(items)


def _outline(item: Item, side: int, turn: float) -> list[tuple[float, float]]:
    cx, cy, r = item.x * side, item.y * side, item.r * side
    at = lambda angle, k=1.0: (cx + r * k * math.cos(angle), cy + r * k * math.sin(angle))  # noqa: E731
    if item.shape == "triangle":
        return [at(turn - math.pi / 2 + 2 * math.pi * i / 3) for i in range(3)]
    if item.shape == "diamond":
        return [(cx, cy - r), (cx + 0.7 * r, cy), (cx, cy + r), (cx - 0.7 * r, cy)]
    if item.shape == "star":
        return [at(-math.pi / 2 + math.pi * i / 5, 1.0 if i % 2 == 0 else 0.42) for i in range(10)]
    if item.shape == "cross":
        k = r * 0.33
        return [
            (cx - k, cy - r),
            (cx + k, cy - r),
            (cx + k, cy - k),
            (cx + r, cy - k),
            (cx + r, cy + k),
            (cx + k, cy + k),
            (cx + k, cy + r),
            (cx - k, cy + r),
            (cx - k, cy + k),
            (cx - r, cy + k),
            (cx - r, cy - k),
            (cx - k, cy - k),
        ]
    if item.shape == "heart":
        steps = [2 * math.pi * i / 24 for i in range(24)]
        return [
            (
                cx + r * math.sin(t) ** 3,
                cy
                - r * (13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 16,
            )
            for t in steps
        ]
    # A rectangle may be wide, tall or (as in easy-VQA, which has no word for squares) nearly square.
    wide = (1.0, 1.0 - 1.3 * turn) if turn >= 0 else (1.0 + 1.3 * turn, 1.0)
    return [(cx + sx * wide[0] * r, cy + sy * wide[1] * r) for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1))]


def _shade(colour: tuple[int, int, int], rng: random.Random) -> tuple[int, int, int]:
    """The colour a little lighter or darker, and now and then as pure as a computer draws it."""
    if rng.random() < 0.3:
        top = max(colour)
        colour = tuple(255 if c == top and top > 140 else c for c in colour)  # type: ignore[assignment]
    light = rng.randrange(-16, 17)
    red, green, blue = (max(0, min(255, c + light + rng.randrange(-5, 6))) for c in colour)
    return red, green, blue


def draw(scene: Scene, rng: random.Random, side: int = 96) -> Image.Image:
    """The scene as an RGB picture of `side` x `side`, with small jitter of colours and ground,
    anti-aliased.
    """
    big = side * 2
    used = {item.colour for item in scene}
    dark = "white" in used and "black" not in used
    if dark:
        ground = tuple(rng.randrange(40, 75) for _ in range(3))
    elif "white" in used:
        ground = tuple(rng.randrange(165, 190) for _ in range(3))
    else:
        ground = tuple(rng.randrange(205, 256) for _ in range(3))
    picture = Image.new("RGB", (big, big), ground)
    pen = ImageDraw.Draw(picture)
    for item in scene:
        fill = _shade(COLOURS[item.colour], rng)
        if item.shape == "circle":
            box = [
                (item.x - item.r) * big,
                (item.y - item.r) * big,
                (item.x + item.r) * big,
                (item.y + item.r) * big,
            ]
            pen.ellipse(box, fill=fill)
        else:
            pen.polygon(_outline(item, big, rng.uniform(-0.4, 0.4)), fill=fill)
    return picture.resize((side, side), Image.Resampling.BOX)
