"""Every system is asked the same questions: drawn shots, controls, prompts, the judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from colours import COLOURS, QUESTION

from mmagent import Agent
from mmagent.data import LabelledSet
from mmagent.errors import UserError
from mmagent.evaluation import Judge, evaluate
from mmagent.evaluation.asking import Asked, Examiner, asked_as, drawn, judge_of
from mmagent.request import Request, Shot


def examiner(agent: Agent, data: LabelledSet, judge: Judge = "exact match", split: str = "test") -> Examiner:
    return Examiner(agent, data.part(split) or data.examples, judge, None)


def asked(control: str | None, data: LabelledSet, shots: Sequence[Any] = (), split: str = "test") -> Asked:
    examples = data.part(split) or data.examples
    return asked_as(control, examples, shots, label="Picture", default_question="What is this?")


def sources(request: Request | Shot) -> list[object]:
    return [one for items in request.media.values() for one in items]


def test_another_seed_draws_other_shots(data):
    train = data.part("train")
    draws = {tuple(one.row for one in drawn(train, "test", 2, seed)) for seed in range(8)}
    assert len(draws) > 1


def test_fewer_shots_are_the_first_of_more_and_answers_take_turns(data):
    train = data.part("train")
    many = drawn(train, "test", 6, 3)
    assert drawn(train, "test", 2, 3) == many[:2]
    assert {one.answer for one in many[:2]} == set(COLOURS)
    assert {one.split for one in many} == {"train"}
    assert len({one.row for one in many}) == 6


@pytest.mark.parametrize(
    ("split", "words"), [("test", "8 rows"), ("train", "answered here"), (None, "not there")]
)
def test_shots_that_cannot_be_drawn(data, split, words):
    train = data.part("train") if split == "test" else ()
    with pytest.raises(UserError, match=words):
        drawn(train, split, 9, 0)


def test_every_system_is_asked_the_same_questions_of_its_own_media(agent, data, cache, seen):
    evaluate(agent, data, shots=(2,), baselines=(), seed=1, resamples=50, cache=cache)
    adapter, blind, shuffled, oracle = seen.calls
    rows = data.part("test")
    train = {path for one in data.part("train") for path in one.media["image"]}
    assert [request.question for request in adapter] == [QUESTION] * 6
    assert [sources(request) for request in adapter] == [list(one.media["image"]) for one in rows]
    for calls in (blind, oracle):
        assert not any(sources(request) for request in calls)
        assert not any(sources(shot) for request in calls for shot in request.shots)
    moved = [sources(request) for request in shuffled]
    assert sorted(map(str, moved)) == sorted(str(sources(request)) for request in adapter)
    assert all(new != sources(own) for new, own in zip(moved, adapter, strict=True))
    colour = {str(path): one.answer for one in rows for path in one.media["image"]}
    assert all(colour[str(new[0])] != one.answer for new, one in zip(moved, rows, strict=True))
    for calls in seen.calls:
        assert len({id(request.shots) for request in calls}) == 1  # shared, so that they are read once
        assert [shot.answer for shot in calls[0].shots] == [shot.answer for shot in adapter[0].shots]
    for calls in (adapter, shuffled):
        assert {path for shot in calls[0].shots for path in sources(shot)} <= train


def test_a_blind_control_encodes_nothing(data):
    agent = Agent.load("tiny")
    _, encoder = agent.encoder("image")
    encode, counted = encoder.encode, []

    def counting(batch: Sequence[Any]) -> Any:
        counted.append(len(batch))
        return encode(batch)

    encoder.encode = counting  # type: ignore[method-assign]
    shots = drawn(data.part("train"), "test", 2, 0)
    examiner(agent, data).result("blind", asked("blind", data, shots))
    assert counted == []
    examiner(agent, data).result("the adapter", asked(None, data, shots))
    assert sum(counted) == 6 + 2


def test_what_the_core_reads(agent, data, read):
    exam, shots = examiner(agent, data), drawn(data.part("train"), "test", 1, 0)
    word = shots[0].answer
    assert exam.first(asked("blind", data)).prompt == [f"Question: {QUESTION}\nAnswer:"]
    own = exam.first(asked(None, data)).prompt
    assert [part if isinstance(part, str) else "image" for part in own] == [
        "Picture:",
        "image",
        f"\nQuestion: {QUESTION}\nAnswer:",
    ]
    told = f"Picture: {data.part('test')[0].answer}\nQuestion: {QUESTION}\nAnswer:"
    assert exam.first(asked("oracle", data)).prompt == [told]
    shot = f"Picture: {word}\nQuestion: {QUESTION}\nAnswer: {word}\n\n"
    assert exam.first(asked("oracle", data, shots)).prompt == [shot + told]
    assert exam.first(asked("blind", data, shots)).prompt == [
        f"Question: {QUESTION}\nAnswer: {word}\n\nQuestion: {QUESTION}\nAnswer:"
    ]
    choosing = read([{"image": "test/red/4.png", "answer": "red", "choices": ["red", "blue"]}])
    exam = examiner(agent, choosing)
    assert exam.first(asked("oracle", choosing)).prompt == [
        "Picture: red\nQuestion: What is this?\nChoices: red, blue\nAnswer:"
    ]


def test_descriptions_have_controls_too(agent, read, cache, seen):
    rows = [
        {"image": f"test/{colour}/{at}.png", "caption": f"a {colour} square"}
        for colour in COLOURS
        for at in (4, 5)
    ]
    found = evaluate(agent, read(rows), resamples=50, cache=cache)
    assert list(found.main.controls) == ["blind", "shuffled", "oracle"]
    assert found.main.prompt == "Picture:<image: 26 tokens>\nCaption:"
    assert found.main.target == "a red square"
    exam, data = examiner(agent, read(rows)), read(rows)
    assert exam.first(asked("blind", data)).prompt == ["Caption:"]
    assert exam.first(asked("oracle", data)).prompt == ["Picture: a red square\nCaption:"]
    shots = data.examples[2:3]
    assert exam.first(asked("oracle", data, shots)).prompt == [
        "Picture: a blue square\nCaption: a blue square\n\nPicture: a red square\nCaption:"
    ]


def test_choices_are_chosen_from(agent, read, cache, seen):
    rows = [
        {"image": f"test/{colour}/{at}.png", "answer": colour, "choices": ["red", "blue"]}
        for colour in COLOURS
        for at in (4, 5)
    ]
    found = evaluate(agent, read(rows), resamples=50, cache=cache)
    assert found.main.adapter.judge == "choice accuracy"
    for result in (found.main.adapter, *found.main.controls.values()):
        assert {row.got for row in result.rows} <= {"red", "blue"}
    assert all(request.choices == ("red", "blue") for calls in seen.calls for request in calls)


def test_log_probabilities_are_those_of_the_core(agent, data, cache):
    found = evaluate(agent, data, controls=("blind",), baselines=(), resamples=50, cache=cache)
    for result, control in ((found.main.adapter, None), (found.main.controls["blind"], "blind")):
        how = asked(control, data)
        for row, example in zip(result.rows, how.examples, strict=True):
            prompt = agent.read(Request(example.question, example.media)).prompt
            [[score]] = agent.core.score([prompt], [[row.wanted[0]]])
            assert row.logprob == pytest.approx(score.logprob, abs=1e-4)
            assert row.tokens == score.n_tokens
    scores = found.report["systems"][0]["scores"]
    total = sum(row.logprob for row in found.main.adapter.rows)
    assert scores["perplexity"]["value"] == pytest.approx(
        np.exp(-total / sum(row.tokens for row in found.main.adapter.rows))
    )


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"answer": "red"}, "exact match"),
        ({"answer": "red", "answers": ["red"] * 10}, "VQA accuracy"),
        ({"answers": ["red", "rose"]}, "exact match"),
        ({"caption": ["a", "b", "c", "d", "e"]}, "exact match"),
        ({"answer": "red", "choices": ["red", "blue"]}, "choice accuracy"),
    ],
    ids=str,
)
def test_the_judge_suits_the_data(read, row, expected):
    data = read([{"image": "test/red/4.png"} | row])
    assert judge_of(data, data.examples) == expected
