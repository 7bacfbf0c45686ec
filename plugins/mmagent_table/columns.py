"""What one column holds: its type, found from its cells, and statistics in memory that does not grow."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmagent_table.cells import as_bool, as_date, as_number, date_order, is_missing
from mmagent_table.conventions import day_first, plain_unit
from mmagent_table.moments import Readings, Value

__all__ = ["KINDS", "Column", "Tally", "value_of"]

KINDS = ("number", "date", "boolean", "category", "text", "empty")
MOSTLY = 0.9  # share of cells that must read as numbers or dates for a column of them
TRACKED = 400_000  # distinct values counted exactly, over all columns of a table
BITS = 1 << 20  # of the bitmap that estimates how many there are beyond (linear counting, Whang et al. 1990)
FEW = 20  # distinct values of a category, or up to a fifth of the rows


@dataclass(frozen=True)
class Column:
    """One column, looked at.

    kind       one of `KINDS`;  unit  of most of its numbers, "" for none
    n          cells;  missing  of them
    distinct   different values; exact unless `estimated`
    top        the most frequent values with their counts
    low, high, mean, std   of numbers, and of dates in days since 1970
    sample     at most `moments.SAMPLE` of its numbers, drawn evenly; empty for words
    entropy    of its values in bits
    odd        cells that are neither missing nor of the column's kind, or are in another unit
    units      of its numbers with their counts, the commonest first; empty where all have the same
    foreign    those of them beside the one that most have
    comma      numbers have a decimal comma;  day_first  a date such as 3/4/2024 is the 3rd of April
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
    units: tuple[tuple[str, int], ...] = ()
    foreign: frozenset[str] = frozenset()
    comma: bool = False
    day_first: bool = False

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
        self._bools = 0
        self._length = 0
        self._numbers, self._dates = Readings(), Readings()
        self.signs: Counter[str] = Counter()
        self._orders: Counter[str] = Counter()

    def add(self, cells: Sequence[str]) -> None:
        """Count some cells."""
        found = Counter(cells)
        self.n += len(cells)
        numbers: list[Value] = []  # the same whether commas are decimal or not
        points: list[Value] = []  # read as if they are not, and as if they are
        commas: list[Value] = []
        dates: list[Value] = []
        months: list[Value] = []  # read as if the month stands first, and as if the day does
        days: list[Value] = []
        for cell, count in found.items():
            if is_missing(cell):
                self.missing += count
                continue
            self._count(cell, count)
            self._length += len(cell) * count
            number = as_number(cell)
            if number is not None and not number.sign.endswith("?"):
                numbers.append((number.value, number.unit, count))
                if number.sign:
                    self.signs[number.sign] += count
            elif (number is not None or "," in cell) and (comma := as_number(cell, comma=True)) is not None:
                commas.append((comma.value, comma.unit, count))
                self.signs[comma.sign] += count
                if number is not None:
                    points.append((number.value, number.unit, count))
            elif (date := as_date(cell)) is not None:
                order = date_order(cell)
                self._orders[order] += count
                (months if order == "either" else dates).append((date, "", count))
                if order == "either":
                    days.append((as_date(cell, day_first=True) or 0.0, "", count))
            if as_bool(cell) is not None:
                self._bools += count
        self._numbers.add(numbers, points, commas)
        self._dates.add(dates, months, days)

    def column(self, comma: bool = False) -> Column:
        """What the column is, of all that passed by; `comma`: numbers have a decimal comma."""
        there = self.n - self.missing
        distinct, estimated = self._distinct()
        turned = day_first(self._orders)
        read = {"number": self._numbers.chosen(comma), "date": self._dates.chosen(turned)}
        kind = self._kind(there, distinct, {name: one.n for name, one in read.items()})
        one = read.get(kind)
        moments = None if one is None else one.moments(there)
        foreign = () if one is None else one.foreign(there)
        fits = one.n if one is not None else self._bools if kind == "boolean" else there
        return Column(
            name=self.name,
            kind=kind,
            unit=one.unit(there) if one is not None else "",
            n=self.n,
            missing=self.missing,
            distinct=distinct,
            estimated=estimated,
            top=tuple(self._counts.most_common(20)),
            low=moments.low if moments else None,
            high=moments.high if moments else None,
            mean=moments.mean if moments else None,
            std=moments.std if moments else None,
            sample=tuple(moments.sample) if moments else (),
            entropy=self._entropy(there, distinct),
            mean_length=self._length / there if there else 0.0,
            odd=there - fits + sum(count for _, count in foreign),
            units=one.units() if one is not None else (),
            foreign=frozenset(unit for unit, _ in foreign),
            comma=comma and kind == "number",
            day_first=turned and kind == "date",
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

    def _kind(self, there: int, distinct: int, read: Mapping[str, int]) -> str:
        if not there:
            return "empty"
        if self._bools == there and distinct <= 2:
            return "boolean"
        for kind in ("date", "number"):
            if read[kind] >= MOSTLY * there:
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


def value_of(cell: str, column: Column) -> float | None:
    """What a cell of a number or date column is worth, in its order; None for others.

    None is also what a number in a foreign unit is worth: no order is known of 5 km and 500 m.
    """
    if is_missing(cell):
        return None
    if column.kind == "date":
        return as_date(cell, column.day_first)
    number = as_number(cell, column.comma)
    if number is None or (column.unit and column.foreign and plain_unit(number.unit) in column.foreign):
        return None
    return number.value
