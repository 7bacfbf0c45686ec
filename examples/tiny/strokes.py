"""New characters put together from real strokes: every stroke of every drawing was made by a real hand.

Real alphabets are few, and an encoder that has met few characters tells only those apart. After Lake et al.
2015 ("Human-level concept learning through probabilistic program induction"): a character is a few strokes,
each with its place, hung on the others or not; a drawing of it takes other people's drawings of the same
strokes. Half of the characters are near misses of one another: one stroke is another, turned or moved.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import numpy as np
from pictures import Source
from PIL import Image, ImageDraw

FIRST_UNSEEN = 1_000_000  # characters from this number on were never drawn in training
N_POINTS = 24
PAGE = 105.0  # Omniglot's drawings are 105 pixels wide
SAME = 0.16  # mean distance up to which two people's strokes are held to be the same stroke
Line = np.ndarray[Any, Any]  # (N_POINTS, 2), in page widths, y downwards


@dataclass(frozen=True)
class Placed:
    """A real stroke (`character`, `stroke`) under a linear map, its middle at `at`."""

    character: int
    stroke: int
    turn: float
    stretch: tuple[float, float]
    at: tuple[float, float]


def even(points: list[list[float]]) -> Line:
    """A pen's path as `N_POINTS` points, evenly spaced."""
    path = np.array([[x, -y] for x, y, *_ in points]) / PAGE
    along = np.concatenate([[0], np.hypot(*np.diff(path, axis=0).T).cumsum()])
    if along[-1] == 0:
        return np.repeat(path[:1], N_POINTS, 0)
    at = np.linspace(0, along[-1], N_POINTS)
    return np.stack([np.interp(at, along, path[:, k]) for k in (0, 1)], 1)


def matched(strokes: list[Line], like: list[Line]) -> list[Line] | None:
    """The strokes in the order and direction of `like`, None if they are not the same strokes."""
    if len(strokes) != len(like) or len(like) > 4:
        return None
    best, found = SAME * len(like), None
    for order in permutations(strokes):
        turned = [
            min((s, s[::-1]), key=lambda v: float(np.abs(v - k).sum()))
            for s, k in zip(order, like, strict=True)
        ]
        apart = sum(float(np.hypot(*(s - k).T).mean()) for s, k in zip(turned, like, strict=True))
        if apart < best:
            best, found = apart, turned
    return found


def middle(line: Line) -> Line:
    """The middle of a stroke's bounding box."""
    return (line.min(0) + line.max(0)) / 2  # type: ignore[no-any-return]


class Strokes:
    """Real strokes, each drawn by several people, and the characters that can be made of them."""

    def __init__(self, letters: Source) -> None:
        self.hands: list[list[list[Line]]] = []  # [character][drawing][stroke]
        for name in letters.names():
            rows = [i for i, label in enumerate(letters.labels) if label == name]
            drawn = [[even(s) for s in letters.info[i]["strokes"]] for i in rows]
            counts = [len(d) for d in drawn]
            usual = [d for d in drawn if len(d) == max(set(counts), key=counts.count)]
            same = [m for d in usual if (m := matched(d, usual[0])) is not None]
            if len(same) >= 4:
                self.hands.append(same)

    def made(self, seed: int) -> list[Placed]:
        """The strokes of made character number `seed`."""
        rng = random.Random(f"made {seed}")
        placed: list[Placed] = []
        for _ in range(rng.choices((1, 2, 3, 4), weights=(2, 5, 4, 1))[0]):
            character = rng.randrange(len(self.hands))
            stroke = rng.randrange(len(self.hands[character][0]))
            size = rng.uniform(0.6, 1.2)
            new = Placed(
                character,
                stroke,
                rng.choice((0, 0.5, 1, 1.5)) * math.pi + rng.gauss(0, 0.2),
                (size * rng.uniform(0.8, 1.25) * rng.choice((1, -1)), size),
                (rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.7)),
            )
            if placed and rng.random() < 0.6:  # it starts, or has its middle, on an earlier stroke
                on = self.line(rng.choice(placed), 0)[rng.randrange(N_POINTS)]
                mine = self.line(new, 0)[rng.choice((0, N_POINTS // 2, N_POINTS - 1))]
                new = replace(new, at=(new.at[0] + on[0] - mine[0], new.at[1] + on[1] - mine[1]))
            placed.append(new)
        return placed

    def near_miss(self, strokes: list[Placed], seed: int) -> list[Placed]:
        """The same character but for one stroke: another one, turned, or moved."""
        rng = random.Random(f"near miss {seed}")
        at, kind = rng.randrange(len(strokes)), rng.random()
        old = strokes[at]
        if kind < 0.4:
            character = rng.randrange(len(self.hands))
            new = replace(old, character=character, stroke=rng.randrange(len(self.hands[character][0])))
        elif kind < 0.7 or len(strokes) == 1:
            new = replace(old, turn=old.turn + rng.choice((0.25, 0.5, -0.25, 1)) * math.pi)
        else:
            angle, far = rng.uniform(0, 2 * math.pi), rng.uniform(0.18, 0.35)
            new = replace(old, at=(old.at[0] + far * math.cos(angle), old.at[1] + far * math.sin(angle)))
        return [*strokes[:at], new, *strokes[at + 1 :]]

    def character(self, number: int) -> list[Placed]:
        """Character `number`: an even one and the odd one after it are near misses of each other."""
        base = self.made(number // 2)
        return self.near_miss(base, number) if number % 2 else base

    def line(self, one: Placed, drawing: int) -> Line:
        """The stroke as drawing number `drawing` (any number) has it, put in its place."""
        real = self.hands[one.character]
        line = real[drawing % len(real)][one.stroke]
        cos, sin = math.cos(one.turn), math.sin(one.turn)
        turned = (line - middle(line)) * one.stretch @ np.array([[cos, sin], [-sin, cos]])
        return turned + one.at  # type: ignore[no-any-return]

    def draw(self, strokes: list[Placed], rng: random.Random, side: int = 96) -> Image.Image:
        """One drawing: each stroke by another hand, black on white, fitted to the page."""
        shaky = lambda p: replace(  # noqa: E731
            p,
            turn=p.turn + rng.gauss(0, 0.08),
            stretch=(p.stretch[0] * rng.uniform(0.88, 1.14), p.stretch[1] * rng.uniform(0.88, 1.14)),
            at=(p.at[0] + rng.gauss(0, 0.02), p.at[1] + rng.gauss(0, 0.02)),
        )
        lines = [self.line(shaky(p), rng.randrange(1000)) for p in strokes]
        low, high = np.concatenate(lines).min(0), np.concatenate(lines).max(0)
        fill = rng.uniform(0.5, 0.85) / max(0.3, float((high - low).max()))
        middle_at = np.array([0.5 + rng.gauss(0, 0.04), 0.5 + rng.gauss(0, 0.04)])
        picture = Image.new("L", (2 * side, 2 * side), 255)
        pen, width = ImageDraw.Draw(picture), max(2, round(2 * side * rng.uniform(0.02, 0.044)))
        for line in lines:
            placed = ((line - (low + high) / 2) * fill + middle_at) * 2 * side
            pen.line([(float(x), float(y)) for x, y in placed], fill=0, width=width, joint="curve")
        return picture.resize((side, side), Image.Resampling.BOX).convert("RGB")
