"""What the core reads: true, complete, and free of what the table tests."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest


def test_wordings_kept_for_testing_stand_in_no_training_wording() -> None:
    from things import wordings

    for form, split in wordings().items():
        trained = {w.lower() for w in split["train"]}
        assert len(trained) >= 16, form
        assert len(split["test"]) >= 4, form
        assert not trained & {w.lower() for w in split["test"]}, form


def test_no_training_document_asks_in_a_wording_kept_for_testing() -> None:
    from spans import text_of
    from text import Pen
    from things import plain, wordings

    kept_back = {plain(w) for split in wordings().values() for w in split["test"] if "{" not in w}
    pen = Pen("wordings")
    for _ in range(3000):
        asked = {plain(q) for q in re.findall(r"Question: (.*)\n", text_of(pen.document()))}
        assert not asked & kept_back


def test_rewording_keeps_the_sense_and_avoids_what_is_kept_for_testing() -> None:
    from things import kept_back, plain, reworded

    rng = random.Random(4)
    said = {reworded("what is in the picture?", rng) for _ in range(500)}
    assert len(said) > 100
    assert not any(kept_back().search(plain(q)) for q in said if q != "what is in the picture?")
    assert kept_back().search(plain("Please, what am I looking at"))
    assert kept_back().search("could this thing burn fuel")


def test_every_pictured_name_has_facts() -> None:
    from things import by_name

    cifar = "airplane automobile bird cat deer dog frog horse ship truck".split()
    assert set(cifar) <= set(by_name())
    assert {"Joshua tree", "hawksbill turtle", "wrench", "grand piano"} <= set(by_name())


@pytest.mark.parametrize("form", ["can", "has", "is_kind", "is_made_of", "is_name"])
def test_yes_and_no_are_balanced_and_true(form: str) -> None:
    from things import by_name, thing_question

    rng = random.Random(0)
    frog = by_name()["frog"]
    asked = [thing_question(frog, form, rng) for _ in range(400)]
    for qa in asked:
        assert qa is not None
        if form == "can" and "fly" in qa.question:
            assert qa.answer == "no"
        if form == "is_kind" and "an animal" in qa.question:
            assert qa.answer == "yes"


@pytest.mark.parametrize(
    ("form", "slot"), [("can", "fly"), ("can", "roll"), ("has", "wings"), ("is_made_of", "metal")]
)
def test_a_word_does_not_tell_its_answer(form: str, slot: str) -> None:
    from things import N_PICTURED, thing_question, things

    rng = random.Random(1)
    asked = [thing_question(t, form, rng, practice=True) for t in things()[:N_PICTURED] for _ in range(400)]
    answers = [qa.answer for qa in asked if qa and slot in qa.question]
    assert len(answers) > 200
    assert 0.35 < answers.count("yes") / len(answers) < 0.65


def test_folded_words_say_what_the_scene_says() -> None:
    from scenes import random_scene
    from soft import N_SOFT, PLACES, scene, scene_line, written

    rng = random.Random(5)
    for _ in range(200):
        items = random_scene(rng, pairs="any")
        folded = scene(items)
        assert len(folded.bags) == N_SOFT
        assert written("scene", scene_line(items)) == folded
        for item in items:
            cell = folded.bags[1 + PLACES.index(item.place)]
            assert {f" {item.colour}", f" {item.shape}", f" {item.size}"} <= set(cell)
        empty = [place for place in PLACES if all(item.place != place for item in items)]
        assert all(set(folded.bags[1 + PLACES.index(place)]) == {" nothing"} for place in empty)


def test_a_batch_folds_each_bag_where_its_document_says() -> None:
    pytest.importorskip("tokenizers")
    import torch
    from corpus import Batches
    from soft import photo
    from transformers import AutoTokenizer

    import mmagent_tiny

    tokenizer = AutoTokenizer.from_pretrained(Path(mmagent_tiny.__file__).parent / "tiny/core")
    batches = Batches(tokenizer, [], seed=0, tokens=200)
    doc = [
        ("Picture:", 0.0),
        (photo("frog"), 0.0),
        ("\n", 0.0),
        ("This is", 0.0),
        (" a frog.", 1.0),
        ("\n", 0.3),
    ]
    long = [("Question: what is this?\nAnswer:", 0.0), (" frog", 1.0), *[(" word" * 40, 0.0)]]
    part = batches.part([batches.encode(long), batches.encode(doc)])
    start = len(batches.encode([("Picture:", 0.0)]).ids)
    assert part.at.tolist() == [[1, start + k] for k in range(10)]
    assert torch.allclose(part.shares.square().sum(1), torch.ones(10))
    frog = batches.pieces(" frog")
    assert set(frog) <= set(part.words[0].tolist())
    assert (part.weights[1] == 1.0).sum() == len(batches.pieces(" a frog."))
    alone = batches.part([batches.encode(doc)])
    assert torch.equal(alone.ids[0], part.ids[1, : alone.ids.shape[1]])


def test_a_scene_answers_as_it_is() -> None:
    from scene_questions import caption, scene_question
    from scenes import Item

    scene = (
        Item("red", "circle", 0.2, 0.2, 0.08),
        Item("blue", "star", 0.8, 0.75, 0.18),
        Item("red", "star", 0.5, 0.5, 0.09),
    )
    rng = random.Random(0)
    assert caption(scene) == (
        "a small red circle at the top left, a small red star in the middle "
        "and a big blue star at the bottom right."
    )
    wanted = {
        "count_all": {"three"},
        "where_thing": {"top left", "middle", "bottom right"},
        "size_of": {"small", "big"},
    }
    for form, answers in wanted.items():
        got = {scene_question(scene, form, rng).answer for _ in range(30)}  # type: ignore[union-attr]
        assert got == answers, form
    for _ in range(100):
        qa = scene_question(scene, "is_left", rng)
        assert qa is not None
        names = sorted(
            ("red circle", "blue star", "red star"),
            key=lambda n: qa.question.find(n) if n in qa.question else 999,
        )
        order = ["red circle", "red star", "blue star"]
        assert qa.answer == ("yes" if order.index(names[0]) < order.index(names[1]) else "no"), qa.question
    for _ in range(100):
        qa = scene_question(scene, "no_colour", rng)
        assert qa is not None
        assert (qa.answer == "no") == any(c in qa.question for c in ("red", "blue")), qa.question


def test_training_scenes_never_show_a_pair_that_is_held_out() -> None:
    from scenes import HELD_OUT_PAIRS, random_scene

    rng = random.Random(1)
    for _ in range(2000):
        assert not {(i.colour, i.shape) for i in random_scene(rng)} & HELD_OUT_PAIRS
        assert {(i.colour, i.shape) for i in random_scene(rng, pairs="held-out")} & HELD_OUT_PAIRS


def test_captions_ask_nothing() -> None:
    import captions
    from scenes import random_scene

    rng = random.Random(2)
    said = (
        captions.thing_statements("ant") + captions.digit_statements("two") + captions.character_statements()
    )
    said += captions.emoji_statements("owl") + captions.scene_statements(random_scene(rng))
    assert all("?" not in lead + text and "Question" not in lead for lead, text in said)
    assert (" a photo of an ant.") in [text for _, text in said]


def test_weights_fall_on_answers_and_never_on_the_first_mention_of_a_name() -> None:
    from text import Pen

    pen = Pen("weights")
    for _ in range(300):
        seen: set[str] = set()
        for span, weight in pen.episode():
            if not isinstance(span, str):
                assert weight == 0.0
                continue
            word = span.strip().rstrip(".")
            if weight == 1.0:
                assert word in seen, "a name was to be answered before it was given"
            seen.add(word)


def test_the_levels_of_a_visual_word_are_equally_likely() -> None:
    from collections import Counter

    from sight_words import N_LEVELS, N_WORDS, Look

    rng = random.Random(3)
    words = [re.findall(r"<v(\d+)\.(\d)>", Look(rng, [0.5] * N_WORDS).example(rng)) for _ in range(1500)]
    assert all(len(w) == N_WORDS for w in words)
    levels = Counter(level for w in words for _, level in w)
    assert max(levels.values()) / min(levels.values()) < 1.15
    assert len(levels) == N_LEVELS
