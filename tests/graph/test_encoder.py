"""Features of graphs: the same for every numbering of the nodes, and different for different graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch

from mmagent.errors import UserError
from mmagent.modality import Features
from mmagent_graph.encoder import BLOCKS, CLASSES, GraphEncoder
from mmagent_graph.graph import Graph, made
from mmagent_graph.measure import components, cycle_lengths, distances, triangles
from mmagent_graph.reader import GraphReader

Needs = Callable[[str], Any]
CPU, FLOAT = torch.device("cpu"), torch.float32


def builtin() -> GraphEncoder:
    return GraphReader().load_encoder("builtin", device=CPU, dtype=FLOAT)


def drawn(seed: int, n: int = 60, m: int = 90, directed: bool = False) -> Graph:
    """A graph with labels, details, weights, numbers, self-loops and repeated edges."""
    rng = np.random.default_rng(seed)
    nodes = {"label": rng.choice(list("abc"), n).tolist(), "size": rng.integers(0, 3, n).tolist()}
    nodes["mass"] = [None if one < 0.2 else float(one) for one in rng.random(n)]
    edges = {"label": rng.choice(["x", "y"], m).tolist(), "weight": rng.standard_normal(m).tolist()}
    return made("drawn", "test", n, rng.integers(0, n, (m, 2)), nodes=nodes, edges=edges, directed=directed)


def renumbered(graph: Graph, seed: int) -> Graph:
    """The same graph with its nodes and edges in another order."""
    rng = np.random.default_rng(seed)
    order, edges = rng.permutation(graph.n_nodes), rng.permutation(graph.n_edges)
    place = np.argsort(order)
    ends = place[graph.ends][edges]
    if not graph.directed:
        turned = rng.random(len(ends)) < 0.5
        ends[turned] = ends[turned][:, ::-1]
    weights = None if graph.weights is None else graph.weights[edges]
    return Graph(
        tuple(graph.labels[at] for at in order),
        tuple(graph.details[at] for at in order),
        {name: values[order] for name, values in graph.numbers.items()},
        ends,
        tuple(graph.edge_labels[at] for at in edges),
        weights,
        graph.directed,
        graph.origin,
    )


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("size", [(1, 0), (7, 9), (60, 90), (400, 900)])
def test_a_renumbered_graph_has_the_very_same_features(size: tuple[int, int], directed: bool) -> None:
    graph = drawn(0, *size, directed=directed)
    first = builtin().encode([graph])
    for seed in range(3):
        second = builtin().encode([renumbered(graph, seed)])
        assert torch.equal(first.values, second.values)
        assert torch.equal(first.mask, second.mask)
        assert torch.equal(first.pooled, second.pooled)


def test_other_labels_edges_directions_and_numbers_give_other_features() -> None:
    told = [
        {"nodes": [{"id": at, "label": "a"} for at in range(4)], "edges": [[0, 1], [1, 2], [2, 3]]},
        {"nodes": [{"id": at, "label": "b"} for at in range(4)], "edges": [[0, 1], [1, 2], [2, 3]]},
        {"nodes": [{"id": at, "label": "a"} for at in range(4)], "edges": [[0, 1], [1, 2], [2, 3], [3, 0]]},
        {"nodes": [{"id": at, "label": "a"} for at in range(4)], "edges": [[0, 1, "x"], [1, 2], [2, 3]]},
        {"nodes": [{"id": at, "label": "a"} for at in range(4)], "edges": [[0, 1, 2.5], [1, 2], [2, 3]]},
        {"nodes": [{"id": at, "label": "a"} for at in range(4)], "edges": [[0, 1], [0, 2], [0, 3]]},
        {"nodes": [{"id": at, "label": "a", "m": 0.5} for at in range(4)], "edges": [[0, 1], [1, 2], [2, 3]]},
        {
            "directed": True,
            "nodes": [{"id": at, "label": "a"} for at in range(4)],
            "edges": [[0, 1], [1, 2], [2, 3]],
        },
    ]
    pooled = builtin().encode([GraphReader().load(one) for one in told]).pooled
    assert len({tuple(row.tolist()) for row in pooled}) == len(told)


def test_a_batch_gives_what_each_graph_gives_alone_and_pads_with_zeros(needs: Needs) -> None:
    needs("rdkit")
    graphs = [drawn(1), GraphReader().load("CCO"), drawn(2, 5, 4)]
    encoder = builtin()
    together = encoder.encode(graphs)
    assert together.values.shape[2] == encoder.d_encoder == sum(BLOCKS.values())
    assert together.values.shape[1] <= CLASSES + 1
    for at, graph in enumerate(graphs):
        alone: Features = encoder.encode([graph])
        n = alone.values.shape[1]
        assert torch.equal(together.values[at, :n], alone.values[0])
        assert not bool(together.values[at, n:].any())
        assert not bool(together.mask[at, n:].any())
        assert torch.equal(together.pooled[at], alone.pooled[0])
    assert encoder.encode([]).pooled.shape == (0, encoder.d_encoder)


def test_atoms_that_look_alike_share_one_feature(needs: Needs) -> None:
    needs("rdkit")
    benzene, toluene = (builtin().encode([GraphReader().load(one)]) for one in ("c1ccccc1", "Cc1ccccc1"))
    assert int(benzene.mask.sum()) == 2  # the whole, and six equal atoms
    assert int(toluene.mask.sum()) == 6  # the whole, methyl, and ring atoms by their distance from it


def test_the_encoder_is_named_by_what_it_does_and_there_is_no_other() -> None:
    assert builtin().id == builtin().id
    assert len(builtin().id) == 64
    with pytest.raises(UserError, match="builtin"):
        GraphReader().load_encoder("gin-large", device=CPU, dtype=FLOAT)


@pytest.mark.parametrize("seed", range(4))
def test_measures_agree_with_networkx(seed: int) -> None:
    made_of = nx.gnp_random_graph(40, 0.06 + 0.05 * seed, seed=seed)
    graph = GraphReader().load(made_of)
    assert int(components(graph).max()) + 1 == nx.number_connected_components(made_of)
    assert triangles(graph) == sum(nx.triangles(made_of).values()) // 3
    far = distances(graph.n_nodes, graph.simple)
    assert far is not None
    for one, reached in nx.all_pairs_shortest_path_length(made_of):
        assert {two: int(far[one, two]) for two in np.flatnonzero(np.isfinite(far[one])).tolist()} == reached


def test_cycles_are_told_by_their_length(needs: Needs) -> None:
    needs("rdkit")
    naphthalene, cyclopropane = (
        cycle_lengths(GraphReader().load(one)) for one in ("c1ccc2ccccc2c1", "C1CC1CC")
    )
    assert naphthalene is not None
    assert naphthalene[6] == 11
    assert cyclopropane is not None
    assert (cyclopropane[3], cyclopropane[0]) == (3, 2)


def test_a_large_graph_is_encoded_in_a_moment() -> None:
    rng = np.random.default_rng(0)
    graph = made("large", "test", 100_000, rng.integers(0, 100_000, (200_000, 2)))
    assert bool(builtin().encode([graph]).pooled.isfinite().all())
