"""What is handed to a modality's keyword is one input or several."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mmagent.agent import Agent
from mmagent.request import sources_of

SOUND = np.zeros(800, dtype=np.float32)


@pytest.mark.parametrize(
    ("made", "count"),
    [
        (lambda: ["a.png", "b.png"], 2),
        (lambda: ("a.png",), 1),
        (lambda: [{"bytes": b"x", "path": "a.png"}, {"bytes": b"y", "path": None}], 2),
        (lambda: [{"path": "a.png"}, {"path": "b.png"}], 2),
        (lambda: [{"town": ["Oslo"]}, {"town": ["Rome"]}], 2),  # two tables, by columns
        (lambda: [{"array": SOUND, "sampling_rate": 8000}, {"array": SOUND, "sampling_rate": 8000}], 2),
        (lambda: [SOUND, SOUND], 2),
        (lambda: [{"town": "Oslo", "n": np.int64(7)}, {"town": "Rome", "n": None}], 1),
        (lambda: [[{"town": "Oslo"}], [{"town": "Rome"}]], 2),
        (lambda: (SOUND, 8000), 1),
        (lambda: [(SOUND, 8000), (SOUND, 8000)], 2),
        (lambda: [], 0),
    ],
)
def test_lists_of_records_and_samples_with_their_rate_are_one_input(
    made: Callable[[], object], count: int
) -> None:
    assert len(sources_of(made())) == count


def test_rows_objects_and_samples_are_asked_about_as_they_are() -> None:
    agent = Agent.load("tiny")
    towns = [{"town": "Oslo", "country": "Norway"}, {"town": "Lima", "country": "Peru"}]
    assert agent.ask("What is the country of Lima?", table=towns).text == "Peru"
    assert agent.ask("how many?", set=[{"x": 1, "y": 2}, {"x": 3, "y": 1}], max_tokens=2).prompt_tokens
    assert agent.ask("what?", audio=(SOUND, 8000), max_tokens=2).prompt_tokens
