"""Whether the first bytes of a file are a series; light, as it is asked of every file that is looked at."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = [
    "MISSING",
    "NOT_CHANNELS",
    "SEPARATORS",
    "TIMES",
    "is_csv",
    "is_npy",
    "is_number",
    "is_ts",
    "sniff",
]

NPY, PARQUET = b"\x93NUMPY", b"PAR1"
SEPARATORS = "\t;,"  # in the order they are tried; white space alone is the last
MISSING = frozenset({"", "nan", "na", "n/a", "null", "none", "-", "?"})
TIMES = frozenset("t time timestamp timestamps datetime date elapsed sec secs second seconds ms us".split())
"""Names of a column that says when; units in brackets aside."""
NOT_CHANNELS = frozenset("id class label target answer split name species category".split())
"""Names of a column that tell a table of things from a series."""
FEWEST = 3  # rows of numbers before a text is held to be a series
# Patterns are compiled when a file is looked at: that takes as long as importing this module.
_TS = (
    r"(?i)@(problemname|timestamps|missing|univariate|dimensions?|equallength|serieslength|targetlabel"
    r"|classlabel|data)\b"
)
_NUMBER = r"(?i)[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?$|[-+]?inf(inity)?$"
_MOMENT = r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.,]\d+)?)?(Z|[-+]\d\d:?\d\d)?)?$"


def sniff(head: bytes) -> bool:
    """Whether a file that starts with these bytes is clearly a series: .ts, numeric npy, columns of numbers.

    A parquet file does not say at its beginning what it holds, so it is never claimed.
    """
    if head.startswith(NPY):
        return is_npy(head)
    text = as_text(head)
    return text is not None and (is_ts(text) or is_csv(text, whole=len(head) < 4096))


def as_text(head: bytes) -> str | None:
    """The text of a file's first bytes, or None where they are none."""
    if b"\0" in head[:4096]:
        return None
    try:
        return head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        cut = error.start >= len(head) - 3  # a character cut in half at the end
        return head[: error.start].decode("utf-8-sig") if cut and error.start else None


def is_npy(head: bytes) -> bool:
    """Whether a numpy file holds numbers along one axis of time, with channels or without."""
    try:
        start = 10 if head[6] == 1 else 12
        from ast import literal_eval

        told = literal_eval(head[start : head.index(b"\n", start)].decode("latin1").strip())
        kind, shape = str(told["descr"]).lstrip("<>=|")[:1], told["shape"]
    except (ValueError, SyntaxError, KeyError, IndexError, TypeError, MemoryError, RecursionError):
        return False
    return kind in {"f", "i", "u"} and len(shape) in (1, 2)


def is_ts(text: str) -> bool:
    """Whether a text is a .ts file, as sktime and the UEA archive write them."""
    lines = (line.strip() for line in text.splitlines())
    first = next((line for line in lines if line and not line.startswith(("#", "%"))), "")
    return re.match(_TS, first) is not None


def is_csv(text: str, *, whole: bool) -> bool:
    """Whether a text is columns of numbers with one line of names or none, and nothing else.

    whole: the text is all there is; otherwise its last line may be cut off and does not count.
    """
    lines = text.splitlines()
    lines = [line for line in (lines if whole else lines[:-1]) if line.strip() and not line.startswith("#")]
    if len(lines) < FEWEST:
        return False
    separator = separator_of(lines)
    rows = [split(line, separator) for line in lines]
    names = rows.pop(0) if not all(map(is_value, rows[0])) else []
    if len(rows) < FEWEST or any(len(row) != len(names or rows[0]) for row in rows):
        return False
    if any(is_value(name) and name for name in names) or not _are_channels(names):
        return False
    firsts, others = [row[0] for row in rows], [cell for row in rows for cell in row[1:]]
    timed = all(re.match(_MOMENT, cell) for cell in firsts) and len(rows[0]) > 1
    return all(map(is_value, others if timed else [*firsts, *others])) and any(
        map(is_number, others or firsts)
    )


def _are_channels(names: Sequence[str]) -> bool:
    plain = [name.strip().lower() for name in names]
    return len(set(plain)) == len(plain) and not any(
        word in NOT_CHANNELS or word.endswith(("_id", " id")) for word in plain
    )


def separator_of(lines: Sequence[str]) -> str:
    """The character that parts most lines into the same number of cells; "" for white space."""
    sample = lines[-min(len(lines), 20) :]
    for separator in SEPARATORS:
        counts = {line.count(separator) for line in sample}
        if len(counts) == 1 and 0 not in counts:
            return separator
    return next((one for one in SEPARATORS if 2 * sum(one in line for line in sample) > len(sample)), "")


def split(line: str, separator: str) -> list[str]:
    """The cells of a line, without quotes and white space around them."""
    cells = line.split(separator) if separator else line.split()
    return [cell.strip().strip('"') for cell in cells]


def is_number(cell: str) -> bool:
    """Whether a cell holds a number, with a decimal point or comma."""
    return re.match(_NUMBER, cell) is not None


def is_value(cell: str) -> bool:
    """Whether a cell holds a number or says that one is missing."""
    return cell.lower() in MISSING or is_number(cell)


def is_moment(cell: str) -> bool:
    """Whether a cell holds a date, with a time or without, as ISO 8601 writes it."""
    return re.match(_MOMENT, cell) is not None
