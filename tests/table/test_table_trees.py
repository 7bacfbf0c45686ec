"""The baselines of scikit-learn beside the asker learn from the same candidates, and answer unseen tables."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from mmagent_table.asker import Candidates, candidates
from mmagent_table.table import Table
from mmagent_table.words import same_answer


@pytest.fixture(scope="module")
def judges(judged: list[tuple[Candidates, Any]]) -> Any:
    pytest.importorskip("sklearn")
    from table_trees import Judges

    return Judges(judged, 0)


@pytest.mark.parametrize("name", ["gradient boosting", "logistic regression"])
def test_unseen_tables_are_answered(name: str, judges: Any, invented: Callable[[int], Table]) -> None:
    from table_questions import made_of

    rng, rights = random.Random(7), []
    for seed in range(2000, 2020):
        table = invented(seed)
        for made in made_of(table, rng, kept=False):
            said = judges.best(name, candidates(made.question, table.grid)).said
            rights.append(same_answer(said, [made.answer]))
    assert len(rights) > 40
    assert sum(rights) / len(rights) > 0.4
