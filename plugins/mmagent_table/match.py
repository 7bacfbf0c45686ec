"""Where a question touches a table: spans of it that stand in cells, and words of it that name columns.

The evidence of Herzig et al. 2020 (TAPAS) and Pasupat & Liang 2015, found by comparing words: exact spans
after stemming, near misses by edit distance, numbers by value; rare words of the table count more (IDF).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property

from mmagent_table.columns import Column, value_of
from mmagent_table.table import Row
from mmagent_table.words import SPELT, STOP, number_in, stems

__all__ = ["Condition", "Grid", "Question", "conditions", "header_match", "holds"]

LONGEST = 10  # words of a span that is looked for
MORE = frozenset("more over above greater least exceed larger higher after since bigger longer older".split())
LESS = frozenset("less under below fewer most smaller lower before until shorter".split())


class Grid:
    """The rows that a question is answered from: all of a small table, those that matter of a long one."""

    def __init__(self, names: Sequence[str], columns: Sequence[Column], rows: Sequence[Row]) -> None:
        self.names, self.columns, self.rows = tuple(names), tuple(columns), tuple(rows)
        self.headers = [tuple(word for word in stems(name)) for name in names]

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def words(self) -> list[list[tuple[str, ...]]]:
        """Stems of every cell, by column and row."""
        return [[stems(row[at]) for row in self.rows] for at in range(len(self.names))]

    @cached_property
    def values(self) -> list[list[float | None]]:
        """What cells of number and date columns are worth, by column and row."""
        return [
            [value_of(row[at], column) for row in self.rows] if column.is_ordered else []
            for at, column in enumerate(self.columns)
        ]

    @cached_property
    def places(self) -> list[dict[str, list[int]]]:
        """For each column, the rows in which a word stands."""
        found: list[dict[str, list[int]]] = []
        for cells in self.words:
            at_word: dict[str, list[int]] = defaultdict(list)
            for row, cell in enumerate(cells):
                for word in set(cell):
                    at_word[word].append(row)
            found.append(at_word)
        return found

    @cached_property
    def idf(self) -> dict[str, float]:
        """How much a word of the table tells: log of rows over rows with it."""
        counts: Counter[str] = Counter()
        for at_word in self.places:
            counts.update({word: len(rows) for word, rows in at_word.items()})
        return {word: math.log(1 + len(self.rows) / count) for word, count in counts.items()}

    @cached_property
    def vocabulary(self) -> list[str]:
        """Words long enough to be misspelt."""
        return [
            word for word in {*self.idf, *(w for header in self.headers for w in header)} if len(word) > 4
        ]


@dataclass(frozen=True)
class Question:
    """A question, in words that can be compared.

    words  its stems in order;  spans are [start, end) of them
    """

    text: str
    words: tuple[str, ...]

    @classmethod
    def of(cls, text: str, grid: Grid) -> Question:
        """The words of a question, misspelt ones replaced by the table's own."""
        known = {*grid.idf, *(word for header in grid.headers for word in header)}
        words = [
            word
            if len(word) < 5 or word in known or word in STOP or word.isdigit()
            else (get_close_matches(word, grid.vocabulary, 1, 0.8) or [word])[0]
            if len(grid.vocabulary) <= 3000
            else word
            for word in stems(text)
        ]
        return cls(text, tuple(words))

    @cached_property
    def content(self) -> frozenset[int]:
        """Places of words that tell something."""
        return frozenset(at for at, word in enumerate(self.words) if word not in STOP)


@dataclass(frozen=True)
class Condition:
    """Rows of which one cell says what a span of the question says.

    relation  "is": the whole cell; "has": the span stands in it; "more", "less": the number is beyond it
    """

    column: int
    relation: str
    start: int
    end: int
    rows: tuple[int, ...]
    weight: float


def header_match(question: Question, grid: Grid) -> list[tuple[float, float, int]]:
    """For each column: share of its name in the question, the longest run of it there, and its end."""
    found = []
    asked = set(question.words)
    for header in grid.headers:
        own = [word for word in header if word not in STOP] or list(header)
        share = sum(word in asked for word in own) / len(own) if own else 0.0
        run, end = 0, -1
        for at in range(len(question.words)):
            length = 0
            while (
                at + length < len(question.words)
                and question.words[at + length] in header
                and question.words[at + length] not in STOP
            ):
                length += 1
            if length > run:
                run, end = length, at + length
        found.append((share, float(run), end))
    return found


def conditions(question: Question, grid: Grid, most: int = 8) -> list[Condition]:
    """What the question may say of the rows it is about, the weightiest first."""
    found: list[Condition] = []
    for column in range(len(grid.names)):
        found += _spans(question, grid, column)
        if grid.columns[column].is_ordered:
            found += _beyond(question, grid, column)
    found.sort(key=lambda one: (-one.weight, one.column, one.start))
    return found[:most]


def _spans(question: Question, grid: Grid, column: int) -> list[Condition]:
    """Longest spans of the question that stand in cells of one column."""
    at_word, cells = grid.places[column], grid.words[column]
    words = question.words
    found: list[tuple[int, int, list[int]]] = []
    start = 0
    while start < len(words):
        rows = at_word.get(words[start]) or at_word.get(SPELT.get(words[start], ""), [])
        if not rows or (words[start] in STOP and start + 1 == len(words)):
            start += 1
            continue
        end, held = start + 1, rows
        while end < min(len(words), start + LONGEST):
            longer = [row for row in held if _stands(words[start : end + 1], cells[row])]
            if not longer:
                break
            end, held = end + 1, longer
        if any(word not in STOP for word in words[start:end]):
            found.append((start, end, held))
        start = end if end > start + 1 else start + 1
    made = []
    for start, end, rows in found:
        span = words[start:end]
        whole = [row for row in rows if len(cells[row]) == len(span)]
        weight = sum(grid.idf.get(word, 1.0) for word in span if word not in STOP)
        if whole:
            made.append(Condition(column, "is", start, end, tuple(whole), weight + 0.5 * len(span)))
        if len(whole) < len(rows):
            made.append(Condition(column, "has", start, end, tuple(rows), weight))
    return made


def _stands(span: Sequence[str], cell: Sequence[str]) -> bool:
    """Whether a span stands in a cell, word after word."""
    n = len(span)
    return any(tuple(cell[at : at + n]) == tuple(span) for at in range(len(cell) - n + 1))


def _beyond(question: Question, grid: Grid, column: int) -> list[Condition]:
    """Rows with a number beyond one of the question's, where it compares."""
    asked = set(question.words)
    up, down = bool(asked & MORE), bool(asked & LESS)
    if not (up or down):
        return []
    made = []
    kind = grid.columns[column].kind
    for at, word in enumerate(question.words):
        number = number_in(word)
        if number is None or not (set(question.words[max(0, at - 4) : at + 3]) & (MORE | LESS)):
            continue
        if kind == "date" and not 1000 < number < 2300:
            continue
        for relation, wanted in (("more", up), ("less", down)):
            values = enumerate(grid.values[column])
            rows = tuple(
                row
                for row, value in values
                if value is not None and _is_beyond(value, number, relation, kind, question)
            )
            if wanted and rows:
                made.append(Condition(column, relation, at, at + 1, rows, 1.0))
    return made


def holds(condition: Condition, row: Row, columns: Sequence[Column], question: Question) -> bool:
    """Whether a condition is true of a row, be it in the grid that the condition was found in or not."""
    cell, span = row[condition.column], question.words[condition.start : condition.end]
    if condition.relation in ("is", "has"):
        digits = tuple(SPELT.get(word, word) for word in span)
        plain = cell.lower().replace(",", "")
        if (
            cell.isascii()
            and digits[0].removesuffix("y") not in plain
            and span[0].removesuffix("y") not in plain
        ):
            return False  # without taking the cell apart
        words = stems(cell)
        return any(
            words == one if condition.relation == "is" else _stands(one, words) for one in (span, digits)
        )
    value, number = value_of(cell, columns[condition.column]), number_in(span[0])
    if value is None or number is None:
        return False
    return _is_beyond(value, number, condition.relation, columns[condition.column].kind, question)


def _is_beyond(value: float, number: float, relation: str, kind: str, question: Question) -> bool:
    """Whether a value is more, or less, than the question's number; "at least" takes in the number itself."""
    if kind == "date":
        number = (number - 1970) * 365.2425
    inclusive = "least" in question.words or "most" in question.words
    return (value > number if relation == "more" else value < number) or (inclusive and value == number)
