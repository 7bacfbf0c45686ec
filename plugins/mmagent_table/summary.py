"""What one pass over a table tells: its columns, a sample of rows, copies, keys and dependencies."""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mmagent_table.columns import Column, Tally, value_of
from mmagent_table.conventions import decimal_commas

if TYPE_CHECKING:
    from mmagent_table.table import Row, Table

__all__ = ["Summary", "summarise"]

SAMPLE = 2048  # rows that correlations and dependencies are computed on
HASHED = 20_000_000  # rows that are looked at for copies, 8 bytes each
PAIRS = 40  # columns of which all pairs are compared


@dataclass(frozen=True)
class Summary:
    """A table, looked at once.

    columns     one `Column` for each
    n_rows      of the table
    duplicates  rows that equal an earlier one; None where there are too many rows to say
    head        the first rows;  sample  at most `SAMPLE` rows, drawn evenly, in order
    told_commas columns of which not their cells but the table tells that they have decimal commas
    """

    columns: tuple[Column, ...]
    n_rows: int
    duplicates: int | None
    head: tuple[Row, ...]
    sample: tuple[Row, ...]
    told_commas: tuple[int, ...] = ()

    def told(self) -> str:
        """One line: size, and the columns with their types."""
        shown = ", ".join(_told(column) for column in self.columns[:8])
        more = f" and {len(self.columns) - 8} more" if len(self.columns) > 8 else ""
        rows, columns = self.n_rows, len(self.columns)
        size = f"{rows:,} row{'s' if rows != 1 else ''} x {columns:,} column{'s' if columns != 1 else ''}"
        return f"table, {size}: {shown}{more}"

    def dependencies(self) -> list[tuple[str, str]]:
        """Columns (A, B) where in the sample equal A always comes with equal B, and A repeats."""
        columns = [self._codes(at) for at in range(min(len(self.columns), PAIRS))]
        sizes = [len(np.unique(codes)) for codes in columns]
        found = []
        for a, left in enumerate(columns):
            if sizes[a] < 2 or sizes[a] > 0.8 * len(self.sample):
                continue
            for b, right in enumerate(columns):
                if a == b or sizes[b] < 2:
                    continue
                if len(np.unique(left.astype(np.int64) * (sizes[b] + 1) + right)) == sizes[a]:
                    found.append((self.columns[a].name, self.columns[b].name))
        return found

    def correlations(self) -> list[tuple[str, str, float]]:
        """Pearson's r of pairs of number and date columns in the sample, the strongest first."""
        ordered = [at for at, column in enumerate(self.columns) if column.is_ordered][:PAIRS]
        values = [self._values(at) for at in ordered]
        found = []
        for i, left in enumerate(values):
            for j in range(i):
                both = ~np.isnan(left) & ~np.isnan(values[j])
                if both.sum() < 4:
                    continue
                x, y = left[both], values[j][both]
                if x.std() > 0 and y.std() > 0:
                    r = float(np.corrcoef(x, y)[0, 1])
                    found.append((self.columns[ordered[j]].name, self.columns[ordered[i]].name, r))
        return sorted(found, key=lambda one: -abs(one[2]))

    def _codes(self, at: int) -> np.ndarray[Any, Any]:
        return np.unique([row[at] for row in self.sample], return_inverse=True)[1]

    def _values(self, at: int) -> np.ndarray[Any, Any]:
        cells = (value_of(row[at], self.columns[at]) for row in self.sample)
        return np.array([np.nan if value is None else value for value in cells])


def summarise(table: Table) -> Summary:
    """Look at a table in one pass. Raises `UserError` for a row that cannot be read."""
    tallies = [Tally(name, len(table.names)) for name in table.names]
    sampled = _RowSample()
    hashes: list[np.ndarray[Any, Any]] = []
    n_rows = 0
    head: list[Row] = []
    for chunk in table.chunks():
        if len(head) < 20:
            head += chunk[: 20 - len(head)]
        for tally, cells in zip(tallies, zip(*chunk, strict=True), strict=True):
            tally.add(cells)
        sampled.add(chunk)
        if n_rows <= HASHED:
            hashes.append(np.fromiter((hash(row) for row in chunk), dtype=np.int64, count=len(chunk)))
        n_rows += len(chunk)
    duplicates = None
    if n_rows <= HASHED:
        duplicates = n_rows - len(np.unique(np.concatenate(hashes))) if hashes else 0
    commas = decimal_commas([tally.signs for tally in tallies], table.semicolons)
    columns = tuple(tally.column(comma) for tally, (comma, _) in zip(tallies, commas, strict=True))
    told = tuple(at for at, (comma, own) in enumerate(commas) if comma and not own)
    return Summary(columns, n_rows, duplicates, tuple(head), sampled.rows(), told)


class _RowSample:
    """Rows with the smallest hashes of their content: an even sample that no order of rows changes."""

    def __init__(self) -> None:
        self._kept: list[tuple[int, int, Row]] = []  # a heap: the largest hash first
        self._n = 0

    def add(self, chunk: Sequence[Row]) -> None:
        for at, row in enumerate(chunk, start=self._n):
            code = zlib.crc32("\x1f".join(row).encode("utf-8", "surrogatepass"))
            if len(self._kept) < SAMPLE:
                heapq.heappush(self._kept, (-code, at, row))
            elif -code > self._kept[0][0]:
                heapq.heapreplace(self._kept, (-code, at, row))
        self._n += len(chunk)

    def rows(self) -> tuple[Row, ...]:
        return tuple(row for _, _, row in sorted(self._kept, key=lambda one: one[1]))


def _told(column: Column) -> str:
    unit = f" in {column.unit}" if column.unit else ""
    return f"{column.name} ({column.kind}{unit})"
