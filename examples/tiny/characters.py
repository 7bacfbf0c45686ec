"""Invented handwritten characters: a class is a few random strokes, an example is the same strokes by an
unsteady hand.

They teach the encoder what makes two drawings the same character without naming any alphabet that the table
tests.
"""

from __future__ import annotations

import math
import random

from PIL import Image, ImageDraw

Stroke = list[tuple[float, float]]


def character(seed: int) -> list[Stroke]:
    """The strokes of invented character number `seed`: control points in the unit square."""
    rng = random.Random(f"character {seed}")
    strokes: list[Stroke] = []
    end = (rng.uniform(0.15, 0.85), rng.uniform(0.15, 0.85))
    for _ in range(rng.choices((1, 2, 3, 4), weights=(2, 4, 4, 2))[0]):
        start = end if rng.random() < 0.3 else (rng.uniform(0.12, 0.88), rng.uniform(0.12, 0.88))
        kind = rng.random()
        if kind < 0.35:  # a line
            points = [start, (rng.uniform(0.12, 0.88), rng.uniform(0.12, 0.88))]
        elif kind < 0.55:  # an arc or a ring
            radius, a0 = rng.uniform(0.1, 0.3), rng.uniform(0, 2 * math.pi)
            sweep = rng.choice((math.pi * 0.8, math.pi * 1.3, 2 * math.pi)) * rng.choice((-1, 1))
            points = [
                (
                    start[0] + radius * math.cos(a0 + sweep * i / 8),
                    start[1] + radius * math.sin(a0 + sweep * i / 8),
                )
                for i in range(9)
            ]
        else:  # a bent line
            points = [start] + [
                (rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9)) for _ in range(rng.choice((2, 3)))
            ]
        strokes.append(points)
        end = points[-1]
    return strokes


def _curve(points: Stroke, steps: int = 14) -> Stroke:
    """A smooth line through the points (Catmull-Rom)."""
    if len(points) < 3:
        return points
    padded = [points[0], *points, points[-1]]
    out: Stroke = []
    for p0, p1, p2, p3 in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        for i in range(steps):
            t = i / steps
            out.append(
                tuple(  # type: ignore[arg-type]
                    0.5
                    * (
                        2 * b
                        + (c - a) * t
                        + (2 * a - 5 * b + 4 * c - d) * t * t
                        + (3 * b - a - 3 * c + d) * t**3
                    )
                    for a, b, c, d in zip(p0, p1, p2, p3, strict=True)
                )
            )
    return [*out, points[-1]]


def draw_character(strokes: list[Stroke], rng: random.Random, side: int = 96) -> Image.Image:
    """One drawing of the character, black on white: jittered points, a random slant, size and pen width."""
    big = side * 2
    angle, shear = rng.gauss(0, 0.12), rng.gauss(0, 0.12)
    sx, sy = rng.uniform(0.75, 1.05), rng.uniform(0.75, 1.05)
    dx, dy = rng.gauss(0, 0.03), rng.gauss(0, 0.03)
    cos, sin = math.cos(angle), math.sin(angle)
    picture = Image.new("L", (big, big), 255)
    pen = ImageDraw.Draw(picture)
    width = max(2, round(big * rng.uniform(0.018, 0.034)))
    for stroke in strokes:
        shaky = [(x + rng.gauss(0, 0.022), y + rng.gauss(0, 0.022)) for x, y in stroke]
        placed = []
        for x, y in _curve(shaky):
            x, y = (x - 0.5) * sx + shear * (y - 0.5), (y - 0.5) * sy
            placed.append(((cos * x - sin * y + 0.5 + dx) * big, (sin * x + cos * y + 0.5 + dy) * big))
        pen.line(placed, fill=0, width=width, joint="curve")
    return picture.resize((side, side), Image.Resampling.BOX).convert("RGB")
