"""What one column holds: its type, found from its cells, and statistics in memory that does not grow."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmagent_table.cells import as_bool, as_date, as_number, is_missing

__all__ = ["KINDS", "Column", "Tally", "value_of"]

KINDS = ("number", "date", "boolean", "category", "text", "empty")
MOSTLY = 0.9  # share of cells that must read as numbers or dates for a column of them
TRACKED = 400_000  # distinct values counted exactly, over all columns of a table
BITS = 1 << 20  # of the bitmap that estimates how many there are beyond (linear counting, Whang et al. 1990)
SAMPLE = 4096  # values of which quantiles and histograms are made
FEW = 20  # distinct values of a category, or up to a fifth of the rows


@dataclass(frozen=True)
class Column:
    """One column, looked at.

    kind       one of `KINDS`;  unit  of most of its numbers, "" for none
    n          cells;  missing  of them
    distinct   different values; exact unless `estimated`
    top        the most frequent values with their counts
    low, high, mean, std   of numbers, and of dates in days since 1970
    sample     at most `SAMPLE` of its numbers, drawn evenly; empty for words
    entropy    of its values in bits
    odd        cells that are neither missing nor of the column's kind
    """

    name: str
    kind: str
    unit: str
    n: int
    missing: int
    distinct: int
    estimated: bool
    top: tuple[tuple[str, int], ...]
    low: float | None
    high: float | None
    mean: float | None
    std: float | None
    sample: tuple[float, ...]
    entropy: float
    mean_length: float
    odd: int

    @property
    def is_key(self) -> bool:
        """Whether its values tell all rows apart, as far as is known."""
        return not self.missing and self.distinct >= self.n * (0.98 if self.estimated else 1) and self.n > 1

    @property
    def is_ordered(self) -> bool:
        """Whether its values can be more or less than others."""
        return self.kind in ("number", "date")


class Tally:
    """Counts a column while it passes by."""

    def __init__(self, name: str, n_columns: int) -> None:
        self.name = name
        self._most = max(64, TRACKED // max(n_columns, 1))
        self._counts: Counter[str] = Counter()
        self._seen: np.ndarray[Any, Any] | None = None
        self.n = self.missing = 0
        self._kinds: Counter[str] = Counter()
        self._units: Counter[str] = Counter()
        self._length = 0
        self._numbers, self._dates = _Moments(), _Moments()

    def add(self, cells: Sequence[str]) -> None:
        """Count some cells."""
        found = Counter(cells)
        self.n += len(cells)
        numbers: list[tuple[float, int]] = []
        dates: list[tuple[float, int]] = []
        for cell, count in found.items():
            if is_missing(cell):
                self.missing += count
                continue
            self._count(cell, count)
            self._length += len(cell) * count
            if (number := as_number(cell)) is not None:
                self._kinds["number"] += count
                self._units[number.unit] += count
                numbers.append((number.value, count))
            elif (date := as_date(cell)) is not None:
                self._kinds["date"] += count
                dates.append((date, count))
            if as_bool(cell) is not None:
                self._kinds["boolean"] += count
        self._numbers.add(numbers)
        self._dates.add(dates)

    def column(self) -> Column:
        """What the column is, of all that passed by."""
        there = self.n - self.missing
        distinct, estimated = self._distinct()
        kind = self._kind(there, distinct)
        moments = {"number": self._numbers, "date": self._dates}.get(kind, _Moments())
        unit, count = (self._units.most_common(1) or [("", 0)])[0]
        fits = self._kinds[kind] if kind in ("number", "date", "boolean") else there
        return Column(
            name=self.name,
            kind=kind,
            unit=unit if kind == "number" and count > 0.5 * max(there, 1) else "",
            n=self.n,
            missing=self.missing,
            distinct=distinct,
            estimated=estimated,
            top=tuple(self._counts.most_common(20)),
            low=moments.low if moments.n else None,
            high=moments.high if moments.n else None,
            mean=moments.mean if moments.n else None,
            std=moments.std if moments.n else None,
            sample=tuple(moments.sample),
            entropy=self._entropy(there, distinct),
            mean_length=self._length / there if there else 0.0,
            odd=there - fits,
        )

    def _count(self, cell: str, count: int) -> None:
        if cell in self._counts or len(self._counts) < self._most:
            self._counts[cell] += count
            return
        if self._seen is None:
            self._seen = np.zeros(BITS, dtype=bool)
            for known in self._counts:
                self._seen[_bit(known)] = True
        self._seen[_bit(cell)] = True

    def _distinct(self) -> tuple[int, bool]:
        if self._seen is None:
            return len(self._counts), False
        free = 1.0 - float(self._seen.mean())
        guess = round(-BITS * math.log(max(free, 1.0 / BITS)))
        return min(max(guess, len(self._counts)), self.n - self.missing), True

    def _kind(self, there: int, distinct: int) -> str:
        if not there:
            return "empty"
        if self._kinds["boolean"] == there and distinct <= 2:
            return "boolean"
        for kind in ("date", "number"):
            if self._kinds[kind] >= MOSTLY * there:
                return kind
        return "category" if distinct < there and distinct <= max(FEW, there // 5) else "text"

    def _entropy(self, there: int, distinct: int) -> float:
        """Bits of a value; values that are not counted one by one are taken to be equally frequent."""
        if not there:
            return 0.0
        shares = np.array(list(self._counts.values()), dtype=float) / there
        bits = float(-(shares * np.log2(shares)).sum())
        rest, others = 1.0 - float(shares.sum()), distinct - len(self._counts)
        return bits + (rest * math.log2(others / rest) if rest > 1e-9 and others > 0 else 0.0)


def _bit(cell: str) -> int:
    """The place of a value in the bitmap; CRC alone maps similar values too evenly (Knuth 6.4)."""
    return (zlib.crc32(cell.encode("utf-8", "surrogatepass")) * 2654435769 % 2**32) * BITS >> 32


class _Moments:
    """Mean, spread, ends and an even sample of counted numbers (Chan et al. 1979; Vitter 1985)."""

    def __init__(self) -> None:
        self.n = 0
        self.mean = self._square = 0.0
        self.low, self.high = math.inf, -math.inf
        self.sample: list[float] = []
        self._rng = np.random.default_rng(0)

    @property
    def std(self) -> float:
        return math.sqrt(self._square / self.n) if self.n else 0.0

    def add(self, pairs: Iterable[tuple[float, int]]) -> None:
        values = np.array(list(pairs), dtype=float).reshape(-1, 2)
        if not len(values):
            return
        numbers, counts = values.T
        n = int(counts.sum())
        mean = float((numbers * counts).sum() / n)
        square = float((counts * (numbers - mean) ** 2).sum())
        step = mean - self.mean
        self._square += square + step * step * self.n * n / (self.n + n)
        self.mean += step * n / (self.n + n)
        self.low, self.high = min(self.low, float(numbers.min())), max(self.high, float(numbers.max()))
        self._draw(np.repeat(numbers, counts.astype(int)))
        self.n += n

    def _draw(self, numbers: np.ndarray[Any, Any]) -> None:
        free = SAMPLE - len(self.sample)
        self.sample += numbers[:free].tolist()
        rest = numbers[free:]
        seen = self.n + free + 1 + np.arange(len(rest))  # numbers so far, each included
        places = self._rng.integers(0, seen) if len(rest) else seen
        for at in np.flatnonzero(places < SAMPLE).tolist():
            self.sample[places[at]] = float(rest[at])


def value_of(cell: str, kind: str) -> float | None:
    """What a cell of a number or date column is worth, in its order; None for others."""
    if is_missing(cell):
        return None
    if kind == "date":
        return as_date(cell)
    number = as_number(cell)
    return None if number is None else number.value
