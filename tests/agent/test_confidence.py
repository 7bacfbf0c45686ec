"""How sure an answer is: the core's own probabilities, shaped by the bundle's calibration."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from vector_shots import near, shot

from mmagent.agent import Agent
from mmagent.answer import calibrate

Write = Callable[..., Path]


def test_choice_probabilities_are_the_softmax_of_scores_per_token(agent: Agent, vectors: np.ndarray) -> None:
    choices = ["red", "a light blue cup"]
    said = agent.ask("Which?", vector=vectors[0], choices=choices)
    prompt = [
        "Vector:",
        agent.prefix("vector", vectors[0]),
        "\nQuestion: Which?\nChoices: red, a light blue cup\nAnswer:",
    ]
    scores = torch.tensor([one.normalised for one in agent.core.score([prompt], [choices])[0]])
    assert said.choices == pytest.approx(
        dict(zip(choices, scores.softmax(0).tolist(), strict=True)), abs=1e-5
    )
    assert said.text == choices[int(scores.argmax())]


def test_the_confidence_is_the_geometric_mean_of_the_tokens(agent: Agent, vectors: np.ndarray) -> None:
    said = agent.ask("What is this?", vector=vectors[0], max_tokens=6)
    prompt = ["Vector:", agent.prefix("vector", vectors[0]), "\nQuestion: What is this?\nAnswer:"]
    made = agent.core.generate([prompt], max_tokens=6, stop=["\n"])[0]
    assert said.confidence == pytest.approx(math.exp(sum(made.logprobs) / len(made.logprobs)), abs=1e-5)
    assert said.tokens == len(made.token_ids)
    assert said.prompt_tokens == made.n_prompt


def test_the_bundles_calibration_shapes_the_confidence(
    agent: Agent, write_bundle: Write, plugins: Any, vectors: np.ndarray, tmp_path: Path
) -> None:
    calibration = {"scale": 0.5, "bias": 0.25, "memory": {"scale": 2.0, "bias": -0.5}}
    place = write_bundle(tmp_path / "calibrated", calibration=calibration)
    calibrated = Agent.load(place, plugins=plugins)
    asked: dict[str, Any] = {"vector": vectors[0], "max_tokens": 5}
    raw = agent.ask("what?", **asked).confidence
    assert calibrated.ask("what?", **asked).confidence == pytest.approx(calibrate(raw, 0.5, 0.25), abs=1e-5)
    asked["shots"] = [shot(near(vectors[0]), "dax")]
    raw = agent.ask("what?", **asked).confidence
    assert calibrated.ask("what?", **asked).confidence == pytest.approx(calibrate(raw, 2.0, -0.5), abs=1e-4)
