"""Graphs that are in memory already, or in JSON: dictionaries, networkx graphs, a pair of arrays."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from mmagent.errors import UserError
from mmagent.reading import json_fault
from mmagent_graph.graph import Graph, Nodes, check_attributes, check_edges, check_nodes, made
from mmagent_graph.smiles import of_atoms

__all__ = ["FORMS", "is_networkx", "of_mapping", "of_networkx", "read_json"]

FORMS = (
    'A graph as an object is {"atoms": ["C", "O"], "bonds": [...]}, or {"nodes": [{"id": 1, "label": "a"}], '
    '"edges": [{"source": 1, "target": 2}]}.'
)
PAIRS = (("source", "target"), ("from", "to"), ("begin", "end"), ("u", "v"))
ROLES = {"id", *(name for pair in PAIRS for name in pair)}


def read_json(data: bytes, name: str) -> Graph:
    """The graph in the content of a JSON file. Raises `UserError`."""
    try:
        found = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name} is not whole JSON: {json_fault(error)}. Copy it again.") from error
    if not isinstance(found, Mapping):
        raise UserError(f"{name} is a JSON {type(found).__name__} and no graph. {FORMS}")
    return of_mapping(found, name)


def of_mapping(found: Mapping[str, Any], name: str) -> Graph:
    """The graph of a dictionary of atoms and bonds, or of nodes and edges. Raises `UserError`."""
    if "smiles" in found and "atoms" not in found:
        from mmagent_graph.smiles import molecule

        return molecule(str(found["smiles"]), name)
    if "atoms" in found:
        atoms, bonds = _list(found, "atoms", name), _list(found, "bonds", name)
        extra: dict[str, Any] = {
            what: _list(found, what, name) for what in ("charges", "hydrogens") if found.get(what) is not None
        }
        check_nodes(len(atoms), name)
        check_edges(len(bonds), name)
        return of_atoms(atoms, bonds, name=name, **extra)
    key = "edges" if "edges" in found else "links"
    if key not in found:
        there = ", ".join(map(str, list(found)[:6])) or "nothing"
        raise UserError(f"{name} has neither atoms nor edges; it has: {there}. {FORMS}")
    return _of_nodes(found, _list(found, key, name), name)


def _of_nodes(found: Mapping[str, Any], links: Sequence[Any], name: str) -> Graph:
    """Node-link form: edges name nodes by their id; without ids, by their place from 0."""
    given = found.get("nodes")
    check_edges(len(links), name)
    places, nodes = Nodes(name, {}), dict[str, list[Any]]()
    declared: list[Any] = list(range(given)) if isinstance(given, int) and _few(given, name) else []
    if isinstance(given, Sequence) and not isinstance(given, str):
        check_nodes(len(given), name)
        declared = [one.get("id", at) if isinstance(one, Mapping) else one for at, one in enumerate(given)]
        nodes = _columns([one if isinstance(one, Mapping) else {} for one in given], name)
    for one in declared:
        places.number(_hashable(one, name))
    if len(places.places) < len(declared):
        twice = Counter(declared).most_common(1)[0][0]
        raise UserError(f"{name} has two nodes called {twice!r:.40}. Give each its own id.")
    ends = []
    for at, link in enumerate(links, start=1):
        pair = _pair(link)
        if pair is None:
            raise UserError(f"{name}: edge {at} is {link!r:.80}; it needs a source and a target.")
        for end in pair:
            if given is not None and _hashable(end, name) not in places.places:
                raise UserError(
                    f"{name}: edge {at} leads to the node {end!r:.40}, and there is no such node. Add it, or "
                    "take the edge out."
                )
        ends.append((places.number(_hashable(pair[0], name)), places.number(_hashable(pair[1], name))))
    edges = _columns([link if isinstance(link, Mapping) else _rest(link) for link in links], name)
    directed = bool(found.get("directed", False))
    return made(
        name, "nodes and edges", len(places.places), ends, nodes=nodes, edges=edges, directed=directed
    )


def is_networkx(source: object) -> bool:
    """Whether an object has what a networkx graph has; networkx itself is never imported."""
    return all(callable(getattr(source, name, None)) for name in ("is_directed", "nodes", "edges"))


def of_networkx(graph: Any) -> Graph:
    """The graph of a networkx graph of any kind, with its attributes. Raises `UserError`."""
    name = "the networkx graph"
    check_nodes(graph.number_of_nodes(), name)
    check_edges(graph.number_of_edges(), name)
    places = {node: at for at, node in enumerate(graph.nodes())}
    ends = [(places[one], places[two]) for one, two in graph.edges()]
    nodes = _columns([data for _, data in graph.nodes(data=True)], name)
    edges = _columns([data for _, _, data in graph.edges(data=True)], name)
    directed = bool(graph.is_directed())
    return made(name, "networkx", len(places), ends, nodes=nodes, edges=edges, directed=directed)


def _list(found: Mapping[str, Any], key: str, name: str) -> Sequence[Any]:
    value = found.get(key)
    if callable(tolist := getattr(value, "tolist", None)):
        value = tolist()
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise UserError(f"{name}: its {key} are {value!r:.40}; they must be a list. {FORMS}")
    return value


def _few(count: int, name: str) -> bool:
    check_nodes(count, name)
    return True


def _hashable(value: Any, name: str) -> Hashable:
    if not isinstance(value, Hashable):
        raise UserError(f"{name}: a node is called {value!r:.40}; a name is a text or a number.")
    return value


def _pair(link: Any) -> tuple[Any, Any] | None:
    if isinstance(link, Mapping):
        return next(((link[one], link[two]) for one, two in PAIRS if one in link and two in link), None)
    if isinstance(link, Sequence) and not isinstance(link, str) and len(link) >= 2:
        return link[0], link[1]
    return None


def _rest(link: Sequence[Any]) -> Mapping[str, Any]:
    """What a list says of an edge beside its ends: a number is a weight, a word its label."""
    if len(link) < 3:
        return {}
    return {"weight" if isinstance(link[2], int | float) else "label": link[2]}


def _columns(rows: Sequence[Mapping[Any, Any]], where: str) -> dict[str, list[Any]]:
    """Attributes by name; values that are no numbers or words are left out."""
    names = dict.fromkeys(str(key) for row in rows for key in row if str(key) not in ROLES)
    check_attributes(len(names), where)
    plain = str | int | float | bool
    return {
        name: [value if isinstance(value := row.get(name), plain) else None for row in rows] for name in names
    }
