"""The graph modality: molecules as SMILES, GraphML, edge lists, node-link JSON and networkx graphs.

This module only describes; reading and encoding are imported on first use.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from mmagent.hookspecs import hookimpl
from mmagent.modality import Modality

# Patterns are compiled when a file is looked at: that takes as long as importing this module.
# One token of SMILES (Weininger 1988; opensmiles.org): an atom, a bond, a branch, a ring's end.
SMILES = r"(?a)(?:\[[^\[\]\s]{1,40}\]|Br|Cl|[BCNOPSFI]|[bcnops]|\*|[-=#$:/\\.~()]|%\d\d|\d)+"
ENDS = (
    {"source", "target"},
    {"from", "to"},
    {"src", "dst"},
    {"node1", "node2"},
    {"start", "end"},
    {"begin", "end"},
    {"head", "tail"},
    {"u", "v"},
)
"""What the two columns of an edge list are called."""
MATRIX_MARKET = b"%%MatrixMarket"
JSON_KEYS = rb'"(?:atoms|bonds|edges|links)"\s*:'
PAIR = rb"-?\d+[ \t]+-?\d+(?:[ \t]+(?:\S+|\{.*\}))?\s*"


def graph_format(head: bytes) -> str | None:
    """The graph format that a file's first bytes announce, or None."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<"):
        return "GraphML" if b"<graphml" in text else None
    if text.startswith(b"{"):
        return "JSON" if re.search(JSON_KEYS, text) else None
    if text.startswith(MATRIX_MARKET):
        return "MatrixMarket"
    lines = text.splitlines()
    whole = lines[:-1] if len(head) >= 4096 else lines  # the last line may be cut off
    told = [line for line in whole if line.strip() and not line.startswith((b"#", b"%"))]
    if not told:
        return None
    if is_header(told[0].decode("utf-8", "replace")) or all(re.fullmatch(PAIR, line) for line in told):
        return "edge list"
    return "SMILES" if all(_is_smiles(line) for line in told) else None


def is_header(line: str) -> bool:
    """Whether a line names the two ends of edges: "source,target,weight"."""
    cells = {cell.strip().strip('"').lower() for cell in re.split(r"[,;\t ]", line)}
    return any(names <= cells for names in ENDS)


def _is_smiles(line: bytes) -> bool:
    """Whether the first word of a line is made of SMILES tokens alone; one letter is too little to tell."""
    words = line.decode("utf-8", "replace").split()
    atoms = sum(character.isalpha() for character in words[0])
    return len(words) <= 3 and len(words[0]) > 1 and atoms > 0 and re.fullmatch(SMILES, words[0]) is not None


def is_smiles(text: str) -> bool:
    """Whether a text is made of SMILES tokens alone, and may be a molecule written out."""
    return text != "-" and re.fullmatch(SMILES, text) is not None


def sniff(head: bytes) -> bool:
    """Whether a file that starts with these bytes is a graph that can be read."""
    return graph_format(head) is not None


@hookimpl
def register_modalities(register: Callable[[Modality], None]) -> None:
    """Add `graph`."""
    register(
        Modality(
            name="graph",
            help="a graph: SMILES (file or text), GraphML, an edge list (csv, txt, mtx) or node-link JSON",
            reader="mmagent_graph.reader:GraphReader",
            extensions=(".smi", ".smiles", ".graphml", ".edges", ".edgelist", ".mtx"),
            sniff=sniff,
            encoder="builtin",
            written=is_smiles,
        )
    )
