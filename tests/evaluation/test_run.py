"""An agent evaluated on labelled pictures: the same numbers again, each a user's answer, or a refusal."""

from __future__ import annotations

import pytest
from colours import QUESTION

from mmagent import Agent
from mmagent.errors import UserError
from mmagent.evaluation import Result, evaluate
from mmagent.evaluation.page import as_text
from mmagent.feature_cache import FeatureCache


def test_the_same_seed_gives_the_same_numbers_to_the_last_digit(data, tmp_path):
    reports = [
        evaluate(
            Agent.load("tiny"), data, shots=(0, 2), seed=5, resamples=300, cache=FeatureCache(tmp_path / name)
        )
        for name in "ab"
    ]
    assert as_text(reports[0].report) == as_text(reports[1].report)
    assert [row for one in reports[0].runs for row in one.adapter.rows] == [
        row for one in reports[1].runs for row in one.adapter.rows
    ]


def test_answers_of_several_people_are_judged_together(agent, read, cache):
    people = ["red"] * 2 + ["rose"] * 8
    rows = [{"image": f"test/red/{at}.png", "question": QUESTION, "answers": people} for at in (4, 5)]
    found = evaluate(agent, read(rows), controls=(), resamples=50, cache=cache)
    assert found.main.adapter.judge == "VQA accuracy"
    said = Result("x", found.main.adapter.rows, "VQA accuracy").answered("y", ["rose", "red"])
    assert [row.wanted for row in found.main.adapter.rows] == [tuple(people)] * 2
    assert [row.correct for row in said.rows] == pytest.approx([1.0, 0.6])
    exact = evaluate(agent, read(rows), controls=(), judge="exact match", resamples=50, cache=cache)
    assert [row.wanted for row in exact.main.adapter.rows] == [("rose", "red")] * 2


def test_answers_are_those_of_a_user(agent, data, cache):
    found = evaluate(agent, data, controls=(), baselines=(), resamples=50, cache=cache)
    for row, example in zip(found.main.adapter.rows, data.part("test"), strict=True):
        answer = agent.ask(example.question, image=example.media["image"][0])
        assert row.got == answer.text
        assert row.confidence == pytest.approx(answer.confidence, abs=1e-4)
        assert row.correct == float(answer.text == example.answer)
        assert row.source == example.source


def test_a_control_that_cannot_be_run_is_told(agent, read, cache):
    found = evaluate(agent, read([{"image": "test/red/4.png", "label": "red"}]), resamples=50, cache=cache)
    assert list(found.main.controls) == ["blind", "oracle"]
    assert any("shuffled is left out" in note for note in found.notes)


def test_a_row_that_cannot_be_answered_is_no_wrong_answer(agent, read, cache, tmp_path):
    (tmp_path / "no.png").write_text("words")
    rows = [{"image": "test/red/4.png", "label": "red"}, {"image": str(tmp_path / "no.png"), "label": "blue"}]
    with pytest.raises(
        UserError, match=r"1 of 2 rows cannot be answered by the adapter.*row 2.*not a picture"
    ):
        evaluate(agent, read(rows), resamples=50, cache=cache)


def test_data_with_a_fault_are_refused(agent, read, seen):
    data = read([{"image": "test/red/4.png", "label": "red"}, {"image": "no.png", "label": "blue"}])
    with pytest.raises(UserError, match=r"no file no\.png"):
        evaluate(agent, data)
    assert seen.calls == []


def test_settings_say_what_the_numbers_hang_on(agent, data, cache):
    settings = evaluate(agent, data, shots=(0, 1), controls=(), resamples=50, seed=9, cache=cache).settings
    assert settings["core"]["sha256"] == agent.core.fingerprint()
    assert settings["encoders"] == {"image": agent.encoder("image")[1].id}
    assert settings["asked"]["seed"] == 9
    assert settings["asked"]["shots"] == [0, 1]
    assert settings["data"]["split"] == "test"
    assert (settings["data"]["rows"], settings["data"]["training_rows"]) == (6, 8)
    assert set(settings["versions"]) >= {"mmagent", "torch", "transformers", "numpy", "python"}


def test_progress_names_what_is_done_and_ends_at_its_end(agent, data, cache):
    told: dict[str, tuple[int, int]] = {}

    def note(what: str, done: int, total: int) -> None:
        told[what] = (done, total)

    evaluate(agent, data, shots=(0, 1), controls=("blind",), resamples=50, cache=cache, progress=note)
    assert list(told) == ["the adapter", "blind", "the adapter with 1 shot", "blind with 1 shot", "encoding"]
    assert told["the adapter"] == told["blind with 1 shot"] == (6, 6)
    assert told["encoding"][0] == told["encoding"][1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"controls": ("blnd",)}, "no control 'blnd'.*blind, shuffled, oracle.*Did you mean 'blind'"),
        ({"baselines": ("nearst",)}, "no baseline 'nearst'.*Did you mean 'nearest'"),
        ({"judge": "exact"}, "no judge 'exact'.*exact match"),
        ({"shots": ()}, "numbers from 0 on"),
        ({"shots": (0, -1)}, "numbers from 0 on"),
        ({"shots": (9,)}, "8 rows; 9"),
        ({"split": "dev"}, "no split 'dev'.*train, test"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_told_before_anything_is_asked(agent, data, seen, options, words):
    with pytest.raises(UserError, match=words):
        evaluate(agent, data, **options)
    assert seen.calls == []
