"""Statistics of the numbers of a column while it passes by, in memory that does not grow.

Each unit has its own, and where a column can be read in two ways, each way: which holds is known at the end.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmagent_table.conventions import plain_unit

__all__ = ["SAMPLE", "Moments", "Numbers", "Readings", "Value"]

SAMPLE = 4096  # values of which quantiles and histograms are made
UNITS = 32  # that are told from each other; further ones count as one
OTHERS = "others"

Value = tuple[float, str, int]
"""A number, the unit beside it, and how often it came."""


class Moments:
    """Mean, spread, ends and an even sample of counted numbers (Chan et al. 1979; Vitter 1985)."""

    def __init__(self) -> None:
        self.n = 0
        self.mean = self._square = 0.0
        self.low, self.high = math.inf, -math.inf
        self.sample: list[float] = []
        self._rng = np.random.default_rng(0)

    @property
    def std(self) -> float:
        """The standard deviation of all that were added."""
        return math.sqrt(self._square / self.n) if self.n else 0.0

    def add(self, numbers: np.ndarray[Any, Any], counts: np.ndarray[Any, Any]) -> None:
        """Add some numbers, each as often as it came."""
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

    @classmethod
    def merged(cls, parts: Sequence[Moments]) -> Moments:
        """Those of all that was added to any of some; a sample that gets too large is thinned evenly."""
        if len(parts) == 1:
            return parts[0]
        whole = cls()
        for part in parts:
            step, n = part.mean - whole.mean, whole.n + part.n
            whole._square += part._square + step * step * whole.n * part.n / max(n, 1)
            whole.mean += step * part.n / max(n, 1)
            whole.n = n
            whole.low, whole.high = min(whole.low, part.low), max(whole.high, part.high)
        for part in parts:
            most = max(round(SAMPLE * part.n / max(whole.n, 1)), 1)
            kept = whole._rng.choice(part.sample, min(most, len(part.sample)), replace=False).tolist()
            whole.sample += part.sample if whole.n <= SAMPLE else kept
        whole.sample = whole.sample[:SAMPLE]
        return whole


class Numbers:
    """The numbers of one way to read a column, by their units."""

    def __init__(self) -> None:
        self._by_unit: dict[str, Moments] = {}
        self._written: Counter[str] = Counter()

    @property
    def n(self) -> int:
        """How many there are."""
        return sum(one.n for one in self._by_unit.values())

    def add(self, values: Sequence[Value]) -> None:
        """Add some numbers."""
        grouped: dict[str, list[tuple[float, int]]] = {}
        if values and self._written.keys() <= {""} and not any(unit for _, unit, _ in values):
            grouped[""] = [(value, count) for value, _, count in values]  # as most columns are
            self._written[""] += sum(count for _, count in grouped[""])
            values = ()
        for value, unit, count in values:
            plain = plain_unit(unit) if unit else ""
            if plain not in self._by_unit and len(self._by_unit) + len(grouped) >= UNITS:
                plain = OTHERS
            grouped.setdefault(plain, []).append((value, count))
            self._written[unit] += count
        for unit, pairs in grouped.items():
            numbers, counts = np.array(pairs, dtype=float).T
            self._by_unit.setdefault(unit, Moments()).add(numbers, counts)

    def foreign(self, there: int) -> tuple[tuple[str, int], ...]:
        """Units beside that of most numbers of a column, with their counts; none where no unit is."""
        main = self._main(there)
        return () if main is None else tuple(one for one in self.units() if one[0] not in (main, ""))

    def units(self) -> tuple[tuple[str, int], ...]:
        """The units, plain, with how many numbers have them, the commonest first; none where there is one."""
        counts = sorted(
            ((unit, one.n) for unit, one in self._by_unit.items()), key=lambda one: (-one[1], one)
        )
        return tuple(counts) if len(counts) > 1 else ()

    def unit(self, there: int) -> str:
        """The unit of most of a column's cells, as it is mostly written; "" for none."""
        main = self._main(there)
        return max(
            (unit for unit in self._written if plain_unit(unit) == main),
            key=lambda unit: (self._written[unit], unit),
            default="",
        )

    def moments(self, there: int) -> Moments:
        """Those of the numbers in the unit of most, and without one; of all where most have none."""
        main = self._main(there)
        kept = [one for unit, one in self._by_unit.items() if not main or unit in (main, "")]
        return Moments.merged(kept or [Moments()])

    def _main(self, there: int) -> str | None:
        unit, one = max(self._by_unit.items(), key=lambda one: (one[1].n, one[0]), default=("", Moments()))
        return unit if one.n > 0.5 * there else None


class Readings:
    """Two ways to read a column's numbers, kept as one until a cell parts them."""

    def __init__(self) -> None:
        self._one = self._other = Numbers()

    def add(self, both: Sequence[Value], one: Sequence[Value], other: Sequence[Value]) -> None:
        """Add what some cells are in both ways, and what others are read in one way and in the other."""
        if self._other is self._one and (one or other):
            self._other = copy.deepcopy(self._one)
        self._one.add([*both, *one])
        if self._other is not self._one:
            self._other.add([*both, *other])

    def chosen(self, other: bool) -> Numbers:
        """The numbers of one way, or of the other."""
        return self._other if other else self._one
