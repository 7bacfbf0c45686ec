"""What the elements of a set are called and how they stand to each other, hashed and counted.

phi of an element is what is said of it: each word, each pair of its words, its place, its number binned, and
its relation to others of its group; each saying has a place among `SAID` by its hash (Weinberger et al. 2009,
"Feature Hashing"). The set is the sum of them, the number of groups in which something is said, and the most
that it is said in one group: the sum and max pooling of DeepSets (Zaheer et al. 2017).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from itertools import combinations

import numpy as np

from mmagent_set.elements import Elements, Floats
from mmagent_set.scene import MOST_RELATED, Scene

__all__ = ["ATTRIBUTES", "MEASURED", "SAID", "attributes", "measured", "said"]

SAID = 256
POOLED = 128  # of the sayings' number of groups, and of the most of a group
ATTRIBUTES = SAID + 2 * POOLED
SLOTS = 16
MEASURED = 4 * SLOTS
MOST_TOLD = 20_000  # elements, and relations, of which all is said; of more only their words
MOST_WORDS = 12  # of an element whose pairs of words are said
MOST_PAIRS = 1_000_000


def said(elements: Elements) -> list[list[int]]:
    """For each element, the places among `SAID` of what is said of it; nothing for bare points."""
    if not elements.words and (elements.n_groups == 1 or not elements.numbers):
        return [[] for _ in range(elements.n)]
    scene = Scene(elements)
    told = [sorted(own) for own in scene.words]
    brief = sum(map(len, told)) ** 2 <= MOST_PAIRS * elements.n and max(map(len, told)) <= MOST_WORDS
    sayings: list[list[str]] = [
        [*own, *map(" ".join, combinations(own, 2))] if brief else [*own] for own in told
    ]
    if elements.axes and elements.n <= MOST_TOLD:
        for side in ("left", "right", "top", "bottom", "corner"):
            for at in np.flatnonzero(scene.touches(side)):
                sayings[at] += _about(f"touches {side}", told[at])
        for side in ("top", "bottom"):
            for at in np.flatnonzero(scene.extreme(side)):
                sayings[at] += _about(f"is {side}", told[at])
    if elements.axes and brief and elements.n <= MOST_RELATED:
        for name, relation in (("on", scene.on), ("beside", scene.beside)):
            for one, two in np.argwhere(relation).tolist() if relation.sum() <= MOST_TOLD else ():
                sayings[one] += [f"{mine} {name} {theirs}" for mine in told[one] for theirs in told[two]]
    known = {text: _hashed(text) for text in {text for own in sayings for text in own}}
    return [[known[text] for text in own] for own in sayings]


def attributes(elements: Elements, sayings: list[list[int]]) -> Floats:
    """(ATTRIBUTES,) the sum over elements, over groups, and the most of a group, as logarithms."""
    table = np.zeros((elements.n_groups, SAID))
    for group, own in zip(elements.groups.tolist(), sayings, strict=True):
        np.add.at(table[group], own, 1.0)
    folded = table.reshape(elements.n_groups, -1, POOLED).sum(axis=1)
    pooled: Floats = np.concatenate([table.sum(axis=0), (folded > 0).sum(axis=0), folded.max(axis=0)])
    return np.asarray(np.log1p(pooled))


def measured(elements: Elements) -> Floats:
    """(MEASURED,) mean, spread, least and largest of numbers that are no coordinates, by name."""
    row = np.zeros((SLOTS, 4))
    for name in sorted(set(elements.numbers) - set(elements.axes.values())):
        values = elements.numbers[name]
        values = values[np.isfinite(values)]
        if len(values):
            unit = float(np.abs(values).max()) or 1.0
            told = (values.mean(), unit * (values / unit).std(), values.min(), values.max())
            slot = int(name.split()[-1]) - 1 if name.startswith("column ") else _hashed(name)
            row[slot % SLOTS] += [math.copysign(math.log1p(abs(value)), value) for value in told]
    return row.reshape(-1)


def _about(what: str, words: Iterable[str]) -> list[str]:
    return [what, *(f"{word} {what}" for word in words)]


def _hashed(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") % SAID
