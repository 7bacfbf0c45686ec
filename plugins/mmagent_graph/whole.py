"""What is told of a graph as a whole: a fixed row of numbers, the same for every numbering of the nodes."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from mmagent_graph.colours import hashed
from mmagent_graph.graph import Floats, Graph
from mmagent_graph.measure import components, cycle_lengths, distances, entropy, triangles

__all__ = ["WHOLE", "whole"]

DEGREES = 9  # 0 to 7, and more
SLOTS = 8  # that measured attributes of nodes are hashed to, two numbers each
WHOLE = 64


def whole(graph: Graph) -> Floats:
    """(WHOLE,) sizes, degrees, cycles, distances, entropies, numbers of nodes, weights of edges."""
    told = [*_sizes(graph), *_degrees(graph), *_cycles(graph), *_ways(graph), *_numbers(graph)]
    row = np.zeros(WHOLE)
    row[: len(told)] = told
    return row


def _sizes(graph: Graph) -> Iterable[float]:
    n, m, pairs = graph.n_nodes, graph.n_edges, len(graph.simple)
    parts = int(components(graph).max()) + 1
    three = triangles(graph) or 0
    degree = np.bincount(graph.simple.reshape(-1), minlength=n)
    wedges = int((degree * (degree - 1) // 2).sum())
    yield from (_log(n), _log(m), parts == 1, _log(parts), float(graph.directed), _log(graph.n_loops))
    yield from (_log(pairs - n + parts), _log(m - graph.n_loops - pairs), 2 * pairs / max(n * (n - 1), 1))
    yield from (math.sqrt(n), math.sqrt(m), _log(three), 3 * three / max(wedges, 1))


def _degrees(graph: Graph) -> Iterable[float]:
    counts = np.bincount(np.minimum(graph.degrees, DEGREES - 1), minlength=DEGREES)
    yield from (counts / graph.n_nodes).tolist()
    yield from (entropy(np.bincount(graph.degrees)), _log(int(graph.degrees.max())))
    for texts in (graph.labels, graph.edge_labels):
        yield entropy(np.unique(texts, return_counts=True)[1]) if len(texts) else 0.0
        yield sum(text == "" for text in texts) / max(len(texts), 1)


def _cycles(graph: Graph) -> Iterable[float]:
    """Edges on cycles of 3 to 8, and on none so short; all 0 where the graph is too large to look."""
    found = cycle_lengths(graph)
    yield from ([0.0] * 7 if found is None else [_log(count) for count in found.values()])


def _ways(graph: Graph) -> Iterable[float]:
    """Diameter, mean distance, and the spread of nodes' eccentricity; 0 where the graph is too large."""
    far = distances(graph.n_nodes, graph.simple)
    if far is None:
        return (0.0, 0.0, 0.0)
    there = np.where(np.isfinite(far), far, 0)
    steps = np.bincount(there.reshape(-1).astype(np.int64))  # whole numbers: their order cannot matter
    pairs = max(int(np.isfinite(far).sum()) - graph.n_nodes, 1)
    reach = np.bincount(there.max(axis=1).astype(np.int64))
    total = sum(at * int(count) for at, count in enumerate(steps))
    return (float(len(steps) - 1), total / pairs, entropy(reach))


def _numbers(graph: Graph) -> Iterable[float]:
    slots = np.zeros(2 * SLOTS)
    for name, values in sorted(graph.numbers.items()):
        mean, spread = _summed(values)
        at = hashed(name) % SLOTS
        slots[2 * at] += mean
        slots[2 * at + 1] += spread
    yield from slots.tolist()
    yield from (0.0, 0.0) if graph.weights is None else _summed(graph.weights)


def _summed(values: Floats) -> tuple[float, float]:
    """Mean and spread of what is not missing, on a logarithmic scale; the sums are exact."""
    there = values[np.isfinite(values)].tolist()
    if not there:
        return 0.0, 0.0
    largest = max(abs(value) for value in there) or 1.0
    scaled = [value / largest for value in there]  # squares of large numbers would be infinite
    mean = math.fsum(scaled) / len(scaled)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in scaled) / len(scaled))
    return _signed(mean * largest), _signed(spread * largest)


def _log(count: float) -> float:
    return math.log1p(max(count, 0))


def _signed(value: float) -> float:
    return math.copysign(math.log1p(abs(value)), value)
