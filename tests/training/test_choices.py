"""The choice loss: it is the very probability by which `ask` chooses, and it teaches to choose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from learner import SETTINGS, WORDS, Example, Memory, new_adapter

from mmagent import Agent
from mmagent.answer import choice_probabilities
from mmagent.errors import UserError
from mmagent.training.loop import Task, fine_tune, row_losses
from mmagent.training.rows import answered, choice_terms, how_right, learn_rows
from mmagent.training.settings import TrainSettings


@pytest.fixture(scope="module")
def agent(tiny_bundle: Path) -> Agent:
    return Agent.load(tiny_bundle, dtype="float32")


@pytest.fixture(scope="module")
def choosing(agent: Agent) -> Task:
    """Twelve examples, ten of them with choices in their own order, once without the answer."""
    offers = [tuple(WORDS[(at + turn) % 3] for turn in range(3)) for at in range(12)]
    examples = [
        Example(at + 1, WORDS[at % 3], choices=None if at in (3, 7) else offer)
        for at, offer in enumerate(offers)
    ]
    examples[5] = replace(examples[5], choices=("horse", "airplane"))
    rows = learn_rows(agent, "image", examples, {at: [at] for at in range(12)}, 2)
    return Task(agent.core, rows, rows[:6], Memory(12), "", contrast=0.5)


def test_the_term_is_the_log_probability_of_choosing_right(agent: Agent, choosing: Task) -> None:
    adapter = new_adapter(agent)
    features = choosing.seen.batch(range(12))
    with torch.no_grad():
        prefixes = adapter(features.values, features.mask, features.pooled)
        prompts = [row.filled([prefix]) for row, prefix in zip(choosing.train, prefixes, strict=True)]
        terms = choice_terms(agent.core, prompts, choosing.train)
    for at, (row, term) in enumerate(zip(choosing.train, terms.tolist(), strict=True)):
        if at in (3, 7):
            assert term == 0.0
            continue
        offered = ("horse", "airplane") if at == 5 else WORDS
        words = list(dict.fromkeys((WORDS[at % 3], *offered)))
        assert len(row.choices) == len(words)
        [scores] = agent.core.score([prompts[at]], [[f" {word}" for word in words]])
        shares = choice_probabilities({one.choice: one.normalised for one in scores})
        expected = -len(row.target) * torch.tensor(shares[f" {words[0]}"]).log()
        assert term == pytest.approx(float(expected), rel=1e-4)


def test_rows_with_choices_are_validated_by_what_ask_would_choose(agent: Agent, choosing: Task) -> None:
    adapter = new_adapter(agent)
    features = choosing.seen.batch(range(12))
    with torch.no_grad():
        prefixes = adapter(features.values, features.mask, features.pooled)
        prompts = [row.filled([prefix]) for row, prefix in zip(choosing.train, prefixes, strict=True)]
        said = answered(agent.core, choosing.train, prompts)
    for at, (row, text) in enumerate(zip(choosing.train, said, strict=True)):
        if at in (3, 7):
            longest = max(len(choosing.train[free].target) for free in (3, 7))
            [alone] = agent.core.generate([prompts[at]], max_tokens=longest, stop=row.stop)
            assert text == alone.text
            continue
        [scores] = agent.core.score([prompts[at]], [[f" {word}" for word in row.offered]])
        assert f" {text}" == max(scores, key=lambda one: one.normalised).choice
        assert row.is_right(text) == (text == WORDS[at % 3])
    assert how_right(choosing.train[:3])[1] == "the right choice"
    assert "or the likeliest of their choices" in how_right(choosing.train)[0]


def test_the_loss_of_a_row_is_the_answers_and_its_share_of_the_choice(agent: Agent, choosing: Task) -> None:
    adapter = new_adapter(agent)
    whole = row_losses(choosing, adapter, choosing.train)
    plain = row_losses(replace(choosing, contrast=0.0), adapter, choosing.train)
    assert torch.equal(whole[[3, 7]], plain[[3, 7]])
    added = (whole - plain).detach()
    assert bool((added[[0, 1, 2, 4, 5, 6]] > 0).all())
    twice = row_losses(replace(choosing, contrast=1.0), adapter, choosing.train)
    assert torch.allclose(twice - plain, 2 * added, atol=1e-5)


def test_it_teaches_to_choose(agent: Agent, choosing: Task, tmp_path: Path) -> None:
    """With the answer's own loss alone the right choice is surer in the end than the others by less."""

    def surety(contrast: float) -> float:
        task, adapter = replace(choosing, contrast=contrast), new_adapter(agent)
        fine_tune(task, adapter, replace(SETTINGS, epochs=4), tmp_path / str(contrast))
        features = task.seen.batch(range(12))
        with torch.no_grad():
            prefixes = adapter(features.values, features.mask, features.pooled)
            prompts = [row.filled([prefix]) for row, prefix in zip(task.train, prefixes, strict=True)]
            return float(choice_terms(agent.core, prompts, task.train).sum())

    assert surety(2.0) < surety(0.0)


def test_a_weight_below_nothing_is_refused() -> None:
    with pytest.raises(UserError, match=r"contrast is -1"):
        TrainSettings(contrast=-1.0)
