"""What a graph is once it is read: labelled nodes, labelled edges, and the limits that hold for both."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmagent.errors import UserError

__all__ = [
    "MAX_EDGES",
    "MAX_NODES",
    "Graph",
    "Nodes",
    "check_attributes",
    "check_edges",
    "check_nodes",
    "made",
]

MAX_NODES = 200_000
MAX_EDGES = 1_000_000
MAX_ATTRIBUTES = 64  # of nodes, and of edges
MOST_NAMES = 8  # nodes up to which all labels may differ; beyond, labels that mostly differ are names
LABELS = ("element", "symbol", "atom", "label", "type", "kind", "class", "category", "color", "colour")
"""What the attribute that says what a node is is called, the likeliest first."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Graph:
    """A graph of n nodes and m edges, in the order of its file.

    labels       (n) what each node is; "" where nobody said
    details      (n) what else is known of it in words; "" where nothing is
    numbers      by name, (n,) what is measured of each node; nan where it is missing
    ends         (m, 2) the nodes of each edge; a node twice is a self-loop
    edge_labels  (m) what each edge is; "" where nobody said
    weights      (m,) of the edges, nan where missing; None where there are none
    directed     whether an edge goes from its first node to its second
    origin       what it was read from: "SMILES", "GraphML", "edge list" ...
    left_out     attributes that tell nodes apart and say nothing about them, such as their names
    """

    labels: tuple[str, ...]
    details: tuple[str, ...]
    numbers: Mapping[str, Floats]
    ends: Ints
    edge_labels: tuple[str, ...]
    weights: Floats | None
    directed: bool
    origin: str
    left_out: tuple[str, ...] = ()

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return len(self.labels)

    @property
    def n_edges(self) -> int:
        """Number of edges, self-loops and repeated ones among them."""
        return len(self.ends)

    @cached_property
    def simple(self) -> Ints:
        """(s, 2) the pairs of different nodes with an edge between them, each once, the lesser node first."""
        pairs = np.sort(self.ends[self.ends[:, 0] != self.ends[:, 1]], axis=1)
        return np.unique(pairs, axis=0) if len(pairs) else pairs

    @cached_property
    def degrees(self) -> Ints:
        """(n,) edges at each node; a self-loop counts twice."""
        return np.bincount(self.ends.reshape(-1), minlength=self.n_nodes).astype(np.int64)

    @property
    def n_loops(self) -> int:
        """Edges from a node to itself."""
        return int((self.ends[:, 0] == self.ends[:, 1]).sum())


@dataclass(frozen=True)
class Nodes:
    """Nodes by name while a file is read: `number` gives each its place.

    where: what is read, for messages. places: the place of each name, from 0.
    """

    where: str
    places: dict[Hashable, int]

    def number(self, name: Hashable) -> int:
        """The place of a node, a new one for a new name. Raises `UserError` for too many."""
        found = self.places.setdefault(name, len(self.places))
        if found >= MAX_NODES:
            check_nodes(found + 1, self.where)
        return found


def check_nodes(count: int, where: str) -> None:
    """Raise `UserError` for more nodes than are read."""
    if count > MAX_NODES:
        raise UserError(
            f"{where} has more than {MAX_NODES:,} nodes, and a graph of at most that many is read. "
            "Take a part of it, such as the neighbourhood of a node."
        )


def check_edges(count: int, where: str) -> None:
    """Raise `UserError` for more edges than are read."""
    if count > MAX_EDGES:
        raise UserError(
            f"{where} has more than {MAX_EDGES:,} edges, and a graph of at most that many is read. "
            "Take a part of it, such as the neighbourhood of a node."
        )


def check_attributes(count: int, where: str) -> None:
    """Raise `UserError` for more attributes than are read."""
    if count > MAX_ATTRIBUTES:
        raise UserError(
            f"{where} has more than {MAX_ATTRIBUTES} attributes of nodes or of edges. Leave some out."
        )


def made(
    where: str,
    origin: str,
    n_nodes: int,
    ends: Sequence[tuple[int, int]] | Ints,
    *,
    nodes: Mapping[str, Sequence[Any]] | None = None,
    edges: Mapping[str, Sequence[Any]] | None = None,
    directed: bool = False,
) -> Graph:
    """A graph from attributes by name, of n nodes and of m edges; None is a missing value.

    Raises `UserError` for a graph without nodes or with too many, an edge to a node that is not there, and
    an infinite number.
    """
    if n_nodes == 0:
        raise UserError(f"{where} is a graph without nodes. Give one that has some.")
    check_nodes(n_nodes, where)
    check_edges(len(ends), where)
    pairs = np.asarray(ends, dtype=np.int64).reshape(-1, 2)
    wrong = np.flatnonzero(((pairs < 0) | (pairs >= n_nodes)).any(axis=1))
    if len(wrong):
        first = pairs[wrong[0]].tolist()
        raise UserError(
            f"{where}: edge {int(wrong[0]) + 1} joins the nodes {first[0]} and {first[1]}, and there are "
            f"{n_nodes:,}, counted from 0. Mend the edge."
        )
    labels, details, numbers, left_out = described(nodes or {}, n_nodes, where)
    edge_labels, edge_details, measured, _ = described(edges or {}, len(pairs), where)
    both = tuple(" ".join(filter(None, pair)) for pair in zip(edge_labels, edge_details, strict=True))
    weights = measured.get("weight", next(iter(measured.values()), None))
    return Graph(labels, details, numbers, pairs, both, weights, directed, origin, left_out)


def described(
    attributes: Mapping[str, Sequence[Any]], count: int, where: str
) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, Floats], tuple[str, ...]]:
    """Labels, details and numbers of `count` things, and the names of attributes that were left out.

    Numbers with a fraction are measured; whole numbers, words and truth values describe. A text that is
    another one for most of the things is their name, and is left out.
    """
    labels, numbers = [""] * count, dict[str, Floats]()
    texts: dict[str, list[str]] = {}
    left_out = []
    for name, values in attributes.items():
        if all(value is None for value in values):
            continue
        if _is_measured(name, values):
            numbers[name] = _measured(name, values, where)
            continue
        said = [_said(value) for value in values]
        sure = name.lower() in LABELS and name.lower() != "label"  # an element is one, however many there are
        if not sure and count > MOST_NAMES and len(set(said)) > count / 2:
            left_out.append(name)
        else:
            texts[name] = said
    chosen = next((name for word in LABELS for name in texts if name.lower() == word), None)
    if chosen is not None:
        labels = texts.pop(chosen)
    told = [[f"{name}={one}" if one else "" for one in said] for name, said in sorted(texts.items())]
    rows = zip(*told, strict=True)
    details = [" ".join(filter(None, row)) for row in rows] if told else [""] * count
    return tuple(labels), tuple(details), numbers, tuple(left_out)


def _is_measured(name: str, values: Sequence[Any]) -> bool:
    real = [value for value in values if isinstance(value, float | np.floating)]
    if name.lower() == "weight":
        return all(value is None or isinstance(value, int | float | np.number) for value in values)
    there = sum(value is not None for value in values)
    return len(real) == there or any(not float(value).is_integer() for value in real if math.isfinite(value))


def _measured(name: str, values: Sequence[Any], where: str) -> Floats:
    try:
        found = np.array([math.nan if value is None else float(value) for value in values])
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: the attribute {name!r} mixes numbers and words ({error}).") from error
    if np.isinf(found).any():
        at = int(np.flatnonzero(np.isinf(found))[0])
        raise UserError(f"{where}: {name!r} number {at + 1} is infinite. Leave it out where it is not known.")
    return found


def _said(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return " ".join(str(value).split())[:200]
