"""Edge lists as text: two nodes a line, perhaps a label or weight, a header or none; MatrixMarket too."""

from __future__ import annotations

import csv
import re
from ast import literal_eval
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any

from mmagent.errors import UserError
from mmagent_graph import ENDS, is_header
from mmagent_graph.graph import Graph, Nodes, check_attributes, check_edges, check_nodes, made

__all__ = ["read_edges", "read_matrix_market"]

COMMENTS = ("#", "%", "//")
LONGEST = 4000  # characters of what is known of an edge
_ATTRIBUTES = re.compile(r"\s(\{.*\})\s*$")


def read_edges(text: str, name: str) -> Graph:
    """The graph of an edge list; every line is "node node" and perhaps labels or a weight.

    Cells are parted by tabs, semicolons, commas or blanks, by what the first line has; lines that begin
    with # or % are remarks. Where every line ends in {...}, as networkx writes them, that is what is known of
    the edge. Raises `UserError` for a line that is no edge.
    """
    text, told_of = _apart(text, name)
    lines = ((at, line) for at, line in enumerate(text.splitlines(), start=1) if line.strip())
    told: Iterator[tuple[int, str]] = (
        (at, line) for at, line in lines if not line.lstrip().startswith(COMMENTS)
    )
    first = next(told, None)
    if first is None:
        raise UserError(f"{name} holds no edges. Write one a line: two nodes, and perhaps a label.")
    separator = next((one for one in ("\t", ";", ",") if one in first[1]), None)
    names: list[str] = []
    if is_header(first[1]):
        names = [cell.strip().lower() for cell in _cells(first[1], separator)]
    else:
        told = chain([first], told)
    from_, to = _ends(names)
    nodes, ends, rest = Nodes(name, {}), list[tuple[int, int]](), list[list[str]]()
    width = len(names)
    for at, line in told:
        cells = _cells(line, separator)
        width = width or len(cells)
        if len(cells) < 2 or not cells[from_] or not cells[to]:
            raise UserError(
                f"{name}, line {at} is {line.strip()!r:.60}; an edge needs two nodes: A B, or A,B,label."
            )
        if len(cells) != width:
            raise UserError(
                f"{name}, line {at} has {len(cells)} cells and others have {width}. Give all lines the same."
            )
        ends.append((nodes.number(cells[from_]), nodes.number(cells[to])))
        rest.append([cell for place, cell in enumerate(cells) if place not in (from_, to)])
        check_edges(len(ends), name)
    others = [one for place, one in enumerate(names) if place not in (from_, to)]
    columns = {**_columns(rest, others or _guessed(rest)), **told_of}
    directed = names[:1] in (["source"], ["from"], ["src"], ["tail"], ["start"])
    return made(name, "edge list", len(nodes.places), ends, edges=columns, directed=directed)


def _apart(text: str, name: str) -> tuple[str, dict[str, list[Any]]]:
    """The text without the {...} at the end of its lines, and those as columns by attribute."""
    lines = text.splitlines()
    edges = [at for at, line in enumerate(lines) if line.strip() and not line.lstrip().startswith(COMMENTS)]
    if not edges or not all(_ATTRIBUTES.search(lines[at]) for at in edges):
        return text, {}
    rows, read = [], dict[str, dict[str, Any]]()  # many edges say the same
    for at in edges:
        lines[at], braces, _ = _ATTRIBUTES.split(lines[at], maxsplit=1)
        if braces not in read:
            read[braces] = _attributes(braces, f"{name}, line {at + 1}")
        rows.append(read[braces])
    names = dict.fromkeys(key for row in rows for key in row)
    check_attributes(len(names), name)
    plain = str | int | float | bool
    known = {
        key: [value if isinstance(value := row.get(key), plain) else None for row in rows] for key in names
    }
    return "\n".join(lines), known


def _attributes(braces: str, where: str) -> dict[str, Any]:
    """What {'weight': 3} says, as Python or JSON writes it. Raises `UserError`."""
    try:
        found = literal_eval(braces) if len(braces) <= LONGEST else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UserError(
            f"{where} ends in {braces!r:.60}; what is known of an edge is written {{'weight': 3}} in at most "
            f"{LONGEST:,} characters. Mend the line."
        )
    return {str(key): value for key, value in found.items()}


def read_matrix_market(text: str, name: str) -> Graph:
    """The graph whose adjacency matrix a MatrixMarket file holds in coordinates. Raises `UserError`."""
    lines = iter(text.splitlines())
    kind = next(lines).lower().split()
    if kind[1:3] != ["matrix", "coordinate"]:
        raise UserError(f"{name} is MatrixMarket but no sparse matrix. Write it with 'matrix coordinate'.")
    body = (line.split() for line in lines if line.strip() and not line.startswith("%"))
    size = next(body, [])
    try:
        rows, columns, entries = map(int, size)
    except ValueError as error:
        raise UserError(
            f"{name} tells its size as {' '.join(size)!r:.60}, not rows columns entries."
        ) from error
    if rows != columns or min(rows, entries) < 0:
        raise UserError(f"{name} is {rows} x {columns}; the matrix of a graph is square. Give another.")
    check_nodes(rows, name)
    check_edges(entries, name)
    ends, weights = list[tuple[int, int]](), list[float]()
    for at, cells in enumerate(islice(body, entries + 1), start=1):
        try:
            ends.append((int(cells[0]) - 1, int(cells[1]) - 1))
            if not all(0 <= end < rows for end in ends[-1]):
                raise UserError(
                    f"{name}: entry {at} stands in row {cells[0]:.20}, column {cells[1]:.20}, and the matrix "
                    f"has {rows:,} of each, counted from 1. Mend the entry."
                )
            weights += [float(cells[2])] if len(cells) > 2 else []
        except (ValueError, IndexError) as error:
            raise UserError(
                f"{name}: entry {at} is {' '.join(cells)!r:.60}; it must be: row column value."
            ) from error
    if len(ends) != entries:
        more = "more" if len(ends) > entries else f"{len(ends):,}"
        raise UserError(f"{name} promises {entries:,} entries and has {more}. Copy it again.")
    edges = {"weight": weights} if len(weights) == len(ends) else {}
    return made(name, "MatrixMarket", rows, ends, edges=edges, directed="symmetric" not in kind)


def _cells(line: str, separator: str | None) -> list[str]:
    if separator is None:
        return line.split()
    if '"' in line:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator))]
    return [cell.strip() for cell in line.split(separator)]


def _ends(names: Sequence[str]) -> tuple[int, int]:
    """The places of the two columns of nodes."""
    for first, second in (
        sorted(pair, key=lambda one: names.index(one)) for pair in ENDS if pair <= {*names}
    ):
        return names.index(first), names.index(second)
    return 0, 1


def _guessed(rest: Sequence[Sequence[str]]) -> list[str]:
    """Names of the columns after the nodes: numbers are a weight, words a label."""
    if not rest or not rest[0]:
        return []
    numbers = all(_number(cells[0]) is not None for cells in islice(rest, 100))
    return ["weight" if numbers else "label", *(f"column {at}" for at in range(4, 3 + len(rest[0])))]


def _columns(rest: Sequence[Sequence[str]], names: Sequence[str]) -> dict[str, list[Any]]:
    return {name: list(_values([cells[at] for cells in rest])) for at, name in enumerate(names)}


def _values(cells: Sequence[str]) -> Iterator[Any]:
    """Numbers where all cells are numbers, else texts; an empty cell is missing."""
    numbers = [_number(cell) if cell else None for cell in cells]
    if all(number is not None or not cell for number, cell in zip(numbers, cells, strict=True)):
        return iter(numbers)
    return (cell or None for cell in cells)


def _number(cell: str) -> float | None:
    if not re.fullmatch(r"[-+]?(\d+\.?\d*([eE][-+]?\d+)?|\.\d+([eE][-+]?\d+)?|nan|inf|infinity)", cell, re.I):
        return None
    return float(cell)
