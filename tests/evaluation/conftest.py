"""Red and blue pictures, the embedded agent, and what it is asked."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmagent import Agent
from mmagent.data import LabelledSet, read_labelled
from mmagent.feature_cache import FeatureCache
from mmagent.plugins import load_plugins
from mmagent.request import Request

# The helpers beside these tests can be imported by name.
sys.path.insert(0, str(Path(__file__).parent))

from colours import COLOURS, QUESTION

Read = Callable[..., LabelledSet]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Red and blue pictures, no two alike: four of each to learn from, three to answer."""
    place = tmp_path_factory.mktemp("colours")
    for colour, (red, green, blue) in COLOURS.items():
        for at in range(7):
            split = "train" if at < 4 else "test"
            target = place / split / colour / f"{at}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 40), (red, green + 8 * at, blue)).save(target)
    return place


@pytest.fixture(scope="session")
def data(folder) -> LabelledSet:
    return read_labelled(folder, load_plugins().modalities, question=QUESTION)


@pytest.fixture
def read(folder, monkeypatch) -> Read:
    """Rows in memory, with paths inside the folder."""
    monkeypatch.chdir(folder)
    return lambda rows, **more: read_labelled(rows, load_plugins().modalities, **more)


@pytest.fixture(scope="session")
def agent() -> Agent:
    return Agent.load("tiny")


@pytest.fixture
def cache(tmp_path) -> FeatureCache:
    return FeatureCache(tmp_path / "features")


@dataclass
class Seen:
    """What an agent was asked, call by call."""

    calls: list[Sequence[Request]] = field(default_factory=list)
    prompts: list[Any] = field(default_factory=list)


@pytest.fixture
def seen(agent, monkeypatch) -> Seen:
    """Everything that `agent.ask_many` is asked from here on."""
    found, ask_many = Seen(), agent.ask_many

    def noted(requests: Sequence[Request], **options: Any) -> Any:
        found.calls.append(requests)
        found.prompts.append(options["prompt"])
        return ask_many(requests, **options)

    monkeypatch.setattr(agent, "ask_many", noted)
    return found
