"""Tables in text files: encoding, separator and header are found, and every line is read or refused."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import BinaryIO

from mmagent.errors import UserError
from mmagent.sniff import starts_like
from mmagent_table.cells import as_date, as_number, is_missing, text_of
from mmagent_table.table import CHUNK, MAX_COLUMNS, Row, Table, distinct_names

__all__ = ["read_separated"]

SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
HEAD = 1 << 18  # bytes in which encoding and separator are looked for
LOOKED_AT = 200  # records from which the separator is judged
MAX_LINE = 1 << 24  # bytes of one line
Open = Callable[[], BinaryIO]


def read_separated(opened: Open, name: str) -> Table:
    """The table in a text file; `opened` gives its bytes from the start, as often as it is called.

    Raises `UserError` for what is empty, binary, not separated, or ragged; the last when rows are read.
    """
    with opened() as stream:
        head = stream.read(HEAD)
    if not head.strip():
        raise UserError(
            f"{name} is empty, so there is no table in it. Give a file with a line of column names."
        )
    encoding = _encoding(head, name)
    lines = Lines(opened, encoding, name)
    separator = _separator(head, encoding, name)
    first, records = _head_records(lines, separator, name)
    notes: list[str] = []
    headed = _has_header(first, records)
    width = len(first)
    if headed:
        names = distinct_names(first, notes)
    else:
        names = tuple(f"column {at + 1}" for at in range(width))
        notes.append("the first line holds values, so the columns have no names.")
    table = Table(names, lambda: iter(()), "", notes, name)

    def chunks() -> Iterator[list[Row]]:
        return _chunks(lines, separator, width, headed, name, table.notes)

    table.chunks_of, table.semicolons = chunks, separator == ";"
    table.format = f"text separated by {SEPARATORS[separator]}, {encoding}"
    if not any(True for _ in table.chunks()):
        raise UserError(f"{name} has column names ({', '.join(names[:5])}) and no row below them. Add rows.")
    return table


class Lines:
    """The lines of a text file, decoded one by one; a line that is not UTF-8 is read as Windows-1252.

    strays: lines that had to be read so, counted by the last pass.
    """

    def __init__(self, opened: Open, encoding: str, name: str) -> None:
        self._opened, self._encoding, self._name = opened, encoding, name
        self.strays = 0

    def __iter__(self) -> Iterator[str]:
        self.strays = 0
        with self._opened() as stream:
            if self._encoding == "utf-16":
                yield from io.TextIOWrapper(stream, "utf-16", errors="replace", newline="")
                return
            first = True
            while line := stream.readline(MAX_LINE):
                if len(line) == MAX_LINE:
                    raise UserError(
                        f"{self._name} has a line of more than {MAX_LINE >> 20} MiB, so it is no table. "
                        "Check the file."
                    )
                if first:
                    line, first = line.removeprefix(b"\xef\xbb\xbf"), False
                if b"\0" in line:
                    raise UserError(
                        f"{self._name} is not text throughout: a line holds null bytes. Save it again."
                    )
                try:
                    yield line.decode("utf-8")
                except UnicodeDecodeError:
                    self.strays += 1
                    yield line.decode("cp1252", errors="replace")


def _encoding(head: bytes, name: str) -> str:
    """ "utf-8", "utf-16" or "cp1252"; raises `UserError` for bytes that are no text."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    strange = sum(head[:4096].count(code) for code in (*range(9), *range(14, 27)))
    if strange:
        raise UserError(
            f"{name} is not a table: it starts like {starts_like(head[:4096])}. Tables are csv, tsv, "
            "parquet or xlsx."
        )
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:
            return "cp1252"
    return "utf-8"


def _separator(head: bytes, encoding: str, name: str) -> str:
    """The separator that cuts most records into equally many cells; a comma where there is one column."""
    text = head.decode(encoding, errors="replace").lstrip("\ufeff")
    if len(head) == HEAD:
        text = text[: text.rfind("\n") + 1] or text
    best, chosen = (0.0, 0), ","
    for separator in SEPARATORS:
        try:
            records = [
                row for row in islice(csv.reader(io.StringIO(text), delimiter=separator), LOOKED_AT) if row
            ]
        except csv.Error:
            continue
        widths = Counter(len(row) for row in records)
        if not widths or not records or len(records[0]) < 2:
            continue
        width, count = widths.most_common(1)[0]
        if width > 1 and (score := (round(count / len(records), 2), width)) > best:
            best, chosen = score, separator
    return chosen


def _head_records(lines: Lines, separator: str, name: str) -> tuple[Row, list[Row]]:
    """The first record and some after it, blank lines left out."""
    records = (row for _, row in _records(lines, separator, name))
    some = list(islice(records, 100))
    if not some:
        raise UserError(f"{name} has no line with text in it, so there is no table.")
    if len(some[0]) > MAX_COLUMNS:
        raise UserError(
            f"{name} has {len(some[0]):,} columns; at most {MAX_COLUMNS:,} are read. Choose some."
        )
    return some[0], some[1:]


def _records(lines: Lines, separator: str, name: str) -> Iterator[tuple[int, Row]]:
    """Line number and cells of every record that is not blank. Raises `UserError` for an open quotation."""
    taken: list[str] = []  # of the record that is being read

    def handed() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield line
        if taken:  # more is wanted for this record than there is
            start = _opened_in(taken, reader.line_num, separator)
            raise UserError(
                f"{name}, line {start}: a quotation mark is opened that is not closed. Close it, or copy the "
                "file again if it is cut off."
            )

    reader = csv.reader(handed(), delimiter=separator)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            line = _opened_in(taken, reader.line_num, separator)
            raise UserError(
                f"{name}, line {line}: {error}. A quotation mark may be open; close it."
            ) from error
        taken.clear()
        if row and any(row):
            yield reader.line_num, tuple(map(text_of, row))


def _opened_in(taken: Sequence[str], last: int, separator: str) -> int:
    """The line in which the quotation begins that lines leave open; `last` is the number of the last."""
    text = "".join(taken)
    opened = re.search(rf'(?<![^\n\r{re.escape(separator)}])"(?:[^"]|"")*\Z', text)
    return last - text[opened.start() if opened else len(text) :].rstrip("\n").count("\n")


def _has_header(first: Row, records: Sequence[Row]) -> bool:
    """Whether the first record names columns: its cells differ in kind from those below, or stand alone."""
    votes = 0
    for at, cell in enumerate(first):
        body = [row[at] for row in records if at < len(row) and not is_missing(row[at])]
        if not body:
            continue
        typed = sum(map(_is_typed, body)) / len(body)
        own = _is_typed(cell)
        if typed > 0.8:
            votes += 1 if not own and not is_missing(cell) else -1 if own and not _year(cell) else 0
        elif cell in body:
            votes -= 1
        elif own:
            votes -= 0 if _year(cell) else 1
    return votes >= 0


def _is_typed(cell: str) -> bool:
    """Whether a cell is a number, with a decimal comma or point, or a date."""
    return as_number(cell, comma=True) is not None or as_date(cell) is not None


def _year(cell: str) -> bool:
    return len(cell) == 4 and cell.isdigit() and 1500 <= int(cell) <= 2200


def _chunks(
    lines: Lines, separator: str, width: int, headed: bool, name: str, notes: list[str]
) -> Iterator[list[Row]]:
    """Rows of `width` cells. Raises `UserError` for one that has more; one that has fewer is filled up."""
    records = _records(lines, separator, name)
    if headed:
        next(records, None)
    chunk: list[Row] = []
    short = 0
    for number, row in records:
        if len(row) != width:
            if any(row[width:]):
                raise UserError(
                    f"{name} is ragged: line {number} has {len(row)} cells, and the first has {width}. Put "
                    f"cells with {SEPARATORS[separator]} in them into quotation marks."
                )
            short += len(row) < width
            row = row[:width] + ("",) * (width - len(row))
        chunk.append(row)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
    told = []
    if short:
        told.append(
            f"{short:,} row{'s are' if short > 1 else ' is'} short; what they lack counts as missing."
        )
    if lines.strays:
        told.append(f"{lines.strays:,} lines are not UTF-8; they were read as Windows-1252.")
    notes += [note for note in told if note not in notes]
