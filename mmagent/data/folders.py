"""Folders as data sets: class folders, splits above them, a table beside its files, one table per split."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from mmagent.data.labelled import SPLITS, split_name
from mmagent.data.table import Cells, Table, joined
from mmagent.errors import UserError
from mmagent.modality import Modality
from mmagent.sniff import hidden, modality_of

__all__ = ["LAYOUTS", "TABLES", "read_folder"]

TABLES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
LAYOUTS = (
    "A folder of labelled data holds one folder per label (perhaps under train, validation and test), "
    "one table beside its files (metadata.csv, labels.jsonl), or one table per split (train.jsonl, test.csv)."
)

ReadTable = Callable[[Path], Table]


def read_folder(place: Path, modalities: Mapping[str, Modality], read_table: ReadTable) -> Table:
    """The rows of a folder. Raises UserError where its layout is none of those that are known."""
    folders = sorted(entry for entry in place.iterdir() if entry.is_dir() and not hidden(entry))
    tables = _metadata(place, folders) or _tables(place, folders) or _alone(place)
    if tables:
        return joined(
            {name: (read_table(place / name), split) for name, split in tables.items()},
            "a table beside its files" if len(tables) == 1 else "one table per split",
        )
    splits = _splits(folders)
    others = [folder.name for folder in folders if folder not in splits]
    if splits and others:
        raise UserError(
            f"{place} holds splits ({', '.join(folder.name for folder in splits)}) and other folders "
            f"({', '.join(others[:5])}) side by side. Move the others away, or give one split's folder."
        )
    if splits:
        parts = {one.name: (_classes(one, modalities, alone=False), split_name(one.name)) for one in splits}
        table = joined(parts, "class folders in folders of splits")
        if not table.rows:
            raise UserError(f"{place} holds splits without a file that a plugin can read. {LAYOUTS}")
        return table
    return _classes(place, modalities)


def _splits(folders: list[Path]) -> list[Path]:
    """The folders of splits; a class called train or test holds files itself, and is none."""
    found = [folder for folder in folders if split_name(folder.name) in SPLITS]
    holding = [folder for folder in found if _has(folder, Path.is_dir)]
    return (
        [folder for folder in found if folder in holding or not _has(folder, Path.is_file)] if holding else []
    )


def _classes(place: Path, modalities: Mapping[str, Modality], *, alone: bool = True) -> Table:
    """One folder per label; files are told by their suffix, and by their content where it says nothing.

    Standing `alone` it must hold a file; a split among others may be empty, which is told later.
    """
    folders = sorted(entry for entry in place.iterdir() if entry.is_dir() and not hidden(entry))
    if not folders and alone:
        raise UserError(f"{place} holds no folders and no table. {LAYOUTS}")
    rows: list[Cells] = []
    found, empty, skipped = dict[str, None](), [], 0
    for folder in folders:
        begun = len(rows)
        for file in _files(folder):
            modality = modality_of(file, modalities)
            if modality is None:
                skipped += 1
                continue
            found[modality] = None
            cells = {modality: file, "label": folder.name}
            rows.append(Cells(len(rows) + 1, str(file.relative_to(place)), cells))
        if len(rows) == begun:
            empty.append(f"the class folder {folder.name!r} holds no file that can be read.")
    if not rows and alone:
        known = ", ".join(modalities) or "none"
        raise UserError(f"{place} holds no file that a plugin can read ({known}). {LAYOUTS}")
    loose = [entry.name for entry in sorted(place.iterdir()) if _is_medium(entry, modalities)]
    beside = [f"{name} lies beside the class folders, so it has no label." for name in loose]
    notes = (f"{skipped:,} files in it are of no modality and were passed over.",) if skipped else ()
    return Table("class folders", (*found, "label"), rows, notes=notes, problems=(*empty, *beside))


def _metadata(place: Path, folders: list[Path]) -> dict[str, str | None]:
    """Hugging Face's tables beside the files, here or in each folder of a split, with their splits."""
    found: dict[str, str | None] = {}
    for folder in (place, *(one for one in folders if split_name(one.name) in SPLITS)):
        tables = [file for suffix in TABLES if (file := folder / f"metadata{suffix}").is_file()]
        if len(tables) > 1:
            names = ", ".join(file.name for file in tables)
            raise UserError(f"{folder} holds {names}. Keep one of them, or give the one that counts.")
        for file in tables:
            found[file.relative_to(place).as_posix()] = None if folder == place else split_name(folder.name)
    return found


def _tables(place: Path, folders: list[Path]) -> dict[str, str | None]:
    """Tables named after a split, such as train.jsonl or data/test-00000-of-00002.parquet."""
    found: dict[str, str | None] = {}
    for folder in (place, *(one for one in folders if one.name == "data")):
        for file in sorted(folder.iterdir()):
            split = split_name(re.split(r"[-_.]", file.name)[0])
            if split in SPLITS and _is_table(file):
                found[file.relative_to(place).as_posix()] = split
    order = {name: at for at, name in enumerate(SPLITS)}
    return dict(sorted(found.items(), key=lambda one: order[str(one[1])]))


def _alone(place: Path) -> dict[str, str | None]:
    """The one table that lies in the folder, whatever its name: it says more than the folders beside it.

    Of several, as where the media are csv files themselves, the one called labels.
    """
    found = [file.name for file in sorted(place.iterdir()) if _is_table(file)]
    named = [name for name in found if Path(name).stem.lower() == "labels"]
    found = named if len(named) == 1 else found
    if len(found) > 1:
        raise UserError(
            f"{place} holds several tables, none named after a split: {', '.join(found[:5])}. "
            "Give the one that counts."
        )
    return dict.fromkeys(found)


def _is_table(file: Path) -> bool:
    return file.suffix.lower() in TABLES and file.is_file() and not hidden(file)


def _files(folder: Path) -> Iterator[Path]:
    """All files below, by name; hidden ones and hidden folders aside."""
    for root, inner, names in os.walk(folder, followlinks=True):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(root, name)


def _is_medium(entry: Path, modalities: Mapping[str, Modality]) -> bool:
    known = {suffix for modality in modalities.values() for suffix in modality.extensions}
    return entry.suffix.lower() in known and entry.is_file() and not hidden(entry)


def _has(folder: Path, kind: Callable[[Path], bool]) -> bool:
    return any(kind(entry) and not hidden(entry) for entry in folder.iterdir())
