"""Sets from arrays: npy and csv. What a header promises is held against the file before anything is made."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmagent.errors import UserError
from mmagent.npy import npy_header
from mmagent_set.elements import MAX_ATTRIBUTES, MAX_ELEMENTS, MAX_OBJECTS, Elements, check_count, of_columns

__all__ = ["GROUPS", "of_array", "read_csv", "read_npy"]

GROUPS = ("group", "box", "set", "stroke", "cluster", "part")
"""What the column is called that says which group an element is in."""
SHAPE = "A set as an array is (N, d): N points of d numbers."


def read_npy(data: bytes, name: str) -> Elements:
    """The points (N, d) of a .npy file; nothing is unpickled. Raises `UserError`."""
    stream = io.BytesIO(data)
    try:
        shape, fortran, dtype = npy_header(stream)
    except ValueError as error:
        raise UserError(f"{name} is a numpy file with a damaged header: {error}. Save it again.") from error
    if dtype.hasobject or dtype.kind not in "biuf":
        raise UserError(f"{name} holds {dtype} values; points are numbers. Save an array of floats.")
    if len(shape) != 2:
        raise UserError(f"{name} has the shape {shape}. {SHAPE}")
    check_count(shape[0], name)
    there = len(data) - stream.tell()
    if math.prod(shape) * dtype.itemsize != there:
        raise UserError(
            f"{name} promises {shape[0]:,} x {shape[1]:,} numbers and holds {there:,} bytes. Copy it again."
        )
    array = np.frombuffer(data, dtype, offset=stream.tell()).reshape(shape, order="F" if fortran else "C")
    return of_array(array, name, "npy")


def of_array(array: Any, name: str, origin: str = "array") -> Elements:
    """The set of an array's rows; two or three numbers are a place. Raises `UserError`."""
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise UserError(f"{name} is {array.dtype} of shape {array.shape}. {SHAPE}")
    check_count(len(array), name)
    n, d = array.shape
    if not 1 <= d <= MAX_ATTRIBUTES:
        raise UserError(f"{name} has points of {d:,} numbers; 1 to {MAX_ATTRIBUTES} are read. {SHAPE}")
    names = list("xyz"[:d]) if 2 <= d <= 3 else [f"column {at}" for at in range(1, d + 1)]
    columns = {word: np.ascontiguousarray(array[:, at], dtype=np.float64) for at, word in enumerate(names)}
    return of_columns(columns, n, name, origin)


def read_csv(text: str, name: str) -> Elements:
    """One element a line, with a header or without; words and numbers by column. Raises `UserError`."""
    first = text.lstrip("\ufeff").partition("\n")[0]
    separator = next((one for one in ("\t", ";", ",") if one in first), ",")
    rows = csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""), delimiter=separator)
    names: list[str] = []
    cells: list[list[Any]] = []
    try:
        for row in rows:
            if not row or not any(cell.strip() for cell in row):
                continue
            if not names:
                plain = all(_value(cell) is None or not isinstance(_value(cell), float) for cell in row)
                names = _header(row, name) if plain else _unnamed(len(row), name)
                cells = [[] for _ in names]
                if plain:
                    continue
            if len(row) != len(names):
                raise UserError(
                    f"{name}, line {rows.line_num} has {len(row)} cells and others have {len(names)}. "
                    "Give every element the same."
                )
            for column, cell in zip(cells, row, strict=True):
                column.append(_value(cell))
            check_count(len(cells[0]), name, MAX_ELEMENTS)
    except csv.Error as error:
        raise UserError(f"{name}, line {rows.line_num} cannot be read: {error}.") from error
    columns = {word: _column(values) for word, values in zip(names, cells, strict=True)}
    if any(isinstance(values, list) for values in columns.values()):
        check_count(len(cells[0]), name, MAX_OBJECTS)
    key = next((word for word in columns if word.lower() in GROUPS), None)
    told = [] if key is None else list(map(str, columns.pop(key)))
    places = {one: at for at, one in enumerate(dict.fromkeys(told))}
    groups = [places[one] for one in told] if told else None
    count = len(cells[0]) if cells else 0
    return of_columns(columns, count, name, "csv", groups=groups, n_groups=max(len(places), 1))


def _header(row: Sequence[str], name: str) -> list[str]:
    names = [cell.strip() for cell in row]
    twice = next((one for one in names if names.count(one) > 1), None)
    if twice is not None:
        raise UserError(f"{name} has two columns called {twice!r}. Rename one of them.")
    return names


def _unnamed(width: int, name: str) -> list[str]:
    if width > MAX_ATTRIBUTES:
        raise UserError(f"{name} has {width:,} columns; at most {MAX_ATTRIBUTES} are read. {SHAPE}")
    return list("xyz"[:width]) if 2 <= width <= 3 else [f"column {at}" for at in range(1, width + 1)]


def _value(cell: str) -> float | str | None:
    """A number where it is one; nothing where the cell is empty."""
    cell = cell.strip()
    if not cell:
        return None
    try:
        return float(cell)
    except ValueError:
        return cell


def _column(values: list[Any]) -> Any:
    """An array of numbers where no cell is a word, else the texts."""
    if any(isinstance(value, str) for value in values):
        return [
            None if value is None else f"{value:g}" if isinstance(value, float) else value for value in values
        ]
    return np.array([math.nan if value is None else value for value in values])
