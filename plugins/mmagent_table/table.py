"""A table as the sense has it: named columns, and rows that come in chunks, as often as they are asked for.

Cells are text, the same for the same value in every file format; what a column's cells mean is found from
them (`columns.py`). A long table is never held whole: a pass over it keeps what `Summary` keeps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from mmagent.errors import UserError

if TYPE_CHECKING:
    from mmagent_table.match import Grid
    from mmagent_table.summary import Summary

__all__ = [
    "CHUNK",
    "MAX_COLUMNS",
    "MAX_ROWS",
    "AskedTable",
    "Row",
    "Table",
    "apart",
    "distinct_names",
    "told",
]

Row = tuple[str, ...]
Chunks = Callable[[], Iterator[list[Row]]]

CHUNK = 4096  # rows read at a time
KEPT_CELLS = 400_000  # of a table with at most so many, the rows stay in memory
MAX_ROWS = 200_000_000
MAX_COLUMNS = 4096


@dataclass(eq=False)
class Table:
    """Named columns and rows.

    names    distinct and not empty
    chunks_of  gives the rows anew whenever it is called, in lists of at most `CHUNK`
    format   "csv separated by commas, utf-8", for people
    part     which part of the file is read, and how to choose another; "" where there is one
    semicolons  part the cells, so that a comma in a number is likely to be its decimal sign
    notes    what was mended in reading: "2 columns are called Rank; ..."; filled in by a first pass
    """

    names: tuple[str, ...]
    chunks_of: Chunks
    format: str
    notes: list[str] = field(default_factory=list)
    name: str = "the table"
    part: str = ""
    semicolons: bool = False
    _kept: list[Row] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if len(self.names) > MAX_COLUMNS:
            raise UserError(
                f"{self.name} has {len(self.names):,} columns; at most {MAX_COLUMNS:,} are read. Choose some."
            )

    def chunks(self) -> Iterator[list[Row]]:
        """The rows, a chunk at a time. Raises `UserError` for a row that cannot be read."""
        if self._kept is not None:
            yield from (self._kept[at : at + CHUNK] for at in range(0, len(self._kept), CHUNK))
            return
        kept: list[Row] | None = []
        total = 0
        for chunk in self.chunks_of():
            total += len(chunk)
            if total > MAX_ROWS:
                raise UserError(f"{self.name} has more than {MAX_ROWS:,} rows. Take a part of them.")
            if kept is not None:
                kept += chunk
                if len(kept) * len(self.names) > KEPT_CELLS:
                    kept = None
            yield chunk
        self._kept = kept

    def rows(self) -> Iterator[Row]:
        """The rows one by one."""
        for chunk in self.chunks():
            yield from chunk

    def column(self, name: str) -> int:
        """Place of a column."""
        return self.names.index(name)

    @cached_property
    def summary(self) -> Summary:
        """What one pass over the rows tells: types, counts, distributions, a sample of rows."""
        from mmagent_table.summary import summarise

        return summarise(self)

    @cached_property
    def grid(self) -> Grid:
        """All rows, ready to be asked; for tables that fit into memory."""
        from mmagent_table.match import Grid

        return Grid(self.names, self.summary.columns, list(self.rows()))

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of names and cells in order, whatever the file format; streamed."""
        digest = hashlib.sha256(b"table\n" + _joined([self.names]))
        for chunk in self.chunks():
            digest.update(_joined(chunk))
        if self.semicolons and (told := self.summary.told_commas):
            digest.update(f"decimal commas {told}".encode())  # which the cells alone do not tell
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class AskedTable:
    """A table and what is asked of it."""

    table: Table
    question: str

    @property
    def fingerprint(self) -> str:
        """sha256 of the table's own and the question."""
        return hashlib.sha256(f"{self.table.fingerprint}\nquestion {self.question}".encode()).hexdigest()


def apart(raw: Table | AskedTable) -> tuple[Table, str | None]:
    """Table and question of a raw value; None where nothing is asked."""
    return (raw.table, raw.question) if isinstance(raw, AskedTable) else (raw, None)


def told(table: Table) -> str:
    """One line: size, columns with their types, and which part of a file it is."""
    return f"{table.summary.told()}; {table.part}" if table.part else table.summary.told()


def distinct_names(names: Sequence[str], notes: list[str]) -> tuple[str, ...]:
    """Names as they stand in a header, made distinct: "Rank", "Rank (2)"; empty ones become "column 3"."""
    made: list[str] = []
    taken: set[str] = set()
    twice: dict[str, int] = {}
    for at, name in enumerate(names):
        plain = " ".join(name.split()) or f"column {at + 1}"
        unique, number = plain, 1
        while unique in taken:
            number += 1
            unique = f"{plain} ({number})"
        if number > 1:
            twice[plain] = twice.get(plain, 1) + 1
        taken.add(unique)
        made.append(unique)
    notes += [
        f"{count} columns are called {name!r}; they are told apart by "
        f"(2){'' if count == 2 else ' and (3)' if count == 3 else f' to ({count})'}."
        for name, count in twice.items()
    ]
    if empty := sum(not name.strip() for name in names):
        notes.append(f"{empty} column{'s have' if empty > 1 else ' has'} no name.")
    return tuple(made)


def _joined(rows: Sequence[Row]) -> bytes:
    """Rows with separators that no cell keeps."""
    text = "\x1e".join("\x1f".join(row) for row in rows) + "\x1e"
    return text.encode("utf-8", errors="surrogatepass")
