"""Adapters that suppose are taught each answer apart from the others, and rare ones as often as it takes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from learner import SETTINGS, WORDS, make_task, new_adapter

from mmagent import Agent
from mmagent.core import Soft
from mmagent.core.assemble import Row
from mmagent.training.combined import Combined
from mmagent.training.interrupt import Interrupted
from mmagent.training.loop import fine_tune
from mmagent.training.order import evened
from mmagent.training.places import filled, taught_apart
from mmagent.training.several import Several
from mmagent_adapters.concepts import build
from mmagent_adapters.prefix import build_linear


@pytest.mark.parametrize(
    ("answers", "counts"),
    [
        ("a" * 20 + "b" * 20, {"a": 20, "b": 20}),
        ("a" * 38 + "bb", {"a": 38, "b": 10}),
        ("a" * 58 + "bc", {"a": 58, "b": 10, "c": 10}),
        ("abc", {"a": 1, "b": 1, "c": 1}),
        ("", {}),
    ],
)
def test_every_answer_has_half_of_an_equal_share_or_more(answers: str, counts: dict[str, int]) -> None:
    deck = evened(answers)
    assert deck[: len(answers)] == list(range(len(answers)))  # nothing is left out
    assert Counter(answers[at] for at in deck) == counts


def test_rows_of_a_rare_answer_take_turns() -> None:
    deck = evened("a" * 30 + "bcbcbc")
    assert Counter(deck[36:]) == {30: 1, 32: 1, 34: 1, 31: 1, 33: 1, 35: 1}


def test_only_adapters_that_suppose_are_taught_so() -> None:
    concepts = build({"answers": ["a", "b"], "n_tokens": 2}, 4, 4)
    prefix = build_linear({"n_tokens": 2}, 4, 4)
    assert taught_apart(concepts)
    assert taught_apart(Several({"one": concepts, "two": concepts}))
    assert taught_apart(Combined(concepts, torch.nn.Linear(2, 2), keeps=True))
    assert not taught_apart(prefix)
    assert not taught_apart(Several({"one": concepts, "two": prefix}))


@pytest.fixture(scope="module")
def agent() -> Agent:
    return Agent.load("tiny", dtype="float32")


def prefix(row: Row) -> torch.Tensor:
    [soft] = [part for part in row.parts if isinstance(part, Soft)]
    return soft.embeds


def test_a_row_teaches_its_own_answer_and_is_judged_by_what_is_supposed_of_it(agent: Agent) -> None:
    task, adapter = make_task(agent), new_adapter(agent, "concepts")
    device = agent.core.device
    wrong = replace(task.train[0], answer=WORDS[1])  # its features are those of WORDS[0]
    unknown = replace(task.train[0], answer="boat")
    said = {word: adapter.words[adapter.answers.index(word)] for word in WORDS}
    rows = [unknown, wrong, task.train[0]]
    for row, word in zip(filled(task.seen, adapter, rows, device, taught=True), (0, 1, 0), strict=True):
        assert torch.equal(prefix(row), said[WORDS[word]])
    for row in filled(task.seen, adapter, rows, device):
        assert torch.equal(prefix(row), said[WORDS[0]])


def test_stopped_and_resumed_it_ends_in_the_same_bits(agent: Agent, tmp_path: Path) -> None:
    task = make_task(agent)
    few = SETTINGS.changed({"epochs": 4.0})
    rare = replace(task, train=[row for row in task.train if row.answer != WORDS[2]] + [task.train[2]])
    whole = new_adapter(agent, "concepts")
    out = fine_tune(rare, whole, few, tmp_path / "whole")
    assert out.examples > 4 * len(rare.train)
    calls = [0]

    def stop() -> bool:
        calls[0] += 1
        return calls[0] >= 5

    with pytest.raises(Interrupted):
        fine_tune(rare, new_adapter(agent, "concepts"), few, tmp_path / "part", stop=stop)
    again = new_adapter(agent, "concepts")
    fine_tune(rare, again, few, tmp_path / "part", resume=True)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
