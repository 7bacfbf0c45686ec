"""Many shots at once: a file of rows (JSON lines, csv, tsv), or a folder with one folder per answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmagent.errors import UserError
from mmagent.modality import Modality
from mmagent.request import Shot, shot_from_row
from mmagent.rows import csv_rows, json_rows
from mmagent.sniff import hidden, modality_of, recognise

__all__ = ["read_shots"]

LAYOUT = "A folder of shots holds one folder per answer, with that answer's files in it."


def read_shots(path: str | Path, modalities: Mapping[str, Modality]) -> list[Shot]:
    """Shots from a file or a folder, in the order of the file, or of the sorted names.

    A row has `answer`, one or more modalities (`image`, a path relative to the file) and perhaps `question`.
    In a folder the name of each inner folder is the answer, its files are recognised by content, and the
    question is whatever is asked. Raises UserError naming file and line.
    """
    place = Path(path)
    try:
        if place.is_dir():
            return _from_folder(place, modalities)
        return [_shot(row, modalities, place, line) for line, row in _rows(place)]
    except OSError as error:
        reason = (error.strerror or "not readable").lower()
        raise UserError(
            f"cannot read the shots in {path} ({reason}). Give a .jsonl or .csv file, or a folder with one "
            "folder per answer."
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a file of shots: it is not UTF-8 text.") from error


def _shot(row: Mapping[str, Any], modalities: Mapping[str, Modality], place: Path, line: int) -> Shot:
    where = f"{place}, line {line}:"
    if all(row.get(name) is None for name in modalities) and not row.get("question"):
        names = ", ".join(modalities)
        raise UserError(f"{where} the shot has nothing to answer about. Give it one of: {names}, question.")
    return shot_from_row(row, modalities, place.parent, f"{where} the shot")


def _rows(place: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Line numbers and rows; a line that is no row, and an empty file, are errors."""
    if place.suffix.lower() in {".csv", ".tsv"}:
        names, _, rows = csv_rows(place)
        if "answer" not in names:
            there = ", ".join(names) or "none"
            raise UserError(f"{place} has no column 'answer'. Its columns are: {there}.")
    else:
        rows = json_rows(place)
    empty = True
    for row in rows:
        empty = False
        if row.error:
            raise UserError(
                f"{place}, {row.error} Shots are read from .jsonl, .csv and .tsv files and from folders."
            )
        yield row.number, row.content
    if empty:
        raise UserError(f"{place} holds no shots.")


def _from_folder(place: Path, modalities: Mapping[str, Modality]) -> list[Shot]:
    folders = sorted(entry for entry in place.iterdir() if entry.is_dir() and not hidden(entry))
    if not folders:
        raise UserError(f"{place} holds no folders. {LAYOUT}")
    shots = [shot for folder in folders for shot in _from_class(folder, modalities)]
    if not shots:
        known = ", ".join(modalities) or "none"
        raise UserError(f"{place} holds no file that this bundle's senses can read ({known}). {LAYOUT}")
    return shots


def _from_class(folder: Path, modalities: Mapping[str, Modality]) -> Iterator[Shot]:
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and not hidden(path)):
        found = recognise(file, modalities) or modality_of(file, modalities)
        if found is not None:
            yield Shot(folder.name, None, {found: [file]}, str(file))
