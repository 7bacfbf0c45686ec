"""What a graph is made of, told to people, in time and memory that are bounded."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence

import numpy as np

from mmagent.profile import Profile, many
from mmagent_graph.colours import of_texts, stable_classes
from mmagent_graph.drawing import draw
from mmagent_graph.graph import Graph
from mmagent_graph.measure import SMALL, components, cycle_lengths, distances, entropy, triangles

__all__ = ["profile"]

SHOWN = 8  # kinds that are listed
ROUNDS = 20  # of refinement, after which nodes that look alike count as symmetric


def profile(graph: Graph) -> Profile:
    """Elements, structure, information and gaps of a graph, with its drawing."""
    molecule = graph.origin in ("SMILES", "atoms and bonds")
    nodes, edges = ("atoms", "bonds") if molecule else ("nodes", "edges")
    pairs = graph.simple
    n, parts = graph.n_nodes, components(graph)
    count = int(parts.max()) + 1
    rings = len(pairs) - n + count
    kind = "molecule" if molecule else "graph"
    summary = (
        f"{kind} from {graph.origin}, {many(n, nodes[:-1])}, {many(graph.n_edges, edges[:-1])}, "
        f"{many(count, 'part')}"
    )
    return Profile(
        summary,
        {
            "elements": {
                nodes: n,
                edges: graph.n_edges,
                f"kinds of {nodes}": _shown(graph.labels),
                f"kinds of {edges}": _shown(graph.edge_labels),
                "edges have a direction": graph.directed,
                **{f"{name} (mean)": _mean(values) for name, values in sorted(graph.numbers.items())[:SHOWN]},
                **({} if graph.weights is None else {"weight (mean)": _mean(graph.weights)}),
            },
            "sampling": {
                "read from": graph.origin,
                "one node is": "an atom with its hydrogens" if molecule else "a node",
                "density (share of possible edges)": _round(2 * len(pairs) / max(n * (n - 1), 1)),
            },
            "structure": {
                "connected components": count,
                "largest component (share of nodes)": _round(int(np.bincount(parts).max()) / n),
                "degree (mean)": _round(float(graph.degrees.mean())),
                "degree (largest)": int(graph.degrees.max()),
                "nodes by degree": _degrees(graph),
                "independent cycles": rings,
                "edges on cycles, by length": _cycles(graph),
                "clustering": _clustering(graph),
                **_diameter(graph),
            },
            "information": {
                "entropy of degrees (bits)": _round(entropy(np.bincount(graph.degrees))),
                f"entropy of kinds of {nodes} (bits)": _round(entropy([*Counter(graph.labels).values()])),
                f"entropy of kinds of {edges} (bits)": _round(
                    entropy([*Counter(graph.edge_labels).values()])
                ),
                f"{nodes} that repeat another (share)": _alike(graph),
                "compressed size (share)": _compressed(graph),
            },
            "noise": {
                f"{nodes} without a label (share)": _share(graph.labels),
                f"{edges} without a label (share)": _share(graph.edge_labels),
                "missing numbers (share)": _missing(graph),
                "self-loops": graph.n_loops,
                "repeated edges": graph.n_edges - graph.n_loops - len(pairs),
                f"{nodes} without an edge": int((graph.degrees == 0).sum()),
                "attributes left out (names of single nodes)": ", ".join(graph.left_out) or None,
            },
        },
        lambda figure: draw(graph, figure),
    )


def _shown(texts: Sequence[str]) -> str | None:
    """The most frequent texts with their numbers, equally frequent ones in the order of the alphabet."""
    found = sorted(Counter(text for text in texts if text).items(), key=lambda one: (-one[1], one[0]))
    if not found:
        return None
    told = ", ".join(f"{text} {count:,}" for text, count in found[:SHOWN])
    return f"{told}, and {len(found) - SHOWN:,} more" if len(found) > SHOWN else told


def _degrees(graph: Graph) -> str:
    counts = np.bincount(graph.degrees)
    told = [f"{degree}: {int(count):,}" for degree, count in enumerate(counts) if count]
    return ", ".join(told[:SHOWN]) + (f", and {len(told) - SHOWN:,} larger" if len(told) > SHOWN else "")


def _cycles(graph: Graph) -> str | None:
    found = cycle_lengths(graph)
    if found is None:
        return None
    told = [f"{length}: {count:,}" for length, count in found.items() if length and count]
    return ", ".join(told) or "none"


def _clustering(graph: Graph) -> float | None:
    """Transitivity: closed triples of nodes among all connected ones."""
    found = triangles(graph)
    degree = np.bincount(graph.simple.reshape(-1), minlength=graph.n_nodes)
    wedges = int((degree * (degree - 1) // 2).sum())
    return None if found is None else _round(3 * found / wedges) if wedges else 0.0


def _diameter(graph: Graph) -> dict[str, int]:
    """The longest shortest way; of a large graph at least how long it is, seen from some nodes."""
    far = distances(graph.n_nodes, graph.simple)
    if far is not None:
        return {"diameter (edges)": int(far[np.isfinite(far)].max())}
    return {f"diameter (edges, at least; graph of more than {SMALL} nodes)": _reach(graph)}


def _reach(graph: Graph) -> int:
    """The longest way found by going to the farthest node, and from there to the farthest, a few times."""
    left = np.concatenate([graph.simple[:, 0], graph.simple[:, 1]])
    right = np.concatenate([graph.simple[:, 1], graph.simple[:, 0]])
    order = np.argsort(left, kind="stable")
    right, starts = right[order], np.searchsorted(left[order], np.arange(graph.n_nodes + 1))
    start, longest = int(graph.degrees.argmax()), 0
    for _ in range(3):
        seen = np.zeros(graph.n_nodes, dtype=bool)
        front, steps = np.array([start]), 0
        seen[start] = True
        while True:
            many = starts[front + 1] - starts[front]
            at = np.repeat(starts[front] - (many.cumsum() - many), many) + np.arange(int(many.sum()))
            fresh = np.unique(right[at])
            fresh = fresh[~seen[fresh]]
            if not len(fresh):
                break
            seen[fresh] = True
            front, steps = fresh, steps + 1
        start, longest = int(front[0]), max(longest, steps)
    return longest


def _alike(graph: Graph) -> float:
    """Share of nodes that no refinement tells from some other one, so that the graph says them twice."""
    start = of_texts([f"{label}|{more}" for label, more in zip(graph.labels, graph.details, strict=True)])
    return _round(1 - stable_classes(graph, start, ROUNDS) / graph.n_nodes)


def _compressed(graph: Graph) -> float:
    """What deflate leaves of labels and of the sorted edges as steps from one to the next."""
    pairs = graph.simple[np.lexsort((graph.simple[:, 1], graph.simple[:, 0]))]
    steps = np.diff(pairs, axis=0, prepend=np.zeros((1, 2), dtype=np.int64))
    raw = steps.astype(np.int32).tobytes() + "\n".join(graph.labels).encode()
    return _round(len(zlib.compress(raw, 6)) / max(len(raw), 1))


def _share(texts: Sequence[str]) -> float:
    return _round(sum(text == "" for text in texts) / len(texts)) if texts else 0.0


def _missing(graph: Graph) -> float | None:
    found = [*graph.numbers.values(), *([] if graph.weights is None else [graph.weights])]
    if not found:
        return None
    return _round(sum(int(np.isnan(one).sum()) for one in found) / max(sum(len(one) for one in found), 1))


def _mean(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float | None:
    there = values[np.isfinite(values)]
    return _round(float(there.mean())) if len(there) else None


def _round(value: float) -> float:
    return float(f"{value:.4g}")
