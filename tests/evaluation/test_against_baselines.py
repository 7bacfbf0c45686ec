"""Baselines answer the same rows from the training rows, by the same features."""

from __future__ import annotations

import pytest
from colours import COLOURS, QUESTION

from mmagent.evaluation import Result, evaluate, judged
from mmagent.evaluation.features import baseline_results, pooled_features


def test_baselines_answer_the_same_rows_from_the_training_rows(agent, data, cache):
    found = evaluate(agent, data, controls=(), resamples=50, cache=cache)
    assert [one.name for one in found.baselines] == [
        "majority class",
        "nearest class mean",
        "logistic regression",
        "shot memory (training-free)",
    ]
    for one in found.baselines:
        told = [(row.question, row.wanted, row.source) for row in one.rows]
        assert told == [(row.question, row.wanted, row.source) for row in found.main.adapter.rows]
    assert [one.accuracy().value() for one in found.baselines] == [0.5, 1.0, 1.0, 1.0]


def test_baselines_know_the_answers_of_the_training_rows_alone(agent, data, cache):
    from dataclasses import replace

    other = {"red": "blue", "blue": "red"}
    train = [replace(one, answer=other[one.answer]) for one in data.part("train")]
    rows = data.part("test")
    like = Result("the adapter", tuple(judged(QUESTION, [one.answer], "x") for one in rows))
    names = ["nearest", "logistic", "memory"]
    results, notes = baseline_results(agent, names, train, rows, like, cache=cache)
    assert notes == []
    assert [one.accuracy().value() for one in results] == [0.0, 0.0, 0.0]


def test_questions_have_baselines_of_their_own(agent, read, cache):
    rows = [
        {
            "image": f"{split}/{colour}/{at}.png",
            "split": split,
            "question": question,
            "answer": colour if question == QUESTION else "a square",
        }
        for split, numbers in (("train", range(4)), ("test", range(4, 7)))
        for colour in COLOURS
        for at in numbers
        for question in (QUESTION, "What shape is this?")
    ]
    found = evaluate(agent, read(rows), controls=(), baselines=("nearest",), resamples=50, cache=cache)
    [nearest] = found.baselines
    assert nearest.name == "nearest class mean per question"
    assert nearest.accuracy().value() == 1.0


def test_a_baseline_chooses_among_the_choices(agent, data, cache):
    from dataclasses import replace

    train = data.part("train")
    rows = [replace(one, choices=("blue", "green")) for one in data.part("test")]
    like = Result("the adapter", tuple(judged(QUESTION, [one.answer], "x") for one in rows))
    [nearest], _ = baseline_results(agent, ["nearest"], train, rows, like, cache=cache)
    assert {row.got for row in nearest.rows} == {"blue"}


def test_features_are_the_encoders_and_come_from_the_cache_the_second_time(agent, data, cache, monkeypatch):
    rows = data.part("test")
    first = pooled_features(agent, rows, cache=cache)
    whole = agent.features("image", [one.media["image"][0] for one in rows]).pooled.numpy()
    assert first == pytest.approx(whole, abs=1e-4)
    _, encoder = agent.encoder("image")
    monkeypatch.setattr(encoder, "encode", None)
    assert (pooled_features(agent, rows, cache=cache) == first).all()


def test_several_pictures_of_a_row_are_averaged(agent, read, cache):
    pair = ["test/red/4.png", "test/blue/4.png"]
    both, red, blue = read([{"image": one, "label": "x"} for one in (pair, *pair)]).examples
    features = pooled_features(agent, [both, red, blue], cache=cache)
    assert features[0] == pytest.approx(features[1:].mean(axis=0), abs=1e-6)


def test_without_training_rows_it_says_that_nothing_is_compared(agent, read, cache):
    rows = [{"image": f"test/{colour}/4.png", "label": colour} for colour in COLOURS]
    found = evaluate(agent, read(rows), controls=(), resamples=50, cache=cache)
    assert found.baselines == ()
    assert any("no baseline is compared" in note for note in found.report["notes"])
    assert "proves nothing" in found.lines[0]
