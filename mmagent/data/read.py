"""Reading labelled data: whatever the layout, the same examples come out, and what is wrong has its row."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmagent.compose import DEFAULT_QUESTION
from mmagent.data import hugging
from mmagent.data.arrow import read_parquet
from mmagent.data.columns import Columns, map_columns
from mmagent.data.folders import TABLES, read_folder
from mmagent.data.labelled import SPLITS, Example, LabelledSet, Problem, split_name, told
from mmagent.data.rows import Maker
from mmagent.data.table import Table, read_text_table, rows_of_python
from mmagent.errors import UserError, did_you_mean
from mmagent.modality import Modality
from mmagent.sniff import HEAD, modality_of, starts_like

__all__ = ["read_labelled"]

LINES = (".jsonl", ".ndjson")
FORMATS = "Labelled data are .jsonl, .json, .csv, .tsv or .parquet files, or a folder."
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?")

Names = str | Path | Sequence[str] | Mapping[Any, str]
"""Names of classes by number: a list, a mapping, or a file with one name per line or with either as JSON."""


def read_labelled(
    source: str | Path | Iterable[Mapping[str, Any]],
    modalities: Mapping[str, Modality],
    *,
    columns: Mapping[str, str] | None = None,
    question: str | None = None,
    split: str | None = None,
    names: Names | None = None,
) -> LabelledSet:
    """Labelled data from a file, a folder, a data set of Hugging Face, or rows in memory.

    Args:
        source: a .jsonl, .json, .csv, .tsv or .parquet file; a folder of class folders, of splits with class
            folders, with a metadata table, with one table per split, or saved by `datasets`; a hub name
            ("owner/name", "hf:name"); a `datasets.Dataset`; or any rows as mappings. Paths in a file are
            relative to it, paths in rows to the current folder.
        modalities: what there is to find, as `Plugins.modalities` has it.
        columns: columns by what they stand for, ``{"question": "prompt_text"}``, where the names do not say.
        question: what rows without one are asked. Without it labels and answers are asked "What is this?"
            and captions describe.
        split: read this split alone.
        names: the names of classes that the data give by number.

    No medium is opened; that a file exists is looked at. Rows that cannot serve are in `problems`. Raises
    UserError for what is wrong with the whole: nothing there, no rows, no or an unknown column.
    """
    name = _name(source)
    try:
        table = _table(source, modalities)
        given_names = _names(names) if names is not None else None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"cannot read {error.filename or name} ({reason}). {FORMATS}") from error
    if not table.rows:
        raise UserError(f"{name} holds no rows. {FORMATS}")
    if not table.fields:
        raise UserError(f"{name} has no row that can be read: {' '.join(told(_unread(table), 3))}")
    mapped = map_columns(
        table.fields,
        modalities,
        name,
        given=columns,
        modality_of=lambda column: _modality_of(table, column, modalities),
    )
    asked = " ".join((question or "").split()) or (None if mapped.kind == "caption" else DEFAULT_QUESTION)
    maker = Maker(mapped, asked, _names_by_column(table, mapped, given_names), name, modalities)
    examples, problems, splits = _made(table, maker, split_name(split) if split else None)
    if split and split_name(split) not in splits:
        there = ", ".join(splits) or "none"
        raise UserError(f"{name} has no split {split!r}. There are: {there}.{did_you_mean(split, splits)}")
    if not examples:
        raise UserError(f"{name} has no row that can be learned from: {' '.join(told(problems, 3))}")
    return LabelledSet(
        source=name,
        format=table.format,
        examples=tuple(examples),
        problems=(*problems, *(Problem(None, text) for text in table.problems)),
        kind=mapped.kind,
        columns=mapped.by_role(),
        unused=tuple(field for field in table.fields if field not in mapped.by_role().values()),
        modalities=tuple(mapped.media),
        splits=(split_name(split),) if split else splits,
        notes=(*table.notes, *_notes(examples, mapped, maker, asked)),
        base=_base(source),
        asked=asked,
        names=str(names) if isinstance(names, str | Path) else None,
    )


def _table(source: Any, modalities: Mapping[str, Modality]) -> Table:
    if not isinstance(source, str | Path):
        if type(source).__module__.partition(".")[0] == "datasets" and hasattr(source, "column_names"):
            return hugging.read_loaded(source, "the data set")
        if not isinstance(source, Iterable) or isinstance(source, bytes | Mapping):
            raise UserError(f"labelled data cannot be read from a {type(source).__name__}. {FORMATS}")
        return rows_of_python(source)
    place = Path(source)
    if str(source).startswith(hugging.HUB):
        return hugging.read_hub(str(source))
    if place.is_dir():
        if hugging.is_saved(place):
            return hugging.read_saved(place)
        return read_folder(place, modalities, _file)
    if not place.exists():
        if HUB_NAME.fullmatch(str(source)) and not place.parent.is_dir() and place.suffix not in TABLES:
            return hugging.read_hub(str(source))
        raise UserError(f"there is no file or folder {source}. {_nearby(place)}")
    return _file(place)


def _file(place: Path) -> Table:
    suffix = place.suffix.lower()
    if suffix == ".parquet":
        return read_parquet(place)
    if suffix in {*TABLES, *LINES}:
        return read_text_table(place)
    with place.open("rb") as handle:
        like = starts_like(handle.read(HEAD))
    raise UserError(f"{place} is not labelled data: it starts like {like}. {FORMATS}")


def _made(
    table: Table, maker: Maker, wanted: str | None
) -> tuple[list[Example], list[Problem], tuple[str, ...]]:
    """Examples, problems, and the names of the splits there are, of which the wanted one alone is read."""
    examples: list[Example] = []
    problems: list[Problem] = []
    splits = dict.fromkeys(table.splits)
    for row in table.rows:
        split = maker.split(row)
        if split is not None:
            splits[split] = None
        if wanted is not None and split != wanted and row.error is None:
            continue
        made = maker.example(row)
        if isinstance(made, Example):
            examples.append(made)
        else:
            problems += made
    if splits:
        where = {row.number: row.where for row in table.rows}
        lost = [example for example in examples if example.split is None]
        examples = [example for example in examples if example.split is not None]
        problems += [Problem(one.row, "it has no split, and other rows do.", where[one.row]) for one in lost]
        problems.sort(key=lambda problem: problem.row or 0)
    known = [name for name in SPLITS if name in splits]
    return examples, problems, tuple(dict.fromkeys([*known, *splits]))


def _notes(examples: Sequence[Example], columns: Columns, maker: Maker, asked: str | None) -> list[str]:
    notes = []
    if maker.unasked and asked is not None:
        rows = "every row is" if columns.question is None else f"{maker.unasked:,} rows without one are"
        notes.append(f'{rows} asked "{asked}".')
    if len({example.group for example in examples} - {None}) > 1:
        notes.append(
            f"rows of one {columns.group!r} stay together where a validation split or folds are drawn."
        )
    if columns.kind == "label" and all(example.answer.isdecimal() for example in examples):
        notes.append(
            "the labels are numbers and are learned as such; class names are read from --names FILE."
        )
    return notes


def _names_by_column(
    table: Table, columns: Columns, given: Mapping[str, str] | None
) -> dict[str, Mapping[str, str]]:
    found: dict[str, Mapping[str, str]] = {name: _numbered(names) for name, names in table.names.items()}
    if given is not None:
        found.update({name: given for name in (columns.answer, columns.answers) if name is not None})
    return found


def _names(names: Names) -> Mapping[str, str]:
    """Names of classes by their number as text. Raises UserError, OSError."""
    if not isinstance(names, str | Path):
        return _numbered(names)
    text = Path(names).read_text(encoding="utf-8-sig")
    try:
        content = json.loads(text)
    except ValueError:
        content = [line.strip() for line in text.splitlines() if line.strip()]
    if not isinstance(content, list | dict) or not content:
        raise UserError(f"{names} holds no names of classes. Write one per line, the first for class 0.")
    return _numbered(content)


def _numbered(names: Sequence[str] | Mapping[Any, str]) -> dict[str, str]:
    pairs = names.items() if isinstance(names, Mapping) else enumerate(names)
    return {str(number): str(name) for number, name in pairs}


def _modality_of(table: Table, column: str, modalities: Mapping[str, Modality]) -> str | None:
    """The modality of a column of files, by the first file that tells."""
    for row in table.rows[:100]:
        cell = row.cells.get(column)
        if not isinstance(cell, str | Path):
            continue
        path = Path(cell) if row.base is None else row.base / cell
        if (found := modality_of(path, modalities)) is not None:
            return found
    return None


def _unread(table: Table) -> list[Problem]:
    return [Problem(row.number, row.error, row.where) for row in table.rows if row.error is not None] or [
        Problem(None, "its rows are empty.")
    ]


def _name(source: object) -> str:
    return str(source) if isinstance(source, str | Path) else "the data"


def _base(source: object) -> str | None:
    if not isinstance(source, str | Path):
        return None
    place = Path(source)
    return str(place if place.is_dir() else place.parent)


def _nearby(place: Path) -> str:
    """What there is in place of what is not there."""
    if not place.parent.is_dir():
        return f"There is no folder {place.parent} either. {FORMATS}"
    names = sorted(entry.name for entry in place.parent.iterdir() if not entry.name.startswith("."))
    hint = did_you_mean(place.name, names)
    return hint.strip() or f"{FORMATS} A data set on the hub is written {hugging.HUB}{place}."
