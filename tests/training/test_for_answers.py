"""How many soft tokens an answer has in a family that is made for its answers."""

from __future__ import annotations

import pytest

from mmagent import Agent
from mmagent.training.start import LONGEST, SHORTEST, for_answers


@pytest.fixture(scope="module")
def agent() -> Agent:
    return Agent.load("tiny", dtype="float32")


def test_one_question_takes_what_its_longest_answer_takes(agent: Agent) -> None:
    core = agent.core
    assert for_answers(core, [" yes", "no "], {None}) == {"answers": ["no", "yes"], "n_tokens": SHORTEST}
    longest = "a large yellow triangle on the left"
    taken = len(core.tokens.follow(f" {longest}"))
    assert SHORTEST < taken < LONGEST
    assert for_answers(core, ["no", longest], {"What is this?"})["n_tokens"] == taken + 1
    assert for_answers(core, ["no", longest * 9], {"What is this?"})["n_tokens"] == LONGEST


def test_several_questions_take_the_most(agent: Agent) -> None:
    assert for_answers(agent.core, ["no", "yes"], {"Is it red?", "Is it blue?"})["n_tokens"] == LONGEST
