"""From the cells of a row to an example, or to all that is wrong with it."""

from __future__ import annotations

import csv
import json
import math
import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmagent.data.columns import Columns
from mmagent.data.labelled import Example, Problem, split_name
from mmagent.data.table import Cells
from mmagent.errors import UserError
from mmagent.modality import Modality
from mmagent.request import Request, demand_whole

__all__ = ["Maker"]


class _Wrong(Exception):
    """What is wrong with one cell."""


class Maker:
    """Makes examples; what every row has in common is told once.

    question  what a row without its own is asked; None: the answer describes
    names     per column, the names of classes by their numbers as text
    modalities  what there is, by name
    """

    def __init__(
        self,
        columns: Columns,
        question: str | None,
        names: Mapping[str, Mapping[str, str]],
        source: str,
        modalities: Mapping[str, Modality],
    ) -> None:
        self._columns, self._question, self._names, self._source = columns, question, names, source
        self._modalities = modalities
        self._looked_at: dict[str, str | None] = {}
        self.unasked = 0
        """Rows that had no question of their own."""

    def split(self, row: Cells) -> str | None:
        """The split of a row: its own, else that of the place it stands in."""
        own = row.cells.get(self._columns.split) if self._columns.split else None
        return split_name(str(own)) if not _missing(own) else row.split

    def example(self, row: Cells) -> Example | list[Problem]:
        """An example, or every reason why the row makes none."""
        if row.error is not None:
            return [Problem(row.number, row.error, row.where)]
        wrong: list[str] = []
        media: dict[str, tuple[object, ...]] = {}
        for modality, column in self._columns.media.items():
            try:
                sources = tuple(self._sources(row.cells.get(column), row.base, self._modalities[modality]))
                if sources:
                    media[modality] = sources
            except _Wrong as error:
                wrong.append(str(error))
        if not media and not wrong:
            wrong.append(f"it has no {' and no '.join(self._columns.media)}.")
        choices: tuple[str, ...] | None = None
        answers: tuple[str, ...] = ()
        try:
            choices = self._choices(row)
            answers = self._answers(row, choices)
        except _Wrong as error:
            wrong.append(str(error))
        question = None if wrong else self._asked(row)
        try:
            demand_whole(question or "", "its question")
        except UserError as error:
            wrong.append(str(error))
        if wrong:
            return [Problem(row.number, one, row.where) for one in wrong]
        return Example(
            row=row.number,
            split=self.split(row),
            media=media,
            question=question,
            answer=answers[0],
            answers=answers[1:] or answers,
            choices=choices,
            source=f"{self._source}, {row.where}",
            group=self._group(row),
        )

    def _group(self, row: Cells) -> str | None:
        own = row.cells.get(self._columns.group) if self._columns.group else None
        return None if _missing(own) else str(own).strip()

    def _asked(self, row: Cells) -> str | None:
        column = self._columns.question
        own = row.cells.get(column) if column else None
        if _missing(own):
            self.unasked += 1
            return self._question
        return str(own).strip()

    def _answers(self, row: Cells, choices: tuple[str, ...] | None) -> tuple[str, ...]:
        """What is to be said, then all that counts as right where the row says so."""
        columns = self._columns
        own = row.cells.get(columns.answer) if columns.answer else None
        several = row.cells.get(columns.answers) if columns.answers else None
        if isinstance(own, list | tuple) and _missing(several):
            own, several = None, own
        right = [self._text(one, columns.answers or columns.answer) for one in _listed(several)]
        if not _missing(own):
            said = self._text(own, columns.answer)
            right = right if not right or said in right else [said, *right]
        elif right:
            said = Counter(right).most_common(1)[0][0]  # the first of those that are said most often
        else:
            raise _Wrong(f"its {self._columns.kind} is empty.")
        if choices is None:
            return said, *right
        return tuple(_chosen(one, choices) for one in (said, *right))

    def _text(self, value: object, column: str | None) -> str:
        """An answer on one line; the number of a class becomes its name."""
        if isinstance(value, Mapping):
            value = value.get("answer", value.get("text"))
        if callable(item := getattr(value, "item", None)):
            value = item()  # a number of numpy
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise _Wrong(f"its {self._columns.kind} is {value!r:.40}; it must be text or a number.")
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # a column of numbers with gaps, as pandas keeps it
        text = " ".join(str(value).split())
        names = self._names.get(column or "")
        if names is not None and text not in names.values():
            if text not in names:
                last = len(names) - 1
                raise _Wrong(f"its {self._columns.kind} is {text}, and the names are for 0 to {last}.")
            text = names[text]
        if not text:
            raise _Wrong(f"its {self._columns.kind} is empty.")
        try:
            demand_whole(text, f"its {self._columns.kind}")
        except UserError as error:
            raise _Wrong(str(error)) from error
        return text

    def _choices(self, row: Cells) -> tuple[str, ...] | None:
        value = row.cells.get(self._columns.choices) if self._columns.choices else None
        if _missing(value):
            return None
        try:
            return tuple(Request(choices=list(map(str, _listed(value, split=True)))).choices or ())
        except UserError as error:
            raise _Wrong(str(error)) from error

    def _sources(self, value: object, base: Path | None, modality: Modality) -> Iterator[object]:
        for one in [value] if _is_array(value) else _listed(value):
            if _missing(one):
                continue
            if isinstance(one, Mapping) and one.keys() & {"bytes", "path"} and one.get("array") is None:
                one = one.get("bytes") or one.get("path")
            yield self._file(one, base, modality) if isinstance(one, str | Path) else one

    def _file(self, name: str | Path, base: Path | None, modality: Modality) -> Path | str:
        """The path of a file, known to be there; or the text, where that is the input itself."""
        text = str(name).strip()
        if "://" in text:
            raise _Wrong(f"{text} is an address, and media are read from files. Download it first.")
        path = modality.source(text, Path() if base is None else base)
        if isinstance(path, str):
            return path
        key = str(path)
        if key not in self._looked_at:
            self._looked_at[key] = _fault(path, text)
        fault = self._looked_at[key]
        if fault is not None:
            raise _Wrong(fault)
        return path


def _fault(path: Path, name: str) -> str | None:
    """Why a file cannot be read, as far as can be told without opening it."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return f"there is no file {name}."
    except (OSError, ValueError) as error:
        return f"{name!r} cannot be read: {error}."
    if stat.S_ISDIR(found.st_mode):
        return f"{name} is a directory."
    return f"{name} is empty (0 bytes)." if found.st_size == 0 else None


def _chosen(answer: str, choices: Sequence[str]) -> str:
    """The choice that an answer is; a number that is no choice itself counts them from 0."""
    if answer in choices:
        return answer
    if answer.isdecimal() and int(answer) < len(choices):
        return choices[int(answer)]
    raise _Wrong(f"its answer {answer!r:.60} is not among its choices ({', '.join(choices)}).")


def _is_array(value: object) -> bool:
    """Whether a cell is one medium written as numbers, (time,) or [time][channel], and no list of media."""
    while isinstance(value, list | tuple) and value:
        value = value[0]
        if isinstance(value, int | float) and not isinstance(value, bool):
            return True
    return False


def _missing(value: object) -> bool:
    """Whether a cell says nothing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    return isinstance(value, str | list | tuple) and not (value.strip() if isinstance(value, str) else value)


def _listed(value: object, *, split: bool = False) -> list[Any]:
    """One value or several. A text may be a JSON list; with `split` also "a|b" or "a,b" are several."""
    if _missing(value):
        return []
    if isinstance(value, Mapping) and isinstance(value.get("text"), list | tuple):
        return list(value["text"])
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("[") and text.endswith("]"):
            try:
                return list(json.loads(text))
            except ValueError:
                pass
        if split:
            return text.split("|") if "|" in text else next(csv.reader([text], skipinitialspace=True), [])
    return [value]
