"""What a check says that training would take is what training takes: its rows, its adapter, its memory."""

from __future__ import annotations

import pytest
from PIL import Image

from mmagent import Agent
from mmagent.data import read_labelled
from mmagent.plugins import load_plugins
from mmagent.training.budget import estimate
from mmagent.training.pace import measured_pace, run_estimate
from mmagent.training.prepare import parts, prepare
from mmagent.training.settings import TrainSettings

COLOURS = ("red", "green", "blue", "white", "black", "grey")


@pytest.fixture(scope="module")
def agent(tiny_bundle) -> Agent:
    return Agent.load(tiny_bundle, dtype="float32")


@pytest.fixture(scope="module")
def data():
    """Four rows of each of six classes to learn from, and some that are kept for a test."""
    rows = [
        {"image": Image.new("RGB", (9 + at, 9), colour), "label": colour, "split": split}
        for split, n in (("train", 4), ("test", 2))
        for colour in COLOURS
        for at in range(n)
    ]
    return read_labelled(rows, load_plugins().modalities)


def test_the_split_is_the_one_that_training_draws(agent, data) -> None:
    """One row of each class, more than a fifth of all; rows for the test are neither encoded nor learned."""
    told = run_estimate(data, agent, TrainSettings())
    assert "for 24 media" in told["time to encode"]
    assert "30 epochs of 18 rows and 20 validations of 6;" in told["time to train"]


@pytest.mark.parametrize("adapter", ["concepts", "prefix"])
def test_the_memory_is_that_of_the_run(agent, data, adapter, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    settings = TrainSettings(adapter=adapter)
    prepared = prepare(data, agent, settings)
    run = estimate(prepared.task, prepared.adapter, settings)
    pace = measured_pace(data.modalities, *parts(data, settings), agent, settings)
    assert pace is not None
    found = pace.budget
    for what in ("core", "optimiser", "validation", "rows", "tokens", "numbers"):
        assert getattr(found, what) == getattr(run, what), what
    assert found.more == pytest.approx(run.more, rel=0.05)
