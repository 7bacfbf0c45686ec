"""Measures of a graph's structure: components, triangles, distances, cycles; each with a bound on its work.

All of them are the same for every numbering of the nodes; where a bound is passed the measure is None.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmagent_graph.graph import Floats, Graph, Ints

__all__ = ["MOST_WEDGES", "adjacency", "components", "cycle_lengths", "distances", "entropy", "triangles"]

MOST_WEDGES = 20_000_000  # pairs of edges looked at for triangles
SMALL = 256  # nodes of a graph whose distances are all taken
SMALL_EDGES = 1024  # edges of a graph whose cycles are looked for
LONGEST_CYCLE = 8
CHUNK = 1 << 20


def adjacency(n_nodes: int, pairs: Ints) -> tuple[Ints, Ints]:
    """Neighbours of all nodes one after the other, and where each node's begin (n + 1,), of simple edges."""
    both = np.concatenate([pairs, pairs[:, ::-1]])
    order = np.lexsort((both[:, 1], both[:, 0]))
    starts = np.zeros(n_nodes + 1, dtype=np.int64)
    starts[1:] = np.bincount(both[:, 0], minlength=n_nodes).cumsum()
    return both[order, 1], starts


def components(graph: Graph) -> Ints:
    """The number (n,) of each node's component, from 0; directions are not looked at."""
    parent = np.arange(graph.n_nodes, dtype=np.int64)
    left, right = graph.simple[:, 0], graph.simple[:, 1]
    while len(left):
        one, two = parent[left], parent[right]
        apart = one != two
        if not apart.any():
            break
        left, right = left[apart], right[apart]
        one, two = one[apart], two[apart]
        np.minimum.at(parent, np.maximum(one, two), np.minimum(one, two))  # hang roots on lesser roots
        while True:
            higher = parent[parent]
            if np.array_equal(higher, parent):
                break
            parent = higher
    return np.unique(parent, return_inverse=True)[1].astype(np.int64)


def triangles(graph: Graph) -> int | None:
    """How many there are; None where too many pairs of edges would have to be looked at.

    Edges go from the node of lesser degree to the other, so that no node sends many (Chiba and Nishizeki
    1985); every pair that leaves one node is looked up.
    """
    pairs, n = graph.simple, graph.n_nodes
    if not len(pairs):
        return 0
    degree = np.bincount(pairs.reshape(-1), minlength=n)
    if int(np.minimum(degree[pairs[:, 0]], degree[pairs[:, 1]]).sum()) > MOST_WEDGES:
        return None
    rank = np.empty(n, dtype=np.int64)
    rank[np.argsort(degree, kind="stable")] = np.arange(n)
    low = np.sort(rank[pairs], axis=1)
    low = low[np.lexsort((low[:, 1], low[:, 0]))]
    keys = low[:, 0] * n + low[:, 1]
    starts = np.searchsorted(low[:, 0], np.arange(n + 1))
    after = starts[low[:, 0] + 1] - np.arange(len(low)) - 1  # edges of the same node that come later
    found, begin = 0, 0
    upto = after.cumsum()
    while begin < len(low):
        end = max(begin + 1, int(np.searchsorted(upto, (upto[begin - 1] if begin else 0) + CHUNK)))
        many = after[begin:end]
        first = np.repeat(np.arange(begin, end), many)
        offset = np.arange(len(first)) - np.repeat(many.cumsum() - many, many)
        second = first + 1 + offset
        wanted = low[first, 1] * n + low[second, 1]
        at = np.searchsorted(keys, wanted)
        found += int((keys[np.minimum(at, len(keys) - 1)] == wanted).sum())
        begin = end
    return found


def distances(n_nodes: int, pairs: Ints) -> Floats | None:
    """(n, n) edges on the shortest way, inf where there is none; None for more than `SMALL` nodes."""
    if n_nodes > SMALL:
        return None
    near = np.zeros((n_nodes, n_nodes), dtype=np.float32)
    near[pairs[:, 0], pairs[:, 1]] = near[pairs[:, 1], pairs[:, 0]] = 1
    far = np.full((n_nodes, n_nodes), np.inf)
    front = np.eye(n_nodes, dtype=np.float32)
    reached, step = np.zeros((n_nodes, n_nodes), dtype=bool), 0
    while front.any():
        reached |= front > 0
        far[front > 0] = step
        front = ((front @ near > 0) & ~reached).astype(np.float32)
        step += 1
    return far


def cycle_lengths(graph: Graph) -> dict[int, int] | None:
    """How many edges lie on a shortest cycle of each length from 3 to `LONGEST_CYCLE`; under 0 all others.

    None for a graph of more than `SMALL_EDGES` edges.
    """
    pairs = graph.simple
    if len(pairs) > SMALL_EDGES:
        return None
    near: list[list[int]] = [[] for _ in range(graph.n_nodes)]
    for one, two in pairs.tolist():
        near[one].append(two)
        near[two].append(one)
    found = dict.fromkeys((0, *range(3, LONGEST_CYCLE + 1)), 0)
    for one, two in pairs.tolist():
        found[_around(near, one, two)] += 1
    return found


def entropy(counts: Sequence[int] | NDArray[np.int64]) -> float:
    """Bits of a distribution given by counts, added in the order of their size."""
    shares = np.sort(np.asarray(counts, dtype=np.float64))
    shares = shares[shares > 0] / max(shares.sum(), 1.0)
    return float(abs((shares * np.log2(shares)).sum()))


def _around(near: Sequence[Sequence[int]], start: int, goal: int) -> int:
    """Edges of the shortest cycle through an edge, 0 where it is longer than looked for."""
    depth, waiting = {start: 0}, deque([start])
    while waiting:
        node = waiting.popleft()
        if depth[node] >= LONGEST_CYCLE - 1:
            break
        for other in near[node]:
            if other == goal:
                if node == start:
                    continue
                return depth[node] + 2
            if other not in depth:
                depth[other] = depth[node] + 1
                waiting.append(other)
    return 0
