"""GraphML (Brandes et al. 2002), read as a stream; entities and external files are refused, not expanded."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any
from xml.parsers import expat

from mmagent.errors import UserError
from mmagent_graph.graph import Graph, Nodes, check_attributes, check_edges, made

__all__ = ["read_graphml"]

CHUNK = 1 << 16
DEEPEST = 200  # elements inside of one another
NUMBERS: dict[str, Callable[[str], Any]] = {"int": int, "long": int, "float": float, "double": float}


def read_graphml(data: bytes, name: str) -> Graph:
    """The first graph of a GraphML file; hyperedges are refused. Raises `UserError`."""
    reading = _Reading(name)
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = reading.start, reading.end
    parser.CharacterDataHandler = reading.text
    parser.EntityDeclHandler = reading.refuse_entity
    try:
        for start in range(0, len(data), CHUNK):
            parser.Parse(data[start : start + CHUNK], start + CHUNK >= len(data))
    except expat.ExpatError as error:
        raise UserError(f"{name} is not whole XML: {error}. Copy it again.") from error
    if not reading.seen:
        raise UserError(f"{name} is XML without a <graph> in it, so it is not GraphML.")
    return reading.graph()


class _Reading:
    """What was read of a file so far."""

    def __init__(self, name: str) -> None:
        self.name, self.seen, self.directed = name, False, False
        self.path: list[str] = []
        self.keys: dict[str, tuple[str, str, str]] = {}  # by id: for what, name, type
        self.defaults: dict[str, str] = {}
        self.places = Nodes(name, {})
        self.declared: set[int] = set()
        self.ends: list[tuple[int, int]] = []
        self.nodes: dict[str, dict[int, str]] = {}
        self.edges: dict[str, dict[int, str]] = {}
        self.within: tuple[str, int] | None = None
        self.key, self.said = "", list[str]()
        self.graphs = 0

    def refuse_entity(self, entity: str, *_: Any) -> None:
        raise UserError(
            f"{self.name} declares the XML entity {entity!r:.40}, and GraphML needs none: it could unpack "
            "without end. Take the declaration out."
        )

    def start(self, tag: str, given: dict[str, str]) -> None:
        word = tag.rpartition(" ")[2]
        self.path.append(word)
        if len(self.path) > DEEPEST:
            raise UserError(f"{self.name} has elements more than {DEEPEST} deep. Give a flat graph.")
        if word == "graph":
            self.seen, self.graphs = True, self.graphs + 1
            self.directed = self.directed or given.get("edgedefault") == "directed"
        elif word == "hyperedge":
            raise UserError(
                f"{self.name} has hyperedges; an edge joins two nodes here. Split them into edges."
            )
        elif word == "key":
            kind = given.get("attr.type", "string")
            self.keys[given.get("id", "")] = (
                given.get("for", "all"),
                given.get("attr.name", given.get("id", "")),
                kind,
            )
            self.key, self.said = given.get("id", ""), []
        elif word == "node":
            at = self.places.number(given.get("id", f" {len(self.places.places)}"))
            self.declared.add(at)
            self.within = ("node", at)
        elif word == "edge":
            if "source" not in given or "target" not in given:
                raise UserError(
                    f"{self.name}: edge {len(self.ends) + 1} lacks its source or target. Mend it."
                )
            self.within = ("edge", len(self.ends))
            self.ends.append((self.places.number(given["source"]), self.places.number(given["target"])))
            check_edges(len(self.ends), self.name)
        elif word in ("data", "default"):
            self.key, self.said = given.get("key", self.key), []

    def text(self, text: str) -> None:
        if self.path[-1] in ("data", "default"):
            self.said.append(text)

    def end(self, tag: str) -> None:
        word = self.path.pop()
        if word == "data" and self.within is not None and self.path[-1] == self.within[0]:
            kind, at = self.within
            (self.nodes if kind == "node" else self.edges).setdefault(self.key, {})[at] = "".join(
                self.said
            ).strip()
        elif word == "default":
            self.defaults[self.key] = "".join(self.said).strip()
        elif word == "edge":
            self.within = None

    def graph(self) -> Graph:
        """The graph, once the file has ended."""
        count = len(self.places.places)
        if len(self.declared) < count:
            loose = next(name for name, at in self.places.places.items() if at not in self.declared)
            raise UserError(
                f"{self.name} has an edge to the node {str(loose)!r:.40}, and no such node. Add it, or take "
                "the edge out."
            )
        nodes = self._attributes(self.nodes, "node", count)
        edges = self._attributes(self.edges, "edge", len(self.ends))
        return made(self.name, "GraphML", count, self.ends, nodes=nodes, edges=edges, directed=self.directed)

    def _attributes(self, told: dict[str, dict[int, str]], of: str, count: int) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        wanted = [
            key for key, (where, *_) in self.keys.items() if where in (of, "all") and key in self.defaults
        ]
        check_attributes(len({*told, *wanted}), self.name)
        for key in dict.fromkeys([*told, *wanted]):
            _, name, kind = self.keys.get(key, (of, key, "string"))
            values = told.get(key, {})
            default = self.defaults.get(key)
            made_of = NUMBERS.get(kind, str)
            try:
                found[name] = [
                    made_of(text) if (text := values.get(at, default)) not in (None, "") else None
                    for at in range(count)
                ]
            except ValueError as error:
                raise UserError(f"{self.name}: {name!r} is of type {kind}: {error}. Mend it.") from error
            if made_of is float:
                found[name] = [None if one is None or math.isnan(one) else one for one in found[name]]
        return found
