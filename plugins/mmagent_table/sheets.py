"""Tables in xlsx workbooks: one sheet, the first with values or the one that is named, read row by row."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from mmagent.errors import UserError, did_you_mean
from mmagent_table.cells import text_of
from mmagent_table.table import CHUNK, MAX_COLUMNS, Row, Table, distinct_names

__all__ = ["read_xlsx"]

MAX_UNPACKED = 1 << 31  # bytes that a workbook may unpack to
MAX_RATIO = 500  # unpacked bytes for each packed one; more is no spreadsheet but a trap
BLANK_ROWS = 1000  # blank rows after which a sheet is taken to have ended
SEEN_ROWS = 500  # rows looked at for formulas without values


def read_xlsx(opened: Any, name: str, sheet: str | None = None) -> Table:
    """The sheet of a name, or the first that has values; its first row names the columns.

    Raises `UserError`, also where there is no such sheet.
    """
    _check_zip(opened, name)
    with _book(opened, name, values=True) as book:
        sheets = list(book.sheetnames)
        wanted = sheets if sheet is None else [_named(sheet, sheets, name)]
        chosen = next((title for title in wanted if _first(book[title]) is not None), None)
        if chosen is None:
            raise UserError(_without_values(opened, name, wanted, sheet))
        first = _first(book[chosen])
        assert first is not None
    notes: list[str] = []
    start = next(at for at, cell in enumerate(first) if cell)
    width = max(at for at, cell in enumerate(first) if cell) + 1
    if width > MAX_COLUMNS:
        raise UserError(f"{name} has {width:,} columns; at most {MAX_COLUMNS:,} are read. Choose some.")

    def chunks() -> Iterator[list[Row]]:
        with _book(opened, name, values=True) as book:
            chunk: list[Row] = []
            for row in islice(_rows(book[chosen]), 1, None):
                kept = row[start:width]
                chunk.append(kept + ("",) * (width - start - len(kept)))
                if len(chunk) == CHUNK:
                    yield chunk
                    chunk = []
            if chunk:
                yield chunk

    table = Table(distinct_names(first[start:width], notes), chunks, "xlsx", notes, name)
    if len(sheets) > 1:
        others = [title for title in sheets if title != chosen]
        another = f"{Path(name).name}#{others[0]}"
        table.part = f"the sheet {chosen!r} of {len(sheets)}, another with {another}"
        notes.append(f"the sheet {chosen!r} is read; there are also: {', '.join(others)} ({another}).")
    lost, formulas = _formulas(opened, name, chosen)
    head = next(table.chunks(), [])
    if lost and not any(any(row) for row in head):
        raise UserError(_told_formulas(name, lost))
    if not head:
        raise UserError(
            f"{name} has column names ({', '.join(table.names[:5])}) and no row below them. Add rows."
        )
    if lost:
        notes.append(f"{lost} of {formulas} formulas have no computed value; these cells count as missing.")
    return table


def _named(sheet: str, sheets: list[str], name: str) -> str:
    """The title of a sheet, upper case or lower. Raises `UserError` where there is none."""
    found = [title for title in sheets if title == sheet] or [
        title for title in sheets if title.casefold() == sheet.casefold()
    ]
    if not found:
        raise UserError(
            f"{name} has no sheet {sheet!r}. There are: {', '.join(sheets)}.{did_you_mean(sheet, sheets)}"
        )
    return found[0]


def _check_zip(opened: Any, name: str) -> None:
    """Raise `UserError` for what is no workbook, and for one that unpacks to far more than it is."""
    try:
        with opened() as stream, zipfile.ZipFile(stream) as packed:
            members = packed.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise UserError(f"{name} starts like xlsx but is damaged or cut off. Copy it again.") from error
    if not any(one.filename.startswith("xl/") for one in members):
        raise UserError(
            f"{name} is a zip archive without a spreadsheet in it. Tables are csv, tsv, parquet or xlsx."
        )
    unpacked, size = sum(one.file_size for one in members), sum(one.compress_size for one in members)
    if unpacked > MAX_UNPACKED or (unpacked > 1 << 26 and unpacked > MAX_RATIO * max(size, 1)):
        raise UserError(
            f"{name} unpacks from {size:,} to {unpacked:,} bytes, which is no spreadsheet's. Save it as csv."
        )


@contextmanager
def _book(opened: Any, name: str, *, values: bool) -> Iterator[Any]:
    """An open workbook, with computed values or with formulas as they stand."""
    try:
        import openpyxl
    except ImportError as error:
        raise UserError(f"{name} is xlsx, which needs openpyxl: pip install 'mmagent[table]'") from error
    try:
        with opened() as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about styles and validation, which are not read
            book = openpyxl.load_workbook(stream, read_only=True, data_only=values)
            try:
                yield book
            finally:
                book.close()
    except UserError:
        raise
    except Exception as error:  # openpyxl raises a dozen kinds on damaged workbooks
        raise UserError(f"{name} is a damaged workbook ({type(error).__name__}). Save it again.") from error


def _rows(sheet: Any) -> Iterator[Row]:
    """Rows with any value, as text."""
    blank = 0
    for cells in sheet.iter_rows(values_only=True):
        row = tuple(text_of(cell) for cell in cells)
        blank = 0 if any(row) else blank + 1
        if blank > BLANK_ROWS:
            return
        if not blank:
            yield row


def _first(sheet: Any) -> Row | None:
    if not hasattr(sheet, "iter_rows"):  # a sheet that is a chart
        return None
    return next(_rows(sheet), None)


def _formulas(opened: Any, name: str, title: str) -> tuple[int, int]:
    """Formulas without a computed value, and all formulas, in the first rows of a sheet."""
    lost = every = 0
    with _book(opened, name, values=False) as book, _book(opened, name, values=True) as computed:
        pairs = zip(book[title].iter_rows(values_only=True), computed[title].iter_rows(values_only=True))  # noqa: B905
        for told, value in islice(pairs, SEEN_ROWS):
            for one, other in zip(told, value, strict=False):
                if isinstance(one, str) and one.startswith("="):
                    every += 1
                    lost += other is None
    return lost, every


def _without_values(opened: Any, name: str, sheets: list[str], sheet: str | None) -> str:
    lost = sum(_formulas(opened, name, title)[0] for title in sheets)
    where = "any sheet" if sheet is None else f"the sheet {sheets[0]!r}"
    return _told_formulas(name, lost) if lost else f"{name} has no cell with a value on {where}."


def _told_formulas(name: str, lost: int) -> str:
    return (
        f"{name} holds formulas and no computed values ({lost} of them): it was written by a program "
        "that does not calculate. Open it in a spreadsheet program, save it, and give it again."
    )
