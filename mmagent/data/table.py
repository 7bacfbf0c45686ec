"""Rows with named columns, before anyone knows what the columns mean: every layout is read into this."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmagent.errors import UserError
from mmagent.reading import json_fault
from mmagent.rows import SEPARATORS, Row, csv_rows, json_rows
from mmagent.sniff import HEAD, starts_like

__all__ = ["Cells", "Table", "joined", "read_text_table", "rows_of_python"]


@dataclass(frozen=True, slots=True)
class Cells:
    """One row: its cells by column, or why it cannot be read.

    number  from 1; in a text file the line it begins at
    where   "line 3", or "train.csv, line 3" among several files
    base    what its paths are relative to; None: the current folder
    split   where the layout says it, as a folder of splits does
    """

    number: int
    where: str
    cells: Mapping[str, Any]
    base: Path | None = None
    error: str | None = None
    split: str | None = None


@dataclass(frozen=True)
class Table:
    """Rows and what is known of their columns.

    names   class names of columns that hold numbers of classes
    splits  the splits that the layout shows, empty ones included
    """

    format: str
    fields: tuple[str, ...]
    rows: Sequence[Cells]
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    splits: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def read_text_table(place: Path) -> Table:
    """A .jsonl, .json, .csv or .tsv file. Raises UserError for wrong content, OSError where there is none."""
    suffix = place.suffix.lower()
    try:
        if suffix in {".csv", ".tsv"}:
            names, separator, rows = csv_rows(place)
            told = "" if suffix == ".tsv" or separator == "," else f" separated by {SEPARATORS[separator]}"
            return Table(f"{suffix[1:]}{told}", tuple(name for name in names if name), _cells(rows, place))
        if suffix == ".json" and (content := _whole(place)) is not None:
            table = rows_of_python(content, "row")
            return Table("json", table.fields, [_at(row, place.parent) for row in table.rows])
        cells = _cells(json_rows(place), place)
        return Table("json lines", _fields(row.cells for row in cells if not row.error), cells)
    except UnicodeDecodeError as error:
        with place.open("rb") as handle:
            like = starts_like(handle.read(HEAD))
        raise UserError(f"{place} is not UTF-8 text; it starts like {like}. Save it as UTF-8.") from error


def rows_of_python(rows: Iterable[Any], word: str = "row") -> Table:
    """Rows given as dictionaries."""
    cells = []
    for number, row in enumerate(rows, start=1):
        if isinstance(row, Mapping):
            cells.append(Cells(number, f"{word} {number}", row))
        else:
            told = f"a row is a mapping like {{'image': ..., 'answer': ...}}, not {row!r:.60}."
            cells.append(Cells(number, f"{word} {number}", {}, error=told))
    return Table("rows", _fields(row.cells for row in cells), cells)


def joined(tables: Mapping[str, tuple[Table, str | None]], format: str) -> Table:
    """Several tables as one; `tables` are they and their splits by name. Rows are numbered throughout."""
    rows: list[Cells] = []
    for name, (table, split) in tables.items():
        for row in table.rows:
            where = f"{name}, {row.where}"
            rows.append(Cells(len(rows) + 1, where, row.cells, row.base, row.error, row.split or split))
    names: dict[str, Sequence[str]] = {}
    for table, _ in tables.values():
        names.update(table.names)
    return Table(
        format,
        tuple(dict.fromkeys(name for table, _ in tables.values() for name in table.fields)),
        rows,
        names,
        tuple(dict.fromkeys(split for _, split in tables.values() if split)),
        tuple(dict.fromkeys(note for table, _ in tables.values() for note in table.notes)),
        tuple(f"{name}: {told}" for name, (table, _) in tables.items() for told in table.problems),
    )


def _whole(place: Path) -> list[Any] | None:
    """The list in a .json file; None where it is JSON lines under another name, as often on the hub."""
    try:
        content = json.loads(place.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        with place.open("rb") as handle:
            head = handle.read(HEAD).removeprefix(b"\xef\xbb\xbf").lstrip()
        if head.startswith(b"{") and not isinstance(error, UnicodeDecodeError):
            return None
        if isinstance(error, UnicodeDecodeError):
            raise
        raise UserError(f"{place} is not JSON: {json_fault(error)}. Rows are a list of objects.") from error
    if isinstance(content, list):
        return content
    keys = f" with {', '.join(map(str, list(content)[:5]))}" if isinstance(content, dict) else ""
    raise UserError(
        f"{place} holds a JSON {type(content).__name__}{keys}; rows are a list of objects like "
        '[{"image": "a.png", "answer": "cat"}].'
    )


def _cells(rows: Iterator[Row], place: Path) -> list[Cells]:
    return [Cells(row.number, f"line {row.number}", row.content, place.parent, _told(row)) for row in rows]


def _told(row: Row) -> str | None:
    """A row's error without the line, which stands before it anyway."""
    return None if row.error is None else row.error.removeprefix(f"line {row.number} ")


def _at(row: Cells, base: Path) -> Cells:
    return Cells(row.number, row.where, row.cells, base, row.error)


def _fields(rows: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for row in rows:
        found.update(dict.fromkeys(map(str, row)))
    return tuple(found)
