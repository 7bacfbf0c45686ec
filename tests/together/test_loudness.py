"""How loud each sense speaks: fitted so that what is added up is as sure as it is right."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmagent.adapter import Labelled
from mmagent_adapters.concepts import build, fit, join
from mmagent_adapters.loudness import held_out_evidence, log_shares, loudness

LABELS = [str(number) for number in range(5)]


def gaussians(
    n: int, over: dict[str, float], seed: int = 0
) -> tuple[dict[str, dict[int, np.ndarray]], dict[int, str]]:
    """Log-likelihoods of independent senses, each told `over` times as surely as it is."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, len(LABELS), n)
    evidence = {}
    for name, factor in over.items():
        centres = rng.normal(size=(len(LABELS), 4))
        x = centres[y] + rng.normal(size=(n, 4))
        told = -0.5 * factor * ((x[:, None] - centres) ** 2).sum(axis=-1)
        evidence[name] = dict(enumerate(told))
    return evidence, {at: LABELS[label] for at, label in enumerate(y)}


def test_a_sense_that_is_too_sure_is_turned_down_and_a_shy_one_up() -> None:
    evidence, answers = gaussians(900, {"a": 3.0, "b": 0.5})
    found = loudness(evidence, answers, LABELS, log_shares(list(answers.values()), LABELS))
    assert found["a"] == pytest.approx(1 / 3, abs=0.06)
    assert found["b"] == pytest.approx(2, abs=0.4)


def test_what_two_senses_say_alike_is_not_counted_twice() -> None:
    evidence, answers = gaussians(900, {"a": 1.0})
    alone = loudness(evidence, answers, LABELS, log_shares(list(answers.values()), LABELS))
    twice = {"a": evidence["a"], "b": evidence["a"]}
    found = loudness(twice, answers, LABELS, log_shares(list(answers.values()), LABELS))
    assert found["a"] == pytest.approx(found["b"])
    assert alone["a"] / 2 < found["a"] < 0.85 * alone["a"]


def test_a_sense_that_knows_nothing_is_silenced() -> None:
    evidence, answers = gaussians(600, {"a": 1.0})
    rng = np.random.default_rng(1)
    noise = {row: 3 * rng.normal(size=len(LABELS)) for row in answers}
    found = loudness({**evidence, "n": noise}, answers, LABELS, log_shares(list(answers.values()), LABELS))
    assert found["n"] < 0.05 < found["a"]


def labelled(numbers: np.ndarray, seed: int) -> Labelled:
    """Two senses would see the same rows: features around the answer's centre, of this sense's own noise."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(100 + seed).normal(size=(len(LABELS), 6))
    pooled = torch.tensor(centres[numbers % len(LABELS)] + 1.5 * rng.normal(size=(len(numbers), 6)))
    answers = [LABELS[number % len(LABELS)] for number in numbers]
    return Labelled(pooled.float(), answers, lambda text: torch.ones(3, 4), numbers.tolist())


def test_held_out_evidence_comes_from_probes_that_have_not_seen_the_row() -> None:
    rows = labelled(np.arange(100), 0)
    before = held_out_evidence(rows, LABELS, 1.0, seed=0)
    assert set(before) == set(range(100))
    turned = Labelled(rows.pooled, [LABELS[4], *rows.answers[1:]], rows.spell, rows.rows)
    fold = [
        row
        for row, one in held_out_evidence(turned, LABELS, 1.0, seed=0).items()
        if np.allclose(one, before[row])
    ]
    assert len(fold) < 100  # the other folds learned another answer for the first row


def test_added_up_the_probes_are_right_more_often_than_each_and_as_sure_as_they_are_right() -> None:
    parts = {"a": np.arange(0, 400), "b": np.arange(100, 500)}
    known = {name: labelled(numbers, seed) for seed, (name, numbers) in enumerate(parts.items())}
    adapters = {}
    for name, rows in known.items():
        adapters[name] = build({"answers": LABELS, "n_tokens": 2, "joins": ["a", "b"]}, 6, 4)
        fit(adapters[name], rows)
    said = join(adapters, known)
    assert said.startswith("added up")
    new = {name: labelled(np.arange(1000, 2000), seed) for seed, name in enumerate(parts)}
    fresh = {name: _fresh(rows, 50 + seed) for seed, (name, rows) in enumerate(new.items())}
    y = np.arange(1000, 2000) % len(LABELS)
    told = {name: adapters[name].evidence(None, None, rows) for name, rows in fresh.items()}  # type: ignore[arg-type]
    scores = {}
    for name, evidence in {**told, "both": told["a"] + told["b"]}.items():
        shares = torch.softmax(evidence + adapters["a"].prior, dim=-1)
        sure, best = shares.max(dim=-1)
        scores[name] = float((best.numpy() == y).mean())
        assert float(sure.mean()) == pytest.approx(scores[name], abs=0.06), name
    assert scores["both"] > max(scores["a"], scores["b"]) + 0.05


def _fresh(rows: Labelled, seed: int) -> torch.Tensor:
    """The same answers with noise of their own."""
    centres = np.random.default_rng(100 + seed - 50).normal(size=(len(LABELS), 6))
    numbers = np.array(rows.rows)
    rng = np.random.default_rng(seed)
    return torch.tensor(centres[numbers % len(LABELS)] + 1.5 * rng.normal(size=(len(numbers), 6))).float()
