"""Questions made of tables by templates: lookup, count and superlative, some wordings for testing only."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from mmagent_table.cells import is_missing
from mmagent_table.columns import value_of
from mmagent_table.table import Table

__all__ = ["KINDS", "Made", "made_of"]

KINDS = ("lookup", "count", "superlative")
WORDINGS = {
    "lookup": (
        "what is the {wanted} of {name}?",
        "what {wanted} does {name} have?",
        "{name} has what {wanted}?",
        "which {wanted} belongs to {name}?",
    ),
    "count": (
        "how many rows have {value} as {column}?",
        "how many times does {value} appear as {column}?",
        "what is the number of entries with {column} {value}?",
        "how many have a {column} of {value}?",
    ),
    "most": (
        "which {key} has the highest {column}?",
        "what {key} has the most {column}?",
        "which {key} has the largest {column}?",
    ),
    "least": (
        "which {key} has the lowest {column}?",
        "what {key} has the least {column}?",
        "which {key} has the smallest {column}?",
    ),
}
KEPT = {  # asked in tests only
    "lookup": (
        "tell me the {wanted} for {name}.",
        "for {name}, what is the {wanted}?",
        "{name}: which {wanted}?",
    ),
    "count": ("in how many rows is the {column} {value}?", "count the entries whose {column} is {value}."),
    "most": ("name the {key} with the greatest {column}.", "the top {column} is that of which {key}?"),
    "least": ("name the {key} with the minimum {column}.", "the bottom {column} is that of which {key}?"),
}


@dataclass(frozen=True)
class Made:
    """A question of a kind of `KINDS` with its one answer; `kept`: its wording is for testing only."""

    kind: str
    question: str
    answer: str
    kept: bool


def made_of(table: Table, rng: random.Random, *, kept: bool | None) -> list[Made]:
    """One question of each kind that the table allows; kept: with such wordings, None: with either."""
    found = []
    for kind in KINDS:
        for _ in range(8):
            made = _MAKERS[kind](table, rng, rng.random() < 0.5 if kept is None else kept)
            if made is not None:
                found.append(made)
                break
    return found


def _named(table: Table) -> list[int]:
    """Columns whose names are words."""
    return [at for at, name in enumerate(table.names) if len(name) < 30 and not name.startswith("column ")]


def _cells(table: Table, column: int) -> list[str]:
    return [row[column] for row in table.rows()]


def _short(cell: str) -> bool:
    return not is_missing(cell) and len(cell) <= 30


def _lookup(table: Table, rng: random.Random, kept: bool) -> Made | None:
    named, columns = _named(table), table.summary.columns
    keys = [at for at in named if columns[at].kind in ("text", "category")]
    if not keys or len(named) < 2:
        return None
    key = rng.choice(keys)
    wanted = rng.choice([at for at in named if at != key])
    once = [cell for cell, count in Counter(_cells(table, key)).items() if count == 1 and _short(cell)]
    if not once:
        return None
    name = rng.choice(once)
    answer = next(row[wanted] for row in table.rows() if row[key] == name)
    if not _short(answer):
        return None
    return _made("lookup", "lookup", rng, kept, answer, wanted=table.names[wanted], name=name)


def _count(table: Table, rng: random.Random, kept: bool) -> Made | None:
    some = [at for at in _named(table) if table.summary.columns[at].kind in ("category", "text")]
    if not some:
        return None
    column = rng.choice(some)
    counts = Counter(cell for cell in _cells(table, column) if _short(cell))
    often = [cell for cell, count in counts.items() if count > 1] or list(counts)
    if not often:
        return None
    value = rng.choice(often)
    return _made("count", "count", rng, kept, str(counts[value]), column=table.names[column], value=value)


def _superlative(table: Table, rng: random.Random, kept: bool) -> Made | None:
    columns = table.summary.columns
    keys = [at for at in _named(table) if columns[at].kind == "text"]
    numbers = [at for at in _named(table) if columns[at].kind == "number"]
    if not keys or not numbers:
        return None
    key, column = rng.choice(keys), rng.choice(numbers)
    pairs = [(value_of(row[column], table.summary.columns[column]), row[key]) for row in table.rows()]
    there = [(value, cell) for value, cell in pairs if value is not None]
    if len(there) < 3:
        return None
    way = rng.choice(("most", "least"))
    best = max(there)[0] if way == "most" else min(there)[0]
    winners = [cell for value, cell in there if value == best]
    if len(winners) != 1 or not _short(winners[0]):
        return None
    return _made("superlative", way, rng, kept, winners[0], key=table.names[key], column=table.names[column])


def _made(kind: str, form: str, rng: random.Random, kept: bool, answer: str, **told: str) -> Made:
    wording = rng.choice((KEPT if kept else WORDINGS)[form])
    plain = {name: word if name in ("name", "value") else word.lower() for name, word in told.items()}
    return Made(kind, wording.format(**plain), answer, kept)


_MAKERS = {"lookup": _lookup, "count": _count, "superlative": _superlative}
