"""Colours of nodes by message passing without weights: the refinement of Weisfeiler and Leman, hashed.

A node's colour is a 64-bit number. In each round it becomes a hash of itself and of the sum, modulo 2^64, of
hashes of its neighbours' colours and the edges to them (Shervashidze et al. 2011, "Weisfeiler-Lehman Graph
Kernels"; the sum over neighbours is that of GIN, Xu et al. 2019, with a fixed hash for its MLP). Sums of
integers do not hang on their order, so a node gets the very same colour in every numbering of the nodes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmagent_graph.graph import Graph

__all__ = ["Colours", "hashed", "mixed", "of_texts", "refined", "stable_classes"]

Colours = NDArray[np.uint64]
GOLDEN, FIRST, SECOND = (
    np.uint64(0x9E3779B97F4A7C15),
    np.uint64(0xBF58476D1CE4E5B9),
    np.uint64(0x94D049BB133111EB),
)


def mixed(colours: Colours) -> Colours:
    """Each number hashed (splitmix64; Steele et al. 2014)."""
    x = colours + GOLDEN
    x = (x ^ (x >> np.uint64(30))) * FIRST
    x = (x ^ (x >> np.uint64(27))) * SECOND
    return x ^ (x >> np.uint64(31))


def hashed(text: str) -> int:
    """A 64-bit number for a text, the same everywhere."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def of_texts(texts: Sequence[str]) -> Colours:
    """A colour for each text."""
    known = {text: hashed(text) for text in set(texts)}
    return np.array([known[text] for text in texts], dtype=np.uint64)


def refined(graph: Graph, start: Colours, rounds: int) -> list[Colours]:
    """The colours (n,) after 0 to `rounds` rounds."""
    edge = of_texts(graph.edge_labels)
    forth = mixed(edge + np.uint64(1))
    back = mixed(edge + np.uint64(2)) if graph.directed else forth
    first, second = graph.ends[:, 0], graph.ends[:, 1]
    found = [start]
    for _ in range(rounds):
        own = found[-1]
        heard = np.zeros(graph.n_nodes, dtype=np.uint64)
        np.add.at(heard, second, mixed(own[first] ^ forth))
        np.add.at(heard, first, mixed(own[second] ^ back))
        found.append(mixed(mixed(own) * np.uint64(3) + heard))
    return found


def stable_classes(graph: Graph, start: Colours, most_rounds: int) -> int:
    """Classes of nodes that refinement tells apart once nothing changes, or after so many rounds."""
    colours, classes = start, len(np.unique(start))
    for _ in range(most_rounds):
        colours = refined(graph, colours, 1)[1]
        now = len(np.unique(colours))
        if now <= classes:
            return classes
        classes = now
    return classes
