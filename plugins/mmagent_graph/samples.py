"""A few graphs that the reader can be checked with, and what must not change a feature of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mmagent_graph.graph import Graph

__all__ = ["edges_turned", "relabelled", "samples"]

ROADS = ("A,B,1.5", "B,C,2", "C,A,0.25", "C,D,4", "D,D,1")


def samples() -> Sequence[bytes]:
    """Files: a molecule as atoms and bonds, a directed network as GraphML, a list of weighed edges."""
    acid = {"atoms": ["C", "C", "O", "O"], "bonds": [[0, 1, 1], [1, 2, 2], [1, 3, 1]]}
    nodes = "".join(
        f'<node id="n{at}"><data key="k">{"router" if at % 3 else "host"}</data></node>' for at in range(9)
    )
    links = "".join(f'<edge source="n{at}" target="n{at * at % 9}"/>' for at in range(9))
    network = (
        '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">'
        '<key id="k" for="node" attr.name="kind" attr.type="string"/>'
        f'<graph edgedefault="directed">{nodes}{links}</graph></graphml>'
    )
    return [json.dumps(acid).encode(), network.encode(), "\n".join(["u,v,length", *ROADS]).encode()]


def relabelled(graph: Graph, seed: int) -> Graph:
    """The same graph with its nodes numbered in another order."""
    order = np.random.default_rng(seed).permutation(graph.n_nodes)  # which node stands at each place
    place = np.argsort(order)
    return replace(
        graph,
        labels=tuple(graph.labels[at] for at in order),
        details=tuple(graph.details[at] for at in order),
        numbers={name: values[order] for name, values in graph.numbers.items()},
        ends=place[graph.ends],
    )


def edges_turned(graph: Graph, seed: int) -> Graph:
    """The same graph with its edges in another order; of an undirected one some run the other way, too."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(graph.n_edges)
    ends = graph.ends[order]
    if not graph.directed:
        turned = rng.random(len(ends)) < 0.5
        ends[turned] = ends[turned][:, ::-1]
    return replace(
        graph,
        ends=ends,
        edge_labels=tuple(graph.edge_labels[at] for at in order),
        weights=None if graph.weights is None else graph.weights[order],
    )
