"""Rows of text files, one at a time, with their line numbers: JSON lines, csv and tsv.

A line that cannot be read comes back as a row with its error, so that the caller decides whether one bad
line stops everything.
"""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmagent.errors import UserError
from mmagent.reading import json_fault, stdin

__all__ = ["SEPARATORS", "Row", "csv_rows", "held", "json_rows", "text_lines"]

BOM = b"\xef\xbb\xbf"
SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons"}


@dataclass(frozen=True)
class Row:
    """One row of a file.

    number   the line it begins at, from 1
    content  its cells by column; ``{"line": number}`` where it cannot be read
    error    what is wrong with it, as a sentence that begins with its line
    """

    number: int
    content: dict[str, Any]
    error: str | None = None


def json_rows(place: Path) -> Iterator[Row]:
    """Every line that is not blank. Raises OSError."""
    return (_parsed(number, line) for number, line in text_lines(place))


def text_lines(place: Path) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of every line that is not blank. Raises OSError."""
    with place.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            text = line.removeprefix(BOM) if number == 1 else line
            if text.strip():
                yield number, text


@contextmanager
def held(place: Path) -> Iterator[Path]:
    """A file that can be read again and again: this one, or a copy of what a pipe or "-" (stdin) gives.

    Raises UserError for a device, and for a pipe that cannot be read; other files are not looked into.
    """
    name = str(place)
    if name != "-" and (place.is_file() or place.is_dir() or not place.exists()):
        yield place
        return
    if name != "-" and not place.is_fifo():
        raise UserError(f"{name} is a device, not a file of rows. Give a file, or '-' for standard input.")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "rows"
        try:
            with copy.open("wb") as kept, nullcontext(stdin()) if name == "-" else place.open("rb") as stream:
                shutil.copyfileobj(stream, kept)
        except OSError as error:
            raise UserError(f"the rows in {name} cannot be read: {error}. Give a file.") from error
        yield copy


def csv_rows(place: Path) -> tuple[list[str], str, Iterator[Row]]:
    """The columns, the separator, and the rows of a file with a header line.

    A .tsv file is separated by tabs; any other by commas, unless its header has none of them. Empty cells are
    left out of a row. Raises OSError, UnicodeDecodeError, and UserError for a header that cannot serve.
    """
    with place.open(encoding="utf-8-sig", newline="") as lines:
        first = lines.readline()
    separator = _separator(place, first)
    names = [name.strip() for name in next(csv.reader([first], delimiter=separator), [])]
    for name in names:
        if name and names.count(name) > 1:
            raise UserError(f"{place} has two columns called {name!r}. Rename one of them.")
    return names, separator, _csv_rows(place, names, separator)


def _csv_rows(place: Path, names: list[str], separator: str) -> Iterator[Row]:
    with place.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.reader(lines, delimiter=separator)
        next(reader, None)
        while True:
            number = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Row(number, {"line": number}, f"line {number} cannot be read: {error}.")
                continue
            if len(cells) > len(names):
                told = f"line {number} has {len(cells)} cells, the header {len(names)}; put quotes around "
                yield Row(number, {"line": number}, f"{told}a cell that holds {SEPARATORS[separator]}.")
            elif any(cells):
                filled = zip(names, cells, strict=False)
                yield Row(number, {name: cell for name, cell in filled if name and cell})


def _separator(place: Path, header: str) -> str:
    if place.suffix.lower() == ".tsv":
        return "\t"
    if "," in header:
        return ","
    return next((one for one in ("\t", ";") if one in header), ",")


def _parsed(number: int, line: bytes) -> Row:
    try:
        content = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        return Row(number, {"line": number}, f"line {number} is not UTF-8 text.")
    except (ValueError, RecursionError) as error:
        return Row(number, {"line": number}, f"line {number} is not a row of JSON: {json_fault(error)}.")
    if not isinstance(content, dict):
        kind = type(content).__name__
        told = f'line {number} is a JSON {kind}; a row is an object like {{"image": "a.png"}}.'
        return Row(number, {"line": number}, told)
    return Row(number, content)
