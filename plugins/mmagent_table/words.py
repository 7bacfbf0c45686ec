"""Words of questions and cells, made comparable: lower case, accents off, endings off, numbers as numbers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

__all__ = ["STOP", "number_in", "same_answer", "stem", "stems"]

STOP = frozenset(
    "a an the of in on at to for from by with and or is are was were be been do does did has have had it its"
    " this that these those what which who whom whose when where how many much there their they he she"
    " his her as than then also only all any each other same s list name table tell me give find row"
    " entry".split()
)
SPELT = {
    word: str(number)
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve".split()
    )
} | {"first": "1", "second": "2", "third": "3", "fourth": "4", "fifth": "5"}
_WORD = re.compile(r"[^\W_]+(?:[.,'’:](?=\d)[^\W_]+|['’](?=s\b)s)*")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")


@lru_cache(1 << 16)
def stems(text: str) -> tuple[str, ...]:
    """The words of a text in a form in which they can be compared: "Cities' 12,467" -> ("city", "12467")."""
    plain = unicodedata.normalize("NFKD", _THOUSANDS.sub("", text.lower()))
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return tuple(stem(word) for word in _WORD.findall(plain))


@lru_cache(1 << 15)
def stem(word: str) -> str:
    """A word without the commonest English endings (Harman's S stemmer, 1991, and -ed, -ing)."""
    word = word.replace("’", "'").removesuffix("'s")
    if word.isdigit() or len(word) < 4:
        return word.lstrip("0") or word if word.isdigit() else word
    for end, put, least in (
        ("ies", "y", 5),
        ("sses", "ss", 5),
        ("xes", "x", 4),
        ("ches", "ch", 5),
        ("shes", "sh", 5),
    ):
        if word.endswith(end) and len(word) >= least:
            return word[: -len(end)] + put
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for end in ("ing", "ed"):
        if word.endswith(end) and len(word) > len(end) + 3:
            return word[: -len(end)]
    return word.removesuffix("e") if len(word) > 4 else word


def number_in(word: str) -> float | None:
    """The number that a question's word is, spelt out or in digits; "1,5" has a decimal comma."""
    word = re.sub(r"^(\d+),(\d{1,2}|\d{4,})$", r"\1.\2", SPELT.get(word, word))
    try:
        return float(word.replace(",", "")) if word[:1].isdigit() or word[:1] in "-." else None
    except ValueError:
        return None


def same_answer(said: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether two lists of values are the same set, as WikiTableQuestions judges (numbers by value)."""
    return _normal_set(said) == _normal_set(wanted)


def _normal_set(values: Sequence[str]) -> frozenset[str]:
    return frozenset(_normal(value) for value in values)


@lru_cache(1 << 16)
def _normal(value: str) -> str:
    from mmagent_table.cells import as_number

    number = as_number(value)
    if number is not None and not any(c.isalpha() for c in value):
        return f"{number.value:g}" if abs(number.value) < 1e6 else f"{number.value:.6f}"
    plain = unicodedata.normalize("NFKD", value.lower())
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return " ".join(re.findall(r"[^\W_]+", plain)) or value.strip()
