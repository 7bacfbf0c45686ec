"""What `mmagent inspect` tells of a graph, and its drawing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.quiver import Quiver

from mmagent.profile import ASPECTS, Profile
from mmagent_graph.drawing import MOST, layout, part
from mmagent_graph.encoder import GraphEncoder
from mmagent_graph.reader import GraphReader

Needs = Callable[[str], Any]


def profile(source: object) -> Profile:
    return GraphReader().profile(GraphReader().load(source))


def test_a_molecule_is_told_by_atoms_bonds_rings_and_symmetry(needs: Needs) -> None:
    needs("rdkit")
    told = profile("c1ccccc1")
    assert told.summary == "molecule from SMILES, 6 atoms, 6 bonds, 1 part"
    assert list(told.aspects) == list(ASPECTS)
    assert told.aspects["elements"]["kinds of atoms"] == "C 6"
    assert told.aspects["structure"]["edges on cycles, by length"] == "6: 6"
    assert told.aspects["structure"]["diameter (edges)"] == 3
    assert told.aspects["information"]["atoms that repeat another (share)"] == pytest.approx(5 / 6, abs=1e-3)
    assert told.aspects["information"]["entropy of kinds of atoms (bits)"] == 0
    json.dumps({name: dict(one) for name, one in told.aspects.items()}, allow_nan=False)


def test_gaps_loops_and_repeats_are_counted() -> None:
    told = profile(
        {"nodes": [{"id": 1, "label": "a"}, {"id": 2}, {"id": 3}], "edges": [[1, 1], [1, 2], [2, 1]]}
    )
    noise = told.aspects["noise"]
    assert noise["nodes without a label (share)"] == pytest.approx(2 / 3, abs=1e-3)
    assert (noise["self-loops"], noise["repeated edges"], noise["nodes without an edge"]) == (1, 1, 1)


def test_clustering_is_that_of_networkx_and_a_long_way_is_found() -> None:
    graph = nx.connected_watts_strogatz_graph(400, 6, 0.1, seed=0)
    structure = profile(graph).aspects["structure"]
    assert structure["clustering"] == pytest.approx(nx.transitivity(graph), rel=1e-3)
    least = next(value for name, value in structure.items() if name.startswith("diameter"))
    assert isinstance(least, int)
    assert nx.diameter(graph) / 2 <= least <= nx.diameter(graph)


def test_every_node_of_a_small_graph_is_drawn_and_a_large_one_in_part(needs: Needs) -> None:
    needs("rdkit")
    for source, nodes in (("CC(=O)Oc1ccccc1C(=O)O", 13), (nx.star_graph(5_000), MOST)):
        figure = Figure((5, 4))
        draw = profile(source).draw
        assert draw is not None
        draw(figure)
        axes = figure.axes[0]
        assert len(axes.collections[0].get_offsets()) == nodes
        assert f"{nodes} " in axes.get_title()


@pytest.mark.parametrize("n", [1, 2, 3, 9])
def test_a_chain_lies_from_left_to_right_within_the_frame(n: int) -> None:
    figure = Figure((12, 6), layout="constrained")
    made = profile(nx.path_graph(n))
    assert made.draw is not None
    made.draw(figure)
    axes = figure.axes[0]
    places = np.asarray(axes.collections[0].get_offsets())
    wide, high = places.max(axis=0) - places.min(axis=0)
    assert high < 0.1 * wide or n == 1
    for inner, (low, top) in zip(places.T, (axes.get_xlim(), axes.get_ylim()), strict=True):
        assert low + 0.5 < inner.min()
        assert inner.max() < top - 0.5
    assert axes.get_title().startswith("1 node, 0 edges" if n == 1 else f"{n} nodes, {n - 1} edge")


def test_a_directed_edge_has_an_arrow_each_way_it_goes() -> None:
    def arrows(graph: Any) -> int:
        figure = Figure()
        draw = profile(graph).draw
        assert draw is not None
        draw(figure)
        found = [one for one in figure.axes[0].collections if isinstance(one, Quiver)]
        return sum(one.N for one in found)

    edges = [(1, 2), (2, 1), (2, 3), (3, 3)]
    assert (arrows(nx.DiGraph(edges)), arrows(nx.Graph(edges))) == (3, 0)


def test_nodes_are_laid_out_as_far_apart_as_there_are_edges_between_them() -> None:
    graph = GraphReader().load(nx.path_graph(10))
    places = layout(10, part(graph)[1])
    far = np.sqrt(((places[:, None] - places[None]) ** 2).sum(-1))
    wanted = np.abs(np.subtract.outer(np.arange(10), np.arange(10)))
    np.testing.assert_allclose(far, wanted, atol=0.3)


def test_molecules_of_the_solubility_data_are_the_same_from_smiles_and_from_atoms(
    shared_data: Path, needs: Needs
) -> None:
    needs("rdkit")
    parquet = pytest.importorskip("pyarrow.parquet")
    place = shared_data / "molecules" / "esol.parquet"
    if not place.exists():
        pytest.skip(f"no {place}")
    reader = GraphReader()
    for row in parquet.read_table(place).slice(0, 60).to_pylist():
        told = {name: row[name] for name in ("atoms", "charges", "hydrogens", "bonds")}
        first, second = reader.load(told), reader.load(row["smiles"])
        assert reader.fingerprint(first) == reader.fingerprint(second)
        assert bool(GraphEncoder().encode([first]).pooled.isfinite().all())
