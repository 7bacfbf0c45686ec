"""How far two questions are the same one, by their words; a shot answers what it was asked itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["question_match", "question_matches", "question_words", "words_match"]

# Words that do not tell one question from another.
_EMPTY = frozenset(
    "a an the this that these those it is are was were be do does did you i me we see show shows shown"
    " of here there picture image photo please tell".split()
)
_SAME = {"color": "colour", "colors": "colours", "whats": "what"}


def question_match(one: str, other: str) -> float:
    """How far two questions are the same one, 0 to 1; equal but for case, signs and filler words is 1.

    With m content words in common and in order, of n in all, it is (2 m / n - 1)^4 above a half and 0 below,
    so that one exchanged word of a short question leaves nothing.
    """
    return words_match(question_words(one), question_words(other))


def question_matches(asked: Sequence[str | None], known: Sequence[str | None]) -> Tensor:
    """How far M questions that are asked are those of N shots, (M, N); one without a question answers all."""
    import torch

    rows = [question_words(question or "") for question in asked]
    columns = [None if question is None else question_words(question) for question in known]
    return torch.tensor([[1.0 if one is None else words_match(row, one) for one in columns] for row in rows])


def question_words(question: str) -> tuple[str, ...]:
    """What tells one question from another: its words in order, without case, signs and filler words."""
    words = re.findall(r"\w+", question.lower().replace("'s ", " is ").replace("\u2019s ", " is "))
    words = [_SAME.get(word, word) for word in words]
    return tuple(word for word in words if word not in _EMPTY)


def words_match(one: tuple[str, ...], other: tuple[str, ...]) -> float:
    """`question_match` of two questions of which the words are known."""
    if one == other:
        return 1.0
    if 3 * sum(word in other for word in one) <= len(one) + len(other):
        return 0.0  # no order of so few common words makes an overlap above a half
    common = _longest_common(one, other)
    overlap = common / (len(one) + len(other) - common)
    return max(0.0, 2.0 * overlap - 1.0) ** 4


def _longest_common(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """Length of the longest common subsequence: the words two questions share in the same order."""
    row = [0] * (len(other) + 1)
    for word in one:
        before = 0
        for at, against in enumerate(other, start=1):
            before, row[at] = row[at], before + 1 if word == against else max(row[at], row[at - 1])
    return row[-1]
