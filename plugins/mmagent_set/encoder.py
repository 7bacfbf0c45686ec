"""The encoder `builtin` of sets: fixed features of each element, pooled over the set (Zaheer et al. 2017).

What stands at each place of a feature:

    whole     how many elements and groups, how they are dealt out, what is missing
    measured  numbers that are no coordinates
    cloud     where the elements lie
    said      what is said of them: words, pairs of words, places, relations
    claim     how a statement that came with the set stands to it

A set with a statement about it is pooled to `claim` alone: the rest says nothing of whether that is true.
Everything is made of the set in the order that its content gives, so a set has the very same features in
whatever order its elements come.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import torch

from mmagent.errors import UserError
from mmagent.features import stacked
from mmagent.modality import Features
from mmagent_set.attributes import ATTRIBUTES, MEASURED, SAID, attributes, measured, said
from mmagent_set.elements import MAX_OBJECTS, Elements, Floats
from mmagent_set.points import POINTS, cloud, placed
from mmagent_set.truth import WIDTH, held

__all__ = ["BLOCKS", "SHOWN", "SetEncoder", "features_of"]

VERSION = 1  # of the features; another one gives another id
BLOCKS: Mapping[str, int] = {
    "whole": 32,
    "measured": MEASURED,
    "cloud": POINTS,
    "said": ATTRIBUTES,
    "claim": WIDTH,
}
"""Width of each block, in its order."""
SHOWN = 23  # features of single elements, beside the one of the whole


class SetEncoder:
    """Sets to features; it has no weights.

    A set of n elements with words has min(n, 23) + 1 features: the whole, then elements in canonical order,
    each with its place and what is said of it; a set of bare points has that of the whole alone.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)

    @classmethod
    def load(cls, location: str, *, device: torch.device, dtype: torch.dtype) -> SetEncoder:
        """The encoder `builtin`; features are float32 whatever `dtype` is. Raises `UserError`."""
        if location != "builtin":
            raise UserError(
                f"there is no set encoder {location!r}. There is one: builtin, which needs no files."
            )
        return cls(device)

    @property
    def d_encoder(self) -> int:
        """Width of a feature."""
        return sum(BLOCKS.values())

    @cached_property
    def id(self) -> str:
        """sha256 over the version and the blocks."""
        told = ["mmagent-set", str(VERSION), *(f"{name} {width}" for name, width in BLOCKS.items())]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()

    def encode(self, batch: Sequence[Elements]) -> Features:
        """Features of sets: values (B, n, d_encoder), mask (B, n), pooled (B, d_encoder); float32."""
        return stacked([features_of(elements) for elements in batch], self.d_encoder, self.device)


def features_of(elements: Elements) -> tuple[Floats, Floats]:
    """Features (n, d) of the whole and of single elements, and the pooled one (d,)."""
    own = elements.canonical
    first = dict(zip(BLOCKS, np.cumsum([0, *BLOCKS.values()]).tolist(), strict=False))
    told = said(own) if own.n <= MAX_OBJECTS else []
    whole = np.zeros(sum(BLOCKS.values()))
    parts = {"whole": _whole(own), "measured": measured(own), "cloud": cloud(own), "claim": held(own)}
    if told:
        parts["said"] = attributes(own, told)
    for name, part in parts.items():
        whole[first[name] : first[name] + len(part)] = part
    shown = min(own.n, SHOWN) if any(told) else 0
    values = np.zeros((1 + shown, len(whole)))
    values[0] = whole
    places = np.nan_to_num(placed(own)[0][:shown])
    values[1:, first["cloud"] : first["cloud"] + 3] = places
    for at in range(shown):
        np.add.at(values[1 + at, first["said"] : first["said"] + SAID], told[at], 1.0)
    pooled = whole.copy()
    if parts["claim"].any():
        pooled[: first["claim"]] = 0
    return values, pooled


def _whole(elements: Elements) -> Floats:
    row = np.zeros(BLOCKS["whole"])
    sizes = np.sort(np.bincount(elements.groups, minlength=elements.n_groups))
    blanks = [sum(text == "" for text in texts) for texts in elements.words.values()]
    blanks += [int(np.isnan(values).sum()) for values in elements.numbers.values()]
    kinds = [len(set(texts)) for texts in elements.words.values()]
    told = [
        np.log1p(elements.n),
        np.log1p(elements.n_groups),
        elements.n_groups > 1,
        np.log1p(sizes[-1]),
        np.log1p(sizes[0]),
        sum(blanks) / max(elements.n * len(blanks), 1),
        float(len(elements.axes)),
        float(bool(elements.words)),
        np.log1p(sum(kinds)),
        *(min(elements.n, 8) == count for count in range(1, 9)),
        *(float((sizes == count).sum()) for count in range(8)),
    ]
    row[: len(told)] = told
    return row
