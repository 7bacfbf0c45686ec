"""How a column writes its numbers and dates: settled once, by all of its cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

__all__ = ["day_first", "decimal_commas", "plain_unit"]

TYPOS = 0.1  # of the cells that may have thousands or decimals; fewer that can have decimals alone are typos


def decimal_commas(signs: Sequence[Counter[str]], semicolons: bool) -> list[tuple[bool, bool]]:
    """For each column: whether its numbers have a decimal comma, and whether its own cells tell so.

    signs  how many cells have which `Number.sign`, column by column
    semicolons  cells are parted by semicolons, as they are where a comma is needed in numbers; then columns
                that do not tell follow those that do, and where none does a comma is taken to be decimal
    """
    whole: Counter[str] = sum(signs, Counter())
    found = []
    for votes in signs:
        own = _commas(votes)
        if own is not None or not semicolons or not votes[",?"] + votes[".?"]:
            found.append((bool(own), True))
            continue
        others = _commas(whole)
        found.append((votes[",?"] > votes[".?"] if others is None else others, False))
    return found


def _commas(votes: Counter[str]) -> bool | None:
    """Whether the cells that tell their decimal sign have commas for the most part; None for a draw."""
    commas = votes[","]
    if commas or votes[",~"] >= TYPOS * votes[",?"]:
        commas += votes[",~"]
    return None if commas == votes["."] else commas > votes["."]


def day_first(orders: Counter[str]) -> bool:
    """Whether dates such as 3/4/2024 begin with the day, by those of which only one reading is a date."""
    return orders["day"] > orders["month"]


def plain_unit(unit: str) -> str:
    """A unit as it is compared with others: without the ending of a plural and a full stop."""
    plain = unit.rstrip(".").replace("²", "2").replace("³", "3")
    return plain[:-1] if len(plain) > 2 and plain.endswith("s") and plain[-2].isalpha() else plain
