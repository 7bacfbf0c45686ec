"""Shots vote through the memory where they are near and their question is asked, and nowhere else."""

from __future__ import annotations

import time

import numpy as np
import pytest
from vector_shots import near, shot

from mmagent.agent import Agent


@pytest.mark.parametrize("answer", ["dax", "a small blue wug on the left", "zzyzx!"])
def test_the_memory_gives_back_answers_of_several_tokens(
    agent: Agent, vectors: np.ndarray, answer: str
) -> None:
    shots = [shot(vectors[at], word) for at, word in enumerate([answer, "blicket", "a small red cup"])]
    said = agent.ask("What is this?", vector=near(vectors[0]), shots=shots)
    assert said.text == answer
    assert said.memory_weight is not None
    assert said.memory_weight > 0.9
    assert said.shots[0].answer == answer
    assert said.confidence > 0.5


def test_naming_writes_and_drops_what_its_template_says(agent: Agent, vectors: np.ndarray) -> None:
    shots = [shot(vectors[0], "elephant"), shot(vectors[1], "dax")]
    said = agent.ask(vector=near(vectors[0]), shots=shots, prompt="naming")
    assert said.text == "an elephant"


def test_unrelated_shots_leave_every_answer_as_it_is(agent: Agent, vectors: np.ndarray) -> None:
    shots = [shot(near(vectors[0], at), "dax") for at in range(5)]
    shots += [shot(near(vectors[1], at), "blicket") for at in range(5)]
    for at in range(5, 25):
        stranger = vectors[at] - sum(
            (vectors[at] @ v) / (v @ v) * v for v in np.linalg.qr(vectors[:2].T)[0].T
        ).astype(np.float32)
        bare = agent.ask("What is this?", vector=stranger, max_tokens=6)
        shown = agent.ask("What is this?", vector=stranger, shots=shots, context_shots=0, max_tokens=6)
        assert shown.text == bare.text
        assert shown.confidence == pytest.approx(bare.confidence, abs=1e-5)
        assert shown.memory_weight == 0.0
        assert shown.shots == []


def test_shots_of_another_question_do_not_vote(agent: Agent, vectors: np.ndarray) -> None:
    shots = [shot(vectors[0], "dax", "What is this?"), shot(vectors[0], "red", "What colour is this?")]
    asked = {"vector": near(vectors[0]), "shots": shots, "context_shots": 0}
    assert agent.ask("what is this", **asked).text == "dax"
    assert agent.ask("What color is it?", **asked).text == "red"
    other = agent.ask("Where was it found?", **asked, max_tokens=4)
    assert other.memory_weight == 0.0
    assert other.text == agent.ask("Where was it found?", vector=near(vectors[0]), max_tokens=4).text


def test_memory_off_leaves_the_context_alone(agent: Agent, vectors: np.ndarray) -> None:
    shots = [shot(vectors[0], "dax"), shot(vectors[1], "wug")]
    said = agent.ask("What is this?", vector=near(vectors[0]), shots=shots, memory=False, max_tokens=4)
    assert said.memory_weight is None
    assert said.shots == []
    assert said.shots_in_context == 2


def test_choices_are_scored_with_the_memory(agent: Agent, vectors: np.ndarray) -> None:
    shots = [shot(vectors[0], "dax"), shot(vectors[1], "light blue wug")]
    for at, expected in ((0, "dax"), (1, "light blue wug")):
        said = agent.ask("Which?", vector=near(vectors[at]), shots=shots, choices=["light blue wug", "dax"])
        assert said.text == expected
        assert said.choices is not None
        assert said.confidence == said.choices[expected] > 0.5


def test_a_thousand_shots_fill_the_memory_and_what_fits_the_prompt(agent: Agent, vectors: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    directions = rng.normal(size=(1000, 16)).astype(np.float32)
    shots = [shot(directions[at], f"word {at}") for at in range(1000)]
    agent.ask("what?", vector=vectors[0], max_tokens=2)
    start = time.perf_counter()
    said = agent.ask("What is this?", vector=near(directions[789]), shots=shots)
    assert time.perf_counter() - start < 10.0
    assert said.text == "word 789"
    assert 1 <= said.shots_in_context <= 32
    assert said.prompt_tokens + 32 <= 512
