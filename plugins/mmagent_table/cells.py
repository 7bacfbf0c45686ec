"""What one cell says: a number with its unit, a date, a yes or no, words, or nothing."""

from __future__ import annotations

import datetime as dt
import math
import re
from functools import lru_cache
from typing import NamedTuple

__all__ = ["MISSING", "Number", "as_bool", "as_date", "as_number", "is_missing", "text_of"]

MISSING = frozenset(
    ["", "na", "n/a", "nan", "null", "none", "nil", "-", "--", "---", "–", "—", "?", "#n/a", "\\n", "missing"]
)
BOOLS = {"true": True, "false": False, "yes": True, "no": False, "y": True, "n": False, "t": True, "f": False}
LARGEST = 1e30  # numbers beyond count as words: their squares and sums leave what a float holds
MONTHS = {
    name: at + 1
    for at, names in enumerate(
        "january jan|february feb|march mar|april apr|may|june jun|july jul|august aug"
        "|september sep sept|october oct|november nov|december dec".split("|")
    )
    for name in names.split()
}
MAGNITUDES = {
    "k": 1e3,
    "thousand": 1e3,
    "million": 1e6,
    "mio": 1e6,
    "billion": 1e9,
    "bn": 1e9,
    "trillion": 1e12,
}
_NUMBER = re.compile(
    r"^(?P<sign>[-+−–]?)\s*(?P<before>[$€£¥]|us\$|usd|eur|~|c\.|#|no\.)?\s*"
    r"(?P<digits>\d{1,3}(?:[,'   ]\d{3})+(?:\.\d+)?|\d{1,3}(?:\.\d{3}){2,}(?:,\d+)?"
    r"|\d+,\d{1,2}(?!\d)|\d*\.?\d+|\d+\.)"
    r"(?P<exponent>e[-+]?\d{1,3})?\s*"
    r"(?P<after>%|‰|/?[a-zµ°º$€£¥\"″′'][a-zµ°º²³/$€£¥.\"″′'·*^-]{0,11}[0-9]?(?:\s[a-z²³/]{1,8})?)?\s*$",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"\d")
_NOTE = re.compile(r"\s*(?:\[[^\]]{1,12}\]|\((?:[^()]{0,40})\)|[*†‡])\s*$")
_ORDINAL = re.compile(r"^(\d+)(?:st|nd|rd|th)$", re.IGNORECASE)
_ISO = re.compile(
    r"^(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ](\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?$"
)
_NUMERIC = re.compile(r"^(\d{1,4})([/.-])(\d{1,2})\2(\d{2,4})$")
_DAY_MONTH = re.compile(
    r"^(\d{1,2})(?:st|nd|rd|th)?[\s.-]+([a-z]{3,9})\.?(?:[\s,.-]+(\d{4}))?$", re.IGNORECASE
)
_MONTH_DAY = re.compile(r"^([a-z]{3,9})\.?\s+(\d{1,2})(?:st|nd|rd|th)?(?:,?\s+(\d{4}))?$", re.IGNORECASE)
_MONTH_YEAR = re.compile(r"^([a-z]{3,9})\.?,?\s+(\d{4})$", re.IGNORECASE)
_WEEKDAY = re.compile(
    r"^(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?[,.]?\s+", re.IGNORECASE
)


class Number(NamedTuple):
    """A number and the unit beside it, lower case; "%" leaves the value as written (12 % is 12)."""

    value: float
    unit: str


def text_of(value: object) -> str:
    """How a Python value stands in a cell: the same number is the same text in every file format."""
    if value is None:
        return ""
    if isinstance(value, str):
        return " ".join(value.split()) if ("\n" in value or "\t" in value or "  " in value) else value.strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) or type(value).__name__ in ("float64", "float32", "float16"):
        number = float(value)  # type: ignore[arg-type]
        if math.isnan(number):
            return ""
        return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)
    if isinstance(value, dt.datetime):
        if value != value:  # pandas' NaT
            return ""
        whole = (value.hour, value.minute, value.second, value.microsecond) == (0, 0, 0, 0)
        return value.date().isoformat() if whole else value.isoformat(sep=" ")
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    told = str(value)
    return "" if told in ("NaT", "<NA>") else text_of(told) if not isinstance(value, int) else told


def is_missing(cell: str) -> bool:
    """Whether a cell says nothing."""
    return not cell or (len(cell) <= 7 and cell.lower() in MISSING)


@lru_cache(1 << 16)
def as_number(cell: str) -> Number | None:
    """The number that a cell is, with its unit: "1,234.5 km", "$15 million", "12 %", "3rd"; None for others.

    A footnote mark or a remark in brackets behind it is left out: "48,133[1]", "1,200 (est.)".
    """
    text = cell.strip()
    if len(text) < 30 and text.isascii() and text.replace(".", "", 1).isdigit():
        return Number(float(text), "")
    if not text or len(text) > 48 or _DIGIT.search(text) is None:
        return None
    found = _NUMBER.match(text) or _NUMBER.match(_NOTE.sub("", text))
    if found is None:
        return None
    digits = found["digits"]
    if re.fullmatch(r"\d+,\d{1,2}", digits) or re.fullmatch(r"\d{1,3}(?:\.\d{3}){2,}(?:,\d+)?", digits):
        digits = digits.replace(".", "").replace(",", ".")  # a continental comma
    try:
        value = float(re.sub(r"[,'   ]", "", digits) + (found["exponent"] or ""))
    except (ValueError, OverflowError):
        return None
    unit = (found["after"] or found["before"] or "").lower().strip()
    if unit in ("st", "nd", "rd", "th", "#", "no.", "~", "c."):
        unit = ""
    scale, _, rest = unit.partition(" ")
    if scale in MAGNITUDES:
        value, unit = value * MAGNITUDES[scale], rest or (found["before"] or "").lower()
    if found["sign"] in ("-", "−", "–") and found["sign"]:
        value = -value
    return Number(value, unit) if abs(value) <= LARGEST else None


@lru_cache(1 << 16)
def as_date(cell: str) -> float | None:
    """Days since 1970-01-01 of a cell that is a date, or a date with a time of day; None for others.

    Read are 2024-03-01, 1.3.2024, 3/1/2024 (month first unless that cannot be), 1 March 2024, Mar 1, 2024 and
    March 2024; a date without a year lies in 1900.
    """
    if _DIGIT.search(cell) is None:
        return None
    text = _WEEKDAY.sub("", _NOTE.sub("", cell.strip()))
    if not 5 <= len(text) <= 32:
        return None
    try:
        if found := _ISO.match(text):
            year, month, day, hour, minute, second = (int(part or 0) for part in found.groups())
            return _days(year, month, day) + (hour * 3600 + minute * 60 + second) / 86400
        if found := _NUMERIC.match(text):
            return _numeric(int(found[1]), found[2], int(found[3]), int(found[4]), len(found[1]))
        if found := _DAY_MONTH.match(text):
            return _days(int(found[3] or 1900), MONTHS[found[2].lower()], int(found[1]))
        if found := _MONTH_DAY.match(text):
            return _days(int(found[3] or 1900), MONTHS[found[1].lower()], int(found[2]))
        if found := _MONTH_YEAR.match(text):
            return _days(int(found[2]), MONTHS[found[1].lower()], 1)
    except (KeyError, ValueError):
        return None
    return None


def as_bool(cell: str) -> bool | None:
    """True or False for yes, no, true, false and their first letters; None for others (also 0 and 1)."""
    return BOOLS.get(cell.strip().lower()) if len(cell) < 9 else None


def _numeric(first: int, separator: str, second: int, last: int, width: int) -> float | None:
    if width == 4:
        return _days(first, second, last)
    year = last if last > 99 else last + (2000 if last < 50 else 1900)
    month, day = (second, first) if separator == "." or first > 12 else (first, second)
    return _days(year, month, day)


def _days(year: int, month: int, day: int) -> float:
    return float(dt.date(year, month, day).toordinal() - 719163)
