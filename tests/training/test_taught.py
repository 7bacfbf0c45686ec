"""Adapters that suppose are taught how each answer is said, all of them as often."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from learner import SETTINGS, WORDS, D, Example, make_task, new_adapter

from mmagent import Agent
from mmagent.core import Soft
from mmagent.core.assemble import Row
from mmagent.training.combined import Combined
from mmagent.training.interrupt import Interrupted
from mmagent.training.loop import fine_tune
from mmagent.training.places import filled, with_answers_drawn
from mmagent.training.rows import learn_rows
from mmagent.training.several import Several
from mmagent_adapters.prefix import build_linear


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


def test_rows_teach_answers_that_are_drawn_all_as_often(agent: Agent) -> None:
    task, adapter = make_task(agent), new_adapter(agent, "concepts")
    of = {row.answer: row for row in task.train}
    few = [of[WORDS[0]]] * 27 + [of[WORDS[1]]] * 3  # and none of the third
    drawn = with_answers_drawn(few, adapter, 5)
    assert Counter(row.answer for row in drawn) == dict.fromkeys(WORDS, 10)
    assert [row.answer for row in with_answers_drawn(few, adapter, 5)] == [row.answer for row in drawn]
    assert [row.answer for row in with_answers_drawn(few, adapter, 6)] != [row.answer for row in drawn]
    for row in drawn:
        assert row.target == of[row.answer].target
        assert row.is_right(row.answer)
        assert row.prompt is few[0].prompt
    assert len({row.media for row in drawn}) == 2  # whose features they have does not matter


def test_of_what_is_offered_one_is_drawn_and_stands_first(agent: Agent) -> None:
    examples = [Example(at + 1, WORDS[at % 2], choices=WORDS[:2]) for at in range(8)]
    rows = learn_rows(agent, "image", examples, {at: [at] for at in range(8)}, 2)
    drawn = with_answers_drawn(rows, new_adapter(agent, "concepts"), 0)
    assert Counter(row.answer for row in drawn) == dict.fromkeys(WORDS[:2], 4)
    for row in drawn:
        assert row.offered[0] == row.answer
        assert row.choices[0] == row.target[: len(row.choices[0])]


def test_other_rows_stay_as_they_are(agent: Agent) -> None:
    rows = list(make_task(agent).train)
    concepts, prefix = new_adapter(agent, "concepts"), build_linear({"n_tokens": 2}, D, agent.core.d_core)
    assert with_answers_drawn(rows, prefix, 0) == rows
    assert with_answers_drawn(rows, Several({"image": prefix}), 0) == rows
    assert with_answers_drawn(rows, Several({"image": concepts}), 0) != rows
    frozen = Combined(concepts, torch.nn.Linear(2, 2), keeps=True)
    unknown = [replace(row, answer="boat") for row in rows]  # what bends the core learns something else
    assert with_answers_drawn(unknown, frozen, 0) == unknown


def test_stopped_and_resumed_it_ends_in_the_same_bits(agent: Agent, tmp_path: Path) -> None:
    task = make_task(agent)
    few = SETTINGS.changed({"epochs": 4.0})
    whole = new_adapter(agent, "concepts")
    fine_tune(task, whole, few, tmp_path / "whole")
    calls = [0]

    def stop() -> bool:
        calls[0] += 1
        return calls[0] >= 5

    with pytest.raises(Interrupted):
        fine_tune(task, new_adapter(agent, "concepts"), few, tmp_path / "part", stop=stop)
    again = new_adapter(agent, "concepts")
    fine_tune(task, again, few, tmp_path / "part", resume=True)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
