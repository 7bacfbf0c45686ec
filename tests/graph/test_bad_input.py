"""Every broken graph is one clear line, in bounded time and memory."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmagent.errors import UserError
from mmagent_graph.graph import MAX_NODES
from mmagent_graph.reader import GraphReader

BOMB = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {chr(98 + at)} "{f"&{chr(97 + at)};" * 10}">' for at in range(9)
)
BOMB += ']><graphml><graph><node id="&j;"/></graph></graphml>'
OUTSIDE = (
    '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><graphml><graph><node id="1"/></graph></graphml>'
)
DANGLING = b'<graphml><graph><node id="1"/><edge source="1" target="9"/></graph></graphml>'

REFUSED: dict[str, tuple[object, str]] = {
    "unclosed ring": ("C1CC", "ring 1 is opened and not closed"),
    "unclosed branch": ("CC(C", "branches"),
    "five bonds": ("C(C)(C)(C)(C)C", "valence"),
    "unknown element": ("C[Xx]", "not SMILES"),
    "long SMILES": ("C" * 30_000, "30,000 characters"),
    "deep SMILES": ("C(" * 5_000 + "C" + ")" * 5_000, ""),
    "several molecules": (b"CCO\nCCN\n", "2 molecules"),
    "only remarks": (b"# nothing\n# here\n", "not a graph"),
    "empty bytes": (b"", "empty"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(64), "PNG"),
    "no such file": ("nowhere/x.graphml", "no file"),
    "an address": ("https://example.org/x.graphml", "Download"),
    "entity bomb": (BOMB.encode(), "entity"),
    "file entity": (OUTSIDE.encode(), "entity"),
    "cut XML": (b'<graphml><graph><node id="1"/>', "whole XML"),
    "deep XML": (b"<graphml>" + b"<graph>" * 5000, "deep"),
    "dangling edge": (DANGLING, "no such node"),
    "no nodes": (b"<graphml><graph></graph></graphml>", "without nodes"),
    "no graph": (b"<graphml></graphml>", "without a <graph>"),
    "hyperedge": (b"<graphml><graph><hyperedge/></graph></graphml>", "hyperedges"),
    "XML of another kind": (b"<svg></svg>", "not a graph"),
    "one node a line": (b"source,target\na\n", "line 2"),
    "ragged": (b"source,target,weight\na,b,1\na,b\n", "line 3 has 2 cells"),
    "infinite weight": (b"source,target,weight\na,b,inf\n", "infinite"),
    "header of a billion": (
        b"%%MatrixMarket matrix coordinate\n1000000000 1000000000 3\n1 1 1\n",
        "more than",
    ),
    "edges of a billion": (b"%%MatrixMarket matrix coordinate\n9 9 1000000000\n1 1 1\n", "more than"),
    "broken promise": (b"%%MatrixMarket matrix coordinate\n9 9 3\n1 1 1\n", "promises 3 entries and has 1"),
    "not square": (b"%%MatrixMarket matrix coordinate\n9 8 1\n1 1 1\n", "square"),
    "entry outside": (
        b"%%MatrixMarket matrix coordinate\n9 9 1\n10 1 1\n",
        "row 10, column 1, and the matrix has 9 of each, counted from 1",
    ),
    "cut JSON": (b'{"edges": [[1, 2', "whole JSON"),
    "JSON bomb": (b'{"edges": ' + b"[" * 100_000, "stand too deep"),
    "endless number": (b'{"edges": [[1, ' + b"2" * 9_000 + b"]]}", "has thousands of digits. Copy"),
    "bonds of text": ({"atoms": ["C"], "bonds": "none"}, "must be a list"),
    "bond outside": ({"atoms": ["C"], "bonds": [{"begin": 0, "end": 7, "order": "single"}]}, "edge 1 joins"),
    "bond of one": ({"atoms": ["C"], "bonds": [{"begin": 0}]}, "bond 1"),
    "hydrogens too few": ({"atoms": ["C", "C"], "bonds": [], "hydrogens": [3]}, "one for each"),
    "no atoms": ({"atoms": [], "bonds": []}, "without nodes"),
    "neither": ({"a": 1}, "neither atoms nor edges"),
    "an attribute for each node": (
        {"nodes": [{"id": at, f"a{at}": 1} for at in range(99)], "edges": []},
        "64 attributes",
    ),
    "edge to nowhere": ({"nodes": [1, 2], "edges": [[1, 3]]}, "no such node"),
    "the same id twice": ({"nodes": [1, 1], "edges": []}, "two nodes called 1"),
    "a billion nodes": ({"nodes": 10**9, "edges": []}, "more than"),
    "a million nodes": ((10**6, np.zeros((0, 2), dtype=np.int64)), "more than"),
    "a number": (3.5, "cannot be made of a float"),
    "not UTF-8": (b"source,target\n\xff\xfe,b\n", "UTF-8"),
}


SMILES = ("unclosed ring", "unclosed branch", "five bonds", "unknown element", "deep SMILES")


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_in_one_line(case: str, needs: Callable[[str], Any]) -> None:
    if case in SMILES:
        needs("rdkit")
    source, wanted = REFUSED[case]
    begun = time.perf_counter()
    tracemalloc.start()
    if not wanted:  # it need not be refused, but must come back
        GraphReader().describe(GraphReader().load(source))
    else:
        with pytest.raises(UserError) as caught:
            GraphReader().load(source)
        message = str(caught.value)
        assert wanted in message
        assert "\n" not in message
        assert len(message) < 400
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 << 20
    assert time.perf_counter() - begun < 20


def test_a_million_nodes_in_a_file_are_refused_as_soon_as_they_are_too_many(tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    path.write_text("\n".join(f"{at} {at + 1}" for at in range(1_000_000)))
    with pytest.raises(UserError, match=f"more than {MAX_NODES:,} nodes"):
        GraphReader().load(path)


@pytest.mark.parametrize(
    "source",
    [
        {"nodes": 3, "edges": [[0, 0], [1, 1], [0, 1], [0, 1]]},  # self-loops and repeated edges
        {"nodes": 1, "edges": []},
        {"nodes": 4, "edges": [[0, 1], [1, 2], [2, 0]]},  # a cycle, and a node without an edge
        {"nodes": [{"id": 1, "mass": float("nan")}, {"id": 2, "mass": 1.5}], "edges": [[1, 2]]},
    ],
)
def test_unusual_graphs_are_read_encoded_and_told_of(source: dict[str, Any]) -> None:
    from mmagent_graph.encoder import GraphEncoder

    reader = GraphReader()
    graph = reader.load(source)
    features = GraphEncoder().encode([graph])
    assert bool(features.values.isfinite().all())
    assert bool(features.pooled.isfinite().all())
    assert reader.profile(graph).aspects["structure"]["connected components"] >= 1
