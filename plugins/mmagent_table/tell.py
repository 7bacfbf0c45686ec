"""What a table says to a question, in words: the rows that matter are found, a program run, its answer told.

A long table is not held: one pass keeps the rows that share words with the question, those with the largest
and smallest numbers, and the first and last; counts of what was asked for are of all rows.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mmagent_table.asker import Asker, candidates
from mmagent_table.columns import value_of
from mmagent_table.match import Grid, Question, holds
from mmagent_table.programs import Part, Program
from mmagent_table.words import STOP, stems

if TYPE_CHECKING:
    from mmagent_table.columns import Column
    from mmagent_table.table import Row, Table

__all__ = ["Told", "described", "sampled", "tell"]

WHOLE = 3000  # rows up to which a table is asked as a whole
KEPT = 1500  # rows that are kept of a longer one
ENDS = 5  # rows with the largest and the smallest number of each column, and from both ends of the table
SHOWN = 8  # column names in a description
EMPTY = "no value"
SETTLED = ("count", "most", "least", "highest", "lowest")
# What some of the rows are enough for, or a second pass settles.
OF_LONG = (*SETTLED, "lookup", "first", "last")


@dataclass(frozen=True)
class Told:
    """What is said, by which program, and how sure it is (0 to 1); no program: a description."""

    words: str
    program: Program | None
    sure: float


def tell(table: Table, question: str | None, asker: Asker) -> Told:
    """The answer's cells to a question, or what the table is. Raises `UserError` for unreadable rows."""
    if question is None:
        return Told(described(table), None, 1.0)
    if table.summary.n_rows <= WHOLE:
        program, sure = asker.best(candidates(question, table.grid))
        return Told(spoken(program.said), program, sure)
    grid = Grid(table.names, table.summary.columns, rows_that_matter(table, question))
    found = candidates(question, grid, OF_LONG)
    program, sure = asker.best(found)
    part = found.parts[program.part]
    if program.operation in SETTLED:
        program = settled(program, part, table, Question.of(question, grid))
    return Told(spoken(program.said), program, sure)


def spoken(cells: Sequence[str]) -> str:
    """Cells as an answer, empty ones left out; where all of them are empty, it says so."""
    return ", ".join(cell for cell in cells if cell.strip()) or EMPTY


def described(table: Table) -> str:
    """A few words about a table: "a table of 12 rows with name, age and town"."""
    names = [name.lower() for name in table.names[:SHOWN]]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    more = " and more" if len(table.names) > SHOWN else ""
    n = table.summary.n_rows
    return f"a table of {n} row{'s' if n != 1 else ''} with {listed}{more}"


def sampled(table: Table) -> Grid:
    """All rows of a table that is asked as a whole, an even sample of a longer one."""
    if table.summary.n_rows <= WHOLE:
        return table.grid
    return Grid(table.names, table.summary.columns, table.summary.sample)


def rows_that_matter(table: Table, question: str) -> list[Row]:
    """At most about `KEPT` rows in their order, found in one pass."""
    asked = {word for word in stems(question) if word not in STOP}
    columns = table.summary.columns
    best: list[tuple[int, int, Row]] = []
    hints = {word.removesuffix("y") for word in asked}  # stems that stand in what they are stems of
    ends = [_Ends(at, column) for at, column in enumerate(columns) if column.is_ordered]
    first: list[tuple[int, Row]] = []
    last: list[tuple[int, Row]] = []
    start = 0
    for chunk in table.chunks():
        for number, row in enumerate(chunk, start=start):
            line = " ".join(row)
            if line.isascii() and not has_any(line.lower().replace(",", ""), hints):
                continue
            if shared := len(asked.intersection(stems(line))):
                entry = (shared, -number, row)
                if len(best) < KEPT:
                    heapq.heappush(best, entry)
                elif entry > best[0]:
                    heapq.heapreplace(best, entry)
        numbered = list(enumerate(chunk, start=start))
        first += numbered[: ENDS - len(first)]
        last = [*last, *numbered][-ENDS:]
        for end in ends:
            end.add(numbered)
        start += len(chunk)
    kept = {-at: row for _, at, row in best} | dict(first) | dict(last)
    for end in ends:
        kept |= end.rows()
    return [kept[at] for at in sorted(kept)]


def has_any(line: str, words: Iterable[str]) -> bool:
    """Whether any of some words stands in a line."""
    return any(word in line for word in words)


class _Ends:
    """Rows with the largest and the smallest values of one column."""

    def __init__(self, at: int, column: Column) -> None:
        self._at, self._column = at, column
        self._most: list[tuple[float, int, Row]] = []
        self._least: list[tuple[float, int, Row]] = []

    def add(self, rows: Sequence[tuple[int, Row]]) -> None:
        """Look at some more rows with their numbers."""
        for number, row in rows:
            value = value_of(row[self._at], self._column)
            if value is None:
                continue
            for heap, key in ((self._most, value), (self._least, -value)):
                if len(heap) < ENDS:
                    heapq.heappush(heap, (key, -number, row))
                elif key > heap[0][0]:
                    heapq.heapreplace(heap, (key, -number, row))

    def rows(self) -> dict[int, Row]:
        """Both ends, by number."""
        return {-number: row for _, number, row in (*self._most, *self._least)}


def settled(program: Program, part: Part, table: Table, question: Question) -> Program:
    """The program run over all rows of a long table, of which it was found on some."""
    columns = table.summary.columns
    judge = any if part.either else all
    sign = -1.0 if program.operation in ("least", "lowest") else 1.0
    count, best, said = 0, -math.inf, program.said
    for row in table.rows():
        if part.conditions and not judge(holds(one, row, columns, question) for one in part.conditions):
            continue
        count += 1
        if program.operation == "count":
            continue
        value = value_of(row[program.order], columns[program.order])
        if value is not None and sign * value > best:
            best, said = sign * value, (row[program.answer],)
    return replace(program, said=(str(count),) if program.operation == "count" else said)
