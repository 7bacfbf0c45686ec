"""The graph sense through the door that strangers use: the checks of `mmagent plugins check`."""

from __future__ import annotations

from mmagent.testing import ModalitySuite
from mmagent_graph.reader import GraphReader


class TestGraph(ModalitySuite):
    modality = "graph"
    wrong = (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, {"nodes": [1], "edges": [[1, 2]]}, 3.5)


def test_a_relabelled_graph_is_the_same_graph_in_other_numbers() -> None:
    """The check would pass, too, with a change that changes nothing."""
    reader = GraphReader()
    network = reader.load(reader.samples()[1])
    for change in reader.invariances.values():
        other = change(network, 0)
        assert reader.fingerprint(other) != reader.fingerprint(network)
        told = [sorted((g.labels[a], g.labels[b]) for a, b in g.ends.tolist()) for g in (network, other)]
        assert told[0] == told[1]
