"""An asker that was fitted to questions about invented tables, as the example fits it to real ones."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmagent_table.asker import Asker, Candidates, candidates
from mmagent_table.reader import TableReader
from mmagent_table.table import Table
from mmagent_table.words import same_answer

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "senses"
THINGS = ("city mountain river island company film song player ship bridge").split()
MEASURES = ("height population length price age speed weight depth goals sales").split()
GROUPS = ("country colour team region owner status year genre").split()
SYLLABLES = ("ba ko ri tum sel van dor mi gru pal ten os").split()


def word(rng: random.Random) -> str:
    return "".join(rng.choices(SYLLABLES, k=rng.choice((2, 3)))).capitalize()


def invent(seed: int) -> Table:
    """A table of things with two measures and a group, all of invented values."""
    rng = random.Random(seed)
    n = rng.randrange(6, 15)
    names = set()
    while len(names) < n:
        names.add(word(rng))
    one, other = rng.sample(MEASURES, 2)
    groups = [word(rng) for _ in range(3)]
    thing, group = rng.choice(THINGS), rng.choice(GROUPS)
    rows = [
        {thing: name, group: rng.choice(groups), one: rng.randrange(1000), other: rng.randrange(10**5) / 10}
        for name in sorted(names)
    ]
    return TableReader().table(rows)


@pytest.fixture(scope="session")
def invented() -> Callable[[int], Table]:
    """Makes a table of a seed."""
    return invent


@pytest.fixture(scope="session")
def examples() -> Iterator[None]:
    """The folder of the examples can be imported from."""
    sys.path.insert(0, str(EXAMPLES))
    yield
    sys.path.remove(str(EXAMPLES))


@pytest.fixture(scope="session")
def judged(examples: None) -> list[tuple[Candidates, Any]]:
    """Candidates of questions about 50 tables, and which of them give the answer."""
    from table_questions import made_of

    rng, rows = random.Random(0), []
    for seed in range(50):
        table = invent(seed)
        for made in made_of(table, rng, kept=False):
            found = candidates(made.question, table.grid)
            right = np.array([same_answer(one.said, [made.answer]) for one in found.programs], dtype=bool)
            if right.any():
                rows.append((found, right))
    return rows


@pytest.fixture(scope="session")
def asker(judged: list[tuple[Candidates, Any]]) -> Asker:
    """Fitted to these questions."""
    import train_table

    words = tuple(sorted({word for found, _ in judged for word in found.words}))
    data = train_table.stacked(judged, words, 0)
    return Asker(*(part.numpy() for part in train_table.fitted(data, 0.3)), words)
