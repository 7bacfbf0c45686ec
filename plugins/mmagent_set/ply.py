"""Point clouds from PLY files (Turk 1994), ascii and binary: the element `vertex` and its numbers."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import numpy as np

from mmagent.errors import UserError
from mmagent_set.elements import MAX_ATTRIBUTES, Elements, check_count, of_columns

__all__ = ["read_ply"]

MOST_LINES = 500  # of a header
TYPES = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
}
FORMATS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


@dataclass
class _Part:
    """An element of the header: its name, how many there are, its properties and their types."""

    name: str
    count: int
    properties: list[tuple[str, str]] = field(default_factory=list)
    lists: bool = False


def read_ply(data: bytes, name: str) -> Elements:
    """The vertices of a PLY file; faces are not looked at. Raises `UserError`."""
    order, parts, begin = _header(data, name)
    before: list[_Part] = []
    for part in parts:
        if part.name == "vertex":
            break
        before.append(part)
    else:
        there = ", ".join(part.name for part in parts) or "nothing"
        raise UserError(f"{name} has no element 'vertex'; it has: {there}. Give a file with points.")
    vertices = parts[len(before)]
    if vertices.lists or any(part.lists for part in before):
        raise UserError(
            f"{name} has lists among or before its vertices; plain numbers are read. Save it plainly."
        )
    check_count(vertices.count, name)
    if not 1 <= len(vertices.properties) <= MAX_ATTRIBUTES:
        raise UserError(
            f"{name} has vertices of {len(vertices.properties)} numbers; 1 to {MAX_ATTRIBUTES} are read."
        )
    reading = _ascii if order == "" else _binary
    columns = reading(data[begin:], order, before, vertices, name)
    return of_columns(columns, vertices.count, name, "ply")


def _header(data: bytes, name: str) -> tuple[str, list[_Part], int]:
    """Byte order ("" for ascii), the elements, and where the content begins."""
    stream, order, parts = io.BytesIO(data), None, list[_Part]()
    for _ in range(MOST_LINES):
        words = stream.readline(1000).decode("ascii", "replace").split()
        if words[:1] == ["end_header"]:
            if order is None:
                raise UserError(
                    f"{name} does not say its format. A PLY file says 'format ascii 1.0' or binary."
                )
            return order, parts, stream.tell()
        try:
            if words[:1] == ["format"]:
                order = FORMATS[words[1]]
            elif words[:1] == ["element"]:
                parts.append(_Part(words[1], int(words[2])))
                if parts[-1].count < 0:
                    raise ValueError(words[2])
            elif words[:2] == ["property", "list"]:
                parts[-1].lists = True
            elif words[:1] == ["property"]:
                parts[-1].properties.append((words[2], TYPES[words[1]]))
        except (KeyError, IndexError, ValueError) as error:
            raise UserError(
                f"{name}: the header says {' '.join(words)!r:.60}, which is no PLY. Save it again."
            ) from error
        if stream.tell() >= len(data):
            break
    raise UserError(f"{name} has no end_header, so its header is cut off. Copy it again.")


def _binary(
    data: bytes, order: str, before: list[_Part], vertices: _Part, name: str
) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    skip = sum(part.count * sum(int(kind[1]) for _, kind in part.properties) for part in before)
    row = np.dtype([(word, order + kind) for word, kind in _distinct(vertices, name)])
    wanted = vertices.count * row.itemsize
    if skip + wanted > len(data):
        raise UserError(
            f"{name} promises {vertices.count:,} points of {row.itemsize} bytes and holds {len(data):,}. "
            "Copy it again."
        )
    rows = np.frombuffer(data, row, count=vertices.count, offset=skip)
    return {word: rows[word].astype(np.float64) for word in rows.dtype.names or ()}


def _ascii(
    data: bytes, order: str, before: list[_Part], vertices: _Part, name: str
) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    names = [word for word, _ in _distinct(vertices, name)]
    skip = sum(part.count for part in before)
    if skip + vertices.count > len(data):  # a line has a character at least
        raise UserError(
            f"{name} promises {vertices.count:,} points and holds {len(data):,} bytes. Copy it again."
        )
    lines = data.decode("ascii", "replace").splitlines()[skip : skip + vertices.count]
    if len(lines) < vertices.count:
        raise UserError(f"{name} promises {vertices.count:,} points and has {len(lines):,}. Copy it again.")
    cells = [line.split() for line in lines]
    for at, row in enumerate(cells, start=1):
        if len(row) != len(names):
            raise UserError(f"{name}: point {at} has {len(row)} numbers, and each has {len(names)}. Mend it.")
    try:
        table = np.array(cells, dtype=np.float64).reshape(-1, len(names))
    except ValueError as error:
        raise UserError(f"{name} has a point that is no numbers: {error!s:.100}. Mend it.") from error
    return {word: np.ascontiguousarray(table[:, at]) for at, word in enumerate(names)}


def _distinct(vertices: _Part, name: str) -> list[tuple[str, str]]:
    names = [word for word, _ in vertices.properties]
    twice = next((word for word in names if names.count(word) > 1), None)
    if twice is not None:
        raise UserError(f"{name} has two properties called {twice!r}. Save it again.")
    return vertices.properties
