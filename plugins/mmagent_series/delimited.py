"""Reading csv and tsv: columns of numbers with names or without, in blocks, however many rows there are."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import IO

import numpy as np

from mmagent.errors import UserError
from mmagent_series.clock import Clock, moment, named_time, time_scale, with_unit
from mmagent_series.recognise import MISSING, is_moment, is_number, is_value, separator_of, split
from mmagent_series.series import BLOCK, MAX_CHANNELS, Block, Series, Spool, made

__all__ = ["read_delimited"]

MAX_LINE = 1 << 20  # characters
HEAD_LINES = 200  # that are looked at before the reading begins
_RATE = re.compile(r"rate\D{0,20}?(\d+\.?\d*(?:[eE][-+]?\d+)?)\s*(k?)hz", re.IGNORECASE)
_COUNTERS = ("", "index", "sample", "samples", "row", "n", "unnamed: 0")

Line = tuple[int, str]


@dataclass(frozen=True)
class _Layout:
    """How the lines of a file are to be read.

    names    of all columns;  time  the column of times;  channels  the columns that are measured
    moments  times are dates;  comma  numbers have a decimal comma
    """

    separator: str
    names: tuple[str, ...]
    time: int | None
    channels: tuple[int, ...]
    moments: bool
    comma: bool


def read_delimited(stream: IO[bytes], name: str) -> Series:
    """The series in a text of columns. Raises UserError for text, ragged lines and what `made` refuses.

    A column of times (by its name, or dates in the first column) gives the rate; a column that only counts
    the rows is left out; lines that begin with "#" are comments, of which "# rate: 100 Hz" is understood.
    """
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline=None)
    try:
        lines = _lines(text, name)
        comments, head = _head(lines)
        layout, first = _layout(head, name)
        return _read(chain(head[first:], lines), layout, _told_rate(comments), name)
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from error
    finally:
        text.detach()


def _lines(text: io.TextIOWrapper, name: str) -> Iterator[Line]:
    """Number and content of every line that is not blank."""
    number = 0
    while line := text.readline(MAX_LINE):
        number += 1
        if len(line) == MAX_LINE:
            raise UserError(f"{name}, line {number} has more than {MAX_LINE:,} characters, so it is no row.")
        if "\0" in line:
            raise UserError(f"{name}, line {number} holds zero bytes, so it is no text. Copy the file again.")
        if line.strip():
            yield number, line.rstrip("\r\n")


def _head(lines: Iterator[Line]) -> tuple[list[str], list[Line]]:
    """The comments at the beginning, and the first lines after them."""
    comments: list[str] = []
    for line in lines:
        if not line[1].startswith("#"):
            return comments, [line, *islice(lines, HEAD_LINES - 1)]
        comments.append(line[1])
    return comments, []


def _told_rate(comments: Sequence[str]) -> float | None:
    found = next((match for line in comments if (match := _RATE.search(line))), None)
    return None if found is None else float(found[1]) * (1000 if found[2] else 1)


def _layout(head: Sequence[Line], name: str) -> tuple[_Layout, int]:
    """How to read the lines, and the first of them that holds samples."""
    if not head:
        raise UserError(f"{name} has no lines, so no samples. Give rows of numbers.")
    separator = separator_of([line for _, line in head])
    top = split(head[0][1], separator)
    titled = not all(is_value(cell) or is_moment(cell) for cell in top)
    rows = [split(line, separator) for _, line in head[titled:]]
    if not rows:
        raise UserError(f"{name} has a line of names ({', '.join(top)[:60]}) and no samples below it.")
    if len(top) > MAX_CHANNELS + 1:
        raise UserError(f"{name} has {len(top):,} columns; at most {MAX_CHANNELS:,} channels are read.")
    names = top if titled else [""] * len(top)
    moments = is_moment(rows[0][0])
    time = 0 if moments else None
    if titled and time is None:
        time = next((at for at, one in enumerate(names) if named_time(with_unit(one)[0])), None)
        if time is not None and len(rows[0]) > time and is_moment(rows[0][time]):
            moments = True
    counter = _counter(names, rows) if titled and time != 0 else None
    channels = tuple(at for at in range(len(names)) if at not in (time, counter))
    if not channels:
        raise UserError(f"{name} has only the column {names[0]!r}, which says when. Give what was measured.")
    comma = separator != "," and any("," in cell for row in rows[:20] for cell in row)
    return _Layout(separator, tuple(names), time, channels, moments, comma), int(titled)


def _counter(names: Sequence[str], rows: Sequence[Sequence[str]]) -> int | None:
    """The first column where it only counts the rows."""
    if len(names) < 2 or names[0].strip().lower() not in _COUNTERS:
        return None
    firsts = [row[0] for row in rows if row]
    whole = all(cell.isdecimal() for cell in firsts)
    return 0 if whole and [int(cell) - int(firsts[0]) for cell in firsts] == [*range(len(firsts))] else None


def _read(lines: Iterator[Line], layout: _Layout, rate: float | None, name: str) -> Series:
    spool = Spool(name)
    titles = [with_unit(title) for title in layout.names]
    clock = None
    if layout.time is not None:
        scale = 1.0 if layout.moments else time_scale(*titles[layout.time])
        clock = Clock(name, scale)
    while chunk := list(islice(lines, BLOCK)):
        rows = _numbers(chunk, layout, name)
        if clock is not None:
            clock.add(rows[:, layout.time])
        spool.add(rows[:, layout.channels])
    titled = any(layout.names)
    return made(
        spool.samples(),
        name,
        channels=[titles[at][0] or f"channel {at + 1}" for at in layout.channels] if titled else None,
        units=[titles[at][1] for at in layout.channels],
        rate=rate if clock is None or clock.rate is None else clock.rate,
        timing=None if clock is None else clock.timing,
    )


def _numbers(chunk: Sequence[Line], layout: _Layout, name: str) -> Block:
    """(n, columns) the numbers of lines; numpy's parser where it can, cell by cell where one is missing."""
    width = len(layout.names)
    if not layout.moments:
        texts = [line.replace(",", ".") for _, line in chunk] if layout.comma else [line for _, line in chunk]
        try:
            found = np.loadtxt(
                texts, delimiter=layout.separator or None, comments=None, quotechar='"', ndmin=2
            )
            if found.shape == (len(chunk), width):
                return np.asarray(found, dtype=np.float64)
        except ValueError:
            pass  # a cell is empty, or no number: the slower way knows which
    rows = np.empty((len(chunk), width))
    for at, (number, line) in enumerate(chunk):
        cells = split(line, layout.separator)
        if len(cells) != width:
            raise UserError(
                f"{name}, line {number} has {len(cells)} columns where the first has {width}. "
                "Give every line as many; leave a cell empty where a value is missing."
            )
        rows[at] = [_number(cell, column, number, layout, name) for column, cell in enumerate(cells)]
    return rows


def _number(cell: str, column: int, number: int, layout: _Layout, name: str) -> float:
    if cell.lower() in MISSING:
        return math.nan
    if layout.moments and column == layout.time:
        try:
            return moment(cell)
        except ValueError:
            pass
    elif is_number(cell):
        return float(cell.replace(",", ".")) if layout.comma else float(cell)
    what = layout.names[column] or f"column {column + 1}"
    raise UserError(
        f"{name}, line {number} holds {cell[:40]!r} in {what!r}, which is no number. A series is columns of "
        "numbers: leave that column out, or ask about the file as a table."
    )
