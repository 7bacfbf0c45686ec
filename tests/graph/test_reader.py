"""One graph, whatever it was read from; what each format says of nodes and edges."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from mmagent.errors import UserError
from mmagent_graph import graph_format, sniff
from mmagent_graph.graph import Graph
from mmagent_graph.reader import GraphReader

Needs = Callable[[str], Any]
ETHANOL = {
    "atoms": ["C", "C", "O"],
    "charges": [0, 0, 0],
    "hydrogens": [3, 2, 1],
    "bonds": [{"begin": 0, "end": 1, "order": "single"}, {"begin": 1, "end": 2, "order": "single"}],
}
GRAPHML = """<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
  <key id="d0" for="node" attr.name="type" attr.type="string"><default>plain</default></key>
  <key id="d1" for="edge" attr.name="weight" attr.type="double"/>
  <graph edgedefault="undirected">
    <node id="a"><data key="d0">hub</data></node><node id="b"/><node id="c"/>
    <edge source="a" target="b"><data key="d1">1.5</data></edge>
    <edge source="a" target="c"/>
  </graph>
</graphml>
"""


def load(source: object) -> Graph:
    return GraphReader().load(source)


def test_a_molecule_is_the_same_from_smiles_text_file_bytes_stdin_and_atoms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, needs: Needs
) -> None:
    needs("rdkit")
    reader = GraphReader()
    path = tmp_path / "ethanol.smi"
    path.write_text("# alcohols\nCCO ethanol\n")
    (tmp_path / "ethanol.json").write_text(json.dumps(ETHANOL))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(BytesIO(b"CCO")))
    sources: list[object] = [
        *("CCO", path, str(path), b"CCO\n", bytearray(b"CCO"), "-", BytesIO(b"CCO"), ETHANOL),
        *(tmp_path / "ethanol.json", {"smiles": "CCO"}, {"bytes": b"CCO", "path": None}),
        {"bytes": None, "path": str(path)},
    ]
    assert {reader.fingerprint(reader.load(source)) for source in sources} == {
        reader.fingerprint(reader.load(ETHANOL))
    }
    assert reader.fingerprint(load("CCN")) != reader.fingerprint(load("CCO"))
    assert reader.describe(load("CCO")) == "molecule, 3 atoms, 2 bonds"


def test_smiles_give_rings_charges_and_bond_orders(needs: Needs) -> None:
    needs("rdkit")
    graph = load("C[N+](C)(C)CC(=O)[O-].c1ccccc1")
    assert graph.labels.count("C") == 11
    assert sorted(set(graph.edge_labels)) == ["aromatic", "double", "single"]
    assert [label for label, more in zip(graph.labels, graph.details, strict=True) if "charge=1" in more] == [
        "N"
    ]


def test_graphml_gives_labels_defaults_weights_and_direction() -> None:
    graph = load(GRAPHML.encode())
    assert graph.labels == ("hub", "plain", "plain")
    assert graph.weights is not None
    np.testing.assert_equal(graph.weights, [1.5, np.nan])
    assert not graph.directed
    assert load(GRAPHML.replace("undirected", "directed").encode()).directed


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        ("a b friend\nb c foe\n", ".txt"),
        ("# made by hand\na,b,friend\nb,c,foe\n", ".csv"),
        ("source\ttarget\tlabel\na\tb\tfriend\nb\tc\tfoe\n", ".tsv"),
        ("label;to;from\nfriend;b;a\nfoe;c;b\n", ".csv"),
    ],
)
def test_edge_lists_with_and_without_a_header(text: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"edges{suffix}"
    path.write_text(text)
    graph = load(path)
    assert (graph.n_nodes, graph.edge_labels) == (3, ("friend", "foe"))
    assert graph.degrees.tolist().count(2) == 1


def test_numbers_in_an_edge_list_are_weights(tmp_path: Path) -> None:
    path = tmp_path / "edges.csv"
    path.write_text("source,target,weight\n1,2,0.5\n2,3,\n")
    weights = load(path).weights
    assert weights is not None
    np.testing.assert_equal(weights, [0.5, np.nan])


def test_networkx_reads_back_what_it_wrote_as_an_edge_list(tmp_path: Path) -> None:
    made: Any = nx.Graph([(1, 2), (2, 3), (3, 4)])
    made.edges[1, 2].update(weight=3, kind="a road, paved")
    path = tmp_path / "roads.edgelist"
    nx.write_edgelist(made, path)
    for graph in (load(path), load(path.read_bytes())):  # by its content, too
        assert (graph.n_nodes, graph.n_edges) == (4, 3)
        assert graph.edge_labels == ("a road, paved", "", "")
        assert graph.weights is not None
        np.testing.assert_equal(graph.weights, [3, np.nan, np.nan])
    assert load(b'1 2 {"weight": 3}\n2 3 {}\n').n_edges == 2
    with pytest.raises(UserError, match=r"the data, line 2 ends in '\{weight\}'"):
        load(b"1 2 {}\n2 3 {weight}\n")


def test_matrix_market_is_an_adjacency_matrix() -> None:
    graph = load(b"%%MatrixMarket matrix coordinate pattern symmetric\n4 4 2\n2 1\n3 2\n")
    assert (graph.n_nodes, graph.n_edges, graph.directed) == (4, 2, False)


def test_networkx_graphs_and_node_link_dictionaries_agree() -> None:
    made: Any = nx.DiGraph()
    made.add_node(1, label="x", mass=2.5)
    made.add_node(2, label="y")
    made.add_edge(1, 2, weight=3)
    told = {
        "directed": True,
        "nodes": [{"id": 1, "label": "x", "mass": 2.5}, {"id": 2, "label": "y"}],
        "edges": [{"source": 1, "target": 2, "weight": 3}],
    }
    reader = GraphReader()
    first, second = load(made), load(told)
    assert reader.fingerprint(first) == reader.fingerprint(second)
    np.testing.assert_equal(first.numbers["mass"], [2.5, np.nan])
    assert load(nx.MultiGraph([(1, 2), (1, 2), (3, 3)])).n_loops == 1


def test_names_of_nodes_are_not_taken_for_what_they_are() -> None:
    nodes = [{"id": at, "label": f"person {at}", "kind": "man" if at % 2 else "woman"} for at in range(12)]
    graph = load({"nodes": nodes, "edges": [[0, 1], [1, 2]]})
    assert set(graph.labels) == {"man", "woman"}
    assert graph.left_out == ("label",)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"CC(=O)Oc1ccccc1C(=O)O aspirin\n", "SMILES"),
        (GRAPHML.encode(), "GraphML"),
        (b"source,target\na,b\n", "edge list"),
        (b"# nodes\n0 1\n1\t2\n", "edge list"),
        (b"%%MatrixMarket matrix coordinate\n", "MatrixMarket"),
        (b'{"nodes": [], "links": []}', "JSON"),
        (b"name,age\nann,3\n", None),
        (b"0.5 1.5\n2.5 3.5\n", None),
        (b"Once upon a time\n", None),
        (b'{"a": 1}', None),
        (b"<svg></svg>", None),
        (b"\x89PNG\r\n\x1a\n", None),
        (b"", None),
    ],
)
def test_files_are_told_by_their_first_bytes(head: bytes, kind: str | None) -> None:
    assert graph_format(head) == kind
    assert sniff(head) is (kind is not None)


def test_the_plugin_is_light_and_a_missing_rdkit_is_one_sentence() -> None:
    code = """
import sys
sys.modules["rdkit"] = None
import mmagent_graph
assert not {"torch", "numpy", "rdkit.Chem"} & set(sys.modules), "the light half imports heavy things"
from mmagent_graph.reader import GraphReader
print(GraphReader().load({"atoms": ["C"], "bonds": []}).n_nodes)
try:
    GraphReader().load("CCO")
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == "1"
    assert second.startswith("MissingPackageError SMILES are read with RDKit")
    assert "pip install 'mmagent[graph]'" in second


def test_a_text_that_is_a_file_is_read_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "CCO").write_text("1 2\n2 3\n")
    assert load("CCO").origin == "edge list"
    with pytest.raises(UserError, match="neither a file nor SMILES"):
        load("hello")
