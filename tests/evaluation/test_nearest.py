"""Shots of questions: drawn and shared by all rows, or near to what a system sees of each row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from PIL import Image

from mmagent import Agent
from mmagent.data import LabelledSet, read_labelled
from mmagent.errors import UserError
from mmagent.evaluation import evaluate
from mmagent.evaluation.nearest import Nearest, keys_of
from mmagent.plugins import load_plugins
from mmagent.request import Request

COLOURS = {"red": (220, 20, 30), "green": (20, 200, 40), "blue": (20, 40, 220)}


@pytest.fixture(scope="module")
def data() -> LabelledSet:
    """Is it red? About pictures of three colours: three of each to learn from, two to answer."""
    rows = [
        {
            "image": Image.new("RGB", (40, 40), (red, green, blue + 5 * at)),
            "question": "Is it red?" if at % 2 else "Is this red?",
            "answer": "yes" if colour == "red" else "no",
            "split": "train" if at < 3 else "test",
        }
        for colour, (red, green, blue) in COLOURS.items()
        for at in range(5)
    ]
    return read_labelled(rows, load_plugins().modalities)


@pytest.fixture(scope="module")
def agent() -> Agent:
    return Agent.load("tiny")


@pytest.fixture
def asked(agent, monkeypatch) -> list[Sequence[Request]]:
    """What the agent is asked, call by call."""
    calls: list[Sequence[Request]] = []
    ask_many = agent.ask_many

    def noted(requests: Sequence[Request], **options: Any) -> Any:
        calls.append(requests)
        return ask_many(requests, **options)

    monkeypatch.setattr(agent, "ask_many", noted)
    return calls


def colour(source: Any) -> str:
    red, green, blue = source.getpixel((0, 0))
    return max((red, "red"), (green, "green"), (blue, "blue"))[1]


def test_keys_are_those_of_the_shot_memory(agent, data):
    keys = keys_of(agent, data.examples)
    assert (keys**2).sum(axis=1) == pytest.approx(1.0)
    nearness = keys @ keys.T
    for at in range(0, 15, 5):
        assert nearness[at, at + 1 : at + 5].min() > nearness[at, [*range(at), *range(at + 5, 15)]].max()


def test_every_answer_has_its_turn_nearest_first(agent, data):
    train = data.part("train")
    nearest = Nearest(agent, train)
    test = data.part("test")
    for row, three, one in zip(test, nearest.shots(test, 3), nearest.shots(test, 1), strict=True):
        own = colour(row.media["image"][0])
        assert one == three[:1]
        assert colour(one[0].media["image"][0]) == own
        assert {shot.answer for shot in three[:2]} == {"yes", "no"}


def test_shots_are_near_to_what_each_system_sees(agent, data, asked):
    found = evaluate(agent, data, shots=(0, 2), shot_choice="nearest", baselines=(), seed=1, resamples=50)
    assert found.settings["asked"]["shot_choice"] == "nearest"
    calls = asked[-4:]
    for requests in (calls[0], calls[2]):  # the adapter and shuffled
        for request in requests:
            [seen] = request.media["image"]
            assert len(request.shots) == 2
            assert colour(request.shots[0].media["image"][0]) == colour(seen)
    assert (
        len({id(request.shots) for request in calls[1]}) == 1
    )  # blind: nothing is near, so all share theirs
    assert not any(shot.media for shot in calls[1][0].shots)
    for own, told in zip(calls[0], calls[3], strict=True):  # oracle: the same shots, in words
        assert [shot.answer for shot in own.shots] == [shot.answer for shot in told.shots]
        assert told.shots[0].question.startswith("Picture: ")
    assert found.runs[1].prompt.count("<image: 26 tokens>") == 3
    assert list(found.runs[1].drawn) == [shot.source for shot in calls[0][0].shots]


def test_shots_by_lot_are_shared_by_all_rows(agent, data, asked):
    evaluate(agent, data, shots=(1,), controls=(), baselines=(), resamples=50)
    assert len({id(request.shots) for request in asked[0]}) == 1


def test_other_ways_of_choosing_are_refused(agent, data):
    with pytest.raises(UserError, match=r"not chosen 'nearst'.*Did you mean 'nearest'"):
        evaluate(agent, data, shots=(1,), shot_choice="nearst")  # type: ignore[arg-type]
