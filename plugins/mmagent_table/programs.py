"""What can be done with a table to answer a question: candidate programs, and what each of them gives.

A program is an operation, the column it answers with, the column it orders or adds up, and the rows it is
about (Pasupat & Liang 2015, without nesting). Only programs that the question touches are made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from mmagent_table.cells import is_missing
from mmagent_table.match import Condition, Grid, Question, conditions, header_match

__all__ = ["OPERATIONS", "Part", "Program", "parts_of", "programs"]

OPERATIONS = (
    "lookup count most least first last next before commonest rarest sum mean highest lowest difference"
    " distinct"
).split()
PARTS = 10  # sets of rows that are tried
MANY = 8  # answers that are told one by one
ANSWERING, ORDERING = 12, 8  # columns that are tried


@dataclass(frozen=True)
class Part:
    """Some rows, and the conditions that chose them; none: all rows. `either`: rows of any condition."""

    conditions: tuple[Condition, ...]
    rows: tuple[int, ...]
    either: bool = False


@dataclass(frozen=True)
class Program:
    """One way to answer, and what it says.

    answer  column that is answered with, -1 for a number that stands in no column
    order   column that is ordered or added up, -1 for none
    said    the answer's values;  rows  it was read from
    """

    operation: str
    answer: int
    order: int
    part: int
    said: tuple[str, ...]
    rows: tuple[int, ...]


def parts_of(question: Question, grid: Grid) -> list[Part]:
    """All rows, the rows of each condition, and of pairs of conditions about different words."""
    found = conditions(question, grid)
    parts = [Part((), tuple(range(len(grid))))]
    parts += [Part((one,), one.rows) for one in found]
    for one, other in combinations(found[:6], 2):
        if one.start < other.end and other.start < one.end:
            continue  # the same words of the question
        if one.column == other.column and one.relation in ("is", "has"):
            both = tuple(sorted({*one.rows, *other.rows}))
            parts.append(Part((one, other), both, either=True))
        held = set(one.rows) & set(other.rows)
        if held and one.column != other.column and len(held) < min(len(one.rows), len(other.rows)):
            parts.append(Part((one, other), tuple(sorted(held))))
    weights = [sum(one.weight for one in part.conditions) for part in parts]
    order = sorted(range(1, len(parts)), key=lambda at: -weights[at])
    return [parts[0], *(parts[at] for at in order[: PARTS - 1])]


def programs(question: Question, grid: Grid, parts: Sequence[Part]) -> list[Program]:
    """Every candidate that gives an answer."""
    named = header_match(question, grid)
    by_name = sorted(range(len(grid.names)), key=lambda at: (-named[at][0], at))
    answering = sorted(by_name[:ANSWERING])
    ordering = [at for at in by_name if grid.columns[at].is_ordered][:ORDERING]
    found: list[Program] = []
    for at, part in enumerate(parts):
        used = {one.column for one in part.conditions}
        found += _about_rows(grid, at, part, answering, used)
        if at < 6:
            found += _ordered(grid, at, part, answering, ordering)
    return found


def _about_rows(
    grid: Grid, at: int, part: Part, answering: Sequence[int], used: set[int]
) -> Iterator[Program]:
    """Programs that need no order of values."""
    rows = part.rows
    yield Program("count", -1, -1, at, (str(len(rows)),), rows)
    for column in answering:
        cells = [grid.rows[row][column] for row in rows]
        there = [cell for cell in cells if not is_missing(cell)]
        if not there:
            continue
        if part.conditions and column not in used:
            distinct = tuple(dict.fromkeys(there))
            if len(distinct) <= MANY:
                yield Program("lookup", column, -1, at, distinct, rows)
        if len(rows) > 1:
            yield Program("first", column, -1, at, (cells[0],), rows[:1])
            yield Program("last", column, -1, at, (cells[-1],), rows[-1:])
        if part.conditions and not part.either:
            if rows[-1] + 1 < len(grid):
                yield Program("next", column, -1, at, (grid.rows[rows[-1] + 1][column],), (rows[-1] + 1,))
            if rows[0] > 0:
                yield Program("before", column, -1, at, (grid.rows[rows[0] - 1][column],), (rows[0] - 1,))
        counts = Counter(there)
        if 1 < len(counts) < len(there):
            most = counts.most_common(1)[0][0]
            yield Program(
                "commonest", column, -1, at, (most,), tuple(r for r in rows if grid.rows[r][column] == most)
            )
            least = min(counts, key=lambda cell: counts[cell])
            yield Program(
                "rarest", column, -1, at, (least,), tuple(r for r in rows if grid.rows[r][column] == least)
            )
        if len(counts) > 1:
            yield Program("distinct", column, -1, at, (str(len(counts)),), rows)


def _ordered(
    grid: Grid, at: int, part: Part, answering: Sequence[int], ordering: Sequence[int]
) -> Iterator[Program]:
    """Superlatives and arithmetic over the columns that have an order."""
    for column in ordering:
        pairs = [(value, row) for row in part.rows if (value := grid.values[column][row]) is not None]
        if len(pairs) < 2:
            continue
        top, bottom = max(pairs, key=lambda one: (one[0], -one[1])), min(pairs)
        for answer in answering:
            if answer != column:
                yield Program("most", answer, column, at, (grid.rows[top[1]][answer],), (top[1],))
                yield Program("least", answer, column, at, (grid.rows[bottom[1]][answer],), (bottom[1],))
        yield Program("highest", column, column, at, (grid.rows[top[1]][column],), (top[1],))
        yield Program("lowest", column, column, at, (grid.rows[bottom[1]][column],), (bottom[1],))
        if grid.columns[column].kind == "number":
            values = [value for value, _ in pairs]
            yield Program("sum", -1, column, at, (told(sum(values)),), part.rows)
            yield Program("mean", -1, column, at, (told(sum(values) / len(values)),), part.rows)
            if len(pairs) == 2 or len(part.conditions) == 2:
                yield Program("difference", -1, column, at, (told(abs(values[0] - values[-1])),), part.rows)


def told(number: float) -> str:
    """A number as it is written in an answer: at most four decimals, none where they are 0."""
    return f"{number:.0f}" if abs(number - round(number)) < 1e-9 else f"{number:.4f}".rstrip("0")
