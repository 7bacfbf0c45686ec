"""Which program answers the question: a conditional logistic regression over the candidates.

Each candidate has features of its parts (how its columns' names and its rows' cells match the question, their
types, places and rarity), and its operation and the type of its answer are weighed by each word of the
question. The weights are fitted to questions with answers only: a candidate that gives the answer is taken to
be right, all of them together where there are several (marginal likelihood, as Pasupat & Liang 2015).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from mmagent_table.cells import is_missing
from mmagent_table.columns import KINDS
from mmagent_table.match import Grid, Question, header_match
from mmagent_table.programs import OPERATIONS, Part, Program, parts_of, programs
from mmagent_table.words import STOP

__all__ = ["ANSWER_KINDS", "Asker", "Candidates", "candidates", "pieces"]

ANSWER_KINDS = (*KINDS, "none")
MOST = 600  # candidates of one question
Floats = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, eq=False)
class Candidates:
    """The programs of one question as numbers.

    features  (C, N_FEATURES);  operation, kind  (C,) numbers of the operation and of the answer's type
    words     the question's words and pairs of words, for the weights by word
    """

    programs: list[Program]
    parts: list[Part]
    features: Floats
    operation: np.ndarray[Any, np.dtype[np.int64]]
    kind: np.ndarray[Any, np.dtype[np.int64]]
    words: tuple[str, ...]


def pieces(question: Question) -> tuple[str, ...]:
    """Words and neighbouring pairs that may tell what is wanted."""
    words = question.words
    pairs = (f"{one} {other}" for one, other in pairwise(words))
    return tuple(dict.fromkeys([*words, *pairs, f"^ {words[0] if words else ''}"]))


def candidates(text: str, grid: Grid, operations: Sequence[str] = OPERATIONS) -> Candidates:
    """Candidates of a question, of some operations, with their features."""
    question = Question.of(text, grid)
    parts = parts_of(question, grid)
    found = [one for one in programs(question, grid, parts) if one.operation in operations][:MOST]
    of_column = _column_features(question, grid)
    of_part = np.array([_part_features(part, question, grid) for part in parts], dtype=np.float32)
    kinds = {kind: at for at, kind in enumerate(ANSWER_KINDS)}
    numbers = {name: at for at, name in enumerate(OPERATIONS)}
    answer = np.array([one.answer for one in found])
    order = np.array([one.order for one in found])
    part = np.array([one.part for one in found])
    own = np.array([_own_features(one, parts[one.part], question, grid) for one in found], dtype=np.float32)
    features = np.concatenate([of_column[answer], of_column[order], of_part[part], own], axis=1)
    operation = np.array([numbers[one.operation] for one in found])
    kind = np.array([kinds["none" if one.answer < 0 else grid.columns[one.answer].kind] for one in found])
    return Candidates(found, parts, features, operation, kind, pieces(question))


def _column_features(question: Question, grid: Grid) -> Floats:
    """(columns + 1, 12): how a column's name matches; the last row stands for no column (-1)."""
    rows = []
    wanted = _wanted(question)
    for at, (share, run, end) in enumerate(header_match(question, grid)):
        header = set(grid.headers[at])
        near = [place for place in wanted if question.words[place] in header]
        column = grid.columns[at]
        rows.append(
            [
                share,
                float(share == 1.0),
                min(run, 3.0) / 3,
                float(bool(near)),
                float(bool(near) and near[0] == wanted[0]),
                float(at == 0),
                at / len(grid.names),
                float(column.distinct == len(grid)),
                float(column.kind == "text"),
                float(column.is_ordered),
                end / max(len(question.words), 1) if run else 0.0,
                column.missing / max(column.n, 1),
            ]
        )
    rows.append([0.0] * 12)
    return np.array(rows, dtype=np.float32)


def _wanted(question: Question) -> list[int]:
    """Places of the words right behind "which", "what", "how many" and the like: they name what is wanted."""
    asking = {"which", "what", "many", "name", "whose", "who", "when", "much"}
    places = [at for at, word in enumerate(question.words) if word in asking]
    if not places:
        return list(range(min(3, len(question.words))))
    return [
        at
        for at in range(places[0] + 1, min(places[0] + 5, len(question.words)))
        if question.words[at] not in STOP
    ]


def _part_features(part: Part, question: Question, grid: Grid) -> list[float]:
    """(16) how well the rows' conditions match the question."""
    some = part.conditions
    covered = {at for one in some for at in range(one.start, one.end)}
    content = question.content
    weight = sum(one.weight for one in some)
    return [
        float(not some),
        float(len(some) == 1),
        float(len(some) == 2),
        float(part.either),
        float(any(one.relation == "is" for one in some)),
        float(any(one.relation == "has" for one in some)),
        float(any(one.relation in ("more", "less") for one in some)),
        min(weight / 10, 2.0),
        len(covered & content) / max(len(content), 1),
        max((one.end - one.start for one in some), default=0) / 5,
        float(len(part.rows) == 1),
        len(part.rows) / max(len(grid), 1),
        float(any(grid.columns[one.column].is_key for one in some)),
        float(any(one.column == 0 for one in some)),
        sum(_named(question, grid, one.column) for one in some) / max(len(some), 1),
        float(all(one.relation == "is" for one in some) and bool(some)),
    ]


def _named(question: Question, grid: Grid, column: int) -> float:
    header = [word for word in grid.headers[column] if word not in STOP]
    return sum(word in question.words for word in header) / len(header) if header else 0.0


def _own_features(program: Program, part: Part, question: Question, grid: Grid) -> list[float]:
    """(14) what a program gives, and how much of the question it uses."""
    covered = {at for one in part.conditions for at in range(one.start, one.end)}
    for column in {program.answer, program.order} - {-1}:
        header = set(grid.headers[column])
        covered |= {at for at, word in enumerate(question.words) if word in header}
    content = question.content
    rest = content - covered
    said = {word for value in program.said[:1] for word in value.lower().split()}
    used = {one.column for one in part.conditions}
    single = float(len(program.said) == 1)
    return [
        len(covered & content) / max(len(content), 1),
        len(rest) / 5,
        single,
        float(len(program.said) > 1),
        float(any(is_missing(value) for value in program.said)),
        float(bool(said & set(question.text.lower().split()))),
        float(program.answer in used),
        float(program.order in used and program.order >= 0),
        float(program.said == ("0",)),
        float(program.said == ("1",)),
        single * float(program.operation == "lookup") * float(len(part.rows) == 1),
        float(program.operation == "lookup") * min(len(part.rows), 10) / 10,
        float(program.operation in ("most", "least", "highest", "lowest")) * float(bool(part.conditions)),
        float(program.operation in ("most", "least") and part.either),
    ]


N_FEATURES = 12 + 12 + 16 + 14


@dataclass(frozen=True, eq=False)
class Asker:
    """The fitted weights.

    features  (operations, N_FEATURES);  by_word  (V, operations);  by_kind  (V, kinds);  words  V of them
    """

    features: Floats
    by_word: Floats
    by_kind: Floats
    words: tuple[str, ...]

    def scores(self, found: Candidates) -> Floats:
        """(C,) log-odds of each candidate, up to a constant."""
        at = [self._place[word] for word in found.words if word in self._place]
        operation = self.by_word[at].sum(axis=0)
        kind = self.by_kind[at].sum(axis=0)
        own = (found.features * self.features[found.operation]).sum(axis=1)
        whole: Floats = own + operation[found.operation] + kind[found.kind]
        return whole

    def best(self, found: Candidates) -> tuple[Program, float]:
        """The likeliest answer's likeliest program, and the answer's probability.

        Programs that say the same vote together for it.
        """
        scores = self.scores(found)
        odds = np.exp(scores - scores.max())
        votes: dict[tuple[str, ...], float] = {}
        for program, weight in zip(found.programs, odds.tolist(), strict=True):
            votes[program.said] = votes.get(program.said, 0.0) + weight
        said = max(votes, key=lambda answer: votes[answer])
        at = max((at for at, one in enumerate(found.programs) if one.said == said), key=lambda at: odds[at])
        return found.programs[at], votes[said] / float(odds.sum())

    @property
    def _place(self) -> Mapping[str, int]:
        if "_places" not in self.__dict__:
            object.__setattr__(self, "_places", {word: at for at, word in enumerate(self.words)})
        places: Mapping[str, int] = self.__dict__["_places"]
        return places
