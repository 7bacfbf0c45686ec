"""A set as a scene: what each element is called, where it stands, and what stands on what.

Positions are measured against the frame, the least power of ten that holds all coordinates (an element's
size added), so that a scene in 0..100 and one in 0..1 are read alike.
"""

from __future__ import annotations

import colorsys
import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mmagent_set.elements import Elements, Floats

__all__ = ["MOST_RELATED", "Scene", "plain_word"]

Truths = NDArray[np.bool_]
MOST_RELATED = 512  # elements of a set whose relations to each other are looked at
NEAR = 0.02  # of the frame: things so near to one another touch
WALL = 0.005  # of the frame: so near to its side a thing touches it
SIZES = ("size", "radius", "diameter", "width", "height")
NAMED_COLOURS = (
    ("red", 0.0), ("orange", 0.085), ("yellow", 0.165), ("green", 0.34), ("cyan", 0.5), ("blue", 0.6),
    ("purple", 0.78), ("pink", 0.9), ("red", 1.0),
)  # fmt: skip


def plain_word(text: str) -> str:
    """A value as one says it: lower case; a colour in hexadecimal by its nearest name."""
    word = text.strip().lower()
    if not re.fullmatch(r"#[0-9a-f]{6}", word):
        return word
    red, green, blue = (int(word[at : at + 2], 16) / 255 for at in (1, 3, 5))
    hue, light, strength = colorsys.rgb_to_hls(red, green, blue)
    if light < 0.12 or light > 0.92 or strength < 0.15:
        return "black" if light < 0.3 else "white" if light > 0.8 else "grey"
    return min(NAMED_COLOURS, key=lambda named: abs(named[1] - hue))[0]


@dataclass(frozen=True, eq=False)
class Scene:
    """Elements seen as things in boxes; every array is (n,) or (n, n) over them."""

    elements: Elements

    @cached_property
    def frame(self) -> float:
        """Width and height of a box."""
        if not self.elements.axes:
            return 1.0
        far = float(np.nanmax(np.append(self.right, self.lower)))
        return 10.0 ** np.ceil(np.log10(far) - 1e-9) if far > 0 else 1.0

    @cached_property
    def size(self) -> Floats:
        """Width of each element; 0 where nobody said."""
        name = next((one for one in SIZES if one in self.elements.numbers), None)
        return np.zeros(self.elements.n) if name is None else np.nan_to_num(self.elements.numbers[name])

    @cached_property
    def left(self) -> Floats:
        """Where each begins, from the left."""
        return self._axis("x")

    @cached_property
    def upper(self) -> Floats:
        """Where each begins, downwards."""
        own = self._axis("y")
        return own if self.elements.downward else -own - self.size

    @property
    def right(self) -> Floats:
        """Where each ends, from the left."""
        return self.left + self.size

    @property
    def lower(self) -> Floats:
        """Where each ends, downwards."""
        return self.upper + self.size

    def _axis(self, axis: str) -> Floats:
        name = self.elements.axes.get(axis)
        return np.zeros(self.elements.n) if name is None else np.nan_to_num(self.elements.numbers[name])

    @cached_property
    def words(self) -> list[set[str]]:
        """What each element is called: its words, and how large it is."""
        found: list[set[str]] = [set() for _ in range(self.elements.n)]
        for _, texts in sorted(self.elements.words.items()):
            for own, text in zip(found, texts, strict=True):
                own.update(plain_word(text).split())
        if self.size.any():
            for own, share in zip(found, (self.size / self.frame).tolist(), strict=True):
                own.add("small" if share < 0.15 else "medium" if share < 0.25 else "big")
        return found

    def touches(self, side: str) -> Truths:
        """Which elements touch a side of their box: left, right, top, bottom; any, or corner."""
        if side == "any":
            return self.touches("left") | self.touches("right") | self.touches("top") | self.touches("bottom")
        if side == "corner":
            upright = self.touches("top") | self.touches("bottom")
            return upright & (self.touches("left") | self.touches("right"))
        slack = WALL * self.frame
        begins, ends = (self.left, self.right) if side in ("left", "right") else (self.upper, self.lower)
        return np.asarray(begins <= slack if side in ("left", "top") else ends >= self.frame - slack)

    def extreme(self, side: str) -> Truths:
        """Which elements are the topmost or the lowest of their group."""
        found = np.zeros(self.elements.n, dtype=bool)
        for group in range(self.elements.n_groups):
            own = np.flatnonzero(self.elements.groups == group)
            if len(own):
                at = self.upper[own]
                found[own] = at == (at.min() if side == "top" else at.max())
        return found

    @cached_property
    def _together(self) -> Truths:
        groups = self.elements.groups
        return np.asarray((groups[:, None] == groups[None]) & ~np.eye(len(groups), dtype=bool))

    @cached_property
    def _overlap(self) -> Truths:
        """(n, n) whether two elements of a group share a column."""
        return (
            (self.left[:, None] < self.right[None]) & (self.left[None] < self.right[:, None]) & self._together
        )

    @cached_property
    def above(self) -> Truths:
        """(n, n) whether the first is higher than the second, in the same column."""
        return self._overlap & (self.upper[:, None] < self.upper[None])

    @cached_property
    def on(self) -> Truths:
        """(n, n) whether the first stands on the second."""
        return self.above & (np.abs(self.lower[:, None] - self.upper[None]) <= NEAR * self.frame)

    @cached_property
    def beside(self) -> Truths:
        """(n, n) whether two elements of a group touch, on whatever side."""
        slack = NEAR * self.frame
        wide = (self.left[:, None] <= self.right[None] + slack) & (
            self.left[None] <= self.right[:, None] + slack
        )
        high = (self.upper[:, None] <= self.lower[None] + slack) & (
            self.upper[None] <= self.lower[:, None] + slack
        )
        return wide & high & self._together
