"""The encoder `builtin`: counts of hashed colours, and measures of the whole graph; nothing is trained.

What stands at each place of a feature, `d_encoder` numbers in all:

    whole     sizes, degrees, cycles, distances, entropies, node numbers and weights of the whole graph
    labels    how many nodes have a label, folded to a fixed width by its hash
    details   the same of label and details together
    pairs     how many nodes have a label and neighbours of such labels (one round of message passing)
    around    the same with details

The counts are those of the Weisfeiler-Lehman subtree kernel (Shervashidze et al. 2011), folded as in
Weinberger et al. 2009, "Feature Hashing". Of the second round only which nodes look alike is kept: its counts
made a linear model worse on 900 molecules. They are whole numbers, and every sum of fractions is made in
the order of size, so a graph has the very same features however its nodes are numbered.
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
from mmagent_graph.colours import Colours, hashed, mixed, of_texts, refined
from mmagent_graph.graph import Floats, Graph
from mmagent_graph.whole import WHOLE, whole

__all__ = ["BLOCKS", "CLASSES", "GraphEncoder", "features_of"]

VERSION = 1  # of the features; another one gives another id
BLOCKS: Mapping[str, int] = {"whole": WHOLE, "labels": 64, "details": 128, "pairs": 64, "around": 64}
"""Width of each block, in its order."""
CLASSES = 31  # features of nodes that look alike, beside the one of the whole


class GraphEncoder:
    """Graphs to features; it has no weights.

    A graph of which c kinds of nodes look alike within two steps has min(c, 31) + 1 features: the whole, then
    the kinds, the most frequent first, each holding what its nodes add to the counts. The pooled feature is
    that of the whole and the counts over all nodes.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)

    @classmethod
    def load(cls, location: str, *, device: torch.device, dtype: torch.dtype) -> GraphEncoder:
        """The encoder `builtin`; features are float32 whatever `dtype` is. Raises `UserError`."""
        if location != "builtin":
            raise UserError(
                f"there is no graph encoder {location!r}. There is one: builtin, which needs no files."
            )
        return cls(device)

    @property
    def d_encoder(self) -> int:
        """Width of a feature."""
        return sum(BLOCKS.values())

    @cached_property
    def id(self) -> str:
        """sha256 over the version and the blocks."""
        told = ["mmagent-graph", str(VERSION), *(f"{name} {width}" for name, width in BLOCKS.items())]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()

    def encode(self, batch: Sequence[Graph]) -> Features:
        """Features of graphs: values (B, n, d_encoder), mask (B, n), pooled (B, d_encoder); float32."""
        return stacked([features_of(graph) for graph in batch], self.d_encoder, self.device)


def features_of(graph: Graph) -> tuple[Floats, Floats]:
    """Features of a graph's parts (n, d), the whole first, and of all of it (d,)."""
    plain = refined(graph, of_texts(graph.labels), 1)
    detail = [f"{label}|{more}" for label, more in zip(graph.labels, graph.details, strict=True)]
    fine = refined(graph, of_texts(detail), 2)
    columns = [plain[0], fine[0], plain[1], fine[1]]
    first = np.cumsum([0, *BLOCKS.values()])[1:-1]
    places = [_folded(one, width) + at for one, width, at in zip(columns, _widths(), first, strict=True)]
    kinds, of = np.unique(fine[2], return_inverse=True)
    d = sum(BLOCKS.values())
    pooled = np.zeros(d)
    pooled[:WHOLE] = whole(graph)
    for place in places:
        np.add.at(pooled, place, 1.0)
    counts = np.bincount(of)
    shown = np.lexsort((kinds, -counts))[:CLASSES]  # the most frequent; equally frequent ones by their colour
    parts = np.zeros((1 + len(shown), d))
    parts[0, :WHOLE] = pooled[:WHOLE]
    rank = np.full(len(kinds), -1)
    rank[shown] = np.arange(1, 1 + len(shown))
    seen = np.flatnonzero(rank[of] > 0)
    for place in places:
        np.add.at(parts, (rank[of[seen]], place[seen]), 1.0)
    return _damped(parts), _damped(pooled)


def _widths() -> list[int]:
    return [width for name, width in BLOCKS.items() if name != "whole"]


def _folded(colours: Colours, width: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return (mixed(colours ^ np.uint64(hashed(str(width)))) % np.uint64(width)).astype(np.int64)


def _damped(values: Floats) -> Floats:
    """Counts as they are up to 32, and growing as their logarithm beyond: large graphs stay comparable."""
    return np.where(values > 32, 32 * (1 + np.log(np.maximum(values, 1) / 32)), values)
