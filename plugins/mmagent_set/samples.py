"""A few sets that the reader can be checked with, and what must not change a feature of them."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mmagent_set.elements import Elements

__all__ = ["groups_turned", "permuted", "samples"]

COLOURS = ("black", "yellow", "blue")
SHAPES = ("square", "circle", "triangle")


def samples() -> Sequence[bytes]:
    """Files: points in space, boxes of coloured things with a statement about them, goods with numbers."""
    rng = np.random.default_rng(0)
    stream = io.BytesIO()
    np.save(stream, rng.normal(size=(60, 3)).astype(np.float32))
    boxes = [
        [
            {
                "color": COLOURS[at % 3],
                "type": SHAPES[(at + box) % 3],
                "size": 10 + 10 * (at % 3),
                "x_loc": 20 * at,
                "y_loc": 7 * at * (box + 1),
            }
            for at in range(2 + box)
        ]
        for box in range(3)
    ]
    scene = {"structured_rep": boxes, "sentence": "There is a box with exactly two black items."}
    goods = [{"kind": kind, "weight": weight} for kind, weight in zip("abca", (1, None, 9, 2.5), strict=True)]
    return [stream.getvalue(), json.dumps(scene).encode(), json.dumps(goods).encode()]


def permuted(elements: Elements, seed: int) -> Elements:
    """The same set with its elements in another order."""
    order = np.random.default_rng(seed).permutation(elements.n)
    return replace(
        elements,
        words={name: tuple(texts[at] for at in order) for name, texts in elements.words.items()},
        numbers={name: values[order] for name, values in elements.numbers.items()},
        groups=elements.groups[order],
    )


def groups_turned(elements: Elements, seed: int) -> Elements:
    """The same set with its groups in another order."""
    place = np.random.default_rng(seed).permutation(elements.n_groups)
    return replace(elements, groups=place[elements.groups])
