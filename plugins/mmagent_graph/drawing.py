"""A graph drawn so that nodes lie as far apart as there are edges between them; at most 150 nodes of it.

Stress majorisation (Gansner, Koren and North 2004, "Graph Drawing by Stress Majorization"), the layout by
springs between all pairs of nodes (Kamada and Kawai 1989) with steps that cannot make it worse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mmagent.profile import many
from mmagent_graph.graph import Floats, Graph, Ints
from mmagent_graph.measure import adjacency, distances

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["MOST", "draw", "layout", "part"]

MOST = 150  # nodes in a drawing
STEPS = 60
AROUND = 0.6  # steps from the outermost nodes to the frame
FLATTEST = 0.15  # height of the frame as a share of its width, at least
ARROW = 0.65  # of an edge, where the head of its arrow lies
LABELLED = 60  # nodes up to which each has its label written into it
COLOURS = {"C": "#808080", "O": "#e05050", "N": "#5070e0", "S": "#d0b020", "F": "#40b060", "Cl": "#40b060"}


def draw(graph: Graph, figure: Figure) -> None:
    """Nodes as dots with their labels, edges as lines, wider where they are double or triple."""
    chosen, pairs = part(graph)
    places = layout(len(chosen), pairs)
    axes = figure.add_subplot()
    widths = _widths(graph)
    for one, two in pairs.tolist():
        width = widths.get((int(chosen[one]), int(chosen[two])), 1.0)
        axes.plot(*places[[one, two]].T, color="#a0a0a0", linewidth=width, zorder=1)
    if graph.directed:
        _arrows(axes, graph, chosen, places)
    labels = [graph.labels[at] for at in chosen]
    kinds = sorted(set(labels))
    colours = [COLOURS.get(label, f"C{kinds.index(label) % 10}") for label in labels]
    size = 180 if len(chosen) <= LABELLED else 25
    axes.scatter(places[:, 0], places[:, 1], s=size, c=colours, edgecolors="white", zorder=2)
    if len(chosen) <= LABELLED:
        for place, label in zip(places, labels, strict=True):
            axes.annotate(label[:6], place, ha="center", va="center", fontsize=7, color="white", zorder=3)
    whole = len(chosen) == graph.n_nodes
    shown = (
        many(graph.n_nodes, "node")
        if whole
        else f"{len(chosen)} of {graph.n_nodes:,} nodes, around the best joined"
    )
    axes.set_title(f"{shown}, {many(len(pairs), 'edge')} shown", fontsize=9)
    axes.set_aspect("equal")
    low, high = places.min(axis=0) - AROUND, places.max(axis=0) + AROUND
    short = max(0.0, FLATTEST * (high[0] - low[0]) - (high[1] - low[1])) / 2
    axes.set(xlim=(low[0], high[0]), ylim=(low[1] - short, high[1] + short))
    axes.set_axis_off()


def _arrows(axes: Axes, graph: Graph, chosen: Ints, places: Floats) -> None:
    """A head on each edge that is drawn, past its middle, so that two of opposite ways are both seen."""
    place = np.full(graph.n_nodes, -1)
    place[chosen] = np.arange(len(chosen))
    ends = np.unique(place[graph.ends], axis=0)
    ends = ends[(ends >= 0).all(axis=1) & (ends[:, 0] != ends[:, 1])]
    start = places[ends[:, 0]]
    along = (places[ends[:, 1]] - start) * ARROW
    look: dict[str, Any] = {
        "angles": "xy",
        "scale_units": "xy",
        "scale": 1,
        "width": 0.0015,
        "headwidth": 7,
        "headlength": 9,
    }
    axes.quiver(*start.T, *along.T, color="#808080", headaxislength=9, zorder=1, **look)


def part(graph: Graph) -> tuple[Ints, Ints]:
    """The nodes (k,) that are drawn and the edges (e, 2) among them, by their place in it.

    All of a small graph; of a large one those met first on the way out from the node with most edges.
    """
    n = graph.n_nodes
    if n <= MOST:
        return np.arange(n), graph.simple
    near, starts = adjacency(n, graph.simple)
    chosen = {int(graph.degrees.argmax()): None}
    waiting = list(chosen)
    while waiting and len(chosen) < MOST:
        node = waiting.pop(0)
        for other in near[starts[node] : starts[node + 1]].tolist():
            if other not in chosen and len(chosen) < MOST:
                chosen[other] = None
                waiting.append(other)
    nodes = np.sort(np.fromiter(chosen, dtype=np.int64))
    place = np.full(n, -1)
    place[nodes] = np.arange(len(nodes))
    inner = place[graph.simple]
    return nodes, inner[(inner >= 0).all(axis=1)]


def layout(n_nodes: int, pairs: Ints) -> Floats:
    """Places (n, 2) of nodes; parts that are not joined lie side by side. n is at most `MOST`."""
    far = distances(n_nodes, pairs)
    assert far is not None
    reach = float(far[np.isfinite(far)].max())
    wanted = np.where(np.isfinite(far), far, reach / 2 + 2)
    if n_nodes < 3:
        return np.stack([np.arange(n_nodes, dtype=np.float64), np.zeros(n_nodes)], axis=1)
    places = _unfolded(wanted)
    weights = np.where(wanted > 0, 1 / np.maximum(wanted, 1) ** 2, 0)
    laplacian = np.diag(weights.sum(axis=1)) - weights
    inverse = np.linalg.pinv(laplacian)
    for _ in range(STEPS):
        apart = np.sqrt(((places[:, None] - places[None]) ** 2).sum(axis=2))
        pull = weights * wanted / np.maximum(apart, 1e-9)
        places = inverse @ (pull.sum(axis=1)[:, None] * places - pull @ places)
    return _lying(places)


def _lying(places: Floats) -> Floats:
    """The same drawing turned so that it is widest from left to right: pictures are wider than high."""
    centred = places - places.mean(axis=0)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1]
    return np.asarray(centred @ axes)


def _unfolded(wanted: Floats) -> Floats:
    """A start: classical scaling of the distances, and a little that keeps equal nodes apart."""
    n = len(wanted)
    centre = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(-0.5 * centre @ wanted**2 @ centre)
    start = vectors[:, -2:] * np.sqrt(np.maximum(values[-2:], 1e-9))
    return np.asarray(start + 0.01 * np.random.default_rng(0).standard_normal((n, 2)))


def _widths(graph: Graph) -> dict[tuple[int, int], float]:
    """Widths of the lines of double, triple and aromatic bonds, by their ends."""
    known = {"double": 2.5, "triple": 4.0, "aromatic": 1.8}
    return {
        (min(one, two), max(one, two)): known[label]
        for (one, two), label in zip(graph.ends.tolist(), graph.edge_labels, strict=True)
        if label in known
    }
