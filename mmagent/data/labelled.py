"""What labelled data is once it is read: examples, and everything that is wrong with the rows around them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mmagent.errors import UserError
from mmagent.request import Media, Request

__all__ = ["SPLITS", "TOLD", "Example", "LabelledSet", "Problem", "split_name", "told", "too_long"]

SPLITS = ("train", "validation", "test")
TOLD = 20  # problems that are told one by one
_OTHER_NAMES = {"training": "train", "val": "validation", "valid": "validation", "dev": "validation"}
_OTHER_NAMES |= {"eval": "validation", "testing": "test"}


def split_name(text: str) -> str:
    """The name a split goes by here: val, valid and dev are `validation`; one that nobody knows stays."""
    plain = text.strip().lower()
    return _OTHER_NAMES.get(plain, plain)


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled row.

    row       its number, from 1; in a single text file the line it begins at
    split     train, validation, test or a name of its own; None: nobody said
    media     sources by modality, as `Request` has them; nothing is decoded yet
    question  None: the answer describes what is given
    answer    what is to be said
    answers   all that counts as right, in the data's order and as often as there
    choices   the answers to choose from, if any
    source    file and line, for people
    group     whose it is: rows of one speaker, patient or place are never on both sides of a split made here
    """

    row: int
    split: str | None
    media: Media
    question: str | None
    answer: str
    answers: tuple[str, ...]
    choices: tuple[str, ...] | None
    source: str
    group: str | None = None

    def request(self) -> Request:
        """The question as an agent is asked it."""
        return Request(self.question, self.media, (), self.choices)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that training should refuse. `row` is None where it is about the whole set."""

    row: int | None
    what: str
    where: str = ""

    def __str__(self) -> str:
        place = self.where or (f"row {self.row}" if self.row is not None else "")
        return f"{place}: {self.what}" if place else self.what

    def as_json(self) -> dict[str, Any]:
        """Row, what is wrong, and where."""
        return {"row": self.row, "what": self.what, "where": self.where}


def too_long(row: int, length: int, room: int | None, where: str) -> Problem:
    """A row that takes more tokens than the core reads."""
    return Problem(row, f"its prompt and answer take {length:,} tokens, and the core reads {room:,}.", where)


def told(problems: Sequence[Problem], most: int = TOLD) -> list[str]:
    """Problems as lines, at most so many, and how many more there are."""
    lines = [str(problem) for problem in problems[:most]]
    more = len(problems) - len(lines)
    return [*lines, f"and {more:,} more like these."] if more else lines


@dataclass(frozen=True)
class LabelledSet:
    """Labelled data, read.

    source     what it was read from
    format     which layout that is, in words
    examples   the rows that can be learned from, in order
    problems   what is wrong with the other rows
    kind       what the answers are: "answer", "label" or "caption"
    columns    which column stands for what: ``{"image": "img_path", "answer": "label"}``
    unused     the columns that stand for nothing
    modalities of the media that the columns hold
    splits     names of the splits there are, those without a readable row included
    notes      choices made while reading that a person should know of
    base       the folder that paths were relative to, if there is one
    asked      what rows without a question are asked; None: what they describe
    names      the file that the names of classes were read from, if they were
    """

    source: str
    format: str
    examples: tuple[Example, ...] = field(repr=False)
    problems: tuple[Problem, ...] = field(repr=False)
    kind: str
    columns: Mapping[str, str]
    unused: tuple[str, ...]
    modalities: tuple[str, ...]
    splits: tuple[str, ...]
    notes: tuple[str, ...] = ()
    base: str | None = None
    asked: str | None = None
    names: str | None = None

    def __len__(self) -> int:
        return len(self.examples)

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)

    @property
    def is_classes(self) -> bool:
        """Whether the answers are classes: labels, or answers to one and the same question."""
        if self.kind == "answer":
            return len({example.question for example in self.examples}) <= 1
        return self.kind == "label"

    def part(self, split: str | None) -> tuple[Example, ...]:
        """The examples of one split; None: those without one."""
        name = split_name(split) if split else None
        return tuple(example for example in self.examples if example.split == name)

    def where(self, example: Example) -> str:
        """Where an example stands, without the name of the set: the one way in which its row is told."""
        return example.source.removeprefix(f"{self.source}, ")

    def counts(self) -> dict[str, int]:
        """Examples per split, the known splits first; "" where the data has none."""
        found = Counter(example.split or "" for example in self.examples)
        names = [*SPLITS, *self.splits, *found]
        return {name: found[name] for name in dict.fromkeys(names) if name in self.splits or name in found}

    def with_split(self, rows: Mapping[str, Sequence[int]]) -> LabelledSet:
        """The same set with rows put into splits, as `stratified_split` returned or a bundle kept them.

        Rows that are not named keep their split. Raises UserError for a row that there is not.
        """
        of = {row: split_name(name) for name, numbers in rows.items() for row in numbers}
        for row in sorted(of.keys() - {example.row for example in self.examples}):
            raise UserError(f"the split names row {row}, and {self.source} has no such example.")
        examples = tuple(replace(one, split=of[one.row]) if one.row in of else one for one in self.examples)
        splits = dict.fromkeys(example.split for example in examples if example.split)
        return replace(self, examples=examples, splits=tuple(dict.fromkeys([*splits, *self.splits])))

    def demand_sound(self) -> None:
        """Raise UserError, naming rows and files, where any row is wrong."""
        if self.problems:
            count = len(self.problems)
            raise UserError(
                f"{self.source} has {count:,} {'row' if count == 1 else 'rows'} that cannot be learned from: "
                f"{' '.join(told(self.problems))} mmagent data check shows all there is."
            )
