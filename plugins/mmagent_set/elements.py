"""What a set is once it is read: elements with words and numbers, perhaps in groups, in no order."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmagent.errors import UserError

__all__ = ["MAX_ATTRIBUTES", "MAX_ELEMENTS", "MAX_OBJECTS", "Elements", "check_count", "of_columns"]

MAX_ELEMENTS = 2_000_000  # points of an array
MAX_OBJECTS = 100_000  # objects with words
MAX_ATTRIBUTES = 64
MAX_GROUPS = 10_000
AXES = re.compile(
    r"(?:(?:pos|loc|coord|center|centre)_?)?([xyz])(?:_?(?:pos|loc|coord|position|location))?", re.I
)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Elements:
    """A set of n elements; nothing that is made of it may hang on their order.

    words      by attribute, (n) texts; "" where missing
    numbers    by attribute, (n,); nan where missing
    groups     (n,) which group an element is in, from 0; all 0 where there are none
    n_groups   groups there are, empty ones included
    statement  what is said of the set, to be held against it; "" where nothing is
    downward   whether y grows downwards, as on a screen
    origin     what it was read from: "npy", "ply", "objects" ...
    """

    words: Mapping[str, tuple[str, ...]]
    numbers: Mapping[str, Floats]
    groups: Ints
    n_groups: int
    statement: str
    downward: bool
    origin: str

    @property
    def n(self) -> int:
        """Number of elements."""
        return len(self.groups)

    @cached_property
    def axes(self) -> dict[str, str]:
        """The attributes that are coordinates, by axis: {"x": "x_loc", "y": "y_loc"}."""
        found: dict[str, str] = {}
        for name in sorted(self.numbers):
            match = AXES.fullmatch(name)
            if match is not None:
                found.setdefault(match[1].lower(), name)
        return dict(sorted(found.items()))

    @cached_property
    def places(self) -> Floats:
        """(n, k) coordinates, k from 0 to 3; nan where one is missing."""
        columns = [self.numbers[name] for name in self.axes.values()]
        return np.stack(columns, axis=1) if columns else np.zeros((self.n, 0))

    @cached_property
    def canonical(self) -> Elements:
        """The same set in the one order that its content gives, so that sums have the same last bits.

        Groups are numbered by the least of their elements; equal elements may stand in any order.
        """
        keys: list[Any] = [np.array(self.words[name]) for name in sorted(self.words, reverse=True)]
        keys += [self.numbers[name] for name in sorted(self.numbers, reverse=True)]
        if self.n == 0 or not keys:
            return self
        ranks = np.stack([np.unique(key, return_inverse=True)[1] for key in keys[::-1]], axis=1)
        order = np.lexsort((*ranks.T[::-1], self.groups))
        cuts = np.searchsorted(self.groups[order], np.arange(self.n_groups + 1))
        told = [ranks[order[cuts[at] : cuts[at + 1]]].tolist() for at in range(self.n_groups)]
        place = np.empty(self.n_groups, dtype=np.int64)
        place[sorted(range(self.n_groups), key=told.__getitem__)] = np.arange(self.n_groups)
        groups = place[self.groups]
        order = np.lexsort((*ranks.T[::-1], groups))
        return Elements(
            {name: tuple(texts[at] for at in order) for name, texts in self.words.items()},
            {name: values[order] for name, values in self.numbers.items()},
            groups[order],
            self.n_groups,
            self.statement,
            self.downward,
            self.origin,
        )


def check_count(count: int, where: str, most: int = MAX_ELEMENTS) -> None:
    """Raise `UserError` for more elements than are read."""
    if count > most:
        what = "points" if most == MAX_ELEMENTS else "objects"
        raise UserError(
            f"{where} has {count:,} {what}, and a set of at most {most:,} is read. Take a sample of it."
        )


def of_columns(
    columns: Mapping[str, Sequence[Any] | Floats],
    count: int,
    where: str,
    origin: str,
    *,
    groups: Sequence[int] | Ints | None = None,
    n_groups: int = 1,
    statement: str = "",
    downward: bool = False,
) -> Elements:
    """A set from attributes by name; None is missing. Raises `UserError` for no elements and infinities."""
    if count == 0:
        raise UserError(f"{where} is an empty set: it has no elements. Give one that has some.")
    if len(columns) > MAX_ATTRIBUTES:
        raise UserError(
            f"{where} has elements of {len(columns):,} attributes; at most {MAX_ATTRIBUTES} are read."
        )
    if n_groups > MAX_GROUPS:
        raise UserError(
            f"{where} has {n_groups:,} groups; at most {MAX_GROUPS:,} are read. Take some of them."
        )
    words: dict[str, tuple[str, ...]] = {}
    numbers: dict[str, Floats] = {}
    for name, values in columns.items():
        if isinstance(values, np.ndarray):
            numbers[name] = values.astype(np.float64)
        elif all(
            value is None or (isinstance(value, int | float) and not isinstance(value, bool))
            for value in values
        ):
            numbers[name] = np.array([_number(value) for value in values])
        else:
            words[name] = tuple(
                "" if value is None else " ".join(str(value).split())[:100] for value in values
            )
            continue
        if np.isinf(numbers[name]).any():
            at = int(np.flatnonzero(np.isinf(numbers[name]))[0])
            raise UserError(
                f"{where}: {name!r} of element {at + 1} is infinite. Leave it out where it is unknown."
            )
    if numbers and not words and all(np.isnan(values).all() for values in numbers.values()):
        raise UserError(f"{where} holds nothing but missing values (nan). Give a set with some numbers.")
    of = np.zeros(count, dtype=np.int64) if groups is None else np.asarray(groups, dtype=np.int64)
    return Elements(words, numbers, of, n_groups, statement, downward, origin)


def _number(value: float | int | None) -> float:
    if value is None:
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf
