"""Reading graphs: any source to a `Graph`, or one sentence that says why not."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmagent.errors import UserError
from mmagent.profile import many
from mmagent.reading import read_bytes
from mmagent.sniff import starts_like
from mmagent_graph import graph_format, is_smiles
from mmagent_graph.graph import Graph, made
from mmagent_graph.graphml import read_graphml
from mmagent_graph.objects import FORMS, is_networkx, of_mapping, of_networkx, read_json
from mmagent_graph.smiles import molecule, read_smiles
from mmagent_graph.text import read_edges, read_matrix_market

if TYPE_CHECKING:
    import torch

    from mmagent.profile import Profile
    from mmagent_graph.encoder import GraphEncoder

MAX_BYTES = 32 << 20
MAX_JSON = 16 << 20  # what JSON becomes in memory is twenty times as large
SUFFIXES = {
    ".smi": "SMILES",
    ".smiles": "SMILES",
    ".graphml": "GraphML",
    ".json": "JSON",
    ".mtx": "MatrixMarket",
}
SUFFIXES |= dict.fromkeys((".edges", ".edgelist", ".csv", ".tsv", ".txt"), "edge list")
READS = "Graphs are SMILES (.smi), GraphML, edge lists (csv, tsv, txt, mtx) and node-link JSON."


class GraphReader:
    """The working half of the modality `graph`; a raw value is a `Graph`."""

    def load(self, source: object) -> Graph:
        """The graph of a path, SMILES, bytes, "-" (stdin), an open file, a dictionary or a networkx graph.

        A dictionary is atoms and bonds, nodes and edges, or {"bytes", "path"}. Raises `UserError`.
        """
        if isinstance(source, Graph):
            return source
        if isinstance(source, Mapping):
            held = source.get("bytes") or source.get("path")
            return self.load(held) if held is not None else of_mapping(source, "the dictionary")
        if is_networkx(source):
            return of_networkx(source)
        if isinstance(source, str) and _is_molecule(source):
            return molecule(source)
        if isinstance(source, tuple) and len(source) == 2:
            return made("the pair", "arrays", int(source[0]), source[1])
        try:
            data, name = read_bytes(source, "a graph", most=MAX_BYTES)
        except UserError as error:
            if isinstance(source, str) and _like_molecule(source):
                raise UserError(f"{source!r:.80} is neither a file nor SMILES. {READS}") from error
            raise
        return _decoded(data, name)

    def describe(self, raw: Graph) -> str:
        """Its nodes and edges."""
        kind = "molecule" if raw.origin in ("SMILES", "atoms and bonds") else "graph"
        node, edge = ("atom", "bond") if kind == "molecule" else ("node", "edge")
        return f"{kind}, {many(raw.n_nodes, node)}, {many(raw.n_edges, edge)}"

    def fingerprint(self, raw: Graph) -> str:
        """sha256 of nodes and edges in their order: the same one whichever format they were read from."""
        digest = hashlib.sha256(f"graph {raw.n_nodes} {raw.n_edges} {raw.directed}\n".encode())
        for texts in (raw.labels, raw.details, raw.edge_labels):
            digest.update("\x1f".join(texts).encode() + b"\n")
        digest.update(raw.ends.tobytes())
        for name, values in sorted(raw.numbers.items()):
            digest.update(name.encode() + values.tobytes())
        digest.update(b"" if raw.weights is None else raw.weights.tobytes())
        return digest.hexdigest()

    @property
    def invariances(self) -> Mapping[str, Callable[[Graph, int], Graph]]:
        """What must not change a feature: how nodes are numbered, and the order of edges."""
        from mmagent_graph.samples import edges_turned, relabelled

        return {"names of nodes": relabelled, "order of edges": edges_turned}

    def samples(self) -> Sequence[bytes]:
        """Some graphs that the reader can be checked with."""
        from mmagent_graph.samples import samples

        return samples()

    def profile(self, raw: Graph) -> Profile:
        """What the graph is made of, with a drawing."""
        from mmagent_graph.profile import profile

        return profile(raw)

    def load_encoder(
        self,
        location: str,
        *,
        device: torch.device,
        dtype: torch.dtype,
        trust_remote_code: bool = False,
    ) -> GraphEncoder:
        """The encoder `builtin`, which needs no weights. Raises `UserError` for any other."""
        from mmagent_graph.encoder import GraphEncoder

        return GraphEncoder.load(location, device=device, dtype=dtype)


def _decoded(data: bytes, name: str) -> Graph:
    """The graph in the content of a file: what its first bytes announce, else what its suffix says."""
    kind = graph_format(data[:4096]) or SUFFIXES.get(Path(name).suffix.lower())
    if kind is None or (kind == "GraphML" and b"<graphml" not in data[:4096]):
        raise UserError(f"{name} is not a graph: it starts like {starts_like(data[:4096])}. {READS}")
    if kind == "GraphML":
        return read_graphml(data, name)
    if kind == "JSON":
        if len(data) > MAX_JSON:
            raise UserError(
                f"{name} is JSON of more than {MAX_JSON >> 20} MiB. Give an edge list or GraphML."
            )
        return read_json(data, name)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is not UTF-8 text (byte {error.start:,}). {READS}") from error
    if "\x00" in text[:4096]:
        raise UserError(f"{name} holds zero bytes, so it is no text. {READS}")
    readers: dict[str, Any] = {
        "SMILES": read_smiles,
        "edge list": read_edges,
        "MatrixMarket": read_matrix_market,
    }
    found: Graph = readers[kind](text, name)
    return found


def _is_molecule(text: str) -> bool:
    """Whether a text is SMILES and not a file that is there."""
    return is_smiles(text) and not os.path.exists(text)


def _like_molecule(text: str) -> bool:
    """Whether somebody may have meant a molecule: no suffix, no folder."""
    return not Path(text).suffix and len(text) < 4096 and "\n" not in text and not Path(text).parent.name


__all__ = ["FORMS", "MAX_BYTES", "READS", "GraphReader"]
