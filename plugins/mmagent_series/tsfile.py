"""Reading .ts files, as sktime and the UEA archive write them: a series per line, dimensions by colons."""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from typing import IO

import numpy as np

from mmagent.errors import UserError
from mmagent_series.clock import Clock
from mmagent_series.recognise import MISSING
from mmagent_series.series import MAX_VALUES, Block, InMemory, Series, demand_size, made

__all__ = ["read_ts"]

MAX_LINE = 1 << 27  # characters
_PAIR = re.compile(r"\(([^(),]*),([^(),]*)\)")


@dataclass
class _Head:
    """What the lines before @data say."""

    labelled: bool = False
    timed: bool = False
    dimensions: int | None = None


def read_ts(stream: IO[bytes], name: str, number: int | None) -> Series:
    """Series `number` of a .ts file, counted from 1; None where it holds one alone. Raises UserError."""
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline=None)
    try:
        head = _head(text, name)
        wanted, found, count = 1 if number is None else number, "", 0
        while line := text.readline(MAX_LINE):
            if not line.strip() or line.startswith("#"):
                continue
            count += 1
            if count == wanted:
                found = line.strip()
            if number is not None and found:
                break
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from error
    finally:
        text.detach()
    if not count:
        raise UserError(f"{name} has nothing after @data, so no series.")
    demand_one(count, number, bool(found), name)
    return _series(found, head, name)


def demand_one(count: int, number: int | None, found: bool, name: str) -> None:
    """Raise UserError where a file of several series was given without saying which, or one it lacks."""
    if number is None and count > 1:
        raise UserError(f"{name} holds {count:,} series. Say which, from 1: {name}#1 is the first.")
    if not found:
        raise UserError(f"{name} holds {count:,} series, and there is no number {number}.")


def _head(text: io.TextIOWrapper, name: str) -> _Head:
    head = _Head()
    while line := text.readline(MAX_LINE):
        words = line.lower().split()
        if not words or words[0].startswith(("#", "%")):
            continue
        key, value = words[0], words[1] if len(words) > 1 else ""
        if key == "@data":
            return head
        if key in ("@classlabel", "@targetlabel"):
            head.labelled = value == "true"
        elif key == "@timestamps":
            head.timed = value == "true"
        elif key in ("@dimensions", "@dimension", "@serieslength"):
            if not value.isdecimal():
                raise UserError(f"{name} says {key} {value!r:.20}, which is no number.")
            if int(value) > MAX_VALUES:
                raise UserError(f"{name} promises {key} {int(value):,}; at most {MAX_VALUES:,} are read.")
            head.dimensions = int(value) if key != "@serieslength" else head.dimensions
        elif not key.startswith("@"):
            break
    raise UserError(f"{name} is a .ts file without a line @data, so it is cut off or none. Copy it again.")


def _series(line: str, head: _Head, name: str) -> Series:
    parts = line.split(":")
    if head.labelled:
        parts = parts[:-1]
    if not parts:
        raise UserError(f"{name} promises class labels (@classLabel true), and a line has none.")
    if head.dimensions is not None and len(parts) != head.dimensions:
        raise UserError(f"{name} promises {head.dimensions} dimensions, and a series has {len(parts)}.")
    clock = Clock(name, None) if head.timed else None
    columns = [
        _timed(part, clock if at == 0 else None, name) if head.timed else _plain(part, name)
        for at, part in enumerate(parts)
    ]
    length = max(len(column) for column in columns)
    demand_size(length, len(columns), name)
    array = np.full((length, len(columns)), np.nan)
    for at, column in enumerate(columns):
        array[: len(column), at] = column
    rate, timing = (None, None) if clock is None else (clock.rate, clock.timing)
    return made(InMemory(array), name, rate=rate, timing=timing)


def _plain(part: str, name: str) -> Block:
    return np.array([_number(cell, name) for cell in part.split(",") if part.strip()])


def _timed(part: str, clock: Clock | None, name: str) -> Block:
    """The values of "(time,value),(time,value)"; the clock hears the times."""
    pairs = _PAIR.findall(part)
    if not pairs and part.strip():
        raise UserError(f"{name} promises times, and a series has none: {part.strip()[:40]!r}.")
    if clock is not None:
        clock.add([_number(when, name) for when, _ in pairs])
    return np.array([_number(value, name) for _, value in pairs])


def _number(cell: str, name: str) -> float:
    word = cell.strip()
    if word.lower() in MISSING:
        return math.nan
    try:
        return float(word)
    except ValueError as error:
        raise UserError(f"{name} holds {word[:40]!r} where a number should be. Mend the file.") from error
