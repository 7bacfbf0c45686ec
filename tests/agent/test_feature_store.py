"""An agent that reads features from a cache answers as one that encodes, and encodes nothing twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmagent import Agent
from mmagent.data import read_labelled
from mmagent.errors import UserError
from mmagent.evaluation import evaluate
from mmagent.feature_cache import FeatureCache, encode_cached
from mmagent.plugins import load_plugins
from mmagent.request import Request


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Five pictures, two of them the same."""
    colours = ("red", "green", "blue", "red", "white")
    for at, colour in enumerate(colours):
        Image.new("RGB", (40, 30 + (at % 3)), colour).save(tmp_path / f"{at}.png")
    return [tmp_path / f"{at}.png" for at in range(len(colours))]


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "features")


def asked(photos: list[Path]) -> list[Request]:
    return [Request("What is this?", {"image": [photo]}) for photo in photos]


def told(answers: list[Any]) -> list[tuple[str, float]]:
    return [(answer.text, round(answer.confidence, 3)) for answer in answers]


def counting(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many inputs each batch of the agent's encoder has from here on."""
    _, encoder = agent.encoder("image")
    sizes: list[int] = []
    encode = encoder.encode

    def noted(batch: Any) -> Any:
        sizes.append(len({id(raw) for raw in batch}))
        return encode(batch)

    monkeypatch.setattr(encoder, "encode", noted)
    return sizes


def test_cached_answers_equal_those_without(photos, cache, monkeypatch):
    bare = told(Agent.load("tiny").ask_many(asked(photos), max_tokens=4))
    filling, reading = Agent.load("tiny"), Agent.load("tiny")
    with filling.reading_from(cache):
        assert told(filling.ask_many(asked(photos), max_tokens=4)) == bare
    sizes = counting(reading, monkeypatch)
    with reading.reading_from(cache):
        assert told(reading.ask_many(asked(photos), max_tokens=4)) == bare
    assert sizes == []


def test_the_numbers_are_the_same_to_the_last_bit_whatever_was_there(photos, cache, tmp_path, monkeypatch):
    cold, warm = Agent.load("tiny"), Agent.load("tiny")
    with cold.reading_from(FeatureCache(tmp_path / "cold")):
        expected = [one.confidence for one in cold.ask_many(asked(photos), max_tokens=4)]
    encode_cached(*warm.encoder("image"), [photos[4], photos[1]], cache)
    sizes = counting(warm, monkeypatch)
    with warm.reading_from(cache):
        assert [one.confidence for one in warm.ask_many(asked(photos), max_tokens=4)] == expected
    assert sizes == [2]  # red and blue; green and white were there


def test_what_cannot_be_read_stops_no_other(photos, cache):
    photos[1].write_text("no picture")
    agent = Agent.load("tiny")
    with agent.reading_from(cache):
        found = agent.ask_many(asked(photos), max_tokens=2)
    assert [isinstance(one, UserError) for one in found] == [False, True, False, False, False]
    assert "1.png is not a picture" in str(found[1])


def test_outside_the_block_nothing_is_kept(photos, cache):
    agent = Agent.load("tiny")
    with agent.reading_from(cache):
        pass
    agent.ask_many(asked(photos), max_tokens=2)
    assert cache.contents() == []


def test_an_evaluation_after_training_encodes_nothing_again(tmp_path, cache, monkeypatch):
    for at in range(12):
        place = tmp_path / "data" / ("train" if at < 8 else "validation") / ("red", "blue")[at % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32 + at), ("red", "blue")[at % 2]).save(place / f"{at}.png")
    data = read_labelled(tmp_path / "data", load_plugins().modalities)
    agent = Agent.load("tiny")
    sources = [one.media["image"][0] for one in data]
    encode_cached(*agent.encoder("image"), sources, cache)
    sizes = counting(agent, monkeypatch)
    found = evaluate(agent, data, controls=("blind", "shuffled"), resamples=20, cache=cache)
    assert sizes == []
    assert len(found.main.adapter.rows) == 4
