"""What one cell says: a number with its unit, a date, a yes or no, words, or nothing."""

from __future__ import annotations

import datetime as dt
import math
import re
from functools import lru_cache
from typing import NamedTuple

__all__ = ["MISSING", "Number", "as_bool", "as_date", "as_number", "date_order", "is_missing", "text_of"]

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
    r"(?P<digits>\d{1,3}(?:[,'\s]\d{3})+(?:\.\d+)?|\d{1,3}(?P<group>[.'\s])\d{3}(?:(?P=group)\d{3})*(?:,\d+)?"
    r"|\d+,\d+|\d*\.?\d+|\d+\.)"
    r"(?P<exponent>e[-+]?\d{1,3})?\s*"
    r"(?P<after>%|‰|/?[a-zµ°º$€£¥\"″′'][a-zµ°º²³/$€£¥.\"″′'·*^-]{0,11}[0-9]?(?:\s[a-z²³/]{1,8})?)?\s*$",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"\d")
_NOTE = re.compile(r"\s*(?:\[[^\]]{1,12}\]|\((?:[^()]{0,40})\)|[*†‡])\s*$")
_OF_COLUMN = re.compile(r"[1-9]\d{3,},\d{3,}|[1-9]\d*,\d{4,}")  # a number if its column's commas are decimal
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
    """A number and the unit beside it, lower case; "%" leaves the value as written (12 % is 12).

    sign  what parts off its decimals: "," or "." where the cell alone tells, ",~" where the length of what
          follows a comma does; ",?" or ".?" where the sign may as well set thousands apart, "" without one
    """

    value: float
    unit: str
    sign: str = ""


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
def as_number(cell: str, comma: bool = False) -> Number | None:
    """The number that a cell is, with its unit: "1,234.5 km", "$15 million", "12 %", "3rd"; None for others.

    comma: its column's numbers have a decimal comma, so that "1,250" is 1.25 and "1.250" is 1250; without, it
    is the other way round. Cells that tell it themselves ("0,125", "1.234,5") are read as they tell.
    A footnote mark or a remark in brackets behind it is left out: "48,133[1]", "1,200 (est.)".
    """
    text = cell.strip()
    if len(text) < 30 and text.isascii() and text.replace(".", "", 1).isdigit():
        sign = _sign(text) if "." in text else ""
        return Number(float(text.replace(".", "") if comma and sign == ".?" else text), "", sign)
    if not text or len(text) > 48 or _DIGIT.search(text) is None:
        return None
    found = _NUMBER.match(text) or _NUMBER.match(_NOTE.sub("", text))
    if found is None:
        return None
    digits = found["digits"]
    if not comma and _OF_COLUMN.fullmatch(digits):
        return None
    sign = _sign(digits)
    decimal = sign if sign in (",", ".") else "," if comma or sign == ",~" else "."
    try:
        plain = re.sub(rf"[^\d{decimal}]", "", digits).replace(",", ".")
        value = float(plain + (found["exponent"] or ""))
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
    return Number(value, unit, sign) if abs(value) <= LARGEST else None


def _sign(digits: str) -> str:
    """What parts off the decimals of digits, as `Number.sign` has it."""
    points, commas = digits.count("."), digits.count(",")
    if not points + commas:
        return ""
    if points and commas:
        return "," if digits.rfind(",") > digits.rfind(".") else "."
    if points + commas > 1:  # what comes twice sets thousands apart
        return "," if points else "."
    last = "." if points else ","
    before, _, after = digits.partition(last)
    if before == "0" or not before.isdigit():
        return last
    if len(after) != 3 or len(before) > 3:
        return last if last == "." else ",?" if len(before) > 3 and len(after) > 3 else ",~"
    return f"{last}?"


@lru_cache(1 << 16)
def as_date(cell: str, day_first: bool = False) -> float | None:
    """Days since 1970-01-01 of a cell that is a date, or a date with a time of day; None for others.

    Read are 2024-03-01, 1.3.2024, 3/1/2024 (month first unless its column has the day first, or that cannot
    be), 1 March 2024, Mar 1, 2024 and March 2024; a date without a year lies in 1900.
    """
    if _DIGIT.search(cell) is None:
        return None
    text = _of_date(cell)
    if not 5 <= len(text) <= 32:
        return None
    try:
        if found := _ISO.match(text):
            year, month, day, hour, minute, second = (int(part or 0) for part in found.groups())
            return _days(year, month, day) + (hour * 3600 + minute * 60 + second) / 86400
        if found := _NUMERIC.match(text):
            return _numeric(int(found[1]), found[2], int(found[3]), int(found[4]), len(found[1]), day_first)
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


def date_order(cell: str) -> str:
    """What stands first in a date such as 13/4/2024: "day", "month", "either", or "" for other cells."""
    found = _NUMERIC.match(_of_date(cell))
    if found is None or found[2] == "." or len(found[1]) > 2:
        return ""
    first, second = int(found[1]), int(found[3])
    return "day" if first > 12 else "month" if second > 12 else "either"


def _of_date(cell: str) -> str:
    """A cell without weekday and notes."""
    return _WEEKDAY.sub("", _NOTE.sub("", cell.strip()))


def _numeric(first: int, separator: str, second: int, last: int, width: int, day_first: bool) -> float | None:
    if width == 4:
        return _days(first, second, last)
    year = last if last > 99 else last + (2000 if last < 50 else 1900)
    turned = separator == "." or first > 12 or (day_first and second <= 12)
    month, day = (second, first) if turned else (first, second)
    return _days(year, month, day)


def _days(year: int, month: int, day: int) -> float:
    return float(dt.date(year, month, day).toordinal() - 719163)
