"""An agent on labelled pictures: the same numbers again, blind without media, baselines on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmagent import Agent
from mmagent.data import LabelledSet, read_labelled
from mmagent.errors import UserError
from mmagent.evaluation import Judge, Result, evaluate, judged
from mmagent.evaluation.asking import Asked, Examiner, asked_as, drawn, judge_of
from mmagent.evaluation.features import baseline_results, pooled_features
from mmagent.evaluation.page import as_text
from mmagent.feature_cache import FeatureCache
from mmagent.plugins import load_plugins
from mmagent.request import Request, Shot

QUESTION = "What colour is this?"
COLOURS = {"red": (220, 20, 30), "blue": (20, 40, 220)}
Read = Callable[..., LabelledSet]


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
def data(folder) -> LabelledSet:
    return read_labelled(folder, load_plugins().modalities, question=QUESTION)


@pytest.fixture
def read(folder, monkeypatch) -> Read:
    """Rows in memory, with paths inside the folder."""
    monkeypatch.chdir(folder)
    return lambda rows, **more: read_labelled(rows, load_plugins().modalities, **more)


@pytest.fixture(scope="module")
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


def examiner(agent: Agent, data: LabelledSet, judge: Judge = "exact match", split: str = "test") -> Examiner:
    return Examiner(agent, data.part(split) or data.examples, judge, None)


def asked(control: str | None, data: LabelledSet, shots: Sequence[Any] = (), split: str = "test") -> Asked:
    examples = data.part(split) or data.examples
    return asked_as(control, examples, shots, label="Picture", default_question="What is this?")


def sources(request: Request | Shot) -> list[object]:
    return [one for items in request.media.values() for one in items]


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


def test_answers_are_those_of_a_user(agent, data, cache):
    found = evaluate(agent, data, controls=(), baselines=(), resamples=50, cache=cache)
    for row, example in zip(found.main.adapter.rows, data.part("test"), strict=True):
        answer = agent.ask(example.question, image=example.media["image"][0])
        assert row.got == answer.text
        assert row.confidence == pytest.approx(answer.confidence, abs=1e-4)
        assert row.correct == float(answer.text == example.answer)
        assert row.source == example.source


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
